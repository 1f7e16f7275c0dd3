//! A list, a ledger in memory, a service that follows a script, and a run that connects them.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use runner::api::history::{HistoryPage, HistoryQuery};
use runner::api::{Outcome, Service};
use runner::edit::MessageId;
use runner::input::{ContentSpec, Format, Input, InputSpec, Mapping};
use runner::ledger::{
    Applied, Change, CommitFuture, EditRow, Intent, Ledger, LedgerError, LostCommits, RunEvent, RunInfo, RunStore,
    State, Store,
};
use runner::pace::Permit;
use runner::run::{
    AsOf, Conditions, ControlInbox, FailureLimit, InDoubt, Policy, RunContext, RunEnd, RunTerms, StopReason, Tally,
    UnderWay, plan, run,
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::support::model_ledger::{ModelLedger, ModelStore, job, run_info};

pub(crate) const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// The model of a ledger, whose commits take as long as an fsync on a cloud disk. It can fail at its n-th commit.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    model: ModelLedger,
    commits: Arc<Mutex<u64>>,
    events: Arc<Mutex<Vec<RunEvent>>>,
    pub(crate) fails_at: Option<u64>,
}

struct MemoryStore {
    memory: Memory,
    model: ModelStore,
}

impl Store for MemoryStore {
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            let mut commits = self.memory.commits.lock().unwrap();
            *commits += 1;
            if self.memory.fails_at.is_some_and(|at| *commits >= at) {
                let source = Arc::new(std::io::Error::other("no space left on device"));
                return Err(LedgerError::Write { path: "ledger.db".into(), source });
            }
            let applied = self.model.apply(&changes, &events);
            assert!(applied.is_ok(), "the run commits what no ledger takes: {applied:?}");
            self.memory.events.lock().unwrap().extend(events);
            Ok(vec![Applied::Yes; changes.len()])
        })
    }
}

impl Memory {
    /// Opens it for a run, as the program does.
    fn open(&self, info: &RunInfo) -> MemoryStore {
        let mut model = self.model.open_store(&job(), LostCommits::ReadFirst).unwrap();
        model.begin_run(info).unwrap();
        MemoryStore { memory: self.clone(), model }
    }

    pub(crate) fn rows(&self) -> Vec<EditRow> {
        self.model.rows().into_values().collect()
    }

    /// What was recorded of its runs.
    pub(crate) fn events(&self) -> Vec<RunEvent> {
        self.events.lock().unwrap().clone()
    }

    /// The one edit in this state.
    pub(crate) fn only(&self, state: State) -> EditRow {
        let rows = self.rows();
        let mut these = rows.iter().filter(|row| row.state == state);
        let only = *these.next().unwrap();
        assert!(these.next().is_none());
        only
    }

    /// The row of the message with this key.
    pub(crate) fn of(&self, msg_key: &str) -> EditRow {
        let [from_account, to_account, msg_key] = ["a", "b", msg_key].map(str::to_owned);
        self.model.row(MessageId { from_account, to_account, msg_key }.digest()).unwrap()
    }

    pub(crate) fn count(&self, state: State) -> usize {
        self.model.count(state)
    }
}

/// What the service does with the n-th sending of an edit (0, 1, …), this long after the start.
pub(crate) type Script = fn(line: u64, sending: u32, since: Duration) -> Reply;

type History = dyn Fn(usize, &HistoryQuery) -> Result<HistoryPage, Outcome> + Send + Sync;

#[derive(Clone)]
pub(crate) struct Reply {
    /// From the permit to the bytes: a connection that has to be opened.
    pub(crate) opens: Duration,
    /// From the bytes to the answer.
    pub(crate) takes: Duration,
    pub(crate) outcome: Outcome,
}

pub(crate) fn reply(takes: u64, outcome: Outcome) -> Reply {
    Reply { opens: Duration::ZERO, takes: Duration::from_millis(takes), outcome }
}

pub(crate) fn refused(code: i64) -> Outcome {
    Outcome::Refused { code, info: String::new(), retry_after: None, signed_anew: false }
}

/// The service, as the script says. It sees when requests arrive.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) script: Script,
    pub(crate) start: Instant,
    pub(crate) arrivals: Arc<Mutex<Vec<Instant>>>,
    pub(crate) sendings: Arc<Mutex<HashMap<u64, u32>>>,
    pub(crate) in_flight: Arc<Mutex<(usize, usize)>>,
    /// What comes back of the n-th question (1, 2, …) for a history.
    pub(crate) history: Arc<History>,
    pub(crate) lookups: Arc<Mutex<Vec<Instant>>>,
    /// How long that takes.
    pub(crate) lookup_takes: Duration,
}

impl Scripted {
    pub(crate) fn new(script: Script) -> Scripted {
        Scripted {
            script,
            start: Instant::now(),
            arrivals: Arc::default(),
            sendings: Arc::default(),
            in_flight: Arc::default(),
            // Nobody is allowed to look.
            history: Arc::new(|_, _| Err(refused(60010))),
            lookups: Arc::default(),
            lookup_takes: Duration::ZERO,
        }
    }

    pub(crate) fn sendings(&self) -> u32 {
        self.sendings.lock().unwrap().values().sum()
    }

    pub(crate) fn worst_second(&self) -> usize {
        worst_second(&self.arrivals.lock().unwrap())
    }

    pub(crate) fn worst_second_of_questions(&self) -> usize {
        worst_second(&self.lookups.lock().unwrap())
    }

    /// Of the first `count` requests, but for the one that goes ahead: at the end of a list, the last retries leave the cap
    /// unused.
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    pub(crate) fn mean(&self, count: usize) -> f64 {
        let arrivals = self.arrivals.lock().unwrap();
        (count - 2) as f64 / (arrivals[count - 1] - arrivals[1]).as_secs_f64()
    }
}

fn worst_second(arrivals: &[Instant]) -> usize {
    let (mut worst, mut first) = (0, 0);
    for last in 0..arrivals.len() {
        while arrivals[last] - arrivals[first] >= Duration::from_secs(1) {
            first += 1;
        }
        worst = worst.max(last - first + 1);
    }
    worst
}

impl Service for Scripted {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let sending = {
            let mut sendings = self.sendings.lock().unwrap();
            let count = sendings.entry(intent.line()).or_default();
            *count += 1;
            *count - 1
        };
        let reply = (self.script)(intent.line(), sending, self.start.elapsed());
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        sleep(reply.opens).await;
        if matches!(reply.outcome, Outcome::NotSent { .. }) {
            drop(permit);
        } else if permit.spend().is_err() {
            self.in_flight.lock().unwrap().0 -= 1;
            return Outcome::HeldBack;
        } else {
            self.arrivals.lock().unwrap().push(Instant::now());
        }
        sleep(reply.takes).await;
        self.in_flight.lock().unwrap().0 -= 1;
        reply.outcome
    }

    async fn history(&self, question: &HistoryQuery, permit: Permit) -> Result<HistoryPage, Outcome> {
        if permit.spend().is_err() {
            return Err(Outcome::HeldBack);
        }
        let nth = {
            let mut lookups = self.lookups.lock().unwrap();
            lookups.push(Instant::now());
            lookups.len()
        };
        sleep(self.lookup_takes).await;
        (self.history)(nth, question)
    }
}

pub(crate) struct Session {
    pub(crate) rows: u64,
    pub(crate) memory: Memory,
    pub(crate) service: Scripted,
    pub(crate) in_doubt: InDoubt,
    pub(crate) read_first: bool,
    pub(crate) conditions: Conditions,
    pub(crate) rate: NonZeroU32,
    pub(crate) failures: FailureLimit,
    pub(crate) attempts_max: NonZeroU32,
    pub(crate) in_flight_max: usize,
    pub(crate) under_way: UnderWay,
    pub(crate) locked_since: Option<Instant>,
    pub(crate) stop: CancellationToken,
}

impl Session {
    pub(crate) fn new(rows: u64, script: Script) -> Session {
        Session {
            rows,
            memory: Memory::default(),
            service: Scripted::new(script),
            in_doubt: InDoubt::Hold,
            read_first: false,
            conditions: Conditions::default(),
            rate: RATE,
            failures: FailureLimit::Percent(20),
            attempts_max: NonZeroU32::new(8).unwrap(),
            in_flight_max: 600,
            under_way: UnderWay::DIRECT,
            locked_since: None,
            stop: CancellationToken::new(),
        }
    }

    pub(crate) async fn run(&self) -> (Tally, RunEnd) {
        self.run_with(self.stop.clone()).await
    }

    pub(crate) async fn run_with(&self, orders: impl Into<ControlInbox>) -> (Tally, RunEnd) {
        self.run_shown(orders, |_| {}).await
    }

    /// The same, and passes on what the run reports.
    pub(crate) async fn run_shown(
        &self,
        orders: impl Into<ControlInbox>,
        report: impl FnMut(&Tally),
    ) -> (Tally, RunEnd) {
        let header = "from_account,to_account,msg_key,cloud_custom_data".to_owned();
        let rows = (0..self.rows).map(|row| format!("a,b,{row}_1_1773188576,x"));
        let list = std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n");
        let input = Input::from_reader("edits.csv", list.as_bytes(), Format::Csv).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let policy =
            Policy { in_doubt: self.in_doubt, retry_failed: false, read_first: self.read_first, rows_max: None };
        let store = self.memory.open(&RunInfo { read_first: self.read_first, ..run_info() });
        let records = self.memory.model.records();
        let as_of = AsOf { now: Timestamp::UNIX_EPOCH, messages_expire: false };
        let plan = plan(&input, &mapping, Some(&*records), &policy, as_of).unwrap();
        let todo = plan.todo(&input, &mapping, Some(records), policy).unwrap();
        let (ledger, writer) = Ledger::start(store);
        let Session { rate, attempts_max, in_doubt, under_way, locked_since, in_flight_max, failures, .. } = *self;
        let terms =
            RunTerms { rate, max_rate: rate, in_flight_max, attempts_max, in_doubt, under_way, locked_since, seed: 1 };
        let line = RunContext::new(ledger, self.service.clone(), terms).on(self.conditions.clone());
        let ended = run(line, failures, todo, orders, report).await;
        let mut store = writer.await.unwrap();
        if !matches!(ended.1, RunEnd::Stopped(StopReason::Ledger(_))) {
            let how = if matches!(ended.1, RunEnd::Finished) { "finished" } else { "stopped" };
            store.model.end_run(how, "").unwrap();
        }
        ended
    }
}
