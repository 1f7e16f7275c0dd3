//! The files that a command reads and writes. No command may overwrite what it reads, whatever names lead to it. This is
//! checked before the first byte is written, which may be the log's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::audit;
use crate::cli::{AuditArgs, Cli, Command, JobArgs, ReportArgs, SandboxArgs};
use crate::input::Format;
use crate::ledger::LedgerAddress;
use crate::report::{directory, failed};
use crate::system::atomic_file;
use crate::system::same_file::{Identity, resolved};

/// What SQLite keeps beside a ledger, and the socket of a run.
const BESIDE_LEDGER: [&str; 4] = ["-wal", "-shm", "-journal", "-ctl"];
/// Variables that name files to read.
const READ_BY_NAME: [&str; 6] =
    ["TIM_SECRET_KEY_FILE", "RUNNER_PAGE_TOKEN_FILE", "SSL_CERT_FILE", "PGPASSFILE", "PGSERVICEFILE", "PGSSLROOTCERT"];
const STANDARD_INPUT: &str = "/dev/stdin";

/// Two uses of one file that exclude each other.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} and {} would be one file ({} is {}), and writing the one would destroy the other; name another place for one of \
     them; nothing was sent",
    .0.what, .1.what, .0.path.display(), .1.path.display()
)]
pub struct Conflict(Box<Named>, Box<Named>);

/// A file and its use.
#[derive(Clone, Debug)]
struct Named {
    what: String,
    path: PathBuf,
    identity: Identity,
    usage: Usage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usage {
    Reads,
    Writes,
    /// The log may go to the same file as standard output, as with the shell's `2>&1`.
    Appends,
}

/// All files of a command.
#[derive(Debug, Default)]
pub(super) struct CommandFiles(Vec<Named>);

impl CommandFiles {
    fn add(&mut self, usage: Usage, what: impl Into<String>, path: &Path) {
        self.0.push(Named { what: what.into(), path: path.to_owned(), identity: Identity::of(path), usage });
    }

    pub(super) fn reads(&mut self, what: impl Into<String>, path: &Path) {
        self.add(Usage::Reads, what, path);
    }

    fn writes(&mut self, what: impl Into<String>, path: &Path) {
        self.add(Usage::Writes, what, path);
    }

    /// Fails if two uses exclude each other.
    pub(super) fn check(&self) -> Result<(), Conflict> {
        for (index, one) in self.0.iter().enumerate() {
            for other in &self.0[index + 1..] {
                let is_compatible = one.usage == other.usage && one.usage != Usage::Writes;
                if !is_compatible && one.identity.is(&other.identity) {
                    let (written, other) = if one.usage == Usage::Reads { (other, one) } else { (one, other) };
                    return Err(Conflict(Box::new(written.clone()), Box::new(other.clone())));
                }
            }
        }
        Ok(())
    }

    /// The lists, one of which may be a file redirected to standard input.
    fn lists(&mut self, input: &[PathBuf]) {
        for path in input {
            self.reads("the list (--input)", list(path));
        }
    }

    fn job_file(&mut self, job: Option<&Path>) {
        if let Some(path) = job {
            self.reads("the job file (--job)", path);
        }
    }

    /// A database is no file.
    fn ledger(&mut self, ledger: &LedgerAddress) {
        let Some(path) = ledger.file() else { return };
        self.writes("the ledger", path);
        for ending in BESIDE_LEDGER {
            let mut beside = OsString::from(resolved(path));
            beside.push(ending);
            self.writes(format!("the ledger's {ending} file"), Path::new(&beside));
        }
    }

    fn report(&mut self, flag: &str, directory: &Path) {
        for name in directory::NAMES {
            self.writes(format!("the report's {name} ({flag})"), &directory.join(name));
        }
        self.mark(&directory.join(directory::MANIFEST));
    }

    fn mark(&mut self, path: &Path) {
        self.writes("the checksum of a file", &atomic_file::mark(path));
    }

    /// Standard output and the log. (A conflict with standard error could not be reported: the report would go there.)
    fn streams(&mut self, log: Option<&Path>) {
        self.add(Usage::Appends, "standard output", Path::new("/dev/stdout"));
        if let Some(path) = log {
            self.add(Usage::Appends, "the log (--log-file)", path);
        }
    }

    fn of_job(args: &JobArgs) -> CommandFiles {
        let mut files = CommandFiles::default();
        files.lists(&args.input);
        files.job_file(args.job.as_deref());
        for name in READ_BY_NAME {
            if let Some(path) = std::env::var_os(name).filter(|path| !path.is_empty()) {
                files.reads(format!("the file of {name}"), Path::new(&path));
            }
        }
        if let Some(path) = &args.service.ca_cert {
            files.reads("the file of --ca-cert", path);
        }
        if let Some(ledger) = &args.resume {
            files.ledger(ledger);
            // The formats are not known yet. Numbers that keep files apart are the lowest if all have the same format.
            for format in [Format::Csv, Format::Jsonl] {
                let lists: Vec<_> = args.input.iter().map(|path| (named(path), format)).collect();
                for path in failed_rows(ledger, &lists, &args.input) {
                    files.mark(&path);
                    files.writes("the list of what failed, beside the ledger", &path);
                }
            }
        }
        if let Some(directory) = &args.report {
            files.report("--report", directory);
        }
        if let Some(path) = &args.checkpoint_file {
            files.writes("the heads of its log (--checkpoint-file)", path);
        }
        if let Some(path) = &args.originals {
            files.writes("the originals (--originals)", path);
        }
        if let Some(path) = &args.only_if {
            files.reads("the file of --only-if", path);
        }
        files.streams(args.log.log_file.as_deref());
        files
    }

    /// Of `runner report`.
    pub(super) fn of_report(args: &ReportArgs) -> CommandFiles {
        let mut files = CommandFiles::default();
        files.lists(&args.input);
        files.job_file(args.job.as_deref());
        files.ledger(&args.ledger);
        if let Some(page) = &args.html {
            files.writes("the page (--html)", page);
            files.mark(page);
        }
        if let Some(directory) = &args.csv {
            files.report("--csv", directory);
        }
        files.streams(None);
        files
    }

    fn of_audit(args: &AuditArgs) -> CommandFiles {
        let mut files = CommandFiles::default();
        files.job_file(args.job.as_deref());
        if let Some(path) = &args.service.ca_cert {
            files.reads("the file of --ca-cert", path);
        }
        files.ledger(&args.ledger);
        for path in args.csv.iter().flat_map(|directory| audit::NAMES.map(|name| directory.join(name))) {
            files.mark(&path);
            files.writes("the audit's list or summary (--csv)", &path);
        }
        files.streams(args.log.log_file.as_deref());
        files
    }

    fn of_sandbox(args: &SandboxArgs) -> CommandFiles {
        let mut files = CommandFiles::default();
        files.lists(&args.input);
        files.job_file(args.job.as_deref());
        files.streams(args.log.log_file.as_deref());
        files
    }
}

/// Checks the files of a command line, before any is opened for writing.
///
/// # Errors
/// Two uses of one file exclude each other.
pub fn check(cli: &Cli) -> Result<(), Conflict> {
    match &cli.command {
        None => CommandFiles::of_job(&cli.job).check(),
        Some(Command::Report(args)) => CommandFiles::of_report(args).check(),
        Some(Command::Audit(args)) => CommandFiles::of_audit(args).check(),
        Some(Command::Sandbox(args)) => CommandFiles::of_sandbox(args).check(),
        Some(
            Command::Status(_)
            | Command::Ctl(_)
            | Command::Copy(_)
            | Command::Verify(_)
            | Command::Prove(_)
            | Command::Originals(_)
            | Command::Codes { .. }
            | Command::Completions { .. }
            | Command::Man,
        ) => Ok(()),
    }
}

/// The files for the rows of each list that failed, none of which is an input list.
pub(super) fn failed_rows(
    ledger: &LedgerAddress,
    lists: &[(Option<&Path>, Format)],
    input: &[PathBuf],
) -> Vec<PathBuf> {
    let identities: Vec<Identity> = input.iter().map(|path| Identity::of(list(path))).collect();
    failed::paths(&ledger.to_named(), lists, |path| {
        let identity = Identity::of(path);
        identities.iter().any(|list| list.is(&identity))
    })
}

/// The path of a list; `None` for standard input.
fn named(input: &Path) -> Option<&Path> {
    (input.as_os_str() != "-").then_some(input)
}

fn list(input: &Path) -> &Path {
    named(input).unwrap_or(Path::new(STANDARD_INPUT))
}
