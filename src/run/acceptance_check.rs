//! Checks whether the service accepts the current signature and address. That decides whether a code that concerns the
//! job is the fault of the edit that got it.
//!
//! It is the edit's fault only if the service has accepted a request that went out after the refusal: another edit, or
//! a lookup. If it has not, as at the end of a list, a lookup is made before the edit is sent again. It changes
//! nothing, costs one request of the history call, and asks for the message of the edit that was accepted last. So a revoked key stops the run however
//! few edits are left, and a faulty row fails even if it is the last one.

use tokio::time::Instant;

use super::accepted::is_of_access;
use super::breaker::is_acceptance;
use super::context::RunContext;
use super::lookup::{LookupCut, page, slow_down};
use crate::api::history::HistoryQuery;
use crate::api::{Outcome, Service};
use crate::ledger::Pending;
use crate::retry::{self, Verdict};

/// Why an edit is not sent again now.
#[derive(Debug)]
pub(super) enum CheckCut {
    /// The run stops or is paused, or the edit is recalled.
    Stopping,
    /// The service does not accept a lookup either, or cannot answer one now.
    NoPage(Outcome),
}

/// Waits until a lookup has shown, if it can, whether a code that concerns the job is the fault of the edit that got
/// it. If the edit is refused once more after that, either it has failed or the run stops.
pub(super) async fn check_acceptance<S: Service>(
    context: &RunContext<S>,
    pending: &mut Pending,
) -> Result<(), CheckCut> {
    let Some(refused) = pending.job_refused else { return Ok(()) };
    // A lookup says nothing about the app's settings for edits.
    if !is_of_access(refused.code) {
        return Ok(());
    }
    let _turn = tokio::select! {
        biased;
        () = context.stop.cancelled() => return Err(CheckCut::Stopping),
        turn = context.accepted.lookup_turn.lock() => turn,
    };
    let Some(edit) = context.accepted.only_before(&refused) else { return Ok(()) };
    if pending.looks >= context.attempts_max.get() || context.lookups.are_refused() {
        return Ok(());
    }
    let id = edit.id();
    // Any answer will do, even if that second holds no message.
    let mut query = HistoryQuery::around(id.second().unwrap_or_default(), &id.from_account, &id.to_account);
    let sent = Instant::now();
    let (outcome, receipt) = match context.stop.run_until_cancelled(page(context, &mut query)).await {
        Some(Ok(_)) => return Ok(()),
        Some(Err(LookupCut::Stopping)) | None => return Err(CheckCut::Stopping),
        Some(Err(LookupCut::NoPage(outcome, receipt))) => (outcome, receipt),
    };
    pending.looks += 1;
    slow_down(context, &outcome, pending, receipt);
    match retry::judge(&outcome) {
        verdict @ (Verdict::Done | Verdict::Failed { .. }) => {
            if is_acceptance(&verdict) {
                context.accepted.lookup_accepted(sent);
            }
            Ok(())
        }
        // The app may not read messages, which says nothing about edits.
        Verdict::Stop { code, .. } if !is_of_access(code) => Ok(()),
        Verdict::Retry { .. }
        | Verdict::SlowDown { .. }
        | Verdict::SignAnew { .. }
        | Verdict::InDoubt { .. }
        | Verdict::NotSent
        | Verdict::Stop { .. } => Err(CheckCut::NoPage(outcome)),
    }
}
