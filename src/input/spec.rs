//! The job file's `[input]` and `[content]` tables, as written.

use std::fmt;

use serde::Deserialize;

use super::Format;
use super::dialect::{Delimiter, TextEncoding};
use crate::edit::Field;

/// The job file's `[input]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// The list's format, if its name does not imply one.
    pub format: Option<Format>,
    /// The list's encoding, if it is not UTF-8 and has no byte-order mark.
    pub encoding: Option<TextEncoding>,
    /// What separates the columns of a CSV list, if its header does not show it.
    pub delimiter: Option<Delimiter>,
    /// The sheet of a workbook, if it is not the first.
    pub sheet: Option<String>,
    /// The list's own column names.
    #[serde(default)]
    pub columns: ColumnNames,
    /// Columns to ignore.
    #[serde(default)]
    pub ignore: Vec<String>,
    /// Whether white space around accounts and keys is taken off. Otherwise it is refused.
    #[serde(default)]
    pub trim: bool,
    /// The words that stand for an empty cell. Others that databases write for "nothing" are refused, or are text if this
    /// is empty.
    pub null: Option<Vec<String>>,
}

/// The job file's `[input.columns]`: the list's own name for each field, where it differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnNames {
    /// The sender.
    pub from_account: Option<String>,
    /// The recipient.
    pub to_account: Option<String>,
    /// The message's key.
    pub msg_key: Option<String>,
    /// The new elements.
    pub msg_body: Option<String>,
    /// The new custom data.
    pub cloud_custom_data: Option<String>,
}

impl ColumnNames {
    pub(super) fn of(&self, field: Field) -> Option<&str> {
        match field {
            Field::FromAccount => self.from_account.as_deref(),
            Field::ToAccount => self.to_account.as_deref(),
            Field::MsgKey => self.msg_key.as_deref(),
            Field::MsgBody => self.msg_body.as_deref(),
            Field::CloudCustomData => self.cloud_custom_data.as_deref(),
        }
    }
}

/// The job file's `[content]`: new content for every row, as templates over the row's columns.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContentSpec {
    /// Plain text: the message becomes one text element.
    pub text: Option<String>,
    /// The JSON array of message elements. Inserted values are escaped for use inside a JSON string; `| tojson` inserts
    /// complete JSON.
    pub msg_body: Option<String>,
    /// Custom data, as plain text. Empty text clears the field.
    pub cloud_custom_data: Option<String>,
    /// `--text`: plain text as well, but no template.
    #[serde(skip)]
    pub text_as_it_is: Option<String>,
    /// `--custom-data`: the same for custom data.
    #[serde(skip)]
    pub custom_data_as_it_is: Option<String>,
}

/// Names the parts that are set, without their text, which must not reach a log through `{:?}`.
impl fmt::Debug for ContentSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (&self.text, ContentPart::Text),
            (&self.msg_body, ContentPart::MsgBody),
            (&self.cloud_custom_data, ContentPart::CloudCustomData),
            (&self.text_as_it_is, ContentPart::TextFlag),
            (&self.custom_data_as_it_is, ContentPart::CustomDataFlag),
        ];
        f.debug_set().entries(parts.into_iter().filter(|(text, _)| text.is_some()).map(|(_, part)| part)).finish()
    }
}

/// One entry of the job file's `[content]`, or a flag that stands for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentPart {
    /// `text`
    Text,
    /// `msg_body`
    MsgBody,
    /// `cloud_custom_data`
    CloudCustomData,
    /// `--text`
    TextFlag,
    /// `--custom-data`
    CustomDataFlag,
}

impl ContentPart {
    pub(super) fn name(self) -> &'static str {
        match self {
            ContentPart::Text => "text",
            ContentPart::MsgBody => "msg_body",
            ContentPart::CloudCustomData => "cloud_custom_data",
            ContentPart::TextFlag => "--text",
            ContentPart::CustomDataFlag => "--custom-data",
        }
    }

    /// Whether it is a flag, and not in the job file.
    pub(crate) fn is_flag(self) -> bool {
        matches!(self, ContentPart::TextFlag | ContentPart::CustomDataFlag)
    }

    /// Its key in the job file, or the flag.
    pub(super) fn key(self) -> &'static str {
        match self {
            ContentPart::Text => "content.text",
            ContentPart::MsgBody => "content.msg_body",
            ContentPart::CloudCustomData => "content.cloud_custom_data",
            ContentPart::TextFlag | ContentPart::CustomDataFlag => self.name(),
        }
    }
}

impl fmt::Display for ContentPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_flag() { "" } else { "the job's [content] " };
        write!(f, "{place}{}", self.name())
    }
}
