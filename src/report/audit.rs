//! What an audit has found, for people and for programs.

use std::io::Write;

use thousands::Separable;

use super::format::AuditFindings;
use super::lists::{EditListError, IDS, LOOK_UPS};
use crate::edit::IdDigest;
use crate::input::{APOSTROPHE_COLUMNS, write_header, write_row};
use crate::ledger::{AuditRecord, Cause, EditRecord, Found, LedgerError, Look, Overview};
use crate::run::at_most_defects;
use crate::system::digest::hex;
use crate::terminal::escape::escape_control;
use crate::words::{Words, iso};

/// Messages that are named one by one.
const NAMED: usize = 10;
const NOTES: [&str; 8] = ["_found", "_code", "_meaning", "_looked_at", "_content", "_run", "_line", "_sent_at"];

/// What an audit found, for programs.
pub fn object(audit: &AuditRecord) -> AuditFindings {
    let AuditRecord { info, findings, .. } = audit;
    AuditFindings {
        audit: audit.audit,
        began_at: iso(audit.begun_at),
        user: audit.user.clone(),
        host: audit.host.clone(),
        identifier: info.identifier.clone(),
        ended: audit.ended.clone(),
        reason: audit.reason.clone(),
        done: info.done,
        wanted: info.wanted,
        looked_at: findings.looked_at(),
        as_wanted: findings.of(Found::AsWanted),
        differs: findings.of(Found::Differs),
        recalled: findings.of(Found::Recalled),
        not_in_history: findings.of(Found::NotInHistory),
        cannot_be_told: findings.of(Found::CannotBeTold),
        at_most_wrong: at_most_wrong(audit),
        head: info.head.clone(),
        seed: info.seed.clone(),
    }
}

/// A part of a sample is none: it was looked at in the ledger's order.
fn at_most_wrong(audit: &AuditRecord) -> Option<u64> {
    let AuditRecord { info, findings, .. } = audit;
    audit.is_finished().then(|| at_most_defects(info.done, findings.looked_at(), findings.defects()))
}

/// A finding, in a word or two.
pub fn name(found: Found) -> &'static str {
    match found {
        Found::AsWanted => "as wanted",
        Found::Differs => "differs",
        Found::Recalled => "recalled",
        Found::NotInHistory => "not in the history",
        Found::CannotBeTold => "cannot be told",
    }
}

/// What an audit found, in a line.
pub fn line(audit: &AuditRecord, words: &Words) -> String {
    let AuditRecord { info, findings, user, host, .. } = audit;
    let many = |number: u64| number.separate_with_commas();
    let found = Found::ALL.into_iter().filter(|found| findings.of(*found) > 0);
    let found = found.map(|found| words.lang.say(format_args!("{} {}", many(findings.of(found)), name(found))));
    let mut parts = vec![words.lang.say(format_args!(
        "looked at {} of {} done edits",
        many(findings.looked_at()),
        many(info.done)
    ))];
    parts.extend(found);
    if let Some(wrong) = at_most_wrong(audit).filter(|_| info.seed.is_some()) {
        parts.push(words.lang.say(format_args!("with 95 % confidence at most {} wrong", many(wrong))));
    }
    if !audit.is_finished() {
        parts.push(words.lang.say("not finished"));
    }
    format!("{} · {user}@{host}", parts.join(words.say.comma))
}

/// What an audit found, for people.
///
/// # Errors
/// The ledger cannot be read.
pub fn text(overview: &dyn Overview, audit: &AuditRecord, words: &Words) -> Result<String, LedgerError> {
    let AuditRecord { info, findings, .. } = audit;
    let lang = words.lang;
    let many = |number: u64| number.separate_with_commas();
    let mut lines = vec![lang.say(format_args!(
        "Audit {} of {}: looked at {} of {} done edits.",
        audit.audit,
        escape_control(&overview.address().to_string()),
        many(findings.looked_at()),
        many(info.done)
    ))];
    for found in Found::ALL {
        let messages = findings.of(found);
        if messages > 0 || found == Found::AsWanted {
            lines.push(format!("{:>12}  {}", many(messages), lang.say(name(found))));
        }
    }
    let mut looks = not_as_wanted(overview, audit)?;
    let more = looks.split_off(looks.len().min(NAMED)).len();
    let named = with_edits(overview, &looks)?;
    for (look, edit) in named {
        let (from, to, key) =
            (escape_control(&edit.from_account), escape_control(&edit.to_account), escape_control(&edit.msg_key));
        let why = look.cause.map(|cause| format!(" ({})", words.meaning(cause))).unwrap_or_default();
        lines.push(format!("  {from} -> {to} {key}: {}{why}", lang.say(name(look.found))));
    }
    if more > 0 {
        lines.push(format!("  {}", lang.say(format_args!("and {more} more; --csv lists all of them"))));
    }
    match at_most_wrong(audit) {
        Some(_) if info.seed.is_none() => {}
        Some(wrong) => lines.push(lang.say(format_args!(
            "With 95 % confidence at most {} of the {} done edits are not as wanted.",
            many(wrong),
            many(info.done)
        ))),
        None => {
            let left = info.wanted.saturating_sub(findings.looked_at());
            lines.push(lang.say(format_args!("{} are left; the same command goes on.", many(left))));
        }
    }
    if let Some(seed) = &info.seed {
        lines.push(lang.say(format_args!("Seed of the sample: {seed}")));
    }
    lines.push(lang.say(format_args!("Head of the done edits: {}", info.head)));
    Ok(lines.join("\n") + "\n")
}

/// What is not as wanted, by finding.
fn not_as_wanted(overview: &dyn Overview, audit: &AuditRecord) -> Result<Vec<Look>, LedgerError> {
    let mut looks = Vec::new();
    overview.visit_looks(audit.audit, &mut |look| {
        if look.found != Found::AsWanted {
            looks.push(look);
        }
    })?;
    looks.sort_by_key(|look| (look.found, look.at));
    Ok(looks)
}

fn with_edits(overview: &dyn Overview, looks: &[Look]) -> Result<Vec<(Look, EditRecord)>, LedgerError> {
    let mut found = Vec::with_capacity(looks.len());
    for looks in looks.chunks(LOOK_UPS) {
        let messages: Vec<IdDigest> = looks.iter().map(|look| look.message).collect();
        let edits = overview.find_edits(&messages)?;
        found.extend(looks.iter().zip(edits).filter_map(|(look, edit)| Some((*look, edit?))));
    }
    Ok(found)
}

/// Writes every message that was looked at, and returns how many there are. The columns that name it make it a list again,
/// with a job file that gives the content.
///
/// # Errors
/// The ledger cannot be read, or the file cannot be written.
pub fn list(
    overview: &dyn Overview,
    audit: &AuditRecord,
    words: &Words,
    out: &mut dyn Write,
) -> Result<u64, EditListError> {
    let mut looks = Vec::new();
    overview.visit_looks(audit.audit, &mut |look| looks.push(look))?;
    looks.sort_by_key(|look| (look.at, look.message));
    out.write_all(words.csv_mark()).map_err(csv::Error::from)?;
    let mut out = csv::Writer::from_writer(out);
    write_header(&mut out, IDS, NOTES, APOSTROPHE_COLUMNS[0])?;
    let mut rows = 0;
    for looks in looks.chunks(LOOK_UPS) {
        for (look, edit) in with_edits(overview, looks)? {
            let code = match look.cause {
                Some(Cause::Code(code)) => code.to_string(),
                Some(Cause::Note(_)) | None => String::new(),
            };
            let meaning = look.cause.map(|cause| words.meaning(cause)).unwrap_or_default();
            let (run, line) = (edit.run.to_string(), edit.line.to_string());
            let (looked_at, sent_at, content) = (iso(look.at), iso(edit.sent_at), hex(&edit.content.0));
            let ids = [&*edit.from_account, &*edit.to_account, &*edit.msg_key];
            let notes = [look.found.word(), &code, &meaning, &looked_at, &content, &run, &line, &sent_at];
            write_row(&mut out, ids, notes)?;
            rows += 1;
        }
    }
    out.flush().map_err(csv::Error::from)?;
    Ok(rows)
}
