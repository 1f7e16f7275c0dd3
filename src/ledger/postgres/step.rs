//! The statements of a commit.
//!
//! Changes go in waves: the first of each message, then the second of each, and so on, so that their order does not matter
//! within a wave. A wave has at most one statement for each kind of change, and each of them checks that it has changed as
//! many rows as it should, so the transaction is all or nothing. Rows are found with LATERAL and changed by their `ctid`:
//! a join that was planned on an empty table would scan it later.

use std::collections::HashMap;

use super::columns::{number, small};
use super::link::Step;
use crate::edit::IdDigest;
use crate::ledger::{Change, Note, State};

/// Only the live run whose last commit was the one before may make this one. What follows in the transaction looks for it.
pub(super) const FENCE: &str = "
WITH fence AS (UPDATE lease SET commits = $2::int8 WHERE run = $1::int8 AND commits = $2::int8 - 1 AND state = 'live'
               RETURNING 1)
SELECT must(count(*) = 1, 'fence') FROM fence";

pub(super) const INSERT: &str = "
WITH new AS (
    INSERT INTO edit (job, part, line, list, run, attempts, state, code, note, sent_at, message, content, from_account,
                      to_account, msg_key)
    SELECT fence.job, o.part, o.line, o.list, $1::int8, o.attempts, o.state::state, o.code, o.note, o.at, o.message,
           o.content, o.from_account, o.to_account, o.msg_key
    FROM (SELECT job FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live') fence,
         unnest($3::bytea[], $4::bytea[], $5::int8[], $6::int8[], $7::int4[], $8::int4[], $9::text[], $10::int8[],
                $11::text[], $12::int8[], $13::text[], $14::text[], $15::text[])
             WITH ORDINALITY AS o(message, content, part, line, list, attempts, state, code, note, at, from_account,
                                  to_account, msg_key, place)
    ORDER BY o.place
    ON CONFLICT (message, job) DO NOTHING RETURNING 1)
SELECT must((SELECT count(*) FROM new) = cardinality($3), 'insert')";

/// To another state: sent again, answered, withdrawn, or settled by reading. Each kind sets some of the columns.
pub(super) const MOVE: &str = "
WITH moved AS (
    UPDATE edit e SET
        state = o.state::state,
        content = CASE o.kind WHEN 'answered' THEN e.content ELSE o.content END,
        attempts = CASE o.kind WHEN 'settled' THEN e.attempts ELSE o.attempts END,
        code = CASE WHEN o.kind IN ('answered', 'settled') THEN o.code ELSE e.code END,
        note = CASE WHEN o.kind IN ('answered', 'settled') THEN o.note ELSE e.note END,
        took_ms = CASE o.kind WHEN 'answered' THEN o.took WHEN 'sent' THEN NULL ELSE e.took_ms END,
        run = CASE o.kind WHEN 'sent' THEN $1::int8 ELSE e.run END,
        part = CASE o.kind WHEN 'sent' THEN o.part ELSE e.part END,
        line = CASE o.kind WHEN 'sent' THEN o.line ELSE e.line END,
        list = CASE o.kind WHEN 'sent' THEN o.list ELSE e.list END,
        sent_at = CASE o.kind WHEN 'sent' THEN o.at ELSE e.sent_at END
    FROM (SELECT o.*, x.place
          FROM (SELECT job FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live') fence,
               unnest($3::bytea[], $4::bytea[], $5::int8[], $6::int8[], $7::int4[], $8::int4[], $9::text[], $10::int8[],
                      $11::text[], $12::int8[], $13::text[], $14::int4[], $15::text[], $16::int8[])
                   AS o(message, content, part, line, list, attempts, state, code, note, at, before, claim, kind, took),
               LATERAL (SELECT x.ctid AS place FROM edit x WHERE x.message = o.message AND x.job = fence.job LIMIT 1) x) o
    WHERE e.ctid = o.place AND e.state = o.before::state
      AND (o.claim IS NULL OR (e.run = $1::int8 AND e.attempts = o.claim))
    RETURNING 1)
SELECT must((SELECT count(*) FROM moved) = cardinality($3), 'move')";

/// Read, and still in the same state, for this reason.
pub(super) const READ: &str = "
WITH read AS (
    UPDATE edit e SET code = o.code, note = o.note
    FROM (SELECT o.*, x.place
          FROM (SELECT job FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live') fence,
               unnest($3::bytea[], $4::text[], $5::int8[], $6::text[]) AS o(message, before, code, note),
               LATERAL (SELECT x.ctid AS place FROM edit x WHERE x.message = o.message AND x.job = fence.job LIMIT 1) x) o
    WHERE e.ctid = o.place AND e.state = o.before::state
    RETURNING 1)
SELECT must((SELECT count(*) FROM read) = cardinality($3), 'read')";

/// Withdrawn before it was ever sent.
pub(super) const LEAVE: &str = "
WITH gone AS (
    DELETE FROM edit e
    USING (SELECT o.*, x.place
           FROM (SELECT job FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live') fence,
                unnest($3::bytea[], $4::text[], $5::int4[]) AS o(message, before, claim),
                LATERAL (SELECT x.ctid AS place FROM edit x WHERE x.message = o.message AND x.job = fence.job LIMIT 1) x) o
    WHERE e.ctid = o.place AND e.state = o.before::state
      AND (o.claim IS NULL OR (e.run = $1::int8 AND e.attempts = o.claim))
    RETURNING 1)
SELECT must((SELECT count(*) FROM gone) = cardinality($3), 'leave')";

/// The part of an edit that is of no part of a list.
const NO_PART: i64 = -1;

/// What a change does to its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Insert,
    Sent,
    Read,
    Settled,
    Withdrawn,
    Answered,
    Leave,
    /// Neither there before nor after.
    Nothing,
}

impl Kind {
    pub(super) fn of(change: &Change) -> Kind {
        match (change.from, change.to) {
            (None, None) => Kind::Nothing,
            (None, Some(_)) => Kind::Insert,
            (Some(_), None) => Kind::Leave,
            (Some(_), Some(State::Sending)) => Kind::Sent,
            (Some(before), Some(after)) if before == after => Kind::Read,
            (Some(State::Sending), Some(_)) if change.took.is_none() => Kind::Withdrawn,
            (Some(State::Sending), Some(_)) => Kind::Answered,
            (Some(State::InDoubt | State::Waiting | State::Failed | State::Done), Some(_)) => Kind::Settled,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Sent => "sent",
            Kind::Settled => "settled",
            Kind::Withdrawn => "withdrawn",
            Kind::Answered => "answered",
            Kind::Insert | Kind::Read | Kind::Leave | Kind::Nothing => "",
        }
    }
}

/// The attempts of the claim that a change ends: an outcome counts it, a withdrawal does not.
pub(super) fn claim(change: &Change) -> Option<u32> {
    let is_withdrawn = change.took.is_none();
    (change.from == Some(State::Sending)).then(|| change.attempts.saturating_add(u32::from(is_withdrawn)))
}

/// The statements for these changes, without the fence.
pub(super) fn steps<'a>(run: i64, commit: i64, changes: impl Iterator<Item = &'a Change>) -> Vec<Step<'a>> {
    let mut seen: HashMap<IdDigest, usize> = HashMap::new();
    let mut waves: Vec<Vec<&'a Change>> = Vec::new();
    for change in changes {
        let wave = seen.entry(change.message).and_modify(|wave| *wave += 1).or_default();
        if waves.len() <= *wave {
            waves.push(Vec::new());
        }
        waves[*wave].push(change);
    }
    let mut steps = Vec::new();
    for wave in waves {
        let of = |kinds: &[Kind]| -> Vec<&'a Change> {
            wave.iter().copied().filter(|change| kinds.contains(&Kind::of(change))).collect()
        };
        let inserted = of(&[Kind::Insert]);
        if !inserted.is_empty() {
            steps.push(insert(run, commit, &inserted));
        }
        let moved = of(&[Kind::Sent, Kind::Settled, Kind::Withdrawn, Kind::Answered]);
        if !moved.is_empty() {
            steps.push(shift(run, commit, &moved));
        }
        let read = of(&[Kind::Read]);
        if !read.is_empty() {
            let columns = Columns(&read);
            let step = Step::new(READ).with(run).with(commit).with(columns.messages()).with(columns.before());
            steps.push(step.with(columns.codes()).with(columns.notes()));
        }
        let left = of(&[Kind::Leave]);
        if !left.is_empty() {
            let columns = Columns(&left);
            let step = Step::new(LEAVE).with(run).with(commit).with(columns.messages()).with(columns.before());
            steps.push(step.with(columns.claims()));
        }
    }
    steps
}

fn insert<'a>(run: i64, commit: i64, changes: &[&'a Change]) -> Step<'a> {
    let ids = || changes.iter().map(|change| change.edit.id());
    Columns(changes)
        .common(Step::new(INSERT).with(run).with(commit))
        .with(ids().map(|id| &*id.from_account).collect::<Vec<&str>>())
        .with(ids().map(|id| &*id.to_account).collect::<Vec<&str>>())
        .with(ids().map(|id| &*id.msg_key).collect::<Vec<&str>>())
}

fn shift<'a>(run: i64, commit: i64, changes: &[&'a Change]) -> Step<'a> {
    let columns = Columns(changes);
    let took = |change: &&Change| change.took.map(|took| i64::try_from(took.as_millis()).unwrap_or(i64::MAX));
    columns
        .common(Step::new(MOVE).with(run).with(commit))
        .with(columns.before())
        .with(columns.claims())
        .with(changes.iter().map(|change| Kind::of(change).word()).collect::<Vec<&str>>())
        .with(changes.iter().map(took).collect::<Vec<Option<i64>>>())
}

/// Changes as arrays, one for each column.
pub(super) struct Columns<'c, 'a>(pub(super) &'c [&'a Change]);

impl<'a> Columns<'_, 'a> {
    fn each<T>(&self, value: impl Fn(&'a Change) -> T) -> Vec<T> {
        self.0.iter().map(|change| value(change)).collect()
    }

    pub(super) fn messages(&self) -> Vec<&'a [u8]> {
        self.each(|change| &change.message.0[..])
    }

    fn before(&self) -> Vec<&'static str> {
        self.each(|change| change.from.map_or("", State::word))
    }

    pub(super) fn claims(&self) -> Vec<Option<i32>> {
        self.each(|change| claim(change).map(small))
    }

    pub(super) fn states(&self) -> Vec<&'static str> {
        self.each(|change| change.to.map_or("", State::word))
    }

    pub(super) fn codes(&self) -> Vec<Option<i64>> {
        self.each(|change| change.code)
    }

    pub(super) fn notes(&self) -> Vec<Option<String>> {
        self.each(|change| change.note.map(Note::word))
    }

    fn common(&self, step: Step<'a>) -> Step<'a> {
        step.with(self.messages())
            .with(self.each(|change| &change.content.0[..]))
            .with(self.each(|change| change.part.map_or(NO_PART, number)))
            .with(self.each(|change| number(change.line.number)))
            .with(self.each(|change| change.line.list.as_ref().map(|list| small(list.position))))
            .with(self.each(|change| small(change.attempts)))
            .with(self.states())
            .with(self.codes())
            .with(self.notes())
            .with(self.each(|change| change.at))
    }
}
