//! Tracks the requests to one API: enforces the limit in any sliding second, and keeps the figures that prove how well
//! a client kept to it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::faults::Fault;

const SECOND: Duration = Duration::from_secs(1);
/// The enforced window is 10 ms short of a second: a request is stamped when it is read, which on a busy machine is a
/// few milliseconds after it arrived. A client that keeps to the limit must not be refused for that; `worst_second`
/// still reports the excess.
const ENFORCED: Duration = Duration::from_millis(990);

/// How a request was answered, for the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answered {
    /// With this `ErrorCode`; 0 is success.
    Code(i64),
    /// With a fault other than a code.
    Fault(Fault),
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answered::Code(code) => code.fmt(f),
            Answered::Fault(fault) => fault.fmt(f),
        }
    }
}

/// The requests to one API. Times are relative to the sandbox's start.
#[derive(Debug)]
pub(super) struct Traffic {
    rate: usize,
    /// The requests admitted within the last second; never more than `rate`.
    admitted: VecDeque<Duration>,
    /// All requests that arrived within the last second; bounded by what the machine can receive in that time.
    arrived: VecDeque<Duration>,
    requests: u64,
    over_cap: u64,
    worst_second: u64,
    first: Duration,
    last: Duration,
    answers: BTreeMap<Answered, u64>,
}

impl Traffic {
    /// An API that admits `rate` requests in any sliding second.
    pub(super) fn new(rate: u32) -> Traffic {
        Traffic {
            rate: usize::try_from(rate).unwrap_or(usize::MAX),
            admitted: VecDeque::new(),
            arrived: VecDeque::new(),
            requests: 0,
            over_cap: 0,
            worst_second: 0,
            first: Duration::ZERO,
            last: Duration::ZERO,
            answers: BTreeMap::new(),
        }
    }

    /// Records a request whose body was read at `at`, and returns whether the limit admits it. A refused request uses
    /// no capacity: the next one is measured against admitted ones only.
    pub(super) fn record_arrival(&mut self, at: Duration) -> bool {
        // Two threads may read the clock in one order and arrive here in the other.
        let at = at.max(self.last);
        if self.requests == 0 {
            self.first = at;
        }
        self.last = at;
        self.requests += 1;
        drop_expired(&mut self.arrived, at, SECOND);
        self.arrived.push_back(at);
        self.worst_second = self.worst_second.max(self.arrived.len() as u64);
        drop_expired(&mut self.admitted, at, ENFORCED);
        let is_admitted = self.admitted.len() < self.rate;
        if is_admitted {
            self.admitted.push_back(at);
        } else {
            self.over_cap += 1;
        }
        is_admitted
    }

    /// Records how a request was answered.
    pub(super) fn record_answer(&mut self, answered: Answered) {
        *self.answers.entry(answered).or_default() += 1;
    }

    /// The statistics so far.
    pub(super) fn stats(&self) -> ApiStats {
        let span = self.last.saturating_sub(self.first).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a count for people; exact up to 2^53")]
        let gaps = self.requests.saturating_sub(1) as f64;
        ApiStats {
            requests: self.requests,
            over_cap: self.over_cap,
            worst_second: self.worst_second,
            first_arrival_ms: (self.requests > 0).then_some(milliseconds(self.first)),
            last_arrival_ms: (self.requests > 0).then_some(milliseconds(self.last)),
            mean_rate: (span > 0.0).then_some(gaps / span),
            answers: self.answers.iter().map(|(answered, count)| (answered.to_string(), *count)).collect(),
        }
    }
}

/// The statistics of one API.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApiStats {
    /// Requests that arrived complete.
    pub requests: u64,
    /// Those of them that the limit refused (60007).
    pub over_cap: u64,
    /// The most requests that arrived in any sliding second.
    pub worst_second: u64,
    /// When the first arrived, in milliseconds from the sandbox's start.
    pub first_arrival_ms: Option<f64>,
    /// When the last arrived.
    pub last_arrival_ms: Option<f64>,
    /// Requests per second from the first to the last: (requests − 1) / (last − first).
    pub mean_rate: Option<f64>,
    /// The number of requests per answer: an `ErrorCode` (`"0"` is success), or the name of the fault that replaced
    /// it.
    pub answers: BTreeMap<String, u64>,
}

/// The window is half open: a time exactly one window ago is outside.
fn drop_expired(times: &mut VecDeque<Duration>, now: Duration, window: Duration) {
    while times.front().is_some_and(|time| now.saturating_sub(*time) >= window) {
        times.pop_front();
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests at these milliseconds, at a rate of 3: which are admitted, and the worst second.
    fn check(arrivals: &[u64], admitted: &[bool], worst_second: u64) {
        let mut traffic = Traffic::new(3);
        let got: Vec<bool> = arrivals.iter().map(|at| traffic.record_arrival(Duration::from_millis(*at))).collect();
        assert_eq!(got, admitted, "{arrivals:?}");
        let stats = traffic.stats();
        assert_eq!(stats.worst_second, worst_second, "{arrivals:?}");
        assert_eq!(stats.over_cap, got.iter().filter(|is_admitted| !**is_admitted).count() as u64);
    }

    #[test]
    fn the_cap_holds_in_any_sliding_second() {
        check(&[0, 1, 2], &[true; 3], 3);
        check(&[0, 1, 2, 989], &[true, true, true, false], 4);
        check(&[0, 1, 2, 990], &[true; 4], 4);
        check(&[0, 1, 2, 1000, 1001], &[true; 5], 3);
        // A clock's second would admit these: three before the tick and three after it.
        check(&[900, 950, 999, 1000, 1100, 1889, 1900], &[true, true, true, false, false, false, true], 6);
    }

    #[test]
    fn a_refused_request_uses_no_capacity() {
        check(&[0, 0, 0, 500, 500, 1000], &[true, true, true, false, false, true], 5);
    }

    #[test]
    fn times_out_of_order_are_put_in_order() {
        check(&[10, 5, 3, 994, 1010], &[true, true, true, false, true], 4);
    }

    #[test]
    fn the_mean_rate_counts_the_gaps() {
        let mut traffic = Traffic::new(100);
        assert_eq!(traffic.stats().mean_rate, None);
        for at in [100, 200, 300, 400, 600] {
            assert!(traffic.record_arrival(Duration::from_millis(at)));
        }
        traffic.record_answer(Answered::Code(0));
        traffic.record_answer(Answered::Code(0));
        traffic.record_answer(Answered::Fault(Fault::Http(502)));
        let stats = traffic.stats();
        assert!((stats.mean_rate.unwrap() - 8.0).abs() < 1e-9);
        assert_eq!((stats.first_arrival_ms, stats.last_arrival_ms), (Some(100.0), Some(600.0)));
        assert_eq!(stats.answers, BTreeMap::from([("0".into(), 2), ("http-502".into(), 1)]));
    }
}
