//! Writing the events of a run.

use rusqlite::{Transaction, params};

use super::columns::number;
use super::event_log::{EventLog, LookImage};
use crate::ledger::{Cause, Ciphertext, ControlAction, ControlEvent, Look, RunEvent, Sample, unix_ms};

pub(super) fn write(
    transaction: &Transaction<'_>,
    log: &mut EventLog,
    run: i64,
    event: &RunEvent,
) -> rusqlite::Result<()> {
    match event {
        RunEvent::Sample(sample) => write_sample(transaction, log, run, sample),
        RunEvent::ControlEvent(act) => write_act(transaction, log, run, act),
        RunEvent::StoppedAtOnce => write_stop(transaction, log, run),
        RunEvent::Look(look) => write_look(transaction, log, run, look),
        RunEvent::Ciphertext(ciphertext) => write_ciphertext(transaction, log, run, ciphertext),
    }
}

fn write_look(transaction: &Transaction<'_>, log: &mut EventLog, audit: i64, look: &Look) -> rusqlite::Result<()> {
    let (code, note) = match look.cause {
        Some(Cause::Code(code)) => (Some(code), None),
        Some(Cause::Note(note)) => (None, Some(note.word())),
        None => (None, None),
    };
    let (message, found) = (&look.message.0, look.found.word());
    log.look(transaction, &LookImage { audit, message, at: look.at, found, code, note: note.as_deref() })
}

fn write_ciphertext(
    transaction: &Transaction<'_>,
    log: &mut EventLog,
    run: i64,
    ciphertext: &Ciphertext,
) -> rusqlite::Result<()> {
    let Ciphertext { file, number: of_file, originals, sha256 } = ciphertext;
    transaction
        .prepare_cached("INSERT INTO ciphertext (file, number, run, originals, sha256) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![file, number(*of_file), run, number(*originals), sha256])?;
    log.rows(transaction, "originals", &[("ciphertext", format!("{file}/{of_file}"))])
}

fn write_sample(transaction: &Transaction<'_>, log: &mut EventLog, run: i64, sample: &Sample) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO sample (run, at, rate, done, failed, in_doubt, requests, read_backs, slow_downs)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute(params![
            run,
            sample.at,
            sample.rate,
            number(sample.done),
            number(sample.failed),
            number(sample.in_doubt),
            number(sample.requests),
            number(sample.read_backs),
            number(sample.slow_downs)
        ])?;
    let mut changed = vec![("sample", transaction.last_insert_rowid().to_string())];
    let mut answer = transaction.prepare_cached(
        "INSERT INTO answer (run, code, note, answers) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET answers = excluded.answers WHERE answers <> excluded.answers",
    )?;
    for (cause, count) in &sample.answers {
        let (code, note) = match cause {
            Cause::Code(code) => (*code, String::new()),
            Cause::Note(note) => (0, note.word()),
        };
        if answer.execute(params![run, code, note, number(*count)])? > 0 {
            changed.push(("answer", format!("{run}/{code}/{note}")));
        }
    }
    let mut latency = transaction.prepare_cached(
        "INSERT INTO latency (run, up_to_ms, answers) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET answers = excluded.answers WHERE answers <> excluded.answers",
    )?;
    for (up_to_ms, count) in sample.latency.slots().filter(|(_, count)| *count > 0) {
        let up_to_ms = up_to_ms.map_or(-1, i64::from);
        if latency.execute(params![run, up_to_ms, number(count)])? > 0 {
            changed.push(("latency", format!("{run}/{up_to_ms}")));
        }
    }
    log.rows(transaction, "sample", &changed)
}

fn write_stop(transaction: &Transaction<'_>, log: &mut EventLog, run: i64) -> rusqlite::Result<()> {
    let reason = "a second signal stopped it at once; what was in flight is in doubt";
    let stopped = transaction.execute(
        "UPDATE run SET ended_at = ?2, ended = 'interrupted', reason = ?3 WHERE run = ?1 AND ended IS NULL",
        params![run, unix_ms(), reason],
    )?;
    if stopped == 0 {
        return Ok(());
    }
    log.rows(transaction, "run_ended", &[("run", run.to_string())])?;
    log.doubt_all(transaction).map(drop)
}

fn write_act(transaction: &Transaction<'_>, log: &mut EventLog, run: i64, act: &ControlEvent) -> rusqlite::Result<()> {
    let rate = match act.what {
        ControlAction::Rate(rate) => Some(rate.get()),
        ControlAction::Pause | ControlAction::Resume | ControlAction::Stop => None,
    };
    transaction.execute(
        "INSERT INTO act (run, at, what, rate, by) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run, unix_ms(), act.what.word(), rate, act.by],
    )?;
    log.rows(transaction, "act", &[("act", transaction.last_insert_rowid().to_string())])
}
