//! `--until`: the run stops on time, by the wall clock, and the same command resumes.

use crate::program::shim::Shim;
use crate::support::harness::{Place, Summary, wait_for};
use crate::support::service::Service;

/// Times that are hours ahead of any test.
fn in_hours(hours: i64) -> String {
    let moment = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
    moment.to_string()
}

/// The clock passes the time during a run, as when the machine slept through it.
#[test]
fn it_stops_in_time_and_the_same_command_resumes() {
    let (place, service, shim) = (Place::with_list(600), Service::start("latency=20ms..80ms"), Shim::new());
    let job = format!("--input edits.csv --resume ledger.db --until {}", in_hours(8));
    let run = shim.under(place.runner(&job)).at(&service).start();
    service.wait_for_requests(100);
    shim.clock(9 * 3_600);
    let ran = run.exits(3);
    assert!(ran.out.starts_with("Stopped after ") && ran.out.contains(": the time of --until has come ("), "{ran:#?}");
    assert!(ran.err.contains(", done before "), "{ran:#?}");
    // That time is over.
    assert!(!ran.resume_command().contains("--until") && ran.out.contains("\n  --until is left out"), "{ran:#?}");
    let sent = service.stats().requests();
    assert!((100..600).contains(&sent), "{sent}");
    shim.mend();
    // Nothing is in doubt: nothing is read back, and each was sent once.
    let again = shim.under(place.runner(&format!("{job} --json"))).at(&service).exits(0);
    assert_eq!(again.summary(), Summary { rows: 600, done: 600, ..Summary::default() });
    assert_eq!(again.json()["this_run"]["read_backs"], 0);
    assert_eq!(again.json()["this_run"]["requests"], 600 - sent);
    assert_eq!(service.stats().edited_once(), 600);
}

/// A first Ctrl-C while what is in flight is waited for does not stop it at once.
#[test]
fn a_signal_while_it_stops_is_a_first_one() {
    let (place, service, shim) = (Place::with_list(50), Service::start("latency=2500ms..2600ms"), Shim::new());
    let job = format!("--input edits.csv --resume ledger.db --rate 10 --until {}", in_hours(8));
    let run = shim.under(place.runner(&job)).at(&service).start();
    service.wait_for_requests(10);
    shim.clock(9 * 3_600);
    wait_for("the run to stop", || run.err().contains("stopping after what is in flight").then_some(()));
    run.signal("INT");
    let ran = run.exits(130);
    assert!(ran.out.contains("in doubt      0") && !ran.err.contains("Stopped at once"), "{ran:#?}");
}

#[test]
fn a_plan_says_how_far_it_will_get() {
    let place = Place::with_list(3_000);
    let plan = |flags: &str| place.runner(&format!("--input edits.csv --dry-run {flags}")).exits(0);
    let soon = format!("--rate 1 --until {}", jiff::Timestamp::now() + jiff::SignedDuration::from_mins(10));
    assert!(plan(&soon).out.contains("\n  stops at "), "{:#?}", plan(&soon));
    let json = plan(&format!("{soon} --json")).json();
    assert!((400..=600).contains(&json["until_edits"].as_u64().unwrap()), "{json}");
    assert!(plan(&format!("--until {}", in_hours(8))).out.contains(" a second, done before "));
}

#[test]
fn a_time_that_is_over_or_none_is_refused() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    let refused = |time: &str| {
        let call = place.runner("--input edits.csv --resume ledger.db --until").arg(time);
        call.at(&service).exits(2).err
    };
    assert!(refused("2020-01-01T07:00").contains("--until 2020-01-01 07:00 is over already"));
    assert!(refused("soon").contains("write a time such as 07:00"));
    assert_eq!(service.stats().requests(), 0);
    assert!(!place.path("ledger.db").exists());
}
