//! The objects of one run: before it, while it is in progress, and after it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::common::{AnswerCount, HoldObject, JobObject, RunState};
use super::ledger::LogObject;
use super::ledger::SharedObject;
use crate::ledger::{RunList, Totals};
use crate::run::Tally;

/// `runner --dry-run --json`: what a run would do.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct PlanObject {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// The job it belongs to.
    pub job: JobObject,
    /// `host:port` of the proxy on the way.
    pub proxy: Option<String>,
    /// The list's name.
    pub input: String,
    /// SHA-256 of the list as stored, in hexadecimal; of several, the SHA-256 of theirs, one a line.
    pub input_sha256: String,
    /// The encoding of the list's text, such as `UTF-8`; null if several lists differ.
    pub encoding: Option<&'static str>,
    /// The character that separates the columns of a CSV list; null if several lists differ.
    pub delimiter: Option<char>,
    /// The sheet of an Excel workbook that is read.
    pub sheet: Option<String>,
    /// Rows of empty cells, which were passed over; `rows` does not count them.
    pub empty_rows: Option<u64>,
    /// Empty columns at the end, which were passed over.
    pub empty_columns: Option<usize>,
    /// The lists, if there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<ListObject>,
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
    /// Different new contents in the list; null if there are more than 1,000.
    pub different_contents: Option<usize>,
    /// Requests a second at most.
    pub rate: u32,
    /// Estimate of how long the run takes, in seconds.
    pub seconds_left: u64,
    /// When the run is to stop (UTC).
    pub until: Option<String>,
    /// Estimate of the edits sent by then.
    pub until_edits: Option<u64>,
    /// What is odd in the list and will be sent as it is.
    pub warnings: Vec<WarningObject>,
}

/// One of several lists.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ListObject {
    /// Its name.
    pub name: String,
    /// SHA-256 of it as stored, in hexadecimal.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
}

impl From<RunList> for ListObject {
    fn from(RunList { name, sha256, rows }: RunList) -> ListObject {
        ListObject { name, sha256, rows }
    }
}

/// Something odd, in one row or more.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WarningObject {
    /// The first line of it.
    pub line: u64,
    /// That line's list, if there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<String>,
    /// How many rows have it.
    pub rows: u64,
    /// The field, and what is odd about it.
    pub what: String,
}

/// `runner --json` and the standard input of `--on-finish`: what a run did.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SummaryObject {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
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
    /// The head of the ledger's log of events after the run, if it has one.
    pub log: Option<LogObject>,
    /// What messages held before, kept with `--originals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub originals: Option<OriginalsObject>,
    /// What this run did.
    pub this_run: ThisRun,
    /// How often each answer other than success came in this run.
    pub answers_other_than_success: Vec<AnswerCount>,
    /// The file with the rows that failed or are in doubt.
    pub failed_rows: Option<String>,
    /// Further such files: each of several lists has its own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_failed_rows: Vec<String>,
    /// The page of the report that `--report` asks for.
    pub report: Option<String>,
    /// The command that resumes the run, where something is left.
    pub resume: Option<String>,
}

/// A file of `--originals`.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OriginalsObject {
    /// Its path.
    pub file: String,
    /// How many originals the ledger records of it, in all runs.
    pub kept: u64,
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
    /// Other edits that wait to be read before they are sent.
    #[serde(default)]
    pub to_read_first: u64,
    /// Requests to edit.
    pub requests: u64,
    /// Requests to read messages.
    pub read_backs: u64,
    /// Edits in doubt that had taken place. This and the next two are all read-backs that came to an end.
    pub found_edited: u64,
    /// Edits in doubt that had not taken place.
    pub found_not_edited: u64,
    /// Edits in doubt of which reading back could not tell: they stay in doubt.
    #[serde(default)]
    pub found_unclear: u64,
    /// Edits that were read before sending, whose messages already held the new content.
    pub found_already: u64,
    /// Edits that were read before sending, whose messages were recalled or not there.
    pub found_missing: u64,
    /// Edits that were read before sending, whose messages did not read as they were reviewed, or as they could be kept: they were
    /// not sent.
    #[serde(default)]
    pub found_unfit: u64,
    /// Edits that were read before sending, whose messages held something else: they were sent.
    #[serde(default)]
    pub found_to_edit: u64,
    /// Edits that were read before sending, of which reading could not tell: they were not sent.
    #[serde(default)]
    pub found_unread: u64,
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
            to_read_first: tally.to_read_first,
            requests: tally.attempts,
            read_backs: tally.read_backs,
            found_edited: tally.found_edited,
            found_not_edited: tally.found_not_edited,
            found_unclear: tally.found_unclear,
            found_already: tally.found_already,
            found_missing: tally.found_missing,
            found_unfit: tally.found_unfit,
            found_to_edit: tally.found_to_edit,
            found_unread: tally.found_unread,
            slow_downs: tally.slow_downs,
            seconds: took.as_secs_f64(),
        }
    }
}

/// `runner ctl LEDGER … --json`: how a run is at this moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RunStatus {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// What it is doing.
    pub state: RunState,
    /// Why it sends nothing at this moment, if it does not.
    #[serde(default)]
    pub hold: Option<HoldObject>,
    /// The number of its process; 0 for the runs of a job that several work on.
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
    /// What all runs of the job share, if several can work on it together: then this is how all of them are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<SharedObject>,
}

/// `/healthz` of a run's page.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// The version of the format: 1.
    #[cfg_attr(test, schemars(extend("const" = crate::report::format::FORMAT)))]
    pub format: u32,
    /// What the run is doing, or `the ledger has failed`.
    pub state: &'static str,
    /// Edits that it set out to send or to read back.
    pub planned: u64,
    /// Those of them that are not settled yet.
    pub left: u64,
    /// The list's messages.
    #[serde(flatten)]
    pub totals: Totals,
    /// Why it sends nothing at this moment, if it does not.
    pub hold: Option<HoldObject>,
    /// How long the rest takes, in seconds, where that is known.
    pub seconds_left: Option<u64>,
    /// When an edit was last confirmed (UTC).
    pub last_success: Option<String>,
}
