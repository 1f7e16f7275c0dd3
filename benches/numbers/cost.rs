//! What does a run at the cap cost, beside what people would use instead?

use std::path::Path;

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
    let rows = bench.either(300, 1_000);
    let input = list::jsonl(bench.file("cost.jsonl"), 0..rows);
    let stand_in = StandIn::start(Manners::FAST);
    let url = stand_in.request_url();
    let first = list::jsonl(bench.file("cost-first.jsonl"), 0..1);
    // The program itself is the first of them.
    let tools: Vec<Option<&Script>> = std::iter::once(None).chain(OTHERS.iter().map(Some)).collect();
    let name = |tool: usize| tools[tool].map_or("runner", |script| script.name);
    let command = |tool: usize, input: &Path, turn: usize| -> Found {
        let log = bench.file(&format!("{}-{}-{turn}.log", input.file_stem().unwrap().display(), name(tool)));
        tools[tool].map_or_else(
            || Ok(list::run(input, &log, &stand_in, RATE)),
            |script| script.command(bench, input, &url, &log, RATE),
        )
    };
    let runs = others::by_turns(tools.len(), 3, |tool, turn| {
        let start = process::measure(&command(tool, &first, turn)?).expect_exit(&[0]);
        stand_in.traffic();
        let measured = process::measure(&command(tool, &input, turn)?).expect_exit(&[0]);
        Ok(Run { start, measured, traffic: stand_in.traffic() })
    });

    let mut table = Table::new(
        "cost at the cap",
        format!("{rows} edits at {RATE}/s"),
        &["CPU for 1,000 edits", "CPU of a single edit", "peak memory", "mean a second", "worst sliding second"],
    );
    for (tool, runs) in runs.into_iter().enumerate() {
        match runs {
            Ok(runs) => table.row(name(tool), cells(&runs, f64::from(rows), tools[tool].is_none())),
            Err(missing) => table.row(name(tool), [Cell::Text(missing)]),
        }
    }
    table.note(
        "CPU is that of the tool and of all it starts, memory that of its largest process. That of a single edit is mostly the \
         start of the tool, and is not in that of the 1,000. The others keep no ledger that outlives a power cut, know of no \
         edit in doubt, and check nothing before they send.",
    );
    vec![table]
}

struct Run {
    /// With a single edit.
    start: Measured,
    measured: Measured,
    traffic: Traffic,
}

impl Run {
    fn cpu_ms_of_1_000(&self, rows: f64) -> f64 {
        (self.measured.cpu.as_secs_f64() - self.start.cpu.as_secs_f64()) * 1e6 / (rows - 1.0)
    }
}

fn cells(runs: &[Run], rows: f64, is_ours: bool) -> [Cell; 5] {
    let of = |figure: fn(&Run) -> f64, unit| Figure::new(runs.iter().map(figure), unit);
    let cpu = Figure::new(runs.iter().map(|run| run.cpu_ms_of_1_000(rows)), "ms");
    let cpu = cpu.maybe_at_most(is_ours.then_some(CPU_MS_MOST));
    let start = of(|run| run.start.cpu.as_secs_f64() * 1e3, "ms");
    let memory = of(|run| run.measured.memory_mib(), "MiB");
    let mean = of(|run| run.traffic.mean(), "");
    let worst = of(|run| f64::from(u32::try_from(run.traffic.worst_second()).unwrap()), "");
    [cpu, start, memory, mean, worst].map(Into::into)
}
