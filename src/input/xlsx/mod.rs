//! Excel workbooks: the rows of one sheet, as a CSV list has them. The first row with text is the header.
//!
//! calamine reads the workbook, after `guard` has looked through it: only its shared texts and formats are held in
//! memory, up to a limit; the sheet itself is a stream. A cell has a type here that a CSV cell does not have: where an edit needs it, a number must be whole and
//! complete, and anything else that is no text is refused, because it may not be what the author sees.

mod guard;
mod place;
mod sheet;

use std::io::BufReader;
use std::sync::Arc;

use calamine::{Reader as _, SheetType, Xlsx, XlsxError};

use self::guard::{ArchiveBytes, Unvalued};
use self::place::column_name;
use self::sheet::{Book, SheetReader};
use super::csv::{CsvRecord, Header, HeaderError};
use super::mapping::Mapping;
use super::problem::join_names;
use super::raw_row::{RowInfo, RowReadError};
use super::stored::Stored;
use super::{COLUMNS_MAX, InputError};
use crate::terminal::escape::Name;

/// Reads the rows of a sheet, after its header.
pub(super) struct XlsxRowReader {
    pub(super) header: Arc<Header>,
    /// The sheet's columns that have a name, and whether an edit needs them.
    columns: Arc<SheetColumns>,
    sheet: SheetReader,
    /// The row of the header, and how many have been read after it.
    begin: u32,
    rows: u32,
    cells: Vec<u8>,
    ends: Vec<usize>,
    is_well_formed: bool,
}

/// Where the header's names stand in the sheet.
pub(super) struct SheetColumns {
    places: Vec<u32>,
    is_used: Vec<bool>,
}

impl SheetColumns {
    /// The name of a cell, such as `B17`, by its column's place in the header.
    pub(super) fn cell(&self, index: usize, row: u64) -> Option<String> {
        Some(format!("{}{row}", column_name(*self.places.get(index)?)))
    }
}

/// Why a workbook cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    NotAWorkbook,
    Damaged { place: String },
    TooLarge { place: String },
    RowTooLong { row: u32 },
}

impl Trouble {
    fn what(self) -> String {
        match self {
            Trouble::NotAWorkbook => {
                "is not an Excel workbook (.xlsx); if it is a spreadsheet of another kind (.xls, .xlsb, \
                                      .ods), save it as .xlsx or as \"CSV UTF-8\""
                    .to_owned()
            }
            Trouble::Damaged { place } => format!(
                "is damaged, or was written by a program that does not keep to the format (in {}); open it in a \
                 spreadsheet program and save it again, or save the sheet as \"CSV UTF-8\"",
                Name(&place)
            ),
            Trouble::TooLarge { place } => format!(
                "holds more than can be read ({} is too large); save the sheet as \"CSV UTF-8\", which can be of any \
                 length",
                Name(&place)
            ),
            Trouble::RowTooLong { row } => format!("row {row} is too long to be that of an edit"),
        }
    }
}

impl XlsxRowReader {
    pub(super) fn open(stored: &Stored, mapping: &Mapping) -> Result<XlsxRowReader, InputError> {
        let name = || stored.name().to_owned();
        let failed = |trouble: Trouble| match stored.check_unchanged() {
            Ok(()) => InputError::Xlsx { name: name(), what: trouble.what() },
            Err(changed) => changed,
        };
        let (book, unvalued) = open_book(stored, true).map_err(failed)?;
        let chosen = chosen(&sheets_of(&book), stored, mapping)?;
        let mut sheet =
            SheetReader::start(book, chosen, unvalued).map_err(|source| InputError::Open { name: name(), source })?;
        let (header, columns) = loop {
            if !sheet.read().map_err(failed)? {
                return Err(InputError::Header { name: name(), line: 1, what: HeaderError::Empty });
            }
            if sheet.cells().any(|(_, text)| !text.trim().is_empty()) {
                let line = sheet.row().into();
                break header_of(&sheet, mapping).map_err(|what| InputError::Header { name: name(), line, what })?;
            }
        };
        Ok(XlsxRowReader {
            header: Arc::new(header),
            columns: Arc::new(columns),
            begin: sheet.row(),
            rows: 0,
            sheet,
            cells: Vec::new(),
            ends: Vec::new(),
            is_well_formed: false,
        })
    }

    pub(super) fn columns(&self) -> &Arc<SheetColumns> {
        &self.columns
    }

    /// The row just read, if it is well-formed.
    pub(super) fn row(&self) -> Option<CsvRecord<'_>> {
        self.is_well_formed.then(|| CsvRecord::new(&self.cells, &self.ends))?
    }

    /// The row that reading has reached.
    pub(super) fn line(&self) -> u64 {
        self.sheet.row().into()
    }

    /// Rows without text that have been passed over, once all have been read.
    pub(super) fn empty_rows(&self) -> u64 {
        self.sheet.reach().0.saturating_sub(self.begin + self.rows).into()
    }

    /// Columns without text after the last that has a name.
    pub(super) fn empty_columns(&self) -> usize {
        let last = self.columns.places.last().map_or(0, |place| place + 1);
        self.sheet.reach().1.saturating_sub(last) as usize
    }

    /// The texts of the row just read, and where each ends.
    pub(super) fn raw(&self) -> (&[u8], &[usize]) {
        if self.is_well_formed { (&self.cells, &self.ends) } else { Default::default() }
    }

    pub(super) fn read(&mut self) -> Result<Option<RowInfo>, RowReadError> {
        loop {
            self.is_well_formed = false;
            let is_there = self.sheet.read().map_err(|trouble| RowReadError::Xlsx { what: trouble.what() })?;
            if !is_there {
                return Ok(None);
            }
            // A row that holds nothing but formats or spaces is none.
            if self.sheet.cells().all(|(cell, text)| cell.unfit.is_none() && text.trim().is_empty()) {
                continue;
            }
            self.rows += 1;
            let malformed = self.take_cells();
            self.is_well_formed = malformed.is_none();
            return Ok(Some(RowInfo { line: self.line(), malformed }));
        }
    }

    /// Takes over the cells of the columns that have a name, or says what is wrong with the first that cannot be used.
    fn take_cells(&mut self) -> Option<String> {
        let SheetColumns { places, is_used } = &*self.columns;
        let row = self.sheet.row();
        self.cells.clear();
        self.ends.clear();
        let mut malformed: Option<(String, u32)> = None;
        let mut refuse = |what: String| match &mut malformed {
            None => malformed = Some((what, 0)),
            Some((_, more)) => *more += 1,
        };
        for (cell, text) in self.sheet.cells() {
            let place = || format!("{}{row}", column_name(cell.column));
            // Cells come in the order of their columns.
            while self.ends.len() < places.len() && places[self.ends.len()] < cell.column {
                self.ends.push(self.cells.len());
            }
            let index = self.ends.len();
            if places.get(index) != Some(&cell.column) {
                if cell.unfit.is_some() || !text.trim().is_empty() {
                    refuse(format!(
                        "the cell {} is in a column without a name; name the column in the header, or empty it",
                        place()
                    ));
                }
                continue;
            }
            if let Some(unfit) = cell.unfit.as_ref().filter(|_| is_used[index]) {
                let column = Name(self.header.names[index].trim()).to_string();
                refuse(format!(
                    "the cell {} (column {column}) holds {unfit}; format the column as text and enter the values again, or \
                     export them again as \"CSV UTF-8\"",
                    place()
                ));
            }
            self.cells.extend_from_slice(text.as_bytes());
            self.ends.push(self.cells.len());
        }
        self.ends.resize(places.len(), self.cells.len());
        malformed.map(|(what, more)| match more {
            0 => what,
            1 => format!("{what} (and 1 more cell of this row)"),
            more => format!("{what} (and {more} more cells of this row)"),
        })
    }
}

/// Opens a workbook that can be read in bounded memory: all of it, or all but its sheets.
fn open_book(stored: &Stored, with_sheets: bool) -> Result<(Book, Unvalued), Trouble> {
    let unvalued = guard::inspect(stored, with_sheets)?;
    let bytes = BufReader::new(ArchiveBytes::of(stored, u64::MAX));
    let book = Xlsx::new(bytes).map_err(|error| match error {
        XlsxError::FileNotFound(_) | XlsxError::RelationshipNotFound | XlsxError::XmlEof("Relationships") => {
            Trouble::NotAWorkbook
        }
        _ => Trouble::Damaged { place: stored.name().to_owned() },
    })?;
    Ok((book, unvalued))
}

/// The names of the sheets that have cells, in the workbook's order.
fn sheets_of(book: &Book) -> Vec<String> {
    let sheets = book.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
    sheets.map(|sheet| sheet.name.clone()).collect()
}

/// The sheet that the job names, or the first one.
fn chosen(sheets: &[String], stored: &Stored, mapping: &Mapping) -> Result<String, InputError> {
    let failed = |what| InputError::Xlsx { name: stored.name().to_owned(), what };
    let first = sheets.first().ok_or_else(|| failed("has no sheet with cells".to_owned()))?;
    let Some(wanted) = mapping.sheet() else { return Ok(first.clone()) };
    if sheets.iter().any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    let names = join_names(sheets.iter().map(String::as_str));
    Err(failed(format!("has no sheet {}; its sheets are: {names}", Name(wanted))))
}

/// The sheet that is read, and what there is to say about that if there are several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SheetRead {
    /// Its name.
    pub name: String,
    /// Which one of several it is.
    pub remark: Option<String>,
}

pub(super) fn sheet_read(stored: &Stored, mapping: &Mapping) -> Result<SheetRead, InputError> {
    let failed = |trouble: Trouble| InputError::Xlsx { name: stored.name().to_owned(), what: trouble.what() };
    let sheets = sheets_of(&open_book(stored, false).map_err(failed)?.0);
    let name = chosen(&sheets, stored, mapping)?;
    let others = || join_names(sheets.iter().map(String::as_str).filter(|other| *other != name));
    let remark = match mapping.sheet() {
        _ if sheets.len() < 2 => None,
        Some(_) => Some(format!("the sheet {} is read", Name(&name))),
        None => Some(format!(
            "the sheet {} is read, the first of the workbook, which also has: {}; choose another with --sheet",
            Name(&name),
            others()
        )),
    };
    Ok(SheetRead { name, remark })
}

fn header_of(sheet: &SheetReader, mapping: &Mapping) -> Result<(Header, SheetColumns), HeaderError> {
    let (mut text, mut ends, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (cell, name) in sheet.cells().filter(|(_, name)| !name.trim().is_empty()) {
        text.extend_from_slice(name.as_bytes());
        ends.push(text.len());
        places.push(cell.column);
    }
    if places.len() > COLUMNS_MAX {
        return Err(HeaderError::TooManyColumns { found: places.len() });
    }
    let record = CsvRecord::new(&text, &ends).ok_or(HeaderError::NotUtf8 { names: None })?;
    let header = Header::new(record, None, mapping)?;
    let is_used = |index: usize| {
        header.fields.contains(&Some(index)) || header.template_columns.iter().any(|(_, column)| *column == index)
    };
    let is_used = (0..places.len()).map(is_used).collect();
    Ok((header, SheetColumns { places, is_used }))
}

#[cfg(test)]
mod tests;
