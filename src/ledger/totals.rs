//! How many messages are in each state: the one set of numbers that every text, page and JSON object shows.

use serde::{Deserialize, Serialize};

use super::State;

/// How many messages are in each state; `messages` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Totals {
    /// All messages.
    pub messages: u64,
    /// Edits that the service confirmed.
    pub done: u64,
    /// Edits that the service refused for good, or too often.
    pub failed: u64,
    /// Edits that may or may not have taken place.
    pub in_doubt: u64,
    /// Edits that a run is sending at this moment.
    pub in_flight: u64,
    /// Messages that have not been edited yet.
    pub not_reached: u64,
}

impl Totals {
    /// The count that an edit in this state belongs to, depending on whether a process is working on the ledger.
    pub fn of(&mut self, state: State, is_worked_on: bool) -> &mut u64 {
        match state {
            State::Done => &mut self.done,
            State::Failed => &mut self.failed,
            State::Sending if is_worked_on => &mut self.in_flight,
            // Edits that a dead process was sending are in doubt, and the next run records them as such.
            State::Sending | State::InDoubt => &mut self.in_doubt,
            State::Waiting => &mut self.not_reached,
        }
    }
}
