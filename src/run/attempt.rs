//! One attempt at one edit, from the check before sending to the durable outcome.

use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::acceptance_check::{CheckCut, check_acceptance};
use super::activity::HoldReason;
use super::breaker::is_acceptance;
use super::context::{HOLD_WARNED_MIN, RunContext, Slot};
use super::tally::{Cause, Times};
use super::todo::InDoubt;
use crate::api::{Outcome, Service};
use crate::ledger::{Intent, LedgerError, Note, PartTicket, Pending, Recorded, Settlement, State};
use crate::pace::Receipt;
use crate::retry::{self, Backpressure, Verdict};

/// How long an edit waits after a code that concerns the job: long enough for others to be accepted or refused
/// meanwhile.
const JOB_REFUSED_DELAY: Duration = Duration::from_secs(6);

/// The result of one attempt.
#[derive(Debug)]
pub(super) enum AttemptResult {
    /// It was sent, and the outcome is durable.
    Recorded { recorded: Recorded, verdict: Verdict, times: Times },
    /// Nothing went out, and the ledger stands as before.
    NotSent { pending: Pending, outcome: Outcome },
    /// It was recalled before it went out, and the ledger stands as before.
    Withdrawn(Pending),
    /// The edit is not this run's any more, and is in this state.
    NotYours { state: Option<State>, part: Option<Arc<PartTicket>> },
    /// The ledger failed. `unsure`: the ledger says `sending`, or has said `in_doubt` since this run.
    NotRecorded { error: LedgerError, unsure: bool, state_before: Option<State> },
}

/// What happens next to an edit whose attempt is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Nothing more in this run.
    Settled,
    /// Send it again after about this long.
    SendAgain(Duration),
    /// Read it back after this long, when the service can no longer be working on it.
    ReadBackAfter(Duration),
}

impl AttemptResult {
    /// The ledger has not taken what became of this edit.
    fn not_taken(
        error: LedgerError,
        unsure: bool,
        state_before: Option<State>,
        part: Option<Arc<PartTicket>>,
    ) -> AttemptResult {
        match error {
            LedgerError::NotYours(state) => AttemptResult::NotYours { state, part },
            error => AttemptResult::NotRecorded { error, unsure, state_before },
        }
    }
}

/// One attempt at one edit. `slot` is its slot among those that wait for a permit. The slot in flight is returned with
/// the result, since only the dispatcher knows, once it has taken that in, whether another request may go.
pub(super) async fn attempt<S: Service>(
    context: Arc<RunContext<S>>,
    pending: Pending,
    slot: Slot,
) -> (AttemptResult, Option<Slot>) {
    let mut slot_in_flight = None;
    let attempted = try_once(&context, pending, slot, &mut slot_in_flight).await;
    (attempted, slot_in_flight)
}

async fn try_once<S: Service>(
    context: &RunContext<S>,
    mut pending: Pending,
    slot: Slot,
    in_flight: &mut Option<Slot>,
) -> AttemptResult {
    let mut recalled = pin!(context.recall.notified());
    let checked = tokio::select! {
        biased;
        () = &mut recalled => Err(CheckCut::Stopping),
        checked = check_acceptance(context, &mut pending) => checked,
    };
    match checked {
        Ok(()) => {}
        Err(CheckCut::Stopping) => return AttemptResult::Withdrawn(pending),
        Err(CheckCut::NoPage(outcome)) => return AttemptResult::NotSent { pending, outcome },
    }
    if context.conditions.is_read_too_long_ago(pending.read_at()) {
        pending.require_reading();
        return AttemptResult::Withdrawn(pending);
    }
    let (line, edit, part) = (pending.line.clone(), Arc::clone(&pending.edit), pending.part.clone());
    // It came into doubt in this run and was about to be sent again: if that fails, it is still in doubt.
    let unsure = pending.state == Some(State::InDoubt) && pending.taken_up.is_none();
    let ready = match context.in_doubt {
        InDoubt::Retry => pending.send_again_unseen(),
        InDoubt::Verify | InDoubt::Hold => pending.ready(),
    };
    // Not ready: the dispatcher queues it to be read first.
    let ready = match ready {
        Ok(ready) => ready,
        Err(pending) => return AttemptResult::Withdrawn(pending),
    };
    let mut intent = match context.ledger.intend(ready).await {
        Ok(intent) => intent,
        Err(error) => return AttemptResult::not_taken(error, unsure, None, part),
    };
    let state_before = intent.taken_up();
    let mut times = Times::default();
    let intended = Instant::now();
    let permit = tokio::select! {
        biased;
        () = context.ledger.latched() => {
            return AttemptResult::not_taken(LedgerError::Latched, true, state_before, part);
        }
        () = context.stop.cancelled() => None,
        () = recalled => None,
        permit = context.permit(&context.pace) => permit,
    };
    drop(slot);
    // Read again, where the permit has come late.
    let is_stale = context.conditions.is_intended_too_long_ago(intended);
    let Some((slot_in_flight, permit)) = permit.filter(|_| !is_stale) else {
        return match context.ledger.withdraw(intent).await {
            Ok(pending) => AttemptResult::Withdrawn(pending),
            Err(error) => AttemptResult::not_taken(error, true, state_before, part),
        };
    };
    *in_flight = Some(slot_in_flight);
    let receipt = permit.receipt();
    let permitted = Instant::now();
    times.waited = permitted - intended;
    let handed = context.hand();
    let outcome = tokio::select! {
        biased;
        // Nothing goes out after this, and the outcome of what already has could not be recorded.
        () = context.ledger.latched() => {
            return AttemptResult::not_taken(LedgerError::Latched, true, state_before, part);
        }
        // The largest part of an attempt by far: boxed here, so that moving an attempt stays cheap.
        outcome = Box::pin(context.service.modify(&intent, permit)) => outcome,
    };
    drop(handed);
    times.answered = permitted.elapsed();
    if !matches!(outcome, Outcome::NotSent { .. } | Outcome::HeldBack | Outcome::NoSignature | Outcome::NoAnswer(_)) {
        context.pace.answered(receipt);
    }
    let verdict = context.judge(&outcome, &intent);
    if is_acceptance(&verdict) {
        context.accepted.edit_accepted(permitted, &edit);
    }
    let verdict = context.keep_pace(verdict, retry::backpressure(&outcome), &mut intent, receipt);
    tracing::debug!(line = line.number, list = line.list_name(), ?outcome, ?verdict, "answered");
    let Some(settlement) = settlement(&verdict, intent.tries(), intent.doubt(), context.attempts_max) else {
        return match context.ledger.withdraw(intent).await {
            Ok(pending) => AttemptResult::NotSent { pending, outcome },
            Err(error) => AttemptResult::not_taken(error, true, state_before, part),
        };
    };
    match context.ledger.record(intent, settlement).await {
        Ok(recorded) => AttemptResult::Recorded { recorded, verdict, times },
        Err(error) => AttemptResult::not_taken(error, true, state_before, part),
    }
}

/// What to record; `None` if nothing went out. `tries`: attempts so far that count. `doubt`: why the edit was in doubt
/// already; then only a success settles it, since a refusal says nothing about the attempt whose answer was lost.
fn settlement(verdict: &Verdict, tries: u32, doubt: Option<Note>, attempts_max: NonZeroU32) -> Option<Settlement> {
    let to = |state, code, note, counts| match (state, doubt) {
        (State::Waiting | State::Failed, Some(doubt)) => {
            Some(Settlement { state: State::InDoubt, code, note: Some(doubt), counts })
        }
        (State::Sending | State::Waiting | State::Done | State::Failed | State::InDoubt, _) => {
            Some(Settlement { state, code, note, counts })
        }
    };
    match *verdict {
        Verdict::Done => to(State::Done, Some(0), None, true),
        Verdict::Retry { code } if tries + 1 < attempts_max.get() => to(State::Waiting, code, None, true),
        Verdict::Retry { code } | Verdict::Failed { code } => to(State::Failed, code, None, true),
        // Not the edit's fault, so these attempts do not count. (If it is the edit's fault, the verdict is another
        // one.)
        Verdict::SlowDown { code, .. } | Verdict::Stop { code } => to(State::Waiting, code, None, false),
        Verdict::SignAnew { code } => to(State::Waiting, Some(code), None, false),
        Verdict::InDoubt { code, note } => to(State::InDoubt, code, Some(note), true),
        Verdict::NotSent => None,
    }
}

impl<S: Service> RunContext<S> {
    /// A code that concerns the job is the edit's fault if the edit got the same one before and the service has
    /// accepted something since. The first such code may come from a key that was just revoked: then all other edits are refused
    /// too until the run stops, and none of them must fail for it. Signing anew more than once for one edit does not
    /// help.
    fn judge(&self, outcome: &Outcome, intent: &Intent) -> Verdict {
        let verdict = match retry::judge(outcome) {
            Verdict::SignAnew { code } if intent.signed_anew() => Verdict::Stop { code: Some(code) },
            verdict => verdict,
        };
        match verdict {
            Verdict::Stop { code }
                if intent.job_refused().is_some_and(|first| first.code == code && self.accepted.is_since(&first)) =>
            {
                Verdict::Failed { code }
            }
            verdict => verdict,
        }
    }

    /// Passes the answer on to the pace. "Too fast" holds every request, unless this edit got it before while others
    /// pass: then it concerns this edit alone, which is retried later and fails when its attempts run out.
    fn keep_pace(
        &self,
        verdict: Verdict,
        backpressure: Backpressure,
        intent: &mut Intent,
        receipt: Receipt,
    ) -> Verdict {
        match backpressure {
            Backpressure::SlowDown(retry_after)
                if intent.too_fast_again().is_some_and(|first| self.pace.lets_others_pass_since(first)) =>
            {
                self.hold(retry_after.unwrap_or_default());
                // A 429 is not the service's own answer, so the edit stays in doubt.
                return if let Verdict::SlowDown { code, .. } = verdict { Verdict::Retry { code } } else { verdict };
            }
            Backpressure::SlowDown(retry_after) => {
                self.slow_down(verdict, receipt, retry_after);
                return verdict;
            }
            Backpressure::Hold(asked) => self.hold(asked),
            Backpressure::No => {}
        }
        match verdict {
            Verdict::Done
            | Verdict::Retry { .. }
            | Verdict::SignAnew { .. }
            | Verdict::Failed { .. }
            | Verdict::Stop { .. } => self.pace.passed(receipt),
            Verdict::SlowDown { .. } | Verdict::InDoubt { .. } | Verdict::NotSent => {}
        }
        verdict
    }

    fn slow_down(&self, verdict: Verdict, receipt: Receipt, retry_after: Option<Duration>) {
        let Some(held) = self.pace.slow_down(receipt, retry_after) else { return };
        self.lookups.hold(held);
        self.is_held_for(HoldReason::TooFast, held);
        self.publish_hold(held);
        let why = Cause::of(&verdict).map(|cause| cause.to_string()).unwrap_or_default();
        let (rate, ms) = (self.pace.now().rate, held.as_millis().max(1));
        // A single short hold is not worth a warning.
        if held >= HOLD_WARNED_MIN || self.pace.slow_downs() == 1 {
            tracing::warn!("slowed down ({why}): every request is held for {ms} ms; the rate is {rate}/s");
        } else {
            tracing::debug!("slowed down ({why}): every request is held for {ms} ms; the rate is {rate}/s");
        }
    }

    /// What happens next to an edit whose attempt is recorded.
    pub(super) fn after(&self, recorded: &Recorded, verdict: &Verdict) -> NextStep {
        let delay = retry::delay(recorded.tries());
        match (recorded.state(), verdict) {
            (State::Waiting, Verdict::Stop { .. }) => NextStep::SendAgain(JOB_REFUSED_DELAY),
            (State::Waiting, _) => NextStep::SendAgain(delay),
            (State::InDoubt, verdict) => match self.in_doubt {
                InDoubt::Verify => NextStep::ReadBackAfter(self.under_way.of_this_run),
                // Refused for good on a second attempt: a third would tell nothing more.
                InDoubt::Retry if matches!(verdict, Verdict::Failed { .. }) => NextStep::Settled,
                // Doubled, so that jitter cannot make it shorter than that.
                InDoubt::Retry if recorded.tries() < self.attempts_max.get() => {
                    NextStep::SendAgain(delay.max(2 * self.under_way.of_this_run))
                }
                InDoubt::Retry | InDoubt::Hold => NextStep::Settled,
            },
            (State::Sending | State::Done | State::Failed, _) => NextStep::Settled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_run_out_with_a_clear_refusal_and_only_those_that_count() {
        let max = NonZeroU32::new(3).unwrap();
        let state = |verdict, tries| settlement(&verdict, tries, None, max).map(|settlement| settlement.state);
        let passing = Verdict::Retry { code: Some(20004) };
        assert_eq!(state(passing, 0), Some(State::Waiting));
        assert_eq!(state(passing, 1), Some(State::Waiting));
        assert_eq!(state(passing, 2), Some(State::Failed));
        let slow = Verdict::SlowDown { code: Some(60007), retry_after: None };
        assert_eq!(state(slow, 100), Some(State::Waiting));
        assert_eq!(state(Verdict::SignAnew { code: 70_001 }, 100), Some(State::Waiting));
        let counts = |verdict| settlement(&verdict, 0, None, max).is_some_and(|settlement| settlement.counts);
        assert!(counts(passing) && !counts(slow) && !counts(Verdict::SignAnew { code: 70_001 }));
        assert_eq!(state(Verdict::InDoubt { code: None, note: Note::TimedOut }, 2), Some(State::InDoubt));
        assert_eq!(state(Verdict::NotSent, 0), None);
    }

    /// Once, an edit whose answer was lost, and which was refused when sent again, was recorded as waiting or failed;
    /// so a later run sent it a third time although the first attempt may have taken place.
    #[test]
    fn a_refusal_does_not_settle_a_doubt() {
        let max = NonZeroU32::new(3).unwrap();
        let doubt = Some(Note::TimedOut);
        for verdict in [
            Verdict::Retry { code: Some(20004) },
            Verdict::SlowDown { code: Some(60007), retry_after: None },
            Verdict::Failed { code: Some(20026) },
            Verdict::Stop { code: Some(70003) },
        ] {
            let settlement = settlement(&verdict, 2, doubt, max).unwrap();
            assert_eq!((settlement.state, settlement.note), (State::InDoubt, doubt), "{verdict:?}");
        }
        assert_eq!(settlement(&Verdict::Done, 0, doubt, max).unwrap().state, State::Done);
    }
}
