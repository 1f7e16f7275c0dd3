//! Which column is which: the list's own names, mapped to the fields of an edit, and the job's content beside them.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;

use super::Format;
use super::template::{Content, ContentPart, ContentSpec};
use crate::edit::Field;

/// The job file's `[input]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// How the list is written, where its name does not say.
    pub format: Option<Format>,
    /// The list's own names of the columns.
    #[serde(default)]
    pub columns: ColumnNames,
    /// Columns that are there and not needed.
    #[serde(default)]
    pub ignore: Vec<String>,
}

/// The job file's `[input.columns]`: what the list calls each field, where it has a name of its own for it.
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
    fn of(&self, field: Field) -> Option<&str> {
        match field {
            Field::FromAccount => self.from_account.as_deref(),
            Field::ToAccount => self.to_account.as_deref(),
            Field::MsgKey => self.msg_key.as_deref(),
            Field::MsgBody => self.msg_body.as_deref(),
            Field::CloudCustomData => self.cloud_custom_data.as_deref(),
        }
    }
}

/// The job's `[input]` or `[content]` contradicts itself or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Both give the message's elements.
    #[error("[content] gives both text and msg_body, and each is the whole message; keep one of them")]
    TextAndMsgBody,
    /// The template does not compile, or fails without any row.
    #[error("{part} is not a template that can be filled in")]
    Template {
        /// Which one.
        part: ContentPart,
        /// What the template engine says.
        source: Box<minijinja::Error>,
    },
    /// Content that is the same for every row is wrong.
    #[error("{part} {what}")]
    Content {
        /// Which one.
        part: ContentPart,
        /// What is wrong.
        what: String,
    },
    /// One column cannot be two fields.
    #[error("[input.columns] gives the column {name:?} to two fields; each needs a column of its own")]
    MappedTwice {
        /// The column.
        name: String,
    },
    /// A column is needed and to be ignored.
    #[error("the column {name:?} is mapped in [input.columns] and listed in ignore; take one away")]
    MappedAndIgnored {
        /// The column.
        name: String,
    },
    /// Such columns are this program's own remarks.
    #[error(
        "the column {name:?} begins with \"_\"; such columns are runner's own remarks and are never read, so give \
         it another name"
    )]
    OwnRemark {
        /// The column.
        name: String,
    },
}

impl MappingError {
    /// The job file's key that it is about.
    pub fn key(&self) -> &'static str {
        match self {
            MappingError::TextAndMsgBody => ContentPart::MsgBody.key(),
            MappingError::Template { part, .. } | MappingError::Content { part, .. } => part.key(),
            MappingError::MappedTwice { .. } | MappingError::OwnRemark { .. } => "input.columns",
            MappingError::MappedAndIgnored { .. } => "input.ignore",
        }
    }
}

/// Which column is which, and what the job gives: checked, compiled, cheap to clone.
#[derive(Clone, Debug)]
pub struct Mapping(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    columns: ColumnNames,
    roles: HashMap<String, Role>,
    content: Content,
}

/// What a column is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It holds a field of the edit.
    Field(Field),
    /// It may be there: ignored, named by a template, or a remark of this program.
    Allowed,
    /// Nobody said what it is.
    Unknown,
}

impl Mapping {
    /// Checks the two tables against each other and compiles the templates.
    ///
    /// # Errors
    /// When they contradict each other, or a template is wrong.
    pub fn new(input: &InputSpec, content: &ContentSpec) -> Result<Mapping, MappingError> {
        let content = Content::new(content)?;
        // From the weakest claim to the strongest; a later one replaces an earlier.
        let mut roles = HashMap::new();
        for (_, name) in content.columns() {
            refuse_own_remark(name)?;
            roles.insert(name.to_owned(), Role::Allowed);
        }
        for field in Field::ALL.into_iter().filter(|&field| input.columns.of(field).is_none()) {
            for name in [field.column_name(), field.service_name()] {
                roles.insert(name.to_owned(), Role::Field(field));
            }
        }
        let mut mapped = Vec::new();
        for (field, name) in Field::ALL.into_iter().filter_map(|field| Some((field, input.columns.of(field)?))) {
            refuse_own_remark(name)?;
            if mapped.contains(&name) {
                return Err(MappingError::MappedTwice { name: name.to_owned() });
            }
            mapped.push(name);
            roles.insert(name.to_owned(), Role::Field(field));
        }
        for name in &input.ignore {
            if mapped.contains(&name.as_str()) {
                return Err(MappingError::MappedAndIgnored { name: name.clone() });
            }
            roles.insert(name.clone(), Role::Allowed);
        }
        Ok(Mapping(Arc::new(Inner { columns: input.columns.clone(), roles, content })))
    }

    pub(super) fn role(&self, column: &str) -> Role {
        match self.0.roles.get(column) {
            Some(role) => *role,
            None if is_own_remark(column) => Role::Allowed,
            None => Role::Unknown,
        }
    }

    /// What the list should call this field, where it is not there: its mapped name, else the usual one.
    pub(super) fn expected_name(&self, field: Field, format: Format) -> &str {
        self.0.columns.of(field).unwrap_or(match format {
            Format::Csv => field.column_name(),
            Format::Jsonl => field.service_name(),
        })
    }

    pub(super) fn content(&self) -> &Content {
        &self.0.content
    }
}

/// Columns of this program's own: what went wrong with a row, when it was written out again.
pub(super) fn is_own_remark(column: &str) -> bool {
    column.starts_with('_')
}

fn refuse_own_remark(name: &str) -> Result<(), MappingError> {
    if is_own_remark(name) { Err(MappingError::OwnRemark { name: name.to_owned() }) } else { Ok(()) }
}

/// What to do about a column that both the list and the job have content in.
pub(super) fn given_twice(part: ContentPart) -> String {
    format!("holds new content, and so does {part}; take one away, or list the column in [input] ignore")
}

/// What to do about a column that nobody knows.
pub(super) const UNKNOWN_ADVICE: &str =
    "in the job file list it in [input] ignore or map it in [input.columns], or begin its name with \"_\"";
