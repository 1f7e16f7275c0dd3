//! The JSON that the program prints: each object that another program may read, in one place, so that one thing has one
//! name and one shape everywhere. `docs/schema.json` is made from these types.
//!
//! Within one [`FORMAT`] members are only ever added.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::ledger::{self, Totals};
use crate::run::Tally;

/// The version of the format; the member `format` of every object.
pub const FORMAT: u32 = 1;

/// Writes an object over several lines, for people who look at it and programs alike.
///
/// # Errors
/// It cannot be written.
pub fn write(out: &mut impl Write, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, object)?;
    writeln!(out)
}

/// An object as text over several lines.
///
/// # Errors
/// Never for the types of this module; the serializer's signature allows for it.
pub fn pretty(object: &impl Serialize) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(object)?))
}

/// `runner --dry-run --json`: what a run would do.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Plan {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    pub format: u32,
    /// The job it belongs to.
    pub job: Job,
    /// `host:port` of the proxy on the way.
    pub proxy: Option<String>,
    /// The list's name.
    pub input: String,
    /// SHA-256 of the list as stored, in hexadecimal.
    pub input_sha256: String,
    /// Rows of the list: `messages` and `duplicates`.
    pub rows: u64,
    /// Rows of the list that repeat another.
    pub duplicates: u64,
    /// Pairs of accounts between which a message is edited.
    pub conversations: u64,
    /// The list's messages before the run.
    #[serde(flatten)]
    pub totals: Totals,
    /// Edits that the run sets out to send or to read back.
    pub planned: u64,
    /// Edits to send without reading back first.
    pub to_send: u64,
    /// Those of them that failed in an earlier run.
    pub to_send_failed: u64,
    /// Those of them that are in doubt since an earlier run.
    pub to_send_in_doubt: u64,
    /// Edits in doubt that are read back first.
    pub to_read_back: u64,
    /// Other edits whose messages are read before they are sent.
    pub to_read_first: u64,
    /// Bytes of new content in the edits to send.
    pub content_bytes: u64,
    /// Requests a second at most.
    pub rate: u32,
    /// Estimate of how long the run takes, in seconds.
    pub seconds_left: u64,
    /// When the run is to stop (UTC).
    pub until: Option<String>,
    /// Estimate of the edits sent by then.
    pub until_edits: Option<u64>,
    /// What is odd in the list and will be sent as it is.
    pub warnings: Vec<Warning>,
}

/// Something odd, in one row or more.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Warning {
    /// The first line of it.
    pub line: u64,
    /// How many rows have it.
    pub rows: u64,
    /// The field, and what is odd about it.
    pub what: String,
}

/// `runner --json` and the standard input of `--on-finish`: what a run did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Summary {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    pub format: u32,
    /// `finished`, `interrupted` or `stopped`.
    pub ended: String,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// Rows of the list: `messages` and `duplicates`.
    pub rows: u64,
    /// Rows of the list that repeat another.
    pub duplicates: u64,
    /// The list's messages after the run.
    #[serde(flatten)]
    pub totals: Totals,
    /// What this run did.
    pub this_run: ThisRun,
    /// How often each answer other than success came in this run.
    pub answers_other_than_success: Vec<Answers>,
    /// The file with the rows that failed or are in doubt.
    pub failed_rows: Option<String>,
    /// The page of the report that `--report` asks for.
    pub report: Option<String>,
    /// The command that resumes the run, where something is left.
    pub resume: Option<String>,
}

/// What one run has done, without what earlier runs did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThisRun {
    /// Edits that it set out to send or to read back.
    pub planned: u64,
    /// Edits that were confirmed.
    pub done: u64,
    /// Edits that failed.
    pub failed: u64,
    /// Edits that stay in doubt.
    pub in_doubt: u64,
    /// Edits in doubt that wait to be read back.
    pub to_read_back: u64,
    /// Requests to edit.
    pub requests: u64,
    /// Requests to read messages.
    pub read_backs: u64,
    /// Edits in doubt that had taken place.
    pub found_edited: u64,
    /// Edits in doubt that had not taken place.
    pub found_not_edited: u64,
    /// Edits that were read before sending, whose messages already held the new content.
    pub found_already: u64,
    /// Edits that were read before sending, whose messages were recalled or not there.
    pub found_missing: u64,
    /// How often the service asked to slow down.
    pub slow_downs: u64,
    /// How long it has taken, in seconds.
    pub seconds: f64,
}

impl ThisRun {
    /// From the numbers of a run.
    pub fn new(planned: u64, tally: &Tally, took: Duration) -> ThisRun {
        ThisRun {
            planned,
            done: tally.done,
            failed: tally.failed,
            in_doubt: tally.in_doubt,
            to_read_back: tally.to_read_back,
            requests: tally.attempts,
            read_backs: tally.read_backs,
            found_edited: tally.found_edited,
            found_not_edited: tally.found_not_edited,
            found_already: tally.found_already,
            found_missing: tally.found_missing,
            slow_downs: tally.slow_downs,
            seconds: took.as_secs_f64(),
        }
    }
}

/// How often an answer came.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Answers {
    /// Which answer.
    #[serde(flatten)]
    pub cause: Cause,
    /// What it means; `null`: no answer has come yet.
    pub meaning: Option<String>,
    /// How often it came; `null` where that is not known, as of success.
    pub answers: Option<u64>,
}

/// An answer of the service, or what came instead of one; neither: none has come yet.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cause {
    /// The service's `ErrorCode`; 0 is success.
    pub code: Option<i64>,
    /// What came instead, in the ledger's word.
    pub note: Option<String>,
}

impl From<Option<ledger::Cause>> for Cause {
    fn from(cause: Option<ledger::Cause>) -> Cause {
        match cause {
            Some(ledger::Cause::Code(code)) => Cause { code: Some(code), note: None },
            Some(ledger::Cause::Note(note)) => Cause { code: None, note: Some(note.word()) },
            None => Cause { code: None, note: None },
        }
    }
}

/// `runner ctl LEDGER … --json`: how a run is at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunStatus {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    pub format: u32,
    /// What it is doing.
    pub state: RunState,
    /// The number of its process.
    pub pid: u32,
    /// The list's messages.
    #[serde(flatten)]
    pub totals: Totals,
    /// What this run has done.
    pub this_run: ThisRun,
    /// Edits settled a second, over the last seconds.
    pub edits_a_second: f64,
    /// Requests a second at most, as it is now.
    pub rate: u32,
    /// The highest rate that `runner ctl` can set.
    pub cap: u32,
    /// How long the rest takes, in seconds, where that is known.
    pub seconds_left: Option<u64>,
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

/// `/healthz` of a run's page.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    pub format: u32,
    /// What the run is doing, or `the ledger has failed`.
    pub state: &'static str,
    /// Edits that it set out to send or to read back.
    pub planned: u64,
    /// Those of them that are not settled yet.
    pub left: u64,
    /// When an edit was last confirmed (UTC).
    pub last_success: Option<String>,
}

/// `runner status LEDGER --json`: what a ledger holds, during a run or after it.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Status {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    pub format: u32,
    /// The ledger's name.
    pub ledger: String,
    /// The job it belongs to.
    pub job: Job,
    /// When it was read (UTC).
    pub made_at: String,
    /// One sentence that sums it up, in the language asked for.
    pub headline: String,
    /// What the run is doing, as far as the ledger tells.
    pub state: RunState,
    /// The process that works on it.
    pub worker: Option<String>,
    /// All messages of the ledger and of the last run's list.
    #[serde(flatten)]
    pub totals: Totals,
    /// Whether `not_reached` is known; it is not for ledgers of the first versions.
    pub not_reached_is_known: bool,
    /// Whether its newest commits may be missing.
    pub may_lack_commits: bool,
    /// Edits settled a second, over the last seconds.
    pub edits_a_second: Option<f64>,
    /// Requests a second at most, as it was last.
    pub rate: Option<u32>,
    /// How long the rest takes, in seconds, where that is known.
    pub seconds_left: Option<u64>,
    /// The messages by their last answer; the lines add up to the totals.
    pub outcomes: Vec<Outcome>,
    /// Every run, the first one first.
    pub runs: Vec<Run>,
    /// How people changed runs: paused, resumed, slowed down, stopped them.
    pub acts: Vec<Act>,
    /// The command that resumes the last run, where something is left.
    pub resume: Option<String>,
}

/// `runner report LEDGER --json` and `summary.json`: all that a report says.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Report {
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
    #[cfg_attr(test, schemars(extend("const" = FORMAT)))]
    pub format: u32,
    /// When the report was made (UTC).
    pub made_at: String,
    /// The version of the program that made it.
    pub version: String,
    /// The ledger's name.
    pub ledger: String,
    /// SHA-256 of the ledger's file, in hexadecimal; `null` while it changes.
    pub ledger_sha256: Option<String>,
    /// The job it belongs to.
    pub job: Job,
    /// The name of the last run's list.
    pub input: Option<String>,
    /// SHA-256 of that list as stored, in hexadecimal.
    pub input_sha256: Option<String>,
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

/// The job that a list or a ledger belongs to.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Job {
    /// The app; `null` in a plan without one.
    pub sdkappid: Option<u64>,
    /// The service's host and port, or `sandbox`; `null` in a plan without one.
    pub service: Option<String>,
    /// The job file's name, where it gives one.
    pub name: Option<String>,
}

/// The messages that had one answer last.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Outcome {
    /// How often the answer came in all.
    #[serde(flatten)]
    pub answers: Answers,
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
    /// SHA-256 of the list as stored, in hexadecimal.
    pub input_sha256: String,
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
    /// At most so many milliseconds, and more than the one before; `null`: longer than all of them.
    pub up_to_ms: Option<u32>,
    /// How many.
    pub answers: u64,
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use schemars::generate::SchemaSettings;

    use super::*;

    /// Any object that the program prints.
    #[derive(JsonSchema)]
    #[schemars(untagged)]
    #[expect(dead_code, reason = "only its schema is wanted")]
    enum Printed {
        Plan(Plan),
        Summary(Summary),
        RunStatus(RunStatus),
        Status(Status),
        Report(Report),
        Manifest(Manifest),
        Health(Health),
    }

    /// `UPDATE_SCHEMA=1 cargo test --lib the_schema_is_that_of_the_types` writes it anew.
    #[test]
    fn the_schema_is_that_of_the_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema.json");
        let settings = SchemaSettings::draft2020_12().for_serialize();
        let schema = settings.into_generator().into_root_schema_for::<Printed>();
        let schema = pretty(&schema).unwrap();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &schema).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), schema, "UPDATE_SCHEMA=1 writes docs/schema.json anew");
    }
}
