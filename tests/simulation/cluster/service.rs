//! The service, for several processes: it outlives them, does what has reached it, and counts what arrives from all of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use runner::api::history::{HistoryPage, HistoryQuery};
use runner::api::{Outcome, Service};
use runner::edit::{Edit, MessageId};
use runner::ledger::{Intent, Note, State};
use runner::pace::Permit;
use tokio::time::{sleep, timeout};

use crate::simulation::cluster::globe::Globe;
use crate::simulation::cluster::process::{Handed, Process};
use crate::simulation::messages::{Kind, Make, Messages};
use crate::simulation::weather::{Call, Fault, Weather};
use crate::support::model_database::JobNumber;

const SECOND: Duration = Duration::from_secs(1);
/// The client's time-out.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The service works on a request for at most this long.
const WORKS: Duration = Duration::from_secs(3);
/// A request that stood between gate and socket for longer than this left late, and does not count against the cap: the
/// ones behind it had to wait for nothing.
const PROMPT: Duration = Duration::from_millis(1);
/// A lower cap is in force once the gate of a run that was not told must be shut, and a second has passed.
const LOWER_AFTER: Duration = Duration::from_secs(6);
/// A pause is in force once the gate of a run that was not told must be shut, and what was permitted has left.
const PAUSED_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(crate) struct Tencent {
    pub(crate) globe: Globe,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    weather: Weather,
    messages: Messages,
    modify: Traffic,
    history: Traffic,
    /// The caps that were in force, and since when.
    caps: VecDeque<(Duration, u32)>,
    /// Since when jobs are paused.
    paused: BTreeMap<JobNumber, Duration>,
    /// Confirmations that a process has heard, of which nothing is known to be recorded yet.
    confirmed: Vec<(usize, i64, JobNumber, Edit)>,
    now: Duration,
}

#[derive(Default)]
struct Traffic {
    /// What has arrived and is not judged yet, in no order.
    arriving: Vec<Duration>,
    /// What has arrived within the last second.
    arrived: VecDeque<Duration>,
}

/// The service, as one run of one process sees it.
#[derive(Clone)]
pub(crate) struct Connection {
    service: Tencent,
    process: Process,
    job: JobNumber,
    run: i64,
}

impl Tencent {
    pub(crate) fn new(globe: &Globe, make: Make, weather: Weather) -> Tencent {
        let inner = Inner {
            weather,
            messages: Messages::new(make),
            modify: Traffic::default(),
            history: Traffic::default(),
            caps: VecDeque::new(),
            paused: BTreeMap::new(),
            confirmed: Vec::new(),
            now: Duration::ZERO,
        };
        Tencent { globe: globe.clone(), inner: Arc::new(Mutex::new(inner)) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    pub(crate) fn add(&self, id: MessageId, kind: Kind, text: &str) {
        self.inner().messages.add(id, kind, text, None);
    }

    /// The weather changes.
    pub(crate) fn set_weather(&self, weather: Weather) {
        self.inner().weather = weather;
    }

    pub(crate) fn connect(&self, process: &Process, job: JobNumber, run: i64) -> Connection {
        Connection { service: self.clone(), process: process.clone(), job, run }
    }

    pub(crate) fn has(&self, edit: &Edit) -> bool {
        self.inner().messages.has(edit)
    }

    pub(crate) fn was_made(&self, edit: &Edit) -> bool {
        self.inner().messages.was_made(edit)
    }

    pub(crate) fn kind(&self, id: &MessageId) -> Kind {
        self.inner().messages.kind(id)
    }

    pub(crate) fn edits(&self, id: &MessageId) -> u32 {
        self.inner().messages.edits(id)
    }

    pub(crate) fn can_be_told(&self, edit: &Edit) -> bool {
        self.inner().messages.can_be_told(edit)
    }

    /// The time up to which everything has happened.
    pub(crate) fn last_seen(&self) -> Duration {
        self.inner().now
    }

    /// Everything up to now has happened: judges what has arrived.
    pub(crate) fn judge(&self, now: Duration, cap: u32, paused: impl Iterator<Item = JobNumber>) {
        let mut inner = self.inner();
        inner.now = now;
        if inner.caps.back().is_none_or(|(_, last)| *last != cap) {
            inner.caps.push_back((now, cap));
        }
        // The one before counts until its successor has been in force for long enough.
        while inner.caps.get(1).is_some_and(|(since, _)| *since + LOWER_AFTER < now) {
            inner.caps.pop_front();
        }
        let cap = inner.caps.iter().map(|(_, cap)| *cap).max().unwrap_or(cap);
        let before = std::mem::take(&mut inner.paused);
        inner.paused = paused.map(|job| (job, before.get(&job).copied().unwrap_or(now))).collect();
        for (what, most) in [("edit", inner.modify.judge(now)), ("read back", inner.history.judge(now))] {
            self.globe
                .story
                .check(now, most <= cap as usize, || format!("{most} requests to {what} within a second, cap {cap}"));
        }
    }

    /// Confirmations that a process has heard in a run that has ended, and that nobody else has.
    pub(crate) fn take_confirmed(&self, process: usize, run: i64) -> Vec<(JobNumber, Edit)> {
        let mut inner = self.inner();
        let (of_run, others) =
            std::mem::take(&mut inner.confirmed).into_iter().partition(|(of, by, ..)| (*of, *by) == (process, run));
        inner.confirmed = others;
        let of_run: Vec<(usize, i64, JobNumber, Edit)> = of_run;
        of_run.into_iter().map(|(_, _, job, edit)| (job, edit)).collect()
    }

    /// The edit takes place, if there is such a message.
    fn edit(&self, edit: &Edit, now: Duration) {
        let key = &edit.id().msg_key;
        let mut inner = self.inner();
        let edits = inner.messages.edit(edit);
        inner.messages.settle(edit.id());
        drop(inner);
        if let Some(edits) = edits {
            self.globe.story.log(now, format_args!("  {key} is edited"));
            self.globe.story.check(now, edits == 1, || format!("{key} was edited {edits} times"));
        }
    }
}

impl Traffic {
    /// The most that arrived within a second that ends up to now.
    fn judge(&mut self, now: Duration) -> usize {
        let mut due: Vec<Duration> = self.arriving.extract_if(.., |at| *at <= now).collect();
        due.sort_unstable();
        let mut most = 0;
        for at in due {
            self.arrived.push_back(at);
            while self.arrived.front().is_some_and(|first| at.saturating_sub(*first) >= SECOND) {
                self.arrived.pop_front();
            }
            most = most.max(self.arrived.len());
        }
        most
    }
}

impl Connection {
    /// One more request goes out: its fate, how long it takes to open a connection, to get there, and to be answered.
    fn draw(&self, call: Call, about: &str) -> (Fault, Duration, Duration, Duration) {
        let mut random = self.service.globe.random.lock().unwrap();
        let mut inner = self.service.inner();
        let fault = inner.weather.draw(call, about, self.process.now(), &mut random);
        let opens = if random.u32(0..1_000) < inner.weather.slow_to_open { 500 } else { 0 };
        let (way, takes) = (random.u64(0..3_000), random.u64(inner.weather.takes.clone()));
        (fault, Duration::from_millis(opens), Duration::from_micros(way), Duration::from_millis(takes))
    }

    /// Hands the bytes to the connection. Returns when they left, and whether that was late.
    async fn leave(&self) -> (Duration, bool, Handed) {
        let handed = self.process.hand();
        // Stopped here, a process sends when it goes on what nobody can hold back any more.
        let stood = self.process.socket().await;
        (self.process.now(), stood > PROMPT, handed)
    }

    fn check_pause(&self, what: &str) {
        let now = self.process.now();
        let paused = self.service.inner().paused.get(&self.job).copied();
        // Those that were judged last may have heard since that they may go on.
        let goes_on = !self.service.globe.database.tables().is_paused(self.job);
        let may_send = goes_on || paused.is_none_or(|since| now.saturating_sub(since) <= PAUSED_AFTER);
        self.service.globe.story.check(now, may_send, || format!("{what} in the middle of a pause"));
    }
}

impl Service for Connection {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let (service, story, edit) = (&self.service, &self.service.globe.story, intent.edit().clone());
        let key = edit.id().msg_key.clone();
        let (fault, opens, way, takes) = self.draw(Call::Edit, &key);
        self.process.point().await;
        sleep(opens).await;
        if matches!(fault, Fault::NotSent | Fault::NoSignature) {
            drop(permit);
            return fault.outcome().1;
        }
        let (now, by) = (self.process.now(), self.process.name());
        // What the database holds at this moment.
        service.globe.under_way.catch_up(now);
        let row = service.globe.database.tables().row(self.job, edit.id().digest());
        if permit.spend().is_err() {
            story.log(now, format_args!("hold {key} back in {by}"));
            return Outcome::HeldBack;
        }
        story.log(now, format_args!("send {key} by {by} in run {}: {fault:?}", self.run));
        let is_intended = row.is_some_and(|(row, run)| row.state == State::Sending && run == self.run);
        story.check(now, is_intended, || format!("{key} is sent without a durable intent of its run: {row:?}"));
        self.check_pause(&key);
        let (left, is_late, _handed) = self.leave().await;
        // What is in the hands of a process that will not live to send it is under way for nobody.
        let others = service.inner().messages.depart(edit.id(), false);
        story.check(left, others == 0, || format!("{key} is sent while another request for it may be under way"));
        if is_late {
            story.log(left, format_args!("{key} leaves late"));
        }
        let late = |most: Duration| service.globe.draw_time(most);
        let arrives = left + if fault == Fault::Stuck { late(runner::api::client::UNDERWAY_MAX) } else { way };
        if fault != Fault::Stuck && !is_late {
            service.inner().modify.arriving.push(arrives);
        }
        let is_done_late = matches!(fault, Fault::LostLate | Fault::Stuck);
        let happens = arrives + if is_done_late { late(WORKS) } else { Duration::ZERO };
        let (takes_place, mut outcome) = fault.outcome();
        if takes_place && service.kind(edit.id()) == Kind::Gone && outcome == Outcome::Confirmed {
            outcome = Outcome::Refused { code: 20_026, info: String::new(), retry_after: None, signed_anew: false };
        }
        let (of, its) = (service.clone(), edit.clone());
        service.globe.under_way.push(happens, move |at| {
            if takes_place {
                of.edit(&its, at);
            } else {
                of.inner().messages.settle(its.id());
            }
        });
        self.process.point().await;
        let answered = if fault == Fault::LostLate { arrives } else { happens + takes };
        let waits = answered.saturating_sub(self.process.now());
        let is_answered = outcome != Outcome::NoAnswer(Note::TimedOut) && timeout(TIMEOUT, sleep(waits)).await.is_ok();
        if !is_answered {
            sleep(TIMEOUT.saturating_sub(self.process.now().saturating_sub(left))).await;
            return Outcome::NoAnswer(Note::TimedOut);
        }
        self.process.point().await;
        service.globe.under_way.catch_up(self.process.now());
        if outcome == Outcome::Confirmed {
            service.inner().confirmed.push((by, self.run, self.job, edit));
        }
        outcome
    }

    async fn history(&self, question: &HistoryQuery, permit: Permit) -> Result<HistoryPage, Outcome> {
        let (service, story) = (&self.service, &self.service.globe.story);
        let (fault, opens, way, takes) = self.draw(Call::Look, &question.peer);
        self.process.point().await;
        sleep(opens).await;
        if matches!(fault, Fault::NotSent | Fault::NoSignature) {
            drop(permit);
            return Err(fault.outcome().1);
        }
        if permit.spend().is_err() {
            return Err(Outcome::HeldBack);
        }
        let now = self.process.now();
        story
            .log(now, format_args!("read back {} and {} by {}", question.operator, question.peer, self.process.name()));
        self.check_pause("a message is read back");
        let (left, is_late, _handed) = self.leave().await;
        if !is_late {
            service.inner().history.arriving.push(left + way);
        }
        sleep(way).await;
        service.globe.under_way.catch_up(self.process.now());
        let page = service.inner().messages.page(question);
        sleep(takes).await;
        self.process.point().await;
        match fault.outcome().1 {
            Outcome::Confirmed => page,
            Outcome::NoAnswer(Note::TimedOut) => {
                sleep(TIMEOUT).await;
                Err(Outcome::NoAnswer(Note::TimedOut))
            }
            outcome => Err(outcome),
        }
    }
}
