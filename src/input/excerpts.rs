//! Where in the list problems are: each one's line is looked up again, as it stands there.

use std::io::{self, BufRead, Read};
use std::ops::Range;

use serde::de::IgnoredAny;

use super::csv::LineCounter;
use super::jsonl::JsonlReader;
use super::rows::CsvList;
use super::text::Text;
use super::{Format, Input, InputError, Mapping, Problem};
use crate::edit::json::JsonMembers;
use crate::terminal::escape::NAME_CHARS_SHOWN;
use crate::terminal::excerpt::Excerpt;

impl Input {
    /// What stands at the place of each of these problems, in their order, which is the list's; `None` where that cannot be
    /// told. The list is read up to the last of them; one row at a time is kept.
    ///
    /// # Errors
    /// The list cannot be read again as it was.
    pub fn excerpts(&self, mapping: &Mapping, problems: &[Problem]) -> Result<Vec<Option<Excerpt>>, InputError> {
        self.stored.check_unchanged()?;
        let text = Text::open(&self.stored)?;
        let mut excerpts = Vec::with_capacity(problems.len());
        let mut lines = match self.format {
            Format::Csv => {
                let mut text = Recorded { text, row: Vec::new() };
                Lines::Csv(Box::new(CsvList::open(&mut text, &self.stored, mapping)?), text)
            }
            Format::Jsonl => Lines::Jsonl(JsonlReader::new(), text),
        };
        let mut line = lines.next();
        for problem in problems {
            while line.is_some_and(|line| line < problem.line) {
                line = lines.next();
            }
            let is_there = line == Some(problem.line);
            excerpts.push(if is_there { lines.excerpt(problem) } else { None });
        }
        Ok(excerpts)
    }
}

/// A list, row by row, with each row's bytes as they stand there.
enum Lines {
    Csv(Box<CsvList>, Recorded),
    Jsonl(JsonlReader, Text),
}

impl Lines {
    /// The line where the next row begins; `None` at the end, or where it cannot be read on.
    fn next(&mut self) -> Option<u64> {
        let read = match self {
            Lines::Csv(list, text) => {
                text.row.clear();
                list.read(text)
            }
            Lines::Jsonl(list, text) => list.read(text),
        };
        Some(read.ok()??.line)
    }

    /// The place of a problem of the row just read.
    fn excerpt(&self, problem: &Problem) -> Option<Excerpt> {
        let label = problem.column.as_deref().unwrap_or_default();
        let is_it = |name: &str| name.chars().take(NAME_CHARS_SHOWN + 1).eq(label.chars());
        match self {
            Lines::Csv(list, text) => {
                let blank = text.row.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                let row = &text.row[blank..];
                let column = list.header.names.iter().position(|name| is_it(name.trim()));
                let place = column.and_then(|column| cell(row, column)).unwrap_or(0..row.len());
                Some(of_row(problem.line, row, place, label))
            }
            Lines::Jsonl(list, _) => {
                let row = list.raw();
                let place = member(row, is_it).or_else(|| fault(row)).unwrap_or(0..row.len());
                (!row.is_empty()).then(|| of_row(problem.line, row, place, label))
            }
        }
    }
}

/// A place in a row, whose line may be a later one than that where the row begins.
fn of_row(line: u64, row: &[u8], place: Range<usize>, label: &str) -> Excerpt {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let begin = row[..place.start].iter().rposition(is_end).map_or(0, |end| end + 1);
    let end = row[place.start..].iter().position(is_end).map_or(row.len(), |end| place.start + end);
    let mut before = LineCounter::default();
    before.pass(&row[..begin]);
    let place = place.start - begin..place.end.min(end) - begin;
    Excerpt::new(line + before.line() - 1, &row[begin..end], place, label)
}

/// Where a cell is in a row, with its quotes.
fn cell(row: &[u8], column: usize) -> Option<Range<usize>> {
    let (mut begin, mut found) = (0, 0);
    // A doubled quote closes the cell and opens it again.
    let (mut is_quoted, mut is_open) = (false, false);
    for (at, byte) in row.iter().enumerate() {
        match byte {
            b'"' if at == begin => (is_quoted, is_open) = (true, true),
            b'"' if is_quoted => is_open = !is_open,
            b',' | b'\r' | b'\n' if !is_open => {
                if found == column {
                    return Some(begin..at);
                }
                if *byte != b',' {
                    return None;
                }
                (begin, found, is_quoted) = (at + 1, found + 1, false);
            }
            _ => {}
        }
    }
    (found == column).then_some(begin..row.len())
}

/// Where the value of a member is. Of several with this name the last is what a problem is about.
fn member(row: &[u8], is_it: impl Fn(&str) -> bool) -> Option<Range<usize>> {
    let members: JsonMembers<'_> = serde_json::from_slice(row).ok()?;
    let (_, value) = members.0.iter().rev().find(|(name, _)| is_it(name))?;
    // It is borrowed from the row.
    let begin = value.get().as_ptr().addr().checked_sub(row.as_ptr().addr())?;
    Some(begin..begin + value.get().len())
}

/// Where a row ceases to be JSON.
fn fault(row: &[u8]) -> Option<Range<usize>> {
    let error = serde_json::from_slice::<IgnoredAny>(row).err()?;
    let at = error.column().saturating_sub(1).min(row.len());
    Some(at..(at + 1).min(row.len()))
}

/// A text of which is kept what was read since somebody last took it away.
struct Recorded {
    text: Text,
    row: Vec<u8>,
}

impl Read for Recorded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        self.row.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}

impl BufRead for Recorded {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.text.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        if let Ok(read) = self.text.fill_buf() {
            self.row.extend_from_slice(&read[..bytes.min(read.len())]);
        }
        self.text.consume(bytes);
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use insta::assert_snapshot;

    use super::*;
    use crate::input::{ContentSpec, InputSpec};

    /// Every problem of a list, and what stands there.
    fn check(format: Format, list: &[u8]) -> String {
        let input = Input::from_reader("list", list, format).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let rows = input.rows(&mapping).unwrap();
        let problems: Vec<Problem> = rows.filter_map(|row| row.unwrap().edit.err()).flatten().collect();
        let excerpts = input.excerpts(&mapping, &problems).unwrap();
        assert_eq!(excerpts.len(), problems.len());
        let shown = problems.iter().zip(excerpts).map(|(problem, excerpt)| {
            let excerpt = excerpt.map(|excerpt| strip_str(&excerpt.render()).to_string()).unwrap_or_default();
            format!("{}\n{excerpt}", problem.place())
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    const HEADER: &str = "from_account,to_account,msg_key, msg_body\n";

    #[test]
    fn cells_are_found_where_they_stand() {
        let rows = "a,b,1_2_3,oops\n\
            \r\n\
            ,b,1_2_3,[]\r\n\
            \"a\"\"x,y\",\"b\n\nc\",1_2_3,\"[{\"\"a\"\":\n1}]\"\n\
            a,b\n\
            \"a\",b,\"1_2\",\"[\"";
        assert_snapshot!(check(Format::Csv, format!("{HEADER}{rows}").as_bytes()), @r#"
        line 2, column msg_body
          |
        2 | a,b,1_2_3,oops
          |           ^^^^ msg_body
        line 4, column msg_body
          |
        4 | ,b,1_2_3,[]
          |          ^^ msg_body
        line 4, column from_account
          |
        4 | ,b,1_2_3,[]
          | ^ from_account
        line 5, column msg_body
          |
        7 | c",1_2_3,"[{""a"":
          |          ^^^^^^^^^ msg_body
        line 5, column to_account
          |
        5 | "a""x,y","b
          |          ^^ to_account
        line 9
          |
        9 | a,b
          | ^^^
        line 10, column msg_body
           |
        10 | "a",b,"1_2","["
           |             ^^^ msg_body
        "#);
    }

    #[test]
    fn members_are_found_where_they_stand() {
        let rows = r#"{"From_Account":"a","To_Account":7,"MsgKey":"1_2_3","MsgBody":"[]"}
            {"From_Account":"a","To_Account":"b","MsgKey":"1_2_3","MsgBody":[{"x" 1}]}

{"From_Account":"a","From_Account":"c","To_Account":"b","MsgBody":[]}
[1]"#;
        assert_snapshot!(check(Format::Jsonl, rows.as_bytes()), @r#"
        line 1, column To_Account
          |
        1 | …count":"a","To_Account":7,"MsgKey":"…
          |                          ^ To_Account
        line 1, column MsgBody
          |
        1 | …gKey":"1_2_3","MsgBody":"[]"}
          |                          ^^^^ MsgBody
        line 2
          |
        2 | …"1_2_3","MsgBody":[{"x" 1}]}
          |                          ^
        line 4, column From_Account
          |
        4 | …unt":"a","From_Account":"c","To_Accoun…
          |                          ^^^ From_Account
        line 4, column MsgKey
          |
        4 | {"From_Account":"a","From_Account":"c","To_Account":"b","Ms…
          | ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ MsgKey
        line 5
          |
        5 | [1]
          | ^^^
        "#);
    }

    #[test]
    fn rows_that_cannot_be_shown_are_left_out() {
        let long = "x".repeat(crate::input::ROW_BYTES_MAX + 1);
        assert_snapshot!(check(Format::Jsonl, format!("{{}}\n{long}\n\"\n").as_bytes()), @r#"
        line 1, column From_Account
          |
        1 | {}
          | ^^ From_Account
        line 1, column To_Account
          |
        1 | {}
          | ^^ To_Account
        line 1, column MsgKey
          |
        1 | {}
          | ^^ MsgKey
        line 2

        line 3
          |
        3 | "
          | ^
        "#);
        let open = [HEADER.as_bytes(), b"a,b,\xff,[]\na,\"b,c\nd"].concat();
        assert_snapshot!(check(Format::Csv, &open), @r#"
        line 2
          |
        2 | a,b,�,[]
          | ^^^^^^^^
        line 3
          |
        3 | a,"b,c
          | ^^^^^^
        "#);
    }

    #[test]
    fn each_cell_of_a_row_has_its_place() {
        for (row, cells) in [
            ("a,b\n", vec!["a", "b"]),
            (",,", vec!["", "", ""]),
            ("\"a,\"\"b\"\"\",\"\"\r\n", vec!["\"a,\"\"b\"\"\"", "\"\""]),
            ("a\"b,\"c\nd\"", vec!["a\"b", "\"c\nd\""]),
        ] {
            for (column, text) in cells.iter().enumerate() {
                assert_eq!(cell(row.as_bytes(), column).map(|place| &row[place]), Some(*text), "{row:?}");
            }
            assert_eq!(cell(row.as_bytes(), cells.len()), None, "{row:?}");
        }
    }
}
