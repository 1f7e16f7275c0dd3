//! Settles an edit in doubt by reading its message back; with `--read-first`, reads every message before its edit is
//! sent.
//!
//! If the message holds the wanted content, the edit took place. If it holds other content, the edit did not take place
//! and no longer can, since a message is read only once the service can no longer be working on the request; the edit
//! is sent again. Anything else proves nothing, and the edit stays in doubt for a person to check. An edit that is read
//! before its first attempt fails, and is not sent, if its message was recalled or is not there.

use std::sync::Arc;

use tokio::time::Instant;

use super::conditions::Conditions;
use super::context::RunContext;
use super::history_access::Unreadable;
use super::lookup::{LookupCut, SideHistory, find, slow_down};
use super::tally::Cause;
use crate::api::error_code::{self, Class};
use crate::api::history::{HistoryMessage, HistoryQuery};
use crate::api::{Outcome, Service};
use crate::edit::{Likeness, Original};
use crate::ledger::{LedgerError, NotEdited, Note, PartTicket, Pending, Recorded, Settlement, State};
use crate::pace::Receipt;
use crate::retry::{self, Verdict};

/// What a read-back has shown. If the two sides differ, the later in this list prevails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evidence {
    /// Nothing: the message is not there, or cannot be looked up.
    Nothing(Note),
    NotEdited(NotEdited),
    /// It was not edited, and must not be, for this reason.
    Unfit(Note),
    /// Nothing: the lookup was refused or cut short. It might have shown the edit, so it outweighs a side that does
    /// not.
    Refused(Unreadable),
    Recalled,
    Alike,
    Edited,
}

/// What a read-back says about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ServiceSignal {
    /// No request was needed.
    Unasked,
    /// The answer settles the edit.
    Conclusive,
    /// The answer does not settle the edit.
    Inconclusive,
    /// The answer was lost.
    Lost(Note),
}

/// The result of one read-back.
#[derive(Debug)]
pub(super) enum ReadBackResult {
    /// What it has shown is durable.
    Settled { recorded: Recorded, signal: ServiceSignal },
    /// The edit did not take place, and can be sent again.
    NotEdited(Pending),
    /// The edit has not taken place yet, but a lost run may still have it in its hands: it is read again later.
    NotYet(Pending),
    /// The edit is not this run's any more, and is in this state.
    NotYours { state: Option<State>, part: Option<Arc<PartTicket>> },
    /// No history page came, only this outcome.
    NoPage { pending: Pending, outcome: Outcome },
    /// The run stops or is paused.
    Stopped(Pending),
    /// The ledger failed. `unsure`: the ledger has said `in_doubt` since this run.
    NotRecorded { error: LedgerError, unsure: bool },
}

/// Reads one edit back, and settles it if its message shows what became of it.
pub(super) async fn read_back<S: Service>(context: Arc<RunContext<S>>, mut pending: Pending) -> ReadBackResult {
    // An edit that came into doubt in this run is still read back while the run stops; any other stays as it was.
    let stop = if pending.came_into_doubt() { &context.lookups.stop } else { &context.stop };
    let begun = Instant::now();
    // A lookup changes nothing, so it can be cut off at any time.
    let found = stop.run_until_cancelled(look_up_both_sides(&context, &pending)).await;
    let (evidence, signal) = match found.unwrap_or(Err(LookupCut::Stopping)) {
        Ok(Look { evidence: Evidence::NotEdited(_) | Evidence::Unfit(_), .. })
            if pending.lost.is_some_and(|lost| begun < lost.send_from) =>
        {
            return ReadBackResult::NotYet(pending);
        }
        Ok(Look { evidence: Evidence::NotEdited(proof), original, .. })
            if pending.tries < context.attempts_max.get() =>
        {
            let found = pending.found_not_edited(proof, original);
            return found.map_or_else(ReadBackResult::Stopped, ReadBackResult::NotEdited);
        }
        Ok(Look { evidence, signal, .. }) => (evidence, signal),
        Err(LookupCut::Stopping) => return ReadBackResult::Stopped(pending),
        Err(LookupCut::NoPage(outcome, receipt)) => {
            let verdict = retry::judge(&outcome);
            let is_refused_alone = slow_down(&context, &outcome, &mut pending, receipt);
            pending.looks += u32::from(is_refused_alone || counts(verdict));
            if pending.looks < context.attempts_max.get() {
                return ReadBackResult::NoPage { pending, outcome };
            }
            match verdict {
                Verdict::InDoubt { note, .. } => (Evidence::Nothing(Note::ReadBackFailed), ServiceSignal::Lost(note)),
                Verdict::SlowDown { code, .. } => {
                    (Evidence::Refused(Unreadable { note: Note::ReadBackFailed, code }), ServiceSignal::Inconclusive)
                }
                Verdict::Done
                | Verdict::Retry { .. }
                | Verdict::SignAnew { .. }
                | Verdict::Failed { .. }
                | Verdict::NotSent
                | Verdict::Stop { .. } => (Evidence::Nothing(Note::ReadBackFailed), ServiceSignal::Inconclusive),
            }
        }
    };
    tracing::debug!(line = pending.line.number, list = pending.line.list_name(), ?evidence, "read back");
    let unsure = pending.came_into_doubt();
    let settlement =
        if pending.doubt().is_some() { evidence.settlement() } else { evidence.settlement_before_sending() };
    let part = pending.part.clone();
    match context.ledger.settle(pending, settlement).await {
        Ok(recorded) => ReadBackResult::Settled { recorded, signal },
        Err(LedgerError::NotYours(state)) => ReadBackResult::NotYours { state, part },
        Err(error) => ReadBackResult::NotRecorded { error, unsure },
    }
}

/// Each side has a history of its own. The edit was not made only if neither shows the wanted content; a side that
/// cannot be read might show it.
async fn look_up_both_sides<S: Service>(context: &RunContext<S>, pending: &Pending) -> Result<Look, LookupCut> {
    let id = pending.edit.id();
    let Some(second) = id.second() else {
        return Ok(Look::of(Evidence::Nothing(Note::KeyWithoutTime), ServiceSignal::Unasked));
    };
    if let Some(refused) = context.lookups.refused.get() {
        return Ok(Look::of(Evidence::Refused(*refused), ServiceSignal::Unasked));
    }
    let mut evidence = Evidence::Nothing(Note::NotInHistory);
    let mut original = None;
    for (operator, peer) in [(&id.from_account, &id.to_account), (&id.to_account, &id.from_account)] {
        // Another read-back may have found meanwhile that the service refuses them all.
        if let Some(refused) = context.lookups.refused.get() {
            return Ok(Look::of(evidence.max(Evidence::Refused(*refused)), ServiceSignal::Inconclusive));
        }
        let side = match find(context, id, HistoryQuery::around(second, operator, peer)).await {
            Ok(SideHistory::Found(held)) => {
                let held = Held::of(context, pending, &held);
                original = original.or(held.original);
                held.evidence
            }
            Ok(SideHistory::NotThere) => continue,
            Ok(SideHistory::Unread) => Evidence::Refused(Unreadable { note: Note::ReadBackFailed, code: None }),
            Err(LookupCut::NoPage(outcome, receipt)) => Evidence::Refused(refusal(context, outcome, receipt)?),
            Err(cut) => return Err(cut),
        };
        if side == Evidence::Edited {
            return Ok(Look::of(side, ServiceSignal::Conclusive));
        }
        evidence = evidence.max(side);
    }
    let is_conclusive = matches!(evidence, Evidence::NotEdited(_) | Evidence::Unfit(_));
    let signal = if is_conclusive { ServiceSignal::Conclusive } else { ServiceSignal::Inconclusive };
    Ok(Look { evidence, signal, original })
}

/// The evidence where the service refuses lookups of this message, or all lookups; other outcomes are passed on.
fn refusal<S: Service>(context: &RunContext<S>, outcome: Outcome, receipt: Receipt) -> Result<Unreadable, LookupCut> {
    let verdict = retry::judge(&outcome);
    match verdict {
        Verdict::Failed { code, .. } => Ok(Unreadable { note: Note::ReadBackRefused, code }),
        // A refused signature is different: without one, no edit can be made either.
        Verdict::Stop { code, .. } if !is_signature(code) => {
            let refused = Unreadable { note: Note::ReadBackRefused, code };
            if context.lookups.refused.set(refused).is_ok() {
                let why = Cause::of(&verdict).map(|cause| cause.to_string()).unwrap_or_default();
                tracing::warn!(
                    "the service refuses to let messages be read back ({why}): edits in doubt stay in doubt"
                );
            }
            Ok(refused)
        }
        _ => Err(LookupCut::NoPage(outcome, receipt)),
    }
}

/// Whether the outcome counts as one of the edit's failed lookups. An unreachable service is handled elsewhere, "too
/// fast" in [`slow_down`].
fn counts(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Retry { .. } | Verdict::InDoubt { .. } | Verdict::SignAnew { .. })
}

fn is_signature(code: Option<i64>) -> bool {
    code.and_then(error_code::lookup).is_some_and(|entry| entry.class == Class::Signature)
}

/// What both sides have shown.
struct Look {
    evidence: Evidence,
    signal: ServiceSignal,
    /// What the message held, if it is to be kept.
    original: Option<Original>,
}

impl Look {
    fn of(evidence: Evidence, signal: ServiceSignal) -> Look {
        Look { evidence, signal, original: None }
    }
}

/// What one side has shown that has the message.
struct Held {
    evidence: Evidence,
    original: Option<Original>,
}

impl Held {
    fn of<S: Service>(context: &RunContext<S>, pending: &Pending, held: &HistoryMessage) -> Held {
        let (body, custom_data) = (held.msg_body.as_ref(), held.cloud_custom_data.as_deref());
        let (evidence, mut original) = (Evidence::of(pending, held), None);
        if !matches!(evidence, Evidence::NotEdited(_)) {
            return Held { evidence, original };
        }
        let Conditions { reviewed, keeps_originals } = &context.conditions;
        if reviewed.as_ref().is_some_and(|reviewed| !reviewed.is_as_reviewed(pending.message, body, custom_data)) {
            return Held { evidence: Evidence::Unfit(Note::NotAsReviewed), original };
        }
        if *keeps_originals {
            original = Original::of(&pending.edit, body, custom_data);
            if original.is_none() {
                return Held { evidence: Evidence::Unfit(Note::NotShown), original };
            }
        }
        Held { evidence, original }
    }
}

impl Evidence {
    fn of(pending: &Pending, held: &HistoryMessage) -> Evidence {
        let (body, custom_data) = (held.msg_body.as_ref(), held.cloud_custom_data.as_deref());
        match pending.edit.likeness(body, custom_data) {
            Likeness::Same => Evidence::Edited,
            _ if held.recalled => Evidence::Recalled,
            Likeness::Alike | Likeness::Other => {
                NotEdited::shown_by(pending, body, custom_data).map_or(Evidence::Alike, Evidence::NotEdited)
            }
        }
    }

    fn settlement(self) -> Settlement {
        let (state, note, code) = match self {
            Evidence::Edited => (State::Done, Note::ReadBack, None),
            Evidence::NotEdited(_) => (State::Failed, Note::NotEdited, None),
            // It was sent, and what the message holds now may be somebody's answer to that.
            Evidence::Unfit(_) => (State::InDoubt, Note::ReadsOtherwise, None),
            Evidence::Recalled => (State::InDoubt, Note::Recalled, None),
            Evidence::Alike => (State::InDoubt, Note::Alike, None),
            Evidence::Nothing(note) => (State::InDoubt, note, None),
            Evidence::Refused(Unreadable { note, code }) => (State::InDoubt, note, code),
        };
        Settlement { state, code, note: Some(note), counts: false }
    }

    /// For an edit that is not in doubt and is read before it is sent: it is not sent if its message is not there or
    /// was recalled. Where nothing is proved, a run that the ledger does not know of may have made the edit.
    fn settlement_before_sending(self) -> Settlement {
        let (state, note) = match self {
            Evidence::Edited => (State::Done, Note::AlreadyThere),
            Evidence::Recalled => (State::Failed, Note::RecalledBefore),
            Evidence::Nothing(Note::NotInHistory) => (State::Failed, Note::NotThere),
            Evidence::Unfit(note) => (State::Failed, note),
            Evidence::NotEdited(_) | Evidence::Alike | Evidence::Nothing(_) | Evidence::Refused(_) => {
                return self.settlement();
            }
        };
        Settlement { state, code: None, note: Some(note), counts: false }
    }
}
