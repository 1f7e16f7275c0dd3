//! Several lists in one job.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::harness::{FAST, Place, Summary, list};
use crate::support::service::Service;

/// A list of the request bodies of these messages.
fn jsonl(numbers: impl IntoIterator<Item = u32>) -> String {
    let line = |number| {
        let body = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"new"}}]"#;
        format!(
            r#"{{"From_Account":"user_{number}","To_Account":"user_0","MsgKey":"{number}_7_1773188576","MsgBody":{body}}}"#
        ) + "\n"
    };
    numbers.into_iter().map(line).collect()
}

/// A CSV list and a JSONL list.
fn place(first: u32, second: u32) -> Place {
    let place = Place::new();
    place.write("a.csv", list(1..=first, "new"));
    place.write("b.jsonl", jsonl(first + 1..=first + second));
    place
}

fn done(rows: u32) -> Summary {
    Summary { rows: rows.into(), done: rows.into(), ..Summary::default() }
}

/// The rows of a query, their columns separated by `|`.
fn query(place: &Place, query: &str) -> Vec<String> {
    let ledger = Connection::open(place.path("ledger.db")).unwrap();
    let mut statement = ledger.prepare(query).unwrap();
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let cells: Vec<String> = (0..columns)
            .map(|index| match row.get::<_, rusqlite::types::Value>(index).unwrap() {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => format!("{other:?}"),
            })
            .collect();
        Ok(cells.join("|"))
    };
    statement.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// Interrupted within one of the lists, and resumed by the command that it prints.
fn check_interrupted(first: u32, second: u32) {
    let (place, rows) = (place(first, second), first + second);
    let service = Service::start("latency=20ms..80ms");
    let run = place.runner("--input a.csv --input b.jsonl --resume ledger.db --rate 200").at(&service).start();
    service.wait_for_requests(150);
    run.signal("INT");
    let ran = run.exits(130);
    let sent = service.stats().edited_once();
    assert!(sent < rows.into(), "it was too fast to be interrupted");
    let command = ran.out.split("runner").last().unwrap();
    assert!(command.contains("--input a.csv --input b.jsonl"), "{ran:#?}");
    let resumed = place.shell(&format!("{} --json", ran.resume_command())).credentials().exits(0);
    assert_eq!(resumed.summary(), done(rows));
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (rows.into(), rows.into()));
    let of_lists = "SELECT coalesce(name, '-'), count(*) FROM edit LEFT JOIN run_list USING (run, list) GROUP BY name";
    assert_eq!(query(&place, of_lists), [format!("a.csv|{first}"), format!("b.jsonl|{second}")]);
    // The line of each edit, in the list that it came from.
    let line = "CASE name WHEN 'a.csv' THEN CAST(msg_key AS INTEGER) + 1 ELSE CAST(msg_key AS INTEGER) - ";
    let wrong =
        format!("SELECT msg_key, line FROM edit JOIN run_list USING (run, list) WHERE line <> {line}{first} END");
    assert_eq!(query(&place, &wrong), Vec::<String>::new());
}

#[test]
fn a_run_that_is_interrupted_in_its_first_list_goes_on() {
    check_interrupted(300, 100);
}

#[test]
fn a_run_that_is_interrupted_in_its_second_list_goes_on() {
    check_interrupted(100, 300);
}

/// Edits are known by their message, so it does not matter which lists come and go, and in which order.
#[test]
fn lists_may_be_added_and_dropped() {
    let (place, service) = (place(30, 20), Service::start("none"));
    let run = |lists: &str, code: i32| {
        place.runner(&format!("{lists} --resume ledger.db --json {FAST}")).at(&service).exits(code)
    };
    let first = run("--input a.csv --max-rows 10", 0);
    assert_eq!(first.summary(), Summary { rows: 30, done: 10, not_reached: 20, ..Summary::default() });
    let second = run("--input a.csv --input b.jsonl --max-rows 30", 0);
    assert_eq!(second.summary(), Summary { rows: 50, done: 40, not_reached: 10, ..Summary::default() });
    assert_eq!(run("--input b.jsonl", 0).summary(), done(20));
    assert_eq!(run("--input b.jsonl --input a.csv", 0).summary(), done(50));
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (50, 50));

    assert_eq!(
        query(&place, "SELECT run, input, input_rows FROM run ORDER BY run"),
        ["1|a.csv|30", "2|a.csv, b.jsonl|50", "3|b.jsonl|20", "4|b.jsonl, a.csv|50"]
    );
    assert_eq!(
        query(&place, r#"SELECT run, list, name, "rows" FROM run_list ORDER BY run, list"#),
        ["2|1|a.csv|30", "2|2|b.jsonl|20", "4|1|b.jsonl|20", "4|2|a.csv|30"]
    );
    // As people without this program compute them.
    let digest = |command: &str| place.shell(command).exits(0).out.split_whitespace().next().unwrap().to_owned();
    let both = digest("sha256sum a.csv b.jsonl | cut -c 1-64 | sha256sum");
    let [a, b] = ["a.csv", "b.jsonl"].map(|name| digest(&format!("sha256sum {name}")));
    assert_eq!(query(&place, "SELECT input_sha256 FROM run WHERE run < 4 ORDER BY run"), [a.as_str(), &both, &b]);
    assert_eq!(query(&place, "SELECT sha256 FROM run_list WHERE run = 2 ORDER BY list"), [a, b]);
}

/// The rows that failed are lists again, each in the format of its own.
#[test]
fn failed_rows_go_to_a_file_for_each_list() {
    let place = Place::new();
    std::fs::create_dir(place.path("old")).unwrap();
    let service = Service::start("20026=100%");
    place.write("a.csv", list(1..=2, "new"));
    place.write("old/a.csv", list(3..=4, "new").replace(",msg_body", ", msg_body"));
    place.write("b.jsonl", jsonl(5..=6));
    let lists = "--input a.csv --input old/a.csv --input b.jsonl";
    let job = format!("{lists} --resume ledger.db --json {FAST}");
    let ran = place.runner(&job).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 6, failed: 6, ..Summary::default() });
    let names = ["ledger.a.failed.csv", "ledger.a.failed-2.csv", "ledger.b.failed.jsonl"];
    assert_eq!(ran.json()["failed_rows"], names[0]);
    assert_eq!(ran.json()["more_failed_rows"], Value::from(names[1..].to_vec()));
    let rows = names.map(|name| place.read(name));
    assert!(
        rows[0].starts_with(
            "from_account,to_account,msg_key,msg_body,_code,_meaning,_attempts,_line,_apostrophes\nuser_1,"
        )
    );
    assert!(
        rows[1].starts_with(
            "from_account,to_account,msg_key, msg_body,_code,_meaning,_attempts,_line,_apostrophes\nuser_3,"
        )
    );
    assert!(rows[2].starts_with(r#"{"From_Account":"user_5","#) && rows[2].contains("\"_line\":2}"), "{}", rows[2]);
    let shown = place.runner(&format!("{lists} --resume ledger.db")).at(&service).exits(1);
    for name in names {
        assert!(shown.out.contains(&format!("Rows that failed or are in doubt: {name}\n")), "{shown:#?}");
    }

    // They fail again: the lists stay as they are, and what fails of them goes elsewhere.
    let again = names.map(|name| format!("--input {name}")).join(" ");
    let again = format!("{again} --resume ledger.db --json --retry-failed {FAST}");
    let ran = place.runner(&again).at(&service).exits(1);
    assert_eq!(ran.json()["failed_rows"], "ledger.a.failed-3.csv");
    assert_eq!(ran.json()["more_failed_rows"], Value::from(vec!["ledger.a.failed-4.csv", "ledger.b.failed-2.jsonl"]));
    assert!(names.map(|name| place.read(name)) == rows);
    service.set_faults("none");
    assert_eq!(place.runner(&again).at(&service).exits(0).summary(), done(6));
    assert_eq!(service.stats().edited_once(), 6);
    assert!(!place.path("ledger.a.failed-3.csv").exists() && !place.path("ledger.b.failed-2.jsonl").exists());

    // The first lists again: nothing is left to do, and what tells of failures goes.
    place.runner(&job).at(&service).exits(0);
    assert!(names.iter().all(|name| !place.path(name).exists()));
}

#[test]
fn a_list_of_which_nothing_failed_has_no_file_of_failed_rows() {
    let (place, service) = (place(3, 3), Service::start("none"));
    place.runner(&format!("--input a.csv --resume ledger.db {FAST}")).at(&service).exits(0);
    service.set_faults("20026=100%");
    let job = format!("--input a.csv --input b.jsonl --resume ledger.db --json {FAST}");
    let ran = place.runner(&job).at(&service).exits(1);
    let json = ran.json();
    assert_eq!((&json["failed_rows"], json.get("more_failed_rows")), (&"ledger.b.failed.jsonl".into(), None));
    assert!(!place.path("ledger.a.failed.csv").exists());
}

#[test]
fn problems_and_plans_name_the_list() {
    let place = place(3, 2);
    let plan = place.runner("--input a.csv --input b.jsonl --dry-run").exits(0);
    assert!(plan.out.starts_with("Plan for a.csv, b.jsonl\n") && plan.out.contains("rows      5"), "{plan:#?}");
    let json = place.runner("--input a.csv --input b.jsonl --dry-run --json").exits(0).json();
    let inputs: Vec<_> = json["inputs"].as_array().unwrap().iter().map(|list| (&list["name"], &list["rows"])).collect();
    assert_eq!(inputs, [(&"a.csv".into(), &3.into()), (&"b.jsonl".into(), &2.into())]);
    assert_eq!(place.runner("--input a.csv --dry-run --json").exits(0).json().get("inputs"), None);

    place.write("c.csv", list([9, 2], "other").replace("9_7_1773188576", ""));
    let ran = place.runner("--input a.csv --input b.jsonl --input c.csv --dry-run").exits(2);
    for says in [
        "c.csv: line 2, column msg_key: ",
        "c.csv: line 3: wants another content for the message of line 3 of \"a.csv\"; a message is edited once",
        "error: the list has 2 problems; nothing was sent",
    ] {
        assert!(ran.err.contains(says), "{says:?} is not in {ran:#?}");
    }
    let twice = place.runner("--input a.csv --input ./a.csv --dry-run").exits(2);
    assert!(twice.err.contains(r#""./a.csv" and "a.csv" are the same file; give each list once"#), "{twice:#?}");
}

#[test]
fn standard_input_is_one_of_the_lists() {
    let (place, service) = (place(3, 2), Service::start("none"));
    let job = format!("--input a.csv --input - --input-format jsonl --resume ledger.db --json {FAST}");
    let ran = place.runner(&job).input(place.read("b.jsonl")).at(&service).exits(0);
    assert_eq!(ran.summary(), done(5));
    assert_eq!(query(&place, "SELECT name FROM run_list ORDER BY list"), ["a.csv", "standard input"]);
    let twice = place.runner("--input - --input - --input-format csv --dry-run").exits(2);
    assert!(twice.err.contains("standard input (--input -) is given twice"), "{twice:#?}");
    // The same file by another way.
    let program = crate::support::harness::PROGRAM;
    let ran = place.shell(&format!("'{program}' --input a.csv --input - --dry-run < a.csv")).exits(2);
    assert!(ran.err.contains("are the same file"), "{ran:#?}");
}

#[test]
fn no_list_is_written_over() {
    let place = place(3, 2);
    std::fs::create_dir(place.path("audit")).unwrap();
    std::fs::rename(place.path("a.csv"), place.path("audit/failed.csv")).unwrap();
    let before = place.read("audit/failed.csv");
    for lists in ["--input b.jsonl --input audit/failed.csv", "--input audit/failed.csv --input b.jsonl"] {
        let ran = place.runner(&format!("{lists} --resume ledger.db --report audit --sandbox")).exits(2);
        let says = "error: the report's failed.csv (--report) and the list (--input) would be one file";
        assert!(ran.err.contains(says), "{ran:#?}");
    }
    assert_eq!(place.read("audit/failed.csv"), before);
    assert!(!place.path("ledger.db").exists());
}

/// What the report lists, with the list and the line of each row.
fn listed(place: &Place, name: &str) -> Vec<String> {
    let text = place.read(Path::new("out").join(name).to_str().unwrap());
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().unwrap().clone();
    let at = |name: &str| header.iter().position(|column| column == name).unwrap();
    let (list, line) = (at("_list"), at("_line"));
    reader.records().map(Result::unwrap).map(|row| format!("{} {}", &row[list], &row[line])).collect()
}

#[test]
fn a_report_names_each_list_with_its_digest() {
    let (place, service) = (place(3, 2), Service::start("none"));
    let lists = "--input a.csv --input b.jsonl";
    place.runner(&format!("{lists} --resume ledger.db --max-rows 1 {FAST}")).at(&service).exits(0);
    service.set_faults("20026=100%");
    place.runner(&format!("{lists} --resume ledger.db --max-rows 3 {FAST}")).at(&service).exits(1);
    let report = place.runner("report ledger.db").exits(0).out;
    let page = place.runner("report ledger.db --html page.html").exits(0);
    assert_eq!(page.out, "");
    let page = place.read("page.html");
    let json = place.runner("report ledger.db --json").exits(0).json();
    for (index, name) in ["a.csv", "b.jsonl"].into_iter().enumerate() {
        let digest = place.shell(&format!("sha256sum {name}")).exits(0).out[..64].to_owned();
        let whole = report.split_whitespace().collect::<String>();
        assert!(whole.contains(&format!("{name}SHA-256{digest}")), "{report}");
        assert!(page.contains(&format!("{name} SHA-256 <code>{digest}</code>")), "{page}");
        assert_eq!(json["runs"][1]["inputs"][index]["sha256"], digest);
    }
    assert!(report.contains("b.jsonl, line 1: user_4"), "{report}");

    // Its last run had both lists, so it finds them itself.
    place.runner("report ledger.db --csv out").exits(0);
    assert_eq!(listed(&place, "failed.csv"), ["a.csv 3", "a.csv 4", "b.jsonl 1"]);
    assert_eq!(listed(&place, "not_reached.csv"), ["b.jsonl 2"]);
    place.runner(&format!("report ledger.db --csv out {lists}")).exits(0);
    assert_eq!(listed(&place, "not_reached.csv"), ["b.jsonl 2"]);
    place.write("b.jsonl", jsonl(4..=6));
    let ran = place.runner("report ledger.db --csv out").exits(0);
    assert!(
        ran.err.contains("not_reached.csv is left out: a.csv, b.jsonl is not what it was in the last run"),
        "{ran:#?}"
    );
}

/// The stop names the list, so that the row can be found.
#[test]
fn a_reason_to_stop_names_the_list() {
    let (place, service) = (place(1, 3), Service::start("none"));
    let job = format!("--input a.csv --input b.jsonl --resume ledger.db {FAST}");
    place.runner(&format!("{job} --max-rows 1")).at(&service).exits(0);
    service.set_faults("70009=100%");
    let ran = place.runner(&format!("{job} --concurrency 1")).at(&service).exits(3);
    assert!(ran.out.contains("is line 1 of \"b.jsonl\": MsgKey"), "{ran:#?}");
}
