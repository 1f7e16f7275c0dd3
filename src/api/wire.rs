//! The moment at which an edit goes out.
//!
//! A request's body is asked for its bytes only once there is a connection that takes them. So the body itself spends
//! the permit, and it tells for certain whether anything went out: whoever gives up waiting must first win against
//! the body, and if he does, the body will never hand its bytes over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::Notify;

use crate::pace::Permit;

const WAITING: u8 = 0;
const OUT: u8 = 1;
const CALLED_OFF: u8 = 2;

/// The sender's end of a request: for as long as it is held, the request may go out. It is dropped together with a
/// sender that gives up half-way, and what has not gone out by then is called off: a connection may hold it already.
#[derive(Debug, Default)]
pub(super) struct Wire(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    gone_out: Notify,
}

impl Wire {
    /// The request's body.
    pub(super) fn carries(&self, bytes: Bytes, permit: Permit) -> Outgoing {
        Outgoing { shared: Arc::clone(&self.0), content: Some((bytes, permit)) }
    }

    /// Makes sure that nothing goes out any more. False: it went out already.
    pub(super) fn call_off(&self) -> bool {
        self.0.leave(CALLED_OFF) || self.0.state.load(Ordering::SeqCst) == CALLED_OFF
    }

    /// Waits until the body has gone out.
    pub(super) async fn gone_out(&self) {
        self.0.gone_out.notified().await;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.call_off();
    }
}

impl Shared {
    fn leave(&self, to: u8) -> bool {
        self.state.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// A request's body that spends its permit when it goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    shared: Arc<Shared>,
    content: Option<(Bytes, Permit)>,
}

/// The body was called off.
#[derive(Debug, thiserror::Error)]
#[error("called off before it went out")]
pub(super) struct CalledOff;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = CalledOff;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, CalledOff>>> {
        let Some((bytes, permit)) = self.content.take() else { return Poll::Ready(None) };
        if !self.shared.leave(OUT) {
            return Poll::Ready(Some(Err(CalledOff)));
        }
        permit.spend();
        self.shared.gone_out.notify_one();
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

    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;
    use crate::pace::Pace;

    async fn outgoing(wire: &Wire) -> Outgoing {
        let pace = Pace::new(NonZeroU32::MIN, Instant::now());
        wire.carries(Bytes::from_static(b"{}"), pace.permit().await.unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_called_off_never_goes_out() {
        let wire = Wire::default();
        let mut body = outgoing(&wire).await;
        assert!(wire.call_off());
        assert!(body.frame().await.unwrap().is_err());
        assert!(wire.call_off(), "it is still so");
    }

    #[tokio::test(start_paused = true)]
    async fn what_went_out_cannot_be_called_off() {
        let wire = Wire::default();
        let mut body = outgoing(&wire).await;
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "{}");
        wire.gone_out().await;
        assert!(!wire.call_off());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_is_dropped_calls_its_request_off() {
        let wire = Wire::default();
        let mut body = outgoing(&wire).await;
        drop(wire);
        assert!(body.frame().await.unwrap().is_err());
    }
}
