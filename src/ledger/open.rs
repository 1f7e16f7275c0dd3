//! Opening a ledger: the place that chooses what is behind an address. (Some messages about a ledger's files are SQLite's:
//! `error.rs`, and the words for a log that remains.)

use super::postgres;
use super::sqlite::{SqliteOverview, SqliteReader, SqliteStore};
use super::{
    AuditStore, JobIdentity, LedgerAddress, LedgerError, LostCommits, Overview, Records, RunStore, SharedControl,
};

/// Opens the ledger of this job to write, creates it if there is none, and locks it. What a process that died left
/// `sending` is in doubt from here on. `gaps` says what to do with a ledger that may have lost its newest commits.
///
/// # Errors
/// It is no ledger, another job's, locked, may have lost its newest commits, or cannot be opened; it is as it was, byte for
/// byte.
pub fn open_store(
    ledger: &LedgerAddress,
    job: &JobIdentity,
    gaps: LostCommits,
) -> Result<Box<dyn RunStore>, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => Ok(Box::new(SqliteStore::open_with(path, job, gaps)?)),
        LedgerAddress::Postgres(address) => postgres::open_store(address, job, gaps),
    }
}

/// Creates the ledger of this job where there was none a moment ago.
///
/// # Errors
/// As [`open_store`]; also if another process has created it and run in it since: a plan made without it no longer holds.
pub fn create_store(ledger: &LedgerAddress, job: &JobIdentity) -> Result<Box<dyn RunStore>, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => Ok(Box::new(SqliteStore::create(path, job)?)),
        LedgerAddress::Postgres(address) => postgres::create_store(address, job),
    }
}

/// Opens the ledger of this job to audit it, and locks it if it is a file. What a process that died left `sending` is in doubt
/// from here on.
///
/// # Errors
/// There is none, or as [`open_store`].
pub fn open_audit(ledger: &LedgerAddress, job: &JobIdentity) -> Result<Box<dyn AuditStore>, LedgerError> {
    if !is_there(ledger, job, LostCommits::Refused)? {
        return Err(LedgerError::Missing { ledger: ledger.clone() });
    }
    match ledger {
        LedgerAddress::File(path) => Ok(Box::new(SqliteStore::open_with(path, job, LostCommits::Refused)?)),
        LedgerAddress::Postgres(address) => Ok(postgres::open_audit(address)),
    }
}

/// Opens the ledger of this job to look edits up; `None` if there is no ledger yet.
///
/// # Errors
/// It is no ledger, another job's, may have lost its newest commits, or cannot be read.
pub fn open_records(
    ledger: &LedgerAddress,
    job: &JobIdentity,
    gaps: LostCommits,
) -> Result<Option<Box<dyn Records>>, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => {
            let reader = SqliteReader::open_with(path, job, gaps)?;
            Ok(reader.map(|reader| Box::new(reader) as Box<dyn Records>))
        }
        LedgerAddress::Postgres(address) => postgres::open_records(address, job, gaps),
    }
}

/// Whether there is a ledger of this job.
///
/// # Errors
/// As [`open_records`].
pub fn is_there(ledger: &LedgerAddress, job: &JobIdentity, gaps: LostCommits) -> Result<bool, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => Ok(SqliteReader::open_with(path, job, gaps)?.is_some()),
        LedgerAddress::Postgres(address) => postgres::is_there(address, job, gaps),
    }
}

/// Opens the ledger that this process has open to write, to look edits up.
///
/// # Errors
/// It cannot be read.
pub fn records_beside_writer(ledger: &LedgerAddress) -> Result<Box<dyn Records>, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => Ok(Box::new(SqliteReader::beside_writer(path)?)),
        LedgerAddress::Postgres(address) => postgres::records_beside_writer(address),
    }
}

/// Opens a ledger, which another process may be writing to, to look at it.
///
/// # Errors
/// There is none, or it cannot be read.
pub fn open_overview(ledger: &LedgerAddress) -> Result<Box<dyn Overview>, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => Ok(Box::new(SqliteOverview::open(path)?)),
        LedgerAddress::Postgres(address) => postgres::open_overview(address),
    }
}

/// Opens the ledger that this process has open to write, to look at it.
///
/// # Errors
/// It cannot be read.
pub fn overview_beside_writer(ledger: &LedgerAddress) -> Result<Box<dyn Overview>, LedgerError> {
    match ledger {
        LedgerAddress::File(path) => Ok(Box::new(SqliteOverview::beside_writer(path)?)),
        LedgerAddress::Postgres(address) => postgres::open_overview(address),
    }
}

/// Opens a ledger that several runs share, to pass an operator's actions to them. `None`: it is of one run at a time, which
/// has a socket beside it.
///
/// # Errors
/// There is none, or it cannot be reached.
pub fn open_control(ledger: &LedgerAddress) -> Result<Option<Box<dyn SharedControl>>, LedgerError> {
    match ledger {
        LedgerAddress::File(_) => Ok(None),
        LedgerAddress::Postgres(address) => postgres::open_control(address).map(Some),
    }
}
