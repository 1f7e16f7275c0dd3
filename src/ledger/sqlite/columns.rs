//! Values as columns hold them.

use rusqlite::Row;

use crate::ledger::{Found, State};

pub(super) fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

pub(super) fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    State::from_word(row.get_ref(column)?.as_str()?)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(column, "state".to_owned(), rusqlite::types::Type::Text))
}

pub(super) fn found(row: &Row<'_>, column: usize) -> rusqlite::Result<Found> {
    Found::from_word(row.get_ref(column)?.as_str()?)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(column, "found".to_owned(), rusqlite::types::Type::Text))
}

pub(super) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}
