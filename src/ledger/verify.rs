//! Whether a ledger is what its log of events, and heads of that log that are kept elsewhere, say it is.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::evidence::{Checkpoint, Hash, Head, NamedCheckpoint, Range};

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
    /// An event changes what stays as it was written.
    #[error("event {event} changes {column} in row {key} of the table {table}, which stays as it was written")]
    Changed {
        /// The event.
        event: u64,
        /// The table.
        table: String,
        /// The row's key.
        key: String,
        /// The column.
        column: String,
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
        "the log is not the one whose head is in {place}: one of its events from {from} to {to} was changed, or somebody went on with an older copy"
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
    /// Of a log of this name, of which nothing was read yet.
    pub(super) fn of(origin: &Arc<str>) -> Verification {
        Verification {
            head: Head { origin: Arc::clone(origin), range: Range::default() }.checkpoint(),
            why: None,
            sending: 0,
            alterations: Vec::new(),
            more: 0,
            agrees: None,
        }
    }

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

/// The body of an event, as far as it is compared.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    pub(super) what: String,
    pub(super) begun: Option<Begun>,
    /// By table and key.
    #[serde(borrow)]
    pub(super) rows: BTreeMap<String, BTreeMap<String, &'a RawValue>>,
}

/// What the first event says of its log.
#[derive(Deserialize)]
pub(super) struct Begun {
    /// `made`, `upgraded` or `copied`.
    why: String,
    log: String,
}

/// The rows of all tables but that of edits, as their last events have them.
#[derive(Default)]
pub(super) struct LoggedRows(HashMap<(String, String), (u64, String)>);

impl LoggedRows {
    /// Takes in an event.
    pub(super) fn event(&mut self, event: u64, body: Body<'_>, result: &mut Verification) {
        if let Some(Begun { why, log }) = body.begun {
            if event != 1 || log != result.head.origin {
                result.add(Alteration::OwnHead);
            }
            result.why = Some(why);
        }
        for (table, rows) in body.rows {
            for (key, row) in rows {
                if row.get() == "null" {
                    self.0.remove(&(table.clone(), key));
                } else {
                    let row = row.get();
                    let before = self.0.insert((table.clone(), key.clone()), (event, row.to_owned()));
                    if let Some(column) = before.and_then(|(_, before)| changed(&table, &before, row)) {
                        result.add(Alteration::Changed { event, table: table.clone(), key, column });
                    }
                }
            }
        }
    }

    /// Compares a row with its last event.
    pub(super) fn compare(&mut self, table: String, key: String, row: &str, result: &mut Verification) {
        match self.0.remove(&(table.clone(), key.clone())) {
            None => result.add(Alteration::RowWithoutEvent { table, key }),
            Some((_, then)) if row == then => {}
            Some((event, _)) => result.add(Alteration::Row { table, key, event }),
        }
    }

    /// Rows that were not compared are gone.
    pub(super) fn finish(self, result: &mut Verification) {
        let mut gone: Vec<_> = self.0.into_iter().collect();
        gone.sort_unstable();
        for ((table, key), (event, _)) in gone {
            result.add(Alteration::RowGone { table, key, event });
        }
    }
}

/// The first column that this program does not change once it is written, and which is another one.
fn changed(table: &str, before: &str, after: &str) -> Option<String> {
    let may_change: &[&str] = match table {
        "job" => return None,
        "run" | "audit" => &["ended_at", "ended", "reason"],
        "answer" | "latency" => &["answers"],
        _ => &[],
    };
    let columns = |row| serde_json::from_str::<BTreeMap<String, Value>>(row).unwrap_or_default();
    let (before, after) = (columns(before), columns(after));
    // How a run has ended is said once.
    let has_ended = table == "run" && before.get("ended").is_some_and(|ended| !ended.is_null());
    let may_change = if has_ended { &[] } else { may_change };
    let names = before.keys().chain(after.keys());
    names
        .filter(|name| !may_change.contains(&name.as_str()))
        .find(|name| before.get(*name) != after.get(*name))
        .cloned()
}

/// A row of `sample`, as far as it is compared.
#[derive(Deserialize)]
pub(super) struct SampleRow {
    pub(super) run: i64,
    pub(super) done: u64,
}

impl SampleRow {
    pub(super) fn of(row: &RawValue) -> serde_json::Result<SampleRow> {
        serde_json::from_str(row.get())
    }
}

/// Heads from outside, each compared when the log has come to its size.
pub(super) struct OutsideHeads<'a> {
    /// In the order of their sizes; with what the root is at that size, once it is known.
    heads: Vec<(&'a NamedCheckpoint, Option<Hash>)>,
    next: usize,
}

impl<'a> OutsideHeads<'a> {
    pub(super) fn new(heads: &'a [NamedCheckpoint]) -> OutsideHeads<'a> {
        let mut heads: Vec<_> = heads.iter().map(|head| (head, None)).collect();
        heads.sort_by_key(|(head, _)| head.checkpoint.size);
        OutsideHeads { heads, next: 0 }
    }

    pub(super) fn reached(&mut self, range: &Range) {
        while let Some((head, root)) = self.heads.get_mut(self.next)
            && head.checkpoint.size <= range.size()
        {
            // A head of no events is before the first one.
            let at = if head.checkpoint.size == 0 { Range::default().root() } else { range.root() };
            *root = Some(at);
            self.next += 1;
        }
    }

    pub(super) fn compare(self, result: &mut Verification) {
        let own = result.head.origin.clone();
        let mut is_rewritten = false;
        for (NamedCheckpoint { place, checkpoint }, root) in self.heads {
            let (place, size) = (place.clone(), checkpoint.size);
            if checkpoint.origin != own {
                let origin = checkpoint.origin.clone();
                result.add(Alteration::OtherLog { place, origin, own: own.clone() });
            } else if root == Some(checkpoint.root) && !is_rewritten {
                result.agrees = Some(checkpoint.clone());
            } else if root.is_none() {
                result.add(Alteration::CutOff { place, events: result.head.size, size });
            } else if !is_rewritten {
                // Later heads cannot agree either.
                is_rewritten = true;
                let from = result.agrees.as_ref().map_or(0, |agrees| agrees.size) + 1;
                result.add(Alteration::Rewritten { place, from, to: size });
            }
        }
    }
}
