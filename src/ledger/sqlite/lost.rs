//! Whether a ledger may have lost its newest commits.
//!
//! SQLite keeps them in a log beside the file, and people copy, move and delete files one by one. A run that begins copies
//! its first commit into the file itself at once, and a run that ends folds the whole log in. So a file whose last run never
//! ended, without a log beside it, has lost what that run did. If it passed for complete, messages would be edited twice.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::damage::{check_after_crash, read_error};
use super::ledger_files;
use crate::ledger::{LedgerError, LostCommits, unix_ms};

/// The length of a log that holds no commit.
const LOG_HEADER_BYTES: usize = 32;
/// The first bytes of a log. Without them SQLite takes the log for empty, silently.
const LOG_MAGIC: [[u8; 4]; 2] = [0x377f_0682_u32.to_be_bytes(), 0x377f_0683_u32.to_be_bytes()];
/// From this version of the schema on, the ledger remembers a loss, and a file without a run has never had one: the first run
/// of an earlier version may have left all its commits in the log.
const RECORDS_EVERY_RUN: i64 = 3;

/// The first version that records whether a run reads first.
const RECORDS_READS_FIRST: i64 = 4;

/// Whether a log with commits is beside the file. A reader leaves an empty one.
pub(super) fn has_log(path: &Path) -> bool {
    let mut header = [0; LOG_HEADER_BYTES];
    let log = ledger_files::log(path);
    let is_longer = log.metadata().is_ok_and(|log| log.len() > LOG_HEADER_BYTES as u64);
    is_longer
        && File::open(log).and_then(|mut log| log.read_exact(&mut header)).is_ok()
        && LOG_MAGIC.iter().any(|magic| header.starts_with(magic))
}

/// Whether commits are missing, now or since an earlier run. No process may have the ledger open to write.
pub(super) fn may_lack_commits(path: &Path, connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let query_bool = |query: &str| connection.query_row(query, [], |row| row.get::<_, bool>(0));
    if version >= RECORDS_EVERY_RUN
        && query_bool("SELECT EXISTS (SELECT 1 FROM job WHERE commits_lost_at IS NOT NULL)")?
    {
        return Ok(true);
    }
    if has_log(path) {
        return Ok(false);
    }
    Ok(query_bool("SELECT EXISTS (SELECT 1 FROM run WHERE ended IS NULL)")?
        || (version < RECORDS_EVERY_RUN && query_bool("SELECT NOT EXISTS (SELECT 1 FROM run)")?))
}

/// Whether a run that reads first has not reached the end of its list.
fn reads_first(connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let find =
        || connection.query_row("SELECT EXISTS (SELECT 1 FROM job WHERE reads_first <> 0)", [], |row| row.get(0));
    if version >= RECORDS_READS_FIRST { find() } else { Ok(false) }
}

/// Refuses a ledger that may lack commits, unless messages are read first. Returns whether it may lack some.
///
/// # Errors
/// It is refused, or cannot be read.
pub(super) fn check(path: &Path, connection: &Connection, gaps: LostCommits) -> Result<bool, LedgerError> {
    let lacks = may_lack_commits(path, connection).map_err(|source| read_error(path, source))?;
    match gaps {
        LostCommits::Refused if lacks => {
            let log = ledger_files::log(path);
            // A damaged file is of no use with --read-first either, but with its log it may be sound.
            check_after_crash(path, connection).map_err(|error| match error {
                LedgerError::Damaged { path, what } => {
                    LedgerError::Damaged { path, what: format!("{what}; and its log {} is missing", log.display()) }
                }
                error => error,
            })?;
            Err(LedgerError::CommitsLost { path: path.to_owned(), log })
        }
        LostCommits::Refused if reads_first(connection).map_err(|source| read_error(path, source))? => {
            Err(LedgerError::ReadsFirst { ledger: path.into() })
        }
        LostCommits::Refused | LostCommits::ReadFirst => Ok(lacks),
    }
}

/// Records permanently that commits were lost: which messages the lost run edited cannot be known again.
pub(super) fn remember(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE job SET commits_lost_at = ?1 WHERE commits_lost_at IS NULL", params![unix_ms()])
        .map(|_| ())
}

/// Copies all commits into the file itself. The log keeps its length, so that a missing one can be noticed. Returns `false` if
/// another program is reading an older state, so that the newest commits could not be copied.
pub(super) fn copy_into_file(connection: &Connection) -> rusqlite::Result<bool> {
    checkpoint(connection, "PRAGMA wal_checkpoint(FULL)")
}

/// Copies all commits into the file itself and empties the log. Returns `false` as [`copy_into_file`] does.
pub(super) fn fold_in(connection: &Connection) -> rusqlite::Result<bool> {
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Sets whether closing the last connection leaves the log beside the file.
pub(super) fn keep_log_on_close(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(|_| ())
}

fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<bool> {
    let (busy, pages, copied): (i64, i64, i64) =
        connection.query_row(pragma, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(busy == 0 && pages == copied)
}
