//! Why a list cannot be read, or not be read on.

use std::io;

use super::{HeaderError, ROW_BYTES_MAX, SPOOL_BYTES_MAX};

/// The list cannot be read, or not be read on. A row that is merely wrong is a [`Problem`](super::Problem) instead.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Neither the name nor the caller tells the format.
    #[error(
        "cannot tell the format of {name:?}; name it .csv or .jsonl (or either with .gz), or pass --input-format \
         csv or jsonl"
    )]
    NoFormat {
        /// The list.
        name: String,
    },
    /// The file cannot be opened.
    #[error("cannot open the list {name:?}")]
    Open {
        /// The list.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// A directory was given.
    #[error("{name:?} is a directory; give the path of a file")]
    Directory {
        /// The list.
        name: String,
    },
    /// A pipe, socket or device was given.
    #[error(
        "{name:?} is not a regular file, so it cannot be read twice; redirect it to standard input with \
         --input - and \"<\""
    )]
    NotAFile {
        /// The list.
        name: String,
    },
    /// The temporary copy cannot be written.
    #[error("cannot copy {name} into a temporary file; is the disk full?")]
    Spool {
        /// The list.
        name: String,
        /// What the system says.
        source: io::Error,
    },
    /// The stream does not end.
    #[error("{name} is longer than {SPOOL_BYTES_MAX} bytes; split the list into several")]
    SpoolTooLong {
        /// The list.
        name: String,
    },
    /// Reading failed.
    #[error("cannot read {name:?} past line {line}")]
    Read {
        /// The list.
        name: String,
        /// The line that reading had come to.
        line: u64,
        /// What the system says.
        source: io::Error,
    },
    /// The gzip stream is damaged or cut off.
    #[error("{name:?} is damaged after line {line}: its gzip data is broken or cut off; fetch the file again")]
    Gzip {
        /// The list.
        name: String,
        /// The line that reading had come to.
        line: u64,
        /// What the decoder says.
        source: io::Error,
    },
    /// UTF-16, as some spreadsheets save "Unicode text".
    #[error("{name:?} is UTF-16 text; save it as UTF-8 (in Excel: \"CSV UTF-8\")")]
    Utf16 {
        /// The list.
        name: String,
    },
    /// A long stream that is no text. It is not copied first to look at it row by row.
    #[error("{name} does not start with UTF-8 text, so it is not a list; save the list as UTF-8")]
    NotText {
        /// The list.
        name: String,
    },
    /// A spreadsheet or a ZIP archive.
    #[error("{name:?} is an Excel workbook or a ZIP archive; save the sheet as \"CSV UTF-8\", or unpack the archive")]
    Workbook {
        /// The list.
        name: String,
    },
    /// The header of a CSV list does not do.
    #[error("{name:?}, line {line}: {what}")]
    Header {
        /// The list.
        name: String,
        /// The line of the header.
        line: u64,
        /// What is wrong with it.
        what: HeaderError,
    },
    /// A row of a CSV list has no end.
    #[error(
        "{name:?}: the row that begins on line {line} is longer than {ROW_BYTES_MAX} bytes; a quote was probably left open \
         there"
    )]
    RowTooLong {
        /// The list.
        name: String,
        /// The line where the row begins.
        line: u64,
    },
    /// The list is not what it was when it was opened.
    #[error("{name:?} changed while it was being read; start again once nothing is writing to it")]
    Changed {
        /// The list.
        name: String,
    },
}
