//! What is wrong with a row: data, collected and shown; reading goes on.

use std::fmt;

use crate::terminal::escape::{NAME_CHARS_SHOWN, Name};

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line where the row begins, counted from 1.
    pub line: u64,
    /// The list's own name of the column or field, or the beginning of it; `None` where it is about the whole row or the
    /// job's templates.
    pub column: Option<String>,
    /// A sentence without its subject, for people. It holds no message text.
    pub what: String,
}

impl Problem {
    /// About the whole row.
    pub(super) fn of_row(line: u64, what: impl Into<String>) -> Problem {
        Problem { line, column: None, what: what.into() }
    }

    /// About a column. Of its name only so much is kept as will be shown: a name can be as long as a row, and problems are
    /// collected.
    pub(super) fn of_column(line: u64, column: &str, what: impl Into<String>) -> Problem {
        let column = column.chars().take(NAME_CHARS_SHOWN + 1).collect();
        Problem { line, column: Some(column), what: what.into() }
    }
}

impl Problem {
    /// Where it is, for people: `line 3, column msg_body`.
    pub fn place(&self) -> String {
        match &self.column {
            Some(column) => format!("line {}, column {}", self.line, Name(column)),
            None => format!("line {}", self.line),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place(), self.what)
    }
}

/// Names, for people, with commas between them. No more than a person would read.
pub(super) fn join_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    /// Longer lists do not help to find the fault.
    const SHOWN: usize = 20;
    let all: Vec<&str> = names.into_iter().collect();
    let mut text = all.iter().take(SHOWN).map(|name| Name(name).to_string()).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text = format!("{text} and {} more", all.len() - SHOWN);
    }
    text
}
