//! The arguments of the other commands.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::job::ReadingArgs;
use super::log::LogArgs;
use super::values::ledger_address;
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
