//! `runner report`: reports what happened, from the ledger.

use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

use clap::Parser;
use jiff::Timestamp;

use super::files::CommandFiles;
use super::{CommandError, Exit, ctl, tell, verify};
use crate::cli::{Cli, JobArgs, ReadingArgs, ReportArgs};
use crate::input::{Format, Input, Mapping, Row};
use crate::job;
use crate::ledger::{
    LedgerAddress, LedgerError, LostCommits, Overview, RunRecord, open_overview, open_records, unix_ms,
};
use crate::report::facts::{NotReachedList, Report};
use crate::report::lists::PlannedInput;
use crate::report::resume::Pasted;
use crate::report::{counted, directory, format, machine, text};
use crate::run::{self, AsOf, InDoubt, Plan, Policy};
use crate::system::digest;
use crate::terminal::escape::escape_control;
use crate::terminal::shell;
use crate::words::{Lang, Words};

pub(super) async fn execute(args: &ReportArgs) -> Result<Exit, CommandError> {
    let overview = open_overview(&args.ledger)?;
    let words = Words::new(Lang::of_process());
    let directory = working_directory();
    let is_kept = args.html.is_some() || args.csv.is_some();
    let pasted = if is_kept { Pasted::Anywhere } else { Pasted::Here { directory: &directory, at: Timestamp::now() } };
    let mut report = Report::read(&*overview, holds(&args.ledger), unix_ms(), pasted)?;
    let live = ctl::ask(&args.ledger, &report.facts).await;
    report.facts.follow(live);
    check_last_list(args, &report)?;
    if let Some(path) = &args.html {
        directory::write_page(path, &report, &words)?;
    } else if let Some(path) = &args.csv {
        let list = match args.input.as_slice() {
            [] => last_list(&report).map_err(|error| error.with_causes()),
            paths => {
                let reading = Reading {
                    format: None,
                    list: args.reading.clone(),
                    ..Reading::of_last_run(&report, args.job.as_deref())
                };
                let is_recorded = reading.text.is_none() && reading.custom_data.is_none();
                let list = PlannedList::open(paths, reading)?;
                if is_recorded {
                    list.check_content(&args.ledger, &*overview)?;
                }
                Ok(list)
            }
        };
        directory::write(
            path,
            &*overview,
            &mut report,
            list.as_ref().map(PlannedList::wanted).map_err(Clone::clone),
            &words,
        )?;
        if let NotReachedList::LeftOut(why) = &report.not_reached {
            tell(format_args!(
                "not_reached.csv is left out: {why}; give the list with --input, and its job file with --job"
            ));
        }
    } else if args.json {
        print(&format::pretty(&machine::report(&report))?)?;
    } else {
        print(&text::report(&report, &words))?;
    }
    Ok(Exit::Done)
}

/// Whether the ledger is what its log says. `None`: it has no log, or that could not be found out; what can be read is reported.
fn holds(ledger: &LedgerAddress) -> Option<bool> {
    match verify::verified(ledger, &[]) {
        Ok((_, verified)) => Some(verified.holds()),
        Err(LedgerError::Damaged { .. }) => Some(false),
        Err(LedgerError::NoLog { .. }) => None,
        Err(error) => {
            tell(format_args!("warning: the ledger could not be verified: {error}"));
            None
        }
    }
}

/// Writes the report of a run that has just ended.
pub(super) fn write(path: &Path, ledger: &LedgerAddress, wanted: PlannedInput<'_>) -> Result<(), CommandError> {
    let overview = open_overview(ledger)?;
    // Whoever has just written it says nothing by verifying it.
    let mut report = Report::read(&*overview, None, unix_ms(), Pasted::Anywhere)?;
    directory::write(path, &*overview, &mut report, Ok(wanted), &Words::new(Lang::of_process()))?;
    Ok(())
}

/// Prints a text, in colour if standard output supports it. A closed pipe is no error.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    let mut out = anstream::AutoStream::auto(stdout().lock());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The working directory.
pub(super) fn working_directory() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

/// A list, read and checked, from which the edits that were not reached are listed.
struct PlannedList {
    input: Input,
    mapping: Mapping,
    plan: Plan,
}

/// How the list is to be read.
struct Reading<'a> {
    format: Option<Format>,
    job: Option<&'a Path>,
    list: ReadingArgs,
    /// What a recorded command has for `--text` and `--custom-data`: not what messages got, but that they got something.
    text: Option<String>,
    custom_data: Option<String>,
}

impl<'a> Reading<'a> {
    /// As in the last run, with this job file.
    fn of_last_run(report: &Report, job: Option<&'a Path>) -> Reading<'a> {
        match last_call(report) {
            Ok((JobArgs { input_format: format, reading: list, text, custom_data, .. }, _)) => {
                Reading { format, job, list, text, custom_data }
            }
            Err(_) => Reading { format: None, job, list: ReadingArgs::default(), text: None, custom_data: None },
        }
    }
}

impl PlannedList {
    fn open(paths: &[PathBuf], reading: Reading<'_>) -> Result<PlannedList, CommandError> {
        let (first, others) = paths.split_first().ok_or(CommandError::NoInput)?;
        let (format, mapping) = job::reading(reading.job, paths, &reading.list, reading.text, reading.custom_data)?;
        let input = Input::open_all(first, others, reading.format.or(format))?;
        // No ledger: each row is looked up in it later.
        let policy = Policy { in_doubt: InDoubt::Hold, retry_failed: false, read_first: false, rows_max: None };
        let as_of = AsOf { now: Timestamp::now(), messages_expire: false };
        let plan = run::plan(&input, &mapping, None, &policy, as_of)?;
        Ok(PlannedList { input, mapping, plan })
    }

    /// Warns if the list and its job file give messages a content that differs from what the ledger recorded as sent.
    fn check_content(&self, ledger: &LedgerAddress, overview: &dyn Overview) -> Result<(), CommandError> {
        let Some(mut records) = open_records(ledger, &overview.job()?, LostCommits::ReadFirst)? else {
            return Ok(());
        };
        let (mut others, mut first) = (0_u64, None);
        for row in self.input.rows(&self.mapping)? {
            let Row { line, edit: Ok(edit), .. } = row? else { continue };
            let wanted = edit.wanted();
            let is_other = records.status(wanted.message)?.is_some_and(|brief| !wanted.is_content(brief.content));
            if is_other {
                first.get_or_insert(line);
                others += 1;
            }
        }
        if let Some(first) = first {
            tell(format_args!(
                "warning: the list gives {} another content than was sent (the first in {first}): \
                 this is not the list, or not the job file, that the ledger was made with",
                counted(others, "message", "messages")
            ));
        }
        Ok(())
    }

    fn wanted(&self) -> PlannedInput<'_> {
        PlannedInput { input: &self.input, mapping: &self.mapping, plan: &self.plan }
    }
}

/// Checks that the report does not overwrite the last run's list and job file.
fn check_last_list(args: &ReportArgs, report: &Report) -> Result<(), CommandError> {
    let mut files = CommandFiles::of_report(args);
    if let Ok((last, directory)) = last_call(report)
        && args.input.is_empty()
    {
        last.input.iter().for_each(|path| files.reads("the list of the last run", &directory.join(path)));
        last.job.iter().for_each(|path| files.reads("the job file of the last run", &directory.join(path)));
    }
    Ok(files.check()?)
}

/// Why the last run's list cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LastRunError {
    #[error("no run has had a list yet")]
    None,
    #[error("the ledger does not say how its last run was called")]
    NotRecorded,
    #[error("the last run's command cannot be read")]
    Unreadable,
    #[error("the last run's command is another version's")]
    OtherVersion,
    #[error("the list came from standard input")]
    StandardInput,
    #[error("{0} is not where it was in the last run")]
    Gone(String),
    #[error("{0} is not what it was in the last run")]
    Changed(String),
    #[error("the job file {} is not what it was in the last run", .0.display())]
    JobFileChanged(PathBuf),
}

/// The last run's command line and working directory.
fn last_call(report: &Report) -> Result<(JobArgs, &Path), CommandError> {
    let run = report.facts.last_run().map(|run| &run.record).ok_or(LastRunError::None)?;
    let RunRecord { command: Some(command), directory: Some(directory), .. } = run else {
        return Err(LastRunError::NotRecorded.into());
    };
    let words = shell::words(command).ok_or(LastRunError::Unreadable)?;
    let args = Cli::try_parse_from(words).map_err(|_| LastRunError::OtherVersion)?.job;
    Ok((args, Path::new(directory)))
}

/// The last run's list, if it has neither moved nor changed.
fn last_list(report: &Report) -> Result<PlannedList, CommandError> {
    let (args, directory) = last_call(report)?;
    let RunRecord { input, input_sha256, job_sha256, .. } = &report.facts.last_run().ok_or(LastRunError::None)?.record;
    if args.input.iter().any(|path| path.as_os_str() == "-") {
        return Err(LastRunError::StandardInput.into());
    }
    let paths: Vec<PathBuf> = args.input.iter().map(|path| directory.join(path)).collect();
    if let Some((_, path)) = paths.iter().zip(&args.input).find(|(path, _)| !path.is_file()) {
        return Err(LastRunError::Gone(escape_control(&path.to_string_lossy()).into_owned()).into());
    }
    let job = args.job.map(|job| directory.join(job));
    if let (Some(job), Some(before)) = (&job, job_sha256)
        && digest::sha256_of_file(job)? != *before
    {
        return Err(LastRunError::JobFileChanged(job.clone()).into());
    }
    let list = PlannedList::open(&paths, Reading::of_last_run(report, job.as_deref()))?;
    if list.plan.sha256 != *input_sha256 {
        return Err(LastRunError::Changed(input.clone()).into());
    }
    Ok(list)
}
