//! What an error of SQLite says of the ledger, and whether a file is sound.

use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, ffi};

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

/// Where this tells that the file does not hold what was written to it: the error that says so.
fn damage(path: &Path, error: &rusqlite::Error) -> Option<LedgerError> {
    use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase};
    let what = match error {
        // Nothing is ever written that the schema, as it is written down here, would refuse.
        rusqlite::Error::SqliteFailure(failure, _) => match (failure.code, failure.extended_code) {
            (DatabaseCorrupt | NotADatabase | ConstraintViolation, _) | (_, ffi::SQLITE_ERROR) => error.to_string(),
            _ => return None,
        },
        // The schema is not the one that is written down here.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        // What is in a column is nothing that is ever put there.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => error.to_string(),
        _ => return None,
    };
    Some(LedgerError::Damaged { path: path.to_owned(), what })
}

/// A run that never ended was ended by something, maybe by a power cut, and that can leave damage behind. The check
/// reads all of the file, so it is not made when all is well. It is the one that compares the indexes with the table, too:
/// an edit that is missing from its index would be taken for one that was never sent.
pub(super) fn check_after_crash(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    let failed = |source| read_error(path, source);
    let query = "SELECT EXISTS (SELECT 1 FROM run WHERE ended IS NULL)";
    if !connection.query_row(query, [], |row| row.get::<_, bool>(0)).map_err(failed)? {
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
