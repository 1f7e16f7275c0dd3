//! Edits whose answer was lost, settled by reading their messages back.

use crate::support::harness::{FAST, Place, Summary};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --json --max-failures 100%";

/// Thirty edits with many answers lost in this way, while everything can be read back: all of them are done in the
/// end, each edited once.
fn check_settled(faults: &str) {
    let (place, service) = (Place::with_list(30), Service::start(faults));
    let ran = place.runner(&format!("{JOB} {FAST} --timeout 4s")).at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 30, done: 30, ..Summary::default() }, "{faults}");
    let this_run = &ran.json()["this_run"];
    let number = |name: &str| this_run[name].as_u64().unwrap();
    assert!(number("found_edited") + number("found_not_edited") > 0, "{faults}: {ran:#?}");
    assert_eq!(number("requests"), 30 + number("found_not_edited"), "{faults}: only what was not edited is sent again");
    assert_eq!(service.stats().edited_once(), 30, "{faults}");
    assert_eq!(number("read_backs"), service.stats().read_backs(), "{faults}");
}

#[test]
fn what_took_place_is_done_and_what_did_not_is_sent_again() {
    check_settled("edit.lost-after=20%,edit.lost-before=20%");
}

#[test]
fn so_it_is_with_silence_and_with_answers_that_are_none() {
    check_settled("edit.silent-after=20%,edit.silent-before=10%,edit.garbage=10%,edit.http-502=10%");
}

#[test]
fn a_service_that_lost_an_answer_inside_itself_is_read_back() {
    check_settled("edit.60008=30%");
}

#[test]
fn an_edit_that_takes_place_three_seconds_after_its_connection_was_lost_is_not_sent_again() {
    check_settled("edit.lost-late=50%");
}

#[test]
fn a_service_that_knows_only_the_older_names_and_shows_a_message_to_one_side_only_is_understood() {
    check_settled("edit.lost-after=20%,edit.lost-before=20%,history=older-names+one-sided");
}

#[test]
fn read_backs_that_fail_for_a_while_are_tried_again() {
    check_settled("edit.lost-after=30%,read.20004=30%,read.60007=5%,read.lost-before=20%");
}

/// Edits that reading back cannot settle stay in doubt and are listed with the reason; `read_backs`: the requests for
/// that.
fn check_held(place: &Place, faults: &str, reason: &str, read_backs: u64) {
    let service = Service::start(faults);
    let ran = place.runner(&format!("{JOB} {FAST}")).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, in_doubt: 3, ..Summary::default() }, "{faults}");
    assert_eq!((service.stats().requests(), service.stats().read_backs()), (3, read_backs), "{faults}: {ran:#?}");
    let rows = place.read("ledger.failed.csv");
    assert_eq!(rows.matches(reason).count(), 3, "{faults}: {rows}");
}

/// As when its roaming time is over: neither side's history has it.
#[test]
fn a_message_that_no_history_has_stays_in_doubt() {
    let (place, service) = (Place::with_list(3), Service::start("edit.lost-before=100%"));
    place.runner(&format!("{JOB} --in-doubt hold")).at(&service).exits(1);
    let service = service.replaced_by("none");
    let ran = place.runner(JOB).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, in_doubt: 3, ..Summary::default() });
    assert_eq!((service.stats().requests(), service.stats().read_backs()), (0, 6), "both sides were asked");
    let rows = place.read("ledger.failed.csv");
    assert_eq!(rows.matches("the message is in neither side's history").count(), 3, "{rows}");
}

#[test]
fn a_read_back_that_is_refused_leaves_the_edit_in_doubt_and_is_asked_for_once() {
    check_held(&Place::with_list(3), "edit.lost-after=100%,read.60010=100%", "refuses to have it read back", 1);
}

#[test]
fn a_key_without_a_time_cannot_be_read_back() {
    let place = Place::new();
    let body = r#""[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""new""}}]""#;
    let rows = ["k1", "k2", "k3"].map(|key| format!("a,b,{key},{body}\n")).concat();
    place.write("edits.csv", format!("from_account,to_account,msg_key,msg_body\n{rows}"));
    check_held(&place, "edit.lost-after=100%", "its MsgKey does not tell when it was sent", 0);
}

/// A new run reads back again: it may settle now what could not be settled then.
#[test]
fn what_stayed_in_doubt_is_read_back_by_the_next_run() {
    let (place, service) = (Place::with_list(3), Service::start("edit.lost-after=100%,read.20004=100%"));
    let ran = place.runner(&format!("{JOB} {FAST} --max-attempts 2")).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, in_doubt: 3, ..Summary::default() });
    assert!(place.read("ledger.failed.csv").contains("reading it back came to nothing"));
    service.set_faults("none");
    let again = place.runner(JOB).at(&service).exits(0);
    assert_eq!((again.summary().done, again.json()["this_run"]["found_edited"].as_u64()), (3, Some(3)));
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (3, 3));
}

/// No attempt is left, and reading back shows that none of them took effect: that is a failure, not a doubt.
#[test]
fn attempts_that_were_all_lost_before_they_took_place_are_a_failure() {
    let (place, service) = (Place::with_list(3), Service::start("edit.lost-before=100%"));
    let ran = place.runner(&format!("{JOB} {FAST} --max-attempts 2")).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    assert_eq!(service.stats().requests(), 6);
    service.set_faults("none");
    let again = place.runner(&format!("{JOB} --retry-failed")).at(&service).exits(0);
    assert_eq!((again.summary().done, service.stats().edited_once()), (3, 3));
}
