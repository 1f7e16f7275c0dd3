//! The handle by which a run writes, and the two values that only it makes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::state;
use super::writer::{QUEUE_MAX, QueuedStep, Step, write, write_through};
use super::{Change, Latency, LedgerError, Note, Pending, RunEvent, Settlement, State, Store};
use crate::edit::Edit;

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
