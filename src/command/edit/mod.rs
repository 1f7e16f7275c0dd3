//! `runner --input edits.csv --resume ledger.db`: the job itself.

mod end;
mod ledger;
mod planning;
mod publisher;
mod result;
pub(super) mod service;
mod session;
pub(super) mod setup;
mod signals;

use std::borrow::Cow;
use std::sync::Arc;

use jiff::{Timestamp, Zoned};
use tokio::time::Instant;

use self::ledger::JobLedger;
use self::publisher::HeadPublisher;
use self::session::RunSession;
use self::signals::Signals;
use super::error::SHARED_TIMEOUT_MAX;
use super::report::working_directory;
use super::{CommandError, Exit, files, tell};
use crate::cli::JobArgs;
use crate::input::Input;
use crate::job::{Job, ProcessEnvironment, ServiceChoice};
use crate::ledger::{JobIdentity, LedgerAddress};
use crate::live::progress::Screen;
use crate::report::resume::{Called, Pasted, Resume};
use crate::run::{Conditions, Reviewed};
use crate::terminal::fit;
use crate::words::Lang;

/// What the command line asks for, checked.
struct Request<'a> {
    args: &'a JobArgs,
    job: Job,
    input: Input,
    until: Option<Zoned>,
    conditions: Conditions,
    /// The language that was asked for; the page is otherwise in the browser's.
    asked_for: Option<Lang>,
}

/// Plan, consent, run, summary.
pub(super) async fn execute(args: &JobArgs, asked_for: Option<Lang>, screen: &Screen) -> Result<Exit, CommandError> {
    let request = Request::new(args, asked_for)?;
    if args.dry_run {
        return planning::dry_run(&request);
    }
    let (Some(identity), Some(address)) = (request.job.identity.clone(), args.resume.as_ref()) else {
        return Err(CommandError::NoServiceOrLedger);
    };

    if address.postgres().is_some() {
        request.check_shared()?;
    }
    let (mut signals, mut is_again) = (None, false);
    loop {
        match run_once(&request, identity.clone(), address, &mut signals, is_again, screen).await {
            Ok(None) => {}
            Ok(Some(Exit::NothingSent)) if is_again => return Ok(Exit::Stopped),
            // The run before this has sent something.
            Err(error) if is_again => {
                tell(format_args!("error: {}", error.with_causes()));
                let command = resume(&request.called()).command;
                tell(format_args!("{}{command}", fit::COMMAND_LABEL));
                return Ok(Exit::Stopped);
            }
            Ok(Some(exit)) => return Ok(exit),
            Err(error) => return Err(error),
        }
        tracing::warn!("this process begins anew, as another run");
        is_again = true;
    }
}

/// Plans and runs the job. `is_again`: the operator has agreed before, and the lease was lost. `None`: it was lost in this run.
async fn run_once(
    request: &Request<'_>,
    identity: JobIdentity,
    address: &LedgerAddress,
    signals: &mut Option<Signals>,
    is_again: bool,
    screen: &Screen,
) -> Result<Option<Exit>, CommandError> {
    let Request { args, job, input, conditions, .. } = request;
    let publisher = HeadPublisher::open(args, address)?;
    let ledger = JobLedger::lock(address, identity, job)?;
    let (plan, under_way) = planning::plan_run(request, &ledger)?;
    // Taken before the question, so that the rate that the operator agrees to is still free afterwards.
    // (Where several runs work on the list, they may leave something that the plan has not seen.)
    let may_send = plan.this_run > 0 || address.postgres().is_some();
    let share = if may_send { setup::share(job, &ledger)? } else { None };
    let locked_since = Instant::now();
    if !is_again {
        if may_send {
            setup::check_extras(args, &ledger).await?;
        }
        planning::show(request, &plan, under_way, screen)?;
        if plan.this_run > 0 && !planning::consent(request, &plan)? {
            tell("Nothing was sent.");
            return Ok(Some(Exit::NothingSent));
        }
    }

    // Until now a signal ends the process.
    let signals = match signals {
        Some(signals) => signals,
        None => signals.insert(Signals::listen(request.called())?),
    };
    let called = request.called();
    let parts = setup::begin(request, &called, &plan, ledger, share, locked_since).await?;
    let lists: Vec<_> = input.lists().map(|list| (list.path(), list.format())).collect();
    let failed_rows = files::failed_rows(address, &lists, &args.input);
    let until = request.until.as_ref();
    let session = RunSession {
        args,
        job,
        input,
        conditions,
        plan,
        under_way,
        until,
        called,
        address,
        failed_rows,
        publisher,
        screen,
    };
    Ok(session.run(parts, signals).await)
}

/// What is asked of each message before its edit is made.
fn conditions(args: &JobArgs, job: &Job) -> Result<Conditions, CommandError> {
    let asked = [("--originals", args.originals.is_some()), ("--only-if", args.only_if.is_some())];
    match asked.into_iter().find(|(_, is_asked)| *is_asked) {
        Some((flag, _)) if !job.policy.read_first => return Err(CommandError::NeedsReading(flag)),
        Some(_) | None => {}
    }
    let reviewed = args.only_if.as_deref().map(Reviewed::read).transpose()?.map(Arc::new);
    Ok(Conditions { reviewed, keeps_originals: args.originals.is_some() })
}

/// The command that resumes a run of this process. It holds what messages hold only in the terminal where that was typed.
fn resume(called: &Called) -> Resume {
    let is_terminal = fit::columns_of_stdout().is_some() && fit::columns_of_stderr().is_some();
    let called = if is_terminal { Cow::Borrowed(called) } else { Cow::Owned(called.without_content()) };
    called.resume(Pasted::Here { directory: &working_directory(), at: Timestamp::now() })
}

impl Request<'_> {
    fn new(args: &JobArgs, asked_for: Option<Lang>) -> Result<Request<'_>, CommandError> {
        let job = Job::new(args, &ProcessEnvironment)?;
        let (first, others) = args.input.split_first().ok_or(CommandError::NoInput)?;
        let input = Input::open_all(first, others, job.input.format)?;
        args.reading.check(&input)?;
        let until = args.until.as_ref().map(|until| until.moment(&Zoned::now())).transpose()?;
        let conditions = conditions(args, &job)?;
        Ok(Request { args, job, input, until, conditions, asked_for })
    }

    /// Checks what a ledger that several runs share does not allow.
    fn check_shared(&self) -> Result<(), CommandError> {
        if matches!(self.job.service, Some(ServiceChoice::Sandbox(_))) {
            return Err(CommandError::SandboxNotShared);
        }
        if self.job.timeout > SHARED_TIMEOUT_MAX {
            return Err(CommandError::TimeoutNotShared(self.job.timeout));
        }
        Ok(())
    }

    /// How this process was called.
    fn called(&self) -> Called {
        let is_sandbox = matches!(self.job.service, Some(ServiceChoice::Sandbox(_)));
        let reads_standard_input = self.input.lists().any(|list| list.path().is_none());
        Called::of_process(reads_standard_input, self.until.as_ref(), is_sandbox)
    }
}
