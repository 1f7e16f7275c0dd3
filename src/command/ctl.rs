//! `runner ctl LEDGER pause|resume|rate N|stop|status`: controls the run in progress, or all that share a ledger.

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::report::print;
use super::{CommandError, Exit, confirm, tell};
use crate::cli::{CtlAction, CtlArgs};
use crate::ledger::{
    ControlAction, ControlEvent, LedgerAddress, LedgerError, RunnerState, SharedControl, SharedJob, open_control,
    open_overview, unix_ms,
};
use crate::live::socket::{SocketError, SocketRequest, send};
use crate::report::facts::LedgerFacts;
use crate::report::format::{RunState, RunStatus};
use crate::report::{runners, text};
use crate::run::ControlError;
use crate::system::{host_name, this_user};
use crate::terminal::shell;
use crate::words::{Lang, Words};

/// The ledger can be shown without the run's answer, so nobody waits long for it.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How long all runners of a job may take to hear of an action, with two beats each.
const HEARD_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// The first beat after an action may have looked before it.
const BEATS: i64 = 2;

pub(super) async fn execute(args: &CtlArgs) -> Result<Exit, CommandError> {
    if let Some(control) = open_control(&args.ledger)? {
        return execute_shared(args, &*control).await;
    }
    let request = match args.what {
        CtlAction::Status => SocketRequest::Status {},
        CtlAction::Pause => SocketRequest::Pause {},
        CtlAction::Resume => SocketRequest::Resume {},
        CtlAction::Rate { rate } => SocketRequest::Rate { rate },
        CtlAction::Stop { yes } => {
            if !yes && !consent(&args.ledger).await? {
                tell("The run continues.");
                return Ok(Exit::NothingSent);
            }
            SocketRequest::Stop {}
        }
    };
    let Some(file) = args.ledger.file() else { return Ok(Exit::NothingSent) };
    let status = send(file, request).await?;
    print_status(args, &status)?;
    Ok(Exit::Done)
}

fn print_status(args: &CtlArgs, status: &RunStatus) -> Result<(), CommandError> {
    let (mut out, lang) = (stdout().lock(), Lang::of_process());
    if args.json {
        writeln!(out, "{}", serde_json::to_string(status)?)?;
    } else {
        writeln!(out, "{}", lang.say_lines(&status.to_string()))?;
        if status.state == RunState::Paused {
            writeln!(out, "{}", lang.say(format_args!("To resume: {}", command(&args.ledger, "resume"))))?;
        }
    }
    Ok(())
}

/// What the run that is going on with this ledger says of itself. `None`: there is none, or it cannot be asked, as by
/// another user; then only what the ledger holds is known.
pub(super) async fn ask(ledger: &LedgerAddress, facts: &LedgerFacts) -> Option<RunStatus> {
    if !facts.is_running() {
        return None;
    }
    match tokio::time::timeout(ASK_WITHIN, send(ledger.file()?, SocketRequest::Status {})).await {
        Ok(Ok(status)) => Some(status),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the run could not be asked");
            None
        }
        Err(_) => None,
    }
}

/// The `runner ctl` command for this ledger, quoted for the shell.
pub(super) fn command(ledger: &LedgerAddress, what: &str) -> String {
    shell::command(["ctl".as_ref(), ledger.to_argument().as_os_str(), what.as_ref()])
}

/// Whether the operator agrees to stop the run. Without a terminal, the command line counts as agreement.
async fn consent(ledger: &LedgerAddress) -> Result<bool, CommandError> {
    let Some(file) = ledger.file() else { return Ok(false) };
    let status = send(file, SocketRequest::Status {}).await?;
    let question = format_args!("{status}\nStop it after what is in flight? The same command resumes it.");
    Ok(confirm(question)?.unwrap_or(true))
}

/// The same for all runs that share a ledger: an action is made durable there, and they hear of it with their next beats.
async fn execute_shared(args: &CtlArgs, control: &dyn SharedControl) -> Result<Exit, CommandError> {
    let facts = read(&args.ledger)?;
    if !facts.is_running() {
        return Err(SocketError::NoRun(PathBuf::from(args.ledger.to_os_string())).into());
    }
    let what = match args.what {
        CtlAction::Status => None,
        CtlAction::Pause => Some(ControlAction::Pause),
        CtlAction::Resume => Some(ControlAction::Resume),
        CtlAction::Rate { rate } => {
            check_rate(rate, &facts)?;
            Some(ControlAction::Rate(rate))
        }
        CtlAction::Stop { yes } => {
            let question = format_args!(
                "{}\nStop all its runners after what is in flight? The same command resumes the job.",
                status(&facts)
            );
            if !yes && confirm(question)? == Some(false) {
                tell("The run continues.");
                return Ok(Exit::NothingSent);
            }
            Some(ControlAction::Stop)
        }
    };
    let facts = match what {
        None => facts,
        Some(what) => {
            let host = host_name().map(|host| format!("@{host}")).unwrap_or_default();
            control.act(ControlEvent { what, by: format!("{}{host} by runner ctl", this_user()) }).await?;
            heard_by_all(&args.ledger).await?
        }
    };
    print_status(args, &status(&facts))?;
    if !args.json {
        print(&text::runners(&facts, &Words::new(Lang::of_process())))?;
    }
    Ok(Exit::Done)
}

fn read(ledger: &LedgerAddress) -> Result<LedgerFacts, LedgerError> {
    LedgerFacts::read(&*open_overview(ledger)?, unix_ms())
}

/// The rate that each of the live runs has agreed to.
fn cap(facts: &LedgerFacts) -> Option<NonZeroU32> {
    let rates = facts.shared.iter().flat_map(SharedJob::live).map(|runner| runner.rate);
    rates.min().and_then(NonZeroU32::new)
}

fn check_rate(wanted: NonZeroU32, facts: &LedgerFacts) -> Result<(), ControlError> {
    match cap(facts) {
        Some(cap) if wanted > cap => Err(ControlError::AboveCap { wanted, cap }),
        Some(_) | None => Ok(()),
    }
}

/// Waits until every runner from which something is heard knows of what has been made durable, and returns how they are
/// then. What a runner does not hear of in time it hears of with its next beat, and without one it sends nothing.
async fn heard_by_all(ledger: &LedgerAddress) -> Result<LedgerFacts, LedgerError> {
    let beats = |ledger: &LedgerAddress| -> Result<BTreeMap<i64, (i64, String, RunnerState)>, LedgerError> {
        let shared = open_overview(ledger)?.shared()?.unwrap_or_default();
        Ok(shared.live().map(|runner| (runner.run, (runner.beat, runner.host.clone(), runner.state))).collect())
    };
    let (before, until) = (beats(ledger)?, Instant::now() + HEARD_WITHIN);
    loop {
        let now = beats(ledger)?;
        let has_heard = |run: &i64, beat: i64| now.get(run).is_none_or(|(now, ..)| *now >= beat + BEATS);
        let not_yet = before.iter().filter(|(run, (beat, ..))| !has_heard(run, *beat));
        let (silent, waited_for): (Vec<_>, Vec<_>) =
            not_yet.partition(|(_, (.., state))| *state == RunnerState::Silent);
        if waited_for.is_empty() || Instant::now() >= until {
            for (run, (_, host, _)) in silent.into_iter().chain(waited_for) {
                tell(format_args!(
                    "warning: run {run} on host {host} has not renewed its lease since; it will hear of this when it does, \
                     and until then it sends nothing"
                ));
            }
            return read(ledger);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How all runs of the job are together.
fn status(facts: &LedgerFacts) -> RunStatus {
    let rate = facts.rate().unwrap_or_default();
    RunStatus {
        format: crate::report::format::FORMAT,
        state: facts.state(),
        hold: None,
        pid: 0,
        totals: facts.totals,
        this_run: facts.session(),
        edits_a_second: (facts.speed().unwrap_or_default() * 10.0).round() / 10.0,
        rate,
        cap: cap(facts).map_or(rate, NonZeroU32::get).max(rate),
        seconds_left: facts.time_left().map(|left| left.as_secs()),
        shared: facts.shared.as_ref().map(runners::object),
    }
}
