//! The ledger in one SQLite file, which any auditor can open with ordinary tools.
//!
//! Write-ahead log and `synchronous=FULL`: once a commit returns, it outlives a power cut.

mod audit;
mod columns;
mod commit;
mod copy;
mod damage;
mod event_log;
mod events;
mod filesystem;
mod ledger_files;
mod log_reader;
mod lost;
mod open;
mod overview;
mod read;
mod store;
#[cfg(test)]
mod tests;
mod verify;

pub(super) use self::copy::{SqliteSource, SqliteTarget, check_free};
pub(super) use self::overview::SqliteOverview;
pub(super) use self::read::SqliteReader;
pub(super) use self::store::SqliteStore;
