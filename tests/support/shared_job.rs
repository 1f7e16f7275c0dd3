//! The tables of a ledger in PostgreSQL, filled by hand: jobs, their runs and what they have done.

use crate::support::postgres::Database;

const SCHEMA: &str = concat!(
    include_str!("../../src/ledger/postgres/0001_first.sql"),
    include_str!("../../src/ledger/postgres/0001_log.sql")
);

/// A database with the tables of a ledger.
pub(crate) struct Tables<'a> {
    pub(crate) database: Database<'a>,
}

/// A run as it is inserted; what is not said is that of [`LEASE`].
#[derive(Clone, Copy)]
pub(crate) struct Lease {
    pub(crate) job: u32,
    pub(crate) session: u32,
    pub(crate) state: &'static str,
    pub(crate) share: u32,
    pub(crate) rate: u32,
    /// How long ago it was renewed, in seconds.
    pub(crate) renewed: f64,
    pub(crate) host: &'static str,
    pub(crate) ended: Option<&'static str>,
    pub(crate) new_edits: u32,
}

/// A live run of the first job.
pub(crate) const LEASE: Lease = Lease {
    job: 1,
    session: 1,
    state: "live",
    share: 100,
    rate: 200,
    renewed: 0.5,
    host: "ops-1",
    ended: None,
    new_edits: 0,
};

impl<'a> Tables<'a> {
    /// Makes them, with one app.
    pub(crate) fn new(database: Database<'a>) -> Tables<'a> {
        let tables = Tables { database };
        tables.sql(&format!("CREATE SCHEMA runner; SET search_path = runner; {SCHEMA}"));
        tables.sql("INSERT INTO version VALUES (1)");
        tables.sql("INSERT INTO pace (sdkappid, operation, endpoint) VALUES (1400000000, 'modify_c2c_msg', '')");
        tables
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.database.psql(&format!("SET search_path = runner; {sql}"))
    }

    /// A job of the app; the first one has the number 1.
    pub(crate) fn job(&self, name: &str) {
        self.sql(&format!(
            "INSERT INTO job (name, operation, sdkappid, service, job_name, created_at, pace, session)
             VALUES ('{name}', 'modify_c2c_msg', 1400000000, 'adminapisgp.im.qcloud.com:443', '{name} file', 0, 1, 1)"
        ));
    }

    /// The next run, which began a minute ago.
    pub(crate) fn run(&self, lease: Lease) -> i64 {
        let Lease { job, session, state, share, rate, renewed, host, ended, new_edits } = lease;
        let ended_at = ended.map_or("NULL".to_owned(), |_| "extract(epoch FROM now())::bigint * 1000".to_owned());
        let ended = ended.map_or("NULL".to_owned(), |ended| format!("'{ended}'"));
        let run = self.sql(&format!(
            "INSERT INTO lease (job, pace, session, state, share, rate, renewed_at, beat)
             VALUES ({job}, 1, {session}, '{state}', {share}, {rate}, clock_timestamp() - interval '{renewed} s', 7)
             RETURNING run"
        ));
        self.sql(&format!(
            "INSERT INTO run (run, job, started_at, ended, ended_at, version, \"user\", host, pid, input, input_sha256, \
                 input_rows, rate, duplicates, planned, new_edits, seq_before, command, directory)
             VALUES ({run}, {job}, extract(epoch FROM now())::bigint * 1000 - 60000, {ended}, {ended_at}, '0.2.0', 'li.wei', \
                 '{host}', 4710 + {run}, 'edits.csv', repeat('ab', 32), 5000, {rate}, 0, {new_edits}, {new_edits}, \
                 (SELECT max(seq) FROM edit WHERE job = {job}), \
                 'runner --input edits.csv --resume ''postgres://li.wei@db/ops?job=march''', '/srv/redact')"
        ));
        run.parse().unwrap()
    }

    /// Edits of a run that came to this: their accounts are `NAME_1` and so on, in this order.
    pub(crate) fn edits(&self, job: u32, run: i64, name: &str, number: u32, outcome: &str) {
        self.sql(&format!(
            "INSERT INTO edit (job, part, line, run, attempts, state, sent_at, message, content, from_account, to_account, msg_key)
             SELECT {job}, 0, n + 1, {run}, 1, 'sending', 1764079201000, decode(md5('{name}_' || n), 'hex'),
                 decode(md5('x'), 'hex'), '{name}_' || n, 'user_0', n || '_7_1773188576'
             FROM generate_series(1, {number}) n ORDER BY n;
             UPDATE edit SET {outcome} WHERE job = {job} AND from_account LIKE '{name}\\_%'"
        ));
    }
}
