//! Errors of SQLite as errors of the ledger, and the check whether a file is sound.

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ffi};

use super::open::KEEPS_EVIDENCE;
use crate::ledger::LedgerError;

pub(super) fn write_error(path: &Path, source: rusqlite::Error) -> LedgerError {
    damage(path, &source).unwrap_or_else(|| LedgerError::Write { path: path.to_owned(), source: Arc::new(source) })
}

pub(super) fn read_error(path: &Path, source: rusqlite::Error) -> LedgerError {
    damage(path, &source).unwrap_or_else(|| LedgerError::Read { path: path.to_owned(), source: Arc::new(source) })
}

pub(super) fn system_error(path: &Path, source: std::io::Error) -> LedgerError {
    LedgerError::Read { path: path.to_owned(), source: Arc::new(source) }
}

/// The error for a file that does not hold what was written to it, if `error` shows that.
fn damage(path: &Path, error: &rusqlite::Error) -> Option<LedgerError> {
    use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase};
    let what = match error {
        // Nothing is ever written that the schema of this program would refuse.
        rusqlite::Error::SqliteFailure(failure, _) => match (failure.code, failure.extended_code) {
            (DatabaseCorrupt | NotADatabase | ConstraintViolation, _) | (_, ffi::SQLITE_ERROR) => error.to_string(),
            _ => return None,
        },
        // The schema is not that of this program.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        // A column holds a value that is never written to it.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => error.to_string(),
        _ => return None,
    };
    Some(LedgerError::Damaged { path: path.to_owned(), what })
}

/// Checks the file for damage if a run or an audit never ended, as after a power cut. The check reads the whole file, so it is
/// skipped otherwise. It also compares the indexes with the table: an edit that is missing from its index would be taken for
/// one that was never sent.
pub(super) fn check_after_crash(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    let failed = |source| read_error(path, source);
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let never_ended = |table| {
        let query = format!("SELECT EXISTS (SELECT 1 FROM {table} WHERE ended IS NULL)");
        connection.query_row(&query, [], |row| row.get::<_, bool>(0)).map_err(failed)
    };
    let has_died = never_ended("run")? || (version >= KEEPS_EVIDENCE && never_ended("audit")?);
    if !has_died {
        return Ok(());
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found == "ok" {
        return Ok(());
    }
    let found = found.replace('\n', " ");
    let what = format!("{found} (looked for since the last run never ended; nothing was sent)");
    Err(LedgerError::Damaged { path: path.to_owned(), what })
}

/// What is wrong with the file as a database: its pages, and indexes that do not have what their tables have.
pub(super) fn unsoundness(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Some(found));
    }
    let mut tables = connection.prepare(
        "SELECT c.integrity_check FROM sqlite_schema s, pragma_integrity_check(s.name) c
         WHERE s.type = 'table' AND s.name <> 'edit' AND c.integrity_check <> 'ok' LIMIT 1",
    )?;
    if let Some(found) = tables.query_map([], |row| row.get(0))?.next() {
        return found.map(Some);
    }
    Ok((!messages_are_indexed(connection)?).then(|| "the index of messages is not that of the edits".to_owned()))
}

/// Whether the index of messages has those that the edits have, in order. SQLite's own check looks each of them up, in a random
/// order, for which it reads the index over and over. Here both are read from one end to the other: they hold the same if their
/// sums agree, of hashes with a key that nobody knows beforehand. Only blobs count: any other value stands elsewhere in its order.
fn messages_are_indexed(connection: &Connection) -> rusqlite::Result<bool> {
    let there = "SELECT count(*) FROM sqlite_schema WHERE name = 'sqlite_autoindex_edit_1' AND tbl_name = 'edit'";
    if connection.query_row(there, [], |row| row.get(0)) != Ok(1) {
        return Ok(false);
    }
    let key = RandomState::new();
    let sum = |query: &str| {
        let (mut sum, mut before, mut is_in_order) = (0_u64, Vec::new(), true);
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (ValueRef::Integer(edit), ValueRef::Blob(message)) = (row.get_ref(0)?, row.get_ref(1)?) else {
                return Ok(None);
            };
            sum = sum.wrapping_add(key.hash_one((edit, message)));
            is_in_order &= *before < *message;
            before.clear();
            before.extend_from_slice(message);
        }
        Ok::<_, rusqlite::Error>(Some((sum, is_in_order)))
    };
    let of_table = sum("SELECT seq, message FROM edit NOT INDEXED")?;
    // Told to order them, SQLite would sort what its statistics, which are in the file, say is in no order.
    let of_index = sum("SELECT seq, message FROM edit INDEXED BY sqlite_autoindex_edit_1")?;
    Ok(matches!((of_table, of_index), (Some((of_table, _)), Some((of_index, true))) if of_table == of_index))
}
