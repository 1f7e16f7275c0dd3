//! A row before it is parsed: its bytes, where it begins, and where its fields are.

use std::sync::Arc;

use super::csv::Header;
use super::xlsx::SheetColumns;
use crate::edit::{Line, OneOfLists};

/// A row's bytes and position in the list.
pub(super) struct RawRow<'a> {
    /// Counted from 1, over all lists.
    pub(super) number: u64,
    pub(super) line: u64,
    /// Why the row cannot be parsed, if it cannot.
    pub(super) malformed: Option<String>,
    pub(super) bytes: &'a [u8],
    /// Where its cells end, in a CSV list.
    pub(super) ends: &'a [usize],
    pub(super) source: &'a RowSource,
}

impl RawRow<'_> {
    /// The line where it begins, with its list.
    pub(super) fn place(&self) -> Line {
        self.source.line(self.line)
    }
}

/// What all rows of one list have in common.
#[derive(Clone)]
pub(super) struct RowSource {
    pub(super) layout: RowLayout,
    pub(super) one_of: Option<OneOfLists>,
}

impl RowSource {
    pub(super) fn new(layout: RowLayout, one_of: Option<OneOfLists>) -> RowSource {
        RowSource { layout, one_of }
    }

    pub(super) fn line(&self, number: u64) -> Line {
        Line { list: self.one_of.clone(), number }
    }
}

/// Where a row keeps its fields.
#[derive(Clone)]
pub(super) enum RowLayout {
    /// In the columns that the header names.
    Csv(Arc<Header>),
    /// As in CSV, in a sheet whose cells have names.
    Xlsx(Arc<Header>, Arc<SheetColumns>),
    /// Under their own names.
    Jsonl,
}
