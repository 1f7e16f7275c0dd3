//! What does "too fast" cost, if it is said by mistake, and if the service really allows less?

use std::time::Duration;

use crate::process;
use crate::report::{Figure, Table};
use crate::stand_in::{Manners, StandIn, Traffic};
use crate::{Bench, list};

const RATE: u32 = 200;
/// What the service allows in one of the cases.
const ALLOWED: usize = 120;
/// By then the program has adapted.
const SETTLED_AFTER: Duration = Duration::from_secs(10);
const SHARE_LEAST: f64 = 0.9;
const REFUSED_PERCENT_MOST: f64 = 5.0;
const PASSED_LEAST: f64 = 110.0;

const QUICK: Manners = Manners { answer_ms: 3..=3, ..Manners::FAST };

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let rows = bench.either(3_000, 12_000);
    let input = list::csv(bench.file("slow-downs.csv"), 0..rows);
    let cases = [
        ("none", QUICK),
        ("5 of 1,000 by mistake", Manners { too_fast_per_mille: 5, ..QUICK }),
        ("120 a second are allowed", Manners { allowed: Some(ALLOWED), ..QUICK }),
    ];
    // In parallel, because each of them needs little of the machine.
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let runs: Vec<_> = cases
            .iter()
            .enumerate()
            .map(|(case, (_, manners))| {
                let (input, ledger) = (&input, bench.file(&format!("slow-downs-{case}.db")));
                scope.spawn(move || {
                    let stand_in = StandIn::start(manners.clone());
                    process::measure(&list::run(input, &ledger, &stand_in, RATE)).expect_exit(&[0]);
                    let (passed, all) = (stand_in.passed(), stand_in.traffic());
                    Seen { passed, all }
                })
            })
            .collect();
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });

    let mut table = Table::new(
        "too fast",
        format!("\"Too fast\" in {rows} edits at {RATE}/s, answers after 3 ms"),
        &["let through a second", "share of the first", "refused after 10 s", "worst sliding second"],
    );
    let first = seen[0].passed.mean();
    for ((name, manners), seen) in cases.iter().zip(&seen) {
        let settled = |traffic: &Traffic| traffic.since(seen.all.first().map(|first| first + SETTLED_AFTER));
        let (passed, all) = (settled(&seen.passed), settled(&seen.all));
        let mean = if manners.allowed.is_some() { passed.mean() } else { seen.passed.mean() };
        let count = |requests: usize| f64::from(u32::try_from(requests).unwrap());
        let refused = 100.0 * (1.0 - count(passed.requests()) / count(all.requests()));
        let (mut mean, mut share) = (Figure::new([mean], ""), Figure::new([mean / first], ""));
        let mut refused = Figure::new([refused], "%");
        if manners.allowed.is_some() {
            (mean, refused) = (mean.at_least(PASSED_LEAST), refused.at_most(REFUSED_PERCENT_MOST));
        } else if manners.too_fast_per_mille > 0 {
            share = share.at_least(SHARE_LEAST);
        }
        let worst = Figure::new([count(seen.all.worst_second())], "").never_above(f64::from(RATE));
        table.row(*name, [mean, share, refused, worst].map(Into::into));
    }
    table.note(
        "Measured at the same time. Where 120 are allowed, in any second, those let through are counted after the first ten \
         seconds.",
    );
    vec![table]
}

struct Seen {
    passed: Traffic,
    all: Traffic,
}
