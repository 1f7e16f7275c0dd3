//! An edit in doubt, settled by reading its message back; and with `--read-first` every edit, before it is sent.
//!
//! The message holds what is wanted: the edit took place. It holds something else: the edit did not take place, and will
//! not any more, since nobody looks before the service can no longer be working on the request; so it is sent again.
//! Everything else tells nothing, and the edit stays in doubt, for a person to look at. An edit that is read before its first
//! sending is not sent where its message was recalled or is not there: then it has failed, with that reason.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::life::RunContext;
use super::tally::Cause;
use crate::api::error_code::{self, Class};
use crate::api::history::{AccountNames, HistoryMessage, HistoryPage, HistoryQuery};
use crate::api::{Outcome, Service};
use crate::edit::{Edit, IdDigest, Likeness, MessageId};
use crate::ledger::{LedgerError, Note, Pending, Recorded, Settlement, State};
use crate::pace::{Pace, Receipt};
use crate::retry::{self, Backpressure, Verdict};

/// The service works on a request for at most 3 s. The rest is for the way there, and for its storage to show what it did.
pub(super) const READ_BACK_AFTER: Duration = Duration::from_secs(5);
/// The limit of this call; it is not the edits' limit. (It is no zero, or this would not compile.)
pub const READ_BACK_RATE_MAX: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// At which rate a run that sends `rate` edits a second reads back at most. The jobs of an app on one machine share its cap,
/// `max_rate`; where that is above the limit of read-backs, each has the same part of the one as of the other, so that all of
/// them together keep both. (One a second is the least that a run can do.)
pub fn read_back_rate(rate: NonZeroU32, max_rate: NonZeroU32) -> NonZeroU32 {
    let limit = u64::from(READ_BACK_RATE_MAX.get());
    let part = u64::from(rate.get()) * limit / u64::from(max_rate.get()).max(limit);
    let part = part.clamp(1, limit.min(rate.get().into()));
    u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}
/// For this long the service may answer "too fast" to every look: each of them holds the edits as well.
const LOOKS_TOO_FAST_MAX: Duration = Duration::from_mins(5);
/// For this long at most, where the service does not ask for more.
const EDITS_HELD_MAX: Duration = Duration::from_secs(1);
/// Pages of one second's history that are looked through.
const PAGES_MAX: u32 = 50;

/// What all read-backs of a run share.
#[derive(Debug)]
pub(super) struct ReadBacks {
    pace: Pace,
    /// The cap of all jobs of the app on this machine.
    max_rate: NonZeroU32,
    /// The service takes the older names of the accounts only.
    older_names: AtomicBool,
    /// Why nothing can be read back: then the service is not asked again in this run.
    refused: OnceLock<Unreadable>,
    /// The service has given a page since a signature was last refused: it accepts the one in use.
    accepted: AtomicBool,
    too_fast: Mutex<Option<TooFast>>,
    requests: AtomicU64,
    /// Cancelled when nothing more shall be read back. That is later than nothing more is sent: an edit whose answer was
    /// lost shortly before can still be settled.
    pub(super) stop: CancellationToken,
}

/// Every look is too fast.
#[derive(Clone, Copy, Debug)]
struct TooFast {
    since: Instant,
    /// The message that was looked for; `None` if there was more than one.
    message: Option<IdDigest>,
}

/// Why a look was refused, or all of them are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unreadable {
    note: Note,
    code: Option<i64>,
}

/// What reading back told. The later in this list, the more it counts when the two sides tell different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// Nothing: the message is not there, or cannot be looked for.
    Nothing(Note),
    NotEdited,
    /// Nothing: the look was refused or cut short, and what it would have shown counts as much as what the other side did.
    Refused(Unreadable),
    Recalled,
    Alike,
    Edited,
}

/// What came of the last request of a read-back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceSignal {
    /// There was none: it could be known without.
    Unasked,
    /// An answer that tells what became of the edit.
    Conclusive,
    /// An answer that does not.
    Inconclusive,
    /// The answer was lost.
    Lost(Note),
}

/// Where one read-back came down.
#[derive(Debug)]
pub(super) enum ReadBackResult {
    /// What it told is durable.
    Settled { recorded: Recorded, heard: ServiceSignal },
    /// The edit did not take place, and can be sent again.
    NotEdited(Pending),
    /// No page came back, but this.
    NoPage { pending: Pending, outcome: Outcome },
    /// The run stops or is paused.
    Stopped(Pending),
    /// The ledger failed. `unsure`: it says `in_doubt` since this run.
    NotRecorded { error: LedgerError, unsure: bool },
}

/// Why a read-back ended before it told anything.
pub(super) enum ReadBackCut {
    /// It tells this already.
    Unasked(Evidence),
    /// The run stops or is paused.
    Stopping,
    /// No page came back, but this.
    NoPage(Outcome, Receipt),
}

impl ReadBacks {
    pub(super) fn new(rate: NonZeroU32, max_rate: NonZeroU32, not_before: Instant) -> ReadBacks {
        ReadBacks {
            pace: Pace::new(read_back_rate(rate, max_rate), not_before),
            max_rate,
            older_names: AtomicBool::new(false),
            refused: OnceLock::new(),
            accepted: AtomicBool::new(false),
            too_fast: Mutex::new(None),
            requests: AtomicU64::new(0),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn hold(&self, duration: Duration) {
        self.pace.hold(duration);
    }

    pub(super) fn pause(&self) {
        self.pace.pause();
    }

    /// A pause says nothing of how long looks were too fast.
    pub(super) fn resume(&self) {
        self.was_in_time();
        self.pace.resume();
    }

    pub(super) fn set_rate(&self, rate: NonZeroU32) {
        self.pace.set_cap(read_back_rate(rate, self.max_rate));
    }

    /// Whether the service accepts the signature in use, as far as looks have shown.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Whether it is known that the service gives no looks to this app.
    pub(super) fn are_refused(&self) -> bool {
        self.refused.get().is_some()
    }

    pub(super) fn signature_refused(&self) {
        self.accepted.store(false, Ordering::Relaxed);
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A look was answered, and not with that.
    fn was_in_time(&self) {
        *self.too_fast.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A look was too fast. True: looks for other messages pass, or there are none, so this message has itself to blame.
    fn is_refused_alone(&self, pending: &mut Pending) -> bool {
        let now = Instant::now();
        let first = pending.look_too_fast_at;
        pending.look_too_fast_at.get_or_insert(now);
        let mut too_fast = self.too_fast.lock().unwrap_or_else(PoisonError::into_inner);
        let TooFast { message, .. } = too_fast.get_or_insert(TooFast { since: now, message: Some(pending.message) });
        if *message != Some(pending.message) {
            *message = None;
        }
        let is_alone = first.is_some_and(|first| message.is_some() || self.pace.lets_others_pass_since(first));
        if is_alone && message.is_some() {
            *too_fast = Some(TooFast { since: now, message: Some(pending.message) });
        }
        is_alone
    }

    /// Every look was too fast: this can go on for ever, and no edit is to blame for it.
    fn was_too_fast(&self, code: Option<i64>) {
        let now = Instant::now();
        let too_fast = *self.too_fast.lock().unwrap_or_else(PoisonError::into_inner);
        let since = too_fast.map_or(now, |too_fast| too_fast.since);
        let unclear = Unreadable { note: Note::ReadBackFailed, code };
        if now - since >= LOOKS_TOO_FAST_MAX && self.refused.set(unclear).is_ok() {
            tracing::warn!(
                "for {LOOKS_TOO_FAST_MAX:?} every look at a message was too fast: what is in doubt stays so"
            );
        }
    }
}

/// Reads one edit in doubt back, and settles it where that tells what became of it.
pub(super) async fn read_back<S: Service>(line: Arc<RunContext<S>>, mut pending: Pending) -> ReadBackResult {
    // What came into doubt in this run is worth a look while the run stops; what was not sent in it is left as it stood.
    let stop = if pending.came_into_doubt() { &line.read_backs.stop } else { &line.stop };
    // To have looked changes nothing, so nobody needs the answer to a look that is broken off.
    let asked = stop.run_until_cancelled(ask_both_sides(&line, &pending.edit)).await;
    let (told, heard) = match asked.unwrap_or(Err(ReadBackCut::Stopping)) {
        Ok(Evidence::NotEdited) if pending.tries < line.attempts_max.get() => {
            (pending.doubt, pending.read_first) = (None, false);
            return ReadBackResult::NotEdited(pending);
        }
        Ok(told @ (Evidence::Edited | Evidence::NotEdited)) => (told, ServiceSignal::Conclusive),
        Ok(told) => (told, ServiceSignal::Inconclusive),
        Err(ReadBackCut::Unasked(told)) => (told, ServiceSignal::Unasked),
        Err(ReadBackCut::Stopping) => return ReadBackResult::Stopped(pending),
        Err(ReadBackCut::NoPage(outcome, receipt)) => {
            let verdict = retry::judge(&outcome);
            let is_refused_alone = slow_down(&line, &outcome, &mut pending, receipt);
            pending.looks += u32::from(is_refused_alone || counts(verdict));
            if pending.looks < line.attempts_max.get() {
                return ReadBackResult::NoPage { pending, outcome };
            }
            match verdict {
                Verdict::InDoubt { note, .. } => (Evidence::Nothing(Note::ReadBackFailed), ServiceSignal::Lost(note)),
                Verdict::SlowDown { code, .. } => {
                    (Evidence::Refused(Unreadable { note: Note::ReadBackFailed, code }), ServiceSignal::Inconclusive)
                }
                Verdict::Done
                | Verdict::Retry { .. }
                | Verdict::SignAnew { .. }
                | Verdict::Failed { .. }
                | Verdict::NotSent
                | Verdict::Stop { .. } => (Evidence::Nothing(Note::ReadBackFailed), ServiceSignal::Inconclusive),
            }
        }
    };
    tracing::debug!(line = pending.line, ?told, "read back");
    let unsure = pending.came_into_doubt();
    let settlement = if pending.doubt.is_some() { told.settlement() } else { told.settlement_before_sending() };
    match line.ledger.settle(pending, settlement).await {
        Ok(recorded) => ReadBackResult::Settled { recorded, heard },
        Err(error) => ReadBackResult::NotRecorded { error, unsure },
    }
}

/// Each side has a history of its own. Only where none of them shows the wanted content was the edit not made; one that
/// may not be looked at could show it.
async fn ask_both_sides<S: Service>(line: &RunContext<S>, edit: &Edit) -> Result<Evidence, ReadBackCut> {
    let id = edit.id();
    let Some(second) = id.second() else {
        return Err(ReadBackCut::Unasked(Evidence::Nothing(Note::KeyWithoutTime)));
    };
    if let Some(unclear) = line.read_backs.refused.get() {
        return Err(ReadBackCut::Unasked(Evidence::Refused(*unclear)));
    }
    let mut told = Evidence::Nothing(Note::NotInHistory);
    for (operator, peer) in [(&id.from_account, &id.to_account), (&id.to_account, &id.from_account)] {
        // By then another edit's look may have been the last one.
        if let Some(unclear) = line.read_backs.refused.get() {
            return Ok(told.max(Evidence::Refused(*unclear)));
        }
        let side = match find(line, id, HistoryQuery::around(second, operator, peer)).await {
            Ok(SideHistory::HistoryMessage(held)) => Evidence::of(edit, &held),
            Ok(SideHistory::NotThere) => continue,
            Ok(SideHistory::Unread) => Evidence::Refused(Unreadable { note: Note::ReadBackFailed, code: None }),
            Err(ReadBackCut::NoPage(outcome, receipt)) => Evidence::Refused(refusal(line, outcome, receipt)?),
            Err(broken) => return Err(broken),
        };
        if side == Evidence::Edited {
            return Ok(side);
        }
        told = told.max(side);
    }
    Ok(told)
}

/// What is left to say where the service refuses to have this message read back, or any; other outcomes pass.
fn refusal<S: Service>(line: &RunContext<S>, outcome: Outcome, receipt: Receipt) -> Result<Unreadable, ReadBackCut> {
    let verdict = retry::judge(&outcome);
    match verdict {
        Verdict::Failed { code, .. } => Ok(Unreadable { note: Note::ReadBackRefused, code }),
        // Not so the signature: without one, no edit can be made either.
        Verdict::Stop { code, .. } if !is_signature(code) => {
            let unclear = Unreadable { note: Note::ReadBackRefused, code };
            if line.read_backs.refused.set(unclear).is_ok() {
                let why = Cause::of(&verdict).map(|cause| cause.to_string()).unwrap_or_default();
                tracing::warn!("the service refuses to have messages read back ({why}): what is in doubt stays so");
            }
            Ok(unclear)
        }
        _ => Err(ReadBackCut::NoPage(outcome, receipt)),
    }
}

/// Whether it is one of the looks that an edit has. Not being reached ends otherwise; being too fast, see [`slow_down`].
fn counts(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Retry { .. } | Verdict::InDoubt { .. } | Verdict::SignAnew { .. })
}

fn is_signature(code: Option<i64>) -> bool {
    code.and_then(error_code::lookup).is_some_and(|entry| entry.class == Class::Signature)
}

/// What one side's history has.
enum SideHistory {
    HistoryMessage(HistoryMessage),
    NotThere,
    /// It breaks off before it was read to its end.
    Unread,
}

/// Looks for a message in one side's history, page by page.
async fn find<S: Service>(
    line: &RunContext<S>,
    id: &MessageId,
    mut query: HistoryQuery,
) -> Result<SideHistory, ReadBackCut> {
    for _ in 0..PAGES_MAX {
        let page = page(line, &mut query).await?;
        if let Some(held) = page.messages.into_iter().find(|held| held.id == *id) {
            return Ok(SideHistory::HistoryMessage(held));
        }
        // Pages run from new to old; a time that is left out says nothing.
        let is_past = (1..query.min_time).contains(&page.last_msg_time);
        if page.complete || is_past {
            return Ok(SideHistory::NotThere);
        }
        let goes_on = query.last_msg_key.as_ref() != Some(&page.last_msg_key) && !page.last_msg_key.is_empty();
        if !goes_on || page.last_msg_time == 0 {
            return Ok(SideHistory::Unread);
        }
        query.max_time = page.last_msg_time;
        query.last_msg_key = Some(page.last_msg_key);
    }
    Ok(SideHistory::Unread)
}

/// One page, with the names of the accounts that this service takes.
pub(super) async fn page<S: Service>(
    line: &RunContext<S>,
    query: &mut HistoryQuery,
) -> Result<HistoryPage, ReadBackCut> {
    let older = &line.read_backs.older_names;
    query.names = if older.load(Ordering::Relaxed) { AccountNames::Older } else { AccountNames::Newer };
    match ask(line, query).await {
        Err(ReadBackCut::NoPage(Outcome::Refused { code: 90001 | 90003 | 90008, .. }, _)) => {
            query.names = query.names.other();
            let page = ask(line, query).await?;
            older.store(query.names == AccountNames::Older, Ordering::Relaxed);
            Ok(page)
        }
        answer => answer,
    }
}

/// One request.
async fn ask<S: Service>(line: &RunContext<S>, query: &HistoryQuery) -> Result<HistoryPage, ReadBackCut> {
    let pace = &line.read_backs.pace;
    let Some((_place, permit)) = line.permit(pace).await else { return Err(ReadBackCut::Stopping) };
    let (receipt, permitted) = (permit.receipt(), Instant::now());
    let answer = line.service.history(query, permit).await;
    if !matches!(answer, Err(Outcome::NotSent { .. } | Outcome::NoSignature)) {
        line.read_backs.requests.fetch_add(1, Ordering::Relaxed);
    }
    if answer.is_ok() {
        pace.answered(receipt);
        line.read_backs.accepted.store(true, Ordering::Relaxed);
        line.accepted.look(permitted);
    }
    if let Some(Backpressure::Hold(asked)) = answer.as_ref().err().map(retry::backpressure) {
        pace.hold(asked);
        line.pace.hold(asked);
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
            line.read_backs.was_in_time();
        }
    }
    answer.map_err(|outcome| ReadBackCut::NoPage(outcome, receipt))
}

/// A look that was too fast holds all looks. The edits are held for a second, or for as long as the service asks: they
/// have a limit of their own. True: it is meant for this message alone, holds nothing, and is one of the looks that the
/// edit has.
pub(super) fn slow_down<S: Service>(
    line: &RunContext<S>,
    outcome: &Outcome,
    pending: &mut Pending,
    receipt: Receipt,
) -> bool {
    let Backpressure::SlowDown(retry_after) = retry::backpressure(outcome) else { return false };
    if line.read_backs.is_refused_alone(pending) {
        let asked = retry_after.unwrap_or_default();
        line.read_backs.hold(asked);
        line.pace.hold(asked);
        return true;
    }
    if let Verdict::SlowDown { code, .. } = retry::judge(outcome) {
        line.read_backs.was_too_fast(code);
    }
    if let Some(held) = line.read_backs.pace.slow_down(receipt, retry_after) {
        line.pace.hold(retry_after.unwrap_or_else(|| held.min(EDITS_HELD_MAX)));
    }
    false
}

impl HistoryQuery {
    /// The history around one second: the clocks of the service's machines may differ a little.
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

impl Evidence {
    fn of(edit: &Edit, held: &HistoryMessage) -> Evidence {
        match edit.likeness(held.msg_body.as_ref(), held.cloud_custom_data.as_deref()) {
            Likeness::Same => Evidence::Edited,
            _ if held.recalled => Evidence::Recalled,
            Likeness::Alike => Evidence::Alike,
            Likeness::Other => Evidence::NotEdited,
        }
    }

    fn settlement(self) -> Settlement {
        let (state, note, code) = match self {
            Evidence::Edited => (State::Done, Note::ReadBack, None),
            Evidence::NotEdited => (State::Failed, Note::NotEdited, None),
            Evidence::Recalled => (State::InDoubt, Note::Recalled, None),
            Evidence::Alike => (State::InDoubt, Note::Alike, None),
            Evidence::Nothing(note) => (State::InDoubt, note, None),
            Evidence::Refused(Unreadable { note, code }) => (State::InDoubt, note, code),
        };
        Settlement { state, code, note: Some(note), counts: false }
    }

    /// Of an edit that is not in doubt, and was read before it is sent: what is not there, or was recalled, is not sent. What
    /// cannot be told may have been edited by a run that the ledger does not know of.
    fn settlement_before_sending(self) -> Settlement {
        let (state, note) = match self {
            Evidence::Edited => (State::Done, Note::AlreadyThere),
            Evidence::Recalled => (State::Failed, Note::RecalledBefore),
            Evidence::Nothing(Note::NotInHistory) => (State::Failed, Note::NotThere),
            Evidence::NotEdited | Evidence::Alike | Evidence::Nothing(_) | Evidence::Refused(_) => {
                return self.settlement();
            }
        };
        Settlement { state, code: None, note: Some(note), counts: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(rate: u32, max_rate: u32) -> u32 {
        read_back_rate(NonZeroU32::new(rate).unwrap(), NonZeroU32::new(max_rate).unwrap()).get()
    }

    #[test]
    fn the_jobs_of_an_app_read_back_at_its_limit_together() {
        assert_eq!([looks(200, 200), looks(50, 200), looks(1, 200), looks(10, 10), looks(1, 1)], [200, 50, 1, 10, 1]);
        assert_eq!([looks(1_000, 1_000), looks(200, 1_000), looks(1, 1_000_000)], [200, 40, 1]);
        for max_rate in [201, 333, 1_000, 5_000] {
            for jobs in [1, 2, 3, 7, 20] {
                assert!(jobs * looks(max_rate / jobs, max_rate) <= 200, "{jobs} jobs of {max_rate}");
            }
        }
    }
}
