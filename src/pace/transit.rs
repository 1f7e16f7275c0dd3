//! How late a request may have reached the service, estimated from the time of its answer.

use std::collections::VecDeque;
use std::time::Duration;

/// The number of latest answers considered. While the quickest of them came by a shorter way than the others do now, nothing can
/// be concluded, so there are few.
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
    pub(super) fn late(&self, took: Duration) -> Option<Duration> {
        let (quickest, median) = (self.sorted.first()?, self.sorted.get(self.sorted.len() / 2)?);
        let steady = self.sorted.len() >= ANSWERS_MIN && *median < *quickest + STEADY;
        steady.then(|| took.saturating_sub(*quickest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_a_way_that_got_longer_lateness_is_noticed_again_after_a_few_answers() {
        let (mut transit, millis) = (TransitDelay::default(), Duration::from_millis);
        (0..100).for_each(|_| transit.took(millis(200)));
        assert_eq!(transit.late(millis(210)), Some(millis(10)));
        (0..ANSWERS_MAX - 1).for_each(|_| transit.took(millis(215)));
        assert_eq!(transit.late(millis(225)), None, "one of them came by the shorter way");
        transit.took(millis(215));
        assert_eq!(transit.late(millis(225)), Some(millis(10)));
    }
}
