//! Runs that went on at the same time, as one: what is drawn over time is the job, however many runners it had.

use super::RunSeries;
use crate::ledger::Sample;

/// Runs that overlap become one series, whose counts and rates are the sums of theirs.
pub fn together(mut runs: Vec<RunSeries>) -> Vec<RunSeries> {
    runs.retain(|run| !run.samples.is_empty());
    runs.sort_by_key(|run| run.samples.first().map(|first| first.at));
    let mut groups: Vec<(i64, Vec<RunSeries>)> = Vec::new();
    for run in runs {
        let (Some(first), Some(last)) = (run.samples.first(), run.samples.last()) else { continue };
        let (from, to) = (first.at, last.at);
        match groups.last_mut().filter(|(until, _)| from <= *until) {
            Some((until, group)) => {
                *until = to.max(*until);
                group.push(run);
            }
            None => groups.push((to, vec![run])),
        }
    }
    groups.into_iter().map(|(_, group)| sum(group)).collect()
}

fn sum(mut group: Vec<RunSeries>) -> RunSeries {
    if group.len() == 1 {
        return group.pop().unwrap_or_default();
    }
    let mut times: Vec<i64> = group.iter().flat_map(|run| run.samples.iter().map(|sample| sample.at)).collect();
    times.sort_unstable();
    times.dedup();
    let samples = times.into_iter().map(|at| {
        group.iter().map(|run| moment(&run.samples, at)).fold(Sample { at, ..Sample::default() }, |sum, one| Sample {
            at,
            rate: sum.rate.saturating_add(one.rate),
            done: sum.done + one.done,
            failed: sum.failed + one.failed,
            in_doubt: sum.in_doubt + one.in_doubt,
            requests: sum.requests + one.requests,
            read_backs: sum.read_backs + one.read_backs,
            slow_downs: sum.slow_downs + one.slow_downs,
            ..Sample::default()
        })
    });
    let samples = samples.collect();
    let mut acts: Vec<_> = group.into_iter().flat_map(|run| run.acts).collect();
    acts.sort_by_key(|(at, _)| *at);
    RunSeries::new(samples, acts)
}

/// How far a run was at a moment: between two of its samples it went on evenly, before the first it had not begun, and after
/// the last it has a rate no more.
fn moment(samples: &[Sample], at: i64) -> Sample {
    let next = samples.partition_point(|sample| sample.at <= at);
    let Some(before) = next.checked_sub(1).and_then(|before| samples.get(before)) else { return Sample::default() };
    let Some(after) = samples.get(next) else {
        let rate = if before.at == at { before.rate } else { 0 };
        return Sample { rate, ..before.clone() };
    };
    let (passed, span) = ((at - before.at).unsigned_abs(), (after.at - before.at).unsigned_abs().max(1));
    let between = |from: u64, to: u64| {
        let gained = u128::from(to.saturating_sub(from)) * u128::from(passed) / u128::from(span);
        from.saturating_add(u64::try_from(gained).unwrap_or(u64::MAX))
    };
    Sample {
        at,
        rate: before.rate,
        done: between(before.done, after.done),
        failed: between(before.failed, after.failed),
        in_doubt: between(before.in_doubt, after.in_doubt),
        requests: between(before.requests, after.requests),
        read_backs: between(before.read_backs, after.read_backs),
        slow_downs: between(before.slow_downs, after.slow_downs),
        ..Sample::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::ControlAction;

    fn run(samples: &[(i64, u32, u64)], acts: &[(i64, ControlAction)]) -> RunSeries {
        let sample =
            |(at, rate, done): &(i64, u32, u64)| Sample { at: *at, rate: *rate, done: *done, ..Sample::default() };
        RunSeries::new(samples.iter().map(sample).collect(), acts.to_vec())
    }

    #[test]
    fn runs_at_the_same_time_are_one_and_others_stay_apart() {
        let one = run(&[(0, 100, 0), (10_000, 60, 1_000), (20_000, 60, 1_600)], &[(15_000, ControlAction::Resume)]);
        let two = run(&[(5_000, 40, 0), (15_000, 40, 400)], &[(12_000, ControlAction::Pause)]);
        let later = run(&[(60_000, 200, 0), (70_000, 200, 2_000)], &[]);
        let drawn = together(vec![later, one, RunSeries::default(), two]);
        let numbers = |run: &RunSeries| -> Vec<(i64, u32, u64)> {
            run.samples.iter().map(|sample| (sample.at, sample.rate, sample.done)).collect()
        };
        assert_eq!(drawn.len(), 2);
        let wanted = [(0, 100, 0), (5_000, 140, 500), (10_000, 100, 1_200), (15_000, 100, 1_700), (20_000, 60, 2_000)];
        assert_eq!(numbers(&drawn[0]), wanted);
        assert_eq!(drawn[0].acts, [(12_000, ControlAction::Pause), (15_000, ControlAction::Resume)]);
        assert_eq!(numbers(&drawn[1]), [(60_000, 200, 0), (70_000, 200, 2_000)]);
        assert!(together(Vec::new()).is_empty());
    }
}
