//! A ledger's store in front of which the originals of each commit are kept.

use std::path::PathBuf;
use std::sync::Arc;

use super::encrypt;
use super::file::{OriginalsError, OriginalsFile};
use crate::edit::Original;
use crate::ledger::{
    Change, Ciphertext, CommitFuture, LedgerError, RunEvent, RunInfo, RunStore, SharedRun, Store, WalEnd,
};

/// Keeps the originals of the intents of each commit, and then commits it with the digest of their ciphertext. If they cannot be
/// kept, nothing is committed, and so nothing is sent.
pub struct KeepingStore {
    store: Box<dyn RunStore>,
    path: PathBuf,
    /// `None` while it is written to, and once that has failed.
    file: Option<OriginalsFile>,
    /// The command that encrypts.
    command: String,
}

impl KeepingStore {
    /// `command` encrypts.
    pub fn new(store: Box<dyn RunStore>, file: OriginalsFile, command: &str) -> KeepingStore {
        KeepingStore { store, path: file.path().to_owned(), file: Some(file), command: command.to_owned() }
    }

    /// One ciphertext of all of them, durable.
    async fn keep(&mut self, originals: &[Original]) -> Result<Ciphertext, LedgerError> {
        let plain: Vec<u8> = originals.iter().flat_map(Original::line).copied().collect();
        let count = originals.len() as u64;
        let encrypted = encrypt(&self.command, &plain).await.map_err(|error| self.failed(error))?;
        let mut file = self.file.take().ok_or(LedgerError::Latched)?;
        let append = move || (file.append(&encrypted, count), file);
        let (kept, file) = tokio::task::spawn_blocking(append).await.map_err(|_| LedgerError::Latched)?;
        let kept = kept.map_err(|error| self.failed(error))?;
        self.file = Some(file);
        Ok(kept)
    }

    fn failed(&self, error: OriginalsError) -> LedgerError {
        LedgerError::Originals { path: self.path.clone(), source: Arc::new(error) }
    }
}

impl Store for KeepingStore {
    fn commit(&mut self, mut changes: Vec<Change>, mut events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
            let originals: Vec<_> = changes.iter().filter_map(|change| change.original.clone()).collect();
            if originals.is_empty() {
                return self.store.commit(changes, events).await;
            }
            let kept = self.keep(&originals).await;
            match &kept {
                Ok(kept) => events.insert(0, RunEvent::Ciphertext(kept.clone())),
                // What came of edits that were sent before is true all the same.
                Err(_) => changes.retain(|change| change.original.is_none()),
            }
            let committed = self.store.commit(changes, events).await;
            kept.and(committed)
        })
    }
}

impl RunStore for KeepingStore {
    fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        self.store.begin_run(info)
    }

    fn mark_all_read(&mut self) -> Result<(), LedgerError> {
        self.store.mark_all_read()
    }

    fn end_run(&mut self, ended: &str, reason: &str) -> Result<WalEnd, LedgerError> {
        let closed = self.store.end_run(ended, reason)?;
        match self.file.as_ref().map_or(Ok(()), OriginalsFile::check_is_there) {
            Ok(()) => Ok(closed),
            Err(error) => Err(self.failed(error)),
        }
    }

    fn share(&mut self) -> Option<SharedRun> {
        self.store.share()
    }
}
