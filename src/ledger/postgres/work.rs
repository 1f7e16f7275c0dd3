//! The parts of the list, dealt out on the connection that writes.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_postgres::Row;

use super::columns::{edit, number};
use super::link::{Link, Patience, Step, read};
use super::writer::Writer;
use super::{Driver, PostgresAddress, ledger};
use crate::edit::IdDigest;
use crate::ledger::{KnownEdit, LedgerError, PartNumber, SharedFuture, Taken, Work};

/// Parts are dealt out to one run at a time.
const LOCK: &str = "
SELECT 1 FROM job WHERE job = (SELECT job FROM lease WHERE run = $1::int8) FOR NO KEY UPDATE";

/// Parts that nobody works on any more, in order, and then new ones.
pub(super) const TAKE: &str = "
WITH j AS (
    SELECT j.job, j.session, j.parts, j.next_part FROM lease l JOIN job j USING (job)
    WHERE l.run = $1::int8 AND l.state = 'live'),
free AS (
    SELECT p.number FROM j JOIN part p USING (job) JOIN lease o ON o.run = p.run
    WHERE p.state <> 'whole' AND (p.state = 'taken' AND o.state <> 'live' OR p.state = 'seen' AND p.session < j.session)
    ORDER BY p.number LIMIT $2::int8),
over AS (
    UPDATE part p SET run = $1::int8, session = j.session, state = 'taken'
    FROM j, free WHERE p.job = j.job AND p.number = free.number RETURNING p.number),
fresh AS (
    INSERT INTO part (job, number, run, session, state)
    SELECT j.job, n, $1::int8, j.session, 'taken'
    FROM j, generate_series(j.next_part,
                            least(j.parts, j.next_part + $2::int8 - (SELECT count(*) FROM over)) - 1) AS n
    RETURNING number),
moved AS (
    UPDATE job SET next_part = job.next_part + (SELECT count(*) FROM fresh)
    FROM j WHERE job.job = j.job AND EXISTS (SELECT 1 FROM fresh))
SELECT number FROM over UNION ALL SELECT number FROM fresh ORDER BY number";

/// Parts of a list from which nothing was dealt out: those that are done are whole, and the others as if an earlier session
/// had left them. All parts before `next_part` have a row.
pub(super) const PASS_OVER: &str = "
WITH j AS (
    SELECT j.job, j.session FROM lease l JOIN job j USING (job)
    WHERE l.run = $1::int8 AND l.state = 'live' AND j.next_part = $2::int8),
made AS (
    INSERT INTO part (job, number, run, session, state)
    SELECT j.job, $2::int8 + o.place - 1, $1::int8, j.session - 1, CASE WHEN o.done THEN 'whole' ELSE 'seen' END
    FROM j, unnest($3::bool[]) WITH ORDINALITY AS o(done, place) RETURNING 1)
UPDATE job SET next_part = job.next_part + (SELECT count(*) FROM made)
FROM j WHERE job.job = j.job RETURNING 1";

/// How many of them at a time: what takes a small part of the time that an attempt may take.
const PASS_OVER_MAX: usize = 4_096;

/// The parts that this run holds: those of an answer that was lost, too.
const HELD: &str = "
SELECT p.number FROM lease l JOIN part p USING (job)
WHERE l.run = $1::int8 AND p.run = l.run AND p.state = 'taken' ORDER BY p.number";

const STATE: &str = "
SELECT l.state, EXISTS (SELECT 1 FROM part p WHERE p.job = l.job AND p.state = 'taken')
FROM lease l WHERE l.run = $1::int8";

pub(super) const KNOWN: &str = "
SELECT o.place, e.message, e.content, e.state::text, e.attempts, e.code, e.note, s.run,
    EXISTS (SELECT 1 FROM run r WHERE r.run = e.run AND r.proxy IS NOT NULL)
FROM lease l, unnest($2::bytea[]) WITH ORDINALITY AS o(message, place),
     LATERAL (SELECT * FROM edit x WHERE x.message = o.message AND x.job = l.job LIMIT 1) e
     LEFT JOIN lease s ON s.run = e.run AND s.state = 'lost'
WHERE l.run = $1::int8";

const FINISH: &str = "
UPDATE part SET state = $3::text
FROM lease l
WHERE l.run = $1::int8 AND l.state = 'live' AND part.job = l.job AND part.number = $2::int8 AND part.run = l.run
  AND part.state = 'taken'";

pub(super) struct PostgresWork {
    writer: Arc<Mutex<Writer>>,
    /// The parts that were handed out and not finished.
    held: HashSet<PartNumber>,
}

impl PostgresWork {
    pub(super) fn new(writer: Arc<Mutex<Writer>>) -> PostgresWork {
        PostgresWork { writer, held: HashSet::new() }
    }
}

impl fmt::Debug for PostgresWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresWork").field("held", &self.held).finish_non_exhaustive()
    }
}

impl Work for PostgresWork {
    fn take(&mut self, at_most: u32) -> SharedFuture<'_, Taken> {
        Box::pin(async move {
            let (writer, held) = (Arc::clone(&self.writer), self.held.clone());
            let take = async move { take(&mut *writer.lock().await, &held, at_most).await };
            let taken = Driver::get()?.run(take).await??;
            if let Taken::Parts(parts) = &taken {
                self.held.extend(parts);
            }
            Ok(taken)
        })
    }

    fn pass_over(&mut self, done: Vec<bool>) -> SharedFuture<'_, ()> {
        let writer = Arc::clone(&self.writer);
        Box::pin(
            async move { Driver::get()?.run(async move { pass_over(&mut *writer.lock().await, &done).await }).await? },
        )
    }

    fn known(&mut self, messages: Vec<IdDigest>) -> SharedFuture<'_, Vec<Option<KnownEdit>>> {
        let writer = Arc::clone(&self.writer);
        Box::pin(
            async move { Driver::get()?.run(async move { known(&mut *writer.lock().await, &messages).await }).await? },
        )
    }

    fn finish(&mut self, part: PartNumber, whole: bool) -> SharedFuture<'_, ()> {
        Box::pin(async move {
            let writer = Arc::clone(&self.writer);
            Driver::get()?.run(async move { finish(&mut *writer.lock().await, part, whole).await }).await??;
            self.held.remove(&part);
            Ok(())
        })
    }
}

/// Takes parts. Whatever this run holds afterwards and has not at hand is handed out: an attempt whose answer was lost may
/// take place late, and what it took must not be forgotten.
async fn take(writer: &mut Writer, held: &HashSet<PartNumber>, at_most: u32) -> Result<Taken, LedgerError> {
    let run = writer.run();
    let address = writer.link().address().clone();
    let take = Step::new(TAKE).with(run).with(i64::from(at_most));
    let steps = [Step::new(LOCK).with(run), take, Step::new(HELD).with(run), Step::new(STATE).with(run)];
    let rows = repeated(writer.link(), &steps, &mut Patience::new()).await?;
    let are_taken = check_live(&address, rows.get(3))?;
    let numbers = rows.iter().skip(2).take(1).flatten().map(|row| read(&address, row.try_get::<_, i64>(0)));
    let numbers: Vec<i64> = numbers.collect::<Result<_, _>>()?;
    let parts: Vec<PartNumber> =
        numbers.into_iter().map(i64::unsigned_abs).filter(|part| !held.contains(part)).collect();
    Ok(match parts.is_empty() {
        false => Taken::Parts(parts),
        true if are_taken => Taken::Wait,
        true => Taken::Over,
    })
}

async fn pass_over(writer: &mut Writer, done: &[bool]) -> Result<(), LedgerError> {
    let run = writer.run();
    for (first, done) in (0_i64..).step_by(PASS_OVER_MAX).zip(done.chunks(PASS_OVER_MAX)) {
        let make = Step::new(PASS_OVER).with(run).with(first).with(done.to_vec());
        let rows = repeated(writer.link(), &[Step::new(LOCK).with(run), make], &mut Patience::new()).await?;
        // The list is not new, others deal parts out already, or an answer was lost. Then parts are looked at one by one.
        if rows.last().is_none_or(Vec::is_empty) {
            break;
        }
    }
    Ok(())
}

async fn finish(writer: &mut Writer, part: PartNumber, whole: bool) -> Result<(), LedgerError> {
    let run = writer.run();
    let state = if whole { "whole" } else { "seen" };
    let steps = [Step::new(FINISH).with(run).with(number(part)).with(state), Step::new(STATE).with(run)];
    let rows = repeated(writer.link(), &steps, &mut Patience::new()).await?;
    check_live(&writer.link().address().clone(), rows.get(1)).map(drop)
}

async fn known(writer: &mut Writer, messages: &[IdDigest]) -> Result<Vec<Option<KnownEdit>>, LedgerError> {
    let (run, address) = (writer.run(), writer.link().address().clone());
    let digests: Vec<&[u8]> = messages.iter().map(|message| &message.0[..]).collect();
    // The lease is looked at last: a lost run would otherwise take what others are sending by now for its own.
    let steps = [Step::new(KNOWN).with(run).with(digests), Step::new(STATE).with(run)];
    let rows = repeated(writer.link(), &steps, &mut Patience::new()).await?;
    check_live(&address, rows.get(1))?;
    let mut known = vec![None; messages.len()];
    for row in rows.iter().take(1).flatten() {
        let place: i64 = read(&address, row.try_get(0))?;
        let digests = (read(&address, row.try_get(1))?, read(&address, row.try_get(2))?);
        let state = (read(&address, row.try_get(3))?, read(&address, row.try_get(4))?);
        let cause = (read(&address, row.try_get(5))?, read(&address, row.try_get(6))?);
        let (_, found) = edit(&address, digests, state, cause)?;
        let lost = read(&address, row.try_get(7))?;
        let place = usize::try_from(place - 1).ok().and_then(|place| known.get_mut(place));
        if let Some(place) = place {
            *place = Some(KnownEdit { row: found, lost, by_proxy: read(&address, row.try_get(8))? });
        }
    }
    Ok(known)
}

/// Whether any part is taken.
///
/// # Errors
/// The lease is lost.
fn check_live(address: &PostgresAddress, rows: Option<&Vec<Row>>) -> Result<bool, LedgerError> {
    let forgotten = || LedgerError::Forgotten { ledger: ledger(address) };
    let row = rows.and_then(|rows| rows.first()).ok_or_else(forgotten)?;
    match read(address, row.try_get::<_, &str>(0))? {
        "live" => read(address, row.try_get(1)),
        _ => Err(LedgerError::LeaseLost { ledger: ledger(address) }),
    }
}

/// Makes a transaction that may be made twice.
async fn repeated(link: &mut Link, steps: &[Step<'_>], patience: &mut Patience) -> Result<Vec<Vec<Row>>, LedgerError> {
    loop {
        match link.transact(steps).await {
            Ok(rows) => return Ok(rows),
            Err(error) => patience.wait(&link.address().clone(), error).await?,
        }
    }
}
