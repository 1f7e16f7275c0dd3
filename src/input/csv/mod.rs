//! CSV: a header that names the columns, and records below it.

mod header;
mod layout;
mod reader;

use std::borrow::Cow;
use std::io::{self, BufRead};
use std::sync::Arc;

use encoding_rs::GB18030;
use minijinja::Value;

pub(super) use header::Header;
pub use header::{HeaderError, MissingHint};
pub(super) use reader::{CsvReader, CsvRecord};

use super::decoder::encoding_advice;
use super::dialect::Delimiter;
use super::edit_builder::{EditBuilder, RowFields};
use super::mapping::Mapping;
use super::problem::Problem;
use super::raw_row::{RowInfo, RowReadError};
use super::stored::Stored;
use super::text::{DecodedText, read_error};
use super::{COLUMNS_MAX, InputError};
use crate::edit::{Edit, EitherWay};
use crate::terminal::escape::Name;
use header::HeaderAgain;
use layout::Layout;
use reader::{ReadOutcome, RecordShape};

/// Reads the rows of a CSV list, after its header.
pub(super) struct CsvRowReader {
    pub(super) reader: CsvReader,
    pub(super) header: Arc<Header>,
    /// Whether the row just read has a cell for each column, and no stray quote.
    is_well_formed: bool,
    empty_rows: u64,
    /// The most cells of the header or a row.
    cells_max: usize,
}

impl CsvRowReader {
    pub(super) fn open(text: &mut DecodedText, stored: &Stored, mapping: &Mapping) -> Result<CsvRowReader, InputError> {
        let Layout { delimiter, begin } = Layout::of(text.head(), mapping);
        let mut reader = CsvReader::new(delimiter);
        let name = || stored.name().to_owned();
        reader.pass_over(text, begin).map_err(|error| read_error(stored, reader.line(), error))?;
        let (mut cells_max, mut empty_rows) = (0, 0);
        let found =
            read_row(&mut reader, text, &mut empty_rows).map_err(|error| read_error(stored, reader.line(), error))?;
        let (line, header) = match found {
            ReadOutcome::Record(shape) => {
                cells_max = shape.cells;
                (shape.line, header_of(&reader, shape, text.head(), mapping))
            }
            ReadOutcome::UnclosedQuote { line } => (line, Err(HeaderError::UnclosedQuote)),
            ReadOutcome::TooLong { line } => return Err(InputError::RowTooLong { name: name(), line }),
            ReadOutcome::End => (1, Err(HeaderError::Empty)),
        };
        let header = header.map_err(|what| InputError::Header { name: name(), line, what })?;
        let header = Arc::new(header);
        Ok(CsvRowReader { reader, header, is_well_formed: false, empty_rows, cells_max })
    }

    /// What separates the columns.
    pub(super) fn delimiter(&self) -> Delimiter {
        self.reader.delimiter()
    }

    /// Rows of empty cells, which were passed over.
    pub(super) fn empty_rows(&self) -> u64 {
        self.empty_rows
    }

    /// Columns without a name or a cell that is not empty, which were passed over.
    pub(super) fn empty_columns(&self) -> usize {
        self.cells_max - self.header.names.len() + self.header.nameless.len()
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
        let (line, malformed) = match read_row(&mut self.reader, text, &mut self.empty_rows)? {
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
    fn malformed(&mut self, shape: RecordShape) -> Option<String> {
        let RecordShape { cells, .. } = shape;
        let columns = self.header.names.len();
        // Spreadsheets write cells for columns that are empty.
        let has_empty_columns = columns < cells && cells <= COLUMNS_MAX && self.reader.is_blank_from(columns);
        if has_empty_columns {
            self.cells_max = self.cells_max.max(cells);
        } else if cells != columns {
            let record = self.reader.record();
            if record.is_some_and(|record| self.header.names_in(record.cells()) >= 2) {
                return Some(OTHER_HEADER.to_owned());
            }
            if columns < cells && cells <= self.cells_max {
                return Some(format!(
                    "the row has text after column {columns}, where the header has no name; give the column a name that \
                     begins with \"_\" if it is not to be read"
                ));
            }
            return Some(format!(
                "the row has {cells} cell{} but the header has {columns}; quote a cell that contains {} or quotes, \
                 and double every quote in it",
                if cells == 1 { "" } else { "s" },
                self.delimiter().plural(),
            ));
        }
        let is_blank = |index: usize| self.reader.record().is_none_or(|record| record.cell(index).trim().is_empty());
        if let Some(index) = self.header.nameless.iter().find(|index| !is_blank(**index)) {
            return Some(format!(
                "the row has text in column {}, where the header has no name; give the column a name that begins with \"_\" \
                 if it is not to be read",
                index + 1
            ));
        }
        shape.stray_quote.then(|| {
            "a quoted cell continues after its closing quote; double every quote inside a quoted cell".to_owned()
        })
    }
}

/// Reads the next record that has a cell with text, and counts those before it.
fn read_row(reader: &mut CsvReader, text: &mut impl BufRead, empty_rows: &mut u64) -> io::Result<ReadOutcome> {
    loop {
        match reader.read(text)? {
            ReadOutcome::Record(RecordShape { cells: 0..=COLUMNS_MAX, .. }) if reader.is_blank_from(0) => {
                *empty_rows += 1;
            }
            outcome => return Ok(outcome),
        }
    }
}

/// A second header that has other columns, or the same in another order.
const OTHER_HEADER: &str = "another header comes here, so two lists with different columns were joined; give each list its own \
                            header and file, and run one after the other";
/// The list's own header.
const HEADER_AGAIN: &str = "the header comes again here, as it does where two lists were joined; remove this line";

fn header_of(reader: &CsvReader, shape: RecordShape, head: &[u8], mapping: &Mapping) -> Result<Header, HeaderError> {
    if shape.cells > COLUMNS_MAX {
        return Err(HeaderError::TooManyColumns { found: shape.cells });
    }
    let Some(record) = reader.record() else {
        let names = reader.cell_bytes().and_then(|(bytes, ends)| gb18030_cells(bytes, ends));
        return Err(HeaderError::NotUtf8 { names });
    };
    Header::new(record, layout::better(head, reader.delimiter(), mapping), mapping)
}

/// The cells as GB18030, which most spreadsheets in Chinese write, if they can be that.
fn gb18030_cells(bytes: &[u8], ends: &[usize]) -> Option<Vec<String>> {
    let begins = std::iter::once(&0).chain(ends);
    let cells = begins.zip(ends).map(|(&begin, &end)| bytes.get(begin..end));
    cells.map(|cell| Some(GB18030.decode_without_bom_handling_and_without_replacement(cell?)?.into_owned())).collect()
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
        let as_gb18030 = gb18030_cells(cells, ends);
        let advice = encoding_advice(as_gb18030.is_some());
        // An id shows whether the guess is right. New content is not shown.
        let ids = header.fields[..3].iter().flatten();
        let id = ids.filter_map(|&index| as_gb18030.as_ref()?.get(index)).find(|id| !id.is_ascii());
        let what = match id {
            Some(id) => format!("the row is not UTF-8; as GB18030 it has the id {}; {advice}", Name(id)),
            None => format!("the row is not UTF-8; {advice}"),
        };
        return Err(vec![Problem::of_row(line, what)]);
    };
    match header.is_again(record) {
        HeaderAgain::No => {}
        HeaderAgain::Same => return Err(vec![Problem::of_row(line, HEADER_AGAIN)]),
        HeaderAgain::Other => return Err(vec![Problem::of_row(line, OTHER_HEADER)]),
    }
    let record = header.original(record).map_err(|(column, what)| vec![Problem::of_column(line, column, what)])?;
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
    Some(fields(line, header.original(CsvRecord::new(cells, ends)?).ok()?, header).message(mapping))
}

/// The fields of an edit, taken from a record's cells.
fn fields<'a>(line: u64, record: CsvRecord<'a>, header: &'a Header) -> RowFields<'a> {
    RowFields {
        line,
        values: header.fields.map(|index| record.non_empty(index?).map(Cow::Borrowed)),
        names: header.field_names.each_ref().map(String::as_str),
    }
}
