//! Copies rows with a note on each, as a list that can be read again.

use std::io::{self, Write};

use encoding_rs::UTF_8;
use serde_json::value::RawValue;

use super::apostrophe::{APOSTROPHE_COLUMNS, write_header, write_row};
use super::csv::{CsvRecord, Header};
use super::dialect::{Delimiter, TextEncoding};
use super::jsonl;
use super::list_reader::RowReader;
use super::mapping::is_reserved_column;
use super::{Format, InputError, List, Mapping, Row, Rows};

/// What the copy says about a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowNote {
    /// The service's code, where it gave one (`_code`).
    pub code: Option<i64>,
    /// What the code means and what to do (`_meaning`).
    pub meaning: String,
    /// How many times the edit was sent (`_attempts`).
    pub attempts: u32,
}

/// The columns that a copy adds, and the members of a JSON line. Those of an earlier copy are dropped.
const NOTE_COLUMNS: [&str; 4] = ["_code", "_meaning", "_attempts", "_line"];

/// How a copy in CSV looks. Whatever it is, the same job reads it.
#[derive(Clone, Copy, Debug)]
pub struct CopyStyle {
    /// The names of the columns for code, meaning, attempts and line. They begin with `_`.
    pub note_columns: [&'static str; 4],
    /// The name of the column for the number of a row's cells that have an apostrophe in front, so that a spreadsheet
    /// program does not take them for formulas: one of those that the reader of lists knows.
    pub apostrophe_column: &'static str,
    /// Whether it begins with a byte-order mark, which some programs need to see that it is UTF-8.
    pub has_mark: bool,
}

impl Default for CopyStyle {
    fn default() -> CopyStyle {
        CopyStyle { note_columns: NOTE_COLUMNS, apostrophe_column: APOSTROPHE_COLUMNS[0], has_mark: false }
    }
}

/// Why the copy failed.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError<E: std::error::Error + 'static> {
    /// The list cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// `note` failed.
    #[error(transparent)]
    RowNote(E),
    /// The copy cannot be written.
    #[error("cannot write the copy of the rows")]
    Write(#[source] io::Error),
}

impl List {
    /// Copies the rows for which `note` returns a note, in order. The list's own columns stay as they are, followed by
    /// `_code`, `_meaning`, `_attempts` and `_line`; other columns whose names start with `_` are dropped. In CSV, cells
    /// that a spreadsheet program would take for formulas have an apostrophe in front, which the last column counts and
    /// the reader takes off. So the copy is itself a list. The header of a CSV list is written even if no row is. Rows
    /// that cannot be split into columns (a wrong number of cells, invalid JSON), or whose apostrophes are not as many as
    /// they say, are skipped. Returns the number of rows written.
    ///
    /// The copy is UTF-8, with the list's own separator. If the list or the job has another encoding, it begins with a
    /// byte-order mark, which overrides the encoding of the job: the same job reads the copy.
    ///
    /// # Errors
    /// Fails if the list cannot be read, `note` fails, or the copy cannot be written.
    pub fn annotate<E: std::error::Error + 'static>(
        &self,
        mapping: &Mapping,
        style: CopyStyle,
        mut out: impl Write,
        mut note: impl FnMut(&Row) -> Result<Option<RowNote>, E>,
    ) -> Result<u64, AnnotateError<E>> {
        let mut rows = Rows::new(self, &[], mapping)?;
        let is_utf8 = rows.list.encoding() == UTF_8 && mapping.encoding().is_none_or(TextEncoding::is_utf8);
        if !is_utf8 || (style.has_mark && self.format().of_copies() == Format::Csv) {
            out.write_all("\u{feff}".as_bytes()).map_err(AnnotateError::Write)?;
        }
        let mut copy = AnnotatedCopy::begin(rows.list.rows(), style, out).map_err(AnnotateError::Write)?;
        let mut written = 0;
        while let Some(row) = rows.next() {
            let row = row?;
            if let Some(note) = note(&row).map_err(AnnotateError::RowNote)? {
                written += u64::from(copy.row(rows.list.rows(), row.line.number, &note).map_err(AnnotateError::Write)?);
            }
        }
        copy.finish().map_err(AnnotateError::Write)?;
        Ok(written)
    }
}

/// Writes the copy in the list's own format.
enum AnnotatedCopy<W: Write> {
    Csv {
        out: Box<csv::Writer<W>>,
        /// The columns that belong to the list.
        own: Vec<usize>,
    },
    Jsonl {
        out: io::BufWriter<W>,
    },
}

impl<W: Write> AnnotatedCopy<W> {
    fn begin(rows: &RowReader, style: CopyStyle, out: W) -> io::Result<Self> {
        let columns = match rows {
            RowReader::Csv(rows) => Some((&rows.header, rows.delimiter())),
            RowReader::Xlsx(rows) => Some((&rows.header, Delimiter::COMMA)),
            RowReader::Jsonl(_) | RowReader::Json(_) => None,
        };
        match columns {
            Some((header, Delimiter(delimiter))) => {
                let names = &header.names;
                let own: Vec<usize> =
                    (0..names.len()).filter(|&index| !is_reserved_column(names[index].trim())).collect();
                let mut out = Box::new(csv::WriterBuilder::new().delimiter(delimiter).from_writer(out));
                let own_names = own.iter().map(|&index| names[index].as_str());
                write_header(&mut out, own_names, style.note_columns, style.apostrophe_column)?;
                Ok(AnnotatedCopy::Csv { out, own })
            }
            None => Ok(AnnotatedCopy::Jsonl { out: io::BufWriter::new(out) }),
        }
    }

    /// Returns false if the row just read cannot be copied.
    fn row(&mut self, rows: &RowReader, line: u64, note: &RowNote) -> io::Result<bool> {
        match (self, rows) {
            (AnnotatedCopy::Csv { out, own }, RowReader::Csv(rows)) => {
                csv_row(out, own, &rows.header, rows.row(), line, note)
            }
            (AnnotatedCopy::Csv { out, own }, RowReader::Xlsx(rows)) => {
                csv_row(out, own, &rows.header, rows.row(), line, note)
            }
            (AnnotatedCopy::Jsonl { out }, rows) => jsonl_row(out, rows.raw().0, line, note),
            (AnnotatedCopy::Csv { .. }, RowReader::Jsonl(_) | RowReader::Json(_)) => Ok(false),
        }
    }

    fn finish(self) -> io::Result<()> {
        match self {
            AnnotatedCopy::Csv { mut out, .. } => out.flush(),
            AnnotatedCopy::Jsonl { mut out } => out.flush(),
        }
    }
}

fn csv_row<W: Write>(
    out: &mut csv::Writer<W>,
    own: &[usize],
    header: &Header,
    row: Option<CsvRecord<'_>>,
    line: u64,
    note: &RowNote,
) -> io::Result<bool> {
    let Some(row) = row.and_then(|row| header.original(row).ok()) else { return Ok(false) };
    let code = note.code.map(|code| code.to_string()).unwrap_or_default();
    let (attempts, line) = (note.attempts.to_string(), line.to_string());
    let notes = [code.as_str(), &note.meaning, &attempts, &line];
    write_row(out, own.iter().map(|&index| row.cell(index)), notes)?;
    Ok(true)
}

fn jsonl_row(out: &mut impl Write, row: &[u8], line: u64, note: &RowNote) -> io::Result<bool> {
    let Ok(row) = jsonl::members(row) else { return Ok(false) };
    out.write_all(b"{")?;
    for (name, json) in row.0.iter().filter(|(name, _)| !is_reserved_column(name)) {
        write!(out, "{}:{},", serde_json::Value::from(name.as_ref()), on_one_line(RawValue::get(json)))?;
    }
    let notes: [serde_json::Value; 4] =
        [note.code.into(), note.meaning.as_str().into(), note.attempts.into(), line.into()];
    let notes: Vec<String> =
        NOTE_COLUMNS.iter().zip(notes).map(|(name, value)| format!("\"{name}\":{value}")).collect();
    writeln!(out, "{}}}", notes.join(","))?;
    Ok(true)
}

/// A value as written, but on one line: a line end in JSON is never part of a string.
fn on_one_line(json: &str) -> String {
    json.split(['\r', '\n']).map(|line| line.trim_matches([' ', '\t'])).collect()
}
