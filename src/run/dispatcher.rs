//! Takes the result of each attempt and each read-back, and queues the edits that are not settled yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::attempt::{AttemptResult, NextStep};
use super::breaker::Breaker;
use super::context::{RunContext, Slot};
use super::control::ControlRequest;
use super::failure_limit::FailureLimit;
use super::read_back::{ReadBackResult, ServiceSignal};
use super::stop_reason::{EditAtLine, JobRefusal, StopReason};
use super::tally::Tally;
use super::todo::InDoubt;
use super::waiting::Waiting;
use crate::api::{Outcome, Service};
use crate::ledger::{ControlAction, ControlEvent, JobRefused, LedgerError, Note, Pending, Recorded, RunEvent, State};
use crate::retry::{self, Verdict};
use crate::terminal::escape::escape_control;

/// The most edits that wait. While there are this many, no new row is started: a service that refuses everything for
/// now must not pull the whole list into memory.
const WAITING_MAX: usize = 10_000;

/// An event that is durable, or could not be made so, and the control request that it belongs to.
pub(super) struct EventRecorded {
    request: Option<ControlRequest>,
    result: Result<(), LedgerError>,
}

pub(super) struct Dispatcher<S> {
    context: Arc<RunContext<S>>,
    /// Edits to be sent again.
    pub(super) waiting: Waiting,
    /// Edits to be read: those in doubt, and those that must be read before they are sent.
    pub(super) in_doubt: Waiting,
    /// The list has ended, and nothing waits to be sent again.
    pub(super) nothing_to_send: bool,
    breaker: Breaker,
    tally: Tally,
}

impl<S: Service> Dispatcher<S> {
    pub(super) fn new(context: &Arc<RunContext<S>>, failures: FailureLimit) -> Dispatcher<S> {
        Dispatcher {
            context: Arc::clone(context),
            waiting: Waiting::new(context.seed),
            in_doubt: Waiting::new(context.seed),
            nothing_to_send: false,
            breaker: Breaker::new(failures),
            tally: Tally::default(),
        }
    }

    /// Whether nothing is left to do.
    pub(super) fn has_nothing_left(&self) -> bool {
        (self.nothing_to_send || self.tally.stopping) && self.in_doubt.is_empty()
    }

    /// Whether there may be something to send.
    pub(super) fn may_send(&self) -> bool {
        !self.nothing_to_send && !self.tally.stopping
    }

    /// Sends nothing more, and keeps only those edits to read back that came into doubt in this run.
    pub(super) fn stop(&mut self) {
        self.tally.stopping = true;
        self.in_doubt.keep_in_doubt();
    }

    pub(super) fn is_paused(&self) -> bool {
        self.tally.paused
    }

    pub(super) fn is_out_of_reach(&self) -> bool {
        self.breaker.is_out_of_reach()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() + self.in_doubt.len() >= WAITING_MAX
    }

    /// The most requests under way. While the service is out of reach, one at a time tries it. At first one goes alone,
    /// until the service has accepted its signature: a wrong key must be refused only once, since the service locks out
    /// callers who repeat it.
    pub(super) fn attempts_allowed(&self, most: usize) -> usize {
        if self.tally.paused {
            0
        } else if self.breaker.is_out_of_reach() || !self.is_accepted() {
            1
        } else {
            most
        }
    }

    /// Whether the service accepts requests with the signature in use.
    fn is_accepted(&self) -> bool {
        self.breaker.is_accepted() || self.context.lookups.is_accepted()
    }

    /// A signature was refused and replaced: the new one has to be accepted first, so edits that wait for a permit are
    /// recalled.
    fn signature_refused(&mut self) {
        let was_accepted = self.is_accepted();
        self.breaker.signature_refused();
        self.context.lookups.signature_refused();
        self.context.accepted.forget();
        if was_accepted {
            self.context.recall.notify_waiters();
        }
    }

    /// The next edit that is due to be sent again.
    pub(super) fn due(&mut self, now: Instant) -> Option<Pending> {
        self.waiting.due(now)
    }

    /// The progress, with this many attempts under way.
    pub(super) fn tally(&mut self, under_way: usize) -> &Tally {
        self.tally.under_way = under_way;
        self.tally.pace = self.context.pace.now();
        self.tally.commits = self.context.ledger.commits();
        self.tally.slow_downs = self.context.pace.slow_downs();
        self.tally.read_backs = self.context.lookups.requests();
        self.tally.to_read_back = self.in_doubt.len() as u64;
        &self.tally
    }

    /// The final tally.
    pub(super) fn close(mut self) -> Tally {
        self.tally.in_doubt += self.waiting.in_doubt() + self.in_doubt.in_doubt();
        self.tally(0).clone()
    }

    /// Queues an edit that may be under way from an earlier run until it no longer can be.
    pub(super) fn defer(&mut self, pending: Pending) {
        let quiet_from = self.context.quiet_from;
        self.queue_of(&pending).push_at(pending, quiet_from);
    }

    /// Takes the result of an attempt. Returns a reason if the run has to stop.
    pub(super) fn attempted(
        &mut self,
        attempted: Result<(AttemptResult, Option<Slot>), JoinError>,
    ) -> Option<StopReason> {
        let now = Instant::now();
        let (attempted, _slot) = match attempted {
            Ok(attempted) => attempted,
            Err(error) => return Some(self.defect(&error)),
        };
        match attempted {
            AttemptResult::Recorded { recorded, verdict, times } => {
                self.tally.attempt(&recorded, &verdict, times);
                self.recorded(recorded, &verdict, now)
            }
            AttemptResult::NotSent { pending, outcome } => self.no_answer(pending, outcome, now),
            AttemptResult::Withdrawn(pending) => {
                self.requeue(pending, now);
                None
            }
            AttemptResult::NotRecorded { error, unsure, state_before } => {
                Some(self.not_recorded(error, unsure, state_before))
            }
        }
    }

    /// Records the progress in the ledger.
    pub(super) fn sample(&mut self, under_way: usize) -> impl Future<Output = EventRecorded> + Send + 'static {
        let sample = Box::new(self.tally(under_way).sample());
        let ledger = self.context.ledger.clone();
        async move { EventRecorded { request: None, result: ledger.record_event(RunEvent::Sample(sample)).await } }
    }

    /// Records a control request in the ledger; it is applied once it is durable.
    pub(super) fn record_request(
        &self,
        request: ControlRequest,
    ) -> impl Future<Output = EventRecorded> + Send + 'static {
        let ledger = self.context.ledger.clone();
        let event = request.event.clone();
        async move {
            EventRecorded { request: Some(request), result: ledger.record_event(RunEvent::ControlEvent(event)).await }
        }
    }

    /// Takes an event that is durable, or that the ledger failed to record.
    pub(super) fn event_recorded(&mut self, recorded: Result<EventRecorded, JoinError>) -> Option<StopReason> {
        let EventRecorded { request, result } = match recorded {
            Ok(recorded) => recorded,
            Err(error) => return Some(StopReason::Defect(error.to_string())),
        };
        let stop = match (&result, &request) {
            (Err(error), _) => Some(StopReason::Ledger(error.clone())),
            (Ok(()), Some(request)) => self.apply(&request.event),
            (Ok(()), None) => None,
        };
        if let Some(request) = request {
            // The requester may be gone by now.
            let _ = request.done.send(result);
        }
        stop
    }

    fn apply(&mut self, event: &ControlEvent) -> Option<StopReason> {
        tracing::warn!("{}, requested by {}", event.what, escape_control(&event.by));
        match event.what {
            ControlAction::Pause => {
                self.tally.paused = true;
                self.context.pause();
            }
            ControlAction::Resume => {
                self.tally.paused = false;
                self.breaker.resumed(Instant::now());
                self.context.resume();
            }
            ControlAction::Rate(rate) => self.context.set_rate(rate),
            ControlAction::Stop => return Some(StopReason::Operator { by: event.by.clone() }),
        }
        None
    }

    /// Takes the result of a read-back. Returns a reason if the run has to stop.
    pub(super) fn read_back(&mut self, read: Result<ReadBackResult, JoinError>) -> Option<StopReason> {
        let now = Instant::now();
        match read {
            Ok(ReadBackResult::Settled { recorded, signal }) => {
                let stop = self.signal(signal, now);
                self.tally.read_back(&recorded);
                stop.or(self.settled(&recorded))
            }
            Ok(ReadBackResult::NotEdited(pending)) => {
                self.breaker.answer_known();
                self.tally.found_not_edited += u64::from(pending.state == Some(State::InDoubt));
                self.requeue(pending, now);
                None
            }
            Ok(ReadBackResult::NoPage { pending, outcome }) => self.no_answer(pending, outcome, now),
            Ok(ReadBackResult::Stopped(pending)) => {
                self.requeue(pending, now);
                None
            }
            Ok(ReadBackResult::NotRecorded { error, unsure }) => Some(self.not_recorded(error, unsure, None)),
            Err(error) => Some(self.defect(&error)),
        }
    }

    fn recorded(&mut self, recorded: Recorded, verdict: &Verdict, now: Instant) -> Option<StopReason> {
        let stop = match *verdict {
            Verdict::InDoubt { note, .. } => self.lost(note, now),
            Verdict::SignAnew { .. } => {
                self.signature_refused();
                self.breaker.answered(verdict, now)
            }
            Verdict::Stop { code } => {
                self.breaker.answer_known();
                // It would have failed if anything had been accepted since.
                let again = recorded.pending().job_refused.is_some();
                let refusal = |code| JobRefusal::of(code, recorded.pending(), self.tally.done);
                code.map(refusal).and_then(|refusal| self.breaker.job_refused(refusal, again))
            }
            Verdict::SlowDown { .. } => {
                let edit = EditAtLine::of(recorded.pending());
                self.breaker.answered(verdict, now).or(self.breaker.too_fast(edit, now))
            }
            Verdict::Done | Verdict::Retry { .. } | Verdict::Failed { .. } | Verdict::NotSent => {
                self.breaker.answered(verdict, now)
            }
        };
        let too_many = match self.context.after(&recorded, verdict) {
            NextStep::Settled => self.settled(&recorded),
            NextStep::SendAgain(delay) => {
                let mut pending = recorded.into_pending();
                pending.signed_anew |= matches!(verdict, Verdict::SignAnew { .. });
                if let Verdict::Stop { code } = *verdict {
                    pending.job_refused.get_or_insert(JobRefused { at: now, code });
                }
                self.waiting.push(pending, now, delay);
                self.nothing_to_send = false;
                None
            }
            NextStep::ReadBackAfter(delay) => {
                self.in_doubt.push_at(recorded.into_pending(), now + delay);
                None
            }
        };
        stop.or(too_many)
    }

    /// No answer came that says anything about the edit, so it stays as it was.
    fn no_answer(&mut self, pending: Pending, outcome: Outcome, now: Instant) -> Option<StopReason> {
        let verdict = retry::judge(&outcome);
        let due = match verdict {
            Verdict::NotSent | Verdict::Stop { .. } => now,
            _ => now + retry::delay(pending.looks),
        };
        let refusal = match verdict {
            Verdict::Stop { code } => code.map(|code| JobRefusal::of(code, &pending, self.tally.done)),
            _ => None,
        };
        self.requeue(pending, due);
        match (outcome, verdict) {
            (Outcome::NotSent { reason }, _) => self.out_of_reach(|breaker| breaker.unreachable(reason, now)),
            (Outcome::NoSignature, _) => Some(StopReason::NoSignature),
            (_, Verdict::InDoubt { note, .. }) => self.lost(note, now),
            (_, Verdict::Stop { .. }) => refusal.map(StopReason::Refused),
            (_, Verdict::SignAnew { .. }) => {
                self.signature_refused();
                self.signal(ServiceSignal::Inconclusive, now)
            }
            (_, _) => self.signal(ServiceSignal::Inconclusive, now),
        }
    }

    /// Passes what a read-back says about the service to the breaker. Only a read-back that settles its edit makes up
    /// for lost answers to edits: otherwise the whole list would come into doubt.
    fn signal(&mut self, signal: ServiceSignal, now: Instant) -> Option<StopReason> {
        match signal {
            ServiceSignal::Unasked => None,
            ServiceSignal::Conclusive => {
                self.breaker.answer_known();
                None
            }
            ServiceSignal::Inconclusive => {
                self.breaker.any_answer();
                None
            }
            ServiceSignal::Lost(note) => self.lost(note, now),
        }
    }

    fn lost(&mut self, note: Note, now: Instant) -> Option<StopReason> {
        self.out_of_reach(|breaker| breaker.lost(note, now))
    }

    /// Holds everything for as long as the breaker asks. When an outage begins, edits that wait for a permit are
    /// recalled: only one request at a time may try the service, since each lost answer leaves an edit in doubt.
    fn out_of_reach(
        &mut self,
        failed: impl FnOnce(&mut Breaker) -> (Option<StopReason>, Duration),
    ) -> Option<StopReason> {
        let was_out_of_reach = self.breaker.is_out_of_reach();
        let (stop, hold) = failed(&mut self.breaker);
        if !hold.is_zero() {
            self.context.pace.hold(hold);
            self.context.lookups.hold(hold);
        }
        if !was_out_of_reach && self.breaker.is_out_of_reach() {
            self.context.recall.notify_waiters();
        }
        stop
    }

    fn settled(&mut self, recorded: &Recorded) -> Option<StopReason> {
        self.tally.settle(recorded);
        self.breaker.settled(recorded.state(), &self.tally)
    }

    fn not_recorded(&mut self, error: LedgerError, unsure: bool, state_before: Option<State>) -> StopReason {
        if unsure {
            self.tally.unsure(state_before);
        }
        StopReason::Ledger(error)
    }

    /// A panic in an attempt is a defect of this program. Its edit may be `sending` in the ledger, so it is in doubt.
    fn defect(&mut self, error: &JoinError) -> StopReason {
        self.tally.unsure(None);
        StopReason::Defect(error.to_string())
    }

    /// (An edit that a read-back finds not edited while the run stops stays in doubt in the ledger: it could leave that
    /// state only through an intent, and none is made any more. The next run reads it once more and sends it.)
    fn requeue(&mut self, pending: Pending, due: Instant) {
        if self.tally.stopping && !pending.came_into_doubt() {
            return;
        }
        self.queue_of(&pending).push_at(pending, due);
        self.nothing_to_send &= self.waiting.is_empty();
    }

    /// The queue for an edit that was started before.
    fn queue_of(&mut self, pending: &Pending) -> &mut Waiting {
        match (self.context.in_doubt, pending.doubt()) {
            _ if pending.must_be_read() => &mut self.in_doubt,
            (InDoubt::Verify, Some(_)) => &mut self.in_doubt,
            (InDoubt::Verify | InDoubt::Retry | InDoubt::Hold, _) => &mut self.waiting,
        }
    }
}
