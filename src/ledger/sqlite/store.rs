//! The writing side of a ledger file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Params, Transaction, params};

use super::columns::number;
use super::commit::commit;
use super::damage::{read_error, system_error, write_error};
use super::event_log::{self, EventLog};
use super::ledger_files::{self, LedgerFiles};
use super::{lost, open};
use crate::ledger::{
    Applied, Change, CommitFuture, JobIdentity, LedgerError, LostCommits, RunEvent, RunInfo, RunStore, Store, WalEnd,
    unix_ms,
};
use crate::{BUILD, system};

/// The writing side of a ledger file. Only one process has it at a time.
#[derive(Debug)]
pub(crate) struct SqliteStore {
    /// `None` while a commit runs on another thread, after the end of the run, and once the file was found to be gone.
    connection: Option<Connection>,
    path: PathBuf,
    /// The job that the ledger belongs to once a run begins.
    job: JobIdentity,
    /// Of the run, or of the audit.
    number: i64,
    /// Set when a run begins.
    ledger_files: Option<Arc<LedgerFiles>>,
    /// The lock on the file. Declared last, so closed last.
    lock: File,
}

impl SqliteStore {
    /// Opens the ledger of this job, or creates it, and locks it. What a process that died left `sending` is in doubt from
    /// here on.
    ///
    /// # Errors
    /// The file is no ledger, another job's, locked, may have lost its newest commits, or cannot be opened; it is as it
    /// was, byte for byte.
    pub(crate) fn open(path: &Path, job: &JobIdentity) -> Result<SqliteStore, LedgerError> {
        SqliteStore::open_with(path, job, LostCommits::Refused)
    }

    /// The same; `gaps` says what to do with a ledger that may have lost its newest commits.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub(crate) fn open_with(path: &Path, job: &JobIdentity, gaps: LostCommits) -> Result<SqliteStore, LedgerError> {
        let (mut connection, lock) = open::open(path, job, gaps)?;
        recover(&mut connection).map_err(|source| write_error(path, source))?;
        let (path, job) = (path.to_owned(), job.clone());
        Ok(SqliteStore { connection: Some(connection), path, job, number: 0, ledger_files: None, lock })
    }

    /// Creates the ledger of this job where there was none a moment ago.
    ///
    /// # Errors
    /// As [`SqliteStore::open`]; also if another process has created it and run in it since: a plan made without it no longer
    /// holds.
    pub(crate) fn create(path: &Path, job: &JobIdentity) -> Result<SqliteStore, LedgerError> {
        let store = SqliteStore::open(path, job)?;
        let ran = store.connection()?.query_row("SELECT EXISTS (SELECT 1 FROM run)", [], |row| row.get(0));
        if ran.map_err(|source| read_error(path, source))? {
            let holder = "a run that was started a moment before".to_owned();
            return Err(LedgerError::InUse { path: path.to_owned(), holder });
        }
        Ok(store)
    }

    /// Copies the beginning of the run into the file itself, which must show it whatever happens to the log beside it. If that
    /// fails, the run has not begun, and the job is what it was `before`.
    fn copy_into_file(&mut self, before: &JobBefore) -> Result<(), LedgerError> {
        let (run, path) = (self.number, &self.path);
        let failed = |source| write_error(path, source);
        let connection = self.connection.as_mut().ok_or(LedgerError::Latched)?;
        // Closing it without ending the run leaves the log in place, as a process that dies does.
        lost::keep_log_on_close(connection, true).map_err(failed)?;
        if lost::copy_into_file(connection).map_err(failed)? {
            return Ok(());
        }
        let transaction = connection.transaction().map_err(failed)?;
        withdraw(&transaction, run, before).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Err(LedgerError::BeingRead { path: path.clone() })
    }

    /// Commits belong to the audit of this number from now on. As with a run, the file itself shows that it has begun, and its
    /// log stays beside it if the process dies.
    pub(super) fn works_as(&mut self, audit: i64) -> Result<(), LedgerError> {
        self.number = audit;
        let (connection, failed) = (self.connection()?, |source| write_error(&self.path, source));
        lost::keep_log_on_close(connection, true).map_err(failed)?;
        if !lost::copy_into_file(connection).map_err(failed)? {
            return Err(LedgerError::BeingRead { path: self.path.clone() });
        }
        self.note_files()
    }

    pub(super) fn number(&self) -> i64 {
        self.number
    }

    pub(super) fn failed(&self, source: rusqlite::Error) -> LedgerError {
        write_error(&self.path, source)
    }

    /// Makes changes in one transaction.
    pub(super) fn in_one<T>(
        &mut self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T, LedgerError> {
        let connection = self.connection.as_mut().ok_or(LedgerError::Latched)?;
        let transaction = connection.transaction();
        let changed = transaction.and_then(|transaction| {
            let changed = change(&transaction)?;
            transaction.commit()?;
            Ok(changed)
        });
        changed.map_err(|source| write_error(&self.path, source))
    }

    /// Records the end of `what` was done, a run or an audit, and closes the ledger, but for its lock.
    pub(super) fn end(&mut self, what: &str, update: &str, values: impl Params) -> Result<WalEnd, LedgerError> {
        self.check_files()?;
        let key = self.number.to_string();
        self.in_one(|transaction| {
            transaction.execute(update, values)?;
            event_log::note(transaction, &format!("{what}_ended"), &[(what, key)])
        })?;
        let connection = self.connection.take().ok_or(LedgerError::Latched)?;
        // The end is durable. A log that remains loses nothing as long as it stays beside the file.
        let is_folded =
            lost::keep_log_on_close(&connection, false).and_then(|()| lost::fold_in(&connection)).unwrap_or(false);
        connection.close().map_err(|(_, source)| self.failed(source))?;
        Ok(if is_folded || !lost::has_log(&self.path) {
            WalEnd::Whole
        } else {
            WalEnd::LogRemains(ledger_files::log(&self.path))
        })
    }

    /// From now on it is noticed if the files are no longer where they are.
    fn note_files(&mut self) -> Result<(), LedgerError> {
        let ledger_files =
            LedgerFiles::note(&self.path, &self.lock).map_err(|source| system_error(&self.path, source))?;
        self.ledger_files = Some(Arc::new(ledger_files));
        self.check_files()
    }

    /// Gives the ledger up if its files are no longer where they were.
    fn check_files(&mut self) -> Result<(), LedgerError> {
        let Some(ledger_files) = &self.ledger_files else { return Ok(()) };
        let Some(file) = ledger_files.changed() else { return Ok(()) };
        let connection = self.connection.take().ok_or(LedgerError::Latched)?;
        Err(ledger_files.give_up(connection, file))
    }

    pub(super) fn connection(&self) -> Result<&Connection, LedgerError> {
        self.connection.as_ref().ok_or(LedgerError::Latched)
    }
}

impl RunStore for SqliteStore {
    fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        let connection = self.connection.as_mut().ok_or(LedgerError::Latched)?;
        let (run, before) = begin(connection, &self.job, info).map_err(|source| write_error(&self.path, source))?;
        self.number = run;
        self.copy_into_file(&before)?;
        self.note_files()
    }

    fn mark_all_read(&mut self) -> Result<(), LedgerError> {
        self.in_one(|transaction| {
            set_reads_first(transaction, false)?;
            event_log::note(transaction, "all_read", &[("job", "1".to_owned())])
        })
    }

    fn end_run(&mut self, ended: &str, reason: &str) -> Result<WalEnd, LedgerError> {
        let number = self.number;
        self.end(
            "run",
            "UPDATE run SET ended_at = ?2, ended = ?3, reason = ?4 WHERE run = ?1",
            params![number, unix_ms(), ended, reason],
        )
    }
}

/// Records a run and its job in one commit. Returns the number of the run, and what the ledger said of its job before.
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
            system::host_name().unwrap_or_else(|| "unknown".to_owned()),
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
    for (position, list) in (1_i64..).zip(&info.lists) {
        transaction.execute(
            "INSERT INTO run_list (run, list, name, sha256, \"rows\") VALUES (?1, ?2, ?3, ?4, ?5)",
            params![run, position, list.name, list.sha256, number(list.rows)],
        )?;
    }
    event_log::note(&transaction, "run_begun", &rows_of(&transaction, run)?)?;
    transaction.commit()?;
    Ok((run, before))
}

/// The rows that a run begins with.
fn rows_of(connection: &Connection, run: i64) -> rusqlite::Result<Vec<(&'static str, String)>> {
    let mut rows = vec![("job", "1".to_owned()), ("run", run.to_string())];
    let mut lists = connection.prepare("SELECT run || '/' || list FROM run_list WHERE run = ?1 ORDER BY list")?;
    for list in lists.query_map([run], |row| row.get(0))? {
        rows.push(("run_list", list?));
    }
    Ok(rows)
}

/// Takes back that a run began.
fn withdraw(transaction: &Transaction<'_>, run: i64, before: &JobBefore) -> rusqlite::Result<()> {
    let rows = rows_of(transaction, run)?;
    transaction.execute("DELETE FROM run WHERE run = ?1", [run])?;
    before.restore(transaction)?;
    event_log::note(transaction, "run_withdrawn", &rows)
}

/// What the ledger said of its job before a run began.
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
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
            let mut connection = self.connection.take().ok_or(LedgerError::Latched)?;
            let count = changes.len();
            let (number, path, ledger_files) = (self.number, self.path.clone(), self.ledger_files.clone());
            let work = tokio::task::spawn_blocking(move || {
                let result = commit(&mut connection, number, &changes, &events, &path);
                // Checked before anyone learns of this commit: in a file without a name nothing is durable.
                match ledger_files.as_deref().and_then(|files| Some((files, files.changed()?))) {
                    Some((ledger_files, file)) => (None, Err(ledger_files.give_up(connection, file))),
                    None => (Some(connection), result),
                }
            });
            // A commit that panicked leaves no connection behind: the store stays latched.
            let (connection, result) = work.await.map_err(|_| LedgerError::Latched)?;
            self.connection = connection;
            result.map(|()| vec![Applied::Yes; count])
        })
    }
}

/// Records what a process that died left behind: its run never ended, and what it was sending is in doubt. This scans the
/// whole table, and is unnecessary after a run that reached the end of its list: it waited for every outcome.
fn recover(connection: &mut Connection) -> rusqlite::Result<()> {
    let open: Vec<(String, i64)> = connection
        .prepare("SELECT 'audit', audit FROM audit WHERE ended IS NULL UNION ALL SELECT 'run', run FROM run WHERE ended IS NULL")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let ended =
        connection.query_row("SELECT ended FROM run ORDER BY run DESC LIMIT 1", [], |row| row.get(0)).optional()?;
    if open.is_empty() && ended == Some(Some("finished".to_owned())) {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    let mut log = EventLog::load(&transaction)?;
    for (what, number) in &open {
        let how = if what == "run" { "ended = 'died'" } else { "ended = 'stopped', reason = 'its process died'" };
        let end = format!("UPDATE {what} SET {how}, ended_at = ?2 WHERE {what} = ?1");
        transaction.execute(&end, params![number, unix_ms()])?;
        log.rows(&transaction, &format!("{what}_died"), &[(what, number.to_string())])?;
    }
    log.doubt_all(&transaction)?;
    log.save(&transaction)?;
    transaction.commit()
}
