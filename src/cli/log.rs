//! The flags of the log, which the job and the sandbox share.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

use super::help::OUTPUT;

/// How the log is written.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// How log lines are written: text or json (text)
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = OUTPUT)]
    pub log_format: Option<LogFormat>,
    /// Log into this file instead of standard error
    ///
    /// Lines are added at its end. Where it was moved away or removed, as logrotate does, the next line begins a new one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT)]
    pub log_file: Option<PathBuf>,
    /// Log errors only
    #[arg(long, short, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub quiet: bool,
    /// Log more; twice for everything
    #[arg(long, short, action = ArgAction::Count, help_heading = OUTPUT)]
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
