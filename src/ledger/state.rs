//! The states of an edit, and the steps between them: one table, used live and on resume. The schema refuses the
//! same steps once more.

use std::fmt;

/// Where an edit stands. An edit that was never sent is not in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// The intent is durable; the request may be under way.
    Sending,
    /// The service clearly refused it for now, and it is not in doubt: it can be sent again.
    Waiting,
    /// The service confirmed it.
    Done,
    /// The service refused it for good, or too often, and it is not in doubt.
    Failed,
    /// Nobody can tell from here whether it took place. A later refusal does not settle it, as that says nothing about the
    /// sending whose answer was lost; reading the message back does, or a success.
    InDoubt,
}

/// A step that is not in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an edit cannot go from {} to {}", word(*from), word(*to))]
pub struct Transition {
    /// Where the edit stands.
    pub from: Option<State>,
    /// Where it was to go.
    pub to: Option<State>,
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] = [State::Sending, State::Waiting, State::Done, State::Failed, State::InDoubt];

    /// The word in the ledger.
    pub fn word(self) -> &'static str {
        match self {
            State::Sending => "sending",
            State::Waiting => "waiting",
            State::Done => "done",
            State::Failed => "failed",
            State::InDoubt => "in_doubt",
        }
    }

    /// From the word in the ledger.
    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Whether an edit may take this step by being sent, or by what came of that.
///
/// # Errors
/// It may not; the error names both sides.
pub(super) fn check(from: Option<State>, to: Option<State>) -> Result<(), Transition> {
    use State::{Done, Failed, InDoubt, Sending, Waiting};
    let allowed = match from {
        // To nothing, or back to where it stood before: an intent withdrawn before a byte of it went out.
        Some(Sending) => matches!(to, None | Some(Done | Failed | InDoubt | Waiting)),
        None | Some(Waiting | Failed | InDoubt) => matches!(to, Some(Sending)),
        Some(Done) => false,
    };
    if allowed { Ok(()) } else { Err(Transition { from, to }) }
}

/// Whether an edit may take this step by what reading its message has shown: one in doubt, or with `--read-first` any that
/// is not done.
///
/// # Errors
/// It may not; the error names both sides.
pub(super) fn check_read(from: Option<State>, to: Option<State>) -> Result<(), Transition> {
    use State::{Done, Failed, InDoubt, Sending, Waiting};
    let allowed = match from {
        // To itself: it could not be told, or it is still so.
        None | Some(Waiting | Failed | InDoubt) => matches!(to, Some(Done | Failed | InDoubt)),
        Some(Sending | Done) => false,
    };
    if allowed { Ok(()) } else { Err(Transition { from, to }) }
}

fn word(state: Option<State>) -> &'static str {
    state.map_or("not in the ledger", State::word)
}
