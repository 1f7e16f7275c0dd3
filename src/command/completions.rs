//! `runner completions SHELL`

use std::io::{Write, stdout};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{CommandError, Exit, exit_after_printing};
use crate::cli::Cli;

pub(super) fn execute(shell: Shell) -> Result<Exit, CommandError> {
    // Into memory first: the generator panics if its output is closed.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "runner", &mut script);
    exit_after_printing(stdout().write_all(&script).and_then(|()| stdout().flush()))
}
