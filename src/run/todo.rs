//! Which rows of the list still have to be sent: one rule for the plan and the run.

use std::collections::HashMap;
use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::StopReason;
use super::supplier::{LostRuns, Supplied};
use crate::edit::{IdDigest, Line, Wanted};
use crate::input::{Row, Rows};
use crate::ledger::{EditStatus, Pending, Records, State};

/// Rows skipped in a row before other tasks get their turn: about a millisecond's work.
const STRETCH: u64 = 256;

/// What becomes of an edit in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InDoubt {
    /// Read the message back, and send the edit again if it did not take place; hold what that cannot settle.
    Verify,
    /// Leave it to a person: list it, and do not send it again.
    Hold,
    /// Send it again, although it may have taken place already: people may be notified twice.
    Retry,
}

/// Which edits of the ledger are resumed.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Edits in doubt.
    pub in_doubt: InDoubt,
    /// Failed edits too.
    pub retry_failed: bool,
    /// Every message is read before it is sent.
    pub read_first: bool,
    /// The most edits in this run.
    pub rows_max: Option<u64>,
}

/// What the ledger says about a row.
#[derive(Debug)]
pub(super) enum Standing {
    /// Done in an earlier run.
    Done,
    /// Failed in an earlier run, and not retried.
    Failed,
    /// In doubt since an earlier run, and held.
    InDoubt,
    /// To be sent; with its state if it is in the ledger.
    ToDo(Option<State>),
    /// The ledger has this message with other content.
    Conflict(State),
}

/// Messages with more than one row, and the line of the first row, which is the one that is sent.
pub(super) type Repeated = HashMap<IdDigest, Line>;

pub(super) fn is_duplicate(repeated: &Repeated, message: IdDigest, line: &Line) -> bool {
    repeated.get(&message).is_some_and(|first| first != line)
}

/// What `status`, the ledger's status of an edit, means for its row.
pub(super) fn stand(wanted: Wanted, status: Option<EditStatus>, policy: &Policy) -> Standing {
    let Some(EditStatus { state, content }) = status else { return Standing::ToDo(None) };
    let to_do = Standing::ToDo(Some(state));
    // A failed edit never took place, so a retry may correct its content.
    let corrected = state == State::Failed && policy.retry_failed;
    if !wanted.is_content(content) && !corrected {
        return Standing::Conflict(state);
    }
    match state {
        State::Done => Standing::Done,
        State::Failed if policy.retry_failed => to_do,
        State::Failed => Standing::Failed,
        State::Waiting => to_do,
        // Only a plan that leaves the ledger alone sees `sending`; the run finds such edits in doubt.
        State::InDoubt | State::Sending => match policy.in_doubt {
            InDoubt::Hold => Standing::InDoubt,
            InDoubt::Verify | InDoubt::Retry => to_do,
        },
    }
}

/// The edits of a planned list that still have to be sent.
pub struct Todo {
    pub(super) source: Source,
    /// Edits still to send; where several runs work on the list, no more than these.
    pub(super) left: u64,
    /// At most so many of them are read first.
    pub(super) reads_left: u64,
}

/// Where the edits come from.
pub(super) enum Source {
    /// This run has the list to itself.
    List(Box<ListSource>),
    /// Several runs work on the list, and what this one has claimed is handed to it.
    Supplier { supplied: mpsc::Receiver<Supplied>, lost: LostRuns, is_over: bool },
}

/// The rows of a list.
pub(super) struct ListSource {
    pub(super) rows: Rows,
    pub(super) repeated: Arc<Repeated>,
    pub(super) records: Option<Box<dyn Records>>,
    pub(super) policy: Policy,
    /// Rows still to skip: the plan found nothing to send among them.
    pub(super) settled_first: u64,
}

impl Todo {
    /// The next edit to send. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Option<Pending>, StopReason> {
        let next = match &mut self.source {
            // After the last one the list need not be read.
            Source::List(_) if self.left == 0 => return Ok(None),
            Source::List(list) => list.next().await?,
            Source::Supplier { is_over: true, .. } => return Ok(None),
            Source::Supplier { supplied, is_over, .. } => match supplied.recv().await {
                Some(Supplied::Edit(pending)) => Some(pending),
                Some(Supplied::Over) => {
                    *is_over = true;
                    None
                }
                Some(Supplied::Stop(reason)) => return Err(reason),
                None => return Err(StopReason::Defect("the list is not read any more".to_owned())),
            },
        };
        if let Some(pending) = &next {
            self.left = self.left.saturating_sub(1);
            if pending.doubt().is_some() || pending.must_be_read() {
                self.reads_left = self.reads_left.saturating_sub(1);
            }
            self.reads_left = self.reads_left.min(self.left);
        }
        Ok(next)
    }

    /// Whether other runs work on the list as well.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.source, Source::Supplier { .. })
    }

    /// Whether nothing is at hand although something may come: other runs have it.
    pub(super) fn waits_for_others(&self) -> bool {
        match &self.source {
            Source::List(_) => false,
            Source::Supplier { supplied, is_over, .. } => !is_over && supplied.is_empty(),
        }
    }

    /// Since when other runs are known to be lost.
    pub(super) fn lost_runs(&self) -> LostRuns {
        match &self.source {
            Source::List(_) => LostRuns::default(),
            Source::Supplier { lost, .. } => lost.clone(),
        }
    }
}

impl ListSource {
    /// The next edit to send. Yields to other tasks while it skips finished rows. Cancel-safe.
    async fn next(&mut self) -> Result<Option<Pending>, StopReason> {
        loop {
            if self.settled_first > 0 {
                let skipped = self.settled_first.min(STRETCH);
                self.rows.pass_over(skipped).map_err(|error| StopReason::Input(Arc::new(error)))?;
                self.settled_first -= skipped;
                tokio::task::yield_now().await;
                continue;
            }
            for _ in 0..STRETCH {
                let Some(row) = self.rows.next() else { return Ok(None) };
                let row = row.map_err(|error| StopReason::Input(Arc::new(error)))?;
                // The plan found nothing wrong with any row, so the list has changed since.
                let Row { line, edit, .. } = row;
                let Ok(edit) = edit else { return Err(StopReason::ListChanged { line }) };
                let wanted = edit.wanted();
                if is_duplicate(&self.repeated, wanted.message, &line) {
                    continue;
                }
                let mut records = self.records.as_deref_mut();
                let status = records.as_mut().map_or(Ok(None), |records| records.status(wanted.message));
                match stand(wanted, status.map_err(StopReason::Ledger)?, &self.policy) {
                    Standing::ToDo(state) => {
                        // Makes sure that the list is still as it was when it was checked.
                        self.rows.check_unchanged().map_err(|error| StopReason::Input(Arc::new(error)))?;
                        let known = state.and(records).map(|records| records.row(wanted.message)).transpose();
                        let known = known.map_err(StopReason::Ledger)?;
                        let mut pending = Pending::new(edit, wanted, line, known);
                        if self.policy.read_first {
                            pending.require_reading();
                        }
                        return Ok(Some(pending));
                    }
                    Standing::Conflict(_) => return Err(StopReason::ListChanged { line }),
                    Standing::Done | Standing::Failed | Standing::InDoubt => {}
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
