//! When it makes no sense to go on.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::tally::{Cause, Tally};
use crate::api::error_code::{self, Class};
use crate::edit::Edit;
use crate::input::InputError;
use crate::ledger::{LedgerError, Note, Pending, State};
use crate::retry::Verdict;
use crate::terminal::escape::Quoted;

/// The code of a failing webhook server, if every request gets it.
const WEBHOOK: i64 = 90_992;
/// This many answers one after the other with that code, over at least [`WEBHOOK_TIME`], are no passing error.
const WEBHOOK_ANSWERS: u64 = 50;
/// A webhook server that restarts is back by then.
const WEBHOOK_TIME: Duration = Duration::from_secs(10);
/// So many are enough where nothing else was ever answered: a list may be short.
const WEBHOOK_ANSWERS_ONLY: u64 = 5;
/// For this long the service may answer "too fast" to everything before the run gives up: each hold is a minute at most.
const TOO_FAST_MAX: Duration = Duration::from_mins(15);
/// With this many answers, all of them codes that the table does not have, the table is of no use.
const UNKNOWN_ANSWERS: u64 = 20;
/// For this long the service may be out of reach before the run gives up: a router restarts, a train leaves a tunnel.
const OUTAGE_MAX: Duration = Duration::from_mins(10);
/// The same before anything was ever answered: then it is more likely the address.
const OUTAGE_FIRST: Duration = Duration::from_secs(20);
/// Between two tries to reach it: this long at first, twice as long each time.
const PROBE_FIRST: Duration = Duration::from_millis(500);
const PROBE_MAX: Duration = Duration::from_secs(15);
/// This many answers lost one after the other are an outage as well: each further one would leave an edit in doubt. What
/// one connection or one machine of the service loses is less.
const LOST_IN_A_ROW: u32 = 20;
/// The same before anything was ever answered.
const LOST_FIRST: u32 = 5;
/// So many are enough before anything was ever answered, where what comes back looks like another address.
const ELSEWHERE: u32 = 3;
/// So many edits in a row that are refused with a code that speaks of the job: then it does, although the service has
/// accepted others before.
const JOB_REFUSED_IN_A_ROW: u32 = 10;
/// The service has locked the account out for a while, and goes on with that where it is called again.
const LOCKED_OUT: Cause = Cause::Code(70_050);
/// A share of failures means nothing before this many edits are settled.
const SHARE_FROM: u64 = 100;
/// The share is judged over the last edits too, this many: what begins to fail after a good night must not be outweighed
/// by it.
const RECENT: usize = 1_000;

/// Why a run was stopped early.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StopReason {
    /// The service refused one request for a reason that holds for all.
    #[error("the service refused the job: {0}")]
    Refused(JobRefusal),
    /// Everything gets 90992.
    #[error(
        "every request was answered with 90992, which most likely means that your own webhook server fails: \
         check that it answers the service's callbacks, then resume"
    )]
    Webhook,
    /// Everything is too fast.
    #[error(
        "the service has answered \"too fast\" to everything for a quarter of an hour: see who else calls it for this \
         app, then resume"
    )]
    TooFast,
    /// Nothing but codes that are not in the table.
    #[error("the service answers with codes that are not known (the last: {0}); look them up, then resume")]
    OnlyUnknown(i64),
    /// More failures than allowed.
    #[error(
        "{failures} of {which}{settled} edits failed or are in doubt, more than --max-failures {limit}; see why, then resume"
    )]
    TooManyFailures {
        /// Failed or in doubt.
        failures: u64,
        /// `the last `, where these are not all.
        which: &'static str,
        /// Those that were settled.
        settled: u64,
        /// The limit.
        limit: FailureLimit,
    },
    /// There is no connection.
    #[error("{0}; check the network, a proxy on the way, the region or the endpoint, then resume")]
    Unreachable(String),
    /// There is a connection, and has never been an answer.
    #[error(
        "nothing that came back is an answer of the service (the last: {}); check the region or the endpoint, and a \
         proxy on the way, then resume", .0.meaning()
    )]
    NeverAnswered(Note),
    /// There is a connection, but no answer.
    #[error(
        "no answer of the service comes back any more (the last: {}); check the network, a proxy, the region or the \
         endpoint, then resume", .0.meaning()
    )]
    NoAnswers(Note),
    /// There is nothing to sign with any more.
    #[error(
        "TIM_USERSIG has run out; make a new one, or give TIM_SECRET_KEY so that the run can sign itself, then resume"
    )]
    NoSignature,
    /// It is as late as it was to go on at most.
    #[error("the time of --until has come ({0})")]
    TimeIsUp(String),
    /// The ledger failed.
    #[error("{0}; nothing was sent after that")]
    Ledger(#[source] LedgerError),
    /// The list cannot be read on.
    #[error("{0}")]
    Input(#[source] Arc<InputError>),
    /// A row of the list is not what it was when it was checked.
    #[error(
        "line {line} of the list is not as it was when it was checked; leave the list alone while it is worked on, then resume"
    )]
    ListChanged {
        /// The line.
        line: u64,
    },
    /// Somebody told it to.
    #[error("{by} told it to stop")]
    Operator {
        /// Who, and by which way.
        by: String,
    },
    /// A defect of this program.
    #[error("an attempt ended in a defect of this program ({0}); please report it. The edit is in doubt")]
    Defect(String),
}

/// A code that speaks of the job, and the edit that got it.
#[derive(Clone, Debug)]
pub struct JobRefusal {
    cause: Cause,
    line: u64,
    edit: Arc<Edit>,
    /// Edits that were done before in this run.
    done: u64,
}

impl JobRefusal {
    pub(super) fn of(cause: Cause, pending: &Pending, done: u64) -> JobRefusal {
        JobRefusal { cause, line: pending.line, edit: Arc::clone(&pending.edit), done }
    }
}

impl std::fmt::Display for JobRefusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let JobRefusal { cause, line, edit, done } = self;
        let id = edit.id();
        let advice = match cause {
            Cause::Code(code) => {
                error_code::lookup(*code).map_or("Look the code up, then resume.", |entry| entry.advice)
            }
            Cause::Note(_) => "Check the region or the endpoint, then resume.",
        };
        let [from, to, key] = [&id.from_account, &id.to_account, &id.msg_key].map(|part| Quoted(part));
        write!(f, "{cause}. {advice} The edit that was answered so is line {line}: MsgKey {key} from {from} to {to}")?;
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

/// How many edits may fail or come into doubt before the run is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureLimit {
    /// This many.
    Count(u64),
    /// This share, in percent, once a hundred edits are settled.
    Percent(u8),
}

/// What is wrong with the text of a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no limit; write a number of edits (50) or a share (20%)", Quoted(.0))]
pub struct FailureLimitError(String);

impl FromStr for FailureLimit {
    type Err = FailureLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limit = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(FailureLimit::Percent),
            None => text.parse().ok().map(FailureLimit::Count),
        };
        limit.ok_or_else(|| FailureLimitError(text.to_owned()))
    }
}

impl std::fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FailureLimit::Count(count) => write!(f, "{count}"),
            FailureLimit::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FailureLimit {
    fn is_passed(self, failures: u64, settled: u64) -> bool {
        match self {
            FailureLimit::Count(count) => failures > count,
            FailureLimit::Percent(percent) => settled >= SHARE_FROM && failures * 100 > settled * u64::from(percent),
        }
    }
}

/// Watches the answers of a run, in the order in which they come.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: FailureLimit,
    /// Whether each of the last edits to be settled failed or is in doubt, and how many did.
    recent: VecDeque<bool>,
    recent_failures: u64,
    /// Answers to edits so far, and whether one of them was a known one.
    answers: u64,
    known: bool,
    /// Whether anything was ever answered.
    has_been_there: bool,
    /// The service has accepted an edit's request with the signature in use.
    accepted: bool,
    /// Edits that were refused with a code that speaks of the job, since it last did.
    job_refused: u32,
    /// Since when, and how often in a row, everything was 90992.
    webhook: Option<(Instant, u64)>,
    /// Since when everything was too fast.
    too_fast: Option<Instant>,
    /// Answers that were lost, since one last came.
    lost: u32,
    outage: Option<Outage>,
}

/// The service is out of reach.
#[derive(Clone, Copy, Debug)]
struct Outage {
    since: Instant,
    /// Everything is held until then, and then one request tries.
    until: Instant,
    hold: Duration,
}

impl Breaker {
    pub(super) fn new(limit: FailureLimit) -> Breaker {
        Breaker {
            limit,
            recent: VecDeque::new(),
            recent_failures: 0,
            answers: 0,
            known: false,
            has_been_there: false,
            accepted: false,
            job_refused: 0,
            webhook: None,
            too_fast: None,
            lost: 0,
            outage: None,
        }
    }

    /// One more edit came to an answer of the service, to which `verdict` was given.
    pub(super) fn answered(&mut self, verdict: &Verdict, now: Instant) -> Option<StopReason> {
        let cause = Cause::of(verdict);
        self.answers += 1;
        self.heard();
        if is_acceptance(verdict) {
            (self.accepted, self.job_refused) = (true, 0);
        }
        if cause == Some(Cause::Code(WEBHOOK)) {
            let (since, answers) = self.webhook.get_or_insert((now, 0));
            *answers += 1;
            let enough = if *answers == self.answers { WEBHOOK_ANSWERS_ONLY } else { WEBHOOK_ANSWERS };
            if *answers >= enough && now - *since >= WEBHOOK_TIME {
                return Some(StopReason::Webhook);
            }
        } else {
            self.webhook = None;
        }
        if matches!(verdict, Verdict::SlowDown { .. }) {
            if now - *self.too_fast.get_or_insert(now) >= TOO_FAST_MAX {
                return Some(StopReason::TooFast);
            }
        } else {
            self.too_fast = None;
        }
        match cause {
            Some(Cause::Code(code)) if error_code::lookup(code).is_none() => {
                if !self.known && self.answers >= UNKNOWN_ANSWERS {
                    return Some(StopReason::OnlyUnknown(code));
                }
            }
            Some(_) | None => self.known = true,
        }
        None
    }

    /// An edit was refused with a code that speaks of the job. Where others were accepted, it may be about that edit alone.
    pub(super) fn job_refused(&mut self, refusal: JobRefusal, again: bool) -> Option<StopReason> {
        self.job_refused += 1;
        let is_about_all =
            !self.accepted || again || refusal.cause == LOCKED_OUT || self.job_refused >= JOB_REFUSED_IN_A_ROW;
        is_about_all.then_some(StopReason::Refused(refusal))
    }

    /// The signature was refused, and there is a new one.
    pub(super) fn signature_refused(&mut self) {
        self.accepted = false;
    }

    /// Whether the service has accepted an edit's request with the signature in use.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The service answered, and what it did is known.
    pub(super) fn heard(&mut self) {
        self.lost = 0;
        self.is_there();
    }

    /// The service answered something. Where every answer to an edit is lost, that does not make it better.
    pub(super) fn is_there(&mut self) {
        self.has_been_there = true;
        if self.lost < LOST_IN_A_ROW {
            self.outage = None;
        }
    }

    /// One more edit was settled, which `tally` holds already.
    pub(super) fn settled(&mut self, state: State, tally: &Tally) -> Option<StopReason> {
        if self.recent.len() >= RECENT {
            self.recent_failures -= u64::from(self.recent.pop_front() == Some(true));
        }
        self.recent.push_back(state != State::Done);
        self.recent_failures += u64::from(state != State::Done);
        let all = (tally.failed + tally.in_doubt, tally.settled(), "");
        let last = (self.recent_failures, self.recent.len() as u64, "the last ");
        let (failures, settled, which) =
            [all, last].into_iter().find(|(failures, settled, _)| self.limit.is_passed(*failures, *settled))?;
        Some(StopReason::TooManyFailures { failures, which, settled, limit: self.limit })
    }

    /// There was no connection once more: whether to give up, and for how long to hold everything until the next try.
    pub(super) fn unreachable(&mut self, reason: String, now: Instant) -> (Option<StopReason>, Duration) {
        if self.outage.is_none() {
            tracing::warn!("{reason}; trying again");
        }
        let (gives_up, hold) = self.out_of_reach(now);
        (gives_up.then_some(StopReason::Unreachable(reason)), hold)
    }

    /// An answer was lost once more.
    pub(super) fn lost(&mut self, note: Note, now: Instant) -> (Option<StopReason>, Duration) {
        self.lost += 1;
        // It says so itself, so it is there.
        self.has_been_there |= note == Note::LostInside;
        if !self.has_been_there && self.lost >= ELSEWHERE && is_elsewhere(note) {
            return (Some(StopReason::NeverAnswered(note)), Duration::ZERO);
        }
        if self.lost < if self.has_been_there { LOST_IN_A_ROW } else { LOST_FIRST } {
            return (None, Duration::ZERO);
        }
        if self.outage.is_none() {
            tracing::warn!("{} answers were lost one after the other; trying one at a time", self.lost);
        }
        let (gives_up, hold) = self.out_of_reach(now);
        let reason = if self.has_been_there { StopReason::NoAnswers } else { StopReason::NeverAnswered };
        (gives_up.then_some(reason(note)), hold)
    }

    /// The run goes on after a pause, which says nothing of how long a trouble has lasted.
    pub(super) fn resumed(&mut self, now: Instant) {
        (self.webhook, self.too_fast) = (None, None);
        if self.outage.is_some() {
            self.outage = Some(Outage { since: now, until: now, hold: PROBE_FIRST });
        }
    }

    pub(super) fn is_out_of_reach(&self) -> bool {
        self.outage.is_some()
    }

    fn out_of_reach(&mut self, now: Instant) -> (bool, Duration) {
        let max = if self.has_been_there { OUTAGE_MAX } else { OUTAGE_FIRST };
        let outage = match self.outage {
            None => Outage { since: now, until: now + PROBE_FIRST, hold: PROBE_FIRST },
            // Requests that went out together fail together: only one of them makes the next hold longer.
            Some(outage) if now < outage.until => outage,
            Some(Outage { since, hold, .. }) => {
                let hold = (hold * 2).min(PROBE_MAX);
                // The last try is made when the time is up, not long after.
                Outage { since, until: (now + hold).min(since + max), hold }
            }
        };
        self.outage = Some(outage);
        (now - outage.since >= max, outage.until.saturating_duration_since(now))
    }
}

/// Whether a verdict shows that the service accepts the signature and the address: it speaks of the edit. Passing errors
/// and "too fast" may come before it looks at either.
pub(super) fn is_acceptance(verdict: &Verdict) -> bool {
    match *verdict {
        Verdict::Done => true,
        Verdict::Failed { code, .. } => {
            code.and_then(error_code::lookup).is_some_and(|entry| entry.class == Class::EditFails)
        }
        Verdict::Retry { .. }
        | Verdict::SlowDown { .. }
        | Verdict::SignAnew { .. }
        | Verdict::InDoubt { .. }
        | Verdict::NotSent
        | Verdict::Stop { .. } => false,
    }
}

/// Whether this came from an address, or from a proxy, that will never pass a request on. (It may have passed this one on
/// all the same, so the edit is in doubt.)
fn is_elsewhere(note: Note) -> bool {
    matches!(note, Note::Http(300..=407 | 409..=424 | 426..=428 | 430..=499))
}

#[cfg(test)]
mod tests;
