//! What happened to each edit, on disk before anything relies on it.
//!
//! The life of an edit runs through here twice. [`Ledger::intend`] makes the wish to send it durable and only then
//! hands out an [`Intent`], the one value that the client takes for sending. [`Ledger::record`] makes what came of it
//! durable and only then hands out a [`Recorded`], the one value that is counted and shown. Neither can be made
//! elsewhere, so two of the promises hold by construction. An edit in doubt passes [`Ledger::settle`] in between, with
//! what reading the message back has told.
//!
//! One writer takes all changes that wait and commits them together. After one failed commit it is latched: every
//! later call fails too, so nothing more is sent.

mod error;
mod note;
mod run_event;
mod sqlite;
mod state;
mod totals;

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::error::LedgerError;
pub use self::note::Note;
pub use self::run_event::{Cause, ControlAction, ControlEvent, Latency, RunEvent, Sample};
pub use self::sqlite::{
    EditRecord, JobIdentity, LostCommits, Outcomes, Overview, RunInfo, RunRecord, SqliteReader, SqliteStore, WalEnd,
    Worker,
};
pub use self::state::{State, Transition};
pub use self::totals::Totals;
use crate::edit::{ContentDigest, Edit, IdDigest, Wanted};

/// Changes that one transaction carries at most: bounds the time for which others wait for it.
const BATCH_MAX: usize = 1_024;
/// How long a change waits at most for others to share its commit: a commit costs much more than what is in it.
const LINGER: Duration = Duration::from_millis(80);
/// With this many changes together there is nothing to be gained by waiting for more.
const BATCH_ENOUGH: u32 = 64;
/// Changes that may wait for the writer: more than the requests in flight can ever bring at once.
const QUEUE_MAX: usize = 4_096;

/// Where changes become durable.
pub trait Store: Send + 'static {
    /// Once this returns `Ok`, every one of `changes` and `events` is on disk and outlives a power cut; after an error that
    /// is not known of any of them.
    fn commit(
        &mut self,
        changes: Vec<Change>,
        events: Vec<RunEvent>,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send;
}

/// What is known of messages from earlier runs.
pub trait Records: Send {
    /// Where the edit of this message stands; `None` if it was never sent. Made for whoever asks about all rows of a list,
    /// one behind the other: it may be what was there when a row before was asked for.
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError>;

    /// All that there is now of a message that `brief` has told of. That it is not there is an error: it would be sent once
    /// more, as if for the first time.
    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError>;

    /// The same once more, for another thread.
    fn again(&self) -> Result<Box<dyn Records>, LedgerError>;
}

/// What the ledger holds of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditRow {
    /// Where the edit stands.
    pub state: State,
    /// The content it was, or shall be, given.
    pub content: ContentDigest,
    /// Sendings so far.
    pub attempts: u32,
    /// The last answer's error code, where there was one.
    pub code: Option<i64>,
    /// Why there is no code, where there is none.
    pub note: Option<Note>,
}

/// Where an edit stands in the ledger, and with which content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EditStatus {
    /// Where the edit stands.
    pub state: State,
    /// The content it was, or shall be, given.
    pub content: ContentDigest,
}

/// An edit that is to be sent, and how it stands in the ledger.
#[derive(Clone, Debug)]
pub struct Pending {
    /// The edit.
    pub edit: Arc<Edit>,
    /// The digest of its message.
    pub message: IdDigest,
    /// The digest of its wanted content.
    pub content: ContentDigest,
    /// The line of the list it was read from.
    pub line: u64,
    /// How it stands in the ledger; `None` if it is not in it.
    pub state: Option<State>,
    /// The content that the ledger has for it, where that differs: a failed edit may be mended.
    pub content_before: Option<ContentDigest>,
    /// Why it is in doubt. `None` also where the ledger still says so, but reading the message back has told that it was
    /// not edited: then it may be sent.
    pub doubt: Option<Note>,
    /// Its message must be read before it is sent.
    pub read_first: bool,
    /// How it stood before this run, until its first sending in this run is recorded.
    pub taken_up: Option<State>,
    /// Sendings so far, in all runs.
    pub attempts: u32,
    /// Sendings in this run that count towards the most that are allowed.
    pub tries: u32,
    /// How often it was tried in vain to read it back since its last sending.
    pub looks: u32,
    /// When it was first refused in this run with a code that speaks of the job, while the service accepted others.
    pub job_refused_at: Option<Instant>,
    /// Its signature was refused in this run, and made anew.
    pub signed_anew: bool,
    /// When the service first answered "too fast" to it in this run.
    pub too_fast_at: Option<Instant>,
    /// The same, to reading it back.
    pub look_too_fast_at: Option<Instant>,
}

/// The durable intent to send one edit once more. Only [`Ledger::intend`] makes it, after the commit.
#[derive(Debug)]
pub struct Intent {
    pending: Pending,
    since: Instant,
}

/// A durable outcome. Only [`Ledger::record`] and [`Ledger::settle`] make it, after the commit.
#[derive(Clone, Debug)]
pub struct Recorded {
    pending: Pending,
    state: State,
    taken_up: Option<State>,
}

/// What came of one sending, to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The state the edit goes to.
    pub state: State,
    /// The answer's error code, where there was one.
    pub code: Option<i64>,
    /// Why there is no code.
    pub note: Option<Note>,
    /// Whether this sending counts towards the most that are allowed: not so where the fault was not the edit's.
    pub counts: bool,
}

/// One step of one edit, as the store takes it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The edit.
    pub edit: Arc<Edit>,
    /// The digest of its message.
    pub message: IdDigest,
    /// What the ledger shall say that it was given.
    pub content: ContentDigest,
    /// The line of the list it was read from.
    pub line: u64,
    /// The state it must be in; `None` if it must not be in the ledger.
    pub from: Option<State>,
    /// The state it goes to; `None` if it leaves the ledger.
    pub to: Option<State>,
    /// Sendings, this one included.
    pub attempts: u32,
    /// The answer's error code.
    pub code: Option<i64>,
    /// Why there is no code.
    pub note: Option<Note>,
    /// Milliseconds since 1970, for people: nothing is decided by it.
    pub at: i64,
    /// From the intent to the outcome.
    pub took: Option<Duration>,
}

/// What the writer takes, and whom it tells that it is durable.
type QueuedStep = (Step, oneshot::Sender<Result<(), LedgerError>>);

#[derive(Debug)]
enum Step {
    Change(Change),
    RunEvent(RunEvent),
}

/// A handle on the one writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: mpsc::Sender<QueuedStep>,
    latch: CancellationToken,
    commits: Arc<Mutex<Latency>>,
    /// Requests that may be in flight at most.
    places: Arc<AtomicUsize>,
}

/// A handle that does not keep the writer from ending.
#[derive(Clone, Debug)]
pub struct WeakLedger(mpsc::WeakSender<QueuedStep>);

impl WeakLedger {
    /// Notes that the run is stopped at once, if the writer is still there.
    ///
    /// # Errors
    /// It is not durable: the run will look as if its process had died.
    pub async fn stopped_at_once(&self) -> Result<(), LedgerError> {
        let queue = self.0.upgrade().ok_or(LedgerError::Latched)?;
        write_through(&queue, Step::RunEvent(RunEvent::StoppedAtOnce)).await
    }
}

impl Ledger {
    /// Starts the writer. The store comes back when every handle is gone.
    pub fn start<S: Store>(store: S) -> (Ledger, JoinHandle<S>) {
        let (queue, changes) = mpsc::channel(QUEUE_MAX);
        let places = Arc::new(AtomicUsize::new(usize::MAX));
        let ledger = Ledger { queue, latch: CancellationToken::new(), commits: Arc::default(), places };
        let (latch, commits) = (ledger.latch.clone(), Arc::clone(&ledger.commits));
        let places = Arc::clone(&ledger.places);
        (ledger, tokio::spawn(write(store, changes, latch, commits, places)))
    }

    /// From now on so many requests are in flight at most. Few of them cannot bring much company to a commit, and each
    /// place stands idle until the outcome of its request is durable.
    pub fn expect(&self, places: usize) {
        self.places.store(places, Ordering::Relaxed);
    }

    /// A handle that does not keep the writer from ending.
    pub fn downgrade(&self) -> WeakLedger {
        WeakLedger(self.queue.downgrade())
    }

    /// How long commits took so far.
    pub fn commits(&self) -> Latency {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Is cancelled once a commit has failed; does not keep the writer from ending.
    pub fn latch(&self) -> CancellationToken {
        self.latch.child_token()
    }

    /// Waits until a commit has failed. Whoever is about to send must not, from then on.
    pub async fn latched(&self) {
        self.latch.cancelled().await;
    }

    /// Makes the intent to send this edit durable.
    ///
    /// # Errors
    /// The intent is not durable and the edit must not be sent.
    pub async fn intend(&self, pending: Pending) -> Result<Intent, LedgerError> {
        let change =
            Change { attempts: pending.attempts + 1, ..Change::of(&pending, pending.state, Some(State::Sending)) };
        self.commit(change).await?;
        Ok(Intent { pending, since: Instant::now() })
    }

    /// Makes what came of a sending durable.
    ///
    /// # Errors
    /// The outcome is not durable: the ledger goes on saying `sending`, which is found at the next start.
    pub async fn record(&self, intent: Intent, settlement: Settlement) -> Result<Recorded, LedgerError> {
        let Intent { mut pending, since } = intent;
        pending.attempts += 1;
        pending.tries += u32::from(settlement.counts);
        pending.looks = 0;
        let change = Change {
            code: settlement.code,
            note: settlement.note,
            took: Some(since.elapsed()),
            ..Change::of(&pending, Some(State::Sending), Some(settlement.state))
        };
        self.commit(change).await?;
        Ok(Recorded::new(pending, settlement))
    }

    /// Makes durable what reading the message of an edit has shown: of one in doubt, or before it is sent.
    ///
    /// # Errors
    /// It is not durable: the ledger says of the edit what it said before.
    pub async fn settle(&self, pending: Pending, settlement: Settlement) -> Result<Recorded, LedgerError> {
        let change = Change {
            code: settlement.code,
            note: settlement.note,
            ..Change::of(&pending, pending.state, Some(settlement.state))
        };
        state::check_read(change.from, change.to)?;
        self.write(Step::Change(change)).await?;
        Ok(Recorded::new(pending, settlement))
    }

    /// Takes back the intent to send an edit of which surely not one byte went out: it stands again as before.
    ///
    /// # Errors
    /// The ledger goes on saying `sending`, which is found at the next start.
    pub async fn withdraw(&self, intent: Intent) -> Result<Pending, LedgerError> {
        let pending = intent.pending;
        let content = pending.content_before.unwrap_or(pending.content);
        let change = Change { content, ..Change::of(&pending, Some(State::Sending), pending.state) };
        self.commit(change).await?;
        Ok(pending)
    }

    /// Makes a remark on the run durable.
    ///
    /// # Errors
    /// It is not, and nothing more will be.
    pub async fn record_event(&self, record_event: RunEvent) -> Result<(), LedgerError> {
        self.write(Step::RunEvent(record_event)).await
    }

    async fn commit(&self, change: Change) -> Result<(), LedgerError> {
        state::check(change.from, change.to)?;
        self.write(Step::Change(change)).await
    }

    async fn write(&self, step: Step) -> Result<(), LedgerError> {
        write_through(&self.queue, step).await
    }
}

async fn write_through(queue: &mpsc::Sender<QueuedStep>, step: Step) -> Result<(), LedgerError> {
    let (reply, answer) = oneshot::channel();
    queue.send((step, reply)).await.map_err(|_| LedgerError::Latched)?;
    answer.await.map_err(|_| LedgerError::Latched)?
}

/// The one writer: everything that waits goes into one transaction.
async fn write<S: Store>(
    mut store: S,
    mut queue: mpsc::Receiver<QueuedStep>,
    latch: CancellationToken,
    commits: Arc<Mutex<Latency>>,
    places: Arc<AtomicUsize>,
) -> S {
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    while queue.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        // Remarks alone do not wait for company: they are few, and the end of a run waits for the last one.
        let remarks_only = waiting.iter().all(|(step, _)| matches!(step, Step::RunEvent(_)));
        let (linger, enough) = company(places.load(Ordering::Relaxed));
        let until = Instant::now() + if remarks_only { Duration::ZERO } else { linger };
        while waiting.len() < enough {
            let room = BATCH_MAX - waiting.len();
            match tokio::time::timeout_at(until, queue.recv_many(&mut waiting, room)).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => break,
            }
        }
        let (mut changes, mut events, mut replies) = (Vec::with_capacity(waiting.len()), Vec::new(), Vec::new());
        for (step, reply) in waiting.drain(..) {
            match step {
                Step::Change(change) => changes.push(change),
                Step::RunEvent(record_event) => events.push(record_event),
            }
            replies.push(reply);
        }
        let begun = Instant::now();
        let result = store.commit(changes, events).await;
        commits.lock().unwrap_or_else(PoisonError::into_inner).add(begun.elapsed());
        let failed = result.is_err();
        if failed {
            latch.cancel();
        }
        for reply in replies {
            // Who no longer waits for the answer has lost interest, not the change.
            let _ = reply.send(result.clone());
        }
        if failed {
            // Latched: with the queue closed, every waiting and later call fails.
            break;
        }
    }
    store
}

/// How long a change waits for others, and how many are enough. Half the places: while these wait for the commit, the
/// other half is at work, so a place is idle for at most half of the time that it has for an edit at the cap.
fn company(places: usize) -> (Duration, usize) {
    let enough = (places / 2).clamp(1, BATCH_ENOUGH as usize);
    (LINGER * u32::try_from(enough).unwrap_or(BATCH_ENOUGH) / BATCH_ENOUGH, enough)
}

impl Pending {
    /// An edit that is wanted in `line`; what the ledger has `known` of it so far.
    pub fn new(edit: Edit, wanted: Wanted, line: u64, known: Option<EditRow>) -> Pending {
        let Wanted { message, content } = wanted;
        let state = known.map(|known| known.state);
        Pending {
            edit: Arc::new(edit),
            message,
            content,
            line,
            state,
            content_before: known.map(|known| known.content).filter(|before| *before != content),
            doubt: known
                .filter(|known| known.state == State::InDoubt)
                .map(|known| known.note.unwrap_or(Note::ProcessDied)),
            // What was not sent for what its message showed is not sent before that shows something else.
            read_first: known.and_then(|known| known.note).is_some_and(Note::is_of_reading_first),
            taken_up: state,
            attempts: known.map_or(0, |known| known.attempts),
            tries: 0,
            looks: 0,
            job_refused_at: None,
            signed_anew: false,
            too_fast_at: None,
            look_too_fast_at: None,
        }
    }

    /// Its answer was lost in this run, and nothing has settled it since as far as the ledger says.
    pub fn came_into_doubt(&self) -> bool {
        self.state == Some(State::InDoubt) && self.taken_up.is_none()
    }
}

impl Change {
    fn of(pending: &Pending, from: Option<State>, to: Option<State>) -> Change {
        Change {
            edit: Arc::clone(&pending.edit),
            message: pending.message,
            content: pending.content,
            line: pending.line,
            from,
            to,
            attempts: pending.attempts,
            code: None,
            note: None,
            at: unix_ms(),
            took: None,
        }
    }
}

impl Intent {
    /// The edit that is to be sent.
    pub fn edit(&self) -> &Edit {
        &self.pending.edit
    }

    /// Sendings in this run that count, without this one.
    pub fn tries(&self) -> u32 {
        self.pending.tries
    }

    /// When it was first refused in this run with a code that speaks of the job, while the service accepted others.
    pub fn job_refused_at(&self) -> Option<Instant> {
        self.pending.job_refused_at
    }

    /// Whether its signature was refused in this run, and made anew.
    pub fn signed_anew(&self) -> bool {
        self.pending.signed_anew
    }

    /// Why the edit is in doubt already, if it is.
    pub fn doubt(&self) -> Option<Note> {
        self.pending.doubt
    }

    /// How the edit stood before this run, if this is its first sending in it.
    pub fn taken_up(&self) -> Option<State> {
        self.pending.taken_up
    }

    /// The line of the list it was read from.
    pub fn line(&self) -> u64 {
        self.pending.line
    }

    /// The service has answered "too fast" to it; when it first did in this run, if it did before.
    pub fn too_fast_again(&mut self) -> Option<Instant> {
        let first = self.pending.too_fast_at;
        self.pending.too_fast_at.get_or_insert_with(Instant::now);
        first
    }
}

impl Recorded {
    fn new(mut pending: Pending, settlement: Settlement) -> Recorded {
        let Settlement { state, note, .. } = settlement;
        pending.state = Some(state);
        pending.content_before = None;
        pending.doubt = (state == State::InDoubt).then(|| note.unwrap_or(Note::ProcessDied));
        let taken_up = pending.taken_up.take();
        Recorded { pending, state, taken_up }
    }

    /// Where the edit stands now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Sendings in this run that count towards the most that are allowed.
    pub fn tries(&self) -> u32 {
        self.pending.tries
    }

    /// How the edit stood before this run, if this was its first sending in it.
    pub fn taken_up(&self) -> Option<State> {
        self.taken_up
    }

    /// Whether it was settled before anything was sent, by reading its message first.
    pub fn was_read_first(&self) -> bool {
        self.pending.read_first
    }

    /// The edit.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// The edit, to be sent again.
    pub fn into_pending(self) -> Pending {
        self.pending
    }
}

/// The wall clock, for people: milliseconds since 1970.
pub fn unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
