//! Commands of the user's, run by the shell.

use std::process::Command;

/// Prefixes of the names of secret variables.
const SECRETS: [&str; 4] = ["TIM_SECRET_KEY", "TIM_USERSIG", "RUNNER_PAGE_TOKEN", "PGPASSWORD"];

/// A command for `sh -c`, which gets none of the secrets of this process.
pub fn command(command: &str) -> Command {
    let mut call = Command::new("sh");
    call.arg("-c").arg(command);
    for (name, _) in std::env::vars_os() {
        if SECRETS.iter().any(|secret| name.to_string_lossy().starts_with(secret)) {
            call.env_remove(name);
        }
    }
    call
}
