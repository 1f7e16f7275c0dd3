//! Errors of SQLite as errors of the ledger, and the check whether a file is sound.

use std::path::Path;
use std::sync::Arc;

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
