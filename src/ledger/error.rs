//! Errors of the ledger. Each message names the file, the cause, and what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::ErrorCode;

use super::postgres::PostgresError;
use super::state::Transition;
use super::{LedgerAddress, State};

/// Why the ledger cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// There is no file, or it is empty; or the database does not know the job.
    #[error("there is no ledger {ledger}")]
    Missing {
        /// The missing ledger.
        ledger: LedgerAddress,
    },
    /// It was made before ledgers had a log of events.
    #[error("{ledger} has no log of events, so nothing can be said of it; its next run begins one")]
    NoLog {
        /// The ledger.
        ledger: LedgerAddress,
    },
    /// The file is something else.
    #[error("{} is not a ledger of runner: {what}; name another file, nothing in this one was changed", path.display())]
    NotALedger {
        /// The file.
        path: PathBuf,
        /// What the file is instead.
        what: String,
    },
    /// It was written by a newer version of this program.
    #[error("{} was written by a newer runner (ledger version {found}, this one knows {known}); use that one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// It belongs to another job.
    #[error(
        "{ledger} is the ledger of {theirs}, but this job is {ours}; {}", MoveAdvice { to: may_move.as_deref() }
    )]
    OtherJob {
        /// The ledger.
        ledger: LedgerAddress,
        /// The job the ledger belongs to.
        theirs: String,
        /// The job at hand.
        ours: String,
        /// If only the address of the service differs: that of the job at hand.
        may_move: Option<String>,
    },
    /// Its newest commits are missing.
    #[error(
        "the newest commits of {} are missing: a run has begun in it and not ended, and its log {} is not beside it (or was \
         folded in by another program), so what was sent last is not known. If the log was left behind or moved, \
         put it back and try again; otherwise say --read-first, and each message that the ledger does not call done \
         is read before it is sent",
        path.display(), log.display()
    )]
    CommitsLost {
        /// The ledger.
        path: PathBuf,
        /// Where its log should be.
        log: PathBuf,
    },
    /// A run that reads messages first has not reached the end of its list.
    #[error(
        "in {ledger} a run with --read-first has not come to the end of its list: say --read-first again, so that the \
         messages that it has not read are read before they are sent"
    )]
    ReadsFirst {
        /// The ledger.
        ledger: LedgerAddress,
    },
    /// Other runs are working on this job with another list.
    #[error(
        "{ledger} is being worked on with another list by {others} (its rows have the digest {theirs}, those of this list \
         {ours}); give the same list, or wait until nobody works on the job"
    )]
    OtherList {
        /// The ledger.
        ledger: LedgerAddress,
        /// The runs at work.
        others: String,
        /// The digest of their list, in hexadecimal.
        theirs: String,
        /// The digest of this one.
        ours: String,
    },
    /// Other runs are working on this job with other settings.
    #[error(
        "{ledger} is being worked on with {theirs} by {others}, and this run says {ours}; say the same, or wait until \
         nobody works on the job"
    )]
    OtherTerms {
        /// The ledger.
        ledger: LedgerAddress,
        /// The runs at work.
        others: String,
        /// What they have: `--in-doubt verify`.
        theirs: String,
        /// What this run has.
        ours: String,
    },
    /// The job is being stopped.
    #[error("{ledger} is being stopped ({by}); wait until nobody works on the job, then try again")]
    BeingStopped {
        /// The ledger.
        ledger: LedgerAddress,
        /// The operator, and the channel.
        by: String,
    },
    /// The lease was not renewed in time, and others may have taken over.
    #[error("this run could not renew its lease in {ledger} in time, and others may have taken over what it had")]
    LeaseLost {
        /// The ledger.
        ledger: LedgerAddress,
    },
    /// A change was not applied, because the edit is not this run's any more.
    #[error("the edit belongs to another run now")]
    NotYours(Option<State>),
    /// Its log is there without it.
    #[error(
        "{} holds the newest commits of a ledger that is not there: {} was moved, removed or emptied after a run that \
         never ended. Put the two together again, here or where the ledger is now, or move the log elsewhere to begin anew",
        log.display(), path.display()
    )]
    LogAlone {
        /// Where the ledger should be.
        path: PathBuf,
        /// The log.
        log: PathBuf,
    },
    /// Another program reads an older state of it.
    #[error(
        "another program is reading {}, so the beginning of this run cannot be written into the file itself; let that \
         program finish or close it (sqlite3, a backup), then try again",
        path.display()
    )]
    BeingRead {
        /// The ledger.
        path: PathBuf,
    },
    /// It is on a network file system.
    #[error(
        "{} is on a network file system ({filesystem}), where locks and the log that SQLite keeps cannot be relied on; \
         keep the ledger on a disk of this machine",
        path.display()
    )]
    Network {
        /// The ledger.
        path: PathBuf,
        /// The kind of file system.
        filesystem: String,
    },
    /// Another process has it locked.
    #[error("{} is in use by {holder}; let it finish or stop it, then try again", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// The process, as far as it is known.
        holder: String,
    },
    /// It cannot be opened or read.
    #[error("cannot read the ledger {}: {source}{}", path.display(), ErrorAdvice { source, writing: false })]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the database or the system.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A change could not be made durable.
    #[error("cannot write to the ledger {}: {source}{}", path.display(), ErrorAdvice { source, writing: true })]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the database or the system.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// What messages held before could not be kept.
    #[error("the original contents could not be kept in {}: {source}", path.display())]
    Originals {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Arc<dyn Error + Send + Sync>,
    },
    /// It does not hold what was written to it.
    #[error(
        "the ledger {} is damaged: {what}; put a sound copy in its place (one from before the last run does not know what \
         was sent since), or its log back beside it if that is missing, or see how much of it sqlite3's .recover saves",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The error of the database or the system.
        what: String,
    },
    /// Its file, or one of the two that SQLite keeps beside it, was removed or replaced during the run.
    #[error("{} was removed or replaced while it was in use; {}", file.display(), Rescue { path, rescued })]
    Removed {
        /// The ledger.
        path: PathBuf,
        /// The file that was removed or replaced.
        file: PathBuf,
        /// The file with all that the ledger held, or why it could not be saved.
        rescued: Result<PathBuf, Arc<str>>,
    },
    /// What was rescued when it was removed is still beside it. Without that, messages would be edited twice.
    #[error(
        "{} holds what {} held when that was removed or replaced: {}, then try again; or, if nobody needs it any more, \
         move it elsewhere",
        rescued.display(), path.display(), RestoreSteps { path, rescued }
    )]
    NotPutBack {
        /// The ledger.
        path: PathBuf,
        /// The rescued ledger.
        rescued: PathBuf,
    },
    /// It was removed, and what it held could not be saved.
    #[error(
        "{} was removed or replaced during the last run, and what it held could not be saved, so what was sent is not \
         known: if it was moved, move it back with the files beside it; then, or once somebody has found out what was \
         sent, remove the empty file {}",
        path.display(), mark.display()
    )]
    Lost {
        /// The ledger.
        path: PathBuf,
        /// The empty file that marks this.
        mark: PathBuf,
    },
    /// It is in a PostgreSQL database that cannot be used, or does not answer.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The schema of the database is not one of this program.
    #[error(
        "the schema runner in the database of {ledger} is not one of this program: {what}; name another database, nothing \
             in this one was changed"
    )]
    OtherSchema {
        /// The ledger.
        ledger: LedgerAddress,
        /// What it is instead.
        what: String,
    },
    /// Its tables are of another version.
    #[error(
        "{ledger} has tables of version {found}, and this runner knows version {known}; use the runner that made them, on \
             every machine"
    )]
    OtherVersion {
        /// The ledger.
        ledger: LedgerAddress,
        /// The version of its tables.
        found: i32,
        /// That of this program.
        known: i32,
    },
    /// A database does not hold what was written to it.
    #[error(
        "the ledger {ledger} is damaged: {what}; nothing more is sent: find out what else has written to its database"
    )]
    Unsound {
        /// The ledger.
        ledger: LedgerAddress,
        /// What is wrong.
        what: String,
    },
    /// A database lacks what it had confirmed.
    #[error(
        "the database of {ledger} has lost what it had confirmed (it was restored from a copy, or a replica without the \
             newest commits has taken over), so what was sent last is not known; once it is sound, say --read-first, and each \
             message that the ledger does not call done is read before it is sent"
    )]
    Forgotten {
        /// The ledger.
        ledger: LedgerAddress,
    },
    /// There is nobody who could do what an operator says.
    #[error("nobody works on {ledger} now")]
    NobodyAtWork {
        /// The ledger.
        ledger: LedgerAddress,
    },
    /// A transition that an edit cannot take.
    #[error(transparent)]
    Transition(#[from] Transition),
    /// An earlier commit failed, or the writer has ended.
    #[error("the ledger takes nothing more after it failed once")]
    Latched,
}

/// Advice for an error of the database or the system, if there is any.
struct ErrorAdvice<'a> {
    source: &'a Arc<dyn Error + Send + Sync>,
    writing: bool,
}

impl fmt::Display for ErrorAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = &**self.source;
        let code = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        f.write_str(match (code, kind) {
            (Some(ErrorCode::DiskFull), _) | (_, Some(io::ErrorKind::StorageFull)) => {
                "; make room on its disk, then try again"
            }
            (Some(ErrorCode::SystemIoFailure), _) => {
                "; see what the system's log says of its disk, and try again once that is mended"
            }
            (Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied), _)
            | (_, Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)) => {
                if self.writing {
                    "; allow this user to write to it, then try again"
                } else {
                    "; allow this user to read it, then try again"
                }
            }
            (Some(ErrorCode::CannotOpen), _) if self.writing => {
                "; this user must be allowed to make files in its directory, where SQLite keeps two beside it"
            }
            (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _) => {
                "; another program holds it, let that finish, then try again"
            }
            (_, _) => "",
        })
    }
}

/// Advice for a ledger of another job.
struct MoveAdvice<'a> {
    to: Option<&'a str>,
}

impl fmt::Display for MoveAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            Some(to) => write!(
                f,
                "if {to} is another address of the same service, with the same messages, add --read-first: each message \
                 that the ledger does not call done is then read before it is sent; otherwise name that job's own ledger"
            ),
            None => f.write_str("name that job's own ledger, or a new one"),
        }
    }
}

/// The fate of a ledger that was removed, with advice.
struct Rescue<'a> {
    path: &'a Path,
    rescued: &'a Result<PathBuf, Arc<str>>,
}

impl fmt::Display for Rescue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rescued {
            Ok(rescued) => {
                let put_back = RestoreSteps { path: self.path, rescued };
                write!(f, "what the ledger held is in {}: {put_back}, then resume", rescued.display())
            }
            Err(why) => write!(
                f,
                "what the ledger held could not be saved: {why}; if it was moved, move it back with the files beside \
                 it, then resume; a new ledger in its place does not know what was sent"
            ),
        }
    }
}

/// How to put a rescued ledger back. (A log that remained beside it would be taken for its own.)
struct RestoreSteps<'a> {
    path: &'a Path,
    rescued: &'a Path,
}

impl fmt::Display for RestoreSteps<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, rescued) = (self.path.display(), self.rescued.display());
        write!(f, "move {path}, {path}-wal and {path}-shm away if they are there, and rename {rescued} to {path}")
    }
}
