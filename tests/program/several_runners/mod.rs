//! Several runners, each a process of its own, work on one list in a real PostgreSQL server, against one service.
//!
//! Small lists, unless `SEVERAL_RUNNERS=full` says otherwise; `TIMES=10` repeats each test, in which every list is new.

mod cap;
mod database;
mod joining;
mod lost;
mod operating;

use std::io::Write as _;
use std::net::SocketAddr;

use crate::support::harness::{Call, Place, Ran, Running, wait_for};
use crate::support::postgres::{Cluster, Database};
use crate::support::service::{Service, Stats};

pub(super) fn is_full() -> bool {
    std::env::var_os("SEVERAL_RUNNERS").is_some_and(|size| size == "full")
}

/// How many edits a list has.
pub(super) fn edits(small: u32, full: u32) -> u32 {
    if is_full() { full } else { small }
}

/// Says what a test of the full size has shown.
pub(super) fn tell(what: &str) {
    if is_full() {
        // Not by a macro, whose words are not shown where a test passes.
        std::io::stderr().write_all(format!("{what}\n").as_bytes()).unwrap();
    }
}

/// Runs a test, in a database that other tests do not use. Without PostgreSQL on this machine nothing is tested.
pub(super) fn in_a_database(test: impl Fn(Database<'static>)) {
    let Some(cluster) = Cluster::shared() else { return };
    times(|| test(cluster.database()));
}

/// Runs a test with a server of its own.
pub(super) fn with_a_server(test: impl Fn(&mut Cluster)) {
    times(|| {
        if let Some(mut cluster) = Cluster::start() {
            test(&mut cluster);
        }
    });
}

pub(super) fn times(test: impl Fn()) {
    let times = std::env::var("TIMES").map_or(1, |times| times.parse().unwrap());
    for _ in 0..times {
        test();
    }
}

/// A list, and a service that has its messages.
pub(super) struct Scene {
    pub(super) place: Place,
    pub(super) service: Service,
    pub(super) rows: u32,
}

impl Scene {
    pub(super) fn new(rows: u32) -> Scene {
        Scene::with_faults(rows, "none")
    }

    pub(super) fn with_faults(rows: u32, faults: &str) -> Scene {
        let place = Place::with_list(rows);
        let list = place.path("edits.csv");
        // What is too fast is counted here, and not refused there.
        let args = ["--rate", "1000", "--faults", faults, "--input", list.to_str().unwrap()];
        Scene { service: Service::prompt(&args), place, rows }
    }

    /// A runner on a machine of its own, as far as the others can tell.
    pub(super) fn call(&self, name: &str, ledger: &str, flags: &str) -> Call<'_> {
        self.call_at(name, ledger, flags).at(&self.service)
    }

    /// The same for a service of another address.
    pub(super) fn call_at(&self, name: &str, ledger: &str, flags: &str) -> Call<'_> {
        let rate = if flags.contains("--rate") { "" } else { "--rate 200" };
        let call = self.place.runner(&format!("--input edits.csv --yes --json --no-progress {rate} {flags}"));
        call.arg("--resume").arg(ledger).env("RUNNER_STATE_DIR", self.place.state().join(name))
    }

    pub(super) fn runner(&self, name: &str, ledger: &str) -> Running {
        self.call(name, ledger, "").start()
    }

    pub(super) fn runners(&self, count: usize, ledger: &str) -> Vec<Running> {
        (0..count).map(|number| self.runner(&format!("r{number}"), ledger)).collect()
    }

    /// All rows are done, each message was edited once, and nothing is left in the ledger. Every process that has ended with
    /// exit code 0 has said so.
    pub(super) fn is_done(&self, database: Database<'_>, ended: &[Ran]) -> Stats {
        let stats = self.service.stats();
        assert_eq!(stats.edited_once(), u64::from(self.rows), "{ended:#?}");
        let rows = self.rows.to_string();
        assert_eq!(database.psql("SELECT count(*) FROM runner.edit WHERE state = 'done'"), rows);
        assert_eq!(database.psql("SELECT count(*) FROM runner.edit WHERE state <> 'done'"), "0");
        assert_eq!(database.psql("SELECT count(*) FROM runner.part WHERE state <> 'whole'"), "0");
        assert_eq!(database.psql("SELECT count(*) FROM runner.lease WHERE state = 'live' OR share + reads > 0"), "0");
        for ran in ended {
            assert_eq!(ran.summary().done, u64::from(self.rows), "{ran:#?}");
        }
        // Whatever has happened, the log has it, and all rows follow from it.
        self.place.runner("verify").arg(database.url("job")).exits(0);
        stats
    }

    /// As [`Scene::is_done`], where no runner was lost: what each of them has done adds up to all.
    pub(super) fn is_done_by(&self, database: Database<'_>, ended: &[Ran]) -> Stats {
        let stats = self.is_done(database, ended);
        assert_eq!(ended.iter().map(done_by).sum::<u64>(), u64::from(self.rows), "{ended:#?}");
        let sum = database.psql("SELECT sum(done) FROM runner.lease");
        assert_eq!(sum, self.rows.to_string());
        stats
    }
}

/// How many edits this run has done by itself.
pub(super) fn done_by(ran: &Ran) -> u64 {
    ran.json()["this_run"]["done"].as_u64().unwrap()
}

/// All of them end, and with exit code 0.
pub(super) fn all_end(runners: impl IntoIterator<Item = Running>) -> Vec<Ran> {
    runners.into_iter().map(|runner| runner.exits(0)).collect()
}

/// Where this machine lets the service see requests as they come, its worst second is that of the runners; but a busy
/// machine may keep a runner from sending what it is about to send.
pub(super) fn keeps(stats: &Stats, cap: u64) {
    let late = if is_full() { 0 } else { cap / 10 };
    assert!(stats.worst_second() <= cap + late, "{stats:#?}");
}

/// Waits until so many runners hold a part of the cap.
pub(super) fn wait_for_shares(database: Database<'_>, count: usize) {
    wait_for("runners to have their shares", || {
        let there = database.psql("SELECT to_regclass('runner.lease') IS NOT NULL");
        let shares = "SELECT count(*) FROM runner.lease WHERE state = 'live' AND share > 0";
        (there == "t" && database.psql(shares) == count.to_string()).then_some(())
    });
}

pub(super) fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
