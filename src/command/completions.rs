//! `runner completions SHELL`

use std::io::{Write, stdout};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{CommandError, Exit, whole};
use crate::cli::Cli;

pub(super) fn execute(shell: Shell) -> Result<Exit, CommandError> {
    // Into memory first: the generator ends in a panic where nobody reads on.
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "runner", &mut script);
    whole(stdout().write_all(&script).and_then(|()| stdout().flush()))
}
