//! How a run stops: nothing more is sent, the run waits for what is in flight, and reads back what came into doubt in
//! this run, so that the next run has as little as possible to settle.

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

/// How long the run still reads back after the last edit in doubt is due. That is enough for some hundreds of messages,
/// on both sides, and for a retry; and short enough for an operator at a terminal, or a machine that shuts down.
const LOOKUPS_TIME: Duration = Duration::from_secs(10);

/// Whether, and how, a run stops.
#[derive(Debug)]
pub(super) struct Stopping<S> {
    context: Arc<RunContext<S>>,
    /// How the run ends; `None` until it stops.
    ended: Option<RunEnd>,
    /// When reading back ends; set once nothing is in flight.
    until: Option<Instant>,
}

impl<S: Service> Stopping<S> {
    pub(super) fn not_yet(context: &Arc<RunContext<S>>) -> Stopping<S> {
        Stopping { context: Arc::clone(context), ended: None, until: None }
    }

    /// Stops sending: edits without a permit withdraw their intents. The first reason stands, unless the ledger fails
    /// afterwards: that must be known, and its first error says why. A second reason, or a second request to stop, ends
    /// reading back.
    pub(super) fn begin(&mut self, dispatcher: &mut Dispatcher<S>, why: RunEnd) {
        // What a proxy may still pass on cannot be read back for minutes, longer than an operator would wait.
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

    /// Starts the time for reading back once no attempt is in flight.
    pub(super) fn advance(&mut self, dispatcher: &mut Dispatcher<S>, in_flight: usize) {
        if !self.has_begun() || self.is_over() {
            return;
        }
        // Nothing is sent during a pause.
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

    /// Ends reading back: what is still in doubt stays so.
    pub(super) fn end(&self) {
        self.context.lookups.stop.cancel();
    }

    pub(super) fn has_begun(&self) -> bool {
        self.ended.is_some()
    }

    /// When reading back ends, once that is known.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether reading back has ended.
    pub(super) fn is_over(&self) -> bool {
        self.context.lookups.stop.is_cancelled()
    }

    /// How the run has ended.
    pub(super) fn ended(self) -> RunEnd {
        self.ended.unwrap_or(RunEnd::Finished)
    }
}

/// Whether a run that ends like this can still read messages back. If the service refuses the run, does not answer, or
/// refuses too much, an operator has to see to that first.
fn allows_read_backs(ended: &RunEnd) -> bool {
    match ended {
        RunEnd::Finished | RunEnd::Interrupted => true,
        RunEnd::Stopped(reason) => match reason {
            StopReason::Operator { .. }
            | StopReason::TimeIsUp(_)
            | StopReason::Input(_)
            | StopReason::ListChanged { .. } => true,
            StopReason::Refused(_)
            | StopReason::LeaseLost
            | StopReason::Webhook
            | StopReason::TooFast
            | StopReason::OneTooFast(_)
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
