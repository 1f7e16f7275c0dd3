//! The one model of a database that several runs share: in memory, with the rules of the PostgreSQL schema and of what the
//! program asks of it written down a second time. What can go wrong between a run and the database is the business of the
//! [`Line`] between them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use runner::edit::IdDigest;
use runner::ledger::{
    Applied, Beat, Beaten, Beats, Change, CommitFuture, ControlAction, ControlEvent, EditRow, KnownEdit, LedgerAddress,
    LedgerError, LiveLease, Note, PART_ROWS, PartNumber, Progress, RunEvent, RunInfo, RunStore, SharedControl,
    SharedFuture, SharedRun, SharedTerms, State, Store, Taken, Transition, WalEnd, Work,
};
use tokio::time::{Instant, sleep};

const PATH: &str = "model of a database";
/// How long what fails is repeated, and the first and the longest pause between two attempts.
const OUTAGE_MAX: Duration = Duration::from_mins(10);
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// No answer came: it may have been done or not, or may be done later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoAnswer;

/// The way from one process to the database.
pub(crate) trait Line: Clone + Debug + Send + Sync + 'static {
    /// One transaction: `work` is done as a whole, at some moment.
    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Tables) -> T + Send + 'static,
    ) -> impl Future<Output = Result<T, NoAnswer>> + Send;

    /// The same, for callers that wait for it with their whole process.
    fn call_blocking<T>(&self, work: impl FnOnce(&mut Tables) -> T) -> Result<T, NoAnswer>;

    /// Sees each change that is about to be applied, and the row that it is applied to.
    fn applies(&self, job: JobNumber, change: &Change, before: Option<EditRow>);
}

/// The number of a job.
pub(crate) type JobNumber = usize;

/// What keeps several runs from harm. Each can be taken out, to see that something goes wrong without it.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
pub(crate) struct Rules {
    /// Only a live run changes rows, and only those that it has claimed.
    pub(crate) fences: bool,
    /// Shares add up to the cap at most.
    pub(crate) shares_add_up: bool,
    /// A run is declared lost only after its beat has stood still for a while.
    pub(crate) watches: bool,
    /// What a lost run was sending is known as such.
    pub(crate) tells_lost: bool,
    /// What a lost run hears too late is kept.
    pub(crate) keeps_late: bool,
    /// What a lost run was sending is in doubt.
    pub(crate) doubts_lost: bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules {
            fences: true,
            shares_add_up: true,
            watches: true,
            tells_lost: true,
            keeps_late: true,
            doubts_lost: true,
        }
    }
}

/// The database.
#[derive(Clone)]
pub(crate) struct ModelDatabase(Arc<Mutex<Tables>>);

pub(crate) struct Tables {
    pub(crate) rules: Rules,
    app_cap: u32,
    holds: i64,
    hold: Duration,
    jobs: Vec<Job>,
    leases: BTreeMap<i64, Lease>,
    parts: BTreeMap<(JobNumber, PartNumber), Part>,
    edits: BTreeMap<(JobNumber, [u8; 16]), Row>,
    late: BTreeMap<(JobNumber, [u8; 16], i64, u32), State>,
    acts: Vec<(JobNumber, ControlEvent)>,
}

#[derive(Clone, Debug, Default)]
struct Job {
    session: u32,
    parts: u64,
    next_part: u64,
    paused: bool,
    rate: Option<u32>,
    stop: Option<String>,
    terms: Option<SharedTerms>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeaseState {
    Live,
    Ended,
    Lost,
}

#[derive(Clone, Debug)]
struct Lease {
    job: JobNumber,
    state: LeaseState,
    beat: i64,
    commits: i64,
    /// What came of its last commit.
    applied: Vec<Applied>,
    share: u32,
    reads: u32,
    wanted: u32,
    rate: u32,
    progress: Progress,
    /// What the other runs of the job had done when it began.
    others_before: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PartState {
    Taken,
    Seen,
    Whole,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    run: i64,
    session: u32,
    state: PartState,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    row: EditRow,
    run: i64,
}

impl ModelDatabase {
    /// An empty one, of an app that allows so many requests a second.
    pub(crate) fn new(app_cap: u32, rules: Rules) -> ModelDatabase {
        ModelDatabase(Arc::new(Mutex::new(Tables {
            rules,
            app_cap,
            holds: 0,
            hold: Duration::ZERO,
            jobs: Vec::new(),
            leases: BTreeMap::new(),
            parts: BTreeMap::new(),
            edits: BTreeMap::new(),
            late: BTreeMap::new(),
            acts: Vec::new(),
        })))
    }

    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap()
    }
}

fn address() -> LedgerAddress {
    LedgerAddress::File(PATH.into())
}

fn lease_lost() -> LedgerError {
    LedgerError::LeaseLost { ledger: address() }
}

fn out_of_reach() -> LedgerError {
    let source = Arc::new(io::Error::new(io::ErrorKind::ConnectionAborted, "the database does not answer"));
    LedgerError::Write { path: PATH.into(), source }
}

fn damaged(what: impl Into<String>) -> LedgerError {
    LedgerError::Damaged { path: PATH.into(), what: what.into() }
}

/// Whether an edit that was in this state may have been in doubt when this batch of changes began.
fn is_doubt(from: Option<State>) -> bool {
    matches!(from, Some(State::InDoubt | State::Sending))
}

/// The claim that a change ends: an outcome counts it, a withdrawal does not.
fn claim(change: &Change) -> u32 {
    change.attempts + u32::from(change.took.is_none())
}

fn sum(progress: impl Iterator<Item = Progress>) -> Progress {
    progress.fold(Progress::default(), |sum, one| Progress {
        done: sum.done + one.done,
        failed: sum.failed + one.failed,
        in_doubt: sum.in_doubt + one.in_doubt,
        requests: sum.requests + one.requests,
        read_backs: sum.read_backs + one.read_backs,
        slow_downs: sum.slow_downs + one.slow_downs,
        speed: sum.speed + one.speed,
        held: false,
    })
}

impl Tables {
    /// A run begins, with a lease of its own.
    fn begin(&mut self, number: JobNumber, info: &RunInfo) -> Result<i64, LedgerError> {
        if self.jobs.len() <= number {
            self.jobs.resize(number + 1, Job::default());
        }
        let is_alone = self.live_of(number).is_empty();
        let others_before = self.others(number, 0);
        let job = &mut self.jobs[number];
        if is_alone {
            let (session, parts, next_part) = (job.session + 1, info.input_rows.div_ceil(PART_ROWS), job.next_part);
            *job = Job { session, parts, next_part, terms: info.shared.clone(), ..Job::default() };
        } else if let Some(by) = &job.stop {
            return Err(LedgerError::BeingStopped { ledger: address(), by: by.clone() });
        } else if job.terms != info.shared {
            let (theirs, ours) = (format!("{:?}", job.terms), format!("{:?}", info.shared));
            return Err(LedgerError::OtherTerms { ledger: address(), others: "others".to_owned(), theirs, ours });
        }
        let run = self.leases.last_key_value().map_or(1, |(run, _)| run + 1);
        self.leases.insert(
            run,
            Lease {
                job: number,
                state: LeaseState::Live,
                beat: 0,
                commits: 0,
                applied: Vec::new(),
                share: 0,
                reads: 0,
                wanted: 0,
                rate: info.rate,
                progress: Progress::default(),
                others_before,
            },
        );
        Ok(run)
    }

    fn end(&mut self, run: i64) -> bool {
        let Ok(lease) = self.live(run) else { return false };
        (lease.state, lease.share, lease.reads) = (LeaseState::Ended, 0, 0);
        // What it leaves behind without knowing what came of it, it may still have in its hands.
        if self.doubt(run) {
            self.leases.entry(run).and_modify(|lease| lease.state = LeaseState::Lost);
        }
        true
    }

    /// What a run was sending is in doubt. Returns whether there was anything.
    fn doubt(&mut self, run: i64) -> bool {
        let state = if self.rules.doubts_lost { State::InDoubt } else { State::Waiting };
        let mut doubts = false;
        let sending = self.edits.values_mut().filter(|edit| edit.run == run && edit.row.state == State::Sending);
        for Row { row, .. } in sending {
            (row.state, row.code, row.note) = (state, None, Some(Note::ProcessDied));
            doubts = true;
        }
        doubts
    }

    /// The live runs of a job, and the numbers of their beats.
    pub(crate) fn live_of(&self, job: JobNumber) -> Vec<(i64, i64)> {
        let live = self.leases.iter().filter(|(_, lease)| lease.job == job && lease.state == LeaseState::Live);
        live.map(|(run, lease)| (*run, lease.beat)).collect()
    }

    /// The lowest cap that anybody has said who works now.
    pub(crate) fn cap(&self) -> u32 {
        let live = self.leases.values().filter(|lease| lease.state == LeaseState::Live);
        live.flat_map(|lease| [Some(lease.rate), self.jobs[lease.job].rate]).flatten().fold(self.app_cap, u32::min)
    }

    fn others(&self, job: JobNumber, but: i64) -> Progress {
        sum(self.leases.iter().filter(|(run, lease)| lease.job == job && **run != but).map(|(_, lease)| lease.progress))
    }

    fn live(&mut self, run: i64) -> Result<&mut Lease, LedgerError> {
        self.leases.get_mut(&run).filter(|lease| lease.state == LeaseState::Live).ok_or_else(lease_lost)
    }

    /// `None`: this beat is not the next one.
    fn beat(&mut self, run: i64, number: i64, beat: Beat) -> Result<Option<Beaten>, LedgerError> {
        let (cap, adds_up) = (self.cap(), self.rules.shares_add_up);
        let live = || self.leases.values().filter(|lease| lease.state == LeaseState::Live);
        let free = cap.saturating_sub(live().map(|lease| lease.share).sum());
        let free_reads = cap.saturating_sub(live().map(|lease| lease.reads).sum());
        let lease = self.live(run)?;
        if lease.beat != number - 1 {
            return Ok(None);
        }
        let granted = |held: u32, asked: u32, free: u32| {
            if adds_up { asked.min(held + free) } else { asked }
        };
        lease.beat = number;
        lease.share = granted(lease.share, beat.share, free);
        lease.reads = granted(lease.reads, beat.reads, free_reads);
        (lease.wanted, lease.progress) = (beat.wanted, beat.progress);
        let Lease { share, reads, job, others_before, .. } = *lease;
        if let Some(hold) = beat.hold {
            self.holds += 1;
            self.hold = hold;
        }
        let live = self.leases.iter().filter(|(_, lease)| lease.state == LeaseState::Live);
        let live = live.map(|(run, lease)| LiveLease {
            run: *run,
            beat: lease.beat,
            share: lease.share,
            reads: lease.reads,
            wanted: lease.wanted,
        });
        let (live, others) = (live.collect(), self.others(job, run));
        Ok(Some(Beaten {
            share,
            reads,
            cap,
            live,
            others: Progress {
                done: others.done.saturating_sub(others_before.done),
                failed: others.failed.saturating_sub(others_before.failed),
                in_doubt: others.in_doubt.saturating_sub(others_before.in_doubt),
                ..others
            },
            paused: self.jobs[job].paused,
            stop: self.jobs[job].stop.clone(),
            holds: self.holds,
            hold: self.hold,
            // Its runs hold for as long as they are told, however late they learn of it.
            hold_left: Duration::ZERO,
            is_anew: false,
        }))
    }

    /// A run whose beat is still this one is lost.
    pub(crate) fn declare_lost(&mut self, run: i64, beat: i64) -> bool {
        let Ok(lease) = self.live(run) else { return false };
        if lease.beat != beat {
            return false;
        }
        (lease.state, lease.share, lease.reads) = (LeaseState::Lost, 0, 0);
        self.doubt(run);
        true
    }

    /// The `number`th commit of a run; what came of it, if it was made before.
    fn commit(
        &mut self,
        run: i64,
        number: i64,
        changes: &[Change],
        applies: impl Fn(JobNumber, &Change, Option<EditRow>),
    ) -> Result<Vec<Applied>, LedgerError> {
        let fences = self.rules.fences;
        let Some(lease) = self.leases.get(&run) else { return Err(damaged("there is no such run")) };
        if lease.commits == number {
            return Ok(lease.applied.clone());
        }
        let job = lease.job;
        if lease.state != LeaseState::Live && fences {
            return Ok(changes.iter().map(|change| self.keep(run, job, change)).collect());
        }
        if lease.commits != number - 1 {
            return Err(damaged(format!("commit {number} of run {run} comes after {}", lease.commits)));
        }
        // All of it or nothing.
        let mut undo: HashMap<[u8; 16], Option<Row>> = HashMap::new();
        let mut results = Vec::with_capacity(changes.len());
        for change in changes {
            let key = (job, change.message.0);
            let before = self.edits.get(&key).copied();
            match self.step(run, before, change) {
                Ok(Some(after)) => {
                    applies(job, change, before.map(|before| before.row));
                    undo.entry(change.message.0).or_insert(before);
                    match after {
                        Some(after) => self.edits.insert(key, after),
                        None => self.edits.remove(&key),
                    };
                    results.push(Applied::Yes);
                }
                Ok(None) => results.push(Applied::NotYours(before.map(|before| before.row.state))),
                Err(error) => {
                    for (message, before) in undo {
                        match before {
                            Some(before) => self.edits.insert((job, message), before),
                            None => self.edits.remove(&(job, message)),
                        };
                    }
                    return Err(error);
                }
            }
        }
        if let Some(lease) = self.leases.get_mut(&run) {
            (lease.commits, lease.applied) = (number, results.clone());
        }
        Ok(results)
    }

    /// What stands there afterwards, for a row that may be changed; `None`: it belongs to another run, or a late success
    /// has settled it.
    #[expect(clippy::option_option, reason = "not this run's, gone, or a row")]
    fn step(&self, run: i64, before: Option<Row>, change: &Change) -> Result<Option<Option<Row>>, LedgerError> {
        let Change { from, to, attempts, code, note, content, .. } = *change;
        let refused = || LedgerError::from(Transition { from, to });
        let state = before.map(|before| before.row.state);
        let is_claimed = !self.rules.fences
            || from != Some(State::Sending)
            || before.is_some_and(|before| before.run == run && before.row.attempts == claim(change));
        if state != from || !is_claimed {
            // The late success of a lost run has settled a doubt.
            return if state == Some(State::Done) && is_doubt(from) { Ok(None) } else { Err(refused()) };
        }
        let Some(Row { row, run: claimed }) = before else {
            let to = to.ok_or_else(refused)?;
            let is_sent = to == State::Sending && attempts == 1;
            let is_read = attempts == 0 && matches!(to, State::Done | State::Failed | State::InDoubt);
            if !is_sent && !is_read {
                return Err(damaged("an edit begins with its first sending, or with reading its message"));
            }
            return Ok(Some(Some(Row { row: EditRow { state: to, content, attempts, code, note }, run })));
        };
        let Some(to) = to else {
            let was_sent = row.state != State::Sending || row.attempts != 1;
            return if was_sent { Err(damaged("only what was never sent leaves")) } else { Ok(Some(None)) };
        };
        let moves: &[State] = match row.state {
            State::Sending => &[State::Done, State::Failed, State::InDoubt, State::Waiting],
            State::Waiting => &[State::Sending, State::Done, State::Failed, State::InDoubt],
            State::Failed => &[State::Sending, State::Done, State::InDoubt],
            State::InDoubt => &[State::Sending, State::Done, State::Failed],
            State::Done => &[],
        };
        let row = match (row.state, to) {
            (before, after) if before == after && before != State::Sending => EditRow { code, note, ..row },
            (_, after) if !moves.contains(&after) => return Err(damaged("an edit cannot take this step")),
            (_, State::Sending) => EditRow { state: to, attempts, content, ..row },
            (State::Sending, _) if change.took.is_none() => EditRow { state: to, attempts, content, ..row },
            (State::Sending, _) => EditRow { state: to, attempts, code, note, ..row },
            (_, _) => EditRow { state: to, content, code, note, ..row },
        };
        Ok(Some(Some(Row { row, run: if to == State::Sending { run } else { claimed } })))
    }

    /// Keeps what a lost run has heard of what it sent. A success settles the doubt that it belongs to.
    fn keep(&mut self, run: i64, job: JobNumber, change: &Change) -> Applied {
        let key = (job, change.message.0);
        let is_answer = change.from == Some(State::Sending) && change.took.is_some();
        if let (Some(to), true, true) = (change.to, is_answer, self.rules.keeps_late) {
            self.late.entry((job, change.message.0, run, change.attempts)).or_insert(to);
            if let Some(edit) = self.edits.get_mut(&key)
                && to == State::Done
                && (edit.run, edit.row.attempts, edit.row.state) == (run, change.attempts, State::InDoubt)
            {
                edit.row = EditRow { state: to, code: change.code, note: change.note, ..edit.row };
            }
        }
        Applied::NotYours(self.edits.get(&key).map(|edit| edit.row.state))
    }

    /// `held`: the parts that the run knows to be its own.
    fn take(&mut self, run: i64, at_most: u32, held: &BTreeSet<PartNumber>) -> Result<Taken, LedgerError> {
        let number = self.live(run)?.job;
        let Job { session, parts, next_part, .. } = self.jobs[number];
        let is_live = |run: &i64| self.leases.get(run).is_some_and(|lease| lease.state == LeaseState::Live);
        let is_free = |number: &PartNumber, part: &Part| match part.state {
            // The answer to an earlier claim may have been lost.
            PartState::Taken => {
                if part.run == run {
                    !held.contains(number)
                } else {
                    !is_live(&part.run)
                }
            }
            PartState::Seen => part.session < session,
            PartState::Whole => false,
        };
        let at_most = at_most as usize;
        let of_job = || self.parts.range((number, 0)..(number + 1, 0)).map(|((_, number), part)| (*number, *part));
        let mut taken: Vec<PartNumber> =
            of_job().filter(|(number, part)| is_free(number, part)).map(|(number, _)| number).take(at_most).collect();
        let has_taken = of_job().any(|(_, part)| part.state == PartState::Taken);
        if taken.is_empty() {
            taken = (next_part..parts).take(at_most).collect();
            self.jobs[number].next_part += taken.len() as u64;
        }
        for part in &taken {
            self.parts.insert((number, *part), Part { run, session, state: PartState::Taken });
        }
        Ok(match (taken.is_empty(), has_taken) {
            (false, _) => Taken::Parts(taken),
            (true, true) => Taken::Wait,
            (true, false) => Taken::Over,
        })
    }

    fn known(&mut self, run: i64, messages: &[IdDigest]) -> Result<Vec<Option<KnownEdit>>, LedgerError> {
        // What a lost run held is others' by now, and they may be sending it.
        let job = self.live(run)?.job;
        let tells = self.rules.tells_lost;
        let known = |message: &IdDigest| {
            let Row { row, run } = self.edits.get(&(job, message.0))?;
            let is_lost = self.leases.get(run).is_some_and(|lease| lease.state == LeaseState::Lost);
            Some(KnownEdit { row: *row, lost: (is_lost && tells).then_some(*run), by_proxy: false })
        };
        Ok(messages.iter().map(known).collect())
    }

    fn finish(&mut self, run: i64, part: PartNumber, whole: bool) -> Result<(), LedgerError> {
        let number = self.live(run)?.job;
        let part = self.parts.get_mut(&(number, part));
        if let Some(part) = part.filter(|part| part.run == run && part.state == PartState::Taken) {
            part.state = if whole { PartState::Whole } else { PartState::Seen };
        }
        Ok(())
    }

    /// What an operator says.
    pub(crate) fn act(&mut self, number: JobNumber, event: &ControlEvent) {
        let Some(job) = self.jobs.get_mut(number) else { return };
        match event.what {
            ControlAction::Pause => job.paused = true,
            ControlAction::Resume => job.paused = false,
            ControlAction::Rate(rate) => job.rate = Some(rate.get()),
            ControlAction::Stop => job.stop = Some(event.by.clone()),
        }
        self.acts.push((number, event.clone()));
    }

    /// Whether a job is paused.
    pub(crate) fn is_paused(&self, number: JobNumber) -> bool {
        self.jobs.get(number).is_some_and(|job| job.paused)
    }

    /// The row of an edit, and the run that sent it last.
    pub(crate) fn row(&self, job: JobNumber, message: IdDigest) -> Option<(EditRow, i64)> {
        self.edits.get(&(job, message.0)).map(|edit| (edit.row, edit.run))
    }

    /// What this run has heard too late of the edit of this message.
    pub(crate) fn late(&self, job: JobNumber, message: IdDigest, run: i64) -> Option<State> {
        let of_run = (job, message.0, run, 0)..=(job, message.0, run, u32::MAX);
        self.late.range(of_run).next().map(|(_, state)| *state)
    }

    /// The parts of a job that are not finished.
    pub(crate) fn open_parts(&self, number: JobNumber) -> u64 {
        let job = &self.jobs[number];
        let of_job = self.parts.range((number, 0)..(number + 1, 0));
        let taken = of_job.filter(|(_, part)| part.state == PartState::Taken).count() as u64;
        job.parts - job.next_part + taken
    }

    /// The sum of the shares.
    pub(crate) fn shares(&self) -> u32 {
        self.leases.values().map(|lease| lease.share).sum()
    }
}

/// The writing side of a run.
pub(crate) struct DatabaseStore<L> {
    line: L,
    job: JobNumber,
    run: Option<i64>,
    commits: i64,
    is_shared: bool,
}

impl<L: Line> DatabaseStore<L> {
    pub(crate) fn new(line: L, job: JobNumber) -> DatabaseStore<L> {
        DatabaseStore { line, job, run: None, commits: 0, is_shared: false }
    }
}

impl<L: Line> Store for DatabaseStore<L> {
    fn commit(&mut self, changes: Vec<Change>, _events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
            let Some(run) = self.run else { return Err(damaged("no run has begun")) };
            let (number, changes) = (self.commits + 1, Arc::new(changes));
            let committed = persist(&self.line, || {
                let (changes, line) = (Arc::clone(&changes), self.line.clone());
                move |tables: &mut Tables| {
                    tables.commit(run, number, &changes, |job, change, before| line.applies(job, change, before))
                }
            });
            let committed = committed.await?;
            self.commits = number;
            committed
        })
    }
}

impl<L: Line> RunStore for DatabaseStore<L> {
    fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        let begun = self.line.call_blocking(|tables| tables.begin(self.job, info));
        self.run = Some(begun.map_err(|NoAnswer| out_of_reach())??);
        Ok(())
    }

    fn mark_all_read(&mut self) -> Result<(), LedgerError> {
        Ok(())
    }

    fn end_run(&mut self, _ended: &str, _reason: &str) -> Result<WalEnd, LedgerError> {
        let Some(run) = self.run else { return Err(LedgerError::Latched) };
        let ended = self.line.call_blocking(|tables| tables.end(run)).map_err(|NoAnswer| out_of_reach())?;
        if ended { Ok(WalEnd::Whole) } else { Err(lease_lost()) }
    }

    fn share(&mut self) -> Option<SharedRun> {
        let run = self.run.filter(|_| !std::mem::replace(&mut self.is_shared, true))?;
        let line = self.line.clone();
        Some(SharedRun {
            run,
            beats: Box::new(DatabaseBeats {
                line: line.clone(),
                run,
                number: 0,
                is_sure: true,
                is_anew: false,
                seen: HashMap::new(),
            }),
            work: Box::new(DatabaseWork { line: line.clone(), run, held: BTreeSet::new() }),
            control: Box::new(DatabaseControl { line, job: self.job }),
        })
    }
}

/// Repeats what gets no answer, for as long as a run waits for its ledger.
async fn persist<L, T, F>(line: &L, mut work: impl FnMut() -> F) -> Result<T, LedgerError>
where
    L: Line,
    T: Send + 'static,
    F: FnOnce(&mut Tables) -> T + Send + 'static,
{
    let (since, mut pause) = (Instant::now(), PAUSES.0);
    loop {
        match line.call(work()).await {
            Ok(done) => return Ok(done),
            Err(NoAnswer) if since.elapsed() > OUTAGE_MAX => return Err(out_of_reach()),
            Err(NoAnswer) => sleep(pause).await,
        }
        pause = (pause * 2).min(PAUSES.1);
    }
}

struct DatabaseBeats<L> {
    line: L,
    run: i64,
    /// The last beat that is known to have been made.
    number: i64,
    /// Whether it is known which beat was the last.
    is_sure: bool,
    is_anew: bool,
    /// The beats of the others, as this run saw them last.
    seen: HashMap<i64, i64>,
}

impl<L> Debug for DatabaseBeats<L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "beats of run {}", self.run)
    }
}

impl<L: Line> Beats for DatabaseBeats<L> {
    fn beat(&mut self, beat: Beat) -> SharedFuture<'_, Beaten> {
        Box::pin(async move {
            let run = self.run;
            if !self.is_sure {
                self.is_anew = true;
                let last = self.line.call(move |tables| tables.live(run).map(|lease| lease.beat)).await;
                self.number = last.map_err(|NoAnswer| out_of_reach())??;
                self.is_sure = true;
            }
            let number = self.number + 1;
            // Until the answer is there.
            self.is_sure = false;
            let beaten = self.line.call(move |tables| tables.beat(run, number, beat)).await;
            let beaten = beaten.map_err(|NoAnswer| out_of_reach())??;
            // One that was sent before has come in between.
            let Some(mut beaten) = beaten else { return Err(out_of_reach()) };
            (self.number, self.is_sure) = (number, true);
            beaten.is_anew = std::mem::take(&mut self.is_anew);
            if !self.line.call(|tables| tables.rules.watches).await.unwrap_or(true) {
                let before = std::mem::take(&mut self.seen);
                self.seen = beaten.live.iter().map(|lease| (lease.run, lease.beat)).collect();
                for (of, beat) in before {
                    if of != run && self.seen.get(&of) == Some(&beat) {
                        let _ = self.line.call(move |tables| tables.declare_lost(of, beat)).await;
                    }
                }
            }
            Ok(beaten)
        })
    }

    fn declare_lost(&mut self, run: i64, beat: i64) -> SharedFuture<'_, bool> {
        Box::pin(async move {
            self.line.call(move |tables| tables.declare_lost(run, beat)).await.map_err(|NoAnswer| out_of_reach())
        })
    }
}

struct DatabaseWork<L> {
    line: L,
    run: i64,
    /// The parts that were handed out and are not finished.
    held: BTreeSet<PartNumber>,
}

impl<L> Debug for DatabaseWork<L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "parts of run {}", self.run)
    }
}

impl<L: Line> Work for DatabaseWork<L> {
    fn take(&mut self, at_most: u32) -> SharedFuture<'_, Taken> {
        Box::pin(async move {
            let (run, held) = (self.run, self.held.clone());
            let taken = persist(&self.line, || {
                let held = held.clone();
                move |tables: &mut Tables| tables.take(run, at_most, &held)
            });
            let taken = taken.await??;
            if let Taken::Parts(parts) = &taken {
                self.held.extend(parts);
            }
            Ok(taken)
        })
    }

    fn known(&mut self, messages: Vec<IdDigest>) -> SharedFuture<'_, Vec<Option<KnownEdit>>> {
        Box::pin(async move {
            let (run, messages) = (self.run, Arc::new(messages));
            let known = persist(&self.line, || {
                let messages = Arc::clone(&messages);
                move |tables: &mut Tables| tables.known(run, &messages)
            });
            known.await?
        })
    }

    fn finish(&mut self, part: PartNumber, whole: bool) -> SharedFuture<'_, ()> {
        Box::pin(async move {
            let run = self.run;
            persist(&self.line, || move |tables: &mut Tables| tables.finish(run, part, whole)).await??;
            self.held.remove(&part);
            Ok(())
        })
    }
}

struct DatabaseControl<L> {
    line: L,
    job: JobNumber,
}

impl<L> Debug for DatabaseControl<L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "control of job {}", self.job)
    }
}

impl<L: Line> SharedControl for DatabaseControl<L> {
    fn act(&self, event: ControlEvent) -> SharedFuture<'_, ()> {
        Box::pin(async move {
            let job = self.job;
            let told = self.line.call(move |tables| tables.act(job, &event)).await;
            told.map_err(|NoAnswer| out_of_reach())
        })
    }
}
