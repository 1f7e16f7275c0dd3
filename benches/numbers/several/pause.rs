//! How long does it take until an operator's word has reached every runner?

use std::path::Path;
use std::time::{Duration, Instant};

use runner::ledger::{ControlAction, ControlEvent, LedgerAddress, PostgresAddress, open_control};
use tokio::runtime;

use super::server::Server;
use super::{RATE, start, wait_until_shared};
use crate::report::{Figure, Table};
use crate::stand_in::{Manners, StandIn};
use crate::{Bench, list};

const RUNNERS: usize = 4;
/// Each of them sends far more often than that.
const SILENT: Duration = Duration::from_millis(250);
/// A beat a second, and what that takes.
const WORST_MS_MOST: f64 = 1_500.0;

pub(crate) fn measure(bench: &Bench, server: &Server) -> Table {
    let tries = bench.either(10, 20);
    let input = list::csv(bench.file("pause.csv"), 0..50_000);
    let (stand_in, database) = (StandIn::start(Manners::FAST), server.database());
    let url = database.url("pause");
    let running = start(RUNNERS, &input, Path::new(&url), &stand_in, RATE);
    wait_until_shared(database, &stand_in, RUNNERS);
    let address = LedgerAddress::Postgres(url.parse::<PostgresAddress>().unwrap());
    let control = open_control(&address).unwrap().unwrap();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let act = |what| runtime.block_on(control.act(ControlEvent { what, by: "a bench".to_owned() })).unwrap();
    let (mut durable, mut reached) = (Vec::new(), Vec::new());
    for _ in 0..tries {
        let asked = Instant::now();
        act(ControlAction::Pause);
        durable.push(asked.elapsed().as_secs_f64() * 1e3);
        let last = loop {
            std::thread::sleep(Duration::from_millis(20));
            let last = stand_in.last_arrival().unwrap();
            if last.max(asked).elapsed() >= SILENT {
                break last;
            }
        };
        reached.push(last.saturating_duration_since(asked).as_secs_f64() * 1e3);
        act(ControlAction::Resume);
        // All have heard of it then, and the next pause meets them between any two of their beats.
        std::thread::sleep(Duration::from_millis(1_300 + fastrand::u64(0..1_000)));
    }
    drop(running);
    let mut table = Table::new(
        "several, pause",
        format!("A pause by way of the database, {RUNNERS} runners, {tries} tries"),
        &["median", "shortest", "longest"],
    );
    let figures = |of: &[f64], most: Option<f64>| {
        let (shortest, longest) = (of.iter().copied().fold(f64::MAX, f64::min), of.iter().copied().fold(0.0, f64::max));
        let mut sorted = of.to_vec();
        sorted.sort_by(f64::total_cmp);
        let median = f64::midpoint(sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
        let figure = |value| Figure::new([value], "ms");
        [figure(median), figure(shortest), figure(longest).maybe_at_most(most)].map(Into::into)
    };
    table.row("it is durable", figures(&durable, None));
    table.row("the last runner has sent its last request", figures(&reached, Some(WORST_MS_MOST)));
    table.note(
        "From the moment at which an operator asks, the connection to the database included. Runners look with each beat, \
         every second; LISTEN and NOTIFY could save at most what the second row has more than the first.",
    );
    table
}
