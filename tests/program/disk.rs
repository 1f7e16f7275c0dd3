//! Whatever happens to the ledger's file: the run stops and says which file, why and what to do; the same command
//! resumes once that is fixed. Nothing is edited twice.

use std::fs;

use crate::program::shim::Shim;
use crate::support::harness::{FAST, Place, Ran, Running, Summary, list, sqlite};
use crate::support::service::Service;

/// At the service's own rate, so that the run has a middle in which things can happen.
const ROWS: u32 = 600;
const JOB: &str = "--input edits.csv --resume ledger.db --rate 200";

struct Stage {
    place: Place,
    service: Service,
    shim: Shim,
}

impl Stage {
    fn new() -> Stage {
        Stage { place: Place::with_list(ROWS), service: Service::start("latency=20ms..80ms"), shim: Shim::new() }
    }

    fn run(&self, flags: &str) -> Running {
        self.shim.under(self.place.runner(&format!("{JOB} {flags}"))).at(&self.service).start()
    }

    /// A run that is in the middle of its work.
    fn middle(&self) -> Running {
        let run = self.run("");
        self.service.wait_for_requests(100);
        run
    }

    /// Checks that this run stops in the middle and says so.
    fn stops(&self, run: Running, says: &[&str]) -> Ran {
        let ran = run.exits(3);
        for part in says {
            assert!(ran.out.contains(part), "{part:?} is not in {ran:#?}");
        }
        assert!(self.service.stats().edited_once() < ROWS.into(), "it went on without its ledger: {ran:#?}");
        ran
    }

    /// Checks that the same command cannot start either, says why, and sends nothing.
    fn is_refused(&self, says: &str) {
        let (files, requests) = (self.place.files(), self.service.stats().requests());
        let ran = self.run("").exits(2);
        assert!(ran.err.contains(says), "{says:?} is not in {ran:#?}");
        assert!(self.place.files() == files, "files were changed, made or taken away");
        assert_eq!(self.service.stats().requests(), requests);
    }

    /// Checks that the same command resumes: no row is lost, and none is edited twice. How many are in doubt at its
    /// end depends on what was in flight when the run stopped.
    fn goes_on(&self) {
        self.shim.mend();
        let ran = self.run("--json").wait();
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
        let summary = ran.summary();
        let Summary { done, in_doubt, .. } = summary;
        assert_eq!(summary, Summary { rows: ROWS.into(), done, in_doubt, ..Summary::default() });
        let stats = self.service.stats();
        assert!((done..=u64::from(ROWS)).contains(&stats.edited_once()), "{summary:?}, {stats:#?}");
    }
}

/// The disk starts to fail in the middle of a run.
fn check_fault(fault: &str, says: &str) {
    let stage = Stage::new();
    let run = stage.middle();
    stage.shim.disk(fault);
    let ran = stage.stops(run, &[says]);
    assert!(ran.out.contains("To resume: "), "{ran:#?}");
    stage.goes_on();
}

#[test]
fn a_full_disk_stops_the_run() {
    let full = "cannot write to the ledger ledger.db: database or disk is full; make room on its disk, then try again";
    check_fault("full", full);
}

#[test]
fn a_disk_that_fails_stops_the_run() {
    check_fault(
        "io",
        "cannot write to the ledger ledger.db: disk I/O error; see what the system's log says of its disk",
    );
}

/// As when the kernel finds its file system damaged, and remounts it read-only.
#[test]
fn a_disk_that_becomes_read_only_stops_the_run() {
    check_fault(
        "readonly",
        "cannot write to the ledger ledger.db: disk I/O error; see what the system's log says of its disk",
    );
}

/// The file on disk changes during a run that has it open. The pages that the run has cached are intact, so the first
/// page that it has to read reveals the damage; nothing is sent from then on.
#[test]
fn a_ledger_that_is_damaged_in_the_middle_of_a_run_stops_it() {
    let stage = Stage::new();
    stage.place.write("edits.csv", list(1..=2_000, "new"));
    let fast = format!("--input edits.csv --resume ledger.db --max-rows 500 {FAST}");
    stage.place.runner(&fast).at(&stage.service).exits(0);
    // An index of some hundred pages, of which the next edits touch a few.
    let others = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 40000)
        INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
        SELECT 'other', 'other', n || '_1_1', randomblob(16), randomblob(16), n, 1, 'sending', 1, 0 FROM n;
        UPDATE edit SET state = 'done', code = 0 WHERE state = 'sending'";
    sqlite(&stage.place.path("ledger.db"), others);
    let run = stage.run("");
    stage.service.wait_for_requests(550);
    let ledger = fs::OpenOptions::new().write(true).open(stage.place.path("ledger.db")).unwrap();
    let length = ledger.metadata().unwrap().len();
    // In place, as a disk does it: the file stays the same one. All but the header and the schema.
    let damage = vec![0x55; usize::try_from(length).unwrap() - 4_096];
    std::os::unix::fs::FileExt::write_all_at(&ledger, &damage, 4_096).unwrap();
    let ran = run.exits(3);
    assert!(ran.out.contains("the ledger ledger.db is damaged: database disk image is malformed; put a"), "{ran:#?}");
    assert!(stage.service.stats().edited_once() < 1_500, "{ran:#?}");
    stage.is_refused("the ledger ledger.db is damaged: ");
}

/// Damages the ledger's files in the middle of a run, of which `file` is missing; the ledger's content is saved, and
/// restored as the message says.
fn check_removed(file: &str, way: impl FnOnce(&Place)) {
    let stage = Stage::new();
    let run = stage.middle();
    way(&stage.place);
    let gone =
        format!("{file} was removed or replaced while it was in use; what the ledger held is in ledger.db.rescued: ");
    stage.stops(run, &[&gone, "rename ledger.db.rescued to ledger.db, then resume"]);
    stage.is_refused("ledger.db.rescued holds what ledger.db held when that was removed or replaced: move ledger.db, ");
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        // Not all of them exist each time.
        let _ = fs::rename(stage.place.path(name), stage.place.path(format!("old-{name}")));
    }
    fs::rename(stage.place.path("ledger.db.rescued"), stage.place.path("ledger.db")).unwrap();
    stage.goes_on();
}

#[test]
fn a_ledger_that_is_removed_is_rescued() {
    check_removed("ledger.db", |place| fs::remove_file(place.path("ledger.db")).unwrap());
}

#[test]
fn a_ledger_that_is_replaced_is_rescued() {
    // By a copy of itself: a replacement that its content does not reveal.
    check_removed("ledger.db", |place| {
        fs::copy(place.path("ledger.db"), place.path("copy.db")).unwrap();
        fs::rename(place.path("copy.db"), place.path("ledger.db")).unwrap();
    });
}

#[test]
fn a_ledger_whose_log_is_removed_is_rescued() {
    check_removed("ledger.db-wal", |place| fs::remove_file(place.path("ledger.db-wal")).unwrap());
}

#[test]
fn a_ledger_that_is_removed_from_a_full_disk_is_not_forgotten() {
    let stage = Stage::new();
    let run = stage.middle();
    stage.shim.disk("full");
    fs::remove_file(stage.place.path("ledger.db")).unwrap();
    let says = "what the ledger held could not be saved: database or disk is full; if it was moved, move it back";
    stage.stops(run, &["ledger.db was removed or replaced while it was in use; ", says]);
    stage.shim.mend();
    stage.is_refused("remove the empty file ledger.db.rescued");
}

#[test]
fn a_ledger_that_cannot_be_written_from_the_start_is_told_of() {
    let stage = Stage::new();
    let read_only = "cannot write to the ledger ledger.db: Permission denied (os error 13); allow this user to write";
    stage.shim.disk("readonly");
    stage.is_refused(read_only);
    stage.shim.mend();
    stage.run("--max-rows 20").exits(0);
    stage.shim.disk("readonly");
    stage.is_refused(read_only);
    stage.goes_on();
}

#[test]
fn a_disk_that_is_full_from_the_start_is_told_of() {
    let stage = Stage::new();
    stage.shim.disk("full");
    let ran = stage.run("").exits(2);
    let full = "cannot write to the ledger ledger.db: database or disk is full; make room on its disk, then try again";
    assert!(ran.err.contains(full), "{ran:#?}");
    assert_eq!(stage.service.stats().requests(), 0);
    stage.goes_on();
}

#[test]
fn a_damaged_ledger_is_told_of_and_a_copy_of_it_goes_on() {
    let stage = Stage::new();
    stage.run("--max-rows 200").exits(0);
    let sound = fs::read(stage.place.path("ledger.db")).unwrap();
    let mut damaged = sound.clone();
    // All but the header and the schema.
    damaged[4_096..].fill(0x55);
    stage.place.write("ledger.db", damaged);
    stage
        .is_refused("the ledger ledger.db is damaged: database disk image is malformed; put a sound copy in its place");
    stage.place.write("ledger.db", &sound[..sound.len() / 2]);
    stage.is_refused("the ledger ledger.db is damaged: ");
    stage.place.write("ledger.db", sound);
    stage.goes_on();
}

/// After a crash more is checked: damage that only a read of the whole file reveals.
#[test]
fn damage_that_a_crash_left_is_found_before_anything_is_sent() {
    let stage = Stage::new();
    stage.middle().kill();
    let (ledger, log) = ("ledger.db", "ledger.db-wal");
    let sound = [ledger, log].map(|name| fs::read(stage.place.path(name)).unwrap());
    // The log goes into the ledger, as it does when somebody opens it with SQLite's own tool.
    sqlite(&stage.place.path(ledger), "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut damaged = fs::read(stage.place.path(ledger)).unwrap();
    // The last page is one of the table or of its index.
    let last = damaged.len() - 4_096;
    damaged[last..].fill(0);
    stage.place.write(ledger, damaged);
    stage.is_refused("nothing was sent)");
    for (name, bytes) in [ledger, log].iter().zip(sound) {
        stage.place.write(name, bytes);
    }
    stage.goes_on();
}
