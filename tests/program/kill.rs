//! Killed repeatedly at random moments, as by a power cut; and stopped by Ctrl-C at any moment.

use std::time::{Duration, Instant};

use crate::support::harness::{Place, Running, Summary, wait_for};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --json --rate 1000 --max-rate 1000";
const ROWS: u32 = 8_000;
/// The number of killed processes.
const KILLS: u32 = 24;

/// Random durations of some seconds, the same for the same seed.
fn moments(seed: u64, count: u32, most: Duration) -> impl Iterator<Item = Duration> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..count).map(move |_| most.mul_f64(random.f64()))
}

/// Lets a process run for this long, or until it exits by itself.
fn live(run: &mut Running, life: Duration) {
    let end = Instant::now() + life;
    wait_for("its time", || (run.has_ended() || Instant::now() >= end).then_some(()));
}

/// Reads a copy of what is on the disk: opening the ledger itself would tidy up what the next run must find.
fn check_integrity(place: &Place, copy: &Place) {
    for name in ["ledger.db", "ledger.db-wal"] {
        if place.path(name).exists() {
            copy.write(name, std::fs::read(place.path(name)).unwrap());
        }
    }
    let ledger = rusqlite::Connection::open(copy.path("ledger.db")).unwrap();
    let check: String = ledger.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
}

#[test]
fn killed_again_and_again_it_edits_no_message_twice_and_loses_none() {
    let seed = std::env::var("KILL_SEED").map_or_else(|_| fastrand::u64(..1_000_000), |seed| seed.parse().unwrap());
    eprintln!("to see it again: KILL_SEED={seed} cargo test --test program killed_again");
    let (place, copy) = (Place::with_list(ROWS), Place::new());
    let service = Service::with_messages("edit.lost-late=0.1%,20004=1%,latency=1ms..60ms", &place);
    let mut killed = 0;
    for (number, moment) in moments(seed, KILLS, Duration::from_millis(800)).enumerate() {
        // Nothing is sent in the first second. And some run for long enough to read back what the others left.
        let life = match number % 10 {
            9 => Duration::from_secs(10) + moment,
            3 => moment,
            _ => Duration::from_millis(900) + moment,
        };
        let mut run = place.runner(JOB).at(&service).start();
        live(&mut run, life);
        killed += u32::from(run.kill());
        if place.path("ledger.db").exists() {
            check_integrity(&place, &copy);
        }
        service.stats().edited_once();
    }
    assert!(killed > KILLS / 2, "{killed}: it was done too early");
    let last = place.runner(JOB).at(&service).exits(0);
    assert_eq!(last.summary(), Summary { rows: ROWS.into(), done: ROWS.into(), ..Summary::default() });
    assert_eq!(service.stats().edited_once(), u64::from(ROWS));
    assert_eq!(service.stats().number("messages_edited"), u64::from(ROWS));
    check_integrity(&place, &copy);
}

/// Unsent edits are withdrawn, sent ones are waited for: none is in doubt, so none is read back.
#[test]
fn ctrl_c_at_any_moment_needs_no_read_back() {
    let place = Place::with_list(2_000);
    let service = Service::with_messages("20004=1%,latency=1ms..200ms", &place);
    for moment in moments(fastrand::u64(..), 10, Duration::from_millis(1_600)) {
        let mut run = place.runner(JOB).at(&service).start();
        wait_for("its ears", || (run.has_ended() || run.listens()).then_some(()));
        live(&mut run, moment);
        let ended = run.has_ended();
        if !ended {
            run.signal("INT");
        }
        let ran = run.wait();
        assert!(ended || matches!(ran.code, Some(0 | 130)), "{ran:#?}");
        assert_eq!(ran.summary().in_doubt, 0, "{ran:#?}");
        assert_eq!(ran.json()["this_run"]["read_backs"], 0, "{ran:#?}");
        assert_eq!(service.stats().edited_once(), ran.summary().done);
    }
    let last = place.runner(JOB).at(&service).exits(0);
    assert_eq!((last.summary().done, service.stats().edited_once(), service.stats().read_backs()), (2_000, 2_000, 0));
}
