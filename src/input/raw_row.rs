//! What the reader of a format says about each row.

use std::io;

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
