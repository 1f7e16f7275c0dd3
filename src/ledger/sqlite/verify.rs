//! Verifies a ledger file: all that it holds is computed again from its events.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use rusqlite::{Connection, Row};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::event_log::{EditImage, LookImage, head, write_body_line};
use super::open;
use crate::edit::IdDigest;
use crate::evidence::{Hash, Head, NamedCheckpoint, Proof, Range, inclusion, leaf};
use crate::ledger::{Alteration, State, Verification};

/// An event, with the row of its edit as it is now.
const EVENTS: &str = "SELECT event.event, event.body, event.attempts, event.edit, edit.seq,
        from_account, to_account, msg_key, message, coalesce(first_content, edit.content), edit.content,
        event.content, event.line, event.list, event.run, event.state, event.code, event.note, event.at, event.took_ms,
        edit.line, edit.list, edit.run, edit.state, edit.attempts, edit.code, edit.note, edit.sent_at, edit.took_ms,
        coalesce(event.took_ms, event.line, event.list, event.content) IS NOT NULL
            OR event.body IS NOT NULL
                AND coalesce(event.edit, event.run, event.at, event.state, event.attempts, event.code, event.note) IS NOT NULL
    FROM event LEFT JOIN edit ON edit.seq = event.edit ORDER BY event.event";

/// An event of the log.
#[expect(clippy::large_enum_variant, reason = "there is one at a time")]
enum Event<'a> {
    /// What came of an edit, and how the edit stands now.
    Edit { then: EditImage<'a>, now: EditImage<'a> },
    /// What an audit found.
    Look(LookImage<'a>),
    /// Changes of other rows.
    Body(&'a str),
    /// Of this edit, which is gone.
    EditGone(i64),
}

impl<'a> Event<'a> {
    fn of(row: &'a Row<'_>) -> rusqlite::Result<Event<'a>> {
        let event = Event::of_its_kind(row)?;
        // Values of another kind of event would not be in its line.
        match event {
            Event::Body(_) | Event::Look(_) if row.get(29)? => {
                Err(rusqlite::Error::ToSqlConversionFailure("it has values of another kind of event".into()))
            }
            event => Ok(event),
        }
    }

    fn of_its_kind(row: &'a Row<'_>) -> rusqlite::Result<Event<'a>> {
        if let Some(body) = row.get_ref(1)?.as_str_or_null()? {
            return Ok(Event::Body(body));
        }
        let Some(seq) = row.get(4)? else { return Ok(Event::EditGone(row.get(3)?)) };
        let message = row.get_ref(8)?.as_blob()?;
        let Some(attempts) = row.get(2)? else {
            return Ok(Event::Look(LookImage {
                audit: row.get(14)?,
                message,
                at: row.get(18)?,
                found: row.get_ref(15)?.as_str()?,
                code: row.get(16)?,
                note: row.get_ref(17)?.as_str_or_null()?,
            }));
        };
        let first_content = row.get_ref(9)?.as_blob()?;
        let now = EditImage {
            seq,
            from_account: row.get_ref(5)?.as_str()?,
            to_account: row.get_ref(6)?.as_str()?,
            msg_key: row.get_ref(7)?.as_str()?,
            message,
            content: row.get_ref(10)?.as_blob()?,
            first_content,
            line: row.get(20)?,
            list: row.get(21)?,
            run: row.get(22)?,
            state: row.get_ref(23)?.as_str()?,
            attempts: row.get(24)?,
            code: row.get(25)?,
            note: row.get_ref(26)?.as_str_or_null()?,
            sent_at: row.get(27)?,
            took_ms: row.get(28)?,
        };
        let then = EditImage {
            content: row.get_ref(11)?.as_blob_or_null()?.unwrap_or(first_content),
            line: row.get(12)?,
            list: row.get(13)?,
            run: row.get(14)?,
            state: row.get_ref(15)?.as_str()?,
            attempts,
            code: row.get(16)?,
            note: row.get_ref(17)?.as_str_or_null()?,
            sent_at: row.get(18)?,
            took_ms: row.get(19)?,
            ..now
        };
        Ok(Event::Edit { then, now })
    }

    fn write_line(&self, event: u64, line: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Event::Edit { then, .. } => then.write_line(event, line),
            Event::Look(look) => look.write_line(event, line),
            Event::Body(body) => write_body_line(event, body, line),
            Event::EditGone(_) => {
                line.clear();
                Ok(())
            }
        }
    }

    fn message(&self) -> Option<&[u8]> {
        match self {
            Event::Edit { now, .. } => Some(now.message),
            Event::Look(look) => Some(look.message),
            Event::Body(_) | Event::EditGone(_) => None,
        }
    }
}

/// Passes every event to `visit`: its number in the file, it, and its line, if they can be read.
fn visit_events(
    connection: &Connection,
    mut visit: impl FnMut(i64, Result<Event<'_>, String>, &[u8]),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(EVENTS)?;
    let mut rows = statement.query([])?;
    let mut line = Vec::new();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += 1;
        line.clear();
        let event = Event::of(row).map_err(|error| error.to_string());
        let event = event.and_then(|event| match event.write_line(count, &mut line) {
            Ok(()) => Ok(event),
            Err(error) => Err(error.to_string()),
        });
        visit(row.get(0)?, event, &line);
    }
    Ok(())
}

/// The events of this message, each with the proof that it is in the log of this size.
pub(super) fn prove(connection: &Connection, message: IdDigest, size: Option<u64>) -> rusqlite::Result<Vec<Proof>> {
    let (mut leaves, mut found) = (Vec::new(), Vec::new());
    let size = size.unwrap_or(u64::MAX);
    visit_events(connection, |_, event, line| {
        let index = leaves.len() as u64;
        if index >= size {
            return;
        }
        if event.is_ok_and(|event| event.message() == Some(&message.0)) {
            found.push((index, String::from_utf8_lossy(line).into_owned()));
        }
        leaves.push(leaf(line));
    })?;
    let range = leaves.iter().copied().collect::<Range>();
    let checkpoint = Head { origin: head(connection)?.origin, range }.checkpoint();
    let proof = |(index, line): (u64, String)| Proof {
        line,
        index,
        path: inclusion(&leaves, usize::try_from(index).unwrap_or(usize::MAX)),
        checkpoint: checkpoint.clone(),
    };
    Ok(found.into_iter().map(proof).collect())
}

/// Compares the schema, and then all rows with the events. `heads` are from outside.
pub(super) fn verify(connection: &Connection, heads: &[NamedCheckpoint]) -> rusqlite::Result<Verification> {
    let logs: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    let own = if logs == 1 { head(connection) } else { Err(rusqlite::Error::QueryReturnedNoRows) };
    let (origin, kept) = own.map_or_else(|_| ("".into(), None), |head| (head.origin, Some(head.range)));
    let mut replay = Replay {
        result: Verification {
            head: Head { origin: origin.clone(), range: Range::default() }.checkpoint(),
            why: None,
            sending: 0,
            alterations: Vec::new(),
            more: 0,
            agrees: None,
        },
        edits: HashMap::new(),
        dense: Vec::new(),
        rows: HashMap::new(),
        done: 0,
    };
    compare_schema(connection, &mut replay.result)?;
    replay.dense = vec![EditMark::default(); edits_max(connection)?];
    let (mut range, mut outside) = (Range::default(), Outside::new(heads));
    visit_events(connection, |number, event, line| {
        let expected = range.size() + 1;
        if u64::try_from(number) != Ok(expected) {
            replay.result.add(Alteration::Gap { expected, found: number });
        }
        match event {
            Ok(event) => replay.event(expected, &event),
            Err(what) => replay.result.add(Alteration::Unreadable { event: expected, what }),
        }
        range.push(leaf(line));
        outside.reached(&range);
    })?;
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

/// The schema of a ledger of this program, by name.
fn schema(connection: &Connection) -> rusqlite::Result<BTreeMap<String, Option<String>>> {
    let mut statement =
        connection.prepare("SELECT type || ' ' || name || ' of ' || tbl_name, sql FROM sqlite_schema")?;
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn compare_schema(connection: &Connection, result: &mut Verification) -> rusqlite::Result<()> {
    static OURS: OnceLock<BTreeMap<String, Option<String>>> = OnceLock::new();
    let ours = if let Some(ours) = OURS.get() {
        ours
    } else {
        let made = schema(&open::in_memory()?)?;
        OURS.get_or_init(|| made)
    };
    let theirs = schema(connection)?;
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
    rows: HashMap<(String, String), (u64, String)>,
    /// Edits that became done since the last run began.
    done: u64,
}

/// A body, as far as it is compared.
#[derive(Deserialize)]
struct Body<'a> {
    what: String,
    #[serde(borrow)]
    begun: Option<&'a RawValue>,
    #[serde(borrow)]
    rows: BTreeMap<String, BTreeMap<String, &'a RawValue>>,
}

#[derive(Deserialize)]
struct SampleRow {
    done: u64,
}

#[derive(Deserialize)]
struct Begun {
    why: String,
    log: String,
}

impl Replay {
    fn mark(&mut self, edit: i64) -> &mut EditMark {
        match usize::try_from(edit).ok().filter(|seq| *seq < self.dense.len()) {
            Some(seq) => &mut self.dense[seq],
            None => self.edits.entry(edit).or_default(),
        }
    }

    fn event(&mut self, event: u64, what: &Event<'_>) {
        match what {
            Event::Edit { then, now } => self.edit(event, then, now),
            Event::Look(_) => {}
            Event::EditGone(edit) => self.result.add(Alteration::EditGone { event, edit: *edit }),
            Event::Body(body) => {
                if let Err(error) = self.body(event, body) {
                    self.result.add(Alteration::Unreadable { event, what: error.to_string() });
                }
            }
        }
    }

    fn edit(&mut self, event: u64, then: &EditImage<'_>, now: &EditImage<'_>) {
        let edit = then.seq;
        let before = *self.mark(edit);
        if before.state.is_none()
            && IdDigest::of([now.from_account, now.to_account, now.msg_key]).0.as_slice() != now.message
        {
            self.result.add(Alteration::Digest { edit });
        }
        let state = State::from_word(then.state).filter(|state| *state != State::Sending);
        let attempts = u32::try_from(then.attempts).unwrap_or_default();
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
        *self.mark(edit) = EditMark { state: state.or(before.state), attempts, agrees: then == now };
    }

    fn body(&mut self, event: u64, body: &str) -> serde_json::Result<()> {
        let body: Body<'_> = serde_json::from_str(body)?;
        if let Some(begun) = body.begun {
            let begun: Begun = serde_json::from_str(begun.get())?;
            if event != 1 || begun.log != self.result.head.origin {
                self.result.add(Alteration::OwnHead);
            }
            self.result.why = Some(begun.why);
        }
        if body.what == "run_begun" {
            self.done = 0;
        }
        for (table, rows) in body.rows {
            for (key, row) in rows {
                if body.what == "sample" && table == "sample" {
                    let counted = serde_json::from_str::<SampleRow>(row.get())?.done;
                    if counted > self.done {
                        self.result.add(Alteration::Totals { event, counted, logged: self.done });
                    }
                }
                if row.get() == "null" {
                    self.rows.remove(&(table.clone(), key));
                } else {
                    self.rows.insert((table.clone(), key), (event, row.get().to_owned()));
                }
            }
        }
        Ok(())
    }

    fn compare_rows(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare("SELECT name, \"key\", \"row\" FROM row_line WHERE name <> 'edit'")?;
        let mut found = statement.query([])?;
        while let Some(row) = found.next()? {
            let (table, key): (String, String) = (row.get(0)?, row.get(1)?);
            match self.rows.remove(&(table.clone(), key.clone())) {
                None => self.result.add(Alteration::RowWithoutEvent { table, key }),
                Some((_, then)) if row.get_ref(2)?.as_str()? == then => {}
                Some((event, _)) => self.result.add(Alteration::Row { table, key, event }),
            }
        }
        let mut gone: Vec<_> = self.rows.drain().collect();
        gone.sort_unstable();
        for ((table, key), (event, _)) in gone {
            self.result.add(Alteration::RowGone { table, key, event });
        }
        Ok(())
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
                let last = "SELECT max(event) FROM event WHERE edit = ?1 AND attempts IS NOT NULL";
                let event = connection.query_row(last, [edit], |row| row.get::<_, i64>(0))?.unsigned_abs();
                self.result.add(Alteration::EditRow { edit, event });
            }
        }
        Ok(())
    }
}

/// Heads from outside, each compared when the log has come to its size.
struct Outside<'a> {
    /// In the order of their sizes; with what the root is at that size, once it is known.
    heads: Vec<(&'a NamedCheckpoint, Option<Hash>)>,
    next: usize,
}

impl<'a> Outside<'a> {
    fn new(heads: &'a [NamedCheckpoint]) -> Outside<'a> {
        let mut heads: Vec<_> = heads.iter().map(|head| (head, None)).collect();
        heads.sort_by_key(|(head, _)| head.checkpoint.size);
        Outside { heads, next: 0 }
    }

    fn reached(&mut self, range: &Range) {
        while let Some((head, root)) = self.heads.get_mut(self.next)
            && head.checkpoint.size <= range.size()
        {
            // A head of no events is before the first one.
            let at = if head.checkpoint.size == 0 { Range::default().root() } else { range.root() };
            *root = Some(at);
            self.next += 1;
        }
    }

    fn compare(self, result: &mut Verification) {
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
