//! An edit that is still to be sent.

use std::sync::Arc;

use tokio::time::Instant;

use super::{EditRow, Note, PartTicket, State};
use crate::edit::{ContentDigest, Edit, IdDigest, Line, Original, Wanted};

/// An edit that is to be sent or read back, with what the ledger and this run know of it.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The edit.
    pub edit: Arc<Edit>,
    /// The digest of its message.
    pub message: IdDigest,
    /// The digest of its wanted content.
    pub content: ContentDigest,
    /// The line of the list it was read from.
    pub line: Line,
    /// Its state in the ledger; `None` if it is not in it.
    pub state: Option<State>,
    /// The content in the ledger, if that differs: a failed edit may be corrected.
    pub content_before: Option<ContentDigest>,
    // Cleared by a proof (`ready.rs`) or by a recorded outcome, and by nothing else.
    pub(in crate::ledger) doubt: Option<Note>,
    pub(in crate::ledger) read_first: bool,
    /// What was read, until it is kept with an intent.
    pub(in crate::ledger) original: Option<Original>,
    /// When its message was read last, and was not edited.
    pub(in crate::ledger) read_at: Option<Instant>,
    /// Its state before this run, until the first outcome in this run is recorded.
    pub taken_up: Option<State>,
    /// The attempts so far, in all runs.
    pub attempts: u32,
    /// The attempts in this run that count towards the maximum.
    pub tries: u32,
    /// How often reading it back has failed since its last attempt.
    pub looks: u32,
    /// Its first refusal in this run with a code that concerns the job, while the service accepted others.
    pub job_refused: Option<JobRefused>,
    /// Its signature was refused in this run and renewed.
    pub signed_anew: bool,
    /// When the service first answered "too fast" to it in this run.
    pub too_fast_at: Option<Instant>,
    /// When the service first answered "too fast" to reading it back in this run.
    pub look_too_fast_at: Option<Instant>,
    /// The part of the list that it is from, if the list is dealt out in parts.
    pub part: Option<Arc<PartTicket>>,
    /// Until when a lost run may still have it in its hands.
    pub lost: Option<InLostHands>,
}

/// An edit that a lost run was sending. That run may only stand still, and its request may go out later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InLostHands {
    /// It is not read back before this.
    pub read_from: Instant,
    /// What is read before this does not prove that the edit will not take place, so it is not sent again before this.
    pub send_from: Instant,
}

/// A refusal with a code that concerns the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobRefused {
    /// When its answer came.
    pub at: Instant,
    /// The code.
    pub code: Option<i64>,
}

impl Pending {
    /// The edit of this `line`, with its row in the ledger, if there is one.
    pub fn new(edit: Edit, wanted: Wanted, line: impl Into<Line>, known: Option<EditRow>) -> Pending {
        let Wanted { message, content, .. } = wanted;
        let state = known.map(|known| known.state);
        Pending {
            edit: Arc::new(edit),
            message,
            content,
            line: line.into(),
            state,
            content_before: known.map(|known| known.content).filter(|before| *before != content),
            doubt: known
                .filter(|known| known.state == State::InDoubt)
                .map(|known| known.note.unwrap_or(Note::ProcessDied)),
            // An edit that reading its message kept from being sent is read again before it is sent.
            read_first: known.and_then(|known| known.note).is_some_and(Note::is_of_reading_first),
            original: None,
            read_at: None,
            taken_up: state,
            attempts: known.map_or(0, |known| known.attempts),
            tries: 0,
            looks: 0,
            job_refused: None,
            signed_anew: false,
            too_fast_at: None,
            look_too_fast_at: None,
            part: None,
            lost: None,
        }
    }

    /// Whether its answer was lost in this run, and the ledger still has it in doubt.
    pub fn came_into_doubt(&self) -> bool {
        self.state == Some(State::InDoubt) && self.taken_up.is_none()
    }
}
