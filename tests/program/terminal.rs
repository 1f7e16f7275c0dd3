//! In a terminal: the program asks for consent, and shows its progress.

use rusqlite::Connection;

use crate::support::harness::{Place, Summary, gzip, list, row, wait_for};
use crate::support::service::Service;

/// Answers the question with this line: how the program exits, and how many edits are done.
fn check(flags: &str, answer: &str, code: i32, edits: u64) -> String {
    let (place, service) = (Place::with_list(120), Service::start("none"));
    let job = format!("--input edits.csv --resume ledger.db --endpoint {} {flags}", service.url);
    let shown = place.terminal(&job).credentials().input(answer).exits(code).out;
    assert_eq!(service.stats().edited_once(), edits, "{shown}");
    assert_eq!(place.path("ledger.db").exists(), edits > 0, "{shown}");
    assert!(shown.contains("to send   120"), "the plan is not in {shown}");
    shown
}

const QUESTION: &str = "Send 120 edits? They cannot be undone. [y/N]";

#[test]
fn nothing_is_sent_without_a_yes() {
    for answer in ["n\n", "\n", "yep\n", ""] {
        let shown = check("", answer, 2, 0);
        assert!(shown.contains(QUESTION) && shown.contains("Nothing was sent."), "{answer:?}: {shown}");
    }
}

/// The operator is told what yes means for the edits that may have taken effect already.
#[test]
fn the_question_names_what_is_in_doubt() {
    let (place, service) = (Place::with_list(5), Service::start("lost-after=100%"));
    place.runner("--input edits.csv --resume ledger.db --in-doubt hold --max-rows 3").at(&service).exits(1);
    let asks = |flags: &str, question: &str| {
        let job = format!("--input edits.csv --resume ledger.db --endpoint {} {flags}", service.url);
        let shown = place.terminal(&job).credentials().input("n\n").exits(2).out;
        assert!(shown.contains(&format!("{question}? They cannot be undone. [y/N]")), "{question:?} is not in {shown}");
    };
    let read_back = "to be read back first and sent only where they did not take place";
    asks("", &format!("Send 5 edits, among them 3 in doubt, {read_back}"));
    asks("--max-rows 2", &format!("Send 2 edits, among them up to 2 in doubt, {read_back}"));
    let again = "to be sent again although they may have taken place already";
    asks("--in-doubt retry", &format!("Send 5 edits, among them 3 in doubt, {again}"));
    asks("--in-doubt hold", "Send 2 edits");
    assert_eq!(service.stats().requests(), 3);
}

#[test]
fn yes_is_yes_and_a_bar_shows_how_far_it_is() {
    for answer in ["y\n", "Yes\n"] {
        let shown = check("-v", answer, 0, 120);
        assert!(shown.contains(QUESTION), "{shown}");
        assert!(shown.contains('━') && shown.contains(" of 120 done · "), "no bar in {shown}");
        // Log lines stand above the bar, each on a line of its own, not torn.
        let whole = |line: &&str| line.contains("DEBUG answered line=") && line.ends_with("verdict=Done");
        assert_eq!(shown.lines().filter(whole).count(), 120, "{shown}");
    }
}

#[test]
fn whoever_says_it_beforehand_is_not_asked() {
    let shown = check("--yes --no-progress", "", 0, 120);
    assert!(!shown.contains("[y/N]") && !shown.contains('━'), "{shown}");
}

/// Nobody is left to read any output then, and writing it once ended the process.
#[test]
fn a_terminal_that_is_closed_leaves_nothing_in_doubt() {
    let (place, service) = (Place::with_list(400), Service::start("latency=20ms..80ms"));
    let job = format!("--input edits.csv --resume ledger.db --yes -v --endpoint {}", service.url);
    let run = place.terminal(&job).credentials().start();
    service.wait_for_requests(100);
    assert!(run.kill(), "it was too fast");
    let ledger = Connection::open(place.path("ledger.db")).unwrap();
    let ended = || ledger.query_row("SELECT ended FROM run", [], |row| row.get::<_, Option<String>>(0)).unwrap();
    assert_eq!(wait_for("the end of the run", ended), "interrupted");
    drop(ledger);
    let requests = service.stats().requests();
    assert!(requests < 400, "it was too fast");
    let ran = place.runner("--input edits.csv --resume ledger.db --json").at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 400, done: 400, ..Summary::default() });
    let this_run = &ran.json()["this_run"];
    assert_eq!((&this_run["requests"], &this_run["read_backs"]), (&(400 - requests).into(), &0.into()));
}

/// A list's problems are shown with their context, but only in a terminal: the context is message text.
#[test]
fn what_stands_at_a_problem_is_for_the_eyes_only() {
    let place = Place::new();
    let bad: String = (2..=13).map(|number| row(number, "private").replace("MsgContent", "MsgContents")).collect();
    let edits = format!("{}{}user_14,user_0,14_7_1773188576,\u{1b}[2Jprivate\u{202e}\n", list(1..=1, "new"), bad);
    place.write("edits.csv", &edits);
    place.write("packed.csv.gz", gzip(&edits));
    for list in ["edits.csv", "packed.csv.gz"] {
        let shown = place.terminal(&format!("--input {list} --dry-run --log-file run.log -vv")).exits(2).out;
        let shown = shown.replace('\r', "");
        // The one-line form stays, for searching.
        assert_eq!(shown.lines().filter(|line| line.starts_with(&format!("{list}: line "))).count(), 13, "{shown}");
        assert!(shown.contains("\n3 | …") && shown.contains("\n  | "), "{shown}");
        assert_eq!(shown.matches("^ msg_body\n").count(), 10, "{shown}");
        assert!(!shown.contains('\u{202e}') && !shown.contains("\u{1b}[2J"), "{shown:?}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        let piped = place.runner(&format!("--input {list} --dry-run --log-file run.log -vv")).exits(2);
        assert!(!piped.err.contains("private") && !piped.err.contains("  |"), "{piped:#?}");
        assert_eq!(piped.err.lines().count(), 14, "{piped:#?}");
    }
    assert!(!place.read("run.log").contains("private"));
}

#[test]
fn what_is_wrong_with_a_job_file_is_shown_there() {
    let place = Place::with_list(1);
    place.write("job.toml", "[pace]\nrate = \"fast\"\n");
    let ran = place.runner("--input edits.csv --dry-run --job job.toml").exits(2);
    insta::assert_snapshot!(ran.err, @r#"
    error: the job file job.toml: line 2, column 8: invalid type: string "fast", expected a nonzero u32
      |
    2 | rate = "fast"
      |        ^^^^^^
    "#);
}
