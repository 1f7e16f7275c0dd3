//! The service: it outlives the process, processes what reached it even if no answer is awaited any more, misbehaves as
//! the weather says, and checks what arrives.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::api::history::{HistoryPage, HistoryQuery};
use runner::api::{Outcome, Service};
use runner::edit::{Edit, MessageId};
use runner::ledger::{Intent, Note, State};
use runner::pace::Permit;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::simulation::disk::Disk;
use crate::simulation::events::Events;
use crate::simulation::messages::{Kind, Make, Messages};
use crate::simulation::orders::ControlLimits;
use crate::simulation::weather::{Call, Fault, Weather};

const SECOND: Duration = Duration::from_secs(1);
/// The client's time-out.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The service works on a request for at most this long.
const WORKS: Duration = Duration::from_secs(3);

#[derive(Clone)]
pub(crate) struct Tencent {
    events: Events,
    disk: Disk,
    /// The limits that the process was given while it ran.
    pub(crate) limits: ControlLimits,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    random: fastrand::Rng,
    weather: Weather,
    /// When the process started.
    since: Instant,
    messages: Messages,
    /// The process sends again what may have taken place already.
    resends: bool,
    modify: Traffic,
    history: Traffic,
    /// Requests of this session.
    requests: u64,
    /// The current signature replaced a refused one, and has not been accepted yet.
    signed_anew: bool,
    /// When an edit's first request in this session was refused with a code that concerns the job.
    job_refused: HashMap<String, Instant>,
    /// The edits whose signature was refused, and made anew.
    signed_anew_for: HashSet<String>,
    /// When the last request went out that was accepted.
    accepted: Option<Instant>,
}

#[derive(Default)]
struct Traffic {
    arrivals: VecDeque<Instant>,
}

impl Tencent {
    pub(crate) fn new(events: &Events, disk: &Disk, make: Make, weather: Weather, seed: u64) -> Tencent {
        let inner = Inner {
            random: fastrand::Rng::with_seed(seed),
            weather,
            since: Instant::now(),
            messages: Messages::new(make),
            resends: false,
            modify: Traffic::default(),
            history: Traffic::default(),
            requests: 0,
            signed_anew: false,
            job_refused: HashMap::new(),
            signed_anew_for: HashSet::new(),
            accepted: None,
        };
        let limits = ControlLimits::default();
        Tencent { events: events.clone(), disk: disk.clone(), limits, inner: Arc::new(Mutex::new(inner)) }
    }

    pub(crate) fn add(&self, id: MessageId, kind: Kind, text: &str, custom_data: Option<&str>) {
        self.inner.lock().unwrap().messages.add(id, kind, text, custom_data);
    }

    /// Starts a process that sends edits in doubt again, or does not.
    pub(crate) fn begin(&self, weather: Option<Weather>, resends: bool) {
        let mut inner = self.inner.lock().unwrap();
        inner.resends = resends;
        if let Some(weather) = weather {
            inner.weather = weather;
        }
        inner.since = Instant::now();
        inner.requests = 0;
        inner.signed_anew = false;
        inner.job_refused.clear();
        inner.signed_anew_for.clear();
        inner.accepted = None;
    }

    /// Whether the service was seen to accept the signature after it first refused the job to this edit.
    pub(crate) fn may_be_blamed(&self, key: &str) -> bool {
        let inner = self.inner.lock().unwrap();
        inner.job_refused.get(key).is_none_or(|refused| inner.accepted.is_some_and(|accepted| accepted > *refused))
    }

    /// Records whether the answer to a request that went out at `sent` shows acceptance.
    fn note_acceptance(&self, key: &str, sent: Instant, outcome: &Outcome) {
        let mut inner = self.inner.lock().unwrap();
        match outcome {
            // A new signature helps once; an edit that gets the code again with it is refused like any other.
            Outcome::Refused { signed_anew: true, .. } if inner.signed_anew_for.insert(key.to_owned()) => {}
            Outcome::Refused { code, signed_anew, .. } if *signed_anew || is_of_the_job(*code) => {
                inner.job_refused.entry(key.to_owned()).or_insert_with(Instant::now);
            }
            Outcome::Confirmed | Outcome::Refused { code: 20_006 | 20_026, .. } => {
                inner.accepted = inner.accepted.max(Some(sent));
            }
            _ => {}
        }
    }

    /// Requests in this session.
    pub(crate) fn requests(&self) -> u64 {
        self.inner.lock().unwrap().requests
    }

    pub(crate) fn has(&self, edit: &Edit) -> bool {
        self.inner.lock().unwrap().messages.has(edit)
    }

    pub(crate) fn was_made(&self, edit: &Edit) -> bool {
        self.inner.lock().unwrap().messages.was_made(edit)
    }

    /// Whether the message may have been edited more than once.
    pub(crate) fn is_forgiven(&self, id: &MessageId) -> bool {
        self.inner.lock().unwrap().messages.is_forgiven(id)
    }

    pub(crate) fn kind(&self, id: &MessageId) -> Kind {
        self.inner.lock().unwrap().messages.kind(id)
    }

    pub(crate) fn edits(&self, id: &MessageId) -> u32 {
        self.inner.lock().unwrap().messages.edits(id)
    }

    pub(crate) fn can_be_told(&self, edit: &Edit) -> bool {
        self.inner.lock().unwrap().messages.can_be_told(edit)
    }

    /// One more request goes out: its fate, how long it takes to open a connection, to get there, and to be answered.
    fn draw(&self, call: Call, about: &str) -> (Fault, Duration, Duration, Duration) {
        let mut inner = self.inner.lock().unwrap();
        let Inner { random, weather, since, signed_anew, .. } = &mut *inner;
        let mut fault = weather.draw(call, about, since.elapsed(), random);
        match fault {
            // It helps once.
            Fault::SignAnew if *signed_anew => fault = Fault::Refused(70_001),
            Fault::SignAnew => *signed_anew = true,
            Fault::None => *signed_anew = false,
            _ => {}
        }
        let opens = if random.u32(0..1_000) < weather.slow_to_open { 500 } else { 0 };
        // Requests that differ by more on their way are not promised to keep apart.
        let (way, takes) = (random.u64(0..3_000), random.u64(weather.takes.clone()));
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
        let cap = self.limits.cap();
        self.events.check(count <= cap as usize, || format!("{count} requests to {what} within a second, cap {cap}"));
    }

    /// The edit takes place, if there is such a message.
    fn edit(&self, edit: &Edit) -> bool {
        let (key, digest) = (&edit.id().msg_key, edit.id().digest());
        // The ledger may have lost what it knew.
        let is_known = self.disk.held(digest).is_some() || self.disk.has_lost_commits();
        self.events.check(is_known, || format!("{key} is edited, and the ledger knows nothing of it"));
        let Some(edits) = self.inner.lock().unwrap().messages.edit(edit) else { return false };
        self.events.log(format_args!("  {key} is edited"));
        let is_forgiven = self.is_forgiven(edit.id());
        self.events.check(edits == 1 || is_forgiven, || format!("{key} was edited {edits} times"));
        true
    }

    /// Processes a request that went out, whether or not its answer is awaited.
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
        self.inner.lock().unwrap().messages.settle(edit.id());
        sleep(takes).await;
        match outcome {
            Outcome::NoAnswer(Note::TimedOut) => std::future::pending().await,
            _ => reply(&outcome),
        }
    }
}

impl Service for Tencent {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let (key, digest) = (intent.edit().id().msg_key.clone(), intent.edit().id().digest());
        let (fault, opens, way, takes) = self.draw(Call::Edit, &key);
        self.events.point("between commit and send").await;
        sleep(opens).await;
        if matches!(fault, Fault::NotSent | Fault::NoSignature) {
            drop(permit);
            return fault.outcome().1;
        }
        if permit.spend().is_err() {
            self.events.log(format_args!("hold {key} back"));
            return Outcome::HeldBack;
        }
        self.events.log(format_args!("send {key}: {fault:?}"));
        self.events.check(self.disk.held(digest).is_some_and(|known| known.state == State::Sending), || {
            format!("{key} is sent without a durable intent")
        });
        self.events.check(!self.disk.has_failed(), || format!("{key} is sent after the ledger failed"));
        let others = {
            let mut inner = self.inner.lock().unwrap();
            let resends = inner.resends;
            inner.messages.depart(intent.edit().id(), resends)
        };
        self.events.check(self.limits.may_send(), || format!("{key} is sent in the middle of a pause"));
        self.events.check(others == 0, || format!("{key} is sent while the service may still be at work on it"));
        let sent = Instant::now();
        let (answer, outcome) = oneshot::channel();
        tokio::spawn(self.clone().work(intent.edit().clone(), fault, way, takes, answer));
        self.events.point("under way").await;
        let outcome = tokio::time::timeout(TIMEOUT, outcome).await;
        self.events.point("answered").await;
        match outcome {
            Ok(Ok(outcome)) => {
                self.note_acceptance(&key, sent, &outcome);
                outcome
            }
            Ok(Err(_)) | Err(_) => Outcome::NoAnswer(Note::TimedOut),
        }
    }

    async fn history(&self, question: &HistoryQuery, permit: Permit) -> Result<HistoryPage, Outcome> {
        let (fault, opens, way, takes) = self.draw(Call::Look, &question.peer);
        self.events.point("before a read-back").await;
        sleep(opens).await;
        if matches!(fault, Fault::NotSent | Fault::NoSignature) {
            drop(permit);
            return Err(fault.outcome().1);
        }
        if permit.spend().is_err() {
            self.events.log(format_args!("hold a read-back of {} and {} back", question.operator, question.peer));
            return Err(Outcome::HeldBack);
        }
        self.events.log(format_args!("read back {} and {}: {fault:?}", question.operator, question.peer));
        self.events.check(self.limits.may_send(), || "a message is read back in the middle of a pause".to_owned());
        let sent = Instant::now();
        sleep(way).await;
        self.arrived("read back", |inner| &mut inner.history);
        let page = self.inner.lock().unwrap().messages.page(question);
        sleep(takes).await;
        self.events.point("read back").await;
        match fault.outcome().1 {
            Outcome::Confirmed => {
                self.note_acceptance("", sent, &Outcome::Confirmed);
                page
            }
            Outcome::NoAnswer(Note::TimedOut) => {
                sleep(TIMEOUT).await;
                Err(Outcome::NoAnswer(Note::TimedOut))
            }
            outcome => {
                if !matches!(outcome, Outcome::Refused { code, .. } if is_of_the_job(code)) {
                    self.note_acceptance("", sent, &outcome);
                }
                Err(outcome)
            }
        }
    }
}

fn is_of_the_job(code: i64) -> bool {
    matches!(code, 60_004 | 60_005 | 70_001 | 70_003)
}
