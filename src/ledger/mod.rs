//! What happened to each edit, on disk before anything relies on it.
//!
//! The life of an edit runs through here twice. [`Ledger::intend`] makes the wish to send it durable and only then
//! hands out an [`Intent`], the one value that the client takes for sending. [`Ledger::record`] makes what came of it
//! durable and only then hands out a [`Recorded`], the one value that is counted and shown. Neither can be made
//! elsewhere, so two of the promises hold by construction. An edit in doubt passes [`Ledger::settle`] in between, with
//! what reading the message back has told.
//!
//! One writer takes all changes that wait and commits them together. After one failed commit it is latched: every
//! later call fails too, so nothing more is sent.

mod change;
mod clock;
mod control_event;
mod error;
mod handle;
mod job;
mod latency;
mod note;
mod open;
mod overview;
mod pending;
mod run_event;
mod sqlite;
mod state;
mod store;
mod writer;

pub use self::change::{Change, EditRow, EditStatus, Settlement};
pub use self::clock::unix_ms;
pub use self::control_event::{ControlAction, ControlEvent};
pub use self::error::LedgerError;
pub use self::handle::{Intent, Ledger, Recorded, WeakLedger};
pub use self::job::JobIdentity;
pub use self::latency::Latency;
pub use self::note::{Cause, Note};
pub use self::open::{
    create_store, open_overview, open_records, open_store, overview_beside_writer, records_beside_writer,
};
pub use self::overview::{EditRecord, LedgerTotals, Outcomes, Overview, RunRecord, Worker};
pub use self::pending::Pending;
pub use self::run_event::{RunEvent, Sample};
pub use self::state::{State, Transition};
pub use self::store::{CommitFuture, LostCommits, Records, RunInfo, RunStore, Store, WalEnd};
