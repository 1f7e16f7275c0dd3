//! The plan: what a run of a list would do, counted before anything is sent.

use std::sync::Arc;

use super::contents::Contents;
use super::rows_digest::RowsDigest;
use super::supplier::{self, LostRuns, Supplier};
use super::todo::{ListSource, Policy, Repeated, Source, Todo, is_duplicate};
use crate::edit::{Edit, Line};
use crate::input::{Input, InputError, ListFacts, Mapping, Problem};
use crate::ledger::{LedgerError, PART_ROWS, Progress, Records, RunList, Work};

/// Problems that are listed; further ones are only counted.
const PROBLEMS_MAX: usize = 100;

/// What a run of this list would do.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Rows of the list.
    pub rows: u64,
    /// Rows that repeat an earlier row.
    pub duplicates: u64,
    /// Pairs of accounts whose messages are edited.
    pub conversations: u64,
    /// Edits that are done already.
    pub done: u64,
    /// Edits that failed before and are not retried.
    pub failed: u64,
    /// Edits in doubt since an earlier run, and held.
    pub in_doubt: u64,
    /// Edits to send.
    pub to_do: u64,
    /// Edits to send that failed before.
    pub failed_again: u64,
    /// Edits to send that are in doubt.
    pub in_doubt_again: u64,
    /// Edits in doubt that are read back first.
    pub to_read_back: u64,
    /// Edits to send whose messages are read first, not counting those in doubt.
    pub to_read_first: u64,
    /// Edits to send that are not in the ledger yet.
    pub new_edits: u64,
    /// Edits to send in this run.
    pub this_run: u64,
    /// Bytes of new content of the edits to send, not counting those that are read back first.
    pub bytes: u64,
    /// The new contents.
    pub contents: Contents,
    /// What looks odd, but is sent as it is.
    pub warnings: Vec<Warning>,
    /// Whether there are more kinds of warnings than `warnings` holds.
    pub warnings_left_out: bool,
    /// SHA-256 of the list as stored, in hexadecimal; of several, see [`ReadInput`](crate::input::ReadInput).
    pub sha256: String,
    /// How each list was read.
    pub read: Vec<ListFacts>,
    /// The lists, if there are several.
    pub lists: Vec<RunList>,
    /// What all runs had done by then, where several work on the list.
    pub known: Progress,
    pub(super) digest: RowsDigest,
    pub(super) repeated: Arc<Repeated>,
    /// Rows before the first one to send.
    pub(super) settled_first: u64,
    /// The parts of the list in which not every edit is done.
    pub(super) open_parts: OpenParts,
}

/// The parts of a list in which not every edit is done.
#[derive(Clone, Debug, Default)]
pub(super) struct OpenParts(Vec<bool>);

impl OpenParts {
    /// Row `number`, counted from 1, is not done.
    pub(super) fn add(&mut self, number: u64) {
        let part = usize::try_from((number - 1) / PART_ROWS).unwrap_or(usize::MAX - 1);
        if self.0.len() <= part {
            self.0.resize(part + 1, false);
        }
        self.0[part] = true;
    }

    /// Adds what another thread has found.
    pub(super) fn merge(&mut self, other: OpenParts) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), false);
        }
        self.0.iter_mut().zip(other.0).for_each(|(part, other)| *part |= other);
    }

    /// Of each part of a list of so many rows, whether it is done.
    fn done(&self, rows: u64) -> Vec<bool> {
        let parts = usize::try_from(rows.div_ceil(PART_ROWS)).unwrap_or_default();
        (0..parts).map(|part| !self.0.get(part).copied().unwrap_or_default()).collect()
    }
}

/// Something odd, in one row or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The field and what is odd about it.
    pub what: String,
    /// The first line with it.
    pub line: Line,
    /// Rows of it.
    pub rows: u64,
}

/// Everything that is wrong with the rows of a list.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    /// The first problems, in list order.
    pub first: Vec<Problem>,
    /// Further problems.
    pub more: u64,
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The list cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Some rows are wrong.
    #[error("the list has {} problem{}", .0.count(), if .0.count() == 1 { "" } else { "s" })]
    Problems(Problems),
}

impl Problems {
    /// The number of problems.
    pub fn count(&self) -> u64 {
        self.first.len() as u64 + self.more
    }

    pub(super) fn push(&mut self, problem: Problem) {
        if self.first.len() < PROBLEMS_MAX {
            self.first.push(problem);
        } else {
            self.more += 1;
        }
    }

    pub(super) fn add(&mut self, other: Problems) {
        self.first.extend(other.first);
        self.first.sort_by(|one, other| one.line.cmp(&other.line));
        self.more += other.more + self.first.len().saturating_sub(PROBLEMS_MAX) as u64;
        self.first.truncate(PROBLEMS_MAX);
    }
}

impl Plan {
    /// The rows to send, from the top. `records` is what the ledger holds now.
    ///
    /// # Errors
    /// The list cannot be read again as it was.
    pub fn todo(
        &self,
        input: &Input,
        mapping: &Mapping,
        records: Option<Box<dyn Records>>,
        policy: Policy,
    ) -> Result<Todo, InputError> {
        let source = Source::List(Box::new(ListSource {
            rows: input.rows(mapping)?,
            repeated: Arc::clone(&self.repeated),
            records,
            policy,
            settled_first: self.settled_first,
        }));
        Ok(Todo { source, left: self.this_run, reads_left: self.this_run_reads() })
    }

    /// The same, where several runs work on the list and this one gets parts of it by way of `work`. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// The list cannot be read again as it was.
    pub fn todo_in_parts(
        &self,
        input: &Input,
        mapping: &Mapping,
        work: Box<dyn Work>,
        policy: Policy,
    ) -> Result<Todo, InputError> {
        let lost = LostRuns::default();
        let supplied = supplier::start(Supplier {
            rows: input.rows(mapping)?,
            rows_read: 0,
            input: input.clone(),
            mapping: mapping.clone(),
            repeated: Arc::clone(&self.repeated),
            policy,
            work,
            done: Some(self.open_parts.done(self.rows)).filter(|done| done.contains(&true)).unwrap_or_default(),
            lost: lost.clone(),
            left: policy.rows_max.unwrap_or(u64::MAX),
        });
        let source = Source::Supplier { supplied, lost, is_over: false };
        Ok(Todo { source, left: self.this_run, reads_left: self.this_run_reads() })
    }

    /// Whether an earlier row asks for the same edit.
    pub fn is_duplicate(&self, edit: &Edit, line: &Line) -> bool {
        is_duplicate(&self.repeated, edit.id().digest(), line)
    }

    /// Edits that are sent whatever read-backs show.
    pub fn to_send(&self) -> u64 {
        self.to_do - self.to_read_back - self.to_read_first
    }

    /// Edits in doubt that are sent without being read: they may have taken place already.
    pub fn to_send_in_doubt(&self) -> u64 {
        self.in_doubt_again - self.to_read_back
    }

    /// How many edits of this run are read first, those in doubt included.
    pub fn this_run_reads(&self) -> u64 {
        (self.to_read_back + self.to_read_first).min(self.this_run)
    }

    /// A digest of what the rows ask for: two files with the same rows agree, however they are written.
    pub fn rows_digest(&self) -> [u8; 32] {
        self.digest.finish()
    }

    /// Messages of the list.
    pub fn messages(&self) -> u64 {
        self.rows - self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_done_if_each_of_its_rows_is() {
        let (mut parts, mut of_another_thread) = (OpenParts::default(), OpenParts::default());
        assert_eq!(parts.done(0), [false; 0]);
        assert_eq!(parts.done(PART_ROWS + 1), [true, true]);
        parts.add(PART_ROWS);
        of_another_thread.add(2 * PART_ROWS + 1);
        parts.merge(of_another_thread);
        assert_eq!(parts.done(4 * PART_ROWS), [false, true, false, true]);
        parts.add(1);
        parts.add(PART_ROWS + 1);
        assert_eq!(parts.done(2 * PART_ROWS + 1), [false; 3]);
    }
}
