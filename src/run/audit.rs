//! An audit: reads done edits back, and records what their messages are today. Nothing is edited.
//!
//! ```text
//! drawing ──▶ next ──▶ look: a lookup in the history, ──▶ recorded ──▶ counted
//!                      at the pace of read-backs
//! ```

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::breaker::{OUTAGE_FIRST, OUTAGE_MAX};
use super::context::RunContext;
use super::lookup::{LookupCut, SideHistory, find};
use super::tally::Cause;
use super::{TICK, interval_of};
use crate::api::history::{HistoryMessage, HistoryQuery};
use crate::api::{Outcome, Service};
use crate::edit::{ContentDigest, IdDigest, Likeness, MessageId};
use crate::ledger::{EditRecord, Findings, Found, LedgerError, Look, Note, RunEvent, unix_ms};
use crate::retry::{self, Backpressure, Verdict};
use crate::terminal::duration::format_duration;

/// How often one message may be "too fast" while others pass.
const TOO_FAST_ALONE: u32 = 50;

/// A done edit that is looked at.
#[derive(Clone, Debug)]
struct Target {
    id: MessageId,
    message: IdDigest,
    content: ContentDigest,
}

/// How an audit ended.
#[derive(Debug)]
pub enum AuditEnd {
    /// It has looked at everything that it was to look at.
    Finished,
    /// The operator stopped it.
    Interrupted,
    /// It cannot go on now, for this reason.
    Stopped(String),
    /// What it found could not be recorded, or what it was to look at not read.
    Ledger(LedgerError),
}

/// Looks at the edits of `batches`, and records what it finds in the ledger of `context`. Calls `report` several times a second
/// with what was found and is durable.
pub async fn audit<S: Service>(
    context: RunContext<S>,
    mut batches: impl FnMut() -> Result<Option<Vec<EditRecord>>, AuditEnd>,
    stop: CancellationToken,
    mut report: impl FnMut(&Findings),
) -> (Findings, AuditEnd) {
    let context = Arc::new(context);
    let health = Arc::new(Health::new());
    let (mut findings, mut ended) = (Findings::default(), None);
    let (mut next, mut is_last) = (Vec::new().into_iter(), false);
    let mut looks = JoinSet::new();
    let mut tick = interval_of(TICK);
    loop {
        if ended.is_none() && next.as_slice().is_empty() && !is_last {
            match batches() {
                Ok(Some(batch)) => next = batch.into_iter(),
                Ok(None) => is_last = true,
                Err(end) => ended = Some(end),
            }
            continue;
        }
        if ended.is_some() {
            context.lookups.stop.cancel();
        }
        if looks.is_empty() && (ended.is_some() || next.as_slice().is_empty()) {
            break;
        }
        let has_room = ended.is_none() && looks.len() < context.in_flight_max;
        tokio::select! {
            biased;
            () = stop.cancelled(), if ended.is_none() => ended = Some(AuditEnd::Interrupted),
            Some(looked) = looks.join_next() => match looked {
                Ok(Ok(found)) => findings.add(found, 1),
                // The first reason is the one that is told.
                Ok(Err(LookEnd::Cut)) => {}
                Ok(Err(LookEnd::Stopped(reason))) => ended = ended.or(Some(AuditEnd::Stopped(reason))),
                Ok(Err(LookEnd::Ledger(error))) => ended = ended.or(Some(AuditEnd::Ledger(error))),
                Err(error) => ended = ended.or(Some(AuditEnd::Stopped(error.to_string()))),
            },
            _ = tick.tick() => report(&findings),
            Some(record) = async { next.next() }, if has_room => {
                let (context, health) = (Arc::clone(&context), Arc::clone(&health));
                looks.spawn(async move { look(&context, &health, &Target::of(&record)).await });
            }
        }
    }
    report(&findings);
    (findings, ended.unwrap_or(AuditEnd::Finished))
}

/// Why one look came to nothing.
enum LookEnd {
    /// The audit ends.
    Cut,
    /// The audit must end, for this reason.
    Stopped(String),
    Ledger(LedgerError),
}

/// What the looks have learnt of the service together.
struct Health {
    /// When it last let something pass, or the audit began.
    passed: Mutex<Instant>,
    has_answered: AtomicBool,
    /// The service is out of reach, and that was told.
    is_outage_told: AtomicBool,
    random: Mutex<fastrand::Rng>,
}

impl Health {
    fn new() -> Health {
        Health {
            passed: Mutex::new(Instant::now()),
            has_answered: AtomicBool::new(false),
            is_outage_told: AtomicBool::new(false),
            random: Mutex::new(fastrand::Rng::new()),
        }
    }

    /// Takes in what came of a request, and returns for how long nothing may pass.
    fn heard(&self, outcome: &Outcome) -> Duration {
        match outcome {
            Outcome::NotSent { reason } => {
                if !self.is_outage_told.swap(true, Ordering::Relaxed) {
                    tracing::warn!("{reason}: trying again");
                }
            }
            _ => self.has_answered.store(true, Ordering::Relaxed),
        }
        if self.has_answered.load(Ordering::Relaxed) { OUTAGE_MAX } else { OUTAGE_FIRST }
    }

    fn passed(&self) -> MutexGuard<'_, Instant> {
        self.passed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self, tries: u32) {
        let delay =
            retry::jittered(retry::delay(tries), &mut self.random.lock().unwrap_or_else(PoisonError::into_inner));
        sleep(delay).await;
    }
}

impl Target {
    fn of(record: &EditRecord) -> Target {
        let id = record.id();
        Target { message: id.digest(), id, content: record.content }
    }
}

/// Looks at one message, and makes what is found durable.
async fn look<S: Service>(context: &RunContext<S>, health: &Health, target: &Target) -> Result<Found, LookEnd> {
    let looked = context.lookups.stop.run_until_cancelled(find_out(context, health, target)).await;
    let (found, cause) = looked.unwrap_or(Err(LookEnd::Cut))?;
    let look = Look { message: target.message, at: unix_ms(), found, cause };
    context.ledger.record_event(RunEvent::Look(look)).await.map_err(LookEnd::Ledger)?;
    Ok(found)
}

/// What one side's history shows.
enum Side {
    Found(HistoryMessage),
    NotThere,
    Unreadable(Cause),
}

/// Each side has a history of its own. As for a run, the message is as wanted if either shows it so.
async fn find_out<S: Service>(
    context: &RunContext<S>,
    health: &Health,
    target: &Target,
) -> Result<(Found, Option<Cause>), LookEnd> {
    let id = &target.id;
    let Some(second) = id.second() else {
        return Ok((Found::CannotBeTold, Some(Cause::Note(Note::KeyWithoutTime))));
    };
    let (mut seen, mut unreadable) = (None, None);
    for (operator, peer) in [(&id.from_account, &id.to_account), (&id.to_account, &id.from_account)] {
        match find_side(context, health, id, &HistoryQuery::around(second, operator, peer)).await? {
            Side::Found(held) => {
                let (body, custom_data) = (held.msg_body.as_ref(), held.cloud_custom_data.as_deref());
                match target.content.likeness(body, custom_data) {
                    Likeness::Same => return Ok((Found::AsWanted, None)),
                    _ if held.recalled => seen = seen.or(Some(Found::Recalled)),
                    Likeness::Alike => unreadable = unreadable.or(Some(Cause::Note(Note::Alike))),
                    Likeness::Other => seen = seen.or(Some(Found::Differs)),
                }
            }
            Side::NotThere => {}
            Side::Unreadable(cause) => unreadable = unreadable.or(Some(cause)),
        }
    }
    Ok(match unreadable {
        Some(cause) => (Found::CannotBeTold, Some(cause)),
        None => (seen.unwrap_or(Found::NotInHistory), None),
    })
}

/// Searches one side's history, as often as it takes. A message is given up only if others pass meanwhile, and the audit if
/// nothing does.
async fn find_side<S: Service>(
    context: &RunContext<S>,
    health: &Health,
    id: &MessageId,
    query: &HistoryQuery,
) -> Result<Side, LookEnd> {
    let begun = Instant::now();
    let (mut tries, mut too_fast) = (0, 0);
    loop {
        let (outcome, receipt) = match find(context, id, query.clone()).await {
            Ok(side) => {
                *health.passed() = Instant::now();
                health.has_answered.store(true, Ordering::Relaxed);
                health.is_outage_told.store(false, Ordering::Relaxed);
                return Ok(match side {
                    SideHistory::Found(held) => Side::Found(held),
                    SideHistory::NotThere => Side::NotThere,
                    SideHistory::Unread => Side::Unreadable(Cause::Note(Note::ReadBackFailed)),
                });
            }
            Err(LookupCut::Stopping) => return Err(LookEnd::Cut),
            Err(LookupCut::NoPage(outcome, receipt)) => (outcome, receipt),
        };
        if outcome == Outcome::NoSignature {
            return Err(LookEnd::Stopped("there is no signature any more: TIM_USERSIG has run out".to_owned()));
        }
        let outage_max = health.heard(&outcome);
        let verdict = retry::judge(&outcome);
        let cause = Cause::of(&verdict).unwrap_or(Cause::Note(Note::ReadBackFailed));
        if let Backpressure::SlowDown(retry_after) = retry::backpressure(&outcome) {
            context.lookups.pace.slow_down(receipt, retry_after);
        }
        let is_alone = match verdict {
            Verdict::Failed { .. } => return Ok(Side::Unreadable(cause)),
            Verdict::Stop { .. } => {
                return Err(LookEnd::Stopped(format!("the service refuses to have messages read: {cause}")));
            }
            Verdict::SlowDown { .. } => {
                too_fast += 1;
                too_fast >= TOO_FAST_ALONE
            }
            Verdict::NotSent
            | Verdict::Done
            | Verdict::Retry { .. }
            | Verdict::SignAnew { .. }
            | Verdict::InDoubt { .. } => {
                tries += 1;
                health.wait(tries).await;
                verdict != Verdict::NotSent && tries >= context.attempts_max.get()
            }
        };
        let passed = *health.passed();
        if is_alone && passed > begun {
            return Ok(Side::Unreadable(cause));
        }
        if begun.max(passed).elapsed() > outage_max {
            return Err(LookEnd::Stopped(match outcome {
                Outcome::NotSent { reason } => format!("the service is out of reach: {reason}"),
                _ => format!("for {} no history request has passed (the last: {cause})", format_duration(outage_max)),
            }));
        }
    }
}
