//! Whether a ledger is what its log of events, and heads of that log that are kept elsewhere, say it is.

use crate::evidence::Checkpoint;

/// Alterations that are told one by one.
const TOLD: usize = 20;

/// What verifying a ledger has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// The head of the log, computed from its events.
    pub head: Checkpoint,
    /// How the log began: `made`, `upgraded` or `copied`; unknown if that event cannot be read.
    pub why: Option<String>,
    /// Edits whose outcome the log does not have yet, as they are being sent, or were when the process died.
    pub sending: u64,
    /// The first alterations.
    pub alterations: Vec<Alteration>,
    /// How many more there are.
    pub more: u64,
    /// The last head from outside that the log agrees with.
    pub agrees: Option<Checkpoint>,
}

/// What is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Alteration {
    /// The file is not a sound database.
    #[error("the file is damaged: {what}")]
    Damaged {
        /// What is.
        what: String,
    },
    /// A table, an index, a view or a trigger.
    #[error("{name} in the schema is not as this program makes it, or is missing")]
    Schema {
        /// Its name.
        name: String,
    },
    /// Events are numbered without a gap.
    #[error("event {expected} is missing; event {found} comes in its place")]
    Gap {
        /// The number that should come.
        expected: u64,
        /// The one that comes.
        found: i64,
    },
    /// An event that cannot have been written like this.
    #[error("event {event} cannot be read: {what}")]
    Unreadable {
        /// The event.
        event: u64,
        /// Why not.
        what: String,
    },
    /// An event of an edit that is not there.
    #[error("event {event} is of edit {edit}, which is gone")]
    EditGone {
        /// The event.
        event: u64,
        /// Its edit.
        edit: i64,
    },
    /// The digest of a message is not that of its accounts and its key.
    #[error("edit {edit}: the digest of its message is not that of its accounts and its key")]
    Digest {
        /// The edit.
        edit: i64,
    },
    /// An edit cannot have gone that way.
    #[error("event {event} says of edit {edit} what cannot have followed from the event before: {what}")]
    Step {
        /// The event.
        event: u64,
        /// The edit.
        edit: i64,
        /// What it says.
        what: &'static str,
    },
    /// How an edit stands is not what its last event says.
    #[error("edit {edit} stands otherwise than event {event}, its last one, says")]
    EditRow {
        /// The edit.
        edit: i64,
        /// Its last event.
        event: u64,
    },
    /// An edit of which there is no event.
    #[error("edit {edit} is in no event")]
    EditWithoutEvent {
        /// The edit.
        edit: i64,
    },
    /// Another row is not what its last event says.
    #[error("row {key} of the table {table} is not what event {event} says")]
    Row {
        /// The table.
        table: String,
        /// The row's key.
        key: String,
        /// Its last event.
        event: u64,
    },
    /// Another row of which there is no event.
    #[error("row {key} of the table {table} is in no event")]
    RowWithoutEvent {
        /// The table.
        table: String,
        /// The row's key.
        key: String,
    },
    /// Another row that is not there.
    #[error("row {key} of the table {table}, which event {event} has, is gone")]
    RowGone {
        /// The table.
        table: String,
        /// The row's key.
        key: String,
        /// Its last event.
        event: u64,
    },
    /// More was counted than there is.
    #[error("event {event} counts {counted} edits done in its run; the log has {logged}")]
    Totals {
        /// The sample.
        event: u64,
        /// What it counts.
        counted: u64,
        /// The events.
        logged: u64,
    },
    /// The head that the ledger keeps is not that of its events.
    #[error("the head that the ledger keeps of its log is not that of its events")]
    OwnHead,
    /// The log is another one than that whose head was kept.
    #[error(
        "the log is not the one whose head is in {place}: one of its events from {from} to {to} is another one, or an older copy was gone on with"
    )]
    Rewritten {
        /// Where that head is.
        place: String,
        /// The first event that may be another one.
        from: u64,
        /// The size of the head.
        to: u64,
    },
    /// The log has lost its end.
    #[error("the log ends with event {events}; that whose head is in {place} had {size}")]
    CutOff {
        /// Where that head is.
        place: String,
        /// The events that there are.
        events: u64,
        /// The events that there were.
        size: u64,
    },
    /// A head of another log.
    #[error(
        "{place} is a head of the log {origin}; that of this ledger is {own}: it is another ledger, or one made in its place"
    )]
    OtherLog {
        /// Where that head is.
        place: String,
        /// Its log.
        origin: String,
        /// This log.
        own: String,
    },
}

impl Verification {
    /// Whether nothing was altered, as far as that can be seen.
    pub fn holds(&self) -> bool {
        self.alterations.is_empty()
    }

    /// The events after the last head from outside. Without them nobody would notice.
    pub fn unseen(&self) -> u64 {
        self.head.size - self.agrees.as_ref().map_or(0, |agrees| agrees.size)
    }

    pub(super) fn add(&mut self, alteration: Alteration) {
        if self.alterations.len() < TOLD {
            self.alterations.push(alteration);
        } else {
            self.more += 1;
        }
    }
}
