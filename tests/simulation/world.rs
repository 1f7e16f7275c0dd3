//! One world: a list, a ledger, a service, and processes that work on them one after the other.

use std::num::NonZeroU32;
use std::time::Duration;

use runner::api::history::Names;
use runner::edit::MessageId;
use runner::input::{ContentSpec, Format, Input, InputSpec, Mapping};
use runner::ledger::{Ledger, State};
use runner::report::summary::Totals;
use runner::run::{Ended, FailureLimit, InDoubt, Limits, Line, Policy, StopReason, Terms, plan, run};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::disk::Disk;
use crate::events::Events;
use crate::service::{Fault, Make, Tencent, Weather};

/// No run of a few dozen edits takes longer, whatever happens.
const BOUND: Duration = Duration::from_hours(4);
/// Nor without faults.
const BOUND_CALM: Duration = Duration::from_mins(2);
/// After this long nothing of a dead process can still happen.
const QUIET: Duration = Duration::from_secs(20);

/// What a world is made of.
pub(crate) struct Climate {
    pub(crate) rows: u32,
    pub(crate) rate: NonZeroU32,
    pub(crate) in_flight_max: usize,
    pub(crate) attempts_max: NonZeroU32,
    pub(crate) make: Make,
    pub(crate) weather: Weather,
    /// Of a hundred messages, those that are gone, and those whose key does not tell when they were sent.
    pub(crate) gone: u32,
    pub(crate) keyless: u32,
    /// Of a hundred rows, those that repeat the one before.
    pub(crate) repeated: u32,
}

impl Climate {
    pub(crate) fn calm(rows: u32, rate: NonZeroU32) -> Climate {
        let make = Make { cap: rate.get(), names: None, one_sided: false, page: 100, no_history: false };
        let attempts_max = NonZeroU32::new(8).unwrap();
        Climate {
            rows,
            rate,
            in_flight_max: 60,
            attempts_max,
            make,
            weather: Weather::calm(),
            gone: 0,
            keyless: 0,
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
        climate.keyless = sometimes(random, 10);
        climate.repeated = sometimes(random, 10);
        let names = random.u8(0..6);
        climate.make = Make {
            cap: rate.get(),
            names: if names == 0 {
                Some(Names::Older)
            } else if names == 1 {
                Some(Names::Newer)
            } else {
                None
            },
            one_sided: random.u8(0..5) == 0,
            page: random.usize(1..6),
            no_history: random.u8(0..20) == 0,
        };
        climate.weather = weather(random);
        climate
    }
}

fn weather(random: &mut fastrand::Rng) -> Weather {
    let mut weather = Weather::calm();
    let worst = random.u32(10..200);
    for _ in 0..random.u8(0..6) {
        let fault = Fault::ALL[random.usize(..Fault::ALL.len())];
        // What stops the job at once would leave nothing else to be seen.
        let share = if matches!(fault, Fault::Refused(_) | Fault::NoSignature) { 5 } else { random.u32(1..worst) };
        weather.faults.push((fault, share));
    }
    weather.takes = match random.u8(0..6) {
        0 => 300..500,
        1 => 1..3_000,
        2 => 2_900..2_901,
        _ => 1..50,
    };
    weather.slow_to_open = if random.bool() { random.u32(0..300) } else { 0 };
    weather
}

/// One process.
#[derive(Clone, Default)]
pub(crate) struct Session {
    /// Cut off at this point.
    crash_at: Option<u64>,
    /// Asked to stop after this long.
    stop_after: Option<Duration>,
    /// Its ledger fails at this commit, which may be on the disk all the same.
    ledger_fails_at: Option<u64>,
    applied: bool,
    /// How the service misbehaves from here on; as before where nothing is said.
    weather: Option<Weather>,
    retry_failed: bool,
    rows_max: Option<u64>,
    holds: bool,
}

impl Session {
    pub(crate) fn cut_off_at(point: u64) -> Session {
        Session { crash_at: Some(point), ..Session::default() }
    }

    pub(crate) fn of(random: &mut fastrand::Rng, world: &World) -> Session {
        let mut session = Session { retry_failed: random.u8(0..4) == 0, ..Session::default() };
        session.weather = random.bool().then(|| weather(random));
        session.rows_max = (random.u8(0..8) == 0).then(|| random.u64(1..=u64::from(world.climate.rows)));
        session.holds = random.u8(0..10) == 0;
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
    messages: Vec<MessageId>,
    seed: u64,
}

impl World {
    pub(crate) fn new(climate: Climate, seed: u64, tells: bool) -> World {
        let events = Events::new(tells);
        let disk = Disk::new(&events);
        let service = Tencent::new(&events, &disk, climate.make, climate.weather.clone(), seed);
        let mut random = fastrand::Rng::with_seed(seed);
        let mut list = "from_account,to_account,msg_key,msg_body,cloud_custom_data\n".to_owned();
        let mut messages = Vec::new();
        for row in 0..climate.rows {
            // Few accounts and few seconds, so that a page holds more than one message.
            let (from, to) = (format!("user_{}", random.u8(0..3)), format!("user_{}", random.u8(3..5)));
            let keyless = random.u32(0..100) < climate.keyless;
            let msg_key =
                if keyless { format!("k{row}") } else { format!("{row}_7_{}", 1_773_188_570 + random.u32(0..6)) };
            let data = if random.bool() { "" } else { "cleared" };
            let body = r#"[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""[removed]""}}]"#;
            let line = format!("{from},{to},{msg_key},\"{body}\",{data}\n");
            let times = if random.u32(0..100) < climate.repeated { 2 } else { 1 };
            list += &line.repeat(times);
            let id = MessageId { from_account: from, to_account: to, msg_key };
            service.add(id.clone(), random.u32(0..100) >= climate.gone);
            messages.push(id);
        }
        World { climate, events, disk, service, list, messages, seed }
    }

    /// Everything that happened, as a number.
    pub(crate) fn events(&self) -> u64 {
        self.events.digest()
    }

    /// One process from its start to its end. True: it was cut off.
    pub(crate) async fn run(&self, session: Session) -> bool {
        self.events.tell(format_args!("START {}", describe(&session)));
        if let Some(weather) = &session.weather {
            self.service.set_weather(weather.clone());
        }
        let (cut_off, _) = self.process(&session, BOUND).await;
        self.events.raise();
        cut_off
    }

    /// With all faults gone, the job is finished within a bound, and once more there is nothing left to do.
    pub(crate) async fn finish(&self) {
        self.service.set_weather(Weather::calm());
        self.events.tell("START the last run");
        let last = Session { retry_failed: true, ..Session::default() };
        let (_, ended) = self.process(&last, BOUND_CALM).await;
        self.events.raise();
        assert!(matches!(ended, Some(Ended::Finished)), "with nothing going wrong it must finish: {ended:?}");
        for id in &self.messages {
            self.check_end(id);
        }
        self.service.set_weather(Weather::calm());
        self.process(&last, BOUND_CALM).await;
        let left = self.disk.count(State::InDoubt) + self.disk.count(State::Failed);
        assert!(left > 0 || self.service.requests() == 0, "a finished job sent {} requests", self.service.requests());
        sleep(QUIET).await;
        for id in &self.messages {
            self.check_end(id);
        }
        self.events.raise();
    }

    /// Where a message is at the end: done and edited once, or named, if there is no such message or it cannot be read
    /// back.
    fn check_end(&self, id: &MessageId) {
        let (key, edits) = (&id.msg_key, self.service.edits(id));
        let known = self.disk.known(id.digest()).unwrap_or_else(|| panic!("{key} was lost"));
        let exists = self.service.exists(id);
        let can_be_told = exists && id.second().is_some() && !self.climate.make.no_history;
        match known.state {
            State::Done => assert_eq!(edits, 1, "{key} is done"),
            State::Failed => assert!(edits == 0 && !exists, "{key} has failed: {known:?}"),
            State::InDoubt => assert!(!can_be_told, "{key} is in doubt: {known:?}"),
            State::Sending | State::Waiting => panic!("{key} was left {}", known.state),
        }
    }

    async fn process(&self, session: &Session, bound: Duration) -> (bool, Option<Ended>) {
        let crash = self.events.begin(session.crash_at);
        self.disk.open(session.ledger_fails_at, session.applied);
        let input = Input::from_reader("edits.csv", self.list.as_bytes(), Format::Csv).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let in_doubt = if session.holds { InDoubt::Hold } else { InDoubt::Verify };
        let policy = Policy { in_doubt, retry_failed: session.retry_failed, rows_max: session.rows_max };
        let plan = plan(&input, &mapping, Some(&mut self.disk.clone()), &policy).unwrap();
        let todo = plan.todo(&input, &mapping, Some(Box::new(self.disk.clone())), policy).unwrap();
        let (ledger, writer) = Ledger::start(self.disk.store(&self.service));
        let Climate { rate, attempts_max, in_flight_max, .. } = self.climate;
        let terms = Terms { rate, attempts_max, in_doubt, locked_since: Some(Instant::now()), seed: self.seed };
        let ahead_max = (rate.get() as usize * 3 / 20).clamp(4, 1_024);
        let limits = Limits { in_flight_max, ahead_max, failures: FailureLimit::Percent(100) };
        let stop = CancellationToken::new();
        if let Some(after) = session.stop_after {
            let stop = stop.clone();
            tokio::spawn(async move {
                sleep(after).await;
                stop.cancel();
            });
        }
        let line = Line::new(ledger, self.service.clone(), terms);
        let whole = timeout(bound, run(line, limits, todo, stop, |_| {}));
        let ended = tokio::select! {
            biased;
            () = crash.cancelled() => None,
            ended = whole => Some(ended.unwrap_or_else(|_| panic!("it does not end within {bound:?}"))),
        };
        let Some((tally, ended)) = ended else {
            writer.abort();
            // What the process was doing is gone before the next one starts.
            tokio::task::yield_now().await;
            return (true, None);
        };
        writer.await.unwrap();
        self.events.tell(format_args!("END {ended:?}"));
        if !matches!(ended, Ended::Stopped(StopReason::Ledger(_))) {
            let totals = Totals::new(&plan, &tally);
            let known = |state| self.disk.count(state);
            let of_ledger = (known(State::Done), known(State::Failed), known(State::InDoubt));
            assert_eq!(
                (totals.done, totals.failed, totals.in_doubt),
                of_ledger,
                "the totals are not the ledger's: {tally:?}"
            );
            assert_eq!(known(State::Sending), 0, "nothing is left under way");
            let all = totals.done + totals.failed + totals.in_doubt + totals.duplicates + totals.not_reached;
            assert_eq!(totals.rows, all, "the totals do not add up: {totals:?}");
        }
        (false, Some(ended))
    }
}

fn describe(session: &Session) -> String {
    let Session { crash_at, stop_after, ledger_fails_at, weather, retry_failed, rows_max, holds, .. } = session;
    let faults = weather.as_ref().map(|weather| &weather.faults);
    format!(
        "crash at {crash_at:?}, stop after {stop_after:?}, ledger fails at {ledger_fails_at:?}, retry failed \
         {retry_failed}, rows {rows_max:?}, hold {holds}, weather {faults:?}"
    )
}
