//! Writing the events of a run.

use rusqlite::{Transaction, params};

use super::audit::write_look;
use super::columns::number;
use crate::ledger::{Cause, ControlAction, ControlEvent, RunEvent, Sample, unix_ms};

pub(super) fn write(transaction: &Transaction<'_>, run: i64, event: &RunEvent) -> rusqlite::Result<()> {
    match event {
        RunEvent::Sample(sample) => write_sample(transaction, run, sample),
        RunEvent::ControlEvent(act) => write_act(transaction, run, act),
        RunEvent::StoppedAtOnce => write_stop(transaction, run),
        RunEvent::Look(look) => write_look(transaction, run, look),
    }
}

fn write_sample(transaction: &Transaction<'_>, run: i64, sample: &Sample) -> rusqlite::Result<()> {
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
    let mut answer = transaction
        .prepare_cached("INSERT OR REPLACE INTO answer (run, code, note, answers) VALUES (?1, ?2, ?3, ?4)")?;
    for (cause, count) in &sample.answers {
        let (code, note) = match cause {
            Cause::Code(code) => (*code, String::new()),
            Cause::Note(note) => (0, note.word()),
        };
        answer.execute(params![run, code, note, number(*count)])?;
    }
    let mut latency =
        transaction.prepare_cached("INSERT OR REPLACE INTO latency (run, up_to_ms, answers) VALUES (?1, ?2, ?3)")?;
    for (up_to_ms, count) in sample.latency.slots().filter(|(_, count)| *count > 0) {
        latency.execute(params![run, up_to_ms.map_or(-1, i64::from), number(count)])?;
    }
    Ok(())
}

fn write_stop(transaction: &Transaction<'_>, run: i64) -> rusqlite::Result<()> {
    let reason = "a second signal stopped it at once; what was in flight is in doubt";
    transaction.execute(
        "UPDATE run SET ended_at = ?2, ended = 'interrupted', reason = ?3 WHERE run = ?1 AND ended IS NULL",
        params![run, unix_ms(), reason],
    )?;
    Ok(())
}

fn write_act(transaction: &Transaction<'_>, run: i64, act: &ControlEvent) -> rusqlite::Result<()> {
    let rate = match act.what {
        ControlAction::Rate(rate) => Some(rate.get()),
        ControlAction::Pause | ControlAction::Resume | ControlAction::Stop => None,
    };
    transaction.execute(
        "INSERT INTO act (run, at, what, rate, by) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![run, unix_ms(), act.what.word(), rate, act.by],
    )?;
    Ok(())
}
