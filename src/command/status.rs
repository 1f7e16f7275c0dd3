//! `runner status`: how far it is, beside a run or after it.

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use super::report::{here, print};
use super::{Error, Exit};
use crate::cli::StatusArgs;
use crate::ledger::{Overview, unix_ms};
use crate::report::facts::LedgerFacts;
use crate::report::words::Words;
use crate::report::{format, machine, text};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Goes to the upper left corner; what follows is written over what was there, so that nothing flickers.
const TOP: &str = "\u{1b}[H";
const REST_OF_LINE: &str = "\u{1b}[K\n";
const REST_OF_SCREEN: &str = "\u{1b}[J";
const WHOLE_SCREEN: &str = "\u{1b}[2J";

pub(super) async fn execute(args: &StatusArgs) -> Result<Exit, Error> {
    let words = Words::new(args.lang.unwrap_or_default());
    if args.watch { watch(args, &words).await } else { show(args, &words) }
}

fn show(args: &StatusArgs, words: &Words) -> Result<Exit, Error> {
    let facts = look(args)?;
    print(&block(args, &facts, words)?)?;
    Ok(Exit::Done)
}

/// Shows it again and again, until nobody works on it any more or Ctrl-C.
async fn watch(args: &StatusArgs, words: &Words) -> Result<Exit, Error> {
    let is_screen = stdout().is_terminal() && !args.json;
    let mut before: Option<LedgerFacts> = None;
    if is_screen {
        print(WHOLE_SCREEN)?;
    }
    loop {
        let facts = look(args)?;
        let goes_on = facts.worker.is_some();
        if is_screen {
            print(&on_screen(&block(args, &facts, words)?))?;
        } else if before.as_ref().is_none_or(|before| !facts.is_same_as(before)) {
            print(&block(args, &facts, words)?)?;
        }
        before = Some(facts);
        if !goes_on {
            return Ok(Exit::Done);
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            pressed = tokio::signal::ctrl_c() => return Ok(pressed.map(|()| Exit::Done)?),
        }
    }
}

/// Opened anew for each look: a look is at one state of the file, and would keep the writer's log from being folded in.
fn look(args: &StatusArgs) -> Result<LedgerFacts, Error> {
    loop {
        let overview = Overview::open(&args.ledger)?;
        let facts = LedgerFacts::read(&overview, unix_ms());
        if !overview.has_begun_to_move() {
            return Ok(facts?);
        }
    }
}

fn block(args: &StatusArgs, facts: &LedgerFacts, words: &Words) -> Result<String, Error> {
    let resume = facts.resume(&here());
    if args.json {
        // A line each, where there are many.
        let object = machine::status(facts, resume.as_deref(), words);
        if args.watch { Ok(serde_json::to_string(&object)? + "\n") } else { Ok(format::pretty(&object)?) }
    } else {
        Ok(text::status(facts, resume.as_deref(), words))
    }
}

/// Over what is there, and no more lines than there are: otherwise it would scroll away under itself.
fn on_screen(block: &str) -> String {
    let rows = terminal_size::terminal_size().map_or(usize::MAX, |(_, rows)| usize::from(rows.0));
    let lines = block.lines().take(rows.saturating_sub(1));
    let lines: String = lines.flat_map(|line| [line, REST_OF_LINE]).collect();
    format!("{TOP}{lines}{REST_OF_SCREEN}")
}
