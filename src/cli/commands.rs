//! The arguments of the other commands.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::log::LogArgs;
use crate::report::words::Lang;
use crate::sandbox::Faults;

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
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "input")]
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
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath)]
    pub ledger: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    /// Look again every two seconds, until nobody works on it any more
    #[arg(long)]
    pub watch: bool,
    /// The language: en or zh (en)
    #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true)]
    pub lang: Option<Lang>,
}

/// The flags of `runner report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath)]
    pub ledger: PathBuf,
    /// Write a page that needs nothing beside it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["json", "csv"])]
    pub html: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Write the page, the summary, the lists of what is not done, and a manifest into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub csv: Option<PathBuf>,
    /// The language: en or zh (en)
    #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true)]
    pub lang: Option<Lang>,
    /// The list of edits, for the list of those not reached (the last run's, where it is unchanged)
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, requires = "csv")]
    pub input: Option<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "input")]
    pub job: Option<PathBuf>,
}

/// The arguments of `runner ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The ledger that the run works on
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath)]
    pub ledger: PathBuf,
    /// What it is told.
    #[command(subcommand)]
    pub what: CtlAction,
    /// Write the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a run can be told from the shell.
#[derive(Debug, Subcommand)]
pub enum CtlAction {
    /// How far it is
    Status,
    /// Send nothing more for now; what is in flight comes to its end, and nothing is left in doubt
    Pause,
    /// Go on after a pause
    Resume,
    /// At most N requests a second from now on; nothing above what the run began with
    Rate {
        /// Requests a second
        #[arg(value_name = "N")]
        rate: NonZeroU32,
    },
    /// Stop after what is in flight; the run ends with exit code 3, and the same command resumes it
    ///
    /// Edits whose answers were lost are read back first, which takes 15 s more at most. Told once more, the run does not
    /// wait for that.
    Stop {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
