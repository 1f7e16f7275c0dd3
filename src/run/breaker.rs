//! Decides when a run stops early.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::activity;
use super::failure_limit::FailureLimit;
use super::stop_reason::{EditAtLine, JobRefusal, StopReason};
use super::tally::{Cause, Tally};
use crate::api::error_code::{self, Class};
use crate::edit::Line;
use crate::ledger::{Note, State, unix_ms};
use crate::retry::Verdict;
use crate::terminal::duration::format_duration;

/// The code of a failing webhook server, if every request gets it.
const WEBHOOK: i64 = 90_992;
/// This many such answers in a row, over at least [`WEBHOOK_TIME`], are no passing error.
const WEBHOOK_ANSWERS: u64 = 50;
/// A webhook server that restarts is back within this time.
const WEBHOOK_TIME: Duration = Duration::from_secs(10);
/// This many are enough if nothing else was ever answered: a list may be short.
const WEBHOOK_ANSWERS_ONLY: u64 = 5;
/// How long the service may answer "too fast" to everything before the run stops: each hold is a minute at most.
const TOO_FAST_MAX: Duration = Duration::from_mins(15);
/// After this many answers, all with codes that the table lacks, the table is of no use.
const UNKNOWN_ANSWERS: u64 = 20;
/// How long the service may be out of reach before the run stops: a router restarts, a train leaves a tunnel.
pub(super) const OUTAGE_MAX: Duration = Duration::from_mins(10);
/// The same before anything was ever answered: then the address is more likely to be wrong.
pub(super) const OUTAGE_FIRST: Duration = Duration::from_secs(20);
/// The time between two tries to reach the service: this at first, then twice as long each time.
const PROBE_FIRST: Duration = Duration::from_millis(500);
const PROBE_MAX: Duration = Duration::from_secs(15);
/// This many lost answers in a row are an outage as well: each further one would leave an edit in doubt. A single
/// connection, or a single machine of the service, loses fewer.
const LOST_IN_A_ROW: u32 = 20;
/// The same before anything was ever answered.
const LOST_FIRST: u32 = 5;
/// This many are enough before anything was ever answered, if the answers look like those of another address.
const WRONG_ADDRESS_ANSWERS: u32 = 3;
/// After this many edits in a row were refused with a code that concerns the job, it does concern the job, although the
/// service has accepted others before.
const JOB_REFUSED_IN_A_ROW: u32 = 10;
/// The service has locked the account out for a while, and extends that if it is called again.
const LOCKED_OUT: i64 = 70_050;
/// The share is also taken over this many of the latest edits: a good night must not outweigh what then begins to fail.
const RECENT: usize = 1_000;

/// Watches the answers of a run, in order of arrival.
#[derive(Debug)]
pub(super) struct Breaker {
    limit: FailureLimit,
    /// For each of the latest settled edits, whether it failed or is in doubt; and how many did.
    recent: VecDeque<bool>,
    recent_failures: u64,
    /// Answers to edits so far, and whether any of them is in the table.
    answers: u64,
    known: bool,
    /// Whether anything was ever answered.
    ever_answered: bool,
    /// The service has accepted an edit's request with the current signature.
    accepted: bool,
    /// Edits refused with a code that concerns the job since the service last accepted one.
    job_refused: u32,
    /// Since when, and how many times in a row, the answer was 90992.
    webhook: Option<(Instant, u64)>,
    /// Since when every answer was "too fast", and the line of the edit that got them all, if it was one.
    too_fast: Option<(Instant, Option<Line>)>,
    /// Answers lost since the last one that came.
    lost: u32,
    outage: Option<Outage>,
    /// What the last try to reach the service came to.
    outage_error: String,
}

/// The service is out of reach.
#[derive(Clone, Copy, Debug)]
struct Outage {
    /// When it began; and the same by the wall clock, in milliseconds since 1970.
    began: Instant,
    began_at: i64,
    /// Since when it is timed: it began then, or the run was resumed.
    since: Instant,
    /// Everything is held until this time; then one request tries.
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
            ever_answered: false,
            accepted: false,
            job_refused: 0,
            webhook: None,
            too_fast: None,
            lost: 0,
            outage: None,
            outage_error: String::new(),
        }
    }

    /// The service answered an edit's request, with this verdict.
    pub(super) fn answered(&mut self, verdict: &Verdict, now: Instant) -> Option<StopReason> {
        let cause = Cause::of(verdict);
        self.answers += 1;
        self.answer_known();
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
        if !matches!(verdict, Verdict::SlowDown { .. }) {
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

    /// The service answered "too fast" to this edit.
    pub(super) fn too_fast(&mut self, edit: EditAtLine, now: Instant) -> Option<StopReason> {
        let (since, only) = self.too_fast.get_or_insert_with(|| (now, Some(edit.line.clone())));
        only.take_if(|line| *line != edit.line);
        let is_one = only.is_some();
        (now - *since >= TOO_FAST_MAX).then(|| if is_one { StopReason::OneTooFast(edit) } else { StopReason::TooFast })
    }

    /// An edit was refused with a code that concerns the job. If others were accepted, it may concern that edit alone.
    pub(super) fn job_refused(&mut self, refusal: JobRefusal, again: bool) -> Option<StopReason> {
        self.job_refused += 1;
        let is_about_all =
            !self.accepted || again || refusal.code == LOCKED_OUT || self.job_refused >= JOB_REFUSED_IN_A_ROW;
        is_about_all.then_some(StopReason::Refused(refusal))
    }

    /// The signature was refused and replaced.
    pub(super) fn signature_refused(&mut self) {
        self.accepted = false;
    }

    /// Whether the service has accepted an edit's request with the current signature.
    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// The service answered, and the answer settles what it did.
    pub(super) fn answer_known(&mut self) {
        self.lost = 0;
        self.any_answer();
    }

    /// The service answered something. If every answer to an edit is lost, this is no improvement.
    pub(super) fn any_answer(&mut self) {
        self.ever_answered = true;
        if self.lost < LOST_IN_A_ROW
            && let Some(outage) = self.outage.take()
        {
            tracing::warn!("the service answers again, after {}", format_duration(outage.began.elapsed()));
        }
    }

    /// An edit was settled; `tally` already counts it.
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

    /// There was no connection. Returns a reason if the run has to stop, and how long to hold everything until the next
    /// try.
    pub(super) fn unreachable(&mut self, reason: String, now: Instant) -> (Option<StopReason>, Duration) {
        if self.outage.is_none() {
            tracing::warn!("{reason}; trying again");
        }
        let (gives_up, hold) = self.out_of_reach(now);
        self.outage_error.clone_from(&reason);
        (gives_up.then_some(StopReason::Unreachable(reason)), hold)
    }

    /// An answer was lost. Returns the same as [`Breaker::unreachable`].
    pub(super) fn lost(&mut self, note: Note, now: Instant) -> (Option<StopReason>, Duration) {
        self.lost += 1;
        // The service itself says so, so it is reachable.
        self.ever_answered |= note == Note::LostInside;
        if !self.ever_answered && self.lost >= WRONG_ADDRESS_ANSWERS && is_wrong_address(note) {
            return (Some(StopReason::NeverAnswered(note)), Duration::ZERO);
        }
        if self.lost < if self.ever_answered { LOST_IN_A_ROW } else { LOST_FIRST } {
            return (None, Duration::ZERO);
        }
        if self.outage.is_none() {
            tracing::warn!("{} answers in a row were lost; sending one request at a time", self.lost);
        }
        let (gives_up, hold) = self.out_of_reach(now);
        self.outage_error = note.meaning();
        let reason = if self.ever_answered { StopReason::NoAnswers } else { StopReason::NeverAnswered };
        (gives_up.then_some(reason(note)), hold)
    }

    /// The run resumes after a pause, during which no trouble can be timed.
    pub(super) fn resumed(&mut self, now: Instant) {
        (self.webhook, self.too_fast) = (None, None);
        if let Some(outage) = &mut self.outage {
            (outage.since, outage.until, outage.hold) = (now, now, PROBE_FIRST);
        }
    }

    pub(super) fn is_out_of_reach(&self) -> bool {
        self.outage.is_some()
    }

    /// The outage, if there is one; everything is `held` for so long.
    pub(super) fn outage(&self, now: Instant, held: Duration) -> Option<activity::Outage> {
        self.outage.map(|outage| activity::Outage {
            since: outage.began_at,
            lasted: now.saturating_duration_since(outage.began),
            next_try: held,
            error: self.outage_error.clone(),
        })
    }

    fn out_of_reach(&mut self, now: Instant) -> (bool, Duration) {
        let max = if self.ever_answered { OUTAGE_MAX } else { OUTAGE_FIRST };
        let outage = match self.outage {
            None => Outage { began: now, began_at: unix_ms(), since: now, until: now + PROBE_FIRST, hold: PROBE_FIRST },
            // Requests that went out together fail together: only one of them lengthens the next hold.
            Some(outage) if now < outage.until => outage,
            Some(outage) => {
                let hold = (outage.hold * 2).min(PROBE_MAX);
                // The last try is made when the time is up, not long after it.
                Outage { until: (now + hold).min(outage.since + max), hold, ..outage }
            }
        };
        self.outage = Some(outage);
        (now - outage.since >= max, outage.until.saturating_duration_since(now))
    }
}

/// Whether a verdict shows that the service accepts the signature and the address, because it concerns the edit. The
/// service may give passing errors and "too fast" before it checks either.
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

/// Whether such an answer comes from a wrong address, or a proxy, that will never pass a request on. (It may have
/// passed on this one all the same, so the edit is in doubt.)
fn is_wrong_address(note: Note) -> bool {
    matches!(note, Note::Http(300..=407 | 409..=424 | 426..=428 | 430..=499))
}

#[cfg(test)]
mod tests;
