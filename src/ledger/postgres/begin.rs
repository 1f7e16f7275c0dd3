//! The beginning of a run: it joins those that work on the job, or begins a session of its own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, GenericClient, Transaction};

use super::columns::{count, number, small};
use super::link::{Link, failure, read, within};
use super::schema::{self, JobRow, query};
use super::{PostgresAddress, PostgresError, ledger, lost, missing};
use crate::ledger::{JobIdentity, LedgerError, LostCommits, PART_ROWS, Progress, RunInfo, SharedTerms, unix_ms};
use crate::{BUILD, system};

/// How long runs are watched that stand in the way: they beat every second, and without a beat for so long they are lost.
const WATCH: Duration = Duration::from_secs(9);
/// How often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A run that has begun.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) run: i64,
    pub(super) job: i32,
    /// What all runs of the job had done when this one was planned.
    pub(super) before: Progress,
}

/// A run that works on the job.
struct Other {
    run: i64,
    beat: i64,
    host: String,
    pid: i32,
    /// By the database's clock: only a hint to watch it.
    is_quiet: bool,
}

/// Why a run cannot begin while others work.
enum Attempted {
    Begun(Begun),
    InTheWay(Vec<Other>, LedgerError),
    /// They seem to be dead. Nobody else may be there to notice, and in their session nothing in doubt is read again.
    Quiet(Vec<Other>),
}

pub(super) async fn begin(
    link: &mut Link,
    job: &JobIdentity,
    gaps: LostCommits,
    info: &RunInfo,
) -> Result<Begun, LedgerError> {
    let address = link.address().clone();
    let mut may_wait = true;
    loop {
        let client = link.client().await?;
        let (others, error) = match within(&address, attempt(client, &address, job, gaps, info, may_wait)).await? {
            Attempted::Begun(begun) => return Ok(begun),
            Attempted::InTheWay(others, error) => (others, Some(error)),
            Attempted::Quiet(others) => {
                tracing::warn!(
                    "no lease was renewed for a while by {}: watching for {} s whether they are still at work",
                    named(&others),
                    WATCH.as_secs()
                );
                (others, None)
            }
        };
        if are_silent(client, &address, &others).await? {
            within(&address, declare_lost(client, &address, job, &others)).await?;
        } else if let Some(error) = error {
            return Err(error);
        } else {
            may_wait = false;
        }
    }
}

async fn attempt(
    client: &mut Client,
    address: &PostgresAddress,
    job: &JobIdentity,
    gaps: LostCommits,
    info: &RunInfo,
    may_wait: bool,
) -> Result<Attempted, LedgerError> {
    let failed = |error| failure(address, PostgresError::of(address, error));
    let transaction = client.transaction().await.map_err(failed)?;
    // The pace is not locked, which would hold up the beats of all runs of the app: a new lease has no share yet.
    let pace = schema::find_pace(&transaction, address, job).await?;
    let lock = "SELECT 1 FROM job WHERE name = $1 FOR NO KEY UPDATE";
    query(&transaction, address, lock, &[&address.job()]).await?;
    let row = schema::find_job(&transaction, address).await?.ok_or_else(|| missing(address))?;
    schema::check_job(&transaction, address, &row, job, gaps).await?;
    let others = others(&transaction, address, row.job).await?;
    let terms = info.shared.clone().unwrap_or_default();
    if others.is_empty() {
        new_session(&transaction, address, (&row, pace), job, info, &terms).await?;
    } else if let Err(error) = row.identity.clone().check(&ledger(address), job, LostCommits::Refused, || Ok(false)) {
        // Nothing may have been sent yet, but they are about to, for another app or to another service.
        return Ok(Attempted::InTheWay(others, error));
    } else if may_wait && others.iter().all(|other| other.is_quiet) {
        return Ok(Attempted::Quiet(others));
    } else if let Some(error) = conflict(&transaction, address, &row, &others, &terms).await? {
        return Ok(Attempted::InTheWay(others, error));
    }
    let run = insert(&transaction, address, (row.job, pace), info).await?;
    transaction.commit().await.map_err(failed)?;
    Ok(Attempted::Begun(Begun { run, job: row.job, before: info.known }))
}

pub(super) async fn lock_pace(
    client: &impl GenericClient,
    address: &PostgresAddress,
    pace: i32,
) -> Result<(), LedgerError> {
    query(client, address, "SELECT 1 FROM pace WHERE pace = $1 FOR NO KEY UPDATE", &[&pace]).await.map(drop)
}

async fn others(client: &impl GenericClient, address: &PostgresAddress, job: i32) -> Result<Vec<Other>, LedgerError> {
    let find = "SELECT l.run, l.beat, r.host, r.pid, l.renewed_at < clock_timestamp() - interval '8 s'
                FROM run r JOIN lease l USING (run)
                WHERE r.job = $1 AND l.state = 'live' ORDER BY l.run";
    let rows = query(client, address, find, &[&job]).await?;
    let other = |row: &tokio_postgres::Row| {
        let is_quiet = row.try_get(4)?;
        Ok(Other { run: row.try_get(0)?, beat: row.try_get(1)?, host: row.try_get(2)?, pid: row.try_get(3)?, is_quiet })
    };
    rows.iter().map(|row| read(address, other(row))).collect()
}

/// Why this run cannot work with the others; `None`: it can.
async fn conflict(
    transaction: &Transaction<'_>,
    address: &PostgresAddress,
    job: &JobRow,
    others: &[Other],
    ours: &SharedTerms,
) -> Result<Option<LedgerError>, LedgerError> {
    let rows = query(transaction, address, "SELECT stop, list, terms FROM job WHERE job = $1", &[&job.job]).await?;
    let row = rows.first().ok_or_else(|| missing(address))?;
    let stop: Option<String> = read(address, row.try_get(0))?;
    let list: Option<Vec<u8>> = read(address, row.try_get(1))?;
    let settings: Option<String> = read(address, row.try_get(2))?;
    let ledger = ledger(address);
    if let Some(by) = stop {
        return Ok(Some(LedgerError::BeingStopped { ledger, by }));
    }
    let named = named(others);
    let list = list.unwrap_or_default();
    if list != ours.list {
        let (theirs, ours) = (hexadecimal(&list), hexadecimal(&ours.list));
        return Ok(Some(LedgerError::OtherList { ledger, others: named, theirs, ours }));
    }
    let theirs = parse_terms(&settings.unwrap_or_default());
    let ours: BTreeMap<String, String> =
        ours.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let said = |terms: &BTreeMap<String, String>, name: &str| match terms.get(name) {
        Some(value) => format!("--{name} {value}").trim_end().to_owned(),
        None => format!("no --{name}"),
    };
    let differs = theirs.keys().chain(ours.keys()).find(|name| theirs.get(*name) != ours.get(*name));
    Ok(differs.map(|name| {
        let (theirs, ours) = (said(&theirs, name), said(&ours, name));
        LedgerError::OtherTerms { ledger, others: named, theirs, ours }
    }))
}

/// `run 3 (host a, process 4711), run 4 (host b, process 12)`
fn named(others: &[Other]) -> String {
    let mut text = String::new();
    for other in others {
        let comma = if text.is_empty() { "" } else { ", " };
        let _ = write!(text, "{comma}run {} (host {}, process {})", other.run, other.host, other.pid);
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// One setting a line: `in-doubt verify`.
fn terms_text(terms: &SharedTerms) -> String {
    let lines: Vec<String> = terms.settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
    lines.join("\n")
}

fn parse_terms(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.to_owned()));
    text.lines().filter_map(line).collect()
}

/// The runs of a session have the same list and settings. Parts that are finished stay so if it is the same list as before.
async fn new_session(
    transaction: &Transaction<'_>,
    address: &PostgresAddress,
    (row, pace): (&JobRow, i32),
    job: &JobIdentity,
    info: &RunInfo,
    terms: &SharedTerms,
) -> Result<(), LedgerError> {
    let list = &terms.list[..];
    let other = "DELETE FROM part p USING job j WHERE j.job = $1 AND p.job = j.job AND j.list IS DISTINCT FROM $2";
    query(transaction, address, other, &[&row.job, &list]).await?;
    let session = "
        UPDATE job SET session = session + 1, sdkappid = $2, service = $3, job_name = $4, pace = $5, terms = $6,
            next_part = CASE WHEN list IS NOT DISTINCT FROM $7 THEN least(next_part, $8) ELSE 0 END, list = $7, parts = $8,
            reads_first = reads_first OR $9, paused = false, rate = NULL, rate_by = NULL, stop = NULL
        WHERE job = $1";
    let parts = number(info.input_rows.div_ceil(PART_ROWS));
    let (app, text) = (number(job.sdkappid), terms_text(terms));
    query(
        transaction,
        address,
        session,
        &[&row.job, &app, &job.service, &job.name, &pace, &text, &list, &parts, &info.read_first],
    )
    .await
    .map(drop)
}

/// The lease and the run, which have one number.
async fn insert(
    transaction: &Transaction<'_>,
    address: &PostgresAddress,
    (job, pace): (i32, i32),
    info: &RunInfo,
) -> Result<i64, LedgerError> {
    let lease = "INSERT INTO lease (job, pace, session, rate)
                 SELECT job, $2, session, $3 FROM job WHERE job = $1 RETURNING run";
    let rate = small(info.rate);
    let rows = query(transaction, address, lease, &[&job, &pace, &rate]).await?;
    let run: i64 = read(address, rows.first().ok_or_else(|| missing(address))?.try_get(0))?;
    let insert = "
        INSERT INTO run (run, job, started_at, version, \"user\", host, pid, input, input_sha256, input_rows, rate, duplicates,
                         planned, new_edits, seq_before, command, directory, identifier, job_sha256, proxy)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
                (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM edit_seq_seq), $15, $16, $17, $18, $19)";
    let host = system::host_name().unwrap_or_else(|| "unknown".to_owned());
    let (user, pid) = (system::this_user(), small(std::process::id()));
    let (rows, duplicates) = (number(info.input_rows), number(info.duplicates));
    let (planned, new) = (number(info.planned), number(info.new_edits));
    query(
        transaction,
        address,
        insert,
        &[
            &run,
            &job,
            &unix_ms(),
            &BUILD,
            &user,
            &host,
            &pid,
            &info.input,
            &info.input_sha256,
            &rows,
            &rate,
            &duplicates,
            &planned,
            &new,
            &info.command,
            &info.directory,
            &info.identifier,
            &info.job_sha256,
            &info.proxy,
        ],
    )
    .await?;
    let list = "INSERT INTO run_list (run, list, name, sha256, rows) VALUES ($1, $2, $3, $4, $5)";
    for (position, one) in (1_i32..).zip(&info.lists) {
        query(transaction, address, list, &[&run, &position, &one.name, &one.sha256, &number(one.rows)]).await?;
    }
    Ok(run)
}

/// Sums over all other runs of a job: what they did. (`speed` is of those that live.)
pub(super) const OTHERS: &str = "
SELECT coalesce(sum(done), 0)::int8, coalesce(sum(failed), 0)::int8, coalesce(sum(in_doubt), 0)::int8,
       coalesce(sum(requests), 0)::int8, coalesce(sum(read_backs), 0)::int8, coalesce(sum(slow_downs), 0)::int8,
       coalesce(sum(speed) FILTER (WHERE state = 'live'), 0)::float8
FROM run r JOIN lease l USING (run) WHERE r.job = $1::int4 AND r.run <> $2::int8";

pub(super) fn progress(row: &tokio_postgres::Row) -> Result<Progress, tokio_postgres::Error> {
    Ok(Progress {
        done: count(row, 0)?,
        failed: count(row, 1)?,
        in_doubt: count(row, 2)?,
        requests: count(row, 3)?,
        read_backs: count(row, 4)?,
        slow_downs: count(row, 5)?,
        speed: row.try_get(6)?,
        held: false,
    })
}

/// Watches runs until one of them beats, another begins, or all were silent for long enough.
async fn are_silent(client: &Client, address: &PostgresAddress, known: &[Other]) -> Result<bool, LedgerError> {
    let beats = |others: &[Other]| -> Vec<(i64, i64)> { others.iter().map(|other| (other.run, other.beat)).collect() };
    let known_beats = beats(known);
    let since = Instant::now();
    while since.elapsed() < WATCH {
        sleep(LOOK_AGAIN).await;
        let find = "SELECT l.run, l.beat, r.host, r.pid FROM job j JOIN run r USING (job) JOIN lease l USING (run)
                    WHERE j.name = $1 AND l.state = 'live' ORDER BY l.run";
        let rows = within(address, query(client, address, find, &[&address.job()])).await?;
        let now = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let now: Vec<(i64, i64)> = now.map(|pair| read(address, pair)).collect::<Result<_, _>>()?;
        if now.iter().any(|beat| !known_beats.contains(beat)) {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn declare_lost(
    client: &mut Client,
    address: &PostgresAddress,
    job: &JobIdentity,
    others: &[Other],
) -> Result<(), LedgerError> {
    let failed = |error| failure(address, PostgresError::of(address, error));
    let transaction = client.transaction().await.map_err(failed)?;
    let pace = schema::find_pace(&transaction, address, job).await?;
    lock_pace(&transaction, address, pace).await?;
    for other in others {
        lost::declare(address, &transaction, other.run, other.beat).await.map_err(|error| failure(address, error))?;
    }
    transaction.commit().await.map_err(failed)
}
