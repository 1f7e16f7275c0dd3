//! What a run did, for people and for programs. The numbers add up: each row is done, failed, in doubt, a duplicate or
//! not reached.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use thousands::Separable;

use super::format::{self, FORMAT};
use super::resume::Resume;
use super::{CountLine, counted, evidence, write_lines};
use crate::api::error_code::meaning;
use crate::evidence::Checkpoint;
use crate::ledger::Totals;
use crate::run::{Cause, Plan, RunEnd, StopReason, Tally};
use crate::terminal::colour::{COMMAND, DONE, DOUBT, FAILED, REMARK, TITLE};
use crate::terminal::duration::format_duration;
use crate::terminal::escape::escape_control;
use crate::terminal::fit;
use crate::words::{Lang, Words};

/// What a summary says about a run.
#[derive(Debug)]
pub struct Summary<'a> {
    /// What it set out to do.
    pub plan: &'a Plan,
    /// What it did.
    pub tally: &'a Tally,
    /// How many messages of the list are in each state, where other runs have worked on it as well.
    pub whole: Option<Totals>,
    /// The head of the ledger's log of events after it, if there is one.
    pub log: Option<Checkpoint>,
    /// Where it kept what messages held before, and how many originals are there, if that was asked for.
    pub originals: Option<(PathBuf, u64)>,
    /// How it ended.
    pub ended: &'a RunEnd,
    /// How long it sent.
    pub took: Duration,
    /// Where the rows are that failed or are in doubt, if there are any: a file for each list.
    pub failed_rows: Vec<PathBuf>,
    /// Where the report's page is, if one was wanted.
    pub report: Option<PathBuf>,
    /// The command that resumes the run, where something is left.
    pub resume: Option<Resume>,
}

/// How many messages of the list are in each state: what the plan found, and what the run did to it. Every view of a run
/// shows these numbers.
pub fn totals(plan: &Plan, tally: &Tally) -> Totals {
    // Edits of earlier runs that this one was to take up and has not are still in the state that the plan found.
    let still_failed = plan.failed_again.saturating_sub(tally.failed_again);
    let still_in_doubt = plan.in_doubt_again.saturating_sub(tally.in_doubt_again);
    // While one of them is being sent, it is in flight.
    let still_failed = still_failed.saturating_sub(tally.under_way_failed);
    let still_in_doubt = still_in_doubt.saturating_sub(tally.under_way_in_doubt);
    // What other runs do at the same time is as old as the last beat.
    let others = &tally.others;
    let (messages, done) = (plan.messages(), plan.done + tally.done + others.done);
    let failed = plan.failed + still_failed + tally.failed + others.failed;
    let in_doubt = plan.in_doubt + still_in_doubt + tally.in_doubt + tally.open_doubts + others.in_doubt;
    let in_flight = tally.under_way as u64;
    let not_reached = messages.saturating_sub(done + failed + in_doubt + in_flight);
    Totals { messages, done, failed, in_doubt, in_flight, not_reached }
}

impl Summary<'_> {
    /// How many messages of the list are in each state.
    pub fn totals(&self) -> Totals {
        self.whole.unwrap_or_else(|| totals(self.plan, self.tally))
    }

    /// Edits that this run was not to send. With others it sends as many as it gets.
    pub fn left_out(&self) -> u64 {
        let left_out = self.plan.to_do - self.plan.this_run;
        if self.whole.is_some() && left_out > 0 { u64::MAX } else { left_out }
    }

    #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
    fn rate(&self) -> f64 {
        self.tally.attempts as f64 / self.took.as_secs_f64().max(0.001)
    }

    /// How it ended, by the ledger's word.
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
        if self.took < Duration::from_secs(10) {
            format!("{:.1} s", self.took.as_secs_f64())
        } else {
            format_duration(self.took)
        }
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
        let before = |of_others: u64, of_this_run: u64| match of_others {
            0 => String::new(),
            _ if self.whole.is_some() || self.tally.others.settled() > 0 => {
                format!("{} of them by this run", of_this_run.separate_with_commas())
            }
            number => format!("{} of them before this run", number.separate_with_commas()),
        };
        let before = |total: u64, of_this_run: u64| before(total.saturating_sub(of_this_run), of_this_run);
        let not_reached = if totals.not_reached > 0 { "not edited yet" } else { "" };
        write_lines(
            out,
            &[
                CountLine::new("rows", self.plan.rows, ""),
                CountLine::new("done", totals.done, before(totals.done, self.tally.done)).styled(DONE),
                CountLine::new("failed", totals.failed, before(totals.failed, self.tally.failed)).styled(FAILED),
                CountLine::new("in doubt", totals.in_doubt, before(totals.in_doubt, self.tally.in_doubt)).styled(DOUBT),
                CountLine::new("duplicates", self.plan.duplicates, ""),
                CountLine::new("not reached", totals.not_reached, not_reached).styled(TITLE),
            ],
        )?;
        let slow_downs = match self.tally.slow_downs {
            0 => String::new(),
            number => format!(" · {DOUBT}slowed down {number}×{DOUBT:#}"),
        };
        let requests = counted(self.tally.attempts, "request to edit", "requests to edit");
        writeln!(out, "  {requests}, {:.1} a second{slow_downs}", self.rate())?;
        self.write_read_backs(out)?;
        self.write_causes(out)?;
        for path in &self.failed_rows {
            let path = path.to_string_lossy();
            writeln!(out, "{TITLE}Rows that failed or are in doubt:{TITLE:#} {}", escape_control(&path))?;
        }
        if let Some((path, kept)) = &self.originals {
            let (kept, path) = (kept.separate_with_commas(), path.to_string_lossy());
            writeln!(out, "Originals kept, encrypted: {kept} in {}", escape_control(&path))?;
        }
        if let Some(log) = &self.log {
            writeln!(out, "Log of the ledger: {}", evidence::log_line(log, Lang::En))?;
        }
        if let Some(path) = &self.report {
            writeln!(out, "Report: {}", escape_control(&path.to_string_lossy()))?;
        }
        if let Some(Resume { command, remarks }) = &self.resume {
            writeln!(out, "{TITLE}{}{TITLE:#}{COMMAND}{}{COMMAND:#}", fit::COMMAND_LABEL, escape_control(command))?;
            let say = Words::new(Lang::of_process()).say;
            for remark in remarks {
                writeln!(out, "  {}", escape_control(&remark.text(say)))?;
            }
        }
        Ok(())
    }

    fn write_read_backs(&self, out: &mut impl Write) -> io::Result<()> {
        let Tally { read_backs, found_edited, found_not_edited, found_unclear, .. } = *self.tally;
        let Tally { found_already, found_missing, found_to_edit, found_unread, .. } = *self.tally;
        if read_backs == 0 {
            return Ok(());
        }
        writeln!(out, "  {}", counted(read_backs, "request to read messages", "requests to read messages"))?;
        // What is read is edits, each by one request or more. The parts add up.
        let in_doubt = found_edited + found_not_edited + found_unclear;
        let found_unfit = self.tally.found_unfit;
        let first = found_already + found_missing + found_to_edit + found_unread + found_unfit;
        let [edited, not_edited, unclear, already, missing, to_edit, unread] =
            [found_edited, found_not_edited, found_unclear, found_already, found_missing, found_to_edit, found_unread]
                .map(|number| number.separate_with_commas());
        if in_doubt > 0 {
            let read = in_doubt.separate_with_commas();
            writeln!(
                out,
                "  {read} read back: {edited} had been edited, {not_edited} had not, {unclear} cannot be told"
            )?;
        }
        if first > 0 {
            let read = first.separate_with_commas();
            writeln!(
                out,
                "  {read} read before sending: {already} held the new content already, {to_edit} did not,\n    \
                 {missing} recalled or not there, {unread} cannot be told"
            )?;
        }
        if found_unfit > 0 {
            let unfit = found_unfit.separate_with_commas();
            writeln!(out, "    {DOUBT}{unfit} not as they were reviewed, or not shown{DOUBT:#}")?;
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

    /// The summary as one JSON object.
    pub fn object(&self) -> format::SummaryObject {
        let answers = self.tally.causes.iter().map(|(cause, answers)| format::AnswerCount {
            cause: Some(*cause).into(),
            meaning: Some(match cause {
                Cause::Code(code) => meaning(*code).to_owned(),
                Cause::Note(note) => note.meaning(),
            }),
            answers: Some(*answers),
        });
        // A path need not be UTF-8, and JSON must be.
        let path = |path: &PathBuf| path.to_string_lossy().into_owned();
        let mut failed_rows = self.failed_rows.iter().map(path);
        format::SummaryObject {
            format: FORMAT,
            ended: self.how().to_owned(),
            reason: self.reason(),
            rows: self.plan.rows,
            duplicates: self.plan.duplicates,
            totals: self.totals(),
            log: self.log.as_ref().map(evidence::log),
            originals: self
                .originals
                .as_ref()
                .map(|(file, kept)| format::OriginalsObject { file: path(file), kept: *kept }),
            this_run: format::ThisRun::new(self.plan.this_run, self.tally, self.took),
            answers_other_than_success: answers.collect(),
            failed_rows: failed_rows.next(),
            more_failed_rows: failed_rows.collect(),
            report: self.report.as_ref().map(path),
            resume: self.resume.as_ref().map(|resume| resume.command.clone()),
        }
    }
}
