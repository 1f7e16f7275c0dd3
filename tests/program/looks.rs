//! Other programs read the ledger, or change the list, during a run.

use std::os::unix::fs::MetadataExt;

use rusqlite::Connection;

use crate::support::harness::Place;
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --rate 200 --max-failures 100%";

/// The program once opened and closed the ledger's file beside SQLite, which drops SQLite's locks on it. An auditor's
/// `sqlite3` then believed itself alone, folded the log in and removed it; what was done from then on was lost with the
/// next crash, and the resume sent it again: 147 messages were edited twice.
#[test]
fn a_look_at_the_ledger_during_a_run_loses_nothing() {
    let (place, service) = (Place::with_list(600), Service::start("none"));
    let run = place.runner(JOB).at(&service).start();
    service.wait_for_requests(100);
    // Newer versions of SQLite notice when locks were taken away; what auditors have may be older, so the lock itself is
    // what counts: `2: POSIX  ADVISORY  READ 4711 fe:00:1053 …`.
    let ledger = place.path("ledger.db");
    let (id, place_of_lock) = (run.id().to_string(), format!(":{}", ledger.metadata().unwrap().ino()));
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let holds = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[1] == "POSIX" && words[4] == id && words[5].ends_with(&place_of_lock)
    };
    assert!(locks.lines().any(holds), "{locks}");
    let look = Connection::open(&ledger).unwrap();
    let done: i64 = look.query_row("SELECT count(*) FROM edit", [], |row| row.get(0)).unwrap();
    assert!(done > 0);
    look.close().unwrap();
    assert!(place.path("ledger.db-wal").exists(), "the log was removed under the run");
    service.wait_for_requests(300);
    run.kill();
    place.runner(JOB).at(&service).exits(1);
    assert_eq!(service.stats().number("edited_more_than_once"), 0);
}

/// The list was once checked every thousand rows only: one that was overwritten in place was sent for seconds, with
/// content that nobody had checked or agreed to.
#[test]
fn a_list_that_is_overwritten_is_not_sent_any_further() {
    let (place, service) = (Place::with_list(600), Service::start("none"));
    let run = place.runner(JOB).at(&service).start();
    service.wait_for_requests(50);
    let list = place.read("edits.csv").replace("user_", "usor_");
    std::fs::write(place.path("edits.csv"), list).unwrap();
    run.exits(3);
    assert!(
        service.messages().iter().all(|message| !message.to_string().contains("usor_")),
        "a row was sent that was not planned"
    );
}

/// An edit whose answer was lost and whose second sending was refused was once taken for refused, and sent a third
/// time.
#[test]
fn a_refusal_does_not_settle_a_doubt() {
    let (place, service) = (Place::with_list(3), Service::start("lost-after=100%"));
    place.runner("--input edits.csv --resume ledger.db --max-failures 100% --in-doubt hold").at(&service).exits(1);
    service.set_faults("20026=100%");
    let again = "--input edits.csv --resume ledger.db --in-doubt retry --max-failures 100% --json";
    let summary = place.runner(again).at(&service).exits(1).json();
    assert_eq!((&summary["in_doubt"], &summary["failed"]), (&3.into(), &0.into()));
    service.set_faults("none");
    let held = "--input edits.csv --resume ledger.db --retry-failed --in-doubt hold";
    place.runner(held).at(&service).exits(1);
    assert_eq!(service.stats().number("edited_more_than_once"), 0);
}

/// Failed edits that should have been retried and were not were once reported as not reached, with exit 0.
#[test]
fn what_was_not_taken_up_again_stands_as_it_stood() {
    let (place, service) = (Place::with_list(5), Service::start("20026=100%"));
    place.runner("--input edits.csv --resume ledger.db --max-failures 100%").at(&service).exits(1);
    service.set_faults("none");
    let one = "--input edits.csv --resume ledger.db --retry-failed --max-rows 1 --json";
    let summary = place.runner(one).at(&service).exits(1).json();
    let counts = ["done", "failed", "not_reached"].map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [1, 4, 0]);
    assert_eq!(place.read("ledger.failed.csv").lines().count(), 5);
}

/// The failed rows, corrected in place, were once lost when the usual command ran before they were resubmitted.
#[test]
fn what_somebody_made_of_the_failed_rows_is_kept() {
    let (place, service) = (Place::with_list(5), Service::start("20026=100%"));
    let job = "--input edits.csv --resume ledger.db --max-failures 100%";
    place.runner(job).at(&service).exits(1);
    place.runner(job).at(&service).exits(1);
    assert!(!place.path("ledger.failed.csv~").exists(), "nobody has touched it");
    place.write("ledger.failed.csv", "mended");
    place.runner(job).at(&service).exits(1);
    place.runner(job).at(&service).exits(1);
    assert_eq!(place.read("ledger.failed.csv~"), "mended");
    assert_eq!(place.read("ledger.failed.csv").lines().count(), 6);
}

/// An interrupted run of failed edits once left nothing "not reached", and so did not say how to resume.
#[test]
fn whatever_is_interrupted_says_how_to_resume() {
    let (place, service) = (Place::with_list(60), Service::start("20026=100%"));
    place.runner("--input edits.csv --resume ledger.db --max-failures 100%").at(&service).exits(1);
    service.set_faults("none");
    let run = place.runner("--input edits.csv --resume ledger.db --retry-failed --rate 10").at(&service).start();
    service.wait_for_requests(65);
    run.signal("INT");
    assert!(run.exits(130).resume_command().contains("--retry-failed"));
}
