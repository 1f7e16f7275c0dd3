//! The plan and the run.
//!
//! ```text
//! plan()   reads the whole list and checks it; nothing is sent, nothing is written
//! run()    takes the rows of the plan one by one through the life of an edit (life.rs)
//! ```
//!
//! `todo` decides which rows of the list still have to be sent, the same way for both. `waiting` keeps the edits
//! that are to be sent again; they hold no place among the requests in flight. `breaker` says when it makes no sense
//! to go on.

mod breaker;
mod life;
mod plan;
mod tally;
mod todo;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use self::breaker::Breaker;
pub use self::breaker::{FailureLimit, FailureLimitError, StopReason};
pub use self::life::Line;
use self::life::{Landed, attempt};
pub use self::plan::{Plan, PlanError, Problems, Warning, plan};
pub use self::tally::{Cause, Tally};
pub use self::todo::{InDoubt, Policy, Todo};
use self::waiting::Waiting;
use crate::api::Service;
use crate::ledger::{LedgerError, Pending};

/// How often whoever watches is told how far it is, also while nothing happens.
const TICK: Duration = Duration::from_millis(250);

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// Every row was taken up.
    Finished,
    /// Somebody asked it to stop.
    Interrupted,
    /// It made no sense to go on.
    Stopped(StopReason),
}

/// Bounds of one run, each of them checked before it starts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests in flight at most.
    pub in_flight_max: usize,
    /// Edits at most whose intent is durable and that still wait for a permit: enough for the permits that fall due
    /// during one commit, and no more, since each of them is in doubt if the process dies.
    pub ahead_max: usize,
    /// When there are too many failures.
    pub failures: FailureLimit,
}

/// The run: every edit of `todo` through its life, until none is left, `stop` is cancelled, or it makes no sense to go
/// on. Then what is in flight is waited for. `show` is told how far it is, several times a second.
pub async fn run<S: Service>(
    line: Line<S>,
    limits: Limits,
    mut todo: Todo,
    stop: CancellationToken,
    mut show: impl FnMut(&Tally),
) -> (Tally, Ended) {
    let line = Arc::new(line);
    let ahead = Arc::new(Semaphore::new(limits.ahead_max));
    let mut waiting = Waiting::new(line.seed);
    let mut breaker = Breaker::new(limits.failures);
    let mut tally = Tally::default();
    let mut tick = interval(TICK);
    let mut flights: JoinSet<Landed> = JoinSet::new();
    let mut nothing_left = false;

    let mut ended = loop {
        if nothing_left && flights.is_empty() {
            break Ended::Finished;
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ended::Interrupted,
            Some(landed) = flights.join_next() => {
                if let Some(reason) = settle(landed, &line, &mut waiting, &mut tally, &mut breaker) {
                    break Ended::Stopped(reason);
                }
                nothing_left &= waiting.is_empty();
            }
            _ = tick.tick() => {
                tally.slow_downs = line.pace.slow_downs();
                show(&tally);
            }
            next = next_edit(&ahead, &mut waiting, &mut todo),
                if !nothing_left && flights.len() < limits.in_flight_max => match next {
                Ok(Some((slot, pending))) => {
                    // The only part that happens concurrently.
                    flights.spawn(attempt(Arc::clone(&line), pending, slot));
                }
                Ok(None) => nothing_left = true,
                Err(reason) => break Ended::Stopped(reason),
            }
        }
    };

    // Who has no permit yet takes the intent back; whose request is under way waits for its answer.
    line.stop.cancel();
    while let Some(landed) = flights.join_next().await {
        let reason = settle(landed, &line, &mut waiting, &mut tally, &mut breaker);
        // Whatever it was stopped for: that the ledger failed is what must be known, and its first error says why.
        if let Some(reason @ StopReason::Ledger(_)) = reason
            && !matches!(ended, Ended::Stopped(StopReason::Ledger(ref error)) if !matches!(error, LedgerError::Latched))
        {
            ended = Ended::Stopped(reason);
        }
    }
    tally.in_doubt += waiting.in_doubt();
    tally.slow_downs = line.pace.slow_downs();
    show(&tally);
    (tally, ended)
}

/// The next edit to send, and a place among those that wait for a permit: what waited long enough comes before new
/// rows. `None`: nothing waits, and the list is at its end. Nothing is lost if it is dropped half-way.
async fn next_edit(
    ahead: &Arc<Semaphore>,
    waiting: &mut Waiting,
    todo: &mut Todo,
) -> Result<Option<(OwnedSemaphorePermit, Pending)>, StopReason> {
    let Ok(slot) = Arc::clone(ahead).acquire_owned().await else { return Ok(None) };
    loop {
        if let Some(pending) = waiting.due(Instant::now()) {
            return Ok(Some((slot, pending)));
        }
        if !waiting.is_full()
            && let Some(pending) = todo.next().await?
        {
            return Ok(Some((slot, pending)));
        }
        match waiting.next_due() {
            Some(due) => tokio::time::sleep_until(due).await,
            None => return Ok(None),
        }
    }
}

/// Takes in what came of one attempt; a reason where it makes no sense to go on.
fn settle<S: Service>(
    landed: Result<Landed, tokio::task::JoinError>,
    line: &Line<S>,
    waiting: &mut Waiting,
    tally: &mut Tally,
    breaker: &mut Breaker,
) -> Option<StopReason> {
    let now = Instant::now();
    match landed {
        Ok(Landed::Recorded { recorded, verdict }) => {
            tally.attempt(&recorded, &verdict);
            match line.after(&recorded, &verdict) {
                Some(delay) => waiting.push(recorded.into_pending(), now, delay),
                None => tally.settle(&recorded),
            }
            breaker.answered(&verdict, tally, now)
        }
        Ok(Landed::Unreachable { pending, reason }) => {
            waiting.push_now(pending, now);
            let (stop, hold) = breaker.unreachable(reason, now);
            line.pace.hold(hold);
            stop
        }
        Ok(Landed::Withdrawn(pending)) => {
            waiting.push_now(pending, now);
            None
        }
        Ok(Landed::NotRecorded { error, unsure, taken_up }) => {
            if unsure {
                tally.unsure(taken_up);
            }
            Some(StopReason::Ledger(error))
        }
        // An attempt that panicked is a defect of ours. Its edit may be `sending` in the ledger, so it is in doubt.
        Err(error) => {
            tally.unsure(None);
            Some(StopReason::Defect(error.to_string()))
        }
    }
}
