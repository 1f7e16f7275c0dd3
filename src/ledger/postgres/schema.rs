//! The tables, and the row of the job.

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, GenericClient, Row};

use super::columns::{number, unsound};
use super::link::{failure, read};
use super::{PostgresAddress, PostgresError, ledger, missing};
use crate::ledger::{JobIdentity, LedgerError, LostCommits, unix_ms};

/// The schema: the files of each version.
pub(super) const MIGRATIONS: &[&[&str]] = &[&[include_str!("0001_first.sql"), LOG]];
/// What keeps the log of events.
pub(super) const LOG: &str = include_str!("0001_log.sql");

/// The lock under which the tables are made: "RUNR", as in the header of a file.
const LOCK: i64 = 0x5255_4E52;

/// The job's row.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) job: i32,
    pub(super) identity: JobIdentity,
    pub(super) reads_first: bool,
}

pub(super) async fn query(
    client: &impl GenericClient,
    address: &PostgresAddress,
    sql: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, LedgerError> {
    client.query(sql, parameters).await.map_err(|error| failure(address, PostgresError::of(address, error)))
}

fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Makes what is not there yet, and checks that the ledger is this job's.
pub(super) async fn open(
    client: &mut Client,
    address: &PostgresAddress,
    job: &JobIdentity,
    gaps: LostCommits,
) -> Result<(), LedgerError> {
    if !is_there(client, address).await? {
        make(client, address).await?;
    }
    let mut row = find_job(client, address).await?;
    if row.is_none() {
        insert_job(client, address, job).await?;
        row = find_job(client, address).await?;
    }
    let row = row.ok_or_else(|| missing(address))?;
    check_job(client, address, &row, job, gaps).await
}

/// Whether the tables are there, in the version of this program.
///
/// # Errors
/// They are of another version, or something else is there.
pub(super) async fn is_there(client: &impl GenericClient, address: &PostgresAddress) -> Result<bool, LedgerError> {
    let look = "SELECT (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid),
                       (SELECT count(*) FROM pg_class c WHERE c.relnamespace = n.oid
                        AND c.relname IN ('version', 'pace', 'job', 'lease', 'edit')),
                       has_schema_privilege(n.oid, 'USAGE')
                FROM pg_namespace n WHERE n.nspname = 'runner'";
    let rows = query(client, address, look, &[]).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    let (relations, ours): (i64, i64) = (read(address, row.try_get(0))?, read(address, row.try_get(1))?);
    if relations == 0 {
        return Ok(false);
    }
    let refused = |what: &str| LedgerError::OtherSchema { ledger: ledger(address), what: what.to_owned() };
    if ours < 5 {
        return Err(refused("it holds other tables"));
    }
    if !read(address, row.try_get(2))? {
        return Err(refused("this role may not use it; have its owner grant the rights that the documents name"));
    }
    let rows = query(client, address, "SELECT version::int4 FROM runner.version", &[]).await?;
    let found: i32 = match &rows[..] {
        [row] => read(address, row.try_get(0))?,
        _ => return Err(refused("it names no version")),
    };
    let (found, known) = (found, newest());
    if found == known {
        return Ok(true);
    }
    Err(LedgerError::OtherVersion { ledger: ledger(address), found, known })
}

/// Makes the tables, in one transaction. The schema may be there, empty, where an administrator has made it for this role.
pub(super) async fn make(client: &mut Client, address: &PostgresAddress) -> Result<(), LedgerError> {
    let failed = |error| failure(address, PostgresError::of(address, error));
    let transaction = client.transaction().await.map_err(failed)?;
    transaction.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(failed)?;
    // Another run may have made it meanwhile.
    if is_there(&transaction, address).await? {
        return Ok(());
    }
    let rows = query(&transaction, address, "SELECT 1 FROM pg_namespace WHERE nspname = 'runner'", &[]).await?;
    if rows.is_empty() {
        transaction.batch_execute("CREATE SCHEMA runner").await.map_err(failed)?;
    }
    for version in MIGRATIONS {
        for file in *version {
            transaction.batch_execute(file).await.map_err(failed)?;
        }
    }
    transaction.execute("INSERT INTO version VALUES ($1)", &[&newest()]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)
}

pub(super) async fn find_job(
    client: &impl GenericClient,
    address: &PostgresAddress,
) -> Result<Option<JobRow>, LedgerError> {
    let find = "SELECT job, sdkappid, service, job_name, reads_first FROM job WHERE name = $1";
    let rows = query(client, address, find, &[&address.job()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let identity = JobIdentity {
        sdkappid: read(address, row.try_get::<_, i64>(1))?.unsigned_abs(),
        service: read(address, row.try_get(2))?,
        other_host: None,
        name: read(address, row.try_get(3))?,
    };
    Ok(Some(JobRow { job: read(address, row.try_get(0))?, identity, reads_first: read(address, row.try_get(4))? }))
}

/// The row of a job, checked to be this one; `None`: there is no ledger of it.
pub(super) async fn find_ledger(
    client: &impl GenericClient,
    address: &PostgresAddress,
    job: Option<(&JobIdentity, LostCommits)>,
) -> Result<Option<JobRow>, LedgerError> {
    if !is_there(client, address).await? {
        return Ok(None);
    }
    let found = find_job(client, address).await?;
    if let (Some(row), Some((job, gaps))) = (&found, job) {
        check_job(client, address, row, job, gaps).await?;
    }
    Ok(found)
}

/// The cap that a job is under: of its app, and on loopback of its service.
pub(super) async fn find_pace(
    client: &impl GenericClient,
    address: &PostgresAddress,
    job: &JobIdentity,
) -> Result<i32, LedgerError> {
    let app = number(job.sdkappid);
    let endpoint = endpoint(&job.service);
    let find = "SELECT pace FROM pace WHERE sdkappid = $1 AND operation = 'modify_c2c_msg' AND endpoint = $2";
    let make =
        "INSERT INTO pace (sdkappid, operation, endpoint) VALUES ($1, 'modify_c2c_msg', $2) ON CONFLICT DO NOTHING";
    for _ in 0..2 {
        if let Some(row) = query(client, address, find, &[&app, &endpoint]).await?.first() {
            return read(address, row.try_get(0));
        }
        query(client, address, make, &[&app, &endpoint]).await?;
    }
    let rows = query(client, address, find, &[&app, &endpoint]).await?;
    let row = rows.first().ok_or_else(|| unsound(address, "the row of a cap has gone"))?;
    read(address, row.try_get(0))
}

/// `''` but for a service on this machine: another host is still the same app.
fn endpoint(service: &str) -> &str {
    let host = service.rsplit_once(':').map_or(service, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = matches!(host, "localhost" | "sandbox")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if is_local { service } else { "" }
}

async fn insert_job(
    client: &impl GenericClient,
    address: &PostgresAddress,
    job: &JobIdentity,
) -> Result<(), LedgerError> {
    let pace = find_pace(client, address, job).await?;
    let insert = "INSERT INTO job (name, operation, sdkappid, service, job_name, created_at, pace)
                  VALUES ($1, 'modify_c2c_msg', $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
    let app = number(job.sdkappid);
    query(client, address, insert, &[&address.job(), &app, &job.service, &job.name, &unix_ms(), &pace]).await?;
    Ok(())
}

/// Refuses the ledger of another job, and one in which a run that reads messages first has not come to its end.
pub(super) async fn check_job(
    client: &impl GenericClient,
    address: &PostgresAddress,
    row: &JobRow,
    ours: &JobIdentity,
    gaps: LostCommits,
) -> Result<(), LedgerError> {
    let ledger = ledger(address);
    if let Err(error) = row.identity.clone().check(&ledger, ours, gaps, || Ok(false)) {
        // As with a file: all that was sent was refused.
        let happened = "SELECT EXISTS (SELECT 1 FROM edit WHERE job = $1 AND state <> 'waiting')";
        let rows = query(client, address, happened, &[&row.job]).await?;
        let happened = rows.first().map(|row| read(address, row.try_get::<_, bool>(0))).transpose()?;
        if happened != Some(false) {
            return Err(error);
        }
    }
    if gaps == LostCommits::Refused && row.reads_first {
        return Err(LedgerError::ReadsFirst { ledger });
    }
    Ok(())
}
