//! The flags of the job.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};

use super::help::{LIMITS, OUTPUT, PACE, RETRY, SERVICE};
use super::log::LogArgs;
use super::until::Until;
use super::values::{ATTEMPTS_MAX, CONCURRENCY_MAX, RATE_MAX, ROWS_MAX, at_most, ledger_address, region_hosts, time};
use crate::api::endpoint::RegionHost;
use crate::input::{Delimiter, Format, Input, InputError, InputSpec, TextEncoding};
use crate::ledger::LedgerAddress;
use crate::run::{FailureLimit, InDoubt};
use crate::sandbox::Faults;

/// The live page's address, if none is given.
const PAGE: &str = "127.0.0.1:8201";

/// How a list is stored.
#[derive(Clone, Debug, Default, Args)]
pub struct ReadingArgs {
    /// Encoding of the list, if it is not UTF-8, such as gb18030 or big5
    ///
    /// UTF-16 with a byte-order mark is recognized. Any label of the Encoding Standard is understood.
    #[arg(long, value_name = "NAME", requires = "input")]
    pub encoding: Option<TextEncoding>,
    /// What separates the columns of a CSV list, if its header does not show it: one character, or tab
    #[arg(long, value_name = "CHAR", requires = "input")]
    pub delimiter: Option<Delimiter>,
    /// Sheet of an Excel workbook [default: the first]
    #[arg(long, value_name = "NAME", requires = "input")]
    pub sheet: Option<String>,
}

impl ReadingArgs {
    /// Flags override the job file.
    pub(crate) fn override_in(&self, input: &mut InputSpec) {
        input.encoding = self.encoding.or(input.encoding);
        input.delimiter = self.delimiter.or(input.delimiter);
        input.sheet = self.sheet.clone().or_else(|| input.sheet.take());
    }

    /// A list without sheets cannot be the one that is meant. (A job file may name a sheet all the same, because the rows
    /// of a workbook that failed come back as CSV.)
    pub(crate) fn check(&self, list: &Input) -> Result<(), InputError> {
        match self.sheet {
            Some(_) if list.lists().all(|list| list.format() != Format::Xlsx) => {
                Err(InputError::NoSheets { name: list.name().to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Where the service is, and who calls it.
#[derive(Clone, Debug, Default, Args)]
pub struct ServiceArgs {
    /// Region of the app's data: cn, sgp, kor, ger, ind, usa, jpn or idn (TIM_REGION)
    ///
    /// Each region except jpn has a second host, for when the first cannot be reached, such as sgp-backup. It is the same
    /// service with the same messages, and the same ledger can be resumed there.
    #[arg(long, value_parser = region_hosts(), value_name = "REGION", hide_possible_values = true)]
    #[arg(conflicts_with = "endpoint", help_heading = SERVICE)]
    pub region: Option<RegionHost>,
    /// Address of the service, instead of a region (TIM_ENDPOINT)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, help_heading = SERVICE)]
    pub endpoint: Option<String>,
    /// SDKAppID of the app (TIM_SDKAPPID)
    #[arg(long, value_name = "ID", help_heading = SERVICE)]
    pub sdkappid: Option<u64>,
    /// An admin account of the app (TIM_IDENTIFIER)
    #[arg(long, value_name = "NAME", help_heading = SERVICE)]
    pub identifier: Option<String>,
    /// An additional trusted certificate authority (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = SERVICE)]
    pub ca_cert: Option<PathBuf>,
}

/// The job's flags.
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Job")]
pub struct JobArgs {
    /// The list of edits: .csv, .tsv, .jsonl, .ndjson or .json, each also .gz; .xlsx; - is standard input
    ///
    /// Give it several times for several lists, which are worked on as one, in this order.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    pub input: Vec<PathBuf>,
    /// Format of the list, if its name does not show it: csv, jsonl, json or xlsx
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub input_format: Option<Format>,
    /// How the list is stored.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// The ledger, which records what was done: a file, or postgres://USER@HOST/DB?job=NAME; created if missing
    ///
    /// Running with the same ledger resumes the job. Keep the ledger: it prevents messages from being edited twice. With one
    /// in a PostgreSQL database, any number of runs, on any machines, work on the list together and share the app's cap; its
    /// password comes from PGPASSWORD, ~/.pgpass (PGPASSFILE) or a service file.
    #[arg(long, value_name = "LEDGER", value_hint = ValueHint::FilePath, required_unless_present = "dry_run")]
    #[arg(value_parser = ledger_address())]
    pub resume: Option<LedgerAddress>,
    /// A job file (TOML); flags and environment override it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub job: Option<PathBuf>,
    /// The new content of every message: one text element with this sentence
    ///
    /// It is sent as it stands: braces are no template. Instead of content.text in a job file, for lists that have no
    /// content of their own. The ledger does not record it; give it again to resume.
    #[arg(long, value_name = "SENTENCE", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub text: Option<String>,
    /// The new custom data of every message; an empty one clears it
    ///
    /// It is sent as it stands, instead of content.cloud_custom_data in a job file. The ledger does not record it; give
    /// it again to resume.
    #[arg(long, value_name = "DATA")]
    pub custom_data: Option<String>,
    /// Show the plan only: nothing is sent, no ledger is created or changed
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before sending
    #[arg(long)]
    pub yes: bool,

    /// Maximum requests per second [default: 200]
    ///
    /// The service limits this call for the app as a whole. Jobs of the app that this user runs on this machine share the
    /// cap: a job that would bring their sum above --max-rate is refused. Jobs whose ledgers are in one PostgreSQL database
    /// share it on all machines, and the lowest of their rates is the cap. Leave room for other machines and programs.
    #[arg(long, value_name = "N", value_parser = at_most(RATE_MAX), help_heading = PACE)]
    pub rate: Option<NonZeroU32>,
    /// Upper limit for --rate, and for all jobs of the app together [default: 200, the service's limit]
    #[arg(long, value_name = "N", value_parser = at_most(RATE_MAX), help_heading = PACE)]
    pub max_rate: Option<NonZeroU32>,
    /// Maximum requests in flight [default: what the rate needs if an answer takes 3 s]
    #[arg(long, value_name = "N", value_parser = at_most(CONCURRENCY_MAX), help_heading = PACE)]
    pub concurrency: Option<NonZeroUsize>,

    /// Maximum edits in this run
    ///
    /// Exit code 0 then means that these are done; the summary counts the others as not reached.
    #[arg(long, value_name = "N", value_parser = at_most(ROWS_MAX), help_heading = LIMITS)]
    pub max_rows: Option<NonZeroU64>,
    /// Stop at a time, such as 07:00 or 2026-03-01T07:00+08:00
    ///
    /// A time of day means its next occurrence in local time. The run waits for what is in flight, and reads back edits
    /// whose answers were lost where it can, which takes at most 15 s more (it cannot through a proxy, in a pause, while
    /// the service is out of reach, or with --in-doubt hold or retry). The exit code is 3, and the same command resumes.
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub until: Option<Until>,
    /// Stop if more edits than this fail or end in doubt [default: 20%, once 100 are settled]
    #[arg(long, value_name = "N|N%", help_heading = LIMITS)]
    pub max_failures: Option<FailureLimit>,

    /// Maximum attempts for each edit in one run [default: 8]
    #[arg(long, value_name = "N", value_parser = at_most(ATTEMPTS_MAX), help_heading = RETRY)]
    pub max_attempts: Option<NonZeroU32>,
    /// How long to wait for an answer [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = RETRY)]
    pub timeout: Option<Duration>,
    /// How to handle an edit whose answer was lost: verify, retry or hold [default: verify]
    ///
    /// verify reads the message back, and sends the edit again only if it did not take place; hold leaves the edit in
    /// doubt, for a person to decide; retry sends it again without reading, so phones are notified twice if it did take
    /// place.
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true, help_heading = RETRY)]
    pub in_doubt: Option<InDoubt>,
    /// Read each message first, and send an edit only if its content differs
    ///
    /// A message that already holds the new content counts as done; one that was recalled or does not exist is not edited,
    /// and is listed. This takes two more requests for each message, which have a limit of their own. Use it to resume after
    /// a ledger was lost, or lost its newest commits, or to move to another address of the service.
    #[arg(long, help_heading = RETRY)]
    pub read_first: bool,
    /// Send an edit only if its message still reads as in this file; with --read-first
    ///
    /// The file has each message of the list with what it held when it was reviewed, in any format of a list; or it is CSV with
    /// the columns message and content, the digests of both as a ledger has them. A message that reads otherwise is not edited,
    /// and is listed. The service cannot compare before it edits, so each message is read at most a few seconds before its edit is
    /// sent: what changes in between is not seen.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = RETRY, hide_short_help = true)]
    pub only_if: Option<PathBuf>,
    /// Keep what each message held before, encrypted, in a file; with --read-first
    ///
    /// What was read goes through the command of --encrypt-with and is on the disk before the edit is sent. The file is only added
    /// to. runner originals makes a list of it again, which is the way back.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = RETRY, hide_short_help = true)]
    #[arg(requires = "encrypt_with")]
    pub originals: Option<PathBuf>,
    /// Command that encrypts what --originals keeps, such as: age -r age1…
    ///
    /// The command is run with sh -c for each group of edits that are recorded together, a dozen times a second at full speed. It
    /// gets lines of JSON on standard input, writes what is to be kept to standard output, and gets none of the secrets. If it
    /// fails, or takes longer than a minute, the run stops.
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, help_heading = RETRY, hide_short_help = true)]
    #[arg(requires = "originals")]
    pub encrypt_with: Option<String>,
    /// Retry the edits that the ledger records as failed
    #[arg(long, help_heading = RETRY)]
    pub retry_failed: bool,

    /// Where the service is, and who calls it.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Run against a stand-in inside this process; no credentials needed
    #[arg(long, conflicts_with_all = ["region", "endpoint"], help_heading = SERVICE)]
    pub sandbox: bool,
    /// Faults of the stand-in, such as 20004=2%,lost-after=1%
    #[arg(long, value_name = "FAULTS", requires = "sandbox", help_heading = SERVICE)]
    pub faults: Option<Faults>,

    /// Write results as JSON
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    /// Write a report into this directory at the end
    ///
    /// It has a page for people, a summary for programs, lists of what is done, failed, is in doubt or was not reached, and a
    /// manifest.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = OUTPUT)]
    pub report: Option<PathBuf>,
    /// Run a command when the run has ended
    ///
    /// The command is run with sh -c. It gets the JSON summary on standard input, RUNNER_EXIT and RUNNER_LEDGER in its
    /// environment, and none of the secrets. It is killed after one minute. A failure is reported, and does not change the
    /// exit code.
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, help_heading = OUTPUT)]
    pub on_finish: Option<String>,
    /// Append the head of the ledger's log to a file, every 10 s and at the end
    ///
    /// With it, runner verify finds out whether the ledger was rewritten since. Keep it where those who can write to the ledger
    /// cannot: on another host, or a mount that only takes appends. Each head is written through to the disk.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT, hide_short_help = true)]
    pub checkpoint_file: Option<PathBuf>,
    /// Run a command with the head of the ledger's log on its standard input, every 10 s and at the end
    ///
    /// The command is run with sh -c, as that of --on-finish, and killed after 10 s. A failure is reported, and changes nothing.
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, help_heading = OUTPUT, hide_short_help = true)]
    pub on_checkpoint: Option<String>,
    /// Show the run on a live page [without an address: 127.0.0.1:8201]
    ///
    /// The page has totals, charts and buttons to pause, resume, slow down and stop the run; it also serves /metrics and
    /// /healthz. On loopback it is open to the user who started the run, and to root. A token is needed at any other
    /// address, and if the kernel does not report who connects (/proc/net/tcp): it is part of the printed address, or
    /// RUNNER_PAGE_TOKEN.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = PAGE, help_heading = OUTPUT)]
    pub page: Option<SocketAddr>,
    /// Do not show progress on standard error
    #[arg(long, help_heading = OUTPUT)]
    pub no_progress: bool,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}
