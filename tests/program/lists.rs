//! Lists made from the service's own data: webhooks and the hourly export, by the `jq` files of `jobs/`.

use serde_json::Value;

use crate::support::harness::{FAST, Place, Summary, gzip, has};
use crate::support::service::Service;

const JOBS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs");

fn sample(name: &str) -> String {
    std::fs::read_to_string(format!("{JOBS}/{name}")).unwrap()
}

/// A message of a sample, by its three ids.
fn id(message: &Value, key: String) -> [String; 3] {
    let text = |name: &str| message[name].as_str().unwrap().to_owned();
    [text("From_Account"), text("To_Account"), key]
}

/// Compressed or not, `jq` makes a list of it, and the program processes the list: this many duplicates, and these
/// messages, each edited once.
fn check(name: &str, content: &[u8], duplicates: u64, mut wanted: Vec<[String; 3]>) {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("from", content);
    place.shell(&format!("gzip -dcf from | jq -nrf {JOBS}/{name}.jq > list.csv")).exits(0);
    let job = format!("--job {JOBS}/redact-text.toml --input list.csv --resume ledger.db --yes --json {FAST}");
    let summary = place.runner(&job).at(&service).exits(0).summary();
    let done = wanted.len() as u64;
    assert_eq!(summary, Summary { rows: done + duplicates, done, duplicates, ..Summary::default() });
    assert_eq!(service.stats().edited_once(), done);
    let key = |message: &Value| message["MsgKey"].as_str().unwrap().to_owned();
    let mut edited: Vec<_> = service.messages().iter().map(|message| id(message, key(message))).collect();
    edited.sort();
    wanted.sort();
    assert_eq!(edited, wanted);
}

/// Checks that `jq` makes no list of this, and says why.
fn refuses(name: &str, content: &str, says: &str) {
    let place = Place::new();
    let ran = place.shell(&format!("jq -nrf {JOBS}/{name}.jq")).input(content).exits(5);
    assert!(ran.err.contains(says), "{says:?} is not in {ran:#?}");
}

#[test]
fn webhooks_make_a_list_of_what_was_sent_and_kept() {
    if !has("jq", "jq") {
        return;
    }
    let bodies: Vec<Value> =
        sample("from-webhooks.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let is_sent = |body: &&Value| {
        body["CallbackCommand"] == "C2C.CallbackAfterSendMsg"
            && body["OnlineOnlyFlag"] == 0
            && body["SendMsgResult"] == 0
    };
    let mut wanted: Vec<_> = bodies.iter().filter(is_sent).map(|body| id(body, key_of_webhook(body))).collect();
    let delivered = wanted.len();
    wanted.sort();
    wanted.dedup();
    assert_eq!((bodies.len(), delivered, wanted.len()), (11, 8, 7), "the sample has one of each that is left out");
    check("from-webhooks", sample("from-webhooks.jsonl").as_bytes(), 1, wanted);
}

fn key_of_webhook(body: &Value) -> String {
    body["MsgKey"].as_str().unwrap().to_owned()
}

#[test]
fn the_hourly_export_makes_a_list_with_keys_put_together() {
    if !has("jq", "jq") {
        return;
    }
    let text = sample("from-history-export.json");
    let export: Value = serde_json::from_str(&text).unwrap();
    let key = |message: &Value| {
        ["MsgSeq", "MsgRandom", "MsgTimestamp"].map(|name| message[name].as_u64().unwrap().to_string()).join("_")
    };
    let wanted: Vec<_> =
        export["MsgList"].as_array().unwrap().iter().map(|message| id(message, key(message))).collect();
    assert!(wanted.iter().any(|[_, _, key]| key.starts_with("4294967295_")), "the largest number there can be");
    check("from-history-export", text.as_bytes(), 0, wanted.clone());
    check("from-history-export", &gzip(&text), 0, wanted);
}

#[test]
fn a_list_is_never_short_without_a_word() {
    if !has("jq", "jq") {
        return;
    }
    let body =
        r#"{"CallbackCommand": "C2C.CallbackAfterSendMsg", "From_Account": "a", "To_Account": "b", "MsgKey": "1_2_3"}"#;
    refuses("from-webhooks", &format!("{body}\n{}\n{body}\n", body.replace("MsgKey", "Key")), "line 2 has no MsgKey");
    refuses("from-webhooks", &body.replace(r#""b""#, "7"), "has no To_Account");
    let export = |ending: &str, message: &str| format!(r#"{{"ChatType": "{ending}", "MsgList": [{message}]}}"#);
    let message = r#"{"From_Account": "a", "To_Account": "b", "MsgSeq": 1, "MsgRandom": 2, "MsgTimestamp": 3}"#;
    refuses("from-history-export", &export("Group", message), "ChatType is Group");
    refuses("from-history-export", &export("C2C", &message.replace('2', "2.5")), "no whole MsgRandom");
    refuses("from-history-export", &export("C2C", &message.replace("Timestamp", "TimeStamp")), "no whole MsgTimestamp");
}
