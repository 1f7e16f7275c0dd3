//! The job's ledger, from before the plan until the run begins.

use crate::command::CommandError;
use crate::job::Job;
use crate::ledger::{
    JobIdentity, LedgerAddress, LostCommits, Overview, Records, RunStore, create_store, is_there, open_records,
    open_store, overview_beside_writer, records_beside_writer,
};

/// The ledger of a job that is going to run.
pub(super) struct JobLedger<'a> {
    pub(super) address: &'a LedgerAddress,
    pub(super) identity: JobIdentity,
    lost_commits: LostCommits,
    /// Locked. `None` as long as there is no file: it is created only when it is needed.
    store: Option<Box<dyn RunStore>>,
}

/// The one that writes, and one that reads beside it.
type StoreAndRecords = (Box<dyn RunStore>, Box<dyn Records>);

impl JobLedger<'_> {
    /// Opens and locks an existing ledger before anything is read from it.
    pub(super) fn lock<'a>(
        address: &'a LedgerAddress,
        identity: JobIdentity,
        job: &Job,
    ) -> Result<JobLedger<'a>, CommandError> {
        let lost_commits = lost_commits(job);
        let exists = is_there(address, &identity, lost_commits)?;
        let store = exists.then(|| open_store(address, &identity, lost_commits)).transpose()?;
        Ok(JobLedger { address, identity, lost_commits, store })
    }

    /// A reader of one state of the ledger. Dropped before the run: it keeps the writer's log from being folded in.
    pub(super) fn snapshot(&self) -> Result<Option<Box<dyn Records>>, CommandError> {
        let reader = self.store.as_ref().map(|_| records_beside_writer(self.address)?.held()).transpose()?;
        Ok(reader)
    }

    /// A view of it. `None`: there is no ledger yet.
    pub(super) fn overview(&self) -> Result<Option<Box<dyn Overview>>, CommandError> {
        Ok(self.store.as_ref().map(|_| overview_beside_writer(self.address)).transpose()?)
    }

    /// The store of a ledger that several runs share, created if there is none yet; another run may have created it, and begun,
    /// since this one looked. What it holds of an edit is asked for
    /// once the edit's part of the list has been taken.
    pub(super) fn into_shared_store(self) -> Result<Box<dyn RunStore>, CommandError> {
        Ok(match self.store {
            Some(store) => store,
            None => open_store(self.address, &self.identity, self.lost_commits)?,
        })
    }

    /// The store, created if there is none yet, and a reader beside it.
    pub(super) fn into_store(self) -> Result<StoreAndRecords, CommandError> {
        let address = self.address;
        let store = match self.store {
            Some(store) => store,
            None => create_store(address, &self.identity)?,
        };
        Ok((store, records_beside_writer(address)?))
    }
}

/// Opens a ledger for a dry run, which neither locks nor changes it.
pub(super) fn open_untouched(
    address: &LedgerAddress,
    identity: &JobIdentity,
    job: &Job,
) -> Result<Option<Box<dyn Records>>, CommandError> {
    Ok(open_records(address, identity, lost_commits(job))?.map(Records::held).transpose()?)
}

/// A ledger that may have lost commits is used only if each message is read before it is sent.
fn lost_commits(job: &Job) -> LostCommits {
    if job.policy.read_first { LostCommits::ReadFirst } else { LostCommits::Refused }
}
