//! Why a run stops early, and what to do about it.

use std::sync::Arc;

use super::failure_limit::FailureLimit;
use super::tally::Cause;
use crate::api::error_code;
use crate::edit::{Edit, Line};
use crate::input::InputError;
use crate::ledger::{LedgerError, Note, Pending};
use crate::terminal::escape::Quoted;

/// Why a run was stopped early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StopReason {
    /// The service refused a request for a reason that applies to all of them.
    #[error("the service refused the job: {0}")]
    Refused(JobRefusal),
    /// Every answer is 90992.
    #[error(
        "every request was answered with 90992, which most likely means that your own webhook server fails: \
         check that it answers the service's callbacks, then resume"
    )]
    Webhook,
    /// Every answer is "too fast".
    #[error(
        "the service has answered \"too fast\" to everything for a quarter of an hour: see who else calls it for this \
         app, then resume"
    )]
    TooFast,
    /// Every answer is "too fast", and all of them went to one edit.
    #[error(
        "the service has answered \"too fast\" for a quarter of an hour, each time to {0}; see who else calls it for \
         this app, then resume. If the resumed run stops at this one again, take its line out of the list"
    )]
    OneTooFast(EditAtLine),
    /// Every code is missing from the table.
    #[error("the service answers with codes that are not known (the last: {0}); look them up, then resume")]
    OnlyUnknown(i64),
    /// More failures than allowed.
    #[error(
        "{failures} of {which}{settled} edits failed or are in doubt, more than --max-failures {limit}; see why, then resume"
    )]
    TooManyFailures {
        /// Failed or in doubt.
        failures: u64,
        /// `the last `, unless these are all.
        which: &'static str,
        /// Settled edits.
        settled: u64,
        /// The limit.
        limit: FailureLimit,
    },
    /// There is no connection.
    #[error("{0}; check the network, a proxy on the way, the region or the endpoint, then resume")]
    Unreachable(String),
    /// There is a connection, but there was never an answer.
    #[error(
        "nothing that came back is an answer of the service (the last: {}); check the region or the endpoint, and a \
         proxy on the way, then resume", .0.meaning()
    )]
    NeverAnswered(Note),
    /// There is a connection, but answers no longer come.
    #[error(
        "no answer of the service comes back any more (the last: {}); check the network, a proxy, the region or the \
         endpoint, then resume", .0.meaning()
    )]
    NoAnswers(Note),
    /// The signature has expired, and there is no key to make another.
    #[error(
        "TIM_USERSIG has run out; make a new one, or give TIM_SECRET_KEY so that the run can sign itself, then resume"
    )]
    NoSignature,
    /// The time given with `--until` has come.
    #[error("the time of --until has come ({0})")]
    TimeIsUp(String),
    /// The ledger failed.
    #[error("{0}; nothing was sent after that")]
    Ledger(#[source] LedgerError),
    /// The rest of the list cannot be read.
    #[error("{0}")]
    Input(#[source] Arc<InputError>),
    /// A row of the list has changed since it was checked.
    #[error(
        "{} is not as it was when it was checked; leave the list alone while it is worked on, then resume",
        line.in_full()
    )]
    ListChanged {
        /// The line.
        line: Line,
    },
    /// The lease was not renewed in time, and others may have taken over.
    #[error("its lease was not renewed in time, and others may have taken over what it had")]
    LeaseLost,
    /// The operator stopped it.
    #[error("{by} told it to stop")]
    Operator {
        /// The operator, and the channel.
        by: String,
    },
    /// A defect of this program.
    #[error("an attempt ended in a defect of this program ({0}); please report it. The edit is in doubt")]
    Defect(String),
}

impl StopReason {
    /// The ledger has failed, or has given what this run had to others: that is no failure, and a new run can begin.
    pub(super) fn of_ledger(error: LedgerError) -> StopReason {
        match error {
            LedgerError::LeaseLost { .. } => StopReason::LeaseLost,
            error => StopReason::Ledger(error),
        }
    }
}

/// An edit that a reason names, so that an operator can find it.
#[derive(Clone, Debug)]
pub struct EditAtLine {
    pub(super) line: Line,
    pub(super) edit: Arc<Edit>,
}

impl EditAtLine {
    pub(super) fn of(pending: &Pending) -> EditAtLine {
        EditAtLine { line: pending.line.clone(), edit: Arc::clone(&pending.edit) }
    }
}

/// `line 17: MsgKey "1_2_3" from "a" to "b"`
impl std::fmt::Display for EditAtLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let id = self.edit.id();
        let [from, to, key] = [&id.from_account, &id.to_account, &id.msg_key].map(|part| Quoted(part));
        write!(f, "{}: MsgKey {key} from {from} to {to}", self.line)
    }
}

/// A code that concerns the job, and the edit that got it.
#[derive(Clone, Debug)]
pub struct JobRefusal {
    pub(super) code: i64,
    pub(super) edit: EditAtLine,
    /// Edits done before it in this run.
    pub(super) done: u64,
}

impl JobRefusal {
    pub(super) fn of(code: i64, pending: &Pending, done: u64) -> JobRefusal {
        JobRefusal { code, edit: EditAtLine::of(pending), done }
    }
}

impl std::fmt::Display for JobRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let JobRefusal { code, edit, done } = self;
        let advice = error_code::lookup(*code).map_or("Look the code up, then resume.", |entry| entry.advice);
        write!(f, "{}. {advice} The edit that was answered so is {edit}", Cause::Code(*code))?;
        if *done > 0 {
            write!(
                f,
                ". The service accepted {done} before it in this run: if the resumed run stops at this one again, take its \
                 line out of the list"
            )?;
        }
        Ok(())
    }
}
