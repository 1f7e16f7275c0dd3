//! Lists made from the service's own data: webhooks and the hourly export, by the `jq` files of `jobs/`.

use base64::Engine as _;
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

/// Checks what `jq` makes of this, without the header, and what it says of the rest.
fn makes(name: &str, content: &str, keys: &[&str], says: &str) {
    let place = Place::new();
    let ran = place.shell(&format!("jq -nrf {JOBS}/{name}.jq")).input(content).exits(0);
    let rows: Vec<String> = keys.iter().map(|key| format!("\"a\",\"b\",\"{key}\"\n")).collect();
    let rows = rows.concat();
    assert_eq!(ran.out, format!("\"from_account\",\"to_account\",\"msg_key\"\n{rows}"), "{content}");
    assert_eq!(ran.err, says, "{content}");
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
    refuses("from-history-export", &export("Group", message), "1 ChatType is \"Group\"");
    refuses("from-history-export", &export("C2C", &message.replace('2', "2.5")), "nor a whole MsgRandom");
    refuses("from-history-export", &export("C2C", &message.replace("Timestamp", "Day")), "nor a whole MsgTimestamp");
}

/// Before-send bodies and text flags once gave a header and nothing else, with exit code 0.
#[test]
fn webhooks_are_taken_as_loggers_write_them() {
    if !has("jq", "jq") {
        return;
    }
    let body = |command: &str, key: &str, more: &str| {
        let elements = r#"[{"MsgType": "TIMTextElem", "MsgContent": {"Text": "样例"}}]"#;
        format!(
            r#"{{"CallbackCommand": "{command}", "From_Account": "a", "To_Account": "b", "MsgSeq": 1, "MsgKey": "{key}",
                "MsgBody": {elements}, "CloudCustomData": "{{\"MsgKey\": \"x\"}}"{more}}}"#
        )
    };
    let after = |key: &str, more: &str| body("C2C.CallbackAfterSendMsg", key, more);
    let all = [
        body("C2C.CallbackBeforeSendMsg", "1_1_1", r#", "OnlineOnlyFlag": 0"#),
        body("Bot.OnC2CMessage", "2_2_2", ""),
        after("3_3_3", r#", "OnlineOnlyFlag": "0", "SendMsgResult": "0""#),
        after("4_4_4", r#", "OnlineOnlyFlag": "False", "SendMsgResult": """#),
    ];
    let keys = ["1_1_1", "2_2_2", "3_3_3", "4_4_4"];
    makes("from-webhooks", &all.join("\n"), &keys, "");
    makes("from-webhooks", &format!("[{}]", all.join(",")), &keys, "");
    let wrapped = all.each_ref().map(|body| format!(r#"{{"at": 1, "request": {{"body": {body}}}}}"#));
    makes("from-webhooks", &wrapped.join("\n"), &keys, "");
    let text = |body: &str| serde_json::to_string(body).unwrap();
    let quoted = all.each_ref().map(|body| format!(r#"{{"status": 200, "body": {}}}"#, text(body)));
    makes("from-webhooks", &quoted.join("\n"), &keys, "");
    // The command stands in the address only.
    let bare = after("5_5_5", "").replace(r#""CallbackCommand": "C2C.CallbackAfterSendMsg", "#, "");
    let line = |command: &str| {
        format!(r#"{{"url": "/hook?SdkAppid=1&CallbackCommand={command}&c=2", "body": {}}}"#, text(&bare))
    };
    let others =
        [line("C2C.CallbackAfterSendMsg"), line("Group.CallbackAfterSendMsg"), r#"{"msg": "started"}"#.to_owned()];
    let beside = format!(r#"{{"query": {{"CallbackCommand": "Bot.OnC2CMessage", "SdkAppid": "1"}}, "body": {bare}}}"#);
    makes("from-webhooks", &beside, &["5_5_5"], "");
    let encoded = base64::engine::general_purpose::STANDARD.encode(after("6_6_6", ""));
    makes("from-webhooks", &format!(r#"{{"isBase64Encoded": true, "body": "{encoded}"}}"#), &["6_6_6"], "");
    let left = "1 of \"Group.CallbackAfterSendMsg\", 1 no webhook body";
    let says = |left: &str| format!("from-webhooks: messages in the list: 1; left out: {left}\n");
    makes("from-webhooks", &others.join("\n"), &["5_5_5"], &says(left));
    let lost = [
        after("6_6_6", ""),
        after("7_7_7", r#", "OnlineOnlyFlag": "1""#),
        after("8_8_8", r#", "OnlineOnlyFlag": "true""#),
        after("9_9_9", r#", "SendMsgResult": "80001""#),
    ];
    makes(
        "from-webhooks",
        &lost.join("\n"),
        &["6_6_6"],
        &says("2 for online recipients only, 1 not sent (SendMsgResult)"),
    );
    refuses("from-webhooks", &lost[1..].join("\n"), "no message; left out: 2 for online recipients only");
    refuses("from-webhooks", "", "no message");
    refuses("from-webhooks", r#"{"MsgList": []}"#, "see from-history-export.jq");
    refuses("from-webhooks", &after("1_1_1", r#", "OnlineOnlyFlag": "maybe""#), "OnlineOnlyFlag is \"maybe\"");
}

#[test]
fn a_history_is_taken_by_its_keys_or_its_numbers() {
    if !has("jq", "jq") {
        return;
    }
    let message = |seq: &str, more: &str| {
        format!(
            r#"{{"From_Account": "a", "To_Account": "b", "MsgSeq": {seq}, "MsgRandom": 2, "MsgTimeStamp": 1786000001, "MsgBody": []{more}}}"#
        )
    };
    let answer = |complete: u8, messages: &[String]| {
        let list = messages.join(",");
        format!(r#"{{"ActionStatus": "OK", "ErrorCode": 0, "Complete": {complete}, "MsgList": [{list}]}}"#)
    };
    let keyed = message("4000000001", r#", "MsgKey": "999_888_1786000001", "MsgFlagBits": 0"#);
    let recalled = message("5", r#", "MsgKey": "5_2_1786000001", "MsgFlagBits": 8"#);
    let pages = [answer(0, &[keyed.clone(), recalled]), answer(1, &[message("\"7\"", "")])];
    let keys = ["999_888_1786000001", "7_2_1786000001"];
    let says = |what: &str| format!("from-history-export: messages in the list: {what}\n");
    let left = says("2; left out: 1 recalled");
    makes("from-history-export", &pages.join("\n"), &keys, &left);
    makes("from-history-export", &format!("[{}]", pages.join(",")), &keys, &left);
    let logged = pages.each_ref().map(|page| format!(r#"{{"response": {}}}"#, serde_json::to_string(page).unwrap()));
    makes("from-history-export", &logged.join("\n"), &keys, &left);
    makes("from-history-export", &[message("6", ""), keyed.clone()].join("\n"), &["6_2_1786000001", keys[0]], "");
    let missing = says("1; the last page is not Complete: older messages are missing");
    makes("from-history-export", &answer(0, std::slice::from_ref(&keyed)), &keys[..1], &missing);
    let group = r#"{"ChatType": "Group", "MsgList": [{"From_Account": "a", "GroupId": "g"}]}"#;
    let export = format!(r#"{{"ChatType": "C2C", "MsgList": [{keyed}]}}"#);
    let left = says("1; left out: 1 ChatType is \"Group\"");
    makes("from-history-export", &format!("{export}{group}"), &keys[..1], &left);

    refuses("from-history-export", &message("-294967296", ""), "a signed number of 32 bits");
    refuses("from-history-export", &message("4294967296", ""), "the service's numbers end at 4294967295");
    makes("from-history-export", &message("6", r#", "MsgKey": """#), &["6_2_1786000001"], "");
    refuses("from-history-export", &message("1", r#", "MsgKey": 7"#), "has no MsgKey");
    refuses("from-history-export", r#"{"ActionStatus": "FAIL", "ErrorCode": 60008}"#, "with ErrorCode 60008");
    refuses("from-history-export", r#"{"ChatType": "C2C", "MsgList": []}"#, "no message to edit");
    refuses("from-history-export", "", "no message to edit");
    let webhook = message("1", r#", "CallbackCommand": "C2C.CallbackAfterSendMsg""#);
    refuses("from-history-export", &webhook, "1 of a webhook, see from-webhooks.jq");
}
