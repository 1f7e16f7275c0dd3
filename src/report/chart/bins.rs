//! From samples, which count from a run's beginning, to what happened between them.

use crate::ledger::Sample;

/// A shorter time than this gives no speed: the last sample comes as soon as the run ends.
const SHORTEST_MS: i64 = 1_000;

/// What happened from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    pub(super) from: i64,
    pub(super) to: i64,
    /// Edits that were settled.
    pub(super) settled: u64,
    /// Those of them that failed.
    pub(super) failed: u64,
    /// Those of them that stay in doubt.
    pub(super) in_doubt: u64,
    /// Requests, to edit and to read back.
    pub(super) requests: u64,
    /// How often the service said "too fast".
    pub(super) slow_downs: u64,
    /// Requests a second at most: the most that was allowed at any of its moments, so that no mean speed seems above it.
    pub(super) cap: u32,
}

impl Bin {
    /// So many as a number a second.
    pub(super) fn a_second(&self, number: u64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (number, ms) = (number as f64, (self.to - self.from).max(1) as f64);
        number * 1_000.0 / ms
    }
}

/// One sample in so many that there are no more than `most` times between them; the first and the last always, as the
/// counts of all others are in them.
fn thin<T>(samples: impl ExactSizeIterator<Item = T>, most: usize) -> impl Iterator<Item = T> {
    let last = samples.len().saturating_sub(1);
    let every = last.div_ceil(most.max(1)).max(1);
    samples
        .enumerate()
        .filter(move |(index, _)| index.is_multiple_of(every) || *index == last)
        .map(|(_, sample)| sample)
}

/// No more than `most` samples.
pub(super) fn thinned(samples: Vec<Sample>, most: usize) -> Vec<Sample> {
    thin(samples.into_iter(), most.saturating_sub(1)).collect()
}

/// What happened between the samples of a run, in `most` bins at most.
pub(super) fn bins(samples: &[Sample], most: usize) -> Vec<Bin> {
    let kept: Vec<&Sample> = thin(samples.iter(), most).collect();
    let mut bins: Vec<Bin> = Vec::with_capacity(kept.len());
    for pair in kept.windows(2) {
        let bin = between(pair[0], pair[1]);
        match bins.last_mut() {
            Some(before) if bin.to - bin.from < SHORTEST_MS || before.to - before.from < SHORTEST_MS => {
                *before = together(*before, bin);
            }
            Some(_) | None => bins.push(bin),
        }
    }
    bins.retain(|bin| bin.to > bin.from);
    bins
}

fn between(from: &Sample, to: &Sample) -> Bin {
    let settled = |sample: &Sample| sample.done + sample.failed + sample.in_doubt;
    Bin {
        from: from.at,
        // The wall clock may have been put back.
        to: to.at.max(from.at),
        settled: settled(to).saturating_sub(settled(from)),
        failed: to.failed.saturating_sub(from.failed),
        in_doubt: to.in_doubt.saturating_sub(from.in_doubt),
        requests: (to.requests + to.read_backs).saturating_sub(from.requests + from.read_backs),
        slow_downs: to.slow_downs.saturating_sub(from.slow_downs),
        cap: from.rate.max(to.rate),
    }
}

fn together(one: Bin, other: Bin) -> Bin {
    Bin {
        from: one.from,
        to: other.to.max(one.to),
        settled: one.settled + other.settled,
        failed: one.failed + other.failed,
        in_doubt: one.in_doubt + other.in_doubt,
        requests: one.requests + other.requests,
        slow_downs: one.slow_downs + other.slow_downs,
        cap: one.cap.max(other.cap),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(steps: &[(u32, u16, u8, u8)]) -> Vec<Sample> {
        let mut sample = Sample { at: 1_764_079_201_000, rate: 200, ..Sample::default() };
        let mut all = vec![sample.clone()];
        for (ms, done, failed, slow_downs) in steps {
            sample.at += i64::from(*ms);
            sample.done += u64::from(*done);
            sample.failed += u64::from(*failed);
            sample.requests += u64::from(*done) + u64::from(*failed);
            sample.slow_downs += u64::from(*slow_downs);
            all.push(sample.clone());
        }
        all
    }

    #[test]
    fn the_last_moments_tell_no_speed_of_their_own() {
        let bins = bins(&samples(&[(5_000, 990, 10, 1), (20, 15, 0, 0)]), 300);
        assert_eq!(bins.len(), 1);
        assert_eq!((bins[0].settled, bins[0].failed, bins[0].to - bins[0].from), (1_015, 10, 5_020));
        assert!((bins[0].a_second(bins[0].settled) - 202.2).abs() < 0.1);
    }

    #[test]
    fn a_changed_rate_makes_no_speed_look_above_the_cap() {
        let mut all = samples(&[(5_000, 1_000, 0, 0), (5_000, 600, 0, 0), (5_000, 250, 0, 0)]);
        for (sample, rate) in all.iter_mut().zip([200, 200, 50, 50]) {
            sample.rate = rate;
        }
        assert_eq!(bins(&all, 300).iter().map(|bin| bin.cap).collect::<Vec<_>>(), [200, 200, 50]);
        assert_eq!(bins(&all, 1)[0].cap, 200);
    }

    #[test]
    fn where_nothing_took_time_there_is_nothing() {
        for empty in [bins(&[], 300), bins(&samples(&[]), 300), bins(&samples(&[(0, 0, 0, 0)]), 300)] {
            assert_eq!(empty, []);
        }
    }

    proptest! {
        #[test]
        fn however_few_are_drawn_nothing_is_lost(
            steps in proptest::collection::vec((0_u32..9_000, any::<u16>(), any::<u8>(), any::<u8>()), 0..900),
            most in 2_usize..400,
        ) {
            let all = samples(&steps);
            let sum = |bins: &[Bin]| bins.iter().fold((0, 0, 0), |(settled, failed, slow), bin| {
                (settled + bin.settled, failed + bin.failed, slow + bin.slow_downs)
            });
            let last = all[all.len() - 1].clone();
            let thin = thinned(all.clone(), most);
            prop_assert!(thin.len() <= most, "{} of {}", thin.len(), all.len());
            for some in [bins(&all, most), bins(&thin, most), bins(&thin, most / 2)] {
                prop_assert!(some.len() <= most);
                prop_assert!(some.windows(2).all(|pair| pair[0].to <= pair[1].from));
                if last.at > all[0].at {
                    prop_assert_eq!(sum(&some), (last.done + last.failed, last.failed, last.slow_downs));
                }
            }
        }
    }
}
