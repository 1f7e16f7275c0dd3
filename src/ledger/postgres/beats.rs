//! The lease of a run, renewed with numbered beats on a connection of its own.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::Row;

use super::begin::{Begun, OTHERS, progress};
use super::columns::{number, small, small_count};
use super::link::{Link, Step, failure, is_answer, read};
use super::{Driver, PostgresAddress, PostgresError, Purpose, ledger, lost};
use crate::ledger::{Beat, Beaten, Beats, LedgerError, LiveLease, Progress, SharedFuture};

/// The lock under which shares change hands. What comes after is a statement of its own, and so sees what the one before it
/// has left: lock and sum in one statement would see an older state.
const LOCK: &str = "
SELECT 1 FROM pace WHERE pace = (SELECT pace FROM lease WHERE run = $1::int8) FOR NO KEY UPDATE";

/// What is left of an earlier hold is never shortened.
const HOLD: &str = "
UPDATE pace SET holds = holds + 1, held_at = clock_timestamp(), hold_ms = greatest($3::int4, least(hold_ms,
    hold_ms - coalesce(extract(epoch FROM clock_timestamp() - held_at) * 1000, hold_ms))::int4)
FROM lease l WHERE l.run = $1::int8 AND l.beat = $2::int8 - 1 AND l.state = 'live' AND pace.pace = l.pace";

/// Shares: down to what is asked, or up by no more than is free. The run's last sample may have come before this beat, which
/// was on its way: counts only grow.
const BEAT: &str = "
WITH other AS (
    SELECT coalesce(sum(o.share), 0)::int4 AS share, coalesce(sum(o.reads), 0)::int4 AS reads,
           min(least(o.rate, j.rate)) AS cap
    FROM lease l JOIN lease o ON o.pace = l.pace JOIN job j ON j.job = o.job
    WHERE l.run = $1::int8 AND o.state = 'live')
UPDATE lease l SET beat = $2::int8, wanted = $5::int4, renewed_at = clock_timestamp(),
    share = CASE WHEN $3::int4 <= l.share THEN $3::int4
            ELSE l.share + greatest(0, least($3::int4 - l.share, other.cap - other.share)) END,
    reads = CASE WHEN $4::int4 <= l.reads THEN $4::int4
            ELSE l.reads + greatest(0, least($4::int4 - l.reads, least(other.cap, 200) - other.reads)) END,
    done = greatest(l.done, $6::int8), failed = greatest(l.failed, $7::int8),
    in_doubt = CASE WHEN $6::int8 < l.done OR $10::int8 < l.read_backs THEN l.in_doubt ELSE $8::int8 END,
    requests = greatest(l.requests, $9::int8), read_backs = greatest(l.read_backs, $10::int8),
    slow_downs = greatest(l.slow_downs, $11::int8), speed = $12::float8::real, held = $13::bool
FROM other
WHERE l.run = $1::int8 AND l.state = 'live' AND l.beat = $2::int8 - 1 RETURNING 1";

/// How it stands for this run, and what all know.
const STATE: &str = "
SELECT l.state, l.beat, l.share, l.reads, l.job, j.paused, j.stop, p.holds, p.hold_ms,
       least(p.hold_ms, greatest(0, p.hold_ms - coalesce(extract(epoch FROM clock_timestamp() - p.held_at) * 1000, p.hold_ms)))::int4
FROM lease l JOIN job j USING (job) JOIN pace p ON p.pace = l.pace WHERE l.run = $1::int8";

const LIVE: &str = "
SELECT o.run, o.beat, o.share, o.reads, o.wanted, least(o.rate, j.rate)
FROM lease l JOIN lease o ON o.pace = l.pace JOIN job j ON j.job = o.job
WHERE l.run = $1::int8 AND o.state = 'live' ORDER BY o.run";

/// The longest that declaring a run lost may take: it goes through all that it held.
const DECLARE_MAX: Duration = Duration::from_secs(5);

pub(super) struct PostgresBeats {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    link: Link,
    run: i64,
    job: i32,
    /// What all runs had done when this one was planned.
    before: Progress,
    /// The number of the last beat that is known to have taken place.
    beat: i64,
    /// The connection of the last beat.
    opening: u64,
}

impl PostgresBeats {
    pub(super) fn new(address: &PostgresAddress, begun: &Begun) -> PostgresBeats {
        let link = Link::new(address, Purpose::Run);
        let (run, job, before) = (begun.run, begun.job, begun.before);
        PostgresBeats { inner: Arc::new(Mutex::new(Inner { link, run, job, before, beat: 0, opening: 0 })) }
    }
}

impl fmt::Debug for PostgresBeats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBeats").finish_non_exhaustive()
    }
}

impl Beats for PostgresBeats {
    fn beat(&mut self, beat: Beat) -> SharedFuture<'_, Beaten> {
        let inner = Arc::clone(&self.inner);
        Box::pin(async move { Driver::get()?.run(async move { inner.lock().await.beat(&beat).await }).await? })
    }

    fn declare_lost(&mut self, run: i64, beat: i64) -> SharedFuture<'_, bool> {
        let inner = Arc::clone(&self.inner);
        Box::pin(
            async move { Driver::get()?.run(async move { inner.lock().await.declare_lost(run, beat).await }).await? },
        )
    }
}

impl Inner {
    async fn beat(&mut self, beat: &Beat) -> Result<Beaten, LedgerError> {
        // A beat whose answer was lost, and which took place after all, is found out here: this one has the next number then.
        for _ in 0..2 {
            if let Some(beaten) = self.attempt(beat).await? {
                return Ok(beaten);
            }
        }
        Err(PostgresError::TimedOut { address: self.link.address().to_string().into() }.into())
    }

    /// `None`: the lease has another number than this run believed.
    async fn attempt(&mut self, beat: &Beat) -> Result<Option<Beaten>, LedgerError> {
        let address = self.link.address().clone();
        let steps = steps(self.run, self.job, self.beat + 1, beat);
        let rows = self.link.transact(&steps).await.map_err(|error| failure(&address, error))?;
        let [.., beat, state, live, others] = &rows[..] else { return Ok(None) };
        let forgotten = || LedgerError::Forgotten { ledger: ledger(&address) };
        let state = state.first().ok_or_else(forgotten)?;
        let (word, found): (&str, i64) = (read(&address, state.try_get(0))?, read(&address, state.try_get(1))?);
        if word != "live" {
            return Err(LedgerError::LeaseLost { ledger: ledger(&address) });
        }
        if found < self.beat {
            return Err(forgotten());
        }
        self.beat = found;
        if beat.is_empty() {
            return Ok(None);
        }
        let mut beaten = read(&address, beaten(state, live))?;
        beaten.is_anew = self.opening != self.link.openings;
        self.opening = self.link.openings;
        if let Some(row) = others.first() {
            beaten.others = since(read(&address, progress(row))?, &self.before);
        }
        Ok(Some(beaten))
    }

    /// Not as one message: what the run was sending must not be in doubt without the run being lost, nor the other way round.
    async fn declare_lost(&mut self, run: i64, beat: i64) -> Result<bool, LedgerError> {
        let address = self.link.address().clone();
        let declared = timeout(DECLARE_MAX, self.declare(run, beat)).await;
        let declared =
            declared.unwrap_or_else(|_| Err(PostgresError::TimedOut { address: address.to_string().into() }));
        if declared.as_ref().is_err_and(|error| !is_answer(error)) {
            self.link.drop_client();
        }
        declared.map_err(|error| failure(&address, error))
    }

    async fn declare(&mut self, run: i64, beat: i64) -> Result<bool, PostgresError> {
        let address = self.link.address().clone();
        let failed = |error| PostgresError::of(&address, error);
        let transaction = self.link.client().await?.transaction().await.map_err(failed)?;
        transaction.execute(LOCK, &[&run]).await.map_err(failed)?;
        let is_lost = lost::declare(&address, &transaction, run, beat).await?;
        transaction.commit().await.map_err(failed)?;
        Ok(is_lost)
    }
}

fn steps(run: i64, job: i32, number_of: i64, beat: &Beat) -> Vec<Step<'static>> {
    let mut steps = vec![Step::new(LOCK).with(run)];
    if let Some(hold) = beat.hold {
        let ms = i32::try_from(hold.as_millis()).unwrap_or(i32::MAX);
        steps.push(Step::new(HOLD).with(run).with(number_of).with(ms));
    }
    let Progress { done, failed, in_doubt, requests, read_backs, slow_downs, speed, held } = beat.progress;
    let step = Step::new(BEAT).with(run).with(number_of).with(small(beat.share)).with(small(beat.reads));
    let step = step.with(small(beat.wanted)).with(number(done)).with(number(failed)).with(number(in_doubt));
    let step = step.with(number(requests)).with(number(read_backs)).with(number(slow_downs));
    // What is no number, or too large for a `real`, is an error there.
    let speed = if speed.is_finite() { speed.clamp(0.0, 1e9) } else { 0.0 };
    steps.push(step.with(speed).with(held));
    steps.extend([STATE, LIVE].map(|sql| Step::new(sql).with(run)));
    steps.push(Step::new(OTHERS).with(job).with(run));
    steps
}

fn beaten(state: &Row, live: &[Row]) -> Result<Beaten, tokio_postgres::Error> {
    let lease = |row: &Row| {
        let lease = LiveLease {
            run: row.try_get(0)?,
            beat: row.try_get(1)?,
            share: small_count(row, 2)?,
            reads: small_count(row, 3)?,
            wanted: small_count(row, 4)?,
        };
        Ok((lease, small_count(row, 5)?))
    };
    let live: Vec<(LiveLease, u32)> = live.iter().map(lease).collect::<Result<_, _>>()?;
    Ok(Beaten {
        share: small_count(state, 2)?,
        reads: small_count(state, 3)?,
        cap: live.iter().map(|(_, cap)| *cap).min().unwrap_or_default(),
        live: live.into_iter().map(|(lease, _)| lease).collect(),
        others: Progress::default(),
        paused: state.try_get(5)?,
        stop: state.try_get(6)?,
        holds: state.try_get(7)?,
        hold: Duration::from_millis(small_count(state, 8)?.into()),
        hold_left: Duration::from_millis(small_count(state, 9)?.into()),
        is_anew: false,
    })
}

/// What others have done since.
fn since(now: Progress, before: &Progress) -> Progress {
    Progress {
        done: now.done.saturating_sub(before.done),
        failed: now.failed.saturating_sub(before.failed),
        in_doubt: now.in_doubt.saturating_sub(before.in_doubt),
        requests: now.requests.saturating_sub(before.requests),
        read_backs: now.read_backs.saturating_sub(before.read_backs),
        slow_downs: now.slow_downs.saturating_sub(before.slow_downs),
        speed: now.speed,
        held: false,
    }
}
