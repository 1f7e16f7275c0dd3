//! Excerpts that show where in the list problems are. Each problem's line is read again.

use std::ops::Range;

use serde::de::IgnoredAny;

use super::line_counter::LineCounter;
use super::list_reader::{ListReader, RowReader};
use super::{Input, InputError, Mapping, Problem};
use crate::edit::Line;
use crate::edit::json::JsonMembers;
use crate::terminal::escape::NAME_CHARS_SHOWN;
use crate::terminal::excerpt::Excerpt;

impl Input {
    /// The excerpt for each problem; `None` if its place cannot be found. The problems must be in the list's order. The
    /// lists are read up to the last of them, one row at a time.
    ///
    /// # Errors
    /// Fails if the list has changed or cannot be read.
    pub fn excerpts(&self, mapping: &Mapping, problems: &[Problem]) -> Result<Vec<Option<Excerpt>>, InputError> {
        let mut list = self.rows(mapping)?.list;
        let mut excerpts = Vec::with_capacity(problems.len());
        let mut line = next_line(&mut list);
        for problem in problems {
            while line.as_ref().is_some_and(|line| *line < problem.line) {
                line = next_line(&mut list);
            }
            let is_found = line.as_ref() == Some(&problem.line);
            excerpts.push(if is_found { excerpt(list.rows(), problem) } else { None });
        }
        Ok(excerpts)
    }
}

/// The line where the next row begins; `None` at the end, or if reading fails.
fn next_line(list: &mut ListReader) -> Option<Line> {
    Some(list.read().ok()??.place())
}

/// The excerpt for a problem of the row just read.
fn excerpt(rows: &RowReader, problem: &Problem) -> Option<Excerpt> {
    let label = problem.column.as_deref().unwrap_or_default();
    let matches_label = |name: &str| name.chars().take(NAME_CHARS_SHOWN + 1).eq(label.chars());
    let (row, place) = match rows {
        RowReader::Csv(rows) => {
            let column = rows.header.names.iter().position(|name| matches_label(name.trim()));
            (rows.reader.source(), column.and_then(|column| rows.reader.cell_range(column)))
        }
        // The problem names the cell, and a row of a sheet is no text that could be shown as it is.
        RowReader::Xlsx(_) => return None,
        RowReader::Jsonl(_) | RowReader::Json(_) => {
            let (row, _) = rows.raw();
            (row, member_value(row, matches_label).or_else(|| syntax_error(row)))
        }
    };
    (!row.is_empty()).then(|| excerpt_of_row(problem.line.number, row, place.unwrap_or(0..row.len()), label))
}

/// An excerpt of the line that holds `place`, which may be after the line where the row begins.
fn excerpt_of_row(line: u64, row: &[u8], place: Range<usize>, label: &str) -> Excerpt {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let begin = row[..place.start].iter().rposition(is_end).map_or(0, |end| end + 1);
    let end = row[place.start..].iter().position(is_end).map_or(row.len(), |end| place.start + end);
    let mut before = LineCounter::default();
    before.advance(&row[..begin]);
    let place = place.start - begin..place.end.min(end) - begin;
    Excerpt::new(line + before.line() - 1, &row[begin..end], place, label)
}

/// Where the value of a member is. If several have this name, the problem concerns the last.
fn member_value(row: &[u8], matches_label: impl Fn(&str) -> bool) -> Option<Range<usize>> {
    let members: JsonMembers<'_> = serde_json::from_slice(row).ok()?;
    let (_, value) = members.0.iter().rev().find(|(name, _)| matches_label(name))?;
    // The value is borrowed from the row.
    let begin = value.get().as_ptr().addr().checked_sub(row.as_ptr().addr())?;
    Some(begin..begin + value.get().len())
}

/// Where a row stops being valid JSON.
fn syntax_error(row: &[u8]) -> Option<Range<usize>> {
    let error = serde_json::from_slice::<IgnoredAny>(row).err()?;
    let at = error.column().saturating_sub(1).min(row.len());
    Some(at..(at + 1).min(row.len()))
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use insta::assert_snapshot;

    use super::*;
    use crate::input::{ContentSpec, Format, InputSpec};

    /// Every problem of a list, with its excerpt.
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
    fn cells_are_located() {
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

    /// Places are those of the decoded text, below a line that only names the separator and a row of nothing.
    #[test]
    fn cells_of_decoded_text_are_located() {
        let rows = ";;;\r\n客服;\"b;c\";1_2_3;已处理\r\n";
        let list = format!("\u{feff}sep=;\r\n{}{rows}", HEADER.replace(',', ";"));
        let list: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_snapshot!(check(Format::Csv, &list), @r#"
        line 4, column msg_body
          |
        4 | 客服;"b;c";1_2_3;已处理
          |                  ^^^^^^ msg_body
        "#);
    }

    #[test]
    fn members_are_located() {
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
    fn rows_that_cannot_be_shown_have_no_excerpt() {
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
}
