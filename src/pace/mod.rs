//! When the next request may go out.
//!
//! Two parts work together, because neither is enough alone. `governor` shapes the flow: requests leave evenly, and
//! short delays of a busy machine are caught up. A window over the instants at which requests really went out proves
//! the cap: a permit counts from the moment it is given until a second after its request has reached the service, so a
//! connection that is slow to open cannot bunch requests up. The invariant, kept by `PaceState::next`: `counting +
//! given but unspent <= cap`.
//!
//! It is not known when a request reached the service, only that it did before its answer came. If answers take about
//! the same time, a request whose answer took longer may have been late on its way, and counts for that much longer
//! (see `TransitDelay`). Otherwise a margin of a few milliseconds has to do.
//!
//! Permits are given in the order of asking, one at a time. All time is tokio's, so that tests run on a paused clock;
//! nothing here reads the wall clock.
//!
//! The rate that the service accepts is found as networks do it: it is lowered at once when "too fast" comes in
//! proportion, to what passed last, and raised slowly. A single "too fast" costs a few milliseconds (see
//! [`Pace::slow_down`]).
//!
//! Runners on several machines share one cap as shares of it, whole requests a second ([`shares`], [`Demand`]); each has
//! a pace of its own whose cap is its share, and a [`Gate`] that shuts in time if it may have been taken for lost. Both
//! are asked when a permit is given, and again when it is spent.
//!
//! This module imports no other of this crate.

mod answers;
mod demand;
mod gate;
pub mod shares;
mod state;
mod transit;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

pub use self::demand::{Demand, Usage};
pub use self::gate::{GATE_OPEN, Gate, GateTime, SWITCH_AFTER};
pub(crate) use self::state::HOLD_MAX;
use self::state::{NextPermit, PaceState};
pub use self::state::{PaceNow, Receipt, WINDOW};

/// Gives permits, at most `cap` in any second.
#[derive(Debug)]
pub struct Pace {
    shared: Arc<SharedState>,
    /// Held while waiting for a permit: permits are given in order, and only one task sleeps on the clock.
    queue: tokio::sync::Mutex<()>,
}

/// The right to send one request. Spent at the moment the bytes go out; returned if dropped unspent, or if it may not be
/// spent any more.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<SharedState>,
    receipt: Receipt,
    spent: bool,
}

/// Nothing may go out, although a permit was given: meanwhile the gate has shut, a pause has begun, or the cap was lowered to
/// what has gone out already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing may be sent now")]
pub struct Shut;

#[derive(Debug)]
struct SharedState {
    gate: Gate,
    state: Mutex<PaceState>,
    /// Signalled when a permit is spent, or returned unspent.
    freed: Notify,
    /// Signalled when the pace is changed from outside. Apart from these two, only time ends a wait.
    changed: Notify,
}

impl Pace {
    /// A pace of at most `rate` requests in any second, its cap. Nothing goes out before `not_before`: a program that
    /// restarts right after another one sent waits a whole window, and so never adds to the other's last second.
    pub fn new(rate: NonZeroU32, not_before: Instant) -> Pace {
        Pace::with_gate(rate, not_before, Gate::always_open())
    }

    /// The same, behind a gate: while that is shut, no permit is given and none can be spent.
    pub fn with_gate(rate: NonZeroU32, not_before: Instant, gate: Gate) -> Pace {
        let state = Mutex::new(PaceState::new(rate, not_before, gate.can_shut()));
        Pace {
            shared: Arc::new(SharedState { gate, state, freed: Notify::new(), changed: Notify::new() }),
            queue: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits until one more request may go out. `None`: the pace is paused. Dropping the future gives up the place in
    /// the queue.
    pub async fn permit(&self) -> Option<Permit> {
        let _turn = self.queue.lock().await;
        loop {
            let (freed, changed) = (self.shared.freed.notified(), self.shared.changed.notified());
            let next = self.shared.state().next(Instant::now(), self.shared.gate.is_open());
            match next {
                NextPermit::Go(receipt) => {
                    return Some(Permit { shared: Arc::clone(&self.shared), receipt, spent: false });
                }
                NextPermit::Paused => return None,
                NextPermit::At(instant) => tokio::select! {
                    () = tokio::time::sleep_until(instant) => {}
                    () = changed => {}
                },
                NextPermit::WhenFreed => tokio::select! {
                    () = freed => {}
                    () = changed => {}
                },
                NextPermit::WhenOpened => tokio::select! {
                    () = self.shared.gate.opens() => {}
                    () = changed => {}
                },
            }
        }
    }

    /// Takes an answer: the request reached the service before now.
    pub fn answered(&self, receipt: Receipt) {
        self.shared.state().answered(Instant::now(), receipt);
    }

    /// The service let the request through, whatever it answered.
    pub fn passed(&self, receipt: Receipt) {
        self.shared.state().passed(Instant::now(), receipt.era);
    }

    /// Takes a "too fast". Holds all requests: for as long as the service asks, or else for that part of a second which
    /// is the share of "too fast" among the latest answers, since the service counts by the second and a second later
    /// has nothing left to count. So a single one, said by mistake, costs a few milliseconds. If they come in
    /// proportion, the rate is also lowered, to what passed in the last second; if everything is refused although the
    /// rate was lowered, holds get longer. Answers to requests that went out before the rate was last lowered are
    /// ignored. Returns how long everything is held, if this "too fast" was not ignored.
    pub fn slow_down(&self, receipt: Receipt, retry_after: Option<Duration>) -> Option<Duration> {
        self.shared.state().slow_down(Instant::now(), receipt.era, retry_after)
    }

    /// Whether the service lets nearly all requests through, also since it `refused` one. Then it refuses that one for
    /// another reason than the pace.
    pub fn lets_others_pass_since(&self, refused: Instant) -> bool {
        self.shared.state().answers.mostly_pass_since(refused)
    }

    /// Holds all requests for this long, without changing the rate.
    pub fn hold(&self, duration: Duration) {
        let mut state = self.shared.state();
        state.held_until = state.held_until.max(Instant::now() + duration.min(HOLD_MAX));
    }

    /// Gives no permits until [`Pace::resume`], and lets none be spent; waiting callers get `None`.
    pub fn pause(&self) {
        self.shared.state().paused = true;
        self.shared.changed.notify_one();
    }

    /// Gives permits again. What the pause delayed is not caught up.
    pub fn resume(&self) {
        let mut state = self.shared.state();
        state.held |= std::mem::take(&mut state.paused);
    }

    /// Allows at most `cap` requests in any second from now on. Those that went out before count as well.
    pub fn set_cap(&self, cap: NonZeroU32) {
        self.set_share(cap.get());
    }

    /// The same, for a share of a cap that others use as well. With a share of 0 nothing goes out. A share that stays
    /// what it was changes nothing.
    pub fn set_share(&self, share: u32) {
        let is_other = self.shared.state().set_cap(share);
        if is_other {
            self.shared.changed.notify_one();
        }
    }

    /// The current pace.
    pub fn now(&self) -> PaceNow {
        self.shared.state().now(Instant::now())
    }

    /// How many permits it has given.
    pub fn given(&self) -> u64 {
        self.shared.state().given
    }

    /// How often the service has said "too fast".
    pub fn slow_downs(&self) -> u64 {
        self.shared.state().slow_downs
    }
}

impl Permit {
    /// Identifies the permit once it is spent.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// Must be called just before the bytes go out.
    ///
    /// # Errors
    /// They must not go out. The permit is returned.
    pub fn spend(mut self) -> Result<(), Shut> {
        let mut state = self.shared.state();
        // The gate is asked now, not before: waiting for the lock takes time as well.
        let is_spent = self.shared.gate.is_open() && state.spend(Instant::now(), self.receipt);
        drop(state);
        if !is_spent {
            return Err(Shut);
        }
        self.spent = true;
        self.shared.freed.notify_one();
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.spent {
            self.shared.state().unspent -= 1;
            self.shared.freed.notify_one();
        }
    }
}

impl SharedState {
    fn state(&self) -> MutexGuard<'_, PaceState> {
        // No code that holds the lock can panic half-way through a change; even if it did, the counts would be sound.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
