//! What all read-backs of a run share: their pace, and what is known of whether the service allows them.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::edit::IdDigest;
use crate::ledger::{Note, Pending};
use crate::pace::{Gate, Pace};

/// The service's limit for this call, which is separate from the limit for edits.
const READ_BACK_RATE_MAX: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// How long the service may answer "too fast" to every lookup before the run stops reading back: each of these holds
/// the edits as well.
const LOOKUPS_TOO_FAST_MAX: Duration = Duration::from_mins(5);

/// The read-back rate of a run that sends `rate` edits a second. The jobs of an app on one machine share its cap,
/// `max_rate`; if that is above the limit for read-backs, each job has the same part of both, so that all of them
/// together keep both. (A run needs at least one a second.)
pub fn read_back_rate(rate: NonZeroU32, max_rate: NonZeroU32) -> NonZeroU32 {
    let limit = u64::from(READ_BACK_RATE_MAX.get());
    let part = u64::from(rate.get()) * limit / u64::from(max_rate.get()).max(limit);
    let part = part.clamp(1, limit.min(rate.get().into()));
    u32::try_from(part).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN)
}

/// What all read-backs of a run share.
#[derive(Debug)]
pub(super) struct HistoryAccess {
    pub(super) pace: Pace,
    /// The cap of all jobs of the app on this machine.
    max_rate: NonZeroU32,
    /// The service takes only the older names of the account fields.
    pub(super) older_names: AtomicBool,
    /// Why nothing can be read back; once set, the service is not asked again in this run.
    pub(super) refused: OnceLock<Unreadable>,
    /// The service has returned a page since it last refused a signature, so it accepts the current one.
    pub(super) accepted: AtomicBool,
    too_fast: Mutex<Option<TooFast>>,
    pub(super) requests: AtomicU64,
    /// Cancelled when nothing more may be read back. This is later than the end of sending, so that an edit whose
    /// answer was lost shortly before can still be settled.
    pub(super) stop: CancellationToken,
}

/// Every lookup is "too fast".
#[derive(Clone, Copy, Debug)]
struct TooFast {
    since: Instant,
    /// The message looked up; `None` if there was more than one.
    message: Option<IdDigest>,
}

/// Why one lookup was refused, or all are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Unreadable {
    pub(super) note: Note,
    pub(super) code: Option<i64>,
}

impl HistoryAccess {
    pub(super) fn new(rate: NonZeroU32, max_rate: NonZeroU32, not_before: Instant, gate: Gate) -> HistoryAccess {
        HistoryAccess {
            pace: Pace::with_gate(read_back_rate(rate, max_rate), not_before, gate),
            max_rate,
            older_names: AtomicBool::new(false),
            refused: OnceLock::new(),
            accepted: AtomicBool::new(false),
            too_fast: Mutex::new(None),
            requests: AtomicU64::new(0),
            stop: CancellationToken::new(),
        }
    }

    pub(super) fn hold(&self, duration: Duration) {
        self.pace.hold(duration);
    }

    pub(super) fn pause(&self) {
        self.pace.pause();
    }

    /// A pause says nothing about how long lookups were too fast.
    pub(super) fn resume(&self) {
        self.lookup_passed();
        self.pace.resume();
    }

    pub(super) fn set_rate(&self, rate: NonZeroU32) {
        self.pace.set_cap(read_back_rate(rate, self.max_rate));
    }

    /// Whether a lookup has shown that the service accepts the current signature.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Whether the service is known to refuse lookups to this app.
    pub(super) fn are_refused(&self) -> bool {
        self.refused.get().is_some()
    }

    pub(super) fn signature_refused(&self) {
        self.accepted.store(false, Ordering::Relaxed);
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A lookup got an answer other than "too fast".
    pub(super) fn lookup_passed(&self) {
        *self.too_fast.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A lookup was too fast. Returns whether that concerns this message alone: lookups of other messages pass, or
    /// there are none.
    pub(super) fn is_refused_alone(&self, pending: &mut Pending) -> bool {
        let now = Instant::now();
        let first = pending.look_too_fast_at;
        pending.look_too_fast_at.get_or_insert(now);
        let mut too_fast = self.too_fast.lock().unwrap_or_else(PoisonError::into_inner);
        let TooFast { message, .. } = too_fast.get_or_insert(TooFast { since: now, message: Some(pending.message) });
        if *message != Some(pending.message) {
            *message = None;
        }
        let is_alone = first.is_some_and(|first| message.is_some() || self.pace.lets_others_pass_since(first));
        if is_alone && message.is_some() {
            *too_fast = Some(TooFast { since: now, message: Some(pending.message) });
        }
        is_alone
    }

    /// Every lookup was too fast. That may last for ever, and no edit is to blame for it.
    pub(super) fn lookup_too_fast(&self, code: Option<i64>) {
        let now = Instant::now();
        let too_fast = *self.too_fast.lock().unwrap_or_else(PoisonError::into_inner);
        let since = too_fast.map_or(now, |too_fast| too_fast.since);
        let unreadable = Unreadable { note: Note::ReadBackFailed, code };
        if now - since >= LOOKUPS_TOO_FAST_MAX && self.refused.set(unreadable).is_ok() {
            tracing::warn!(
                "for {LOOKUPS_TOO_FAST_MAX:?} every history request was too fast: edits in doubt stay in doubt"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_of(rate: u32, max_rate: u32) -> u32 {
        read_back_rate(NonZeroU32::new(rate).unwrap(), NonZeroU32::new(max_rate).unwrap()).get()
    }

    #[test]
    fn the_jobs_of_an_app_read_back_at_its_limit_together() {
        assert_eq!(
            [rate_of(200, 200), rate_of(50, 200), rate_of(1, 200), rate_of(10, 10), rate_of(1, 1)],
            [200, 50, 1, 10, 1]
        );
        assert_eq!([rate_of(1_000, 1_000), rate_of(200, 1_000), rate_of(1, 1_000_000)], [200, 40, 1]);
        for max_rate in [201, 333, 1_000, 5_000] {
            for jobs in [1, 2, 3, 7, 20] {
                assert!(jobs * rate_of(max_rate / jobs, max_rate) <= 200, "{jobs} jobs of {max_rate}");
            }
        }
    }
}
