//! One world: a database, a service, one or two lists, and several processes that work on them together.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use runner::edit::{Edit, MessageId, MsgBody};
use runner::input::{ContentSpec, Format, Input, InputSpec, Mapping};
use runner::ledger::{
    Beat, Beaten, Beats, ControlAction, ControlEvent, Ledger, LedgerError, PART_ROWS, RunInfo, RunStore as _,
    SharedFuture, SharedRun, SharedTerms, State,
};
use runner::pace::Gate;
use runner::run::{
    AsOf, Control, FailureLimit, InDoubt, Lease, Plan, Policy, RunContext, RunEnd, RunTerms, StopReason,
    UnderWay as Way, plan, run,
};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::simulation::cluster::globe::{Climate, Globe, UnderWay};
use crate::simulation::cluster::link::Link;
use crate::simulation::cluster::process::{Fate, Hang, Machine, Process, Trouble};
use crate::simulation::cluster::service::Tencent;
use crate::simulation::cluster::story::Story;
use crate::simulation::messages::{History, Kind, Make};
use crate::simulation::weather::{Fault, Weather};
use crate::support::model_database::{DatabaseStore, JobNumber, Line as _, ModelDatabase, NoAnswer, Rules};
use crate::support::model_ledger::run_info;

/// Whatever goes wrong does so before this.
const CALM_FROM: Duration = Duration::from_mins(1);
/// From then on it takes no longer than this, whatever was left.
const BOUND: Duration = Duration::from_mins(20);
/// After this long nothing that anybody sent can still happen.
const QUIET: Duration = Duration::from_secs(20);

/// What keeps the world from harm, and what is taken out of it to see that harm is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Safeguards {
    pub(crate) rules: Rules,
    pub(crate) gate: bool,
    pub(crate) switch: bool,
}

impl Default for Safeguards {
    fn default() -> Safeguards {
        Safeguards { rules: Rules::default(), gate: true, switch: true }
    }
}

/// How a world is made up.
#[derive(Clone, Debug)]
struct Script {
    cap: NonZeroU32,
    /// The rows of each list.
    lists: Vec<u64>,
    starts: Vec<Start>,
    /// How far everybody goes before it is the next one's turn.
    turn: Duration,
    operator: Vec<(Duration, JobNumber, ControlAction)>,
    climate: Climate,
    weather: Weather,
    gone: u32,
}

/// A process that is going to start.
#[derive(Clone, Debug)]
struct Start {
    at: Duration,
    job: JobNumber,
    rate: NonZeroU32,
    in_flight_max: usize,
    attempts_max: NonZeroU32,
    troubles: Vec<(Duration, Trouble)>,
    at_points: Vec<(u64, Trouble)>,
    /// The same for requests between the gate and the socket.
    at_sockets: Vec<(u64, Trouble)>,
    retry_failed: bool,
    /// It is started again so long after it died.
    again_after: Option<Duration>,
}

/// A list, as every process reads it.
struct List {
    input: Input,
    plan: Plan,
    edits: Vec<Edit>,
}

pub(crate) struct World {
    globe: Globe,
    service: Tencent,
    lists: Vec<Arc<List>>,
    script: Script,
    safeguards: Safeguards,
    names: usize,
}

fn trouble(random: &mut fastrand::Rng) -> Trouble {
    let some = |random: &mut fastrand::Rng| {
        let (from, to) = [(50, 3_000), (3_000, 10_000), (10_000, 44_000), (44_000, 120_000)][random.usize(..4)];
        Duration::from_millis(random.u64(from..to))
    };
    match random.u8(0..10) {
        0..2 => Trouble::Killed,
        2..6 => Trouble::Stopped(some(random)),
        6 => Trouble::Suspended(some(random)),
        _ => Trouble::CutOff(
            Duration::from_millis(random.u64(100..30_000)),
            if random.bool() { Hang::Refused } else { Hang::Silent },
        ),
    }
}

impl Start {
    fn of(random: &mut fastrand::Rng, at: Duration, jobs: usize, cap: NonZeroU32) -> Start {
        let within = |random: &mut fastrand::Rng, most: u64| Duration::from_millis(random.u64(0..most));
        let rate = if random.u8(0..8) == 0 { random.u32(cap.get() / 2..=cap.get()).max(1) } else { cap.get() };
        Start {
            at,
            job: random.usize(0..jobs),
            rate: NonZeroU32::new(rate).unwrap(),
            in_flight_max: random.usize(4..60),
            attempts_max: NonZeroU32::new(random.u32(2..9)).unwrap(),
            troubles: (0..random.u8(0..3)).map(|_| (at + within(random, 30_000), trouble(random))).collect(),
            at_points: (0..random.u8(0..3)).map(|_| (random.u64(1..1_500), trouble(random))).collect(),
            at_sockets: (0..random.u8(0..2)).map(|_| (random.u64(1..150), trouble(random))).collect(),
            retry_failed: false,
            again_after: (random.u8(0..3) > 0).then(|| within(random, 30_000)),
        }
    }
}

impl Script {
    fn of(random: &mut fastrand::Rng) -> Script {
        let cap = NonZeroU32::new(random.u32(20..200)).unwrap();
        let jobs = if random.u8(0..4) == 0 { 2 } else { 1 };
        let runners = random.u64(2..5);
        let lists = (0..jobs).map(|_| random.u64(PART_ROWS..4 * PART_ROWS)).collect();
        let starts = (0..runners)
            .map(|_| {
                let at = Duration::from_millis(if random.bool() { 0 } else { random.u64(0..10_000) });
                Start::of(random, at, jobs, cap)
            })
            .collect();
        let sometimes = |random: &mut fastrand::Rng, most: u32| if random.bool() { random.u32(0..most) } else { 0 };
        let outage = |random: &mut fastrand::Rng| {
            let from = Duration::from_millis(random.u64(0..30_000));
            let most = [1_000, 6_000, 25_000][random.usize(..3)];
            (from, from + Duration::from_millis(random.u64(100..most)))
        };
        let climate = Climate {
            lost_before: sometimes(random, 30),
            lost_after: sometimes(random, 30),
            lost_late: sometimes(random, 20),
            takes: (0..4).map(|_| if random.bool() { random.u64(2..10) } else { random.u64(10..200) }).collect(),
            down: (0..random.u8(0..3)).map(|_| outage(random)).collect(),
            calm_from: CALM_FROM,
        };
        let mut weather = Weather::calm();
        let faults = [
            Fault::LostBefore,
            Fault::LostAfter,
            Fault::LostLate,
            Fault::TimedOutBefore,
            Fault::TimedOutAfter,
            Fault::Stuck,
            Fault::SlowDown,
            Fault::HttpAfter(502, 0),
            Fault::InsideAfter,
            Fault::NotSent,
            Fault::Code(20_004),
        ];
        for _ in 0..random.u8(0..4) {
            weather.faults.push((faults[random.usize(..faults.len())], random.u32(1..30)));
        }
        weather.takes = [1..50, 1..3_000, 300..500][random.usize(..3)].clone();
        weather.slow_to_open = if random.bool() { random.u32(0..200) } else { 0 };
        let mut operator = Vec::new();
        if random.u8(0..4) == 0 {
            let job = random.usize(0..jobs);
            let mut at = Duration::from_millis(random.u64(0..15_000));
            for _ in 0..random.u8(1..4) {
                let what = match random.u8(0..8) {
                    0..3 => ControlAction::Pause,
                    3..5 => ControlAction::Resume,
                    5..7 => ControlAction::Rate(NonZeroU32::new(random.u32(5..=cap.get())).unwrap()),
                    _ => ControlAction::Stop,
                };
                operator.push((at, job, what));
                at += Duration::from_millis(random.u64(100..15_000));
            }
        }
        for job in 0..jobs {
            operator.push((CALM_FROM, job, ControlAction::Resume));
            operator.push((CALM_FROM, job, ControlAction::Rate(cap)));
        }
        Script {
            cap,
            lists,
            starts,
            turn: Duration::from_millis(random.u64(4..25)),
            operator,
            climate,
            weather,
            gone: if random.u8(0..4) == 0 { 5 } else { 0 },
        }
    }
}

/// Tells the process what was acknowledged, as the dead man's switch is told.
#[derive(Debug)]
struct Acknowledged(Box<dyn Beats>, Told);

#[derive(Clone)]
struct Told(Process);

impl std::fmt::Debug for Told {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {}", self.0.name())
    }
}

impl Beats for Acknowledged {
    fn beat(&mut self, beat: Beat) -> SharedFuture<'_, Beaten> {
        Box::pin(async move {
            let sent = self.1.0.now();
            let beaten = self.0.beat(beat).await?;
            self.1.0.beat_acknowledged(sent);
            Ok(beaten)
        })
    }

    fn declare_lost(&mut self, run: i64, beat: i64) -> SharedFuture<'_, bool> {
        self.0.declare_lost(run, beat)
    }
}

/// All that a process needs.
struct Program {
    globe: Globe,
    service: Tencent,
    list: Arc<List>,
    start: Start,
    cap: NonZeroU32,
    has_gate: bool,
    seed: u64,
}

impl Program {
    /// The process, from its start to its end: a run, and once that has lost its lease, another.
    async fn main(self, process: Process) -> Result<RunEnd, LedgerError> {
        loop {
            let link = Link::new(&self.globe, &self.service, &process);
            let mut store = DatabaseStore::new(link.clone(), self.start.job);
            self.begin(&mut store, &link).await?;
            let Some(SharedRun { run: number, beats, work, control: _ }) = store.share() else { panic!("no lease") };
            let log = |what: String| self.globe.story.log(process.now(), format_args!("{} {what}", process.name()));
            log(format!("begins run {number} of job {}", self.start.job));
            let policy = self.policy();
            let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
            let todo = self.list.plan.todo_in_parts(&self.list.input, &mapping, work, policy).unwrap();
            let (ledger, writer) = Ledger::start(store);
            let terms = RunTerms {
                rate: self.start.rate,
                max_rate: self.cap,
                in_flight_max: self.start.in_flight_max,
                attempts_max: self.start.attempts_max,
                in_doubt: policy.in_doubt,
                under_way: Way::DIRECT,
                locked_since: Some(Instant::now()),
                seed: self.seed,
            };
            let gate = if self.has_gate {
                let process = process.clone();
                Gate::new(move || process.now())
            } else {
                Gate::always_open()
            };
            let (_control, inbox) = Control::new(self.start.rate, CancellationToken::new());
            let beats = Box::new(Acknowledged(beats, Told(process.clone())));
            let inbox = inbox.with_lease(Lease { run: number, beats, switch: None });
            let connection = self.service.connect(&process, self.start.job, number);
            let context = RunContext::with_lease(ledger, connection, terms, gate);
            let (_, ended) = run(context, FailureLimit::Percent(100), todo, inbox, |_| {}).await;
            let mut store = writer.await.unwrap();
            log(format!("ends run {number}: {ended:?}"));
            self.check_confirmed(&process, number, &ended);
            let is_recorded = store.end_run("", "").is_ok();
            if !matches!(ended, RunEnd::Stopped(StopReason::LeaseLost)) {
                log(format!("has ended, {}", if is_recorded { "and said so" } else { "and could not say so" }));
                return Ok(ended);
            }
        }
    }

    fn policy(&self) -> Policy {
        Policy { in_doubt: InDoubt::Verify, retry_failed: self.start.retry_failed, read_first: false, rows_max: None }
    }

    /// Begins a run, as soon as the database can be reached and nobody stops the job.
    async fn begin(&self, store: &mut DatabaseStore<Link>, link: &Link) -> Result<(), LedgerError> {
        let List { plan, .. } = &*self.list;
        let rate = self.start.rate.get();
        let settings = if self.start.retry_failed { vec![("retry-failed", String::new())] } else { Vec::new() };
        let shared = Some(SharedTerms { list: [7; 32], settings });
        let info = RunInfo { input_rows: plan.rows, planned: plan.this_run, rate, shared, ..run_info() };
        let mut seen = Vec::new();
        for tries in 0.. {
            match store.begin_run(&info) {
                Ok(()) => break,
                // Those that still seem to work may be dead.
                Err(LedgerError::BeingStopped { .. } | LedgerError::OtherTerms { .. }) if tries % 10 == 9 => {
                    let job = self.start.job;
                    let before = std::mem::take(&mut seen);
                    let declared = link.call_blocking(|tables| {
                        for (run, beat) in before {
                            tables.declare_lost(run, beat);
                        }
                        tables.live_of(job)
                    });
                    seen = declared.unwrap_or_else(|NoAnswer| Vec::new());
                }
                Err(error) if tries > 600 => return Err(error),
                Err(_) => {}
            }
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    /// What the service has confirmed to a run that lived to its end is recorded, or kept.
    fn check_confirmed(&self, process: &Process, run: i64, ended: &RunEnd) {
        let confirmed = self.service.take_confirmed(process.name(), run);
        if matches!(ended, RunEnd::Stopped(StopReason::Ledger(_))) {
            return;
        }
        let tables = self.globe.database.tables();
        for (job, edit) in confirmed {
            let message = edit.id().digest();
            let is_done = tables.row(job, message).is_some_and(|(row, _)| row.state == State::Done);
            let is_kept = tables.late(job, message, run) == Some(State::Done);
            self.globe.story.check(process.now(), is_done || is_kept, || {
                format!("{} was confirmed to run {run}, and nobody recorded it", edit.id().msg_key)
            });
        }
    }
}

impl World {
    pub(crate) fn new(seed: u64, safeguards: Safeguards, verbose: bool) -> World {
        let mut random = fastrand::Rng::with_seed(seed);
        let script = Script::of(&mut random);
        let globe = Globe {
            story: Story::new(verbose),
            database: ModelDatabase::new(script.cap.get(), safeguards.rules),
            under_way: UnderWay::default(),
            climate: Arc::new(script.climate.clone()),
            random: Arc::new(Mutex::new(random.fork())),
        };
        globe.story.log(Duration::ZERO, format_args!("{script:?}"));
        let make = Make { names: None, page: 100, history: History::Whole };
        let service = Tencent::new(&globe, make, script.weather.clone());
        let lists = script
            .lists
            .iter()
            .enumerate()
            .map(|(job, rows)| Arc::new(List::of(job, *rows, script.gone, &service, &mut random)))
            .collect();
        World { globe, service, lists, script, safeguards, names: 0 }
    }

    fn start(&mut self, start: &Start, now: Duration) -> Machine<Result<RunEnd, LedgerError>> {
        self.names += 1;
        let program = Program {
            globe: self.globe.clone(),
            service: self.service.clone(),
            list: Arc::clone(&self.lists[start.job]),
            start: start.clone(),
            cap: self.script.cap,
            has_gate: self.safeguards.gate,
            seed: self.names as u64,
        };
        self.globe.story.log(now, format_args!("START {}", self.names));
        let (at_points, at_sockets) = (start.at_points.clone(), start.at_sockets.clone());
        Machine::start(self.names, now, at_points, at_sockets, self.safeguards.switch, |process| program.main(process))
    }

    /// Everything, from the first process to the end of the job. Returns a digest of what happened.
    ///
    /// # Errors
    /// What went wrong.
    pub(crate) fn run(mut self) -> Result<u64, String> {
        let mut now = Duration::ZERO;
        let starts = std::mem::take(&mut self.script.starts);
        now = self.work(starts, now)?;
        now = now.max(CALM_FROM);
        self.service.set_weather(Weather::calm());
        self.globe.under_way.catch_up(now);
        let last: Vec<Start> = (0..self.lists.len())
            .map(|job| Start {
                at: now,
                job,
                rate: self.script.cap,
                in_flight_max: 60,
                attempts_max: NonZeroU32::new(8).unwrap(),
                troubles: Vec::new(),
                at_points: Vec::new(),
                at_sockets: Vec::new(),
                retry_failed: false,
                again_after: None,
            })
            .collect();
        // The first ones join those that only seem to live. The others want something else, and so wait until it is clear
        // that nobody lives; then they settle what was left.
        for retry_failed in [false, true] {
            self.globe.story.log(now, format_args!("START the last ones, again with what has failed: {retry_failed}"));
            let last = last.iter().map(|start| Start { at: now, retry_failed, ..start.clone() });
            now = self.work(last.collect(), now)?;
        }
        now += QUIET;
        self.globe.under_way.catch_up(now);
        self.check_end(now);
        self.globe.story.take_wrong().map_or_else(|| Ok(self.globe.story.digest()), Err)
    }

    /// Lets these processes work until all of them have ended. Returns when that is.
    fn work(&mut self, mut starts: Vec<Start>, mut now: Duration) -> Result<Duration, String> {
        let mut machines: Vec<(Start, Machine<_>)> = Vec::new();
        while !starts.is_empty() || !machines.is_empty() {
            if machines.is_empty() {
                // Nobody lives to see the time go by.
                now = now.max(starts.iter().map(|start| start.at).min().unwrap_or(now));
            }
            let until = now + self.script.turn;
            let due: Vec<Start> = starts.extract_if(.., |start| start.at <= now).collect();
            for start in due {
                let machine = self.start(&start, now);
                machines.push((start, machine));
            }
            self.operate(now);
            let mut is_over = Vec::new();
            for (start, machine) in &mut machines {
                for (_, trouble) in start.troubles.extract_if(.., |(at, _)| *at <= now) {
                    if !machine.stands() && now < CALM_FROM {
                        self.globe.story.log(now, format_args!("{} is {trouble:?}", machine.process.name()));
                        machine.befall(trouble, now);
                    }
                }
                let fate = machine.step(until);
                is_over.push(!matches!(fate, Fate::Lives));
                match fate {
                    Fate::Killed => {
                        self.globe.story.log(until, format_args!("{} is dead", machine.process.name()));
                        if let Some(after) = start.again_after.filter(|_| now < CALM_FROM) {
                            starts.push(Start { at: now + after, troubles: Vec::new(), ..start.clone() });
                        }
                    }
                    // The database did answer within the time that a run waits for it.
                    Fate::Ended(Ok(RunEnd::Stopped(reason @ (StopReason::Ledger(_) | StopReason::Defect(_))))) => {
                        self.globe.story.wrong(until, format_args!("{} stopped: {reason}", machine.process.name()));
                    }
                    Fate::Ended(Err(error)) => {
                        self.globe.story.wrong(until, format_args!("it does not begin: {error}"));
                    }
                    Fate::Lives | Fate::Ended(Ok(_)) => {}
                }
            }
            let mut over = is_over.into_iter();
            machines.retain(|_| !over.next().unwrap_or_default());
            now = until;
            self.judge(now);
            if let Some(wrong) = self.globe.story.take_wrong() {
                return Err(wrong);
            }
            if now > CALM_FROM + BOUND {
                return Err(format!("it does not end within {BOUND:?}"));
            }
        }
        Ok(now)
    }

    fn operate(&mut self, now: Duration) {
        for (at, job, what) in self.script.operator.extract_if(.., |(at, ..)| *at <= now) {
            self.globe.story.log(at, format_args!("TOLD {what} to job {job}"));
            self.globe.database.tables().act(job, &ControlEvent { what, by: "somebody".to_owned() });
        }
    }

    fn judge(&self, now: Duration) {
        self.globe.under_way.catch_up(now);
        let (cap, paused) = {
            let tables = self.globe.database.tables();
            let paused: Vec<JobNumber> = (0..self.lists.len()).filter(|job| tables.is_paused(*job)).collect();
            (tables.cap(), paused)
        };
        self.service.judge(now, cap, paused.into_iter());
    }

    /// Every message is done and edited once, or named if it does not exist.
    fn check_end(&self, now: Duration) {
        let (story, tables) = (&self.globe.story, self.globe.database.tables());
        for (job, list) in self.lists.iter().enumerate() {
            let open = tables.open_parts(job);
            story.check(now, open == 0, || format!("{open} parts of job {job} were left"));
            for edit in &list.edits {
                let (key, edits) = (&edit.id().msg_key, self.service.edits(edit.id()));
                let Some((row, _)) = tables.row(job, edit.id().digest()) else {
                    story.wrong(now, format_args!("{key} was lost"));
                    continue;
                };
                let is_right = match row.state {
                    State::Done => edits == 1,
                    State::Failed => edits == 0 && self.service.kind(edit.id()) == Kind::Gone,
                    State::InDoubt => !self.service.can_be_told(edit),
                    State::Sending | State::Waiting => false,
                };
                story.check(now, is_right, || format!("{key} was edited {edits} times, and is {row:?}"));
            }
        }
    }
}

impl List {
    fn of(job: JobNumber, rows: u64, gone: u32, service: &Tencent, random: &mut fastrand::Rng) -> List {
        let (mut text, mut edits) = (String::new(), Vec::new());
        for row in 0..rows {
            let id = MessageId {
                from_account: format!("user_{}", random.u8(0..6)),
                to_account: format!("user_{}", random.u8(6..12)),
                msg_key: format!("{row}_{job}_{}", 1_773_188_570 + random.u32(0..60)),
            };
            let edit = Edit::new(id, Some(MsgBody::of_text("[removed]")), None).unwrap();
            text += &line(&edit);
            let kind = if random.u32(0..100) < gone { Kind::Gone } else { Kind::Ordinary };
            service.add(edit.id().clone(), kind, "as it was");
            edits.push(edit);
        }
        let input = Input::from_reader("edits.jsonl", text.as_bytes(), Format::Jsonl).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let policy = Policy { in_doubt: InDoubt::Verify, retry_failed: false, read_first: false, rows_max: None };
        let as_of = AsOf { now: Timestamp::UNIX_EPOCH, messages_expire: false };
        let plan = plan(&input, &mapping, None, &policy, as_of).unwrap();
        List { input, plan, edits }
    }
}

/// A row of the list: the service's request body.
fn line(edit: &Edit) -> String {
    let id = edit.id();
    let mut body = json!({ "From_Account": id.from_account, "To_Account": id.to_account, "MsgKey": id.msg_key });
    if let Some(content) = edit.msg_body() {
        body["MsgBody"] = serde_json::from_str(content.text()).unwrap();
    }
    format!("{body}\n")
}
