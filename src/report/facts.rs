//! What a report says about a ledger: read once, in one state of the file, and then shown as text, page or JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use super::chart::{self, RunSeries};
use super::format::{RunState, RunStatus, ThisRun};
use super::resume::{Called, Pasted, Resume};
use crate::evidence::Checkpoint;
use crate::ledger::{
    AuditRecord, Cause, ControlAction, ControlEvent, EditRecord, JobIdentity, Latency, LedgerError, Note, Outcomes,
    Overview, RunRecord, Runner, RunnerState, Sample, SharedJob, State, Totals, Worker,
};
use crate::run::Tally;
use crate::system::digest::sha256_of_file;
use crate::terminal::escape::escape_control;
use crate::words::Phrases;

/// The rate is that of the last seconds: long enough to be calm, short enough to show a slow-down.
const RATE_OVER_MS: i64 = 15_000;
/// Slower than this, how long the rest takes is anybody's guess. In edits a second.
const SPEED_MIN: f64 = 0.1;
/// How a list that came from standard input is called in the ledger, and the service inside a process.
const STANDARD_INPUT: &str = "standard input";
const SANDBOX: &str = "sandbox";
/// Edits that are shown one by one; all of them are in the lists.
pub const EDITS_SHOWN: u32 = 100;

/// What a ledger holds about its edits and runs.
#[derive(Debug)]
pub struct LedgerFacts {
    /// The ledger's name, fit to be shown.
    pub ledger: String,
    /// The job it belongs to.
    pub job: JobIdentity,
    /// The process that works on it, or the runners.
    pub worker: Option<Worker>,
    /// What the runs share, if several can work on it together.
    pub shared: Option<SharedJob>,
    /// What that process says of its run, if it could be asked: the ledger does not hold it.
    pub live: Option<RunStatus>,
    /// How many messages are in each state.
    pub totals: Totals,
    /// How many edits are in each state, and why.
    pub outcomes: Vec<Outcomes>,
    /// How often each answer other than success came.
    pub answers: Vec<(Cause, u64)>,
    /// How long answers took.
    pub latency: Latency,
    /// Every run, the first one first.
    pub runs: Vec<RunFacts>,
    /// How operators changed each run, and when.
    pub acts: Vec<(i64, i64, ControlEvent)>,
    /// Every audit, the first one first.
    pub audits: Vec<AuditRecord>,
    /// The head of its log of events, if it has one.
    pub log: Option<Checkpoint>,
    /// Whether it is what its log says; `None`: it was not verified.
    pub holds: Option<bool>,
    /// Its newest commits may be missing: then it does not hold all that was done.
    pub may_lack_commits: bool,
    /// When it was read, in milliseconds since 1970.
    pub at: i64,
}

/// One run, and how far it got.
#[derive(Debug)]
pub struct RunFacts {
    /// Its record in the ledger.
    pub record: RunRecord,
    /// The edits whose last request it sent, by state.
    pub edits: Totals,
    /// Its samples, to be drawn.
    pub series: RunSeries,
    /// Its last sample.
    pub last: Option<Sample>,
    /// Edits that it settled a second, over its last seconds.
    pub rate: Option<f64>,
}

/// The content of a report.
#[derive(Debug)]
pub struct Report {
    /// The ledger in numbers.
    pub facts: LedgerFacts,
    /// The first edits that are not done.
    pub not_done: NotDone,
    /// SHA-256 of the ledger's file, in hexadecimal; `None` while it changes.
    pub ledger_sha256: Option<String>,
    /// The command that resumes the last run, where something is left.
    pub resume: Option<Resume>,
    /// Whether there is a list of the edits that were not reached.
    pub not_reached: NotReachedList,
}

/// Whether there is a list of the edits that were not reached; the ledger itself does not hold it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NotReachedList {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// It is beside the report.
    Written,
    /// It is not, for this reason.
    LeftOut(String),
}

impl Report {
    /// Reads the content of a report. `holds`: what verifying the ledger has shown; `at` is now, and `pasted` is about the command
    /// that resumes the run.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(
        overview: &dyn Overview,
        holds: Option<bool>,
        at: i64,
        pasted: Pasted<'_>,
    ) -> Result<Report, LedgerError> {
        let facts = LedgerFacts { holds, ..LedgerFacts::read(overview, at)? };
        // SQLite reads a file at rest without locks, so none are lost when another handle of it is closed. And a report
        // without this number is better than none.
        let ledger_sha256 = match overview.address().file() {
            Some(file) if overview.is_at_rest() => sha256_of_file(file).ok(),
            Some(_) | None => None,
        };
        Ok(Report {
            not_done: NotDone::read(overview, facts.totals)?,
            ledger_sha256,
            resume: facts.resume(pasted),
            not_reached: NotReachedList::default(),
            facts,
        })
    }
}

/// What a report shows edit by edit.
#[derive(Debug, Default)]
pub struct NotDone {
    /// The first edits that failed.
    pub failed: Vec<EditRecord>,
    /// The first edits in doubt.
    pub in_doubt: Vec<EditRecord>,
}

/// A line of the outcomes by code: how often an answer came, and the edits whose last answer it was. The lines add up
/// to the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseLine {
    /// The answer; `None`: none has come yet.
    pub cause: Option<Cause>,
    /// How often it came in all; not known for success.
    pub answers: u64,
    /// Edits that had it last.
    pub edits: Totals,
}

impl LedgerFacts {
    /// Reads them; `at` is now.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(overview: &dyn Overview, at: i64) -> Result<LedgerFacts, LedgerError> {
        let (outcomes, records, acts) = (overview.outcomes()?, overview.runs()?, overview.acts()?);
        let totals = overview.totals(&outcomes, &records)?;
        let runs: Vec<RunFacts> = records
            .into_iter()
            .map(|record| {
                let samples = overview.samples(record.run)?;
                let of_run = acts.iter().filter(|(run, _, _)| *run == record.run);
                let actions = of_run.map(|(_, at, act)| (*at, act.what)).collect();
                let (last, rate) = (samples.last().cloned(), rate(&samples));
                let mut edits = Totals::default();
                for Outcomes { state, edits: number, .. } in outcomes.iter().filter(|line| line.run == record.run) {
                    edits.messages += number;
                    *edits.of(*state, overview.worker().is_some()) += number;
                }
                Ok(RunFacts { record, edits, last, rate, series: RunSeries::new(samples, actions) })
            })
            .collect::<Result<_, LedgerError>>()?;
        Ok(LedgerFacts {
            ledger: escape_control(&overview.address().name()).into_owned(),
            job: overview.job()?,
            worker: overview.worker().cloned(),
            shared: overview.shared()?,
            live: None,
            totals,
            outcomes,
            answers: overview.answers(None)?,
            latency: overview.latency(None)?,
            runs,
            acts,
            audits: overview.audits()?,
            log: overview.head()?.map(|head| head.checkpoint()),
            holds: None,
            may_lack_commits: overview.may_lack_commits(),
            at,
        })
    }

    /// Whether nothing but the time has changed since.
    pub fn is_same_as(&self, before: &LedgerFacts) -> bool {
        let compared = |facts: &LedgerFacts| {
            let last = facts.last_run().map(|run| (run.record.clone(), run.last.clone()));
            let live = facts.live.as_ref().map(|live| (live.state, live.hold.as_ref().map(|hold| hold.reason.clone())));
            let shared = facts.shared.as_ref().map(|shared| {
                let runner = |runner: &Runner| (runner.run, runner.state, runner.share, runner.progress.held);
                let runners: Vec<_> = shared.runners.iter().map(runner).collect();
                (runners, shared.cap, shared.cap_is_of.clone(), shared.shares, shared.paused, shared.stop.clone())
            });
            (facts.totals, facts.worker.clone(), shared, facts.acts.clone(), last, live)
        };
        compared(self) == compared(before)
    }

    /// Takes over what the run says of itself. Its last sample is some seconds old, and would show fewer requests than edits.
    pub fn follow(&mut self, live: Option<RunStatus>) {
        let last = self.runs.last_mut().and_then(|run| run.last.as_mut());
        if let (Some(last), Some(RunStatus { this_run, .. })) = (last, &live) {
            last.requests = this_run.requests;
            last.read_backs = this_run.read_backs;
            last.slow_downs = this_run.slow_downs;
        }
        self.live = live;
    }

    /// What is drawn over time: each run, or those together that share the ledger and went on at the same time.
    pub fn series(&self) -> Vec<RunSeries> {
        let runs = self.runs.iter().map(|run| run.series.clone()).collect();
        if self.shared.is_some() { chart::together(runs) } else { runs }
    }

    /// The last run.
    pub fn last_run(&self) -> Option<&RunFacts> {
        self.runs.last()
    }

    /// Whether the last run is in progress, or any of those that share the ledger.
    pub fn is_running(&self) -> bool {
        match &self.shared {
            Some(shared) => shared.live().next().is_some(),
            None => self.worker.is_some() && self.last_run().is_some_and(|run| run.record.ended.is_none()),
        }
    }

    /// Whether this run is in progress.
    pub fn goes_on(&self, run: &RunFacts) -> bool {
        match &self.shared {
            Some(shared) => shared.live().any(|runner| runner.run == run.record.run),
            None => self.is_running() && self.last_run().is_some_and(|last| last.record.run == run.record.run),
        }
    }

    /// For how long nothing has been heard of any runner, if there are some that may still be alive.
    pub fn silent_for(&self) -> Option<Duration> {
        let shared = self.shared.as_ref().filter(|shared| shared.is_silent())?;
        shared.live().map(|runner| runner.renewed).min()
    }

    /// When the runs that go on began: the first of them.
    pub fn running_since(&self) -> Option<i64> {
        let first = self.shared.as_ref().and_then(|shared| shared.first_run);
        let run = self.runs.iter().find(|run| Some(run.record.run) == first).or(self.last_run())?;
        Some(run.record.started_at)
    }

    /// What the run is doing: as it says itself, else as far as its ledger tells.
    pub fn state(&self) -> RunState {
        if !self.is_running() {
            return RunState::Over;
        }
        if let Some(live) = self.live.as_ref().filter(|live| live.state != RunState::Over) {
            return live.state;
        }
        if let Some(shared) = &self.shared {
            return match shared {
                SharedJob { stop: Some(_), .. } => RunState::Stopping,
                SharedJob { paused: true, .. } => RunState::Paused,
                shared if shared.live().all(|runner| runner.progress.held) => RunState::Held,
                SharedJob { .. } => RunState::Running,
            };
        }
        let run = self.last_run().map(|run| run.record.run);
        let mut actions = self.acts.iter().filter(|(of, _, _)| Some(*of) == run).map(|(_, _, act)| act.what);
        match actions.rfind(|action| !matches!(action, ControlAction::Rate(_))) {
            Some(ControlAction::Pause) => RunState::Paused,
            Some(ControlAction::Stop) => RunState::Stopping,
            Some(ControlAction::Resume | ControlAction::Rate(_)) | None => RunState::Running,
        }
    }

    /// Whether the run that is going on is paused.
    pub fn is_paused(&self) -> bool {
        self.state() == RunState::Paused
    }

    /// Whether the last run's process died; of runs that share the ledger, whether the last one to end was lost, and none
    /// came to the end.
    pub fn was_cut_off(&self) -> bool {
        if let Some(SharedJob { runners, .. }) = &self.shared {
            let of_them = |run: &&RunFacts| runners.iter().any(|runner| runner.run == run.record.run);
            let ended = |run: &RunFacts, how| run.record.ended.as_deref() == Some(how);
            let last = self.runs.iter().filter(of_them).max_by_key(|run| run.record.ended_at.unwrap_or(i64::MAX));
            return self.worker.is_none()
                && last.is_some_and(|run| run.record.ended.is_none() || ended(run, "died"))
                && !self.runs.iter().filter(of_them).any(|run| ended(run, "finished"));
        }
        let ended = |run: &RunFacts| run.record.ended.as_deref().is_none_or(|ended| ended == "died");
        self.worker.is_none() && self.last_run().is_some_and(ended)
    }

    /// Whether it is known how much of the list is left; ledgers of the first versions do not say.
    pub fn knows_what_is_left(&self) -> bool {
        self.last_run().is_none_or(|run| run.record.planned.is_some())
    }

    /// Whether something is left that running the same command again would do.
    pub fn is_something_left(&self) -> bool {
        let Totals { in_doubt, not_reached, .. } = self.totals;
        in_doubt + not_reached > 0 || self.may_lack_commits || self.was_cut_off() || !self.knows_what_is_left()
    }

    /// The command that resumes the last run; `None`: nothing is left, a process is at work, it is not known how the last run was
    /// called, or the ledger was altered: who knows what would be sent again.
    pub fn resume(&self, pasted: Pasted<'_>) -> Option<Resume> {
        let is_at_work = self.worker.is_some() && self.silent_for().is_none();
        if is_at_work || !self.is_something_left() || self.holds == Some(false) {
            return None;
        }
        let RunRecord { command, directory, input, .. } = &self.last_run()?.record;
        let called = Called::recorded(
            command.as_deref()?,
            directory.as_deref().unwrap_or_default(),
            input == STANDARD_INPUT,
            self.job.service == SANDBOX,
        )?;
        let called = if self.may_lack_commits { called.reading_first() } else { called };
        Some(called.resume(pasted))
    }

    /// The outcomes by code: success first, then the most frequent.
    pub fn by_cause(&self) -> Vec<CauseLine> {
        let mut lines: BTreeMap<Option<Cause>, CauseLine> = BTreeMap::new();
        let mut waiting = 0;
        for Outcomes { state, cause, edits, .. } in &self.outcomes {
            let died = *state == State::Sending && self.worker.is_none();
            let line = line(&mut lines, if died { Some(Cause::Note(Note::ProcessDied)) } else { *cause });
            line.edits.messages += edits;
            *line.edits.of(*state, self.worker.is_some()) += edits;
            waiting += if *state == State::Waiting { *edits } else { 0 };
        }
        for (cause, answers) in &self.answers {
            line(&mut lines, Some(*cause)).answers += answers;
        }
        let not_sent = self.totals.not_reached.saturating_sub(waiting);
        if not_sent > 0 {
            let line = line(&mut lines, None);
            line.edits.messages += not_sent;
            line.edits.not_reached += not_sent;
        }
        let mut lines: Vec<CauseLine> = lines.into_values().collect();
        let success = |line: &CauseLine| line.cause == Some(Cause::Code(0));
        lines
            .sort_by_key(|line| (!success(line), line.cause.is_none(), Reverse(line.answers.max(line.edits.messages))));
        lines
    }

    /// How long what is left of the run will take. Only the run itself knows the pace and its holds, so there is no
    /// second estimate here; but runs that share a ledger say how fast they are.
    pub fn time_left(&self) -> Option<Duration> {
        if self.shared.is_some() {
            let speed = self.speed().filter(|_| self.state() == RunState::Running && self.silent_for().is_none())?;
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let left = (self.totals.in_flight + self.totals.not_reached) as f64;
            return (speed >= SPEED_MIN).then(|| Duration::from_secs_f64((left / speed).ceil()));
        }
        self.live.as_ref().filter(|_| self.is_running())?.seconds_left.map(Duration::from_secs)
    }

    /// Edits that the run settles a second: as it says itself, else by its last samples.
    pub fn speed(&self) -> Option<f64> {
        if let Some(shared) = &self.shared {
            // Whoever is silent sends nothing.
            let at_work = shared.live().filter(|runner| runner.state == RunnerState::Live);
            return self
                .is_running()
                .then(|| at_work.map(|runner| runner.progress.speed.max(0.0)).fold(0.0, |sum, speed| sum + speed));
        }
        let run = self.last_run().filter(|_| self.is_running())?;
        self.live.as_ref().map(|live| live.edits_a_second).or(run.rate)
    }

    /// Requests a second at most, as it was last.
    pub fn rate(&self) -> Option<u32> {
        if let Some(shared) = self.shared.as_ref().filter(|shared| shared.cap > 0) {
            return Some(shared.cap);
        }
        // The last sample of a run that shared the cap says what its share was.
        let last = self.last_run().map(|run| if self.shared.is_some() { run.record.rate } else { run.cap() });
        self.live.as_ref().map(|live| live.rate).or(last)
    }

    /// Why there is no digest of the ledger.
    pub(super) fn no_digest(&self, say: &Phrases) -> &'static str {
        if self.shared.is_some() { say.in_database } else { say.still_changing }
    }

    /// What the runs that share the ledger have done since the first of them began.
    pub fn session(&self) -> ThisRun {
        let runners = self.shared.iter().flat_map(|shared| &shared.runners);
        let mut tally = Tally::default();
        for Runner { progress, .. } in runners {
            tally.done += progress.done;
            tally.failed += progress.failed;
            tally.in_doubt += progress.in_doubt;
            tally.attempts += progress.requests;
            tally.read_backs += progress.read_backs;
            tally.slow_downs += progress.slow_downs;
        }
        let first = self.shared.as_ref().and_then(|shared| shared.first_run);
        let first = self.runs.iter().find(|run| Some(run.record.run) == first);
        let planned = first.and_then(|run| run.record.planned).unwrap_or_default();
        let ms = self.running_since().map_or(0, |since| self.at.saturating_sub(since));
        ThisRun::new(planned, &tally, Duration::from_millis(ms.max(0).unsigned_abs()))
    }

    /// How often the service asked the runs that go on to slow down.
    pub fn slow_downs(&self) -> u64 {
        match &self.shared {
            Some(shared) => shared.live().map(|runner| runner.progress.slow_downs).sum(),
            None => self.last_run().and_then(|run| run.last.as_ref()).map_or(0, |last| last.slow_downs),
        }
    }

    /// Messages of the last run's list. The ledger may hold others as well, from lists of earlier runs.
    pub fn list_messages(&self) -> Option<u64> {
        let record = &self.last_run()?.record;
        Some(record.input_rows.saturating_sub(record.duplicates?))
    }
}

impl RunFacts {
    /// How long it took, as far as that is known; during the run, so far.
    pub fn took(&self, now: Option<i64>) -> Option<Duration> {
        let said_last = self.last.as_ref().map(|sample| sample.at);
        // The end of a run that was cut off is recorded by the next run, maybe hours later.
        let ended = self.record.ended_at.filter(|_| self.record.ended.as_deref() != Some("died"));
        let until = ended.or(now).or(said_last)?;
        Some(Duration::from_millis(until.saturating_sub(self.record.started_at).max(0).unsigned_abs()))
    }

    /// Requests a second at most, as it was last.
    pub fn cap(&self) -> u32 {
        self.last.as_ref().map_or(self.record.rate, |sample| sample.rate)
    }
}

impl NotDone {
    /// Reads the first of them.
    ///
    /// # Errors
    /// The ledger cannot be read.
    pub fn read(overview: &dyn Overview, totals: Totals) -> Result<NotDone, LedgerError> {
        let first = |state, count: u64| {
            let mut edits = Vec::new();
            if count > 0 {
                overview.edits(state, Some(EDITS_SHOWN), |edit| {
                    edits.push(edit);
                    Ok::<_, LedgerError>(())
                })?;
            }
            Ok::<_, LedgerError>(edits)
        };
        let mut in_doubt = first(State::InDoubt, totals.in_doubt)?;
        if overview.worker().is_none() && in_doubt.len() < EDITS_SHOWN as usize {
            // What a dead process was sending is in doubt, and the next run records it as such.
            in_doubt.extend(first(State::Sending, totals.in_doubt)?);
            in_doubt.truncate(EDITS_SHOWN as usize);
        }
        Ok(NotDone { failed: first(State::Failed, totals.failed)?, in_doubt })
    }
}

fn line(lines: &mut BTreeMap<Option<Cause>, CauseLine>, cause: Option<Cause>) -> &mut CauseLine {
    lines.entry(cause).or_insert(CauseLine { cause, ..CauseLine::default() })
}

fn settled(sample: &Sample) -> u64 {
    sample.done + sample.failed + sample.in_doubt
}

fn rate(samples: &[Sample]) -> Option<f64> {
    let last = samples.last()?;
    let since = samples.iter().rev().find(|sample| last.at - sample.at >= RATE_OVER_MS).or(samples.first())?;
    let ms = last.at - since.at;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    (ms >= 1_000).then(|| settled(last).saturating_sub(settled(since)) as f64 * 1_000.0 / ms as f64)
}
