//! The one writer of a ledger: it takes all changes that wait and commits them together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Change, Latency, LedgerError, RunEvent, Store};

/// Changes that one transaction carries at most: bounds the time for which others wait for it.
const BATCH_MAX: usize = 1_024;
/// How long a change waits at most for others to share its commit: a commit costs much more than what is in it.
const LINGER: Duration = Duration::from_millis(80);
/// With this many changes together there is nothing to be gained by waiting for more.
const BATCH_ENOUGH: u32 = 64;
/// Changes that may wait for the writer: more than the requests in flight can ever bring at once.
pub(super) const QUEUE_MAX: usize = 4_096;

/// What the writer takes, and whom it tells that it is durable.
pub(super) type QueuedStep = (Step, oneshot::Sender<Result<(), LedgerError>>);

#[derive(Debug)]
pub(super) enum Step {
    Change(Change),
    RunEvent(RunEvent),
}

pub(super) async fn write_through(queue: &mpsc::Sender<QueuedStep>, step: Step) -> Result<(), LedgerError> {
    let (reply, answer) = oneshot::channel();
    queue.send((step, reply)).await.map_err(|_| LedgerError::Latched)?;
    answer.await.map_err(|_| LedgerError::Latched)?
}

/// The one writer: everything that waits goes into one transaction.
pub(super) async fn write<S: Store>(
    mut store: S,
    mut queue: mpsc::Receiver<QueuedStep>,
    latch: CancellationToken,
    commits: Arc<Mutex<Latency>>,
    places: Arc<AtomicUsize>,
) -> S {
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        // Remarks alone do not wait for company: they are few, and the end of a run waits for the last one.
        let remarks_only = waiting.iter().all(|(step, _)| matches!(step, Step::RunEvent(_)));
        let (linger, enough) = company(places.load(Ordering::Relaxed));
        let until = Instant::now() + if remarks_only { Duration::ZERO } else { linger };
        while waiting.len() < enough {
            let room = BATCH_MAX - waiting.len();
            match tokio::time::timeout_at(until, queue.recv_many(&mut waiting, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let (mut changes, mut events, mut replies) = (Vec::with_capacity(waiting.len()), Vec::new(), Vec::new());
        for (step, reply) in waiting.drain(..) {
            match step {
                Step::Change(change) => changes.push(change),
                Step::RunEvent(record_event) => events.push(record_event),
            }
            replies.push(reply);
        }
        let begun = Instant::now();
        let result = store.commit(changes, events).await;
        commits.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
        let failed = result.is_err();
        if failed {
            latch.cancel();
        }
        for reply in replies {
            // Who no longer waits for the answer has lost interest, not the change.
            let _ = reply.send(result.clone());
        }
        if failed {
            // Latched: with the queue closed, every waiting and later call fails.
            break;
        }
    }
    store
}

/// How long a change waits for others, and how many are enough. Half the places: while these wait for the commit, the
/// other half is at work, so a place is idle for at most half of the time that it has for an edit at the cap.
fn company(places: usize) -> (Duration, usize) {
    let enough = (places / 2).clamp(1, BATCH_ENOUGH as usize);
    (LINGER * u32::try_from(enough).unwrap_or(BATCH_ENOUGH) / BATCH_ENOUGH, enough)
}
