//! A ledger that several machines share: a schema of a PostgreSQL database.
//!
//! [`PostgresAddress`] names it, [`connect()`] gets a connection that can be relied on, and one thread of its own, the
//! [`Driver`], drives all connections, so that they do not stand still while somebody waits for an answer.
//!
//! A run has two connections. One writes: commits (`store.rs`, `step.rs`) and the parts of the list (`work.rs`). The other
//! renews the lease (`beats.rs`). Whatever is asked of them is repeated until it is answered, so everything that changes
//! something has a number, or may be done twice.
//!
//! Locks are taken in this order: the row of the pace, of the job, of a lease, of parts, of edits. Rows that others refer to
//! are locked `FOR NO KEY UPDATE`: a reference would otherwise wait for whoever counts shares.

mod address;
mod audit;
mod beats;
mod begin;
mod columns;
mod connect;
mod control;
mod copy;
mod database;
mod driver;
mod error;
mod events;
mod late;
mod link;
mod lost;
mod overview;
mod password;
mod records;
mod schema;
mod service_file;
mod step;
mod store;
mod tls;
mod url;
mod verify;
mod work;
mod writer;

use super::{
    AuditStore, JobIdentity, LedgerAddress, LedgerError, LostCommits, Overview, Records, RunStore, SharedControl,
};

pub(super) use self::copy::{check_free, create_target, open_source};

pub use self::address::PostgresAddress;
pub use self::connect::{Purpose, connect};
pub use self::driver::Driver;
pub use self::error::PostgresError;
pub use self::url::AddressError;

/// Opens the job's ledger to write. Whatever is not there yet is made: the schema, its tables, the job.
pub(super) fn open_store(
    address: &PostgresAddress,
    job: &JobIdentity,
    gaps: LostCommits,
) -> Result<Box<dyn RunStore>, LedgerError> {
    Ok(Box::new(store::PostgresStore::open(address, job, gaps)?))
}

/// Whether there is a ledger of this job.
pub(super) fn is_there(address: &PostgresAddress, job: &JobIdentity, gaps: LostCommits) -> Result<bool, LedgerError> {
    let (address, job) = (address.clone(), job.clone());
    Driver::get()?.wait(async move {
        let mut link = link::Link::new(&address, Purpose::Look);
        Ok(schema::find_ledger(link.client().await?, &address, Some((&job, gaps))).await?.is_some())
    })?
}

/// The same where there was none a moment ago. That others have begun to work on it since does no harm: each part of the list
/// is compared with the ledger when it is taken.
pub(super) fn create_store(address: &PostgresAddress, job: &JobIdentity) -> Result<Box<dyn RunStore>, LedgerError> {
    open_store(address, job, LostCommits::Refused)
}

/// Opens the job's ledger, which is there, to audit it.
pub(super) fn open_audit(address: &PostgresAddress) -> Box<dyn AuditStore> {
    Box::new(audit::PostgresAudit::new(address))
}

/// Opens the job's ledger to look edits up; `None` if there is none.
pub(super) fn open_records(
    address: &PostgresAddress,
    job: &JobIdentity,
    gaps: LostCommits,
) -> Result<Option<Box<dyn Records>>, LedgerError> {
    let records = records::PostgresRecords::open(address, Some((job, gaps)))?;
    Ok(records.map(|records| Box::new(records) as Box<dyn Records>))
}

/// Opens the job's ledger to look edits up, after a run of this process.
pub(super) fn records_beside_writer(address: &PostgresAddress) -> Result<Box<dyn Records>, LedgerError> {
    match records::PostgresRecords::open(address, None)? {
        Some(records) => Ok(Box::new(records)),
        None => Err(missing(address)),
    }
}

/// Opens the job's ledger to look at it.
pub(super) fn open_overview(address: &PostgresAddress) -> Result<Box<dyn Overview>, LedgerError> {
    Ok(Box::new(overview::PostgresOverview::open(address)?))
}

/// Opens the job's ledger to pass actions to its runs.
pub(super) fn open_control(address: &PostgresAddress) -> Result<Box<dyn SharedControl>, LedgerError> {
    Ok(Box::new(control::PostgresControl::open(address)?))
}

fn missing(address: &PostgresAddress) -> LedgerError {
    LedgerError::Missing { ledger: ledger(address) }
}

fn ledger(address: &PostgresAddress) -> LedgerAddress {
    LedgerAddress::Postgres(address.clone())
}
