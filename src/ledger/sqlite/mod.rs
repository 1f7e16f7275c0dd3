//! The ledger in one SQLite file, which any auditor can open with ordinary tools.
//!
//! Write-ahead log and `synchronous=FULL`: once a commit returns, it outlives a power cut.

mod events;
mod filesystem;
mod ledger_files;
mod lost;
mod open;
mod overview;
mod read;
mod record;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::Null;
use rusqlite::{Connection, OptionalExtension, Transaction, ffi, params};

use self::ledger_files::LedgerFiles;
pub use self::lost::{LostCommits, WalEnd};
pub use self::open::JobIdentity;
pub use self::overview::Overview;
pub use self::read::SqliteReader;
pub use self::record::{EditRecord, Outcomes, RunRecord, Worker};
use super::{Change, LedgerError, RunEvent, State, Store, Transition, unix_ms};
use crate::{BUILD, system};

/// The writing side of a ledger file, which only one process has at a time.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` while a commit runs on another thread, and once the file was found to be gone.
    connection: Option<Connection>,
    path: PathBuf,
    /// Whose it is from when a run begins.
    job: JobIdentity,
    run: i64,
    /// From when a run began.
    ledger_files: Option<Arc<LedgerFiles>>,
    /// Declared last, so closed last: it is the lock on the file.
    lock: File,
}

/// What is noted of a run when it begins.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The name of the list.
    pub input: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub input_sha256: String,
    /// Its rows.
    pub input_rows: u64,
    /// Those that repeat another.
    pub duplicates: u64,
    /// Edits to send, or to read back.
    pub planned: u64,
    /// Messages of the list that are not in the ledger yet.
    pub new_edits: u64,
    /// Requests a second at most.
    pub rate: u32,
    /// Each message is read before it is sent.
    pub read_first: bool,
    /// The admin account that signs.
    pub identifier: String,
    /// SHA-256 of the job file, in hexadecimal, where there is one.
    pub job_sha256: Option<String>,
    /// `host:port` of the proxy on the way, where there is one.
    pub proxy: Option<String>,
    /// How the program was called, and where.
    pub command: String,
    /// Where it was called.
    pub directory: String,
}

impl SqliteStore {
    /// Opens the ledger of this job, or makes it where there is none, and locks it. What a process that died left
    /// `sending` is in doubt from here on.
    ///
    /// # Errors
    /// The file is no ledger, another job's, locked, may have lost its newest commits, or cannot be opened; it is as it
    /// was, byte for byte.
    pub fn open(path: &Path, job: &JobIdentity) -> Result<SqliteStore, LedgerError> {
        SqliteStore::open_with(path, job, LostCommits::Refused)
    }

    /// The same; `gaps` says what becomes of a ledger that may have lost its newest commits.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_with(path: &Path, job: &JobIdentity, gaps: LostCommits) -> Result<SqliteStore, LedgerError> {
        let (mut connection, lock) = open::open(path, job, gaps)?;
        recover(&mut connection).map_err(|source| write_error(path, source))?;
        let (path, job) = (path.to_owned(), job.clone());
        Ok(SqliteStore { connection: Some(connection), path, job, run: 0, ledger_files: None, lock })
    }

    /// Makes the ledger of this job where there was none a moment ago.
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; and where somebody else has made it meanwhile and worked on it: what was planned
    /// without it does not hold any more.
    pub fn create(path: &Path, job: &JobIdentity) -> Result<SqliteStore, LedgerError> {
        let store = SqliteStore::open(path, job)?;
        let ran = store.connection()?.query_row("SELECT EXISTS (SELECT 1 FROM run)", [], |row| row.get(0));
        if ran.map_err(|source| read_error(path, source))? {
            let holder = "a run that was started a moment before".to_owned();
            return Err(LedgerError::InUse { path: path.to_owned(), holder });
        }
        Ok(store)
    }

    /// Notes that a run begins, and whose: until now the ledger says what it said before. Everything committed from here on
    /// belongs to it.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        let connection = self.connection.as_mut().ok_or(LedgerError::Latched)?;
        let (run, before) = begin(connection, &self.job, info).map_err(|source| write_error(&self.path, source))?;
        self.run = run;
        self.copy_into_file(&before)?;
        let ledger_files =
            LedgerFiles::note(&self.path, &self.lock).map_err(|source| system_error(&self.path, source))?;
        self.ledger_files = Some(Arc::new(ledger_files));
        self.check_whereabouts()
    }

    /// Every message of the list was read before it was sent, or settled: the next run need not read first.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn has_read_all(&self) -> Result<(), LedgerError> {
        set_reads_first(self.connection()?, false).map_err(|source| write_error(&self.path, source))
    }

    /// The file itself must say that a run has begun, whatever becomes of the log beside it. A run of which it cannot has not
    /// begun, and the job is what it was `before`.
    fn copy_into_file(&mut self, before: &JobBefore) -> Result<(), LedgerError> {
        let (run, path) = (self.run, &self.path);
        let failed = |source| write_error(path, source);
        let connection = self.connection.as_mut().ok_or(LedgerError::Latched)?;
        // Whoever closes it without having ended the run leaves the log where it is, as a process that dies does.
        lost::keep_log_on_close(connection, true).map_err(failed)?;
        if lost::copy_into_file(connection).map_err(failed)? {
            return Ok(());
        }
        let transaction = connection.transaction().map_err(failed)?;
        transaction.execute("DELETE FROM run WHERE run = ?1", [run]).map_err(failed)?;
        before.restore(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Err(LedgerError::BeingRead { path: path.clone() })
    }

    /// Notes how the run ended (`finished`, `interrupted`, `stopped`) and why, folds the log into the file and closes it.
    ///
    /// # Errors
    /// It could not be made durable. Every edit's own state is durable all the same.
    pub fn end_run(mut self, ended: &str, reason: &str) -> Result<WalEnd, LedgerError> {
        self.check_whereabouts()?;
        let connection = self.connection.take().ok_or(LedgerError::Latched)?;
        connection
            .execute(
                "UPDATE run SET ended_at = ?2, ended = ?3, reason = ?4 WHERE run = ?1",
                params![self.run, unix_ms(), ended, reason],
            )
            .map_err(|source| write_error(&self.path, source))?;
        // That it ended is durable; a log that stays is no loss, as long as it stays beside the file.
        let is_folded =
            lost::keep_log_on_close(&connection, false).and_then(|()| lost::fold_in(&connection)).unwrap_or(false);
        connection.close().map_err(|(_, source)| write_error(&self.path, source))?;
        Ok(if is_folded || !lost::has_log(&self.path) {
            WalEnd::Whole
        } else {
            WalEnd::LogRemains(ledger_files::log(&self.path))
        })
    }

    /// Gives the ledger up if its files are not where they were.
    fn check_whereabouts(&mut self) -> Result<(), LedgerError> {
        let Some(ledger_files) = &self.ledger_files else { return Ok(()) };
        let Some(file) = ledger_files.changed() else { return Ok(()) };
        let connection = self.connection.take().ok_or(LedgerError::Latched)?;
        Err(ledger_files.give_up(connection, file))
    }

    fn connection(&self) -> Result<&Connection, LedgerError> {
        self.connection.as_ref().ok_or(LedgerError::Latched)
    }
}

/// A run and its job, in one commit: the run's number, and what the ledger said of its job before.
fn begin(connection: &mut Connection, job: &JobIdentity, info: &RunInfo) -> rusqlite::Result<(i64, JobBefore)> {
    let transaction = connection.transaction()?;
    let before = JobBefore::of(&transaction)?;
    open::adopt(&transaction, job)?;
    if info.read_first {
        set_reads_first(&transaction, true)?;
    }
    transaction.execute(
        "INSERT INTO run (started_at, version, user, host, pid, input, input_sha256, input_rows, rate,
                          duplicates, planned, new_edits, seq_before, command, directory, identifier, job_sha256,
                          proxy)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, (SELECT coalesce(max(seq), 0) FROM edit), ?13, ?14,
                 ?15, ?16, ?17)",
        params![
            unix_ms(),
            BUILD,
            system::this_user(),
            host(),
            std::process::id(),
            info.input,
            info.input_sha256,
            number(info.input_rows),
            info.rate,
            number(info.duplicates),
            number(info.planned),
            number(info.new_edits),
            info.command,
            info.directory,
            info.identifier,
            info.job_sha256,
            info.proxy
        ],
    )?;
    let run = transaction.last_insert_rowid();
    transaction.commit()?;
    Ok((run, before))
}

/// What the ledger says of its job before a run begins.
struct JobBefore {
    identity: Option<JobIdentity>,
    reads_first: bool,
}

impl JobBefore {
    fn of(connection: &Connection) -> rusqlite::Result<JobBefore> {
        let reads_first = connection.query_row("SELECT reads_first FROM job", [], |row| row.get(0)).optional()?;
        Ok(JobBefore { identity: open::find_job(connection)?, reads_first: reads_first.unwrap_or_default() })
    }

    fn restore(&self, connection: &Connection) -> rusqlite::Result<()> {
        if let Some(identity) = &self.identity {
            open::adopt(connection, identity)?;
        }
        set_reads_first(connection, self.reads_first)
    }
}

fn set_reads_first(connection: &Connection, reads_first: bool) -> rusqlite::Result<()> {
    connection.execute("UPDATE job SET reads_first = ?1", [reads_first]).map(|_| ())
}

impl Store for SqliteStore {
    async fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> Result<(), LedgerError> {
        let mut connection = self.connection.take().ok_or(LedgerError::Latched)?;
        let (run, path, ledger_files) = (self.run, self.path.clone(), self.ledger_files.clone());
        let work = tokio::task::spawn_blocking(move || {
            let result = commit(&mut connection, run, &changes, &events, &path);
            // Nobody is told of this commit before this is known: in a file without a name nothing is durable.
            match ledger_files.as_deref().and_then(|noted| Some((noted, noted.changed()?))) {
                Some((ledger_files, file)) => (None, Err(ledger_files.give_up(connection, file))),
                None => (Some(connection), result),
            }
        });
        // A commit that panicked leaves no connection behind: the store stays latched.
        let (connection, result) = work.await.map_err(|_| LedgerError::Latched)?;
        self.connection = connection;
        result
    }
}

fn commit(
    connection: &mut Connection,
    run: i64,
    changes: &[Change],
    events: &[RunEvent],
    path: &Path,
) -> Result<(), LedgerError> {
    let failed = |source| write_error(path, source);
    let transaction = connection.transaction().map_err(failed)?;
    for change in changes {
        let rows = apply(&transaction, run, change).map_err(failed)?;
        if rows != 1 {
            // The ledger holds another state than the run believes: neither may be trusted now.
            return Err(Transition { from: change.from, to: change.to }.into());
        }
    }
    for record_event in events {
        events::write(&transaction, run, record_event).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

/// One step of one edit; how many rows it changed, which must be one.
fn apply(transaction: &Transaction<'_>, run: i64, change: &Change) -> rusqlite::Result<usize> {
    let message = change.message.0;
    let line = number(change.line);
    let from = change.from.map(State::word);
    match (change.from, change.to) {
        (None, Some(state)) => insert(transaction, run, line, state, change),
        (Some(_), Some(State::Sending)) => transaction
            .prepare_cached(
                "UPDATE edit SET state = 'sending', content = ?3, line = ?4, run = ?5, attempts = ?6, sent_at = ?7, took_ms = NULL
                 WHERE message = ?1 AND state = ?2",
            )?
            .execute(params![
                message,
                from,
                change.content.0,
                line,
                run,
                change.attempts,
                change.at
            ]),
        // Read, and it is as it was, for this reason: no step of the state.
        (Some(before), Some(state)) if before == state => transaction
            .prepare_cached("UPDATE edit SET code = ?3, note = ?4 WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from, change.code, change.note.map(super::Note::word)]),
        // Settled by reading the message.
        (Some(State::InDoubt | State::Waiting | State::Failed | State::Done), Some(state)) => transaction
            .prepare_cached(
                "UPDATE edit SET state = ?3, code = ?4, note = ?5, content = ?6 WHERE message = ?1 AND state = ?2",
            )?
            .execute(params![
                message,
                from,
                state.word(),
                change.code,
                change.note.map(super::Note::word),
                change.content.0
            ]),
        // An intent withdrawn: code and note are still those of the last answer.
        (Some(State::Sending), Some(state)) if change.took.is_none() => transaction
            .prepare_cached("UPDATE edit SET state = ?3, attempts = ?4, content = ?5 WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from, state.word(), change.attempts, change.content.0]),
        (Some(State::Sending), Some(state)) => transaction
            .prepare_cached(
                "UPDATE edit SET state = ?3, attempts = ?4, code = ?5, note = ?6, took_ms = ?7
                 WHERE message = ?1 AND state = ?2",
            )?
            .execute(params![
                message,
                from,
                state.word(),
                change.attempts,
                change.code,
                change.note.map(super::Note::word),
                change.took.and_then(|took| i64::try_from(took.as_millis()).ok())
            ]),
        (_, None) => transaction
            .prepare_cached("DELETE FROM edit WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from]),
    }
}

/// The first intent of an edit, or what reading its message showed before.
fn insert(
    transaction: &Transaction<'_>,
    run: i64,
    line: i64,
    state: State,
    change: &Change,
) -> rusqlite::Result<usize> {
    let (id, message, content) = (change.edit.id(), change.message.0, change.content.0);
    transaction
        .prepare_cached(
            "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at, code, note)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
             ON CONFLICT (message) DO NOTHING",
        )?
        .execute(params![
            id.from_account,
            id.to_account,
            id.msg_key,
            message,
            content,
            line,
            run,
            state.word(),
            change.attempts,
            change.at,
            change.code,
            change.note.map(super::Note::word)
        ])
}

/// What a process that died left behind: its run never ended, and what it was sending is in doubt. To look for that reads
/// the whole table, and is needless behind a run that has come to the end of its list: it waited for every outcome.
fn recover(connection: &mut Connection) -> rusqlite::Result<()> {
    let ended =
        connection.query_row("SELECT ended FROM run ORDER BY run DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    if ended == Some(Some("finished".to_owned())) {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    transaction.execute("UPDATE run SET ended = 'died', ended_at = ?1 WHERE ended IS NULL", [unix_ms()])?;
    transaction.execute(
        "UPDATE edit SET state = 'in_doubt', code = ?1, note = ?2 WHERE state = 'sending'",
        params![Null, super::Note::ProcessDied.word()],
    )?;
    transaction.commit()
}

fn write_error(path: &Path, source: rusqlite::Error) -> LedgerError {
    damage(path, &source).unwrap_or_else(|| LedgerError::Write { path: path.to_owned(), source: Arc::new(source) })
}

fn read_error(path: &Path, source: rusqlite::Error) -> LedgerError {
    damage(path, &source).unwrap_or_else(|| LedgerError::Read { path: path.to_owned(), source: Arc::new(source) })
}

fn system_error(path: &Path, source: std::io::Error) -> LedgerError {
    LedgerError::Read { path: path.to_owned(), source: Arc::new(source) }
}

/// Where this tells that the file does not hold what was written to it: the error that says so.
fn damage(path: &Path, error: &rusqlite::Error) -> Option<LedgerError> {
    use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase};
    let what = match error {
        // Nothing is ever written that the schema, as it is written down here, would refuse.
        rusqlite::Error::SqliteFailure(failure, _) => match (failure.code, failure.extended_code) {
            (DatabaseCorrupt | NotADatabase | ConstraintViolation, _) | (_, ffi::SQLITE_ERROR) => error.to_string(),
            _ => return None,
        },
        // The schema is not the one that is written down here.
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        // What is in a column is nothing that is ever put there.
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => error.to_string(),
        _ => return None,
    };
    Some(LedgerError::Damaged { path: path.to_owned(), what })
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests;
