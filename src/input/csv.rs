//! CSV, record by record, split as spreadsheets and the `csv` crate do it, from one quote or line end to the next. With
//! a bound on every record, the line on which each begins, the quote that is never closed, and the one that is closed too
//! early: other splitters let that pass, and give other text than whoever wrote it meant.

use std::io::{self, BufRead};

use memchr::{memchr, memchr_iter, memchr3};

use super::{COLUMNS_MAX, ROW_BYTES_MAX};

/// Reads records one after the other into the same buffers.
#[derive(Default)]
pub(super) struct CsvReader {
    output: Vec<u8>,
    /// Where the cells end in it; of those that no record may have only the number is kept.
    ends: Vec<usize>,
    cells: usize,
    place: Place,
    stray_quote: bool,
    lines: LineCounter,
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
    /// A quoted cell goes on behind the quote that closes it, as in `"he said "hi", I think"`.
    pub(super) stray_quote: bool,
}

/// One record's cells.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    text: &'a str,
    ends: &'a [usize],
}

impl CsvReader {
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
        self.output.clear();
        self.ends.clear();
        (self.cells, self.place, self.stray_quote) = (0, Place::Start, false);
        let mut taken = 0;
        loop {
            let input = source.fill_buf()?;
            let is_whole = if !input.is_empty() {
                let (bytes, is_whole) = self.split(input);
                self.lines.pass(&input[..bytes]);
                source.consume(bytes);
                taken += bytes;
                is_whole
            } else if matches!(self.place, Place::Quoted) {
                return Ok(Found::QuoteLeftOpen { line });
            } else {
                // The end of the list ends its last record as well.
                self.end_cell();
                true
            };
            if taken > ROW_BYTES_MAX {
                return Ok(Found::TooLong { line });
            }
            if is_whole {
                return Ok(Found::Record(Shape { line, cells: self.cells, stray_quote: self.stray_quote }));
            }
        }
    }

    /// Takes in what `input` has of the record: so many bytes, and whether the record ends with them.
    fn split(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            let rest = &input[at..];
            match (self.place, byte) {
                (Place::Quoted, _) => {
                    let text = take_quoted(rest, &mut self.output);
                    at += text;
                    if text < rest.len() {
                        at += 1;
                        self.place = Place::Quote;
                    }
                }
                (Place::Start, b'"') => {
                    at += 1;
                    self.place = Place::Quoted;
                }
                (Place::Quote, b'"') => {
                    at += 1;
                    self.output.push(b'"');
                    self.place = Place::Quoted;
                }
                (Place::Start | Place::Bare | Place::Quote, _) => {
                    let text = memchr3(b',', b'\r', b'\n', rest).unwrap_or(rest.len());
                    self.output.extend_from_slice(&rest[..text]);
                    self.stray_quote |= matches!(self.place, Place::Quote) && text > 0;
                    self.place = Place::Bare;
                    at += text;
                    if let Some(end) = rest.get(text) {
                        at += 1;
                        self.end_cell();
                        if *end != b',' {
                            return (at, true);
                        }
                    }
                }
            }
        }
        (at, false)
    }

    fn end_cell(&mut self) {
        self.cells += 1;
        self.place = Place::Start;
        if self.cells <= COLUMNS_MAX {
            self.ends.push(self.output.len());
        }
    }

    /// The cells of the record just read; `None` if it is not UTF-8 or has more than [`COLUMNS_MAX`] cells.
    pub(super) fn record(&self) -> Option<Record<'_>> {
        let (bytes, ends) = self.raw()?;
        Record::new(bytes, ends)
    }

    /// The record just read, as its bytes and the ends of its cells; `None` if it has more than [`COLUMNS_MAX`] cells.
    pub(super) fn raw(&self) -> Option<(&[u8], &[usize])> {
        (self.cells <= COLUMNS_MAX).then_some((self.output.as_slice(), self.ends.as_slice()))
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
        let text = simdutf8::basic::from_utf8(bytes).ok()?;
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

    /// The cell at `index`, if there is something in it.
    pub(super) fn filled(self, index: usize) -> Option<&'a str> {
        Some(self.cell(index)).filter(|cell| !cell.is_empty())
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
        if !self.after_cr && memchr(b'\r', bytes).is_none() {
            self.ended += memchr_iter(b'\n', bytes).count() as u64;
            return;
        }
        for &byte in bytes {
            self.ended += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_cr));
            self.after_cr = byte == b'\r';
        }
    }
}

/// Takes the bytes before the next quote, eight at a time: in JSON it is so near that to search for it first takes longer.
/// How many there are; all of them where there is none.
fn take_quoted(bytes: &[u8], output: &mut Vec<u8>) -> usize {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let mut taken = 0;
    while let Some(eight) = bytes[taken..].first_chunk::<8>() {
        output.extend_from_slice(eight);
        // The lowest of the top bits that are set here is that of the first byte that is a quote.
        let differs = u64::from_le_bytes(*eight) ^ (EACH * u64::from(b'"'));
        let quotes = differs.wrapping_sub(EACH) & !differs & (EACH << 7);
        if quotes != 0 {
            let before = quotes.trailing_zeros() as usize / 8;
            output.truncate(output.len() - (8 - before));
            return taken + before;
        }
        taken += 8;
    }
    let rest = &bytes[taken..];
    let before = rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len());
    output.extend_from_slice(&rest[..before]);
    taken + before
}

/// Where in a cell reading is.
#[derive(Clone, Copy, Default)]
enum Place {
    #[default]
    Start,
    /// In a cell without quotes, or behind the end of a quoted one.
    Bare,
    Quoted,
    /// Behind a quote in a quoted cell: it closes the cell, or another one follows and both stand for one.
    Quote,
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// Every record with its line, read through a buffer of `buffer` bytes.
    fn read_all(text: &[u8], buffer: usize) -> Vec<(u64, Vec<String>)> {
        let mut source = BufReader::with_capacity(buffer, text);
        let mut reader = CsvReader::default();
        let mut records = Vec::new();
        loop {
            match reader.read(&mut source).unwrap() {
                Found::Record(shape) => {
                    let cells = reader.record().map_or_else(Vec::new, |r| r.cells().map(String::from).collect());
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

    proptest! {
        #[test]
        fn records_are_split_as_the_csv_crate_splits_them(text in "[a!#é,\"\r\n]{0,60}", buffer in 1_usize..60) {
            let mut theirs = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
            let theirs: Vec<Vec<String>> = theirs.deserialize().map(Result::unwrap).collect();
            let mut ours: Vec<Vec<String>> = read_all(text.as_bytes(), buffer).into_iter().map(|(_, cells)| cells).collect();
            // Of one that is left open they give what there is.
            if ours.last().is_some_and(|last| *last == ["open"]) {
                prop_assert_eq!(ours.len(), theirs.len());
                ours.pop();
            }
            prop_assert_eq!(&ours[..], &theirs[..ours.len()]);
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
            let mut reader = CsvReader::default();
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
        let mut reader = CsvReader::default();
        let Found::Record(shape) = reader.read(&mut source).unwrap() else { panic!("a record") };
        assert_eq!(shape.cells, 5_001);
        assert!(reader.record().is_none());
        let Found::Record(_) = reader.read(&mut source).unwrap() else { panic!("a record") };
        assert_eq!(reader.record().unwrap().cells().collect::<Vec<_>>(), ["a", "b"]);
    }
}
