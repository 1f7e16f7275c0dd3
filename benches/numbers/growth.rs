//! How do time, memory and the ledger grow with the list?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use nix::unistd::sync;
use runner::input::{ContentSpec, Input, InputSpec, Mapping};
use rusqlite::{Connection, Row, params};

use crate::process::{self, Measured, TIME_MOST};
use crate::report::{Cell, Figure, Table};
use crate::stand_in::{Manners, StandIn};
use crate::uncapped::NO_CAP;
use crate::{Bench, IN_FLIGHT, list};

/// Rows that are added to a list whose edits are done.
const ADDED: u32 = 1_000;
/// Times that what has a target of its own, and changes nothing, is measured.
const TURNS: usize = 3;
/// The longest list that is really sent: ten million edits would take ten minutes alone. The ledger of a longer list
/// is written by SQL.
const SENT_MOST: u32 = 1_000_000;
/// Rows from which on the start of the process does not count for much.
const MANY: u32 = 100_000;
/// Two thirds of a million rows a second.
const PLAN_US_MOST: f64 = 1.5;
/// However the list has changed.
const RESUME_US_MOST: f64 = 4.0;
/// The row of an edit, its place in the index, and its event.
const LEDGER_BYTES_MOST: f64 = 195.0;
const VERIFY_S_MOST: f64 = 2.0;
const FIRST_REQUEST_S_MOST: f64 = 2.0;

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    let sizes: &[u32] = bench.either(&[10_000, 100_000], &[10_000, 100_000, 1_000_000, 10_000_000]);
    sizes.iter().map(|rows| at_size(bench, *rows)).collect()
}

/// Memory that a list of so many rows may take.
fn memory_mib_most(rows: u32) -> Option<f64> {
    match rows {
        100_000 => Some(48.0),
        1_000_000 => Some(64.0),
        10_000_000 => Some(160.0),
        _ => None,
    }
}

/// A resume of a finished ledger with the list as it was.
fn resume_s_most(rows: u32) -> Option<f64> {
    match rows {
        1_000_000 => Some(1.0),
        10_000_000 => Some(8.0),
        _ => None,
    }
}

fn at_size(bench: &Bench, rows: u32) -> Table {
    let growth =
        Growth { rows, stand_in: StandIn::start(Manners::FAST), ledger: bench.file(&format!("growth-{rows}.db")) };
    let mut table = Table::new(
        "growth",
        format!("{} rows", thousands::Separable::separate_with_commas(&rows)),
        &["time", "time a row", "peak memory", "first request after", "ledger a row"],
    );
    let input = list::csv(bench.file("growth.csv"), 0..rows);

    let mut plan = list::runner(&input);
    plan.arg("--dry-run");
    let plan = growth.repeat(&plan);
    growth.row(&mut table, "plan", &plan, None, (rows >= MANY).then_some(PLAN_US_MOST));

    if rows <= SENT_MOST {
        let run = growth.run(&input, Some(rows / 100 * 99));
        growth.row(&mut table, "run of 99 %, without a cap", &[run], None, None);
    } else {
        growth.run(&input, Some(1));
        fill(&growth.ledger, &input, rows / 100 * 99);
        table.note(
            "So many edits are not sent here: the ledger of the first 99 % was written by SQL, as the program would have \
             written it.",
        );
    }
    growth.row(&mut table, "resume at 99 %", &[growth.run(&input, None)], None, None);
    let bytes = std::fs::metadata(&growth.ledger).unwrap().len();
    let finished: Vec<Run> = (0..TURNS).map(|_| growth.run(&input, None)).collect();
    let changed_most = (rows >= MANY).then_some(RESUME_US_MOST);
    growth.row(&mut table, "resume when finished", &finished, resume_s_most(rows), changed_most);

    // These send something, for which a run that comes right after another waits up to a second.
    let a_row_most = (rows > MANY).then_some(RESUME_US_MOST);
    list::append(&input, rows..rows + ADDED);
    growth.row(&mut table, "resume with 1,000 rows appended", &[growth.run(&input, None)], None, a_row_most);
    let in_front = (rows + ADDED..rows + 2 * ADDED).chain(0..rows + ADDED);
    let input = list::csv(input, in_front);
    growth.row(&mut table, "resume with 1,000 rows in front", &[growth.run(&input, None)], None, a_row_most);
    let input = list::csv(input, (0..rows + 2 * ADDED).rev());
    growth.row(&mut table, "resume in reverse order", &[growth.run(&input, None)], None, changed_most);

    // What was written by SQL is in no log.
    if rows <= SENT_MOST {
        let mut verify = list::program();
        verify.arg("verify").arg(&growth.ledger);
        growth.row(&mut table, "verify", &growth.repeat(&verify), (rows == 1_000_000).then_some(VERIFY_S_MOST), None);
    }

    let ledger = Figure::new([per_row(bytes, rows)], "bytes").at_most(LEDGER_BYTES_MOST);
    table.row("ledger", ["".into(), "".into(), "".into(), "".into(), Cell::Figure(ledger)]);
    // The longest take more than a gigabyte each.
    for file in [&input, &growth.ledger] {
        std::fs::remove_file(file).unwrap();
    }
    table
}

/// Measurements with lists of one size.
struct Growth {
    rows: u32,
    stand_in: StandIn,
    ledger: PathBuf,
}

struct Run {
    measured: Measured,
    /// From the start of the process to its first request, in seconds; `None` where nothing was sent.
    first_request: Option<f64>,
}

impl Growth {
    fn repeat(&self, command: &Command) -> Vec<Run> {
        (0..TURNS).map(|_| self.measure(command)).collect()
    }

    /// Works on the list without a cap.
    fn run(&self, input: &Path, rows_max: Option<u32>) -> Run {
        let mut command = list::run(input, &self.ledger, &self.stand_in, NO_CAP);
        command.args(["--concurrency", &IN_FLIGHT.to_string()]);
        if let Some(rows_max) = rows_max {
            command.args(["--max-rows", &rows_max.to_string()]);
        }
        self.measure(&command)
    }

    fn measure(&self, command: &Command) -> Run {
        // Gigabytes that the bench has just written would be brought to the disk meanwhile, on the same processors.
        sync();
        let start = Instant::now();
        let measured = process::measure(command);
        if measured.took < TIME_MOST {
            assert_eq!(measured.exit_code, Some(0), "{}{}", measured.stdout, measured.stderr);
        }
        let first_request = self.stand_in.traffic().first().map(|at| (at - start).as_secs_f64());
        Run { measured, first_request }
    }

    fn row(&self, table: &mut Table, name: &str, runs: &[Run], time_s_most: Option<f64>, a_row_us_most: Option<f64>) {
        if runs.iter().any(|run| run.measured.took >= TIME_MOST) {
            table.row(name, [Cell::Text(format!("ended after {} s", TIME_MOST.as_secs()))]);
            return;
        }
        let time = |unit_a_second: f64| runs.iter().map(move |run| run.measured.took.as_secs_f64() * unit_a_second);
        let memory = Figure::new(runs.iter().map(|run| run.measured.memory_mib()), "MiB");
        let first: Vec<f64> = runs.iter().filter_map(|run| run.first_request).collect();
        let first = if first.is_empty() {
            Cell::from("")
        } else {
            let most = (self.rows == 1_000_000).then_some(FIRST_REQUEST_S_MOST);
            Figure::new(first, "s").maybe_at_most(most).into()
        };
        table.row(
            name,
            [
                Figure::new(time(1.0), "s").maybe_at_most(time_s_most).into(),
                Figure::new(time(1e6 / f64::from(self.rows)), "µs").maybe_at_most(a_row_us_most).into(),
                memory.maybe_at_most(memory_mib_most(self.rows)).into(),
                first,
            ],
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a ledger is smaller than that")]
fn per_row(bytes: u64, rows: u32) -> f64 {
    bytes as f64 / f64::from(rows)
}

/// Writes the edits of a list from the second on, up to so many, as the program left the first one: its row is copied
/// with another message in it.
pub(crate) fn fill(ledger: &Path, list: &Path, edits: u32) {
    const OWN: [&str; 6] = ["from_account", "to_account", "msg_key", "message", "content", "line"];
    let mut connection = Connection::open(ledger).unwrap();
    // If this is cut off, the whole bench is. And the digests come in no order: their index must stay in memory.
    connection
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -2000000")
        .unwrap();
    let transaction = connection.transaction().unwrap();
    let columns: Vec<String> =
        ask(&transaction, "SELECT name FROM pragma_table_info('edit') WHERE pk = 0", |row| row.get(0));
    assert!(OWN.iter().all(|own| columns.iter().any(|column| column == own)), "the ledger has changed: {columns:?}");
    let same: Vec<&str> = columns.iter().map(String::as_str).filter(|column| !OWN.contains(column)).collect();
    let same = same.join(", ");
    // The schema lets an edit begin with its first sending only.
    let triggers: Vec<(String, String)> =
        ask(&transaction, "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'", |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
    for (name, _) in &triggers {
        transaction.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    let own = OWN.join(", ");
    let insert =
        format!("INSERT INTO edit ({own}, {same}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, {same} FROM edit WHERE seq = 1");
    let mut insert = transaction.prepare(&insert).unwrap();
    let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
    let input = Input::open(list, None).unwrap();
    for row in input.rows(&mapping).unwrap().take(edits as usize).skip(1) {
        let row = row.unwrap();
        let edit = row.edit.unwrap();
        let id = edit.id();
        let (message, content, line) =
            (id.digest().0, edit.content_digest().0, i64::try_from(row.line.number).unwrap());
        insert.execute(params![id.from_account, id.to_account, id.msg_key, message, content, line]).unwrap();
    }
    drop(insert);
    for (_, sql) in triggers {
        transaction.execute_batch(&sql).unwrap();
    }
    transaction.commit().unwrap();
}

fn ask<T>(connection: &Connection, query: &str, read: fn(&Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    connection.prepare(query).unwrap().query_map([], read).unwrap().map(Result::unwrap).collect()
}
