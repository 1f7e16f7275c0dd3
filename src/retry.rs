//! What an outcome means: one table decides both whether to send the edit again and whether to slow down. And how long
//! to wait before the next try.
//!
//! The delays come from the crate `backoff`, of which only the sequence of `next_backoff()` is used: its retry loops
//! own time and attempts, which here belong to the ledger and the pace. The crate is unmaintained; `backon` is the
//! drop-in successor for what is used of it.

use std::time::Duration;

use backoff::SystemClock;
use backoff::backoff::Backoff;
use backoff::exponential::ExponentialBackoffBuilder;

use crate::api::Outcome;
use crate::api::error_code::{self, Class};
use crate::ledger::Note;

/// What an outcome means for its edit, and for the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The edit took place.
    Done,
    /// Clearly refused for now: retried after a while.
    Retry {
        /// The code, if there was one.
        code: Option<i64>,
    },
    /// Refused because requests come too fast: everything slows down, and this is retried.
    SlowDown {
        /// The code, if there was one.
        code: Option<i64>,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// Its signature was refused and replaced: retried with the new one.
    SignAnew {
        /// The code.
        code: i64,
    },
    /// Refused for good.
    Failed {
        /// The code, if there was one.
        code: Option<i64>,
    },
    /// It may or may not have taken place.
    InDoubt {
        /// The code, if there was one.
        code: Option<i64>,
        /// Why it is not known.
        note: Note,
    },
    /// It did not go out, and counts as never tried.
    NotSent,
    /// Refused for a reason that applies to every other edit too.
    Stop {
        /// The code, if there was one.
        code: Option<i64>,
    },
}

/// Returns what an outcome means.
pub fn judge(outcome: &Outcome) -> Verdict {
    match *outcome {
        Outcome::Confirmed | Outcome::ConfirmedAndAsks(_) => Verdict::Done,
        Outcome::Refused { code, retry_after, signed_anew, .. } => {
            let known = Some(code);
            match error_code::lookup(code).map(|entry| entry.class) {
                Some(Class::Passing) => Verdict::Retry { code: known },
                Some(Class::InDoubt) => Verdict::InDoubt { code: known, note: Note::LostInside },
                Some(Class::SlowDown) => Verdict::SlowDown { code: known, retry_after },
                Some(Class::Signature | Class::StopAccess) if signed_anew => Verdict::SignAnew { code },
                Some(Class::Signature | Class::StopAccess | Class::StopConfiguration) => Verdict::Stop { code: known },
                Some(Class::EditFails) | None => Verdict::Failed { code: known },
            }
        }
        Outcome::Http { status, .. } => {
            // A proxy or gateway that answers like this may have passed the request on before.
            let note = if status == 200 { Note::NotTheService } else { Note::Http(status) };
            Verdict::InDoubt { code: None, note }
        }
        Outcome::NotSent { .. } | Outcome::HeldBack | Outcome::NoSignature => Verdict::NotSent,
        Outcome::NoAnswer(note) => Verdict::InDoubt { code: None, note },
    }
}

/// What an outcome asks of all requests, whatever it means for its own edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backpressure {
    /// Nothing.
    No,
    /// Hold all requests for this long.
    Hold(Duration),
    /// Slow down, and hold all requests for this long if a time is given.
    SlowDown(Option<Duration>),
}

/// Returns what an outcome asks of all requests.
pub fn backpressure(outcome: &Outcome) -> Backpressure {
    let (slow_down, retry_after) = match *outcome {
        Outcome::Refused { code, retry_after, .. } => {
            (error_code::lookup(code).is_some_and(|entry| entry.class == Class::SlowDown), retry_after)
        }
        Outcome::Http { status, retry_after } => (status == 429, retry_after),
        Outcome::ConfirmedAndAsks(asked) => (false, Some(asked)),
        Outcome::Confirmed
        | Outcome::NotSent { .. }
        | Outcome::HeldBack
        | Outcome::NoSignature
        | Outcome::NoAnswer(_) => (false, None),
    };
    match retry_after {
        _ if slow_down => Backpressure::SlowDown(retry_after),
        Some(asked) => Backpressure::Hold(asked),
        None => Backpressure::No,
    }
}

/// The first delay. Each further one is twice as long, up to [`DELAY_MAX`].
const DELAY_FIRST: Duration = Duration::from_millis(500);
/// The longest delay: eight attempts then take about a minute, longer than most passing errors last.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// The delay after the `tries`-th try (1, 2, …), without jitter.
pub fn delay(tries: u32) -> Duration {
    let mut delays = ExponentialBackoffBuilder::<SystemClock>::new()
        .with_initial_interval(DELAY_FIRST)
        .with_multiplier(2.0)
        .with_max_interval(DELAY_MAX)
        .with_max_elapsed_time(None)
        // The crate's own jitter cannot be seeded, and simulations must be repeatable exactly.
        .with_randomization_factor(0.0)
        .build();
    let mut delay = DELAY_FIRST;
    // With these figures the seventh delay is the longest, so there is no need to count further.
    for _ in 0..tries.clamp(1, 10) {
        delay = delays.next_backoff().unwrap_or(DELAY_MAX);
    }
    delay.min(DELAY_MAX)
}

/// Changes a delay by up to half in either direction, so that edits refused together do not come back together.
pub fn jittered(delay: Duration, random: &mut fastrand::Rng) -> Duration {
    delay.mul_f64(0.5 + random.f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: i64, signed_anew: bool) -> Outcome {
        Outcome::Refused { code, info: String::new(), retry_after: None, signed_anew }
    }

    #[test]
    fn every_outcome_has_its_verdict() {
        let retry = |code| Verdict::Retry { code: Some(code) };
        let http = |status| Outcome::Http { status, retry_after: Some(Duration::from_secs(2)) };
        for code in [20004, 20005, 91000, 90992, 20028] {
            assert_eq!(judge(&refused(code, false)), retry(code));
        }
        for (outcome, verdict) in [
            (Outcome::Confirmed, Verdict::Done),
            (Outcome::ConfirmedAndAsks(Duration::from_secs(3)), Verdict::Done),
            (refused(60008, false), Verdict::InDoubt { code: Some(60008), note: Note::LostInside }),
            (refused(60007, false), Verdict::SlowDown { code: Some(60007), retry_after: None }),
            (refused(70001, true), Verdict::SignAnew { code: 70001 }),
            (refused(70001, false), Verdict::Stop { code: Some(70001) }),
            (refused(70003, false), Verdict::Stop { code: Some(70003) }),
            (refused(60006, false), Verdict::Stop { code: Some(60006) }),
            (refused(20026, false), Verdict::Failed { code: Some(20026) }),
            (refused(424_242, false), Verdict::Failed { code: Some(424_242) }),
            (http(502), Verdict::InDoubt { code: None, note: Note::Http(502) }),
            (http(200), Verdict::InDoubt { code: None, note: Note::NotTheService }),
            (Outcome::NotSent { reason: String::new() }, Verdict::NotSent),
            (Outcome::HeldBack, Verdict::NotSent),
            (Outcome::NoAnswer(Note::TimedOut), Verdict::InDoubt { code: None, note: Note::TimedOut }),
        ] {
            assert_eq!(judge(&outcome), verdict, "{outcome:?}");
        }
        for status in [201, 204, 302, 400, 401, 403, 404, 407, 408, 413, 425, 429, 500, 502, 503, 504] {
            let verdict = Verdict::InDoubt { code: None, note: Note::Http(status) };
            assert_eq!(judge(&http(status)), verdict, "{status}");
        }
    }

    #[test]
    fn whoever_asks_for_time_gets_it_with_any_status() {
        let seconds = Duration::from_secs;
        let check = |outcome: Outcome, expected| assert_eq!(backpressure(&outcome), expected, "{outcome:?}");
        let http = |status, retry_after: Option<u64>| Outcome::Http { status, retry_after: retry_after.map(seconds) };
        let asks =
            |code| Outcome::Refused { code, info: String::new(), retry_after: Some(seconds(3)), signed_anew: false };
        check(http(429, Some(2)), Backpressure::SlowDown(Some(seconds(2))));
        check(http(429, None), Backpressure::SlowDown(None));
        for status in [200, 204, 302, 403, 408, 425, 500, 503] {
            check(http(status, Some(2)), Backpressure::Hold(seconds(2)));
            check(http(status, None), Backpressure::No);
        }
        check(asks(60007), Backpressure::SlowDown(Some(seconds(3))));
        check(refused(60007, false), Backpressure::SlowDown(None));
        check(asks(20004), Backpressure::Hold(seconds(3)));
        check(refused(20004, false), Backpressure::No);
        check(Outcome::ConfirmedAndAsks(seconds(3)), Backpressure::Hold(seconds(3)));
        check(Outcome::Confirmed, Backpressure::No);
    }

    #[test]
    fn delays_double_up_to_half_a_minute() {
        let delays: Vec<_> = (1..=9).map(|tries| delay(tries).as_millis()).collect();
        assert_eq!(delays, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    }

    #[test]
    fn jitter_stays_within_half() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..1_000 {
            let delay = jittered(Duration::from_secs(1), &mut random);
            assert!((Duration::from_millis(500)..Duration::from_millis(1_500)).contains(&delay));
        }
    }
}
