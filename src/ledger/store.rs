//! What a ledger must do for a run. The SQLite file does it, PostgreSQL does, and so does the model that tests use
//! (`tests/support/model_ledger.rs`); `tests/library/ledger_conformance.rs` holds them all to the same behaviour.

use std::path::PathBuf;
use std::pin::Pin;

use super::{Change, EditRow, EditStatus, LedgerError, Progress, RunEvent, SharedRun, SharedTerms, State};
use crate::edit::IdDigest;

/// A commit that is being made.
pub type CommitFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<Applied>, LedgerError>> + Send + 'a>>;

/// Whether a change of a commit was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It was, and is durable.
    Yes,
    /// It was not: the edit is not this run's any more, and is in this state. Either this run's lease was lost, or the late
    /// success of a lost run has settled a doubt. Only a ledger that several runs share says this.
    NotYours(Option<State>),
}

/// Makes changes durable.
pub trait Store: Send + 'static {
    /// Commits all of `changes` and `events`, in this order, or none of them. Once this returns `Ok` they survive a power
    /// cut; after an error nothing is known of any of them, and the caller must not commit again.
    ///
    /// Says of each change whether it was applied. A change whose edit is not in the state [`Change::from`] is refused with
    /// [`LedgerError::Transition`], unless it is not this run's any more, and one that the schema does not allow with
    /// [`LedgerError::Damaged`].
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_>;
}

impl<S: Store + ?Sized> Store for Box<S> {
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_> {
        (**self).commit(changes, events)
    }
}

/// The writing side of a ledger: records a run from its beginning to its end. A file is locked against other processes.
pub trait RunStore: Store {
    /// Records that a run begins, and that the ledger is its job's. Until then the ledger holds what it held before; every
    /// later commit belongs to this run.
    ///
    /// # Errors
    /// It could not be made durable.
    fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError>;

    /// Records that every message of the list was read before it was sent, or is settled, so the next run need not read
    /// first.
    ///
    /// # Errors
    /// It could not be made durable.
    fn mark_all_read(&mut self) -> Result<(), LedgerError>;

    /// Records how the run ended (`finished`, `interrupted`, `stopped`) and why. The store takes nothing more afterwards; it
    /// keeps its lock until it is dropped.
    ///
    /// # Errors
    /// It could not be made durable. The state of each edit is durable all the same.
    fn end_run(&mut self, ended: &str, reason: &str) -> Result<WalEnd, LedgerError>;

    /// What a run works with that shares this ledger with others; taken once, after it has begun. `None`: this ledger is of
    /// one run at a time.
    fn share(&mut self) -> Option<SharedRun> {
        None
    }
}

/// Looks edits of earlier runs up.
pub trait Records: Send {
    /// Where the edit of this message stands; `None` if it was never sent. Made for a caller that looks up all rows of a
    /// list in order: the answer may be as old as the look-up of an earlier row.
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError>;

    /// The whole row, as it is now, of a message that [`Records::status`] has found. A missing row is an error: the edit
    /// would otherwise be sent as if for the first time.
    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError>;

    /// Another reader of the same ledger, for another thread.
    fn again(&self) -> Result<Box<dyn Records>, LedgerError>;

    /// Reads one state of the ledger from here on, which is faster. Only while nothing is written: this reader keeps the
    /// writer from folding its log in. What other live runs are sending just then is left out: it is neither done nor in
    /// doubt, and still to be sent.
    fn held(self: Box<Self>) -> Result<Box<dyn Records>, LedgerError>;

    /// Whether a run sent through a proxy, which may still pass on what it has accepted.
    fn went_through_proxy(&self) -> Result<bool, LedgerError>;

    /// What all runs of a shared ledger had done when it was read.
    fn progress(&self) -> Progress {
        Progress::default()
    }
}

/// What is recorded of a run when it begins.
#[derive(Clone, Debug)]
pub struct RunInfo {
    /// The name of the list; of several, the names of the first ones.
    pub input: String,
    /// SHA-256 of its bytes, in hexadecimal; of several, see [`ReadInput`](crate::input::ReadInput).
    pub input_sha256: String,
    /// The number of its rows.
    pub input_rows: u64,
    /// The lists, if there are several.
    pub lists: Vec<RunList>,
    /// The rows that repeat another.
    pub duplicates: u64,
    /// The edits to send or to read back.
    pub planned: u64,
    /// The messages of the list that are not in the ledger yet.
    pub new_edits: u64,
    /// The rate limit, in requests per second.
    pub rate: u32,
    /// Whether each message is read before it is sent.
    pub read_first: bool,
    /// The admin account that signs.
    pub identifier: String,
    /// SHA-256 of the job file, in hexadecimal, if there is one.
    pub job_sha256: Option<String>,
    /// `host:port` of the proxy, if there is one.
    pub proxy: Option<String>,
    /// The command line.
    pub command: String,
    /// The working directory.
    pub directory: String,
    /// What all runs must agree on that work on the job at the same time; `None` for a ledger of one run at a time.
    pub shared: Option<SharedTerms>,
    /// What all runs had done when the list was planned.
    pub known: Progress,
}

/// One of the lists of a run that has several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunList {
    /// Its name.
    pub name: String,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
}

/// What to do with a ledger that may have lost its newest commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostCommits {
    /// Refuse it.
    Refused,
    /// Use it: every message that it does not call done is read before it is sent.
    ReadFirst,
}

/// The state of the ledger's files after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalEnd {
    /// The file alone is the whole ledger.
    Whole,
    /// Another program was reading, so the newest commits are still in the log beside the file.
    LogRemains(PathBuf),
}
