//! A job in a database, read for a copy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures_util::TryStreamExt as _;
use tokio::sync::mpsc;
use tokio_postgres::binary_copy::{BinaryCopyOutRow, BinaryCopyOutStream};
use tokio_postgres::{Client, CopyOutStream};

use super::super::columns::{digest, unsound};
use super::super::link::read;
use super::super::schema::{self, query};
use super::super::verify::{HEAD, head};
use super::super::{Driver, PostgresAddress, Purpose, connect, ledger, missing};
use super::{PATIENT, answered, execute, types, wait};
use crate::ledger::LedgerError;
use crate::ledger::copy::{CopyError, JobFacts, Kind, Row, Source, Table, Value, Visit};

/// Rows that are handed on together, and how many such batches may wait.
const BATCH_ROWS: usize = 1_024;
const BATCHES_MAX: usize = 4;

/// After so long without a beat nothing of a run can be under way any more, nor of one that was declared lost: its process
/// was killed before, if it was stopped.
const GONE: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Opens a job that nobody works on, and keeps runs from beginning on it.
///
/// # Errors
/// There is none, runs work on it, or it cannot be read.
pub(in crate::ledger) fn open_source(
    address: &PostgresAddress,
    is_for_file: bool,
    check: &dyn Fn() -> Result<(), CopyError>,
    tell: &dyn Fn(&str),
) -> Result<Box<dyn Source>, CopyError> {
    let at = address.clone();
    let (client, job) = wait(async move {
        let client = connect(&at, Purpose::Look).await?;
        if !schema::is_there(&client, &at).await? {
            return Err(missing(&at));
        }
        let job = schema::find_job(&client, &at).await?.ok_or_else(|| missing(&at))?;
        Ok((Arc::new(client), job.job))
    })?;
    let leases = Leases { client: Arc::clone(&client), address: address.clone(), job };
    let silent = leases.wait_until_gone(is_for_file, check, tell)?;
    let (locked, at) = (Arc::clone(&client), address.clone());
    wait(async move {
        execute(&locked, &at, &format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {PATIENT}")).await?;
        // A run locks this row when it begins.
        query(&*locked, &at, "SELECT 1 FROM job WHERE job = $1 FOR SHARE", &[&job]).await.map(drop)
    })?;
    let live = leases.live()?;
    if live.iter().any(|lease| !silent.contains(lease)) {
        return Err(leases.at_work(&live));
    }
    Ok(Box::new(PostgresSource::new(client, address, job)?))
}

/// A run that holds a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LiveRun {
    run: i64,
    beat: i64,
    host: String,
    pid: i32,
}

struct Leases {
    client: Arc<Client>,
    address: PostgresAddress,
    job: i32,
}

impl Leases {
    fn live(&self) -> Result<Vec<LiveRun>, LedgerError> {
        let (client, address, job) = (Arc::clone(&self.client), self.address.clone(), self.job);
        wait(async move {
            let find = "SELECT l.run, l.beat, r.host, r.pid FROM run r JOIN lease l USING (run)
                        WHERE r.job = $1 AND l.state = 'live' ORDER BY l.run";
            let rows = query(&*client, &address, find, &[&job]).await?;
            let lease = |row: &tokio_postgres::Row| {
                Ok(LiveRun { run: row.try_get(0)?, beat: row.try_get(1)?, host: row.try_get(2)?, pid: row.try_get(3)? })
            };
            rows.iter().map(|row| read(&address, lease(row))).collect()
        })
    }

    /// Whether a run that was declared lost has left something in doubt. (Copied leases never had a beat.)
    fn has_doubts(&self) -> Result<bool, LedgerError> {
        let (client, address, job) = (Arc::clone(&self.client), self.address.clone(), self.job);
        wait(async move {
            let find = "SELECT EXISTS (SELECT 1 FROM edit e JOIN lease l ON l.run = e.run
                        WHERE e.job = $1 AND e.state = 'in_doubt' AND l.state = 'lost' AND (l.beat > 0 OR l.commits > 0))";
            let rows = query(&*client, &address, find, &[&job]).await?;
            let row = rows.first().ok_or_else(|| missing(&address))?;
            read(&address, row.try_get(0))
        })
    }

    /// Waits until whoever still holds a lease is surely gone; those leases. A file does not know of leases, so for one that
    /// holds for runs that were declared lost as well.
    fn wait_until_gone(
        &self,
        is_for_file: bool,
        check: &dyn Fn() -> Result<(), CopyError>,
        tell: &dyn Fn(&str),
    ) -> Result<Vec<LiveRun>, CopyError> {
        let since = Instant::now();
        let silent = self.live()?;
        if silent.is_empty() && !(is_for_file && self.has_doubts()?) {
            return Ok(silent);
        }
        let mut is_said = false;
        while since.elapsed() < GONE {
            check()?;
            thread::sleep(LOOK_AGAIN);
            let live = self.live()?;
            if live.iter().any(|lease| !silent.contains(lease)) {
                return Err(self.at_work(&live));
            }
            // A run that lives is found out by its next beats.
            if !is_said && since.elapsed() > 3 * LOOK_AGAIN {
                is_said = true;
                tell("a run was lost, and what it had in hand may still be under way: waiting for a minute");
            }
        }
        Ok(silent)
    }

    fn at_work(&self, leases: &[LiveRun]) -> CopyError {
        let mut who = String::new();
        for lease in leases {
            let comma = if who.is_empty() { "" } else { ", " };
            let _ = write!(who, "{comma}run {} (host {}, process {})", lease.run, lease.host, lease.pid);
        }
        CopyError::AtWork { ledger: ledger(&self.address), who }
    }
}

/// A job, read in one state.
pub(super) struct PostgresSource {
    client: Arc<Client>,
    address: PostgresAddress,
    job: i32,
    numbers: Arc<Numbers>,
}

/// The numbers of this database, as the neutral form has them.
#[derive(Debug, Default)]
struct Numbers {
    /// Of each run, counted from 1.
    runs: BTreeMap<i64, i64>,
    /// How many edits of the job have a number up to this one.
    edits_before: BTreeMap<i64, i64>,
}

impl PostgresSource {
    pub(super) fn new(client: Arc<Client>, address: &PostgresAddress, job: i32) -> Result<PostgresSource, LedgerError> {
        let (asked, at) = (Arc::clone(&client), address.clone());
        let numbers = wait(async move { Numbers::read(&asked, &at, job).await })?;
        Ok(PostgresSource { client, address: address.clone(), job, numbers: Arc::new(numbers) })
    }
}

impl Numbers {
    async fn read(client: &Client, address: &PostgresAddress, job: i32) -> Result<Numbers, LedgerError> {
        let find = "SELECT run, seq_before FROM run WHERE job = $1 ORDER BY run";
        let (mut runs, mut edits_before) = (BTreeMap::new(), BTreeMap::new());
        for (row, number) in query(client, address, find, &[&job]).await?.iter().zip(1..) {
            runs.insert(read(address, row.try_get(0))?, number);
            if let Some(seq) = read(address, row.try_get::<_, Option<i64>>(1))? {
                edits_before.insert(seq, 0);
            }
        }
        if edits_before.is_empty() {
            return Ok(Numbers { runs, edits_before });
        }
        let bounds: Vec<i64> = edits_before.keys().map(|seq| seq.saturating_add(1)).collect();
        let count = "SELECT width_bucket(seq, $2::int8[])::int8, count(*) FROM edit WHERE job = $1 GROUP BY 1";
        let mut buckets = BTreeMap::new();
        for row in query(client, address, count, &[&job, &bounds]).await? {
            let (bucket, edits): (i64, i64) = (read(address, row.try_get(0))?, read(address, row.try_get(1))?);
            buckets.insert(bucket, edits);
        }
        let mut sum = 0;
        for (bucket, edits) in (0..).zip(edits_before.values_mut()) {
            sum += buckets.get(&bucket).copied().unwrap_or_default();
            *edits = sum;
        }
        Ok(Numbers { runs, edits_before })
    }

    fn row(&self, address: &PostgresAddress, table: Table, row: &BinaryCopyOutRow) -> Result<Row, LedgerError> {
        let columns = table.columns().iter().enumerate();
        columns.map(|(index, (_, kind, _))| self.value(address, *kind, row, index)).collect()
    }

    fn value(
        &self,
        address: &PostgresAddress,
        kind: Kind,
        row: &BinaryCopyOutRow,
        index: usize,
    ) -> Result<Value, LedgerError> {
        let number = || read(address, row.try_get::<Option<i64>>(index));
        Ok(match kind {
            Kind::Number | Kind::Small => number()?.map_or(Value::Null, Value::Number),
            Kind::Run => match number()? {
                None => Value::Null,
                Some(run) => {
                    let number = self.runs.get(&run);
                    Value::Number(
                        *number.ok_or_else(|| unsound(address, format!("there is no run {run} of this job")))?,
                    )
                }
            },
            Kind::EditsBefore => match number()? {
                None => Value::Null,
                Some(seq) => Value::Number(self.edits_before.get(&seq).copied().unwrap_or_default()),
            },
            Kind::Text | Kind::State => {
                let text: Option<String> = read(address, row.try_get(index))?;
                text.map_or(Value::Null, Value::Text)
            }
            Kind::Digest => match read(address, row.try_get::<Option<&[u8]>>(index))? {
                None => Value::Null,
                Some(bytes) => Value::Digest(digest(address, bytes)?),
            },
        })
    }
}

/// The statement that reads a table. What an operator said before the first run is that run's in a copy.
fn select(table: Table, job: i32) -> String {
    let columns: Vec<String> = table
        .columns()
        .iter()
        .map(|(name, kind, _)| match kind {
            Kind::Run if table == Table::Act => {
                format!("CASE WHEN run IS NULL THEN (SELECT min(run) FROM run WHERE job = {job}) ELSE run END::int8")
            }
            Kind::Number | Kind::Small | Kind::Run | Kind::EditsBefore => format!("\"{name}\"::int8"),
            Kind::State => format!("\"{name}\"::text"),
            Kind::Text | Kind::Digest => format!("\"{name}\""),
        })
        .collect();
    let of_job = format!("WHERE job = {job}");
    let of_runs = format!("WHERE run IN (SELECT run FROM run WHERE job = {job})");
    let (which, order) = match table {
        Table::Run => (of_job, "ORDER BY run"),
        Table::List => (of_runs, "ORDER BY run, list"),
        Table::Edit => (of_job, "ORDER BY seq"),
        Table::Sample => (of_runs, "ORDER BY run, at, sample"),
        Table::Answer => (of_runs, "ORDER BY run, code, note COLLATE \"C\""),
        Table::Latency => (of_runs, "ORDER BY run, up_to_ms"),
        Table::Act => (format!("{of_job} AND EXISTS (SELECT 1 FROM run WHERE job = {job})"), "ORDER BY act"),
        Table::Ciphertext => (of_runs, "ORDER BY file COLLATE \"C\", number"),
        Table::Audit => (of_job, "ORDER BY audit"),
        Table::Look => (of_job, "ORDER BY audit, message"),
    };
    format!("COPY (SELECT {} FROM {} {which} {order}) TO STDOUT BINARY", columns.join(", "), table.name())
}

/// Passes on what comes, in batches.
async fn forward(
    stream: CopyOutStream,
    table: Table,
    address: &PostgresAddress,
    numbers: &Numbers,
    out: &mpsc::Sender<Result<Vec<Row>, LedgerError>>,
) -> Result<(), LedgerError> {
    let mut rows = pin!(BinaryCopyOutStream::new(stream, &types(table, false)));
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    while let Some(row) = rows.try_next().await.map_err(|error| answered(address, error))? {
        batch.push(numbers.row(address, table, &row)?);
        if batch.len() == BATCH_ROWS {
            let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS));
            if out.send(Ok(full)).await.is_err() {
                return Ok(());
            }
        }
    }
    // Nobody takes it if reading was given up.
    let _ = out.send(Ok(batch)).await;
    Ok(())
}

impl Source for PostgresSource {
    fn job(&mut self) -> Result<JobFacts, CopyError> {
        let (client, address, job) = (Arc::clone(&self.client), self.address.clone(), self.job);
        let facts = wait(async move {
            let find = "SELECT sdkappid, service, job_name, created_at, reads_first FROM job WHERE job = $1";
            let rows = query(&*client, &address, find, &[&job]).await?;
            let row = rows.first().ok_or_else(|| missing(&address))?;
            let log = query(&*client, &address, HEAD, &[&job]).await?;
            let head = log.first().map(|row| read(&address, head(row))).transpose()?.flatten();
            let facts = || {
                Ok(JobFacts {
                    sdkappid: row.try_get(0)?,
                    service: row.try_get(1)?,
                    name: row.try_get(2)?,
                    created_at: row.try_get(3)?,
                    reads_first: row.try_get(4)?,
                    head: head.map(|head| head.checkpoint()),
                })
            };
            read(&address, facts())
        })?;
        Ok(facts)
    }

    fn read(&mut self, table: Table, visit: &mut Visit<'_>) -> Result<(), CopyError> {
        let (sender, mut batches) = mpsc::channel(BATCHES_MAX);
        let (client, address, numbers) = (Arc::clone(&self.client), self.address.clone(), Arc::clone(&self.numbers));
        let select = select(table, self.job);
        Driver::get().map_err(LedgerError::from)?.spawn(async move {
            let done = match client.copy_out(&select).await {
                Ok(stream) => forward(stream, table, &address, &numbers, &sender).await,
                Err(error) => Err(answered(&address, error)),
            };
            if let Err(error) = done {
                let _ = sender.send(Err(error)).await;
            }
        });
        while let Some(batch) = batches.blocking_recv() {
            batch?.into_iter().try_for_each(&mut *visit)?;
        }
        Ok(())
    }

    fn late(&mut self) -> Result<u64, CopyError> {
        let (client, address, job) = (Arc::clone(&self.client), self.address.clone(), self.job);
        let late = wait(async move {
            let rows = query(&*client, &address, "SELECT count(*) FROM late WHERE job = $1", &[&job]).await?;
            let row = rows.first().ok_or_else(|| missing(&address))?;
            read(&address, row.try_get::<_, i64>(0))
        })?;
        Ok(late.unsigned_abs())
    }
}
