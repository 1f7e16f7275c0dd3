//! What the parts of a run share: the ledger, the service, the two paces, and the limits that the run keeps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::accepted::Accepted;
use super::history_access::HistoryAccess;
use super::todo::InDoubt;
use super::under_way::UnderWay;
use crate::api::Service;
use crate::ledger::Ledger;
use crate::pace::{self, Pace, Permit};

/// At high rates many more than this would not be sent any sooner.
const AHEAD_MAX: usize = 1_024;

/// What an edit passes on its way.
#[derive(Debug)]
pub struct RunContext<S> {
    pub(super) ledger: Ledger,
    pub(super) pace: Pace,
    pub(super) lookups: HistoryAccess,
    pub(super) accepted: Accepted,
    pub(super) service: S,
    /// Places of requests that wait for their answers, or for these to be on disk.
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) in_flight_max: usize,
    /// Edits at most whose intent is durable and that still wait for a permit: enough for what goes out during two
    /// commits, and no more, since each of them is in doubt if the process dies.
    pub(super) ahead_max: usize,
    /// The same at the rate that the run was told last.
    ahead_now: AtomicUsize,
    pub(super) attempts_max: NonZeroU32,
    pub(super) in_doubt: InDoubt,
    pub(super) under_way: UnderWay,
    /// Nothing is sent before that.
    pub(super) begins: Instant,
    /// From then on nothing is under way any more of what an earlier run sent.
    pub(super) quiet_from: Instant,
    /// Told to those that wait for a permit: the service is out of reach, and one request tries it.
    pub(super) recall: Notify,
    /// Cancelled when nothing more shall be sent.
    pub(super) stop: CancellationToken,
    pub(super) seed: u64,
}

/// What a run is held to.
#[derive(Clone, Copy, Debug)]
pub struct RunTerms {
    /// Requests a second at most; reading back has its own limit, which is the same or less.
    pub rate: NonZeroU32,
    /// The cap that all jobs of the app on this machine share.
    pub max_rate: NonZeroU32,
    /// Requests that wait for their answers at most, or for these to be on disk.
    pub in_flight_max: usize,
    /// Sendings of one edit at most.
    pub attempts_max: NonZeroU32,
    /// What becomes of an edit in doubt.
    pub in_doubt: InDoubt,
    /// How long what was sent may be under way.
    pub under_way: UnderWay,
    /// Since when nobody else can have sent anything of this job, nor others of its app what this one may: since the ledger is
    /// locked and its share of the cap is held. `None`: nobody can have at
    /// any time, as the service knows nobody else.
    pub locked_since: Option<Instant>,
    /// For the jitter of the delays.
    pub seed: u64,
}

/// A place among so many.
pub(super) type Slot = OwnedSemaphorePermit;

/// Intents that are made ahead at most. A place is held until the outcome is on disk, so in that time each of them sends
/// two edits at most.
fn ahead(rate: NonZeroU32, in_flight_max: usize) -> usize {
    (rate.get() as usize / 4).clamp(4, AHEAD_MAX).min(in_flight_max.saturating_mul(2))
}

impl<S: Service> RunContext<S> {
    /// Sets out to send what `ledger` makes durable to `service`.
    pub fn new(ledger: Ledger, service: S, terms: RunTerms) -> RunContext<S> {
        let RunTerms { rate, max_rate, in_flight_max, attempts_max, in_doubt, under_way, locked_since, seed } = terms;
        // Whoever worked on this list before sent his last request before the ledger was locked, up to a full second's
        // worth of them. And what he sent may arrive late, and be worked on for a while.
        let now = Instant::now();
        let begins = locked_since.map_or(now, |since| now.max(since + pace::WINDOW));
        let quiet_from = locked_since.map_or(now, |since| since + under_way.of_earlier_runs);
        ledger.expect(in_flight_max);
        RunContext {
            ledger,
            pace: Pace::new(rate, begins),
            lookups: HistoryAccess::new(rate, max_rate, begins),
            accepted: Accepted::default(),
            service,
            in_flight: Arc::new(Semaphore::new(in_flight_max)),
            in_flight_max,
            ahead_max: ahead(rate, in_flight_max),
            ahead_now: AtomicUsize::new(ahead(rate, in_flight_max)),
            attempts_max,
            in_doubt,
            under_way,
            begins,
            quiet_from,
            recall: Notify::new(),
            stop: CancellationToken::new(),
            seed,
        }
    }

    /// Waits for a place among the requests in flight, and then for the right to send one. `None`: the run is paused.
    pub(super) async fn permit(&self, pace: &Pace) -> Option<(Slot, Permit)> {
        let room = Arc::clone(&self.in_flight).acquire_owned().await.ok()?;
        Some((room, pace.permit().await?))
    }

    pub(super) fn hold(&self, asked: Duration) {
        self.pace.hold(asked);
        self.lookups.hold(asked);
    }

    /// Sends nothing more for now. Who waits for a permit gets none and takes the intent back: if the process died during
    /// a pause, nothing would be in doubt.
    pub(super) fn pause(&self) {
        self.pace.pause();
        self.lookups.pause();
    }

    pub(super) fn resume(&self) {
        self.pace.resume();
        self.lookups.resume();
    }

    /// At a lower rate what waits for a permit would wait for longer: it is called back, and fewer come in its place.
    pub(super) fn set_rate(&self, rate: NonZeroU32) {
        let ahead = ahead(rate, self.in_flight_max);
        if ahead < self.ahead_now.swap(ahead, Ordering::Relaxed) {
            self.recall.notify_waiters();
        }
        self.pace.set_cap(rate);
        self.lookups.set_rate(rate);
    }

    /// Whether one more intent may be made, while so many wait for a permit.
    pub(super) fn may_intend(&self, waiting: usize) -> bool {
        let now = self.ahead_now.load(Ordering::Relaxed);
        now == self.ahead_max || waiting < now
    }

    /// When the first request may go out.
    pub fn begins(&self) -> Instant {
        self.begins
    }
}
