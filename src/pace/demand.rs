//! How much of a shared cap a runner wants.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A runner that used this much of its share, in parts of a hundred, could have used more.
const HUNGRY_PERCENT: u64 = 97;
/// In this many beats running: one alone may be a matter of how beats and requests happen to fall.
const HUNGRY_BEATS: usize = 2;
/// The peak is the highest use within this many beats: a runner whose service is slow for a moment keeps its share.
const PEAK_BEATS: usize = 10;
/// Room to grow, beyond a tenth of the peak: without it, who wants nothing could never show that it wants more.
const SPARE: u32 = 2;
/// Beats that follow each other more closely are taken as one: in a short time, one request more or less looks like much.
const BEAT_MIN: Duration = Duration::from_millis(500);
/// How much of a shared cap a runner wants, judged from what it used.
///
/// A *newcomer*, of which nobody knows yet what it will use, wants the whole cap, and so gets an equal part, until its
/// first beat with a share shows that it needs less. To begin with little costs more where runners begin together, which
/// is the usual case: shares then change hands time and again, and while they do, nobody may use them. (Four that begin
/// within a second make 194 requests a second over the first 42 s this way, and 189 if each begins with a tenth.) So a
/// runner had better not ask before it has something to send.
#[derive(Debug, Default)]
pub struct Demand {
    /// What it used a second, in the latest beats.
    used: VecDeque<u32>,
    hungry_beats: usize,
    last: Option<Usage>,
}

/// What a runner used so far, and what there is to use, when a beat is due.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Now.
    pub at: Instant,
    /// The cap that all runners share.
    pub cap: u32,
    /// This runner's share, in force now.
    pub share: u32,
    /// How many permits its pace has given so far: [`Pace::given`](super::Pace::given).
    pub given: u64,
}

impl Demand {
    /// Of a newcomer.
    pub fn new() -> Demand {
        Demand::default()
    }

    /// Takes what was used since the last beat, and returns how much is wanted: at most the cap.
    pub fn wanted(&mut self, usage: Usage) -> u32 {
        match &mut self.last {
            Some(last) if usage.at.saturating_duration_since(last.at) < BEAT_MIN => {
                last.share = last.share.min(usage.share);
            }
            last => {
                if let Some(last) = last.replace(usage) {
                    self.take(last, usage);
                }
            }
        }
        let wanted = if self.hungry_beats >= HUNGRY_BEATS.min(self.used.len()) {
            usage.cap
        } else {
            let peak = self.used.iter().copied().max().unwrap_or(0);
            peak.saturating_add(peak.div_ceil(10)).saturating_add(SPARE)
        };
        wanted.min(usage.cap)
    }

    fn take(&mut self, last: Usage, usage: Usage) {
        // A share that changed in between was the smaller one for a while.
        let share = last.share.min(usage.share);
        if share == 0 {
            // Using nothing of nothing shows nothing.
            return;
        }
        let elapsed = usage.at.saturating_duration_since(last.at).max(BEAT_MIN).as_millis();
        let given = usage.given.saturating_sub(last.given);
        let a_second = |requests: u64| u128::from(requests) * 1_000 / elapsed;
        // One more, since a beat may fall just before a request that is due.
        let is_hungry = a_second(given.saturating_add(1)) * 100 >= u128::from(share) * u128::from(HUNGRY_PERCENT);
        if !is_hungry && usage.share < last.share {
            // Nothing goes out at first after a share was lowered, since what went out before counts.
            return;
        }
        self.hungry_beats = if is_hungry { self.hungry_beats.saturating_add(1) } else { 0 };
        if self.used.len() >= PEAK_BEATS {
            self.used.pop_front();
        }
        self.used.push_back(u32::try_from(a_second(given)).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: u32 = 200;

    /// A runner that beats every second.
    struct Runner {
        demand: Demand,
        usage: Usage,
    }

    impl Runner {
        fn new(share: u32) -> Runner {
            let usage = Usage { at: Instant::now(), cap: CAP, share, given: 0 };
            Runner { demand: Demand::new(), usage }
        }

        fn wants(&mut self) -> u32 {
            self.demand.wanted(self.usage)
        }

        /// What it wants a second later, of which it used this many requests.
        fn wants_after(&mut self, used: u64) -> u32 {
            self.usage.at += Duration::from_secs(1);
            self.usage.given += used;
            self.wants()
        }
    }

    #[test]
    fn a_newcomer_wants_the_cap_until_it_had_a_share_for_a_beat_and_shows_what_it_needs() {
        for (used, wants) in [(50, CAP), (20, 24), (0, 2)] {
            let mut runner = Runner::new(0);
            assert_eq!(
                [runner.wants(), runner.wants_after(0), runner.wants_after(0)],
                [CAP; 3],
                "it was given nothing"
            );
            runner.usage.share = 50;
            assert_eq!([runner.wants_after(10), runner.wants_after(used)], [CAP, wants]);
        }
    }

    #[test]
    fn who_uses_its_share_up_in_two_beats_running_wants_the_cap() {
        let mut runner = Runner::new(50);
        runner.wants();
        let wanted = [50, 30, 50, 49, 50].map(|used| runner.wants_after(used));
        assert_eq!(wanted[1..], [57, 57, CAP, CAP]);
        // It wants what it used at most, and no more than that for as long as it does not use it up.
        let wanted = [40, 40, 40].map(|used| runner.wants_after(used));
        assert_eq!(wanted, [57; 3]);
    }

    /// Requests and beats fall as they happen to: of 20 a second, a beat may see 19.
    #[test]
    fn a_small_share_that_is_used_up_is_noticed() {
        for share in [1, 2, 7, 20, 33] {
            let mut runner = Runner::new(share);
            runner.wants();
            let wanted = [0, 0, 1].map(|less| runner.wants_after(u64::from(share) - less));
            assert_eq!(wanted[1..], [CAP, CAP], "{share}");
        }
    }

    #[test]
    fn who_needs_little_ends_with_little_more_than_that_and_stays_there() {
        for needs in [0_u32, 1, 3, 20, 60, 150] {
            let mut runner = Runner::new(CAP);
            runner.wants();
            for _ in 0..30 {
                // Everything is granted.
                runner.usage.share = runner.wants_after(u64::from(needs.min(runner.usage.share)));
            }
            let share = runner.usage.share;
            assert!(share > needs && share <= needs + needs.div_ceil(10) + SPARE, "{needs}: {share}");
        }
    }

    #[test]
    fn a_peak_is_forgotten_after_ten_beats() {
        let mut runner = Runner::new(100);
        runner.wants();
        runner.wants_after(80);
        let wanted: Vec<_> = (0..11).map(|_| runner.wants_after(10)).collect();
        assert_eq!((wanted[8], wanted[9]), (90, 13));
    }

    #[test]
    fn a_beat_that_comes_late_or_early_is_judged_by_its_length() {
        let mut runner = Runner::new(50);
        runner.wants();
        for (millis, used) in [(3_000, 150), (500, 25)] {
            runner.usage.at += Duration::from_millis(millis);
            runner.usage.given += used;
            runner.wants();
        }
        assert_eq!(runner.wants_after(50), CAP);
        runner.usage.at += Duration::from_secs(3);
        runner.usage.given += 50;
        assert_eq!(runner.wants(), 57);
    }

    /// As when a lower share is told of as soon as it may be.
    #[test]
    fn beats_that_follow_each_other_closely_are_one() {
        let mut runner = Runner::new(50);
        runner.wants();
        runner.wants_after(30);
        for millis in [10, 990].repeat(30) {
            runner.usage.at += Duration::from_millis(millis);
            runner.usage.given += u64::from(millis == 990) * 30;
            assert_eq!(runner.wants(), 35);
        }
    }

    #[test]
    fn a_share_that_grew_since_the_last_beat_does_not_make_it_less_hungry() {
        let mut runner = Runner::new(20);
        runner.wants();
        runner.wants_after(20);
        runner.wants_after(20);
        runner.usage.share = 100;
        assert_eq!(runner.wants_after(45), CAP);
    }
}
