//! `runner copy LEDGER LEDGER`: makes a ledger elsewhere out of one that is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::spawn_blocking;

use super::{CommandError, Exit, exit_after_printing, print, tell};
use crate::cli::CopyArgs;
use crate::ledger::{Copied, CopyError, State, copy};
use crate::report::format::{self, CopyObject, FORMAT};
use crate::terminal::shell;
use crate::words::Lang;

pub(super) async fn execute(args: &CopyArgs) -> Result<Exit, CommandError> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let stop = Arc::new(AtomicBool::new(false));
    let (from, to, stopped) = (args.from.clone(), args.to.clone(), Arc::clone(&stop));
    let mut copying = spawn_blocking(move || copy(&from, &to, &stopped, &|line| tell(format_args!("warning: {line}"))));
    let mut ended_by = Exit::Interrupted;
    let copied = loop {
        tokio::select! {
            copied = &mut copying => break copied.map_err(std::io::Error::other)?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => ended_by = Exit::Terminated,
        }
        stop.store(true, Ordering::Relaxed);
    };
    match copied {
        Ok(copied) => exit_after_printing(print(block(args, &copied)?.as_bytes(), args.json)),
        Err(error @ CopyError::Interrupted) => {
            tell(format_args!("error: {error}"));
            Ok(ended_by)
        }
        Err(error) => Err(error.into()),
    }
}

fn block(args: &CopyArgs, copied: &Copied) -> Result<String, CommandError> {
    let count = |state: State| copied.edits.get(state.word()).copied().unwrap_or_default();
    let (from, to) = (args.from.to_string(), args.to.to_string());
    let object = CopyObject {
        format: FORMAT,
        from,
        to,
        edits: copied.edits.values().sum(),
        done: count(State::Done),
        failed: count(State::Failed),
        in_doubt: count(State::InDoubt),
        waiting: count(State::Waiting),
        runs: copied.runs,
        newly_in_doubt: copied.newly_in_doubt,
        late_left: copied.late_left,
        digest: copied.digest.clone(),
    };
    if args.json { Ok(format::pretty(&object)?) } else { Ok(text(args, &object)) }
}

fn text(args: &CopyArgs, copied: &CopyObject) -> String {
    let lang = Lang::of_process();
    let CopyObject { from, to, edits, done, failed, in_doubt, waiting, runs, digest, .. } = copied;
    let mut lines = vec![
        lang.say(format_args!("{from} was copied to {to}: edits {edits}, runs {runs}.")),
        lang.say(format_args!("Done {done}, failed {failed}, in doubt {in_doubt}, waiting {waiting}.")),
        lang.say(format_args!("Both were read again, and have the digest {digest}.")),
    ];
    if copied.newly_in_doubt > 0 {
        lines.push(lang.say(format_args!(
            "A process died while it was sending {} of them: they are in doubt in the copy, and are read back when it is resumed.",
            copied.newly_in_doubt
        )));
    }
    if copied.late_left > 0 {
        lines.push(
            lang.say(format_args!("Outcomes that came too late for their run stay in {from}: {}.", copied.late_left)),
        );
    }
    let resume = shell::quoted(args.to.to_argument());
    lines.push(lang.say(format_args!(
        "From now on resume with --resume {resume} only: neither ledger knows what is sent from the other."
    )));
    lines.join("\n") + "\n"
}
