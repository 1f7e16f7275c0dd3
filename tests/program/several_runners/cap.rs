//! One cap for all, and used: however many they are, however far from the service, whatever each was told.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Scene, all_end, done_by, edits, in_a_database, is_full, keeps, tell, wait_for_shares};
use crate::program::shim::Shim;
use crate::support::harness::{Running, list, wait_for};
use crate::support::postgres::Database;
use crate::support::service::Service;
use crate::support::tcp_proxy::Proxy;

const FAR: Duration = Duration::from_millis(100);

#[test]
fn four_runners_use_the_cap_together_and_do_each_row_once() {
    in_a_database(|database| {
        let scene = Scene::new(edits(1_200, 8_000));
        let ended = all_end(scene.runners(4, &database.url("job")));
        let stats = scene.is_done_by(database, &ended);
        assert_eq!(stats.requests(), u64::from(scene.rows));
        keeps(&stats, 200);
        // A short list is done before all of them have joined.
        assert!(stats.mean_rate() >= if is_full() { 190.0 } else { 80.0 }, "{stats:#?}");
        let by: Vec<u64> = ended.iter().map(done_by).collect();
        assert!(by.iter().all(|done| *done > 0), "{by:?}");
        tell(&format!("four: {:.1}/s, worst second {}, {by:?}", stats.mean_rate(), stats.worst_second()));
    });
}

/// Two runners, each with a way of its own to the service, of which the first is far. `turn` is called while they work. Returns
/// the worst second.
fn near_and_far(database: Database<'_>, mut turn: impl FnMut(&Scene, &[Proxy; 2])) -> u64 {
    let scene = Scene::new(edits(1_600, 6_000));
    let service: SocketAddr = scene.service.address().parse().unwrap();
    let (proxies, ledger) = ([Proxy::start(service), Proxy::start(service)], database.url("job"));
    // All runners of a job call one address.
    let start = |number: usize| {
        let call = scene.call(&format!("r{number}"), &ledger, "");
        Shim::by_way_of(call, service.port(), proxies[number].port()).start()
    };
    proxies[0].set_delay(FAR);
    let mut runners = [start(0), start(1)];
    wait_for_shares(database, 2);
    wait_for("the runners to end", || {
        turn(&scene, &proxies);
        runners.iter_mut().all(Running::has_ended).then_some(())
    });
    let stats = scene.is_done_by(database, &all_end(runners));
    tell(&format!("near and far: {:.1}/s, worst second {}", stats.mean_rate(), stats.worst_second()));
    stats.worst_second()
}

/// The case in which instants given out by the database fail.
#[test]
fn runners_near_the_service_and_far_from_it_never_pass_the_cap_together() {
    in_a_database(|database| {
        let worst = near_and_far(database, |_, _| {});
        assert!(worst <= if is_full() { 200 } else { 220 }, "{worst}");
    });
}

/// When the way of a runner gets shorter, what it sent before arrives together with what it sends then, and nobody can know that
/// before: a tenth of its share here, and as much again of what its pace may catch up.
#[test]
fn a_way_that_gets_shorter_adds_what_was_on_it_and_nothing_more() {
    in_a_database(|database| {
        let (mut far, mut since, mut turns) = (0, Instant::now(), 0);
        let worst = near_and_far(database, |scene, proxies| {
            // At the end one of them has more than half.
            let has_much_left = || scene.service.stats().requests() * 5 < u64::from(scene.rows) * 4;
            if since.elapsed() > Duration::from_secs(2) && has_much_left() {
                proxies[1 - far].set_delay(FAR);
                proxies[far].set_delay(Duration::ZERO);
                (far, since, turns) = (1 - far, Instant::now(), turns + 1);
            }
        });
        assert!(turns > 0);
        // Beside other tests the proxy's ways are longer than they should be.
        assert!(worst <= if is_full() { 220 } else { 240 }, "{worst} after {turns} turns");
    });
}

#[test]
fn the_lowest_rate_is_the_cap_of_all() {
    in_a_database(|database| {
        let scene = Scene::new(edits(300, 1_500));
        let ledger = database.url("job");
        let slow = scene.call("slow", &ledger, "--rate 60").start();
        wait_for_shares(database, 1);
        let quick = scene.runner("quick", &ledger);
        let ended = all_end([slow, quick]);
        let stats = scene.is_done_by(database, &ended);
        keeps(&stats, 60);
        tell(&format!("rates: {:.1}/s, worst second {}", stats.mean_rate(), stats.worst_second()));
    });
}

#[test]
fn two_jobs_of_one_app_share_the_cap() {
    in_a_database(|database| {
        let rows = edits(500, 2_500);
        let scene = Scene::new(rows);
        scene.place.write("other.csv", list(100_001..=100_000 + rows, "new"));
        let other = database.url("other");
        let call = |name| {
            let flags = "--input other.csv --yes --json --no-progress --rate 200 --resume";
            let call = scene.place.runner(flags).arg(&other).env("RUNNER_STATE_DIR", scene.place.state().join(name));
            call.at(&scene.service).start()
        };
        let runners = scene.runners(2, &database.url("job")).into_iter().chain([call("o0"), call("o1")]);
        let ended = all_end(runners);
        let stats = scene.service.stats();
        assert_eq!(stats.edited_once(), 2 * u64::from(rows), "{ended:#?}");
        assert!(ended.iter().all(|ran| ran.summary().done == u64::from(rows)), "{ended:#?}");
        assert_eq!(ended.iter().map(done_by).sum::<u64>(), 2 * u64::from(rows));
        keeps(&stats, 200);
        tell(&format!("two jobs: {:.1}/s, worst second {}", stats.mean_rate(), stats.worst_second()));
    });
}

/// Which of two services of one app would be sent what? None, but one.
#[test]
fn runners_of_one_job_call_one_service() {
    in_a_database(|database| {
        let scene = Scene::new(200);
        let (other, ledger) = (Service::prompt(&["--rate", "1000"]), database.url("job"));
        let calls = [scene.call("here", &ledger, ""), scene.call_at("there", &ledger, "").at(&other)];
        let ended = calls.map(super::Call::start).map(Running::wait);
        let mut codes = ended.each_ref().map(|ran| ran.code);
        let refused = usize::from(codes[0] == Some(0));
        assert!(ended[refused].err.contains("is the ledger of app"), "{ended:#?}");
        codes.sort_unstable();
        assert_eq!(codes, [Some(0), Some(2)], "{ended:#?}");
        let requests = [scene.service.stats().requests(), other.stats().requests()];
        assert_eq!(requests[refused], 0);
        assert_eq!(requests[1 - refused], 200);
    });
}
