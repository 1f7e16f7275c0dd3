//! Where an edit is listed.

use std::fmt;
use std::sync::Arc;

/// A line of a list. Lines are in the order in which they are read: list by list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// Its list, if the job has several.
    pub list: Option<OneOfLists>,
    /// The line's number, counted from 1.
    pub number: u64,
}

/// One of a job's lists.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OneOfLists {
    /// Its position on the command line, counted from 1.
    pub position: u32,
    /// Its name, escaped for display.
    pub name: Arc<str>,
}

impl Line {
    /// The name of its list, if the job has several.
    pub fn list_name(&self) -> Option<&str> {
        self.list.as_ref().map(|list| &*list.name)
    }

    /// `line 17 of the list`, or `line 17 of "b.csv"`.
    pub fn in_full(&self) -> String {
        if self.list.is_some() { self.to_string() } else { format!("line {} of the list", self.number) }
    }
}

/// A line of a job's only list.
impl From<u64> for Line {
    fn from(number: u64) -> Line {
        Line { list: None, number }
    }
}

/// `line 17`, or `line 17 of "b.csv"` if the job has several lists.
impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.number)?;
        self.list_name().map_or(Ok(()), |name| write!(f, " of \"{name}\""))
    }
}
