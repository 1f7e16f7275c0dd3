//! The job's ledger, from before the plan until the run begins.

use std::path::Path;

use crate::command::CommandError;
use crate::job::Job;
use crate::ledger::{
    JobIdentity, LostCommits, Records, RunStore, create_store, open_records, open_store, records_beside_writer,
};

/// The ledger of a job that is going to run.
pub(super) struct JobLedger<'a> {
    pub(super) path: &'a Path,
    pub(super) identity: JobIdentity,
    /// Locked. `None` as long as there is no file: it is created only when it is needed.
    store: Option<Box<dyn RunStore>>,
}

/// The one that writes, and one that reads beside it.
type StoreAndRecords = (Box<dyn RunStore>, Box<dyn Records>);

impl JobLedger<'_> {
    /// Opens and locks an existing ledger before anything is read from it.
    pub(super) fn lock<'a>(path: &'a Path, identity: JobIdentity, job: &Job) -> Result<JobLedger<'a>, CommandError> {
        let lost_commits = lost_commits(job);
        let exists = open_records(path, &identity, lost_commits)?.is_some();
        let store = exists.then(|| open_store(path, &identity, lost_commits)).transpose()?;
        Ok(JobLedger { path, identity, store })
    }

    /// A reader of one state of the ledger. Dropped before the run: it keeps the writer's log from being folded in.
    pub(super) fn snapshot(&self) -> Result<Option<Box<dyn Records>>, CommandError> {
        let reader = self.store.as_ref().map(|_| records_beside_writer(self.path)?.held()).transpose()?;
        Ok(reader)
    }

    /// The store, created if there is none yet, and a reader beside it.
    pub(super) fn into_store(self) -> Result<StoreAndRecords, CommandError> {
        let store = match self.store {
            Some(store) => store,
            None => create_store(self.path, &self.identity)?,
        };
        Ok((store, records_beside_writer(self.path)?))
    }
}

/// Opens a ledger for a dry run, which neither locks nor changes it.
pub(super) fn open_untouched(
    path: &Path,
    identity: &JobIdentity,
    job: &Job,
) -> Result<Option<Box<dyn Records>>, CommandError> {
    Ok(open_records(path, identity, lost_commits(job))?.map(Records::held).transpose()?)
}

/// A ledger that may have lost commits is used only if each message is read before it is sent.
fn lost_commits(job: &Job) -> LostCommits {
    if job.policy.read_first { LostCommits::ReadFirst } else { LostCommits::Refused }
}
