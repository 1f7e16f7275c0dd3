//! Opening a ledger file: it must be a ledger, this job's, and free. Until all three are known, not one byte of the file is
//! changed.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::damage::{check_after_crash, read_error, system_error, write_error};
use super::event_log::{self, EventLog};
use super::{filesystem, ledger_files, lost};
use crate::ledger::{JobIdentity, LedgerError, LostCommits, unix_ms};

/// "RUNR": in the header of every ledger, so that no other database is taken for one.
const APPLICATION_ID: i64 = 0x5255_4E52;
/// The schema, one file per version. Older ledgers are upgraded step by step.
const MIGRATIONS: &[&str] = &[
    include_str!("0001_first.sql"),
    include_str!("0002_watched.sql"),
    include_str!("0003_read_first.sql"),
    include_str!("0004_operator.sql"),
    include_str!("0005_proxy.sql"),
    include_str!("0006_lists.sql"),
    include_str!("0007_evidence.sql"),
];

/// The first version that keeps what is in `0005_proxy.sql`.
pub(super) const NAMES_PROXY: i64 = 5;
/// The first version that keeps what is in `0006_lists.sql`.
pub(super) const NAMES_LISTS: i64 = 6;
/// The first version that keeps what is in `0007_evidence.sql`.
pub(super) const KEEPS_EVIDENCE: i64 = 7;

/// Reads the file and the log beside it.
pub(super) const READ_BESIDE: &str = "mode=ro";
/// Reads the file alone, without locks.
pub(super) const READ_ALONE: &str = "immutable=1";
/// Reads the file and the log beside it if the log has no index, as in a copy. No process has such a ledger open, so no locks
/// are taken. In exclusive mode SQLite keeps the index in memory instead of creating a file.
const READ_COPY: &str = "mode=ro&vfs=unix-none";

/// A lock that outlasts this many attempts belongs to a run.
const LOCK_TRIES: u32 = 10;
/// The time between two attempts.
const LOCK_AGAIN: Duration = Duration::from_millis(10);
const OTHER_PROCESS: &str = "another process";
/// What is at a path.
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
    roll_back(path)?;
    let mut lacks_commits = false;
    // Inspected again under the lock: another process may have created or filled it meanwhile.
    let mut connection = match inspect(path)? {
        PathContent::Nothing => make(path, job, Some("made")).map_err(|source| write_error(path, source))?,
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
    // A ledger that was saved or restored with SQLite's tools has lost this mode.
    connection.pragma_update(None, "journal_mode", "WAL").map_err(|source| write_error(path, source))?;
    Ok((connection, lock))
}

/// Reads only the header, so that what is not a ledger is recognized before SQLite touches the file.
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
    // The process died while creating it, perhaps before the first page was written. SQLite rolls that back from the journal,
    // which leaves an empty file. A complete ledger has a log instead of a journal.
    let is_incomplete = ledger_files::journal(path).metadata().is_ok_and(|journal| journal.len() > 0);
    if is_incomplete && header.iter().all(|byte| *byte == 0) {
        return Ok(PathContent::Nothing);
    }
    if header.len() < 100 || !header.starts_with(b"SQLite format 3\0") {
        return Err(not("it is not an SQLite database"));
    }
    let number = |at: usize| i64::from(i32::from_be_bytes(std::array::from_fn(|i| header[at + i])));
    if number(68) != APPLICATION_ID {
        return Err(not("it is another program's SQLite database"));
    }
    if is_incomplete {
        return Ok(PathContent::Nothing);
    }
    let version = number(60);
    refuse_newer(path, version)?;
    // The schema and its version are made in one transaction.
    if version < 1 { Err(not("its header has no ledger's version")) } else { Ok(PathContent::Ledger) }
}

/// Checks that, without a ledger, there is no log either: SQLite would delete it, with the newest commits in it.
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

/// Opens without leaving a trace. If a process has the ledger open, or died with it open, there is a log beside the file and
/// SQLite reads both; otherwise only the file is read and no log is created.
pub(super) fn read_only(path: &Path) -> Result<Connection, LedgerError> {
    read_only_with(path, how_to_read(path))
}

pub(super) fn how_to_read(path: &Path) -> &'static str {
    if lost::has_log(path) { READ_BESIDE } else { READ_ALONE }
}

/// As [`how_to_read`], but without leaving an index behind.
pub(super) fn how_to_read_traceless(path: &Path) -> &'static str {
    match how_to_read(path) {
        READ_BESIDE if !ledger_files::index(path).exists() => READ_COPY,
        how => how,
    }
}

pub(super) fn read_only_with(path: &Path, how: &str) -> Result<Connection, LedgerError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let uri = format!("file:{}?{how}", percent_encode(plain(path).as_os_str().as_encoded_bytes(), IN_URI));
    let connection = Connection::open_with_flags(uri, flags).map_err(|source| read_error(path, source))?;
    connection.busy_timeout(Duration::from_secs(5)).map_err(|source| read_error(path, source))?;
    if how == READ_COPY {
        let alone = || {
            // Otherwise closing would remove an empty log.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
            connection.query_row("PRAGMA locking_mode = EXCLUSIVE", [], |_| Ok(()))
        };
        alone().map_err(|source| read_error(path, source))?;
    }
    Ok(connection)
}

/// What is escaped in the path of a URI.
const IN_URI: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');

/// The same file, by a name that has no special meaning for SQLite, unlike `:memory:` and `file:…`.
fn plain(path: &Path) -> PathBuf {
    Path::new(".").join(path)
}

/// Locks the file itself, so nothing is left behind, and the kernel releases the lock however a process ends. (It is of another
/// kind than SQLite's locks and does not conflict with them. But the handle must stay open as long as SQLite has the file open:
/// closing any handle of a file releases SQLite's locks on it.)
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
    hold(path, file)
}

/// The same for a ledger that is there and is not to be changed, perhaps by a user who could not.
pub(super) fn lock_to_read(path: &Path) -> Result<File, LedgerError> {
    hold(path, File::open(path).map_err(|source| system_error(path, source))?)
}

fn hold(path: &Path, file: File) -> Result<File, LedgerError> {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            // Perhaps by a reader that has it for a moment (see `worker`).
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_AGAIN),
            Err(TryLockError::Error(error)) => return Err(system_error(path, error)),
        }
    }
    let holder = named_worker(&file).unwrap_or_else(|| OTHER_PROCESS.to_owned());
    Err(LedgerError::InUse { path: path.to_owned(), holder })
}

/// The process whose lock is on this file; `None`: there is none. If the kernel does not name it (a process of another
/// container, some file systems), the lock itself shows that there is one.
pub(super) fn worker(file: &File) -> Option<String> {
    let is_locked = || matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
    named_worker(file).or_else(|| is_locked().then(|| OTHER_PROCESS.to_owned()))
}

/// The process whose lock is on this file, if the kernel names it: `1: FLOCK  ADVISORY  WRITE 4711 fe:00:1053 0 EOF`.
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
            // A process of another container has no number in this one.
            "0" => OTHER_PROCESS.to_owned(),
            process => format!("process {process}"),
        })
    })
}

/// Rolls back what a process has begun and not ended while it made the ledger: all of it, or only that free pages go.
fn roll_back(path: &Path) -> Result<(), LedgerError> {
    if !ledger_files::journal(path).metadata().is_ok_and(|journal| journal.len() > 0) {
        return Ok(());
    }
    // SQLite does that before it reads.
    let read =
        open_to_write(path).and_then(|file| file.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())));
    read.map_err(|source| write_error(path, source))
}

/// An empty ledger, to compare with.
pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    MIGRATIONS.iter().try_for_each(|migration| connection.execute_batch(migration))?;
    Ok(connection)
}

pub(super) fn make(path: &Path, job: &JobIdentity, why: Option<&str>) -> rusqlite::Result<Connection> {
    let mut connection = open_to_write(path)?;
    // Schema and header in one transaction with a journal, so that the file itself shows what it is from then on.
    let transaction = connection.transaction()?;
    for migration in MIGRATIONS {
        transaction.execute_batch(migration)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", newest_version())?;
    insert_job(&transaction, job)?;
    if let Some(why) = why {
        EventLog::begin(&transaction, why, None)?;
    }
    transaction.commit()?;
    // Migrations leave free pages. If these were used again, the file would look damaged wherever a part of the log has been
    // copied into it: in a copy without its log, for instance.
    connection.execute_batch("VACUUM")?;
    Ok(connection)
}

pub(super) fn open_to_write(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(plain(path), flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// Upgrades the schema, and in the same transaction records that commits are missing: later versions recognize that by other
/// signs.
fn migrate(path: &Path, connection: &mut Connection, lacks_commits: bool) -> Result<(), LedgerError> {
    let failed = |source| write_error(path, source);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    refuse_newer(path, found)?;
    if found == newest_version() {
        if lacks_commits {
            let transaction = connection.transaction().map_err(failed)?;
            let remember = lost::remember(&transaction)
                .and_then(|()| event_log::note(&transaction, "commits_lost", &[("job", "1".to_owned())]));
            remember.and_then(|()| transaction.commit()).map_err(failed)?;
        }
        // Setting the version again would be a write.
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
    if found < KEEPS_EVIDENCE {
        EventLog::begin(&transaction, "upgraded", None).map_err(failed)?;
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

/// Whether nothing can have reached a phone yet: all that was sent was refused, or read back as not edited. (An edit in doubt
/// becomes `waiting` only by being settled.)
fn nothing_happened(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT NOT EXISTS (SELECT 1 FROM edit WHERE state <> 'waiting')", [], |row| row.get(0))
}

/// Refuses the ledger of another job.
pub(super) fn check_job(
    path: &Path,
    connection: &Connection,
    ours: &JobIdentity,
    gaps: LostCommits,
) -> Result<(), LedgerError> {
    let failed = |source| read_error(path, source);
    let Some(theirs) = find_job(connection).map_err(failed)? else { return Ok(()) };
    theirs.check(&path.into(), ours, gaps, || nothing_happened(connection).map_err(failed))
}

/// Assigns the ledger to this job, when a run begins: until then nobody has agreed to a change.
pub(super) fn adopt(connection: &Connection, ours: &JobIdentity) -> rusqlite::Result<()> {
    insert_job(connection, ours)
}
