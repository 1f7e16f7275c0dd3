//! The end of a run: the ledger is closed and the result reported. Edits may have been sent, so no error may end in
//! "nothing was sent" from here on.

use std::path::PathBuf;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::result::RunResult;
use super::session::RunSession;
use super::signals::Signals;
use crate::command::{CommandError, Exit, hook, print, tell};
use crate::job::ServiceChoice;
use crate::ledger::{
    LedgerAddress, LedgerError, Records, RunStore, Totals, WalEnd, open_overview, records_beside_writer,
};
use crate::originals::Frames;
use crate::report::lists::PlannedInput;
use crate::report::summary::{Summary, totals};
use crate::report::{self, directory, format};
use crate::run::{self, AsOf, InDoubt, Policy, RunEnd, StopReason, Tally};
use crate::system::atomic_file;
use crate::words::{Lang, Words};

impl RunSession<'_> {
    /// Closes the ledger, writes the failed rows and the report, prints the summary, and runs `--on-finish`.
    pub(super) async fn end(
        &self,
        result: &RunResult,
        store: Result<Box<dyn RunStore>, LedgerError>,
        signals: &Signals,
        begins_anew: bool,
    ) -> Exit {
        let mut summary = result.summary(&self.plan);
        // Where others work on the list, this run is over for them first: it renews its lease no more. Then it has come to the
        // end of the list only if all of them have.
        let is_shared = self.address.postgres().is_some();
        if !is_shared {
            summary.failed_rows = self.failed_rows(&summary, true);
        }
        let is_read = if is_shared { self.job.policy.rows_max.is_none() } else { summary.totals().not_reached == 0 };
        let has_read_all = matches!(result.ended, RunEnd::Finished) && is_read;
        let closed = store.and_then(|mut store| {
            if has_read_all {
                store.mark_all_read()?;
            }
            Ok(store)
        });
        let closed = closed.and_then(|mut store| store.end_run(summary.how(), &summary.reason().unwrap_or_default()));
        summary.log = self.publisher.last_head().unwrap_or_default();
        summary.originals = self.originals();
        if let Some(head) = &summary.log {
            self.publisher.publish(head, &signals.stop).await;
        }
        if is_shared {
            summary.whole = self.whole(closed.is_ok());
            summary.failed_rows = self.failed_rows(&summary, closed.is_ok());
        }
        let exit = exit(&summary, &closed, signals.was_terminated());
        let left = summary.totals().not_reached > 0 && exit != Exit::Done;
        if left || !matches!(result.ended, RunEnd::Finished) {
            summary.resume = Some(super::resume(&self.called));
        }
        // A latched ledger is the reason why the run stopped, and is reported as such.
        match closed {
            Err(error) if !matches!(result.ended, RunEnd::Stopped(StopReason::Ledger(_))) => {
                tell(format_args!("error: {error}"));
            }
            Ok(WalEnd::LogRemains(log)) => tell(format_args!(
                "warning: another program is reading the ledger, so its newest commits are still in {}: keep that file \
                 beside {} and copy or move them only together; the next run folds it in, or sqlite3 does when it closes \
                 the ledger",
                log.display(),
                self.address
            )),
            Ok(WalEnd::Whole) | Err(_) => {}
        }
        if let Some(other) = self.other_host(&result.ended) {
            tell(format_args!(
                "The region has a second host, which may be in reach: --region {other}. The same ledger goes on there."
            ));
        }
        if begins_anew {
            return exit;
        }
        summary.report = self.report(&summary);
        self.print(&summary);
        self.on_finish(&summary, exit, &signals.stop).await;
        exit
    }

    /// How many messages of the list are in each state now, where other runs may have worked on it as well. `None`: it is
    /// not known.
    fn whole(&self, has_ended: bool) -> Option<Totals> {
        self.address.postgres()?;
        // What is done stays so.
        if self.plan.done == self.plan.messages() {
            return Some(totals(&self.plan, &Tally::default()));
        }
        let records = records(self.address, has_ended);
        let as_of = AsOf { now: Timestamp::now(), messages_expire: false };
        let policy = Policy { in_doubt: InDoubt::Hold, retry_failed: false, read_first: false, rows_max: None };
        let plan = records
            .map_err(CommandError::from)
            .and_then(|records| Ok(run::plan(self.input, &self.job.mapping, Some(&*records), &policy, as_of)?));
        match plan {
            Ok(plan) => Some(totals(&plan, &Tally::default())),
            Err(error) => {
                tell(format_args!("warning: what all runs have done is not known: {}", error.with_causes()));
                None
            }
        }
    }

    /// The file of `--originals`, and how many originals the ledger records of it.
    fn originals(&self) -> Option<(PathBuf, u64)> {
        let path = self.args.originals.as_ref()?;
        let name = Frames::open(path).ok()?.name;
        let recorded = open_overview(self.address).and_then(|overview| overview.ciphertexts()).ok()?;
        let of_this = recorded.iter().filter(|ciphertext| ciphertext.file == name);
        Some((path.clone(), of_this.map(|ciphertext| ciphertext.originals).sum()))
    }

    /// The region's other host, for `--region`, if the one that was called did not answer. If the proxy is to blame, the
    /// other host is no better.
    fn other_host(&self, ended: &RunEnd) -> Option<String> {
        let is_silent = match ended {
            RunEnd::Stopped(StopReason::Unreachable(reason)) => {
                !self.job.proxy.as_ref().is_some_and(|proxy| proxy.is_blamed(reason))
            }
            RunEnd::Stopped(StopReason::NoAnswers(_) | StopReason::NeverAnswered(_)) => true,
            RunEnd::Stopped(_) | RunEnd::Finished | RunEnd::Interrupted => false,
        };
        match &self.job.service {
            Some(ServiceChoice::At { endpoint, .. }) if is_silent => endpoint.other_host(),
            Some(ServiceChoice::At { .. } | ServiceChoice::Sandbox(_)) | None => None,
        }
    }

    fn print(&self, summary: &Summary<'_>) {
        let mut shown = Vec::new();
        let json = self.args.json;
        let written = if json { format::write(&mut shown, &summary.object()) } else { summary.write(&mut shown) };
        if !json {
            shown = Lang::of_process().say_lines(&String::from_utf8_lossy(&shown)).as_bytes().to_vec();
        }
        if let Err(error) = written.and_then(|()| print(&shown, json)) {
            tell(format_args!("error: cannot write the summary: {error}; the ledger has it all"));
        }
    }

    async fn on_finish(&self, summary: &Summary<'_>, exit: Exit, signalled: &CancellationToken) {
        let Some(command) = &self.args.on_finish else { return };
        let mut json = Vec::new();
        let result = match format::write(&mut json, &summary.object()) {
            Ok(()) => hook::run(command, &json, Some(exit), &self.address.to_os_string(), hook::TIME, signalled).await,
            Err(error) => Err(error.into()),
        };
        if let Err(error) = result {
            tell(format_args!("warning: --on-finish: {error}"));
        }
    }

    /// Writes the rows that failed or are in doubt; if there are none, removes the file of an earlier run. A file that was
    /// changed since a run wrote it is put aside.
    fn failed_rows(&self, summary: &Summary<'_>, has_ended: bool) -> Vec<PathBuf> {
        let totals = summary.totals();
        let Some(ledger) = self.readable(summary) else { return Vec::new() };
        // Only where something is looked up: one of a database reads all of the job.
        let reader = || records(&ledger, has_ended);
        let reader = (totals.failed + totals.in_doubt > 0).then(reader).transpose();
        let written = reader.map_err(CommandError::from).and_then(|mut reader| {
            let words = Words::new(Lang::of_process());
            let mut written = Vec::new();
            for (list, path) in self.input.lists().zip(&self.failed_rows) {
                if let Some(reader) = &mut reader {
                    let (mapping, plan) = (&self.job.mapping, &self.plan);
                    let rows = report::failed::write(path, list, mapping, plan, reader.as_mut(), &words)?;
                    // They may all be of other lists.
                    if rows > 0 || !self.input.has_several() {
                        written.push(path.clone());
                        continue;
                    }
                }
                atomic_file::remove_marked(path)?;
            }
            Ok(written)
        });
        written.unwrap_or_else(|error| {
            tell(format_args!("error: {}; the ledger has them all the same", error.with_causes()));
            Vec::new()
        })
    }

    /// The ledger that can be read: what was rescued of it, if it was removed.
    fn readable(&self, summary: &Summary<'_>) -> Option<LedgerAddress> {
        match summary.ended {
            RunEnd::Stopped(StopReason::Ledger(LedgerError::Removed { rescued, .. })) => {
                rescued.as_deref().ok().map(LedgerAddress::from)
            }
            RunEnd::Finished | RunEnd::Interrupted | RunEnd::Stopped(_) => Some(self.address.clone()),
        }
    }

    /// Writes the report of `--report`, once the ledger records how the run ended, and returns the path of its page. An error
    /// is reported, and does not change the exit code.
    fn report(&self, summary: &Summary<'_>) -> Option<PathBuf> {
        let directory = self.args.report.as_deref()?;
        let wanted = PlannedInput { input: self.input, mapping: &self.job.mapping, plan: &self.plan };
        let ledger = self.readable(summary)?;
        match crate::command::report::write(directory, &ledger, wanted) {
            Ok(()) => Some(directory.join(directory::PAGE)),
            Err(error) => {
                let text = error.with_causes();
                tell(format_args!("error: cannot write the report: {text}; runner report makes it from the ledger"));
                None
            }
        }
    }
}

/// What the ledger has of each edit. What it has as being sent is left out, if this run could record that it has ended: others send
/// it. Otherwise all of that is in doubt.
fn records(ledger: &LedgerAddress, has_ended: bool) -> Result<Box<dyn Records>, LedgerError> {
    let records = records_beside_writer(ledger)?;
    if has_ended { records.held() } else { Ok(records) }
}

fn exit(summary: &Summary<'_>, closed: &Result<WalEnd, LedgerError>, terminated: bool) -> Exit {
    let totals = summary.totals();
    match summary.ended {
        RunEnd::Interrupted if terminated => Exit::Terminated,
        RunEnd::Interrupted => Exit::Interrupted,
        RunEnd::Stopped(StopReason::Ledger(_)) if summary.tally.attempts + summary.tally.in_doubt == 0 => {
            Exit::NothingSent
        }
        RunEnd::Stopped(_) => Exit::Stopped,
        RunEnd::Finished if closed.is_err() => Exit::Stopped,
        // Rows were skipped: a defect, but exit 0 would mean that all are done.
        RunEnd::Finished if totals.not_reached > summary.left_out() => Exit::Stopped,
        RunEnd::Finished if totals.failed + totals.in_doubt > 0 => Exit::SomeNotDone,
        RunEnd::Finished => Exit::Done,
    }
}
