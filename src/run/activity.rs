//! What a run is doing at one moment, and why nothing moves if nothing does: the bar, `status`, `ctl`, the page and the
//! metrics all show this.

use std::time::Duration;

/// Shorter holds are part of keeping the pace: a state that is over before it can be read only flickers.
pub(super) const SHOWN_MIN: Duration = Duration::from_secs(1);

/// What a run is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Activity {
    /// It sends.
    #[default]
    Running,
    /// It sends nothing for this long, and then continues by itself.
    Held(Hold),
    /// The service is out of reach, or no longer answers: one request at a time tries it.
    Outage(Outage),
    /// Nothing is left to send now: what is left waits for its time.
    Waiting(Hold),
    /// An operator has paused it.
    Paused,
    /// It is stopping: it waits for what is in flight, and reads back what is in doubt where it can.
    Stopping,
    /// It has ended: `finished`, `interrupted`, `stopped`.
    Over(&'static str),
}

/// A time in which nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Why.
    pub reason: HoldReason,
    /// For how much longer.
    pub left: Duration,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HoldReason {
    /// What an earlier run of the list sent in its last second still counts.
    #[default]
    Start,
    /// The service said "too fast".
    TooFast,
    /// An answer asked for time (`Retry-After`).
    RetryAfter,
    /// The service is out of reach, or no longer answers.
    Outage,
    /// Edits in doubt cannot be read back yet.
    ReadBack,
    /// Messages cannot be read yet, before their edits are sent.
    ReadFirst,
    /// Edits that were refused for now are not due yet.
    SendAgain,
    /// The ledger does not answer, so that this run may have lost its lease.
    Ledger,
    /// The rest of the list is with other runs.
    Others,
}

/// The service is out of reach, or no longer answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// Since when, in milliseconds since 1970.
    pub since: i64,
    /// For how long so far.
    pub lasted: Duration,
    /// When it is tried next; zero while it is being tried.
    pub next_try: Duration,
    /// What the last try came to, in the system's words.
    pub error: String,
}

impl HoldReason {
    /// All of them.
    pub const ALL: [HoldReason; 9] = [
        HoldReason::Start,
        HoldReason::TooFast,
        HoldReason::RetryAfter,
        HoldReason::Outage,
        HoldReason::ReadBack,
        HoldReason::ReadFirst,
        HoldReason::SendAgain,
        HoldReason::Ledger,
        HoldReason::Others,
    ];

    /// Its word in JSON and metrics.
    pub fn word(self) -> &'static str {
        match self {
            HoldReason::Start => "start",
            HoldReason::TooFast => "too_fast",
            HoldReason::RetryAfter => "retry_after",
            HoldReason::Outage => "outage",
            HoldReason::ReadBack => "read_back",
            HoldReason::ReadFirst => "read_first",
            HoldReason::SendAgain => "send_again",
            HoldReason::Ledger => "ledger",
            HoldReason::Others => "others",
        }
    }
}

impl Activity {
    /// Why nothing is sent, and for how much longer.
    pub fn hold(&self) -> Option<Hold> {
        match self {
            Activity::Held(hold) | Activity::Waiting(hold) => Some(*hold),
            Activity::Outage(outage) => Some(Hold { reason: HoldReason::Outage, left: outage.next_try }),
            Activity::Running | Activity::Paused | Activity::Stopping | Activity::Over(_) => None,
        }
    }

    /// Whether it is sending, and how fast says something about how long the rest takes.
    pub(super) fn is_running(&self) -> bool {
        matches!(self, Activity::Running)
    }
}

/// A countdown in whole seconds, rounded up: it is 0 only once the time is up.
pub fn whole_seconds(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}
