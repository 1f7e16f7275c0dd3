//! Nothing is decided by the wall clock, but signatures are made with it; and the machine may sleep.

use std::time::Duration;

use crate::harness::{Place, Service, Summary};
use crate::shim::Shim;

const ROWS: u32 = 600;
const JOB: &str = "--input edits.csv --resume ledger.db --rate 200 --json";
/// The cap, and what a busy machine pushes together on the way: the pause of a fifth of a second. Were the time that
/// was skipped or slept made up for, all that is left would come at once: twice the cap.
const WORST_SECOND: u64 = 240;
const HOUR: i64 = 3_600;

fn all_done() -> Summary {
    Summary { rows: ROWS.into(), done: ROWS.into(), ..Summary::default() }
}

/// The wall clock is wrong by so much from the middle of a run on, and right again later. The service's is right.
fn check_jump(seconds: i64) {
    let (place, service, shim) = (Place::with_list(ROWS), Service::with_rate("none", 1_000), Shim::new());
    let run = shim.under(place.runner(JOB)).at(&service).start();
    service.wait_for_requests(150);
    shim.clock(seconds);
    service.wait_for_requests(350);
    shim.mend();
    let ran = run.exits(0);
    assert_eq!(ran.summary(), all_done());
    let stats = service.stats();
    assert_eq!(stats.edited_once(), u64::from(ROWS));
    assert!(stats.worst_second() <= WORST_SECOND, "{stats:#?}");
    // Nor does it wait for a time that is long past, or far away: the run takes three seconds, and one to begin with.
    assert!(stats.mean_rate() > 100.0, "{stats:#?}");
}

#[test]
fn a_wall_clock_that_jumps_back_changes_nothing() {
    check_jump(-6 * HOUR);
}

#[test]
fn a_wall_clock_that_jumps_ahead_changes_nothing() {
    check_jump(24 * HOUR);
}

/// A signature is good for a day. With the clock more than a day behind, every one that is made has run out already:
/// the run stops, and goes on once the clock is right.
#[test]
fn a_wall_clock_that_is_more_than_a_day_behind_stops_the_run() {
    let (place, service, shim) = (Place::with_list(ROWS), Service::with_rate("none", 1_000), Shim::new());
    let run = shim.under(place.runner(JOB)).at(&service).start();
    service.wait_for_requests(150);
    shim.clock(-25 * HOUR);
    let ran = run.exits(3);
    let stopped = ran.json()["reason"].as_str().unwrap_or_default().to_owned();
    assert!(stopped.contains("70001") && stopped.contains("expired"), "{ran:#?}");
    let Summary { done, not_reached, .. } = ran.summary();
    assert_eq!(ran.summary(), Summary { rows: ROWS.into(), done, not_reached, ..Summary::default() });
    assert_eq!(service.stats().edited_once(), done);

    shim.mend();
    assert_eq!(shim.under(place.runner(JOB)).at(&service).exits(0).summary(), all_done());
    assert_eq!(service.stats().edited_once(), u64::from(ROWS));
}

/// As when a laptop is closed and opened again: every request under way is answered meanwhile, or lost.
fn check_sleep(flags: &str, pause: Duration) {
    let (place, service) = (Place::with_list(ROWS), Service::with_rate("latency=20ms..80ms", 1_000));
    let job = format!("{JOB} {flags}");
    let run = place.runner(&job).at(&service).start();
    service.wait_for_requests(200);
    run.signal("STOP");
    std::thread::sleep(pause);
    run.signal("CONT");
    let ran = run.wait();
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
    let Summary { done, in_doubt, .. } = ran.summary();
    assert_eq!(ran.summary(), Summary { done, in_doubt, ..all_done() });
    let stats = service.stats();
    assert!((done..=u64::from(ROWS)).contains(&stats.edited_once()), "{ran:#?}");
    assert!(stats.worst_second() <= WORST_SECOND, "{stats:#?}");
}

#[test]
fn a_machine_that_sleeps_for_a_while_goes_on_where_it_was() {
    check_sleep("", Duration::from_secs(3));
}

#[test]
fn a_machine_that_sleeps_for_longer_than_an_answer_may_take_does_so_too() {
    check_sleep("--timeout 4s", Duration::from_secs(6));
}
