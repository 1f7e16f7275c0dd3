//! Controls a run: pause, resume, another rate, stop. Each request is made durable, then applied, then answered.

use std::num::NonZeroU32;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::heartbeat::Lease;
use crate::ledger::{ControlAction, ControlEvent, LedgerError, SharedControl};
use crate::pace;
use crate::register::{RegisterError, Share};

/// Requests that may wait; each takes one commit.
const REQUESTS_MAX: usize = 16;

/// Sends requests to a run. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<ControlRequest>,
    cap: NonZeroU32,
    /// The run's share of its app's cap, if it has to share that. Changed by one request at a time.
    share: Option<Arc<tokio::sync::Mutex<Arc<Share>>>>,
    /// Where several runs work on a job, it is all of them that are told.
    shared: Option<Arc<dyn SharedControl>>,
}

/// The receiving side, for the run.
#[derive(Debug)]
pub struct ControlInbox {
    /// Cancelled when the run has to stop.
    pub(super) stop: CancellationToken,
    pub(super) requests: mpsc::Receiver<ControlRequest>,
    /// The lease of a run that shares its ledger with others.
    pub(super) lease: Option<Lease>,
}

impl ControlInbox {
    /// Of a run that shares its ledger with others, and holds this lease.
    #[must_use]
    pub fn with_lease(self, lease: Lease) -> ControlInbox {
        ControlInbox { lease: Some(lease), ..self }
    }
}

/// A request, and where its result goes.
#[derive(Debug)]
pub(super) struct ControlRequest {
    pub(super) event: ControlEvent,
    pub(super) done: oneshot::Sender<Result<(), LedgerError>>,
}

/// Why a run did not do what was requested.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The cap was agreed to when the run began.
    #[error("{wanted} requests a second are more than the {cap} that this run may send at most")]
    AboveCap {
        /// The requested rate.
        wanted: NonZeroU32,
        /// The most.
        cap: NonZeroU32,
    },
    /// Other jobs of the app have taken the rest of its cap.
    #[error(transparent)]
    NoRoom(Arc<RegisterError>),
    /// The run has ended.
    #[error("the run is at its end")]
    Over,
    /// The request could not be made durable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Control {
    /// For a run that sends at most `cap` requests a second and stops when `stop` is cancelled.
    pub fn new(cap: NonZeroU32, stop: CancellationToken) -> (Control, ControlInbox) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (Control { requests: sender, cap, share: None, shared: None }, ControlInbox { stop, requests, lease: None })
    }

    /// With a share of its app's cap, which changes with the rate.
    #[must_use]
    pub fn sharing(self, share: Option<Arc<Share>>) -> Control {
        Control { share: share.map(|share| Arc::new(tokio::sync::Mutex::new(share))), ..self }
    }

    /// Tells all runs that work on the job, through their ledger.
    #[must_use]
    pub fn through(self, shared: Option<Box<dyn SharedControl>>) -> Control {
        Control { shared: shared.map(Arc::from), ..self }
    }

    /// The highest rate that can be requested.
    pub fn cap(&self) -> NonZeroU32 {
        self.cap
    }

    /// Sends a request, and waits until it is applied.
    ///
    /// # Errors
    /// It was not applied; the error says why.
    pub async fn tell(&self, event: ControlEvent) -> Result<(), ControlError> {
        if let ControlAction::Rate(wanted) = event.what
            && wanted > self.cap
        {
            return Err(ControlError::AboveCap { wanted, cap: self.cap });
        }
        if let Some(shared) = &self.shared {
            return Ok(shared.act(event).await?);
        }
        match (event.what, &self.share) {
            (ControlAction::Rate(rate), Some(share)) => {
                let (control, share) = (self.clone(), Arc::clone(share));
                // The caller may be dropped half-way, and share and rate must change together.
                let changed = tokio::spawn(async move { control.change_rate(event, rate, &*share.lock().await).await });
                changed.await.map_err(|_| ControlError::Over)?
            }
            (ControlAction::Rate(_), None)
            | (ControlAction::Pause | ControlAction::Resume | ControlAction::Stop, _) => self.do_now(event).await,
        }
    }

    /// To raise the rate, the share is taken first, and used only once nothing counts any more that others sent while
    /// the room was theirs. To lower it, the run slows down first, and gives its share back only once nothing counts
    /// any more that went out at the old rate. (A request whose connection opens later keeps to the new one: it may have
    /// to give its permit back.)
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

/// An inbox through which a run can only be stopped.
impl From<CancellationToken> for ControlInbox {
    fn from(stop: CancellationToken) -> ControlInbox {
        ControlInbox { stop, requests: mpsc::channel(1).1, lease: None }
    }
}
