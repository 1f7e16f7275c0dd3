//! What several objects have in common.

use serde::{Deserialize, Serialize};

use crate::ledger;
use crate::run::{Activity, whole_seconds};
use crate::terminal::duration::format_duration;
use crate::words::iso;

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
    /// It sends nothing for a moment, as at the start or after a slow-down; `hold` says why. (A ledger does not record
    /// this, nor the next two: `status` and `report` say `running` where the run itself cannot be asked.)
    Held,
    /// The service is out of reach, or no longer answers: one request at a time tries it.
    Outage,
    /// Nothing is left to send now: edits wait to be read back, or to be sent again.
    Waiting,
    /// Somebody has paused it.
    Paused,
    /// It sends nothing more, waits for what is in flight, and reads back what is in doubt.
    Stopping,
    /// No run is going on.
    Over,
}

/// Why a run sends nothing at this moment, and for how much longer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HoldObject {
    /// `start`, `too_fast`, `retry_after`, `outage`, `read_back`, `read_first`, `send_again`, `ledger` or `others`.
    pub reason: String,
    /// For how much longer, in seconds; in an outage, until the next try, and 0 while it is being tried.
    pub seconds_left: u64,
    /// Since when the service has been out of reach (UTC).
    pub since: Option<String>,
    /// For how long the service has been out of reach, in seconds.
    pub outage_seconds: Option<u64>,
    /// What the last try to reach it came to.
    pub error: Option<String>,
}

/// The longest error that is passed on.
const ERROR_CHARS_MAX: usize = 300;

impl HoldObject {
    /// Why nothing is sent during this.
    pub fn of(activity: &Activity) -> Option<HoldObject> {
        let hold = activity.hold()?;
        let outage = match activity {
            Activity::Outage(outage) => Some(outage),
            _ => None,
        };
        Some(HoldObject {
            reason: hold.reason.word().to_owned(),
            seconds_left: whole_seconds(hold.left),
            since: outage.map(|outage| iso(outage.since)),
            outage_seconds: outage.map(|outage| outage.lasted.as_secs()),
            error: outage.map(|outage| outage.error.chars().take(ERROR_CHARS_MAX).collect()),
        })
    }

    /// In few words, for a line.
    pub fn brief(&self) -> String {
        let left = format_duration(std::time::Duration::from_secs(self.seconds_left));
        let why = match self.reason.as_str() {
            "outage" => {
                let lasted = format_duration(std::time::Duration::from_secs(self.outage_seconds.unwrap_or_default()));
                return if self.seconds_left == 0 {
                    format!("out of reach {lasted}, trying now")
                } else {
                    format!("out of reach {lasted}, next try in {left}")
                };
            }
            "start" => "starting",
            "too_fast" => "the service said too fast",
            "retry_after" => "the service asked for time",
            "read_back" => return format!("next read-back in {left}"),
            "read_first" => return format!("next message read in {left}"),
            "send_again" => return format!("next retry in {left}"),
            "ledger" => return "the ledger does not answer".to_owned(),
            "others" => return "the rest is with other runs".to_owned(),
            other => other,
        };
        format!("held {left}: {why}")
    }
}

impl From<&Activity> for RunState {
    fn from(activity: &Activity) -> RunState {
        match activity {
            Activity::Running => RunState::Running,
            Activity::Held(_) => RunState::Held,
            Activity::Outage(_) => RunState::Outage,
            Activity::Waiting(_) => RunState::Waiting,
            Activity::Paused => RunState::Paused,
            Activity::Stopping => RunState::Stopping,
            Activity::Over(_) => RunState::Over,
        }
    }
}

impl RunState {
    /// All of them.
    pub const ALL: [RunState; 7] = [
        RunState::Running,
        RunState::Held,
        RunState::Outage,
        RunState::Waiting,
        RunState::Paused,
        RunState::Stopping,
        RunState::Over,
    ];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            RunState::Running => "running",
            RunState::Held => "held",
            RunState::Outage => "outage",
            RunState::Waiting => "waiting",
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
