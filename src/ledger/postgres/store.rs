//! The writing side of a job's ledger.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::beats::PostgresBeats;
use super::begin::{self, Begun};
use super::control::PostgresControl;
use super::link::{Link, within};
use super::work::PostgresWork;
use super::writer::Writer;
use super::{Driver, PostgresAddress, Purpose, schema};
use crate::ledger::{
    Applied, Change, CommitFuture, JobIdentity, LedgerError, LostCommits, RunEvent, RunInfo, RunStore, SharedRun,
    Store, WalEnd,
};

/// The writing side of a job's ledger. Several processes have one at a time.
#[derive(Debug)]
pub(super) struct PostgresStore {
    address: PostgresAddress,
    job: JobIdentity,
    gaps: LostCommits,
    /// Shared with the work, which is dealt out on the same connection.
    writer: Arc<Mutex<Writer>>,
    begun: Option<Begun>,
    is_shared: bool,
    has_ended: bool,
}

impl PostgresStore {
    /// Opens it, and makes what is not there yet.
    ///
    /// # Errors
    /// It cannot be reached or used, or is another job's. Nothing is changed.
    pub(super) fn open(
        address: &PostgresAddress,
        job: &JobIdentity,
        gaps: LostCommits,
    ) -> Result<PostgresStore, LedgerError> {
        let (at, ours) = (address.clone(), job.clone());
        let link = Driver::get()?.wait(async move {
            let mut link = Link::new(&at, Purpose::Run);
            within(&at, schema::open(link.client().await?, &at, &ours, gaps)).await?;
            Ok::<_, LedgerError>(link)
        })??;
        let writer = Arc::new(Mutex::new(Writer::new(link)));
        let (address, job) = (address.clone(), job.clone());
        Ok(PostgresStore { address, job, gaps, writer, begun: None, is_shared: false, has_ended: false })
    }

    fn running(&self) -> Result<&Begun, LedgerError> {
        self.begun.as_ref().filter(|_| !self.has_ended).ok_or(LedgerError::Latched)
    }
}

impl RunStore for PostgresStore {
    fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        let (writer, job, gaps, info) = (Arc::clone(&self.writer), self.job.clone(), self.gaps, info.clone());
        let begun = Driver::get()?.wait(async move {
            let mut writer = writer.lock().await;
            let begun = begin::begin(writer.link(), &job, gaps, &info).await?;
            writer.begin(begun.run);
            Ok::<_, LedgerError>(begun)
        })??;
        self.begun = Some(begun);
        Ok(())
    }

    fn mark_all_read(&mut self) -> Result<(), LedgerError> {
        self.running()?;
        let writer = Arc::clone(&self.writer);
        Driver::get()?.wait(async move { writer.lock().await.mark_all_read().await })?
    }

    fn end_run(&mut self, ended: &str, reason: &str) -> Result<WalEnd, LedgerError> {
        self.running()?;
        self.has_ended = true;
        let (writer, ended, reason) = (Arc::clone(&self.writer), ended.to_owned(), reason.to_owned());
        Driver::get()?.wait(async move { writer.lock().await.end_run(&ended, &reason).await })??;
        Ok(WalEnd::Whole)
    }

    fn share(&mut self) -> Option<SharedRun> {
        let begun = self.begun.clone().filter(|_| !self.has_ended && !self.is_shared)?;
        self.is_shared = true;
        Some(SharedRun {
            run: begun.run,
            beats: Box::new(PostgresBeats::new(&self.address, &begun)),
            work: Box::new(PostgresWork::new(Arc::clone(&self.writer))),
            control: Box::new(PostgresControl::new(&self.address)),
        })
    }
}

impl Store for PostgresStore {
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
            self.running()?;
            if changes.is_empty() && events.is_empty() {
                return Ok::<Vec<Applied>, LedgerError>(Vec::new());
            }
            let writer = Arc::clone(&self.writer);
            Driver::get()?.run(async move { writer.lock().await.commit(&changes, &events).await }).await?
        })
    }
}
