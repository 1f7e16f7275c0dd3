//! Which edits may be sent: the third promise as types.
//!
//! [`Ledger::intend`](super::Ledger::intend) takes a [`Ready`], and there are three ways to get one: the edit is neither in
//! doubt nor has to be read first; its message was read and holds other content ([`NotEdited`]); or the operator chose to
//! send edits in doubt again without reading them.

use serde_json::Value;
use tokio::time::Instant;

use super::Pending;
use crate::edit::{IdDigest, Likeness, Original};

/// An edit that may be sent.
#[derive(Clone, Debug)]
pub struct Ready(Pending);

/// Proof that a message held something other than its edit wants. Only [`NotEdited::shown_by`] makes it; its caller vouches
/// that the content was read from the history, late enough and on both sides (`run/read_back.rs`).
/// It holds for one edit, and only until that edit is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotEdited {
    message: IdDigest,
    attempts: u32,
}

impl NotEdited {
    /// Compares the message that was read with what the edit wants. `None` if they are, or may be, the same.
    pub fn shown_by(pending: &Pending, msg_body: Option<&Value>, cloud_custom_data: Option<&str>) -> Option<NotEdited> {
        match pending.edit.likeness(msg_body, cloud_custom_data) {
            Likeness::Other => Some(NotEdited { message: pending.message, attempts: pending.attempts }),
            Likeness::Same | Likeness::Alike => None,
        }
    }
}

impl Pending {
    /// Why it is in doubt. `None` also where the ledger still says so, but a read-back has shown that it was not edited.
    pub fn doubt(&self) -> Option<super::Note> {
        self.doubt
    }

    /// Whether its message must be read before it is sent.
    pub fn must_be_read(&self) -> bool {
        self.read_first
    }

    /// When its message was read last, and was not edited.
    pub fn read_at(&self) -> Option<Instant> {
        self.read_at
    }

    /// Its message must be read before it is sent.
    pub fn require_reading(&mut self) {
        self.read_first = true;
    }

    /// An edit that is neither in doubt nor has to be read first.
    ///
    /// # Errors
    /// It is one of these, and comes back as it was.
    #[expect(clippy::result_large_err, reason = "the error is the edit itself, which the caller keeps")]
    pub fn ready(self) -> Result<Ready, Pending> {
        if self.doubt.is_none() { self.unless_to_be_read() } else { Err(self) }
    }

    /// An edit that is sent although it may have taken place already: what `--in-doubt retry` asks for.
    ///
    /// # Errors
    /// Its message must be read first, and it comes back as it was.
    #[expect(clippy::result_large_err, reason = "the error is the edit itself, which the caller keeps")]
    pub fn send_again_unseen(self) -> Result<Ready, Pending> {
        self.unless_to_be_read()
    }

    #[expect(clippy::result_large_err, reason = "the error is the edit itself, which the caller keeps")]
    fn unless_to_be_read(self) -> Result<Ready, Pending> {
        if self.read_first { Err(self) } else { Ok(Ready(self)) }
    }

    /// Settles its doubt, and the need to read it: its message was read, and was not edited. What it held is kept with the next
    /// intent, if it is to be kept.
    ///
    /// # Errors
    /// The proof is of another edit, or from before its last attempt; the edit comes back as it was.
    #[expect(clippy::result_large_err, reason = "the error is the edit itself, which the caller keeps")]
    pub fn found_not_edited(mut self, proof: NotEdited, original: Option<Original>) -> Result<Pending, Pending> {
        if proof != (NotEdited { message: self.message, attempts: self.attempts }) {
            return Err(self);
        }
        (self.doubt, self.read_first) = (None, false);
        (self.original, self.read_at) = (original, Some(Instant::now()));
        Ok(self)
    }
}

impl Ready {
    pub(in crate::ledger) fn into_pending(self) -> Pending {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::edit::{Edit, MessageId};
    use crate::ledger::{EditRow, Note, State};

    fn in_doubt(key: &str, attempts: u32) -> Pending {
        let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() };
        let edit = Edit::new(id, None, Some("new".into())).unwrap();
        let wanted = edit.wanted();
        let row = EditRow {
            state: State::InDoubt,
            content: wanted.content,
            attempts,
            code: None,
            note: Some(Note::TimedOut),
        };
        Pending::new(edit, wanted, 2, Some(row))
    }

    fn proof(pending: &Pending) -> NotEdited {
        NotEdited::shown_by(pending, Some(&json!([])), Some("old")).unwrap()
    }

    #[test]
    fn an_edit_in_doubt_is_ready_only_with_a_proof_of_its_own() {
        let pending = in_doubt("1_1_1", 3);
        assert!(pending.clone().ready().is_err());
        for other in [in_doubt("2_2_2", 3), in_doubt("1_1_1", 2)] {
            let unsettled = pending.clone().found_not_edited(proof(&other), None).unwrap_err();
            assert!(unsettled.ready().is_err());
        }
        let cleared = pending.clone().found_not_edited(proof(&pending), None).unwrap();
        assert!(cleared.ready().is_ok());
    }

    #[test]
    fn what_holds_the_wanted_content_proves_nothing() {
        assert_eq!(NotEdited::shown_by(&in_doubt("1_1_1", 1), None, Some("new")), None);
    }

    #[test]
    fn what_must_be_read_first_is_not_sent_unseen() {
        let mut pending = in_doubt("1_1_1", 1);
        assert!(pending.clone().send_again_unseen().is_ok());
        pending.require_reading();
        assert!(pending.clone().send_again_unseen().is_err());
        let read = pending.clone().found_not_edited(proof(&pending), None).unwrap();
        assert!(read.ready().is_ok());
    }
}
