//! Opening a ledger file: is it one, is it this job's, is it free? Until all three are answered with yes, not one
//! byte of the file is changed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::lost::{self, LostCommits};
use super::{filesystem, ledger_files, read_error, system_error, unix_ms, write_error};
use crate::ledger::LedgerError;

/// "RUNR": in the header of every ledger, so that no other database is taken for one.
const APPLICATION_ID: i64 = 0x5255_4E52;
/// The schema, a file a version: ledgers of an older version are brought up step by step.
const MIGRATIONS: &[&str] = &[
    include_str!("0001_first.sql"),
    include_str!("0002_watched.sql"),
    include_str!("0003_read_first.sql"),
    include_str!("0004_operator.sql"),
    include_str!("0005_proxy.sql"),
];

/// The first version that keeps what is in `0005_proxy.sql`.
pub(super) const NAMES_PROXY: i64 = 5;

/// Reads the file and the log beside it.
pub(super) const READ_BESIDE: &str = "mode=ro";
/// Reads the file alone, without locks.
pub(super) const READ_ALONE: &str = "immutable=1";
/// Reads the file and the log beside it where the log has no index, as in a copy. Nobody has such a ledger open, so no
/// locks are taken; SQLite would make the index as a file, and with the ledger to itself keeps it in memory.
const READ_COPY: &str = "mode=ro&vfs=unix-none";

/// A lock that is held for longer than this many tries is a run's.
const LOCK_TRIES: u32 = 10;
/// Between two of them.
const LOCK_AGAIN: Duration = Duration::from_millis(10);
const OTHER_PROCESS: &str = "another process";
/// What the sandbox inside a process is known by.
const SANDBOX: &str = "sandbox";

/// The job that a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobIdentity {
    /// The application.
    pub sdkappid: u64,
    /// The service's host and port, or `sandbox`.
    pub service: String,
    /// Its other host and port, which a ledger may know it by.
    pub other_host: Option<String>,
    /// The job file's name, where it gives one.
    pub name: Option<String>,
}

impl JobIdentity {
    /// Whether the other one differs by the service's address only. The sandbox inside a process shares no message with
    /// anything else.
    fn may_move_to(&self, other: &JobIdentity) -> bool {
        let is_elsewhere = self.service != other.service && self.service != SANDBOX && other.service != SANDBOX;
        is_elsewhere && self.sdkappid == other.sdkappid && self.name == other.name
    }

    /// The same one, which names the service as `ours` does where it knows it by its other host.
    fn named_as(mut self, ours: &JobIdentity) -> JobIdentity {
        if ours.other_host.as_ref() == Some(&self.service) {
            self.service.clone_from(&ours.service);
        }
        self.other_host.clone_from(&ours.other_host);
        self
    }

    fn describe(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("the job {name:?} of ")).unwrap_or_default();
        format!("{name}app {} at {}", self.sdkappid, self.service)
    }
}

/// What a path leads to.
pub(super) enum PathContent {
    /// Nothing, or an empty file.
    Nothing,
    /// A ledger of a version that this program knows.
    Ledger,
}

pub(super) fn open(path: &Path, job: &JobIdentity, gaps: LostCommits) -> Result<(Connection, File), LedgerError> {
    filesystem::check(path)?;
    if matches!(inspect(path)?, PathContent::Ledger) {
        check_job(path, &read_only(path)?, job, gaps)?;
    }
    let lock = lock(path)?;
    let mut lacks_commits = false;
    // Looked at again under the lock: another process may have made, or filled, it meanwhile.
    let mut connection = match inspect(path)? {
        PathContent::Nothing => make(path, job).map_err(|source| write_error(path, source))?,
        PathContent::Ledger => {
            let reading = read_only(path)?;
            check_job(path, &reading, job, gaps)?;
            lacks_commits = lost::check(path, &reading, gaps)?;
            check_after_crash(path, &reading)?;
            drop(reading);
            open_to_write(path).map_err(|source| write_error(path, source))?
        }
    };
    migrate(path, &mut connection, lacks_commits)?;
    // A ledger that was saved or restored by way of SQLite's tools has it no more.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(|source| write_error(path, source))?;
    Ok((connection, lock))
}

/// Reads the header alone: whether this is a ledger at all is known before SQLite touches the file.
pub(super) fn inspect(path: &Path) -> Result<PathContent, LedgerError> {
    ledger_files::put_back(path)?;
    let not = |what: &str| LedgerError::NotALedger { path: path.to_owned(), what: what.to_owned() };
    let mut header = Vec::with_capacity(100);
    match File::open(path) {
        Ok(file) => {
            let kind = file.metadata().map_err(|source| system_error(path, source))?.file_type();
            if !kind.is_file() {
                return Err(not("it is a directory or a device, not a file"));
            }
            file.take(100).read_to_end(&mut header).map_err(|source| system_error(path, source))?;
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return nothing(path),
        Err(error) => return Err(system_error(path, error)),
    }
    if header.is_empty() {
        return nothing(path);
    }
    // It was being made when the process died, and its first page may not be written yet. SQLite takes that back from
    // its journal, and then it is empty; once it is made, it has a log instead.
    let was_being_made = ledger_files::journal(path).metadata().is_ok_and(|journal| journal.len() > 0);
    if was_being_made && header.iter().all(|byte| *byte == 0) {
        return Ok(PathContent::Nothing);
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(not("it is not an SQLite database"));
    }
    let number = |at: usize| i64::from(i32::from_be_bytes(std::array::from_fn(|i| header[at + i])));
    if number(68) != APPLICATION_ID {
        return Err(not("it is another program's SQLite database"));
    }
    if was_being_made {
        return Ok(PathContent::Nothing);
    }
    let version = number(60);
    refuse_newer(path, version)?;
    // The schema and its version are made in one transaction.
    if version < 1 { Err(not("its header has no ledger's version")) } else { Ok(PathContent::Ledger) }
}

/// There is no ledger, and so no log either: to SQLite one that is left alone is litter, and the newest commits are in it.
fn nothing(path: &Path) -> Result<PathContent, LedgerError> {
    if lost::has_log(path) {
        return Err(LedgerError::LogAlone { path: path.to_owned(), log: ledger_files::log(path) });
    }
    Ok(PathContent::Nothing)
}

fn newest_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

fn refuse_newer(path: &Path, found: i64) -> Result<(), LedgerError> {
    let known = newest_version();
    if found > known { Err(LedgerError::Newer { path: path.to_owned(), found, known }) } else { Ok(()) }
}

/// Opens without leaving a trace. Where a process has the ledger open, or died with it open, there is a log beside
/// the file and SQLite reads both; where there is none, the file alone is read and no log is made.
pub(super) fn read_only(path: &Path) -> Result<Connection, LedgerError> {
    read_only_with(path, how_to_read(path))
}

pub(super) fn how_to_read(path: &Path) -> &'static str {
    if lost::has_log(path) { READ_BESIDE } else { READ_ALONE }
}

/// As [`how_to_read`], and so that not even an index is left behind.
pub(super) fn how_to_look(path: &Path) -> &'static str {
    match how_to_read(path) {
        READ_BESIDE if !ledger_files::index(path).exists() => READ_COPY,
        how => how,
    }
}

pub(super) fn read_only_with(path: &Path, how: &str) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("file:{}?{how}", percent_encode(plain(path).as_os_str().as_encoded_bytes(), OUTSIDE_URI));
    let connection = Connection::open_with_flags(uri, flags).map_err(|source| read_error(path, source))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(|source| read_error(path, source))?;
    if how == READ_COPY {
        let alone = || {
            // Otherwise closing would remove a log that is empty.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
        };
        alone().map_err(|source| read_error(path, source))?;
    }
    Ok(connection)
}

/// What has no meaning of its own in SQLite's URIs stays readable.
const OUTSIDE_URI: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The same file, by a name that means nothing else to SQLite, as `:memory:` and `file:…` do.
fn plain(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

/// The lock is on the file itself, so nothing is left lying about, and the kernel lets go of it however a process
/// ends. (It is of another kind than the locks SQLite takes, and they do not meet. But the handle must stay open for as
/// long as SQLite has the file open: closing any handle of a file takes SQLite's locks on it away.)
fn lock(path: &Path) -> Result<File, LedgerError> {
    let mut options = OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| LedgerError::Write { path: path.to_owned(), source: std::sync::Arc::new(source) })?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Maybe by somebody who only looks, and has it for a moment (see `worker`).
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(error)) => return Err(system_error(path, error)),
        }
    }
    let holder = named_worker(&file).unwrap_or_else(|| OTHER_PROCESS.to_owned());
    Err(LedgerError::InUse { path: path.to_owned(), holder })
}

/// Whose lock is on this file; `None`: nobody's. Where the kernel does not name him (another container's process, some
/// file systems), the lock itself tells that there is one.
pub(super) fn worker(file: &File) -> Option<String> {
    let is_locked = || matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    named_worker(file).or_else(|| is_locked().then(|| OTHER_PROCESS.to_owned()))
}

/// Whose lock is on this file, as far as the kernel names him: `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1053 0 EOF`.
fn named_worker(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    let device = metadata.dev();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    let place = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_ours = words.get(1) == Some(&"FLOCK") && words.get(5) == Some(&place.as_str());
        is_ours.then(|| match words[4] {
            // A process of another container has no number here.
            "0" => OTHER_PROCESS.to_owned(),
            process => format!("process {process}"),
        })
    })
}

fn make(path: &Path, job: &JobIdentity) -> rusqlite::Result<Connection> {
    let mut connection = open_to_write(path)?;
    // Schema and header in one transaction of the old kind, so that the file itself tells what it is from then on.
    let transaction = connection.transaction()?;
    for migration in MIGRATIONS {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest_version())?;
    insert_job(&transaction, job)?;
    transaction.commit()?;
    Ok(connection)
}

fn open_to_write(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(plain(path), flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Brings the schema up, and in the same transaction remembers that commits are missing: a later version tells that by
/// other signs.
fn migrate(path: &Path, connection: &mut Connection, lacks_commits: bool) -> Result<(), LedgerError> {
    let failed = |source| write_error(path, source);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    refuse_newer(path, found)?;
    if found == newest_version() {
        if lacks_commits {
            lost::remember(connection).map_err(failed)?;
        }
        // Setting the version to what it is would be a write all the same.
        return Ok(());
    }
    let transaction = connection.transaction().map_err(failed)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or_default()) {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    transaction.pragma_update(None, "user_version", newest_version()).map_err(failed)?;
    if lacks_commits {
        lost::remember(&transaction).map_err(failed)?;
    }
    transaction.commit().map_err(failed)
}

fn insert_job(connection: &Connection, job: &JobIdentity) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT INTO job (one, operation, sdkappid, service, name, created_at)
         VALUES (1, 'modify_c2c_msg', ?1, ?2, ?3, ?4)
         ON CONFLICT (one) DO UPDATE SET sdkappid = excluded.sdkappid, service = excluded.service, name = excluded.name",
        params![i64::try_from(job.sdkappid).unwrap_or(i64::MAX), job.service, job.name, unix_ms()],
    )?;
    Ok(())
}

pub(super) fn find_job(connection: &Connection) -> rusqlite::Result<Option<JobIdentity>> {
    connection
        .query_row("SELECT sdkappid, service, name FROM job", [], |row| {
            Ok(JobIdentity {
                sdkappid: row.get::<_, i64>(0)?.unsigned_abs(),
                service: row.get(1)?,
                other_host: None,
                name: row.get(2)?,
            })
        })
        .optional()
}

/// Whether nothing can have reached a phone yet: all that was sent was refused, or read back as not edited. (A doubt
/// that was not settled does not become `waiting`.)
fn nothing_happened(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM edit WHERE state <> 'waiting')", [], |row| row.get(0))
}

/// A ledger in which nothing has happened yet may change its job: the first try with a wrong region or app is
/// refused by the service, and mending it must not need a new ledger. And where each message is read first, the job may go on
/// at another address of the service.
pub(super) fn check_job(
    path: &Path,
    connection: &Connection,
    ours: &JobIdentity,
    gaps: LostCommits,
) -> Result<(), LedgerError> {
    let failed = |source| read_error(path, source);
    let Some(theirs) = find_job(connection).map_err(failed)? else { return Ok(()) };
    let theirs = theirs.named_as(ours);
    let may_move = theirs.may_move_to(ours);
    if theirs == *ours
        || (may_move && gaps == LostCommits::ReadFirst)
        || nothing_happened(connection).map_err(failed)?
    {
        return Ok(());
    }
    Err(LedgerError::OtherJob {
        path: path.to_owned(),
        theirs: theirs.describe(),
        ours: ours.describe(),
        may_move: may_move.then(|| ours.service.clone()),
    })
}

/// A run that never ended was ended by something, maybe by a power cut, and that can leave damage behind. The check
/// reads all of the file, so it is not made when all is well. It is the one that compares the indexes with the table, too:
/// an edit that is missing from its index would be taken for one that was never sent.
pub(super) fn check_after_crash(path: &Path, connection: &Connection) -> Result<(), LedgerError> {
    let failed = |source| read_error(path, source);
    let query = "SELECT EXISTS (SELECT 1 FROM run WHERE ended IS NULL)";
    if !connection.query_row(query, [], |row| row.get::<_, bool>(0)).map_err(failed)? {
        return Ok(());
    }
    let found: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found == "ok" {
        return Ok(());
    }
    let found = found.replace('\n', " ");
    let what = format!("{found} (looked for since the last run never ended; nothing was sent)");
    Err(LedgerError::Damaged { path: path.to_owned(), what })
}

/// Makes the ledger this job's. Only when a run begins: until then nobody has agreed that it goes on elsewhere.
pub(super) fn adopt(connection: &Connection, ours: &JobIdentity) -> rusqlite::Result<()> {
    insert_job(connection, ours)
}
