//! How the text of a list is stored: its encoding, and what separates the columns of a CSV list.

use std::str::FromStr;

use encoding_rs::{Encoding, UTF_8};
use serde::Deserialize;

/// An encoding, by one of its labels in the Encoding Standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TextEncoding(pub(super) &'static Encoding);

/// The label names no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an encoding; use gb18030, big5, utf-16le, shift_jis or windows-1252, for instance")]
pub struct UnknownEncoding(String);

/// What separates the columns of a CSV list: one ASCII character.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Delimiter(pub(super) u8);

/// The text cannot separate columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot separate columns; use one character such as ; or | or write tab")]
pub struct UnknownDelimiter(String);

impl TextEncoding {
    pub(super) fn is_utf8(self) -> bool {
        self.0 == UTF_8
    }
}

impl FromStr for TextEncoding {
    type Err = UnknownEncoding;

    fn from_str(label: &str) -> Result<TextEncoding, UnknownEncoding> {
        // Labels that stand for "no text", such as iso-2022-kr, are unknown here.
        let encoding = Encoding::for_label_no_replacement(label.as_bytes());
        encoding.map(TextEncoding).ok_or_else(|| UnknownEncoding(label.chars().take(40).collect()))
    }
}

impl TryFrom<String> for TextEncoding {
    type Error = UnknownEncoding;

    fn try_from(label: String) -> Result<TextEncoding, UnknownEncoding> {
        label.parse()
    }
}

impl Delimiter {
    pub(super) const COMMA: Delimiter = Delimiter(b',');
    /// Those that a header may reveal, the likeliest first.
    pub(super) const USUAL: [Delimiter; 4] = [Delimiter::COMMA, Delimiter(b'\t'), Delimiter(b';'), Delimiter(b'|')];

    /// A character that can be neither part of a name nor of the CSV syntax.
    pub(super) fn of_byte(byte: u8) -> Option<Delimiter> {
        let is_possible =
            byte.is_ascii() && !byte.is_ascii_alphanumeric() && !matches!(byte, b'"' | b'_' | b'\r' | b'\n' | 0);
        is_possible.then_some(Delimiter(byte))
    }

    /// The character.
    pub fn character(self) -> char {
        self.0.into()
    }

    /// What several of it are called.
    pub fn plural(self) -> String {
        match self.0 {
            b',' => "commas".to_owned(),
            b'\t' => "tabs".to_owned(),
            b';' => "semicolons".to_owned(),
            b'|' => "vertical bars".to_owned(),
            other => format!("{:?}", char::from(other)),
        }
    }
}

impl FromStr for Delimiter {
    type Err = UnknownDelimiter;

    fn from_str(text: &str) -> Result<Delimiter, UnknownDelimiter> {
        match text.as_bytes() {
            b"tab" | b"\\t" => Some(Delimiter(b'\t')),
            &[byte] => Delimiter::of_byte(byte),
            _ => None,
        }
        .ok_or_else(|| UnknownDelimiter(text.chars().take(40).collect()))
    }
}

impl TryFrom<String> for Delimiter {
    type Error = UnknownDelimiter;

    fn try_from(text: String) -> Result<Delimiter, UnknownDelimiter> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_separators_are_those_that_people_write() {
        for (label, name) in
            [("GB18030", "gb18030"), ("gb2312", "GBK"), ("utf-16", "UTF-16LE"), ("latin1", "windows-1252")]
        {
            assert_eq!(label.parse::<TextEncoding>().unwrap().0.name(), name);
        }
        for label in ["", "gb", "iso-2022-kr", "auto"] {
            assert!(label.parse::<TextEncoding>().is_err(), "{label}");
        }
        for (text, character) in [("tab", '\t'), ("\\t", '\t'), ("\t", '\t'), (";", ';'), (" ", ' '), ("^", '^')] {
            assert_eq!(text.parse::<Delimiter>().unwrap().character(), character);
        }
        for text in ["", "\"", "\n", "a", "_", ";;", "；", "\0"] {
            assert!(text.parse::<Delimiter>().is_err(), "{text:?}");
        }
    }
}
