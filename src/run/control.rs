//! What whoever watches a run can tell it: pause, resume, another rate, stop. Each act is durable before it is done, and
//! it is answered once it is done.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::ledger::{ControlAction, ControlEvent, LedgerError};
use crate::pace;
use crate::register::{RegisterError, Share};

/// Acts that may wait; each is done within one commit.
const REQUESTS_MAX: usize = 16;

/// Tells a run what to do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<ControlRequest>,
    cap: NonZeroU32,
    /// What the run has of its app's cap, where it has to share that. One change at a time.
    share: Option<Arc<tokio::sync::Mutex<Arc<Share>>>>,
}

/// The run's side of it.
#[derive(Debug)]
pub struct ControlInbox {
    /// Cancelled when it shall stop.
    pub(super) stop: CancellationToken,
    pub(super) requests: mpsc::Receiver<ControlRequest>,
}

/// An act, and who waits for it to be done.
#[derive(Debug)]
pub(super) struct ControlRequest {
    pub(super) event: ControlEvent,
    pub(super) done: oneshot::Sender<Result<(), LedgerError>>,
}

/// Why a run does not do what it was told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The cap was agreed to when the run began.
    #[error("{wanted} requests a second are more than the {cap} that this run may send at most")]
    AboveCap {
        /// What was asked for.
        wanted: NonZeroU32,
        /// The most.
        cap: NonZeroU32,
    },
    /// Other jobs of the app have taken the rest of its cap.
    #[error(transparent)]
    NoRoom(Arc<RegisterError>),
    /// There is nothing to be told any more.
    #[error("the run is at its end")]
    Over,
    /// It could not be made durable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Control {
    /// For a run that sends at most `cap` requests a second and stops when `stop` is cancelled.
    pub fn new(cap: NonZeroU32, stop: CancellationToken) -> (Control, ControlInbox) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (Control { requests: sender, cap, share: None }, ControlInbox { stop, requests })
    }

    /// With a share of its app's cap, which every change of the rate changes as well.
    #[must_use]
    pub fn sharing(self, share: Option<Arc<Share>>) -> Control {
        Control { share: share.map(|share| Arc::new(tokio::sync::Mutex::new(share))), ..self }
    }

    /// The most requests a second that it can be told.
    pub fn cap(&self) -> NonZeroU32 {
        self.cap
    }

    /// Tells it, and waits until it is done.
    ///
    /// # Errors
    /// It is not done; the error says why.
    pub async fn tell(&self, event: ControlEvent) -> Result<(), ControlError> {
        if let ControlAction::Rate(wanted) = event.what
            && wanted > self.cap
        {
            return Err(ControlError::AboveCap { wanted, cap: self.cap });
        }
        match (event.what, &self.share) {
            (ControlAction::Rate(rate), Some(share)) => {
                let (control, share) = (self.clone(), Arc::clone(share));
                // Whoever asks for it may go away half-way; share and rate must not part.
                let changed = tokio::spawn(async move { control.change_rate(event, rate, &*share.lock().await).await });
                changed.await.map_err(|_| ControlError::Over)?
            }
            (ControlAction::Rate(_), None)
            | (ControlAction::Pause | ControlAction::Resume | ControlAction::Stop, _) => self.do_now(event).await,
        }
    }

    /// More is taken first, and sent once nothing counts any more of what others sent who had that room before. Less is sent
    /// first, and given back once what had its permit at the old rate has gone out and does not count any more.
    async fn change_rate(&self, event: ControlEvent, rate: NonZeroU32, share: &Share) -> Result<(), ControlError> {
        let no_room = |error| ControlError::NoRoom(Arc::new(error));
        if rate > share.rate() {
            share.set_rate(rate).map_err(no_room)?;
            tokio::time::sleep(pace::WINDOW).await;
            self.do_now(event).await
        } else {
            self.do_now(event).await?;
            tokio::time::sleep(pace::WINDOW).await;
            share.set_rate(rate).map_err(no_room)
        }
    }

    async fn do_now(&self, event: ControlEvent) -> Result<(), ControlError> {
        let (done, answer) = oneshot::channel();
        self.requests.send(ControlRequest { event, done }).await.map_err(|_| ControlError::Over)?;
        Ok(answer.await.map_err(|_| ControlError::Over)??)
    }
}

/// Nobody tells it anything but to stop.
impl From<CancellationToken> for ControlInbox {
    fn from(stop: CancellationToken) -> ControlInbox {
        ControlInbox { stop, requests: mpsc::channel(1).1 }
    }
}
