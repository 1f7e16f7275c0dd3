//! An interrupted run, and the same command again.

use std::time::Duration;

use crate::support::harness::{FAST, Place, Running, Summary, list, wait_for};
use crate::support::service::Service;

/// At the service's own rate, so that the run has a middle in which to interrupt it.
const ROWS: u32 = 400;
const JOB: &str = "--input edits.csv --resume ledger.db --rate 200";

fn middle() -> (Place, Service, Running) {
    middle_of(ROWS)
}

fn middle_of(rows: u32) -> (Place, Service, Running) {
    let place = Place::with_list(rows);
    let service = Service::with_messages("latency=20ms..80ms", &place);
    let run = place.runner(JOB).at(&service).start();
    service.wait_for_requests(100);
    (place, service, run)
}

fn all_done() -> Summary {
    Summary { rows: ROWS.into(), done: ROWS.into(), ..Summary::default() }
}

/// Interrupted in the middle by a signal; then the resume command that it prints works.
fn check_signal(signal: &str, code: i32) {
    let (place, service, run) = middle();
    run.signal(signal);
    let ran = run.exits(code);
    let sent = service.stats().edited_once();
    assert!(sent < ROWS.into(), "it was too fast to be interrupted");
    // Requests in flight were waited for: nothing is in doubt.
    assert!(ran.out.contains("Interrupted after") && ran.out.contains(&format!("done         {sent}")), "{ran:#?}");
    let resumed = place.shell(&format!("{} --json", ran.resume_command())).credentials().exits(0);
    assert_eq!(resumed.summary(), all_done());
    let this_run = &resumed.json()["this_run"];
    assert_eq!((&this_run["done"], &this_run["read_backs"]), (&(u64::from(ROWS) - sent).into(), &0.into()));
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (ROWS.into(), ROWS.into()));
}

#[test]
fn ctrl_c_drains_and_the_printed_command_goes_on() {
    check_signal("INT", 130);
}

#[test]
fn sigterm_drains_and_the_printed_command_goes_on() {
    check_signal("TERM", 143);
}

#[test]
fn a_lost_connection_drains_and_the_printed_command_goes_on() {
    check_signal("HUP", 143);
}

/// A closed terminal is signalled by the shell and by the kernel, and a service is shut down with two signals at once:
/// the second of them is not a request to stop at once.
#[test]
fn a_hang_up_is_no_second_signal() {
    let (_place, _service, run) = middle();
    for signal in ["TERM", "HUP", "HUP"] {
        run.signal(signal);
    }
    let ran = run.exits(143);
    assert!(ran.out.contains("Interrupted after") && ran.out.contains("in doubt       0"), "{ran:#?}");
}

#[test]
fn with_nohup_it_goes_on_to_the_end() {
    let (place, service) = (Place::with_list(ROWS), Service::start("latency=20ms..80ms"));
    let program = env!("CARGO_BIN_EXE_runner");
    let line = format!("exec /usr/bin/nohup '{program}' {JOB} --json --endpoint {}", service.url);
    let run = place.shell(&line).credentials().start();
    service.wait_for_requests(100);
    run.signal("HUP");
    assert_eq!(run.exits(0).summary(), all_done());
}

/// What it was sending is read back, so nothing is left to the operator.
#[test]
fn after_kill_9_the_same_command_finishes_the_job_and_nothing_is_edited_twice() {
    let (place, service, run) = middle();
    run.kill();
    let plan = place.runner(&format!("{JOB} --json --dry-run")).at(&service).exits(0).json();
    let number = |name: &str| plan[name].as_u64().unwrap();
    assert_eq!(number("rows"), number("done") + number("to_read_back") + number("to_send"));
    let edited = service.stats().edited_once();
    assert!(number("to_read_back") > 0, "{plan:#}");
    let resumed = place.runner(&format!("{JOB} --json")).at(&service).exits(0);
    assert_eq!(resumed.summary(), all_done());
    assert_eq!(service.stats().edited_once(), u64::from(ROWS));
    let this_run = &resumed.json()["this_run"];
    let (found, not) = (this_run["found_edited"].as_u64().unwrap(), this_run["found_not_edited"].as_u64().unwrap());
    assert_eq!((found + not, number("done") + found), (number("to_read_back"), edited), "{this_run:#}");
    assert!(!place.path("ledger.failed.csv").exists());
}

#[test]
fn after_kill_9_what_was_under_way_is_held_or_sent_again_where_that_was_asked_for() {
    let (place, service, run) = middle();
    run.kill();
    let hold = format!("{JOB} --json --in-doubt hold");
    let resumed = place.runner(&hold).at(&service).exits(1);
    let summary = resumed.summary();
    let Summary { done, in_doubt, .. } = summary;
    assert_eq!(summary, Summary { done, in_doubt, ..all_done() });
    assert!(in_doubt > 0, "{summary:?}");
    assert!(service.stats().edited_once() >= done);
    let rows = place.read("ledger.failed.csv");
    assert_eq!(rows.lines().count() as u64, 1 + in_doubt, "{rows}");
    assert!(rows.contains("in doubt: "), "{rows}");

    // The same again leaves them to the operator, and says so again.
    let stats = service.stats();
    let again = place.runner(&hold).at(&service).exits(1);
    assert_eq!((again.summary(), service.stats()), (summary, stats));

    // The operator's decision: send them again, whether they took effect or not.
    let retried = place.runner(&format!("{JOB} --json --in-doubt retry")).at(&service).exits(0);
    assert_eq!(retried.summary(), all_done());
    assert_eq!(retried.json()["this_run"]["requests"], in_doubt);
    assert_eq!(service.stats().number("messages_edited"), u64::from(ROWS));
    assert!(!place.path("ledger.failed.csv").exists());
}

/// A ledger that can no longer be written (here: another process's transaction holds it, for longer than the timeout)
/// ends the run, because nothing may be sent without it. What was in flight then is in doubt, and found again.
#[test]
fn a_ledger_that_cannot_be_written_stops_the_run() {
    // Half a minute's work: on a busy machine it takes a while to lock the ledger, too.
    let rows = 6_000;
    let (place, service, run) = middle_of(rows);
    let other = rusqlite::Connection::open(place.path("ledger.db")).unwrap();
    other.busy_timeout(Duration::from_secs(20)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ran = run.exits(3);
    assert!(ran.out.contains("cannot write to the ledger ledger.db: "), "{ran:#?}");
    other.execute_batch("ROLLBACK").unwrap();
    let stopped = service.stats().edited_once();
    assert!(stopped < rows.into(), "it went on without its ledger");

    let job = format!("--input edits.csv --resume ledger.db --json {FAST}");
    let resumed = place.runner(&job).at(&service).exits(0);
    assert_eq!(resumed.summary(), Summary { rows: rows.into(), done: rows.into(), ..Summary::default() });
    assert!(resumed.json()["this_run"]["read_backs"].as_u64().unwrap() > 0, "{resumed:#?}");
    assert_eq!(service.stats().edited_once(), u64::from(rows));
}

/// A run that is stopped while answers are lost, so that some edits are in doubt.
fn in_doubt(faults: &str) -> (Place, Service, Running) {
    let (place, service) = (Place::with_list(2_000), Service::start("none"));
    let run = place.runner(JOB).at(&service).start();
    service.wait_for_requests(50);
    service.set_faults(faults);
    service.wait_for_requests(150);
    (place, service, run)
}

#[test]
fn what_ctrl_c_finds_in_doubt_is_read_back_before_the_run_ends() {
    let (place, service, run) = in_doubt("edit.lost-after=20%");
    run.signal("INT");
    let ran = run.exits(130);
    let sent = service.stats().edited_once();
    assert!(sent < 2_000, "it was too fast to be interrupted");
    assert!(ran.out.contains("  in doubt         0\n") && !ran.out.contains("  0 had been edited"), "{ran:#?}");
    assert!(ran.err.contains(" in doubt, which takes 15 s at most; a second Ctrl-C stops at once"), "{ran:#?}");
    assert_eq!(service.stats().requests(), sent, "the edits whose answers were lost are not sent again");
    service.set_faults("none");
    let resumed = place.shell(&format!("{} --json", ran.resume_command())).credentials().exits(0);
    assert_eq!(resumed.summary(), Summary { rows: 2_000, done: 2_000, ..Summary::default() });
    let this_run = &resumed.json()["this_run"];
    assert_eq!((&this_run["requests"], &this_run["read_backs"]), (&(2_000 - sent).into(), &0.into()));
    assert_eq!(service.stats().edited_once(), 2_000);
}

/// Everything was sent when it is interrupted, and reading back settles the rest: then the list is done, and says so.
#[test]
fn an_interrupted_run_that_settles_the_whole_list_has_finished() {
    let (place, service) = (Place::with_list(60), Service::start("none"));
    let run = place.runner("--input edits.csv --resume ledger.db --rate 20").at(&service).start();
    service.wait_for_requests(10);
    service.set_faults("edit.lost-after=20%");
    service.wait_for_requests(58);
    service.set_faults("none");
    service.wait_for_requests(60);
    run.signal("INT");
    let ran = run.exits(0);
    assert!(ran.err.contains("stopping after what is in flight"), "it ended before it was interrupted: {ran:#?}");
    assert!(ran.out.starts_with("Finished") && !ran.out.contains("To resume"), "{ran:#?}");
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (60, 60));
}

/// The service answers no read-back, so the run waits for its longest time.
#[test]
fn while_it_reads_back_it_can_be_asked_and_told_to_stop_at_once() {
    let (place, _service, run) = in_doubt("edit.lost-after=20%,read.silent-before=100%");
    let ctl = |words: &str| place.runner(&format!("ctl ledger.db {words}")).exits(0);
    ctl("stop");
    wait_for("the looks", || run.err().contains("a second Ctrl-C stops at once").then_some(()));
    let status = ctl("status --json").json();
    assert!(status["state"] == "stopping" && status["this_run"]["to_read_back"].as_u64().unwrap() > 0, "{status:#}");
    run.signal("INT");
    wait_for("the first signal to be taken in", || run.err().contains("once more stops at once").then_some(()));
    run.signal("INT");
    let ran = run.exits(130);
    assert!(ran.err.contains("Stopped at once."), "{ran:#?}");
    assert!(place.runner("status ledger.db --json").exits(0).json()["in_doubt"].as_u64().unwrap() > 0);
}

#[test]
fn a_second_signal_stops_at_once() {
    // No answer ever comes, so nothing but the signal can end the run while the test waits.
    let (place, service) = (Place::with_list(20), Service::start("silent-after=100%"));
    let job = "--input edits.csv --resume ledger.db --timeout 10m --json";
    let run = place.runner(job).at(&service).start();
    service.wait_for_requests(1);
    run.signal("INT");
    wait_for("the first signal to be taken in", || run.err().contains("once more stops at once").then_some(()));
    run.signal("INT");
    let ran = run.exits(130);
    assert!(ran.err.contains("Stopped at once."), "{ran:#?}");
    let status = place.runner("status ledger.db --json").exits(0).json();
    let run = &status["runs"][0];
    assert_eq!((&run["ended"], &status["in_doubt"]), (&"interrupted".into(), &1.into()), "{status:#}");
    assert!(run["reason"].as_str().unwrap().contains("a second signal"), "{status:#}");

    service.set_faults("none");
    let resumed = place.shell(ran.resume_command()).credentials().exits(0);
    assert_eq!(resumed.summary(), Summary { rows: 20, done: 20, ..Summary::default() });
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (20, 20));
}

#[test]
fn a_finished_job_sends_nothing_more() {
    let (place, service) = (Place::with_list(30), Service::start("none"));
    let job = format!("--input edits.csv --resume ledger.db --json {FAST}");
    let first = place.runner(&job).at(&service).exits(0);
    let stats = service.stats();
    assert_eq!(stats.edited_once(), 30);
    let second = place.runner(&job).at(&service).exits(0);
    assert_eq!((second.summary(), service.stats()), (first.summary(), stats));
}

#[test]
fn rows_may_come_go_and_change_places_between_runs() {
    let (place, service) = (Place::with_list(30), Service::start("none"));
    let job = format!("--input edits.csv --resume ledger.db --json {FAST}");
    let first = place.runner(&format!("{job} --max-rows 20")).at(&service).exits(0);
    assert_eq!(first.summary(), Summary { rows: 30, done: 20, not_reached: 10, ..Summary::default() });
    place.write("edits.csv", list((11..=40).rev(), "new"));
    let second = place.runner(&job).at(&service).exits(0);
    assert_eq!(second.summary(), Summary { rows: 30, done: 30, ..Summary::default() });
    assert_eq!(second.json()["this_run"]["requests"], 20);
    assert_eq!(service.stats().edited_once(), 40);
}
