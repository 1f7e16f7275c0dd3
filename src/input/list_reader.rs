//! Reads raw rows in order, whatever the format.

use std::io;

use encoding_rs::Encoding;

use super::csv::CsvRowReader;
use super::json_list::{self, JsonRowReader};
use super::jsonl::JsonlRowReader;
use super::mapping::Mapping;
use super::raw_row::{RawRow, RowInfo, RowReadError};
use super::stored::Stored;
use super::survey::ListFacts;
use super::text::{DecodedText, read_error};
use super::xlsx::XlsxRowReader;
use super::{Format, InputError};

/// Rows between two checks for changes to the file: often enough to stop soon, rarely enough to cost nothing.
const ROWS_BETWEEN_CHECKS: u64 = 1_000;

/// Reads a list's raw rows from the top, and checks that the file does not change meanwhile.
pub(super) struct ListReader {
    stored: Stored,
    text: DecodedText,
    pub(super) rows: RowReader,
    number: u64,
    ended: bool,
    /// Whether the end was reached, without an error.
    is_complete: bool,
}

impl ListReader {
    pub(super) fn open(stored: &Stored, format: Format, mapping: &Mapping) -> Result<ListReader, InputError> {
        stored.check_unchanged()?;
        let mut text = match format {
            Format::Xlsx => DecodedText::undecoded(stored),
            Format::Csv | Format::Jsonl | Format::Json => DecodedText::open(stored, mapping.encoding())?,
        };
        let rows = RowReader::open(&mut text, stored, format, mapping)?;
        Ok(ListReader { stored: stored.clone(), text, rows, number: 0, ended: false, is_complete: false })
    }

    /// The next row; `None` at the end and after an error.
    pub(super) fn read(&mut self) -> Result<Option<RawRow<'_>>, InputError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        if self.number.is_multiple_of(ROWS_BETWEEN_CHECKS) {
            self.stored.check_unchanged()?;
        }
        match self.rows.read(&mut self.text) {
            Ok(Some(RowInfo { line, malformed })) => {
                self.number += 1;
                self.ended = false;
                let (bytes, ends) = self.rows.raw();
                Ok(Some(RawRow { number: self.number, line, malformed, bytes, ends }))
            }
            Ok(None) => {
                self.stored.check_unchanged()?;
                self.is_complete = true;
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

    /// Fails if the list has changed since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), InputError> {
        self.stored.check_unchanged()
    }

    /// What is known about the list so far; all of it once every row has been read.
    pub(super) fn facts(&self) -> ListFacts {
        let encoding = self.encoding().name();
        let sha256 = self.sha256();
        match &self.rows {
            RowReader::Csv(rows) => ListFacts {
                sha256,
                encoding,
                delimiter: Some(rows.delimiter()),
                empty_rows: rows.empty_rows(),
                empty_columns: rows.empty_columns(),
            },
            RowReader::Xlsx(rows) => ListFacts {
                sha256,
                encoding,
                delimiter: None,
                empty_rows: rows.empty_rows(),
                empty_columns: rows.empty_columns(),
            },
            RowReader::Jsonl(_) | RowReader::Json(_) => {
                ListFacts { sha256, encoding, delimiter: None, empty_rows: 0, empty_columns: 0 }
            }
        }
    }

    /// The encoding of the stored text.
    pub(super) fn encoding(&self) -> &'static Encoding {
        self.text.encoding()
    }

    /// Stored bytes read so far.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.text.stored_bytes()
    }

    /// Ends reading early: further reads return `None`.
    pub(super) fn stop(&mut self) {
        self.ended = true;
    }

    /// SHA-256 of the file's bytes as stored, once every row has been read.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.is_complete.then(|| self.text.sha256())?
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
                (head, false) => RowReader::Jsonl(JsonlRowReader::new(head)),
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
