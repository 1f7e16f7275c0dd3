//! A row before it is parsed: its bytes and the line where it begins.

use std::io;

use super::rows::RowSource;
use crate::edit::Line;

/// A row's bytes and position in the list.
pub(super) struct RawRow<'a> {
    /// Counted from 1, over all lists.
    pub(super) number: u64,
    pub(super) line: u64,
    /// Why the row cannot be parsed, if it cannot.
    pub(super) malformed: Option<String>,
    pub(super) bytes: &'a [u8],
    /// Where its cells end, in a CSV list.
    pub(super) ends: &'a [usize],
    pub(super) source: &'a RowSource,
}

impl RawRow<'_> {
    /// The line where it begins, with its list.
    pub(super) fn place(&self) -> Line {
        self.source.line(self.line)
    }
}

/// What the reader of a format knows about the row it just read.
pub(super) struct RowInfo {
    pub(super) line: u64,
    pub(super) malformed: Option<String>,
}

/// Why reading stopped; the caller adds the list's name.
pub(super) enum RowReadError {
    Io(io::Error),
    RowTooLong {
        line: u64,
    },
    /// The file is not what its format demands, and there is no telling where the next row begins.
    Broken {
        line: u64,
        what: String,
    },
    Xlsx {
        what: String,
    },
}

impl From<io::Error> for RowReadError {
    fn from(error: io::Error) -> RowReadError {
        RowReadError::Io(error)
    }
}
