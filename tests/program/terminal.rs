//! In a terminal: who is there is asked, and shown how far it is.

use crate::harness::{Place, Service};

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

#[test]
fn yes_is_yes_and_a_bar_shows_how_far_it_is() {
    for answer in ["y\n", "Yes\n"] {
        let shown = check("-v", answer, 0, 120);
        assert!(shown.contains(QUESTION), "{shown}");
        assert!(shown.contains('━') && shown.contains(" of 120 · "), "no bar in {shown}");
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
