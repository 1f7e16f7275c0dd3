//! What a ledger does for runs that work on one job together: it keeps their leases, deals out the cap and the parts of the
//! list, and passes on what operators say. A ledger of one machine does none of this.
//!
//! No wall clock decides anything here. A lease is renewed by numbered beats; a beat number that stays the same for a while,
//! by the clock of whoever watches it, means that its run is lost.

use std::fmt;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use super::{ControlEvent, EditRow, LedgerError};
use crate::edit::IdDigest;

/// The rows of a part of the list. Part `n` has the rows `n * PART_ROWS + 1` up to `(n + 1) * PART_ROWS`. At the end of a
/// list the others wait for whoever has the last part: it should not be long. Whatever is in the database counts on it.
pub const PART_ROWS: u64 = 64;

/// An answer of a shared ledger that is on its way.
pub type SharedFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LedgerError>> + Send + 'a>>;

/// What a run on a shared ledger works with, once it has begun.
#[derive(Debug)]
pub struct SharedRun {
    /// The number of the run, which is that of its lease.
    pub run: i64,
    /// Renews the lease.
    pub beats: Box<dyn Beats>,
    /// Deals out the list.
    pub work: Box<dyn Work>,
    /// Takes what the operator of this run says to all runs of the job.
    pub control: Box<dyn SharedControl>,
}

/// Renews the lease of one run.
pub trait Beats: fmt::Debug + Send + 'static {
    /// Renews the lease, and asks for shares: down to what is asked, or up by as much as is free.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`]: others may have taken over. Any other error may pass, and the next beat may succeed: a
    /// beat whose answer was lost is found out before the next one.
    fn beat(&mut self, beat: Beat) -> SharedFuture<'_, Beaten>;

    /// Declares a run lost whose beat is still this one: its shares and parts are free, and what it was sending is in doubt.
    /// Returns false if it has beaten since, or was declared lost before.
    ///
    /// # Errors
    /// It may or may not have been done.
    fn declare_lost(&mut self, run: i64, beat: i64) -> SharedFuture<'_, bool>;
}

/// What a run says of itself with each beat.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beat {
    /// The share of the cap that it asks for, in edits a second. Lower than what it holds: it has not used more for a while.
    pub share: u32,
    /// The same for reading messages back.
    pub reads: u32,
    /// What it could use, for others to compute their shares.
    pub wanted: u32,
    /// How long all runs of the app have to hold, if the service has asked for time since the last beat.
    pub hold: Option<Duration>,
    /// How far it is.
    pub progress: Progress,
}

/// How far a run is: totals since its beginning, as far as they were durable.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Edits that were confirmed.
    pub done: u64,
    /// Edits that failed.
    pub failed: u64,
    /// Edits that it leaves in doubt.
    pub in_doubt: u64,
    /// Requests to edit.
    pub requests: u64,
    /// Requests to read messages.
    pub read_backs: u64,
    /// How often the service said "too fast" to it.
    pub slow_downs: u64,
    /// Edits settled a second, over the last seconds.
    pub speed: f64,
    /// Whether it sends nothing at the moment: for people.
    pub held: bool,
}

impl Progress {
    /// Edits that the run is finished with.
    pub fn settled(&self) -> u64 {
        self.done + self.failed + self.in_doubt
    }
}

/// What a beat brings back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beaten {
    /// The share that it holds now.
    pub share: u32,
    /// The share of read-backs that it holds now.
    pub reads: u32,
    /// The cap that all runs of the app share: the lowest that any of them, or an operator, has said.
    pub cap: u32,
    /// Every live run of the app, this one included, in the order of their numbers.
    pub live: Vec<LiveLease>,
    /// All other runs of this job, live or not, since this one began.
    pub others: Progress,
    /// The job is paused.
    pub paused: bool,
    /// Why everybody has to stop: the operator, and the channel.
    pub stop: Option<String>,
    /// How often the runs of the app were asked for time so far; a higher number than before means: hold.
    pub holds: i64,
    /// How long, the last time.
    pub hold: Duration,
    /// How much of that is left, about: for a run that was not there then.
    pub hold_left: Duration,
    /// The connection is a new one: whoever watches beats begins anew.
    pub is_anew: bool,
}

/// A live run, as its last beat left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveLease {
    /// Its number.
    pub run: i64,
    /// The number of its last beat.
    pub beat: i64,
    /// The share that it holds.
    pub share: u32,
    /// The share of read-backs that it holds.
    pub reads: u32,
    /// What it could use.
    pub wanted: u32,
}

/// Deals out the list, in parts. A part belongs to one live run at a time.
pub trait Work: fmt::Debug + Send + 'static {
    /// Takes at most so many parts: first those that nobody works on any more, in order, then new ones.
    ///
    /// # Errors
    /// [`LedgerError::LeaseLost`], or the ledger cannot be reached for longer than a run waits for it.
    fn take(&mut self, at_most: u32) -> SharedFuture<'_, Taken>;

    /// Says of each part of the list whether all of it is done, as a plan has found, which is never undone. A ledger to which
    /// the list is new need not deal such parts out.
    ///
    /// # Errors
    /// As [`Work::take`].
    fn pass_over(&mut self, done: Vec<bool>) -> SharedFuture<'_, ()> {
        drop(done);
        Box::pin(async { Ok(()) })
    }

    /// What the ledger holds of these messages, in their order.
    ///
    /// # Errors
    /// As [`Work::take`].
    fn known(&mut self, messages: Vec<IdDigest>) -> SharedFuture<'_, Vec<Option<KnownEdit>>>;

    /// Records that this run is finished with a part; `whole`: every edit of it is done.
    ///
    /// # Errors
    /// As [`Work::take`].
    fn finish(&mut self, part: PartNumber, whole: bool) -> SharedFuture<'_, ()>;
}

/// The number of a part, from 0.
pub type PartNumber = u64;

/// What there is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// These parts, which are this run's now.
    Parts(Vec<PartNumber>),
    /// Nothing at the moment: others have the rest.
    Wait,
    /// Nothing more: every part is finished.
    Over,
}

/// What a shared ledger holds of the edit of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownEdit {
    /// Its row.
    pub row: EditRow,
    /// The lost run that sent it last. What such a run had in its hands may still go out for a while. `None`: the run has
    /// ended, and only what it had sent may still be under way.
    pub lost: Option<i64>,
    /// The run that sent it last did so through a proxy, which may pass on late what it has taken.
    pub by_proxy: bool,
}

/// Passes an action of an operator to every run of a job.
pub trait SharedControl: fmt::Debug + Send + Sync + 'static {
    /// Makes it durable. Runs apply it with their next beat.
    ///
    /// # Errors
    /// It is not durable.
    fn act(&self, event: ControlEvent) -> SharedFuture<'_, ()>;
}

/// What runs of one job must agree on while they work on it together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SharedTerms {
    /// BLAKE3 over the rows of the list, each with its message and its content: two files with the same rows agree.
    pub list: [u8; 32],
    /// The settings by name, as they are said: `in-doubt`, `retry-failed`, `read-first`, `max-attempts`.
    pub settings: Vec<(&'static str, String)>,
}

/// A run on a shared ledger, for people: where it is, and how it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Runner {
    /// The number of its run.
    pub run: i64,
    /// The machine.
    pub host: String,
    /// The process on it.
    pub pid: u32,
    /// The user that started it.
    pub user: String,
    /// Whether it works.
    pub state: RunnerState,
    /// Its share of the cap, in edits a second.
    pub share: u32,
    /// Its `--rate`.
    pub rate: u32,
    /// The number of its last beat.
    pub beat: i64,
    /// How long ago its lease was last renewed, by the database's clock.
    pub renewed: Duration,
    /// How far it is.
    pub progress: Progress,
}

/// Whether a runner works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunnerState {
    /// It renews its lease.
    Live,
    /// It has not renewed it for a while, and nobody has declared it lost yet.
    Silent,
    /// It was declared lost.
    Lost,
    /// It has ended.
    Ended,
}

/// What all runs of a job share, for people.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SharedJob {
    /// The runners of the present or last session, and every other live one of the job; the first one first.
    pub runners: Vec<Runner>,
    /// The first run of that session: its list and what was left of it are those of all.
    pub first_run: Option<i64>,
    /// The cap of the app in force, in edits a second; 0 while no runner of it is live.
    pub cap: u32,
    /// Whose that is, if others have said a higher one.
    pub cap_is_of: Option<CapOwner>,
    /// The shares of all live runs of the app, those of other jobs included.
    pub shares: u32,
    /// The live runs of other jobs of the app.
    pub other_runs: u64,
    /// The job is paused.
    pub paused: bool,
    /// Why everybody has to stop.
    pub stop: Option<String>,
    /// The rate that an operator set.
    pub rate: Option<NonZeroU32>,
}

/// Who said the cap in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CapOwner {
    /// The `--rate` of a run.
    Run {
        /// Its number.
        run: i64,
        /// Its machine.
        host: String,
        /// Its job, if that is another one.
        job: Option<String>,
    },
    /// An operator.
    Operator {
        /// The operator and the channel.
        by: String,
        /// The job to whose runs it was said, if that is another one.
        job: Option<String>,
    },
}

impl SharedJob {
    /// The runs that have not ended and were not declared lost.
    pub fn live(&self) -> impl Iterator<Item = &Runner> {
        self.runners.iter().filter(|runner| runner.is_live())
    }

    /// Whether there are live runs, and nothing is heard from any of them.
    pub fn is_silent(&self) -> bool {
        self.live().next().is_some() && self.live().all(|runner| runner.state == RunnerState::Silent)
    }
}

impl Runner {
    /// Whether it has its lease, as far as the ledger knows.
    pub fn is_live(&self) -> bool {
        matches!(self.state, RunnerState::Live | RunnerState::Silent)
    }
}

impl RunnerState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            RunnerState::Live => "live",
            RunnerState::Silent => "silent",
            RunnerState::Lost => "lost",
            RunnerState::Ended => "ended",
        }
    }
}
