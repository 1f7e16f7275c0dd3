//! `runner sandbox`

use std::io::{Write, stdout};

use super::{CommandError, Exit};
use crate::cli::SandboxArgs;
use crate::input::{Input, InputError, Mapping};
use crate::job;
use crate::sandbox::{Faults, Options, Sandbox};

pub(super) async fn execute(args: &SandboxArgs) -> Result<Exit, CommandError> {
    let sandbox = Sandbox::start(Options {
        listen: args.listen,
        rate: args.rate.get(),
        faults: args.faults.clone().unwrap_or_else(Faults::none),
        seed: args.seed,
        ..Options::well_known()
    })
    .await
    .map_err(|error| CommandError::Listen { address: args.listen, error })?;
    if let Some((first, others)) = args.input.split_first() {
        let (format, mapping) = job::reading(args.job.as_deref())?;
        add_messages(&sandbox, &Input::open_all(first, others, format)?, &mapping)?;
    }
    // A closed pipe must not end the sandbox.
    let _ = writeln!(stdout(), "{}", sandbox.banner());
    tokio::signal::ctrl_c().await?;
    sandbox.stop().await;
    Ok(Exit::Done)
}

/// Adds the messages of a list to the sandbox. Invalid rows are skipped: a run of the list reports them.
pub(super) fn add_messages(sandbox: &Sandbox, input: &Input, mapping: &Mapping) -> Result<(), InputError> {
    for row in input.rows(mapping)? {
        if let Ok(edit) = row?.edit {
            sandbox.add_message(edit.id());
        }
    }
    Ok(())
}
