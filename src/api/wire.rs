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

/// Shared by the body of a request and the one who waits for its answer.
#[derive(Clone, Debug, Default)]
pub(super) struct Wire(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: AtomicU8,
    gone_out: Notify,
}

impl Wire {
    /// Makes sure that nothing goes out any more. False: it went out already.
    pub(super) fn call_off(&self) -> bool {
        self.leave(CALLED_OFF) || self.0.state.load(Ordering::SeqCst) == CALLED_OFF
    }

    /// For as long as this is held, the request may go out.
    pub(super) fn recall(&self) -> Recall {
        Recall(self.clone())
    }

    /// Waits until the body has gone out.
    pub(super) async fn gone_out(&self) {
        self.0.gone_out.notified().await;
    }

    fn leave(&self, to: u8) -> bool {
        self.0.state.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

/// Calls off what has not gone out when its sender is dropped half-way: a connection may hold the request already.
#[derive(Debug)]
pub(super) struct Recall(Wire);

impl Drop for Recall {
    fn drop(&mut self) {
        self.0.call_off();
    }
}

/// A request's body that spends its permit when it goes out.
#[derive(Debug)]
pub(super) struct Outgoing {
    wire: Wire,
    content: Option<(Bytes, Permit)>,
}

impl Outgoing {
    pub(super) fn new(bytes: Bytes, permit: Permit, wire: Wire) -> Outgoing {
        Outgoing { wire, content: Some((bytes, permit)) }
    }
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
        if !self.wire.leave(OUT) {
            return Poll::Ready(Some(Err(CalledOff)));
        }
        permit.spend();
        self.wire.0.gone_out.notify_one();
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
        Outgoing::new(Bytes::from_static(b"{}"), pace.permit().await, wire.clone())
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
        drop(wire.recall());
        assert!(body.frame().await.unwrap().is_err());
    }
}
