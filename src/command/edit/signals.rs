//! Ctrl-C, SIGTERM and a closed terminal.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::command::{CommandError, Exit, tell};
use crate::ledger::{Ledger, WeakLedger};
use crate::report::resume::{Called, Resume};
use crate::terminal::fit;
use crate::words::{Lang, Words};

/// The signals that stop a run.
pub(super) struct Signals {
    /// Cancelled by the first one: the run stops after what is in flight. A second one stops it at once.
    pub(super) stop: CancellationToken,
    terminated: Arc<AtomicBool>,
    /// Where a second signal is recorded, once there is a writer.
    ledger: Arc<Mutex<Option<WeakLedger>>>,
}

/// A slow disk must not delay a run that is stopped for the second time.
const RECORD_WITHIN: Duration = Duration::from_secs(1);
/// Nor must a terminal that takes nothing more.
const SAY_WITHIN: Duration = Duration::from_secs(1);

impl Signals {
    /// Listens from now on. `called` is how the run was called, and can be resumed.
    pub(super) fn listen(called: Called) -> Result<Signals, CommandError> {
        let stop = CancellationToken::new();
        let ledger = Arc::default();
        let terminated = listen(stop.clone(), Arc::clone(&ledger), called)?;
        Ok(Signals { stop, terminated, ledger })
    }

    /// Records a second signal in this ledger from now on.
    pub(super) fn record_in(&self, ledger: &Ledger) {
        *self.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger.downgrade());
    }

    /// Whether the first signal was not Ctrl-C.
    pub(super) fn was_terminated(&self) -> bool {
        self.terminated.load(Ordering::SeqCst)
    }
}

fn listen(
    stop: CancellationToken,
    ledger: Arc<Mutex<Option<WeakLedger>>>,
    called: Called,
) -> Result<Arc<AtomicBool>, CommandError> {
    // A thread of its own, which also hears the second signal while the run waits for a ledger that does not answer.
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let context = runtime.enter();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut hang_up = if outlives_terminal() { None } else { Some(signal(SignalKind::hangup())?) };
    let terminated = Arc::new(AtomicBool::new(false));
    let was_terminated = Arc::clone(&terminated);
    drop(context);
    let listening = async move {
        loop {
            let exit = tokio::select! {
                // A busy machine may show several at once: a hang-up must not come before the signal that it follows.
                biased;
                _ = interrupt.recv() => Exit::Interrupted,
                _ = terminate.recv() => Exit::Terminated,
                // Never a second signal: when a terminal closes, both the shell and the kernel send it.
                Some(()) = next(&mut hang_up), if !stop.is_cancelled() => Exit::Terminated,
            };
            if stop.is_cancelled() {
                // What was in flight is in doubt. If that cannot be recorded, it stays `sending` in the ledger, and is found at the
                // next start, as the run is that never ended.
                let ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if let Some(ledger) = ledger {
                    let _ = timeout(RECORD_WITHIN, ledger.stopped_at_once()).await;
                }
                let resume = super::resume(&called);
                if_it_can_be_said(move || stopped_at_once(resume));
                std::process::exit(exit.code().into());
            }
            was_terminated.store(exit == Exit::Terminated, Ordering::SeqCst);
            if_it_can_be_said(|| tracing::warn!("stopping after what is in flight; once more stops at once"));
            stop.cancel();
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listening))?;
    Ok(terminated)
}

fn if_it_can_be_said(say: impl FnOnce() + Send + 'static) {
    let (said, is_said) = mpsc::channel();
    let _ = thread::Builder::new().spawn(move || {
        say();
        let _ = said.send(());
    });
    let _ = is_said.recv_timeout(SAY_WITHIN);
}

fn stopped_at_once(Resume { command, remarks }: Resume) {
    let say = Words::new(Lang::of_process()).say;
    tell(format_args!("\nStopped at once. {}{command}", fit::COMMAND_LABEL));
    for remark in remarks {
        tell(format_args!("  {}", remark.text(say)));
    }
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
