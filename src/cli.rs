//! The words of the command line. No work is done here.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::api::endpoint::Region;
use crate::input::Format;
use crate::report::words::Lang;
use crate::run::{FailureLimit, InDoubt};
use crate::sandbox::Faults;

const ABOUT: &str = "Edits messages of Tencent Cloud IM from a list: each once, never faster than allowed, resumable";

const EXAMPLES: &str = "\
Examples:
  runner --input edits.csv --dry-run                            what would happen
  runner --input edits.csv --resume rehearsal.db --sandbox      rehearse, without the service
  runner --input edits.csv --resume ledger.db --max-rows 1      one edit, to have a look at it
  runner --input edits.csv --resume ledger.db                   the job; the same command again resumes it

Environment:
  TIM_SDKAPPID, TIM_IDENTIFIER             the app and its admin account (also as flags)
  TIM_SECRET_KEY or TIM_SECRET_KEY_FILE    the app's secret key, or the file that holds it
  TIM_USERSIG                              a ready-made signature, instead of the key
  TIM_REGION, TIM_ENDPOINT                 the service (also as flags)
  RUST_LOG, NO_COLOR                       as usual

Exit codes:
  0 every edit of the list is done         1 finished; some failed or are in doubt
  2 nothing was sent                       3 stopped early; the same command resumes
  130, 143 interrupted; the same command resumes";

/// The command line of `runner`.
#[derive(Debug, Parser)]
#[command(name = "runner", version, about = ABOUT, after_help = EXAMPLES)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Cli {
    /// Something else than the job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
}

/// What can be done besides the job.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// What the service's error codes mean, and what a run does about them
    Codes {
        /// One code; without it all are listed
        code: Option<i64>,
    },
    /// A local stand-in for the service, for rehearsals
    Sandbox(SandboxArgs),
    /// How far a ledger's run is, while it goes on and after
    Status(StatusArgs),
    /// What happened, for people and for programs
    Report(ReportArgs),
}

/// The job's flags.
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
#[derive(Debug, Args)]
pub struct JobArgs {
    /// The list of edits: .csv, .jsonl or .ndjson, each also .gz; - is standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub input: Option<PathBuf>,
    /// How the list is written, where its name does not say it
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub input_format: Option<Format>,
    /// The ledger of what was done; made if it is not there
    #[arg(long, value_name = "LEDGER", required_unless_present = "dry_run")]
    pub resume: Option<PathBuf>,
    /// A job file (TOML); flags and environment win over it
    #[arg(long, value_name = "FILE")]
    pub job: Option<PathBuf>,
    /// Show the plan only: nothing is sent, no ledger is made or touched
    #[arg(long)]
    pub dry_run: bool,
    /// Write results as JSON
    #[arg(long)]
    pub json: bool,
    /// Do not ask before sending
    #[arg(long)]
    pub yes: bool,

    /// Requests a second at most (200)
    #[arg(long, value_name = "N", help_heading = "Pace")]
    pub rate: Option<NonZeroU32>,
    /// What --rate may be at most (200, the service's limit)
    #[arg(long, value_name = "N", help_heading = "Pace")]
    pub max_rate: Option<NonZeroU32>,
    /// Requests in flight at most (as many as the rate needs at 3 s an answer)
    #[arg(long, value_name = "N", help_heading = "Pace")]
    pub concurrency: Option<NonZeroUsize>,

    /// Sendings of one edit in one run at most (8)
    #[arg(long, value_name = "N", help_heading = "Retry")]
    pub max_attempts: Option<NonZeroU32>,
    /// Time for one answer (10s)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = "Retry")]
    pub timeout: Option<Duration>,
    /// Stop when more edits than this fail or come into doubt (20% once 100 are settled)
    #[arg(long, value_name = "N|N%", help_heading = "Retry")]
    pub max_failures: Option<FailureLimit>,
    /// Edits in this run at most
    #[arg(long, value_name = "N", help_heading = "Retry")]
    pub max_rows: Option<NonZeroU64>,
    /// What becomes of an edit whose answer was lost (verify)
    #[arg(long, value_enum, value_name = "HOW", help_heading = "Retry")]
    pub in_doubt: Option<InDoubt>,
    /// Take up the ledger's failed edits again
    #[arg(long, help_heading = "Retry")]
    pub retry_failed: bool,

    /// Where the app's data is
    #[arg(long, value_enum, value_name = "REGION", conflicts_with_all = ["endpoint", "sandbox"], help_heading = "Service")]
    pub region: Option<Region>,
    /// The service's address, instead of a region
    #[arg(long, value_name = "URL", conflicts_with = "sandbox", help_heading = "Service")]
    pub endpoint: Option<String>,
    /// The app
    #[arg(long, value_name = "ID", help_heading = "Service")]
    pub sdkappid: Option<u64>,
    /// An admin account of the app
    #[arg(long, value_name = "NAME", help_heading = "Service")]
    pub identifier: Option<String>,
    /// One more trusted authority (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Service")]
    pub ca_cert: Option<PathBuf>,
    /// Run against a stand-in inside this process; needs no credentials
    #[arg(long, help_heading = "Service")]
    pub sandbox: bool,
    /// How the stand-in misbehaves, such as 20004=2%,lost-after=1%,latency=20ms..80ms
    #[arg(long, value_name = "FAULTS", requires = "sandbox", help_heading = "Service")]
    pub faults: Option<Faults>,

    /// Write a report into this directory at the end: a page, a summary, lists, a manifest
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub report: Option<PathBuf>,
    /// The report's language (en)
    #[arg(long, value_enum, value_name = "LANG", requires = "report", help_heading = "Output")]
    pub lang: Option<Lang>,
    /// No progress on standard error
    #[arg(long, help_heading = "Output")]
    pub no_progress: bool,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags of `runner sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The address to listen on; it must be of this machine only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8200")]
    pub listen: SocketAddr,
    /// Requests a second for each call, beyond which it answers 60007
    #[arg(long, value_name = "N", default_value = "200")]
    pub rate: NonZeroU32,
    /// A list whose messages it has from the start; others it has once somebody asks to edit them
    #[arg(long, value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", requires = "input")]
    pub job: Option<PathBuf>,
    /// How it misbehaves, such as 20004=2%,lost-after=1%,latency=20ms..80ms
    #[arg(long, value_name = "FAULTS")]
    pub faults: Option<Faults>,
    /// The same seed misbehaves in the same way
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags of `runner status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The ledger
    #[arg(value_name = "LEDGER")]
    pub ledger: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    /// Look again every two seconds, until nobody works on it any more
    #[arg(long)]
    pub watch: bool,
    /// The language (en)
    #[arg(long, value_enum, value_name = "LANG")]
    pub lang: Option<Lang>,
}

/// The flags of `runner report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger
    #[arg(value_name = "LEDGER")]
    pub ledger: PathBuf,
    /// Write a page that needs nothing beside it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["json", "csv"])]
    pub html: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Write the page, the summary, the lists of what is not done, and a manifest into this directory
    #[arg(long, value_name = "DIR")]
    pub csv: Option<PathBuf>,
    /// The language (en)
    #[arg(long, value_enum, value_name = "LANG")]
    pub lang: Option<Lang>,
    /// The list of edits, for the list of those not reached (the last run's, where it is unchanged)
    #[arg(long, value_name = "LIST", requires = "csv")]
    pub input: Option<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", requires = "input")]
    pub job: Option<PathBuf>,
}

/// How the log is written.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// How log lines are written (text)
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub log_format: Option<LogFormat>,
    /// Log into this file instead of standard error
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub log_file: Option<PathBuf>,
    /// Log errors only
    #[arg(long, short, conflicts_with = "verbose", help_heading = "Output")]
    pub quiet: bool,
    /// Log more; twice for everything
    #[arg(long, short, action = clap::ArgAction::Count, help_heading = "Output")]
    pub verbose: u8,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A length of time: `10s`, `1m 30s`, `500ms`.
pub fn time(text: &str) -> Result<Duration, String> {
    let parsed: Option<Duration> = text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    parsed.filter(|time| !time.is_zero()).ok_or_else(|| "write a time such as 10s, 500ms or 1m 30s".to_owned())
}
