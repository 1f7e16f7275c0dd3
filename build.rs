//! Records the commit and the target of a build, for `runner --version` and for reports. A source tree without git, or
//! inside another repository, builds as well.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // Empty only in the root of a repository.
    let is_ours = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let commit = if is_ours { git(&["rev-parse", "--short=7", "HEAD"]) } else { None };
    let commit = commit.map_or_else(|| "unknown commit".to_owned(), |commit| format!("commit {commit}"));
    println!("cargo::rustc-env=RUNNER_COMMIT={commit}");
    let target = std::env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo::rustc-env=RUNNER_TARGET={target}");
    if !is_ours {
        return;
    }
    // Each commit or checkout writes one of these. A missing file would make this script run every time.
    let branch = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(branch.as_deref()) {
        if let Some(path) = git(&["rev-parse", "--git-path", name]).filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

/// The output of git; `None` if git is missing or fails.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
