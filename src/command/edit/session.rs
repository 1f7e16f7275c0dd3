//! The run itself: from its first request to its end.

use std::path::PathBuf;
use std::sync::Arc;

use jiff::{Timestamp, Zoned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::publisher::HeadPublisher;
use super::result::RunResult;
use super::signals::Signals;
use crate::api::client::HttpService;
use crate::cli::JobArgs;
use crate::command::{Exit, ctl, tell};
use crate::input::Input;
use crate::job::Job;
use crate::ledger::{Ledger, LedgerAddress, LedgerError, RunStore, SharedControl, unix_ms};
use crate::live::page::Page;
use crate::live::progress::{Mode, Progress, Screen, Snapshot};
use crate::live::{Live, LiveRun};
use crate::pace::Gate;
use crate::pace::shares::PUBLISH_AFTER;
use crate::register::Share;
use crate::report::resume::Called;
use crate::report::summary::totals;
use crate::run::{
    self, Conditions, Control, Lease, Plan, RunContext, RunEnd, RunTerms, StopReason, Tally, Todo, UnderWay,
};
use crate::sandbox::Sandbox;
use crate::terminal::moment::format_moment;

/// What a run uses up.
pub(super) struct RunParts {
    pub(super) store: Box<dyn RunStore>,
    pub(super) todo: Todo,
    /// What a run has that shares its ledger with others.
    pub(super) shared: Option<SharedParts>,
    /// Since when the ledger has been locked. `None`: nobody else can have called the sandbox inside this process.
    pub(super) locked_since: Option<Instant>,
    /// The run's part of its app's cap.
    pub(super) share: Option<Arc<Share>>,
    pub(super) service: HttpService,
    pub(super) sandbox: Option<Sandbox>,
    pub(super) page: Option<Page>,
}

/// What a run has that shares its ledger with others.
pub(super) struct SharedParts {
    pub(super) lease: Lease,
    /// Tells all runs of the job what an operator says to this one.
    pub(super) control: Box<dyn SharedControl>,
}

/// What stays the same during a run.
pub(super) struct RunSession<'a> {
    pub(super) args: &'a JobArgs,
    pub(super) job: &'a Job,
    pub(super) input: &'a Input,
    pub(super) conditions: &'a Conditions,
    pub(super) plan: Plan,
    pub(super) under_way: UnderWay,
    pub(super) until: Option<&'a Zoned>,
    pub(super) called: Called,
    pub(super) address: &'a LedgerAddress,
    /// The file for the rows of each list that failed.
    pub(super) failed_rows: Vec<PathBuf>,
    pub(super) publisher: HeadPublisher<'a>,
    pub(super) screen: &'a Screen,
}

impl RunSession<'_> {
    /// Runs it to its end. `None`: its lease was lost, and it is to begin anew.
    pub(super) async fn run(self, parts: RunParts, signals: &Signals) -> Option<Exit> {
        let RunParts { store, todo, shared, locked_since, share, service, sandbox, page } = parts;
        let RunSession { args, plan, screen, .. } = &self;
        let stop = signals.stop.child_token();
        let (control, orders) = Control::new(self.job.rate, stop.clone());
        let (lease, shared_control) = shared.map(|shared| (shared.lease, shared.control)).unzip();
        let is_shared = lease.is_some();
        let control = control.sharing(share.clone().filter(|_| !is_shared)).through(shared_control);
        let orders = match lease {
            Some(lease) => orders.with_lease(lease),
            None => orders,
        };

        let (ledger, writer) = Ledger::start(store);
        signals.record_in(&ledger);
        let live = self.live(control, page, &stop, &ledger);
        let terms = RunTerms {
            rate: self.job.rate,
            max_rate: self.job.max_rate,
            in_flight_max: self.job.in_flight_max,
            attempts_max: self.job.attempts_max,
            in_doubt: self.job.policy.in_doubt,
            under_way: self.under_way,
            locked_since,
            seed: fastrand::u64(..),
        };
        let context = if is_shared {
            RunContext::with_lease(ledger, service, terms, Gate::by_boot_time())
        } else {
            RunContext::new(ledger, service, terms)
        }
        .on(self.conditions.clone());
        let mode = if args.no_progress || args.log.quiet { Mode::Off } else { Mode::of_stderr() };
        let mut progress = Progress::start(screen, mode, ctl::command(self.address, "resume"));
        let started = context.begins();
        let mut time_is_up = false;
        let show = |tally: &Tally| {
            let totals = totals(plan, tally);
            progress.show(&Snapshot::new(plan, tally, totals));
            live.show(tally, totals);
            // By the wall clock, each time: the machine may have been suspended.
            if !time_is_up
                && !stop.is_cancelled()
                && self.until.is_some_and(|until| Timestamp::now() >= until.timestamp())
            {
                time_is_up = true;
                tracing::warn!("the time of --until has come; stopping after what is in flight");
                stop.cancel();
            }
        };
        let (tally, ended) = tokio::select! {
            result = run::run(context, self.job.failures, todo, orders, show) => result,
            never = self.publisher.publish_each() => never,
        };
        let is_complete = tally.done + tally.failed == plan.this_run;
        let ended = match (ended, self.until) {
            // Asked to stop, it has settled every edit all the same.
            (RunEnd::Interrupted | RunEnd::Stopped(StopReason::Operator { .. }), _) if is_complete && !is_shared => {
                RunEnd::Finished
            }
            (RunEnd::Interrupted, Some(until)) if time_is_up && !signals.stop.is_cancelled() => {
                RunEnd::Stopped(StopReason::TimeIsUp(format_moment(until, &Zoned::now())))
            }
            (ended, _) => ended,
        };
        let has_sent_nothing = matches!(ended, RunEnd::Finished) && tally.attempts + tally.read_backs == 0;
        let result = RunResult { tally, ended, took: started.elapsed() };
        if is_shared && !has_sent_nothing {
            // Others get this share as soon as the run has ended, and what was sent last must not count any more then.
            tokio::time::sleep(PUBLISH_AFTER).await;
        }
        progress.finish();
        live.end(result.summary(plan).how(), &result.tally, result.summary(plan).totals()).await;
        // Nothing more is sent, and a job that --on-finish starts may need this share.
        if let Some(share) = share {
            share.release();
        }
        // The writer ends when the last attempt drops its ledger; its store then records how the run ended.
        let store = writer.await.map_err(|_| LedgerError::Latched);
        if let Some(sandbox) = sandbox {
            sandbox.stop().await;
        }
        // Another run would not know how many of `--max-rows` are left.
        let begins_anew = matches!(result.ended, RunEnd::Stopped(StopReason::LeaseLost))
            && self.job.policy.rows_max.is_none()
            && !signals.stop.is_cancelled();
        let exit = self.end(&result, store, signals, begins_anew).await;
        (!begins_anew).then_some(exit)
    }

    /// Starts the live page and the control socket.
    fn live(&self, control: Control, page: Option<Page>, stop: &CancellationToken, ledger: &Ledger) -> Live {
        if let Some(page) = &page {
            tell(format_args!("Live page: {}", page.url()));
            page.warning().iter().for_each(|warning| tell(format_args!("warning: {warning}")));
        }
        let facts = LiveRun {
            ledger: self.address.clone(),
            input: self.input.name().to_owned(),
            sdkappid: self.job.identity.as_ref().map(|identity| identity.sdkappid).unwrap_or_default(),
            service: self.job.identity.as_ref().map(|identity| identity.service.clone()).unwrap_or_default(),
            planned: self.plan.this_run,
            to_do: self.plan.to_do,
            duplicates: self.plan.duplicates,
            cap: self.job.rate,
            resume: self.called.resume_for_page(),
            started_at: unix_ms(),
        };
        Live::start(facts, control, page, stop, ledger.latch(), totals(&self.plan, &Tally::default()))
    }
}
