//! The flags of the job.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::help::{LIMITS, OUTPUT, PACE, RETRY, SERVICE};
use super::log::LogArgs;
use super::until::Until;
use super::values::{ATTEMPTS_MAX, CONCURRENCY_MAX, RATE_MAX, ROWS_MAX, at_most, region_hosts, time};
use crate::api::endpoint::RegionHost;
use crate::input::Format;
use crate::report::words::Lang;
use crate::run::{FailureLimit, InDoubt};
use crate::sandbox::Faults;

/// Where the live page is, where nobody says it.
const PAGE: &str = "127.0.0.1:8201";

/// The job's flags.
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Job")]
pub struct JobArgs {
    /// The list of edits: .csv, .jsonl or .ndjson, each also .gz; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    pub input: Option<PathBuf>,
    /// How the list is written, where its name does not say it
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub input_format: Option<Format>,
    /// The ledger of what was done; made if it is not there
    ///
    /// The same ledger again resumes the job. Keep it: it is what keeps a message from being edited twice.
    #[arg(long, value_name = "LEDGER", value_hint = ValueHint::FilePath, required_unless_present = "dry_run")]
    pub resume: Option<PathBuf>,
    /// A job file (TOML); flags and environment win over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub job: Option<PathBuf>,
    /// Show the plan only: nothing is sent, no ledger is made or touched
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before sending
    #[arg(long)]
    pub yes: bool,

    /// Requests a second at most (200)
    ///
    /// The cap is the app's, for this call. Jobs of the app that this user runs on this machine share it: one that would
    /// bring their sum above --max-rate is refused. Leave room for other machines and programs.
    #[arg(long, value_name = "N", value_parser = at_most(RATE_MAX), help_heading = PACE)]
    pub rate: Option<NonZeroU32>,
    /// What --rate, and all jobs of the app together, may be at most (200, the service's limit)
    #[arg(long, value_name = "N", value_parser = at_most(RATE_MAX), help_heading = PACE)]
    pub max_rate: Option<NonZeroU32>,
    /// Requests in flight at most (as many as the rate needs at 3 s an answer)
    #[arg(long, value_name = "N", value_parser = at_most(CONCURRENCY_MAX), help_heading = PACE)]
    pub concurrency: Option<NonZeroUsize>,

    /// Edits in this run at most
    ///
    /// Exit 0 then means that these are done; the summary counts the others as not reached.
    #[arg(long, value_name = "N", value_parser = at_most(ROWS_MAX), help_heading = LIMITS)]
    pub max_rows: Option<NonZeroU64>,
    /// Stop in time, such as 07:00, or 2026-03-01T07:00+08:00
    ///
    /// A time of day is the next one of this machine's local time. What is in flight is waited for, and edits whose answers
    /// were lost are read back, which takes 15 s more at most. The exit is 3, and the same command resumes.
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub until: Option<Until>,
    /// Stop when more edits than this fail or come into doubt (20% once 100 are settled)
    #[arg(long, value_name = "N|N%", help_heading = LIMITS)]
    pub max_failures: Option<FailureLimit>,

    /// Sendings of one edit in one run at most (8)
    #[arg(long, value_name = "N", value_parser = at_most(ATTEMPTS_MAX), help_heading = RETRY)]
    pub max_attempts: Option<NonZeroU32>,
    /// Time for one answer (10s)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = RETRY)]
    pub timeout: Option<Duration>,
    /// What becomes of an edit whose answer was lost: verify, retry or hold (verify)
    ///
    /// verify reads the message back, and sends it again only where it was not edited; hold leaves the edit in doubt,
    /// for a person; retry sends it again unseen, which tells phones twice where it did take place.
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true, help_heading = RETRY)]
    pub in_doubt: Option<InDoubt>,
    /// Read each message before it is sent, and send only where it holds something else
    ///
    /// A message that holds the new content already is done; one that was recalled or is not there is not sent, and is
    /// listed. It takes two requests more for each message, which have a limit of their own. This is the way on with
    /// a ledger that was lost, or has lost its newest commits, and to another address of the service.
    #[arg(long, help_heading = RETRY)]
    pub read_first: bool,
    /// Take up the ledger's failed edits again
    #[arg(long, help_heading = RETRY)]
    pub retry_failed: bool,

    /// Where the app's data is: cn, sgp, kor, ger, ind, usa, jpn or idn (TIM_REGION)
    ///
    /// Each but jpn has a second host for when the first is out of reach: sgp-backup. It is the same service with the same
    /// messages, and the same ledger goes on there.
    #[arg(long, value_parser = region_hosts(), value_name = "REGION", hide_possible_values = true)]
    #[arg(conflicts_with_all = ["endpoint", "sandbox"], help_heading = SERVICE)]
    pub region: Option<RegionHost>,
    /// The service's address, instead of a region (TIM_ENDPOINT)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, conflicts_with = "sandbox", help_heading = SERVICE)]
    pub endpoint: Option<String>,
    /// The app (TIM_SDKAPPID)
    #[arg(long, value_name = "ID", help_heading = SERVICE)]
    pub sdkappid: Option<u64>,
    /// An admin account of the app (TIM_IDENTIFIER)
    #[arg(long, value_name = "NAME", help_heading = SERVICE)]
    pub identifier: Option<String>,
    /// One more trusted authority (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = SERVICE)]
    pub ca_cert: Option<PathBuf>,
    /// Run against a stand-in inside this process; needs no credentials
    #[arg(long, help_heading = SERVICE)]
    pub sandbox: bool,
    /// How the stand-in misbehaves, such as 20004=2%,lost-after=1%
    #[arg(long, value_name = "FAULTS", requires = "sandbox", help_heading = SERVICE)]
    pub faults: Option<Faults>,

    /// Write results as JSON
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    /// Write a report into this directory at the end
    ///
    /// A page for people, a summary for programs, lists of what failed, is in doubt or was not reached, and a manifest.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = OUTPUT)]
    pub report: Option<PathBuf>,
    /// A command to run when the run has ended
    ///
    /// It goes through sh -c, with the JSON summary on its standard input and RUNNER_EXIT and RUNNER_LEDGER in its
    /// environment, and without the secrets. It has a minute. Its failure is told, and does not change the exit code.
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, help_heading = OUTPUT)]
    pub on_finish: Option<String>,
    /// Show the run on a live page (127.0.0.1:8201)
    ///
    /// It has totals, charts and buttons to pause, resume, slow down and stop the run, and /metrics and /healthz. On
    /// this machine it is open to the user who started the run, and to root. A token is needed beyond this machine, and where
    /// the kernel does not say who connects (/proc/net/tcp): it is part of the address that is printed, or RUNNER_PAGE_TOKEN.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = PAGE, help_heading = OUTPUT)]
    pub page: Option<SocketAddr>,
    /// The language of the report and of the page: en or zh (en; the browser's)
    #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true, hide_short_help = true)]
    #[arg(help_heading = OUTPUT)]
    pub lang: Option<Lang>,
    /// No progress on standard error
    #[arg(long, help_heading = OUTPUT)]
    pub no_progress: bool,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}
