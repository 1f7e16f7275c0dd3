//! CSV, record by record. `csv-core` splits; what it leaves open is done here: a bound on every record, the line on
//! which each begins, the quote that is never closed, and the one that is closed too early.

use std::io::{self, BufRead};

use super::{COLUMNS_MAX, ROW_BYTES_MAX};

/// Reads records one after the other into the same buffers.
pub(super) struct CsvReader {
    splitter: csv_core::Reader,
    output: Vec<u8>,
    ends: Vec<usize>,
    lines: LineCounter,
    quotes: QuoteWatch,
}

/// What was found where a record should be.
pub(super) enum Found {
    /// A record; look at it with [`CsvReader::record`].
    Record(Shape),
    /// The list ended inside a quoted cell. There is nothing to read any more.
    QuoteLeftOpen { line: u64 },
    /// It is longer than [`ROW_BYTES_MAX`]. Where the next one begins cannot be told.
    TooLong { line: u64 },
    /// There are no more records.
    End,
}

/// How a record lies in the buffers.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// The line where the record begins.
    pub(super) line: u64,
    /// Number of cells, however many there were.
    pub(super) cells: usize,
    /// A quoted cell goes on behind the quote that closes it.
    pub(super) stray_quote: bool,
    bytes: usize,
}

/// One record's cells.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
}

impl CsvReader {
    pub(super) fn new() -> CsvReader {
        CsvReader {
            splitter: csv_core::Reader::new(),
            output: vec![0; 8 * 1024],
            // One more than any record may have, and one so that the splitter never finds it full at a record's end.
            ends: vec![0; COLUMNS_MAX + 2],
            lines: LineCounter::default(),
            quotes: QuoteWatch::default(),
        }
    }

    /// The line that reading has come to.
    pub(super) fn line(&self) -> u64 {
        self.lines.line()
    }

    /// Reads the next record.
    pub(super) fn read(&mut self, source: &mut impl BufRead) -> io::Result<Found> {
        if !self.skip_line_ends(source)? {
            return Ok(Found::End);
        }
        let line = self.lines.line();
        self.quotes = QuoteWatch::default();
        let (mut taken, mut bytes, mut cells, mut ends) = (0, 0, 0, 0);
        loop {
            let input = source.fill_buf()?;
            let at_end = input.is_empty();
            // The splitter would take the end of the list for the end of the record, within a quoted cell too. A line
            // end shows which it is.
            let input = if at_end { b"\n" } else { input };
            let (result, nin, nout, nends) =
                self.splitter.read_record(input, &mut self.output[bytes..], &mut self.ends[ends..]);
            (taken, bytes, cells, ends) = (taken + nin, bytes + nout, cells + nends, ends + nends);
            if !at_end {
                self.lines.pass(&input[..nin]);
                self.quotes.pass(&input[..nin]);
                source.consume(nin);
            }
            if taken > ROW_BYTES_MAX {
                return Ok(Found::TooLong { line });
            }
            match result {
                csv_core::ReadRecordResult::Record => {
                    let stray_quote = self.quotes.stray;
                    return Ok(Found::Record(Shape { line, cells, stray_quote, bytes }));
                }
                csv_core::ReadRecordResult::InputEmpty if at_end => return Ok(Found::QuoteLeftOpen { line }),
                csv_core::ReadRecordResult::InputEmpty => {}
                csv_core::ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2, 0),
                // More cells than any record may have: they are counted, and their places forgotten.
                csv_core::ReadRecordResult::OutputEndsFull => ends = 0,
                csv_core::ReadRecordResult::End => return Ok(Found::End),
            }
        }
    }

    /// The cells of the record just read; `None` if it is not UTF-8 or has more than [`COLUMNS_MAX`] cells.
    pub(super) fn record(&self, shape: Shape) -> Option<Record<'_>> {
        let (bytes, ends) = self.raw(shape)?;
        Record::new(bytes, ends)
    }

    /// The record just read, as its bytes and the ends of its cells; `None` if it has more than [`COLUMNS_MAX`] cells.
    pub(super) fn raw(&self, shape: Shape) -> Option<(&[u8], &[usize])> {
        let ends = self.ends.get(..shape.cells).filter(|ends| ends.len() <= COLUMNS_MAX)?;
        Some((self.output.get(..shape.bytes)?, ends))
    }

    /// Passes over blank lines; false at the end of the list.
    fn skip_line_ends(&mut self, source: &mut impl BufRead) -> io::Result<bool> {
        loop {
            let input = source.fill_buf()?;
            if input.is_empty() {
                return Ok(false);
            }
            let blank = input.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            let more = blank < input.len();
            self.lines.pass(&input[..blank]);
            source.consume(blank);
            if more {
                return Ok(true);
            }
        }
    }
}

impl<'a> Record<'a> {
    /// `None` if a cell is not UTF-8.
    pub(super) fn new(bytes: &'a [u8], ends: &'a [usize]) -> Option<Record<'a>> {
        let text = std::str::from_utf8(bytes).ok()?;
        // Two broken cells side by side can make one whole character.
        ends.iter().all(|&end| text.is_char_boundary(end)).then_some(Record { text, ends })
    }

    /// The cell at `index`; empty text where the record has none.
    pub(super) fn cell(self, index: usize) -> &'a str {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends.get(before),
            None => Some(&0),
        };
        start.zip(self.ends.get(index)).and_then(|(&start, &end)| self.text.get(start..end)).unwrap_or("")
    }

    pub(super) fn cells(self) -> impl Iterator<Item = &'a str> {
        (0..self.ends.len()).map(move |index| self.cell(index))
    }
}

/// Counts line ends as an editor does: `\n`, `\r\n` and a lone `\r` are one each.
#[derive(Default)]
pub(super) struct LineCounter {
    ended: u64,
    after_cr: bool,
}

impl LineCounter {
    pub(super) fn line(&self) -> u64 {
        self.ended + 1
    }

    pub(super) fn pass(&mut self, bytes: &[u8]) {
        // Most lists have `\n` alone: counted many bytes at a time.
        if !self.after_cr && !bytes.contains(&b'\r') {
            self.ended += bytes.iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>();
            return;
        }
        for &byte in bytes {
            self.ended += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_cr));
            self.after_cr = byte == b'\r';
        }
    }
}

/// Looks for a quote that is closed too early, as in `"he said "hi", I think"`: the splitter lets it pass, and gives
/// other text than whoever wrote it meant.
#[derive(Default)]
struct QuoteWatch {
    place: Place,
    stray: bool,
}

/// Where in a cell reading is.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Start,
    /// In a cell without quotes.
    Bare,
    Quoted,
    /// Behind a quote in a quoted cell: it closes the cell, or another one follows and both stand for one.
    Quote,
}

impl QuoteWatch {
    fn pass(&mut self, bytes: &[u8]) {
        let mut place = self.place;
        for &byte in bytes {
            place = match (place, byte) {
                (Place::Quoted, b'"') => Place::Quote,
                (Place::Start | Place::Quote, b'"') | (Place::Quoted, _) => Place::Quoted,
                (_, b',' | b'\r' | b'\n') => Place::Start,
                (Place::Quote, _) => {
                    self.stray = true;
                    Place::Bare
                }
                (Place::Start | Place::Bare, _) => Place::Bare,
            };
        }
        self.place = place;
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Every record with its line, read through a buffer of `buffer` bytes.
    fn read_all(text: &[u8], buffer: usize) -> Vec<(u64, Vec<String>)> {
        let mut source = BufReader::with_capacity(buffer, text);
        let mut reader = CsvReader::new();
        let mut records = Vec::new();
        loop {
            match reader.read(&mut source).unwrap() {
                Found::Record(shape) => {
                    let cells = reader.record(shape).map_or_else(Vec::new, |r| r.cells().map(String::from).collect());
                    records.push((shape.line, cells));
                }
                Found::QuoteLeftOpen { line } => records.push((line, vec!["open".into()])),
                Found::TooLong { line } => {
                    records.push((line, vec!["long".into()]));
                    return records;
                }
                Found::End => return records,
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

    #[test]
    fn a_quote_left_open_is_told_where_it_was_opened() {
        for text in ["a\nb,\"c\nd\ne\n", "a\nb,\"c\nd\ne"] {
            assert_eq!(read_all(text.as_bytes(), 4)[1], (2, vec!["open".to_owned()]), "{text:?}");
        }
        assert_eq!(read_all(b"a\n\"b\"\"\"", 4)[1], (2, vec!["b\"".to_owned()]));
        assert_eq!(read_all(b"a\n\"b\"", 1)[1], (2, vec!["b".to_owned()]));
        assert_eq!(read_all(b"a\nb,", 1)[1], (2, vec!["b".to_owned(), String::new()]));
    }

    #[test]
    fn a_quote_that_is_closed_too_early_is_noticed() {
        let strays = |text: &str, buffer: usize| {
            let mut source = BufReader::with_capacity(buffer, text.as_bytes());
            let mut reader = CsvReader::new();
            let mut strays = Vec::new();
            while let Found::Record(shape) = reader.read(&mut source).unwrap() {
                strays.push(shape.stray_quote);
            }
            strays
        };
        for buffer in [1, 2, 64] {
            for (text, expected) in [
                ("\"he said \"hi\", I think\"\n", vec![true]),
                ("\"a\"b\n\"a\"\n", vec![true, false]),
                ("\"a\" ,b\n", vec![true]),
                ("a\"b,c\"d\", \"e\"\n", vec![false]),
                ("\"\"\"\",\"a\"\"b\",\"\",\"x\r\ny,\"\r\n\"z\"", vec![false, false]),
            ] {
                assert_eq!(strays(text, buffer), expected, "{text:?} through {buffer} bytes");
            }
        }
    }

    #[test]
    fn a_record_has_a_bound_wherever_the_buffers_end() {
        let exactly = [vec![b'x'; ROW_BYTES_MAX - 1], b"\ny\n".to_vec()].concat();
        assert_eq!(read_all(&exactly, 1000).len(), 2);
        let more = [vec![b'x'; ROW_BYTES_MAX], b"\ny\n".to_vec()].concat();
        assert_eq!(read_all(&more, 1000), [(1, vec!["long".to_owned()])]);
        let commas = vec![b','; ROW_BYTES_MAX + 1];
        assert_eq!(read_all(&commas, 1 << 16), [(1, vec!["long".to_owned()])]);
    }

    #[test]
    fn too_many_cells_are_counted_not_kept() {
        let text = [vec![b','; 5_000], b"\na,b\n".to_vec()].concat();
        let mut source = text.as_slice();
        let mut reader = CsvReader::new();
        let Found::Record(shape) = reader.read(&mut source).unwrap() else { panic!("a record") };
        assert_eq!(shape.cells, 5_001);
        assert!(reader.record(shape).is_none());
        let Found::Record(shape) = reader.read(&mut source).unwrap() else { panic!("a record") };
        assert_eq!(reader.record(shape).unwrap().cells().collect::<Vec<_>>(), ["a", "b"]);
    }
}
