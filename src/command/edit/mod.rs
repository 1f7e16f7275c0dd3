//! `runner --input edits.csv --resume ledger.db`: the job itself.

mod end;
mod service;
mod signals;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{Timestamp, Zoned};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::end::RunResult;
use self::service::service;
use self::signals::Signals;
use super::{Error, Exit, asked, files, print, tell};
use crate::api::client::HttpService;
use crate::api::proxy::Proxy;
use crate::cli::JobArgs;
use crate::cli::until;
use crate::input::Input;
use crate::job::{Job, ProcessEnvironment, ServiceChoice};
use crate::ledger::{
    JobIdentity, Ledger, LedgerError, LostCommits, Records, RunInfo, SqliteReader, SqliteStore, unix_ms,
};
use crate::live::page::{self, Page};
use crate::live::{Live, LiveRun};
use crate::register::{Register, RegisterEntry, Share};
use crate::report::summary::totals;
use crate::report::{self, format, plan::PlanTarget};
use crate::run::{self, Control, Plan, PlanError, RunContext, RunEnd, RunTerms, StopReason, Tally, Todo, UnderWay};
use crate::sandbox::Sandbox;
use crate::system::same_file::resolved;
use crate::terminal::colour::TITLE;
use crate::terminal::excerpt;
use crate::terminal::fit;
use crate::terminal::progress::{Mode, Progress, Screen, Snapshot};

/// Problems of the list that are shown with what stands there.
const EXCERPTS_MAX: usize = 10;

/// Plan, consent, run, summary.
pub(super) async fn execute(args: &JobArgs, screen: &Screen) -> Result<Exit, Error> {
    let job = Job::new(args, &ProcessEnvironment)?;
    let path = args.input.as_deref().ok_or("--input is not given")?;
    let input = Input::open(path, job.input.format)?;
    let until = args.until.as_ref().map(|until| until.moment(&Zoned::now())).transpose()?;
    if args.dry_run {
        return dry_run(args, &job, &input, until.as_ref());
    }
    let (Some(identity), Some(ledger_path)) = (job.identity.clone(), args.resume.as_deref()) else {
        return Err("neither the service nor the ledger may be left out".into());
    };

    // A ledger that is there is locked before it is read; a new one is made only once it is needed.
    let gaps = gaps(&job);
    let is_there = SqliteReader::open_with(ledger_path, &identity, gaps)?.is_some();
    let mut store = is_there.then(|| SqliteStore::open_with(ledger_path, &identity, gaps)).transpose()?;
    let reader = store.as_ref().map(|_| SqliteReader::beside_writer(ledger_path)?.held()).transpose()?;
    let Some(plan) = plan(&job, &input, reader.as_ref())? else {
        return Ok(Exit::NothingSent);
    };
    let under_way = under_way(&job, reader.as_ref())?;
    // It reads the ledger as it is now, and the writer's log could not be folded in.
    drop(reader);
    // Held while somebody is asked: what he says yes to can then be done.
    let share = if plan.this_run > 0 { share(&job, &identity, ledger_path)? } else { None };
    let alone_since = Instant::now();
    let mut shown = Vec::new();
    report::plan::write(&mut shown, &plan, &target(&job, &input, until.as_ref(), under_way))?;
    fit::write(&mut screen.writer(), &shown, fit::columns_of_stderr())?;
    if plan.this_run > 0 && !consent(args, &job, &plan)? {
        tell("Nothing was sent.");
        return Ok(Exit::NothingSent);
    }

    // Set up before a ledger is made, so that a mistake in it leaves none behind.
    let (service, sandbox) = service(&job).await?;
    let open = |address| Page::open(address, page::given_token()?, args.lang);
    let page = args.page.map(open).transpose()?;
    if let Some(sandbox) = &sandbox
        && plan.to_read_back + plan.to_read_first > 0
    {
        // An earlier process's sandbox went with it, and an empty history settles nothing.
        super::sandbox::add_messages(sandbox, &input, &job.mapping)?;
    }
    let mut store = match store.take() {
        Some(store) => store,
        None => SqliteStore::create(ledger_path, &identity)?,
    };
    let records: Box<dyn Records> = Box::new(SqliteReader::beside_writer(ledger_path)?);
    let todo = plan.todo(&input, &job.mapping, Some(records), job.policy)?;
    let signals = Signals::listen(resume_command(&input))?;
    // A run that has begun has an end, so from here on nothing may go wrong before it goes on.
    store.begin_run(&RunInfo {
        input: input.name().to_owned(),
        input_sha256: plan.sha256.clone(),
        input_rows: plan.rows,
        duplicates: plan.duplicates,
        planned: plan.this_run,
        new_edits: plan.new_edits,
        rate: job.rate.get(),
        read_first: job.policy.read_first,
        identifier: job.service.as_ref().map(ServiceChoice::identifier).unwrap_or_default().to_owned(),
        job_sha256: job.file_sha256.clone(),
        proxy: job.proxy.as_ref().map(Proxy::address),
        command: recorded_command(),
        directory: std::env::current_dir().map(|path| path.to_string_lossy().into_owned()).unwrap_or_default(),
    })?;
    let failed_rows = files::failed_rows(ledger_path, input.format(), args.input.as_deref());
    let session = RunSession { args, job, input, plan, under_way, until, ledger_path, failed_rows, screen };
    let locked_since = if sandbox.is_some() { None } else { Some(alone_since) };
    Ok(session.run(RunParts { store, todo, signals, locked_since, share, service, sandbox, page }).await)
}

/// A ledger that may have lost commits is used only where each message is read before it is sent.
fn gaps(job: &Job) -> LostCommits {
    if job.policy.read_first { LostCommits::ReadFirst } else { LostCommits::Refused }
}

/// What a run is made of, and uses up.
struct RunParts {
    store: SqliteStore,
    todo: Todo,
    signals: Signals,
    /// `None`: the sandbox inside this process knows nobody else.
    locked_since: Option<Instant>,
    /// What the run has of its app's cap.
    share: Option<Arc<Share>>,
    service: HttpService,
    sandbox: Option<Sandbox>,
    page: Option<Page>,
}

/// Everything that a run needs and that does not change any more.
struct RunSession<'a> {
    args: &'a JobArgs,
    job: Job,
    input: Input,
    plan: Plan,
    under_way: UnderWay,
    until: Option<Zoned>,
    ledger_path: &'a Path,
    /// Where the rows that failed go.
    failed_rows: PathBuf,
    screen: &'a Screen,
}

impl RunSession<'_> {
    async fn run(self, parts: RunParts) -> Exit {
        let RunParts { store, todo, signals, locked_since, share, service, sandbox, page } = parts;
        let RunSession { args, plan, screen, .. } = &self;
        let stop = signals.stop.child_token();
        let (control, orders) = Control::new(self.job.rate, stop.clone());
        let control = control.sharing(share.clone());

        let (ledger, writer) = Ledger::start(store);
        signals.note_in(&ledger);
        let mut watched = self.watched(control, page, &stop, &ledger);
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
        let line = RunContext::new(ledger, service, terms);
        let mode = if args.no_progress || args.log.quiet { Mode::Off } else { Mode::of_stderr() };
        let mut progress =
            Progress::start(screen, mode, plan.this_run, super::ctl::command(self.ledger_path, "resume"));
        let started = line.begins();
        let mut time_is_up = false;
        let show = |tally: &Tally| {
            progress.show(snapshot(tally));
            watched.show(tally, totals(plan, tally));
            // By the wall clock, each time: the machine may have slept over it.
            if !time_is_up && self.until.as_ref().is_some_and(|until| Timestamp::now() >= until.timestamp()) {
                time_is_up = true;
                tracing::warn!("the time of --until has come; stopping after what is in flight");
                stop.cancel();
            }
        };
        let (tally, ended) = run::run(line, self.job.failures, todo, orders, show).await;
        let ended = match (ended, &self.until) {
            (RunEnd::Interrupted, Some(until)) if time_is_up && !signals.stop.is_cancelled() => {
                RunEnd::Stopped(StopReason::TimeIsUp(until::shown(until, &Zoned::now())))
            }
            (ended, _) => ended,
        };
        let result = RunResult { tally, ended, took: started.elapsed() };
        progress.finish();
        watched.end(result.summary(plan).how(), &result.tally, result.summary(plan).totals()).await;
        // Nothing more is sent, and what --on-finish starts may need the room.
        if let Some(share) = share {
            share.release();
        }
        // The writer ends when the last attempt has let go of the ledger; its store then says how the run ended.
        let store = writer.await.map_err(|_| LedgerError::Latched);
        if let Some(sandbox) = sandbox {
            sandbox.stop().await;
        }
        self.end(&result, store, &signals).await
    }

    /// Opens what the run is watched and told by.
    fn watched(&self, control: Control, page: Option<Page>, stop: &CancellationToken, ledger: &Ledger) -> Live {
        if let Some(page) = &page {
            tell(format_args!("Live page: {}", page.url()));
            page.warning().iter().for_each(|warning| tell(format_args!("warning: {warning}")));
        }
        let facts = LiveRun {
            ledger: self.ledger_path.to_owned(),
            input: self.input.name().to_owned(),
            planned: self.plan.this_run,
            duplicates: self.plan.duplicates,
            cap: self.job.rate,
            resume: with_list(recorded_command(), &self.input),
            started_at: unix_ms(),
        };
        Live::start(facts, control, page, stop, ledger.latch(), totals(&self.plan, &Tally::default()))
    }
}

/// How the program was called, for the ledger and whoever reads it: without the command of `--on-finish`, in which a
/// secret may be. The program's own are never among its words.
fn recorded_command() -> String {
    const ON_FINISH: &str = "--on-finish";
    let mut is_hook = false;
    let words = std::env::args_os().map(|word| {
        let word = word.to_string_lossy().into_owned();
        match word.split_once('=') {
            _ if std::mem::replace(&mut is_hook, word == ON_FINISH) => "…".to_owned(),
            Some((ON_FINISH, _)) => format!("{ON_FINISH}=…"),
            Some(_) | None => word,
        }
    });
    joined(&words.collect::<Vec<_>>())
}

/// How the program was called.
fn command_line() -> String {
    joined(&std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>())
}

fn joined(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

/// This very command, to be typed again.
fn resume_command(input: &Input) -> String {
    with_list(command_line(), input)
}

fn with_list(command: String, input: &Input) -> String {
    match input.path() {
        Some(_) => command,
        None => format!("{command}  (with the same list on standard input)"),
    }
}

/// The plan only: nothing is sent, nothing is made or touched.
fn dry_run(args: &JobArgs, job: &Job, input: &Input, until: Option<&Zoned>) -> Result<Exit, Error> {
    let identity = job.identity.as_ref();
    let reader = match (args.resume.as_deref(), identity) {
        (Some(ledger), Some(identity)) => {
            SqliteReader::open_with(ledger, identity, gaps(job))?.map(SqliteReader::held).transpose()?
        }
        (_, _) => None,
    };
    let Some(plan) = plan(job, input, reader.as_ref())? else {
        return Ok(Exit::NothingSent);
    };
    let target = target(job, input, until, under_way(job, reader.as_ref())?);
    let mut shown = Vec::new();
    if args.json {
        format::write(&mut shown, &report::plan::object(&plan, &target))?;
    } else {
        report::plan::write(&mut shown, &plan, &target)?;
    }
    print(&shown, args.json)?;
    Ok(Exit::Done)
}

/// How long something may be under way: for longer where a proxy is, or was, on the way.
fn under_way(job: &Job, reader: Option<&SqliteReader>) -> Result<UnderWay, Error> {
    let before = reader.map(SqliteReader::went_through_proxy).transpose()?.unwrap_or_default();
    Ok(UnderWay::by_way_of(job.proxy.is_some(), before))
}

fn target<'a>(job: &'a Job, input: &'a Input, until: Option<&'a Zoned>, under_way: UnderWay) -> PlanTarget<'a> {
    let identity = job.identity.as_ref();
    PlanTarget {
        input: input.name(),
        sdkappid: identity.map(|identity| identity.sdkappid),
        // The host that is really called, where something is: the ledger knows both of a region by one name.
        service: match &job.service {
            Some(ServiceChoice::At { endpoint, .. }) => Some(endpoint.host_and_port()),
            Some(ServiceChoice::Sandbox(_)) | None => identity.map(|identity| identity.service.clone()),
        },
        job_name: identity.and_then(|identity| identity.name.clone()),
        proxy: job.proxy.as_ref().map(Proxy::address),
        rate: job.rate,
        read_back_rate: run::read_back_rate(job.rate, job.max_rate),
        until,
        now: Timestamp::now(),
        quiet_after: match job.service {
            // It is new, and so knows of nobody who sent anything before.
            Some(ServiceChoice::Sandbox(_)) => Duration::ZERO,
            Some(ServiceChoice::At { .. }) | None => under_way.of_earlier_runs,
        },
    }
}

/// What the job takes of its app's cap on this machine. `None`: the sandbox inside this process has no other callers.
fn share(job: &Job, identity: &JobIdentity, ledger: &Path) -> Result<Option<Arc<Share>>, Error> {
    match &job.service {
        Some(ServiceChoice::Sandbox(_)) | None => Ok(None),
        Some(ServiceChoice::At { .. }) => {
            let wanted = RegisterEntry {
                service: identity.service.clone(),
                sdkappid: identity.sdkappid,
                rate: job.rate,
                max_rate: job.max_rate,
                // For people, and in JSON, which holds no other text.
                ledger: PathBuf::from(resolved(ledger).to_string_lossy().into_owned()),
                process: std::process::id(),
            };
            Ok(Some(Arc::new(Register::of_user()?.join(wanted)?)))
        }
    }
}

/// `None`: the list has problems, and they are told.
fn plan(job: &Job, input: &Input, reader: Option<&SqliteReader>) -> Result<Option<Plan>, Error> {
    let records = reader.map(|reader| reader as &dyn Records);
    match run::plan(input, &job.mapping, records, &job.policy) {
        Ok(plan) => Ok(Some(plan)),
        Err(PlanError::Problems(problems)) => {
            // What stands in the list is message text: for the eyes of who looks on, not for a file.
            let first = &problems.first[..problems.first.len().min(EXCERPTS_MAX)];
            let has_room = fit::columns_of_stderr().is_some_and(|columns| columns >= excerpt::COLUMNS);
            let excerpts = if has_room { input.excerpts(&job.mapping, first) } else { Ok(Vec::new()) };
            let mut shown = Vec::new();
            report::plan::write_problems(&mut shown, input.name(), &problems, &excerpts.unwrap_or_default())?;
            fit::write(&mut anstream::stderr().lock(), &shown, fit::columns_of_stderr())?;
            tell(format_args!("error: {}; nothing was sent", PlanError::Problems(problems)));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the edits may be sent. Without a terminal the command line is the consent.
fn consent(args: &JobArgs, job: &Job, plan: &Plan) -> Result<bool, Error> {
    if args.yes {
        return Ok(true);
    }
    match asked(format_args!("{TITLE}{}{TITLE:#}", report::plan::question(plan)))? {
        Some(answer) => Ok(answer),
        None if job.confirm_always => {
            Err("the job file says confirm = \"always\", and there is no terminal to ask on; \
                                           look at the plan with --dry-run, then say --yes"
                .into())
        }
        None => Ok(true),
    }
}

fn snapshot(tally: &Tally) -> Snapshot {
    let Tally { done, failed, in_doubt, to_read_back, slow_downs, paused, stopping, .. } = *tally;
    Snapshot { done, failed, in_doubt, to_read_back, slow_downs, paused, stopping }
}
