//! When may the next request go out?
//!
//! Two parts work together, because neither does it alone. `governor` shapes the flow: requests leave evenly, and what
//! a busy machine held up is made up for. A window over the instants at which requests really went out proves the
//! cap: a permit counts from the moment it is given until a second after its request has reached the service, so a
//! connection that takes its time to open cannot bunch requests up. The invariant, kept by `PaceState::next`: `counting +
//! given but unspent <= cap`.
//!
//! When a request reached the service is not known; that it had before its answer came is. Where answers take about
//! the same time, one that took longer may have been late on its way there, and counts for that much longer (see
//! `TransitDelay`). Where they do not, a margin of a few milliseconds has to do.
//!
//! Permits are given in the order in which they were asked for, one at a time. All time is tokio's, so that tests run
//! on a paused clock; nothing here reads the wall clock.
//!
//! What the service lets through is found out as networks do it: the rate is lowered at once when "too fast" comes in
//! proportion, to what was let through last, and raised slowly. A single "too fast" costs a few milliseconds (see
//! [`Pace::slow_down`]).
//!
//! A leaf: it knows nobody.

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

/// The service counts by the second.
const SECOND: Duration = Duration::from_secs(1);
/// How long a request counts after it went out, where nothing better is known: a second, and a margin, as two
/// requests may travel at different speeds and arrive closer together than they left.
pub const WINDOW: Duration = Duration::from_millis(1_003);
/// Added to what a request may have been late.
const MARGIN_KNOWN: Duration = Duration::from_millis(1);
/// A request that was later than this on its way counts as this late: the run must go on.
const LATE_MAX: Duration = Duration::from_millis(250);
/// Permits that fall due within so many milliseconds are given together: each waking costs more than what is done in it.
const TOGETHER_MS: u64 = 20;
/// And so many at most.
const TOGETHER_MAX: u32 = 8;
/// How long all requests are held when the service says "too fast" to every one of them, and not for how long.
const HOLD_FIRST: Duration = SECOND;
/// The longest hold, also where the service asks for a longer one: a header that says "next year" must not stop a run
/// silently.
const HOLD_MAX: Duration = Duration::from_mins(1);
/// Each slow-down widens the window by this, up to [`LEARNT_MAX`]: this service is further away than was thought, and
/// requests arrive closer together than they left.
const LEARNT: Duration = Duration::from_millis(2);
const LEARNT_MAX: Duration = Duration::from_millis(20);
/// A lowered rate climbs by a twentieth of the cap every second, up to what the service is known to let through.
const CLIMB_STEPS: u32 = 20;
/// Beyond that it climbs by a fiftieth of itself: to find out whether more is let through costs refusals.
const PROBE_STEPS: u32 = 50;

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>;

/// Gives permits, at most `cap` in any second.
#[derive(Debug)]
pub struct Pace {
    shared: Arc<SharedState>,
    /// Held while waiting for a permit: whoever waits longest comes first, and only one sleeps on the clock.
    queue: tokio::sync::Mutex<()>,
}

/// The right to send one request. Spent at the moment the bytes go out; given back when dropped unspent.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<SharedState>,
    receipt: Receipt,
    spent: bool,
}

/// Tells which permit an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    number: u64,
    era: u64,
}

#[derive(Debug)]
struct SharedState {
    state: Mutex<PaceState>,
    /// Signalled when a permit comes back unspent or is spent.
    freed: Notify,
    /// Signalled when somebody changes the pace. Besides these two, only time ends waiting.
    changed: Notify,
}

#[derive(Debug)]
struct PaceState {
    cap: u32,
    /// [`WINDOW`], and what was learnt.
    window: Duration,
    /// The part of the margin that was learnt from slow-downs.
    learnt: Duration,
    /// The requests that count, in the order in which they went out.
    spent: VecDeque<SpentPermit>,
    transit: TransitDelay,
    /// Permits that are given and neither spent nor returned.
    unspent: usize,
    limiter: Limiter,
    /// What the limiter is set to now: `cap`, or less after a slow-down.
    rate: u32,
    /// What the service is known to let through; the cap where it never refused in proportion.
    known: u32,
    /// It climbs back after a slow-down.
    is_slowed: bool,
    climb_at: Instant,
    held_until: Instant,
    held: bool,
    /// How long everything is held where everything is refused. Doubled each time that happens although the rate was
    /// lowered before, halved with each second in which requests pass.
    hold: Duration,
    shrink_at: Instant,
    answers: Answers,
    /// How often the rate was lowered: answers to requests that went out before say nothing new.
    era: u64,
    /// Slow-downs that were obeyed.
    slow_downs: u64,
    given: u64,
    paused: bool,
}

/// How the pace is just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaceNow {
    /// Requests a second at most.
    pub cap: u32,
    /// What requests leave at: the cap, or less after a slow-down.
    pub rate: u32,
    /// For how long everything is still held; zero where nothing is.
    pub held: Duration,
}

/// A request that went out.
#[derive(Debug)]
struct SpentPermit {
    number: u64,
    at: Instant,
    /// It counts until then.
    until: Instant,
}

enum NextPermit {
    Go(Receipt),
    At(Instant),
    /// Everything the window holds is given out and unspent.
    WhenFreed,
    Paused,
}

impl Pace {
    /// A pace of at most `rate` requests in any second, its cap. Nothing goes out before `not_before`: a program that starts
    /// again right after another has sent waits there for a whole window, and so never adds to the other's last second.
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

    /// Waits until one more request may go out. `None`: it is paused. Dropping the future gives up the place in the queue.
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

    /// The service has answered: the request reached it before now.
    pub fn answered(&self, receipt: Receipt) {
        self.shared.state().answered(Instant::now(), receipt);
    }

    /// The service let the request through, whatever became of it then.
    pub fn passed(&self, receipt: Receipt) {
        self.shared.state().passed(Instant::now(), receipt.era);
    }

    /// The service said "too fast" to a request: holds all requests, for as long as it asked for where it did, and else
    /// for as large a part of a second as the share of the last answers that were "too fast": the service counts by the
    /// second, and a second later it has nothing left to count. So one said by mistake costs a few milliseconds. Where
    /// they come in proportion, the rate is lowered as well, to what was let through in the last second; where everything
    /// is refused although it was lowered, holds get longer. Answers to requests that went out before the rate was last
    /// lowered say nothing new. Returns how long everything is held, where this is news.
    pub fn slow_down(&self, receipt: Receipt, retry_after: Option<Duration>) -> Option<Duration> {
        self.shared.state().slow_down(Instant::now(), receipt.era, retry_after)
    }

    /// Whether the service lets nearly all requests through, also since one was `refused`. What it refuses all the same, it
    /// refuses for another reason than the pace.
    pub fn lets_others_pass_since(&self, refused: Instant) -> bool {
        self.shared.state().answers.mostly_pass_since(refused)
    }

    /// Holds all requests for this long, without changing the rate.
    pub fn hold(&self, duration: Duration) {
        let mut state = self.shared.state();
        state.held_until = state.held_until.max(Instant::now() + duration.min(HOLD_MAX));
    }

    /// Gives no permit until [`Pace::resume`]; who waits for one waits no longer.
    pub fn pause(&self) {
        self.shared.state().paused = true;
        self.shared.changed.notify_one();
    }

    /// Gives permits again; what the pause held up is not made up for.
    pub fn resume(&self) {
        let mut state = self.shared.state();
        state.held |= std::mem::take(&mut state.paused);
    }

    /// From now on at most `cap` requests in any second. Those that went out before count towards it.
    pub fn set_cap(&self, cap: NonZeroU32) {
        let mut state = self.shared.state();
        // A rate that a slow-down has lowered climbs on from where it is.
        let rate = if state.is_slowed { state.rate } else { cap.get() };
        state.cap = cap.get();
        state.known = if state.is_slowed { state.known.min(state.cap) } else { state.cap };
        state.set_rate(rate);
        drop(state);
        self.shared.changed.notify_one();
    }

    /// How it is just now.
    pub fn now(&self) -> PaceNow {
        let state = self.shared.state();
        PaceNow { cap: state.cap, rate: state.rate, held: state.held_until.saturating_duration_since(Instant::now()) }
    }

    /// How often the service has said "too fast" so far.
    pub fn slow_downs(&self) -> u64 {
        self.shared.state().slow_downs
    }
}

impl Permit {
    /// To tell later what was answered.
    pub fn receipt(&self) -> Receipt {
        self.receipt
    }

    /// To be called just before the bytes go out.
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
        // No code that holds the lock can panic half-way through a change; if it did, the counts would still be sound.
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
            // What a hold held up is not made up for.
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
        // It went out not long ago, so it is near the end.
        let Some(spent) = self.spent.iter_mut().rev().find(|spent| spent.number == receipt.number) else { return };
        let took = now - spent.at;
        if let Some(late) = self.transit.late(took) {
            // Never for less long: a way that gets quicker shows only later how late everything was before.
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
        // A second in which nothing went out says nothing.
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

    /// By at least a tenth, and by at most a quarter: what passed within a second that a hold cut short says too little.
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

/// What was held up for up to a tenth of a second is made up for, at once where the window has room for it. It begins
/// with nothing to make up for.
fn limiter(rate: u32) -> Limiter {
    let rate = NonZeroU32::new(rate).unwrap_or(NonZeroU32::MIN);
    let burst = NonZeroU32::new((rate.get() / 10).max(2)).unwrap_or(NonZeroU32::MIN);
    let limiter = RateLimiter::direct_with_clock(Quota::per_second(rate).allow_burst(burst), TokioClock);
    if let Some(all_but_one) = NonZeroU32::new(burst.get() - 1) {
        // Not more than the burst, and nothing was taken yet, so it cannot be refused.
        let _ = limiter.check_n(all_but_one);
    }
    limiter
}

/// How much longer to wait once a permit is due, for those that fall due next.
fn together(rate: u32) -> Duration {
    let slots = (TOGETHER_MS * u64::from(rate) / 1_000).clamp(1, u64::from(TOGETHER_MAX)) - 1;
    Duration::from_micros(slots * 1_000_000 / u64::from(rate.max(1)))
}

/// tokio's clock, which tests can pause, in governor's words.
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
