//! The plan and the run.
//!
//! ```text
//! plan()   survey.rs   reads and checks the whole list (`suspicions`: what is odd in it); sends nothing, writes nothing
//! run()    this file   takes the rows of the plan one by one:
//!
//!   todo ──▶ attempt ──▶ dispatcher ──▶ settled
//!             ▲            │   │
//!             └─ waiting ──┘   └──▶ in doubt ──▶ read_back ──▶ dispatcher
//! ```
//!
//! `todo` decides which rows still have to be sent, by one rule for the plan and the run. `attempt` sends one edit,
//! `read_back` settles one in doubt by `lookup`s in the history. `dispatcher` takes the results of both and queues the
//! edits that have to be sent again or read back; queued edits take no slot of the requests in flight. `context` is
//! what all of these share. `breaker` decides when to stop early, `stopping` what is still done then, and `under_way`
//! how long a request may still be under way. What the run shows is in `tally` (numbers), `activity` (what it is doing,
//! and why nothing moves) and `forecast` (how fast it is, and how long the rest takes).

mod acceptance_check;
mod accepted;
mod activity;
mod attempt;
mod audit;
mod bound;
mod breaker;
mod conditions;
mod contents;
mod context;
mod control;
mod dispatcher;
mod distinct;
mod drawing;
mod failure_limit;
mod forecast;
mod heartbeat;
mod history_access;
mod lookup;
mod plan;
mod read_back;
mod rows_digest;
mod stop_reason;
mod stopping;
mod supplier;
mod survey;
mod suspicions;
mod tally;
mod todo;
mod under_way;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};

pub use self::activity::{Activity, Hold, HoldReason, Outage, whole_seconds};
use self::attempt::attempt;
pub use self::audit::{AuditEnd, audit};
pub use self::bound::at_most_defects;
pub use self::conditions::{Conditions, Reviewed, ReviewedError};
pub use self::contents::{CONTENTS_MAX, Contents};
use self::context::Slot;
pub use self::context::{RunContext, RunTerms};
pub use self::control::{Control, ControlError, ControlInbox};
use self::dispatcher::{Dispatcher, Under};
pub use self::drawing::{Drawing, Hash};
pub use self::failure_limit::{FailureLimit, FailureLimitError};
use self::heartbeat::Heartbeat;
pub use self::heartbeat::Lease;
pub use self::history_access::read_back_rate;
pub use self::plan::{Plan, PlanError, Problems, Warning};
use self::read_back::read_back;
pub use self::stop_reason::{EditAtLine, JobRefusal, StopReason};
use self::stopping::Stopping;
pub use self::survey::plan;
pub use self::suspicions::AsOf;
pub use self::tally::{Cause, Tally};
pub use self::todo::{InDoubt, Policy, Todo};
pub use self::under_way::UnderWay;
use crate::api::Service;
use crate::ledger::{Pending, RunEvent};

/// How often progress is reported, also while nothing happens.
const TICK: Duration = Duration::from_millis(250);
/// How often a sample goes to the ledger: ten thousand times in a run of fourteen hours.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// At most one in so many requests in flight is a read-back, so that edits in doubt do not keep the others waiting.
const READ_BACKS_SHARE: usize = 4;

/// How a run ended.
#[derive(Debug)]
pub enum RunEnd {
    /// Every row was handled.
    Finished,
    /// The operator interrupted it.
    Interrupted,
    /// It stopped early.
    Stopped(StopReason),
}

/// Runs every edit of `todo` until none is left, the run is stopped through `inbox`, or `failures` or the service's
/// answers stop it early. Then nothing more is sent: the run waits for what is in flight and, for a limited time, reads
/// back what came into doubt. Calls `report` several times a second, and writes a sample to the ledger every few
/// seconds.
pub async fn run<S: Service>(
    context: RunContext<S>,
    failures: FailureLimit,
    mut todo: Todo,
    inbox: impl Into<ControlInbox>,
    mut report: impl FnMut(&Tally),
) -> (Tally, RunEnd) {
    let ahead = Arc::new(Semaphore::new(context.ahead_max));
    let tasks_max = context.in_flight_max + context.ahead_max;
    let context = Arc::new(context);
    let mut dispatcher = Dispatcher::new(&context, failures);
    let ControlInbox { stop, mut requests, lease } = inbox.into();
    let (to_run, mut orders) = mpsc::unbounded_channel();
    let mut heartbeat = JoinSet::new();
    if let Some(lease) = lease {
        heartbeat.spawn(Heartbeat::new(&context, lease, todo.lost_runs(), to_run).run());
    }
    let (mut tick, mut sample) = (interval_of(TICK), interval_of(SAMPLE_EVERY));
    let mut attempts = JoinSet::new();
    let mut read_backs = JoinSet::new();
    let mut events = JoinSet::new();
    let mut stopping = Stopping::not_yet(&context);

    loop {
        stopping.advance(&mut dispatcher, attempts.len());
        if attempts.is_empty() && read_backs.is_empty() && (dispatcher.has_nothing_left() || stopping.is_over()) {
            break;
        }
        let at_once = dispatcher.attempts_allowed(tasks_max);
        // An edit that is sent alone has nobody to share its commit with.
        context.ledger.set_in_flight_max(at_once.min(context.in_flight_max));
        let has_room = attempts.len() + read_backs.len() < at_once;
        let may_read_back =
            has_room && read_backs.len() * READ_BACKS_SHARE < context.in_flight_max && !stopping.is_over();
        let may_intend = has_room && context.may_intend(context.ahead_max - ahead.available_permits());
        let next_read_back = dispatcher.in_doubt.next_due();
        let reason = tokio::select! {
            biased;
            () = stop.cancelled(), if !stopping.has_begun() => {
                stopping.begin(&mut dispatcher, RunEnd::Interrupted);
                None
            }
            () = sleep_until_due(stopping.until()), if !stopping.is_over() => {
                stopping.end();
                None
            }
            Some(attempted) = attempts.join_next() => dispatcher.attempted(attempted),
            Some(result) = read_backs.join_next() => dispatcher.read_back(result),
            Some(recorded) = events.join_next() => dispatcher.event_recorded(recorded),
            Some(order) = orders.recv() => dispatcher.ordered(order),
            Some(Err(error)) = heartbeat.join_next() => Some(StopReason::Defect(error.to_string())),
            Some(request) = requests.recv() => {
                events.spawn(dispatcher.record_request(request));
                None
            }
            _ = sample.tick() => {
                events.spawn(dispatcher.sample(Under::new(attempts.len(), read_backs.len(), &todo)));
                None
            }
            _ = tick.tick() => {
                report(dispatcher.tally(Under::new(attempts.len(), read_backs.len(), &todo)));
                None
            }
            () = sleep_until_due(next_read_back), if may_read_back => {
                if let Some(pending) = dispatcher.in_doubt.due(Instant::now()) {
                    let (origin, context) = (dispatcher.read_back_begins(&pending), Arc::clone(&context));
                    read_backs.spawn(async move { (origin, read_back(context, pending).await) });
                }
                None
            }
            next = next_edit(&ahead, &mut dispatcher, &mut todo), if may_intend && dispatcher.may_send() => match next {
                Ok(Some((slot, pending))) => {
                    let (origin, context) = (dispatcher.attempt_begins(&pending), Arc::clone(&context));
                    attempts.spawn(async move { (origin, attempt(context, pending, slot).await) });
                    None
                }
                Ok(None) => {
                    dispatcher.nothing_to_send = true;
                    None
                }
                Err(reason) => Some(reason),
            },
        };
        if let Some(reason) = reason {
            stopping.begin(&mut dispatcher, RunEnd::Stopped(reason));
        }
    }

    // Everyone who sent a request gets its result.
    while let Some(recorded) = events.join_next().await {
        dispatcher.event_recorded(recorded);
    }
    let tally = dispatcher.close();
    // The last sample says where the run ended. Each edit's own state is durable without it.
    if let Err(error) = context.ledger.record_event(RunEvent::Sample(Box::new(tally.sample()))).await {
        tracing::debug!(%error, "the last sample is missing");
    }
    report(&tally);
    (tally, stopping.ended())
}

/// Ticks now and then once every `period`. Ticks missed by a machine that stood still are not made up for.
fn interval_of(period: Duration) -> Interval {
    let mut interval = interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    interval
}

async fn sleep_until_due(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The next edit to send, with a slot among those that wait for a permit. Edits that have waited long enough come
/// before new rows. `None`: nothing waits and the list has ended. Cancel-safe.
async fn next_edit<S: Service>(
    ahead: &Arc<Semaphore>,
    dispatcher: &mut Dispatcher<S>,
    todo: &mut Todo,
) -> Result<Option<(Slot, Pending)>, StopReason> {
    let Ok(slot) = Arc::clone(ahead).acquire_owned().await else { return Ok(None) };
    loop {
        if let Some(pending) = dispatcher.due(Instant::now()) {
            return Ok(Some((slot, pending)));
        }
        if dispatcher.is_full(todo.is_shared()) {
            sleep_until_due(dispatcher.waiting.next_due()).await;
            continue;
        }
        let next = tokio::select! {
            next = todo.next() => next?,
            // Others may keep the list for long.
            () = sleep_until_due(dispatcher.waiting.next_due()) => continue,
        };
        match next {
            Some(pending) if pending.doubt().is_none() && !pending.must_be_read() => return Ok(Some((slot, pending))),
            // An edit that an earlier run left in doubt may still be under way, and one that must be read first may be
            // under way from a run that this ledger does not know of.
            Some(pending) => dispatcher.defer(pending),
            None if dispatcher.waiting.is_empty() => return Ok(None),
            None => sleep_until_due(dispatcher.waiting.next_due()).await,
        }
    }
}
