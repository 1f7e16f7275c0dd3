//! What a run did, for people and for programs. The numbers add up: rows are done, failed, in doubt, duplicates or
//! not reached.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use thousands::Separable;

use super::{CountLine, counted, write_lines};
use crate::api::error_code::meaning;
use crate::run::{Cause, Plan, RunEnd, StopReason, Tally};
use crate::terminal::colour::{COMMAND, DONE, DOUBT, FAILED, REMARK, TITLE};
use crate::terminal::duration::time;
use crate::terminal::escape::escape_control;
use crate::terminal::fit;

/// What there is to say of a run.
#[derive(Debug)]
pub struct Summary<'a> {
    /// What it set out to do.
    pub plan: &'a Plan,
    /// What it did.
    pub tally: &'a Tally,
    /// How it ended.
    pub ended: &'a RunEnd,
    /// How long it sent.
    pub took: Duration,
    /// Where the rows are that failed or are in doubt, if there are any.
    pub failed_rows: Option<PathBuf>,
    /// Where the report's page is, if one was wanted.
    pub report: Option<PathBuf>,
    /// The command that goes on, where something is left.
    pub resume: Option<String>,
}

/// Where every row of the list is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Rows of the list.
    pub rows: u64,
    /// Confirmed, in this run or before.
    pub done: u64,
    /// Refused, in this run or before.
    pub failed: u64,
    /// Nobody knows.
    pub in_doubt: u64,
    /// Another row wants the same.
    pub duplicates: u64,
    /// Neither settled in this run nor before.
    pub not_reached: u64,
}

impl Totals {
    /// Adds what a run did to what was so before it.
    pub fn new(plan: &Plan, tally: &Tally) -> Totals {
        // Edits that were to be taken up again and were not stand as they stood.
        let still_failed = plan.failed_again.saturating_sub(tally.failed_again);
        let still_in_doubt = plan.in_doubt_again.saturating_sub(tally.in_doubt_again);
        Totals {
            rows: plan.rows,
            done: plan.done + tally.done,
            failed: plan.failed + still_failed + tally.failed,
            in_doubt: plan.in_doubt + still_in_doubt + tally.in_doubt,
            duplicates: plan.duplicates,
            not_reached: plan.to_do.saturating_sub(tally.settled() + still_failed + still_in_doubt),
        }
    }
}

impl Summary<'_> {
    /// Where every row of the list is now.
    pub fn totals(&self) -> Totals {
        Totals::new(self.plan, self.tally)
    }

    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    fn rate(&self) -> f64 {
        self.tally.attempts as f64 / self.took.as_secs_f64().max(0.001)
    }

    /// How it ended, in the ledger's word.
    pub fn how(&self) -> &'static str {
        match self.ended {
            RunEnd::Finished => "finished",
            RunEnd::Interrupted => "interrupted",
            RunEnd::Stopped(_) => "stopped",
        }
    }

    /// Why it was stopped, if it was.
    pub fn reason(&self) -> Option<String> {
        match self.ended {
            RunEnd::Stopped(reason) => Some(reason.to_string()),
            RunEnd::Finished | RunEnd::Interrupted => None,
        }
    }

    fn time(&self) -> String {
        if self.took < Duration::from_secs(10) { format!("{:.1} s", self.took.as_secs_f64()) } else { time(self.took) }
    }

    /// Writes it for people.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let totals = self.totals();
        match self.ended {
            RunEnd::Finished => {
                let style = if totals.failed + totals.in_doubt == 0 { DONE } else { TITLE };
                writeln!(out, "{style}Finished in {}{style:#}", self.time())?;
            }
            RunEnd::Interrupted => writeln!(out, "{DOUBT}Interrupted after {}{DOUBT:#}", self.time())?,
            RunEnd::Stopped(reason) => {
                let style = if matches!(reason, StopReason::TimeIsUp(_)) { DOUBT } else { FAILED };
                writeln!(out, "{style}Stopped after {}:{style:#} {reason}", self.time())?;
            }
        }
        let before = |number: u64| match number {
            0 => String::new(),
            number => format!("{} of them before this run", number.separate_with_commas()),
        };
        let not_reached = if totals.not_reached > 0 { "not edited yet" } else { "" };
        write_lines(
            out,
            &[
                CountLine::new("rows", totals.rows, ""),
                CountLine::new("done", totals.done, before(self.plan.done)).styled(DONE),
                CountLine::new("failed", totals.failed, before(totals.failed - self.tally.failed)).styled(FAILED),
                CountLine::new("in doubt", totals.in_doubt, before(totals.in_doubt - self.tally.in_doubt))
                    .styled(DOUBT),
                CountLine::new("duplicates", totals.duplicates, ""),
                CountLine::new("not reached", totals.not_reached, not_reached).styled(TITLE),
            ],
        )?;
        let slow_downs = match self.tally.slow_downs {
            0 => String::new(),
            number => format!(", {DOUBT}slowed down {number}×{DOUBT:#}"),
        };
        let requests = counted(self.tally.attempts, "request", "requests");
        writeln!(out, "  {requests}, {:.1} a second{slow_downs}", self.rate())?;
        self.write_read_backs(out)?;
        self.write_causes(out)?;
        if let Some(path) = &self.failed_rows {
            let path = path.to_string_lossy();
            writeln!(out, "{TITLE}Rows that failed or are in doubt:{TITLE:#} {}", escape_control(&path))?;
        }
        if let Some(path) = &self.report {
            writeln!(out, "Report: {}", escape_control(&path.to_string_lossy()))?;
        }
        if let Some(command) = &self.resume {
            writeln!(out, "{TITLE}{}{TITLE:#}{COMMAND}{}{COMMAND:#}", fit::COMMAND_LABEL, escape_control(command))?;
        }
        Ok(())
    }

    fn write_read_backs(&self, out: &mut impl Write) -> io::Result<()> {
        let Tally { read_backs, found_edited, found_not_edited, found_already, found_missing, .. } = self.tally;
        if *read_backs == 0 {
            return Ok(());
        }
        let requests = counted(*read_backs, "request", "requests");
        let [edited, not_edited, already, missing] =
            [found_edited, found_not_edited, found_already, found_missing].map(Separable::separate_with_commas);
        if self.plan.to_read_first == 0 || found_edited + found_not_edited > 0 {
            writeln!(out, "  {requests} to read back: {edited} had been edited, {not_edited} had not")?;
        } else {
            writeln!(out, "  {requests} to read messages")?;
        }
        if self.plan.to_read_first > 0 {
            writeln!(out, "  before sending: {already} held the new content already, {missing} recalled or not there")?;
        }
        Ok(())
    }

    fn write_causes(&self, out: &mut impl Write) -> io::Result<()> {
        if self.tally.causes.is_empty() {
            return Ok(());
        }
        writeln!(out, "{TITLE}Answers other than success{TITLE:#}")?;
        for (cause, count) in &self.tally.causes {
            let count = count.separate_with_commas();
            writeln!(out, "  {count:>7}  {REMARK}{cause}{REMARK:#}")?;
        }
        Ok(())
    }

    /// Writes it as one JSON object.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        let totals = self.totals();
        let causes: Vec<_> = self
            .tally
            .causes
            .iter()
            .map(|(cause, count)| {
                let (code, what) = match cause {
                    Cause::Code(code) => (Some(*code), meaning(*code).to_owned()),
                    Cause::Note(note) => (None, note.meaning()),
                };
                json!({ "code": code, "meaning": what, "answers": count })
            })
            .collect();
        let object = json!({
            "ended": self.how(),
            "reason": self.reason(),
            "rows": totals.rows,
            "done": totals.done,
            "failed": totals.failed,
            "in_doubt": totals.in_doubt,
            "duplicates": totals.duplicates,
            "not_reached": totals.not_reached,
            "this_run": {
                "done": self.tally.done,
                "failed": self.tally.failed,
                "in_doubt": self.tally.in_doubt,
                "requests": self.tally.attempts,
                "read_backs": self.tally.read_backs,
                "found_edited": self.tally.found_edited,
                "found_not_edited": self.tally.found_not_edited,
                "found_already": self.tally.found_already,
                "found_missing": self.tally.found_missing,
                "slow_downs": self.tally.slow_downs,
                "seconds": self.took.as_secs_f64(),
            },
            "answers_other_than_success": causes,
            // A path need not be UTF-8, and JSON must be.
            "failed_rows": self.failed_rows.as_deref().map(Path::to_string_lossy),
            "report": self.report.as_deref().map(Path::to_string_lossy),
            "resume": self.resume,
        });
        writeln!(out, "{object:#}")
    }
}
