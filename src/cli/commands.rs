//! The arguments of the other commands.

use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Subcommand, ValueHint};

use super::help::{OUTPUT, PACE, SERVICE};
use super::job::{ReadingArgs, ServiceArgs};
use super::log::LogArgs;
use super::values::{LOOKUPS_MAX, ROWS_MAX, at_most, ledger_address};
use crate::ledger::LedgerAddress;
use crate::sandbox::Faults;

/// The flags of `runner sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The address to listen on; it must be a loopback address
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8200")]
    pub listen: SocketAddr,
    /// Requests per second for each call; beyond that it answers 60007
    #[arg(long, value_name = "N", default_value = "200")]
    pub rate: NonZeroU32,
    /// A list whose messages exist from the start; others are created by the first request to edit them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Vec<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "input")]
    pub job: Option<PathBuf>,
    /// How the list's text is stored.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Faults, such as 20004=2%,lost-after=1%,latency=20ms..80ms
    #[arg(long, value_name = "FAULTS")]
    pub faults: Option<Faults>,
    /// Seed of the faults: the same seed gives the same faults
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
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub ledger: LedgerAddress,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    /// Refresh every two seconds until the run ends
    #[arg(long)]
    pub watch: bool,
}

/// The flags of `runner report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub ledger: LedgerAddress,
    /// Write a self-contained page
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["json", "csv"])]
    pub html: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Write the page, the summary, lists of the edits, and a manifest into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub csv: Option<PathBuf>,
    /// The list of edits, to list those not reached [default: the last run's, if unchanged]
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, requires = "csv")]
    pub input: Vec<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "input")]
    pub job: Option<PathBuf>,
    /// How the list's text is stored.
    #[command(flatten)]
    pub reading: ReadingArgs,
}

/// The arguments of `runner audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub ledger: LedgerAddress,
    /// Look at so many done edits, drawn by lot [default: at all of them]
    ///
    /// The result then says how many of all may be wrong at most, with 95 % confidence.
    #[arg(long, value_name = "N", requires = "lot", value_parser = at_most(ROWS_MAX))]
    pub sample: Option<NonZeroU64>,
    /// Words of the auditor's own, from which and the ledger's head the sample is drawn
    ///
    /// Choose them once the ledger is no longer written to; then nobody who wrote it can have chosen what is looked at.
    #[arg(long, value_name = "WORDS", requires = "sample", group = "lot")]
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub words: Option<String>,
    /// The seed of an earlier audit in this ledger, to draw the same sample again: 64 hexadecimal digits
    #[arg(long, value_name = "HEX", requires = "sample", group = "lot", value_parser = seed)]
    pub seed: Option<Seed>,
    /// Maximum lookups per second, of this limit of the service's own [default: 100, half of it]
    ///
    /// Runs of the app read back as well; leave room for them.
    #[arg(long, value_name = "N", value_parser = at_most(LOOKUPS_MAX), help_heading = PACE)]
    pub rate: Option<NonZeroU32>,
    /// The job file, for its service
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = SERVICE)]
    pub job: Option<PathBuf>,
    /// Where the service is, and who calls it.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// Write one JSON object
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    /// Write audit.csv, all messages that were looked at, and audit.json into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = OUTPUT)]
    pub csv: Option<PathBuf>,
    /// Do not show progress on standard error
    #[arg(long, help_heading = OUTPUT)]
    pub no_progress: bool,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What a sample is drawn with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed(pub [u8; 32]);

fn seed(text: &str) -> Result<Seed, String> {
    let digits = |text: &str| -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        for (byte, pair) in seed.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        (text.len() == 64 && !text.contains('+')).then_some(seed)
    };
    digits(text).map(Seed).ok_or_else(|| "write 64 hexadecimal digits, as an audit prints them".to_owned())
}

/// The arguments of `runner verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    #[arg(required_unless_present = "proof")]
    pub ledger: Option<LedgerAddress>,
    /// Heads of its log that were kept elsewhere
    ///
    /// Without one, only what was not rewritten consistently is found out. Given more than once: all of them.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub checkpoint: Vec<PathBuf>,
    /// Instead of a ledger, what runner prove has printed
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "ledger")]
    pub proof: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `runner originals`.
#[derive(Debug, Args)]
pub struct OriginalsArgs {
    /// The file of --originals
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: PathBuf,
    /// Command that decrypts what --encrypt-with encrypted, such as: age -d -i key.txt
    ///
    /// The command is run with sh -c for each ciphertext, which it gets on standard input, and writes what was encrypted to
    /// standard output. It may ask for a passphrase.
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, required_unless_present = "ledger")]
    pub decrypt_with: Option<String>,
    /// Compare the file with what this ledger records of it first
    #[arg(long, value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub ledger: Option<LedgerAddress>,
}

/// The arguments of `runner prove`.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub ledger: LedgerAddress,
    /// The message's From_Account
    #[arg(value_name = "FROM")]
    pub from: String,
    /// Its To_Account
    #[arg(value_name = "TO")]
    pub to: String,
    /// Its MsgKey
    #[arg(value_name = "KEY")]
    pub key: String,
    /// Prove it for the last head in this file, and not for the present one
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub checkpoint: Option<PathBuf>,
}

/// The arguments of `runner copy`.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// The ledger to copy
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub from: LedgerAddress,
    /// The ledger to make
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub to: LedgerAddress,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
}

/// The arguments of `runner ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The ledger of the run
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath, value_parser = ledger_address())]
    pub ledger: LedgerAddress,
    /// The request.
    #[command(subcommand)]
    pub what: CtlAction,
    /// Write the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// A request to a run in progress.
#[derive(Debug, Subcommand)]
pub enum CtlAction {
    /// Show the run's progress
    Status,
    /// Send nothing more until resumed; what is in flight is completed, and nothing is left in doubt
    Pause,
    /// Resume after a pause
    Resume,
    /// Send at most N requests per second, and never more than when the run began
    Rate {
        /// Requests per second
        #[arg(value_name = "N")]
        rate: NonZeroU32,
    },
    /// Stop after what is in flight; the run exits with code 3, and the same command resumes it
    ///
    /// Edits whose answers were lost are read back first where they can be, which takes at most 15 s more (not through a
    /// proxy, in a pause, while the service is out of reach, or with --in-doubt hold or retry). A second stop skips that.
    Stop {
        /// Do not ask before stopping
        #[arg(long)]
        yes: bool,
    },
}
