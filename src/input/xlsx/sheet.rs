//! Reads the cells of a sheet, in a stream.

use std::fmt;

use super::Trouble;
use super::package::{Xml, XmlEvent, attribute};
use super::workbook::{NumberFormat, SharedStrings, Workbook, read_string, unescape};
use crate::input::ROW_BYTES_MAX;

/// The size of the largest sheet that the format allows.
const ROWS_MAX: u32 = 1_048_576;
const COLUMNS_MAX: u32 = 16_384;
/// Spreadsheet programs keep no more digits of a number.
const DIGITS_MAX: usize = 15;

/// A cell's column (the first is 0), its text, and why it is none that an edit may have, if so.
pub(super) struct Cell {
    pub(super) column: u32,
    pub(super) end: usize,
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

/// Reads row by row.
pub(super) struct SheetReader {
    xml: Xml,
    strings: SharedStrings,
    formats: Vec<NumberFormat>,
    /// The row just read; the first is 1.
    row: u32,
    text: String,
    cells: Vec<Cell>,
    has_begun: bool,
}

impl SheetReader {
    pub(super) fn new(xml: Xml, workbook: Workbook) -> SheetReader {
        let Workbook { strings, formats, .. } = workbook;
        SheetReader { xml, strings, formats, row: 0, text: String::new(), cells: Vec::new(), has_begun: false }
    }

    pub(super) fn row(&self) -> u32 {
        self.row
    }

    /// The cells of the row just read that hold something, with the text of each.
    pub(super) fn cells(&self) -> impl Iterator<Item = (&Cell, &str)> {
        let begins = std::iter::once(0).chain(self.cells.iter().map(|cell| cell.end));
        self.cells.iter().zip(begins).map(|(cell, begin)| (cell, &self.text[begin..cell.end]))
    }

    /// Reads the next row that holds something; false at the end.
    pub(super) fn read(&mut self) -> Result<bool, Trouble> {
        self.text.clear();
        self.cells.clear();
        let mut outside = String::new();
        loop {
            outside.clear();
            let Some(event) = self.xml.next(&mut outside)? else { return Err(self.xml.damaged()) };
            match event {
                XmlEvent::Start(element) => match element.local_name().as_ref() {
                    "sheetData" => self.has_begun = true,
                    "row" if self.has_begun => {
                        let number = match attribute(&element, "r") {
                            Some(number) => number.parse().ok(),
                            None => self.row.checked_add(1),
                        };
                        let number = number.filter(|number| self.row < *number && *number <= ROWS_MAX);
                        drop(element);
                        self.row = number.ok_or_else(|| self.xml.damaged())?;
                        self.read_cells()?;
                        if !self.cells.is_empty() {
                            return Ok(true);
                        }
                    }
                    _ => {}
                },
                XmlEvent::End("sheetData") => return Ok(false),
                XmlEvent::End(_) | XmlEvent::Text | XmlEvent::Other => {}
            }
        }
    }

    fn read_cells(&mut self) -> Result<(), Trouble> {
        let mut next_column = 0;
        let mut outside = String::new();
        loop {
            outside.clear();
            let Some(event) = self.xml.next(&mut outside)? else { return Err(self.xml.damaged()) };
            match event {
                XmlEvent::Start(element) if element.local_name().as_ref() == "c" => {
                    let column = match attribute(&element, "r") {
                        Some(name) => column_of(&name, self.row),
                        None => Some(next_column),
                    };
                    let (kind, style) = (attribute(&element, "t"), attribute(&element, "s"));
                    drop(element);
                    // Readers do not agree on which of two cells at one place counts.
                    let column = column.filter(|column| next_column <= *column && *column < COLUMNS_MAX);
                    let column = column.ok_or_else(|| self.xml.damaged())?;
                    next_column = column + 1;
                    let style = style.and_then(|style| style.parse().ok()).unwrap_or(0);
                    let format = self.formats.get(style).copied().unwrap_or_default();
                    self.read_cell(column, kind.as_deref().unwrap_or("n"), format)?;
                    if self.text.len() > ROW_BYTES_MAX {
                        return Err(Trouble::RowTooLong { row: self.row });
                    }
                }
                XmlEvent::End("row") => return Ok(()),
                XmlEvent::Start(_) | XmlEvent::End(_) | XmlEvent::Text | XmlEvent::Other => {}
            }
        }
    }

    fn read_cell(&mut self, column: u32, kind: &str, format: NumberFormat) -> Result<(), Trouble> {
        let (mut value, mut inline, mut is_formula, mut has_value) = (String::new(), String::new(), false, false);
        let mut text = String::new();
        loop {
            match self.xml.next(&mut text)? {
                None => return Err(self.xml.damaged()),
                Some(XmlEvent::Start(element)) => {
                    text.clear();
                    is_formula |= element.local_name().as_ref() == "f";
                    has_value |= element.local_name().as_ref() == "v";
                    if element.local_name().as_ref() == "is" {
                        drop(element);
                        read_string(&mut self.xml, "is", &mut inline)?;
                    }
                }
                Some(XmlEvent::End(name)) => {
                    match name {
                        "v" => value.push_str(&text),
                        "c" => break,
                        _ => {}
                    }
                    text.clear();
                }
                Some(XmlEvent::Text | XmlEvent::Other) if text.len() + value.len() > ROW_BYTES_MAX => {
                    return Err(Trouble::RowTooLong { row: self.row });
                }
                Some(XmlEvent::Text | XmlEvent::Other) => {}
            }
        }
        let begin = self.text.len();
        let unfit = match kind {
            "s" if value.is_empty() => None,
            "s" => {
                let shared = value.trim().parse().ok().and_then(|index| self.strings.get(index));
                self.text.push_str(shared.ok_or_else(|| self.xml.damaged())?);
                None
            }
            "inlineStr" => {
                self.text.push_str(&inline);
                None
            }
            "str" => {
                unescape(&value, &mut self.text);
                None
            }
            "b" if !value.is_empty() => {
                self.text.push_str(if matches!(value.trim(), "0" | "false") { "FALSE" } else { "TRUE" });
                Some(Unfit::Boolean)
            }
            "e" if !value.is_empty() => {
                self.text.push_str(&value);
                Some(Unfit::Error(value.chars().filter(|next| !next.is_control()).take(16).collect()))
            }
            "d" if !value.is_empty() => {
                self.text.push_str(&value);
                Some(Unfit::Date)
            }
            "n" if !value.is_empty() => {
                number(value.trim(), format, &mut self.text).map_err(|()| self.xml.damaged())?
            }
            "b" | "e" | "d" | "n" => None,
            _ => return Err(self.xml.damaged()),
        };
        let unfit = if is_formula && !has_value && inline.is_empty() { Some(Unfit::NoStoredValue) } else { unfit };
        if self.text.len() > begin || unfit.is_some() {
            self.cells.push(Cell { column, end: self.text.len(), unfit });
        }
        Ok(())
    }
}

/// Appends a number as text, in all its digits if that can be.
fn number(value: &str, format: NumberFormat, out: &mut String) -> Result<Option<Unfit>, ()> {
    let number: f64 = value.parse().ok().filter(|number: &f64| number.is_finite()).ok_or(())?;
    let digits = format!("{:.0}", number.abs());
    let unfit = if number.fract() != 0.0 {
        Some(Unfit::Fraction)
    } else if digits.len() > DIGITS_MAX {
        Some(Unfit::Digits)
    } else {
        None
    };
    let unfit = match format {
        NumberFormat::Date => Some(Unfit::Date),
        NumberFormat::Padded(wanted) if unfit.is_none() && digits.len() < wanted => Some(Unfit::LeadingZeros),
        NumberFormat::Padded(_) | NumberFormat::Plain => unfit,
    };
    match unfit {
        None | Some(Unfit::LeadingZeros) => {
            if number < 0.0 {
                out.push('-');
            }
            out.push_str(&digits);
        }
        Some(_) => out.push_str(value),
    }
    Ok(unfit)
}

/// The column of a cell's name such as `B17`, where the row is as said.
fn column_of(name: &str, row: u32) -> Option<u32> {
    let letters = name.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, number) = name.split_at(letters);
    if letters.is_empty() || letters.len() > 3 || number.parse() != Ok(row) {
        return None;
    }
    let number = letters.bytes().fold(0, |sum, letter| sum * 26 + u32::from(letter.to_ascii_uppercase() - b'A') + 1);
    Some(number - 1)
}

/// The letters of a column.
pub(super) fn column_name(column: u32) -> String {
    let (mut name, mut rest) = (String::new(), column + 1);
    while rest > 0 {
        name.insert(0, char::from(b'A' + u8::try_from((rest - 1) % 26).unwrap_or_default()));
        rest = (rest - 1) / 26;
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_text_where_all_their_digits_are_known() {
        for (value, format, text, unfit) in [
            ("13800000000", NumberFormat::Plain, "13800000000", None),
            ("1.38E+10", NumberFormat::Plain, "13800000000", None),
            ("999999999999999", NumberFormat::Plain, "999999999999999", None),
            ("1000000000000000", NumberFormat::Plain, "1000000000000000", Some(Unfit::Digits)),
            ("1E+300", NumberFormat::Plain, "1E+300", Some(Unfit::Digits)),
            ("-5", NumberFormat::Plain, "-5", None),
            ("-0", NumberFormat::Plain, "0", None),
            ("0.5", NumberFormat::Plain, "0.5", Some(Unfit::Fraction)),
            ("45000", NumberFormat::Date, "45000", Some(Unfit::Date)),
            ("42", NumberFormat::Padded(6), "42", Some(Unfit::LeadingZeros)),
            ("420000", NumberFormat::Padded(6), "420000", None),
        ] {
            let mut out = String::new();
            assert_eq!((number(value, format, &mut out), out.as_str()), (Ok(unfit), text), "{value}");
        }
        for value in ["NaN", "inf", "1e400", "x", "1,5"] {
            assert_eq!(number(value, NumberFormat::Plain, &mut String::new()), Err(()), "{value}");
        }
    }

    proptest! {
        #[test]
        fn columns_have_names(column in 0_u32..COLUMNS_MAX, row in 1_u32..=ROWS_MAX) {
            prop_assert_eq!(column_of(&format!("{}{row}", column_name(column)), row), Some(column));
        }
    }
}
