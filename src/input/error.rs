//! Why a list cannot be read.

use std::io;

use super::{HeaderError, ROW_BYTES_MAX, SPOOL_BYTES_MAX};

/// The list cannot be read, or reading cannot continue. A single bad row is a [`Problem`](super::Problem) instead.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Neither the name nor the caller gives the format.
    #[error(
        "cannot tell the format of {name:?}; name it .csv, .jsonl or .json (each also with .gz) or .xlsx, or pass \
         --input-format csv, jsonl, json or xlsx"
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
    /// UTF-16 without the mark that says so.
    #[error(
        "{name:?} seems to be UTF-16 text without a byte-order mark; if it is, add --encoding {label}, or save it as UTF-8 \
         (in Excel: \"CSV UTF-8\")"
    )]
    UnmarkedUtf16 {
        /// The list.
        name: String,
        /// The likely encoding.
        label: &'static str,
    },
    /// UTF-32, which no spreadsheet writes.
    #[error("{name:?} is UTF-32 text; save it as UTF-8")]
    Utf32 {
        /// The list.
        name: String,
    },
    /// UTF-8, although the job names another encoding. Read in that one, most of it would be other characters.
    #[error(
        "{name:?} is UTF-8 text, not {encoding}; leave out --encoding (in a job file, [input] encoding), or pass --encoding \
         utf-8"
    )]
    NotAsNamed {
        /// The list.
        name: String,
        /// The encoding that the job names.
        encoding: &'static str,
    },
    /// Bytes that are no character of the list's encoding.
    #[error(
        "{name:?}, line {line}: this is not {encoding} text; the list is damaged or cut off there, or has another encoding \
         (--encoding)"
    )]
    Malformed {
        /// The list.
        name: String,
        /// The line with the first of them.
        line: u64,
        /// The encoding.
        encoding: &'static str,
    },
    /// A list that asks for nothing.
    #[error(
        "{name:?} has no rows{}; is it the right list?",
        match empty_rows { 0 => String::new(), 1 => " but an empty one".to_owned(), n => format!(" but {n} empty ones") }
    )]
    NoRows {
        /// The list.
        name: String,
        /// Rows of empty cells.
        empty_rows: u64,
    },
    /// A long stream that is not text. It is refused before it is copied.
    #[error("{name} does not start with text, so it is not a list; save the list as UTF-8")]
    NotText {
        /// The list.
        name: String,
    },
    /// A workbook under another name, or a ZIP archive.
    #[error(
        "{name:?} is an Excel workbook or a ZIP archive; if it is a workbook, pass --input-format xlsx; unpack an archive"
    )]
    Workbook {
        /// The list.
        name: String,
    },
    /// A workbook of the old kind, or an encrypted one.
    #[error(
        "{name:?} is a workbook in an old format (.xls), or one that is protected with a password; save it as .xlsx \
         without a password, or save the sheet as \"CSV UTF-8\""
    )]
    OldWorkbook {
        /// The list.
        name: String,
    },
    /// A spreadsheet in a format that is not read.
    #[error("{name:?} is a spreadsheet in another format; save it as .xlsx, or save the sheet as \"CSV UTF-8\"")]
    OtherSpreadsheet {
        /// The list.
        name: String,
    },
    /// A sheet is asked for, and the list has none.
    #[error("{name:?} is not an Excel workbook, so it has no sheets; leave out --sheet, or give the workbook itself")]
    NoSheets {
        /// The list.
        name: String,
    },
    /// The workbook cannot be read.
    #[error("{name:?} {what}")]
    Xlsx {
        /// The list.
        name: String,
        /// What is wrong with it, and what to do.
        what: String,
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
    /// The file is not what its format demands, and cannot be read any further.
    #[error("{name:?}, line {line}: {what}")]
    Broken {
        /// The list.
        name: String,
        /// The line where it is found.
        line: u64,
        /// What is wrong, and what to do.
        what: String,
    },
    /// The list has changed since it was opened.
    #[error("{name:?} changed while it was being read; start again once nothing is writing to it")]
    Changed {
        /// The list.
        name: String,
    },
}
