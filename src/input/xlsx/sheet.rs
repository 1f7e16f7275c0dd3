//! Reads the cells of a sheet row by row. calamine's reader borrows its workbook, so both live in a thread, which sends
//! rows in batches and ends once nobody wants more of them.

use std::fmt::{self, Write as _};
use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::{io, thread};

use calamine::{DataRef, Style, Xlsx};

use super::Trouble;
use super::guard::{ArchiveBytes, Unvalued};
use crate::input::ROW_BYTES_MAX;

/// Spreadsheet programs keep no more digits of a number.
const DIGITS_MAX: usize = 15;
/// A batch is sent once it has as many bytes of text or cells.
const BATCH_BYTES: usize = 64 * 1024;
const BATCH_CELLS: usize = 8 * 1024;
/// Batches that wait to be read.
const BATCHES_AHEAD: usize = 2;

pub(super) type Book = Xlsx<io::BufReader<ArchiveBytes>>;

/// A cell's place (the first row and column are 0), the end of its text, and why it is none that an edit may have, if so.
pub(super) struct Cell {
    row: u32,
    pub(super) column: u32,
    end: usize,
    pub(super) unfit: Option<Unfit>,
}

/// What a cell holds that is no text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    Fraction,
    Digits,
    LeadingZeros,
    Date,
    Boolean,
    Error(String),
    NoStoredValue,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unfit::Fraction => f.write_str("a number that is not whole"),
            Unfit::Digits => write!(
                f,
                "a number of more than {DIGITS_MAX} digits, of which spreadsheets keep only the first {DIGITS_MAX}"
            ),
            Unfit::LeadingZeros => f.write_str("a number that is only shown with leading zeros"),
            Unfit::Date => f.write_str("a date or a time"),
            Unfit::Boolean => f.write_str("TRUE or FALSE"),
            Unfit::Error(error) => write!(f, "the error {error}"),
            Unfit::NoStoredValue => f.write_str("a formula without a stored value"),
        }
    }
}

/// Whole rows, one after another.
#[derive(Default)]
struct Batch {
    text: String,
    cells: Vec<Cell>,
    /// How far the sheet's cells reach, empty ones included; their numbers begin with 1.
    reach: (u32, u32),
    is_last: bool,
}

/// Reads row by row.
pub(super) struct SheetReader {
    sheet: String,
    batches: Receiver<Result<Batch, Trouble>>,
    batch: Batch,
    /// The cells of the row just read.
    cells: Range<usize>,
    row: u32,
}

impl SheetReader {
    pub(super) fn start(mut book: Book, sheet: String, unvalued: Unvalued) -> io::Result<SheetReader> {
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let name = sheet.clone();
        thread::Builder::new().name("sheet".to_owned()).spawn(move || {
            if let Err(trouble) = send_rows(&mut book, &name, &unvalued, &sender) {
                // If nobody listens any more, nobody wants to know.
                let _ = sender.send(Err(trouble));
            }
        })?;
        Ok(SheetReader { sheet, batches, batch: Batch::default(), cells: 0..0, row: 0 })
    }

    /// The row just read; the first is 1.
    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// How far the cells of the sheet reach, empty ones included, once all have been read.
    pub(super) fn reach(&self) -> (u32, u32) {
        self.batch.reach
    }

    /// The cells of the row just read that hold something, with the text of each.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&Cell, &str)> {
        self.cells.clone().map(|index| {
            let begin = index.checked_sub(1).map_or(0, |before| self.batch.cells[before].end);
            let cell = &self.batch.cells[index];
            (cell, &self.batch.text[begin..cell.end])
        })
    }

    /// Reads the next row that holds something; false at the end.
    pub(super) fn read(&mut self) -> Result<bool, Trouble> {
        while self.cells.end == self.batch.cells.len() {
            if self.batch.is_last {
                self.cells.start = self.cells.end;
                return Ok(false);
            }
            // A thread that ended without a last batch has failed in a way that calamine does not expect.
            let damaged = |_| Trouble::Damaged { place: self.sheet.clone() };
            self.batch = self.batches.recv().map_err(damaged).flatten()?;
            self.cells = 0..0;
        }
        let rest = &self.batch.cells[self.cells.end..];
        let row = rest[0].row;
        let length = rest.iter().take_while(|cell| cell.row == row).count();
        self.cells = self.cells.end..self.cells.end + length;
        self.row = row + 1;
        Ok(true)
    }
}

fn send_rows(
    book: &mut Book,
    sheet: &str,
    unvalued: &Unvalued,
    batches: &SyncSender<Result<Batch, Trouble>>,
) -> Result<(), Trouble> {
    let damaged = |_| Trouble::Damaged { place: sheet.to_owned() };
    let mut reader = book.worksheet_cells_reader(sheet).map_err(damaged)?;
    let digits: Vec<usize> = reader.styles().iter().map(digits_shown).collect();
    let mut batch = Batch::default();
    let (mut row, mut row_begin) = (0, 0);
    while let Some((cell, style)) = reader.next_cell_with_style_id().map_err(damaged)? {
        let (new_row, column) = cell.get_position();
        if new_row != row {
            if batch.text.len() >= BATCH_BYTES || batch.cells.len() >= BATCH_CELLS {
                let next = Batch { reach: batch.reach, ..Batch::default() };
                let full = std::mem::replace(&mut batch, next);
                if batches.send(Ok(full)).is_err() {
                    return Ok(());
                }
            }
            (row, row_begin) = (new_row, batch.text.len());
        }
        batch.reach = (row + 1, batch.reach.1.max(column + 1));
        let begin = batch.text.len();
        let shown = digits.get(style).copied().unwrap_or_default();
        let unfit = match cell.get_value() {
            DataRef::Empty => unvalued.binary_search(&(row, column)).ok().map(|_| Unfit::NoStoredValue),
            value => text_of(value, shown, &mut batch.text),
        };
        if batch.text.len() - row_begin > ROW_BYTES_MAX {
            return Err(Trouble::RowTooLong { row: row + 1 });
        }
        if batch.text.len() > begin || unfit.is_some() {
            let end = batch.text.len();
            batch.cells.push(Cell { row, column, end, unfit });
        }
    }
    batch.is_last = true;
    let _ = batches.send(Ok(batch));
    Ok(())
}

/// Appends the text of a cell, or says why it is none that an edit may have.
fn text_of(value: &DataRef<'_>, digits_shown: usize, out: &mut String) -> Option<Unfit> {
    match value {
        DataRef::Empty => None,
        DataRef::String(text) => {
            out.push_str(text);
            None
        }
        DataRef::SharedString(text) => {
            out.push_str(text);
            None
        }
        DataRef::Float(value) => number(*value, digits_shown, out),
        // For cells of type "n" calamine has floating-point numbers; this one is for other formats.
        DataRef::Int(value) => {
            let _ = write!(out, "{value}");
            None
        }
        DataRef::Bool(value) => {
            out.push_str(if *value { "TRUE" } else { "FALSE" });
            Some(Unfit::Boolean)
        }
        DataRef::DateTime(value) => {
            let _ = write!(out, "{}", value.as_f64());
            Some(Unfit::Date)
        }
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => {
            out.push_str(text);
            Some(Unfit::Date)
        }
        DataRef::Error(error) => {
            out.push_str(&error.to_string());
            Some(Unfit::Error(error.to_string()))
        }
    }
}

/// Appends a number as text, in all its digits if that can be.
fn number(value: f64, digits_shown: usize, out: &mut String) -> Option<Unfit> {
    let digits = format!("{:.0}", value.abs());
    let unfit = if !value.is_finite() || value.fract() != 0.0 {
        Some(Unfit::Fraction)
    } else if digits.len() > DIGITS_MAX {
        Some(Unfit::Digits)
    } else if digits.len() < digits_shown {
        Some(Unfit::LeadingZeros)
    } else {
        None
    };
    if matches!(unfit, None | Some(Unfit::LeadingZeros)) {
        out.push_str(if value < 0.0 { "-" } else { "" });
        out.push_str(&digits);
    } else {
        let _ = write!(out, "{value}");
    }
    unfit
}

/// How many digits a format shows of a number at least. The first section is that of positive numbers; what is quoted,
/// escaped or in brackets is shown as it is.
fn digits_shown(style: &Style) -> usize {
    let Some(format) = &style.number_format else { return 0 };
    let mut digits = 0;
    let mut characters = format.format_code.chars();
    while let Some(character) = characters.next() {
        match character {
            ';' | '.' | 'E' | 'e' => break,
            '"' => drop(characters.by_ref().find(|&next| next == '"')),
            '[' => drop(characters.by_ref().find(|&next| next == ']')),
            '\\' | '_' | '*' => drop(characters.next()),
            '0' => digits += 1,
            _ => {}
        }
    }
    // Zero has one digit in any case.
    if digits > 1 { digits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_text_where_all_their_digits_are_known() {
        for (value, shown, text, unfit) in [
            (13_800_000_000.0, 0, "13800000000", None),
            (999_999_999_999_999.0, 0, "999999999999999", None),
            (1e15, 0, "1000000000000000", Some(Unfit::Digits)),
            (-5.0, 0, "-5", None),
            (-0.0, 0, "0", None),
            (0.5, 0, "0.5", Some(Unfit::Fraction)),
            (f64::NAN, 0, "NaN", Some(Unfit::Fraction)),
            (f64::INFINITY, 0, "inf", Some(Unfit::Fraction)),
            (42.0, 6, "42", Some(Unfit::LeadingZeros)),
            (420_000.0, 6, "420000", None),
        ] {
            let mut out = String::new();
            assert_eq!((number(value, shown, &mut out), out.as_str()), (unfit, text), "{value}");
        }
    }
}
