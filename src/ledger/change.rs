//! What the ledger holds of an edit, and what changes it.

use std::sync::Arc;
use std::time::Duration;

use super::clock::unix_ms;
use super::{Note, Pending, State};
use crate::edit::{ContentDigest, Edit, IdDigest};

/// What the ledger holds of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditRow {
    /// Where the edit stands.
    pub state: State,
    /// The content it was, or shall be, given.
    pub content: ContentDigest,
    /// Sendings so far.
    pub attempts: u32,
    /// The last answer's error code, where there was one.
    pub code: Option<i64>,
    /// Why there is no code, where there is none.
    pub note: Option<Note>,
}

/// Where an edit stands in the ledger, and with which content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditStatus {
    /// Where the edit stands.
    pub state: State,
    /// The content it was, or shall be, given.
    pub content: ContentDigest,
}

/// What came of one sending, to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The state the edit goes to.
    pub state: State,
    /// The answer's error code, where there was one.
    pub code: Option<i64>,
    /// Why there is no code.
    pub note: Option<Note>,
    /// Whether this sending counts towards the most that are allowed: not so where the fault was not the edit's.
    pub counts: bool,
}

/// One step of one edit, as the store takes it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The edit.
    pub edit: Arc<Edit>,
    /// The digest of its message.
    pub message: IdDigest,
    /// What the ledger shall say that it was given.
    pub content: ContentDigest,
    /// The line of the list it was read from.
    pub line: u64,
    /// The state it must be in; `None` if it must not be in the ledger.
    pub from: Option<State>,
    /// The state it goes to; `None` if it leaves the ledger.
    pub to: Option<State>,
    /// Sendings, this one included.
    pub attempts: u32,
    /// The answer's error code.
    pub code: Option<i64>,
    /// Why there is no code.
    pub note: Option<Note>,
    /// Milliseconds since 1970, for people: nothing is decided by it.
    pub at: i64,
    /// From the intent to the outcome.
    pub took: Option<Duration>,
}

impl Change {
    pub(super) fn of(pending: &Pending, from: Option<State>, to: Option<State>) -> Change {
        Change {
            edit: Arc::clone(&pending.edit),
            message: pending.message,
            content: pending.content,
            line: pending.line,
            from,
            to,
            attempts: pending.attempts,
            code: None,
            note: None,
            at: unix_ms(),
            took: None,
        }
    }
}
