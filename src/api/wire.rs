//! Tracks whether a request's body has been sent.
//!
//! A request's body is polled only once there is a connection to take its bytes. So the body itself spends the permit,
//! and it records for certain whether anything was sent: a caller that gives up waiting must first cancel the body,
//! and if that succeeds, the body never hands over its bytes. Nor does it if the permit may not be spent any more.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, sleep_until};

use crate::pace::Permit;

const WAITING: u8 = 0;
const SENT: u8 = 1;
const CANCELLED: u8 = 2;
/// Its permit could not be spent, so it was not sent and never will be.
const HELD_BACK: u8 = 3;

/// The sender's end of a request: the request may be sent for as long as this is held. Dropping it, for example
/// because the sender is dropped halfway, cancels a body that has not been sent, even if a connection holds it
/// already.
#[derive(Debug, Default)]
pub(super) struct SendGuard(Arc<SendState>);

#[derive(Debug, Default)]
struct SendState {
    state: AtomicU8,
    sent_at: OnceLock<Instant>,
}

impl SendGuard {
    /// Makes the request's body, which spends `permit` when it is sent.
    pub(super) fn body(&self, bytes: Bytes, permit: Permit) -> GuardedBody {
        GuardedBody { shared: Arc::clone(&self.0), content: Some((bytes, permit)) }
    }

    /// Makes sure that nothing is sent from now on. Returns false if the body was sent already.
    pub(super) fn cancel(&self) -> bool {
        self.0.transition(CANCELLED) || matches!(self.0.state.load(Ordering::SeqCst), CANCELLED | HELD_BACK)
    }

    /// Whether nothing was sent because the permit could not be spent any more.
    pub(super) fn is_held_back(&self) -> bool {
        self.0.state.load(Ordering::SeqCst) == HELD_BACK
    }

    /// Waits until `timeout` has passed since the body was sent, or, if it is not sent within `open_max`, cancels it.
    /// Sending wakes nobody, as that would cost every request a wake-up: it is soon enough to notice it afterwards.
    pub(super) async fn overdue(&self, open_max: Duration, timeout: Duration) {
        let open_deadline = Instant::now() + open_max;
        let mut until = Instant::now();
        loop {
            // It cannot be overdue any earlier: it had not been sent at the last check.
            until = open_deadline.min(until + timeout);
            sleep_until(until).await;
            if let Some(sent_at) = self.0.sent_at.get() {
                return sleep_until(*sent_at + timeout).await;
            }
            if until == open_deadline && self.cancel() {
                return;
            }
        }
    }
}

impl Drop for SendGuard {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl SendState {
    fn transition(&self, to: u8) -> bool {
        self.state.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A request's body, which spends its permit when it is sent.
#[derive(Debug)]
pub(super) struct GuardedBody {
    shared: Arc<SendState>,
    content: Option<(Bytes, Permit)>,
}

/// The body was cancelled, or its permit could not be spent.
#[derive(Debug, thiserror::Error)]
#[error("cancelled before it was sent")]
pub(super) struct BodyCancelled;

impl Body for GuardedBody {
    type Data = Bytes;
    type Error = BodyCancelled;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCancelled>>> {
        let Some((bytes, permit)) = self.content.take() else { return Poll::Ready(None) };
        if !self.shared.transition(SENT) {
            return Poll::Ready(Some(Err(BodyCancelled)));
        }
        // Whoever gives up between these two takes it for sent, which is safe. The other way round, a body that is taken
        // for cancelled could go out.
        if permit.spend().is_err() {
            self.shared.state.store(HELD_BACK, Ordering::SeqCst);
            return Poll::Ready(Some(Err(BodyCancelled)));
        }
        self.shared.sent_at.get_or_init(Instant::now);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.content.as_ref().map_or(0, |(bytes, _)| bytes.len() as u64))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::pace::{GATE_OPEN, Gate, Pace};
    use http_body_util::BodyExt;

    async fn body_of(guard: &SendGuard) -> GuardedBody {
        let pace = Pace::new(NonZeroU32::MIN, Instant::now());
        guard.body(Bytes::from_static(b"{}"), pace.permit().await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_cancelled_body_is_never_sent() {
        let guard = SendGuard::default();
        let mut body = body_of(&guard).await;
        assert!(guard.cancel());
        assert!(body.frame().await.unwrap().is_err());
        assert!(guard.cancel(), "it stays cancelled");
    }

    #[tokio::test(start_paused = true)]
    async fn a_sent_body_cannot_be_cancelled() {
        let guard = SendGuard::default();
        let mut body = body_of(&guard).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{}");
        assert!(!guard.cancel());
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_whose_permit_cannot_be_spent_is_never_sent() {
        let start = Instant::now();
        let gate = Gate::new(move || start.elapsed());
        gate.extend(gate.now() + GATE_OPEN);
        let pace = Pace::with_gate(NonZeroU32::MIN, start, gate.clone());
        let guard = SendGuard::default();
        let mut body = guard.body(Bytes::from_static(b"{}"), pace.permit().await.unwrap());
        tokio::time::sleep(GATE_OPEN).await;
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
        assert!(guard.is_held_back() && guard.cancel() && guard.is_held_back());
        // It never counted.
        gate.extend(gate.now() + GATE_OPEN);
        tokio::time::timeout(Duration::from_millis(1), pace.permit()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_is_overdue_after_its_timeout_and_cancelled_if_it_is_not_sent() {
        let [second, half] = [1_000, 500].map(Duration::from_millis);
        for (sent_after, overdue_after) in [(0, 1_000), (300, 1_300), (1_000, 2_000), (3_400, 4_400), (9_900, 10_900)] {
            let guard = SendGuard::default();
            let mut body = body_of(&guard).await;
            let start = Instant::now();
            let send = async {
                tokio::time::sleep(Duration::from_millis(sent_after)).await;
                body.frame().await.unwrap().unwrap()
            };
            tokio::join!(guard.overdue(10 * second, second), send);
            assert_eq!(start.elapsed(), Duration::from_millis(overdue_after));
            assert!(!guard.cancel());
        }
        let guard = SendGuard::default();
        let mut body = body_of(&guard).await;
        let start = Instant::now();
        guard.overdue(10 * second, 2 * second + half).await;
        assert_eq!(start.elapsed(), 10 * second);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_guard_cancels_the_request() {
        let guard = SendGuard::default();
        let mut body = body_of(&guard).await;
        drop(guard);
        assert!(body.frame().await.unwrap().is_err());
    }
}
