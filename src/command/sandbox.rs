//! `runner sandbox`

use std::ffi::OsString;
use std::io::{Write, stdout};

use super::{CommandError, Exit};
use crate::cli::SandboxArgs;
use crate::input::{HeaderError, Input, InputError, Mapping};
use crate::job;
use crate::report::resume::NOT_RECORDED;
use crate::sandbox::{Faults, Options, Sandbox};
use crate::terminal::shell;

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
        let read = |text: Option<&str>| -> Result<(), CommandError> {
            let (format, mapping) =
                job::reading(args.job.as_deref(), &args.input, &args.reading, text.map(str::to_owned), None)?;
            Ok(add_messages(&sandbox, &Input::open_all(first, others, format)?, &mapping)?)
        };
        match read(None) {
            // The list says which messages there are. Their new content may come from `--text`, which is not known here.
            Err(CommandError::Input(InputError::Header { what: HeaderError::NothingToChange, .. })) => {
                read(Some(NOT_RECORDED))?;
            }
            result => result?,
        }
    }
    // A closed pipe must not end the sandbox.
    let _ = writeln!(stdout(), "{}", sandbox.banner(&list(args)));
    tokio::signal::ctrl_c().await?;
    sandbox.stop().await;
    Ok(Exit::Done)
}

/// The arguments of a run with the list that the sandbox was given, or an example.
fn list(args: &SandboxArgs) -> Vec<OsString> {
    if args.input.is_empty() {
        return ["--input", "edits.csv"].map(OsString::from).into();
    }
    let job = args.job.iter().flat_map(|job| [OsString::from("--job"), shell::argument(job).into()]);
    let inputs = args.input.iter().flat_map(|input| [OsString::from("--input"), shell::argument(input).into()]);
    job.chain(inputs).collect()
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
