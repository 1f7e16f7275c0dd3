//! What an operator has told a run.

use std::fmt;
use std::num::NonZeroU32;

/// What somebody has told a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlEvent {
    /// What is to be done.
    pub what: ControlAction,
    /// Who said so, and by which way: `root by runner ctl`, `127.0.0.1 on the page`.
    pub by: String,
}

/// What a run can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlAction {
    /// Send nothing more for now; what is in flight comes to its end.
    Pause,
    /// Go on.
    Resume,
    /// At most so many requests a second from now on.
    Rate(NonZeroU32),
    /// Stop after what is in flight.
    Stop,
}

impl ControlAction {
    /// The word for it, in the ledger and on the command line.
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
