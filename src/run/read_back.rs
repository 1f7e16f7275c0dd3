//! An edit in doubt, settled by reading its message back.
//!
//! The message holds what is wanted: the edit took place. It holds something else: the edit did not take place, and will
//! not any more, since nobody looks before the service can no longer be working on the request; so it is sent again.
//! Everything else tells nothing, and the edit stays in doubt, for a person to look at.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use super::life::Line;
use super::tally::Cause;
use crate::api::error_code::{self, Class};
use crate::api::history::{Held, Names, Page, Question};
use crate::api::{Outcome, Service};
use crate::edit::{Edit, Likeness, MessageId};
use crate::ledger::{LedgerError, Note, Pending, Recorded, Settlement, State};
use crate::pace::Pace;
use crate::retry::{self, Verdict};

/// The service works on a request for at most 3 s. The rest is for the way there, and for its storage to show what it did.
pub const READ_BACK_AFTER: Duration = Duration::from_secs(5);
/// The limit of this call; it is not the edits' limit.
const RATE_MAX: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Pages of one second's history that are looked through.
const PAGES_MAX: u32 = 50;

/// What all read-backs of a run share.
#[derive(Debug)]
pub(super) struct ReadBacks {
    pace: Pace,
    /// The service takes the older names of the accounts only.
    older_names: AtomicBool,
    /// Why the service refuses to have anything read back: then it is not asked again in this run.
    refused: OnceLock<Unclear>,
    requests: AtomicU64,
}

/// Why reading back told nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Unclear {
    note: Note,
    code: Option<i64>,
}

/// What reading back told. The later in this list, the more it counts when the two sides tell different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Unclear(Unclear),
    NotEdited,
    Recalled,
    Alike,
    Edited,
}

/// Where one read-back came down.
#[derive(Debug)]
pub(super) enum Read {
    /// What it told is durable.
    Settled(Recorded),
    /// The edit did not take place, and can be sent again.
    NotEdited(Pending),
    /// No page came back, but this.
    NoPage { pending: Pending, outcome: Outcome },
    /// The run stops.
    Stopped(Pending),
    /// The ledger failed. `unsure`: it says `in_doubt` since this run.
    NotRecorded { error: LedgerError, unsure: bool },
}

/// Why a read-back ended before it told anything.
enum Broken {
    /// The run stops.
    Stopping,
    /// No page came back, but this.
    NoPage(Outcome),
}

impl ReadBacks {
    pub(super) fn new(rate: NonZeroU32, not_before: Instant) -> ReadBacks {
        ReadBacks {
            pace: Pace::new(rate.min(RATE_MAX), not_before),
            older_names: AtomicBool::new(false),
            refused: OnceLock::new(),
            requests: AtomicU64::new(0),
        }
    }

    pub(super) fn hold(&self, duration: Duration) {
        self.pace.hold(duration);
    }

    /// Requests so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Reads one edit in doubt back, and settles it where that tells what became of it.
pub(super) async fn read_back<S: Service>(line: Arc<Line<S>>, mut pending: Pending) -> Read {
    let told = match line.read_backs.refused.get() {
        Some(unclear) => Ok(Told::Unclear(*unclear)),
        None => ask_both_sides(&line, &pending.edit).await,
    };
    let told = match told {
        Ok(Told::NotEdited) if pending.tries < line.attempts_max.get() => {
            pending.doubt = None;
            return Read::NotEdited(pending);
        }
        Ok(told) => told,
        Err(Broken::Stopping) => return Read::Stopped(pending),
        Err(Broken::NoPage(outcome)) => {
            let counts = matches!(retry::judge(&outcome), Verdict::Retry { .. } | Verdict::InDoubt { .. });
            pending.looks += u32::from(counts);
            if pending.looks < line.attempts_max.get() {
                return Read::NoPage { pending, outcome };
            }
            Told::Unclear(Unclear { note: Note::ReadBackFailed, code: None })
        }
    };
    tracing::debug!(line = pending.line, ?told, "read back");
    let unsure = pending.taken_up.is_none();
    match line.ledger.settle(pending, told.settlement()).await {
        Ok(recorded) => Read::Settled(recorded),
        Err(error) => Read::NotRecorded { error, unsure },
    }
}

/// Each side has a history of its own. Only where none of them shows the wanted content was the edit not made.
async fn ask_both_sides<S: Service>(line: &Line<S>, edit: &Edit) -> Result<Told, Broken> {
    let id = edit.id();
    let Some(second) = id.second() else {
        return Ok(Told::Unclear(Unclear { note: Note::KeyWithoutTime, code: None }));
    };
    let mut told = Told::Unclear(Unclear { note: Note::NotInHistory, code: None });
    for (operator, peer) in [(&id.from_account, &id.to_account), (&id.to_account, &id.from_account)] {
        let side = match find(line, id, Question::around(second, operator, peer)).await {
            Ok(Some(held)) => Told::of(edit, &held),
            Ok(None) => continue,
            Err(Broken::NoPage(outcome)) => Told::Unclear(refusal(line, outcome)?),
            Err(Broken::Stopping) => return Err(Broken::Stopping),
        };
        if side == Told::Edited || line.read_backs.refused.get().is_some() {
            return Ok(side);
        }
        if side.weight() >= told.weight() {
            told = side;
        }
    }
    Ok(told)
}

/// What is left to say where the service refuses to have this message read back, or any; other outcomes pass.
fn refusal<S: Service>(line: &Line<S>, outcome: Outcome) -> Result<Unclear, Broken> {
    let verdict = retry::judge(&outcome);
    match verdict {
        Verdict::Failed { code, .. } => Ok(Unclear { note: Note::ReadBackRefused, code }),
        // Not so the signature: without one, no edit can be made either.
        Verdict::Stop { code, .. } if !is_signature(code) => {
            let unclear = Unclear { note: Note::ReadBackRefused, code };
            if line.read_backs.refused.set(unclear).is_ok() {
                let why = Cause::of(&verdict).map(|cause| cause.to_string()).unwrap_or_default();
                tracing::warn!("the service refuses to have messages read back ({why}): what is in doubt stays so");
            }
            Ok(unclear)
        }
        _ => Err(Broken::NoPage(outcome)),
    }
}

fn is_signature(code: Option<i64>) -> bool {
    code.and_then(error_code::lookup).is_some_and(|entry| entry.class == Class::Signature)
}

/// Looks for a message in one side's history, page by page.
async fn find<S: Service>(line: &Line<S>, id: &MessageId, mut question: Question) -> Result<Option<Held>, Broken> {
    for _ in 0..PAGES_MAX {
        let page = page(line, &mut question).await?;
        if let Some(held) = page.messages.into_iter().find(|held| held.id == *id) {
            return Ok(Some(held));
        }
        let goes_on = question.last_msg_key.as_ref() != Some(&page.last_msg_key) && !page.last_msg_key.is_empty();
        if page.complete || !goes_on || page.last_msg_time < question.min_time {
            return Ok(None);
        }
        question.max_time = page.last_msg_time;
        question.last_msg_key = Some(page.last_msg_key);
    }
    Ok(None)
}

/// One page, with the names of the accounts that this service takes.
async fn page<S: Service>(line: &Line<S>, question: &mut Question) -> Result<Page, Broken> {
    let older = &line.read_backs.older_names;
    question.names = if older.load(Ordering::Relaxed) { Names::Older } else { Names::Newer };
    match ask(line, question).await {
        Err(Broken::NoPage(Outcome::Refused { code: 90001 | 90003 | 90008, .. })) => {
            question.names = question.names.other();
            let page = ask(line, question).await?;
            older.store(question.names == Names::Older, Ordering::Relaxed);
            Ok(page)
        }
        answer => answer,
    }
}

/// One request.
async fn ask<S: Service>(line: &Line<S>, question: &Question) -> Result<Page, Broken> {
    let pace = &line.read_backs.pace;
    let permit = tokio::select! {
        biased;
        () = line.stop.cancelled() => return Err(Broken::Stopping),
        permit = pace.permit() => permit,
    };
    let receipt = permit.receipt();
    let answer = tokio::select! {
        biased;
        // To have looked changes nothing, so nobody needs the answer.
        () = line.stop.cancelled() => return Err(Broken::Stopping),
        answer = line.service.history(question, permit) => answer,
    };
    if !matches!(answer, Err(Outcome::NotSent { .. } | Outcome::NoSignature)) {
        line.read_backs.requests.fetch_add(1, Ordering::Relaxed);
    }
    match &answer {
        Ok(_) => pace.answered(receipt),
        Err(outcome) => {
            if let Verdict::SlowDown { retry_after, .. } = retry::judge(outcome)
                && let Some(held) = pace.slow_down(receipt, retry_after)
            {
                line.pace.hold(held);
            }
        }
    }
    answer.map_err(Broken::NoPage)
}

impl Question {
    /// The history around one second: the clocks of the service's machines may differ a little.
    fn around(second: u32, operator: &str, peer: &str) -> Question {
        Question {
            operator: operator.to_owned(),
            peer: peer.to_owned(),
            min_time: second.saturating_sub(1),
            max_time: second.saturating_add(1),
            last_msg_key: None,
            names: Names::Newer,
        }
    }
}

impl Told {
    fn of(edit: &Edit, held: &Held) -> Told {
        match edit.likeness(held.msg_body.as_ref(), held.cloud_custom_data.as_deref()) {
            Likeness::Same => Told::Edited,
            _ if held.recalled => Told::Recalled,
            Likeness::Alike => Told::Alike,
            Likeness::Other => Told::NotEdited,
        }
    }

    fn weight(self) -> u8 {
        match self {
            Told::Unclear(_) => 0,
            Told::NotEdited => 1,
            Told::Recalled => 2,
            Told::Alike => 3,
            Told::Edited => 4,
        }
    }

    fn settlement(self) -> Settlement {
        let (state, note, code) = match self {
            Told::Edited => (State::Done, Note::ReadBack, None),
            Told::NotEdited => (State::Failed, Note::NotEdited, None),
            Told::Recalled => (State::InDoubt, Note::Recalled, None),
            Told::Alike => (State::InDoubt, Note::Alike, None),
            Told::Unclear(Unclear { note, code }) => (State::InDoubt, note, code),
        };
        Settlement { state, code, note: Some(note), counts: false }
    }
}
