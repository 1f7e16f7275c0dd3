//! Is the cap kept in every second, and is it fully used? As the server sees it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::process::{self, Running};
use crate::report::{Figure, Table};
use crate::stand_in::{Manners, StandIn, Traffic};
use crate::{Bench, list};

/// The program's default rate, and the target for it.
const USUAL_RATE: u32 = 200;
const MEAN_WANTED: f64 = 199.0;

struct Case {
    name: &'static str,
    manners: Manners,
    /// Requests in flight, if the program does not choose them itself.
    places: Option<u32>,
    /// The signal that ends the program in the middle; it is started again then.
    ended_by: Option<Signal>,
}

const CASES: [Case; 8] = [
    Case { name: "fast answers", manners: Manners::FAST, places: None, ended_by: None },
    Case {
        name: "answers after 300 to 500 ms",
        manners: Manners { answer_ms: 300..=500, ..Manners::FAST },
        places: None,
        ended_by: None,
    },
    Case {
        name: "jitter: 1 to 80 ms, every fiftieth a second more",
        manners: Manners { answer_ms: 1..=80, late_percent: 2, ..Manners::FAST },
        places: None,
        ended_by: None,
    },
    Case {
        name: "5 % passing errors",
        manners: Manners { fault_percent: 5, ..Manners::FAST },
        places: None,
        ended_by: None,
    },
    Case {
        name: "2 places, answers after 3 ms",
        manners: Manners { answer_ms: 3..=3, ..Manners::FAST },
        places: Some(2),
        ended_by: None,
    },
    Case {
        name: "8 places, answers after 3 ms",
        manners: Manners { answer_ms: 3..=3, ..Manners::FAST },
        places: Some(8),
        ended_by: None,
    },
    Case {
        name: "interrupted in the middle, and resumed",
        manners: Manners::FAST,
        places: None,
        ended_by: Some(Signal::SIGINT),
    },
    Case {
        name: "killed in the middle, and resumed",
        manners: Manners::FAST,
        places: None,
        ended_by: Some(Signal::SIGKILL),
    },
];

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    // Three seconds and six; at a higher rate, just over one, and three.
    let rates = [
        (USUAL_RATE, bench.either(600, 1_200)),
        (1_000, bench.either(1_100, 3_000)),
        (5_000, bench.either(5_500, 15_000)),
    ];
    rates.map(|(rate, rows)| at_rate(bench, rate, rows)).into()
}

fn at_rate(bench: &Bench, rate: u32, rows: u32) -> Table {
    let mut table = Table::new(
        "exactness",
        format!("Exactness at {rate}/s, {rows} edits"),
        &["mean a second", "worst sliding second", "the first second"],
    );
    let input = list::csv(bench.file(&format!("exactness-{rate}.csv")), 0..rows);
    // A restart splits the run into two parts, and in the short mode neither would last a second.
    let is_long_enough = |case: &Case| case.ended_by.is_none() || rate == USUAL_RATE || bench.full;
    // This few places are meant for the usual rate.
    let is_measured = |case: &Case| is_long_enough(case) && (case.places.is_none() || rate == USUAL_RATE);
    let mut seen: Vec<Vec<Seen>> = CASES.iter().map(|_| Vec::new()).collect();
    for turn in 0..bench.either(1, 3) {
        for (case, seen) in CASES.iter().zip(&mut seen).filter(|(case, _)| is_measured(case)) {
            let ledger = bench.file(&format!("exactness-{rate}-{turn}-{}.db", case.name));
            seen.push(watch(case, &input, &ledger, rate, rows as usize));
        }
    }
    for (case, seen) in CASES.iter().zip(seen) {
        if seen.is_empty() {
            if case.places.is_none() {
                table.row(case.name, ["in the full mode".into()]);
            }
            continue;
        }
        let mean = Figure::new(seen.iter().map(|seen| seen.mean), "");
        let mean = if rate == USUAL_RATE { mean.at_least(MEAN_WANTED) } else { mean };
        let cap = f64::from(rate);
        let worst = Figure::new(seen.iter().map(|seen| seen.worst_second), "").never_above(cap);
        let first = Figure::new(seen.iter().map(|seen| seen.first_second), "").never_above(cap);
        table.row(case.name, [mean, worst, first].map(Into::into));
    }
    table.note(
        "A request counts from when its last byte has arrived. The mean is that from the second second on, as one \
         request goes first and alone, until as many have arrived as there are edits: errors are tried again later, and \
         the last ones alone. Around a restart \
         it is the lower one of the two parts; the worst second is that of the whole.",
    );
    table
}

struct Seen {
    mean: f64,
    worst_second: f64,
    first_second: f64,
}

fn watch(case: &Case, input: &Path, ledger: &Path, rate: u32, rows: usize) -> Seen {
    let stand_in = StandIn::start(case.manners.clone());
    let mut command = list::run(input, ledger, &stand_in, rate);
    if let Some(places) = case.places {
        command.args(["--concurrency", &places.to_string()]);
    } else if rate != USUAL_RATE {
        // Room for answers of half a second, and more.
        command.args(["--concurrency", &(rate * 3 / 5).to_string()]);
    }
    let traffic = match case.ended_by {
        None => {
            process::measure(&command).expect_exit(&[0]);
            stand_in.traffic()
        }
        Some(signal) => restart(&mut command, signal, &stand_in, rows),
    };
    let mean = if case.ended_by.is_some() {
        traffic.around_the_pause().iter().map(Traffic::steady_mean).fold(f64::INFINITY, f64::min)
    } else {
        traffic.up_to(rows).steady_mean()
    };
    let count = |requests: usize| f64::from(u32::try_from(requests).unwrap());
    Seen { mean, worst_second: count(traffic.worst_second()), first_second: count(traffic.first_second()) }
}

/// Ends the program when half of the edits are done, and starts it again.
fn restart(command: &mut Command, signal: Signal, stand_in: &StandIn, rows: usize) -> Traffic {
    // Edits that were under way when it was killed are in doubt. To read them back would tell nothing of the pace, and
    // takes its time.
    command.args(["--in-doubt", "hold", "--max-failures", "100%"]);
    let mut first = Running::start(command);
    while stand_in.arrived() < rows / 2 {
        std::thread::sleep(Duration::from_millis(2));
    }
    first.signal(signal);
    first.finish();
    process::measure(command).expect_exit(&[0, 1]);
    stand_in.traffic()
}
