//! The ledger in one SQLite file, which any auditor can open with ordinary tools.
//!
//! Write-ahead log and `synchronous=FULL`: once a commit returns, it outlives a power cut.

mod open;
mod read;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::Null;
use rusqlite::{Connection, Transaction, params};

pub use self::open::JobIdentity;
pub use self::read::SqliteReader;
use super::{Change, LedgerError, State, Store, Transition, unix_ms};

/// The writing side of a ledger file, which only one process has at a time.
#[derive(Debug)]
pub struct SqliteStore {
    /// `None` only while a commit runs on another thread.
    connection: Option<Connection>,
    path: PathBuf,
    run: i64,
    /// Declared last, so closed last: it is the lock on the file.
    _lock: File,
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
    /// Requests a second at most.
    pub rate: u32,
}

impl SqliteStore {
    /// Opens the ledger of this job, or makes it where there is none, and locks it. What a process that died left
    /// `sending` is in doubt from here on.
    ///
    /// # Errors
    /// The file is no ledger, another job's, locked, or cannot be opened; it is as it was, byte for byte.
    pub fn open(path: &Path, job: &JobIdentity) -> Result<SqliteStore, LedgerError> {
        let (mut connection, lock) = open::open(path, job)?;
        recover(&mut connection).map_err(|source| write_error(path, source))?;
        Ok(SqliteStore { connection: Some(connection), path: path.to_owned(), run: 0, _lock: lock })
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

    /// Notes that a run begins. Everything committed from here on belongs to it.
    ///
    /// # Errors
    /// It could not be made durable.
    pub fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        let insert = self.connection()?.execute(
            "INSERT INTO run (started_at, version, user, host, pid, input, input_sha256, input_rows, rate)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                unix_ms(),
                env!("CARGO_PKG_VERSION"),
                user(),
                host(),
                std::process::id(),
                info.input,
                info.input_sha256,
                i64::try_from(info.input_rows).unwrap_or(i64::MAX),
                info.rate
            ],
        );
        insert.map_err(|source| write_error(&self.path, source))?;
        self.run = self.connection()?.last_insert_rowid();
        Ok(())
    }

    /// Notes how the run ended (`finished`, `interrupted`, `stopped`) and why, and closes the file.
    ///
    /// # Errors
    /// It could not be made durable. Every edit's own state is durable all the same.
    pub fn end_run(mut self, ended: &str, reason: &str) -> Result<(), LedgerError> {
        let connection = self.connection.take().ok_or(LedgerError::Latched)?;
        connection
            .execute(
                "UPDATE run SET ended_at = ?2, ended = ?3, reason = ?4 WHERE run = ?1",
                params![self.run, unix_ms(), ended, reason],
            )
            .map_err(|source| write_error(&self.path, source))?;
        connection.close().map_err(|(_, source)| write_error(&self.path, source))
    }

    fn connection(&self) -> Result<&Connection, LedgerError> {
        self.connection.as_ref().ok_or(LedgerError::Latched)
    }
}

impl Store for SqliteStore {
    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let mut connection = self.connection.take().ok_or(LedgerError::Latched)?;
        let (run, path) = (self.run, self.path.clone());
        let work = tokio::task::spawn_blocking(move || {
            let result = commit(&mut connection, run, &changes, &path);
            (connection, result)
        });
        // A commit that panicked leaves no connection behind: the store stays latched.
        let (connection, result) = work.await.map_err(|_| LedgerError::Latched)?;
        self.connection = Some(connection);
        result
    }
}

fn commit(connection: &mut Connection, run: i64, changes: &[Change], path: &Path) -> Result<(), LedgerError> {
    let failed = |source| write_error(path, source);
    let transaction = connection.transaction().map_err(failed)?;
    for change in changes {
        let rows = apply(&transaction, run, change).map_err(failed)?;
        if rows != 1 {
            // The ledger holds another state than the run believes: neither may be trusted now.
            return Err(Transition { from: change.from, to: change.to }.into());
        }
    }
    transaction.commit().map_err(failed)
}

/// One step of one edit; how many rows it changed, which must be one.
fn apply(transaction: &Transaction<'_>, run: i64, change: &Change) -> rusqlite::Result<usize> {
    let message = change.edit.id().digest().0;
    let line = i64::try_from(change.line).unwrap_or(i64::MAX);
    let from = change.from.map(State::word);
    match (change.from, change.to) {
        (None, Some(_)) => {
            let id = change.edit.id();
            transaction
                .prepare_cached(
                    "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'sending', ?8, ?9)
                     ON CONFLICT (message) DO NOTHING",
                )?
                .execute(params![
                    id.from_account,
                    id.to_account,
                    id.msg_key,
                    message,
                    change.content.0,
                    line,
                    run,
                    change.attempts,
                    change.at
                ])
        }
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
        // Read back, and it could not be told: no step of the state.
        (Some(State::InDoubt), Some(State::InDoubt)) => transaction
            .prepare_cached("UPDATE edit SET code = ?3, note = ?4 WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from, change.code, change.note.map(super::Note::word)]),
        (Some(State::InDoubt), Some(state)) => transaction
            .prepare_cached("UPDATE edit SET state = ?3, code = ?4, note = ?5 WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from, state.word(), change.code, change.note.map(super::Note::word)]),
        // An intent withdrawn: code and note are still those of the last answer.
        (Some(_), Some(state)) if change.took.is_none() => transaction
            .prepare_cached("UPDATE edit SET state = ?3, attempts = ?4, content = ?5 WHERE message = ?1 AND state = ?2")?
            .execute(params![message, from, state.word(), change.attempts, change.content.0]),
        (Some(_), Some(state)) => transaction
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

/// What a process that died left behind: its run never ended, and what it was sending is in doubt.
fn recover(connection: &mut Connection) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute("UPDATE run SET ended = 'died', ended_at = ?1 WHERE ended IS NULL", [unix_ms()])?;
    transaction.execute(
        "UPDATE edit SET state = 'in_doubt', code = ?1, note = ?2 WHERE state = 'sending'",
        params![Null, super::Note::ProcessDied.word()],
    )?;
    transaction.commit()
}

fn write_error(path: &Path, source: rusqlite::Error) -> LedgerError {
    LedgerError::Write { path: path.to_owned(), source: Arc::new(source) }
}

fn read_error(path: &Path, source: impl std::error::Error + Send + Sync + 'static) -> LedgerError {
    LedgerError::Read { path: path.to_owned(), source: Arc::new(source) }
}

fn user() -> String {
    std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "unknown".to_owned())
}

fn host() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .or_else(|_| std::env::var("HOSTNAME"))
        .unwrap_or_else(|_| "unknown".to_owned())
}

#[cfg(test)]
mod tests;
