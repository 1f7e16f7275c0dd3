//! `runner ctl LEDGER pause|resume|rate N|stop|status`: controls the run in progress.

use std::io::{Write, stdout};
use std::path::Path;
use std::time::Duration;

use super::{CommandError, Exit, confirm, tell};
use crate::cli::{CtlAction, CtlArgs};
use crate::live::socket::{SocketRequest, send};
use crate::report::facts::LedgerFacts;
use crate::report::format::{RunState, RunStatus};
use crate::terminal::shell;
use crate::words::Lang;

/// The ledger can be shown without the run's answer, so nobody waits long for it.
const ASK_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn execute(args: &CtlArgs) -> Result<Exit, CommandError> {
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
    let status = send(&args.ledger, request).await?;
    let (mut out, lang) = (stdout().lock(), Lang::of_process());
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&status)?)?;
    } else {
        writeln!(out, "{}", lang.say_lines(&status.to_string()))?;
        if status.state == RunState::Paused {
            writeln!(out, "{}", lang.say(format_args!("To resume: {}", command(&args.ledger, "resume"))))?;
        }
    }
    Ok(Exit::Done)
}

/// What the run that is going on with this ledger says of itself. `None`: there is none, or it cannot be asked, as by
/// another user; then only what the ledger holds is known.
pub(super) async fn ask(ledger: &Path, facts: &LedgerFacts) -> Option<RunStatus> {
    if !facts.is_running() {
        return None;
    }
    match tokio::time::timeout(ASK_WITHIN, send(ledger, SocketRequest::Status {})).await {
        Ok(Ok(status)) => Some(status),
        Ok(Err(error)) => {
            tracing::debug!(%error, "the run could not be asked");
            None
        }
        Err(_) => None,
    }
}

/// The `runner ctl` command for this ledger, quoted for the shell.
pub(super) fn command(ledger: &Path, what: &str) -> String {
    shell::command(["ctl".as_ref(), shell::argument(ledger).as_os_str(), what.as_ref()])
}

/// Whether the operator agrees to stop the run. Without a terminal, the command line counts as agreement.
async fn consent(ledger: &Path) -> Result<bool, CommandError> {
    let status = send(ledger, SocketRequest::Status {}).await?;
    let question = format_args!("{status}\nStop it after what is in flight? The same command resumes it.");
    Ok(confirm(question)?.unwrap_or(true))
}
