//! Values as columns hold them.

use tokio_postgres::Row;

use super::{PostgresAddress, ledger};
use crate::edit::{ContentDigest, IdDigest};
use crate::ledger::{EditRow, LedgerError, Note, State};

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A number that the program keeps as `u32`.
pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn count(row: &Row, column: usize) -> Result<u64, tokio_postgres::Error> {
    Ok(row.try_get::<_, i64>(column)?.unsigned_abs())
}

pub(super) fn small_count(row: &Row, column: usize) -> Result<u32, tokio_postgres::Error> {
    Ok(row.try_get::<_, i32>(column)?.unsigned_abs())
}

/// The error for what is never written to a column.
pub(super) fn unsound(address: &PostgresAddress, what: impl Into<String>) -> LedgerError {
    LedgerError::Unsound { ledger: ledger(address), what: what.into() }
}

pub(super) fn state(address: &PostgresAddress, word: &str) -> Result<State, LedgerError> {
    State::from_word(word).ok_or_else(|| unsound(address, format!("an edit is in the state {word:?}")))
}

pub(super) fn digest(address: &PostgresAddress, bytes: &[u8]) -> Result<[u8; 16], LedgerError> {
    bytes.try_into().map_err(|_| unsound(address, format!("a digest has {} bytes", bytes.len())))
}

/// What a row of an edit holds, from its columns: message, content, state, attempts, code, note.
pub(super) fn edit(
    address: &PostgresAddress,
    (message, content): (&[u8], &[u8]),
    (word, attempts): (&str, i32),
    (code, note): (Option<i64>, Option<&str>),
) -> Result<(IdDigest, EditRow), LedgerError> {
    let row = EditRow {
        state: state(address, word)?,
        content: ContentDigest(digest(address, content)?),
        attempts: attempts.unsigned_abs(),
        code,
        note: note.and_then(Note::from_word),
    };
    Ok((IdDigest(digest(address, message)?), row))
}
