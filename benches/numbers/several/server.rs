//! A PostgreSQL server for measurements, and what it has done so far.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::process::cpu_of;
use crate::support::postgres::{Cluster, Database};

/// A private server with PostgreSQL's own settings, as durable as they make it.
pub(crate) struct Server(Cluster);

/// What a server has done since it was started, as far as it has said so.
pub(crate) struct Reading {
    at: Instant,
    transactions: f64,
    wal: f64,
    cpu: Duration,
}

/// What it did in between, a second.
pub(crate) struct Load {
    pub(crate) seconds: f64,
    pub(crate) transactions: f64,
    pub(crate) wal_kib: f64,
    /// Of one core.
    pub(crate) cpu_percent: f64,
}

impl Server {
    pub(crate) fn start() -> Option<Server> {
        let mut cluster = Cluster::start()?;
        // What the tests make small.
        cluster.set("shared_buffers", "128MB");
        cluster.restart();
        Some(Server(cluster))
    }

    pub(crate) fn database(&self) -> Database<'_> {
        self.0.database()
    }

    pub(crate) fn read(&self, database: Database<'_>) -> Reading {
        let sql = "SELECT xact_commit + xact_rollback, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')
                   FROM pg_stat_database WHERE datname = current_database()";
        let answer = database.psql(sql);
        let (transactions, wal) = answer.split_once('|').unwrap();
        let data = self.0.directory().join("data");
        let cpu = processes_in(&data).map(|process| cpu_of(&process)).sum();
        Reading { at: Instant::now(), transactions: transactions.parse().unwrap(), wal: wal.parse().unwrap(), cpu }
    }
}

/// Its processes work in its data directory.
fn processes_in(data: &Path) -> impl Iterator<Item = String> {
    let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(move |process| std::fs::read_link(format!("/proc/{process}/cwd")).is_ok_and(|cwd| cwd == data))
}

impl Reading {
    pub(crate) fn until(&self, later: &Reading) -> Load {
        let seconds = (later.at - self.at).as_secs_f64();
        Load {
            seconds,
            transactions: (later.transactions - self.transactions) / seconds,
            wal_kib: (later.wal - self.wal) / seconds / 1_024.0,
            cpu_percent: later.cpu.saturating_sub(self.cpu).as_secs_f64() / seconds * 100.0,
        }
    }
}

/// What the tables and indexes of a job take on the disk, an edit.
pub(crate) fn bytes_an_edit(database: Database<'_>) -> f64 {
    let sql = "SELECT sum(pg_total_relation_size(c.oid)) / (SELECT count(*) FROM runner.edit) FROM pg_class c
               WHERE c.relkind = 'r' AND c.relnamespace = 'runner'::regnamespace";
    database.psql(sql).parse().unwrap()
}
