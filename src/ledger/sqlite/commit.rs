//! One commit: all of its changes and events, or none.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::columns::number;
use super::damage::write_error;
use super::event_log::{EventLog, edit_columns};
use super::events;
use crate::ledger::{Change, LedgerError, Note, RunEvent, State, Transition};

pub(super) fn commit(
    connection: &mut Connection,
    run: i64,
    changes: &[Change],
    events: &[RunEvent],
    path: &Path,
) -> Result<(), LedgerError> {
    let failed = |source| write_error(path, source);
    let transaction = connection.transaction().map_err(failed)?;
    let mut log = EventLog::load(&transaction).map_err(failed)?;
    for change in changes {
        let rows = apply(&transaction, &mut log, run, change).map_err(failed)?;
        if rows != 1 {
            // The ledger holds another state than the run believes, so neither can be trusted now.
            return Err(Transition { from: change.from, to: change.to }.into());
        }
    }
    for event in events {
        events::write(&transaction, &mut log, run, event).map_err(failed)?;
    }
    log.save(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// A change whose outcome is known returns the row that it leaves, which is an event.
macro_rules! and_return {
    ($statement:expr) => {
        concat!($statement, " RETURNING ", edit_columns!())
    };
}

/// Applies one change. Returns the number of rows that it changed, which must be one.
fn apply(transaction: &Transaction<'_>, log: &mut EventLog, run: i64, change: &Change) -> rusqlite::Result<usize> {
    let message = change.message.0;
    let (line, list) = (number(change.line.number), change.line.list.as_ref().map(|list| list.position));
    let from = change.from.map(State::word);
    let note = change.note.map(Note::word);
    match (change.from, change.to) {
        (None, Some(state)) => insert(transaction, log, run, (line, list), state, change),
        // The content that its earlier events name is kept.
        (Some(_), Some(State::Sending)) => transaction
            .prepare_cached(
                "UPDATE edit SET state = 'sending', content = ?3, line = ?4, run = ?5, attempts = ?6, sent_at = ?7, took_ms = NULL,
                                 list = ?8,
                                 first_content = CASE WHEN content = ?3 THEN first_content ELSE coalesce(first_content, content) END
                 WHERE message = ?1 AND state = ?2",
            )?
            .execute(params![message, from, change.content.0, line, run, change.attempts, change.at, list]),
        // Read, and still in the same state, for this reason.
        (Some(before), Some(state)) if before == state => log.edits(
            transaction,
            and_return!("UPDATE edit SET code = ?3, note = ?4 WHERE message = ?1 AND state = ?2"),
            params![message, from, change.code, note],
        ),
        // Settled by reading the message.
        (Some(State::InDoubt | State::Waiting | State::Failed | State::Done), Some(state)) => log.edits(
            transaction,
            and_return!(
                "UPDATE edit SET state = ?3, code = ?4, note = ?5, content = ?6,
                                 first_content = CASE WHEN content = ?6 THEN first_content ELSE coalesce(first_content, content) END
                 WHERE message = ?1 AND state = ?2"
            ),
            params![message, from, state.word(), change.code, note, change.content.0],
        ),
        // A withdrawn intent: code and note are still those of the last answer.
        (Some(State::Sending), Some(state)) if change.took.is_none() => log.edits(
            transaction,
            and_return!(
                "UPDATE edit SET state = ?3, attempts = ?4, content = ?5 WHERE message = ?1 AND state = ?2"
            ),
            params![message, from, state.word(), change.attempts, change.content.0],
        ),
        (Some(State::Sending), Some(state)) => log.edits(
            transaction,
            and_return!(
                "UPDATE edit SET state = ?3, attempts = ?4, code = ?5, note = ?6, took_ms = ?7 WHERE message = ?1 AND state = ?2"
            ),
            params![
                message,
                from,
                state.word(),
                change.attempts,
                change.code,
                note,
                change.took.and_then(|took| i64::try_from(took.as_millis()).ok())
            ],
        ),
        (_, None) => transaction
            .prepare_cached("DELETE FROM edit WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from]),
    }
}

/// Inserts an edit with its first intent, or as settled by reading its message before that.
fn insert(
    transaction: &Transaction<'_>,
    log: &mut EventLog,
    run: i64,
    (line, list): (i64, Option<u32>),
    state: State,
    change: &Change,
) -> rusqlite::Result<usize> {
    macro_rules! statement {
        () => {
            "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at, code, note,
                               list)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
             ON CONFLICT (message) DO NOTHING"
        };
    }
    let (id, message, content) = (change.edit.id(), change.message.0, change.content.0);
    let note = change.note.map(Note::word);
    let params = params![
        id.from_account,
        id.to_account,
        id.msg_key,
        message,
        content,
        line,
        run,
        state.word(),
        change.attempts,
        change.at,
        change.code,
        note,
        list
    ];
    if state == State::Sending {
        return transaction.prepare_cached(statement!())?.execute(params);
    }
    log.edits(transaction, and_return!(statement!()), params)
}
