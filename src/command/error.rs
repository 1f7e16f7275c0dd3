//! Errors that end a command before anything is sent.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::Exit;
use super::files::Conflict;
use super::report::LastRunError;
use crate::api::client::ClientError;
use crate::api::endpoint::EndpointError;
use crate::cli::until::UntilError;
use crate::evidence::{CheckpointError, ProofError};
use crate::input::InputError;
use crate::job::JobError;
use crate::ledger::{CopyError, LedgerAddress, LedgerError};
use crate::live::page::PageError;
use crate::live::socket::SocketError;
use crate::originals::OriginalsError;
use crate::register::RegisterError;
use crate::report::directory::ReportError;
use crate::report::failed::FailedRowsError;
use crate::run::{ControlError, PlanError, ReviewedError};
use crate::system::atomic_file::WriteError;
use crate::terminal::excerpt::Excerpt;

/// With a ledger that several runs share, no answer is waited for longer than this.
pub(super) const SHARED_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Why a command ended without sending anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Job(#[from] JobError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Until(#[from] UntilError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The list's problems, which are listed before this error is reported.
    #[error("{0}; nothing was sent")]
    Problems(PlanError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Page(#[from] PageError),
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Conflict(#[from] Conflict),
    #[error(transparent)]
    Report(#[from] ReportError),
    #[error(transparent)]
    FailedRows(#[from] FailedRowsError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    LastRun(#[from] LastRunError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("cannot start the sandbox: {0}")]
    Sandbox(io::Error),
    #[error("cannot listen on {address}: {error}")]
    Listen { address: SocketAddr, error: io::Error },
    #[error(
        "{in_flight_max} requests in flight take more file handles than this machine gives (ulimit -n: {limit}); \
         say --concurrency {possible} or less"
    )]
    FileHandles { in_flight_max: usize, limit: u64, possible: u64 },
    #[error(
        "the job file says confirm = \"always\", and there is no terminal to ask on; look at the plan with --dry-run, \
         then say --yes"
    )]
    NobodyToAsk,
    #[error("--input is not given")]
    NoInput,
    #[error(
        "--sandbox is a stand-in inside this process, which other runs cannot call; start one with runner sandbox, and \
         name it with --endpoint"
    )]
    SandboxNotShared,
    #[error(
        "--timeout {0:?} is too long for a ledger that several runs share: a process that stands still must be ended before \
         others send what it was sending; say {SHARED_TIMEOUT_MAX:?} or less"
    )]
    TimeoutNotShared(Duration),
    #[error("{0} (an audit has no such flag: let a run do that, and audit the ledger after it)")]
    AuditNeedsRun(LedgerError),
    #[error("{worker} works on {ledger}; audit it when no run goes on, since both read messages back under one limit")]
    AuditBesideRun { ledger: LedgerAddress, worker: String },
    #[error(
        "no audit in this ledger has drawn from these done edits with that seed, so anybody may have chosen it; give words of \
         your own with --words"
    )]
    UnknownSeed,
    #[error("no edit in this ledger is done, so there is nothing to look at")]
    NothingToAudit,
    #[error("the log of {ledger} has no event of this message; write its accounts and its key as the list has them")]
    NothingToProve { ledger: LedgerAddress },
    #[error("the log of {ledger} is not the one whose head is in {place}: see runner verify")]
    OtherHead { ledger: LedgerAddress, place: String },
    #[error(transparent)]
    Originals(#[from] OriginalsError),
    #[error(transparent)]
    Reviewed(#[from] ReviewedError),
    #[error("{0} needs --read-first: what a message holds is known only once it was read")]
    NeedsReading(&'static str),
    #[error("--decrypt-with is not given")]
    NothingToDecrypt,
    #[error("neither a ledger nor a proof is given")]
    NothingToVerify,
    #[error("cannot read {}: {source}", file.display())]
    Evidence { file: PathBuf, source: io::Error },
    #[error("cannot write heads to {}: {source}", file.display())]
    CheckpointFile { file: PathBuf, source: io::Error },
    #[error(
        "{} holds heads of another log ({origin}); name a file of its own with --checkpoint-file, so that neither ledger seems \
         altered", file.display()
    )]
    HeadsOfAnother { file: PathBuf, origin: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Proof(#[from] ProofError),
    #[error("neither the service nor the ledger may be left out")]
    NoServiceOrLedger,
    #[error("the service is not given")]
    NoService,
}

impl CommandError {
    /// The part of the job file that is wrong.
    pub(super) fn excerpt(&self) -> Option<&Excerpt> {
        match self {
            CommandError::Job(error) => error.excerpt(),
            _ => None,
        }
    }

    /// The error and its causes, without causes that its own text already names.
    pub(super) fn with_causes(&self) -> String {
        let error: &dyn std::error::Error = self;
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        causes
            .map(ToString::to_string)
            .fold(self.to_string(), |text, cause| if text.contains(&cause) { text } else { format!("{text}: {cause}") })
    }
}

impl From<&CommandError> for Exit {
    fn from(_: &CommandError) -> Exit {
        Exit::NothingSent
    }
}
