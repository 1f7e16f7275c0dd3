//! What whoever watches a run can tell it: pause, resume, another rate, stop. Each act is durable before it is done, and
//! it is answered once it is done.

use std::num::NonZeroU32;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::ledger::{Act, LedgerError, Order};

/// Acts that may wait; each is done within one commit.
const ACTS_MAX: usize = 16;

/// Tells a run what to do. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    acts: mpsc::Sender<Told>,
    cap: NonZeroU32,
}

/// The run's side of it.
#[derive(Debug)]
pub struct Orders {
    /// Cancelled when it shall stop.
    pub(super) stop: CancellationToken,
    pub(super) acts: mpsc::Receiver<Told>,
}

/// An act, and who waits for it to be done.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) act: Act,
    pub(super) done: oneshot::Sender<Result<(), LedgerError>>,
}

/// Why a run does not do what it was told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refused {
    /// The cap was agreed to when the run began.
    #[error("{wanted} requests a second are more than the {cap} that this run may send at most")]
    AboveCap {
        /// What was asked for.
        wanted: NonZeroU32,
        /// The most.
        cap: NonZeroU32,
    },
    /// There is nothing to be told any more.
    #[error("the run is at its end")]
    Over,
    /// It could not be made durable.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl Control {
    /// For a run that sends at most `cap` requests a second and stops when `stop` is cancelled.
    pub fn new(cap: NonZeroU32, stop: CancellationToken) -> (Control, Orders) {
        let (sender, acts) = mpsc::channel(ACTS_MAX);
        (Control { acts: sender, cap }, Orders { stop, acts })
    }

    /// The most requests a second that it can be told.
    pub fn cap(&self) -> NonZeroU32 {
        self.cap
    }

    /// Tells it, and waits until it is done.
    ///
    /// # Errors
    /// It is not done; the error says why.
    pub async fn tell(&self, act: Act) -> Result<(), Refused> {
        if let Order::Rate(wanted) = act.what
            && wanted > self.cap
        {
            return Err(Refused::AboveCap { wanted, cap: self.cap });
        }
        let (done, answer) = oneshot::channel();
        self.acts.send(Told { act, done }).await.map_err(|_| Refused::Over)?;
        Ok(answer.await.map_err(|_| Refused::Over)??)
    }
}

/// Nobody tells it anything but to stop.
impl From<CancellationToken> for Orders {
    fn from(stop: CancellationToken) -> Orders {
        Orders { stop, acts: mpsc::channel(1).1 }
    }
}
