//! A histogram of durations.

use std::time::Duration;

/// A histogram of durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The count up to each of [`BOUNDS_MS`] and above the previous one; the last slot has no upper bound.
    counts: Box<[u64]>,
    sum: Duration,
    is_coarse: bool,
}

/// Upper bounds of the slots, in milliseconds: each at most a tenth above the previous one from 10 ms on, so that half
/// and 95 % of the answers are told apart. The last bound is above all that an answer normally takes: the service itself
/// gives up after 3 s.
const BOUNDS_MS: [u32; 115] = bounds();

const fn bounds() -> [u32; 115] {
    let mut bounds = [0; 115];
    let (mut bound, mut index) = (0, 0);
    while index < bounds.len() {
        bound += match bound {
            0..20 => 1,
            20..50 => 2,
            50..100 => 5,
            100..200 => 10,
            200..500 => 20,
            500..1_000 => 50,
            1_000..2_000 => 100,
            2_000..5_000 => 200,
            _ => 500,
        };
        bounds[index] = bound;
        index += 1;
    }
    bounds
}

impl Default for Latency {
    fn default() -> Latency {
        Latency { counts: vec![0; BOUNDS_MS.len() + 1].into(), sum: Duration::ZERO, is_coarse: false }
    }
}

impl Latency {
    /// Upper bounds that metrics have, and that the ledgers of earlier versions are limited to. Each of them is a bound of
    /// the slots as well.
    pub const COARSE_MS: [u32; 15] = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 1_000, 2_000, 3_000, 5_000, 10_000];

    /// Upper bounds for a chart, between whose bars one can tell the difference. Each is a bound of the slots as well.
    const CHART_MS: [u32; 32] = [
        1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 400, 500, 600, 800, 1_000, 1_500,
        2_000, 3_000, 4_000, 5_000, 6_000, 8_000, 10_000,
    ];

    /// Counts one duration.
    pub fn add(&mut self, took: Duration) {
        let slot = BOUNDS_MS.partition_point(|bound| Duration::from_millis(u64::from(*bound)) < took);
        self.counts[slot] += 1;
        self.sum += took;
    }

    /// The upper bound of each slot in milliseconds (`None`: no bound), and its count.
    pub fn slots(&self) -> impl Iterator<Item = (Option<u32>, u64)> {
        BOUNDS_MS.iter().copied().map(Some).chain([None]).zip(self.counts.iter().copied())
    }

    /// The same in fewer slots, as metrics have it.
    pub fn coarse_slots(&self) -> Vec<(Option<u32>, u64)> {
        self.merged(&Latency::COARSE_MS)
    }

    /// The same in slots for a chart: as fine as is known of all that was counted.
    pub fn chart_slots(&self) -> Vec<(Option<u32>, u64)> {
        self.merged(if self.is_coarse { &Latency::COARSE_MS } else { &Latency::CHART_MS })
    }

    /// In slots with these bounds, all of which are bounds of the slots.
    fn merged(&self, bounds: &[u32]) -> Vec<(Option<u32>, u64)> {
        let mut merged: Vec<_> = bounds.iter().copied().map(Some).chain([None]).map(|bound| (bound, 0)).collect();
        for (bound, count) in self.slots() {
            let slot = bound.map_or(bounds.len(), |bound| bounds.partition_point(|other| *other < bound));
            merged[slot].1 += count;
        }
        merged
    }

    /// The number of durations.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all durations.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// Adds the slots of one run, as read from a ledger; the sum stays as it is. A run of an earlier version has the
    /// coarse ones only, and then it is not known where in such a slot its answers were.
    pub fn add_run(&mut self, slots: &[(Option<u32>, u64)]) {
        let is_coarse = |bound: &Option<u32>| bound.is_none_or(|bound| Latency::COARSE_MS.contains(&bound));
        self.is_coarse |= !slots.is_empty() && slots.iter().all(|(bound, _)| is_coarse(bound));
        for (up_to_ms, count) in slots {
            let slot = up_to_ms.map_or(BOUNDS_MS.len(), |up_to| BOUNDS_MS.partition_point(|bound| *bound < up_to));
            self.counts[slot] += count;
        }
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

    fn used(slots: impl IntoIterator<Item = (Option<u32>, u64)>) -> Vec<(Option<u32>, u64)> {
        slots.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    #[test]
    fn the_bounds_rise_by_a_tenth_at_most() {
        assert_eq!((BOUNDS_MS[0], BOUNDS_MS[114]), (1, 10_000));
        let close = |pair: &[u32]| pair[0] < pair[1] && (pair[1] <= 10 || pair[1] * 10 <= pair[0] * 11);
        assert!(BOUNDS_MS.windows(2).all(close), "{BOUNDS_MS:?}");
        // Otherwise slots could not be merged into these.
        assert!(Latency::COARSE_MS.iter().chain(&Latency::CHART_MS).all(|bound| BOUNDS_MS.contains(bound)));
    }

    #[test]
    fn times_are_counted_up_to_their_bound() {
        let mut latency = Latency::default();
        for ms in [0, 1, 2, 3, 62, 300, 301, 10_000, 10_001, 60_000] {
            latency.add(Duration::from_millis(ms));
        }
        let wanted = [(1, 2), (2, 1), (3, 1), (65, 1), (300, 1), (320, 1), (10_000, 1)];
        let wanted: Vec<_> = wanted.map(|(bound, count)| (Some(bound), count)).into_iter().chain([(None, 2)]).collect();
        assert_eq!(used(latency.slots()), wanted);
        assert_eq!((latency.count(), latency.sum()), (10, Duration::from_millis(80_670)));
        assert_eq!((latency.quantile_ms(0.5), latency.quantile_ms(0.9)), (Some(65), None));
        let coarse = [(1, 2), (2, 1), (5, 1), (100, 1), (300, 1), (500, 1), (10_000, 1)];
        let coarse: Vec<_> = coarse.map(|(bound, count)| (Some(bound), count)).into_iter().chain([(None, 2)]).collect();
        assert_eq!(used(latency.coarse_slots()), coarse);
        assert_eq!(Latency::default().quantile_ms(0.5), None);

        let mut again = Latency::default();
        again.add_run(&used(latency.slots()));
        assert_eq!((&again.counts, again.is_coarse), (&latency.counts, false));
        // With a run of an earlier version, what is drawn is as coarse as that.
        again.add_run(&[(Some(100), 7), (None, 1)]);
        assert_eq!(again.chart_slots().len(), Latency::COARSE_MS.len() + 1);
        assert_eq!(again.count(), 18);
    }
}
