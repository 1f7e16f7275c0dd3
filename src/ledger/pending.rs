//! An edit that is to be sent.

use std::sync::Arc;

use tokio::time::Instant;

use super::{EditRow, Note, State};
use crate::edit::{ContentDigest, Edit, IdDigest, Wanted};

/// An edit that is to be sent, and how it stands in the ledger.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The edit.
    pub edit: Arc<Edit>,
    /// The digest of its message.
    pub message: IdDigest,
    /// The digest of its wanted content.
    pub content: ContentDigest,
    /// The line of the list it was read from.
    pub line: u64,
    /// How it stands in the ledger; `None` if it is not in it.
    pub state: Option<State>,
    /// The content that the ledger has for it, where that differs: a failed edit may be mended.
    pub content_before: Option<ContentDigest>,
    /// Why it is in doubt. `None` also where the ledger still says so, but reading the message back has told that it was
    /// not edited: then it may be sent.
    pub doubt: Option<Note>,
    /// Its message must be read before it is sent.
    pub read_first: bool,
    /// How it stood before this run, until its first sending in this run is recorded.
    pub taken_up: Option<State>,
    /// Sendings so far, in all runs.
    pub attempts: u32,
    /// Sendings in this run that count towards the most that are allowed.
    pub tries: u32,
    /// How often it was tried in vain to read it back since its last sending.
    pub looks: u32,
    /// When it was first refused in this run with a code that speaks of the job, while the service accepted others.
    pub job_refused_at: Option<Instant>,
    /// Its signature was refused in this run, and made anew.
    pub signed_anew: bool,
    /// When the service first answered "too fast" to it in this run.
    pub too_fast_at: Option<Instant>,
    /// The same, to reading it back.
    pub look_too_fast_at: Option<Instant>,
}

impl Pending {
    /// An edit that is wanted in `line`; what the ledger has `known` of it so far.
    pub fn new(edit: Edit, wanted: Wanted, line: u64, known: Option<EditRow>) -> Pending {
        let Wanted { message, content } = wanted;
        let state = known.map(|known| known.state);
        Pending {
            edit: Arc::new(edit),
            message,
            content,
            line,
            state,
            content_before: known.map(|known| known.content).filter(|before| *before != content),
            doubt: known
                .filter(|known| known.state == State::InDoubt)
                .map(|known| known.note.unwrap_or(Note::ProcessDied)),
            // What was not sent for what its message showed is not sent before that shows something else.
            read_first: known.and_then(|known| known.note).is_some_and(Note::is_of_reading_first),
            taken_up: state,
            attempts: known.map_or(0, |known| known.attempts),
            tries: 0,
            looks: 0,
            job_refused_at: None,
            signed_anew: false,
            too_fast_at: None,
            look_too_fast_at: None,
        }
    }

    /// Its answer was lost in this run, and nothing has settled it since as far as the ledger says.
    pub fn came_into_doubt(&self) -> bool {
        self.state == Some(State::InDoubt) && self.taken_up.is_none()
    }
}
