//! One lookup: searches one side's history for a message, page by page, at the pace of read-backs.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::activity::HoldReason;
use super::context::RunContext;
use crate::api::history::{AccountNames, HistoryMessage, HistoryPage, HistoryQuery};
use crate::api::{Outcome, Service};
use crate::edit::MessageId;
use crate::ledger::Pending;
use crate::pace::Receipt;
use crate::retry::{self, Backpressure, Verdict};

/// How long edits are held at most, unless the service asks for more.
const EDITS_HELD_MAX: Duration = Duration::from_secs(1);
/// The most pages of one second's history that are searched.
const PAGES_MAX: u32 = 50;

/// Why a lookup ended without a result.
pub(super) enum LookupCut {
    /// The run stops or is paused.
    Stopping,
    /// No history page came, only this outcome.
    NoPage(Outcome, Receipt),
}

/// What one side's history shows.
pub(super) enum SideHistory {
    Found(HistoryMessage),
    NotThere,
    /// The history breaks off before its end.
    Unread,
}

/// Searches one side's history for a message, page by page.
pub(super) async fn find<S: Service>(
    context: &RunContext<S>,
    id: &MessageId,
    mut query: HistoryQuery,
) -> Result<SideHistory, LookupCut> {
    for _ in 0..PAGES_MAX {
        let page = page(context, &mut query).await?;
        if let Some(held) = page.messages.into_iter().find(|held| held.id == *id) {
            return Ok(SideHistory::Found(held));
        }
        // Pages run from new to old. A missing time says nothing.
        let is_past = (1..query.min_time).contains(&page.last_msg_time);
        if page.complete || is_past {
            return Ok(SideHistory::NotThere);
        }
        let has_more = query.last_msg_key.as_ref() != Some(&page.last_msg_key) && !page.last_msg_key.is_empty();
        if !has_more || page.last_msg_time == 0 {
            return Ok(SideHistory::Unread);
        }
        query.max_time = page.last_msg_time;
        query.last_msg_key = Some(page.last_msg_key);
    }
    Ok(SideHistory::Unread)
}

/// Requests one page, with the account field names that this service takes.
pub(super) async fn page<S: Service>(
    context: &RunContext<S>,
    query: &mut HistoryQuery,
) -> Result<HistoryPage, LookupCut> {
    let older = &context.lookups.older_names;
    query.names = if older.load(Ordering::Relaxed) { AccountNames::Older } else { AccountNames::Newer };
    match request(context, query).await {
        Err(LookupCut::NoPage(Outcome::Refused { code: 90001 | 90003 | 90008, .. }, _)) => {
            query.names = query.names.other();
            let page = request(context, query).await?;
            older.store(query.names == AccountNames::Older, Ordering::Relaxed);
            Ok(page)
        }
        answer => answer,
    }
}

/// Sends one request.
async fn request<S: Service>(context: &RunContext<S>, query: &HistoryQuery) -> Result<HistoryPage, LookupCut> {
    let pace = &context.lookups.pace;
    let Some((_slot, permit)) = context.permit(pace).await else { return Err(LookupCut::Stopping) };
    let (receipt, permitted) = (permit.receipt(), Instant::now());
    let handed = context.hand();
    let answer = context.service.history(query, permit).await;
    drop(handed);
    if !matches!(answer, Err(Outcome::NotSent { .. } | Outcome::HeldBack | Outcome::NoSignature)) {
        context.lookups.requests.fetch_add(1, Ordering::Relaxed);
    }
    if answer.is_ok() {
        pace.answered(receipt);
        context.lookups.accepted.store(true, Ordering::Relaxed);
        context.accepted.lookup_accepted(permitted);
    }
    if let Some(Backpressure::Hold(asked)) = answer.as_ref().err().map(retry::backpressure) {
        context.hold(asked);
    }
    match answer.as_ref().err().map(retry::judge) {
        Some(Verdict::SlowDown { .. } | Verdict::NotSent | Verdict::InDoubt { .. }) => {}
        None
        | Some(
            Verdict::Done
            | Verdict::Retry { .. }
            | Verdict::SignAnew { .. }
            | Verdict::Failed { .. }
            | Verdict::Stop { .. },
        ) => {
            pace.passed(receipt);
            context.lookups.lookup_passed();
        }
    }
    answer.map_err(|outcome| LookupCut::NoPage(outcome, receipt))
}

/// A lookup that was too fast holds all lookups. Edits have a limit of their own, so they are held for a second, or for
/// as long as the service asks. Returns true if it concerns this message alone: then nothing is held, and it counts as
/// a failed lookup of its edit.
pub(super) fn slow_down<S: Service>(
    context: &RunContext<S>,
    outcome: &Outcome,
    pending: &mut Pending,
    receipt: Receipt,
) -> bool {
    let Backpressure::SlowDown(retry_after) = retry::backpressure(outcome) else { return false };
    if context.lookups.is_refused_alone(pending) {
        context.hold(retry_after.unwrap_or_default());
        return true;
    }
    if let Verdict::SlowDown { code, .. } = retry::judge(outcome) {
        context.lookups.lookup_too_fast(code);
    }
    if let Some(held) = context.lookups.pace.slow_down(receipt, retry_after) {
        let held = retry_after.unwrap_or_else(|| held.min(EDITS_HELD_MAX));
        context.pace.hold(held);
        context.is_held_for(HoldReason::TooFast, held);
        context.publish_hold(held);
    }
    false
}

impl HistoryQuery {
    /// The history around one second: the clocks of the service's machines may differ slightly.
    pub(super) fn around(second: u32, operator: &str, peer: &str) -> HistoryQuery {
        HistoryQuery {
            operator: operator.to_owned(),
            peer: peer.to_owned(),
            min_time: second.saturating_sub(1),
            max_time: second.saturating_add(1),
            last_msg_key: None,
            names: AccountNames::Newer,
        }
    }
}
