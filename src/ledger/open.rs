//! Opening a ledger: the place that chooses what is behind a path. Today that is always an SQLite file. (Some messages about
//! a ledger's files are SQLite's as well: `error.rs`, and the words for a log that remains.)

use std::path::Path;

use super::sqlite::{SqliteOverview, SqliteReader, SqliteStore};
use super::{JobIdentity, LedgerError, LostCommits, Overview, Records, RunStore};

/// Opens the ledger of this job to write, creates it if there is none, and locks it. What a process that died left
/// `sending` is in doubt from here on. `gaps` says what to do with a ledger that may have lost its newest commits.
///
/// # Errors
/// It is no ledger, another job's, locked, may have lost its newest commits, or cannot be opened; it is as it was, byte for
/// byte.
pub fn open_store(path: &Path, job: &JobIdentity, gaps: LostCommits) -> Result<Box<dyn RunStore>, LedgerError> {
    Ok(Box::new(SqliteStore::open_with(path, job, gaps)?))
}

/// Creates the ledger of this job where there was none a moment ago.
///
/// # Errors
/// As [`open_store`]; also if another process has created it and run in it since: a plan made without it no longer holds.
pub fn create_store(path: &Path, job: &JobIdentity) -> Result<Box<dyn RunStore>, LedgerError> {
    Ok(Box::new(SqliteStore::create(path, job)?))
}

/// Opens the ledger of this job to look edits up; `None` if there is no ledger yet.
///
/// # Errors
/// It is no ledger, another job's, may have lost its newest commits, or cannot be read.
pub fn open_records(
    path: &Path,
    job: &JobIdentity,
    gaps: LostCommits,
) -> Result<Option<Box<dyn Records>>, LedgerError> {
    let reader = SqliteReader::open_with(path, job, gaps)?;
    Ok(reader.map(|reader| Box::new(reader) as Box<dyn Records>))
}

/// Opens the ledger that this process has open to write, to look edits up.
///
/// # Errors
/// It cannot be read.
pub fn records_beside_writer(path: &Path) -> Result<Box<dyn Records>, LedgerError> {
    Ok(Box::new(SqliteReader::beside_writer(path)?))
}

/// Opens a ledger, which another process may be writing to, to look at it.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn open_overview(path: &Path) -> Result<Box<dyn Overview>, LedgerError> {
    Ok(Box::new(SqliteOverview::open(path)?))
}

/// Opens the ledger that this process has open to write, to look at it.
///
/// # Errors
/// It cannot be read.
pub fn overview_beside_writer(path: &Path) -> Result<Box<dyn Overview>, LedgerError> {
    Ok(Box::new(SqliteOverview::beside_writer(path)?))
}
