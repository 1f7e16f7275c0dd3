//! Heads of the ledger's log, made known outside while the run goes on: `--checkpoint-file` and `--on-checkpoint`.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::cli::JobArgs;
use crate::command::{CommandError, hook, tell};
use crate::evidence::Checkpoint;
use crate::ledger::{LedgerAddress, LedgerError, open_overview, overview_beside_writer};
use crate::system::small_file;

const EVERY: Duration = Duration::from_secs(10);
/// Long enough to hand a head on, short enough for the next one.
const COMMAND_TIME: Duration = EVERY;

/// Where heads go.
#[derive(Debug)]
pub(super) struct HeadPublisher<'a> {
    ledger: &'a LedgerAddress,
    file: Option<(&'a Path, Arc<File>)>,
    command: Option<&'a str>,
    /// The events of the last head that went out.
    published: Cell<u64>,
    /// The last one did not: that is told once.
    has_failed: Cell<bool>,
}

impl<'a> HeadPublisher<'a> {
    /// Opens the file, so that it is known before anything is sent whether heads can be kept there.
    pub(super) fn open(args: &'a JobArgs, ledger: &'a LedgerAddress) -> Result<HeadPublisher<'a>, CommandError> {
        let command = args.on_checkpoint.as_deref();
        let file = match args.checkpoint_file.as_deref() {
            Some(path) => {
                check_own(path, ledger)?;
                let file = OpenOptions::new().append(true).create(true).open(path).map_err(unwritable(path))?;
                Some((path, Arc::new(file)))
            }
            None => None,
        };
        Ok(HeadPublisher { ledger, file, command, published: Cell::new(0), has_failed: Cell::new(false) })
    }

    /// Publishes the newest head every ten seconds, for as long as it is polled.
    pub(super) async fn publish_each(&self) -> ! {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if self.file.is_some() || self.command.is_some() {
                match self.head().await {
                    Ok(Some(head)) => self.publish(&head, &CancellationToken::new()).await,
                    Ok(None) => {}
                    Err(error) => tracing::debug!(%error, "the head of the log could not be read; the next one is"),
                }
            }
        }
    }

    /// The head of what is durable, while the run goes on.
    async fn head(&self) -> Result<Option<Checkpoint>, LedgerError> {
        let ledger = self.ledger.clone();
        // On another thread: a database may be far away.
        let head = tokio::task::spawn_blocking(move || overview_beside_writer(&ledger)?.head());
        Ok(head.await.map_err(|_| LedgerError::Latched)??.map(|head| head.checkpoint()))
    }

    /// The same once the ledger is closed: nothing is left beside it then.
    pub(super) fn last_head(&self) -> Result<Option<Checkpoint>, LedgerError> {
        Ok(open_overview(self.ledger)?.head()?.map(|head| head.checkpoint()))
    }

    pub(super) async fn publish(&self, head: &Checkpoint, signalled: &CancellationToken) {
        if self.published.get() == head.size {
            return;
        }
        let mut failures = Vec::new();
        // Between empty lines, so that it stands alone whatever was there before.
        let text = format!("{head}\n");
        if let Some((path, file)) = &self.file {
            let (file, line) = (Arc::clone(file), format!("\n{text}"));
            // On another thread: the file may be far away, and the run must not wait for it.
            let write = tokio::task::spawn_blocking(move || {
                let mut out: &File = &file;
                out.write_all(line.as_bytes()).and_then(|()| file.sync_data())
            });
            let late = || io::Error::other(format!("the head was not taken within {} s", COMMAND_TIME.as_secs()));
            let written = match timeout(COMMAND_TIME, write).await {
                Ok(written) => written.unwrap_or_else(|error| Err(error.into())),
                Err(_) => Err(late()),
            };
            failures.extend(written.map_err(unwritable(path)).err().map(|error| error.to_string()));
        }
        if let Some(command) = self.command {
            let ledger = self.ledger.to_os_string();
            let ran = hook::run(command, text.as_bytes(), None, &ledger, COMMAND_TIME, signalled).await;
            failures.extend(ran.err().map(|error| format!("--on-checkpoint: {error}")));
        }
        if failures.is_empty() {
            self.published.set(head.size);
        }
        let had_failed = self.has_failed.replace(!failures.is_empty());
        failures.iter().filter(|_| !had_failed).for_each(|failure| tell(format_args!("warning: {failure}")));
    }
}

/// Heads of two ledgers in one file would make each seem to be in the other's place.
fn check_own(path: &Path, ledger: &LedgerAddress) -> Result<(), CommandError> {
    let Some(origin) = small_file::read_evidence(path).ok().and_then(|text| Checkpoint::first_origin(&text)) else {
        return Ok(());
    };
    let own = match open_overview(ledger) {
        Ok(overview) => overview.head()?,
        Err(LedgerError::Missing { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if own.is_some_and(|own| *own.origin == *origin) {
        return Ok(());
    }
    Err(CommandError::HeadsOfAnother { file: path.to_owned(), origin })
}

fn unwritable(path: &Path) -> impl Fn(io::Error) -> CommandError {
    let file: PathBuf = path.to_owned();
    move |source| CommandError::CheckpointFile { file: file.clone(), source }
}
