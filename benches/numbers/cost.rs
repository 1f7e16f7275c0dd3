//! What does a run at the cap cost, beside what people would use instead?

use std::process::Command;

use crate::others::{self, Found, Script};
use crate::process::{self, Measured};
use crate::report::{Cell, Figure, Table};
use crate::stand_in::{Manners, StandIn, Traffic};
use crate::{Bench, list};

const RATE: u32 = 200;
/// CPU time of 1,000 edits at the cap.
const CPU_MS_MOST: f64 = 60.0;
const OTHERS: [Script; 3] = [others::PARALLEL, others::XARGS, others::AIOHTTP];

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let rows = bench.either(400, 2_000);
    let input = list::jsonl(bench.file("cost.jsonl"), 0..rows);
    let stand_in = StandIn::start(Manners::FAST);
    let url = stand_in.request_url();
    let turn = |script: Option<&Script>, turn: u32| -> Found {
        let log = bench.file(&format!("cost-{}-{turn}.log", script.map_or("runner", |script| script.name)));
        script.map_or_else(
            || Ok(list::run(&input, &log, &stand_in, RATE)),
            |script| script.command(bench, &input, &url, &log, RATE),
        )
    };

    let tools: Vec<Option<&Script>> = std::iter::once(None).chain(OTHERS.iter().map(Some)).collect();
    let mut runs: Vec<Result<Vec<Run>, String>> = tools.iter().map(|_| Ok(Vec::new())).collect();
    for number in 0..3 {
        for (tool, runs) in tools.iter().zip(&mut runs) {
            match (turn(*tool, number), &mut *runs) {
                (Ok(command), Ok(runs)) => runs.push(Run::of(&command, &stand_in)),
                (Err(missing), runs) => *runs = Err(missing),
                (Ok(_), Err(_)) => {}
            }
        }
    }

    let mut table = Table::new(
        "cost at the cap",
        format!("{rows} edits at {RATE}/s"),
        &["CPU for 1,000 edits", "peak memory", "mean a second", "worst sliding second"],
    );
    for (tool, runs) in tools.iter().zip(runs) {
        let name = tool.map_or("runner", |script| script.name);
        match runs {
            Ok(runs) => table.row(name, cells(&runs, f64::from(rows), tool.is_none())),
            Err(missing) => table.row(name, [Cell::Text(missing)]),
        }
    }
    table.note(
        "CPU is that of the tool and of all it starts, its start included; memory that of its largest process. The others \
         keep no ledger that outlives a power cut, know of no edit in doubt, and check nothing before they send.",
    );
    vec![table]
}

struct Run {
    measured: Measured,
    traffic: Traffic,
}

impl Run {
    fn of(command: &Command, stand_in: &StandIn) -> Run {
        let measured = process::measure(command).expect_exit(&[0]);
        Run { measured, traffic: stand_in.traffic() }
    }
}

fn cells(runs: &[Run], rows: f64, is_ours: bool) -> [Cell; 4] {
    let of = |figure: fn(&Run) -> f64, unit| Figure::new(runs.iter().map(figure), unit);
    let cpu = Figure::new(runs.iter().map(|run| run.measured.cpu.as_secs_f64() * 1e6 / rows), "ms");
    let cpu = cpu.maybe_at_most(is_ours.then_some(CPU_MS_MOST));
    let memory = of(|run| run.measured.memory_mib(), "MiB");
    let mean = of(|run| run.traffic.mean(), "");
    let worst = of(|run| f64::from(u32::try_from(run.traffic.worst_second()).unwrap()), "");
    [cpu, memory, mean, worst].map(Into::into)
}
