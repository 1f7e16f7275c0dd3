//! Runners that die, or stand still.

use std::time::{Duration, Instant};

use super::{Scene, all_end, edits, in_a_database, is_full, keeps, tell};
use crate::support::harness::{Ran, wait_for};
use crate::support::postgres::Database;

/// What the lost run was sending is read back, and sent a minute after it was lost where it did not take place.
#[test]
fn a_killed_runner_leaves_its_rows_to_the_others() {
    in_a_database(|database| {
        let scene = Scene::new(edits(1_500, 8_000));
        let mut runners = scene.runners(4, &database.url("job"));
        scene.service.wait_for_requests(600);
        assert!(runners.remove(1).kill());
        let killed = Instant::now();
        let stats = scene.is_done(database, &all_end(runners));
        keeps(&stats, 200);
        // Once in its history for each, and no more than once again before it is sent.
        assert!(stats.read_backs() < 400, "{stats:#?}");
        assert_eq!(database.psql("SELECT count(*) FROM runner.lease WHERE state = 'lost'"), "1");
        let took = killed.elapsed().as_secs();
        tell(&format!(
            "killed: done {took} s later, worst second {}, {} read",
            stats.worst_second(),
            stats.read_backs()
        ));
    });
}

/// Stops one of three for so long. Returns how it and the others ended.
fn stand_still(database: Database<'_>, scene: &Scene, still: Duration) -> (Ran, Vec<Ran>) {
    let mut runners = scene.runners(3, &database.url("job"));
    scene.service.wait_for_requests(400);
    let mut stopped = runners.remove(1);
    stopped.signal("STOP");
    let since = Instant::now();
    wait_for("it to stand still for long enough", || (since.elapsed() >= still || stopped.has_ended()).then_some(()));
    if !stopped.has_ended() {
        stopped.signal("CONT");
    }
    (stopped.wait(), all_end(runners))
}

fn runs(database: Database<'_>) -> String {
    database.psql(
        "SELECT string_agg(state || ' ' || n, ', ' ORDER BY state) FROM
                   (SELECT state, count(*) AS n FROM runner.lease GROUP BY state) AS states",
    )
}

#[test]
fn a_runner_that_stood_still_for_longer_than_its_lease_begins_anew() {
    for seconds in if is_full() { &[10, 11][..] } else { &[11] } {
        in_a_database(|database| {
            let scene = Scene::new(edits(1_500, 5_000));
            let (stopped, others) = stand_still(database, &scene, Duration::from_secs(*seconds));
            assert_eq!(stopped.code, Some(0), "{stopped:#?}");
            assert!(stopped.err.contains("begins anew, as another run"), "{stopped:#?}");
            let stats = scene.is_done(database, &others);
            assert_eq!(stopped.summary().done, u64::from(scene.rows));
            keeps(&stats, 200);
            assert_eq!(runs(database), "ended 3, lost 1");
            tell(&format!(
                "stopped for {seconds} s: worst second {}, {} read",
                stats.worst_second(),
                stats.read_backs()
            ));
        });
    }
}

#[test]
fn a_runner_that_stood_still_for_a_moment_goes_on() {
    in_a_database(|database| {
        let scene = Scene::new(edits(1_000, 5_000));
        let (stopped, mut ended) = stand_still(database, &scene, Duration::from_secs(3));
        assert_eq!(stopped.code, Some(0), "{stopped:#?}");
        ended.push(stopped);
        let stats = scene.is_done_by(database, &ended);
        keeps(&stats, 200);
        assert_eq!(runs(database), "ended 3");
        tell(&format!("stopped for 3 s: worst second {}", stats.worst_second()));
    });
}

/// Before anybody sends what it held, it must not wake up any more.
#[test]
fn a_runner_that_stands_still_for_a_minute_is_killed_by_its_own_switch() {
    if !is_full() {
        return;
    }
    in_a_database(|database| {
        let scene = Scene::new(5_000);
        let (stopped, others) = stand_still(database, &scene, Duration::from_mins(1));
        assert_eq!(stopped.code, None, "{stopped:#?}");
        let stats = scene.is_done(database, &others);
        keeps(&stats, 200);
        assert_eq!(runs(database), "ended 2, lost 1");
        tell(&format!("stopped for 60 s: killed, worst second {}", stats.worst_second()));
    });
}
