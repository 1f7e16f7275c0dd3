//! `runner ctl LEDGER pause|resume|rate N|stop|status`: controls the run in progress.

use std::io::{Write, stdout};
use std::path::Path;

use super::{CommandError, Exit, confirm, tell};
use crate::cli::{CtlAction, CtlArgs};
use crate::live::socket::{SocketRequest, send};
use crate::report::format::RunState;
use crate::terminal::shell;

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
    let mut out = stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&status)?)?;
    } else {
        writeln!(out, "{status}")?;
        if status.state == RunState::Paused {
            writeln!(out, "To resume: {}", command(&args.ledger, "resume"))?;
        }
    }
    Ok(Exit::Done)
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
