//! Actions of an operator.

use std::fmt;
use std::num::NonZeroU32;

/// An action of an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlEvent {
    /// The action.
    pub what: ControlAction,
    /// The operator and the channel: `root by runner ctl`, `127.0.0.1 on the page`.
    pub by: String,
}

/// What an operator can have a run do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlAction {
    /// Send nothing more for now; requests in flight complete.
    Pause,
    /// Continue after a pause.
    Resume,
    /// Send at most this many requests per second.
    Rate(NonZeroU32),
    /// Stop once requests in flight have completed.
    Stop,
}

impl ControlAction {
    /// Its name in the ledger and on the command line.
    pub fn word(self) -> &'static str {
        match self {
            ControlAction::Pause => "pause",
            ControlAction::Resume => "resume",
            ControlAction::Rate(_) => "rate",
            ControlAction::Stop => "stop",
        }
    }
}

impl fmt::Display for ControlAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ControlAction::Rate(rate) => write!(f, "rate {rate}"),
            ControlAction::Pause | ControlAction::Resume | ControlAction::Stop => f.write_str(self.word()),
        }
    }
}
