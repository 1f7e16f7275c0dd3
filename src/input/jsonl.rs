//! JSON Lines: each line is an object, the service's request body. `MsgBody` is passed on exactly as written.

use std::borrow::Cow;
use std::io::{self, BufRead, Cursor, Read as _};

use encoding_rs::GB18030;
use minijinja::Value;
use serde_json::value::RawValue;

use super::decoder::encoding_advice;
use super::edit_builder::{EditBuilder, RowFields};
use super::json_list::other_records;
use super::mapping::{Mapping, Role, UNKNOWN_ADVICE, content_conflict};
use super::problem::Problem;
use super::raw_row::{RowInfo, RowReadError};
use super::{COLUMNS_MAX, Format, ROW_BYTES_MAX};
use crate::edit::json::{Json, JsonMembers, JsonStr, parse_error};
use crate::edit::{Edit, EitherWay, Field};

/// Reads line by line into one buffer.
pub(super) struct JsonlRowReader {
    mapping: Mapping,
    /// What was read to recognize the format.
    head: Cursor<Vec<u8>>,
    row: Vec<u8>,
    line: u64,
    is_first: bool,
}

impl JsonlRowReader {
    pub(super) fn new(head: Vec<u8>, mapping: &Mapping) -> JsonlRowReader {
        JsonlRowReader { mapping: mapping.clone(), head: Cursor::new(head), row: Vec::new(), line: 0, is_first: true }
    }

    /// The line that reading has reached.
    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The bytes of the row just read.
    pub(super) fn raw(&self) -> &[u8] {
        &self.row
    }

    pub(super) fn read(&mut self, text: &mut impl BufRead) -> Result<Option<RowInfo>, RowReadError> {
        loop {
            let malformed = match self.read_line(text)? {
                LineRead::End => return Ok(None),
                LineRead::Complete if self.row.trim_ascii().is_empty() => continue,
                LineRead::Complete => None,
                LineRead::TooLong => {
                    Some(format!("the line is longer than {ROW_BYTES_MAX} bytes, many times what a message can hold"))
                }
            };
            let strange = if std::mem::take(&mut self.is_first) { self.strange() } else { None };
            return match strange {
                Some(what) => Err(RowReadError::Broken { line: self.line, what: what.to_owned() }),
                None => Ok(Some(RowInfo { line: self.line, malformed })),
            };
        }
    }

    /// What the first line is, if all others are not edits either: one error will do.
    fn strange(&self) -> Option<&'static str> {
        let row = str::from_utf8(&self.row).ok()?.trim_ascii();
        if row.starts_with('{') {
            return other_records(&serde_json::from_str(row).ok()?, &self.mapping);
        }
        let mut cells = row.split([',', ';', '\t', '|']).map(|cell| cell.trim().trim_matches('"'));
        let is_csv = cells.any(|cell| matches!(self.mapping.role(cell), Role::Field(_)));
        is_csv.then_some("has the header of a CSV list; name the list .csv, or pass --input-format csv")
    }

    /// A line that is too long is skipped without being stored, so reading can continue with the next.
    fn read_line(&mut self, text: &mut impl BufRead) -> io::Result<LineRead> {
        self.row.clear();
        let mut text = (&mut self.head).chain(text);
        let read = text.by_ref().take(ROW_BYTES_MAX as u64 + 1).read_until(b'\n', &mut self.row)?;
        if read == 0 {
            return Ok(LineRead::End);
        }
        self.line += 1;
        if read <= ROW_BYTES_MAX || self.row.ends_with(b"\n") {
            return Ok(LineRead::Complete);
        }
        self.row.clear();
        text.skip_until(b'\n')?;
        Ok(LineRead::TooLong)
    }
}

enum LineRead {
    Complete,
    TooLong,
    End,
}

/// The edit that a line describes.
pub(super) fn edit(line: u64, row: &[u8], builder: &mut EditBuilder) -> Result<Edit, Vec<Problem>> {
    let members = members(row).map_err(|what| vec![Problem::of_row(line, what)])?;
    let mapping = builder.mapping().clone();
    let fields = fields(line, &members, &mapping)?;
    let lookup = |name: &str| match members.0.iter().find(|(member, _)| member == name) {
        Some((_, json)) => template_value(json),
        None => Ok(None),
    };
    builder.build(fields, &lookup)
}

/// The message that a line names, if it can be determined.
pub(super) fn message(line: u64, row: &[u8], mapping: &Mapping) -> Option<EitherWay> {
    Some(fields(line, &members(row).ok()?, mapping).ok()?.message(mapping))
}

/// The members of a row, if it is an object.
pub(super) fn members(row: &[u8]) -> Result<JsonMembers<'_>, String> {
    let row = str::from_utf8(row).map_err(|_| {
        let is_gb18030 = GB18030.decode_without_bom_handling_and_without_replacement(row).is_some();
        format!("the line is not UTF-8; {}", encoding_advice(is_gb18030))
    })?;
    let row = row.trim_ascii();
    if !row.starts_with('{') {
        let found = kind_of(row).unwrap_or("other text");
        return Err(format!("must be a JSON object, not {found}; JSON Lines has one whole object on each line"));
    }
    let members: JsonMembers<'_> = serde_json::from_str(row).map_err(|error| {
        // The parser's column counts from the beginning of the object.
        let advice = if row.contains('\r') {
            "the lines seem to end with carriage returns alone; save the list with line feeds"
        } else {
            "JSON Lines has one whole object on each line"
        };
        format!("is not JSON: {} (at byte {} of the object); {advice}", parse_error(&error), error.column())
    })?;
    match members.0.len() {
        0..=COLUMNS_MAX => Ok(members),
        found => Err(format!("the object has {found} members; at most {COLUMNS_MAX} are read")),
    }
}

/// Assigns the members to the fields of an edit, or reports everything that is wrong with them.
fn fields<'a>(line: u64, members: &'a JsonMembers<'a>, mapping: &'a Mapping) -> Result<RowFields<'a>, Vec<Problem>> {
    let mut problems = Vec::new();
    let mut problem = |name: &str, what: String| problems.push(Problem::of_column(line, name, what));
    let mut values: [Option<Cow<'a, str>>; 5] = Default::default();
    let mut names: [Option<&'a str>; 5] = [None; 5];
    for (index, (name, json)) in members.0.iter().enumerate() {
        let name = name.as_ref();
        if members.0[..index].iter().any(|(earlier, _)| earlier == name) {
            problem(name, "appears twice in this object; each name may appear once".to_owned());
            continue;
        }
        let field = match mapping.role(name) {
            Role::Field(field) => field,
            Role::Allowed => continue,
            Role::Unknown => {
                problem(name, format!("is not a field of an edit; {UNKNOWN_ADVICE}"));
                continue;
            }
        };
        if let Some(first) = names[field as usize].replace(name) {
            problem(name, format!("gives {} a second time, after {first:?}", field.service_name()));
        } else if let Some(part) = mapping.content().part_for(field) {
            problem(name, content_conflict(part));
        } else {
            match field_text(field, json, mapping) {
                Ok(text) => values[field as usize] = Some(text),
                Err(what) => problem(name, what),
            }
        }
    }
    for field in [Field::FromAccount, Field::ToAccount, Field::MsgKey] {
        if names[field as usize].is_none() {
            problem(
                mapping.expected_name(field, Format::Jsonl),
                "is missing; every edit must name its message".to_owned(),
            );
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let names =
        Field::ALL.map(|field| names[field as usize].unwrap_or_else(|| mapping.expected_name(field, Format::Jsonl)));
    Ok(RowFields { line, values, names })
}

/// The text of a string field, or the elements' JSON text as written.
fn field_text<'a>(field: Field, json: &'a RawValue, mapping: &Mapping) -> Result<Cow<'a, str>, String> {
    let found = kind_of(json.get()).unwrap_or("other text");
    let is_string = found == "a string";
    let string = || match serde_json::from_str::<JsonStr<'a>>(json.get()) {
        Ok(text) => Ok(text.0),
        Err(error) => Err(format!("is not a valid string: {}", parse_error(&error))),
    };
    match field {
        Field::MsgBody | Field::CloudCustomData if found == "null" => Err(NULL.to_owned()),
        // A word for "nothing" is passed on, to be refused or to count as absent.
        Field::MsgBody if is_string && string().is_ok_and(|text| mapping.cells().is_nothing(&text)) => string(),
        Field::MsgBody if is_string => Err("is a string that holds JSON, as some exporters write it; it must be the \
                                            JSON array itself"
            .to_owned()),
        Field::MsgBody => Ok(Cow::Borrowed(json.get())),
        Field::CloudCustomData if !is_string => {
            Err(format!("must be a string, not {found}; write custom data that is JSON as a string that contains it"))
        }
        Field::FromAccount | Field::ToAccount | Field::MsgKey if !is_string => {
            Err(format!("must be a string, not {found}"))
        }
        Field::FromAccount | Field::ToAccount | Field::MsgKey | Field::CloudCustomData => string(),
    }
}

const NULL: &str = "is null; leave the member out to keep the field as it is; \"\" clears CloudCustomData";

/// The kind of a JSON value, judged by its first character.
pub(super) fn kind_of(json: &str) -> Option<&'static str> {
    let json = json.trim_ascii_start();
    Some(match json.bytes().next()? {
        b'{' => "an object",
        b'[' => "an array",
        b'"' => "a string",
        b'n' if json.starts_with("null") => "null",
        b't' | b'f' if json.starts_with("true") || json.starts_with("false") => "a boolean",
        b'-' | b'0'..=b'9' => "a number",
        _ => return None,
    })
}

/// A member as templates see it. `null` counts as absent.
fn template_value(json: &RawValue) -> Result<Option<Value>, String> {
    let not_json = |error: &serde_json::Error| format!("cannot be read into a template: {}", parse_error(error));
    match Json::parse(json.get(), not_json)? {
        Json::Null => Ok(None),
        value => to_template(value).map(Some),
    }
}

fn to_template(value: Json<'_>) -> Result<Value, String> {
    Ok(match value {
        Json::Null => Value::from(()),
        Json::Bool(value) => Value::from(value),
        Json::Text(text) => Value::from(text.as_ref()),
        Json::Number(number) => template_number(&number)?,
        Json::Array(items) => items.into_iter().map(to_template).collect::<Result<Vec<_>, _>>()?.into(),
        Json::Object(members) => Value::from_pairs(
            members
                .into_iter()
                .map(|(name, value)| Ok((name, to_template(value)?)))
                .collect::<Result<Vec<_>, String>>()?,
        ),
    })
}

/// Refuses a number that the template would change: the edit could not be undone.
fn template_number(written: &str) -> Result<Value, String> {
    /// An f64 preserves every decimal number with this many digits.
    const DIGITS_MAX: usize = 15;
    if let Ok(whole) = written.parse::<i128>() {
        return Ok(Value::from(whole));
    }
    let digits = written.split(['e', 'E']).next().unwrap_or("").bytes().filter(u8::is_ascii_digit).count();
    match written.parse::<f64>() {
        Ok(number) if number.is_normal() && digits <= DIGITS_MAX => Ok(Value::from(number)),
        Ok(_) | Err(_) => Err("is a number with more digits than a template can keep; write it as a string".to_owned()),
    }
}
