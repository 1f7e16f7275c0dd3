//! What an outcome means: one table that decides both "again?" and "slower?". And how long to wait before the next try.
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
    /// Clearly refused for now: again after a while.
    Retry {
        /// The code, where it was one.
        code: Option<i64>,
        /// The HTTP status, where it was one.
        note: Option<Note>,
    },
    /// Refused because too much was asked: everything slows down, and this again.
    SlowDown {
        /// The code, where it was one.
        code: Option<i64>,
        /// The HTTP status, where it was one.
        note: Option<Note>,
        /// How long the service asks to wait.
        retry_after: Option<Duration>,
    },
    /// Refused for its signature, and there is a new one: again with that.
    SignAnew {
        /// The code.
        code: i64,
    },
    /// Refused for good.
    Failed {
        /// The code, where it was one.
        code: Option<i64>,
        /// The HTTP status, where it was one.
        note: Option<Note>,
    },
    /// It may or may not have taken place.
    InDoubt {
        /// The code, where it was one.
        code: Option<i64>,
        /// Why nobody knows.
        note: Note,
    },
    /// It did not go out: as if it had never been tried.
    NotSent,
    /// Refused for a reason that every other edit would be refused for too.
    Stop {
        /// The code, where it was one.
        code: Option<i64>,
        /// The HTTP status, where it was one.
        note: Option<Note>,
    },
}

/// The one table.
pub fn judge(outcome: &Outcome) -> Verdict {
    match *outcome {
        Outcome::Confirmed => Verdict::Done,
        Outcome::Refused { code, retry_after, signed_anew, .. } => {
            let (known, note) = (Some(code), None);
            match error_code::lookup(code).map(|entry| entry.class) {
                Some(Class::Passing) => Verdict::Retry { code: known, note },
                Some(Class::InDoubt) => Verdict::InDoubt { code: known, note: Note::LostInside },
                Some(Class::SlowDown) => Verdict::SlowDown { code: known, note, retry_after },
                Some(Class::Signature | Class::StopAccess) if signed_anew => Verdict::SignAnew { code },
                Some(Class::Signature | Class::StopAccess | Class::StopConfiguration) => {
                    Verdict::Stop { code: known, note }
                }
                Some(Class::EditFails) | None => Verdict::Failed { code: known, note },
            }
        }
        Outcome::Http { status, retry_after } => {
            let (code, note) = (None, Some(Note::Http(status)));
            match status {
                408 | 425 => Verdict::Retry { code, note },
                429 => Verdict::SlowDown { code, note, retry_after },
                // Whoever answers so never passed the request on, and will not pass on any other.
                300..400 | 401 | 403 | 404 | 405 | 407 | 421 | 451 => Verdict::Stop { code, note },
                400..500 => Verdict::Failed { code, note },
                // A gateway's error: the service behind it may have done its work.
                _ => Verdict::InDoubt { code, note: Note::Http(status) },
            }
        }
        Outcome::NotSent { .. } | Outcome::NoSignature => Verdict::NotSent,
        Outcome::NoAnswer(note) => Verdict::InDoubt { code: None, note },
    }
}

/// The first delay. Each further one is twice as long, up to [`DELAY_MAX`].
const DELAY_FIRST: Duration = Duration::from_millis(500);
/// The longest delay: eight attempts then take about a minute, longer than most passing errors last.
const DELAY_MAX: Duration = Duration::from_secs(30);

/// How long to wait after the `tries`-th try (1, 2, …), without jitter.
pub fn delay(tries: u32) -> Duration {
    let mut delays = ExponentialBackoffBuilder::<SystemClock>::new()
        .with_initial_interval(DELAY_FIRST)
        .with_multiplier(2.0)
        .with_max_interval(DELAY_MAX)
        .with_max_elapsed_time(None)
        // The crate's own jitter cannot be seeded, and simulations must repeat to the letter.
        .with_randomization_factor(0.0)
        .build();
    let mut delay = DELAY_FIRST;
    // With these figures the seventh delay is the longest; there is no need to count further.
    for _ in 0..tries.clamp(1, 10) {
        delay = delays.next_backoff().unwrap_or(DELAY_MAX);
    }
    delay.min(DELAY_MAX)
}

/// Spreads a delay by up to half in both directions, so that edits refused together do not come back together.
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
        let retry = |code| Verdict::Retry { code: Some(code), note: None };
        let http = |status| Outcome::Http { status, retry_after: Some(Duration::from_secs(2)) };
        for code in [20004, 20005, 91000, 90992, 20028] {
            assert_eq!(judge(&refused(code, false)), retry(code));
        }
        for (outcome, verdict) in [
            (Outcome::Confirmed, Verdict::Done),
            (refused(60008, false), Verdict::InDoubt { code: Some(60008), note: Note::LostInside }),
            (refused(60007, false), Verdict::SlowDown { code: Some(60007), note: None, retry_after: None }),
            (refused(70001, true), Verdict::SignAnew { code: 70001 }),
            (refused(70001, false), Verdict::Stop { code: Some(70001), note: None }),
            (refused(70003, false), Verdict::Stop { code: Some(70003), note: None }),
            (refused(60006, false), Verdict::Stop { code: Some(60006), note: None }),
            (refused(20026, false), Verdict::Failed { code: Some(20026), note: None }),
            (refused(424_242, false), Verdict::Failed { code: Some(424_242), note: None }),
            (http(502), Verdict::InDoubt { code: None, note: Note::Http(502) }),
            (http(408), Verdict::Retry { code: None, note: Some(Note::Http(408)) }),
            (
                http(429),
                Verdict::SlowDown {
                    code: None,
                    note: Some(Note::Http(429)),
                    retry_after: Some(Duration::from_secs(2)),
                },
            ),
            (http(302), Verdict::Stop { code: None, note: Some(Note::Http(302)) }),
            (http(413), Verdict::Failed { code: None, note: Some(Note::Http(413)) }),
            (Outcome::NotSent { reason: String::new() }, Verdict::NotSent),
            (Outcome::NoAnswer(Note::TimedOut), Verdict::InDoubt { code: None, note: Note::TimedOut }),
        ] {
            assert_eq!(judge(&outcome), verdict, "{outcome:?}");
        }
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
