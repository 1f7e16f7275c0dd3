//! What several objects have in common.

use serde::{Deserialize, Serialize};

use crate::ledger;

/// The version of the format; the member `format` of every object.
pub const FORMAT: u32 = 1;

/// How often an answer came.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AnswerCount {
    /// Which answer.
    #[serde(flatten)]
    pub cause: CauseObject,
    /// What it means; `null`: no answer has come yet.
    pub meaning: Option<String>,
    /// How often it came; `null` where that is not known, as of success.
    pub answers: Option<u64>,
}

/// An answer of the service, or what came instead of one; neither: none has come yet.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CauseObject {
    /// The service's `ErrorCode`; 0 is success.
    pub code: Option<i64>,
    /// What came instead, in the ledger's word.
    pub note: Option<String>,
}

impl From<Option<ledger::Cause>> for CauseObject {
    fn from(cause: Option<ledger::Cause>) -> CauseObject {
        match cause {
            Some(ledger::Cause::Code(code)) => CauseObject { code: Some(code), note: None },
            Some(ledger::Cause::Note(note)) => CauseObject { code: None, note: Some(note.word()) },
            None => CauseObject { code: None, note: None },
        }
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It sends.
    Running,
    /// It sends nothing for a moment: at the start, after a slow-down, or while the service cannot be reached. (A ledger
    /// does not record this: `status` and `report` say `running`.)
    Held,
    /// Somebody has paused it.
    Paused,
    /// It sends nothing more, waits for what is in flight, and reads back what is in doubt.
    Stopping,
    /// No run is going on.
    Over,
}

impl RunState {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Held => "held",
            RunState::Paused => "paused",
            RunState::Stopping => "stopping",
            RunState::Over => "over",
        }
    }
}

/// The job that a list or a ledger belongs to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct JobObject {
    /// The app; `null` in a plan without one.
    pub sdkappid: Option<u64>,
    /// The service's host and port, or `sandbox`; `null` in a plan without one.
    pub service: Option<String>,
    /// The job file's name, where it gives one.
    pub name: Option<String>,
}
