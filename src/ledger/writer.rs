//! The one writer of a ledger. It takes all waiting changes and commits them together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Applied, Change, Latency, LedgerError, RunEvent, Store};

/// The maximum number of changes in a transaction: bounds how long others wait for it.
const BATCH_MAX: usize = 1_024;
/// The longest time that a change waits for others to share its commit: a commit costs far more than the changes in it.
const LINGER: Duration = Duration::from_millis(80);
/// With this many changes, waiting for more gains nothing.
const BATCH_ENOUGH: u32 = 64;
/// The maximum number of changes waiting for the writer: more than the requests in flight can produce at once.
pub(super) const QUEUE_MAX: usize = 4_096;

/// What to write, and where to report that it is durable.
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

/// Runs the writer: everything that waits goes into one transaction.
pub(super) async fn write<S: Store>(
    mut store: S,
    mut queue: mpsc::Receiver<QueuedStep>,
    latch: CancellationToken,
    commits: Arc<Mutex<Latency>>,
    in_flight_max: Arc<AtomicUsize>,
) -> S {
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        // Events alone do not linger: they are few, and the end of a run waits for the last one.
        let only_events = waiting.iter().all(|(step, _)| matches!(step, Step::RunEvent(_)));
        let (delay, enough) = linger(in_flight_max.load(Ordering::Relaxed));
        let until = Instant::now() + if only_events { Duration::ZERO } else { delay };
        while waiting.len() < enough {
            let room = BATCH_MAX - waiting.len();
            match tokio::time::timeout_at(until, queue.recv_many(&mut waiting, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let (mut changes, mut events) = (Vec::with_capacity(waiting.len()), Vec::new());
        let (mut replies, mut event_replies) = (Vec::with_capacity(waiting.len()), Vec::new());
        for (step, reply) in waiting.drain(..) {
            match step {
                Step::Change(change) => {
                    changes.push(change);
                    replies.push(reply);
                }
                Step::RunEvent(event) => {
                    events.push(event);
                    event_replies.push(reply);
                }
            }
        }
        let begun = Instant::now();
        let result = store.commit(changes, events).await;
        commits.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
        let failed = result.is_err();
        if failed {
            latch.cancel();
        }
        // If a caller no longer waits, its change is committed all the same.
        match result {
            Ok(applied) => {
                for (applied, reply) in applied.into_iter().zip(replies) {
                    let _ = reply.send(match applied {
                        Applied::Yes => Ok(()),
                        Applied::NotYours(state) => Err(LedgerError::NotYours(state)),
                    });
                }
                for reply in event_replies {
                    let _ = reply.send(Ok(()));
                }
            }
            Err(error) => {
                for reply in replies.into_iter().chain(event_replies) {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
        if failed {
            // With the queue closed, every waiting and later call fails.
            break;
        }
    }
    store
}

/// How long a change waits for others, and how many are enough. With half the slots waiting for the commit, the other half
/// is at work, so a slot is idle for at most half of the time that it has for an edit at the cap.
fn linger(in_flight_max: usize) -> (Duration, usize) {
    let enough = (in_flight_max / 2).clamp(1, BATCH_ENOUGH as usize);
    (LINGER * u32::try_from(enough).unwrap_or(BATCH_ENOUGH) / BATCH_ENOUGH, enough)
}
