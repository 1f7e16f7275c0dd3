//! Where does a row's CPU time go? Measured with `perf`, which samples the program many times a second.

use std::collections::BTreeMap;
use std::process::Command;

use crate::process;
use crate::report::{Cell, Figure, Table};
use crate::stand_in::{Manners, StandIn};
use crate::uncapped::NO_CAP;
use crate::{Bench, IN_FLIGHT, list, others};

/// What a function belongs to goes by the beginning of its name; the innermost one that is in here counts, so that what
/// many share (copying memory, the kernel) goes to who called it.
const PARTS: [(&str, &[&str]); 4] = [
    ("input", &["runner::input", "runner::edit", "runner::run::plan", "runner::run::todo", "csv::"]),
    ("ledger", &["runner::ledger", "rusqlite::", "sqlite3"]),
    ("client", &["runner::api", "reqwest::", "hyper::", "hyper_util::", "tower_http::", "http::", "url::"]),
    ("pace", &["runner::pace", "governor::"]),
];
const REST: &str = "rest";

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let rows = bench.either(10_000, 100_000);
    let mut table =
        Table::new("profile", format!("Where a row's CPU goes: {rows} edits without a cap"), &["share", "a row"]);
    let Some(perf) = others::find("perf") else {
        table.row("all", ["perf is not there: apt-get install linux-perf".into(), "".into()]);
        return vec![table];
    };
    let input = list::csv(bench.file("profile.csv"), 0..rows);
    let stand_in = StandIn::start(Manners::FAST);
    let run = |name: &str| {
        let mut command = list::run(&input, &bench.file(name), &stand_in, NO_CAP);
        command.args(["--concurrency", &IN_FLIGHT.to_string()]);
        command
    };
    // Sampling costs time, so the time is that of a run without it.
    let cpu = process::measure(&run("profile-alone.db")).expect_exit(&[0]).cpu;
    let cpu_us_a_row = cpu.as_secs_f64() * 1e6 / f64::from(rows);

    let samples = bench.file("perf.data");
    let mut record = Command::new(&perf);
    let watched = run("profile.db");
    record.args(["record", "--quiet", "--freq", "997", "--call-graph", "dwarf,16384", "--output"]).arg(&samples);
    record.arg("--").arg(watched.get_program()).args(watched.get_args());
    record.envs(watched.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let recorded = process::measure(&record);
    let mut script = Command::new(&perf);
    script.args(["script", "--no-inline", "--fields", "ip,sym", "--input"]).arg(&samples);
    let script = process::measure(&script);
    let counts = count(&script.stdout);
    let all: u32 = counts.values().sum();
    if all == 0 {
        let why = format!("perf saw nothing: {}{}", recorded.stderr, script.stderr).replace('\n', " ");
        table.row("all", [Cell::Text(why), "".into()]);
        return vec![table];
    }
    for part in PARTS.iter().map(|(part, _)| *part).chain([REST]) {
        let share = f64::from(counts.get(part).copied().unwrap_or_default()) / f64::from(all);
        let figures = [Figure::new([share * 100.0], "%"), Figure::new([share * cpu_us_a_row], "µs")];
        table.row(part, figures.map(Into::into));
    }
    table.row("all", [Figure::new([100.0], "%"), Figure::new([cpu_us_a_row], "µs")].map(Into::into));
    table.note(format!(
        "{all} looks. The start and the plan are in it. The rest: the run itself, tokio, and what nothing in between tells \
         the caller of."
    ));
    vec![table]
}

/// How many of the samples belong to which part. A sample is a paragraph, its innermost function first.
fn count(script: &str) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for sample in script.split("\n\n").filter(|sample| !sample.trim().is_empty()) {
        let mut functions = sample.lines().filter_map(|line| line.trim().split_once(' '));
        let part = functions.find_map(|(_, function)| part(function)).unwrap_or(REST);
        *counts.entry(part).or_default() += 1;
    }
    counts
}

fn part(function: &str) -> Option<&'static str> {
    // `<a::B<c::D> as e::F>::g` is of a::B; what stands within is only what it works on.
    let name = function.trim_start_matches(['<', '&', ' ']);
    let name = name.split(['<', ' ']).next().unwrap_or(name);
    let name = if name.contains("::") { name } else { function };
    PARTS.iter().find(|(_, names)| names.iter().any(|own| name.starts_with(own))).map(|(part, _)| *part)
}
