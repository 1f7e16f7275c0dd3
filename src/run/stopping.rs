//! How a run stops: nothing more is sent, what is in flight is waited for, and what came into doubt in this run is read
//! back, so that the same command has as little as possible to make good.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::RunEnd;
use super::context::RunContext;
use super::dispatcher::Dispatcher;
use super::stop_reason::StopReason;
use super::under_way::READ_BACK_AFTER;
use crate::api::Service;
use crate::ledger::LedgerError;

/// So long after the last edit in doubt can be read back, and no longer: enough for some hundreds of messages, of which
/// both sides are asked, and for a look that is tried again; and little enough for somebody who waits at a terminal, or for
/// a machine that shuts down.
const LOOKUPS_TIME: Duration = Duration::from_secs(10);

/// A run that stops, or does not yet.
#[derive(Debug)]
pub(super) struct Stopping<S> {
    context: Arc<RunContext<S>>,
    /// How the run ends; `None` while it goes on.
    ended: Option<RunEnd>,
    /// Until when what is in doubt is read back, once nothing is in flight any more.
    until: Option<Instant>,
}

impl<S: Service> Stopping<S> {
    pub(super) fn not_yet(context: &Arc<RunContext<S>>) -> Stopping<S> {
        Stopping { context: Arc::clone(context), ended: None, until: None }
    }

    /// From now on nothing is sent: who has no permit yet takes the intent back. What it stopped for first stands, unless
    /// the ledger fails in the meantime: whatever it was, that must be known, and its first error says why. Where it stops
    /// already, a second reason, or a second wish to stop, ends the reading back.
    pub(super) fn begin(&mut self, dispatcher: &mut Dispatcher<S>, why: RunEnd) {
        // What a proxy may still pass on cannot be looked at for minutes, which is longer than anybody wants to wait.
        let is_late = self.context.under_way.of_this_run > READ_BACK_AFTER;
        if self.ended.is_some() || !allows_read_backs(&why) || dispatcher.is_out_of_reach() || is_late {
            self.end();
        }
        self.context.stop.cancel();
        dispatcher.stop();
        let is_known = match &self.ended {
            None => false,
            Some(RunEnd::Stopped(StopReason::Ledger(error))) => !matches!(error, LedgerError::Latched),
            Some(_) => !matches!(why, RunEnd::Stopped(StopReason::Ledger(_))),
        };
        if !is_known {
            self.ended = Some(why);
        }
    }

    /// Looks after what is in doubt, with so many attempts in flight.
    pub(super) fn advance(&mut self, dispatcher: &mut Dispatcher<S>, in_flight: usize) {
        if !self.has_begun() || self.is_over() {
            return;
        }
        // Nothing goes out during a pause.
        if dispatcher.is_paused() {
            self.end();
        } else if in_flight == 0 && self.until.is_none() {
            let most = READ_BACK_AFTER + LOOKUPS_TIME;
            self.until = Some(Instant::now() + most);
            let count = dispatcher.in_doubt.len();
            if count > 0 {
                let edits = if count == 1 { "edit" } else { "edits" };
                tracing::warn!(
                    "reading back {count} {edits} in doubt, which takes {} s at most; a second Ctrl-C stops at once",
                    most.as_secs()
                );
            }
        }
    }

    /// Nothing is read back any more: what is still in doubt stays so.
    pub(super) fn end(&self) {
        self.context.lookups.stop.cancel();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.ended.is_some()
    }

    /// Until when what is in doubt is read back, once that is known.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether nothing is read back any more.
    pub(super) fn is_over(&self) -> bool {
        self.context.lookups.stop.is_cancelled()
    }

    /// How the run has ended.
    pub(super) fn ended(self) -> RunEnd {
        self.ended.unwrap_or(RunEnd::Finished)
    }
}

/// Whether a run that ends so can still have messages read back. Where the service refuses it, does not answer it, or
/// refuses too much of it, somebody has to see to that first.
fn allows_read_backs(ended: &RunEnd) -> bool {
    match ended {
        RunEnd::Finished | RunEnd::Interrupted => true,
        RunEnd::Stopped(reason) => match reason {
            StopReason::Operator { .. }
            | StopReason::TimeIsUp(_)
            | StopReason::Input(_)
            | StopReason::ListChanged { .. } => true,
            StopReason::Refused(_)
            | StopReason::Webhook
            | StopReason::TooFast
            | StopReason::OnlyUnknown(_)
            | StopReason::TooManyFailures { .. }
            | StopReason::Unreachable(_)
            | StopReason::NeverAnswered(_)
            | StopReason::NoAnswers(_)
            | StopReason::NoSignature
            | StopReason::Ledger(_)
            | StopReason::Defect(_) => false,
        },
    }
}
