//! The words of the command line. No work is done here.

mod commands;
mod help;
mod job;
mod log;
pub mod until;
mod values;

use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;

pub use self::commands::{CtlAction, CtlArgs, ReportArgs, SandboxArgs, StatusArgs};
pub use self::help::{ENVIRONMENT, EXAMPLES, EXIT_CODES};
pub use self::job::JobArgs;
pub use self::log::{LogArgs, LogFormat};
pub use self::values::{ATTEMPTS_MAX, CONCURRENCY_MAX, RATE_MAX, time};
use crate::report::words::Lang;
use crate::{BUILD, VERSION};

/// The command line of `runner`.
#[derive(Debug, Parser)]
#[command(name = "runner", version = VERSION, long_version = BUILD, about = help::ABOUT, long_about = help::LONG_ABOUT)]
#[command(after_help = help::short_help(), after_long_help = help::long_help(), styles = help::STYLES, max_term_width = 100)]
#[command(override_usage = "runner --input <FILE> --resume <LEDGER> [OPTIONS]\n       runner <COMMAND>")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true, disable_help_flag = true, disable_version_flag = true)]
pub struct Cli {
    /// Something else than the job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// This, in short; --help says more
    #[arg(long, short, global = true, action = ArgAction::Help, help_heading = help::HELP)]
    #[arg(long_help = "This; -h is shorter")]
    help: Option<bool>,
    /// The version; --version has the build too
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = help::HELP)]
    version: Option<bool>,
}

/// What can be done besides the job.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How far a ledger's run is, while it goes on and after
    #[command(after_help = help::examples(help::STATUS_EXAMPLES))]
    Status(StatusArgs),
    /// What happened, for people and for programs
    #[command(after_help = help::examples(help::REPORT_EXAMPLES))]
    Report(ReportArgs),
    /// Tell a run that is going on: pause, resume, rate N, stop
    #[command(after_help = help::examples(help::CTL_EXAMPLES))]
    Ctl(CtlArgs),
    /// What the service's error codes mean, and what a run does about them
    #[command(after_help = help::examples(help::CODES_EXAMPLES))]
    Codes {
        /// One code; without it all are listed
        #[arg(value_name = "CODE")]
        code: Option<i64>,
        /// The language: en or zh (en)
        #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true)]
        lang: Option<Lang>,
    },
    /// A local stand-in for the service, for rehearsals
    #[command(after_help = help::examples(help::SANDBOX_EXAMPLES))]
    Sandbox(SandboxArgs),
    /// A script that lets a shell complete these words
    #[command(after_help = help::examples(help::COMPLETIONS_EXAMPLES))]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// The manual page
    #[command(after_help = help::examples(help::MAN_EXAMPLES))]
    Man,
}
