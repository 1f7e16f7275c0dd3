//! What the ledger keeps of a run beside its edits: a sample every few seconds, for curves and for whoever watches, and
//! every act by which a person has changed the run. Nothing is decided by it.

use super::{Cause, ControlEvent, Latency};

/// One remark on a run.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// How far it is.
    Sample(Box<Sample>),
    /// What somebody has told it.
    ControlEvent(ControlEvent),
    /// A second signal stops it at once: what is in flight is found by the next run.
    StoppedAtOnce,
}

/// How far a run is. All counts are from its beginning, so that one sample that is missing costs no more than itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at: i64,
    /// Requests a second at most, just then.
    pub rate: u32,
    /// Edits that were confirmed.
    pub done: u64,
    /// Edits that failed.
    pub failed: u64,
    /// Edits that stay in doubt.
    pub in_doubt: u64,
    /// Requests to edit.
    pub requests: u64,
    /// Requests to read back.
    pub read_backs: u64,
    /// How often the service said "too fast".
    pub slow_downs: u64,
    /// How often each answer other than a success came.
    pub answers: Vec<(Cause, u64)>,
    /// How long answers took.
    pub latency: Latency,
}
