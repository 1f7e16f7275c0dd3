//! A job in a database that is made by a copy.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::super::link::read;
use super::super::schema::{self, query};
use super::super::{PostgresAddress, Purpose, connect, ledger, missing};
use super::source::PostgresSource;
use super::{PATIENT, answered, check_free, execute, taken, types, wait};
use crate::ledger::copy::{CopyError, JobFacts, Kind, Row, Source, Table, Target, Value};
use crate::ledger::{JobIdentity, LedgerError, PART_ROWS};

type Writer = Pin<Box<BinaryCopyInWriter>>;

/// A job that is being made, in one transaction.
struct PostgresTarget {
    client: Arc<Client>,
    address: PostgresAddress,
    job: i32,
    pace: i32,
    /// The number of each run in this database.
    runs: Vec<i64>,
    /// Runs, and how many edits came before each of them.
    edits_before: Vec<(i64, i64)>,
    edits: u64,
    /// The head of the log of which it is a copy.
    head: Option<String>,
    open: Option<(Table, Writer)>,
}

/// Begins to make a job of which the database does not know.
///
/// # Errors
/// It does know it by now, or cannot be written to.
pub(in crate::ledger) fn create_target(
    address: &PostgresAddress,
    facts: &JobFacts,
) -> Result<Box<dyn Target>, CopyError> {
    let (at, facts) = (address.clone(), facts.clone());
    let head = facts.head.as_ref().map(ToString::to_string);
    let made = wait(async move {
        let mut client = connect(&at, Purpose::Look).await?;
        if !schema::is_there(&client, &at).await? {
            schema::make(&mut client, &at).await?;
        }
        let identity = JobIdentity {
            sdkappid: facts.sdkappid.unsigned_abs(),
            service: facts.service.clone(),
            other_host: None,
            name: facts.name.clone(),
        };
        // Before the transaction: other jobs of the app would wait for its end.
        let pace = schema::find_pace(&client, &at, &identity).await?;
        // The schema knows by the setting that edits need not begin with their first sending.
        execute(&client, &at, &format!("BEGIN; {PATIENT}; SET LOCAL runner.copying = 'on'")).await?;
        let insert = "INSERT INTO job (name, operation, sdkappid, service, job_name, created_at, reads_first, pace)
                      VALUES ($1, 'modify_c2c_msg', $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING RETURNING job";
        let (app, service, name) = (facts.sdkappid, &facts.service, &facts.name);
        let values: [&(dyn ToSql + Sync); 7] =
            [&at.job(), &app, service, name, &facts.created_at, &facts.reads_first, &pace];
        let rows = query(&client, &at, insert, &values).await?;
        let job = rows.first().map(|row| read(&at, row.try_get::<_, i32>(0))).transpose()?;
        Ok(job.map(|job| (Arc::new(client), job, pace)))
    })?;
    let (client, job, pace) = made.ok_or_else(|| taken(address))?;
    Ok(Box::new(PostgresTarget {
        client,
        address: address.clone(),
        job,
        pace,
        runs: Vec::new(),
        edits_before: Vec::new(),
        edits: 0,
        head,
        open: None,
    }))
}

/// A value as a database takes it.
#[derive(Debug)]
enum Cell {
    Null,
    Number(i64),
    Small(i32),
    Text(String),
    Digest([u8; 16]),
}

impl ToSql for Cell {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Cell::Null => Ok(IsNull::Yes),
            Cell::Number(number) => number.to_sql(kind, out),
            Cell::Small(number) => number.to_sql(kind, out),
            Cell::Text(text) => text.to_sql(kind, out),
            Cell::Digest(digest) => digest.as_slice().to_sql(kind, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

impl PostgresTarget {
    /// The columns that only a database has, and their types.
    fn more_columns(table: Table) -> &'static [(&'static str, Type)] {
        match table {
            Table::Run | Table::Act | Table::Audit | Table::Look => &[("job", Type::INT4)],
            Table::Edit => &[("job", Type::INT4), ("part", Type::INT8)],
            Table::List | Table::Sample | Table::Answer | Table::Latency | Table::Ciphertext => &[],
        }
    }

    fn cell(&self, kind: Kind, value: Value) -> Cell {
        match (kind, value) {
            // Numbers of edits are known once these are written.
            (Kind::EditsBefore, _) | (_, Value::Null) => Cell::Null,
            (Kind::Run, Value::Number(number)) => {
                let index = usize::try_from(number.saturating_sub(1)).ok();
                index.and_then(|index| self.runs.get(index)).map_or(Cell::Null, |run| Cell::Number(*run))
            }
            // Nothing is ever as large, or it is noticed in the end.
            (Kind::Small, Value::Number(number)) => Cell::Small(i32::try_from(number).unwrap_or(i32::MAX)),
            (_, Value::Number(number)) => Cell::Number(number),
            (_, Value::Text(text)) => Cell::Text(text),
            (_, Value::Digest(digest)) => Cell::Digest(digest),
        }
    }

    fn cells(&mut self, table: Table, row: Row) -> Vec<Cell> {
        let mut cells = Vec::with_capacity(row.len() + 2);
        cells.extend(row.into_iter().zip(table.columns()).map(|(value, (_, kind, _))| self.cell(*kind, value)));
        match table {
            Table::Run | Table::Act | Table::Audit | Table::Look => cells.push(Cell::Small(self.job)),
            Table::Edit => {
                // A part serves to find what a lost run was sending; as many edits have one as in the list.
                let part = i64::try_from(self.edits / PART_ROWS).unwrap_or(i64::MAX);
                cells.extend([Cell::Small(self.job), Cell::Number(part)]);
                self.edits += 1;
            }
            Table::List | Table::Sample | Table::Answer | Table::Latency | Table::Ciphertext => {}
        }
        cells
    }

    fn open(&self, table: Table) -> Result<Writer, LedgerError> {
        let mut types = types(table, true);
        let mut names: Vec<String> = table.columns().iter().map(|(name, ..)| format!("\"{name}\"")).collect();
        for (name, kind) in PostgresTarget::more_columns(table) {
            names.push((*name).to_owned());
            types.push(kind.clone());
        }
        let copy = format!("COPY {} ({}) FROM STDIN BINARY", table.name(), names.join(", "));
        let (client, address) = (Arc::clone(&self.client), self.address.clone());
        wait(async move {
            let sink = client.copy_in::<_, Bytes>(&copy).await.map_err(|error| answered(&address, error))?;
            Ok(Box::pin(BinaryCopyInWriter::new(sink, &types)))
        })
    }

    fn close(&mut self) -> Result<(), LedgerError> {
        let Some((table, mut writer)) = self.open.take() else { return Ok(()) };
        let address = self.address.clone();
        wait(async move { writer.as_mut().finish().await.map(drop).map_err(|error| answered(&address, error)) })?;
        let (client, address, job) = (Arc::clone(&self.client), self.address.clone(), self.job);
        let (runs, before): (Vec<i64>, Vec<i64>) = self.edits_before.iter().copied().unzip();
        match table {
            // Of each run, the number of the last edit that came before.
            Table::Edit => wait(async move {
                let update = "UPDATE run r SET seq_before = coalesce(e.seq, 0)
                    FROM unnest($2::int8[], $3::int8[]) AS k (run, edits)
                    LEFT JOIN (SELECT seq, row_number() OVER (ORDER BY seq) AS edits FROM edit WHERE job = $1::int4) e USING (edits)
                    WHERE r.run = k.run";
                query(&*client, &address, update, &[&job, &runs, &before]).await.map(drop)
            }),
            Table::Sample => wait(async move {
                let update = "UPDATE lease l SET done = s.done, failed = s.failed, in_doubt = s.in_doubt,
                        requests = s.requests, read_backs = s.read_backs, slow_downs = s.slow_downs
                    FROM (SELECT DISTINCT ON (run) * FROM sample WHERE run IN (SELECT run FROM run WHERE job = $1::int4)
                          ORDER BY run, at DESC, sample DESC) s
                    WHERE s.run = l.run";
                query(&*client, &address, update, &[&job]).await.map(drop)
            }),
            Table::Run
            | Table::List
            | Table::Answer
            | Table::Latency
            | Table::Act
            | Table::Ciphertext
            | Table::Audit
            | Table::Look => Ok(()),
        }
    }

    /// A run's number is that of its lease. Nothing can be under way of one that has ended; of one that died, perhaps.
    fn insert_leases(&mut self, rows: &[Row]) -> Result<(), LedgerError> {
        let [ended, rate, before] = ["ended", "rate", "seq_before"].map(|name| Table::Run.column(name));
        let small = |value: &Value| match value {
            Value::Number(number) => i32::try_from(*number).unwrap_or(i32::MAX).max(1),
            Value::Null | Value::Text(_) | Value::Digest(_) => 1,
        };
        let state = |row: &Row| if row[ended] == Value::Text("died".to_owned()) { "lost" } else { "ended" };
        let leases: Vec<(&'static str, i32)> = rows.iter().map(|row| (state(row), small(&row[rate]))).collect();
        let (client, address, job, pace) = (Arc::clone(&self.client), self.address.clone(), self.job, self.pace);
        let numbers = wait(async move {
            let insert = "INSERT INTO lease (job, pace, session, state, rate) VALUES ($1, $2, 0, $3, $4) RETURNING run";
            let mut numbers = Vec::with_capacity(leases.len());
            for (state, rate) in leases {
                let rows = query(&*client, &address, insert, &[&job, &pace, &state, &rate]).await?;
                let row = rows.first().ok_or_else(|| missing(&address))?;
                numbers.push(read(&address, row.try_get::<_, i64>(0))?);
            }
            Ok(numbers)
        })?;
        for (row, run) in rows.iter().zip(&numbers) {
            if let Value::Number(edits) = row[before] {
                self.edits_before.push((*run, edits));
            }
        }
        self.runs.extend(numbers);
        Ok(())
    }
}

impl Target for PostgresTarget {
    fn write(&mut self, table: Table, rows: Vec<Row>) -> Result<(), CopyError> {
        if self.open.as_ref().is_some_and(|(open, _)| *open != table) {
            self.close()?;
        }
        if table == Table::Run {
            // Within one COPY nothing else can be asked.
            self.close()?;
            self.insert_leases(&rows)?;
        }
        let mut writer = match self.open.take() {
            Some((_, writer)) => writer,
            None => self.open(table)?,
        };
        let rows: Vec<Vec<Cell>> = rows.into_iter().map(|row| self.cells(table, row)).collect();
        let address = self.address.clone();
        let writer = wait(async move {
            for row in &rows {
                writer.as_mut().write_raw(row).await.map_err(|error| answered(&address, error))?;
            }
            Ok(writer)
        })?;
        self.open = Some((table, writer));
        Ok(())
    }

    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, CopyError> {
        self.close()?;
        let (client, address, job, head) =
            (Arc::clone(&self.client), self.address.clone(), self.job, self.head.clone());
        wait(async move {
            query(&*client, &address, "SELECT log_begin($1, 'copied', $2)", &[&job, &head]).await.map(drop)
        })?;
        Ok(Box::new(PostgresSource::new(Arc::clone(&self.client), &self.address, self.job)?))
    }

    fn finish(self: Box<Self>) -> Result<(), CopyError> {
        let (client, address) = (Arc::clone(&self.client), self.address.clone());
        let Err(source) = wait(async move { execute(&client, &address, "COMMIT").await }) else { return Ok(()) };
        // It may have been done all the same.
        match check_free(&self.address) {
            Err(CopyError::Taken { .. }) => Ok(()),
            Ok(()) => Err(source.into()),
            Err(_) => Err(CopyError::Unknown { ledger: Box::new(ledger(&self.address)), source: Box::new(source) }),
        }
    }
}
