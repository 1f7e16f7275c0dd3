//! The flags of the log, which the job and the sandbox share.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum, ValueHint};

use super::help::OUTPUT;

/// How the log is written.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// Format of the log: text or json [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = OUTPUT)]
    pub log_format: Option<LogFormat>,
    /// Log to this file instead of standard error
    ///
    /// Lines are appended. If the file is moved or removed, as by logrotate, the next line starts a new file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT)]
    pub log_file: Option<PathBuf>,
    /// Log errors only
    #[arg(long, short, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub quiet: bool,
    /// Log more; repeat it to log everything
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
