//! The handle through which a run writes, and the two values that only it makes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::state;
use super::writer::{QUEUE_MAX, QueuedStep, Step, write, write_through};
use super::{Change, JobRefused, Latency, LedgerError, Note, Pending, Ready, RunEvent, Settlement, State, Store};
use crate::edit::Edit;

/// A handle to the one writer; cheap to clone.
#[derive(Clone, Debug)]
pub struct Ledger {
    queue: mpsc::Sender<QueuedStep>,
    latch: CancellationToken,
    commits: Arc<Mutex<Latency>>,
    /// The maximum number of requests in flight.
    in_flight_max: Arc<AtomicUsize>,
}

/// A handle that does not keep the writer alive.
#[derive(Clone, Debug)]
pub struct WeakLedger(mpsc::WeakSender<QueuedStep>);

/// The durable intent to send one edit once. Only [`Ledger::intend`] makes it, after the commit.
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
    note: Option<Note>,
    taken_up: Option<State>,
}

impl WeakLedger {
    /// Records that the run is stopped immediately, if the writer still runs.
    ///
    /// # Errors
    /// It is not durable: the run will look as if its process had died.
    pub async fn stopped_at_once(&self) -> Result<(), LedgerError> {
        let queue = self.0.upgrade().ok_or(LedgerError::Latched)?;
        write_through(&queue, Step::RunEvent(RunEvent::StoppedAtOnce)).await
    }
}

impl Ledger {
    /// Starts the writer. Its task returns the store once every handle is dropped.
    pub fn start<S: Store>(store: S) -> (Ledger, JoinHandle<S>) {
        let (queue, changes) = mpsc::channel(QUEUE_MAX);
        let in_flight_max = Arc::new(AtomicUsize::new(usize::MAX));
        let ledger = Ledger { queue, latch: CancellationToken::new(), commits: Arc::default(), in_flight_max };
        let (latch, commits) = (ledger.latch.clone(), Arc::clone(&ledger.commits));
        let in_flight_max = Arc::clone(&ledger.in_flight_max);
        (ledger, tokio::spawn(write(store, changes, latch, commits, in_flight_max)))
    }

    /// Sets the maximum number of requests in flight. With few of them, few changes can share a commit, and each slot stays
    /// idle until the outcome of its request is durable.
    pub fn set_in_flight_max(&self, in_flight_max: usize) {
        self.in_flight_max.store(in_flight_max, Ordering::Relaxed);
    }

    /// A handle that does not keep the writer alive.
    pub fn downgrade(&self) -> WeakLedger {
        WeakLedger(self.queue.downgrade())
    }

    /// The latency of commits so far.
    pub fn commits(&self) -> Latency {
        self.commits.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A token that is cancelled once a commit has failed. It does not keep the writer alive.
    pub fn latch(&self) -> CancellationToken {
        self.latch.child_token()
    }

    /// Waits until a commit has failed. From then on nothing may be sent.
    pub async fn latched(&self) {
        self.latch.cancelled().await;
    }

    /// Makes the intent to send this edit durable.
    ///
    /// # Errors
    /// The intent is not durable and the edit must not be sent.
    pub async fn intend(&self, ready: Ready) -> Result<Intent, LedgerError> {
        let mut pending = ready.into_pending();
        let original = pending.original.take();
        let attempts = pending.attempts + 1;
        let change = Change { attempts, original, ..Change::of(&pending, pending.state, Some(State::Sending)) };
        self.commit(change).await?;
        Ok(Intent { pending, since: Instant::now() })
    }

    /// Makes the outcome of an attempt durable.
    ///
    /// # Errors
    /// The outcome is not durable: the ledger still says `sending`, which the next start finds.
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

    /// Makes durable what reading the message has shown: of an edit in doubt, or before it is sent.
    ///
    /// # Errors
    /// It is not durable: the row of the edit is as it was.
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

    /// Withdraws the intent to send an edit of which not one byte went out: its row is again as it was.
    ///
    /// # Errors
    /// The ledger still says `sending`, which the next start finds.
    pub async fn withdraw(&self, intent: Intent) -> Result<Pending, LedgerError> {
        let pending = intent.pending;
        let content = pending.content_before.unwrap_or(pending.content);
        let change = Change { content, ..Change::of(&pending, Some(State::Sending), pending.state) };
        self.commit(change).await?;
        Ok(pending)
    }

    /// Makes an event of the run durable.
    ///
    /// # Errors
    /// It is not durable, and the ledger is latched.
    pub async fn record_event(&self, event: RunEvent) -> Result<(), LedgerError> {
        self.write(Step::RunEvent(event)).await
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
    /// The edit to send.
    pub fn edit(&self) -> &Edit {
        &self.pending.edit
    }

    /// The attempts in this run that count, without this one.
    pub fn tries(&self) -> u32 {
        self.pending.tries
    }

    /// Its first refusal in this run with a code that concerns the job, while the service accepted others.
    pub fn job_refused(&self) -> Option<JobRefused> {
        self.pending.job_refused
    }

    /// Whether its signature was refused in this run and renewed.
    pub fn signed_anew(&self) -> bool {
        self.pending.signed_anew
    }

    /// Why the edit was in doubt before this attempt, if it was.
    pub fn doubt(&self) -> Option<Note> {
        self.pending.doubt
    }

    /// The state before this run, if this is the first attempt in it.
    pub fn taken_up(&self) -> Option<State> {
        self.pending.taken_up
    }

    /// The line of the list it was read from.
    pub fn line(&self) -> u64 {
        self.pending.line.number
    }

    /// Records that the service answered "too fast" to it, and returns when it first did in this run, if it did before.
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
        Recorded { pending, state, note, taken_up }
    }

    /// The state of the edit.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why, where no code says it.
    pub fn note(&self) -> Option<Note> {
        self.note
    }

    /// The attempts in this run that count towards the maximum.
    pub fn tries(&self) -> u32 {
        self.pending.tries
    }

    /// The state before this run, if this was the first attempt in it.
    pub fn taken_up(&self) -> Option<State> {
        self.taken_up
    }

    /// Whether its message is, or was, to be read before it is sent.
    pub fn was_read_first(&self) -> bool {
        self.pending.read_first
    }

    /// The edit.
    pub fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Returns the edit, to be sent again.
    pub fn into_pending(self) -> Pending {
        self.pending
    }
}
