//! A row as the reader of a format hands it over: its bytes and where it begins.

use std::io;

/// A row as it stands in the list.
pub(super) struct RawRow<'a> {
    pub(super) number: u64,
    pub(super) line: u64,
    /// Why it cannot be looked at, if it cannot.
    pub(super) malformed: Option<String>,
    pub(super) bytes: &'a [u8],
    /// Where its cells end, in a CSV list.
    pub(super) ends: &'a [usize],
}

/// What was read of one row: the line where it begins, and why it cannot be looked at, if it cannot.
pub(super) struct RowInfo {
    pub(super) line: u64,
    pub(super) malformed: Option<String>,
}

/// Why a list cannot be read on, before its name is put to it.
pub(super) enum RowReadError {
    Io(io::Error),
    RowTooLong { line: u64 },
}

impl From<io::Error> for RowReadError {
    fn from(error: io::Error) -> RowReadError {
        RowReadError::Io(error)
    }
}
