//! The life of one edit, from a checked row to a durable outcome: a straight line.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::tally::Cause;
use super::todo::InDoubt;
use crate::api::{Outcome, Service};
use crate::ledger::{Intent, Ledger, LedgerError, Note, Pending, Recorded, Settlement, State};
use crate::pace::Pace;
use crate::retry::{self, Verdict};

/// The service works on a request for at most 3 s: a look or a second sending before that could overtake it.
const SERVICE_WORKS: Duration = Duration::from_secs(3);

/// What an edit passes on its way.
#[derive(Debug)]
pub struct Line<S> {
    /// Intents and outcomes.
    pub ledger: Ledger,
    /// When the next request may go out.
    pub pace: Pace,
    /// Who carries it out.
    pub service: S,
    /// Sendings of one edit at most.
    pub attempts_max: NonZeroU32,
    /// What becomes of an edit in doubt.
    pub in_doubt: InDoubt,
    /// Cancelled when nothing more shall be sent.
    pub stop: CancellationToken,
    /// For the jitter of the delays.
    pub seed: u64,
}

/// Where one attempt came down.
#[derive(Debug)]
pub(super) enum Landed {
    /// It was sent, and what came of it is durable.
    Recorded { recorded: Recorded, verdict: Verdict },
    /// There is no connection to the service; the intent was taken back.
    Unreachable { pending: Pending, reason: String },
    /// The run stops; the intent was taken back.
    Withdrawn(Pending),
    /// The ledger failed. `unsure`: it says `sending`, or `in_doubt` since this run.
    NotRecorded { error: LedgerError, unsure: bool, taken_up: Option<State> },
}

impl Landed {
    fn not_recorded(error: LedgerError, intent: &Intent) -> Landed {
        Landed::NotRecorded { error, unsure: true, taken_up: intent.taken_up() }
    }
}

/// One attempt at one edit. `slot` is its place among those that wait for a permit.
pub(super) async fn attempt<S: Service>(line: Arc<Line<S>>, pending: Pending, slot: OwnedSemaphorePermit) -> Landed {
    let number = pending.line;
    // Came into doubt in this run, and was to be sent again: if that fails it is in doubt all the same.
    let unsure = pending.state == Some(State::InDoubt) && pending.taken_up.is_none();
    let intent = match line.ledger.intend(pending).await {
        Ok(intent) => intent,
        Err(error) => return Landed::NotRecorded { error, unsure, taken_up: None },
    };
    let taken_up = intent.taken_up();
    let permit = tokio::select! {
        biased;
        () = line.ledger.latched() => return Landed::not_recorded(LedgerError::Latched, &intent),
        () = line.stop.cancelled() => None,
        permit = line.pace.permit() => Some(permit),
    };
    drop(slot);
    let Some(permit) = permit else {
        return match line.ledger.withdraw(intent).await {
            Ok(pending) => Landed::Withdrawn(pending),
            Err(error) => Landed::NotRecorded { error, unsure: true, taken_up },
        };
    };
    let receipt = permit.receipt();
    let outcome = tokio::select! {
        biased;
        // What has not gone out by then never will; what has could not be recorded any more.
        () = line.ledger.latched() => return Landed::not_recorded(LedgerError::Latched, &intent),
        outcome = line.service.modify(&intent, permit) => outcome,
    };
    if !matches!(outcome, Outcome::NotSent { .. } | Outcome::NoAnswer(_)) {
        line.pace.answered(receipt);
    }
    let verdict = retry::judge(&outcome);
    tracing::debug!(line = number, ?outcome, ?verdict, "answered");
    if let Verdict::SlowDown { retry_after, .. } = verdict
        && let Some(held) = line.pace.slow_down(receipt, retry_after)
    {
        let why = Cause::of(&verdict).map(|cause| cause.to_string()).unwrap_or_default();
        tracing::warn!("slowed down ({why}): every request is held for {held:?}, then the rate climbs back");
    }
    let Some(settlement) = settlement(&verdict, intent.tries(), intent.doubt(), line.attempts_max) else {
        let reason = if let Outcome::NotSent { reason } = outcome { reason } else { String::new() };
        return match line.ledger.withdraw(intent).await {
            Ok(pending) => Landed::Unreachable { pending, reason },
            Err(error) => Landed::NotRecorded { error, unsure: true, taken_up },
        };
    };
    match line.ledger.record(intent, settlement).await {
        Ok(recorded) => Landed::Recorded { recorded, verdict },
        Err(error) => Landed::NotRecorded { error, unsure: true, taken_up },
    }
}

/// What is to be recorded; `None` where nothing went out. `tries`: those before that count. `doubt`: why it was in doubt
/// already; then only a success settles it, as a refusal says nothing about the sending whose answer was lost.
fn settlement(verdict: &Verdict, tries: u32, doubt: Option<Note>, attempts_max: NonZeroU32) -> Option<Settlement> {
    let to = |state, code, note, counts| match (state, doubt) {
        (State::Waiting | State::Failed, Some(doubt)) => {
            Some(Settlement { state: State::InDoubt, code, note: Some(doubt), counts })
        }
        _ => Some(Settlement { state, code, note, counts }),
    };
    match *verdict {
        Verdict::Done => to(State::Done, Some(0), None, true),
        Verdict::Retry { code, note } if tries + 1 < attempts_max.get() => to(State::Waiting, code, note, true),
        Verdict::Retry { code, note } | Verdict::Failed { code, note } => to(State::Failed, code, note, true),
        // Not the edit's fault: these tries do not count.
        Verdict::SlowDown { code, note, .. } | Verdict::Stop { code, note } => to(State::Waiting, code, note, false),
        Verdict::SignAnew { code } => to(State::Waiting, Some(code), None, false),
        Verdict::InDoubt { note } => to(State::InDoubt, None, Some(note), true),
        Verdict::NotSent => None,
    }
}

impl<S: Service> Line<S> {
    /// After how long a recorded edit is sent again, without jitter; `None` where it is settled.
    pub(super) fn after(&self, recorded: &Recorded, verdict: &Verdict) -> Option<Duration> {
        let delay = retry::delay(recorded.tries());
        match (recorded.state(), verdict) {
            // It was the signature's fault, and there is a new one.
            (State::Waiting, Verdict::SignAnew { .. }) => Some(Duration::ZERO),
            (State::Waiting, _) => Some(delay),
            (State::InDoubt, verdict) => match self.in_doubt {
                // Refused for good, once it was sent again: a third time tells nothing more.
                InDoubt::Retry if matches!(verdict, Verdict::Failed { .. }) => None,
                // Doubled, so that the jitter cannot make it shorter than the service takes.
                InDoubt::Retry if recorded.tries() < self.attempts_max.get() => Some(delay.max(2 * SERVICE_WORKS)),
                InDoubt::Retry | InDoubt::Hold => None,
            },
            (State::Sending | State::Done | State::Failed, _) => None,
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
        let passing = Verdict::Retry { code: Some(20004), note: None };
        assert_eq!(state(passing, 0), Some(State::Waiting));
        assert_eq!(state(passing, 1), Some(State::Waiting));
        assert_eq!(state(passing, 2), Some(State::Failed));
        let slow = Verdict::SlowDown { code: Some(60007), note: None, retry_after: None };
        assert_eq!(state(slow, 100), Some(State::Waiting));
        assert_eq!(state(Verdict::InDoubt { note: Note::TimedOut }, 2), Some(State::InDoubt));
        assert_eq!(state(Verdict::NotSent, 0), None);
    }

    /// An edit whose answer was lost, sent again and then refused, was once recorded as waiting or failed: a later run
    /// sent it a third time although the first sending may have taken place.
    #[test]
    fn a_refusal_does_not_settle_a_doubt() {
        let max = NonZeroU32::new(3).unwrap();
        let doubt = Some(Note::TimedOut);
        for verdict in [
            Verdict::Retry { code: Some(20004), note: None },
            Verdict::SlowDown { code: Some(60007), note: None, retry_after: None },
            Verdict::Failed { code: Some(20026), note: None },
            Verdict::Stop { code: Some(70003), note: None },
        ] {
            let settlement = settlement(&verdict, 2, doubt, max).unwrap();
            assert_eq!((settlement.state, settlement.note), (State::InDoubt, doubt), "{verdict:?}");
        }
        assert_eq!(settlement(&Verdict::Done, 0, doubt, max).unwrap().state, State::Done);
    }
}
