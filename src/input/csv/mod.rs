//! CSV: a header that names the columns, and records below it.

mod header;
mod reader;

use std::borrow::Cow;
use std::io::BufRead;
use std::sync::Arc;

use minijinja::Value;

pub(super) use header::Header;
pub use header::{HeaderError, MissingHint};
pub(super) use reader::{CsvReader, CsvRecord, LineCounter};

use super::edit_builder::{EditBuilder, RowFields};
use super::mapping::Mapping;
use super::problem::Problem;
use super::raw_row::{RowInfo, RowReadError};
use super::stored::Stored;
use super::text::read_error;
use super::{COLUMNS_MAX, InputError};
use crate::edit::{Edit, EitherWay};
use reader::{ReadOutcome, RecordShape};

/// Reads the rows of a CSV list, after its header.
pub(super) struct CsvRowReader {
    pub(super) reader: CsvReader,
    pub(super) header: Arc<Header>,
    /// Whether the row just read has as many cells as the header, and no stray quote.
    is_well_formed: bool,
}

impl CsvRowReader {
    pub(super) fn open(
        text: &mut impl BufRead,
        stored: &Stored,
        mapping: &Mapping,
    ) -> Result<CsvRowReader, InputError> {
        let mut reader = CsvReader::new();
        let name = || stored.name().to_owned();
        let found = reader.read(text).map_err(|error| read_error(stored, reader.line(), error))?;
        let (line, header) = match found {
            ReadOutcome::Record(shape) => (shape.line, header_of(&reader, shape, mapping)),
            ReadOutcome::UnclosedQuote { line } => (line, Err(HeaderError::UnclosedQuote)),
            ReadOutcome::TooLong { line } => return Err(InputError::RowTooLong { name: name(), line }),
            ReadOutcome::End => (1, Err(HeaderError::Empty)),
        };
        let header = header.map_err(|what| InputError::Header { name: name(), line, what })?;
        Ok(CsvRowReader { reader, header: Arc::new(header), is_well_formed: false })
    }

    /// The row just read, if it is well-formed.
    pub(super) fn row(&self) -> Option<CsvRecord<'_>> {
        self.is_well_formed.then(|| self.reader.record())?
    }

    /// The line that reading has reached.
    pub(super) fn line(&self) -> u64 {
        self.reader.line()
    }

    /// The cell bytes of the row just read, and where each cell ends.
    pub(super) fn raw(&self) -> (&[u8], &[usize]) {
        self.is_well_formed.then(|| self.reader.cell_bytes()).flatten().unwrap_or_default()
    }

    pub(super) fn read(&mut self, text: &mut impl BufRead) -> Result<Option<RowInfo>, RowReadError> {
        self.is_well_formed = false;
        let (line, malformed) = match self.reader.read(text)? {
            ReadOutcome::Record(shape) => {
                let malformed = self.malformed(shape);
                self.is_well_formed = malformed.is_none();
                (shape.line, malformed)
            }
            ReadOutcome::UnclosedQuote { line } => {
                let what = "the list ends inside a quoted cell; a quote was left open, or the file is cut off";
                (line, Some(what.to_owned()))
            }
            ReadOutcome::TooLong { line } => return Err(RowReadError::RowTooLong { line }),
            ReadOutcome::End => return Ok(None),
        };
        Ok(Some(RowInfo { line, malformed }))
    }

    /// Why a row is malformed, if it is.
    fn malformed(&self, shape: RecordShape) -> Option<String> {
        let columns = self.header.names.len();
        if shape.cells != columns {
            return Some(format!(
                "the row has {} cell{} but the header has {columns}; quote a cell that contains commas or quotes, \
                 and double every quote in it",
                shape.cells,
                if shape.cells == 1 { "" } else { "s" }
            ));
        }
        shape.stray_quote.then(|| {
            "a quoted cell continues after its closing quote; double every quote inside a quoted cell".to_owned()
        })
    }
}

fn header_of(reader: &CsvReader, shape: RecordShape, mapping: &Mapping) -> Result<Header, HeaderError> {
    if shape.cells > COLUMNS_MAX {
        return Err(HeaderError::TooManyColumns { found: shape.cells });
    }
    Header::new(reader.record().ok_or(HeaderError::NotUtf8)?, mapping)
}

/// The edit that a record describes.
pub(super) fn edit(
    line: u64,
    cells: &[u8],
    ends: &[usize],
    header: &Header,
    builder: &mut EditBuilder,
) -> Result<Edit, Vec<Problem>> {
    let Some(record) = CsvRecord::new(cells, ends) else {
        let what = "the row is not UTF-8; save the list as UTF-8 (in Excel: \"CSV UTF-8\")";
        return Err(vec![Problem::of_row(line, what)]);
    };
    let lookup = |name: &str| {
        let column = header.template_columns.iter().find(|(column, _)| column == name);
        Ok(column.and_then(|(_, index)| record.non_empty(*index)).map(Value::from))
    };
    builder.build(fields(line, record, header), &lookup)
}

/// The message that a record names, if it can be determined.
pub(super) fn message(
    line: u64,
    cells: &[u8],
    ends: &[usize],
    header: &Header,
    mapping: &Mapping,
) -> Option<EitherWay> {
    Some(fields(line, CsvRecord::new(cells, ends)?, header).message(mapping))
}

/// The fields of an edit, taken from a record's cells.
fn fields<'a>(line: u64, record: CsvRecord<'a>, header: &'a Header) -> RowFields<'a> {
    RowFields {
        line,
        values: header.fields.map(|index| record.non_empty(index?).map(Cow::Borrowed)),
        names: header.field_names.each_ref().map(String::as_str),
    }
}
