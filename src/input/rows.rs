//! Turns raw rows into edits, or into the problems of a row.

use super::csv;
use super::edit_builder::EditBuilder;
use super::jsonl;
use super::list_reader::ListReader;
use super::mapping::Mapping;
use super::problem::Problem;
use super::row_source::{RawRow, RowLayout};
use super::{InputError, List};
use crate::edit::{Edit, EitherWay, Line};

/// One row of a list.
#[derive(Debug)]
pub struct Row {
    /// The row's number, counted from 1 over all lists, without headers and blank lines.
    pub number: u64,
    /// The line where it begins.
    pub line: Line,
    /// The edit that it describes, or everything that is wrong with it.
    pub edit: Result<Edit, Vec<Problem>>,
}

/// Reads the rows of all lists in order. It returns `None` after the end or an error.
pub struct Rows {
    pub(super) list: ListReader,
    pub(super) parser: RowParser,
}

impl Rows {
    pub(super) fn new(first: &List, others: &[List], mapping: &Mapping) -> Result<Rows, InputError> {
        let list = ListReader::open(first, others, mapping)?;
        Ok(Rows { list, parser: RowParser { builder: EditBuilder::new(mapping) } })
    }

    /// Skips this many rows without parsing them.
    ///
    /// # Errors
    /// Fails if the list cannot be read.
    pub(crate) fn pass_over(&mut self, rows: u64) -> Result<(), InputError> {
        (0..rows).try_for_each(|_| self.list.read().map(|_| ()))
    }

    /// The next row whose message is wanted, in either direction. Of other rows, only the message's identity is parsed.
    ///
    /// # Errors
    /// Fails if the list cannot be read.
    pub(crate) fn next_of(&mut self, is_wanted: impl Fn(EitherWay) -> bool) -> Result<Option<Row>, InputError> {
        while let Some(raw) = self.list.read()? {
            if self.parser.message(&raw).is_some_and(&is_wanted) {
                return Ok(Some(self.parser.parse(raw)));
            }
        }
        Ok(None)
    }

    /// Stored bytes read so far. Reading is slightly ahead of the rows.
    pub fn bytes(&self) -> u64 {
        self.list.stored_bytes()
    }

    /// SHA-256 of what was read, once every row has been read: see [`ReadInput`](super::ReadInput).
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.list.read_input().map(|read| read.sha256)
    }

    /// Checks that the list that is being read has not changed since it was opened, so that its rows are valid.
    ///
    /// # Errors
    /// Fails if the list has changed.
    pub fn check_unchanged(&self) -> Result<(), InputError> {
        self.list.check_unchanged()
    }
}

impl Iterator for Rows {
    type Item = Result<Row, InputError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.list.read().map(|raw| raw.map(|raw| self.parser.parse(raw))).transpose()
    }
}

/// Parses raw rows. Each thread has its own.
#[derive(Clone)]
pub(super) struct RowParser {
    builder: EditBuilder,
}

impl RowParser {
    pub(super) fn parse(&mut self, raw: RawRow<'_>) -> Row {
        let RawRow { number, line, malformed, bytes, ends, source } = raw;
        let mut edit = match (malformed, &source.layout) {
            (Some(malformed), _) => Err(vec![Problem::of_row(line, malformed)]),
            (None, RowLayout::Csv(header)) => csv::edit(line, bytes, ends, header, &mut self.builder),
            (None, RowLayout::Xlsx(header, columns)) => csv::edit(line, bytes, ends, header, &mut self.builder)
                .map_err(|mut problems| {
                    for problem in &mut problems {
                        problem.cell = problem.place_in(&header.names).and_then(|index| columns.cell(index, line));
                    }
                    problems
                }),
            (None, RowLayout::Jsonl) => jsonl::edit(line, bytes, &mut self.builder),
        };
        if let (Some(one_of), Err(problems)) = (&source.one_of, &mut edit) {
            for problem in problems {
                problem.line.list = Some(one_of.clone());
            }
        }
        Row { number, line: source.line(line), edit }
    }

    /// The message that a row names, if it can be determined.
    fn message(&self, raw: &RawRow<'_>) -> Option<EitherWay> {
        let mapping = self.builder.mapping();
        match &raw.source.layout {
            _ if raw.malformed.is_some() => None,
            RowLayout::Csv(header) | RowLayout::Xlsx(header, _) => {
                csv::message(raw.line, raw.bytes, raw.ends, header, mapping)
            }
            RowLayout::Jsonl => jsonl::message(raw.line, raw.bytes, mapping),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::{ContentSpec, Format, Input, InputSpec};
    use super::*;

    /// `next_of` finds the same messages as parsing every row does.
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
            let mut messages: BTreeMap<EitherWay, Vec<u64>> = BTreeMap::new();
            for row in input.rows(&mapping).unwrap().map(Result::unwrap) {
                if let Ok(edit) = row.edit {
                    messages.entry(edit.id().either_way()).or_default().push(row.line.number);
                }
            }
            assert!(messages.len() > 1 && messages.values().any(|lines| lines.len() > 1), "{messages:?}");
            for (message, lines) in messages {
                let mut rows = input.rows(&mapping).unwrap();
                let mut found = Vec::new();
                while let Some(row) = rows.next_of(|found| found == message).unwrap() {
                    found.extend(row.edit.is_ok().then_some(row.line.number));
                }
                assert_eq!(found, lines);
            }
        }
    }
}
