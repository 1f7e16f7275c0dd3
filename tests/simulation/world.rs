//! One world: a list, a ledger, a service, and a series of processes that work on them.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use runner::api::history::AccountNames;
use runner::edit::{Edit, MessageId, MsgBody};
use runner::input::{ContentSpec, Format, Input, InputSpec, Mapping};
use runner::ledger::{ControlAction, EditRow, Ledger, Note, State};
use runner::report::summary::totals;
use runner::run::{
    AsOf, Control, FailureLimit, InDoubt, Policy, RunContext, RunEnd, RunTerms, StopReason, Tally, UnderWay, plan, run,
};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::simulation::disk::Disk;
use crate::simulation::events::Events;
use crate::simulation::messages::{History, Kind, Make};
use crate::simulation::orders::{self, Script};
use crate::simulation::service::Tencent;
use crate::simulation::weather::Weather;

/// No run of a few dozen edits takes longer, whatever happens.
const BOUND: Duration = Duration::from_hours(4);
/// Nor without faults, where every message is read first, in small pages, twice a second.
const BOUND_CALM: Duration = Duration::from_mins(20);
/// After this long nothing that a dead process sent can still happen.
const QUIET: Duration = Duration::from_secs(20);

/// What a world is made of.
pub(crate) struct Climate {
    pub(crate) rows: u32,
    pub(crate) rate: NonZeroU32,
    pub(crate) in_flight_max: usize,
    pub(crate) attempts_max: NonZeroU32,
    pub(crate) make: Make,
    pub(crate) weather: Weather,
    /// Of a hundred messages, those that are gone, those that were recalled, and those whose key has no time.
    pub(crate) gone: u32,
    pub(crate) recalled: u32,
    pub(crate) keyless: u32,
    /// All edits want the same kind of content.
    pub(crate) alike: bool,
    /// Of a hundred rows, those that repeat the one before.
    pub(crate) repeated: u32,
}

impl Climate {
    pub(crate) fn calm(rows: u32, rate: NonZeroU32) -> Climate {
        let make = Make { names: None, page: 100, history: History::Whole };
        let attempts_max = NonZeroU32::new(8).unwrap();
        Climate {
            rows,
            rate,
            in_flight_max: 60,
            attempts_max,
            make,
            weather: Weather::calm(),
            gone: 0,
            recalled: 0,
            keyless: 0,
            alike: true,
            repeated: 0,
        }
    }

    pub(crate) fn of(random: &mut fastrand::Rng) -> Climate {
        let rate = NonZeroU32::new(random.u32(2..300)).unwrap();
        let sometimes = |random: &mut fastrand::Rng, share: u32| if random.u8(0..4) == 0 { share } else { 0 };
        let mut climate = Climate::calm(random.u32(1..60), rate);
        climate.in_flight_max = random.usize(1..100);
        climate.attempts_max = NonZeroU32::new(random.u32(1..9)).unwrap();
        climate.gone = sometimes(random, 10);
        climate.recalled = sometimes(random, 10);
        climate.keyless = sometimes(random, 10);
        climate.alike = false;
        climate.repeated = sometimes(random, 10);
        let names = random.u8(0..6);
        climate.make = Make {
            names: if names == 0 {
                Some(AccountNames::Older)
            } else if names == 1 {
                Some(AccountNames::Newer)
            } else {
                None
            },
            page: random.usize(1..6),
            history: if random.bool() { History::Whole } else { History::ALL[random.usize(..History::ALL.len())] },
        };
        climate.weather = Weather::of(random);
        climate
    }

    /// The only fault is that answers to edits are lost, and no read-back takes long.
    pub(crate) fn gentle(random: &mut fastrand::Rng) -> Climate {
        let mut climate = Climate::of(random);
        climate.rate = NonZeroU32::new(random.u32(20..300)).unwrap();
        climate.in_flight_max = random.usize(20..100);
        climate.make.page = 100;
        climate.weather = Weather::gentle(random);
        climate
    }
}

/// One process.
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// Cut off at this point.
    crash_at: Option<u64>,
    /// Asked to stop after this long.
    stop_after: Option<Duration>,
    /// Control requests: pause, resume, another rate, stop.
    orders: Script,
    /// Its ledger fails at this commit, which may be on the disk all the same.
    ledger_fails_at: Option<u64>,
    applied: bool,
    /// How the service misbehaves from here on; `None`: as before.
    weather: Option<Weather>,
    retry_failed: bool,
    read_first: bool,
    rows_max: Option<u64>,
    in_doubt: InDoubt,
    failures: FailureLimit,
    /// If it is cut off, the log of its ledger is gone as well.
    loses_log: bool,
}

impl Default for Session {
    fn default() -> Session {
        Session {
            crash_at: None,
            stop_after: None,
            orders: Script::new(),
            ledger_fails_at: None,
            applied: false,
            weather: None,
            retry_failed: false,
            read_first: false,
            loses_log: false,
            rows_max: None,
            in_doubt: InDoubt::Verify,
            failures: FailureLimit::Percent(100),
        }
    }
}

impl Session {
    pub(crate) fn cut_off_at(point: u64) -> Session {
        Session { crash_at: Some(point), ..Session::default() }
    }

    /// Stopped by a signal or a control request, before anything can have been read back.
    pub(crate) fn stopped(random: &mut fastrand::Rng) -> Session {
        let after = Duration::from_millis(random.u64(0..4_900));
        let mut session = Session { weather: Some(Weather::gentle(random)), ..Session::default() };
        if random.bool() {
            session.stop_after = Some(after);
        } else {
            session.orders = vec![(after, ControlAction::Stop)];
        }
        session
    }

    pub(crate) fn of(random: &mut fastrand::Rng, world: &World) -> Session {
        let mut session = Session { retry_failed: random.u8(0..4) == 0, ..Session::default() };
        session.read_first = random.u8(0..6) == 0;
        session.loses_log = random.u8(0..6) == 0;
        session.weather = random.bool().then(|| Weather::of(random));
        session.rows_max = (random.u8(0..8) == 0).then(|| random.u64(1..=u64::from(world.climate.rows)));
        session.in_doubt = match random.u8(0..20) {
            0..2 => InDoubt::Hold,
            2 => InDoubt::Retry,
            _ => InDoubt::Verify,
        };
        session.failures = match random.u8(0..10) {
            0 => FailureLimit::Count(random.u64(0..5)),
            _ => FailureLimit::Percent(100),
        };
        if random.bool() {
            session.orders = orders::script(random, world.climate.rate);
        }
        match random.u8(0..8) {
            0..4 => session.crash_at = Some(random.u64(1..6 * u64::from(world.climate.rows) + 10)),
            4 => session.stop_after = Some(Duration::from_millis(random.u64(0..8_000))),
            5 => {
                session.ledger_fails_at = Some(random.u64(1..30));
                session.applied = random.bool();
            }
            _ => {}
        }
        session
    }
}

pub(crate) struct World {
    climate: Climate,
    events: Events,
    disk: Disk,
    service: Tencent,
    list: String,
    /// Each message once.
    messages: Vec<Edit>,
    seed: u64,
}

impl World {
    pub(crate) fn new(climate: Climate, seed: u64, verbose: bool) -> World {
        let events = Events::new(verbose);
        let disk = Disk::new(&events);
        let service = Tencent::new(&events, &disk, climate.make, climate.weather.clone(), seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut list, mut messages) = (String::new(), Vec::new());
        for row in 0..climate.rows {
            let id = id(row, random.u32(0..100) < climate.keyless, &mut random);
            let content = if climate.alike { 1 } else { random.u8(0..5) };
            let body = MsgBody::of_text("[removed]");
            let (body, data) = match content {
                0 => (Some(body), None),
                1 => (Some(body), Some("cleared")),
                2 => (Some(body), Some("")),
                3 => (None, Some("cleared")),
                _ => (None, Some("")),
            };
            let times = if random.u32(0..100) < climate.repeated { 2 } else { 1 };
            let edit = Edit::new(id, body, data.map(Into::into)).unwrap();
            list += &line(&edit).repeat(times);
            let kind = match random.u32(0..100) {
                fate if fate < climate.gone => Kind::Gone,
                fate if fate < climate.gone + climate.recalled => Kind::Recalled,
                _ => Kind::Ordinary,
            };
            // Some hold the wanted text already, as after an earlier job.
            let text = if climate.alike || random.u8(0..8) > 0 { "as it was" } else { "[removed]" };
            let data = (random.u8(0..4) > 0).then_some("as it was");
            service.add(edit.id().clone(), kind, text, data);
            messages.push(edit);
        }
        World { climate, events, disk, service, list, messages, seed }
    }

    /// The same, and a real ledger file goes along.
    pub(crate) fn beside_a_file(climate: Climate, seed: u64, verbose: bool) -> World {
        let world = World::new(climate, seed, verbose);
        world.disk.add_file(seed);
        world
    }

    /// A number that stands for everything that happened.
    pub(crate) fn events(&self) -> u64 {
        self.events.digest()
    }

    /// Runs one process from start to end. Returns whether it was cut off.
    pub(crate) async fn run(&self, session: Session) -> bool {
        self.events.log(format_args!("START {session:?}"));
        let (cut_off, _) = self.process(&session, BOUND).await;
        if cut_off && session.loses_log {
            self.events.log("LOST the log");
            self.disk.lose_log();
        }
        self.events.raise();
        cut_off
    }

    /// Runs one process and stops it, with lost answers to edits as the only fault: nothing that it edited stays in
    /// doubt. Returns how many edits a read-back found made.
    pub(crate) async fn stop_gently(&self, session: Session) -> u64 {
        self.events.log(format_args!("START {session:?}"));
        let (_, ended) = self.process(&session, BOUND).await;
        self.events.raise();
        for edit in &self.messages {
            let (key, message) = (&edit.id().msg_key, edit.id().digest());
            let is_in_doubt = |known: Option<EditRow>| known.is_some_and(|known| known.state == State::InDoubt);
            let came_into_doubt = is_in_doubt(self.disk.held(message)) && !is_in_doubt(self.disk.held_before(message));
            let could_be_told = self.service.was_made(edit) && self.service.can_be_told(edit);
            assert!(!came_into_doubt || !could_be_told, "{key} was edited, and the stop has left it in doubt");
        }
        ended.map_or(0, |(tally, _)| tally.found_edited)
    }

    /// With all faults gone, the job is finished within a bound, and once more there is nothing left to do.
    pub(crate) async fn finish(&self) {
        self.events.log("START the last run");
        let last = Session { retry_failed: true, weather: Some(Weather::calm()), ..Session::default() };
        let (_, ended) = self.process(&last, BOUND_CALM).await;
        self.events.raise();
        assert!(matches!(ended, Some((_, RunEnd::Finished))), "with nothing going wrong it must finish: {ended:?}");
        self.messages.iter().for_each(|edit| self.check_end(edit));
        self.process(&last, BOUND_CALM).await;
        let left = self.disk.count(State::InDoubt) + self.disk.count(State::Failed);
        assert!(left > 0 || self.service.requests() == 0, "a finished job sent {} requests", self.service.requests());
        sleep(QUIET).await;
        self.messages.iter().for_each(|edit| self.check_end(edit));
        self.events.raise();
    }

    /// Checks a message at the end: done and edited once, or named if it does not exist or cannot be read back.
    fn check_end(&self, edit: &Edit) {
        let (key, edits) = (&edit.id().msg_key, self.service.edits(edit.id()));
        let known = self.disk.held(edit.id().digest()).unwrap_or_else(|| panic!("{key} was lost"));
        match known.state {
            State::Done => {
                let once = edits == 1 || (edits > 1 && self.service.is_forgiven(edit.id()));
                // The ledger cannot know who edited it.
                assert!(once || (edits == 0 && self.service.has(edit)), "{key} is done, and was edited {edits} times");
            }
            State::Failed => {
                // An edit read before it is sent has failed if no history showed its message.
                let was_seen = !known.note.is_some_and(Note::is_of_reading_first) || self.service.can_be_told(edit);
                let is_gone = self.service.kind(edit.id()) == Kind::Gone;
                assert!(!was_seen || (edits == 0 && is_gone), "{key} has failed: {known:?}");
            }
            State::InDoubt => assert!(!self.service.can_be_told(edit), "{key} is in doubt: {known:?}"),
            State::Sending | State::Waiting => panic!("{key} was left {}", known.state),
        }
    }

    async fn process(&self, session: &Session, bound: Duration) -> (bool, Option<(Tally, RunEnd)>) {
        let Session { in_doubt, failures, retry_failed, rows_max, .. } = *session;
        // Without it the program refuses such a ledger.
        let read_first = session.read_first || self.disk.wants_read_first();
        let crash = self.events.begin(session.crash_at);
        self.service.begin(session.weather.clone(), in_doubt == InDoubt::Retry);
        let store = self.disk.open(&self.service, read_first, session.ledger_fails_at, session.applied);
        let input = Input::from_reader("edits.jsonl", self.list.as_bytes(), Format::Jsonl).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let policy = Policy { in_doubt, retry_failed, read_first, rows_max };
        let records = self.disk.records();
        let as_of = AsOf { now: Timestamp::UNIX_EPOCH, messages_expire: false };
        let plan = plan(&input, &mapping, Some(&*records), &policy, as_of).unwrap();
        let todo = plan.todo(&input, &mapping, Some(records), policy).unwrap();
        let (ledger, writer) = Ledger::start(store);
        let Climate { rate, attempts_max, in_flight_max, .. } = self.climate;
        let locked_since = Some(Instant::now());
        let under_way = UnderWay::DIRECT;
        let terms = RunTerms {
            rate,
            max_rate: rate,
            in_flight_max,
            attempts_max,
            in_doubt,
            under_way,
            locked_since,
            seed: self.seed,
        };
        let stop = CancellationToken::new();
        if let Some(after) = session.stop_after {
            let stop = stop.clone();
            tokio::spawn(async move {
                sleep(after).await;
                stop.cancel();
            });
        }
        let (control, acts) = Control::new(rate, stop);
        let (limits, script) = (self.service.limits.clone(), session.orders.clone());
        limits.begin(rate);
        let operator = tokio::spawn(orders::send(control, script, limits, self.disk.clone(), self.events.clone()));
        let line = RunContext::new(ledger, self.service.clone(), terms);
        let whole = timeout(bound, run(line, failures, todo, acts, |_| {}));
        let ended = tokio::select! {
            biased;
            () = crash.cancelled() => None,
            ended = whole => Some(ended.unwrap_or_else(|_| panic!("it does not end within {bound:?}"))),
        };
        operator.abort();
        let Some((tally, ended)) = ended else {
            self.disk.cut_off();
            // What the process was doing, and its lock, are gone before the next one starts.
            writer.abort();
            drop(writer.await);
            tokio::task::yield_now().await;
            return (true, None);
        };
        let store = writer.await.unwrap();
        self.events.log(format_args!("END {ended:?}"));
        if matches!(ended, RunEnd::Stopped(StopReason::Ledger(_))) {
            self.disk.cut_off();
            return (false, Some((tally, ended)));
        }
        let totals = totals(&plan, &tally);
        let known = |state| self.disk.count(state);
        let of_ledger = (known(State::Done), known(State::Failed), known(State::InDoubt));
        assert_eq!(
            (totals.done, totals.failed, totals.in_doubt),
            of_ledger,
            "the totals are not the ledger's: {tally:?}"
        );
        assert_eq!(known(State::Sending), 0, "nothing is left under way");
        let all = totals.done + totals.failed + totals.in_doubt + plan.duplicates + totals.not_reached;
        assert_eq!(plan.rows, all, "the totals do not add up: {totals:?}");
        let is_through = matches!(ended, RunEnd::Finished) && rows_max.is_none();
        assert!(!is_through || totals.not_reached == 0, "finished, and passed over rows: {totals:?}");
        store.end(&ended, matches!(ended, RunEnd::Finished) && totals.not_reached == 0);
        (false, Some((tally, ended)))
    }
}

/// Few accounts and few seconds, so that a page of a history holds more than one message.
fn id(row: u32, keyless: bool, random: &mut fastrand::Rng) -> MessageId {
    let (from_account, to_account) = (format!("user_{}", random.u8(0..3)), format!("user_{}", random.u8(3..5)));
    let msg_key = if keyless { format!("k{row}") } else { format!("{row}_7_{}", 1_773_188_570 + random.u32(0..6)) };
    MessageId { from_account, to_account, msg_key }
}

/// A row of the list: the service's request body.
fn line(edit: &Edit) -> String {
    let id = edit.id();
    let mut body = json!({ "From_Account": id.from_account, "To_Account": id.to_account, "MsgKey": id.msg_key });
    if let Some(content) = edit.msg_body() {
        body["MsgBody"] = serde_json::from_str(content.text()).unwrap();
    }
    if let Some(data) = edit.cloud_custom_data() {
        body["CloudCustomData"] = data.into();
    }
    format!("{body}\n")
}
