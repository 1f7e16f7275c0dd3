//! What the program does and costs, compared with what people would use instead: on one machine, on loopback only.
//!
//! ```text
//! cargo bench                        the short mode, about five minutes
//! cargo bench -- --full              longer runs, more of them, and lists of up to 10,000,000 rows: about twenty minutes
//! cargo bench -- exactness cost      only these parts
//! ```
//!
//! The tables are printed, and written to `target/bench/report.md` and `report.json`. A figure that is measured more
//! than once is a median with the smallest and the largest, and compared runs alternate (A, B, A, B, …), so that a
//! busy moment of the machine affects both. No figure holds for another machine; the neighbouring ones show what it is
//! worth. A missed target is reported and fails nothing.
//!
//! The other tools (`benches/others/`) come from Debian (`apt-get install parallel curl wrk`) and, by themselves, from
//! PyPI into `target/bench/venv`. Where one is missing its row says so.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a measurement that cannot be made shall say so and end")]

mod stand_in;

mod process;

mod list;

mod others;

mod bare_loop;

mod report;

mod exactness;

mod slow_downs;

mod cost;

mod uncapped;

mod growth;

mod formats;

mod profile;

mod several;

/// A PostgreSQL server for a while, as the tests have it.
#[path = "../../tests/support"]
mod support {
    pub(crate) mod harness {
        use std::time::{Duration, Instant};

        /// Polls until `look` returns something.
        pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
            let started = Instant::now();
            loop {
                if let Some(seen) = look() {
                    return seen;
                }
                assert!(started.elapsed() < Duration::from_secs(90), "timed out waiting for {what}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }

    #[expect(dead_code, reason = "the tests need more of it")]
    pub(crate) mod postgres;
}

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, ValueEnum};

use crate::report::{Report, Table};

/// Requests in flight where nothing holds them back, for everything that is compared. More of them make nothing faster.
const IN_FLIGHT: usize = 256;

#[derive(Parser)]
#[command(name = "cargo bench --", about = "Measures the program beside what people would use instead")]
struct Args {
    /// Only these parts
    parts: Vec<Part>,
    /// Longer runs, more of them, and lists of up to 10,000,000 rows: about twenty minutes
    #[arg(long)]
    full: bool,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Is the cap kept, and used up?
    Exactness,
    /// What does "too fast" cost?
    SlowDowns,
    /// What does a run at the cap cost?
    Cost,
    /// How fast is it without a cap?
    Uncapped,
    /// How do time, memory and the ledger grow with the list?
    Growth,
    /// What does reading cost, by format?
    Formats,
    /// Where does a row's CPU go?
    Profile,
    /// What does it cost to share a list by way of PostgreSQL?
    Several,
    /// How long does a resume take from there?
    SeveralResume,
}

/// The settings for every part.
struct Bench {
    full: bool,
    /// For lists and ledgers.
    dir: PathBuf,
    /// For lasting files: the report, and Python's packages.
    kept: PathBuf,
}

impl Bench {
    /// One value for the short mode, one for the full.
    fn either<T>(&self, short: T, full: T) -> T {
        if self.full { full } else { short }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    match words.next_if(|word| word == process::WATCH || word == bare_loop::WORD).as_deref() {
        Some(process::WATCH) => return process::watch(words),
        Some(_) => return bare_loop::run(words),
        None => {}
    }
    let args = Args::parse();
    if !args.bench {
        // `cargo test --all-targets` starts this too, without needing figures.
        eprintln!("Measure with: cargo bench");
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("bench");
    // Beside the report and not in /tmp, which may be memory: a ledger's fsync must reach a disk.
    let dir = kept.join("work");
    // An interrupted bench may have left gigabytes.
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::create_dir_all(&dir).unwrap();
    let bench = Bench { full: args.full, dir, kept };
    let mut report = Report::new(bench.full);
    for part in Part::value_variants().iter().filter(|part| args.parts.is_empty() || args.parts.contains(part)) {
        eprintln!("measuring {} …", part.to_possible_value().unwrap().get_name());
        let tables: Vec<Table> = match part {
            Part::Exactness => exactness::measure(&bench),
            Part::SlowDowns => slow_downs::measure(&bench),
            Part::Cost => cost::measure(&bench),
            Part::Uncapped => uncapped::measure(&bench),
            Part::Growth => growth::measure(&bench),
            Part::Formats => formats::measure(&bench),
            Part::Profile => profile::measure(&bench),
            Part::Several => several::measure(&bench),
            Part::SeveralResume => several::measure_resume(&bench),
        };
        for table in tables {
            println!("{}", table.markdown());
            report.add(table);
        }
    }
    report.took(start.elapsed());
    println!("{}", report.closing());
    report.write(&bench.kept).unwrap();
    std::fs::remove_dir_all(&bench.dir).unwrap();
    ExitCode::SUCCESS
}
