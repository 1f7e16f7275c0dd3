//! How runners share one cap, so that all of them together never pass it.
//!
//! Each runner has a whole number of requests a second as its share, which its own pace keeps, and the shares add up to
//! the cap at most: then so do the requests, whatever the clocks of the runners say and however far each of them is
//! from the service. What matters is only that a share is in nobody else's hands while it is used. The ledger sees to
//! that for what it was told ([`ShareKeeper`] tells it, and waits for it).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// How long a lower share must have been in force before the ledger may know of it, and give the rest away: until then
/// requests may count that went out at the higher one. A request counts for a little more than a second, and for up to a
/// quarter of a second longer if it was late on its way.
pub const PUBLISH_AFTER: Duration = Duration::from_millis(1_250);

/// How soon a runner that waits for a higher share asks again. Shares change hands seldom, and until they have, nobody
/// uses them.
const ASK_AGAIN: Duration = Duration::from_millis(250);

/// Shares out the cap: whoever wants little gets it, the others get equal parts of the rest (max-min fair). In whole
/// numbers; what remains goes to the first ones that want more. All of them together get at most `cap`, and none more
/// than it wants.
pub fn fair(cap: u32, wants: &[u32]) -> Vec<u32> {
    let mut sorted = wants.to_vec();
    sorted.sort_unstable();
    let (mut left, mut sharers) = (cap, u32::try_from(wants.len()).unwrap_or(u32::MAX));
    // Those who want no more than an equal part of what is left get it, the most modest first.
    for want in sorted {
        if left.checked_div(sharers).is_none_or(|level| want > level) {
            break;
        }
        left -= want;
        sharers -= 1;
    }
    // There is enough for all.
    let Some(level) = left.checked_div(sharers) else { return wants.to_vec() };
    let mut remainder = left - level * sharers;
    let share = |want: &u32| {
        if *want <= level {
            return *want;
        }
        let one_more = u32::from(remainder > 0);
        remainder -= one_more;
        level + one_more
    };
    wants.iter().map(share).collect()
}

/// Changes a runner's share of one call, so that it never uses what may be another's.
///
/// To lower it, the runner slows down first; the ledger learns of it once the lower share has been in force for
/// [`PUBLISH_AFTER`]. To raise it, the ledger is asked first; the runner speeds up once the ledger has granted it. So
/// at any time what was in force here within the last second is no more than what the ledger holds for this runner, and
/// the ledger lets all of these add up to the cap at most.
///
/// It has no clock of its own. The share that it returns must be in force before anything else happens: whoever calls
/// it sets the pace at once, on the thread that sends, without awaiting anything in between.
#[derive(Debug)]
pub struct ShareKeeper {
    /// What the ledger holds for this runner at least. It may hold more: a beat that lowers the share may have been
    /// lost on its way, or its answer.
    held: u32,
    target: u32,
    /// Higher shares that were in force not long ago, and until when: the highest first.
    higher: VecDeque<(Instant, u32)>,
}

impl ShareKeeper {
    /// For a runner for which the ledger holds nothing yet.
    pub fn new() -> ShareKeeper {
        ShareKeeper { held: 0, target: 0, higher: VecDeque::new() }
    }

    /// What is in force here.
    pub fn share(&self) -> u32 {
        self.target.min(self.held)
    }

    /// Aims at another share. Returns what is in force from now on. A share that was lowered and is raised again before
    /// the ledger was told is still this runner's, and in force at once.
    pub fn aim(&mut self, target: u32, now: Instant) -> u32 {
        self.change(now, |keeper| keeper.target = target)
    }

    /// What the beat that is sent now has to ask the ledger for.
    pub fn ask(&mut self, now: Instant) -> u32 {
        self.forget(now);
        if self.target > self.held {
            return self.target;
        }
        let asked = self.higher.front().map_or(0, |(_, share)| *share).max(self.share());
        // The ledger may act on it, whether its answer arrives or not: what is asked for is all that is certain.
        self.held = self.held.min(asked);
        asked
    }

    /// Takes the ledger's answer: what it holds for this runner since the latest beat that was sent. Returns what is in
    /// force from now on. Of a beat that was given up no answer may be taken once another was sent.
    pub fn answered(&mut self, held: u32, now: Instant) -> u32 {
        self.change(now, |keeper| keeper.held = held)
    }

    /// When it is worth sending a beat although none is due, after one was sent at `last`: to tell the ledger of a lower
    /// share as soon as it may know, or to ask again for a higher one, which somebody else may have given up meanwhile.
    pub fn early_beat(&self, last: Instant) -> Option<Instant> {
        let asks_again = (self.target > self.held).then(|| last + ASK_AGAIN);
        self.publishes_at().into_iter().chain(asks_again).min()
    }

    fn publishes_at(&self) -> Option<Instant> {
        self.higher.front().map(|(until, _)| *until + PUBLISH_AFTER)
    }

    fn change(&mut self, now: Instant, change: impl FnOnce(&mut ShareKeeper)) -> u32 {
        let before = self.share();
        change(self);
        if self.share() < before {
            while self.higher.back().is_some_and(|(_, share)| *share <= before) {
                self.higher.pop_back();
            }
            self.higher.push_back((now, before));
        }
        self.forget(now);
        self.share()
    }

    fn forget(&mut self, now: Instant) {
        while self.higher.front().is_some_and(|(until, _)| *until + PUBLISH_AFTER <= now) {
            self.higher.pop_front();
        }
    }
}

impl Default for ShareKeeper {
    fn default() -> ShareKeeper {
        ShareKeeper::new()
    }
}

#[cfg(test)]
mod tests;
