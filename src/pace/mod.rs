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
//! This module imports no other of this crate.

mod answers;
mod transit;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::answers::Answers;
use self::transit::TransitDelay;

/// The service counts requests by the second.
const SECOND: Duration = Duration::from_secs(1);
/// How long a request counts after it went out, unless more is known: a second, and a margin, since two requests may
/// travel at different speeds and arrive closer together than they left.
pub const WINDOW: Duration = Duration::from_millis(1_003);
/// Added to the time by which a request may have been late.
const MARGIN_KNOWN: Duration = Duration::from_millis(1);
/// A request that may have been later than this counts as this late: the run must not stall.
const LATE_MAX: Duration = Duration::from_millis(250);
/// Permits that fall due within this many milliseconds are given together: a wake-up costs more than the work done in
/// it.
const TOGETHER_MS: u64 = 20;
/// The most permits given together.
const TOGETHER_MAX: u32 = 8;
/// How long all requests are held if the service says "too fast" to every one of them and gives no time.
const HOLD_FIRST: Duration = SECOND;
/// The longest hold, even if the service asks for more: a header that says "next year" must not stop a run silently.
const HOLD_MAX: Duration = Duration::from_mins(1);
/// Each slow-down widens the window by this, up to [`LEARNT_MAX`]: the service is further away than assumed, and
/// requests arrive closer together than they left.
const LEARNT: Duration = Duration::from_millis(2);
const LEARNT_MAX: Duration = Duration::from_millis(20);
/// A lowered rate climbs by a twentieth of the cap every second, up to what the service is known to accept.
const CLIMB_STEPS: u32 = 20;
/// Beyond that it climbs by a fiftieth of itself: finding out whether the service accepts more costs refusals.
const PROBE_STEPS: u32 = 50;

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>;

/// Gives permits, at most `cap` in any second.
#[derive(Debug)]
pub struct Pace {
    shared: Arc<SharedState>,
    /// Held while waiting for a permit: permits are given in order, and only one task sleeps on the clock.
    queue: tokio::sync::Mutex<()>,
}

/// The right to send one request. Spent at the moment the bytes go out; returned if dropped unspent.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<SharedState>,
    receipt: Receipt,
    spent: bool,
}

/// Identifies the permit that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    number: u64,
    era: u64,
}

#[derive(Debug)]
struct SharedState {
    state: Mutex<PaceState>,
    /// Signalled when a permit is spent, or returned unspent.
    freed: Notify,
    /// Signalled when the pace is changed from outside. Apart from these two, only time ends a wait.
    changed: Notify,
}

#[derive(Debug)]
struct PaceState {
    cap: u32,
    /// [`WINDOW`], and the learnt margin.
    window: Duration,
    /// The part of the margin learnt from slow-downs.
    learnt: Duration,
    /// The requests that still count, in the order in which they went out.
    spent: VecDeque<SpentPermit>,
    transit: TransitDelay,
    /// Permits given and neither spent nor returned.
    unspent: usize,
    limiter: Limiter,
    /// The limiter's current rate: `cap`, or less after a slow-down.
    rate: u32,
    /// The rate that the service is known to accept; the cap if it never refused in proportion.
    known: u32,
    /// The rate is climbing back after a slow-down.
    is_slowed: bool,
    climb_at: Instant,
    held_until: Instant,
    held: bool,
    /// How long everything is held if everything is refused. Doubled each time that happens although the rate was
    /// lowered before, halved with each second in which requests pass.
    hold: Duration,
    shrink_at: Instant,
    answers: Answers,
    /// How often the rate was lowered: answers to requests that went out before that are out of date.
    era: u64,
    /// "Too fast" answers that changed the pace.
    slow_downs: u64,
    given: u64,
    paused: bool,
}

/// The current pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceNow {
    /// The most requests a second.
    pub cap: u32,
    /// The rate at which requests leave: the cap, or less after a slow-down.
    pub rate: u32,
    /// How long everything is still held; zero if nothing is.
    pub held: Duration,
}

/// A request that went out.
#[derive(Debug)]
struct SpentPermit {
    number: u64,
    at: Instant,
    /// It counts until this time.
    until: Instant,
}

enum NextPermit {
    Go(Receipt),
    At(Instant),
    /// Every place in the window is taken by a permit that is still unspent.
    WhenFreed,
    Paused,
}

impl Pace {
    /// A pace of at most `rate` requests in any second, its cap. Nothing goes out before `not_before`: a program that
    /// restarts right after another one sent waits a whole window, and so never adds to the other's last second.
    pub fn new(rate: NonZeroU32, not_before: Instant) -> Pace {
        let cap = rate.get();
        let now = Instant::now();
        let state = PaceState {
            cap,
            window: WINDOW,
            learnt: Duration::ZERO,
            spent: VecDeque::new(),
            transit: TransitDelay::default(),
            unspent: 0,
            limiter: limiter(cap),
            rate: cap,
            known: cap,
            is_slowed: false,
            climb_at: now,
            held_until: not_before.max(now),
            held: false,
            hold: HOLD_FIRST,
            shrink_at: now,
            answers: Answers::default(),
            era: 0,
            slow_downs: 0,
            given: 0,
            paused: false,
        };
        Pace {
            shared: Arc::new(SharedState { state: Mutex::new(state), freed: Notify::new(), changed: Notify::new() }),
            queue: tokio::sync::Mutex::new(()),
        }
    }

    /// Waits until one more request may go out. `None`: the pace is paused. Dropping the future gives up the place in
    /// the queue.
    pub async fn permit(&self) -> Option<Permit> {
        let _turn = self.queue.lock().await;
        loop {
            let (freed, changed) = (self.shared.freed.notified(), self.shared.changed.notified());
            let next = self.shared.state().next(Instant::now());
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

    /// Gives no permits until [`Pace::resume`]; waiting callers get `None`.
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
        let mut state = self.shared.state();
        // A rate that a slow-down lowered climbs on from where it is.
        let rate = if state.is_slowed { state.rate } else { cap.get() };
        state.cap = cap.get();
        state.known = if state.is_slowed { state.known.min(state.cap) } else { state.cap };
        state.set_rate(rate);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// The current pace.
    pub fn now(&self) -> PaceNow {
        let state = self.shared.state();
        PaceNow { cap: state.cap, rate: state.rate, held: state.held_until.saturating_duration_since(Instant::now()) }
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
    pub fn spend(mut self) {
        self.spent = true;
        let mut state = self.shared.state();
        state.unspent -= 1;
        let at = Instant::now();
        let until = at + state.window;
        state.spent.push_back(SpentPermit { number: self.receipt.number, at, until });
        drop(state);
        self.shared.freed.notify_one();
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

impl PaceState {
    fn next(&mut self, now: Instant) -> NextPermit {
        if self.paused {
            return NextPermit::Paused;
        }
        if now < self.held_until {
            self.held = true;
            return NextPermit::At(self.held_until);
        }
        if std::mem::take(&mut self.held) {
            // What a hold delayed is not caught up.
            self.limiter = limiter(self.rate);
        }
        self.climb(now);
        while self.spent.front().is_some_and(|spent| spent.until <= now) {
            self.spent.pop_front();
        }
        if self.spent.len() + self.unspent >= self.cap as usize {
            return self.spent.front().map_or(NextPermit::WhenFreed, |oldest| NextPermit::At(oldest.until));
        }
        match self.limiter.check() {
            Ok(()) => {
                self.unspent += 1;
                self.given += 1;
                NextPermit::Go(Receipt { number: self.given, era: self.era })
            }
            Err(not_until) => NextPermit::At(now + not_until.wait_time_from(now.into_std()) + together(self.rate)),
        }
    }

    fn answered(&mut self, now: Instant, receipt: Receipt) {
        // It went out recently, so it is near the end.
        let Some(spent) = self.spent.iter_mut().rev().find(|spent| spent.number == receipt.number) else { return };
        let took = now - spent.at;
        if let Some(late) = self.transit.late(took) {
            // Never shortened: a connection that gets quicker shows only later how late everything was before.
            spent.until = spent.until.max(spent.at + SECOND + MARGIN_KNOWN + late.min(LATE_MAX) + self.learnt);
        }
        self.transit.took(took);
    }

    fn climb(&mut self, now: Instant) {
        if self.rate < self.cap && now >= self.climb_at {
            let step = if self.rate < self.known { self.cap / CLIMB_STEPS } else { self.rate / PROBE_STEPS };
            self.set_rate(self.rate + step.max(1));
            self.climb_at = now + SECOND;
            if self.rate == self.cap {
                (self.is_slowed, self.known) = (false, self.cap);
            }
        }
    }

    fn passed(&mut self, now: Instant, era: u64) {
        if era < self.era {
            return;
        }
        self.answers.add(now, false);
        if now >= self.shrink_at {
            self.hold = (self.hold / 2).max(HOLD_FIRST);
            self.shrink_at = now + SECOND;
        }
    }

    fn slow_down(&mut self, now: Instant, era: u64, retry_after: Option<Duration>) -> Option<Duration> {
        if era < self.era {
            if let Some(asked) = retry_after {
                self.held_until = self.held_until.max(now + asked.min(HOLD_MAX));
            }
            return None;
        }
        self.slow_downs += 1;
        self.answers.add(now, true);
        let hold = retry_after.unwrap_or_else(|| self.answers.share_of(self.hold)).min(HOLD_MAX);
        self.held_until = self.held_until.max(now + hold);
        // A second in which nothing went out proves nothing.
        self.climb_at += hold;
        if self.answers.are_in_proportion() {
            self.lower_rate(now);
        }
        if self.learnt < LEARNT_MAX {
            self.learnt += LEARNT;
            self.window += LEARNT;
        }
        Some(hold)
    }

    /// By at least a tenth and at most a quarter: what passed in a second that a hold cut short says too little.
    fn lower_rate(&mut self, now: Instant) {
        self.set_rate(
            self.answers.passed(now).clamp(self.rate - self.rate.div_ceil(4), self.rate - self.rate.div_ceil(10)),
        );
        self.is_slowed = true;
        if self.answers.are_mostly_refused() {
            self.hold = (self.hold * 2).min(HOLD_MAX);
            self.shrink_at = self.held_until + SECOND;
        } else {
            self.known = self.rate;
        }
        self.climb_at = self.held_until + SECOND;
        self.answers.clear();
        self.era += 1;
    }

    fn set_rate(&mut self, rate: u32) {
        self.rate = rate.clamp((self.cap / CLIMB_STEPS).max(1), self.cap);
        self.limiter = limiter(self.rate);
    }
}

/// Delays of up to a tenth of a second are caught up, at once if the window has room. It starts with nothing to catch
/// up.
fn limiter(rate: u32) -> Limiter {
    let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new((rate.get() / 10).max(2)).unwrap_or(NonZeroU32::MIN);
    let limiter = RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(burst), TokioClock);
    if let Some(all_but_one) = NonZeroU32::new(burst.get() - 1) {
        // This is within the burst, and nothing was taken yet, so it cannot be refused.
        let _ = limiter.check_n(all_but_one);
    }
    limiter
}

/// How much longer to wait for a permit that is due, so that it is given together with the next ones.
fn together(rate: u32) -> Duration {
    let slots = (TOGETHER_MS * u64::from(rate) / 1_000).clamp(1, u64::from(TOGETHER_MAX)) - 1;
    Duration::from_micros(slots * 1_000_000 / u64::from(rate.max(1)))
}

/// tokio's clock, which tests can pause, for governor.
#[derive(Clone, Copy, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = std::time::Instant;

    fn now(&self) -> std::time::Instant {
        Instant::now().into_std()
    }
}

#[cfg(test)]
mod tests;
