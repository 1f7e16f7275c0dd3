//! What the service last accepted of the current signature and address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::api::error_code::{self, Class};
use crate::edit::Edit;
use crate::ledger::JobRefused;

/// What the service has accepted of the current signature.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    last: Mutex<Option<Last>>,
    /// Held while a lookup is made for the check: one is enough for all edits that wait.
    pub(super) lookup_turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Last {
    /// When the latest accepted edit's request went out.
    edit_sent: Instant,
    /// When the latest accepted lookup went out.
    lookup_sent: Option<Instant>,
    /// The edit that was accepted last.
    edit: Arc<Edit>,
}

impl Last {
    /// Whether it went out after this refusal. A lookup counts only where the code concerns access: the app's settings
    /// may allow lookups and not edits.
    fn is_since(&self, refused: &JobRefused) -> bool {
        self.edit_sent > refused.at
            || (is_of_access(refused.code) && self.lookup_sent.is_some_and(|sent| sent > refused.at))
    }
}

impl Accepted {
    /// An edit was accepted whose request went out at `sent`.
    pub(super) fn edit_accepted(&self, sent: Instant, edit: &Arc<Edit>) {
        let mut last = self.last();
        let (edit_sent, lookup_sent) =
            last.as_ref().map_or((sent, None), |last| (last.edit_sent.max(sent), last.lookup_sent));
        *last = Some(Last { edit_sent, lookup_sent, edit: Arc::clone(edit) });
    }

    /// A lookup was accepted whose request went out at `sent`.
    pub(super) fn lookup_accepted(&self, sent: Instant) {
        if let Some(last) = &mut *self.last() {
            last.lookup_sent = last.lookup_sent.max(Some(sent));
        }
    }

    /// Another signature is now in use.
    pub(super) fn forget(&self) {
        *self.last() = None;
    }

    /// Whether something that went out after this refusal was accepted.
    pub(super) fn is_since(&self, refused: &JobRefused) -> bool {
        self.last().as_ref().is_some_and(|last| last.is_since(refused))
    }

    /// The edit that was accepted last, if nothing was accepted that went out after this refusal.
    pub(super) fn only_before(&self, refused: &JobRefused) -> Option<Arc<Edit>> {
        self.last().as_ref().filter(|last| !last.is_since(refused)).map(|last| Arc::clone(&last.edit))
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the code says that the account, its signature or the address is wrong, for whatever call.
pub(super) fn is_of_access(code: Option<i64>) -> bool {
    let class = code.and_then(error_code::lookup).map(|entry| entry.class);
    matches!(class, Some(Class::Signature | Class::StopAccess))
}
