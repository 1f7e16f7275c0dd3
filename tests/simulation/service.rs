//! The service: it outlives the process, works on what reached it even if nobody waits any more, misbehaves as the
//! weather says, and checks what arrives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::api::history::{Held, Names, Page, Question};
use runner::api::{Outcome, Service};
use runner::edit::{Edit, Likeness, MessageId};
use runner::ledger::{Intent, Note, State};
use runner::pace::Permit;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::disk::Disk;
use crate::events::Events;

const SECOND: Duration = Duration::from_secs(1);
/// The client's time-out.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The service works on a request for at most this long.
const WORKS: Duration = Duration::from_secs(3);

/// What can go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    Code(i64),
    SlowDown,
    /// Too fast, by HTTP, and for how long.
    Http429(u64),
    Http502Before,
    Http502After,
    Garbage,
    LostBefore,
    LostAfter,
    /// The connection is lost at once, and the edit takes place up to three seconds later.
    LostLate,
    TimedOutBefore,
    TimedOutAfter,
    /// What was sent lies in the kernel for a while before it goes out, even if the process is gone by then.
    Stuck,
    NotSent,
    SignAnew,
    /// The signature is refused, and so is the job.
    Refused(i64),
    NoSignature,
}

impl Fault {
    pub(crate) const ALL: [Fault; 24] = [
        Fault::Code(20004),
        Fault::Code(20005),
        Fault::Code(91000),
        Fault::Code(90992),
        Fault::Code(20006),
        Fault::Code(424_242),
        Fault::SlowDown,
        Fault::Http429(0),
        Fault::Http429(7),
        Fault::Http502Before,
        Fault::Http502After,
        Fault::Garbage,
        Fault::LostBefore,
        Fault::LostAfter,
        Fault::LostLate,
        Fault::LostLate,
        Fault::TimedOutBefore,
        Fault::TimedOutAfter,
        Fault::Stuck,
        Fault::NotSent,
        Fault::SignAnew,
        Fault::Refused(70_001),
        Fault::Refused(70_003),
        Fault::NoSignature,
    ];

    /// The answer that comes instead of a success, whether the edit takes place, and what the client makes of it.
    fn outcome(self) -> (bool, Outcome) {
        let refused = |code, signed_anew| Outcome::Refused { code, info: "no".into(), retry_after: None, signed_anew };
        let http = |status, retry_after: Option<u64>| Outcome::Http {
            status,
            retry_after: retry_after.map(Duration::from_secs),
        };
        match self {
            Fault::None => (true, Outcome::Confirmed),
            Fault::Code(code) | Fault::Refused(code) => (false, refused(code, false)),
            Fault::SlowDown => (false, refused(60_007, false)),
            Fault::SignAnew => (false, refused(70_001, true)),
            Fault::Http429(seconds) => (false, http(429, (seconds > 0).then_some(seconds))),
            Fault::Http502Before => (false, http(502, None)),
            Fault::Http502After => (true, http(502, None)),
            Fault::Garbage => (true, Outcome::NoAnswer(Note::NotTheService)),
            Fault::LostBefore => (false, Outcome::NoAnswer(Note::ConnectionLost)),
            Fault::LostAfter | Fault::LostLate => (true, Outcome::NoAnswer(Note::ConnectionLost)),
            Fault::TimedOutBefore => (false, Outcome::NoAnswer(Note::TimedOut)),
            Fault::TimedOutAfter | Fault::Stuck => (true, Outcome::NoAnswer(Note::TimedOut)),
            Fault::NotSent => (false, Outcome::NotSent { reason: "connection refused".into() }),
            Fault::NoSignature => (false, Outcome::NoSignature),
        }
    }
}

/// How the service misbehaves.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// Of a thousand requests, for edits and for read-backs.
    pub(crate) faults: Vec<(Fault, u32)>,
    /// The fates of the first requests, before chance has its way.
    pub(crate) script: VecDeque<Fault>,
    /// How long answers take, in milliseconds.
    pub(crate) takes: std::ops::Range<u64>,
    /// Of a thousand connections, those that take half a second to open.
    pub(crate) slow_to_open: u32,
}

impl Weather {
    pub(crate) fn calm() -> Weather {
        Weather { faults: Vec::new(), script: VecDeque::new(), takes: 1..20, slow_to_open: 0 }
    }

    pub(crate) fn scripted(fates: &[Fault]) -> Weather {
        // Read-backs take their turn in the same script, so each fate comes several times.
        Weather { script: fates.iter().copied().cycle().take(60).collect(), ..Weather::calm() }
    }

    fn draw(&mut self, random: &mut fastrand::Rng) -> Fault {
        if let Some(fate) = self.script.pop_front() {
            return fate;
        }
        let mut rest = random.u32(0..1_000);
        for (fault, share) in &self.faults {
            if rest < *share {
                return *fault;
            }
            rest -= share;
        }
        Fault::None
    }
}

/// How the service is made, for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Make {
    pub(crate) cap: u32,
    /// The names of the accounts that it takes; `None`: both.
    pub(crate) names: Option<Names>,
    /// Only who received a message sees it.
    pub(crate) one_sided: bool,
    pub(crate) page: usize,
    /// It refuses to have anything read back.
    pub(crate) no_history: bool,
}

#[derive(Clone)]
pub(crate) struct Tencent {
    events: Events,
    disk: Disk,
    make: Make,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: fastrand::Rng,
    weather: Weather,
    messages: BTreeMap<MessageId, Message>,
    modify: Traffic,
    history: Traffic,
    /// Of this session.
    requests: u64,
}

#[derive(Default)]
struct Traffic {
    arrivals: VecDeque<Instant>,
}

struct Message {
    /// It is there.
    exists: bool,
    body: Value,
    custom_data: Option<String>,
    edits: u32,
}

impl Tencent {
    pub(crate) fn new(events: &Events, disk: &Disk, make: Make, weather: Weather, seed: u64) -> Tencent {
        let inner = Inner {
            random: fastrand::Rng::with_seed(seed),
            weather,
            messages: BTreeMap::new(),
            modify: Traffic::default(),
            history: Traffic::default(),
            requests: 0,
        };
        Tencent { events: events.clone(), disk: disk.clone(), make, inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn add(&self, id: MessageId, exists: bool) {
        let body = json!([{ "MsgType": "TIMTextElem", "MsgContent": { "Text": "as it was" } }]);
        self.inner.lock().unwrap().messages.insert(id, Message { exists, body, custom_data: None, edits: 0 });
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        let mut inner = self.inner.lock().unwrap();
        inner.weather = weather;
        inner.requests = 0;
    }

    /// Requests in this session.
    pub(crate) fn requests(&self) -> u64 {
        self.inner.lock().unwrap().requests
    }

    pub(crate) fn has(&self, edit: &Edit) -> bool {
        let inner = self.inner.lock().unwrap();
        let message = &inner.messages[edit.id()];
        message.exists && edit.likeness(Some(&message.body), message.custom_data.as_deref()) == Likeness::Same
    }

    pub(crate) fn exists(&self, id: &MessageId) -> bool {
        self.inner.lock().unwrap().messages[id].exists
    }

    pub(crate) fn edits(&self, id: &MessageId) -> u32 {
        self.inner.lock().unwrap().messages[id].edits
    }

    /// One more request goes out: its fate, how long it takes to open a connection, to get there, and to be answered.
    fn draw(&self) -> (Fault, Duration, Duration, Duration) {
        let mut inner = self.inner.lock().unwrap();
        let Inner { random, weather, .. } = &mut *inner;
        let fault = weather.draw(random);
        let opens = if random.u32(0..1_000) < weather.slow_to_open { 500 } else { 0 };
        let (way, takes) = (random.u64(0..4_000), random.u64(weather.takes.clone()));
        (fault, Duration::from_millis(opens), Duration::from_micros(way), Duration::from_millis(takes))
    }

    fn arrived(&self, what: &str, traffic: impl Fn(&mut Inner) -> &mut Traffic) {
        let now = Instant::now();
        let mut inner = self.inner.lock().unwrap();
        inner.requests += 1;
        let arrivals = &mut traffic(&mut inner).arrivals;
        arrivals.push_back(now);
        while arrivals.front().is_some_and(|first| now - *first >= SECOND) {
            arrivals.pop_front();
        }
        let count = arrivals.len();
        drop(inner);
        self.events.check(count <= self.make.cap as usize, || format!("{count} requests to {what} within a second"));
    }

    /// The edit takes place, if there is such a message.
    fn edit(&self, edit: &Edit) -> bool {
        let (key, digest) = (&edit.id().msg_key, edit.id().digest());
        self.events.check(self.disk.known(digest).is_some(), || {
            format!("{key} is edited, and the ledger knows nothing of it")
        });
        let mut inner = self.inner.lock().unwrap();
        let Some(message) = inner.messages.get_mut(edit.id()).filter(|message| message.exists) else { return false };
        if let Some(body) = edit.msg_body() {
            message.body = serde_json::from_str(body.text()).unwrap();
        }
        if let Some(data) = edit.cloud_custom_data() {
            message.custom_data = Some(data.to_owned());
        }
        message.edits += 1;
        let edits = message.edits;
        drop(inner);
        self.events.tell(format_args!("  {key} is edited"));
        self.events.check(edits == 1, || format!("{key} was edited {edits} times"));
        true
    }

    /// What the service does with a request that went out, whether anybody waits for the answer or not.
    async fn work(self, edit: Edit, fault: Fault, way: Duration, takes: Duration, answer: oneshot::Sender<Outcome>) {
        let (takes_place, mut outcome) = fault.outcome();
        let late = |most: Duration| most.mul_f64(self.inner.lock().unwrap().random.f64());
        if fault == Fault::Stuck {
            // It is the network that makes it late then, so it does not count against the cap.
            sleep(late(runner::api::client::UNDERWAY_MAX)).await;
        } else {
            sleep(way).await;
            self.arrived("edit", |inner| &mut inner.modify);
        }
        let mut answer = Some(answer);
        let mut reply = |outcome: &Outcome| {
            // The process may be gone.
            let _ = answer.take().map(|answer| answer.send(outcome.clone()));
        };
        match fault {
            Fault::LostLate => {
                reply(&outcome);
                sleep(late(WORKS)).await;
            }
            Fault::Stuck => sleep(late(WORKS)).await,
            _ => {}
        }
        if takes_place && !self.edit(&edit) && outcome == Outcome::Confirmed {
            outcome = Outcome::Refused { code: 20_026, info: String::new(), retry_after: None, signed_anew: false };
        }
        sleep(takes).await;
        match outcome {
            Outcome::NoAnswer(Note::TimedOut) => std::future::pending().await,
            _ => reply(&outcome),
        }
    }

    /// A page of a history, from new to old.
    fn page(&self, question: &Question) -> Result<Page, Outcome> {
        let refused = |code| Outcome::Refused { code, info: String::new(), retry_after: None, signed_anew: false };
        if self.make.no_history {
            return Err(refused(60_005));
        }
        if self.make.names.is_some_and(|names| names != question.names) {
            return Err(refused(90_008));
        }
        let inner = self.inner.lock().unwrap();
        let sides = [&question.operator, &question.peer];
        let mut found: Vec<(u32, &MessageId, &Message)> = inner
            .messages
            .iter()
            .filter(|(id, message)| {
                let is_theirs = sides.contains(&&id.from_account) && sides.contains(&&id.to_account);
                message.exists && is_theirs && (!self.make.one_sided || id.to_account == question.operator)
            })
            .filter_map(|(id, message)| Some((id.second()?, id, message)))
            .filter(|(second, ..)| (question.min_time..=question.max_time).contains(second))
            .collect();
        found.sort_by(|a, b| (b.0, &b.1.msg_key).cmp(&(a.0, &a.1.msg_key)));
        if let Some(last) = &question.last_msg_key {
            let position = found.iter().position(|(_, id, _)| id.msg_key == *last);
            found.drain(..position.map_or(0, |position| position + 1));
        }
        let complete = found.len() <= self.make.page;
        found.truncate(self.make.page);
        let (last_msg_time, last_msg_key) =
            found.last().map_or((0, String::new()), |(second, id, _)| (*second, id.msg_key.clone()));
        let held = |(_, id, message): &(u32, &MessageId, &Message)| Held {
            id: (*id).clone(),
            recalled: false,
            msg_body: Some(message.body.clone()),
            cloud_custom_data: message.custom_data.clone(),
        };
        Ok(Page { complete, last_msg_time, last_msg_key, messages: found.iter().map(held).collect() })
    }
}

impl Service for Tencent {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let (key, digest) = (intent.edit().id().msg_key.clone(), intent.edit().id().digest());
        let (fault, opens, way, takes) = self.draw();
        self.events.point("between commit and send").await;
        sleep(opens).await;
        if matches!(fault, Fault::NotSent | Fault::NoSignature) {
            drop(permit);
            return fault.outcome().1;
        }
        self.events.tell(format_args!("send {key}: {fault:?}"));
        self.events.check(self.disk.known(digest).is_some_and(|known| known.state == State::Sending), || {
            format!("{key} is sent without a durable intent")
        });
        self.events.check(!self.disk.has_failed(), || format!("{key} is sent after the ledger failed"));
        permit.spend();
        let (answer, outcome) = oneshot::channel();
        tokio::spawn(self.clone().work(intent.edit().clone(), fault, way, takes, answer));
        self.events.point("under way").await;
        let outcome = tokio::time::timeout(TIMEOUT, outcome).await;
        self.events.point("answered").await;
        match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) | Err(_) => Outcome::NoAnswer(Note::TimedOut),
        }
    }

    async fn history(&self, question: &Question, permit: Permit) -> Result<Page, Outcome> {
        let (fault, opens, way, takes) = self.draw();
        self.events.point("before a read-back").await;
        sleep(opens).await;
        if matches!(fault, Fault::NotSent | Fault::NoSignature) {
            drop(permit);
            return Err(fault.outcome().1);
        }
        self.events.tell(format_args!("read back {} and {}: {fault:?}", question.operator, question.peer));
        permit.spend();
        sleep(way).await;
        self.arrived("read back", |inner| &mut inner.history);
        let page = self.page(question);
        sleep(takes).await;
        self.events.point("read back").await;
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
