//! Outcomes that a run learns after its lease was lost: they are kept, and a success settles the doubt that it belongs to.

use std::collections::HashMap;

use super::columns::{digest, small, state};
use super::link::{Link, Patience, Step, read};
use super::step::{Columns, Kind};
use crate::edit::IdDigest;
use crate::ledger::{Applied, Change, LedgerError, State};

const KEEP: &str = "
WITH o AS (
    SELECT l.job, o.* FROM lease l,
        unnest($2::bytea[], $3::int4[], $4::text[], $5::int8[], $6::text[], $7::int8[])
            AS o(message, attempts, state, code, note, at)
    WHERE l.run = $1::int8 AND l.state <> 'live'),
kept AS (
    INSERT INTO late (job, message, run, attempts, state, code, note, at)
    SELECT o.job, o.message, $1::int8, o.attempts, o.state::state, o.code, o.note, o.at FROM o ORDER BY o.message
    ON CONFLICT DO NOTHING)
UPDATE edit e SET state = 'done', code = o.code, note = o.note
FROM (SELECT o.*, x.place FROM o,
          LATERAL (SELECT x.ctid AS place FROM edit x WHERE x.message = o.message AND x.job = o.job LIMIT 1) x
      WHERE o.state = 'done') o
WHERE e.ctid = o.place AND e.run = $1::int8 AND e.attempts = o.attempts AND e.state = 'in_doubt'";

/// How the edits of these messages stand, and with which claim.
pub(super) const ROW_STATES: &str = "
SELECT e.message, e.state::text, e.run, e.attempts
FROM lease l, unnest($2::bytea[]) AS o(message),
     LATERAL (SELECT * FROM edit x WHERE x.message = o.message AND x.job = l.job LIMIT 1) e
WHERE l.run = $1::int8";

/// The state of an edit, and the claim that it was last sent with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowState {
    pub(super) state: State,
    pub(super) run: i64,
    pub(super) attempts: u32,
}

pub(super) fn row_states(
    link: &Link,
    rows: &[tokio_postgres::Row],
) -> Result<HashMap<IdDigest, RowState>, LedgerError> {
    let address = link.address();
    let row_state = |row: &tokio_postgres::Row| {
        let message = IdDigest(digest(address, read(address, row.try_get::<_, &[u8]>(0))?)?);
        let state = state(address, read(address, row.try_get(1))?)?;
        let attempts = read(address, row.try_get::<_, i32>(3))?.unsigned_abs();
        Ok((message, RowState { state, run: read(address, row.try_get(2))?, attempts }))
    };
    rows.iter().map(row_state).collect()
}

/// Keeps what these changes say of what was sent. None of them is applied.
pub(super) async fn keep(link: &mut Link, run: i64, changes: &[Change]) -> Result<Vec<Applied>, LedgerError> {
    let mut patience = Patience::new();
    let outcomes: Vec<&Change> = changes.iter().filter(|change| Kind::of(change) == Kind::Answered).collect();
    let all: Vec<&Change> = changes.iter().collect();
    loop {
        let columns = Columns(&outcomes);
        let attempts: Vec<i32> = outcomes.iter().map(|change| small(change.attempts)).collect();
        let at: Vec<i64> = outcomes.iter().map(|change| change.at).collect();
        let keep = Step::new(KEEP).with(run).with(columns.messages()).with(attempts).with(columns.states());
        let keep = keep.with(columns.codes()).with(columns.notes()).with(at);
        let row_state = Step::new(ROW_STATES).with(run).with(Columns(&all).messages());
        match link.transact(&[keep, row_state]).await {
            Ok(rows) => {
                let now = row_states(link, rows.get(1).map_or(&[], Vec::as_slice))?;
                let answer = |change: &Change| Applied::NotYours(now.get(&change.message).map(|now| now.state));
                return Ok(changes.iter().map(answer).collect());
            }
            Err(error) => patience.wait(&link.address().clone(), error).await?,
        }
    }
}
