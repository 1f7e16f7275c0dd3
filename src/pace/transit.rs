//! How late a request may have reached the service, estimated from the time of its answer.

use std::collections::VecDeque;
use std::time::Duration;

/// The number of latest answers considered. While the quickest of them came by a shorter way than the others do now, all seem
/// to be late, so there are few.
const ANSWERS_MAX: usize = 16;
/// The connection is steady if half of the answers take at most this much longer than the quickest.
const STEADY: Duration = Duration::from_millis(4);
/// With fewer answers nothing is concluded.
const ANSWERS_MIN: usize = 8;

/// How long answers take. This shows how late a request may have reached the service: if the quickest answer took 1 ms
/// and this one 30 ms, the request may have been up to 29 ms late; or the service took longer to answer. If most
/// answers take about the same time, the former is assumed.
#[derive(Debug, Default)]
pub(super) struct TransitDelay {
    recent: VecDeque<Duration>,
    /// The same, in ascending order.
    sorted: Vec<Duration>,
    /// For how many more answers a connection counts as steady that was so until now: on a way that gets longer, answers are
    /// not, and requests on it may be late as well.
    steady_for: usize,
}

impl TransitDelay {
    pub(super) fn took(&mut self, took: Duration) {
        if self.recent.len() >= ANSWERS_MAX
            && let Some(oldest) = self.recent.pop_front()
            && let Ok(at) = self.sorted.binary_search(&oldest)
        {
            self.sorted.remove(at);
        }
        self.recent.push_back(took);
        let at = self.sorted.partition_point(|other| *other < took);
        self.sorted.insert(at, took);
    }

    /// How late a request may have been whose answer took this long; `None` if that cannot be estimated.
    pub(super) fn late(&mut self, took: Duration) -> Option<Duration> {
        let (quickest, median) = (self.sorted.first()?, self.sorted.get(self.sorted.len() / 2)?);
        let is_steady = self.sorted.len() >= ANSWERS_MIN && *median < *quickest + STEADY;
        self.steady_for = if is_steady { ANSWERS_MAX } else { self.steady_for.saturating_sub(1) };
        (self.steady_for > 0).then(|| took.saturating_sub(*quickest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_way_that_gets_longer_lateness_is_noticed_all_the_time() {
        let (mut transit, millis) = (TransitDelay::default(), Duration::from_millis);
        let mut answered = |took| {
            let late = transit.late(millis(took));
            transit.took(millis(took));
            late
        };
        for _ in 0..100 {
            answered(200);
        }
        assert_eq!(answered(210), Some(millis(10)));
        for _ in 1..ANSWERS_MAX {
            assert_eq!(answered(215), Some(millis(15)), "one of them came by the shorter way");
        }
        assert_eq!(answered(225), Some(millis(15)), "the quickest took 210 ms");
        assert_eq!(answered(225), Some(millis(10)));
    }

    #[test]
    fn where_answers_take_now_this_and_now_that_nothing_is_concluded() {
        let (mut transit, millis) = (TransitDelay::default(), Duration::from_millis);
        for number in 0..100 {
            let took = millis(20 + number * 7 % 60);
            assert_eq!(transit.late(took), None);
            transit.took(took);
        }
    }
}
