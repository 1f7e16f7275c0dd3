//! What a CSV list's beginning says about the list: what separates the columns, and where the header begins.

use super::read_row;
use super::reader::{CsvReader, ReadOutcome};
use crate::edit::Field;
use crate::input::apostrophe;
use crate::input::dialect::Delimiter;
use crate::input::mapping::{Mapping, Role};

pub(super) struct Layout {
    pub(super) delimiter: Delimiter,
    /// Bytes before the header.
    pub(super) begin: usize,
}

impl Layout {
    /// The layout of a list with this beginning. The job's separator counts most. Otherwise the header shows it, and if it
    /// does not, a line such as `sep=;`, which Excel reads.
    pub(super) fn of(head: &[u8], mapping: &Mapping) -> Layout {
        let (said, begin) = separator_line(head).unwrap_or((Delimiter::COMMA, 0));
        let delimiter = mapping.delimiter().unwrap_or_else(|| by_header(&head[begin..], said, mapping));
        Layout { delimiter, begin }
    }
}

/// What separates the columns according to the header, if that is not `delimiter`.
pub(super) fn better(head: &[u8], delimiter: Delimiter, mapping: &Mapping) -> Option<Delimiter> {
    let begin = separator_line(head).map_or(0, |(_, begin)| begin);
    Some(by_header(&head[begin..], delimiter, mapping)).filter(|&other| other != delimiter)
}

/// The separator that finds the most fields in the header; `first`, unless another finds more.
fn by_header(head: &[u8], first: Delimiter, mapping: &Mapping) -> Delimiter {
    let mut best = (first, fields_in(head, first, mapping));
    for delimiter in Delimiter::USUAL {
        let fields = fields_in(head, delimiter, mapping);
        if fields > best.1 {
            best = (delimiter, fields);
        }
    }
    best.0
}

/// How many fields of an edit the header names, if this separates its columns.
fn fields_in(mut head: &[u8], delimiter: Delimiter, mapping: &Mapping) -> usize {
    let mut reader = CsvReader::new(delimiter);
    let Ok(ReadOutcome::Record(_)) = read_row(&mut reader, &mut head, &mut 0) else { return 0 };
    let Some((bytes, ends)) = reader.cell_bytes() else { return 0 };
    let mut is_named = [false; Field::ALL.len()];
    for (&begin, &end) in std::iter::once(&0).chain(ends).zip(ends) {
        // Other names may be in another encoding; the error about that comes later.
        let Ok(name) = str::from_utf8(&bytes[begin..end]) else { continue };
        if let Role::Field(field) = mapping.role(apostrophe::behind(name).unwrap_or(name).trim()) {
            is_named[field as usize] = true;
        }
    }
    is_named.into_iter().filter(|&is_named| is_named).count()
}

/// The separator that the first line states, and where the next line begins.
fn separator_line(head: &[u8]) -> Option<(Delimiter, usize)> {
    let is_end = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let begin = head.iter().position(|byte| !is_end(byte))?;
    let length = head[begin..].iter().position(is_end)?;
    let line = &head[begin..begin + length];
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let (word, separator) = line.split_at_checked(4)?;
    // A program that filled the line up to the width of the others repeats it.
    let (&first, rest) = separator.split_first()?;
    let is_said = word.eq_ignore_ascii_case(b"sep=") && rest.iter().all(|&byte| byte == first);
    Some((Delimiter::of_byte(first).filter(|_| is_said)?, begin + length))
}
