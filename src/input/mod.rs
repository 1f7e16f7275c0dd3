//! The list: a file of wanted edits, read row by row.
//!
//! ```text
//! bytes      stored        an open file or a spooled stream: its digest, and whether it has changed
//!   ▼
//! text       text          decompressed, without a byte-order mark, as UTF-8 (decoder)
//!   ▼
//! raw rows   list_reader   where each row begins and ends, by format: csv (a header, then records), jsonl, json_list,
//!                          or xlsx, which has cells as CSV has and reads the stored bytes itself
//!   ▼
//! fields     csv, jsonl    the cells or members of a row that belong to an edit, by the job's mapping
//!   ▼
//! edit       edit_builder  the fields and the job's content (template), checked; spoiled cells are refused (spoiled)
//! ```
//! [`Rows`] does all of this row by row, and [`Input::survey`] on several threads. [`List::annotate`] and
//! [`Input::excerpts`] read the raw rows again, to copy or to show them.
//!
//! Encodings and separators are in `dialect`. A format is a variant of `list_reader::RowReader`
//! and of `row_source::RowLayout`. What a job file may say about all of them is in `spec`. An [`Input`] is one [`List`] or
//! several (`lists`), each with a format and a header of its own; `list_reader` goes from one to the next, and each
//! [`Row`] says which it is from.
//!
//! A list is read from the top more than once: to plan, to run, and to write out the failed rows. So it is opened
//! once, the handle stays open, and a list that changes meanwhile is an error. Memory is bounded whatever the file
//! contains: one row at a time (a survey: one batch a thread), none longer than [`ROW_BYTES_MAX`].
//!
//! There are two kinds of error. A [`Problem`] concerns one row, and reading continues; an [`InputError`] means that
//! the list cannot be read any further. Neither contains message text.

// Bytes and text.
mod decoder;
mod dialect;
mod stored;
mod text;

// Raw rows, by format.
mod csv;
mod format;
mod json_list;
mod jsonl;
mod line_counter;
mod list_reader;
mod lists;
mod raw_row;
mod read_list;
mod row_source;
mod xlsx;

// What the job says about the list.
mod mapping;
mod mapping_error;
mod spec;
mod spoiled;
mod template;

// Edits.
mod edit_builder;
mod problem;
mod rows;

// Other ways to use a list.
mod annotate;
mod apostrophe;
mod excerpts;
mod survey;

mod error;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use annotate::{AnnotateError, CopyStyle, RowNote};
pub(crate) use apostrophe::{APOSTROPHE_COLUMNS, write_header, write_row};
pub use csv::{HeaderError, MissingHint};
pub use dialect::{Delimiter, TextEncoding, UnknownDelimiter, UnknownEncoding};
pub use error::InputError;
pub use format::{Format, UnknownFormat};
pub use lists::Input;
pub use mapping::Mapping;
pub use mapping_error::MappingError;
pub use problem::Problem;
pub use read_list::{ListFacts, ReadInput, ReadList};
pub use rows::{Row, Rows};
pub use spec::{ColumnNames, ContentPart, ContentSpec, InputSpec};
pub use xlsx::SheetRead;

use crate::edit::OneOfLists;
use crate::terminal::escape::escape_control;
use stored::Stored;

/// Maximum size of a row: some eighty times what the service accepts for one message. Without a limit, an unclosed
/// quote would read the rest of the file into memory as one cell.
pub const ROW_BYTES_MAX: usize = 1 << 20;
/// Maximum number of columns in a CSV list or members in a JSON line: far more than any real export has, and a bound
/// on what is stored for each row.
pub const COLUMNS_MAX: usize = 1024;
/// Maximum size of standard input: about forty million rows. It bounds the disk space that an endless stream can fill.
pub const SPOOL_BYTES_MAX: u64 = 16 << 30;

/// An open list, which can be read from the top any number of times. Readers are independent of each other.
#[derive(Clone, Debug)]
pub struct List {
    path: Option<PathBuf>,
    display_name: Arc<str>,
    format: Format,
    stored: Stored,
    /// Which of the job's lists it is, if there are several.
    one_of: Option<OneOfLists>,
}

impl List {
    /// Opens the list at `path`; `-` is standard input, which is copied into a temporary file first. Without `format`,
    /// the file's name determines the format; gzip is recognized by the file's first bytes.
    fn open(path: &Path, format: Option<Format>) -> Result<List, InputError> {
        let name = path.display().to_string();
        if name == "-" {
            let format = format.ok_or(InputError::NoFormat { name })?;
            return List::from_reader("standard input", std::io::stdin().lock(), format);
        }
        // Checked before opening, because opening a pipe would wait for its writer.
        let failed = |source| InputError::Open { name: name.clone(), source };
        let file_type = std::fs::metadata(path).map_err(failed)?.file_type();
        if file_type.is_dir() {
            return Err(InputError::Directory { name });
        }
        if !file_type.is_file() {
            return Err(InputError::NotAFile { name });
        }
        let Some(format) = format.or_else(|| Format::of_name(&name)) else {
            let ending = name.to_ascii_lowercase();
            let is_spreadsheet = [".xls", ".xlsb", ".ods", ".numbers"].iter().any(|other| ending.ends_with(other));
            return Err(if is_spreadsheet {
                InputError::OtherSpreadsheet { name }
            } else {
                InputError::NoFormat { name }
            });
        };
        let file = File::open(path).map_err(failed)?;
        let stored = Stored::new(name.clone(), file).map_err(failed)?;
        Ok(List {
            path: Some(path.to_owned()),
            display_name: escape_control(&name).into(),
            format,
            stored,
            one_of: None,
        })
    }

    /// Copies a stream into an unnamed temporary file that only this user can read, and opens that.
    fn from_reader(name: &str, reader: impl Read, format: Format) -> Result<List, InputError> {
        let stored = Stored::spool(name.to_owned(), reader, SPOOL_BYTES_MAX)?;
        Ok(List { path: None, display_name: escape_control(name).into(), format, stored, one_of: None })
    }

    /// The list's name, escaped for display.
    pub fn name(&self) -> &str {
        &self.display_name
    }

    /// The list's format.
    pub fn format(&self) -> Format {
        self.format
    }

    /// The list's path; `None` for standard input.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The list's size in bytes, as stored.
    fn bytes(&self) -> u64 {
        self.stored.bytes()
    }

    /// The sheet of a workbook that is read; `None` for another list.
    fn sheet(&self, mapping: &Mapping) -> Result<Option<SheetRead>, InputError> {
        match self.format {
            Format::Xlsx => xlsx::sheet_read(&self.stored, mapping).map(Some),
            Format::Csv | Format::Jsonl | Format::Json => Ok(None),
        }
    }
}
