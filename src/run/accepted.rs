//! Whether the service accepts the signature and the address in use: what decides whether a code that speaks of the job is
//! the fault of the edit that got it.
//!
//! It is that edit's fault only where a request that went out after the refusal was accepted: another edit, or a look at a
//! message. Where none was, as at the end of a list, one is made before the edit is sent again: a look, which costs nothing and
//! changes nothing, at the message of the edit that was accepted last. So a key that is revoked stops the run, however few
//! edits are left, and a row that is at fault by itself fails, also if it is the last one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::breaker::is_acceptance;
use super::life::RunContext;
use super::read_back::{ReadBackCut, page, slow_down};
use crate::api::error_code::{self, Class};
use crate::api::history::HistoryQuery;
use crate::api::{Outcome, Service};
use crate::edit::Edit;
use crate::ledger::Pending;
use crate::retry::{self, Verdict};

/// What the service has accepted of the signature in use.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    last: Mutex<Option<Last>>,
    /// Held by who makes a look for it: one is enough for all that wait.
    looks: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Last {
    /// When the latest request went out that was accepted.
    sent: Instant,
    /// The edit that was accepted last.
    edit: Arc<Edit>,
}

/// Why an edit is not sent again now.
#[derive(Debug)]
pub(super) enum Held {
    /// The run stops or is paused.
    Stopping,
    /// The service does not accept a look either, or gives none now.
    NoPage(Outcome),
}

impl Accepted {
    /// An edit was accepted whose request went out then.
    pub(super) fn edit(&self, sent: Instant, edit: &Arc<Edit>) {
        let mut last = self.last();
        let sent = last.as_ref().map_or(sent, |last| last.sent.max(sent));
        *last = Some(Last { sent, edit: Arc::clone(edit) });
    }

    /// A look was accepted whose request went out then.
    pub(super) fn look(&self, sent: Instant) {
        if let Some(last) = &mut *self.last() {
            last.sent = last.sent.max(sent);
        }
    }

    /// Another signature is in use now.
    pub(super) fn forget(&self) {
        *self.last() = None;
    }

    /// Whether something was accepted that went out after `refused`.
    pub(super) fn is_since(&self, refused: Instant) -> bool {
        self.last().as_ref().is_some_and(|last| last.sent > refused)
    }

    /// The edit that was accepted last, where nothing is since `refused`.
    fn only_before(&self, refused: Instant) -> Option<Arc<Edit>> {
        self.last().as_ref().filter(|last| last.sent <= refused).map(|last| Arc::clone(&last.edit))
    }

    fn last(&self) -> MutexGuard<'_, Option<Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits with an edit that got a code that speaks of the job until it is known whose fault that is, as far as a look can
/// tell: once the edit is sent again and refused again, it has failed, or the run stops.
pub(super) async fn before_sending_again<S: Service>(line: &RunContext<S>, pending: &mut Pending) -> Result<(), Held> {
    let Some(refused) = pending.job_refused_at else { return Ok(()) };
    let _turn = tokio::select! {
        biased;
        () = line.stop.cancelled() => return Err(Held::Stopping),
        turn = line.accepted.looks.lock() => turn,
    };
    let Some(edit) = line.accepted.only_before(refused) else { return Ok(()) };
    if pending.looks >= line.attempts_max.get() || line.read_backs.are_refused() {
        return Ok(());
    }
    let id = edit.id();
    // Whatever is in that second, or nothing: that there is an answer is all that matters.
    let mut question = HistoryQuery::around(id.second().unwrap_or_default(), &id.from_account, &id.to_account);
    let sent = Instant::now();
    let (outcome, receipt) = match line.stop.run_until_cancelled(page(line, &mut question)).await {
        Some(Ok(_)) => return Ok(()),
        Some(Err(ReadBackCut::Stopping | ReadBackCut::Unasked(_))) | None => return Err(Held::Stopping),
        Some(Err(ReadBackCut::NoPage(outcome, receipt))) => (outcome, receipt),
    };
    pending.looks += 1;
    slow_down(line, &outcome, pending, receipt);
    match retry::judge(&outcome) {
        verdict @ (Verdict::Done | Verdict::Failed { .. }) => {
            if is_acceptance(&verdict) {
                line.accepted.look(sent);
            }
            Ok(())
        }
        // The app may not have its messages read, which says nothing of edits.
        Verdict::Stop { code, .. } if !is_of_access(code) => Ok(()),
        Verdict::Retry { .. }
        | Verdict::SlowDown { .. }
        | Verdict::SignAnew { .. }
        | Verdict::InDoubt { .. }
        | Verdict::NotSent
        | Verdict::Stop { .. } => Err(Held::NoPage(outcome)),
    }
}

fn is_of_access(code: Option<i64>) -> bool {
    let class = code.and_then(error_code::lookup).map(|entry| entry.class);
    matches!(class, Some(Class::Signature | Class::StopAccess))
}
