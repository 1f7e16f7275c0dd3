//! Reads raw rows in order, whatever the format.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use encoding_rs::Encoding;

use super::csv::CsvRowReader;
use super::json_list::{self, JsonRowReader};
use super::jsonl::JsonlRowReader;
use super::mapping::Mapping;
use super::raw_row::{RowInfo, RowReadError};
use super::read_list::{ListFacts, ReadInput, ReadList};
use super::row_source::{RawRow, RowLayout, RowSource};
use super::stored::Stored;
use super::text::{DecodedText, read_error};
use super::xlsx::XlsxRowReader;
use super::{Format, InputError, List};

/// Rows between two checks for changes to the file: often enough to stop soon, rarely enough to cost nothing.
const ROWS_BETWEEN_CHECKS: u64 = 1_000;

/// Reads the raw rows of one list after the other from the top, and checks that the files do not change meanwhile.
pub(super) struct ListReader {
    mapping: Mapping,
    current: OpenList,
    others: VecDeque<List>,
    /// What was read of the lists before the current one.
    before: Vec<ReadList>,
    bytes_before: u64,
    number: u64,
    ended: bool,
}

impl ListReader {
    pub(super) fn open(first: &List, others: &[List], mapping: &Mapping) -> Result<ListReader, InputError> {
        Ok(ListReader {
            mapping: mapping.clone(),
            current: OpenList::open(first, mapping)?,
            others: others.iter().cloned().collect(),
            before: Vec::new(),
            bytes_before: 0,
            number: 0,
            ended: false,
        })
    }

    /// The next row; `None` at the end of the last list and after an error.
    pub(super) fn read(&mut self) -> Result<Option<RawRow<'_>>, InputError> {
        loop {
            match self.advance()? {
                Some(row) => return Ok(Some(self.raw(row))),
                None if self.next_list()? => {}
                None => return Ok(None),
            }
        }
    }

    /// The next row of the current list; `None` at its end and after an error.
    pub(super) fn read_in_list(&mut self) -> Result<Option<RawRow<'_>>, InputError> {
        Ok(self.advance()?.map(|row| self.raw(row)))
    }

    /// At the end of a list, goes on to the next; returns whether there is one.
    pub(super) fn next_list(&mut self) -> Result<bool, InputError> {
        if self.ended {
            return Ok(false);
        }
        let Some(list) = self.others.pop_front() else { return Ok(false) };
        self.ended = true;
        let next = OpenList::open(&list, &self.mapping)?;
        self.ended = false;
        let list = std::mem::replace(&mut self.current, next);
        self.bytes_before += list.text.stored_bytes();
        self.before.extend(list.as_read());
        Ok(true)
    }

    /// Reads the next row of the current list. An error ends reading.
    fn advance(&mut self) -> Result<Option<RowInfo>, InputError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let row = self.current.read()?;
        self.ended = false;
        self.number += u64::from(row.is_some());
        Ok(row)
    }

    /// The row just read.
    fn raw(&self, RowInfo { line, malformed }: RowInfo) -> RawRow<'_> {
        let (bytes, ends) = self.current.rows.raw();
        RawRow { number: self.number, line, malformed, bytes, ends, source: &self.current.source }
    }

    /// The reader of the current list.
    pub(super) fn rows(&self) -> &RowReader {
        &self.current.rows
    }

    /// What the rows of the current list have in common.
    pub(super) fn source(&self) -> &RowSource {
        &self.current.source
    }

    /// The encoding of the current list's stored text.
    pub(super) fn encoding(&self) -> &'static Encoding {
        self.current.text.encoding()
    }

    /// Fails if the current list has changed since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), InputError> {
        self.current.stored.check_unchanged()
    }

    /// Stored bytes read so far.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.bytes_before + self.current.text.stored_bytes()
    }

    /// Ends reading early: further reads return `None`.
    pub(super) fn stop(&mut self) {
        self.ended = true;
    }

    /// What was read, once every row of every list has been.
    pub(super) fn read_input(&self) -> Option<ReadInput> {
        let last = self.current.as_read().filter(|_| self.others.is_empty())?;
        Some(ReadInput::of(self.before.iter().copied().chain([last]).collect()))
    }
}

/// The list that is being read.
struct OpenList {
    stored: Stored,
    text: DecodedText,
    rows: RowReader,
    source: RowSource,
    row_count: u64,
    ended: bool,
}

impl OpenList {
    fn open(list: &List, mapping: &Mapping) -> Result<OpenList, InputError> {
        let List { stored, format, one_of, .. } = list;
        stored.check_unchanged()?;
        let mut text = match format {
            Format::Xlsx => DecodedText::undecoded(stored),
            Format::Csv | Format::Jsonl | Format::Json => DecodedText::open(stored, mapping.encoding())?,
        };
        let rows = RowReader::open(&mut text, stored, *format, mapping)?;
        let source = RowSource::new(layout(&rows), one_of.clone());
        Ok(OpenList { stored: stored.clone(), text, rows, source, row_count: 0, ended: false })
    }

    /// The next row; `None` at the end.
    fn read(&mut self) -> Result<Option<RowInfo>, InputError> {
        if self.ended {
            return Ok(None);
        }
        if self.row_count.is_multiple_of(ROWS_BETWEEN_CHECKS) {
            self.stored.check_unchanged()?;
        }
        match self.rows.read(&mut self.text) {
            Ok(Some(row)) => {
                self.row_count += 1;
                Ok(Some(row))
            }
            Ok(None) => {
                self.stored.check_unchanged()?;
                self.ended = true;
                Ok(None)
            }
            Err(RowReadError::Io(error)) => Err(read_error(&self.stored, self.rows.line(), error)),
            Err(RowReadError::RowTooLong { line }) => {
                self.stored.check_unchanged()?;
                Err(InputError::RowTooLong { name: self.stored.name().to_owned(), line })
            }
            Err(RowReadError::Xlsx { what }) => {
                self.stored.check_unchanged()?;
                Err(InputError::Xlsx { name: self.stored.name().to_owned(), what })
            }
            Err(RowReadError::Broken { line, what }) => {
                self.stored.check_unchanged()?;
                Err(InputError::Broken { name: self.stored.name().to_owned(), line, what })
            }
        }
    }

    /// What was read, once the end has been reached.
    fn as_read(&self) -> Option<ReadList> {
        let sha256 = self.text.sha256().filter(|_| self.ended)?;
        let (delimiter, empty_rows, empty_columns) = match &self.rows {
            RowReader::Csv(rows) => (Some(rows.delimiter()), rows.empty_rows(), rows.empty_columns()),
            RowReader::Xlsx(rows) => (None, rows.empty_rows(), rows.empty_columns()),
            RowReader::Jsonl(_) | RowReader::Json(_) => (None, 0, 0),
        };
        let facts = ListFacts { encoding: self.text.encoding().name(), delimiter, empty_rows, empty_columns };
        Some(ReadList { rows: self.row_count, sha256, facts })
    }
}

/// The reader of one format. A further format is a further variant.
pub(super) enum RowReader {
    Csv(Box<CsvRowReader>),
    Jsonl(JsonlRowReader),
    Json(Box<JsonRowReader>),
    Xlsx(Box<XlsxRowReader>),
}

impl RowReader {
    fn open(
        text: &mut DecodedText,
        stored: &Stored,
        format: Format,
        mapping: &Mapping,
    ) -> Result<RowReader, InputError> {
        Ok(match format {
            Format::Csv => RowReader::Csv(Box::new(CsvRowReader::open(text, stored, mapping)?)),
            Format::Xlsx => RowReader::Xlsx(Box::new(XlsxRowReader::open(stored, mapping)?)),
            Format::Json => RowReader::Json(Box::new(JsonRowReader::new(Vec::new(), mapping))),
            // Many tools name a file so that holds an array, or objects over several lines.
            Format::Jsonl => match json_list::recognize(text).map_err(|error| read_error(stored, 1, error))? {
                (head, true) => RowReader::Json(Box::new(JsonRowReader::new(head, mapping))),
                (head, false) => RowReader::Jsonl(JsonlRowReader::new(head, mapping)),
            },
        })
    }

    fn read(&mut self, text: &mut DecodedText) -> Result<Option<RowInfo>, RowReadError> {
        match self {
            RowReader::Csv(rows) => rows.read(text),
            RowReader::Jsonl(rows) => rows.read(text),
            RowReader::Json(rows) => rows.read(text),
            RowReader::Xlsx(rows) => {
                let row = rows.read()?;
                if row.is_none() {
                    // For the digest of the whole file.
                    io::copy(text, &mut io::sink())?;
                }
                Ok(row)
            }
        }
    }

    /// The bytes of the row just read, and where its cells end, if the format has cells.
    pub(super) fn raw(&self) -> (&[u8], &[usize]) {
        match self {
            RowReader::Csv(rows) => rows.raw(),
            RowReader::Jsonl(rows) => (rows.raw(), &[]),
            RowReader::Json(rows) => (rows.raw(), &[]),
            RowReader::Xlsx(rows) => rows.raw(),
        }
    }

    /// The line that reading has reached.
    fn line(&self) -> u64 {
        match self {
            RowReader::Csv(rows) => rows.line(),
            RowReader::Jsonl(rows) => rows.line(),
            RowReader::Json(rows) => rows.line(),
            RowReader::Xlsx(rows) => rows.line(),
        }
    }
}

/// Where the rows of a reader keep their fields.
fn layout(rows: &RowReader) -> RowLayout {
    match rows {
        RowReader::Csv(rows) => RowLayout::Csv(Arc::clone(&rows.header)),
        RowReader::Xlsx(rows) => RowLayout::Xlsx(Arc::clone(&rows.header), Arc::clone(rows.columns())),
        RowReader::Jsonl(_) | RowReader::Json(_) => RowLayout::Jsonl,
    }
}
