//! The states of an edit and the transitions between them: one table, used during a run and on resume. The schema enforces
//! the same transitions.

use std::fmt;

/// The state of an edit. An edit that was neither sent nor read first is not in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The intent is durable; the request may be under way.
    Sending,
    /// The service refused it for now, and it is not in doubt: it can be sent again.
    Waiting,
    /// The service confirmed it.
    Done,
    /// The service refused it permanently, or too often, and it is not in doubt.
    Failed,
    /// Whether it took place is unknown. A later refusal does not settle this, as it says nothing about the attempt whose
    /// answer was lost; a success does, and so does reading the message back.
    InDoubt,
}

/// A transition that is not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an edit cannot go from {} to {}", word(*from), word(*to))]
pub struct Transition {
    /// The present state; `None`: not in the ledger.
    pub from: Option<State>,
    /// The requested state; `None`: to leave the ledger.
    pub to: Option<State>,
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] = [State::Sending, State::Waiting, State::Done, State::Failed, State::InDoubt];

    /// Its name in the ledger.
    pub fn word(self) -> &'static str {
        match self {
            State::Sending => "sending",
            State::Waiting => "waiting",
            State::Done => "done",
            State::Failed => "failed",
            State::InDoubt => "in_doubt",
        }
    }

    /// Parses its name in the ledger.
    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Checks a transition by sending, or by the outcome of sending.
///
/// # Errors
/// The table does not allow it.
pub(super) fn check(from: Option<State>, to: Option<State>) -> Result<(), Transition> {
    use State::{Done, Failed, InDoubt, Sending, Waiting};
    let allowed = match from {
        // `None` and a return to the earlier state withdraw an intent before a byte of the request went out.
        Some(Sending) => matches!(to, None | Some(Done | Failed | InDoubt | Waiting)),
        None | Some(Waiting | Failed | InDoubt) => matches!(to, Some(Sending)),
        Some(Done) => false,
    };
    if allowed { Ok(()) } else { Err(Transition { from, to }) }
}

/// Checks a transition by reading the message: of an edit in doubt, or with `--read-first` of any that is not done.
///
/// # Errors
/// The table does not allow it.
pub(super) fn check_read(from: Option<State>, to: Option<State>) -> Result<(), Transition> {
    use State::{Done, Failed, InDoubt, Sending, Waiting};
    let allowed = match from {
        // To the same state: reading did not settle it.
        None | Some(Waiting | Failed | InDoubt) => matches!(to, Some(Done | Failed | InDoubt)),
        Some(Sending | Done) => false,
    };
    if allowed { Ok(()) } else { Err(Transition { from, to }) }
}

fn word(state: Option<State>) -> &'static str {
    state.map_or("not in the ledger", State::word)
}
