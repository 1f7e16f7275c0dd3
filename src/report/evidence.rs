//! Whether a ledger was altered, for people and for programs.

use thousands::Separable;

use super::format::{FORMAT, LogObject, VerifyObject};
use crate::evidence::{Checkpoint, NamedCheckpoint, Proof};
use crate::ledger::{LedgerAddress, Verification};
use crate::terminal::escape::escape_control;
use crate::words::Lang;

/// The head of a log, for programs.
pub fn log(head: &Checkpoint) -> LogObject {
    LogObject { origin: head.origin.clone(), size: head.size, root: head.root() }
}

/// The head of a log, for people.
pub fn log_line(head: &Checkpoint, lang: Lang) -> String {
    lang.say(format_args!("{} events, head {}", many(head.size), head.root()))
}

/// Whether a ledger is what its log says, as a report has it.
pub fn verdict(holds: Option<bool>, lang: Lang) -> String {
    lang.say(match holds {
        Some(true) => {
            "Verified: all that the ledger says follows from it. It was not compared with heads from outside."
        }
        Some(false) => "The ledger was altered, or is damaged: runner verify tells more.",
        None => "The ledger was not verified: runner report and runner verify do.",
    })
}

/// The result, for programs.
pub fn object(ledger: &LedgerAddress, verified: &Verification, heads: &[NamedCheckpoint]) -> VerifyObject {
    VerifyObject {
        format: FORMAT,
        file: ledger.to_string(),
        holds: verified.holds(),
        log: Some(log(&verified.head)),
        began: verified.why.clone(),
        sending: verified.sending,
        alterations: verified.alterations.iter().map(ToString::to_string).collect(),
        more_alterations: verified.more,
        heads: heads.len() as u64,
        agrees_up_to: verified.agrees.as_ref().map(|agrees| agrees.size),
        unseen: Some(verified.unseen()),
    }
}

/// The result of proofs, for programs.
pub fn proofs_object(file: &str, proofs: &[Proof], heads: &[NamedCheckpoint], holds: bool) -> VerifyObject {
    let known = proofs.first().filter(|_| holds && !heads.is_empty());
    VerifyObject {
        format: FORMAT,
        file: file.to_owned(),
        holds,
        log: proofs.first().map(|proof| log(&proof.checkpoint)),
        began: None,
        sending: 0,
        alterations: Vec::new(),
        more_alterations: 0,
        heads: heads.len() as u64,
        agrees_up_to: known.map(|proof| proof.checkpoint.size),
        unseen: None,
    }
}

fn many(number: u64) -> String {
    number.separate_with_commas()
}

/// The result, for people: what was altered, and what cannot be seen.
pub fn text(
    ledger: &LedgerAddress,
    verified: &Verification,
    heads: &[NamedCheckpoint],
    may_lack_commits: bool,
    lang: Lang,
) -> String {
    let Verification { head, alterations, .. } = verified;
    let name = escape_control(&ledger.to_string()).into_owned();
    let events = many(head.size);
    let mut lines = Vec::new();
    if verified.holds() {
        lines.push(
            lang.say(format_args!("{name} holds: all that it says follows from the {events} events of its log.")),
        );
    } else {
        lines.push(lang.say(format_args!("{name} was altered, or is damaged:")));
        let told = alterations.iter().map(|alteration| escape_control(&alteration.to_string()).into_owned());
        lines.extend(told.map(|told| format!("  {}", lang.say(told))));
        if verified.more > 0 {
            lines.push(format!("  {}", lang.say(format_args!("and {} more", many(verified.more)))));
        }
    }
    lines.push(lang.say(format_args!("Head of the log: {} at {events} events, {}", head.origin, head.root())));
    match verified.why.as_deref() {
        Some("upgraded") => lines.push(lang.say(
            "The log began when an older ledger was upgraded; of the time before, it has only how things stood then.",
        )),
        Some("copied") => lines.push(lang.say(
            "The log began when the ledger was copied; its first event names the head of the log that was copied, if it had one.",
        )),
        Some(_) | None => {}
    }
    if verified.sending > 0 {
        lines.push(lang.say(format_args!(
            "{} edits are being sent, or were when the process died; the log does not have their outcomes yet.",
            many(verified.sending)
        )));
    }
    if may_lack_commits {
        lines.push(lang.say(
            "The last run never ended, and the file's log (-wal) is not beside it: its newest events may be missing.",
        ));
    }
    match &verified.agrees {
        Some(agrees) if !verified.holds() => lines.push(lang.say(format_args!(
            "It agrees with the heads from outside up to {} events, and not beyond.",
            many(agrees.size)
        ))),
        Some(agrees) => lines.push(lang.say(format_args!(
            "It agrees with the heads from outside up to {} events. {} events follow; their loss would not show.",
            many(agrees.size),
            many(verified.unseen())
        ))),
        None if heads.is_empty() => lines.push(lang.say(
            "No head from outside was given (--checkpoint): one who has rewritten all of it, the log too, is not found out.",
        )),
        None => {}
    }
    lines.join("\n") + "\n"
}

/// The result of proofs, for people. `wrong` does not hold, and `unknown` is of no head that was given.
pub fn proofs_text(
    file: &str,
    proofs: &[Proof],
    wrong: Option<usize>,
    unknown: Option<usize>,
    has_heads: bool,
    lang: Lang,
) -> String {
    let file = escape_control(file);
    let mut lines = Vec::new();
    match (wrong, unknown) {
        (Some(wrong), _) => {
            lines.push(lang.say(format_args!("{file}: proof {} does not hold: event or proof was altered.", wrong + 1)));
        }
        (None, Some(unknown)) => lines.push(lang.say(format_args!(
            "{file}: proof {} is of a head that is none of those given: the log is another one, or that head was not kept (runner prove --checkpoint proves for one that was).",
            unknown + 1
        ))),
        (None, None) => {
            let events = many(proofs.len() as u64);
            lines.push(lang.say(format_args!("{file}: {events} events, each proven to be in its log:")));
        }
    }
    if let (None, Some(Proof { checkpoint, .. })) = (wrong, proofs.first()) {
        let (origin, events) = (escape_control(&checkpoint.origin), many(checkpoint.size));
        lines.push(lang.say(format_args!("Head of the log: {origin} at {events} events, {}", checkpoint.root())));
    }
    if !has_heads {
        lines.push(lang.say("Compare it with a head that was kept outside (--checkpoint): anybody can make a log, and prove its events."));
    }
    lines.join("\n") + "\n"
}
