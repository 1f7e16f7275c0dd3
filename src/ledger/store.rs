//! What a ledger must do for a run.

use std::future::Future;

use super::{Change, EditRow, EditStatus, LedgerError, RunEvent};
use crate::edit::IdDigest;

/// Where changes become durable.
pub trait Store: Send + 'static {
    /// Once this returns `Ok`, every one of `changes` and `events` is on disk and outlives a power cut; after an error that
    /// is not known of any of them.
    fn commit(
        &mut self,
        changes: Vec<Change>,
        events: Vec<RunEvent>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// What is known of messages from earlier runs.
pub trait Records: Send {
    /// Where the edit of this message stands; `None` if it was never sent. Made for whoever asks about all rows of a list,
    /// one behind the other: it may be what was there when a row before was asked for.
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError>;

    /// All that there is now of a message that `brief` has told of. That it is not there is an error: it would be sent once
    /// more, as if for the first time.
    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError>;

    /// The same once more, for another thread.
    fn again(&self) -> Result<Box<dyn Records>, LedgerError>;
}
