//! What does a run at the cap cost, compared with what people would use instead?

use std::path::Path;

use crate::others::{self, Found, Script};
use crate::process::{self, Measured};
use crate::report::{Cell, Figure, Table};
use crate::stand_in::{Manners, StandIn, Traffic};
use crate::{Bench, bare_loop, list};

const RATE: u32 = 200;
/// CPU time of 1,000 edits at the cap.
const CPU_MS_MOST: f64 = 60.0;
/// The same, relative to the bare loop in the same bench.
const CPU_OF_BARE_MOST: f64 = 1.1;

#[derive(Clone, Copy)]
enum Tool {
    Runner,
    BareLoop,
    Script(&'static Script),
}

const TOOLS: [Tool; 5] = [
    Tool::Runner,
    Tool::BareLoop,
    Tool::Script(&others::AIOHTTP),
    Tool::Script(&others::XARGS),
    Tool::Script(&others::PARALLEL),
];

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Tool::Runner => "runner",
            Tool::BareLoop => "bare loop of the same client, by a clock",
            Tool::Script(script) => script.name,
        }
    }
}

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let rows = bench.either(300, 1_000);
    let input = list::jsonl(bench.file("cost.jsonl"), 0..rows);
    let stand_in = StandIn::start(Manners::FAST);
    let url = stand_in.request_url();
    let first = list::jsonl(bench.file("cost-first.jsonl"), 0..1);
    let command = |tool: usize, input: &Path, turn: usize| -> Found {
        let log = bench.file(&format!("{}-{tool}-{turn}.log", input.file_stem().unwrap().display()));
        match TOOLS[tool] {
            Tool::Runner => Ok(list::run(input, &log, &stand_in, RATE)),
            Tool::BareLoop => Ok(bare_loop::command(&url, input, RATE)),
            Tool::Script(script) => script.command(bench, input, &url, &log, RATE),
        }
    };
    let runs = others::by_turns(TOOLS.len(), bench.either(2, 3), |tool, turn| {
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
    // The medians of alternating runs.
    let ours_and_bare = [&runs[0], &runs[1]].map(|runs| {
        let runs = runs.as_ref().ok()?;
        let mut cpu: Vec<f64> = runs.iter().map(|run| run.cpu_ms_of_1_000(f64::from(rows))).collect();
        cpu.sort_by(f64::total_cmp);
        Some(f64::midpoint(cpu[(cpu.len() - 1) / 2], cpu[cpu.len() / 2]))
    });
    for (tool, runs) in TOOLS.into_iter().zip(runs) {
        match runs {
            Ok(runs) => table.row(tool.name(), cells(&runs, f64::from(rows), matches!(tool, Tool::Runner))),
            Err(missing) => table.row(tool.name(), [Cell::Text(missing)]),
        }
    }
    if let [Some(ours), Some(bare)] = ours_and_bare {
        table.row("runner, beside the bare loop", [Figure::new([ours / bare], "").at_most(CPU_OF_BARE_MOST).into()]);
    }
    table.note(
        "CPU is that of the tool and of all it starts, memory that of its largest process. That of a single edit is mostly the \
         start of the tool, and is not in that of the 1,000. The bare loop knows neither cap nor ledger, and tells what the HTTP client itself costs. The others keep no ledger that outlives a power cut, know of no \
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
