//! A ledger that was handled as people handle files: copied or moved alone, its log deleted. It must never pass for a
//! complete one; the way to resume is to read each message before it is sent.

use rusqlite::Connection;

use crate::support::harness::{FAST, Place, Ran, Summary, wait_for};
use crate::support::service::Service;

const ROWS: u32 = 300;
const JOB: &str = "--input edits.csv --resume ledger.db --json --max-failures 100%";

/// Edits that are done, as an outside reader of the ledger sees them during a run.
fn done(place: &Place) -> u64 {
    let look = || {
        let ledger = Connection::open_with_flags(place.path("ledger.db"), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        ledger.query_row("SELECT count(*) FROM edit WHERE state = 'done'", [], |row| row.get::<_, i64>(0))
    };
    look().map_or(0, i64::unsigned_abs)
}

/// A run of which some edits are done when its process is killed.
fn killed(place: &Place, service: &Service) {
    let run = place.runner(&format!("{JOB} --rate 100 --max-rate 100")).at(service).start();
    wait_for("some edits to be done", || (done(place) >= 50).then_some(()));
    assert!(run.kill());
}

/// It is refused wherever something would be sent or reported as if nothing were missing; then it is processed to the
/// end, and no message is edited twice.
fn check_refused_and_then_finished(place: &Place, service: &Service) {
    let edited = service.stats().edited_once();
    assert!(edited > 0);
    let before = place.files();
    for command in [JOB.to_owned(), format!("{JOB} --dry-run")] {
        let refused = place.runner(&command).at(service).exits(2);
        assert!(refused.err.contains("ledger.db are missing") && refused.err.contains("--read-first"), "{refused:#?}");
    }
    assert_eq!((service.stats().edited_once(), place.files()), (edited, before), "nothing was sent or changed");
    let status = place.runner("status ledger.db").exits(0);
    assert!(!status.out.contains("Nothing has been sent"), "{status:#?}");
    let status = place.runner("status ledger.db --json").exits(0).json();
    assert_eq!(status["may_lack_commits"], true, "{status:#}");
    let report = place.runner("report ledger.db").exits(0);
    assert!(report.out.contains("newest commits of this ledger are missing"), "{report:#?}");

    let plan = place.runner(&format!("{JOB} --read-first --dry-run")).at(service).exits(0).json();
    assert!(plan["to_read_first"].as_u64() > Some(0) && plan["seconds_left"].as_u64() >= Some(10), "{plan:#}");
    let ran = place.runner(&format!("{JOB} {FAST} --read-first")).at(service).exits(0);
    check_all_done(service, &ran);
    // Lost commits stay lost: a list with other messages may have been among them.
    place.runner(JOB).at(service).exits(2);
}

fn check_all_done(service: &Service, ran: &Ran) {
    assert_eq!(ran.summary(), Summary { rows: ROWS.into(), done: ROWS.into(), ..Summary::default() });
    assert_eq!(service.stats().edited_once(), u64::from(ROWS), "{ran:#?}");
}

#[test]
fn a_log_that_was_deleted_as_litter_after_a_kill() {
    let place = Place::with_list(ROWS);
    let service = Service::with_messages("latency=1ms..20ms", &place);
    killed(&place, &service);
    for litter in ["ledger.db-wal", "ledger.db-shm"] {
        std::fs::remove_file(place.path(litter)).unwrap();
    }
    check_refused_and_then_finished(&place, &service);
}

#[test]
fn a_ledger_that_was_moved_alone_after_a_kill() {
    let (place, other) = (Place::with_list(ROWS), Place::with_list(ROWS));
    let service = Service::with_messages("latency=1ms..20ms", &place);
    killed(&place, &service);
    std::fs::rename(place.path("ledger.db"), other.path("ledger.db")).unwrap();
    // Its log, left alone at the old place, must not be ignored and deleted.
    let before = place.files();
    for command in [JOB.to_owned(), format!("{JOB} --read-first")] {
        let refused = place.runner(&command).at(&service).exits(2);
        assert!(refused.err.contains("holds the newest commits of a ledger that is not there"), "{refused:#?}");
    }
    place.runner("status ledger.db").exits(2);
    assert_eq!(place.files(), before);
    check_refused_and_then_finished(&other, &service);
}

#[test]
fn a_ledger_that_was_copied_alone_after_a_run_that_somebody_looked_at() {
    let (place, other) = (Place::with_list(ROWS), Place::with_list(ROWS));
    let service = Service::with_messages("latency=1ms..20ms", &place);
    let run = place.runner(&format!("{JOB} --max-rows 200 --rate 100 --max-rate 100")).at(&service).start();
    wait_for("some edits to be done", || (done(&place) >= 50).then_some(()));
    let reader = Connection::open(place.path("ledger.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM edit").unwrap();
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{ran:#?}");
    assert!(ran.err.contains("ledger.db-wal: keep that file beside"), "{ran:#?}");
    std::fs::copy(place.path("ledger.db"), other.path("ledger.db")).unwrap();
    check_refused_and_then_finished(&other, &service);
    // With its log, the ledger is complete.
    drop(reader);
    let plan = place.runner(&format!("{JOB} --dry-run")).at(&service).exits(0).json();
    assert_eq!((&plan["done"], &plan["to_send"]), (&200.into(), &100.into()));
}

#[test]
fn a_ledger_that_was_lost_altogether() {
    let place = Place::with_list(ROWS);
    let service = Service::with_messages("latency=1ms..20ms", &place);
    killed(&place, &service);
    for file in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        std::fs::remove_file(place.path(file)).unwrap();
    }
    let ran = place.runner(&format!("{JOB} {FAST} --read-first")).at(&service).exits(0);
    check_all_done(&service, &ran);
    assert!(ran.json()["this_run"]["found_already"].as_u64() >= Some(50), "{ran:#?}");
    // This ledger has recorded everything since, so it needs no more reading.
    place.runner(JOB).at(&service).exits(0);
}

/// Edits that a run with `--read-first` did not reach are not sent unread by the next one.
#[test]
fn a_run_that_reads_first_and_ends_early_is_resumed_in_the_same_way() {
    let place = Place::with_list(30);
    let service = Service::with_messages("none", &place);
    place.runner(&format!("{JOB} {FAST} --read-first --max-rows 10")).at(&service).exits(0);
    for command in [JOB.to_owned(), format!("{JOB} --dry-run")] {
        let refused = place.runner(&command).at(&service).exits(2);
        assert!(refused.err.contains("say --read-first again"), "{refused:#?}");
    }
    assert_eq!(service.stats().edited_once(), 10);
    place.runner(&format!("{JOB} {FAST} --read-first")).at(&service).exits(0);
    place.runner(JOB).at(&service).exits(0);
    assert_eq!(service.stats().edited_once(), 30);
}

/// An operator who checks whether a job could continue at another address, and then declines, can resume at the old
/// one.
#[test]
fn a_ledger_does_not_move_before_somebody_says_yes() {
    let place = Place::with_list(3);
    let (here, there) = (Service::with_messages("none", &place), Service::with_messages("none", &place));
    place.runner(&format!("{JOB} {FAST} --max-rows 2")).at(&here).exits(0);
    let before = place.files();
    let job = format!("--input edits.csv --resume ledger.db --read-first --endpoint {}", there.url);
    place.runner(&format!("{job} --dry-run")).credentials().exits(0);
    let said_no = place.terminal(&job).credentials().input("n\n").exits(2);
    assert!(said_no.out.contains("Nothing was sent."), "{said_no:#?}");
    assert!(place.files() == before, "the files are not as they were");
    place.runner(&format!("{JOB} {FAST}")).at(&here).exits(0);
    assert_eq!((here.stats().edited_once(), there.stats().requests()), (3, 0));
}

/// The careful use: messages that do not exist are listed, and nothing is sent for them, also not later.
#[test]
fn messages_that_are_not_there_are_listed_and_not_sent() {
    let place = Place::with_list(3);
    let service = Service::start("");
    let ran = place.runner(&format!("{JOB} {FAST} --read-first")).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    assert_eq!(ran.json()["this_run"]["found_missing"], 3);
    assert!(place.read("ledger.failed.csv").contains("in neither side's history, so the edit was not sent"));
    let again = place.runner(&format!("{JOB} {FAST} --retry-failed")).at(&service).exits(1);
    assert_eq!(again.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    assert_eq!((service.stats().requests(), service.stats().read_backs() > 6), (0, true));
}

#[test]
fn an_empty_log_that_a_look_left_behind_changes_nothing() {
    let place = Place::with_list(3);
    let service = Service::start("");
    place.runner(&format!("{JOB} {FAST}")).at(&service).exits(0);
    let sha256 = |place: &Place| place.runner("report ledger.db --json").exits(0).json()["ledger_sha256"].clone();
    let before = sha256(&place);
    assert!(before.is_string());
    place.write("ledger.db-wal", "");
    place.write("ledger.db-shm", vec![0; 32_768]);
    assert_eq!(sha256(&place), before);
    let report = place.runner("report ledger.db").exits(0);
    assert!(report.out.contains("All 3 edits are done."), "{report:#?}");
    place.runner(JOB).at(&service).exits(0);
    assert_eq!(service.stats().edited_once(), 3);
}
