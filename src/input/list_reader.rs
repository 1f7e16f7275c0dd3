//! Raw rows, one after the other, whatever the format.

use super::csv::CsvList;
use super::jsonl::JsonlReader;
use super::mapping::Mapping;
use super::raw_row::{ListError, Raw, Read};
use super::stored::Stored;
use super::text::{Text, read_error};
use super::{Format, InputError};

/// Rows between two looks at whether the file was written to: often enough to stop soon, rarely enough to cost nothing.
const ROWS_BETWEEN_CHECKS: u64 = 1_000;

/// Where rows come from, one behind the other, not looked at yet.
pub(super) struct Source {
    stored: Stored,
    text: Text,
    pub(super) list: List,
    number: u64,
    ended: bool,
}

impl Source {
    pub(super) fn open(stored: &Stored, format: Format, mapping: &Mapping) -> Result<Source, InputError> {
        stored.check_unchanged()?;
        let mut text = Text::open(stored)?;
        let list = List::open(&mut text, stored, format, mapping)?;
        Ok(Source { stored: stored.clone(), text, list, number: 0, ended: false })
    }

    /// The next row; `None` at the end, and behind an error.
    pub(super) fn read(&mut self) -> Result<Option<Raw<'_>>, InputError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        if self.number.is_multiple_of(ROWS_BETWEEN_CHECKS) {
            self.stored.check_unchanged()?;
        }
        match self.list.read(&mut self.text) {
            Ok(Some(Read { line, fault })) => {
                self.number += 1;
                self.ended = false;
                let (bytes, ends) = self.list.raw();
                Ok(Some(Raw { number: self.number, line, fault, bytes, ends }))
            }
            Ok(None) => {
                self.stored.check_unchanged()?;
                Ok(None)
            }
            Err(ListError::Io(error)) => Err(read_error(&self.stored, self.list.line(), error)),
            Err(ListError::RowTooLong { line }) => {
                self.stored.check_unchanged()?;
                Err(InputError::RowTooLong { name: self.stored.name().to_owned(), line })
            }
        }
    }

    /// Fails when the list was written to since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), InputError> {
        self.stored.check_unchanged()
    }

    /// Stored bytes read so far.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.text.stored_bytes()
    }

    /// Nobody wants any more of it.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// SHA-256 of the file's bytes as stored, once every row was read.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.text.sha256()
    }
}

/// A list in one of the formats.
pub(super) enum List {
    Csv(Box<CsvList>),
    Jsonl(JsonlReader),
}

impl List {
    fn open(text: &mut Text, stored: &Stored, format: Format, mapping: &Mapping) -> Result<List, InputError> {
        Ok(match format {
            Format::Csv => List::Csv(Box::new(CsvList::open(text, stored, mapping)?)),
            Format::Jsonl => List::Jsonl(JsonlReader::new()),
        })
    }

    fn read(&mut self, text: &mut Text) -> Result<Option<Read>, ListError> {
        match self {
            List::Csv(list) => list.read(text),
            List::Jsonl(list) => list.read(text),
        }
    }

    /// The bytes of the row just read, and where its cells end, if the format has cells.
    fn raw(&self) -> (&[u8], &[usize]) {
        match self {
            List::Csv(list) => list.raw(),
            List::Jsonl(list) => (list.raw(), &[]),
        }
    }

    /// The line that reading has come to.
    fn line(&self) -> u64 {
        match self {
            List::Csv(list) => list.line(),
            List::Jsonl(list) => list.line(),
        }
    }
}
