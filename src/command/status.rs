//! `runner status`: a run's progress, during the run or afterwards.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use jiff::Timestamp;

use super::report::{print, working_directory};
use super::{CommandError, Exit, ctl};
use crate::cli::StatusArgs;
use crate::ledger::{open_overview, unix_ms};
use crate::report::facts::LedgerFacts;
use crate::report::resume::Pasted;
use crate::report::{format, machine, text};
use crate::words::{Lang, Words};

/// The interval of `--watch`.
const REFRESH_EVERY: Duration = Duration::from_secs(2);
/// Moves to the upper left corner. The old text is overwritten rather than cleared, so that nothing flickers.
const TOP: &str = "\u{1b}[H";
const REST_OF_LINE: &str = "\u{1b}[K\n";
const REST_OF_SCREEN: &str = "\u{1b}[J";
const WHOLE_SCREEN: &str = "\u{1b}[2J";

pub(super) async fn execute(args: &StatusArgs) -> Result<Exit, CommandError> {
    let words = Words::new(Lang::of_process());
    if args.watch { watch(args, &words).await } else { show(args, &words).await }
}

async fn show(args: &StatusArgs, words: &Words) -> Result<Exit, CommandError> {
    let facts = read(args).await?;
    print(&block(args, &facts, words)?)?;
    Ok(Exit::Done)
}

/// Refreshes the status until the run ends or Ctrl-C.
async fn watch(args: &StatusArgs, words: &Words) -> Result<Exit, CommandError> {
    let is_screen = stdout().is_terminal() && !args.json;
    let mut before: Option<LedgerFacts> = None;
    if is_screen {
        print(WHOLE_SCREEN)?;
    }
    loop {
        let facts = read(args).await?;
        let is_running = facts.worker.is_some();
        if is_screen {
            print(&on_screen(&block(args, &facts, words)?))?;
        } else if before.as_ref().is_none_or(|before| !facts.is_same_as(before)) {
            print(&block(args, &facts, words)?)?;
        }
        before = Some(facts);
        if !is_running {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(REFRESH_EVERY) => {}
            pressed = tokio::signal::ctrl_c() => return Ok(pressed.map(|()| Exit::Done)?),
        }
    }
}

/// Reads the ledger, opened anew each time: an open reader sees one state only, and keeps the writer's log from being folded in.
async fn read(args: &StatusArgs) -> Result<LedgerFacts, CommandError> {
    let mut facts = loop {
        let overview = open_overview(&args.ledger)?;
        let facts = LedgerFacts::read(&*overview, unix_ms());
        if !overview.has_begun_to_move() {
            break facts?;
        }
    };
    let live = ctl::ask(&args.ledger, &facts).await;
    facts.follow(live);
    Ok(facts)
}

fn block(args: &StatusArgs, facts: &LedgerFacts, words: &Words) -> Result<String, CommandError> {
    let directory = working_directory();
    let resume = facts.resume(Pasted::Here { directory: &directory, at: Timestamp::now() });
    if args.json {
        // One line per object with --watch.
        let object = machine::status(facts, resume.as_ref());
        if args.watch { Ok(serde_json::to_string(&object)? + "\n") } else { Ok(format::pretty(&object)?) }
    } else {
        Ok(text::status(facts, resume.as_ref(), words))
    }
}

/// Overwrites the screen, with no more lines than it has: more would scroll.
fn on_screen(block: &str) -> String {
    let rows = terminal_size::terminal_size().map_or(usize::MAX, |(_, rows)| usize::from(rows.0));
    let lines = block.lines().take(rows.saturating_sub(1));
    let lines: String = lines.flat_map(|line| [line, REST_OF_LINE]).collect();
    format!("{TOP}{lines}{REST_OF_SCREEN}")
}
