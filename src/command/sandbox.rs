//! `runner sandbox`

use std::io::{Write, stdout};

use super::{Error, Exit};
use crate::cli::SandboxArgs;
use crate::sandbox::{Faults, Options, Sandbox};

pub(super) async fn execute(args: &SandboxArgs) -> Result<Exit, Error> {
    let sandbox = Sandbox::start(Options {
        listen: args.listen,
        rate: args.rate.get(),
        faults: args.faults.clone().unwrap_or_else(Faults::none),
        seed: args.seed,
        ..Options::well_known()
    })
    .await
    .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    // Whoever reads only the first line has seen enough, and wants the sandbox to go on.
    let _ = writeln!(stdout(), "{}", sandbox.banner());
    tokio::signal::ctrl_c().await?;
    sandbox.stop().await;
    Ok(Exit::Done)
}
