//! Heads of the ledger's log, made known outside while the run goes on: `--checkpoint-file` and `--on-checkpoint`.

use std::cell::Cell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::fcntl::OFlag;
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
    file: Option<HeadFile<'a>>,
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
                let file = open(path).map_err(unwritable(path))?;
                // Reading a pipe would wait for whoever writes to it.
                if file.metadata().is_ok_and(|file| file.is_file()) {
                    check_own(path, ledger)?;
                }
                Some(HeadFile { path, file: Arc::new(Mutex::new(file)) })
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
        if let Some(HeadFile { path, file }) = &self.file {
            let may_be_cut_off = self.published.get() == 0 || self.has_failed.get();
            let (at, file, head) = (path.to_path_buf(), Arc::clone(file), format!("\n{text}"));
            // On another thread: the file may be far away, and the run must not wait for it.
            let write = tokio::task::spawn_blocking(move || append(&at, &file, &head, may_be_cut_off));
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

/// The file of `--checkpoint-file`, as it was opened last.
#[derive(Debug)]
struct HeadFile<'a> {
    path: &'a Path,
    file: Arc<Mutex<File>>,
}

/// A pipe that nobody reads must not hold up the run.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

/// Opens a file each time: it may have been moved away, as logs are.
fn append(path: &Path, file: &Mutex<File>, head: &str, may_be_cut_off: bool) -> io::Result<()> {
    let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
    let before = file.metadata()?;
    if !before.is_file() {
        return file.write_all(head.as_bytes());
    }
    *file = open(path)?;
    let now = file.metadata()?;
    let is_same = (now.dev(), now.ino()) == (before.dev(), before.ino());
    if now.len() == 0 && !is_same {
        tracing::warn!("{}: the file of heads was moved or removed; a new one begins", path.display());
    }
    if may_be_cut_off && now.len() > 0 {
        // What a full disk has cut off may be without its line feed.
        file.write_all(b"\n")?;
    }
    file.write_all(head.as_bytes())?;
    file.sync_all()
}

/// Heads of two ledgers in one file would make each seem to be in the other's place.
fn check_own(path: &Path, ledger: &LedgerAddress) -> Result<(), CommandError> {
    let text = small_file::read_evidence(path).unwrap_or_default();
    let Some(origin) = Checkpoint::first_origin(&text) else {
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
