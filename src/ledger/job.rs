//! The job that a ledger belongs to.

use super::{LedgerAddress, LedgerError, LostCommits};

/// The service of the in-process sandbox.
const SANDBOX: &str = "sandbox";

/// The job that a ledger belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobIdentity {
    /// The application.
    pub sdkappid: u64,
    /// The host and port of the service, or `sandbox`.
    pub service: String,
    /// The other host and port of the same service, which a ledger may name instead.
    pub other_host: Option<String>,
    /// The name that the job file gives, if it gives one.
    pub name: Option<String>,
}

impl JobIdentity {
    /// Checks that the ledger of this job may serve `ours`. A ledger in which nothing has happened yet may change its job:
    /// the first try with a wrong region or app is refused by the service, and correcting it must not need a new ledger.
    /// And where each message is read first, the job may move to another address of the service.
    ///
    /// # Errors
    /// It may not, or `nothing_happened` failed.
    pub fn check(
        self,
        ledger: &LedgerAddress,
        ours: &JobIdentity,
        gaps: LostCommits,
        nothing_happened: impl FnOnce() -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        let theirs = self.named_as(ours);
        let may_move = theirs.may_move_to(ours);
        if theirs == *ours || (may_move && gaps == LostCommits::ReadFirst) || nothing_happened()? {
            return Ok(());
        }
        Err(LedgerError::OtherJob {
            ledger: ledger.clone(),
            theirs: theirs.describe(),
            ours: ours.describe(),
            may_move: may_move.then(|| ours.service.clone()),
        })
    }

    /// Whether the other job differs only by the address of the service. The in-process sandbox shares no message with
    /// anything else.
    fn may_move_to(&self, other: &JobIdentity) -> bool {
        let is_elsewhere = self.service != other.service && self.service != SANDBOX && other.service != SANDBOX;
        is_elsewhere && self.sdkappid == other.sdkappid && self.name == other.name
    }

    /// The same job, with the service named as in `ours` if it was named by its other host.
    fn named_as(mut self, ours: &JobIdentity) -> JobIdentity {
        if ours.other_host.as_ref() == Some(&self.service) {
            self.service.clone_from(&ours.service);
        }
        self.other_host.clone_from(&ours.other_host);
        self
    }

    fn describe(&self) -> String {
        let name = self.name.as_ref().map(|name| format!("the job {name:?} of ")).unwrap_or_default();
        format!("{name}app {} at {}", self.sdkappid, self.service)
    }
}
