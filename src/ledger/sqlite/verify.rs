//! Verifies a ledger file: all that it holds is computed again from its events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::iter::once;
use std::mem::replace;
use std::panic::resume_unwind;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

use rusqlite::Connection;

use super::event_log::{EditImage, head};
use super::log_reader::{LoggedEvent, visit_events};
use super::open;
use crate::edit::IdDigest;
use crate::evidence::{Head, NamedCheckpoint, Range, leaf};
use crate::ledger::verify::{Body, LoggedRows, OutsideHeads, SampleRow};
use crate::ledger::{Alteration, State, Verification};

/// Of lines that are hashed at a time.
const LINES_BYTES: usize = 64 * 1024;

/// Compares the schema, and then all rows with the events. `heads` are from outside.
pub(super) fn verify(connection: &Connection, heads: &[NamedCheckpoint]) -> rusqlite::Result<Verification> {
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
    replay.dense = vec![EditMark::default(); edits_max(connection)?];
    let mut outside = OutsideHeads::new(heads);
    let range = hash_beside(
        |range| outside.reached(range),
        |lines| {
            let mut expected = 0;
            visit_events(connection, |number, event, line| {
                expected += 1;
                if u64::try_from(number) != Ok(expected) {
                    replay.result.add(Alteration::Gap { expected, found: number });
                }
                match event {
                    Ok(event) => replay.event(expected, &event),
                    Err(what) => replay.result.add(Alteration::Unreadable { event: expected, what }),
                }
                lines.push(line);
            })
        },
    )?;
    replay.compare_rows(connection)?;
    replay.compare_edits(connection)?;
    let mut result = replay.result;
    if kept.as_ref() != Some(&range) {
        result.add(Alteration::OwnHead);
    }
    result.head = Head { origin, range }.checkpoint();
    outside.compare(&mut result);
    Ok(result)
}

/// Lines on their way to the thread that hashes them.
struct Lines {
    text: Vec<u8>,
    ends: Vec<usize>,
    sender: SyncSender<(Vec<u8>, Vec<usize>)>,
}

impl Lines {
    fn push(&mut self, line: &[u8]) {
        self.text.extend_from_slice(line);
        self.ends.push(self.text.len());
        if self.text.len() >= LINES_BYTES {
            self.send();
        }
    }

    fn send(&mut self) {
        let (text, ends) = (Vec::with_capacity(LINES_BYTES), Vec::with_capacity(self.ends.len()));
        // Nobody receives it if that thread has panicked, which is told when it is joined.
        let _ = self.sender.send((replace(&mut self.text, text), replace(&mut self.ends, ends)));
    }
}

/// Passes lines to a thread that adds their leaves to a tree while more of them are read; `grown` sees the tree after each.
fn hash_beside(
    mut grown: impl FnMut(&Range) + Send,
    read: impl FnOnce(&mut Lines) -> rusqlite::Result<()>,
) -> rusqlite::Result<Range> {
    let (sender, receiver) = sync_channel::<(Vec<u8>, Vec<usize>)>(4);
    thread::scope(|scope| {
        let hashes = scope.spawn(move || {
            let mut range = Range::default();
            for (text, ends) in receiver {
                let starts = once(0).chain(ends.iter().copied());
                for (start, end) in starts.zip(&ends) {
                    range.push(leaf(&text[start..*end]));
                    grown(&range);
                }
            }
            range
        });
        let mut lines = Lines { text: Vec::new(), ends: Vec::new(), sender };
        let read = read(&mut lines);
        lines.send();
        drop(lines);
        let range = hashes.join().unwrap_or_else(|panic| resume_unwind(panic));
        read.map(|()| range)
    })
}

/// The schema of a ledger of this program, by name.
fn schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    let mut statement =
        connection.prepare("SELECT type || ' ' || name || ' of ' || tbl_name, sql FROM sqlite_schema")?;
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

/// Room for edits with the numbers that a run gives: few are left out.
fn edits_max(connection: &Connection) -> rusqlite::Result<usize> {
    let (count, max): (i64, i64) =
        connection
            .query_row("SELECT count(*), coalesce(max(seq), 0) FROM edit", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let room = max.clamp(0, count.saturating_mul(2).saturating_add(1_024));
    Ok(usize::try_from(room).unwrap_or_default() + 1)
}

/// What the events so far say of an edit.
#[derive(Clone, Copy, Debug, Default)]
struct EditMark {
    /// Of the last one; `None`: there is none.
    state: Option<State>,
    attempts: u32,
    /// The last event is how the edit stands.
    agrees: bool,
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

    fn event(&mut self, event: u64, what: &LoggedEvent<'_>) {
        match what {
            LoggedEvent::Edit { edit, stands } => self.edit(event, edit, *stands),
            LoggedEvent::Look(_) => {}
            LoggedEvent::EditGone(edit) => self.result.add(Alteration::EditGone { event, edit: *edit }),
            LoggedEvent::Body(body) => {
                if let Err(error) = self.body(event, body) {
                    self.result.add(Alteration::Unreadable { event, what: error.to_string() });
                }
            }
        }
    }

    fn edit(&mut self, event: u64, image: &EditImage<'_>, stands: bool) {
        let edit = image.seq;
        let before = *self.mark(edit);
        if before.state.is_none()
            && IdDigest::of([image.from_account, image.to_account, image.msg_key]).0.as_slice() != image.message
        {
            self.result.add(Alteration::Digest { edit });
        }
        let state = State::from_word(image.state).filter(|state| *state != State::Sending);
        let attempts = u32::try_from(image.attempts).unwrap_or_default();
        let wrong = match (before.state, state) {
            (_, None) => Some("its state is none"),
            (Some(State::Done), _) => Some("it was done"),
            _ if attempts < before.attempts => Some("it had more attempts"),
            _ => None,
        };
        if let Some(what) = wrong {
            self.result.add(Alteration::Step { event, edit, what });
        }
        self.done += u64::from(state == Some(State::Done));
        *self.mark(edit) = EditMark { state: state.or(before.state), attempts, agrees: stands };
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

    fn compare_edits(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        // Each event was compared with the row of its edit, so if all agree and there are no other rows, they need not be read.
        let agree = || self.dense.iter().chain(self.edits.values()).filter(|mark| mark.agrees).count();
        let count: i64 = connection.query_row("SELECT count(*) FROM edit NOT INDEXED", [], |row| row.get(0))?;
        if usize::try_from(count) == Ok(agree()) {
            return Ok(());
        }
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
                let last = "SELECT max(event) FROM event WHERE edit = ?1 AND attempts IS NOT NULL";
                let event = connection.query_row(last, [edit], |row| row.get::<_, i64>(0))?.unsigned_abs();
                self.result.add(Alteration::EditRow { edit, event });
            }
        }
        Ok(())
    }
}
