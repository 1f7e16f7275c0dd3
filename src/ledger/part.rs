//! Finds out when a run is finished with a part of the list.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::PartNumber;

/// What the edits of one part have in common: with the last of them, the part is finished. An edit that is given up, because
/// the run stops for instance, does not finish its part, and others can take that.
pub struct PartTicket {
    number: PartNumber,
    unsettled: AtomicU64,
    is_whole: AtomicBool,
    finished: mpsc::UnboundedSender<(PartNumber, bool)>,
}

impl PartTicket {
    /// Of a part with so many edits that are still to be settled. `is_whole`: all others of it are done. Sends the part's
    /// number once, and whether every edit of it is done.
    pub fn new(
        number: PartNumber,
        unsettled: u64,
        is_whole: bool,
        finished: mpsc::UnboundedSender<(PartNumber, bool)>,
    ) -> PartTicket {
        PartTicket { number, unsettled: AtomicU64::new(unsettled), is_whole: AtomicBool::new(is_whole), finished }
    }

    /// The part's number.
    pub fn number(&self) -> PartNumber {
        self.number
    }

    /// The run is finished with one more edit of the part, which is done or not.
    pub fn settled(&self, is_done: bool) {
        if !is_done {
            self.is_whole.store(false, Ordering::SeqCst);
        }
        if self.unsettled.fetch_sub(1, Ordering::SeqCst) == 1 {
            // Nobody listens any more once the run stops.
            let _ = self.finished.send((self.number, self.is_whole.load(Ordering::SeqCst)));
        }
    }
}

impl fmt::Debug for PartTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "part {}", self.number)
    }
}
