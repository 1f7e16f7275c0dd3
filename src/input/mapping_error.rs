//! Why a job's `[input]` and `[content]` cannot be used.

use super::spec::ContentPart;

/// The job's `[input]` or `[content]` contradicts itself or cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Both give the message's elements.
    #[error("[content] gives both text and msg_body, and each is the whole message; keep one")]
    TextAndMsgBody,
    /// The template does not compile, or fails without any row.
    #[error("{part} is not a valid template")]
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
    #[error("the column {name:?} is mapped in [input.columns] and listed in ignore; remove one of the two")]
    MappedAndIgnored {
        /// The column.
        name: String,
    },
    /// Such columns are this program's own remarks.
    #[error(
        "the column {name:?} begins with \"_\"; runner reserves such names for its own notes and never \
         reads them, so rename the column"
    )]
    ReservedColumn {
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
            MappingError::MappedTwice { .. } | MappingError::ReservedColumn { .. } => "input.columns",
            MappingError::MappedAndIgnored { .. } => "input.ignore",
        }
    }
}
