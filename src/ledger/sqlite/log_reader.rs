//! Reading the log of events of a ledger file, and proofs from it.

use std::ops::RangeInclusive;

use rusqlite::{Connection, Row};

use super::event_log::{EditImage, LookImage, head, write_body_line};
use crate::edit::IdDigest;
use crate::evidence::{Proof, Prover};

/// An event, with the accounts and key of its edit, and whether its row is still as the event says.
const EVENTS: &str = "SELECT event.event, event.body, event.attempts, event.edit, edit.seq,
        from_account, to_account, msg_key, message, coalesce(first_content, edit.content),
        event.content, event.line, event.list, event.run, event.state, event.code, event.note, event.at, event.took_ms,
        edit.content IS coalesce(event.content, first_content, edit.content) AND edit.line IS event.line
            AND edit.list IS event.list AND edit.run IS event.run AND edit.state IS event.state AND edit.attempts IS event.attempts
            AND edit.code IS event.code AND edit.note IS event.note AND edit.sent_at IS event.at AND edit.took_ms IS event.took_ms,
        coalesce(event.took_ms, event.line, event.list, event.content) IS NOT NULL
            OR event.body IS NOT NULL
                AND coalesce(event.edit, event.run, event.at, event.state, event.attempts, event.code, event.note) IS NOT NULL
    FROM event LEFT JOIN edit ON edit.seq = event.edit WHERE event.event BETWEEN ?1 AND ?2 ORDER BY event.event";

/// An event of the log.
pub(super) enum LoggedEvent<'a> {
    /// What came of an edit.
    Edit {
        edit: EditImage<'a>,
        /// The edit is still like that.
        stands: bool,
    },
    /// What an audit found.
    Look(LookImage<'a>),
    /// Changes of other rows.
    Body(&'a str),
    /// Of this edit, which is gone.
    EditGone(i64),
}

impl<'a> LoggedEvent<'a> {
    fn of(row: &'a Row<'_>) -> rusqlite::Result<LoggedEvent<'a>> {
        let event = LoggedEvent::of_its_kind(row)?;
        // Values of another kind of event would not be in its line.
        match event {
            LoggedEvent::Body(_) | LoggedEvent::Look(_) if row.get(20)? => {
                Err(rusqlite::Error::ToSqlConversionFailure("it has values of another kind of event".into()))
            }
            event => Ok(event),
        }
    }

    fn of_its_kind(row: &'a Row<'_>) -> rusqlite::Result<LoggedEvent<'a>> {
        if let Some(body) = row.get_ref(1)?.as_str_or_null()? {
            return Ok(LoggedEvent::Body(body));
        }
        let Some(seq) = row.get(4)? else { return Ok(LoggedEvent::EditGone(row.get(3)?)) };
        let message = row.get_ref(8)?.as_blob()?;
        let Some(attempts) = row.get(2)? else {
            return Ok(LoggedEvent::Look(LookImage {
                audit: row.get(13)?,
                message,
                at: row.get(17)?,
                found: row.get_ref(14)?.as_str()?,
                code: row.get(15)?,
                note: row.get_ref(16)?.as_str_or_null()?,
            }));
        };
        let first_content = row.get_ref(9)?.as_blob()?;
        let edit = EditImage {
            seq,
            from_account: row.get_ref(5)?.as_str()?,
            to_account: row.get_ref(6)?.as_str()?,
            msg_key: row.get_ref(7)?.as_str()?,
            message,
            content: row.get_ref(10)?.as_blob_or_null()?.unwrap_or(first_content),
            first_content,
            line: row.get(11)?,
            list: row.get(12)?,
            run: row.get(13)?,
            state: row.get_ref(14)?.as_str()?,
            attempts,
            code: row.get(15)?,
            note: row.get_ref(16)?.as_str_or_null()?,
            sent_at: row.get(17)?,
            took_ms: row.get(18)?,
        };
        Ok(LoggedEvent::Edit { edit, stands: row.get(19)? })
    }

    fn write_line(&self, event: u64, line: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            LoggedEvent::Edit { edit, .. } => edit.write_line(event, line),
            LoggedEvent::Look(look) => look.write_line(event, line),
            LoggedEvent::Body(body) => write_body_line(event, body, line),
            // It has none without its edit.
            LoggedEvent::EditGone(_) => Ok(()),
        }
    }

    fn message(&self) -> Option<&[u8]> {
        match self {
            LoggedEvent::Edit { edit, .. } => Some(edit.message),
            LoggedEvent::Look(look) => Some(look.message),
            LoggedEvent::Body(_) | LoggedEvent::EditGone(_) => None,
        }
    }
}

/// All events, whatever their numbers are.
const ALL: RangeInclusive<i64> = i64::MIN..=i64::MAX;

/// Passes every event with one of these numbers to `visit`: its number, it, and its line, if they can be read.
pub(super) fn visit_events(
    connection: &Connection,
    numbers: RangeInclusive<i64>,
    mut visit: impl FnMut(i64, Result<LoggedEvent<'_>, String>, &[u8]) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(EVENTS)?;
    let mut rows = statement.query(numbers.into_inner())?;
    let mut line = Vec::new();
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        line.clear();
        let event = LoggedEvent::of(row).map_err(|error| error.to_string());
        let event = event.and_then(|event| match event.write_line(number.unsigned_abs(), &mut line) {
            Ok(()) => Ok(event),
            Err(error) => Err(error.to_string()),
        });
        visit(number, event, &line)?;
    }
    Ok(())
}

/// The events of this message, each with the proof that it is in the log of this size.
pub(super) fn prove(connection: &Connection, message: IdDigest, size: Option<u64>) -> rusqlite::Result<Vec<Proof>> {
    let mut prover = Prover::new(size);
    visit_events(connection, ALL, |_, event, line| {
        prover.event(line, event.is_ok_and(|event| event.message() == Some(&message.0)));
        Ok(())
    })?;
    Ok(prover.finish(head(connection)?.origin))
}
