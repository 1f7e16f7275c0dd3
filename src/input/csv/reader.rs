//! Reads CSV records, split by the `csv` crate's parser. This reader adds a size limit on records, the line where each
//! begins, the place of every cell, and checks for quotes that are never closed or closed too early. Other readers
//! accept those two and return text that the author did not mean.

use std::io::{self, BufRead};
use std::ops::Range;

use csv_core::{ReadFieldResult, Reader, ReaderBuilder};
use memchr::memchr_iter;

use crate::input::line_counter::LineCounter;

use crate::input::apostrophe;
use crate::input::dialect::Delimiter;
use crate::input::{COLUMNS_MAX, ROW_BYTES_MAX};

/// Reads record by record into the same buffers.
pub(in crate::input) struct CsvReader {
    parser: Reader,
    delimiter: Delimiter,
    /// The record as written in the list, and where each cell ends in it.
    source: Vec<u8>,
    source_ends: Vec<usize>,
    /// The unquoted text of its cells, concatenated and followed by spare room, and where each ends. Cells beyond
    /// [`COLUMNS_MAX`] are only counted.
    cell_text: Vec<u8>,
    cell_text_len: usize,
    ends: Vec<usize>,
    cells: usize,
    stray_quote: bool,
    lines: LineCounter,
}

/// The outcome of reading one record.
pub(in crate::input) enum ReadOutcome {
    /// A record; [`CsvReader::record`] returns it.
    Record(RecordShape),
    /// The list ended inside a quoted cell.
    UnclosedQuote { line: u64 },
    /// The record is longer than [`ROW_BYTES_MAX`]. Where the next one begins is unknown.
    TooLong { line: u64 },
    /// There are no more records.
    End,
}

/// What the reader knows about a record besides its text.
#[derive(Clone, Copy)]
pub(in crate::input) struct RecordShape {
    /// The line where the record begins.
    pub(in crate::input) line: u64,
    /// The number of cells, even beyond [`COLUMNS_MAX`].
    pub(in crate::input) cells: usize,
    /// A quoted cell continues after its closing quote, as in `"he said "hi", I think"`.
    pub(in crate::input) stray_quote: bool,
}

/// One record's cells.
#[derive(Clone, Copy)]
pub(in crate::input) struct CsvRecord<'a> {
    text: &'a str,
    ends: &'a [usize],
    /// Whether the cells are given without the apostrophes that this program put in front.
    without_apostrophes: bool,
}

impl CsvReader {
    pub(in crate::input) fn new(delimiter: Delimiter) -> CsvReader {
        CsvReader {
            parser: ReaderBuilder::new().delimiter(delimiter.0).build(),
            delimiter,
            source: Vec::new(),
            source_ends: Vec::new(),
            cell_text: Vec::new(),
            cell_text_len: 0,
            ends: Vec::new(),
            cells: 0,
            stray_quote: false,
            lines: LineCounter::default(),
        }
    }

    /// The line that reading has reached.
    pub(in crate::input) fn line(&self) -> u64 {
        self.lines.line()
    }

    /// What separates the cells.
    pub(super) fn delimiter(&self) -> Delimiter {
        self.delimiter
    }

    /// Reads the next record.
    pub(in crate::input) fn read(&mut self, list: &mut impl BufRead) -> io::Result<ReadOutcome> {
        if !self.skip_blank_lines(list)? {
            return Ok(ReadOutcome::End);
        }
        let line = self.lines.line();
        self.source.clear();
        self.source_ends.clear();
        self.ends.clear();
        (self.cell_text_len, self.cells, self.stray_quote) = (0, 0, false);
        loop {
            let input = list.fill_buf()?;
            if input.is_empty() {
                // The end of the list ends its last record as a line end does: not inside quotes.
                let (_, is_complete) = self.split(b"\n");
                return Ok(if is_complete { self.outcome(line) } else { ReadOutcome::UnclosedQuote { line } });
            }
            let (bytes, is_complete) = self.split(input);
            self.lines.advance(&input[..bytes]);
            list.consume(bytes);
            if self.source.len() > ROW_BYTES_MAX {
                return Ok(ReadOutcome::TooLong { line });
            }
            if is_complete {
                return Ok(self.outcome(line));
            }
        }
    }

    fn outcome(&self, line: u64) -> ReadOutcome {
        ReadOutcome::Record(RecordShape { line, cells: self.cells, stray_quote: self.stray_quote })
    }

    /// Consumes the part of `input` that belongs to the record. Returns its length and whether it completes the record.
    fn split(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            let (result, read, filled) =
                self.parser.read_field(&input[at..], &mut self.cell_text[self.cell_text_len..]);
            self.source.extend_from_slice(&input[at..at + read]);
            at += read;
            self.cell_text_len += filled;
            match result {
                ReadFieldResult::Field { record_end } => {
                    self.end_cell();
                    if record_end {
                        return (at, true);
                    }
                }
                ReadFieldResult::OutputFull => self.cell_text.resize((2 * self.cell_text.len()).max(1024), 0),
                ReadFieldResult::InputEmpty | ReadFieldResult::End => break,
            }
        }
        (at, false)
    }

    /// The last byte consumed is the separator or line end that ended the cell.
    fn end_cell(&mut self) {
        self.cells += 1;
        if self.cells > COLUMNS_MAX {
            return;
        }
        self.source_ends.push(self.source.len() - 1);
        let text = &self.cell_text[self.ends.last().copied().unwrap_or_default()..self.cell_text_len];
        self.ends.push(self.cell_text_len);
        let written = self.cell_range(self.cells - 1).map(|range| &self.source[range]);
        self.stray_quote |= written.is_some_and(|written| has_stray_quote(written, text));
    }

    /// The cells of the record just read; `None` if it is not UTF-8 or has more than [`COLUMNS_MAX`] cells.
    pub(in crate::input) fn record(&self) -> Option<CsvRecord<'_>> {
        let (bytes, ends) = self.cell_bytes()?;
        CsvRecord::new(bytes, ends)
    }

    /// The unquoted bytes of the record just read and the ends of its cells; `None` if it has more than [`COLUMNS_MAX`]
    /// cells.
    pub(in crate::input) fn cell_bytes(&self) -> Option<(&[u8], &[usize])> {
        (self.cells <= COLUMNS_MAX).then_some((&self.cell_text[..self.cell_text_len], self.ends.as_slice()))
    }

    /// The record just read, as written in the list.
    pub(in crate::input) fn source(&self) -> &[u8] {
        &self.source
    }

    /// Where a cell is in [`CsvReader::source`], quotes included.
    pub(in crate::input) fn cell_range(&self, column: usize) -> Option<Range<usize>> {
        let begin = column.checked_sub(1).map_or(Some(0), |before| Some(self.source_ends.get(before)? + 1))?;
        Some(begin..*self.source_ends.get(column)?)
    }

    /// Passes over this many bytes, or to the end of the list.
    pub(super) fn pass_over(&mut self, list: &mut impl BufRead, mut bytes: usize) -> io::Result<()> {
        while bytes > 0 {
            let input = list.fill_buf()?;
            if input.is_empty() {
                break;
            }
            let read = bytes.min(input.len());
            self.lines.advance(&input[..read]);
            list.consume(read);
            bytes -= read;
        }
        Ok(())
    }

    /// Whether the record just read, of at most [`COLUMNS_MAX`] cells, has only white space from this cell on.
    pub(super) fn is_blank_from(&self, column: usize) -> bool {
        let begin = column.checked_sub(1).map_or(Some(&0), |before| self.ends.get(before));
        let text = begin.map_or(&[][..], |&begin| &self.cell_text[begin..self.cell_text_len]);
        // Nearly every row begins with a plain letter or digit.
        !text.first().is_some_and(u8::is_ascii_graphic) && str::from_utf8(text).is_ok_and(|text| text.trim().is_empty())
    }

    /// Skips blank lines; returns false at the end of the list.
    fn skip_blank_lines(&mut self, list: &mut impl BufRead) -> io::Result<bool> {
        loop {
            let input = list.fill_buf()?;
            if input.is_empty() {
                return Ok(false);
            }
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let more = blank < input.len();
            self.lines.advance(&input[..blank]);
            list.consume(blank);
            if more {
                return Ok(true);
            }
        }
    }
}

impl<'a> CsvRecord<'a> {
    /// `None` if a cell is not UTF-8.
    pub(in crate::input) fn new(bytes: &'a [u8], ends: &'a [usize]) -> Option<CsvRecord<'a>> {
        let text = str::from_utf8(bytes).ok()?;
        // Two broken adjacent cells can form one valid character.
        ends.iter().all(|&end| text.is_char_boundary(end)).then_some(CsvRecord {
            text,
            ends,
            without_apostrophes: false,
        })
    }

    /// The record without the apostrophes that this program put before cells that begin a formula.
    pub(super) fn without_apostrophes(self) -> CsvRecord<'a> {
        CsvRecord { without_apostrophes: true, ..self }
    }

    /// The cell at `index`; empty if the record has no such cell.
    pub(in crate::input) fn cell(self, index: usize) -> &'a str {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before),
            None => Some(&0),
        };
        let cell = start.zip(self.ends.get(index)).and_then(|(&start, &end)| self.text.get(start..end)).unwrap_or("");
        if self.without_apostrophes { apostrophe::behind(cell).unwrap_or(cell) } else { cell }
    }

    /// The cell at `index`, unless it is empty.
    pub(in crate::input) fn non_empty(self, index: usize) -> Option<&'a str> {
        Some(self.cell(index)).filter(|cell| !cell.is_empty())
    }

    pub(in crate::input) fn cells(self) -> impl Iterator<Item = &'a str> {
        (0..self.ends.len()).map(move |index| self.cell(index))
    }
}

/// Whether a quoted cell continues after its closing quote: then it differs from its text with every quote doubled and
/// the whole enclosed in quotes.
fn has_stray_quote(written: &[u8], text: &[u8]) -> bool {
    let is_quoted = written.first() == Some(&b'"');
    let quotes = || 2 + memchr_iter(b'"', text).count();
    is_quoted && (written.last() != Some(&b'"') || written.len() != text.len() + quotes())
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// Every record with its line, read through a buffer of `buffer` bytes.
    fn read_all(text: &[u8], buffer: usize) -> Vec<(u64, Vec<String>)> {
        let mut source = BufReader::with_capacity(buffer, text);
        let mut reader = CsvReader::new(Delimiter::COMMA);
        let mut records = Vec::new();
        loop {
            match reader.read(&mut source).unwrap() {
                ReadOutcome::Record(shape) => {
                    let cells = reader.record().map_or_else(Vec::new, |r| r.cells().map(String::from).collect());
                    records.push((shape.line, cells));
                }
                ReadOutcome::UnclosedQuote { line } => records.push((line, vec!["open".into()])),
                ReadOutcome::TooLong { line } => {
                    records.push((line, vec!["long".into()]));
                    return records;
                }
                ReadOutcome::End => return records,
            }
        }
    }

    #[test]
    fn lines_are_counted_as_an_editor_counts_them() {
        for (text, lines) in [
            ("a\nb\nc", vec![1, 2, 3]),
            ("a\r\nb\r\nc\r\n", vec![1, 2, 3]),
            ("a\rb\rc", vec![1, 2, 3]),
            ("\n\r\n\na\n\n\nb", vec![4, 7]),
            ("\"a\nb\r\nc\",x\nd", vec![1, 4]),
            ("\"a\"\n\"\n\n\"\r\n\r\n\"b\"", vec![1, 2, 6]),
        ] {
            for buffer in [1, 2, 3, 64] {
                let found: Vec<_> = read_all(text.as_bytes(), buffer).into_iter().map(|(line, _)| line).collect();
                assert_eq!(found, lines, "{text:?} through {buffer} bytes");
            }
        }
    }

    /// A record: its line, each cell as written and its text, and whether one has a stray quote; only the line if a
    /// quote is never closed.
    type RecordByRules = (u64, Option<(Vec<(String, String)>, bool)>);

    /// The records of a text by the rules, without a buffer.
    fn by_the_rules(text: &str) -> Vec<RecordByRules> {
        let mut records = Vec::new();
        let mut rest = text;
        loop {
            rest = rest.trim_start_matches(['\r', '\n']);
            if rest.is_empty() {
                return records;
            }
            let before = text[..text.len() - rest.len()].replace("\r\n", "\n");
            let line = 1 + before.matches(['\r', '\n']).count() as u64;
            let (mut cells, mut has_stray_quote) = (Vec::new(), false);
            loop {
                let (mut cell, mut unquoted) = (String::new(), 0);
                if let Some(inside) = rest.strip_prefix('"') {
                    // The closing quote is the first that is not doubled.
                    let Some(close) = inside.replace("\"\"", "__").find('"') else {
                        records.push((line, None));
                        return records;
                    };
                    (cell, unquoted) = (inside[..close].replace("\"\"", "\""), close + 2);
                }
                let end = rest[unquoted..].find([',', '\r', '\n']).map_or(rest.len(), |end| unquoted + end);
                has_stray_quote |= 0 < unquoted && unquoted < end;
                cells.push((rest[..end].to_owned(), cell + &rest[unquoted..end]));
                rest = &rest[end..];
                let Some(next) = rest.strip_prefix(',') else { break };
                rest = next;
            }
            records.push((line, Some((cells, has_stray_quote))));
        }
    }

    /// The records as the reader returns them, through a buffer of `buffer` bytes.
    fn as_read(text: &str, buffer: usize) -> Vec<RecordByRules> {
        let mut source = BufReader::with_capacity(buffer, text.as_bytes());
        let mut reader = CsvReader::new(Delimiter::COMMA);
        let mut records = Vec::new();
        loop {
            match reader.read(&mut source).unwrap() {
                ReadOutcome::Record(RecordShape { line, cells, stray_quote }) => {
                    let written = |cell| str::from_utf8(&reader.source()[reader.cell_range(cell).unwrap()]).unwrap();
                    let texts: Vec<_> = reader.record().unwrap().cells().map(str::to_owned).collect();
                    assert_eq!((texts.len(), reader.cell_range(cells)), (cells, None));
                    let cells = (0..cells).map(|cell| written(cell).to_owned()).zip(texts).collect();
                    records.push((line, Some((cells, stray_quote))));
                }
                ReadOutcome::UnclosedQuote { line } => records.push((line, None)),
                ReadOutcome::TooLong { .. } => panic!("a short list"),
                ReadOutcome::End => return records,
            }
        }
    }

    proptest! {
        #[test]
        fn records_are_split_by_the_rules(text in "[a!#é,\"\r\n]{0,60}", buffer in 1_usize..60) {
            prop_assert_eq!(as_read(&text, buffer), by_the_rules(&text));
        }
    }

    #[test]
    fn an_unclosed_quote_is_reported_where_it_opens() {
        for text in ["a\nb,\"c\nd\ne\n", "a\nb,\"c\nd\ne"] {
            assert_eq!(read_all(text.as_bytes(), 4)[1], (2, vec!["open".to_owned()]), "{text:?}");
        }
        assert_eq!(read_all(b"a\n\"b\"\"\"", 4)[1], (2, vec!["b\"".to_owned()]));
        assert_eq!(read_all(b"a\n\"b\"", 1)[1], (2, vec!["b".to_owned()]));
        assert_eq!(read_all(b"a\nb,", 1)[1], (2, vec!["b".to_owned(), String::new()]));
    }

    #[test]
    fn a_quote_closed_too_early_is_noticed() {
        let stray_quotes = |text: &str, buffer: usize| {
            let mut source = BufReader::with_capacity(buffer, text.as_bytes());
            let mut reader = CsvReader::new(Delimiter::COMMA);
            let mut stray_quotes = Vec::new();
            while let ReadOutcome::Record(shape) = reader.read(&mut source).unwrap() {
                stray_quotes.push(shape.stray_quote);
            }
            stray_quotes
        };
        for buffer in [1, 2, 64] {
            for (text, expected) in [
                ("\"he said \"hi\", I think\"\n", vec![true]),
                ("\"a\"b\n\"a\"\n", vec![true, false]),
                ("\"a\" ,b\n", vec![true]),
                ("a\"b,c\"d\", \"e\"\n", vec![false]),
                ("\"\"\"\",\"a\"\"b\",\"\",\"x\r\ny,\"\r\n\"z\"", vec![false, false]),
            ] {
                assert_eq!(stray_quotes(text, buffer), expected, "{text:?} through {buffer} bytes");
            }
        }
    }

    #[test]
    fn a_record_is_bounded_wherever_the_buffers_end() {
        let exactly = [vec![b'x'; ROW_BYTES_MAX - 1], b"\ny\n".to_vec()].concat();
        assert_eq!(read_all(&exactly, 1000).len(), 2);
        let more = [vec![b'x'; ROW_BYTES_MAX], b"\ny\n".to_vec()].concat();
        assert_eq!(read_all(&more, 1000), [(1, vec!["long".to_owned()])]);
        let commas = vec![b','; ROW_BYTES_MAX + 1];
        assert_eq!(read_all(&commas, 1 << 16), [(1, vec!["long".to_owned()])]);
    }

    #[test]
    fn excess_cells_are_counted_but_not_stored() {
        let text = [vec![b','; 5_000], b"\na,b\n".to_vec()].concat();
        let mut source = text.as_slice();
        let mut reader = CsvReader::new(Delimiter::COMMA);
        let ReadOutcome::Record(shape) = reader.read(&mut source).unwrap() else { panic!("a record") };
        assert_eq!(shape.cells, 5_001);
        assert!(reader.record().is_none());
        let ReadOutcome::Record(_) = reader.read(&mut source).unwrap() else { panic!("a record") };
        assert_eq!(reader.record().unwrap().cells().collect::<Vec<_>>(), ["a", "b"]);
    }
}
