//! Takes the result of each attempt and each read-back, and queues the edits that are not settled yet.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::Instant;

use super::activity::{Activity, Hold, HoldReason, SHOWN_MIN};
use super::attempt::{AttemptResult, NextStep};
use super::breaker::Breaker;
use super::context::{RunContext, Slot};
use super::control::ControlRequest;
use super::failure_limit::FailureLimit;
use super::forecast::{Forecast, Position, Rest};
use super::heartbeat::Order;
use super::read_back::{ReadBackResult, ServiceSignal};
use super::stop_reason::{EditAtLine, JobRefusal, StopReason};
use super::tally::Tally;
use super::todo::{InDoubt, Todo};
use super::waiting::Waiting;
use crate::api::{Outcome, Service};
use crate::ledger::{
    ControlAction, ControlEvent, JobRefused, LedgerError, Note, PartTicket, Pending, Progress, Recorded, RunEvent,
    State,
};
use crate::retry::{self, Verdict};
use crate::terminal::escape::escape_control;

/// The most edits that wait. While there are this many, no new row is started: a service that refuses everything for
/// now must not pull the whole list into memory.
const WAITING_MAX: usize = 10_000;
/// The most edits of a shared list that wait to be read.
const SHARED_READS_MAX: usize = 64;

/// A run that has nothing at hand for this long leaves its share of the cap to others. The next part may only be on its way.
const IDLE_AFTER: Duration = Duration::from_secs(3);

/// An event that is durable, or could not be made so, and the control request that it belongs to.
pub(super) struct EventRecorded {
    request: Option<ControlRequest>,
    result: Result<(), LedgerError>,
}

/// Where an edit was counted before an attempt or a read-back of it began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Origin {
    /// Its state before this run, as long as nothing was recorded of it in this run.
    taken_up: Option<State>,
    came_into_doubt: bool,
    is_read_first: bool,
    /// It is read again, because it was read too long ago.
    is_read_again: bool,
}

impl Origin {
    fn of(pending: &Pending) -> Origin {
        Origin {
            taken_up: pending.taken_up,
            came_into_doubt: pending.came_into_doubt(),
            is_read_first: pending.doubt().is_none(),
            is_read_again: pending.read_at().is_some(),
        }
    }
}

/// What is going on beside the dispatcher.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Under {
    /// Attempts.
    pub(super) attempts: usize,
    /// Read-backs.
    pub(super) read_backs: usize,
    /// Edits that were not started yet, and those of them that are read first.
    pub(super) not_started: u64,
    pub(super) not_started_reads: u64,
    /// Nothing of the list is at hand, and others have the rest of it.
    pub(super) waits_for_others: bool,
}

impl Under {
    pub(super) fn new(attempts: usize, read_backs: usize, todo: &Todo) -> Under {
        Under {
            attempts,
            read_backs,
            not_started: todo.left,
            not_started_reads: todo.reads_left,
            waits_for_others: todo.waits_for_others(),
        }
    }
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
    forecast: Forecast,
    /// Since when nothing is at hand.
    idle_since: Option<Instant>,
    /// Read-backs under way of edits that came into doubt in this run, and of edits that are not in doubt.
    reading_doubts: u64,
    reading_first: u64,
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
            forecast: Forecast::new(Instant::now()),
            idle_since: None,
            reading_doubts: 0,
            reading_first: 0,
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

    /// `is_shared`: others work on the list as well, and would have nothing to do if this run took whatever it has time to
    /// read later.
    pub(super) fn is_full(&self, is_shared: bool) -> bool {
        self.waiting.len() + self.in_doubt.len() >= WAITING_MAX
            || (is_shared && self.in_doubt.in_no_other_hands() >= SHARED_READS_MAX)
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

    /// An attempt begins.
    pub(super) fn attempt_begins(&mut self, pending: &Pending) -> Origin {
        let origin = Origin::of(pending);
        match origin.taken_up {
            Some(State::Failed) => self.tally.under_way_failed += 1,
            Some(State::InDoubt) => self.tally.under_way_in_doubt += 1,
            Some(State::Sending | State::Waiting | State::Done) | None => {}
        }
        origin
    }

    fn attempt_ends(&mut self, origin: Origin) {
        match origin.taken_up {
            Some(State::Failed) => self.tally.under_way_failed -= 1,
            Some(State::InDoubt) => self.tally.under_way_in_doubt -= 1,
            Some(State::Sending | State::Waiting | State::Done) | None => {}
        }
    }

    /// A read-back begins.
    pub(super) fn read_back_begins(&mut self, pending: &Pending) -> Origin {
        let origin = Origin::of(pending);
        self.reading_doubts += u64::from(origin.came_into_doubt);
        self.reading_first += u64::from(origin.is_read_first);
        origin
    }

    fn read_back_ends(&mut self, origin: Origin) {
        self.reading_doubts -= u64::from(origin.came_into_doubt);
        self.reading_first -= u64::from(origin.is_read_first);
    }

    /// What the run is doing.
    fn activity(&self, under: Under, now: Instant) -> Activity {
        if self.tally.stopping {
            return Activity::Stopping;
        }
        if self.tally.paused {
            return Activity::Paused;
        }
        if let Some(outage) = self.breaker.outage(now, self.tally.pace.held) {
            return Activity::Outage(outage);
        }
        if let Some(hold) = self.context.shown_hold() {
            return Activity::Held(hold);
        }
        if !self.context.gate.is_open() && self.tally.job_cap.is_some() {
            return Activity::Held(Hold { reason: HoldReason::Ledger, left: Duration::ZERO });
        }
        if under.attempts > 0 {
            return Activity::Running;
        }
        let until = |due: Instant| due.saturating_duration_since(now);
        let held = self.context.lookups.pace.now().held;
        let read_back =
            if under.read_backs > 0 { Some(held) } else { self.in_doubt.next_due().map(|due| until(due).max(held)) };
        let reason = if self.tally.to_read_back > 0 { HoldReason::ReadBack } else { HoldReason::ReadFirst };
        let read_back = read_back.map(|left| Hold { reason, left });
        let again = self.waiting.next_due().map(|due| Hold { reason: HoldReason::SendAgain, left: until(due) });
        let next = read_back.into_iter().chain(again).min_by_key(|hold| hold.left);
        match next {
            Some(next) if next.left >= SHOWN_MIN => Activity::Waiting(next),
            None if under.waits_for_others => {
                Activity::Waiting(Hold { reason: HoldReason::Others, left: Duration::ZERO })
            }
            Some(_) | None => Activity::Running,
        }
    }

    /// How long the rest takes.
    fn time_left(&self, under: Under, now: Instant) -> Option<Duration> {
        let Tally { activity, pace, .. } = &self.tally;
        if matches!(activity, Activity::Paused | Activity::Stopping | Activity::Outage(_) | Activity::Over(_)) {
            return None;
        }
        let until = |due: Option<Instant>| due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let (again, in_doubt) = (self.waiting.len() as u64, self.in_doubt.len() as u64);
        let (attempts, reading) = (under.attempts as u64, under.read_backs as u64);
        let rest = Rest {
            new: under.not_started.saturating_sub(under.not_started_reads),
            started: attempts + again,
            attempts: self.tally.attempts,
            edits: self.tally.settled() + in_doubt + reading,
            to_read: under.not_started_reads + in_doubt + reading,
            read_rate: self.context.lookups.pace.now().rate,
            held: pace.held,
            send_due: until(self.waiting.last_due()),
            read_due: until(self.in_doubt.last_due()).max(self.context.lookups.pace.now().held),
            others: self.tally.others.speed,
            cap: self.tally.job_cap,
        };
        let is_left = under.not_started + attempts + again + in_doubt + reading > 0;
        is_left.then(|| self.forecast.time_left(pace.rate, &rest))
    }

    /// The progress, with this under way.
    pub(super) fn tally(&mut self, under: Under) -> &Tally {
        let under = Under { not_started: under.not_started.saturating_sub(self.tally.others.settled()), ..under };
        self.count(under);
        let now = Instant::now();
        self.tally.activity = self.activity(under, now);
        let is_open = self.tally.activity.is_running() && under.attempts > 0 && self.tally.pace.held.is_zero();
        self.forecast.update(
            now,
            Position {
                settled: self.tally.settled(),
                sent: self.context.pace.given(),
                rate: self.tally.pace.rate,
                is_open,
            },
        );
        let speed = self.forecast.speed();
        // Each is the mean of some seconds, in which shares may have changed hands.
        let cap = self.tally.job_cap.map_or(f64::INFINITY, |cap| cap.get().into());
        self.tally.speed = (speed + self.tally.others.speed).min(cap.max(speed));
        self.context.set_progress(Progress {
            done: self.tally.done,
            failed: self.tally.failed,
            in_doubt: self.tally.in_doubt,
            requests: self.tally.attempts,
            read_backs: self.tally.read_backs,
            slow_downs: self.tally.slow_downs,
            speed,
            held: !self.tally.activity.is_running(),
        });
        let has_nothing = under.waits_for_others
            && under.attempts == 0
            && under.read_backs == 0
            && self.waiting.is_empty()
            && self.in_doubt.is_empty();
        self.idle_since = has_nothing.then(|| self.idle_since.unwrap_or(now));
        self.context.set_idle(self.idle_since.is_some_and(|since| now - since >= IDLE_AFTER));
        self.tally.time_left = self.time_left(under, now);
        &self.tally
    }

    fn count(&mut self, under: Under) {
        self.tally.under_way = under.attempts;
        self.tally.pace = self.context.pace.now();
        self.tally.commits = self.context.ledger.commits();
        self.tally.job_cap = self.context.job_cap();
        self.tally.slow_downs = self.context.pace.slow_downs();
        self.tally.read_backs = self.context.lookups.requests();
        self.tally.open_doubts = self.waiting.in_doubt() + self.in_doubt.in_doubt() + self.reading_doubts;
        self.tally.to_read_first = self.in_doubt.to_read_first() + self.reading_first;
        let to_read = self.in_doubt.len() as u64 + under.read_backs as u64;
        self.tally.to_read_back = to_read.saturating_sub(self.tally.to_read_first);
    }

    /// The final tally.
    pub(super) fn close(mut self) -> Tally {
        self.count(Under::default());
        self.tally.in_doubt += std::mem::take(&mut self.tally.open_doubts);
        self.tally.time_left = None;
        self.tally
    }

    /// Queues an edit that may be under way from an earlier run until it no longer can be.
    pub(super) fn defer(&mut self, pending: Pending) {
        let quiet_from = self.context.quiet_from;
        self.push(pending, quiet_from);
    }

    /// Queues an edit that is due at `due`, or once no lost run can have it in its hands any more: it may be read before
    /// that, but not sent.
    fn push(&mut self, pending: Pending, due: Instant) {
        let lost = pending.lost;
        let (queue, is_to_be_read) = self.queue_of(&pending);
        let free = lost.map(|lost| if is_to_be_read && due < lost.send_from { lost.read_from } else { lost.send_from });
        queue.push_at(pending, free.map_or(due, |free| due.max(free)));
    }

    /// Takes the result of an attempt. Returns a reason if the run has to stop.
    pub(super) fn attempted(
        &mut self,
        attempted: Result<(Origin, (AttemptResult, Option<Slot>)), JoinError>,
    ) -> Option<StopReason> {
        let now = Instant::now();
        let (origin, (attempted, _slot)) = match attempted {
            Ok(attempted) => attempted,
            Err(error) => return Some(self.defect(&error)),
        };
        self.attempt_ends(origin);
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
            AttemptResult::NotYours { state, part } => self.not_ours(state, part.as_deref()),
            AttemptResult::NotRecorded { error, unsure, state_before } => {
                Some(self.not_recorded(error, unsure, state_before))
            }
        }
    }

    /// An edit is not this run's any more. If it is done, the late success of a lost run has settled it; otherwise this
    /// run's lease is lost, and others settle it.
    fn not_ours(&mut self, state: Option<State>, part: Option<&PartTicket>) -> Option<StopReason> {
        if state != Some(State::Done) {
            return Some(StopReason::LeaseLost);
        }
        self.tally.settled_late();
        if let Some(part) = part {
            part.settled(true);
        }
        None
    }

    /// Takes what the heartbeat says.
    pub(super) fn ordered(&mut self, order: Order) -> Option<StopReason> {
        let by = || "an operator, through the ledger".to_owned();
        match order {
            Order::Pause(true) => self.apply(&ControlEvent { what: ControlAction::Pause, by: by() }),
            Order::Pause(false) => self.apply(&ControlEvent { what: ControlAction::Resume, by: by() }),
            Order::Others(progress) => {
                self.tally.others = progress;
                None
            }
            Order::Stop(reason) => Some(reason),
        }
    }

    /// Records the progress in the ledger.
    pub(super) fn sample(&mut self, under: Under) -> impl Future<Output = EventRecorded> + Send + 'static {
        self.count(under);
        let sample = Box::new(self.tally.sample());
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
            (Err(error), _) => Some(StopReason::of_ledger(error.clone())),
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
    pub(super) fn read_back(&mut self, read: Result<(Origin, ReadBackResult), JoinError>) -> Option<StopReason> {
        let now = Instant::now();
        let read = read.map(|(origin, read)| {
            self.read_back_ends(origin);
            (origin, read)
        });
        let origin = read.as_ref().ok().map(|(origin, _)| *origin);
        match read.map(|(_, read)| read) {
            Ok(ReadBackResult::Settled { recorded, signal }) => {
                let stop = self.signal(signal, now);
                self.tally.read_back(&recorded);
                stop.or(self.settled(&recorded))
            }
            Ok(ReadBackResult::NotEdited(pending)) => {
                self.breaker.answer_known();
                let was_in_doubt = origin.is_some_and(|origin| !origin.is_read_first);
                self.tally.found_not_edited += u64::from(was_in_doubt);
                let is_read_again = origin.is_some_and(|origin| origin.is_read_again);
                self.tally.found_to_edit += u64::from(!was_in_doubt && !is_read_again);
                self.requeue(pending, now);
                None
            }
            Ok(ReadBackResult::NotYet(pending)) => {
                self.breaker.answer_known();
                // Until it may be sent, reading it again would change nothing.
                let due = pending.lost.map_or(now, |lost| lost.send_from);
                self.requeue(pending, due);
                None
            }
            Ok(ReadBackResult::NotYours { state, part }) => self.not_ours(state, part.as_deref()),
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
            (Outcome::HeldBack, _) => None,
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
            self.context.hold_for(HoldReason::Outage, hold);
        }
        if !was_out_of_reach && self.breaker.is_out_of_reach() {
            self.context.recall.notify_waiters();
        }
        stop
    }

    fn settled(&mut self, recorded: &Recorded) -> Option<StopReason> {
        self.tally.settle(recorded);
        if let Some(part) = &recorded.pending().part {
            part.settled(recorded.state() == State::Done);
        }
        self.breaker.settled(recorded.state(), &self.tally)
    }

    fn not_recorded(&mut self, error: LedgerError, unsure: bool, state_before: Option<State>) -> StopReason {
        if unsure {
            self.tally.unsure(state_before);
        }
        StopReason::of_ledger(error)
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
        self.push(pending, due);
        self.nothing_to_send &= self.waiting.is_empty();
    }

    /// The queue for an edit that was started before, and whether it is read there.
    fn queue_of(&mut self, pending: &Pending) -> (&mut Waiting, bool) {
        match (self.context.in_doubt, pending.doubt()) {
            _ if pending.must_be_read() => (&mut self.in_doubt, true),
            (InDoubt::Verify, Some(_)) => (&mut self.in_doubt, true),
            (InDoubt::Verify | InDoubt::Retry | InDoubt::Hold, _) => (&mut self.waiting, false),
        }
    }
}
