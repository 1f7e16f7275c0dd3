//! Problems of single rows. They are collected and shown, and reading continues.

use std::fmt;

use crate::edit::Line;
use crate::terminal::escape::{NAME_CHARS_SHOWN, Name};

/// What is wrong with one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The line where the row begins.
    pub line: Line,
    /// The list's own name of the column or field, possibly truncated; `None` if the problem concerns the whole row or
    /// the job's templates.
    pub column: Option<String>,
    /// The cell in a sheet, such as `B17`.
    pub cell: Option<String>,
    /// A sentence without its subject, for display. It contains no message text.
    pub what: String,
}

impl Problem {
    /// A problem of the whole row.
    pub(super) fn of_row(line: u64, what: impl Into<String>) -> Problem {
        Problem { line: line.into(), column: None, cell: None, what: what.into() }
    }

    /// A problem of one column. Only as much of its name is kept as will be shown: a name can be as long as a row, and
    /// problems accumulate.
    pub(super) fn of_column(line: u64, column: &str, what: impl Into<String>) -> Problem {
        let column = column.chars().take(NAME_CHARS_SHOWN + 1).collect();
        Problem { line: line.into(), column: Some(column), cell: None, what: what.into() }
    }
}

impl Problem {
    /// Which of these names the problem's column has.
    pub(super) fn place_in(&self, names: &[String]) -> Option<usize> {
        let column = self.column.as_deref()?;
        names.iter().position(|name| name.trim().chars().take(NAME_CHARS_SHOWN + 1).eq(column.chars()))
    }

    /// The place in its list, for display: `line 3, column msg_body`.
    pub fn place(&self) -> String {
        let number = self.line.number;
        match (&self.column, &self.cell) {
            (Some(column), Some(cell)) => format!("line {number}, column {} ({cell})", Name(column)),
            (Some(column), None) => format!("line {number}, column {}", Name(column)),
            (None, _) => format!("line {number}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.list_name().map_or(Ok(()), |name| write!(f, "{name}: "))?;
        write!(f, "{}: {}", self.place(), self.what)
    }
}

/// Joins names with commas for display, and truncates long lists.
pub(super) fn join_names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    /// More names would not help to find the fault.
    const SHOWN: usize = 20;
    let all: Vec<&str> = names.into_iter().collect();
    let mut text = all.iter().take(SHOWN).map(|name| Name(name).to_string()).collect::<Vec<_>>().join(", ");
    if all.len() > SHOWN {
        text = format!("{text} and {} more", all.len() - SHOWN);
    }
    text
}
