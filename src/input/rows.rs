//! Row by row, from the top: what each row wants, or what is wrong with it.

use std::borrow::Cow;
use std::io;

use minijinja::Value;

use super::csv::{CsvReader, Found, Record, Shape};
use super::header::{Header, HeaderError};
use super::jsonl::JsonlReader;
use super::maker::{EditMaker, Fields};
use super::mapping::Mapping;
use super::problem::Problem;
use super::stored::Stored;
use super::text::{Text, read_error};
use super::{COLUMNS_MAX, Format, InputError};
use crate::edit::Edit;

/// Rows between two looks at whether the file was written to: often enough to stop soon, rarely enough to cost nothing.
const ROWS_BETWEEN_CHECKS: u64 = 1_000;

/// One row of the list.
#[derive(Debug)]
pub struct Row {
    /// Which row it is, counted from 1, without the header and blank lines.
    pub number: u64,
    /// The line where it begins, counted from 1.
    pub line: u64,
    /// The edit it wants, or everything that is wrong with it.
    pub edit: Result<Edit, Vec<Problem>>,
}

/// Reads a list's rows, in the list's order. After an error or the end there is nothing more.
pub struct Rows {
    stored: Stored,
    pub(super) text: Text,
    pub(super) list: List,
    maker: EditMaker,
    number: u64,
    ended: bool,
}

/// A list in one of the formats.
pub(super) enum List {
    Csv(Box<CsvList>),
    Jsonl(JsonlReader),
}

/// Why a list cannot be read on, before its name is put to it.
pub(super) enum ListError {
    Io(io::Error),
    RowTooLong { line: u64 },
}

impl From<io::Error> for ListError {
    fn from(error: io::Error) -> ListError {
        ListError::Io(error)
    }
}

/// What was read of one row: the line where it begins, and what it wants.
pub(super) type Read = (u64, Result<Edit, Vec<Problem>>);

impl Rows {
    pub(super) fn new(stored: &Stored, format: Format, mapping: &Mapping) -> Result<Rows, InputError> {
        stored.check_unchanged()?;
        let mut text = Text::open(stored)?;
        let list = match format {
            Format::Csv => List::Csv(Box::new(CsvList::open(&mut text, stored, mapping)?)),
            Format::Jsonl => List::Jsonl(JsonlReader::new()),
        };
        let maker = EditMaker::new(mapping);
        Ok(Rows { stored: stored.clone(), text, list, maker, number: 0, ended: false })
    }

    /// SHA-256 of the file's bytes as stored, once every row was read.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.text.sha256()
    }

    /// Bytes of the file read so far, as stored. Reading is a little ahead of the rows.
    pub fn bytes(&self) -> u64 {
        self.text.stored_bytes()
    }

    /// Whether the list is still as it was when it was opened: then so are all rows that were read of it.
    ///
    /// # Errors
    /// It was written to.
    pub fn check_unchanged(&self) -> Result<(), InputError> {
        self.stored.check_unchanged()
    }

    fn read(&mut self) -> Result<Option<Row>, InputError> {
        if self.number.is_multiple_of(ROWS_BETWEEN_CHECKS) {
            self.stored.check_unchanged()?;
        }
        let read = match &mut self.list {
            List::Csv(list) => list.read(&mut self.text, &mut self.maker),
            List::Jsonl(list) => list.read(&mut self.text, &mut self.maker),
        };
        match read {
            Ok(Some((line, edit))) => {
                self.number += 1;
                Ok(Some(Row { number: self.number, line, edit }))
            }
            Ok(None) => {
                self.stored.check_unchanged()?;
                Ok(None)
            }
            Err(ListError::Io(error)) => Err(read_error(&self.stored, self.line(), error)),
            Err(ListError::RowTooLong { line }) => {
                self.stored.check_unchanged()?;
                Err(InputError::RowTooLong { name: self.stored.name().to_owned(), line })
            }
        }
    }

    fn line(&self) -> u64 {
        match &self.list {
            List::Csv(list) => list.reader.line(),
            List::Jsonl(list) => list.line(),
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Row, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let row = self.read().transpose();
        self.ended = !matches!(row, Some(Ok(_)));
        row
    }
}

/// A CSV list behind its header.
pub(super) struct CsvList {
    reader: CsvReader,
    pub(super) header: Header,
    row: Option<Shape>,
}

impl CsvList {
    fn open(text: &mut Text, stored: &Stored, mapping: &Mapping) -> Result<CsvList, InputError> {
        let mut reader = CsvReader::new();
        let name = || stored.name().to_owned();
        let found = reader.read(text).map_err(|error| read_error(stored, reader.line(), error))?;
        let (line, header) = match found {
            Found::Record(shape) => (shape.line, header_of(&reader, shape, mapping)),
            Found::QuoteLeftOpen { line } => (line, Err(HeaderError::QuoteLeftOpen)),
            Found::TooLong { line } => return Err(InputError::RowTooLong { name: name(), line }),
            Found::End => (1, Err(HeaderError::Empty)),
        };
        let header = header.map_err(|what| InputError::Header { name: name(), line, what })?;
        Ok(CsvList { reader, header, row: None })
    }

    /// The row just read, where its cells can be told apart.
    pub(super) fn row(&self) -> Option<Record<'_>> {
        let shape = self.row.filter(|shape| shape.cells == self.header.names.len())?;
        self.reader.record(shape)
    }

    fn read(&mut self, text: &mut Text, maker: &mut EditMaker) -> Result<Option<Read>, ListError> {
        self.row = None;
        let problem = |line, what: &str| Ok(Some((line, Err(vec![Problem::of_row(line, what)]))));
        let shape = match self.reader.read(text)? {
            Found::Record(shape) => shape,
            Found::QuoteLeftOpen { line } => {
                return problem(
                    line,
                    "the list ends inside a quoted cell; a quote was left open, or the file is cut off",
                );
            }
            Found::TooLong { line } => return Err(ListError::RowTooLong { line }),
            Found::End => return Ok(None),
        };
        let columns = self.header.names.len();
        if shape.cells != columns {
            return problem(
                shape.line,
                &format!(
                    "the row has {} cell{} and the header {columns}; a cell that holds commas or quotes must stand in \
                     quotes, with every quote in it doubled",
                    shape.cells,
                    if shape.cells == 1 { "" } else { "s" }
                ),
            );
        }
        if shape.stray_quote {
            return problem(
                shape.line,
                "a quoted cell goes on behind its closing quote; every quote within a quoted cell must be doubled",
            );
        }
        self.row = Some(shape);
        let Some(record) = self.reader.record(shape) else {
            return problem(shape.line, "the row is not UTF-8; save the list as UTF-8 (in Excel: \"CSV UTF-8\")");
        };
        let header = &self.header;
        let present = |index: usize| Some(record.cell(index)).filter(|cell| !cell.is_empty());
        let fields = Fields {
            line: shape.line,
            values: header.fields.map(|index| index.and_then(present).map(Cow::Borrowed)),
            names: header.field_names.each_ref().map(String::as_str),
        };
        let lookup = |name: &str| {
            let column = header.template_columns.iter().find(|(column, _)| column == name);
            Ok(column.and_then(|(_, index)| present(*index)).map(Value::from))
        };
        Ok(Some((shape.line, maker.make(fields, &lookup))))
    }
}

fn header_of(reader: &CsvReader, shape: Shape, mapping: &Mapping) -> Result<Header, HeaderError> {
    if shape.cells > COLUMNS_MAX {
        return Err(HeaderError::TooManyColumns { found: shape.cells });
    }
    Header::new(reader.record(shape).ok_or(HeaderError::NotUtf8)?, mapping)
}
