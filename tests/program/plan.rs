//! The plan that is shown before anything is sent, and what it refuses.

use insta::assert_snapshot;
use jiff::Timestamp;
use serde_json::json;

use crate::support::harness::{FAST, Place, Summary, list, row};
use crate::support::service::Service;

/// A list with two messages of one conversation, one row twice, and an element of a kind that is not known.
fn mixed() -> String {
    let odd = "user_9,user_0,9_7_1773188576,\"[{\"\"MsgType\"\":\"\"TIMNewElem\"\",\"\"MsgContent\"\":{}}]\"\n";
    let same_people = row(10, "new").replace("user_10", "user_1");
    [list(1..=3, "new"), row(2, "new"), same_people, odd.to_owned()].concat()
}

/// The list with messages of today: a plan warns about old ones, if they are not a stand-in's.
fn new(list: &str) -> String {
    list.replace("1773188576", &Timestamp::now().as_second().to_string())
}

#[test]
fn a_dry_run_prints_the_plan_and_needs_no_service() {
    let place = Place::new();
    place.write("edits.csv", new(&mixed()));
    let before = place.files();
    let ran = place.runner("--input edits.csv --dry-run").exits(0);
    assert_snapshot!(ran.out, @r#"
    Plan for edits.csv
      rows        6
      messages    5   in 4 conversations
      duplicates  1   rows that repeat another; each message is sent once
      to send     5   262 bytes of new content
      takes about 1 s at 200 requests a second
    warning: line 7 (1 row): MsgBody element 1 is of the unknown type "TIMNewElem", and is sent as it is
    "#);
    assert_eq!(ran.err, "");
    assert_eq!(place.files(), before);
}

#[test]
fn as_json_it_has_the_numbers() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", mixed());
    let before = place.files();
    let flags = "--input edits.csv --resume ledger.db --dry-run --json --rate 2 --max-rows 3";
    let plan = place.runner(flags).at(&service).exits(0).json();
    let numbers = |names: &[&str]| names.iter().map(|name| plan[name].clone()).collect::<Vec<_>>();
    assert_eq!(numbers(&["rows", "messages", "duplicates", "conversations"]), [6, 5, 1, 4]);
    assert_eq!(numbers(&["done", "failed", "in_doubt", "to_send", "planned"]), [0, 0, 0, 5, 3]);
    assert_eq!(numbers(&["format", "not_reached", "rate", "seconds_left"]), [1, 5, 2, 2]);
    assert_eq!(plan["job"]["sdkappid"], 1_400_000_000);
    assert_eq!(plan["warnings"].as_array().unwrap().len(), 1);
    assert_eq!(plan["input_sha256"].as_str().unwrap().len(), 64);
    // No ledger, and no other file, was made.
    assert_eq!((place.files(), service.stats().requests()), (before, 0));
}

#[test]
fn a_dry_run_reads_a_ledger_and_leaves_it_as_it_was() {
    let (place, service) = (Place::with_list(10), Service::start("none"));
    place.runner("--input edits.csv --resume ledger.db --max-rows 4").at(&service).exits(0);
    let (files, stats) = (place.files(), service.stats());
    let plan = place.runner("--input edits.csv --resume ledger.db --dry-run --json").at(&service).exits(0).json();
    assert_eq!((&plan["done"], &plan["to_send"]), (&4.into(), &6.into()));
    assert_eq!((place.files(), service.stats()), (files, stats));
}

/// A killed process leaves a ledger whose last commits are in the log next to it. A plan has to read both, and
/// checkpoint nothing.
#[test]
fn a_dry_run_leaves_alone_what_a_killed_process_left() {
    let (place, service) = (Place::with_list(10), Service::start("silent-before=100%"));
    let run = place.runner("--input edits.csv --resume ledger.db --timeout 60s").at(&service).start();
    // The others follow the first answer.
    service.wait_for_requests(1);
    run.kill();
    let files = place.files();
    assert!(files["ledger.db-wal"].len() > 1_000, "the last commits are in the log");
    let dry_run = || place.runner("--input edits.csv --resume ledger.db --dry-run --json").at(&service).exits(0).json();
    let plan = dry_run();
    assert_eq!((&plan["to_read_back"], &plan["to_send"]), (&1.into(), &9.into()));
    assert_eq!(dry_run(), plan);
    assert!(place.files() == files, "the ledger or its log was changed");
}

/// Edits that an operator allows to be sent a second time were once silently counted among those to send.
#[test]
fn what_is_in_doubt_is_planned_as_it_will_be_settled() {
    let (place, service) = (Place::with_list(5), Service::start("lost-after=100%"));
    place.runner("--input edits.csv --resume ledger.db --in-doubt hold --max-rows 3").at(&service).exits(1);
    let plan = |flags: &str| {
        let call = place.runner(&format!("--input edits.csv --resume ledger.db --dry-run {flags}"));
        call.at(&service).exits(0)
    };
    // The first line has the service's port.
    let lines = |flags: &str| plan(flags).out.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert_snapshot!(lines("--in-doubt verify"), @"
      rows          5
      messages      5   in 5 conversations
      to read back  3   in doubt since an earlier run; sent where not edited
      to send       2   110 bytes of new content
      takes about 11 s at 200 requests a second
    ");
    assert_snapshot!(lines("--in-doubt retry"), @"
      rows      5
      messages  5   in 5 conversations
      in doubt  3   sent again unseen; they may have taken place already
      to send   5   275 bytes of new content
      takes about 11 s at 200 requests a second
    ");
    assert_snapshot!(lines("--in-doubt hold"), @"
      rows      5
      messages  5   in 5 conversations
      in doubt  3   since an earlier run; held, see --in-doubt
      to send   2   110 bytes of new content
      takes about 1 s at 200 requests a second
    ");
    let json = plan("--in-doubt retry --json").json();
    let numbers = ["in_doubt", "to_read_back", "to_send", "to_send_in_doubt"].map(|name| json[name].clone());
    assert_eq!(numbers, [3, 0, 5, 3]);
    // An earlier process's sandbox ended with it, so nothing of it can be in flight.
    let rehearsal = "--input edits.csv --resume rehearsal.db --sandbox";
    place.runner(&format!("{rehearsal} --faults lost-after=100% --in-doubt hold --max-rows 3")).exits(1);
    let plan = place.runner(&format!("{rehearsal} --dry-run --json")).exits(0).json();
    assert_eq!((&plan["to_read_back"], &plan["seconds_left"]), (&3.into(), &2.into()));
}

/// The messages for a list with these lines after its header. Nothing is sent and no ledger is created.
fn check(rows: &str, says: &[&str]) {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", format!("{}{rows}", list([], "")));
    let before = place.files();
    for more in ["", " --dry-run"] {
        let ran = place.runner(&format!("--input edits.csv --resume ledger.db{more}")).at(&service).exits(2);
        for part in says {
            assert!(ran.err.contains(part), "{part:?} is not in {ran:#?}");
        }
        assert!(ran.err.ends_with("nothing was sent\n"), "{ran:#?}");
        assert_eq!(ran.out, "");
    }
    assert_eq!((place.files(), service.stats().requests()), (before, 0));
}

#[test]
fn problems_are_listed_with_their_place() {
    let good = row(1, "new");
    check(
        &format!("{good},user_0,5_7_1773188576,[]\nuser_1,user_0,6_7_1773188576,oops\nuser_1,user_0\n"),
        &[
            "edits.csv: line 3, column from_account: ",
            "edits.csv: line 3, column msg_body: ",
            "edits.csv: line 4, column msg_body: ",
            "edits.csv: line 5: ",
        ],
    );
}

#[test]
fn two_contents_for_one_message_name_both_lines() {
    check(
        &format!("{}{}{}", row(1, "a"), row(2, "a"), row(1, "b")),
        &["edits.csv: line 4: ", "of line 2;", "error: the list has 1 problem;"],
    );
}

#[test]
fn a_hundred_problems_are_listed_and_the_rest_counted() {
    let place = Place::new();
    place.write("edits.csv", format!("{}{}", list([], ""), "a,b,1_2_3,oops\n".repeat(250)));
    let ran = place.runner("--input edits.csv --dry-run").exits(2);
    assert_eq!(ran.err.matches("edits.csv: line ").count(), 100);
    assert!(ran.err.contains("edits.csv: and 150 more problems like these\n"), "{}", ran.err);
    assert!(ran.err.contains("error: the list has 250 problems; nothing was sent\n"), "{}", ran.err);
}

/// Long enough that several threads read it: their findings are combined as if one had read it.
#[test]
fn a_long_list_is_planned_like_a_short_one() {
    const ROWS: u32 = 12_000;
    let place = Place::new();
    let odd = |number: u32| row(number, "new").replace("TIMTextElem", "TIMNewElem");
    let rows = |repeated: &str| {
        let rows = (1..=ROWS).map(|number| if number.is_multiple_of(3) { odd(number) } else { row(number, "new") });
        new(&[list([], ""), rows.collect(), repeated.to_owned()].concat())
    };
    place.write("edits.csv", rows(&row(3, "new")));
    let ran = place.runner("--input edits.csv --dry-run").exits(2);
    let conflict = "line 12002: wants another content for the message of line 4;";
    assert!(ran.err.contains(conflict), "{}", ran.err);

    let repeated: String = (1..=500).map(|number| row(number * 3 - 1, "new")).collect();
    place.write("edits.csv", rows(&repeated));
    let plan = place.runner("--input edits.csv --dry-run --json").exits(0).json();
    let numbers =
        ["rows", "messages", "duplicates", "conversations", "to_send"].map(|name| plan[name].as_u64().unwrap());
    assert_eq!(numbers, [12_500, 12_000, 500, 12_000, 12_000]);
    let [warning] = plan["warnings"].as_array().unwrap().as_slice() else { panic!("{plan}") };
    assert_eq!((&warning["line"], &warning["rows"]), (&4.into(), &4_000.into()));

    let wrong = |number: u32| {
        if number.is_multiple_of(10) { row(number, "").replace("user_0", "") } else { row(number, "new") }
    };
    place.write("edits.csv", [list([], ""), (1..=ROWS).map(wrong).collect()].concat());
    let ran = place.runner("--input edits.csv --dry-run").exits(2);
    let told: Vec<&str> = ran.err.lines().filter(|line| line.contains(": line ")).collect();
    assert_eq!(told.len(), 100);
    for (told, line) in told.iter().zip((11..).step_by(10)) {
        assert!(told.contains(&format!(": line {line}, ")), "{line}: {told}");
    }
    assert!(ran.err.contains("and 1,100 more problems like these\n"), "{}", ran.err);
}

#[test]
fn a_long_list_is_compared_with_what_was_done() {
    let (place, service) = (Place::with_list(5_000), Service::start("none"));
    let run = format!("--input edits.csv --resume ledger.db {FAST}");
    place.runner(&run).at(&service).exits(0);
    // One has moved, one is new in the middle, and one at the end.
    let moved = (1..=5_000).filter(|number| *number != 4_400);
    let rows = moved.flat_map(|number| if number == 3_000 { vec![6_001, number] } else { vec![number] });
    place.write("edits.csv", list(rows.chain([4_400, 6_002]), "new"));
    let plan = place.runner("--input edits.csv --resume ledger.db --dry-run --json").at(&service).exits(0).json();
    assert_eq!((&plan["done"], &plan["to_send"], &plan["rows"]), (&5_000.into(), &2.into(), &5_002.into()));
    let summary = place.runner(&format!("{run} --json")).at(&service).exits(0).summary();
    assert_eq!((summary.done, service.stats().edited_once()), (5_002, 5_002));

    let other = list(1..=5_000, "new").replacen(&row(4_321, "new"), &row(4_321, "other"), 1);
    place.write("edits.csv", other);
    let ran = place.runner(&run).at(&service).exits(2);
    assert!(ran.err.contains("line 4322: the ledger has this message with another content (done);"), "{}", ran.err);
    assert_eq!(service.stats().edited_once(), 5_002);
}

#[test]
fn a_message_that_was_edited_is_not_edited_to_something_else() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    place.runner(&format!("--input edits.csv --resume ledger.db {FAST}")).at(&service).exits(0);
    place.write("edits.csv", format!("{}{}{}", list(1..=1, "new"), row(2, "other"), row(4, "new")));
    let files = place.files();
    let ran = place.runner("--input edits.csv --resume ledger.db").at(&service).exits(2);
    assert!(ran.err.contains("edits.csv: line 3: the ledger has this message with another content (done)"), "{ran:#?}");
    assert!(place.files() == files, "the ledger was changed");
    assert_eq!(service.stats().edited_once(), 3);
}

#[test]
fn a_row_that_is_there_twice_is_sent_once() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", mixed());
    let ran = place.runner("--input edits.csv --resume ledger.db --json").at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 6, done: 5, duplicates: 1, ..Summary::default() });
    assert_eq!(ran.json()["this_run"]["requests"], json!(5));
    assert_eq!(service.stats().edited_once(), 5);
}
