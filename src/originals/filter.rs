//! Commands of the user's through which originals go.

use std::io::{self, Write};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;

use crate::system::shell;

/// Far longer than encrypting takes.
const ENCRYPTING_MAX: Duration = Duration::from_mins(1);

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilterError {
    /// It could not be run.
    #[error("sh cannot be started: {0}")]
    NotRun(#[from] io::Error),
    /// It failed.
    #[error("the command ended with {0}")]
    Failed(ExitStatus),
    /// It did not read all that it got.
    #[error("the command did not read all that it got: {0}")]
    NotRead(io::Error),
    /// It gave nothing back.
    #[error("the command gave nothing back")]
    Nothing,
    /// It did not end.
    #[error("the command did not end within {} s", .0.as_secs())]
    TimedOut(Duration),
}

/// Passes `plain` through a command that encrypts.
pub(super) async fn encrypt(command: &str, plain: &[u8]) -> Result<Vec<u8>, FilterError> {
    let mut call = tokio::process::Command::from(shell::command(command));
    let mut child = call.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).kill_on_drop(true).spawn()?;
    let input = child.stdin.take();
    let write = async {
        if let Some(mut input) = input {
            return input.write_all(plain).await;
        }
        Ok(())
    };
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let ended = tokio::time::timeout(ENCRYPTING_MAX, async { tokio::join!(write, child.wait_with_output()) }).await;
    let Ok((written, output)) = ended else {
        // With all that it started, which may have read what it got. (It has not been waited for, so the number is still its own.)
        let _ = group.map(|group| killpg(Pid::from_raw(group), Signal::SIGKILL));
        return Err(FilterError::TimedOut(ENCRYPTING_MAX));
    };
    let output = output?;
    let encrypted = result(output.status, output.stdout)?;
    written.map_err(FilterError::NotRead)?;
    Ok(encrypted)
}

/// Passes `cipher` through a command that decrypts. It may ask for a passphrase in the terminal.
pub(super) fn decrypt(command: &str, cipher: &[u8]) -> Result<Vec<u8>, FilterError> {
    let mut child = shell::command(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let input = child.stdin.take();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || input.map(|mut input| input.write_all(cipher)));
        child.wait_with_output()
    })?;
    result(output.status, output.stdout)
}

fn result(status: ExitStatus, bytes: Vec<u8>) -> Result<Vec<u8>, FilterError> {
    match status.success() {
        false => Err(FilterError::Failed(status)),
        true if bytes.is_empty() => Err(FilterError::Nothing),
        true => Ok(bytes),
    }
}
