//! JSON that is not one object a line: an array of request bodies, an object that holds such an array
//! (`{"MsgList": […]}`), or request bodies one after another, as `jq .` prints them.
//!
//! The file is split here, in a stream, into the objects of the list, each as written; what is in them is parsed as a
//! line of JSON Lines is. A file that is broken somewhere has no rows after that place, so reading ends with one error.

use std::io::{self, BufRead, Cursor, Read};

use memchr::memchr2;
use serde::de::IgnoredAny;

use super::jsonl::kind_of;
use super::line_counter::LineCounter;
use super::mapping::{Mapping, Role};
use super::problem::join_names;
use super::raw_row::{RowInfo, RowReadError};
use super::{COLUMNS_MAX, ROW_BYTES_MAX};
use crate::edit::Field;
use crate::edit::json::{JsonMembers, JsonStr, parse_error};

/// How much of a list is looked at to tell JSON Lines from other JSON.
const HEAD_BYTES: usize = 64 * 1024;

/// Reads element by element into one buffer.
pub(super) struct JsonRowReader {
    mapping: Mapping,
    /// What was read to recognize the format.
    head: Cursor<Vec<u8>>,
    row: Vec<u8>,
    lines: LineCounter,
    place: Place,
    is_first: bool,
}

/// Where in the file reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Start,
    /// After one of several objects that follow each other.
    Objects,
    /// In the array: after its bracket, or after an element.
    Array {
        is_wrapped: bool,
        is_empty: bool,
    },
    /// After the list.
    End,
}

impl JsonRowReader {
    pub(super) fn new(head: Vec<u8>, mapping: &Mapping) -> JsonRowReader {
        JsonRowReader {
            mapping: mapping.clone(),
            head: Cursor::new(head),
            row: Vec::new(),
            lines: LineCounter::default(),
            place: Place::Start,
            is_first: true,
        }
    }

    /// The line that reading has reached.
    pub(super) fn line(&self) -> u64 {
        self.lines.line()
    }

    /// The bytes of the row just read.
    pub(super) fn raw(&self) -> &[u8] {
        &self.row
    }

    pub(super) fn read(&mut self, text: &mut impl BufRead) -> Result<Option<RowInfo>, RowReadError> {
        self.row.clear();
        let mut input = Splitter { text: (&mut self.head).chain(text), lines: &mut self.lines };
        let Some(line) = find_row(&mut input, &mut self.row, &mut self.place, &self.mapping)? else {
            return Ok(None);
        };
        let is_first = std::mem::take(&mut self.is_first);
        if let Err(error) = serde_json::from_slice::<IgnoredAny>(&self.row) {
            let line = line + (error.line() as u64).saturating_sub(1);
            return Err(broken(line, format!("is not JSON here: {}", parse_error(&error))));
        }
        if self.row.starts_with(b"{") {
            match if is_first { self.strange() } else { None } {
                Some(what) => Err(broken(line, what)),
                None => Ok(Some(RowInfo { line, malformed: None })),
            }
        } else {
            let found = str::from_utf8(&self.row).ok().and_then(kind_of).unwrap_or("other text");
            let what = format!("must be a JSON object, not {found}; each is the request body of one edit");
            if is_first { Err(broken(line, what)) } else { Ok(Some(RowInfo { line, malformed: Some(what) })) }
        }
    }

    /// What the first object is, if it is no request body: then all others are not either, and one error will do.
    fn strange(&self) -> Option<String> {
        let members: JsonMembers<'_> = serde_json::from_slice(&self.row).ok()?;
        if let Some(what) = other_records(&members, &self.mapping) {
            return Some(what.to_owned());
        }
        let names = || members.0.iter().map(|(name, _)| name.as_ref());
        if names().any(|name| self.mapping.role(name) == Role::Field(Field::MsgKey)) {
            return None;
        }
        Some(format!(
            "must be a request body, an object with From_Account, To_Account and MsgKey, but its members are: {}; map \
             other names in the job file ([input.columns])",
            join_names(names().take(COLUMNS_MAX))
        ))
    }
}

/// What to do about records of the service that are no request bodies, unless the job knows their members.
pub(super) fn other_records(members: &JsonMembers<'_>, mapping: &Mapping) -> Option<&'static str> {
    let has = |wanted: &str| members.0.iter().any(|(name, _)| name == wanted) && mapping.role(wanted) == Role::Unknown;
    if has("CallbackCommand") {
        Some(
            "holds webhooks, not request bodies; make a list of them with the jq recipe in \
             docs/how-to/list-from-webhooks.md",
        )
    } else if has("MsgSeq") || has("MsgRandom") || has("MsgTimeStamp") {
        let has_key = members.0.iter().any(|(name, _)| mapping.role(name) == Role::Field(Field::MsgKey));
        Some(if has_key {
            "holds messages as a history has them, not request bodies; make a list of them with the jq recipe in \
             docs/how-to/list-from-history-export.md"
        } else {
            "holds messages as a history export has them, without MsgKey, not request bodies; make a list of them with the \
             jq recipe in docs/how-to/list-from-history-export.md"
        })
    } else {
        None
    }
}

/// Reads what is needed to tell whether the text is JSON Lines: white space, and the first line of an object. Returns
/// it, and whether it is JSON of another layout.
pub(super) fn recognize(text: &mut impl BufRead) -> io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    while head.len() < HEAD_BYTES {
        let limit = (HEAD_BYTES - head.len()) as u64;
        let read = text.by_ref().take(limit).read_until(b'\n', &mut head)?;
        if read == 0 || !head.trim_ascii().is_empty() {
            break;
        }
    }
    let line = head.trim_ascii();
    let is_json = line.starts_with(b"[") || (line.starts_with(b"{") && head.ends_with(b"\n") && is_unfinished(line));
    Ok((head, is_json))
}

/// Whether a line breaks off where a pretty-printer breaks lines.
fn is_unfinished(line: &[u8]) -> bool {
    let mut copied = Vec::new();
    let mut input = Splitter { text: line, lines: &mut LineCounter::default() };
    let is_open = matches!(input.value(&mut copied), Err(RowReadError::Broken { .. }));
    let mut is_escaped = false;
    let quotes = line.iter().filter(|&&byte| {
        let is_quote = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_quote
    });
    is_open && quotes.count().is_multiple_of(2) && matches!(line.last(), Some(b'{' | b'[' | b',' | b':'))
}

/// Copies the next element into `row`; returns the line where it begins, or `None` at the end.
fn find_row(
    input: &mut Splitter<'_, impl BufRead>,
    row: &mut Vec<u8>,
    place: &mut Place,
    mapping: &Mapping,
) -> Result<Option<u64>, RowReadError> {
    if *place == Place::Start {
        match input.token()? {
            None => return Err(input.broken("the list is empty; it must be a JSON array of request bodies")),
            Some(b'[') => {
                input.pass();
                *place = Place::Array { is_wrapped: false, is_empty: true };
            }
            Some(b'{') => {
                let line = input.line();
                *place = Place::Objects;
                if input.object_or_wrapper(row, mapping)? {
                    return Ok(Some(line));
                }
                row.clear();
                *place = Place::Array { is_wrapped: true, is_empty: true };
            }
            Some(_) => {
                return Err(input.broken("is not a JSON array of request bodies, nor request bodies one after another"));
            }
        }
    }
    match *place {
        Place::Start | Place::End => Ok(None),
        Place::Objects => match input.token()? {
            None => Ok(None),
            Some(b'{') => input.element(row).map(Some),
            Some(b',') => Err(input.broken(
                "a comma follows an object outside an array; put [ before the first object and ] after the last",
            )),
            Some(_) => Err(input.broken("something other than an object follows an object")),
        },
        Place::Array { is_wrapped, is_empty } => {
            match input.token()? {
                Some(b']') => {
                    input.pass();
                    if is_wrapped {
                        input.rest_of_wrapper(row, mapping)?;
                        row.clear();
                    }
                    *place = Place::End;
                    return match input.token()? {
                        None => Ok(None),
                        Some(b'[' | b'{') => Err(input.broken(
                            "another list follows after the end of the list; join them, such as with jq -c '.[]' FILE > list.jsonl, or \
                             jq -c '.MsgList[]' where an object holds each",
                        )),
                        Some(_) => Err(input.broken("something follows after the end of the list")),
                    };
                }
                Some(b',') if !is_empty => input.pass(),
                Some(_) if is_empty => {}
                Some(_) => return Err(input.broken("a comma is missing between two elements of the array")),
                None => return Err(input.cut()),
            }
            match input.token()? {
                None => return Err(input.cut()),
                Some(b']' | b',' | b'}' | b':') => {
                    return Err(input.broken("an element of the array is missing; is there a comma too many?"));
                }
                Some(_) => {}
            }
            *place = Place::Array { is_wrapped, is_empty: false };
            input.element(row).map(Some)
        }
    }
}

fn broken(line: u64, what: impl Into<String>) -> RowReadError {
    RowReadError::Broken { line, what: what.into() }
}

/// Finds where the values of a text end. It tracks strings and brackets only: whether a value is valid is checked after.
struct Splitter<'a, R> {
    text: R,
    lines: &'a mut LineCounter,
}

impl<R: BufRead> Splitter<'_, R> {
    fn line(&self) -> u64 {
        self.lines.line()
    }

    fn broken(&self, what: &str) -> RowReadError {
        broken(self.line(), what)
    }

    fn cut(&self) -> RowReadError {
        self.broken("the file ends before the list does; it was cut off, so fetch it again")
    }

    /// The next byte that is not white space, which stays unread.
    fn token(&mut self) -> io::Result<Option<u8>> {
        self.token_after(&mut Vec::new())
    }

    /// As [`Splitter::token`]; the white space before it is copied, as far as there is room.
    fn token_after(&mut self, space: &mut Vec<u8>) -> io::Result<Option<u8>> {
        loop {
            let input = self.text.fill_buf()?;
            let blank = input.iter().take_while(|byte| is_space(**byte)).count();
            let token = input.get(blank).copied();
            let is_end = input.is_empty();
            let room = ROW_BYTES_MAX.saturating_sub(space.len());
            space.extend_from_slice(&input[..blank.min(room)]);
            self.lines.advance(&input[..blank]);
            self.text.consume(blank);
            if token.is_some() || is_end {
                return Ok(token);
            }
        }
    }

    /// Passes over the byte that [`Splitter::token`] has shown.
    fn pass(&mut self) {
        self.lines.advance(b" ");
        self.text.consume(1);
    }

    /// Copies the element at hand, and returns the line where it begins.
    fn element(&mut self, row: &mut Vec<u8>) -> Result<u64, RowReadError> {
        let line = self.line();
        self.value(row)?;
        if row.len() > ROW_BYTES_MAX { Err(RowReadError::RowTooLong { line }) } else { Ok(line) }
    }

    /// Appends the value that begins at the next byte to `out`. A little more than [`ROW_BYTES_MAX`] ends it.
    fn value(&mut self, out: &mut Vec<u8>) -> Result<(), RowReadError> {
        let line = self.line();
        let (mut depth, mut in_string, mut is_escaped, mut has_begun) = (0_usize, false, false, false);
        loop {
            let input = self.text.fill_buf()?;
            if input.is_empty() {
                return if depth == 0 && !in_string && has_begun { Ok(()) } else { Err(self.cut()) };
            }
            let (mut at, mut is_complete) = (0, false);
            while at < input.len() && !is_complete {
                let byte = input[at];
                if is_escaped {
                    (is_escaped, at) = (false, at + 1);
                } else if in_string {
                    let Some(found) = memchr2(b'"', b'\\', &input[at..]) else {
                        at = input.len();
                        break;
                    };
                    at += found + 1;
                    is_escaped = input[at - 1] == b'\\';
                    in_string = is_escaped;
                    is_complete = !in_string && depth == 0;
                } else {
                    match byte {
                        // Outside brackets, these end a number or a word.
                        b',' | b':' if depth == 0 => is_complete = true,
                        byte if depth == 0 && is_space(byte) => is_complete = true,
                        b'{' | b'[' | b'"' if depth == 0 && has_begun => is_complete = true,
                        b'}' | b']' if depth == 0 => is_complete = true,
                        b'}' | b']' => (depth, at, is_complete) = (depth - 1, at + 1, depth == 1),
                        b'{' | b'[' => (depth, at) = (depth + 1, at + 1),
                        b'"' => (in_string, at) = (true, at + 1),
                        _ => at += 1,
                    }
                }
                has_begun = true;
            }
            out.extend_from_slice(&input[..at]);
            self.lines.advance(&input[..at]);
            self.text.consume(at);
            if out.len() > ROW_BYTES_MAX {
                return Err(RowReadError::RowTooLong { line });
            }
            if is_complete {
                return Ok(());
            }
        }
    }

    /// Copies the object at hand and returns true; or returns false after the bracket of an array that it holds, where
    /// that array is the list: its name means nothing in a request body, and no field of one comes before it.
    fn object_or_wrapper(&mut self, row: &mut Vec<u8>, mapping: &Mapping) -> Result<bool, RowReadError> {
        let line = self.line();
        self.pass();
        row.push(b'{');
        let mut has_field = false;
        loop {
            if self.token_after(row)? == Some(b'}') {
                self.pass();
                row.push(b'}');
                return Ok(true);
            }
            let role = self.member_name(row, mapping)?;
            has_field |= matches!(role, Role::Field(_));
            if self.token_after(row)? == Some(b'[') && role == Role::Unknown && !has_field {
                self.pass();
                return Ok(false);
            }
            self.member_value(row)?;
            if row.len() > ROW_BYTES_MAX {
                return Err(RowReadError::RowTooLong { line });
            }
        }
    }

    /// Passes over what follows the list in the object that holds it.
    fn rest_of_wrapper(&mut self, scratch: &mut Vec<u8>, mapping: &Mapping) -> Result<(), RowReadError> {
        let mut is_first = true;
        loop {
            match self.token()? {
                Some(b'}') => {
                    self.pass();
                    return Ok(());
                }
                Some(b',') if is_first => self.pass(),
                Some(_) if !is_first => {}
                Some(_) => return Err(self.broken("a comma is missing after the list")),
                None => return Err(self.cut()),
            }
            is_first = false;
            scratch.clear();
            let role = self.member_name(scratch, mapping)?;
            self.token()?;
            scratch.clear();
            let line = self.line();
            self.member_value(scratch)?;
            let is_list = scratch.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"{"));
            if is_list && role == Role::Unknown {
                return Err(broken(line, "a second array of objects follows the list; keep one of the two"));
            }
            if let Role::Field(field) = role {
                let what = format!("{} stands beside the list, not in one of its objects", field.service_name());
                return Err(broken(line, what));
            }
        }
    }

    /// Copies a member's name and its colon; returns what the job makes of it.
    fn member_name(&mut self, row: &mut Vec<u8>, mapping: &Mapping) -> Result<Role, RowReadError> {
        match self.token_after(row)? {
            Some(b'"') => {}
            Some(_) => return Err(self.broken("is not JSON here: a member must begin with its name in quotes")),
            None => return Err(self.cut()),
        }
        let begin = row.len();
        self.value(row)?;
        let name: JsonStr<'_> = serde_json::from_slice(&row[begin..])
            .map_err(|error| self.broken(&format!("is not JSON here: {}", parse_error(&error))))?;
        let role = mapping.role(&name.0);
        match self.token_after(row)? {
            Some(b':') => {
                self.pass();
                row.push(b':');
                Ok(role)
            }
            Some(_) => Err(self.broken("is not JSON here: a colon must follow the name of a member")),
            None => Err(self.cut()),
        }
    }

    /// Copies a member's value, and the comma after it, if there is one.
    fn member_value(&mut self, row: &mut Vec<u8>) -> Result<(), RowReadError> {
        match self.token_after(row)? {
            Some(b',' | b':' | b']' | b'}') => return Err(self.broken("is not JSON here: a value is missing")),
            Some(_) => self.value(row)?,
            None => return Err(self.cut()),
        }
        match self.token_after(row)? {
            Some(b',') => {
                self.pass();
                row.push(b',');
                Ok(())
            }
            Some(b'}') => Ok(()),
            Some(_) => Err(self.broken("is not JSON here: a comma or a brace must follow a member")),
            None => Err(self.cut()),
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::input::{ContentSpec, InputSpec};

    /// The rows with their lines, read through a buffer of `buffer` bytes, and the error that ended reading.
    fn read(text: &str, buffer: usize) -> (Vec<(u64, String)>, Option<String>) {
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let mut source = BufReader::with_capacity(buffer, text.as_bytes());
        let mut reader = JsonRowReader::new(Vec::new(), &mapping);
        let mut rows = Vec::new();
        loop {
            match reader.read(&mut source) {
                Ok(Some(row)) => rows.push((row.line, String::from_utf8(reader.raw().to_vec()).unwrap())),
                Ok(None) => return (rows, None),
                Err(RowReadError::Broken { line, what }) => return (rows, Some(format!("{line}: {what}"))),
                Err(RowReadError::RowTooLong { line }) => return (rows, Some(format!("{line}: too long"))),
                Err(RowReadError::Io(_) | RowReadError::Xlsx { .. }) => panic!("another error"),
            }
        }
    }

    fn error(text: &str) -> String {
        let (_, error) = read(text, 7);
        assert_eq!(error, read(text, 1).1, "{text}");
        error.unwrap_or_else(|| panic!("{text} was read"))
    }

    #[test]
    fn elements_are_as_written_and_begin_on_their_lines() {
        let one = "{\"MsgKey\" :\"a\",\n \"MsgBody\": [ {\"x\":\"]}\\\"\"} ] }";
        for (text, lines) in [
            (format!("[{one},{one}]"), [1, 2]),
            (format!("\r\n [\r\n{one}\r\n,\r\n{one}\n]\n\n"), [3, 6]),
            (format!("{one}\n{one}"), [1, 3]),
            (format!("{one}{one}"), [1, 2]),
            (format!("{{\"MsgCnt\":2,\n\"MsgList\":[{one},{one}],\"Complete\":1}}\n"), [2, 3]),
        ] {
            for buffer in [1, 2, 5, 4096] {
                let expected = lines.map(|line| (line, one.to_owned())).to_vec();
                assert_eq!(read(&text, buffer), (expected, None), "{text:?} through {buffer} bytes");
            }
        }
        assert_eq!(read("[]", 1), (Vec::new(), None));
    }

    #[test]
    fn what_is_broken_ends_with_one_error() {
        let cut = "the file ends before the list does; it was cut off, so fetch it again";
        for (text, what) in [
            ("", "1: the list is empty; it must be a JSON array of request bodies"),
            ("\"x\"", "1: is not a JSON array of request bodies, nor request bodies one after another"),
            ("[{\"MsgKey\":1}\n,", &format!("2: {cut}")),
            ("[{\"MsgKey\":1}\n", &format!("2: {cut}")),
            ("[{\"MsgKey\":1},\n{\"MsgKey\":\"", &format!("2: {cut}")),
            ("[\n", &format!("2: {cut}")),
            ("{\"MsgList\":[{\"MsgKey\":1}]", &format!("1: {cut}")),
            ("[{\"MsgKey\":1}]\n1", "2: something follows after the end of the list"),
            (
                "[{\"MsgKey\":1}]\n[{\"MsgKey\":1}]",
                "2: another list follows after the end of the list; join them, such as with jq -c '.[]' FILE > list.jsonl, \
                 or jq -c '.MsgList[]' where an object holds each",
            ),
            ("[{\"MsgKey\":1}\n{\"MsgKey\":1}]", "2: a comma is missing between two elements of the array"),
            ("[{\"MsgKey\":1},]", "1: an element of the array is missing; is there a comma too many?"),
            ("[,{\"MsgKey\":1}]", "1: an element of the array is missing; is there a comma too many?"),
            (
                "{\"MsgKey\":1},{}",
                "1: a comma follows an object outside an array; put [ before the first object and ] after the last",
            ),
            ("{\"MsgKey\":1}[]", "1: something other than an object follows an object"),
            ("[{\"MsgKey\":1},{\"MsgKey\":\n01}]", "2: is not JSON here: invalid number"),
            ("[1]", "1: must be a JSON object, not a number; each is the request body of one edit"),
            (
                "{\"a\":[{\"MsgKey\":1}],\"b\":[ {}]}",
                "1: a second array of objects follows the list; keep one of the two",
            ),
            (
                "{\"a\":[{\"MsgKey\":1}],\"To_Account\":1}",
                "1: To_Account stands beside the list, not in one of its objects",
            ),
            (
                "{\"MsgList\":[{\"From_Account\":\"a\",\"MsgSeq\":1,\"MsgBody\":[]}]}",
                "1: holds messages as a history export has them, without MsgKey, not request bodies; make a list of them \
                 with the jq recipe in docs/how-to/list-from-history-export.md",
            ),
            (
                "{\"MsgList\":[{\"From_Account\":\"a\",\"MsgSeq\":1,\"MsgKey\":\"1_2_3\"}]}",
                "1: holds messages as a history has them, not request bodies; make a list of them with the jq recipe in \
                 docs/how-to/list-from-history-export.md",
            ),
            (
                "[{\"CallbackCommand\":\"C2C.CallbackAfterSendMsg\",\"MsgKey\":\"1\"}]",
                "1: holds webhooks, not request bodies; make a list of them with the jq recipe in \
                 docs/how-to/list-from-webhooks.md",
            ),
            (
                "{\"name\":\"x\",\n\"scripts\":{}}",
                "1: must be a request body, an object with From_Account, To_Account and MsgKey, but its members are: \
                 name, scripts; map other names in the job file ([input.columns])",
            ),
        ] {
            assert_eq!(error(text), what, "{text:?}");
        }
        let long = format!("[{{\"MsgKey\":\"{}\"}}]", "x".repeat(ROW_BYTES_MAX));
        assert_eq!(error(&long), "1: too long");
    }

    #[test]
    fn json_lines_are_told_from_other_json() {
        for (text, is_json) in [
            ("", false),
            ("{\"a\":1}\n{\"a\":1}\n", false),
            ("\n\n  [\n", true),
            ("[{\"a\":1}]", true),
            ("{\n", true),
            ("\n{\"a\": [\n", true),
            ("{\"a\": 1,\n", true),
            // A line that is cut off, or no JSON.
            ("{\"a\":\"x,\n", false),
            ("{\"a\":\"x\n", false),
            ("{", false),
            ("{\"a\":1},\n{\"a\":1}\n", false),
            ("x\n", false),
        ] {
            let (head, found) = recognize(&mut BufReader::with_capacity(3, text.as_bytes())).unwrap();
            assert_eq!((found, text.as_bytes().starts_with(&head)), (is_json, true), "{text:?}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let text = "[a{}\\[\\]\":,\\\\\né]{0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i32>().prop_map(Value::from),
            text.prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 12, 4, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec((text, inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn arrays_are_split_as_serde_json_splits_them(values in proptest::collection::vec(json(), 0..6), pretty: bool, buffer in 1_usize..40) {
            let mut values = values;
            values.insert(0, serde_json::json!({"MsgKey": 1}));
            let array = Value::Array(values.clone());
            let text = if pretty { serde_json::to_string_pretty(&array) } else { serde_json::to_string(&array) }.unwrap();
            let (rows, error) = read(&text, buffer);
            prop_assert_eq!(error, None);
            let found: Vec<Value> = rows.iter().map(|(_, row)| serde_json::from_str(row).unwrap()).collect();
            prop_assert_eq!(found, values);
            for (line, row) in rows {
                let at = text.lines().nth(usize::try_from(line).unwrap() - 1).unwrap();
                prop_assert!(at.contains(row.lines().next().unwrap()), "{:?} on line {}", row, line);
            }
        }

        /// Whatever the text, it is a list only if it is JSON.
        #[test]
        fn what_is_read_is_json(text in "[\\[\\]{}\",:1 \n\\\\]{0,24}") {
            let text = format!("[{{\"MsgKey\":1}}{text}");
            let (_, error) = read(&text, 5);
            prop_assert_eq!(error.is_none(), serde_json::from_str::<Value>(&text).is_ok(), "{}: {:?}", text, error);
        }
    }
}
