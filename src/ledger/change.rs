//! The row of an edit, and changes to it.

use std::sync::Arc;
use std::time::Duration;

use super::clock::unix_ms;
use super::{Note, PartNumber, Pending, State};
use crate::edit::{ContentDigest, Edit, IdDigest, Line, Original};

/// What the ledger holds of the edit of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditRow {
    /// Its state.
    pub state: State,
    /// The digest of the content that it gives its message.
    pub content: ContentDigest,
    /// The attempts so far.
    pub attempts: u32,
    /// The error code of the last answer, if it had one.
    pub code: Option<i64>,
    /// The reason where no code gives it.
    pub note: Option<Note>,
}

/// The state and content of an edit: what a plan compares a list with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditStatus {
    /// Its state.
    pub state: State,
    /// The digest of the content that it gives its message.
    pub content: ContentDigest,
}

/// The outcome of an attempt or of reading a message, to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The new state.
    pub state: State,
    /// The error code of the answer, if it had one.
    pub code: Option<i64>,
    /// The reason where no code gives it.
    pub note: Option<Note>,
    /// Whether this attempt counts towards the maximum: not if the fault was not the edit's.
    pub counts: bool,
}

/// One transition of one edit, as a store commits it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The edit.
    pub edit: Arc<Edit>,
    /// The digest of its message.
    pub message: IdDigest,
    /// The digest of the content to record.
    pub content: ContentDigest,
    /// The line of the list it was read from.
    pub line: Line,
    /// The state that it must have; `None` if it must not be in the ledger.
    pub from: Option<State>,
    /// The new state; `None` if it leaves the ledger.
    pub to: Option<State>,
    /// The part of the list that it is from, if the list is dealt out in parts.
    pub part: Option<PartNumber>,
    /// The attempts, this one included.
    pub attempts: u32,
    /// The error code of the answer, if it had one.
    pub code: Option<i64>,
    /// The reason where no code gives it.
    pub note: Option<Note>,
    /// Milliseconds since 1970.
    pub at: i64,
    /// The time from the intent to the outcome. `None` for an outcome withdraws the intent.
    pub took: Option<Duration>,
    /// What the message held before, to be kept with this intent.
    pub original: Option<Original>,
}

impl Change {
    pub(super) fn of(pending: &Pending, from: Option<State>, to: Option<State>) -> Change {
        Change {
            edit: Arc::clone(&pending.edit),
            message: pending.message,
            content: pending.content,
            line: pending.line.clone(),
            from,
            to,
            part: pending.part.as_ref().map(|part| part.number()),
            attempts: pending.attempts,
            code: None,
            note: None,
            at: unix_ms(),
            took: None,
            original: None,
        }
    }
}
