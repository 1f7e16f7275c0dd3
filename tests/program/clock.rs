//! The wall clock decides nothing, except that signatures are made with it; and the machine may sleep.

use std::time::Duration;

use crate::program::shim::Shim;
use crate::support::harness::{Place, Summary};
use crate::support::service::Service;

const ROWS: u32 = 600;
const JOB: &str = "--input edits.csv --resume ledger.db --rate 200 --json";
/// The rate, plus the bunching on a busy machine: a pause of a fifth of a second. If the skipped or slept time were
/// made up for, all remaining requests would arrive at once: twice the rate.
const WORST_SECOND: u64 = 240;
const HOUR: i64 = 3_600;

fn all_done() -> Summary {
    Summary { rows: ROWS.into(), done: ROWS.into(), ..Summary::default() }
}

/// The wall clock is wrong by this much from the middle of a run on, and right again later. The service's is right.
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
    // Nor does it wait for a time that is long past, or far away: the run takes three seconds, after one to start.
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

/// A signature is valid for a day: one made by a clock that is more than a day behind has already expired. So a clock
/// that is set back is not trusted while the service accepts existing signatures.
#[test]
fn a_wall_clock_that_jumps_back_by_more_than_a_day_changes_nothing() {
    check_jump(-25 * HOUR);
}

/// As when a laptop is closed and opened again: every request in flight is answered meanwhile, or lost.
fn check_sleep(flags: &str, pause: Duration) {
    let (place, service) = (Place::with_list(ROWS), Service::with_rate("latency=20ms..80ms", 1_000));
    let job = format!("{JOB} {flags}");
    let run = place.runner(&job).at(&service).start();
    service.wait_for_requests(200);
    run.signal("STOP");
    std::thread::sleep(pause);
    run.signal("CONT");
    let ran = run.exits(0);
    assert_eq!(ran.summary(), all_done());
    // Answers that arrived while it slept are read, although their time is over.
    assert_eq!(ran.json()["this_run"]["read_backs"], 0, "{ran:#?}");
    let stats = service.stats();
    assert_eq!(stats.edited_once(), u64::from(ROWS), "{ran:#?}");
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
