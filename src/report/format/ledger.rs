//! The objects of a ledger: its status, its report and the report's manifest.

use std::borrow::Cow;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::common::{AnswerCount, HoldObject, JobObject, RunState};
use super::run::ListObject;
use crate::ledger::Totals;

/// `runner status LEDGER --json`: what a ledger holds, during a run or after it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// The ledger's name.
    pub ledger: String,
    /// The job it belongs to.
    pub job: JobObject,
    /// When it was read (UTC).
    pub made_at: String,
    /// One sentence that sums it up, in the language asked for.
    pub headline: String,
    /// What the run is doing; where the run itself cannot be asked, as far as the ledger tells.
    pub state: RunState,
    /// Why it sends nothing at this moment, if it does not; only the run itself knows this.
    pub hold: Option<HoldObject>,
    /// The process that works on it.
    pub worker: Option<String>,
    /// All messages of the ledger and of the last run's list.
    #[serde(flatten)]
    pub totals: Totals,
    /// Messages of the last run's list: fewer than `messages` if the ledger holds others as well.
    pub list_messages: Option<u64>,
    /// Whether `not_reached` is known; it is not for ledgers of the first versions.
    pub not_reached_is_known: bool,
    /// Whether its newest commits may be missing.
    pub may_lack_commits: bool,
    /// Edits settled a second, over the last seconds.
    pub edits_a_second: Option<f64>,
    /// Requests a second at most, as it was last.
    pub rate: Option<u32>,
    /// How long the rest of the run takes, in seconds, where that is known: only the run itself can tell.
    pub seconds_left: Option<u64>,
    /// The messages by their last answer; the lines add up to the totals.
    pub outcomes: Vec<OutcomeObject>,
    /// What all runs of the job share, if several can work on it together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedObject>,
    /// Every run, the first one first.
    pub runs: Vec<Run>,
    /// How people changed runs: paused, resumed, slowed down, stopped them.
    pub acts: Vec<Act>,
    /// Every audit, the first one first.
    pub audits: Vec<AuditFindings>,
    /// The head of its log of events, if it has one.
    pub log: Option<LogObject>,
    /// Whether it is what its log says; without it, that was not verified, as in `runner status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holds: Option<bool>,
    /// The command that resumes the last run, where something is left.
    pub resume: Option<String>,
}

/// What all runs of a job share, and each of its runners.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SharedObject {
    /// The cap of the app in force, in edits a second; `null` while no runner of it is live.
    pub cap: Option<u32>,
    /// Whose that is, if others have said a higher one: `--rate of run 3 (host a)`, or the operator.
    pub cap_is_of: Option<String>,
    /// The shares of it that all live runs of the app have, those of other jobs included.
    pub shares: u32,
    /// The live runs of other jobs of the app.
    pub other_runs: u64,
    /// Somebody has paused the job.
    pub paused: bool,
    /// Who has told all runs to stop.
    pub stop: Option<String>,
    /// The rate that an operator has set.
    pub rate: Option<NonZeroU32>,
    /// The runners of the present or last session, and every other live one of the job; the first one first.
    pub runners: Vec<RunnerObject>,
}

/// One process that works on a shared job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunnerObject {
    /// The number of its run.
    pub run: i64,
    /// The machine.
    pub host: String,
    /// The number of its process.
    pub pid: u32,
    /// Who started it.
    pub user: String,
    /// `live`; `silent`: it has not renewed its lease for 8 s or longer; `lost`: others have taken over; `ended`.
    pub state: Cow<'static, str>,
    /// Whether it sends nothing at this moment.
    pub held: bool,
    /// Its share of the cap, in edits a second.
    pub share: u32,
    /// Its `--rate`.
    pub rate: u32,
    /// How long ago its lease was last renewed, by the database's clock.
    pub renewed_seconds_ago: f64,
    /// Edits that it settles a second, over the last seconds.
    pub edits_a_second: f64,
    /// Edits that it confirmed.
    pub done: u64,
    /// Edits of it that failed.
    pub failed: u64,
    /// Edits that it leaves in doubt.
    pub in_doubt: u64,
    /// Its requests to edit.
    pub requests: u64,
    /// Its requests to read messages.
    pub read_backs: u64,
    /// How often the service asked it to slow down.
    pub slow_downs: u64,
}

/// `runner report LEDGER --json` and `summary.json`: all that a report says.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ReportObject {
    /// What `runner status` says.
    #[serde(flatten)]
    pub status: Status,
    /// SHA-256 of the ledger's file, in hexadecimal; `null` while it changes.
    pub ledger_sha256: Option<String>,
    /// The version of the program that wrote this.
    pub version: String,
    /// How long answers took.
    pub latency: Vec<LatencyCount>,
    /// The files of a report that are missing.
    pub left_out: Vec<LeftOut>,
}

/// `manifest.json`: the files of a report, by which each can be verified.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Manifest {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// When the report was made (UTC).
    pub made_at: String,
    /// The version of the program that made it.
    pub version: String,
    /// The ledger's name.
    pub ledger: String,
    /// SHA-256 of the ledger's file, in hexadecimal; `null` while it changes.
    pub ledger_sha256: Option<String>,
    /// The head of its log of events, if it has one.
    pub log: Option<LogObject>,
    /// The job it belongs to.
    pub job: JobObject,
    /// The name of the last run's list.
    pub input: Option<String>,
    /// SHA-256 of that list as stored, in hexadecimal.
    pub input_sha256: Option<String>,
    /// The lists, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<ListObject>,
    /// The files.
    pub files: Vec<File>,
    /// The files that are missing.
    pub left_out: Vec<LeftOut>,
}

/// A file of a report.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// A file of a report that is missing.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LeftOut {
    /// Its name.
    pub name: String,
    /// Why it is missing.
    pub why: String,
    /// How to get it.
    pub how: String,
}

/// The messages that had one answer last.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OutcomeObject {
    /// How often the answer came in all.
    #[serde(flatten)]
    pub answers: AnswerCount,
    /// What to do about it.
    pub advice: Option<String>,
    /// The messages that had it last.
    #[serde(flatten)]
    pub totals: Totals,
}

/// One run of a ledger.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// Its number, from 1.
    pub run: i64,
    /// When it began (UTC).
    pub started_at: String,
    /// When it ended (UTC).
    pub ended_at: Option<String>,
    /// `finished`, `interrupted`, `stopped` or `died`.
    pub ended: Option<String>,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// Who started it.
    pub user: String,
    /// The machine.
    pub host: String,
    /// The number of its process.
    pub pid: u32,
    /// The version of the program.
    pub version: String,
    /// The list's name.
    pub input: String,
    /// SHA-256 of the list as stored, in hexadecimal; of several, the SHA-256 of theirs, one a line.
    pub input_sha256: String,
    /// The lists, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<ListObject>,
    /// Rows of the list.
    pub rows: u64,
    /// Rows of the list that repeat another.
    pub duplicates: Option<u64>,
    /// Edits that it set out to send or to read back.
    pub planned: Option<u64>,
    /// Requests a second at most, as it began.
    pub rate: u32,
    /// The admin account that signed.
    pub identifier: Option<String>,
    /// SHA-256 of the job file, in hexadecimal.
    pub job_sha256: Option<String>,
    /// `host:port` of the proxy on the way.
    pub proxy: Option<String>,
    /// How it was called.
    pub command: Option<String>,
    /// In which directory.
    pub directory: Option<String>,
    /// The messages whose last request it sent.
    #[serde(flatten)]
    pub totals: Totals,
    /// Requests to edit. Of a run that was cut off, the last seconds are missing here and below.
    pub requests: Option<u64>,
    /// Requests to read messages.
    pub read_backs: Option<u64>,
    /// How often the service asked to slow down.
    pub slow_downs: Option<u64>,
}

/// How somebody changed a run.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Act {
    /// The run's number.
    pub run: i64,
    /// When (UTC).
    pub at: String,
    /// `pause`, `resume`, `rate` or `stop`.
    pub what: &'static str,
    /// The new rate.
    pub rate: Option<NonZeroU32>,
    /// Who, and by which way.
    pub by: String,
}

/// How many answers took this long.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LatencyCount {
    /// At most so many milliseconds, and about a tenth less at least (up to a half less in ledgers of version 0.2 and before);
    /// `null`: longer than 10 s.
    pub up_to_ms: Option<u32>,
    /// How many.
    pub answers: u64,
}

/// `runner copy LEDGER LEDGER --json`: what was copied.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CopyObject {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// The ledger that was copied.
    pub from: String,
    /// The ledger that was made.
    pub to: String,
    /// All edits.
    pub edits: u64,
    /// Edits that the service confirmed.
    pub done: u64,
    /// Edits that the service refused for good, or too often.
    pub failed: u64,
    /// Edits that may or may not have taken place.
    pub in_doubt: u64,
    /// Edits that were refused for now.
    pub waiting: u64,
    /// Runs.
    pub runs: u64,
    /// Of those in doubt: edits that a process was sending when it died.
    pub newly_in_doubt: u64,
    /// Outcomes that came after their edit had passed to another run, which are not copied.
    pub late_left: u64,
    /// BLAKE3 of all that was copied, in hexadecimal: the same of both ledgers.
    pub digest: String,
}

/// The head of a ledger's log of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct LogObject {
    /// The log's name.
    pub origin: String,
    /// How many events it has.
    pub size: u64,
    /// The root of the Merkle tree of its events, in Base64.
    pub root: String,
}

/// `runner verify --json`: whether a ledger was altered, or whether proofs hold.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct VerifyObject {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// The ledger, or the file of the proofs.
    pub file: String,
    /// Whether nothing was altered, as far as that can be seen.
    pub holds: bool,
    /// The head of the log, computed from its events; that of the first proof.
    pub log: Option<LogObject>,
    /// How a ledger's log began: `made`, `upgraded` or `copied`.
    pub began: Option<String>,
    /// Edits whose outcome the log does not have yet.
    pub sending: u64,
    /// The first alterations of a ledger.
    pub alterations: Vec<String>,
    /// How many more there are.
    pub more_alterations: u64,
    /// The heads that were given.
    pub heads: u64,
    /// The size of the last one that the log agrees with.
    pub agrees_up_to: Option<u64>,
    /// The events after that; their loss would not show.
    pub unseen: Option<u64>,
}

/// `runner audit LEDGER --json`: what done edits were found to be.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuditObject {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// The ledger.
    pub ledger: String,
    /// The audit.
    #[serde(flatten)]
    pub findings: AuditFindings,
}

/// One audit, and what it found.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct AuditFindings {
    /// Its number in the ledger.
    pub audit: i64,
    /// When it began (UTC).
    pub began_at: String,
    /// Who had it made.
    pub user: String,
    /// On which machine.
    pub host: String,
    /// The admin account that signed.
    pub identifier: String,
    /// `finished`, `interrupted` or `stopped`; `null`: it has not ended, or its process died.
    pub ended: Option<String>,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// The done edits of the ledger, when it began.
    pub done: u64,
    /// How many of them it was to look at.
    pub wanted: u64,
    /// At how many it has looked.
    pub looked_at: u64,
    /// Messages that hold the content that the ledger recorded.
    pub as_wanted: u64,
    /// Messages that hold other content.
    pub differs: u64,
    /// Messages that were recalled.
    pub recalled: u64,
    /// Messages that are in neither account's history.
    pub not_in_history: u64,
    /// Messages that could not be looked up.
    pub cannot_be_told: u64,
    /// Of all done edits, so many at most are not as wanted, with 95 % confidence; all that is not known to be as wanted counts as
    /// not. `null` while it has not looked at all that it was to look at.
    pub at_most_wrong: Option<u64>,
    /// SHA-256 of the digests of message and content of all done edits, in hexadecimal.
    pub head: String,
    /// What the sample was drawn with, in hexadecimal; `null`: all were looked at.
    pub seed: Option<String>,
}
