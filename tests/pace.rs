//! The pace as the service sees it, coarsely, since the machine that runs tests is shared and noisy. Tests on a paused
//! clock (`tests/library/run`, `tests/simulation`) and the benchmarks show that the cap holds exactly and is hardly
//! wasted. A program of its own, so that it runs after the other tests.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[expect(dead_code, reason = "the tests of the program need more of it")]
mod support;

use crate::support::harness::Place;
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --rate 200";
/// The cap, and what a busy machine may push together on the way.
const WORST_SECOND: u64 = 205;
/// The same where what is looked for is a second of its own, with which it would be nearly 400.
const WORST_SECOND_AT_A_RESTART: u64 = 240;

#[test]
fn it_is_kept_and_used() {
    let (place, service) = (Place::with_list(600), Service::with_rate("none", 1_000));
    place.runner(JOB).at(&service).exits(0);
    let stats = service.stats();
    assert_eq!(stats.edited_once(), 600);
    // Over three seconds, what a busy machine pushes together at the end still shows in the mean.
    assert!((150.0..=210.0).contains(&stats.mean_rate()), "{stats:#?}");
    assert!(stats.worst_second() <= WORST_SECOND, "{stats:#?}");
}

/// A killed process cannot record when it last sent, so the next one waits out the last second.
#[test]
fn a_restart_grants_no_new_second() {
    let (place, service) = (Place::with_list(600), Service::with_rate("none", 1_000));
    let run = place.runner(JOB).at(&service).start();
    service.wait_for_requests(250);
    run.kill();
    place.runner(&format!("{JOB} --in-doubt hold")).at(&service).exits(1);
    let stats = service.stats();
    assert!(stats.requests() > 500, "{stats:#?}");
    // Of some four seconds, about one passes without a request.
    assert!((100.0..=201.0).contains(&stats.mean_rate()), "{stats:#?}");
    assert!(stats.worst_second() <= WORST_SECOND_AT_A_RESTART, "{stats:#?}");
}
