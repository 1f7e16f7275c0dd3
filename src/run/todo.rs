//! Which rows of the list are still to be sent: one rule, for the plan and for the run.

use std::collections::HashMap;
use std::sync::Arc;

use clap::ValueEnum;
use serde::Deserialize;

use super::StopReason;
use crate::edit::{IdDigest, Wanted};
use crate::input::Rows;
use crate::ledger::{EditStatus, Pending, Records, State};

/// Rows that are passed over at a stretch before others get their turn: about a millisecond's work.
const STRETCH: u64 = 256;

/// What becomes of an edit in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InDoubt {
    /// Read the message back, and send the edit again where it did not take place; what that cannot tell is held.
    Verify,
    /// Leave it to a person: it is listed, and not sent again.
    Hold,
    /// Send it again, although it may have taken place already: people's phones may be told twice.
    Retry,
}

/// Which edits of the ledger are taken up again.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Edits in doubt.
    pub in_doubt: InDoubt,
    /// Failed edits too.
    pub retry_failed: bool,
    /// Every message is read before it is sent.
    pub read_first: bool,
    /// Edits in this run at most.
    pub rows_max: Option<u64>,
}

/// How a row stands to what is known.
#[derive(Debug)]
pub(super) enum Standing {
    /// Done in an earlier run.
    Done,
    /// Failed in an earlier run, and not to be taken up again.
    Failed,
    /// In doubt since an earlier run, and held.
    InDoubt,
    /// To be sent; where it stands in the ledger, if it is in it.
    ToDo(Option<State>),
    /// The ledger has this message with another content.
    Conflict(State),
}

/// The messages that stand in more than one row, each with the line of the first: that one is sent.
pub(super) type Repeated = HashMap<IdDigest, u64>;

pub(super) fn is_duplicate(repeated: &Repeated, message: IdDigest, line: u64) -> bool {
    repeated.get(&message).is_some_and(|first| *first != line)
}

/// How a row stands whose edit the ledger tells of in `brief`.
pub(super) fn stand(wanted: Wanted, brief: Option<EditStatus>, policy: &Policy) -> Standing {
    let Some(EditStatus { state, content }) = brief else { return Standing::ToDo(None) };
    let to_do = Standing::ToDo(Some(state));
    // A failed edit never took place, so taking it up again may mend its content.
    let mended = state == State::Failed && policy.retry_failed;
    if content != wanted.content && !mended {
        return Standing::Conflict(state);
    }
    match state {
        State::Done => Standing::Done,
        State::Failed if policy.retry_failed => to_do,
        State::Failed => Standing::Failed,
        State::Waiting => to_do,
        // `sending` is seen only by a plan that leaves the ledger alone; the run finds such edits in doubt.
        State::InDoubt | State::Sending => match policy.in_doubt {
            InDoubt::Hold => Standing::InDoubt,
            InDoubt::Verify | InDoubt::Retry => to_do,
        },
    }
}

/// The rows of a planned list that are still to be sent, one by one.
pub struct Todo {
    pub(super) rows: Rows,
    pub(super) repeated: Arc<Repeated>,
    pub(super) records: Option<Box<dyn Records>>,
    pub(super) policy: Policy,
    /// Rows that are still to be passed over: the plan has seen that none of them is to be sent.
    pub(super) settled_first: u64,
    /// Rows that are still to come: behind the last of them there is nothing to look for.
    pub(super) left: u64,
}

impl Todo {
    /// The next edit to send. Passing over finished rows lets others have their turn in between; dropping the future
    /// then loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<Pending>, StopReason> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            if self.settled_first > 0 {
                let some = self.settled_first.min(STRETCH);
                self.rows.pass_over(some).map_err(|error| StopReason::Input(Arc::new(error)))?;
                self.settled_first -= some;
                tokio::task::yield_now().await;
                continue;
            }
            for _ in 0..STRETCH {
                let Some(row) = self.rows.next() else { return Ok(None) };
                let row = row.map_err(|error| StopReason::Input(Arc::new(error)))?;
                // The plan has seen every row and found nothing wrong, so the list was changed since.
                let changed = StopReason::ListChanged { line: row.line };
                let Ok(edit) = row.edit else { return Err(changed) };
                let wanted = edit.wanted();
                if is_duplicate(&self.repeated, wanted.message, row.line) {
                    continue;
                }
                let mut records = self.records.as_deref_mut();
                let brief = records.as_mut().map_or(Ok(None), |records| records.status(wanted.message));
                match stand(wanted, brief.map_err(StopReason::Ledger)?, &self.policy) {
                    Standing::ToDo(state) => {
                        // The row was read from a list that is still as it was when it was checked.
                        self.rows.check_unchanged().map_err(|error| StopReason::Input(Arc::new(error)))?;
                        let known = state.and(records).map(|records| records.row(wanted.message)).transpose();
                        let known = known.map_err(StopReason::Ledger)?;
                        self.left -= 1;
                        let mut pending = Pending::new(edit, wanted, row.line, known);
                        if self.policy.read_first {
                            pending.require_reading();
                        }
                        return Ok(Some(pending));
                    }
                    Standing::Conflict(_) => return Err(changed),
                    Standing::Done | Standing::Failed | Standing::InDoubt => {}
                }
            }
            tokio::task::yield_now().await;
        }
    }
}
