//! Row by row, from the top: what each row wants, or what is wrong with it.

use std::borrow::Cow;
use std::io::BufRead;
use std::sync::Arc;

use minijinja::Value;

use super::csv::{CsvReader, Found, Record, Shape};
use super::header::{Header, HeaderError};
use super::jsonl::{self, JsonlReader};
use super::maker::{EditMaker, Fields};
use super::mapping::Mapping;
use super::problem::Problem;
use super::raw_row::{ListError, Raw, Read};
use super::stored::Stored;
use super::text::{Text, read_error};
use super::{COLUMNS_MAX, Format, InputError};
use crate::edit::{Edit, IdDigest};

/// Rows between two looks at whether the file was written to: often enough to stop soon, rarely enough to cost nothing.
const ROWS_BETWEEN_CHECKS: u64 = 1_000;

/// One row of the list.
#[derive(Debug)]
pub struct Row {
    /// Which row it is, counted from 1, without the header and blank lines.
    pub number: u64,
    /// The line where it begins, counted from 1.
    pub line: u64,
    /// The edit it wants, or everything that is wrong with it.
    pub edit: Result<Edit, Vec<Problem>>,
}

/// Reads a list's rows one by one, in the list's order. After an error or the end there is nothing more.
pub struct Rows {
    pub(super) source: Source,
    pub(super) maker: RowMaker,
}

impl Rows {
    pub(super) fn new(stored: &Stored, format: Format, mapping: &Mapping) -> Result<Rows, InputError> {
        stored.check_unchanged()?;
        let mut text = Text::open(stored)?;
        let (list, header) = match format {
            Format::Csv => {
                let list = CsvList::open(&mut text, stored, mapping)?;
                let header = Some(Arc::clone(&list.header));
                (List::Csv(Box::new(list)), header)
            }
            Format::Jsonl => (List::Jsonl(JsonlReader::new()), None),
        };
        let source = Source { stored: stored.clone(), text, list, number: 0, ended: false };
        Ok(Rows { source, maker: RowMaker { header, maker: EditMaker::new(mapping) } })
    }

    /// Passes over so many rows without a look at them.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(crate) fn pass_over(&mut self, rows: u64) -> Result<(), InputError> {
        (0..rows).try_for_each(|_| self.source.read().map(|_| ()))
    }

    /// The next row of one of these messages. Of the others nothing but that is looked at.
    ///
    /// # Errors
    /// The list cannot be read.
    pub(crate) fn next_of(&mut self, is_wanted: impl Fn(IdDigest) -> bool) -> Result<Option<Row>, InputError> {
        while let Some(raw) = self.source.read()? {
            if self.maker.message(&raw).is_some_and(&is_wanted) {
                return Ok(Some(self.maker.make(raw)));
            }
        }
        Ok(None)
    }

    /// Bytes of the file read so far, as stored. Reading is a little ahead of the rows.
    pub fn bytes(&self) -> u64 {
        self.source.text.stored_bytes()
    }

    /// SHA-256 of the file's bytes as stored, once every row was read.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.source.sha256()
    }

    /// Whether the list is still as it was when it was opened: then so are all rows that were read of it.
    ///
    /// # Errors
    /// It was written to.
    pub fn check_unchanged(&self) -> Result<(), InputError> {
        self.source.stored.check_unchanged()
    }
}

impl Iterator for Rows {
    type Item = Result<Row, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.source.read().map(|raw| raw.map(|raw| self.maker.make(raw))).transpose()
    }
}

/// Where rows come from, one behind the other, not looked at yet.
pub(super) struct Source {
    stored: Stored,
    text: Text,
    pub(super) list: List,
    number: u64,
    ended: bool,
}

/// A list in one of the formats.
pub(super) enum List {
    Csv(Box<CsvList>),
    Jsonl(JsonlReader),
}

impl Source {
    /// The next row; `None` at the end, and behind an error.
    pub(super) fn read(&mut self) -> Result<Option<Raw<'_>>, InputError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        if self.number.is_multiple_of(ROWS_BETWEEN_CHECKS) {
            self.stored.check_unchanged()?;
        }
        let read = match &mut self.list {
            List::Csv(list) => list.read(&mut self.text),
            List::Jsonl(list) => list.read(&mut self.text),
        };
        match read {
            Ok(Some(Read { line, fault })) => {
                self.number += 1;
                self.ended = false;
                let (bytes, ends) = match &self.list {
                    List::Csv(list) => list.raw(),
                    List::Jsonl(list) => (list.raw(), [].as_slice()),
                };
                Ok(Some(Raw { number: self.number, line, fault, bytes, ends }))
            }
            Ok(None) => {
                self.stored.check_unchanged()?;
                Ok(None)
            }
            Err(ListError::Io(error)) => Err(read_error(&self.stored, self.line(), error)),
            Err(ListError::RowTooLong { line }) => {
                self.stored.check_unchanged()?;
                Err(InputError::RowTooLong { name: self.stored.name().to_owned(), line })
            }
        }
    }

    /// Nobody wants any more of it.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// SHA-256 of the file's bytes as stored, once every row was read.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.text.sha256()
    }

    fn line(&self) -> u64 {
        match &self.list {
            List::Csv(list) => list.reader.line(),
            List::Jsonl(list) => list.line(),
        }
    }
}

/// Makes of rows what they want. Each thread has one of its own.
#[derive(Clone)]
pub(super) struct RowMaker {
    /// Of a CSV list; the rows of others name their fields themselves.
    header: Option<Arc<Header>>,
    maker: EditMaker,
}

impl RowMaker {
    pub(super) fn make(&mut self, raw: Raw<'_>) -> Row {
        let Raw { number, line, fault, bytes, ends } = raw;
        let edit = match (fault, &self.header) {
            (Some(fault), _) => Err(vec![Problem::of_row(line, fault)]),
            (None, Some(header)) => match Record::new(bytes, ends) {
                Some(record) => edit(line, record, header, &mut self.maker),
                None => Err(vec![Problem::of_row(
                    line,
                    "the row is not UTF-8; save the list as UTF-8 (in Excel: \"CSV UTF-8\")",
                )]),
            },
            (None, None) => jsonl::edit(line, bytes, &mut self.maker),
        };
        Row { number, line, edit }
    }

    /// Which message a row is about, as far as that can be told.
    fn message(&self, raw: &Raw<'_>) -> Option<IdDigest> {
        match &self.header {
            _ if raw.fault.is_some() => None,
            Some(header) => Some(fields(raw.line, Record::new(raw.bytes, raw.ends)?, header).message()),
            None => jsonl::message(raw.line, raw.bytes, self.maker.mapping()),
        }
    }
}

/// What a record has in the columns of an edit's fields.
fn fields<'a>(line: u64, record: Record<'a>, header: &'a Header) -> Fields<'a> {
    Fields {
        line,
        values: header.fields.map(|index| record.filled(index?).map(Cow::Borrowed)),
        names: header.field_names.each_ref().map(String::as_str),
    }
}

/// What a record wants.
fn edit(line: u64, record: Record<'_>, header: &Header, maker: &mut EditMaker) -> Result<Edit, Vec<Problem>> {
    let lookup = |name: &str| {
        let column = header.template_columns.iter().find(|(column, _)| column == name);
        Ok(column.and_then(|(_, index)| record.filled(*index)).map(Value::from))
    };
    maker.make(fields(line, record, header), &lookup)
}

/// A CSV list behind its header.
pub(super) struct CsvList {
    pub(super) reader: CsvReader,
    pub(super) header: Arc<Header>,
    /// The cells of the row just read can be told apart.
    has_cells: bool,
}

impl CsvList {
    pub(super) fn open(text: &mut impl BufRead, stored: &Stored, mapping: &Mapping) -> Result<CsvList, InputError> {
        let mut reader = CsvReader::new();
        let name = || stored.name().to_owned();
        let found = reader.read(text).map_err(|error| read_error(stored, reader.line(), error))?;
        let (line, header) = match found {
            Found::Record(shape) => (shape.line, header_of(&reader, shape, mapping)),
            Found::QuoteLeftOpen { line } => (line, Err(HeaderError::QuoteLeftOpen)),
            Found::TooLong { line } => return Err(InputError::RowTooLong { name: name(), line }),
            Found::End => (1, Err(HeaderError::Empty)),
        };
        let header = header.map_err(|what| InputError::Header { name: name(), line, what })?;
        Ok(CsvList { reader, header: Arc::new(header), has_cells: false })
    }

    /// The row just read, where its cells can be told apart.
    pub(super) fn row(&self) -> Option<Record<'_>> {
        self.has_cells.then(|| self.reader.record())?
    }

    /// The bytes of the row just read, and where its cells end.
    fn raw(&self) -> (&[u8], &[usize]) {
        self.has_cells.then(|| self.reader.raw()).flatten().unwrap_or_default()
    }

    pub(super) fn read(&mut self, text: &mut impl BufRead) -> Result<Option<Read>, ListError> {
        self.has_cells = false;
        let (line, fault) = match self.reader.read(text)? {
            Found::Record(shape) => {
                let fault = self.fault(shape);
                self.has_cells = fault.is_none();
                (shape.line, fault)
            }
            Found::QuoteLeftOpen { line } => {
                let what = "the list ends inside a quoted cell; a quote was left open, or the file is cut off";
                (line, Some(what.to_owned()))
            }
            Found::TooLong { line } => return Err(ListError::RowTooLong { line }),
            Found::End => return Ok(None),
        };
        Ok(Some(Read { line, fault }))
    }

    /// What is wrong with the form of a row.
    fn fault(&self, shape: Shape) -> Option<String> {
        let columns = self.header.names.len();
        if shape.cells != columns {
            return Some(format!(
                "the row has {} cell{} and the header {columns}; a cell that holds commas or quotes must stand in quotes, \
                 with every quote in it doubled",
                shape.cells,
                if shape.cells == 1 { "" } else { "s" }
            ));
        }
        shape.stray_quote.then(|| {
            "a quoted cell goes on behind its closing quote; every quote within a quoted cell must be doubled"
                .to_owned()
        })
    }
}

fn header_of(reader: &CsvReader, shape: Shape, mapping: &Mapping) -> Result<Header, HeaderError> {
    if shape.cells > COLUMNS_MAX {
        return Err(HeaderError::TooManyColumns { found: shape.cells });
    }
    Header::new(reader.record().ok_or(HeaderError::NotUtf8)?, mapping)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{ContentSpec, Input, InputSpec};
    use super::*;

    /// What `next_of` finds without making the rows is what the rows say, once they are made.
    #[test]
    fn rows_are_found_by_their_message() {
        let body = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]"#;
        let cell = format!("\"{}\"", body.replace('"', "\"\""));
        let csv = format!(
            "note,chat,msg_key,from_account,msg_body\n1,b,1_2_3,a,{cell}\n\"2\n\",\"b\",\"1_\"\"2_3\",\"a\",{cell}\n\
             3,,1_2_4,a,{cell}\n4,b,1_2_3,a,oops\nonly\n6,b,1_2_3,a,{cell}\n"
        );
        let json = |from: &str, to: &str| {
            format!(r#"{{"From_Account":{from},"chat":{to},"MsgKey":"1_2_3","MsgBody":{body}}}"#)
        };
        let jsonl = [
            json("\"a\"", "\"b\""),
            json(r#""\u0061""#, "\"b\""),
            "oops".to_owned(),
            json("1", "\"b\""),
            json("\"a\"", "\"c\""),
            json("\"a\"", "\"b\""),
        ];
        let mut spec = InputSpec { ignore: vec!["note".to_owned()], ..InputSpec::default() };
        spec.columns.to_account = Some("chat".to_owned());
        let mapping = Mapping::new(&spec, &ContentSpec::default()).unwrap();
        for (format, list) in [(Format::Csv, csv), (Format::Jsonl, jsonl.join("\n"))] {
            let input = Input::from_reader("list", list.as_bytes(), format).unwrap();
            let mut messages: BTreeMap<IdDigest, Vec<u64>> = BTreeMap::new();
            for row in input.rows(&mapping).unwrap().map(Result::unwrap) {
                if let Ok(edit) = row.edit {
                    messages.entry(edit.id().digest()).or_default().push(row.line);
                }
            }
            assert!(messages.len() > 1 && messages.values().any(|lines| lines.len() > 1), "{messages:?}");
            for (message, lines) in messages {
                let mut rows = input.rows(&mapping).unwrap();
                let mut found = Vec::new();
                while let Some(row) = rows.next_of(|found| found == message).unwrap() {
                    found.extend(row.edit.is_ok().then_some(row.line));
                }
                assert_eq!(found, lines);
            }
        }
    }
}
