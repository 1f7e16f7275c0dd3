//! How fast is it without a cap, with a ledger that survives a power cut? Compared with the same HTTP client in a bare
//! loop, and with load generators, all against the same server.

use crate::others::{self, Found};
use crate::process;
use crate::report::{Cell, Figure, Table};
use crate::stand_in::{Manners, StandIn};
use crate::{Bench, IN_FLIGHT, bare_loop, list};

/// More than any machine sends.
pub(crate) const NO_CAP: u32 = 1_000_000;
/// Relative to the bare loop, with everything recorded.
const SHARE_LEAST: f64 = 0.85;

const PLACES: [usize; 5] = [2, 8, 32, 128, 512];

const TOOLS: [&str; 4] = ["runner, ledger and all", "bare loop of the same client", "wrk", "oha"];

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let rows = bench.either(20_000, 100_000);
    let (csv, jsonl) =
        (list::csv(bench.file("uncapped.csv"), 0..rows), list::jsonl(bench.file("uncapped.jsonl"), 0..rows));
    let stand_in = StandIn::start(Manners::FAST);
    let url = stand_in.request_url();
    let (body, seconds) = (list::request_body(0), bench.either(1, 3));
    let command = |tool: usize, turn: usize| -> Found {
        match tool {
            0 => {
                let mut command = list::run(&csv, &bench.file(&format!("uncapped-{turn}.db")), &stand_in, NO_CAP);
                command.args(["--concurrency", &IN_FLIGHT.to_string()]);
                Ok(command)
            }
            1 => Ok(bare_loop::command_uncapped(&url, &jsonl, IN_FLIGHT)),
            2 => others::wrk(&url, &body, seconds),
            _ => others::oha(&url, &body, seconds),
        }
    };

    // Requests per second, and the CPU time of one request in microseconds.
    let runs = others::by_turns(TOOLS.len(), bench.either(3, 5), |tool, turn| {
        let measured = process::measure(&command(tool, turn)?).expect_exit(&[0]);
        let traffic = stand_in.traffic();
        let requests = f64::from(u32::try_from(traffic.requests()).unwrap());
        Ok([traffic.mean(), measured.cpu.as_secs_f64() * 1e6 / requests])
    });

    let mut table = Table::new(
        "uncapped",
        format!("{rows} edits without a cap, {IN_FLIGHT} in flight"),
        &["edits a second", "CPU of one, its start included", "share of the bare loop"],
    );
    let bare: Vec<f64> = runs[1].as_ref().map(|runs| runs.iter().map(|run| run[0]).collect()).unwrap_or_default();
    for (tool, (name, runs)) in TOOLS.into_iter().zip(&runs).enumerate() {
        let runs = match runs {
            Ok(runs) => runs,
            Err(missing) => {
                table.row(name, [Cell::Text(missing.clone())]);
                continue;
            }
        };
        let share = Figure::new(runs.iter().zip(&bare).map(|(run, bare)| run[0] / bare), "");
        table.row(
            name,
            [
                Figure::new(runs.iter().map(|run| run[0]), "").into(),
                Figure::new(runs.iter().map(|run| run[1]), "µs").into(),
                Cell::Figure(if tool == 0 { share.at_least(SHARE_LEAST) } else { share }),
            ],
        );
    }
    table.note(
        "Edits a second are those the server saw, from the first to the last. The ledger is SQLite with WAL and \
         synchronous=FULL: two durable steps for each edit. The server shares the machine with what is measured. wrk and \
         oha send one and the same request again and again.",
    );
    vec![table, by_places(bench)]
}

/// How much do few places, or many, matter?
fn by_places(bench: &Bench) -> Table {
    let rows = bench.either(4_000, 40_000);
    let (csv, jsonl) = (list::csv(bench.file("places.csv"), 0..rows), list::jsonl(bench.file("places.jsonl"), 0..rows));
    let stand_in = StandIn::start(Manners::FAST);
    let url = stand_in.request_url();
    let mut table = Table::new(
        "uncapped, by places",
        format!("{rows} edits without a cap, by the requests in flight"),
        &["runner, edits a second", "bare loop of the same client", "share of the bare loop"],
    );
    for places in PLACES {
        let runs: Vec<[f64; 2]> = (0..bench.either(1, 3))
            .map(|turn| {
                let ledger = bench.file(&format!("places-{places}-{turn}.db"));
                let mut ours = list::run(&csv, &ledger, &stand_in, NO_CAP);
                ours.args(["--concurrency", &places.to_string()]);
                [ours, bare_loop::command_uncapped(&url, &jsonl, places)].map(|command| {
                    process::measure(&command).expect_exit(&[0]);
                    stand_in.traffic().mean()
                })
            })
            .collect();
        let of = |figure: fn(&[f64; 2]) -> f64| Figure::new(runs.iter().map(figure), "").into();
        table.row(format!("{places} places"), [of(|run| run[0]), of(|run| run[1]), of(|run| run[0] / run[1])]);
    }
    table.note("With few places each edit waits for its two commits; with many, they share them.");
    table
}
