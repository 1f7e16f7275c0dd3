//! `--on-finish CMD` and `--on-checkpoint CMD`: commands that a run starts.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::Exit;
use crate::system::shell;

/// Long enough to post a message, short enough not to hold up the end of the run.
pub(super) const TIME: Duration = Duration::from_mins(1);

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(super) enum HookError {
    #[error("sh cannot be started: {0}")]
    NotStarted(io::Error),
    #[error("the command ended with {0}")]
    Failed(ExitStatus),
    #[error("the command cannot be waited for: {0}")]
    NotAwaited(io::Error),
    #[error("the command was killed: a signal came")]
    Interrupted,
    #[error("the command was killed: it did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error(transparent)]
    Summary(#[from] io::Error),
}

/// Runs a command in the shell, with this on its standard input. `exit` is how the run ended, if it has. Its output goes to standard error, since standard
/// output is for results.
pub(super) async fn run(
    command: &str,
    input: &[u8],
    exit: Option<Exit>,
    ledger: &OsStr,
    time: Duration,
    signalled: &CancellationToken,
) -> Result<(), HookError> {
    let mut call = Command::from(shell::command(command));
    call.stdin(Stdio::piped()).stdout(io::stderr());
    call.env("RUNNER_LEDGER", ledger);
    exit.map(|exit| call.env("RUNNER_EXIT", exit.code().to_string()));
    // A process group of its own, so that its children are killed with it.
    let mut child = call.process_group(0).kill_on_drop(true).spawn().map_err(HookError::NotStarted)?;
    // Also if nobody waits for it any more.
    let mut group = Group::of(&child);
    // The signal that stopped the run is not meant for the hook.
    let was_signalled = signalled.is_cancelled();
    let ended = tokio::select! {
        ended = timeout(time, end(&mut child, input)) => ended.ok(),
        () = signalled.cancelled(), if !was_signalled => None,
    };
    if ended.is_some() {
        group.0 = None;
    }
    match ended {
        Some(Ok(status)) if status.success() => Ok(()),
        Some(Ok(status)) => Err(HookError::Failed(status)),
        Some(Err(error)) => Err(HookError::NotAwaited(error)),
        None => {
            drop(group);
            let _ = child.wait().await;
            let has_come = signalled.is_cancelled() && !was_signalled;
            Err(if has_come { HookError::Interrupted } else { HookError::TimedOut(time) })
        }
    }
}

async fn end(child: &mut Child, bytes: &[u8]) -> io::Result<ExitStatus> {
    if let Some(mut input) = child.stdin.take() {
        // The command need not read it.
        let _ = input.write_all(bytes).await;
    }
    child.wait().await
}

/// The processes of a command, which are killed when it is dropped.
struct Group(Option<i32>);

impl Group {
    fn of(child: &Child) -> Group {
        Group(child.id().and_then(|id| i32::try_from(id).ok()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Until the command has been waited for, its process id cannot be reused.
        if let Some(group) = self.0 {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far longer than anything here takes.
    const PATIENCE: Duration = Duration::from_mins(1);

    async fn check(command: &str, time: Duration) -> Result<(), String> {
        let ran =
            run(command, b"{}\n", Some(Exit::Stopped), OsStr::new("a b.db"), time, &CancellationToken::new()).await;
        ran.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn it_gets_the_summary_and_how_the_run_ended() {
        let ok = r#"test "$(cat)" = "{}" && test "$RUNNER_EXIT" = 3 && test "$RUNNER_LEDGER" = "a b.db""#;
        assert_eq!(check(ok, PATIENCE).await, Ok(()));
        assert_eq!(check("exit 7", PATIENCE).await, Err("the command ended with exit status: 7".to_owned()));
        // Neither reads it, nor has it room for all of it.
        let much = vec![b'x'; 1 << 20];
        // A run that was interrupted has its command all the same.
        let signalled = CancellationToken::new();
        signalled.cancel();
        let result =
            run("exec <&-; true", &much, Some(Exit::Interrupted), OsStr::new("l.db"), PATIENCE, &signalled).await;
        assert!(result.is_ok(), "{result:?}");
    }

    #[tokio::test]
    async fn a_signal_ends_it() {
        let signalled = CancellationToken::new();
        let ran = run("sleep 1000", b"", Some(Exit::Done), OsStr::new("l.db"), PATIENCE, &signalled);
        let (result, ()) = tokio::join!(ran, async { signalled.cancel() });
        assert_eq!(result.unwrap_err().to_string(), "the command was killed: a signal came");
    }

    #[tokio::test]
    async fn one_that_nobody_waits_for_any_more_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let command = format!("sleep 1000 & echo $! > '{0}.new'; mv '{0}.new' '{0}'; wait", pid.display());
        let is_there = async {
            while !pid.exists() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            told = check(&command, PATIENCE) => panic!("{told:?}"),
            () = is_there => {}
        }
        wait_until_gone(&pid).await;
    }

    #[tokio::test]
    async fn one_that_hangs_is_killed_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let command = format!("sleep 1000 & echo $! > '{}'; wait", pid.display());
        let told = check(&command, Duration::from_secs(2)).await;
        assert_eq!(told, Err("the command was killed: it did not end within 2 s".to_owned()));
        wait_until_gone(&pid).await;
    }

    async fn wait_until_gone(pid: &std::path::Path) {
        let sleeps = std::fs::read_to_string(pid).unwrap();
        // Gone, or at least dead and not yet fetched by whoever inherits it. The system takes a moment.
        let started = std::time::Instant::now();
        loop {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", sleeps.trim())).unwrap_or_default();
            if stat.is_empty() || stat.contains(") Z") {
                break;
            }
            assert!(started.elapsed() < PATIENCE, "{stat}");
            tokio::task::yield_now().await;
        }
    }
}
