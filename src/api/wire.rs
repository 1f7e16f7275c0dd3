//! The moment at which an edit goes out.
//!
//! A request's body is asked for its bytes only once there is a connection that takes them. So the body itself spends
//! the permit, and it tells for certain whether anything went out: whoever gives up waiting must first win against
//! the body, and if he does, the body will never hand its bytes over.

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
const OUT: u8 = 1;
const CALLED_OFF: u8 = 2;

/// The sender's end of a request: for as long as it is held, the request may go out. It is dropped together with a
/// sender that gives up half-way, and what has not gone out by then is called off: a connection may hold it already.
#[derive(Debug, Default)]
pub(super) struct SendGuard(Arc<SharedPermit>);

#[derive(Debug, Default)]
struct SharedPermit {
    state: AtomicU8,
    went_out: OnceLock<Instant>,
}

impl SendGuard {
    /// The request's body.
    pub(super) fn carries(&self, bytes: Bytes, permit: Permit) -> Outgoing {
        Outgoing { shared: Arc::clone(&self.0), content: Some((bytes, permit)) }
    }

    /// Makes sure that nothing goes out any more. False: it went out already.
    pub(super) fn call_off(&self) -> bool {
        self.0.leave(CALLED_OFF) || self.0.state.load(Ordering::SeqCst) == CALLED_OFF
    }

    /// Waits until `timeout` has passed since the body went out; where it has not after `open_max`, it is called off. That
    /// it goes out wakes nobody: this costs every request a waking, and there is time enough to see it afterwards.
    pub(super) async fn overdue(&self, open_max: Duration, timeout: Duration) {
        let opened_by = Instant::now() + open_max;
        let mut until = Instant::now();
        loop {
            // It cannot be overdue before: it had not gone out at the last look.
            until = opened_by.min(until + timeout);
            sleep_until(until).await;
            if let Some(at) = self.0.went_out.get() {
                return sleep_until(*at + timeout).await;
            }
            if until == opened_by && self.call_off() {
                return;
            }
        }
    }
}

impl Drop for SendGuard {
    fn drop(&mut self) {
        self.call_off();
    }
}

impl SharedPermit {
    fn leave(&self, to: u8) -> bool {
        self.state.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A request's body that spends its permit when it goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    shared: Arc<SharedPermit>,
    content: Option<(Bytes, Permit)>,
}

/// The body was called off.
#[derive(Debug, thiserror::Error)]
#[error("called off before it went out")]
pub(super) struct BodyCancelled;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = BodyCancelled;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyCancelled>>> {
        let Some((bytes, permit)) = self.content.take() else { return Poll::Ready(None) };
        if !self.shared.leave(OUT) {
            return Poll::Ready(Some(Err(BodyCancelled)));
        }
        permit.spend();
        self.shared.went_out.get_or_init(Instant::now);
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
    use crate::pace::Pace;
    use http_body_util::BodyExt;

    async fn outgoing(wire: &SendGuard) -> Outgoing {
        let pace = Pace::new(NonZeroU32::MIN, Instant::now());
        wire.carries(Bytes::from_static(b"{}"), pace.permit().await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_called_off_never_goes_out() {
        let wire = SendGuard::default();
        let mut body = outgoing(&wire).await;
        assert!(wire.call_off());
        assert!(body.frame().await.unwrap().is_err());
        assert!(wire.call_off(), "it is still so");
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_out_cannot_be_called_off() {
        let wire = SendGuard::default();
        let mut body = outgoing(&wire).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{}");
        assert!(!wire.call_off());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_overdue_so_long_after_it_went_out_and_called_off_if_it_does_not() {
        let [second, half] = [1_000, 500].map(Duration::from_millis);
        for (goes_out_after, overdue_after) in
            [(0, 1_000), (300, 1_300), (1_000, 2_000), (3_400, 4_400), (9_900, 10_900)]
        {
            let wire = SendGuard::default();
            let mut body = outgoing(&wire).await;
            let start = Instant::now();
            let goes_out = async {
                tokio::time::sleep(Duration::from_millis(goes_out_after)).await;
                body.frame().await.unwrap().unwrap()
            };
            tokio::join!(wire.overdue(10 * second, second), goes_out);
            assert_eq!(start.elapsed(), Duration::from_millis(overdue_after));
            assert!(!wire.call_off());
        }
        let wire = SendGuard::default();
        let mut body = outgoing(&wire).await;
        let start = Instant::now();
        wire.overdue(10 * second, 2 * second + half).await;
        assert_eq!(start.elapsed(), 10 * second);
        assert!(body.frame().await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_dropped_calls_its_request_off() {
        let wire = SendGuard::default();
        let mut body = outgoing(&wire).await;
        drop(wire);
        assert!(body.frame().await.unwrap().is_err());
    }
}
