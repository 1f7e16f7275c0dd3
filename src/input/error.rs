//! Why a list cannot be read.

use std::io;

use super::{HeaderError, ROW_BYTES_MAX, SPOOL_BYTES_MAX};

/// The list cannot be read, or reading cannot continue. A single bad row is a [`Problem`](super::Problem) instead.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Neither the name nor the caller gives the format.
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
        /// The system's error.
        source: io::Error,
    },
    /// Two of the lists are one file.
    #[error("{name:?} and {before:?} are the same file; give each list once")]
    SameFile {
        /// The list.
        name: String,
        /// The name that it was given before.
        before: String,
    },
    /// Standard input was given twice.
    #[error("standard input (--input -) is given twice; it can only be read once")]
    StandardInputTwice,
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
        /// The system's error.
        source: io::Error,
    },
    /// The stream is too long, or endless.
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
        /// The line that reading had reached.
        line: u64,
        /// The system's error.
        source: io::Error,
    },
    /// The gzip stream is damaged or truncated.
    #[error("{name:?} is damaged after line {line}: its gzip data is broken or cut off; fetch the file again")]
    Gzip {
        /// The list.
        name: String,
        /// The line that reading had reached.
        line: u64,
        /// The decoder's error.
        source: io::Error,
    },
    /// UTF-16, as some spreadsheets save "Unicode text".
    #[error("{name:?} is UTF-16 text; save it as UTF-8 (in Excel: \"CSV UTF-8\")")]
    Utf16 {
        /// The list.
        name: String,
    },
    /// A long stream that is not text. It is refused before it is copied.
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
    /// The header of a CSV list is invalid.
    #[error("{name:?}, line {line}: {what}")]
    Header {
        /// The list.
        name: String,
        /// The line of the header.
        line: u64,
        /// What is wrong with it.
        what: HeaderError,
    },
    /// A row of a CSV list is too long.
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
    /// The list has changed since it was opened.
    #[error("{name:?} changed while it was being read; start again once nothing is writing to it")]
    Changed {
        /// The list.
        name: String,
    },
}
