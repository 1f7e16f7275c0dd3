//! What `runner ctl` and a run say to each other: one line of JSON to ask, one to answer.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::ledger::ControlAction;
use crate::report::format::RunStatus;

/// The longest line that either side reads.
pub(super) const LINE_BYTES_MAX: u64 = 4 * 1024;

/// A request to a run. (The variants have braces because serde lets unknown members of a unit variant pass: a newer
/// program's "stop, but only if" would be taken for "stop".)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum SocketRequest {
    /// Reports how the run is.
    Status {},
    /// Pauses the run: it sends nothing more for now.
    Pause {},
    /// Resumes a paused run.
    Resume {},
    /// Changes the rate.
    Rate {
        /// Requests a second at most from now on.
        rate: NonZeroU32,
    },
    /// Stops the run after the requests in flight.
    Stop {},
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketAnswer {
    /// The request was carried out and is in the ledger; how the run is now.
    Done(Box<RunStatus>),
    /// The request was not carried out, and why.
    Refused(String),
}

impl SocketRequest {
    /// What it changes; `None` if it only asks.
    pub(super) fn action(self) -> Option<ControlAction> {
        match self {
            SocketRequest::Status {} => None,
            SocketRequest::Pause {} => Some(ControlAction::Pause),
            SocketRequest::Resume {} => Some(ControlAction::Resume),
            SocketRequest::Rate { rate } => Some(ControlAction::Rate(rate)),
            SocketRequest::Stop {} => Some(ControlAction::Stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_these_words_and_nothing_else() {
        let rate = NonZeroU32::new(50).unwrap();
        for (text, request) in [
            (r#"{"do":"status"}"#, SocketRequest::Status {}),
            (r#"{"do":"pause"}"#, SocketRequest::Pause {}),
            (r#"{"do":"resume"}"#, SocketRequest::Resume {}),
            (r#"{"do":"rate","rate":50}"#, SocketRequest::Rate { rate }),
            (r#"{"do":"stop"}"#, SocketRequest::Stop {}),
        ] {
            assert_eq!(serde_json::from_str::<SocketRequest>(text).unwrap(), request);
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
        for text in
            [r#"{"do":"rate","rate":0}"#, r#"{"do":"rate"}"#, r#"{"do":"drop"}"#, r#"{"do":"stop","now":1}"#, "1"]
        {
            assert!(serde_json::from_str::<SocketRequest>(text).is_err(), "{text}");
        }
    }
}
