//! A histogram of durations.

use std::time::Duration;

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// The count up to each of [`Latency::BOUNDS_MS`] and above the previous one; the last slot has no upper bound.
    counts: [u64; Latency::BOUNDS_MS.len() + 1],
    sum: Duration,
}

impl Latency {
    /// Upper bounds of the slots, in milliseconds. The service itself gives up after 3 s.
    pub const BOUNDS_MS: [u32; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1_000, 2_000, 3_000, 5_000, 10_000];

    /// Counts one duration.
    pub fn add(&mut self, took: Duration) {
        let slot = Latency::BOUNDS_MS.partition_point(|bound| Duration::from_millis(u64::from(*bound)) < took);
        self.counts[slot] += 1;
        self.sum += took;
    }

    /// The upper bound of each slot in milliseconds (`None`: no bound), and its count.
    pub fn slots(&self) -> impl Iterator<Item = (Option<u32>, u64)> {
        Latency::BOUNDS_MS.iter().copied().map(Some).chain([None]).zip(self.counts)
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Adds `count` to a slot of [`Latency::slots`], as read from a ledger. The sum stays as it is.
    pub fn add_slot(&mut self, up_to_ms: Option<u32>, count: u64) {
        let slot = up_to_ms.map_or(Latency::BOUNDS_MS.len(), |up_to| {
            Latency::BOUNDS_MS.partition_point(|bound| *bound < up_to).min(Latency::BOUNDS_MS.len())
        });
        self.counts[slot] += count;
    }

    /// The upper bound of the slot with this quantile: 0.5 is the median. `None`: it has no bound, or nothing was counted.
    pub fn quantile_ms(&self, share: f64) -> Option<u32> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let wanted = self.count() as f64 * share;
        let mut so_far = 0;
        let slot = self.slots().find(|(_, count)| {
            so_far += count;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let reached = so_far > 0 && so_far as f64 >= wanted;
            reached
        });
        slot.and_then(|(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_up_to_their_bound() {
        let mut latency = Latency::default();
        for ms in [0, 1, 2, 3, 300, 301, 10_000, 10_001, 60_000] {
            latency.add(Duration::from_millis(ms));
        }
        let taken: Vec<_> = latency.slots().filter(|(_, count)| *count > 0).collect();
        let wanted =
            [(Some(1), 2), (Some(2), 1), (Some(5), 1), (Some(300), 1), (Some(500), 1), (Some(10_000), 1), (None, 2)];
        assert_eq!(taken, wanted);
        assert_eq!((latency.count(), latency.sum()), (9, Duration::from_millis(80_608)));
        assert_eq!((latency.quantile_ms(0.5), latency.quantile_ms(0.9)), (Some(300), None));
        let mut again = Latency::default();
        for (bound, count) in latency.slots() {
            again.add_slot(bound, count);
        }
        assert_eq!(again.counts, latency.counts);
        assert_eq!(Latency::default().quantile_ms(0.5), None);
    }
}
