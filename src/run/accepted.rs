//! What the service last accepted of the current signature and address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::edit::Edit;

/// What the service has accepted of the current signature.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    last: Mutex<Option<Last>>,
    /// Held while a lookup is made for the check: one is enough for all edits that wait.
    pub(super) lookup_turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Last {
    /// When the latest accepted request went out.
    sent: Instant,
    /// The edit that was accepted last.
    edit: Arc<Edit>,
}

impl Accepted {
    /// An edit was accepted whose request went out at `sent`.
    pub(super) fn edit_accepted(&self, sent: Instant, edit: &Arc<Edit>) {
        let mut last = self.last();
        let sent = last.as_ref().map_or(sent, |last| last.sent.max(sent));
        *last = Some(Last { sent, edit: Arc::clone(edit) });
    }

    /// A lookup was accepted whose request went out at `sent`.
    pub(super) fn lookup_accepted(&self, sent: Instant) {
        if let Some(last) = &mut *self.last() {
            last.sent = last.sent.max(sent);
        }
    }

    /// Another signature is now in use.
    pub(super) fn forget(&self) {
        *self.last() = None;
    }

    /// Whether something that went out after `refused` was accepted.
    pub(super) fn is_since(&self, refused: Instant) -> bool {
        self.last().as_ref().is_some_and(|last| last.sent > refused)
    }

    /// The edit that was accepted last, if nothing was accepted that went out after `refused`.
    pub(super) fn only_before(&self, refused: Instant) -> Option<Arc<Edit>> {
        self.last().as_ref().filter(|last| last.sent <= refused).map(|last| Arc::clone(&last.edit))
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
