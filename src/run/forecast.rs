//! How fast a run is, and how long the rest takes: one estimate, made here, for all who show it.
//!
//! It is made of what holds now, so it follows a changed rate, a hold or a pause at once: the edits that are left, at
//! the rate at which requests may leave now. Only if something else than the rate limits the run, such as slow answers
//! with few places in flight, the measured rate of the last seconds is used where it is lower.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// What is measured is measured over this time: long enough to be steady, short enough to show a change.
const WINDOW: Duration = Duration::from_secs(10);
/// A run that has sent for less than this says nothing about what limits it.
const OPEN_MIN: f64 = 2.0;
/// A run that uses at least this share of its rate is limited by the rate.
const USED_MIN: f64 = 0.9;
/// From this many edits on, the number of requests that each of them took is known well enough.
const EDITS_MIN: u64 = 50;
/// The longest estimate: a rate near zero must not overflow anything.
const MAX: f64 = 1e9;

/// Measures a run.
#[derive(Debug)]
pub(super) struct Forecast {
    marks: VecDeque<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Instant,
    /// Edits settled by then.
    settled: u64,
    /// Requests that had left by then.
    sent: u64,
    /// Requests that could have left by then, while anything could.
    allowed: f64,
    /// For how many seconds it could send.
    open: f64,
}

/// Where a run is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    /// Edits settled in it.
    pub(super) settled: u64,
    /// Requests that have left.
    pub(super) sent: u64,
    /// Requests a second that may leave now.
    pub(super) rate: u32,
    /// Whether it is sending.
    pub(super) is_open: bool,
}

/// What is left of a run, and of those that it shares its list with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rest {
    /// Edits that were not started in this run and are sent unseen.
    pub(super) new: u64,
    /// Edits that are being sent, or wait to be sent again: at least one more request each.
    pub(super) started: u64,
    /// The attempts of those that were started and are not `started` any more, and their number.
    pub(super) attempts: u64,
    pub(super) edits: u64,
    /// Edits to read.
    pub(super) to_read: u64,
    /// Requests to read that may leave in a second.
    pub(super) read_rate: u32,
    /// Nothing is sent for this long.
    pub(super) held: Duration,
    /// The last edit to be sent again, and the last one to be read, are due after this long.
    pub(super) send_due: Duration,
    pub(super) read_due: Duration,
    /// Edits that other runs settle a second, where several work on the list.
    pub(super) others: f64,
    /// What all of them may send in a second.
    pub(super) cap: Option<NonZeroU32>,
}

impl Forecast {
    pub(super) fn new(now: Instant) -> Forecast {
        Forecast { marks: VecDeque::from([Mark { at: now, settled: 0, sent: 0, allowed: 0.0, open: 0.0 }]) }
    }

    /// Measures; called several times a second.
    pub(super) fn update(&mut self, now: Instant, position: Position) {
        let Some(last) = self.marks.back().copied() else { return };
        let open = if position.is_open { (now - last.at).as_secs_f64() } else { 0.0 };
        self.marks.push_back(Mark {
            at: now,
            settled: position.settled,
            sent: position.sent,
            allowed: last.allowed + open * f64::from(position.rate),
            open: last.open + open,
        });
        while self.marks.len() > 2 && now - self.marks[0].at > WINDOW {
            self.marks.pop_front();
        }
    }

    /// Edits settled a second, over the last seconds.
    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    pub(super) fn speed(&self) -> f64 {
        let (Some(first), Some(last)) = (self.marks.front(), self.marks.back()) else { return 0.0 };
        let seconds = (last.at - first.at).as_secs_f64();
        if seconds > 0.0 { last.settled.saturating_sub(first.settled) as f64 / seconds } else { 0.0 }
    }

    /// Requests a second that will leave while the rate is `rate`.
    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    fn requests_a_second(&self, rate: u32) -> f64 {
        let rate = f64::from(rate);
        let (Some(first), Some(last)) = (self.marks.front(), self.marks.back()) else { return rate };
        let (sent, open) = (last.sent.saturating_sub(first.sent) as f64, last.open - first.open);
        if open < OPEN_MIN || sent >= USED_MIN * (last.allowed - first.allowed) { rate } else { rate.min(sent / open) }
    }

    /// How long the rest takes, in whole seconds.
    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    pub(super) fn time_left(&self, rate: u32, rest: &Rest) -> Duration {
        let each = if rest.edits < EDITS_MIN { 1.0 } else { (rest.attempts as f64 / rest.edits as f64).max(1.0) };
        let requests = rest.new as f64 * each + rest.started as f64;
        let seconds = |requests: f64, rate: f64| if requests > 0.0 { requests / rate.max(1e-3) } else { 0.0 };
        // What others did in the last seconds, when they may have had more of the cap.
        let cap = rest.cap.map_or(f64::INFINITY, |cap| cap.get().into());
        let together = (self.requests_a_second(rate) + rest.others * each).min(cap);
        let sending = rest.held.as_secs_f64() + seconds(requests, together);
        // Each side of a conversation has a history of its own.
        let reading = rest.read_due.as_secs_f64() + seconds(2.0 * rest.to_read as f64, rest.read_rate.into());
        Duration::from_secs_f64(sending.max(reading).max(rest.send_due.as_secs_f64()).ceil().min(MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(forecast: &mut Forecast, from: Instant, seconds: u64, rate: u32, really: u64, before: u64) -> Instant {
        for quarter in 1..=4 * seconds {
            let sent = before + really * quarter / 4;
            let position = Position { settled: sent, sent, rate, is_open: true };
            forecast.update(from + Duration::from_millis(250 * quarter), position);
        }
        from + Duration::from_secs(seconds)
    }

    #[test]
    fn a_run_that_uses_its_rate_is_as_fast_as_the_rate_that_is_set() {
        let start = Instant::now();
        let mut forecast = Forecast::new(start);
        let rest = Rest { new: 10_000, ..Rest::default() };
        assert_eq!(forecast.time_left(100, &rest).as_secs(), 100, "nothing is measured yet");
        run(&mut forecast, start, 20, 100, 100, 0);
        assert!((forecast.speed() - 100.0).abs() < 1.0, "{}", forecast.speed());
        for (rate, seconds) in [(100, 100), (50, 200), (200, 50)] {
            assert_eq!(forecast.time_left(rate, &rest).as_secs(), seconds);
        }
        let held = Rest { held: Duration::from_secs(30), ..rest };
        assert_eq!(forecast.time_left(100, &held).as_secs(), 130);
    }

    #[test]
    fn a_run_that_something_else_slows_down_is_as_fast_as_it_was() {
        let start = Instant::now();
        let mut forecast = Forecast::new(start);
        run(&mut forecast, start, 20, 200, 50, 0);
        let rest = Rest { new: 1_000, ..Rest::default() };
        assert_eq!(forecast.time_left(200, &rest).as_secs(), 20);
        assert_eq!(forecast.time_left(10, &rest).as_secs(), 100);
    }

    #[test]
    fn edits_that_take_several_requests_and_those_to_be_read_count() {
        let forecast = Forecast::new(Instant::now());
        let twice = Rest { new: 1_000, attempts: 200, edits: 100, started: 10, ..Rest::default() };
        assert_eq!(forecast.time_left(100, &twice).as_secs(), 21);
        let read = Rest { to_read: 100, read_rate: 20, read_due: Duration::from_secs(5), ..Rest::default() };
        assert_eq!(forecast.time_left(100, &read).as_secs(), 15);
        let with_others = Rest { new: 1_000, others: 100.0, cap: NonZeroU32::new(200), ..Rest::default() };
        assert_eq!(forecast.time_left(25, &with_others).as_secs(), 8);
        assert_eq!(forecast.time_left(150, &with_others).as_secs(), 5, "they share one cap");
        let again = Rest { started: 1, send_due: Duration::from_millis(7_500), ..Rest::default() };
        assert_eq!(forecast.time_left(100, &again).as_secs(), 8);
    }
}
