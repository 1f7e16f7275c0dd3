//! The new content: from the command line, from columns of any name, by value, and before a person's eyes.

use runner::edit::{Edit, MessageId, MsgBody};
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::harness::{FAST, Place, Summary, printed, wait_for};
use crate::support::service::Service;

/// Only which messages.
const MESSAGES: &str = "from_account,to_account,msg_key\na,b,1_2_1786000001\na,c,2_2_1786000001\n";
const SENTENCE: &str = "{{ removed }} {% planted-4711 \"quoted\" 已删除";
const DATA: &str = "{\"planted\": \"4712\"}";

fn text(text: &str) -> Value {
    json!([{ "MsgType": "TIMTextElem", "MsgContent": { "Text": text } }])
}

#[test]
fn a_sentence_needs_no_job_file_and_is_no_template() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", MESSAGES);
    let job = |flags: &str| {
        let flags =
            format!("--input edits.csv --resume ledger.db --report evidence --log-file run.log -vv {FAST} {flags}");
        place.runner(&flags).at(&service).arg("--text").arg(SENTENCE).arg(format!("--custom-data={DATA}")).exits(0)
    };
    let first = job("--max-rows 1");
    let ran = job("");
    for message in service.messages() {
        assert_eq!((&message["MsgBody"], &message["CloudCustomData"]), (&text(SENTENCE), &DATA.into()));
    }
    assert_eq!(service.stats().edited_once(), 2);
    // What messages hold is nowhere but in the terminal of the one who typed it.
    let printed = format!("{}{}{}{}{}", first.out, first.err, ran.out, ran.err, printed(&place.files()));
    assert!(printed.contains("--custom-data '…'"), "{printed}");
    assert!(!printed.contains("planted"), "{printed}");
    let again = place.runner("--input edits.csv --resume ledger.db --text …").at(&service).exits(2);
    assert!(again.err.contains("--text: … stands for what is not recorded"), "{again:#?}");
    // Another sentence for the same messages is another content.
    let other = place.runner("--input edits.csv --resume ledger.db --text other").at(&service).exits(2);
    assert!(other.err.contains("the ledger has this message with another content (done)"), "{other:#?}");
}

/// A report reads the list once more, for what was not reached, and has no sentence.
#[test]
fn a_report_needs_no_sentence() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", MESSAGES);
    let job = "--input edits.csv --resume ledger.db --max-rows 1 --text removed";
    place.runner(job).at(&service).exits(0);
    for input in ["", "--input edits.csv"] {
        let ran = place.runner(&format!("report ledger.db --csv evidence {input}")).exits(0);
        assert_eq!(ran.err, "", "{input}");
        let left = place.read("evidence/not_reached.csv");
        assert!(left.lines().nth(1).is_some_and(|line| line.starts_with("a,c,2_2_1786000001,not_reached")), "{left}");
    }
}

#[test]
fn a_sandbox_of_its_own_needs_no_sentence() {
    let place = Place::new();
    place.write("edits.csv", MESSAGES);
    let sandbox = place.runner("sandbox --listen 127.0.0.1:0 --input edits.csv").start();
    wait_for("the sandbox", || sandbox.out().contains("stumble").then_some(()));
    sandbox.kill();
}

#[test]
fn custom_data_alone_leaves_the_message_and_an_empty_one_clears_it() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", MESSAGES);
    let call = place.runner(&format!("--input edits.csv --resume ledger.db {FAST}")).at(&service);
    call.arg("--custom-data").arg("").exits(0);
    for message in service.messages() {
        assert_eq!(message["CloudCustomData"], "");
        assert_ne!(message["MsgBody"], text(""));
    }
}

#[test]
fn content_that_is_given_twice_is_refused() {
    let place = Place::new();
    place.write("edits.csv", MESSAGES);
    place.write("full.csv", "from_account,to_account,msg_key,msg_body\na,b,1_2_3,[]\n");
    place.write("job.toml", "[content]\ntext = \"x\"\n");
    place.write("data.toml", "[content]\ncloud_custom_data = \"x\"\n");
    let refused = |flags: &str| place.runner(&format!("--dry-run {flags}")).exits(2).err;
    let refusals = [
        refused("--input edits.csv --job job.toml --text y"),
        refused("--input edits.csv --job data.toml --custom-data y"),
        refused("--input full.csv --text y"),
        refused("--input edits.csv"),
        place.runner("--dry-run --input edits.csv --text").arg("x".repeat(13_000)).exits(2).err,
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    error: the job file job.toml: line 2, column 8: --text gives the new content, and so does the job's [content] text; leave one of the two out
      |
    2 | text = "x"
      |        ^^^ text

    error: the job file data.toml: line 2, column 21: --custom-data gives the new content, and so does the job's [content] cloud_custom_data; leave one of the two out
      |
    2 | cloud_custom_data = "x"
      |                     ^^^ cloud_custom_data

    error: "full.csv", line 1: the column msg_body holds new content, and so does --text; remove one of the two, or list the column in [input] ignore

    error: "edits.csv", line 1: there is nothing to change: the list has neither a msg_body nor a cloud_custom_data column; add one, or give new content for every row with --text, --custom-data or a job file ([content])

    error: the job: --text makes 13052 bytes of new content; the service takes 12288 at most
    "#);
    let empty = place.runner("--dry-run --input edits.csv --text").arg("").exits(2).err;
    assert!(empty.contains("--text"), "{empty}");
    // Each of the two may come from a place of its own.
    place.runner("--dry-run --input edits.csv --job data.toml --text y").exits(0);
}

#[test]
fn columns_of_any_name_can_be_used() {
    let (place, service) = (Place::new(), Service::start("none"));
    let job = |text: &str| place.write("job.toml", format!("[content]\ntext = '''{text}'''\n"));
    job(r#"[removed, case {{ row["case number"] }}, {{ row['单号（旧）'] }}]"#);
    place.write("edits.csv", "from_account,to_account,msg_key,case number,单号（旧）\na,b,1_2_1786000001,7,八\n");
    let line = json!({"From_Account": "a", "To_Account": "b", "MsgKey": "2_2_1786000001", "case number": 7, "单号（旧）": "八"});
    place.write("edits.jsonl", line.to_string());
    for (list, ledger) in [("edits.csv", "csv.db"), ("edits.jsonl", "jsonl.db")] {
        place.runner(&format!("--job job.toml --input {list} --resume {ledger} {FAST}")).at(&service).exits(0);
    }
    let messages = service.messages();
    assert_eq!(messages.len(), 2);
    assert!(messages.iter().all(|message| message["MsgBody"] == text("[removed, case 7, 八]")), "{messages:?}");
    let refused = |header: &str, text: &str| {
        place.write("edits.csv", format!("{header}\na,b,1_2_3,7\n"));
        job(text);
        place.runner("--job job.toml --input edits.csv --dry-run").exits(2).err
    };
    let header = "from_account,to_account,msg_key,case number";
    let refusals = [
        refused(header, r#"{{ row["case no"] }}"#),
        refused(&format!("{header}s"), r#"{{ row["case number"] }}"#),
        refused(header, "{{ row[column] }}"),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    error: "edits.csv", line 1: the job's [content] text needs the column "case no", but the header has: from_account, to_account, msg_key, "case number"

    error: "edits.csv", line 1: the job's [content] text needs the column "case number", but the header has: from_account, to_account, msg_key, "case numbers"

    error: the job file job.toml: line 2, column 8: the job's [content] text is not a valid template: syntax error: row[…] takes the name of a column in quotes, as in row["case number"]
      |
    2 | text = '''{{ row[column] }}'''
      |        ^^^^^^^^^^^^^^^^^^^^^^^ text
    "#);
}

/// Programs that write JSON anew write numbers in their own way: `30` for `30.0`.
#[test]
fn a_list_that_was_written_anew_is_the_same_list() {
    let (place, service) = (Place::new(), Service::start("none"));
    let line = |number: u32, [latitude, longitude]: [&str; 2]| {
        let element = format!(
            r#"{{"MsgType":"TIMLocationElem","MsgContent":{{"Desc":"é/x","Latitude":{latitude},"Longitude":{longitude}}}}}"#
        );
        let id = format!(r#""From_Account":"c{number}","To_Account":"g{number}","MsgKey":"{number}_2_1786000000""#);
        format!("{{{id},\"MsgBody\":[{element}]}}\n")
    };
    let list = |place: [&str; 2]| format!("{}{}", line(1, place), line(2, place));
    place.write("edits.jsonl", list(["30.0", "116.50"]));
    let job = format!("--input edits.jsonl --resume ledger.db --json {FAST}");
    let first = place.runner(&job).at(&service).exits(0).summary();
    assert_eq!(first, Summary { rows: 2, done: 2, ..Summary::default() });
    for numbers in [["30", "116.5"], ["3e1", "1165e-1"], ["30.0", "116.50"]] {
        place.write("edits.jsonl", list(numbers));
        let again = place.runner(&job).at(&service).exits(0).json();
        assert_eq!((&again["done"], &again["this_run"]["requests"]), (&2.into(), &0.into()));
    }
    // Within one list it is a row that repeats another.
    place.write("edits.jsonl", list(["30.0", "116.5"]) + &line(1, ["30", "116.5"]));
    let plan = place.runner("--input edits.jsonl --dry-run --json").exits(0).json();
    assert_eq!((&plan["duplicates"], &plan["different_contents"]), (&1.into(), &1.into()));
    place.write("edits.jsonl", list(["30", "116.6"]));
    place.runner(&job).at(&service).exits(2);
    assert_eq!(service.stats().edited_once(), 2);
}

/// A ledger of version 0.1 knows the content by its numbers as they were written.
#[test]
fn a_ledger_from_before_knows_its_contents() {
    let (place, service) = (Place::new(), Service::start("20026=100%"));
    let body = r#"[{"MsgType":"TIMLocationElem","MsgContent":{"Latitude":30.0,"Longitude":-0}}]"#;
    let list =
        |body: &str| format!(r#"{{"From_Account":"a","To_Account":"b","MsgKey":"1_2_1786000000","MsgBody":{body}}}"#);
    place.write("edits.jsonl", list(body));
    let job = format!("--input edits.jsonl --resume ledger.db --json {FAST}");
    place.runner(&job).at(&service).exits(1);
    let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "1_2_1786000000".into() };
    let wanted = Edit::new(id, Some(MsgBody::parse(body).unwrap()), None).unwrap().wanted();
    let content = || -> Vec<u8> {
        let ledger = Connection::open(place.path("ledger.db")).unwrap();
        ledger.query_row("SELECT content FROM edit", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(content(), wanted.content.0);
    let before = wanted.content_as_written.unwrap().0;
    Connection::open(place.path("ledger.db")).unwrap().execute("UPDATE edit SET content = ?1", [before]).unwrap();
    // The list that it was made with fits; a conflict would be exit 2.
    let plan = place.runner(&format!("{job} --dry-run")).at(&service).exits(0).json();
    assert_eq!((&plan["failed"], &plan["to_send"]), (&1.into(), &0.into()));
    service.set_faults("none");
    let summary = place.runner(&format!("{job} --retry-failed")).at(&service).exits(0).summary();
    assert_eq!(summary, Summary { rows: 1, done: 1, ..Summary::default() });
    // From now on it is known by value.
    assert_eq!(content(), wanted.content.0);
    place.write("edits.jsonl", list(&body.replace("30.0", "30")));
    place.runner(&job).at(&service).exits(0);
    assert_eq!(service.stats().edited_once(), 1);
}

#[test]
fn the_plan_shows_the_new_content_to_a_person_only() {
    let place = Place::new();
    place.write("job.toml", "[content]\ntext = '[{{ n }}] planted'\ncloud_custom_data = ''\n");
    place.write(
        "edits.csv",
        "from_account,to_account,msg_key,n\na,b,1_2_1786000001,\u{1b}[2J\na,c,1_2_1786000001,2\na,d,1_2_1786000001,2\n",
    );
    let flags = "--job job.toml --input edits.csv --sandbox --dry-run";
    let shown = place.terminal(flags).exits(0).out.replace('\r', "");
    insta::assert_snapshot!(anstream::adapter::strip_str(&shown).to_string(), @r#"
    Plan for edits.csv: app 1400000000 at sandbox
      rows      3
      messages  3   in 3 conversations
      to send   3   197 bytes of new content
      takes about 1 s at 200 requests a second
      new content  "[\u{1b}[2J] planted" (1 text element)
      custom data  cleared
      2 different contents; this is the first row's
    "#);
    for flags in [flags.to_owned(), format!("{flags} --json")] {
        let ran = place.runner(&flags).exits(0);
        assert!(!format!("{}{}", ran.out, ran.err).contains("planted"), "{ran:#?}");
    }
    assert_eq!(place.runner(&format!("{flags} --json")).exits(0).json()["different_contents"], 2);
    let lines: Vec<String> = (0..1_001).map(|number| format!("a,b,{number}_2_1786000001,{number}\n")).collect();
    place.write("edits.csv", format!("from_account,to_account,msg_key,n\n{}", lines.concat()));
    assert_eq!(place.runner(&format!("{flags} --json")).exits(0).json()["different_contents"], Value::Null);
    let shown = place.terminal(flags).exits(0).out;
    assert!(shown.contains("more than 1,000 different contents"), "{shown}");
}
