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

    /// Waits until the body has gone out.
    pub(super) async fn gone_out(&self) {
        self.0.gone_out.notified().await;
    }

    fn leave(&self, to: u8) -> bool {
        self.0.state.compare_exchange(WAITING, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
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
