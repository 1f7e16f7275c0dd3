//! What is wrong with a row: data, collected and shown; reading goes on.

use std::fmt;

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line where the row begins, counted from 1.
    pub line: u64,
    /// The list's own name of the column or field; `None` where it is about the whole row or the job's templates.
    pub column: Option<String>,
    /// A sentence without its subject, for people. It holds no message text.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "line {}, column {}: {}", self.line, Name(column), self.what),
            None => write!(f, "line {}: {}", self.line, self.what),
        }
    }
}

/// The name of a column, for people: bare where it is a plain word, else quoted and escaped, so that what a
/// stranger's file calls its columns cannot steer a terminal.
pub(super) struct Name<'a>(pub(super) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// A header that is no header can be a cell of a whole message.
        const SHOWN_CHARS: usize = 64;
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !self.0.is_empty() && self.0.chars().all(plain) && self.0.chars().count() <= SHOWN_CHARS {
            return f.write_str(self.0);
        }
        let shown: String = self.0.chars().take(SHOWN_CHARS).collect();
        let rest = if shown.len() < self.0.len() { "…" } else { "" };
        write!(f, "{shown:?}{rest}")
    }
}

/// Names, for people, with commas between them. No more than a person would read.
pub(super) fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    /// Longer lists do not help to find the fault.
    const SHOWN: usize = 20;
    let all: Vec<&str> = names.into_iter().collect();
    let mut text = all.iter().take(SHOWN).map(|name| Name(name).to_string()).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text = format!("{text} and {} more", all.len() - SHOWN);
    }
    text
}
