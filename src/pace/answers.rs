//! The share of the latest answers that were "too fast".

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The service counts requests by the second.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// The share is taken over this many answers, or all of the last second if these are more.
const ANSWERS: usize = 100;
/// Refusals come in proportion if there are at least [`REFUSED_MIN`] of them, and at least one in this many answers. A
/// service that refuses one in two hundred by mistake stays well below that, even if its refusals happen to cluster.
const REFUSED_ONE_IN: usize = 25;
const REFUSED_MIN: usize = 4;
/// If at most one in this many answers is "too fast", the service does not mean the run as a whole.
const OTHERS_PASS_ONE_IN: usize = 5;

/// The latest answers, since the rate was last lowered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// The time of each, and whether it was "too fast".
    recent: VecDeque<(Instant, bool)>,
    refused: usize,
    /// The time of the last one that was not "too fast".
    passed_at: Option<Instant>,
}

impl Answers {
    pub(super) fn add(&mut self, now: Instant, refused: bool) {
        self.recent.push_back((now, refused));
        self.refused += usize::from(refused);
        if !refused {
            self.passed_at = Some(now);
        }
        while self.recent.len() > ANSWERS
            && let Some(&(at, refused)) = self.recent.front()
            && at + SECOND <= now
        {
            self.recent.pop_front();
            self.refused -= usize::from(refused);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Answers::default();
    }

    /// The part of `whole` that is the share of "too fast" answers.
    pub(super) fn share_of(&self, whole: Duration) -> Duration {
        let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        whole.saturating_mul(of(self.refused)) / of(self.recent.len()).max(1)
    }

    /// There are too many refusals to be mistakes: the rate is above what the service allows.
    pub(super) fn are_in_proportion(&self) -> bool {
        self.refused >= REFUSED_MIN && self.refused * REFUSED_ONE_IN >= self.recent.len()
    }

    pub(super) fn are_mostly_refused(&self) -> bool {
        self.refused * 2 > self.recent.len()
    }

    /// Whether nearly all passed, and some did more than a second after `refused`, since the service counts by the
    /// second. What passed before that proves nothing about now: at the end of a list nothing new passes, and other
    /// callers may take all that the service allows.
    pub(super) fn mostly_pass_since(&self, refused: Instant) -> bool {
        let still_pass = self.passed_at.is_some_and(|passed| passed > refused + SECOND);
        still_pass && self.refused * OTHERS_PASS_ONE_IN <= self.recent.len()
    }

    /// The number that passed within the last second.
    pub(super) fn passed(&self, now: Instant) -> u32 {
        let recent = self.recent.iter().rev().take_while(|(at, _)| *at + SECOND > now);
        u32::try_from(recent.filter(|(_, refused)| !refused).count()).unwrap_or(u32::MAX)
    }
}
