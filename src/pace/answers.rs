//! How many of the last answers were "too fast".

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::SECOND;

/// The share is taken over at least this many answers, and over all of the last second where these are more.
const ANSWERS: usize = 100;
/// Refusals come in proportion when they are one in so many answers, and at least [`REFUSED_MIN`]. A service that
/// refuses one in two hundred by mistake stays well below that, also when chance bunches its refusals up.
const REFUSED_ONE_IN: usize = 25;
const REFUSED_MIN: usize = 4;
/// When at most one in so many answers is "too fast", the service does not mean the run as a whole.
const OTHERS_PASS_ONE_IN: usize = 5;

/// The last answers, since the rate was last lowered.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// When each came, and whether it was "too fast".
    recent: VecDeque<(Instant, bool)>,
    refused: usize,
    /// When the last one came that was not "too fast".
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

    /// This part of `whole`: as large as the share of answers that were "too fast".
    pub(super) fn share_of(&self, whole: Duration) -> Duration {
        let of = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        whole.saturating_mul(of(self.refused)) / of(self.recent.len()).max(1)
    }

    /// The refusals are too many to be mistakes: more is asked than the service allows.
    pub(super) fn are_in_proportion(&self) -> bool {
        self.refused >= REFUSED_MIN && self.refused * REFUSED_ONE_IN >= self.recent.len()
    }

    pub(super) fn are_mostly_refused(&self) -> bool {
        self.refused * 2 > self.recent.len()
    }

    /// Whether nearly all passed, also once a second was over after `refused`: the service counts by the second. What
    /// passed before tells nothing of now. At the end of a list nothing new does, and whoever else calls the service may have
    /// taken all that it allows.
    pub(super) fn mostly_pass_since(&self, refused: Instant) -> bool {
        let still_pass = self.passed_at.is_some_and(|passed| passed > refused + SECOND);
        still_pass && self.refused * OTHERS_PASS_ONE_IN <= self.recent.len()
    }

    /// How many passed within the last second.
    pub(super) fn passed(&self, now: Instant) -> u32 {
        let recent = self.recent.iter().rev().take_while(|(at, _)| *at + SECOND > now);
        u32::try_from(recent.filter(|(_, refused)| !refused).count()).unwrap_or(u32::MAX)
    }
}
