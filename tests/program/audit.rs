//! Whether what was done holds: audits of ledgers whose messages were changed since, or are gone.

use serde_json::Value;

use crate::support::harness::{Place, list, sqlite};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --json";
const COUNTS: [&str; 6] = ["looked_at", "as_wanted", "differs", "recalled", "not_in_history", "cannot_be_told"];

fn done(rows: u32) -> (Place, Service) {
    let (place, service) = (Place::with_list(rows), Service::start("none"));
    place.runner(JOB).at(&service).exits(0);
    (place, service)
}

fn counts(found: &Value) -> [u64; 6] {
    COUNTS.map(|name| found[name].as_u64().unwrap())
}

#[test]
fn what_holds_is_as_wanted_and_nothing_is_edited() {
    let (place, service) = done(30);
    let ran = place.runner("audit ledger.db --json").at(&service).exits(0);
    let found = ran.json();
    assert_eq!(counts(&found), [30, 30, 0, 0, 0, 0], "{found:#}");
    assert_eq!((&found["done"], &found["ended"], &found["at_most_wrong"]), (&30.into(), &"finished".into(), &0.into()));
    let stats = service.stats();
    assert_eq!((stats.requests(), stats.read_backs()), (30, 30), "one lookup a message");
    // And the job's next run is what it was.
    place.runner(JOB).at(&service).exits(0);
    assert_eq!(service.stats().requests(), 30);
}

#[test]
fn what_was_changed_since_is_found_and_listed() {
    let (place, service) = done(30);
    place.write("changed.csv", list(4..=5, "other"));
    place.runner("--input changed.csv --resume changed.db").at(&service).exits(0);
    let ran = place.runner("audit ledger.db --json --csv audit").at(&service).exits(1);
    assert_eq!(counts(&ran.json()), [30, 28, 2, 0, 0, 0]);
    let rows = place.read("audit/audit.csv");
    assert_eq!((rows.lines().count(), rows.matches(",differs,").count()), (31, 2), "{rows}");
    let summary: Value = serde_json::from_str(&place.read("audit/audit.json")).unwrap();
    assert_eq!(summary, ran.json());
    let told = place.runner("audit ledger.db").at(&service).exits(1);
    assert!(told.out.contains("28  as wanted") && told.out.contains(": differs"), "{}", told.out);
}

#[test]
fn what_no_history_has_any_more_is_told_and_counts_as_wrong() {
    let (place, service) = done(3);
    let service = service.replaced_by("none");
    let found = place.runner("audit ledger.db --json").at(&service).exits(1).json();
    assert_eq!((counts(&found), &found["at_most_wrong"]), ([3, 0, 0, 0, 3, 0], &3.into()));
    assert_eq!(service.stats().read_backs(), 6, "both sides were asked");
}

#[test]
fn a_sample_is_drawn_by_the_auditors_words_and_drawn_again_by_its_seed() {
    let (place, service) = done(40);
    let drawn = |flags: &str| {
        let found = place.runner(&format!("audit ledger.db --json --csv a {flags}")).at(&service).exits(0).json();
        assert_eq!(
            (counts(&found)[0], &found["done"], &found["at_most_wrong"]),
            (10, &40.into(), &9.into()),
            "{found:#}"
        );
        let rows = place.read("a/audit.csv");
        let mut keys: Vec<String> = rows.lines().skip(1).map(|row| row.split(',').nth(2).unwrap().to_owned()).collect();
        keys.sort();
        (found["seed"].as_str().unwrap().to_owned(), keys)
    };
    let (seed, keys) = drawn("--sample 10 --words mine");
    assert_eq!(drawn(&format!("--sample 10 --seed {seed}")), (seed.clone(), keys.clone()));
    let (other, others) = drawn("--sample 10 --words others");
    assert!(other != seed && others != keys);
    // Whoever looks at a sample has to say what it is drawn with.
    let refused = place.runner("audit ledger.db --sample 10").at(&service).exits(2);
    assert!(refused.err.contains("--words") && refused.err.contains("--seed"), "{}", refused.err);
    place.runner("audit ledger.db --sample 10 --seed 12").at(&service).exits(2);
}

#[test]
fn an_audit_that_was_stopped_goes_on_where_it_was() {
    let (place, service) = done(40);
    let before = service.stats().read_backs();
    let running = place.runner("audit ledger.db --json --rate 10").at(&service).start();
    service.wait_for_read_backs(before + 4);
    running.signal("INT");
    let first = running.exits(130).json();
    let [looked_at, ..] = counts(&first);
    assert!((1..40).contains(&looked_at) && first["at_most_wrong"].is_null(), "{first:#}");
    // Also after another one.
    let sample = place.runner("audit ledger.db --json --sample 5 --words mine").at(&service).exits(0).json();
    assert_eq!(sample["audit"], 2);
    let found = place.runner("audit ledger.db --json").at(&service).exits(0);
    assert!(found.err.contains("Audit 1 goes on"), "{}", found.err);
    assert_eq!((counts(&found.json()), &found.json()["audit"]), ([40, 40, 0, 0, 0, 0], &1.into()));
    assert_eq!(service.stats().read_backs() - before, 45, "nothing was looked at twice");
    place.runner("verify ledger.db").exits(0);
    // The next one is another.
    assert_eq!(place.runner("audit ledger.db --json").at(&service).exits(0).json()["audit"], 3);
}

#[test]
fn an_audit_that_was_killed_goes_on_and_its_ledger_is_sound() {
    let (place, service) = done(40);
    let running = place.runner("audit ledger.db --rate 10").at(&service).start();
    service.wait_for_read_backs(5);
    running.kill();
    let status = place.runner("status ledger.db --json").exits(0).json();
    assert!(
        status["audits"][0]["ended"].is_null() && status["audits"][0]["looked_at"].as_u64() > Some(0),
        "{status:#}"
    );
    let found = place.runner("audit ledger.db --json").at(&service).exits(0);
    assert!(found.err.contains("Audit 1 goes on"), "{}", found.err);
    assert_eq!(counts(&found.json()), [40, 40, 0, 0, 0, 0]);
    place.runner(JOB).at(&service).exits(0);
    assert_eq!(service.stats().requests(), 40);
}

#[test]
fn a_service_that_answers_badly_for_a_while_is_asked_again() {
    let (place, service) = done(30);
    service.set_faults("read.20004=20%,read.lost-before=10%,read.60007=5%");
    let found = place.runner("audit ledger.db --json").at(&service).exits(0).json();
    assert_eq!(counts(&found), [30, 30, 0, 0, 0, 0], "{found:#}");
}

#[test]
fn a_service_that_refuses_to_have_messages_read_stops_the_audit() {
    let (place, service) = done(3);
    service.set_faults("read.60010=100%");
    let ran = place.runner("audit ledger.db --json").at(&service).exits(3);
    assert_eq!((counts(&ran.json())[0], &ran.json()["ended"]), (0, &"stopped".into()));
    assert!(ran.err.contains("refuses to have messages read") && ran.err.contains("60010"), "{}", ran.err);
    service.set_faults("none");
    place.runner("audit ledger.db").at(&service).exits(0);
}

/// An address that never answered is more likely to be wrong than a service to be out of reach.
#[test]
fn a_service_that_never_answers_is_told_at_once_and_not_waited_for_long() {
    let (place, _service) = done(3);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ledger = place.path("ledger.db");
    sqlite(&ledger, &format!("UPDATE job SET service = '127.0.0.1:{port}'"));
    let ran = place.runner(&format!("audit ledger.db --endpoint http://127.0.0.1:{port}")).credentials().exits(3);
    let told = ran.err.find("the service cannot be reached (Connection refused (os error 111)): trying again");
    let ended = ran.err.find("error: the service is out of reach: the service cannot be reached");
    assert!(told.is_some() && told < ended, "{}", ran.err);
}

#[test]
fn what_cannot_be_audited_is_said_before_anything_is_asked() {
    let (place, service) = done(3);
    let refused = |args: &str, what: &str| {
        let ran = place.runner(args).at(&service).exits(2);
        assert!(ran.err.contains(what), "{}", ran.err);
    };
    refused("audit none.db", "none.db");
    refused("audit ledger.db --sdkappid 1", "app 1 ");
    refused("audit ledger.db --csv . --log-file audit.csv", "would be one file");
    sqlite(&place.path("ledger.db"), "UPDATE job SET reads_first = 1");
    refused("audit ledger.db", "an audit has no such flag");
    sqlite(&place.path("ledger.db"), "UPDATE job SET reads_first = 0");
    std::fs::create_dir_all(place.path("taken/audit.csv")).unwrap();
    refused("audit ledger.db --csv taken", "cannot write taken/audit.csv");
    place.write("more.csv", list(100..=900, "x"));
    let running = place.runner("--input more.csv --resume ledger.db --rate 50").at(&service).start();
    service.wait_for_requests(5);
    refused("audit ledger.db", "works on ledger.db");
    // A job's limit is not the audit's.
    place.runner("--input edits.csv --resume empty.db --dry-run").at(&service).exits(0);
    running.signal("INT");
    running.exits(130);
    assert_eq!(service.stats().read_backs(), 0);
}

#[test]
fn the_ledger_of_several_machines_is_audited_as_a_file_is() {
    let Some(cluster) = crate::support::postgres::Cluster::shared() else { return };
    let database = cluster.database();
    let (place, service, url) = (Place::with_list(30), Service::start("none"), database.url("job"));
    place.runner(&format!("--input edits.csv --yes --resume {url}")).at(&service).exits(0);
    let found = place.runner(&format!("audit {url} --json")).at(&service).exits(0).json();
    assert_eq!(counts(&found), [30, 30, 0, 0, 0, 0], "{found:#}");
    // One audit at a time.
    let running = place.runner(&format!("audit {url} --rate 5")).at(&service).start();
    service.wait_for_read_backs(31);
    let refused = place.runner(&format!("audit {url} --rate 5")).at(&service).exits(2);
    assert!(refused.err.contains("another audit"), "{}", refused.err);
    running.signal("INT");
    running.exits(130);
    // What was found goes with the ledger.
    place.runner(&format!("copy {url} copied.db")).exits(0);
    let again = place.runner("audit copied.db --json --sample 5 --words w").at(&service).exits(0).json();
    assert_eq!((&again["audit"], &again["done"], &again["head"]), (&3.into(), &30.into(), &found["head"]));
}
