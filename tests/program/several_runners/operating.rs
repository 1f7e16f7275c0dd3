//! What an operator does with a job that several runners work on.

use super::{Scene, all_end, done_by, edits, in_a_database, keeps, with_a_server};
use crate::support::harness::{Running, printed};

#[test]
fn ctrl_c_ends_one_runner_or_all_and_a_new_session_goes_on() {
    in_a_database(|database| {
        let scene = Scene::new(edits(1_500, 5_000));
        let (ledger, rows) = (database.url("job"), u64::from(scene.rows));
        let mut runners = scene.runners(3, &ledger);
        scene.service.wait_for_requests(rows / 5);
        let one = runners.remove(1);
        one.signal("INT");
        let one = one.exits(130);
        // What the others are sending is not in doubt, and no failed row.
        let summary = one.summary();
        assert_eq!((summary.failed, summary.in_doubt), (0, 0), "{one:#?}");
        assert!(summary.not_reached > 0 && one.json()["resume"].as_str().unwrap().contains("postgres://"), "{one:#?}");
        scene.service.wait_for_requests(rows * 3 / 5);
        for runner in &runners {
            runner.signal("INT");
        }
        let stopped: Vec<_> = runners.into_iter().map(|runner| runner.exits(130)).collect();
        let before: u64 = stopped.iter().chain([&one]).map(done_by).sum();
        assert_eq!(scene.service.stats().edited_once(), before);
        let ended = all_end(scene.runners(2, &ledger));
        let stats = scene.is_done(database, &ended);
        keeps(&stats, 200);
        assert_eq!(before + ended.iter().map(done_by).sum::<u64>(), rows);
        assert_eq!((stats.requests(), stats.read_backs()), (rows, 0), "nothing was left in doubt");
    });
}

#[test]
fn as_many_rows_as_each_is_allowed() {
    in_a_database(|database| {
        let scene = Scene::new(500);
        let ledger = database.url("job");
        let two = ["a", "b"].map(|name| scene.call(name, &ledger, "--max-rows 100").start());
        for ran in all_end(two) {
            assert_eq!(done_by(&ran), 100, "{ran:#?}");
            assert_eq!((ran.summary().failed, ran.summary().in_doubt), (0, 0), "{ran:#?}");
        }
        assert_eq!(scene.service.stats().edited_once(), 200);
        assert_eq!(database.psql("SELECT count(*) FROM runner.edit WHERE state = 'done'"), "200");
        let rest = scene.runner("c", &ledger).exits(0);
        assert_eq!((done_by(&rest), rest.summary().done), (300, 500));
        scene.is_done(database, &[rest]);
    });
}

#[test]
fn until_a_time_and_then_the_rest() {
    in_a_database(|database| {
        let scene = Scene::new(2_000);
        let ledger = database.url("job");
        let until = jiff::Zoned::now() + jiff::Span::new().seconds(6);
        let until = format!("--until {}", until.timestamp());
        let two = ["a", "b"].map(|name| scene.call(name, &ledger, &until).start());
        let ended = two.map(Running::wait);
        assert!(ended.iter().all(|ran| ran.code == Some(3)), "{ended:#?}");
        let done: u64 = ended.iter().map(done_by).sum();
        assert_eq!(scene.service.stats().edited_once(), done);
        assert_eq!(database.psql("SELECT count(*) FROM runner.edit WHERE state <> 'done'"), "0");
        let rest = scene.call("c", &ledger, "--max-rows 50").exits(0);
        assert_eq!(done_by(&rest), 50);
    });
}

#[test]
fn failed_rows_are_listed_once_and_retried_together() {
    in_a_database(|database| {
        let scene = Scene::with_faults(600, "20026=10%");
        let ledger = database.url("job");
        let ended = ["a", "b"].map(|name| scene.call(name, &ledger, "").start()).map(Running::wait);
        let failed = database.psql("SELECT count(*) FROM runner.edit WHERE state = 'failed'");
        assert!(failed.parse::<u64>().unwrap() > 10);
        for ran in &ended {
            assert_eq!((ran.code, ran.summary().failed.to_string()), (Some(1), failed.clone()), "{ran:#?}");
        }
        // Both have written it, into one directory.
        let files: Vec<String> = scene.place.files().into_keys().filter(|name| name.contains(".failed.csv")).collect();
        let lists: Vec<&String> = files.iter().filter(|name| !name.starts_with('.')).collect();
        let [list] = &lists[..] else { unreachable_files(&files) };
        assert_eq!(
            scene.place.read(list).lines().count().to_string(),
            (failed.parse::<u64>().unwrap() + 1).to_string()
        );
        scene.service.set_faults("none");
        // Without it they stay as they are.
        scene.runner("a", &ledger).exits(1);
        let again = ["a", "b"].map(|name| scene.call(name, &ledger, "--retry-failed --report report").start());
        let ended = all_end(again);
        scene.is_done(database, &ended);
        assert_eq!(ended.iter().map(done_by).sum::<u64>().to_string(), failed);
        assert!(scene.place.path("report/report.html").exists());
        assert!(!scene.place.path(list).exists());
    });
}

#[expect(clippy::panic, reason = "a test that panics has failed, as it should")]
fn unreachable_files(files: &[String]) -> ! {
    panic!("not one list of failed rows: {files:?}")
}

/// Reading takes longer than sending, and neither of them takes the whole list to read it later.
#[test]
fn messages_that_are_read_first_are_shared_out_as_well() {
    in_a_database(|database| {
        let scene = Scene::new(600);
        let ledger = database.url("job");
        let ended = all_end(["a", "b"].map(|name| scene.call(name, &ledger, "--read-first").start()));
        let stats = scene.is_done_by(database, &ended);
        assert!(ended.iter().all(|ran| done_by(ran) > 60), "{ended:#?}");
        keeps(&stats, 200);
        // Once in each side's history.
        assert_eq!(stats.read_backs(), 1_200);
    });
}

const PASSWORD: &str = "planted-password-4718";

#[test]
fn a_password_of_the_database_is_nowhere_to_be_seen() {
    with_a_server(|cluster| {
        cluster.require_password(PASSWORD);
        let scene = Scene::new(600);
        let ledger = cluster.url("job");
        scene.call("none", &ledger, "").exits(2);
        let flags = "-v -v --log-file run.log";
        let run = scene.call("a", &ledger, flags).env("PGPASSWORD", PASSWORD).env("RUST_LOG", "trace").start();
        scene.service.wait_for_requests(50);
        let listed = std::fs::read(format!("/proc/{}/cmdline", run.id())).unwrap();
        assert!(!String::from_utf8_lossy(&listed).contains(PASSWORD));
        let wrong = scene.call("b", &ledger, "").env("PGPASSWORD", "wrong").exits(2);
        assert!(wrong.err.contains("password"), "{wrong:#?}");
        let ran = run.exits(0);
        let mut seen = format!("{}{}{}", ran.out, ran.err, printed(&scene.place.files()));
        for table in ["job", "run", "lease", "edit", "act", "sample"] {
            seen += &cluster.psql(&format!("SELECT * FROM runner.{table}"));
        }
        assert!(seen.contains("postgres://") && !seen.contains(PASSWORD));
        assert!(scene.place.path("run.log").exists());
    });
}
