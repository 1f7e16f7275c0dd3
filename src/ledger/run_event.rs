//! What the ledger records of a run besides its edits: a sample every few seconds, for charts and live views, and each
//! action of an operator; and what an audit finds. Nothing is decided by it.

use super::{Cause, Ciphertext, ControlEvent, Latency, Look};

/// An event of a run.
#[derive(Clone, Debug)]
pub enum RunEvent {
    /// Its progress.
    Sample(Box<Sample>),
    /// An action of an operator.
    ControlEvent(ControlEvent),
    /// A second signal stops it immediately; the next run finds what was in flight.
    StoppedAtOnce,
    /// What an audit has found of one message.
    Look(Look),
    /// The originals of this commit are kept.
    Ciphertext(Ciphertext),
}

/// The progress of a run. All counts are totals since its beginning, so a missing sample loses nothing but itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Milliseconds since 1970.
    pub at: i64,
    /// The rate limit at that moment, in requests per second.
    pub rate: u32,
    /// Edits that were confirmed.
    pub done: u64,
    /// Edits that failed.
    pub failed: u64,
    /// Edits left in doubt.
    pub in_doubt: u64,
    /// Requests to edit.
    pub requests: u64,
    /// Requests to read back.
    pub read_backs: u64,
    /// How often the service answered "too fast".
    pub slow_downs: u64,
    /// The number of answers of each kind other than success.
    pub answers: Vec<(Cause, u64)>,
    /// The latency of answers.
    pub latency: Latency,
}
