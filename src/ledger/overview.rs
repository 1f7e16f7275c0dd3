//! What a ledger holds, for `status`, reports, `ctl` and the live page.

use super::{
    AuditRecord, Cause, Ciphertext, ControlEvent, JobIdentity, Latency, LedgerAddress, LedgerError, Look, RunList,
    Sample, SharedJob, State, Totals, Verification,
};
use crate::edit::{ContentDigest, IdDigest, MessageId};
use crate::evidence::{Head, NamedCheckpoint, Proof};
use std::ops::ControlFlow;

/// A ledger, open to be looked at: in one state, beside a writer or after it. Nothing is changed. Every method fails if the
/// ledger cannot be read.
pub trait Overview {
    /// Where the ledger is.
    fn address(&self) -> &LedgerAddress;

    /// The process that has the ledger open to write; `None` if there is none.
    fn worker(&self) -> Option<&Worker>;

    /// Whether a writer has appeared since the ledger was opened at rest. It was then read without locks, and what was read
    /// may mix two states.
    fn has_begun_to_move(&self) -> bool;

    /// Whether its newest commits may be missing, so that it does not show all that was done.
    fn may_lack_commits(&self) -> bool;

    /// Whether it is a file, which alone is the whole ledger: no writer, and no log beside it.
    fn is_at_rest(&self) -> bool;

    /// What all runs of the job share, if several can work on it together.
    ///
    /// # Errors
    /// It cannot be read.
    fn shared(&self) -> Result<Option<SharedJob>, LedgerError> {
        Ok(None)
    }

    /// The job it belongs to.
    ///
    /// # Errors
    /// It cannot be read, or names no job.
    fn job(&self) -> Result<JobIdentity, LedgerError>;

    /// How many edits are in which state, and why, in no order.
    ///
    /// # Errors
    /// They cannot be read.
    fn outcomes(&self) -> Result<Vec<Outcomes>, LedgerError>;

    /// Every run, the first one first.
    ///
    /// # Errors
    /// They cannot be read.
    fn runs(&self) -> Result<Vec<RunRecord>, LedgerError>;

    /// How many edits came into the ledger after the one with this number.
    ///
    /// # Errors
    /// They cannot be read.
    fn edits_after(&self, seq: i64) -> Result<u64, LedgerError>;

    /// The samples of a run, in order; without answers and latency, of which the ledger keeps the last ones only.
    ///
    /// # Errors
    /// They cannot be read.
    fn samples(&self, run: i64) -> Result<Vec<Sample>, LedgerError>;

    /// How often each answer other than success came, in all runs together or in one, the most frequent first.
    ///
    /// # Errors
    /// They cannot be read.
    fn answers(&self, run: Option<i64>) -> Result<Vec<(Cause, u64)>, LedgerError>;

    /// How long answers took, in all runs together or in one.
    ///
    /// # Errors
    /// It cannot be read.
    fn latency(&self, run: Option<i64>) -> Result<Latency, LedgerError>;

    /// What operators did, in order: the run, when (milliseconds since 1970), and what.
    ///
    /// # Errors
    /// They cannot be read.
    fn acts(&self) -> Result<Vec<(i64, i64, ControlEvent)>, LedgerError>;

    /// Every audit, the first one first.
    ///
    /// # Errors
    /// They cannot be read.
    fn audits(&self) -> Result<Vec<AuditRecord>, LedgerError>;

    /// Passes what an audit has found to `visit`, in no order that has a meaning.
    ///
    /// # Errors
    /// It cannot be read.
    fn visit_looks(&self, audit: i64, visit: &mut dyn FnMut(Look)) -> Result<(), LedgerError>;

    /// What it records of originals that are kept elsewhere, in order: by file, and by their numbers there.
    ///
    /// # Errors
    /// It cannot be read.
    fn ciphertexts(&self) -> Result<Vec<Ciphertext>, LedgerError>;

    /// The head of its log of events; `None`: it has none.
    ///
    /// # Errors
    /// It cannot be read.
    fn head(&self) -> Result<Option<Head>, LedgerError> {
        Ok(None)
    }

    /// Computes all that the ledger holds again from its events, and compares it, also with heads of the log from outside.
    ///
    /// # Errors
    /// The ledger has no log, or cannot be read.
    fn verify(&self, _heads: &[NamedCheckpoint]) -> Result<Verification, LedgerError> {
        Err(LedgerError::NoLog { ledger: self.address().clone() })
    }

    /// The events of this message, each with the proof that it is in the log, as it was when it had this many events.
    ///
    /// # Errors
    /// The ledger has no log, or cannot be read.
    fn prove(&self, _message: IdDigest, _size: Option<u64>) -> Result<Vec<Proof>, LedgerError> {
        Err(LedgerError::NoLog { ledger: self.address().clone() })
    }

    /// Passes the edits in this state to `visit`, in the order of first sending, until it breaks or `at_most` are passed.
    ///
    /// # Errors
    /// They cannot be read.
    fn visit_edits(
        &self,
        state: State,
        at_most: Option<u32>,
        visit: &mut dyn FnMut(EditRecord) -> ControlFlow<()>,
    ) -> Result<(), LedgerError>;

    /// The edit of this message; `None` if it was never sent.
    ///
    /// # Errors
    /// It cannot be read.
    fn edit(&self, message: IdDigest) -> Result<Option<EditRecord>, LedgerError>;

    /// The edits of these messages, in their order. (A database far away is not asked for each of them.)
    ///
    /// # Errors
    /// They cannot be read.
    fn find_edits(&self, messages: &[IdDigest]) -> Result<Vec<Option<EditRecord>>, LedgerError> {
        messages.iter().map(|message| self.edit(*message)).collect()
    }
}

impl dyn Overview + '_ {
    /// Passes the edits in this state to `take`, in the order of first sending: all of them, or the first ones.
    ///
    /// # Errors
    /// They cannot be read, or `take` failed.
    pub fn edits<E: From<LedgerError>>(
        &self,
        state: State,
        at_most: Option<u32>,
        mut take: impl FnMut(EditRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut taken = Ok(());
        self.visit_edits(state, at_most, &mut |edit| {
            taken = take(edit);
            if taken.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        taken
    }

    /// The messages of the ledger and of the last run's list by state. Of runs that work on that list together, it is the
    /// first one that knew how many of its messages were new.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn totals(&self, outcomes: &[Outcomes], runs: &[RunRecord]) -> Result<Totals, LedgerError> {
        let mut totals = Totals::default();
        for Outcomes { state, edits, .. } in outcomes {
            *totals.of(*state, self.worker().is_some()) += edits;
        }
        let first = self.shared()?.and_then(|shared| shared.first_run);
        let began = first.and_then(|first| runs.iter().find(|run| run.run == first)).or(runs.last());
        if let Some((new_edits, seq_before)) = began.and_then(|run| run.new_edits) {
            totals.not_reached += new_edits.saturating_sub(self.edits_after(seq_before)?);
        }
        let Totals { done, failed, in_doubt, in_flight, not_reached, .. } = totals;
        totals.messages = done + failed + in_doubt + in_flight + not_reached;
        Ok(totals)
    }
}

/// The process that has a ledger open to write, or the runners that share one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker(String);

/// The number of edits in the same state for the same reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Their state.
    pub state: State,
    /// The code of the last answer (0: success), or a note. `None` before the first answer.
    pub cause: Option<Cause>,
    /// The run with their last attempt.
    pub run: i64,
    /// Their number.
    pub edits: u64,
}

/// One run of the ledger. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// Its number, from 1.
    pub run: i64,
    /// When it began.
    pub started_at: i64,
    /// When it ended; `None` while it runs, and if its process died and nobody has resumed since.
    pub ended_at: Option<i64>,
    /// `finished`, `interrupted`, `stopped`, `died`.
    pub ended: Option<String>,
    /// Why it stopped.
    pub reason: Option<String>,
    /// The version of the program.
    pub version: String,
    /// The user that started it.
    pub user: String,
    /// The machine.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// The name of the list; of several, the names of the first ones.
    pub input: String,
    /// SHA-256 of the list as stored, in hexadecimal.
    pub input_sha256: String,
    /// The rows of the list.
    pub input_rows: u64,
    /// The lists, if there were several.
    pub lists: Vec<RunList>,
    /// The initial rate limit, in requests per second.
    pub rate: u32,
    /// The rows of the list that repeat another. This and what follows are unknown for runs of the first versions.
    pub duplicates: Option<u64>,
    /// The edits that it set out to send or to read back.
    pub planned: Option<u64>,
    /// The admin account that signed. This and the next are unknown for runs of earlier versions.
    pub identifier: Option<String>,
    /// SHA-256 of the job file, in hexadecimal; also `None` if there was none.
    pub job_sha256: Option<String>,
    /// `host:port` of the proxy; also `None` for runs of earlier versions.
    pub proxy: Option<String>,
    /// The command line.
    pub command: Option<String>,
    /// The working directory.
    pub directory: Option<String>,
    /// The messages of the list that were not in the ledger when it began, and the last number of an edit then.
    pub new_edits: Option<(u64, i64)>,
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
    /// The state of the edit.
    pub state: State,
    /// The reason.
    pub cause: Option<Cause>,
    /// The attempts so far.
    pub attempts: u32,
    /// Its line in the list that it was last sent from.
    pub line: u64,
    /// That list's name, if any run had several.
    pub list: Option<String>,
    /// The run with its last attempt.
    pub run: i64,
    /// When its last intent was made durable, in milliseconds since 1970.
    pub sent_at: i64,
    /// The digest of the content that it gives its message.
    pub content: ContentDigest,
}

impl EditRecord {
    /// The message.
    pub fn id(&self) -> MessageId {
        MessageId {
            from_account: self.from_account.clone(),
            to_account: self.to_account.clone(),
            msg_key: self.msg_key.clone(),
        }
    }
}

impl Worker {
    /// The worker of this name.
    pub fn new(name: impl Into<String>) -> Worker {
        Worker(name.into())
    }

    /// `process 4711`, `another process` if its number is unknown, or `2 runners`.
    pub fn name(&self) -> &str {
        &self.0
    }
}
