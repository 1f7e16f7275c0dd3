//! What becomes of the database, or of the way to it.

use std::io::Write as _;
use std::time::{Duration, Instant};

use super::{Scene, address, all_end, edits, in_a_database, is_full, keeps, tell, times, with_a_server};
use crate::support::harness::{Running, wait_for};
use crate::support::postgres::{Cluster, Database};
use crate::support::tcp_proxy::Proxy;

#[test]
fn a_server_that_is_restarted_and_one_that_is_killed_cost_time_and_nothing_else() {
    with_a_server(|cluster| {
        cluster.create_database("d");
        let scene = Scene::new(edits(1_200, 4_000));
        let ledger = format!("postgres://postgres@127.0.0.1:{}/d?job=job", cluster.port());
        let runners = scene.runners(3, &ledger);
        scene.service.wait_for_requests(u64::from(scene.rows) / 4);
        cluster.restart();
        scene.service.wait_for_requests(u64::from(scene.rows) / 2);
        cluster.kill_9();
        // Nothing is sent without it, once the gates are shut.
        let mut before = (scene.service.stats().requests(), Instant::now());
        wait_for("the runners to be silent", || {
            let now = scene.service.stats().requests();
            if now != before.0 {
                before = (now, Instant::now());
            }
            (before.1.elapsed() > Duration::from_secs(2)).then_some(())
        });
        cluster.start_again();
        let ended = all_end(runners);
        let stats = scene.service.stats();
        assert_eq!(stats.edited_once(), u64::from(scene.rows), "{ended:#?}");
        assert!(ended.iter().all(|ran| ran.summary().done == u64::from(scene.rows)), "{ended:#?}");
        keeps(&stats, 200);
        tell(&format!("restarted and killed: worst second {}, {} read", stats.worst_second(), stats.read_backs()));
    });
}

/// It needs a file system of its own, which only root can make.
#[test]
fn a_full_disk_under_the_server_is_waited_out() {
    if !nix::unistd::geteuid().is_root() {
        std::io::stderr().write_all(b"skipped: a file system of its own needs root\n").unwrap();
        return;
    }
    times(|| {
        let Some(cluster) = Cluster::on_a_small_disk() else { return };
        let scene = Scene::new(edits(1_000, 4_000));
        let runners = scene.runners(3, &cluster.url("job"));
        scene.service.wait_for_requests(300);
        let filling = cluster.fill_disk();
        let mut before = (scene.service.stats().requests(), Instant::now());
        wait_for("the runners to be silent", || {
            let now = scene.service.stats().requests();
            if now != before.0 {
                before = (now, Instant::now());
            }
            (before.1.elapsed() > Duration::from_secs(3)).then_some(())
        });
        assert!(before.0 < u64::from(scene.rows));
        std::fs::remove_file(filling).unwrap();
        let ended = all_end(runners);
        let stats = scene.service.stats();
        assert_eq!(stats.edited_once(), u64::from(scene.rows), "{ended:#?}");
        assert!(ended.iter().all(|ran| ran.summary().done == u64::from(scene.rows)), "{ended:#?}");
        keeps(&stats, 200);
        tell(&format!("full disk: worst second {}, {} read", stats.worst_second(), stats.read_backs()));
    });
}

/// The run cannot record how it ended either. The service has edited some of what the ledger does not have as done.
#[test]
fn what_is_being_sent_when_the_ledger_takes_nothing_more_is_in_doubt() {
    in_a_database(|database| {
        let scene = Scene::with_faults(600, "latency=300ms");
        let role = format!("worker_of_{}", database.name());
        database.psql(&format!("CREATE ROLE {role} LOGIN; GRANT ALL ON DATABASE {} TO {role}", database.name()));
        let ledger = database.url("job").replace("postgres@", &format!("{role}@"));
        let run = scene.runner("r", &ledger);
        scene.service.wait_for_requests(150);
        database.psql(&format!("REVOKE UPDATE ON runner.edit FROM {role}"));
        let ran = run.exits(3);
        let (summary, edits) = (ran.summary(), scene.service.stats().edited_once());
        assert!(summary.done < edits && edits <= summary.done + summary.in_doubt, "{edits} of {ran:#?}");
        let rows = scene.place.read(ran.json()["failed_rows"].as_str().unwrap()).lines().count() - 1;
        assert_eq!(rows as u64, summary.in_doubt);
        database.psql(&format!("REASSIGN OWNED BY {role} TO postgres; DROP OWNED BY {role}; DROP ROLE {role}"));
    });
}

/// Another one holds the table, while the lease can be renewed.
#[test]
fn commits_that_wait_for_others_are_told() {
    in_a_database(|database| {
        let scene = Scene::new(300);
        let run = scene.runner("r", &database.url("job"));
        scene.service.wait_for_requests(50);
        database.psql("BEGIN; LOCK TABLE runner.edit; SELECT pg_sleep(9); COMMIT");
        let ran = run.exits(0);
        let told = "WARN the ledger does not answer or takes no changes, and what waits for it is tried again: ";
        assert_eq!(ran.err.matches(told).count(), 1, "{ran:#?}");
        scene.is_done(database, &[ran]);
    });
}

/// As those who look after databases set up roles.
#[test]
fn settings_of_a_role_change_nothing() {
    in_a_database(|database| {
        let (scene, ledger) = (Scene::new(20), database.url("job"));
        let (worker, reader) = (format!("worker_of_{}", database.name()), format!("reader_of_{}", database.name()));
        database.psql(&format!(
            "CREATE ROLE {worker} LOGIN; GRANT ALL ON DATABASE {} TO {worker}; CREATE ROLE {reader} LOGIN;
             ALTER ROLE {worker} SET standard_conforming_strings = off;
             ALTER ROLE {reader} SET default_transaction_read_only = on",
            database.name()
        ));
        let ran = scene.call("r", &ledger.replace("postgres@", &format!("{worker}@")), "").exits(0);
        assert_eq!(ran.summary().done, 20);
        database.psql(&format!(
            "GRANT USAGE ON SCHEMA runner TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA runner TO {reader}"
        ));
        let as_reader = ledger.replace("postgres@", &format!("{reader}@"));
        for command in ["status", "report", "verify"] {
            scene.place.runner(command).arg(&as_reader).exits(0);
        }
        // Of several servers, one that takes no changes may be an old primary.
        let several = database.url_at(database.cluster.port(), "job").replace("postgres@", &format!("{reader}@"));
        let host = format!("127.0.0.1:{}", database.cluster.port());
        let several = several.replace(&host, &format!("{host},{host}"));
        assert!(several.matches(&host).count() == 2, "{several}");
        scene.place.runner("status").arg(&several).exits(2);
        let refused = scene.call("r", &as_reader, "").exits(2);
        assert!(refused.err.contains("default_transaction_read_only"), "{refused:#?}");
        database.psql(&format!(
            "REASSIGN OWNED BY {worker} TO postgres; DROP OWNED BY {worker}, {reader}; DROP ROLE {worker}, {reader}"
        ));
    });
}

/// Cuts one of three off the database, but not off the service.
fn cut_off(database: Database<'_>, cut: impl Fn(&Proxy), time: Duration) {
    let scene = Scene::new(edits(1_500, 7_000));
    let proxy = Proxy::start(address(database.cluster.port()));
    let mut runners = scene.runners(2, &database.url("job"));
    runners.push(scene.runner("cut", &database.url_at(proxy.port(), "job")));
    scene.service.wait_for_requests(400);
    cut(&proxy);
    let since = Instant::now();
    wait_for("it to be cut off for long enough", || (since.elapsed() >= time).then_some(()));
    proxy.mend();
    let mut runners = runners.into_iter();
    let others = all_end(runners.by_ref().take(2));
    let ended = runners.map(Running::wait).next().unwrap();
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let stats = scene.is_done(database, &others);
    keeps(&stats, 200);
    let lost = database.psql("SELECT count(*) FROM runner.lease WHERE state = 'lost'");
    // Others take over after 8 s, and a beat was at most a second old.
    match time.as_secs() {
        ..=6 => assert_eq!(lost, "0", "{ended:#?}"),
        12.. => assert_eq!(lost, "1", "{ended:#?}"),
        7..12 => {}
    }
    tell(&format!(
        "cut off for {time:?}: {lost} lost, worst second {}, {} read",
        stats.worst_second(),
        stats.read_backs()
    ));
}

#[test]
fn a_runner_that_is_cut_off_the_database_sends_nothing_meanwhile() {
    let times: &[u64] = if is_full() { &[6, 20] } else { &[6] };
    for time in times {
        in_a_database(|database| cut_off(database, Proxy::cut, Duration::from_secs(*time)));
    }
}

#[test]
fn a_runner_whose_database_is_silent_for_long_is_lost_and_begins_anew() {
    let times: &[u64] = if is_full() { &[6, 20] } else { &[13] };
    for time in times {
        in_a_database(|database| cut_off(database, Proxy::hold, Duration::from_secs(*time)));
    }
}
