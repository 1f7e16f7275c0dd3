//! What the parts of a run share: the ledger, the service, the two paces, and the limits that the run keeps.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accepted::Accepted;
use super::activity::{Hold, HoldReason, SHOWN_MIN};
use super::conditions::Conditions;
use super::history_access::HistoryAccess;
use super::todo::InDoubt;
use super::under_way::UnderWay;
use crate::api::Service;
use crate::ledger::{Ledger, Progress};
use crate::pace::{self, Gate, HOLD_MAX, Pace, Permit};

/// More than this would not raise the rate, however high it is.
const AHEAD_MAX: usize = 1_024;
/// Shorter holds are logged at debug level only.
pub(super) const HOLD_WARNED_MIN: Duration = Duration::from_millis(250);
/// Answers that ask for time are reported at most this often: a gateway may add `Retry-After` to every one.
const HOLD_WARNED_EVERY: Duration = Duration::from_mins(1);

/// What all parts of a run share.
#[derive(Debug)]
pub struct RunContext<S> {
    pub(super) ledger: Ledger,
    pub(super) pace: Pace,
    pub(super) lookups: HistoryAccess,
    pub(super) accepted: Accepted,
    pub(super) service: S,
    /// Slots of requests whose answers, or the commits of those answers, are outstanding.
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) in_flight_max: usize,
    /// The most edits whose intent is durable and that still wait for a permit: as many as go out during two commits.
    /// No more than that, since each of them is in doubt if the process dies.
    pub(super) ahead_max: usize,
    /// The same, for the rate that is set now.
    ahead_now: AtomicUsize,
    /// The most requests a second, as the run was told.
    pub(super) rate: NonZeroU32,
    pub(super) attempts_max: NonZeroU32,
    pub(super) in_doubt: InDoubt,
    pub(super) conditions: Conditions,
    pub(super) under_way: UnderWay,
    /// Nothing is sent before this.
    pub(super) begins: Instant,
    /// From this on, nothing that an earlier run sent can still be under way.
    pub(super) quiet_from: Instant,
    /// Makes all that wait for a permit withdraw their intents, for example when the service is out of reach and only
    /// one request tries it.
    pub(super) recall: Notify,
    /// Why everything was held last.
    held_for: Mutex<HeldFor>,
    /// When it was last reported that an answer asked for time.
    hold_warned: Mutex<Option<Instant>>,
    /// Cancelled when nothing more may be sent.
    pub(super) stop: CancellationToken,
    pub(super) seed: u64,
    /// Whether anything may be handed to the connection: for a run that shares its ledger, while it holds its lease.
    pub(super) gate: Gate,
    /// Requests that have passed the gate and are not answered or given up yet.
    handed: AtomicUsize,
    /// What the heartbeat tells the other runs.
    to_others: Mutex<ToOthers>,
    /// The cap that all runs of the app share, where this run has only a share of it.
    job_cap: Mutex<Option<NonZeroU32>>,
}

/// What a run tells the others that share its ledger.
#[derive(Clone, Copy, Debug, Default)]
struct ToOthers {
    progress: Progress,
    hold: Option<Duration>,
    is_idle: bool,
}

/// A request that has passed the gate, until it is answered or given up.
pub(super) struct Handed<'a>(&'a AtomicUsize);

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Why edits are held, for how long in all, and until when.
#[derive(Clone, Copy, Debug)]
struct HeldFor {
    reason: HoldReason,
    length: Duration,
    until: Instant,
}

/// The limits of a run.
#[derive(Clone, Copy, Debug)]
pub struct RunTerms {
    /// The most requests a second. Reading back has its own limit, which is the same or lower.
    pub rate: NonZeroU32,
    /// The cap that all jobs of the app on this machine share.
    pub max_rate: NonZeroU32,
    /// The most requests whose answers, or the commits of those answers, are outstanding.
    pub in_flight_max: usize,
    /// The most attempts at one edit.
    pub attempts_max: NonZeroU32,
    /// What becomes of an edit in doubt.
    pub in_doubt: InDoubt,
    /// How long a request may be under way.
    pub under_way: UnderWay,
    /// When the ledger was locked and the share of the cap taken: since then, nobody else can have sent edits of this
    /// job, or used this run's share. `None` if nobody else can have at any time, because no one else knows the
    /// service.
    pub locked_since: Option<Instant>,
    /// Seeds the jitter of delays.
    pub seed: u64,
}

/// A slot of a bounded number.
pub(super) type Slot = OwnedSemaphorePermit;

/// The most intents made ahead. A slot is held until the outcome is on disk, so in that time each slot sends two edits
/// at most.
fn ahead(rate: NonZeroU32, in_flight_max: usize) -> usize {
    (rate.get() as usize / 4).clamp(4, AHEAD_MAX).min(in_flight_max.saturating_mul(2))
}

/// Whether a hold is reported: a long one, unless another was within the last minute.
fn is_hold_warned(asked: Duration, last: &mut Option<Instant>, now: Instant) -> bool {
    let is_due = asked >= HOLD_WARNED_MIN && last.is_none_or(|last| now - last >= HOLD_WARNED_EVERY);
    if is_due {
        *last = Some(now);
    }
    is_due
}

impl<S: Service> RunContext<S> {
    /// A run that sends the intents of `ledger` to `service`.
    pub fn new(ledger: Ledger, service: S, terms: RunTerms) -> RunContext<S> {
        RunContext::behind(ledger, service, terms, Gate::always_open())
    }

    /// A run that shares its ledger with others. It has no share of the cap yet, and sends nothing until its heartbeat has
    /// got one; `gate` is open while it holds its lease.
    pub fn with_lease(ledger: Ledger, service: S, terms: RunTerms, gate: Gate) -> RunContext<S> {
        let context = RunContext::behind(ledger, service, terms, gate);
        context.set_shares(0, 0);
        context
    }

    /// The same run, of which each edit is made only under these conditions.
    #[must_use]
    pub fn on(self, conditions: Conditions) -> RunContext<S> {
        RunContext { conditions, ..self }
    }

    fn behind(ledger: Ledger, service: S, terms: RunTerms, gate: Gate) -> RunContext<S> {
        let RunTerms { rate, max_rate, in_flight_max, attempts_max, in_doubt, under_way, locked_since, seed } = terms;
        // An earlier run of this list may have sent a full second's worth of requests just before the ledger was
        // locked, and these may arrive late and take a while to process.
        let now = Instant::now();
        let begins = locked_since.map_or(now, |since| now.max(since + pace::WINDOW));
        let quiet_from = locked_since.map_or(now, |since| since + under_way.of_earlier_runs);
        RunContext {
            ledger,
            pace: Pace::with_gate(rate, begins, gate.clone()),
            lookups: HistoryAccess::new(rate, max_rate, begins, gate.clone()),
            accepted: Accepted::default(),
            service,
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            in_flight_max,
            ahead_max: ahead(rate, in_flight_max),
            ahead_now: AtomicUsize::new(ahead(rate, in_flight_max)),
            rate,
            attempts_max,
            in_doubt,
            conditions: Conditions::default(),
            under_way,
            begins,
            quiet_from,
            recall: Notify::new(),
            held_for: Mutex::new(HeldFor { reason: HoldReason::Start, length: begins - now, until: begins }),
            hold_warned: Mutex::new(None),
            stop: CancellationToken::new(),
            seed,
            gate,
            handed: AtomicUsize::new(0),
            to_others: Mutex::default(),
            job_cap: Mutex::default(),
        }
    }

    /// Waits for a slot among the requests in flight, and then for a permit. `None`: the run is paused.
    pub(super) async fn permit(&self, pace: &Pace) -> Option<(Slot, Permit)> {
        let room = Arc::clone(&self.in_flight).acquire_owned().await.ok()?;
        Some((room, pace.permit().await?))
    }

    /// Holds every request for as long as an answer asks, and reports it: the answer may be a success, and nothing else
    /// would tell why the run is slow.
    pub(super) fn hold(&self, asked: Duration) {
        let mut last = self.hold_warned.lock().unwrap_or_else(PoisonError::into_inner);
        if is_hold_warned(asked, &mut last, Instant::now()) {
            tracing::warn!(
                "an answer asks for time (Retry-After): every request is held for {:?}",
                asked.min(HOLD_MAX)
            );
        }
        drop(last);
        self.hold_for(HoldReason::RetryAfter, asked);
        self.publish_hold(asked.min(HOLD_MAX));
    }

    /// Holds every request, for this reason.
    pub(super) fn hold_for(&self, reason: HoldReason, length: Duration) {
        self.pace.hold(length);
        self.lookups.hold(length);
        self.is_held_for(reason, length);
    }

    /// Notes why edits are held. Of several holds, the one that ends last is why nothing is sent.
    pub(super) fn is_held_for(&self, reason: HoldReason, length: Duration) {
        let length = length.min(HOLD_MAX);
        let held = HeldFor { reason, length, until: Instant::now() + length };
        let mut last = self.held_for.lock().unwrap_or_else(PoisonError::into_inner);
        if held.until >= last.until {
            *last = held;
        }
    }

    /// The hold of this moment; `None` also where it is too short to be shown.
    pub(super) fn shown_hold(&self) -> Option<Hold> {
        let left = self.pace.now().held;
        let HeldFor { reason, length, .. } = *self.held_for.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shown = !left.is_zero() && (length >= SHOWN_MIN || left >= SHOWN_MIN);
        is_shown.then_some(Hold { reason, left })
    }

    /// Stops sending for now. Edits that wait for a permit withdraw their intents, so that nothing is in doubt if the
    /// process dies during a pause.
    pub(super) fn pause(&self) {
        self.pace.pause();
        self.lookups.pause();
    }

    pub(super) fn resume(&self) {
        self.pace.resume();
        self.lookups.resume();
    }

    /// At a lower rate, edits would wait longer for their permits; so they are recalled, and fewer take their place.
    pub(super) fn set_rate(&self, rate: NonZeroU32) {
        let ahead = ahead(rate, self.in_flight_max);
        if ahead < self.ahead_now.swap(ahead, Ordering::Relaxed) {
            self.recall.notify_waiters();
        }
        self.pace.set_cap(rate);
        self.lookups.set_rate(rate);
    }

    /// Sets the shares of edits and of read-backs, in requests a second. They change often, and mostly by little: edits that
    /// wait for a permit are recalled only if they would wait for much longer.
    pub(super) fn set_shares(&self, edits: u32, reads: u32) {
        let ahead = ahead(NonZeroU32::new(edits).unwrap_or(NonZeroU32::MIN), self.in_flight_max);
        if ahead < self.ahead_now.swap(ahead, Ordering::Relaxed) / 2 {
            self.recall.notify_waiters();
        }
        self.pace.set_share(edits);
        self.lookups.pace.set_share(reads);
    }

    /// A request is about to pass the gate.
    pub(super) fn hand(&self) -> Handed<'_> {
        self.handed.fetch_add(1, Ordering::SeqCst);
        Handed(&self.handed)
    }

    /// Whether no request can be between the gate and the connection.
    pub(super) fn has_handed_nothing(&self) -> bool {
        self.handed.load(Ordering::SeqCst) == 0
    }

    fn to_others(&self) -> MutexGuard<'_, ToOthers> {
        self.to_others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_progress(&self, progress: Progress) {
        self.to_others().progress = progress;
    }

    /// Whether nothing is at hand, so that others may have all of the cap.
    pub(super) fn set_idle(&self, is_idle: bool) {
        self.to_others().is_idle = is_idle;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.to_others().is_idle
    }

    pub(super) fn progress(&self) -> Progress {
        self.to_others().progress
    }

    /// Has the other runs hold as well, with the next beat.
    pub(super) fn publish_hold(&self, length: Duration) {
        if length.is_zero() {
            return;
        }
        let mut to_others = self.to_others();
        to_others.hold = to_others.hold.max(Some(length));
    }

    /// What is to be published.
    pub(super) fn take_hold(&self) -> Option<Duration> {
        self.to_others().hold.take()
    }

    /// Holds every request because another run was asked for time.
    pub(super) fn hold_with_others(&self, length: Duration) {
        self.pace.hold(length);
        self.lookups.hold(length);
        self.is_held_for(HoldReason::TooFast, length);
    }

    pub(super) fn set_job_cap(&self, cap: Option<NonZeroU32>) {
        *self.job_cap.lock().unwrap_or_else(PoisonError::into_inner) = cap;
    }

    /// The cap that all runs of the app share, where this run has only a share of it.
    pub(super) fn job_cap(&self) -> Option<NonZeroU32> {
        *self.job_cap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more intent may be made while `waiting` of them wait for a permit.
    pub(super) fn may_intend(&self, waiting: usize) -> bool {
        let now = self.ahead_now.load(Ordering::Relaxed);
        now == self.ahead_max || waiting < now
    }

    /// When the first request may go out.
    pub fn begins(&self) -> Instant {
        self.begins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_asks_for_time_with_every_answer_is_reported_once_a_minute() {
        let (mut last, start) = (None, Instant::now());
        assert!(!is_hold_warned(Duration::ZERO, &mut last, start));
        let warned = |second: &u64| {
            let now = start + Duration::from_secs(*second);
            is_hold_warned(Duration::from_secs(2), &mut last, now)
        };
        let warned: Vec<_> = (0..150).filter(warned).collect();
        assert_eq!(warned, [0, 60, 120]);
    }
}
