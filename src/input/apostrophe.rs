//! Cells that a spreadsheet program would take for a formula or a number, in the CSV files that this program writes.
//!
//! Such a cell gets an apostrophe in front, and is text to every such program. A cell that already has apostrophes
//! before such a character gets one more, so what was written can always be read back. Each row says in a column of
//! its own how many of its cells got one, and only in a row that says so are they taken off again: an apostrophe that a
//! list has for other reasons is never removed by guess. A count needs no names, which may be anything, come twice or
//! be changed. Cells of columns that begin with `_` are not counted, since they are never read.

use std::borrow::Cow;
use std::io::Write;

/// The column that counts the cells of a row, in each language that files are written in.
pub(crate) const APOSTROPHE_COLUMNS: [&str; 2] = ["_apostrophes", "_单引号数"];

/// What a formula may begin with; in full width too, which programs in Chinese and Japanese may take alike.
const BEGINS_FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// Whether the cell begins a formula, but for apostrophes before it.
fn is_formula(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(BEGINS_FORMULA)
}

/// The cell as text to a spreadsheet program: with an apostrophe in front if it needs one.
fn as_text(cell: &str) -> Cow<'_, str> {
    if is_formula(cell) { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// What is behind the apostrophe of a cell that may have got one.
pub(super) fn behind(cell: &str) -> Option<&str> {
    cell.strip_prefix('\'').filter(|rest| is_formula(rest))
}

/// Writes the names of the columns: those that are read again, the notes, and the column that counts apostrophes.
pub(crate) fn write_header<'a, W: Write>(
    out: &mut csv::Writer<W>,
    own: impl IntoIterator<Item = &'a str>,
    notes: impl IntoIterator<Item = &'a str>,
    apostrophe_column: &str,
) -> csv::Result<()> {
    for name in own.into_iter().chain(notes) {
        out.write_field(as_text(name).as_ref())?;
    }
    out.write_field(apostrophe_column)?;
    out.write_record(None::<&[u8]>)
}

/// Writes a row below such a header.
pub(crate) fn write_row<'a, W: Write>(
    out: &mut csv::Writer<W>,
    own: impl IntoIterator<Item = &'a str>,
    notes: impl IntoIterator<Item = &'a str>,
) -> csv::Result<()> {
    let mut apostrophes = 0;
    for cell in own {
        apostrophes += usize::from(is_formula(cell));
        out.write_field(as_text(cell).as_ref())?;
    }
    for note in notes {
        out.write_field(as_text(note).as_ref())?;
    }
    let apostrophes = if apostrophes == 0 { String::new() } else { apostrophes.to_string() };
    out.write_field(apostrophes)?;
    out.write_record(None::<&[u8]>)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_begin_a_formula_get_an_apostrophe_that_comes_off_again() {
        for (cell, text) in [
            ("+86138", "'+86138"),
            ("'=x", "''=x"),
            ("\t", "'\t"),
            ("＝1", "'＝1"),
            ("a=b", "a=b"),
            ("'a", "'a"),
            ("'", "'"),
            ("", ""),
        ] {
            assert_eq!(as_text(cell), text);
            assert_eq!(behind(text), (cell != text).then_some(cell));
        }
    }
}
