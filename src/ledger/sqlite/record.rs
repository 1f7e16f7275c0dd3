//! What an [`Overview`](super::Overview) hands out.

use crate::ledger::{Cause, State};

/// Who works on a ledger just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker(pub(super) String);

/// How many edits stand the same way for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Where they stand.
    pub state: State,
    /// Why: the last answer's code (0: success), or what came instead. `None` before the first answer.
    pub cause: Option<Cause>,
    /// The run that sent them last.
    pub run: i64,
    /// How many.
    pub edits: u64,
}

/// One run of the ledger. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number, from 1.
    pub run: i64,
    /// When it began.
    pub started_at: i64,
    /// When it ended; `None` while it goes on, and where the process died and nobody has resumed since.
    pub ended_at: Option<i64>,
    /// `finished`, `interrupted`, `stopped`, `died`.
    pub ended: Option<String>,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// The version of the program.
    pub version: String,
    /// Who started it.
    pub user: String,
    /// On which machine.
    pub host: String,
    /// As which process.
    pub pid: u32,
    /// The list's name.
    pub input: String,
    /// SHA-256 of the list as stored, in hexadecimal.
    pub input_sha256: String,
    /// Rows of the list.
    pub input_rows: u64,
    /// Requests a second at most, as it began.
    pub rate: u32,
    /// Rows of the list that repeat another. This and the following are not known of runs of the first versions.
    pub duplicates: Option<u64>,
    /// Edits that it set out to send or to read back.
    pub planned: Option<u64>,
    /// The admin account that signed. This and the next are not known of runs of earlier versions.
    pub identifier: Option<String>,
    /// SHA-256 of the job file, in hexadecimal; `None` also where there was none.
    pub job_sha256: Option<String>,
    /// `host:port` of the proxy on the way; `None` also of runs of earlier versions.
    pub proxy: Option<String>,
    /// How it was called.
    pub command: Option<String>,
    /// And where.
    pub directory: Option<String>,
    /// Messages of the list that were not in the ledger when it began, and the last number of an edit then.
    pub(super) new_edits: Option<(u64, i64)>,
}

/// One edit, for the lists of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EditRecord {
    /// The message's `From_Account`.
    pub from_account: String,
    /// Its `To_Account`.
    pub to_account: String,
    /// Its `MsgKey`.
    pub msg_key: String,
    /// Where the edit stands.
    pub state: State,
    /// Why.
    pub cause: Option<Cause>,
    /// Sendings so far.
    pub attempts: u32,
    /// The line of the list it was last sent from.
    pub line: u64,
    /// The run in which it was last sent.
    pub run: i64,
    /// When its last intent was made durable, in milliseconds since 1970.
    pub sent_at: i64,
}

impl Worker {
    /// `process 4711`, or `another process` where that is not known.
    pub fn name(&self) -> &str {
        &self.0
    }
}
