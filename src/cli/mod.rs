//! The command line: flags, commands and their help. No work is done here.

mod commands;
mod help;
mod job;
mod log;
pub mod until;
mod values;

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;

pub use self::commands::{
    AuditArgs, CopyArgs, CtlAction, CtlArgs, OriginalsArgs, ProveArgs, ReportArgs, SandboxArgs, Seed, StatusArgs,
    VerifyArgs,
};
pub use self::help::{ENVIRONMENT, EXAMPLES, EXIT_CODES};
pub use self::job::{JobArgs, ReadingArgs, ServiceArgs};
pub use self::log::{LogArgs, LogFormat};
pub use self::values::{ATTEMPTS_MAX, CONCURRENCY_MAX, RATE_MAX, time};
use crate::words::Lang;
use crate::{BUILD, VERSION};

/// The command line of `runner`.
#[derive(Debug, Parser)]
#[command(name = "runner", version = VERSION, long_version = BUILD, about = help::ABOUT, long_about = help::LONG_ABOUT)]
#[command(after_help = help::short_help(), after_long_help = help::long_help(), styles = help::STYLES, max_term_width = 100)]
#[command(override_usage = "runner --input <FILE> --resume <LEDGER> [OPTIONS]\n       runner <COMMAND>")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true, disable_help_flag = true, disable_version_flag = true)]
pub struct Cli {
    /// A command other than the job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Language: en or zh [default: RUNNER_LANG, else the locale's]
    ///
    /// Of everything that people read: plan, questions, progress, summary, errors, status, report and page (by default, the
    /// page is in the browser's language). JSON, logs and metrics are in English.
    #[arg(long, value_enum, value_name = "LANG", global = true, hide_possible_values = true, help_heading = help::OUTPUT)]
    pub lang: Option<Lang>,
    /// Print short help; --help prints more
    #[arg(long, short, global = true, action = ArgAction::Help, help_heading = help::HELP)]
    #[arg(long_help = "Print help; -h prints less")]
    help: Option<bool>,
    /// Print the version; --version adds the build
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = help::HELP)]
    version: Option<bool>,
}

/// The commands besides the job.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show a ledger's progress, during a run and afterwards
    #[command(after_help = help::examples(help::STATUS_EXAMPLES))]
    Status(StatusArgs),
    /// Report what happened, for people and for programs
    #[command(after_help = help::examples(help::REPORT_EXAMPLES))]
    Report(ReportArgs),
    /// Control a run in progress: status, pause, resume, rate N, stop
    #[command(after_help = help::examples(help::CTL_EXAMPLES))]
    Ctl(CtlArgs),
    /// Read done edits back: do they hold?
    ///
    /// Compares each message with the digest of the content that the ledger recorded, and records in the ledger what it found.
    /// Nothing is edited. The same command goes on with an audit that was stopped. Exit code: 0 all that was looked at is as
    /// wanted, 1 not all of it, 2 nothing was looked at, 3 stopped early, 130 or 143 interrupted.
    #[command(after_help = help::examples(help::AUDIT_EXAMPLES))]
    Audit(AuditArgs),
    /// Verify that a ledger was not altered
    ///
    /// Computes all that it holds again from its log of events, and compares the log with heads of it that were kept elsewhere
    /// (see --checkpoint-file). Exit code: 0 it holds, 1 it was altered, 2 it could not be verified.
    #[command(after_help = help::examples(help::VERIFY_EXAMPLES))]
    Verify(VerifyArgs),
    /// Print what a ledger's log holds of one message, with proofs
    ///
    /// Each event with the proof that the log has it, in the form that runner verify --proof takes. Nothing is shown of other
    /// messages. Exit code: 0 printed, 2 there is nothing to print.
    #[command(after_help = help::examples(help::PROVE_EXAMPLES))]
    Prove(ProveArgs),
    /// Decrypt what a run kept with --originals, as a list
    ///
    /// Prints what each message held before it was edited, as JSONL, the newest first: a list that gives it all back. Exit code: 0
    /// all printed, 2 not all, or nothing.
    #[command(after_help = help::examples(help::ORIGINALS_EXAMPLES))]
    Originals(OriginalsArgs),
    /// Copy a ledger that nobody works on, to a database or a file
    ///
    /// The source is not changed, and there must be nothing at the other place. Both are read again from beginning to end and
    /// compared; unless they are the same, there is no copy. Exit code: 0 copied, 2 nothing was copied, 130 or 143 interrupted.
    #[command(after_help = help::examples(help::COPY_EXAMPLES))]
    Copy(CopyArgs),
    /// Explain the service's error codes, and how a run handles them
    #[command(after_help = help::examples(help::CODES_EXAMPLES))]
    Codes {
        /// The code to explain; lists all codes if omitted
        #[arg(value_name = "CODE")]
        code: Option<i64>,
    },
    /// Run a local stand-in for the service, for rehearsals
    #[command(after_help = help::examples(help::SANDBOX_EXAMPLES))]
    Sandbox(SandboxArgs),
    /// Print a shell completion script
    #[command(after_help = help::examples(help::COMPLETIONS_EXAMPLES))]
    Completions {
        /// The shell to complete in
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = help::examples(help::MAN_EXAMPLES))]
    Man,
}
