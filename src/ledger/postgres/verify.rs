//! The log of events of a job in a database: its head, whether the job is what it says, and proofs from it.
//!
//! What is asked is written here and in `0001_log.sql`, and not taken from the views and functions of the database: whoever alters
//! rows may have altered those too.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Deserialize;
use tokio_postgres::Row;

use super::columns::count;
use super::database::Database;
use super::schema::{LOG, MIGRATIONS};
use crate::edit::IdDigest;
use crate::evidence::{Head, NamedCheckpoint, Proof, Prover, Range, leaf};
use crate::ledger::verify::{Body, LoggedRows, OutsideHeads, SampleRow};
use crate::ledger::{Alteration, LedgerError, State, Verification};
use crate::system::digest::hex;

/// All of a log is read, which takes a while, and is written as the log writes it. A plan for the first rows, or for a table that
/// was empty a while ago, would look each edit up by reading all of them.
const PATIENT: &str = "SELECT set_config('statement_timeout', '0', true), set_config('bytea_output', 'hex', true),
    set_config('cursor_tuple_fraction', '1', true), set_config('enable_nestloop', 'off', true)";
pub(super) const HEAD: &str = "SELECT origin, size, hashes FROM log WHERE job = $1";

/// Each edit whose row is not what its last event says: its number, that event, and whether the row is gone. What a live run is
/// sending has no event yet.
const EDITS: &str = "
WITH l AS (SELECT DISTINCT ON (edit) * FROM event WHERE job = $1 AND edit IS NOT NULL ORDER BY edit, event DESC),
e AS (SELECT * FROM edit WHERE job = $1)
SELECT coalesce(e.seq, l.edit), coalesce(l.event, 0), e.seq IS NULL
FROM l FULL JOIN e ON e.seq = l.edit
WHERE (l.run, l.at, l.took_ms, l.line, l.list, l.state, l.attempts, l.code, l.note, l.content)
      IS DISTINCT FROM (e.run, e.sent_at, e.took_ms, e.line, e.list, e.state, e.attempts, e.code, e.note, e.content)
  AND (e.state = 'sending' AND l.state IS DISTINCT FROM 'done'
       AND EXISTS (SELECT 1 FROM lease s WHERE s.run = e.run AND s.state = 'live')) IS NOT TRUE
ORDER BY 1";
const SENDING: &str = "SELECT count(*) FROM edit WHERE job = $1 AND state = 'sending'";

/// Each event that cannot have followed from the one before of the same edit, and why.
const STEPS: &str = "
SELECT event, edit, state = 'sending', before IS NOT DISTINCT FROM 'done'
FROM (SELECT event, edit, state, attempts, lag(state) OVER w AS before, lag(attempts) OVER w AS attempts_before
      FROM event WHERE job = $1 AND edit IS NOT NULL WINDOW w AS (PARTITION BY edit ORDER BY event)) x
WHERE state = 'sending' OR before = 'done' OR attempts < attempts_before ORDER BY event";

/// The last edit that each run has begun, and with which event.
const LAST_NEW: &str = "
SELECT run, max(event), (array_agg(edit ORDER BY event DESC))[1]
FROM (SELECT DISTINCT ON (edit) run, edit, event FROM event WHERE job = $1 AND edit IS NOT NULL ORDER BY edit, event) x
GROUP BY run ORDER BY run";

/// The triggers that are at work, each with its function, and the functions with their sources.
const SCHEMA: &str = "
SELECT 'trigger ' || t.tgname || ' of ' || c.relname, p.proname::text
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
WHERE c.relnamespace = 'runner'::regnamespace AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
UNION ALL SELECT 'function ' || proname, prosrc FROM pg_proc WHERE pronamespace = 'runner'::regnamespace";

/// The head of the log of a job; `None` also if it is none that a log can have.
pub(super) fn find_head(database: &Database, job: i32) -> Result<Option<Head>, LedgerError> {
    Ok(database.all(HEAD, vec![Box::new(job)], head)?.into_iter().next().flatten())
}

/// From a row of [`HEAD`].
pub(super) fn head(row: &Row) -> Result<Option<Head>, tokio_postgres::Error> {
    let (origin, size): (String, u64) = (row.try_get(0)?, count(row, 1)?);
    Ok(Range::of(size, row.try_get(2)?).map(|range| Head { origin: origin.into(), range }))
}

/// An event as it is read.
struct LoggedEvent {
    number: i64,
    /// `None`: it is of an edit that is gone, or no event at all.
    line: Option<String>,
    edit: Option<i64>,
    run: Option<i64>,
    is_done: bool,
    body: Option<String>,
    message: Option<Vec<u8>>,
}

/// Passes every event of a job to `visit`, in order.
fn visit_events(database: &Database, job: i32, mut visit: impl FnMut(LoggedEvent)) -> Result<(), LedgerError> {
    database.all(PATIENT, vec![], |_| Ok(()))?;
    let (events, done) = (view("event_line"), State::Done.word());
    let events = format!(
        "SELECT event, line, edit, run, state = '{done}', body, message FROM ({events}) v WHERE job = {job} ORDER BY event"
    );
    database.visit(&events, |row| {
        visit(LoggedEvent {
            number: row.try_get(0)?,
            line: row.try_get(1)?,
            edit: row.try_get(2)?,
            run: row.try_get(3)?,
            is_done: row.try_get::<_, Option<bool>>(4)?.unwrap_or_default(),
            body: row.try_get(5)?,
            message: row.try_get(6)?,
        });
        Ok(ControlFlow::Continue(()))
    })
}

/// Compares the schema, and then all rows with the events. `heads` are from outside.
pub(super) fn verify(database: &Database, job: i32, heads: &[NamedCheckpoint]) -> Result<Verification, LedgerError> {
    let kept = find_head(database, job)?;
    let origin: Arc<str> = kept.as_ref().map_or_else(|| "".into(), |head| Arc::clone(&head.origin));
    let mut result = Verification::of(&origin);
    compare_schema(database, &mut result)?;
    let (mut range, mut outside, mut rows) = (Range::default(), OutsideHeads::new(heads), LoggedRows::default());
    let (mut totals, mut runs) = (Totals::default(), Runs::default());
    visit_events(database, job, |event| {
        let expected = range.size() + 1;
        if u64::try_from(event.number) != Ok(expected) {
            result.add(Alteration::Gap { expected, found: event.number });
        }
        if event.line.is_none() {
            result.add(Alteration::EditGone { event: expected, edit: event.edit.unwrap_or_default() });
        }
        if let Some(body) = &event.body {
            let read = serde_json::from_str::<Body<'_>>(body).and_then(|body| {
                totals.sample(expected, &body, &mut result)?;
                runs.body(expected, &body)?;
                rows.event(expected, body, &mut result);
                Ok(())
            });
            if let Err(error) = read {
                result.add(Alteration::Unreadable { event: expected, what: error.to_string() });
            }
        }
        if let Some(edit) = event.edit
            && !runs.may_change(edit, &event)
        {
            result.add(Alteration::Step { event: expected, edit, what: "no run was at work" });
        }
        totals.done += u64::from(event.is_done);
        range.push(leaf(event.line.unwrap_or_default().as_bytes()));
        outside.reached(&range);
    })?;
    let all = format!("SELECT name, \"key\", \"row\" FROM ({}) v WHERE job = {job}", view("row_line"));
    database.visit(&all, |row| {
        rows.compare(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, &mut result);
        Ok(ControlFlow::Continue(()))
    })?;
    rows.finish(&mut result);
    compare_edits(database, job, &mut result)?;
    runs.compare(database, job, &mut result)?;
    if kept.map(|head| head.range).as_ref() != Some(&range) {
        result.add(Alteration::OwnHead);
    }
    result.head = Head { origin, range }.checkpoint();
    outside.compare(&mut result);
    Ok(result)
}

/// What samples count, of all runs together: some of what a run has settled another one has sent.
#[derive(Default)]
struct Totals {
    done: u64,
    counted: BTreeMap<i64, u64>,
}

impl Totals {
    fn sample(&mut self, event: u64, body: &Body<'_>, result: &mut Verification) -> serde_json::Result<()> {
        if body.what != "sample" {
            return Ok(());
        }
        for row in body.rows.get("sample").into_iter().flat_map(BTreeMap::values) {
            let SampleRow { run, done } = SampleRow::of(row)?;
            self.counted.insert(run, done);
        }
        let counted = self.counted.values().fold(0, |sum: u64, counted| sum.saturating_add(*counted));
        if counted > self.done {
            result.add(Alteration::Totals { event, counted, logged: self.done });
        }
        Ok(())
    }
}

/// Which runs are at work, as the log goes on. Without any, no edit changes.
#[derive(Default)]
struct Runs {
    live: BTreeSet<i64>,
    /// With which event each run has ended. (A copy begins with runs that had ended before.)
    ended: BTreeMap<i64, u64>,
    died: BTreeSet<i64>,
    /// The last edit of those with which a copy begins.
    copied: Option<i64>,
}

#[derive(Deserialize)]
struct RunRow<'a> {
    run: i64,
    #[serde(borrow)]
    ended: Option<Cow<'a, str>>,
}

impl Runs {
    fn body(&mut self, event: u64, body: &Body<'_>) -> serde_json::Result<()> {
        if body.begun.is_some() {
            self.copied = Some(i64::MIN);
            return Ok(());
        }
        for row in body.rows.get("run").into_iter().flat_map(BTreeMap::values) {
            let RunRow { run, ended } = serde_json::from_str(row.get())?;
            self.copied = None;
            match ended {
                None => self.live.insert(run),
                Some(how) => {
                    self.ended.entry(run).or_insert(event);
                    if how == "died" {
                        self.died.insert(run);
                    }
                    self.live.remove(&run)
                }
            };
        }
        Ok(())
    }

    /// Whether an event of an edit may come now. A success of a run that was declared lost may come late.
    fn may_change(&mut self, edit: i64, event: &LoggedEvent) -> bool {
        let is_copied = self.copied.is_some_and(|last| edit > last);
        self.copied = self.copied.map(|last| last.max(edit));
        let is_late = event.is_done && event.run.is_some_and(|run| self.died.contains(&run));
        !self.live.is_empty() || is_copied || is_late
    }

    /// A run that has ended sends and reads nothing that it has not begun with before.
    fn compare(self, database: &Database, job: i32, result: &mut Verification) -> Result<(), LedgerError> {
        for (run, event, edit) in database.all(LAST_NEW, vec![Box::new(job)], |row| {
            Ok((row.try_get::<_, i64>(0)?, count(row, 1)?, row.try_get(2)?))
        })? {
            if self.ended.get(&run).is_some_and(|ended| *ended < event) {
                result.add(Alteration::Step { event, edit, what: "its run had ended" });
            }
        }
        Ok(())
    }
}

fn compare_edits(database: &Database, job: i32, result: &mut Verification) -> Result<(), LedgerError> {
    for (edit, event, is_gone) in database
        .all(EDITS, vec![Box::new(job)], |row| Ok((row.try_get(0)?, count(row, 1)?, row.try_get::<_, bool>(2)?)))?
    {
        result.add(match (event, is_gone) {
            (event, true) => Alteration::EditGone { event, edit },
            (0, false) => Alteration::EditWithoutEvent { edit },
            (event, false) => Alteration::EditRow { edit, event },
        });
    }
    let steps = database.all(STEPS, vec![Box::new(job)], |row| {
        Ok((count(row, 0)?, row.try_get(1)?, row.try_get::<_, bool>(2)?, row.try_get::<_, bool>(3)?))
    })?;
    for (event, edit, has_no_state, was_done) in steps {
        let what = match (has_no_state, was_done) {
            (true, _) => "its state is none",
            (false, true) => "it was done",
            (false, false) => "it had more attempts",
        };
        result.add(Alteration::Step { event, edit, what });
    }
    result.sending = database.all(SENDING, vec![Box::new(job)], |row| count(row, 0))?.into_iter().sum();
    let ids = format!("SELECT seq, from_account, to_account, msg_key, message FROM edit WHERE job = {job}");
    database.visit(&ids, |row| {
        let message = IdDigest::of([row.try_get(1)?, row.try_get(2)?, row.try_get(3)?]);
        if row.try_get::<_, &[u8]>(4)? != message.0 {
            result.add(Alteration::Digest { edit: row.try_get(0)? });
        }
        Ok(ControlFlow::Continue(()))
    })
}

/// Compares the functions and triggers with those that this program makes.
fn compare_schema(database: &Database, result: &mut Verification) -> Result<(), LedgerError> {
    let theirs: BTreeMap<String, String> =
        database.all(SCHEMA, vec![], |row| Ok((row.try_get(0)?, row.try_get(1)?)))?.into_iter().collect();
    let files = || MIGRATIONS.iter().copied().flatten();
    let functions = files().flat_map(|file| file.split("CREATE FUNCTION ").skip(1)).filter_map(|rest| {
        let (name, rest) = rest.split_once('(')?;
        Some((format!("function {name}"), rest.split("$$").nth(1)?.to_owned()))
    });
    let triggers = files().flat_map(|file| file.split("CREATE TRIGGER ").skip(1)).filter_map(|rest| {
        let (name, rest) = rest.split_once(' ')?;
        let (table, rest) = rest.split_once(" ON ")?.1.split_once(char::is_whitespace)?;
        let function = rest.split_once("EXECUTE FUNCTION ")?.1.split_once('(')?.0;
        Some((format!("trigger {name} of {table}"), function.to_owned()))
    });
    let each = LOGGED.iter().flat_map(|table| {
        ["added", "changed"].map(|how| (format!("trigger {table}_is_{how} of {table}"), "log_rows".to_owned()))
    });
    // Those of the loop over these tables are named there by a placeholder.
    let triggers = triggers.filter(|(name, _)| !name.contains('%')).chain(each);
    let ours: BTreeMap<String, String> = functions.chain(triggers).collect();
    for name in theirs.keys().chain(ours.keys()).collect::<BTreeSet<_>>() {
        if theirs.get(name) != ours.get(name) {
            result.add(Alteration::Schema { name: name.clone() });
        }
    }
    Ok(())
}

/// The tables whose rows are events as they are.
const LOGGED: [&str; 10] =
    ["run", "run_list", "sample", "answer", "latency", "act", "ciphertext", "audit", "look", "late"];

/// The query of a view of `0001_log.sql`.
fn view(name: &str) -> &'static str {
    let query = LOG.split_once(&format!("CREATE VIEW {name} AS\n")).and_then(|(_, rest)| rest.split_once(";\n"));
    query.map_or("", |(query, _)| query)
}

/// The events of this message, each with the proof that it is in the log of this size.
pub(super) fn prove(
    database: &Database,
    job: i32,
    message: IdDigest,
    size: Option<u64>,
) -> Result<Vec<Proof>, LedgerError> {
    let Some(head) = find_head(database, job)? else { return Ok(Vec::new()) };
    // As row_to_json writes it.
    let (mut prover, digest) = (Prover::new(size), format!("\"\\\\x{}\"", hex(&message.0)));
    visit_events(database, job, |event| {
        // What an audit has found, or what came late, of this message.
        let is_of_it = event.body.as_deref().is_some_and(|body| body.contains(&digest));
        let is_wanted = is_of_it || event.message.as_deref() == Some(&message.0);
        prover.event(event.line.unwrap_or_default().as_bytes(), is_wanted);
    })?;
    Ok(prover.finish(head.origin))
}
