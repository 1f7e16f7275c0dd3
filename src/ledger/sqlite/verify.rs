//! Verifies a ledger file: all that it holds is computed again from its events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::mpsc::sync_channel;
use std::thread;

use rusqlite::Connection;

use super::event_log::head;
use super::log_reader::{LoggedEvent, visit_events};
use super::open;
use crate::edit::IdDigest;
use crate::evidence::{Hash, Head, NamedCheckpoint, Range, leaf};
use crate::ledger::verify::{Body, LoggedRows, OutsideHeads, SampleRow};
use crate::ledger::{Alteration, State, Verification};

/// Events are read in blocks of so many numbers: fewer in tests, so that they have several. (Bodies, of which the file may say that
/// they are large, are not kept in them.)
const BLOCK: i64 = if cfg!(test) { 32 } else { 4_096 };

/// Compares the schema, and then all rows with the events. `heads` are from outside. With a second connection, which must see
/// the same state of the file, every other block of events is read on a thread of its own.
pub(super) fn verify(
    connection: &Connection,
    second: Option<&mut Connection>,
    heads: &[NamedCheckpoint],
) -> rusqlite::Result<Verification> {
    let logs: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    let own = if logs == 1 { head(connection) } else { Err(rusqlite::Error::QueryReturnedNoRows) };
    let (origin, kept) = own.map_or_else(|_| ("".into(), None), |head| (head.origin, Some(head.range)));
    let mut replay = Replay {
        result: Verification::of(&origin),
        edits: HashMap::new(),
        dense: Vec::new(),
        rows: LoggedRows::default(),
        done: 0,
    };
    compare_schema(connection, &mut replay.result)?;
    let sizes = "SELECT count(*), coalesce(max(seq), 0) FROM edit";
    let (count, max): (i64, i64) = connection.query_row(sizes, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Room for the numbers that a run gives, which leave few out.
    let room = usize::try_from(max.clamp(0, count.saturating_mul(2).saturating_add(1_024))).unwrap_or_default();
    replay.dense = vec![EditMark::default(); room + 1];
    let (mut range, mut outside) = (Range::default(), OutsideHeads::new(heads));
    in_order(connection, second, |event| {
        range.push(event.leaf);
        outside.reached(&range);
        replay.event(connection, range.size(), event)
    })?;
    replay.compare_rows(connection)?;
    // Each event was compared with the row of its edit, so if all agree and there are no other rows, they need not be read. (They
    // are counted by an index, which is compared with them elsewhere.)
    if usize::try_from(count) != Ok(replay.agreeing()) {
        replay.compare_edits(connection)?;
    }
    let mut result = replay.result;
    if kept.as_ref() != Some(&range) {
        result.add(Alteration::OwnHead);
    }
    result.head = Head { origin, range }.checkpoint();
    outside.compare(&mut result);
    Ok(result)
}

/// An event, as far as it can be judged without those before it.
struct EventFacts {
    number: i64,
    leaf: Hash,
    kind: EventKind,
}

enum EventKind {
    Edit {
        edit: i64,
        state: Option<State>,
        attempts: u32,
        /// The digest of its message is that of its accounts and its key.
        is_its_digest: bool,
        /// The edit is still like that.
        stands: bool,
    },
    Look,
    Body,
    EditGone(i64),
    Unreadable(String),
}

impl EventKind {
    fn of(event: Result<LoggedEvent<'_>, String>) -> EventKind {
        match event {
            Ok(LoggedEvent::Edit { edit, stands }) => EventKind::Edit {
                edit: edit.seq,
                state: State::from_word(edit.state).filter(|state| *state != State::Sending),
                attempts: u32::try_from(edit.attempts).unwrap_or_default(),
                is_its_digest: IdDigest::of([edit.from_account, edit.to_account, edit.msg_key]).0 == edit.message,
                stands,
            },
            Ok(LoggedEvent::Look(_)) => EventKind::Look,
            Ok(LoggedEvent::Body(_)) => EventKind::Body,
            Ok(LoggedEvent::EditGone(edit)) => EventKind::EditGone(edit),
            Err(what) => EventKind::Unreadable(what),
        }
    }
}

fn read(
    connection: &Connection,
    numbers: RangeInclusive<i64>,
    mut take: impl FnMut(EventFacts) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    visit_events(connection, numbers, |number, event, line| {
        take(EventFacts { number, leaf: leaf(line), kind: EventKind::of(event) })
    })
}

fn read_block(connection: &Connection, block: i64) -> rusqlite::Result<Vec<EventFacts>> {
    let mut events = Vec::new();
    read(connection, block * BLOCK + 1..=(block + 1) * BLOCK, |event| {
        events.push(event);
        Ok(())
    })?;
    Ok(events)
}

/// Passes all events to `take`, in their order.
fn in_order(
    connection: &Connection,
    second: Option<&mut Connection>,
    mut take: impl FnMut(EventFacts) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    // Before the first block there is none, unless somebody has given such a number; nor after one that is empty.
    read(connection, i64::MIN..=0, &mut take)?;
    thread::scope(|scope| {
        // When this thread has come to its end, the other one can send nothing more, and ends as well.
        let (sender, odd_blocks) = sync_channel(4);
        if let Some(second) = second {
            scope.spawn(move || {
                for block in (1..).step_by(2) {
                    let events = read_block(second, block);
                    let is_last = !events.as_ref().is_ok_and(|events| !events.is_empty());
                    if sender.send(events).is_err() || is_last {
                        break;
                    }
                }
            });
        } else {
            drop(sender);
        }
        let mut block = 0;
        loop {
            // Without another thread, or when it has ended, all are read here.
            let beside = if block % 2 == 1 { odd_blocks.recv().ok() } else { None };
            let events = beside.unwrap_or_else(|| read_block(connection, block))?;
            block += 1;
            if events.is_empty() {
                return read(connection, block * BLOCK + 1..=i64::MAX, &mut take);
            }
            events.into_iter().try_for_each(&mut take)?;
        }
    })
}

/// The schema of a ledger of this program, by name.
fn schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    // SQLite takes names that are blobs, too.
    let mut statement = connection.prepare(
        "SELECT type || ' ' || name || ' of ' || tbl_name
             || iif((typeof(type), typeof(name), typeof(tbl_name)) = ('text', 'text', 'text'), '', ' (not a text)'), sql
         FROM sqlite_schema",
    )?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn compare_schema(connection: &Connection, result: &mut Verification) -> rusqlite::Result<()> {
    let (theirs, ours) = (schema(connection)?, schema(&open::in_memory()?)?);
    // SQLite's own tables, which `ANALYZE` makes, change nothing.
    let names = theirs.keys().chain(ours.keys()).filter(|name| !name.starts_with("table sqlite_"));
    for name in names.collect::<BTreeSet<_>>() {
        if theirs.get(name) != ours.get(name) {
            result.add(Alteration::Schema { name: name.clone() });
        }
    }
    Ok(())
}

/// What the events so far say of an edit.
#[derive(Clone, Copy, Debug, Default)]
struct EditMark {
    /// Of the last one; `None`: there is none.
    state: Option<State>,
    attempts: u32,
    /// The last event is how the edit stands.
    agrees: bool,
    last: u64,
}

struct Replay {
    result: Verification,
    /// By number.
    dense: Vec<EditMark>,
    /// Those with numbers far beyond the others.
    edits: HashMap<i64, EditMark>,
    /// The rows of other tables, by table and key, with their last event.
    rows: LoggedRows,
    /// Edits that became done since the last run began.
    done: u64,
}

impl Replay {
    fn mark(&mut self, edit: i64) -> &mut EditMark {
        match usize::try_from(edit).ok().filter(|seq| *seq < self.dense.len()) {
            Some(seq) => &mut self.dense[seq],
            None => self.edits.entry(edit).or_default(),
        }
    }

    /// Takes in an event, which comes at this place.
    fn event(&mut self, connection: &Connection, place: u64, event: EventFacts) -> rusqlite::Result<()> {
        if u64::try_from(event.number) != Ok(place) {
            self.result.add(Alteration::Gap { expected: place, found: event.number });
        }
        match event.kind {
            EventKind::Edit { edit, state, attempts, is_its_digest, stands } => {
                let before = *self.mark(edit);
                if before.state.is_none() && !is_its_digest {
                    self.result.add(Alteration::Digest { edit });
                }
                let wrong = match (before.state, state) {
                    (_, None) => Some("its state is none"),
                    (Some(State::Done), _) => Some("it was done"),
                    _ if attempts < before.attempts => Some("it had more attempts"),
                    _ => None,
                };
                if let Some(what) = wrong {
                    self.result.add(Alteration::Step { event: place, edit, what });
                }
                self.done += u64::from(state == Some(State::Done));
                *self.mark(edit) = EditMark { state: state.or(before.state), attempts, agrees: stands, last: place };
            }
            EventKind::Look => {}
            EventKind::Body => {
                let mut body = connection.prepare_cached("SELECT body FROM event WHERE event = ?1")?;
                let mut found = body.query([event.number])?;
                // In a file that is not sound, what was just read may not be found again.
                let what = match found.next()? {
                    Some(row) => self.body(place, row.get_ref(0)?.as_str()?).err().map(|error| error.to_string()),
                    None => Some("it is not found by its number".to_owned()),
                };
                if let Some(what) = what {
                    self.result.add(Alteration::Unreadable { event: place, what });
                }
            }
            EventKind::EditGone(edit) => self.result.add(Alteration::EditGone { event: place, edit }),
            EventKind::Unreadable(what) => self.result.add(Alteration::Unreadable { event: place, what }),
        }
        Ok(())
    }

    fn body(&mut self, event: u64, body: &str) -> serde_json::Result<()> {
        let body: Body<'_> = serde_json::from_str(body)?;
        if body.what == "run_begun" {
            self.done = 0;
        }
        for row in body.rows.get("sample").into_iter().flat_map(BTreeMap::values).filter(|_| body.what == "sample") {
            let counted = SampleRow::of(row)?.done;
            if counted > self.done {
                self.result.add(Alteration::Totals { event, counted, logged: self.done });
            }
        }
        self.rows.event(event, body, &mut self.result);
        Ok(())
    }

    fn compare_rows(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT name, \"key\", \"row\" FROM row_line WHERE name <> 'edit'")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            self.rows.compare(row.get(0)?, row.get(1)?, row.get_ref(2)?.as_str()?, &mut self.result);
        }
        std::mem::take(&mut self.rows).finish(&mut self.result);
        Ok(())
    }

    /// Edits that stand as their last events say.
    fn agreeing(&self) -> usize {
        self.dense.iter().chain(self.edits.values()).filter(|mark| mark.agrees).count()
    }

    fn compare_edits(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT seq, state = 'sending' AND EXISTS (SELECT 1 FROM run WHERE run.run = edit.run AND ended IS NULL),
                    from_account, to_account, msg_key, message
             FROM edit",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (edit, is_sent): (i64, bool) = (row.get(0)?, row.get(1)?);
            let mark = *self.mark(edit);
            if is_sent && mark.state != Some(State::Done) {
                self.result.sending += 1;
                let ids = [row.get_ref(2)?.as_str()?, row.get_ref(3)?.as_str()?, row.get_ref(4)?.as_str()?];
                if IdDigest::of(ids).0.as_slice() != row.get_ref(5)?.as_blob()? {
                    self.result.add(Alteration::Digest { edit });
                }
            } else if mark.state.is_none() {
                self.result.add(Alteration::EditWithoutEvent { edit });
            } else if !mark.agrees {
                self.result.add(Alteration::EditRow { edit, event: mark.last });
            }
        }
        Ok(())
    }
}
