//! Whether a ledger may have lost its newest commits.
//!
//! SQLite keeps them in a log beside the file, and people copy, move and tidy away files one by one. A run that begins
//! copies its first commit into the file itself at once, and a run that ends folds the whole log in. So a file whose
//! last run never ended, and beside which no log lies, has lost what that run did: it must not be taken for the whole
//! truth, or messages would be edited twice.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::damage::{check_after_crash, read_error};
use super::ledger_files;
use crate::ledger::{LedgerError, LostCommits, unix_ms};

/// The header of a log that holds no commit.
const LOG_HEADER_BYTES: usize = 32;
/// What a log begins with. Without it SQLite takes it for one without commits, and says nothing.
const LOG_MAGIC: [[u8; 4]; 2] = [0x377f_0682_u32.to_be_bytes(), 0x377f_0683_u32.to_be_bytes()];
/// From this version of the schema on, the ledger remembers a loss, and a file that names no run has never been worked on: the
/// first run of an earlier version may have left all its commits in the log.
const TELLS_OF_EVERY_RUN: i64 = 3;

/// The first version that keeps whether a run reads first.
const KNOWS_WHO_READS_FIRST: i64 = 4;

/// Whether a log with commits in it lies beside the file. One that is empty is what somebody leaves who has only looked.
pub(super) fn has_log(path: &Path) -> bool {
    let mut header = [0; LOG_HEADER_BYTES];
    let log = ledger_files::log(path);
    let is_longer = log.metadata().is_ok_and(|log| log.len() > LOG_HEADER_BYTES as u64);
    is_longer
        && File::open(log).and_then(|mut log| log.read_exact(&mut header)).is_ok()
        && LOG_MAGIC.iter().any(|magic| header.starts_with(magic))
}

/// Whether commits are missing, now or since an earlier run. Nobody may be working on the ledger.
pub(super) fn may_lack_commits(path: &Path, connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let ask = |query: &str| connection.query_row(query, [], |row| row.get::<_, bool>(0));
    if version >= TELLS_OF_EVERY_RUN && ask("SELECT EXISTS (SELECT 1 FROM job WHERE commits_lost_at IS NOT NULL)")? {
        return Ok(true);
    }
    if has_log(path) {
        return Ok(false);
    }
    Ok(ask("SELECT EXISTS (SELECT 1 FROM run WHERE ended IS NULL)")?
        || (version < TELLS_OF_EVERY_RUN && ask("SELECT NOT EXISTS (SELECT 1 FROM run)")?))
}

/// Whether a run that reads first has not come to the end of its list.
fn reads_first(connection: &Connection) -> rusqlite::Result<bool> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let ask = || connection.query_row("SELECT EXISTS (SELECT 1 FROM job WHERE reads_first <> 0)", [], |row| row.get(0));
    if version >= KNOWS_WHO_READS_FIRST { ask() } else { Ok(false) }
}

/// Refuses a ledger that may lack commits, unless messages are read first. True: it may lack some.
///
/// # Errors
/// It is refused, or cannot be read.
pub(super) fn check(path: &Path, connection: &Connection, gaps: LostCommits) -> Result<bool, LedgerError> {
    let lacks = may_lack_commits(path, connection).map_err(|source| read_error(path, source))?;
    match gaps {
        LostCommits::Refused if lacks => {
            // A damaged file is of no use to --read-first either.
            check_after_crash(path, connection)?;
            Err(LedgerError::CommitsLost { path: path.to_owned(), log: ledger_files::log(path) })
        }
        LostCommits::Refused if reads_first(connection).map_err(|source| read_error(path, source))? => {
            Err(LedgerError::ReadsFirst { path: path.to_owned() })
        }
        LostCommits::Refused | LostCommits::ReadFirst => Ok(lacks),
    }
}

/// Remembers for good that commits were lost: which messages the lost run has edited is never known again.
pub(super) fn remember(connection: &Connection) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE job SET commits_lost_at = ?1 WHERE commits_lost_at IS NULL", params![unix_ms()])
        .map(|_| ())
}

/// Copies all commits into the file itself; the log keeps its length, so that it can be told from one that is gone. False: another
/// program is reading an older state, and the newest commits could not be copied.
pub(super) fn copy_into_file(connection: &Connection) -> rusqlite::Result<bool> {
    checkpoint(connection, "PRAGMA wal_checkpoint(FULL)")
}

/// Copies all commits into the file itself and empties the log. False: as above.
pub(super) fn fold_in(connection: &Connection) -> rusqlite::Result<bool> {
    checkpoint(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
}

/// Whether closing the last connection leaves the log beside the file.
pub(super) fn keep_log_on_close(connection: &Connection, keep: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(|_| ())
}

fn checkpoint(connection: &Connection, pragma: &str) -> rusqlite::Result<bool> {
    let (busy, pages, copied): (i64, i64, i64) =
        connection.query_row(pragma, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    Ok(busy == 0 && pages == copied)
}
