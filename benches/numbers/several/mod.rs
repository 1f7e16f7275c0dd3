//! What does it cost to share a list by way of PostgreSQL? Beside a ledger of one machine, in the same run.

mod apps;

mod pause;

mod resume;

mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use self::server::Server;
use crate::process::Running;
use crate::report::{Cell, Figure, Table};
use crate::stand_in::{Manners, StandIn};
use crate::support::harness::wait_for;
use crate::support::postgres::Database;
use crate::uncapped::NO_CAP;
use crate::{Bench, IN_FLIGHT, list};

const RATE: u32 = 200;
const RUNNERS: [usize; 3] = [1, 4, 16];
const UNCAPPED_RUNNERS: [usize; 3] = [1, 2, 4];
/// The cap is kept, and used up, by however many.
const MEAN_LEAST: f64 = 190.0;

/// After shares were dealt out, they change hands until all are equal.
const SETTLE: Duration = Duration::from_secs(4);

pub(crate) fn measure(bench: &Bench) -> Vec<Table> {
    with_server(|server| {
        vec![
            at_the_cap(bench, server),
            pause::measure(bench, server),
            uncapped(bench, server),
            apps::measure(bench, server),
        ]
    })
}

pub(crate) fn measure_resume(bench: &Bench) -> Vec<Table> {
    with_server(|server| vec![resume::measure(bench, server)])
}

fn with_server(measure: impl FnOnce(&Server) -> Vec<Table>) -> Vec<Table> {
    let Some(server) = Server::start() else {
        let mut table = Table::new("several", "Several runners on one PostgreSQL", &["not measured"]);
        table.row("all", [Cell::from("not there: apt-get install postgresql")]);
        return vec![table];
    };
    measure(&server)
}

/// So many runners with one list, that end with this.
fn start(runners: usize, input: &Path, ledger: &Path, stand_in: &StandIn, rate: u32) -> Vec<Running> {
    let places = IN_FLIGHT.to_string();
    let run = || {
        let mut command = list::run(input, ledger, stand_in, rate);
        if rate == NO_CAP {
            command.args(["--concurrency", &places]);
        }
        Running::start(&command)
    };
    (0..runners).map(|_| run()).collect()
}

/// Waits until so many runners have shared out the cap, and use it.
fn wait_until_shared(database: Database<'_>, stand_in: &StandIn, runners: usize) {
    let shares = "SELECT count(*) FILTER (WHERE share > 0), sum(share) FROM runner.lease WHERE state = 'live'";
    wait_for("runners to share the cap", || {
        let there = database.psql("SELECT to_regclass('runner.lease') IS NOT NULL") == "t";
        (there && database.psql(shares) == format!("{runners}|{RATE}")).then_some(())
    });
    std::thread::sleep(SETTLE);
    wait_until_used(stand_in);
}

fn wait_until_used(stand_in: &StandIn) {
    wait_for("the cap to be used", || {
        let before = stand_in.arrived();
        std::thread::sleep(Duration::from_millis(500));
        (stand_in.arrived() - before >= RATE as usize * 45 / 100).then_some(())
    });
}

fn cpu(runners: &[Running]) -> Duration {
    runners.iter().map(Running::cpu).sum()
}

/// Transactions, bytes and CPU at the cap.
fn at_the_cap(bench: &Bench, server: &Server) -> Table {
    let window = Duration::from_secs(bench.either(8, 30));
    let input = list::csv(bench.file("several.csv"), 0..50_000);
    let mut table = Table::new(
        "several, at the cap",
        format!("One list at {RATE}/s, shared by way of PostgreSQL"),
        &[
            "edits a second",
            "transactions a second",
            "WAL a second",
            "WAL an edit",
            "CPU of the server",
            "CPU of all runners",
        ],
    );
    let stand_in = StandIn::start(Manners::FAST);
    let measured = |runners: &[Running], read: &dyn Fn() -> Option<server::Reading>| {
        let (start, before, cpu_before) = (Instant::now(), read(), cpu(runners));
        let arrived = stand_in.arrived();
        std::thread::sleep(window);
        let edits = f64::from(u32::try_from(stand_in.arrived() - arrived).unwrap());
        let seconds = start.elapsed().as_secs_f64();
        let cpu = cpu(runners).saturating_sub(cpu_before).as_secs_f64() / seconds * 100.0;
        (edits / seconds, cpu, before.zip(read()))
    };

    let ledger = bench.file("several.db");
    let alone = start(1, &input, &ledger, &stand_in, RATE);
    wait_until_used(&stand_in);
    let (edits, cpu, _) = measured(&alone, &|| None);
    let figure = |value, unit| Cell::from(Figure::new([value], unit));
    table.row(
        "1 runner, SQLite",
        [figure(edits, ""), "".into(), "".into(), "".into(), "".into(), figure(cpu, "% of a core")],
    );
    drop(alone);

    for runners in RUNNERS {
        let database = server.database();
        stand_in.traffic();
        let running = start(runners, &input, Path::new(&database.url("several")), &stand_in, RATE);
        wait_until_shared(database, &stand_in, runners);
        let (edits, cpu, readings) = measured(&running, &|| Some(server.read(database)));
        let load = readings.map(|(before, after)| before.until(&after)).unwrap();
        let name = format!("{runners} {}, PostgreSQL", if runners == 1 { "runner" } else { "runners" });
        table.row(
            name,
            [
                Figure::new([edits], "").at_least(MEAN_LEAST).into(),
                figure(load.transactions, ""),
                figure(load.wal_kib, "KiB"),
                figure(load.wal_kib * 1_024.0 / edits, "bytes"),
                figure(load.cpu_percent, "% of a core"),
                figure(cpu, "% of a core"),
            ],
        );
    }
    table.note(format!(
        "Over {} s, once all have their shares. A transaction is a commit of intents and outcomes, a beat, or one that takes or \
         finishes a part of the list. The server has PostgreSQL's own settings; its CPU is that of all its processes.",
        window.as_secs()
    ));
    table
}

/// Edits a second where nothing holds them back.
fn uncapped(bench: &Bench, server: &Server) -> Table {
    let rows = bench.either(20_000, 200_000);
    let input = list::csv(bench.file("several-uncapped.csv"), 0..rows);
    let stand_in = StandIn::start(Manners::FAST);
    let mut runs = vec![Vec::new(); UNCAPPED_RUNNERS.len() + 1];
    for turn in 0..bench.either(2, 5) {
        for (case, runs) in runs.iter_mut().enumerate() {
            let runners = case.checked_sub(1).map(|case| UNCAPPED_RUNNERS[case]);
            let (ledger, database) = if runners.is_none() {
                (bench.file(&format!("several-{turn}.db")), None)
            } else {
                let database = server.database();
                (database.url("several").into(), Some(database))
            };
            stand_in.traffic();
            let before = database.map(|database| server.read(database));
            let all: Vec<_> = start(runners.unwrap_or(1), &input, &ledger, &stand_in, NO_CAP)
                .into_iter()
                .map(|runner| runner.finish().expect_exit(&[0]))
                .collect();
            let load = before.zip(database).map(|(before, database)| before.until(&server.read(database)));
            let traffic = stand_in.traffic();
            let edits = f64::from(u32::try_from(traffic.requests()).unwrap());
            let cpu: Duration = all.iter().map(|measured| measured.cpu).sum();
            let of_server = load.map_or(0.0, |load| load.cpu_percent / 100.0 * load.seconds);
            let middle = traffic.middle();
            runs.push([middle.mean(), cpu.as_secs_f64() * 1e6 / edits, of_server * 1e6 / edits]);
        }
    }
    let mut table = Table::new(
        "several, uncapped",
        format!(
            "{} edits without a cap, {IN_FLIGHT} in flight for each runner",
            thousands::Separable::separate_with_commas(&rows)
        ),
        &["edits a second", "beside SQLite", "CPU of one edit in runners", "and in the server"],
    );
    for (case, own) in runs.iter().enumerate() {
        let name = match case.checked_sub(1).map(|case| UNCAPPED_RUNNERS[case]) {
            None => "1 runner, SQLite".to_owned(),
            Some(1) => "1 runner, PostgreSQL".to_owned(),
            Some(runners) => format!("{runners} runners, PostgreSQL"),
        };
        let beside = Figure::new(own.iter().zip(&runs[0]).map(|(own, sqlite)| own[0] / sqlite[0]), "");
        let of = |column: usize, unit| Cell::from(Figure::new(own.iter().map(|run| run[column]), unit));
        let server = if case == 0 { "".into() } else { of(2, "µs") };
        table.row(name, [of(0, ""), beside.into(), of(1, "µs"), server]);
    }
    table.note(
        "By turns. Edits a second are those in the middle of a run, when all runners have their shares. The runners, the \
         server of the database and the one that answers share the machine's cores.",
    );
    table
}
