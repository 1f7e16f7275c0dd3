//! Ctrl-C, SIGTERM and a closed terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::command::{CommandError, Exit, tell};
use crate::ledger::{Ledger, WeakLedger};
use crate::terminal::fit;

/// The signals that end a run.
pub(super) struct Signals {
    /// Cancelled by the first one: the run stops after what is in flight. A second one stops it at once.
    pub(super) stop: CancellationToken,
    terminated: Arc<AtomicBool>,
    /// Where it is noted that a second one stopped the run, once there is a writer.
    ledger: Arc<OnceLock<WeakLedger>>,
}

/// A disk that is slow must not keep a run going that somebody stops for the second time.
const NOTED_WITHIN: Duration = Duration::from_secs(1);

impl Signals {
    /// Listens from now on. `resume` is the command that goes on.
    pub(super) fn listen(resume: String) -> Result<Signals, CommandError> {
        let stop = CancellationToken::new();
        let ledger = Arc::new(OnceLock::new());
        let terminated = listen(stop.clone(), Arc::clone(&ledger), resume)?;
        Ok(Signals { stop, terminated, ledger })
    }

    /// Where a second signal is noted from now on.
    pub(super) fn note_in(&self, ledger: &Ledger) {
        // It is called once a run.
        let _ = self.ledger.set(ledger.downgrade());
    }

    /// The first one was not Ctrl-C.
    pub(super) fn are_to_terminate(&self) -> bool {
        self.terminated.load(Ordering::SeqCst)
    }
}

fn listen(
    stop: CancellationToken,
    ledger: Arc<OnceLock<WeakLedger>>,
    resume: String,
) -> Result<Arc<AtomicBool>, CommandError> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hang_up = if outlives_terminal() { None } else { Some(signal(SignalKind::hangup())?) };
    let terminated = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&terminated);
    tokio::spawn(async move {
        loop {
            let exit = tokio::select! {
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
                // Never a second signal: of one closed terminal the shell tells, and the kernel once more.
                Some(()) = next(&mut hang_up), if !stop.is_cancelled() => Exit::Terminated,
            };
            if stop.is_cancelled() {
                // What was in flight stays `sending` in the ledger, and is found at the next start. So is a run of which
                // it could not be noted that it was stopped.
                if let Some(ledger) = ledger.get() {
                    let _ = timeout(NOTED_WITHIN, ledger.stopped_at_once()).await;
                }
                tell(format_args!("\nStopped at once. {}{resume}", fit::COMMAND_LABEL));
                std::process::exit(exit.code().into());
            }
            told.store(exit == Exit::Terminated, Ordering::SeqCst);
            tracing::warn!("stopping after what is in flight; once more stops at once");
            stop.cancel();
        }
    });
    Ok(terminated)
}

async fn next(signal: &mut Option<Signal>) -> Option<()> {
    signal.as_mut()?.recv().await
}

/// Whether this process is meant to outlive its terminal: `nohup`, for instance, starts it with SIGHUP ignored. Without
/// `/proc` this is unknown, so the run stops and can be resumed.
fn outlives_terminal() -> bool {
    let status = std::fs::read("/proc/self/status").unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    // SIGHUP is the first.
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
