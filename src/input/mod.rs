//! The list: a file of wanted edits, read row by row.
//!
//! ```text
//! file ─▶ stored (handle, fingerprint, digest) ─▶ text (gzip, BOM) ─▶ csv | jsonl ─▶ mapping, template ─▶ Row
//! ```
//! A list is read from the top more than once: to plan, to run, to write the failed rows out. So it is opened once,
//! the handle is kept, and a list that changes in between is an error. Memory is bounded whatever the file holds:
//! one row at a time, none longer than [`ROW_BYTES_MAX`].
//!
//! Two kinds of fault, never mixed: a [`Problem`] is a bad row, and reading goes on; an [`InputError`] means that
//! the list cannot be read on. Neither shows message text.

mod annotate;
mod csv;
mod edit_builder;
mod error;
mod excerpts;
mod format;
mod jsonl;
mod list_reader;
mod mapping;
mod mapping_error;
mod problem;
mod raw_row;
mod rows;
mod spec;
mod stored;
mod survey;
mod template;
mod text;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use annotate::{AnnotateError, RowNote};
pub use csv::{HeaderError, MissingHint};
pub use error::InputError;
pub use format::{Format, UnknownFormat};
pub use mapping::Mapping;
pub use mapping_error::MappingError;
pub use problem::Problem;
pub use rows::{Row, Rows};
pub use spec::{ColumnNames, ContentPart, ContentSpec, InputSpec};

use crate::terminal::escape::escape_control;
use stored::Stored;

/// Bytes of the longest row that is read: some eighty times what the service takes for one message. A quote left open
/// would otherwise draw the rest of the file into memory as one cell.
pub const ROW_BYTES_MAX: usize = 1 << 20;
/// Columns of a CSV list, or members of a JSON line, at most: far past any real export, and a bound on what is kept
/// for each row.
pub const COLUMNS_MAX: usize = 1024;
/// Bytes that are taken from standard input at most: about forty million rows. It bounds the disk that a
/// stream without an end can fill.
pub const SPOOL_BYTES_MAX: u64 = 16 << 30;

/// An opened list, which can be read from the top again and again. Readers do not disturb each other.
#[derive(Debug)]
pub struct Input {
    path: Option<PathBuf>,
    display_name: String,
    format: Format,
    stored: Stored,
}

impl Input {
    /// Opens the list at `path`; `-` is standard input, which is copied into a temporary file first. The format goes
    /// by the file's name where `format` does not give it; gzip is told by the file's first bytes.
    ///
    /// # Errors
    /// When the format cannot be told, or the file is none that can be read more than once.
    pub fn open(path: &Path, format: Option<Format>) -> Result<Input, InputError> {
        let name = path.display().to_string();
        if name == "-" {
            let format = format.ok_or(InputError::NoFormat { name })?;
            return Input::from_reader("standard input", std::io::stdin().lock(), format);
        }
        // Looked at before it is opened: opening a pipe would wait for its writer.
        let failed = |source| InputError::Open { name: name.clone(), source };
        let file_type = std::fs::metadata(path).map_err(failed)?.file_type();
        if file_type.is_dir() {
            return Err(InputError::Directory { name });
        }
        if !file_type.is_file() {
            return Err(InputError::NotAFile { name });
        }
        let Some(format) = format.or_else(|| Format::of_name(&name)) else {
            return Err(InputError::NoFormat { name });
        };
        let file = File::open(path).map_err(failed)?;
        let stored = Stored::new(name.clone(), file).map_err(failed)?;
        Ok(Input { path: Some(path.to_owned()), display_name: escape_control(&name).into_owned(), format, stored })
    }

    /// Copies a stream into a temporary file that has no name and that only this user can read, and opens that.
    ///
    /// # Errors
    /// When the stream cannot be read or is longer than [`SPOOL_BYTES_MAX`], or the disk is full.
    pub fn from_reader(name: &str, reader: impl Read, format: Format) -> Result<Input, InputError> {
        let stored = Stored::spool(name.to_owned(), reader, SPOOL_BYTES_MAX)?;
        Ok(Input { path: None, display_name: escape_control(name).into_owned(), format, stored })
    }

    /// The list's name, for people: fit to be shown.
    pub fn name(&self) -> &str {
        &self.display_name
    }

    /// How the list is written.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Where the list is; `None` for standard input.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Bytes of the list as stored.
    pub fn bytes(&self) -> u64 {
        self.stored.bytes()
    }

    /// Reads from the top. The header of a CSV list is checked here.
    ///
    /// # Errors
    /// When the list changed since it was opened, cannot be read, or its header does not do.
    pub fn rows(&self, mapping: &Mapping) -> Result<Rows, InputError> {
        Rows::new(&self.stored, self.format, mapping)
    }
}
