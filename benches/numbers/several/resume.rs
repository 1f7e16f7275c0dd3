//! How long does a resume take that finds nothing to do?

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::sync;

use super::server::{Server, bytes_an_edit};
use crate::process::{self, Measured};
use crate::report::{Figure, Table};
use crate::stand_in::{Manners, StandIn};
use crate::uncapped::NO_CAP;
use crate::{Bench, growth, list};

/// Four seconds for a million.
const RESUME_US_MOST: f64 = 4.0;
/// A run from which the others are copied.
const SENT: u32 = 1;

pub(crate) fn measure(bench: &Bench, server: &Server) -> Table {
    let (rows, turns) = (bench.either(200_000, 1_000_000), bench.either(3, 5));
    let most = Some(RESUME_US_MOST * f64::from(rows) / 1e6);
    let (input, file) = (list::csv(bench.file("resume.csv"), 0..rows), bench.file("resume.db"));
    let (stand_in, database) = (StandIn::start(Manners::FAST), server.database());
    let shared = PathBuf::from(database.url("resume"));
    let resume = |ledger: &Path| list::run(&input, ledger, &stand_in, NO_CAP);
    let mut first = resume(&file);
    first.args(["--max-rows", &SENT.to_string()]);
    run(&first);
    growth::fill(&file, &input, rows);
    let mut copy = Command::new(env!("CARGO_BIN_EXE_runner"));
    copy.arg("copy").arg(&file).arg(&shared);
    let copied = run(&copy);

    let mut table = Table::new(
        "several, resume",
        format!("{} rows, all of them done", thousands::Separable::separate_with_commas(&rows)),
        &["time", "CPU of the program", "peak memory"],
    );
    sync();
    // What a copy does not have, and the first run on it finds out: which parts of the list are finished.
    let after_copy = run(&resume(&shared));
    let [sqlite, postgres] = by_turns(turns, |turn| resume(if turn == 0 { &file } else { &shared }));
    let row = |runs: Vec<Measured>, most: Option<f64>| {
        let of = |figure: fn(&Measured) -> f64, unit| Figure::new(runs.iter().map(figure), unit);
        let time = of(|run| run.took.as_secs_f64(), "s").maybe_at_most(most);
        [time, of(|run| run.cpu.as_secs_f64(), "s"), of(Measured::memory_mib, "MiB")].map(Into::into)
    };
    table.row("SQLite", row(sqlite, None));
    table.row("PostgreSQL", row(postgres, most));
    table.row("the first resume of a copy", row(vec![after_copy], most));
    table.row("the copy, from SQLite to PostgreSQL", row(vec![copied], None));
    table.row(
        "tables and indexes",
        [Figure::new([bytes_an_edit(database)], "bytes an edit").into(), "".into(), "".into()],
    );
    table.note("From the start of the process to its end; nothing is sent. SQLite and PostgreSQL by turns.");
    for file in [&input, &file] {
        std::fs::remove_file(file).unwrap();
    }
    table
}

fn run(command: &Command) -> Measured {
    process::measure(command).expect_exit(&[0])
}

/// Two commands.
fn by_turns(turns: usize, command: impl Fn(usize) -> Command) -> [Vec<Measured>; 2] {
    let mut runs = [Vec::new(), Vec::new()];
    for _ in 0..turns {
        runs.iter_mut().enumerate().for_each(|(tool, runs)| runs.push(run(&command(tool))));
    }
    runs
}
