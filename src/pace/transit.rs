//! How late a request may have been on its way, told by how long its answer took.

use std::collections::VecDeque;
use std::time::Duration;

/// Answers that are looked at.
const ANSWERS_MAX: usize = 64;
/// Half of them take no longer than the quickest and this: then the way is steady.
const STEADY: Duration = Duration::from_millis(4);
/// Nothing is concluded from fewer.
const ANSWERS_MIN: usize = 8;

/// How long answers take. From it follows how late a request may have reached the service: if the quickest answer took
/// 1 ms and this one 30 ms, the request may have been up to 29 ms late; it may also be that the service took longer to
/// answer. The first is believed where most answers take about the same time.
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

    /// How late a request may have been whose answer took so long; `None` where that cannot be told.
    pub(super) fn late(&self, took: Duration) -> Option<Duration> {
        let (quickest, median) = (self.sorted.first()?, self.sorted.get(self.sorted.len() / 2)?);
        let steady = self.sorted.len() >= ANSWERS_MIN && *median < *quickest + STEADY;
        steady.then(|| took.saturating_sub(*quickest))
    }
}
