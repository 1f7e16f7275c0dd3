//! The rules of the pace, as a function of time: what counts, what is held, and how the rate falls and climbs.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::answers::{Answers, SECOND};
use super::transit::TransitDelay;

/// How long a request counts after it went out, unless more is known: a second, and a margin, since two requests may
/// travel at different speeds and arrive closer together than they left.
pub const WINDOW: Duration = Duration::from_millis(1_003);
/// The same where runners share a cap. Each comes by a way of its own, and the lateness of one is not that of the others:
/// what the answers show of it helps only on that way, so the margin is wider.
const WINDOW_OF_SEVERAL: Duration = Duration::from_millis(1_015);
/// Added to the time by which a request may have been late.
const MARGIN_KNOWN: Duration = Duration::from_millis(1);
/// The same where runners share a cap: the quickest answer may have been late itself.
const MARGIN_KNOWN_OF_SEVERAL: Duration = Duration::from_millis(15);
/// A request that may have been later than this counts as this late: the run must not stall.
const LATE_MAX: Duration = Duration::from_millis(250);
/// Permits that fall due within this many milliseconds are given together: a wake-up costs more than the work done in
/// it.
const TOGETHER_MS: u64 = 20;
/// The most permits given together.
const TOGETHER_MAX: u32 = 8;
/// How long all requests are held if the service says "too fast" to every one of them and gives no time.
pub(super) const HOLD_FIRST: Duration = SECOND;
/// The longest hold, even if the service asks for more: a header that says "next year" must not stop a run silently.
pub(crate) const HOLD_MAX: Duration = Duration::from_mins(1);
/// Each slow-down widens the window by this, up to [`LEARNT_MAX`]: the service is further away than assumed, and
/// requests arrive closer together than they left.
const LEARNT: Duration = Duration::from_millis(2);
const LEARNT_MAX: Duration = Duration::from_millis(20);
/// A lowered rate climbs by a twentieth of the cap every second, up to what the service is known to accept.
const CLIMB_STEPS: u32 = 20;
/// Beyond that it climbs by a fiftieth of itself: finding out whether the service accepts more costs refusals.
const PROBE_STEPS: u32 = 50;

type Limiter = RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<std::time::Instant>>;

/// Identifies the permit that an answer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    pub(super) number: u64,
    pub(super) era: u64,
}

#[derive(Debug)]
pub(super) struct PaceState {
    pub(super) cap: u32,
    /// [`WINDOW`] or [`WINDOW_OF_SEVERAL`], and the learnt margin.
    pub(super) window: Duration,
    /// The part of the margin learnt from slow-downs.
    learnt: Duration,
    /// Added to the time by which a request may have been late.
    margin_known: Duration,
    /// The requests that still count, in the order in which they went out.
    pub(super) spent: VecDeque<SpentPermit>,
    transit: TransitDelay,
    /// Permits given and neither spent nor returned.
    pub(super) unspent: usize,
    limiter: Limiter,
    /// The limiter's current rate, never 0: `cap`, or less after a slow-down. While the cap is 0, what it was before.
    rate: u32,
    /// The rate that the service is known to accept; the cap if it never refused in proportion.
    known: u32,
    /// The rate is climbing back after a slow-down.
    is_slowed: bool,
    climb_at: Instant,
    pub(super) held_until: Instant,
    pub(super) held: bool,
    /// How long everything is held if everything is refused. Doubled each time that happens although the rate was
    /// lowered before, halved with each second in which requests pass.
    pub(super) hold: Duration,
    shrink_at: Instant,
    pub(super) answers: Answers,
    /// How often the rate was lowered: answers to requests that went out before that are out of date.
    era: u64,
    /// "Too fast" answers that changed the pace.
    pub(super) slow_downs: u64,
    pub(super) given: u64,
    pub(super) paused: bool,
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
pub(super) struct SpentPermit {
    pub(super) number: u64,
    pub(super) at: Instant,
    /// It counts until this time.
    pub(super) until: Instant,
}

pub(super) enum NextPermit {
    Go(Receipt),
    At(Instant),
    /// Every place in the window is taken by a permit that is still unspent; or there are none, since the cap is 0.
    WhenFreed,
    /// The gate is shut.
    WhenOpened,
    Paused,
}

impl PaceState {
    pub(super) fn new(rate: NonZeroU32, not_before: Instant, is_one_of_several: bool) -> PaceState {
        let cap = rate.get();
        let now = Instant::now();
        PaceState {
            cap,
            window: if is_one_of_several { WINDOW_OF_SEVERAL } else { WINDOW },
            learnt: Duration::ZERO,
            margin_known: if is_one_of_several { MARGIN_KNOWN_OF_SEVERAL } else { MARGIN_KNOWN },
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
        }
    }

    pub(super) fn next(&mut self, now: Instant, is_open: bool) -> NextPermit {
        if self.paused {
            return NextPermit::Paused;
        }
        if !is_open {
            self.held = true;
            return NextPermit::WhenOpened;
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
        self.forget(now);
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

    fn forget(&mut self, now: Instant) {
        while self.spent.front().is_some_and(|spent| spent.until <= now) {
            self.spent.pop_front();
        }
    }

    /// The request of a permit goes out now. Returns false if it must not: after the permit was given there came a pause,
    /// or the cap was lowered, and as many as it allows have gone out already.
    pub(super) fn spend(&mut self, now: Instant, receipt: Receipt) -> bool {
        self.forget(now);
        let may_go = !self.paused && self.spent.len() < self.cap as usize;
        if may_go {
            self.unspent -= 1;
            self.spent.push_back(SpentPermit { number: receipt.number, at: now, until: now + self.window });
        }
        may_go
    }

    /// At a cap of 0 nothing goes out, and the rate stays what it was. Returns whether this is another cap than before.
    pub(super) fn set_cap(&mut self, cap: u32) -> bool {
        let is_other = std::mem::replace(&mut self.cap, cap) != cap;
        if is_other && cap > 0 {
            // A rate that a slow-down lowered climbs on from where it is.
            let rate = if self.is_slowed { self.rate } else { cap };
            if !self.is_slowed {
                self.known = cap;
            }
            self.set_rate(rate);
        }
        is_other
    }

    pub(super) fn answered(&mut self, now: Instant, receipt: Receipt) {
        // It went out recently, so it is near the end.
        let Some(spent) = self.spent.iter_mut().rev().find(|spent| spent.number == receipt.number) else { return };
        let took = now - spent.at;
        if let Some(late) = self.transit.late(took) {
            // Never shortened: a connection that gets quicker shows only later how late everything was before.
            spent.until = spent.until.max(spent.at + SECOND + self.margin_known + late.min(LATE_MAX) + self.learnt);
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

    pub(super) fn passed(&mut self, now: Instant, era: u64) {
        if era < self.era {
            return;
        }
        self.answers.add(now, false);
        if now >= self.shrink_at {
            self.hold = (self.hold / 2).max(HOLD_FIRST);
            self.shrink_at = now + SECOND;
        }
    }

    pub(super) fn slow_down(&mut self, now: Instant, era: u64, retry_after: Option<Duration>) -> Option<Duration> {
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
        let most = if self.cap == 0 { self.rate } else { self.cap };
        let rate = rate.clamp((self.cap / CLIMB_STEPS).max(1), most);
        if rate != std::mem::replace(&mut self.rate, rate) {
            self.limiter = limiter(rate);
        }
    }

    pub(super) fn now(&self, now: Instant) -> PaceNow {
        let held = self.held_until.saturating_duration_since(now);
        PaceNow { cap: self.cap, rate: self.rate.min(self.cap), held }
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
