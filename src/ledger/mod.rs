//! The durable record of each edit: on disk before anything relies on it.
//!
//! Each edit passes through here twice. [`Ledger::intend`] makes the intent to send it durable and only then returns an
//! [`Intent`], the only value that the client accepts for sending. [`Ledger::record`] makes the outcome durable and only
//! then returns a [`Recorded`], the only value that is counted and shown. Neither can be made elsewhere, so two of the
//! promises hold by construction. [`Ledger::settle`] records what reading a message back has shown.
//!
//! One writer (`writer.rs`) takes all waiting changes and commits them together. After a failed commit it is latched: every
//! later call fails, so nothing more is sent.
//!
//! `store.rs` and `overview.rs` hold the traits of a ledger, and `shared.rs` those of one that several machines share. `open.rs`
//! opens a ledger: `sqlite/` is a file, `postgres/` a database. To add another kind, implement the traits, name it in
//! `address.rs` and `open.rs`, and run it through `tests/library/ledger_conformance.rs`.

mod address;
mod audit;
mod change;
mod ciphertext;
mod clock;
mod control_event;
mod copy;
mod error;
mod handle;
mod job;
mod latency;
mod note;
mod open;
mod overview;
mod part;
mod pending;
pub mod postgres;
mod ready;
mod run_event;
mod shared;
mod sqlite;
mod state;
mod store;
mod totals;
mod verify;
mod writer;

pub use self::address::LedgerAddress;
pub use self::audit::{AuditInfo, AuditRecord, AuditStore, Findings, Found, Look};
pub use self::change::{Change, EditRow, EditStatus, Settlement};
pub use self::ciphertext::Ciphertext;
pub use self::clock::unix_ms;
pub use self::control_event::{ControlAction, ControlEvent};
pub use self::copy::{Copied, CopyError, copy};
pub use self::error::LedgerError;
pub use self::handle::{Intent, Ledger, Recorded, WeakLedger};
pub use self::job::JobIdentity;
pub use self::latency::Latency;
pub use self::note::{Cause, Note};
pub use self::open::{
    create_store, is_there, open_audit, open_control, open_overview, open_records, open_store, overview_beside_writer,
    records_beside_writer,
};
pub use self::overview::{EditRecord, Outcomes, Overview, RunRecord, Worker};
pub use self::part::PartTicket;
pub use self::pending::{InLostHands, JobRefused, Pending};
pub use self::postgres::{AddressError, PostgresAddress, PostgresError};
pub use self::ready::{NotEdited, Ready};
pub use self::run_event::{RunEvent, Sample};
pub use self::shared::{
    Beat, Beaten, Beats, CapOwner, KnownEdit, LiveLease, PART_ROWS, PartNumber, Progress, Runner, RunnerState,
    SharedControl, SharedFuture, SharedJob, SharedRun, SharedTerms, Taken, Work,
};
pub use self::state::{State, Transition};
pub use self::store::{Applied, CommitFuture, LostCommits, Records, RunInfo, RunList, RunStore, Store, WalEnd};
pub use self::totals::Totals;
pub use self::verify::{Alteration, Verification};
