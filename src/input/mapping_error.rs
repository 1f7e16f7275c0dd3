//! Errors in a job's `[input]` and `[content]`.

use super::spec::ContentPart;

/// The job's `[input]` or `[content]` is contradictory or invalid.
#[derive(Debug, thiserror::Error)]
pub enum MappingError {
    /// Both give the message's elements.
    #[error("[content] gives both text and msg_body, and each is the whole message; keep one")]
    TextAndMsgBody,
    /// A flag and the job file give the same content.
    #[error("{flag} gives the new content, and so does {part}; leave one of the two out")]
    TwoContents {
        /// The flag.
        flag: ContentPart,
        /// What the job file gives.
        part: ContentPart,
    },
    /// The template does not compile, or fails before any row is read.
    #[error("{part} is not a valid template")]
    Template {
        /// Which part.
        part: ContentPart,
        /// What the template engine says.
        source: Box<minijinja::Error>,
    },
    /// Content that is the same for every row is invalid.
    #[error("{part} {what}")]
    Content {
        /// Which part.
        part: ContentPart,
        /// What is wrong.
        what: String,
    },
    /// One column is mapped to two fields.
    #[error("[input.columns] gives the column {name:?} to two fields; each needs a column of its own")]
    MappedTwice {
        /// The column.
        name: String,
    },
    /// A column is both mapped and ignored.
    #[error("the column {name:?} is mapped in [input.columns] and listed in ignore; remove one of the two")]
    MappedAndIgnored {
        /// The column.
        name: String,
    },
    /// Names that start with `_` are reserved for this program's own notes.
    #[error(
        "the column {name:?} begins with \"_\"; runner reserves such names for its own notes and never \
         reads them, so rename the column"
    )]
    ReservedColumn {
        /// The column.
        name: String,
    },
    /// A cell can never be this word.
    #[error(
        "[input] null has the word {word:?}; give words of at least one character, without white space around them"
    )]
    NullWord {
        /// The word.
        word: String,
    },
}

impl MappingError {
    /// Whether a flag is at fault, and not the job file.
    pub(crate) fn is_of_flag(&self) -> bool {
        matches!(self, MappingError::Content { part, .. } if part.is_flag())
    }

    /// The job file's key at fault, or the flag.
    pub fn key(&self) -> &'static str {
        match self {
            MappingError::TextAndMsgBody => ContentPart::MsgBody.key(),
            MappingError::Template { part, .. }
            | MappingError::Content { part, .. }
            | MappingError::TwoContents { part, .. } => part.key(),
            MappingError::MappedTwice { .. } | MappingError::ReservedColumn { .. } => "input.columns",
            MappingError::MappedAndIgnored { .. } => "input.ignore",
            MappingError::NullWord { .. } => "input.null",
        }
    }
}
