//! Supplies a run with edits from a list that several runs work on together.
//!
//! Each run has the whole list, and claims parts of it in the ledger: first those that nobody works on any more, then new
//! ones. What the ledger holds of the rows of a part is asked for once the part is this run's, when nobody else can change
//! it any more. A part is finished once each of its edits is settled; the run then tells the ledger. What is supplied and
//! not settled, because the run stops for instance, leaves its part to others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::StopReason;
use super::todo::{Policy, Repeated, Standing, is_duplicate, stand};
use super::under_way::UnderWay;
use crate::edit::{Edit, Line, Wanted};
use crate::input::{Input, Mapping, Row, Rows};
use crate::ledger::{
    EditStatus, InLostHands, KnownEdit, PART_ROWS, PartNumber, PartTicket, Pending, State, Taken, Work,
};

/// How long what a lost run left in doubt is not read back: its last request may have left just before it was lost.
const LOST_READ_AFTER: Duration = Duration::from_secs(10);
/// How long what a lost run left in doubt is not sent again. A process that was stopped with a request in its hands may
/// continue and send it, up to the moment at which the kernel ends it; see [`SWITCH_AFTER`](crate::pace::SWITCH_AFTER).
const LOST_SEND_AFTER: Duration = Duration::from_mins(1);
/// How often a run that has nothing to do looks whether others have left something.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The most edits that wait to be taken by the run; more would only be taken from others.
const AHEAD: usize = 16;
/// Parts that are used up more quickly than this are taken several at a time.
const TAKE_MORE_BELOW: Duration = Duration::from_secs(1);
/// The most parts that are taken at a time.
const TAKE_MAX: u32 = 16;
/// Rows that are passed over before other tasks get their turn: about a millisecond's work.
const STRETCH: u64 = 256;

/// What a supplier hands to its run.
#[derive(Debug)]
pub(super) enum Supplied {
    /// An edit to send or to read.
    Edit(Pending),
    /// Nothing more is left to do, for anybody; or as much as this run may do has been supplied.
    Over,
    /// The run has to stop.
    Stop(StopReason),
}

/// Since when a run knows that others are lost.
#[derive(Clone, Debug, Default)]
pub(super) struct LostRuns(Arc<Mutex<HashMap<i64, Instant>>>);

/// What a supplier needs.
pub(super) struct Supplier {
    pub(super) input: Input,
    pub(super) mapping: Mapping,
    pub(super) repeated: Arc<Repeated>,
    pub(super) policy: Policy,
    pub(super) work: Box<dyn Work>,
    /// Of each part, whether the plan found all of it done; empty if none is.
    pub(super) done: Vec<bool>,
    pub(super) lost: LostRuns,
    /// The most edits that it supplies.
    pub(super) left: u64,
    /// The list, from the row after `rows_read` on.
    pub(super) rows: Rows,
    pub(super) rows_read: u64,
}

/// What a part comes to.
struct PartSurvey {
    pending: Vec<Pending>,
    /// Whether all of its rows that are not pending are done.
    is_whole: bool,
}

impl LostRuns {
    /// When this run learnt that the other is lost: now, if it did not know.
    pub(super) fn learnt(&self, run: i64) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(run).or_insert_with(Instant::now)
    }
}

impl Supplier {
    /// Supplies `run` until nothing is left, or the run listens no more.
    pub(super) async fn supply(mut self, run: mpsc::Sender<Supplied>) {
        let last = match self.supply_all(&run).await {
            Ok(()) => Supplied::Over,
            Err(reason) => Supplied::Stop(reason),
        };
        // Nobody listens any more if the run has stopped for another reason.
        let _ = run.send(last).await;
    }

    async fn supply_all(&mut self, run: &mpsc::Sender<Supplied>) -> Result<(), StopReason> {
        let (finished, mut news) = mpsc::unbounded_channel();
        let mut at_most = 1;
        let done = std::mem::take(&mut self.done);
        if !done.is_empty() {
            self.work.pass_over(done).await.map_err(StopReason::of_ledger)?;
        }
        loop {
            while let Ok((part, whole)) = news.try_recv() {
                self.finish(part, whole).await?;
            }
            let begun = Instant::now();
            match self.work.take(at_most).await.map_err(StopReason::of_ledger)? {
                Taken::Over => return Ok(()),
                Taken::Wait => tokio::select! {
                    Some((part, whole)) = news.recv() => self.finish(part, whole).await?,
                    () = sleep(LOOK_AGAIN) => {}
                    () = run.closed() => return Ok(()),
                },
                Taken::Parts(parts) => {
                    for part in parts {
                        let PartSurvey { pending, is_whole } = self.survey(part).await?;
                        if pending.is_empty() {
                            self.finish(part, is_whole).await?;
                            continue;
                        }
                        let ticket = Arc::new(PartTicket::new(part, pending.len() as u64, is_whole, finished.clone()));
                        for mut pending in pending {
                            if self.left == 0 {
                                // The rest of the part is for others, or for another run.
                                return self.finish_all(run, &mut news).await;
                            }
                            self.left -= 1;
                            pending.part = Some(Arc::clone(&ticket));
                            let permit = loop {
                                tokio::select! {
                                    permit = run.reserve() => break permit,
                                    Some((part, whole)) = news.recv() => self.finish(part, whole).await?,
                                }
                            };
                            let Ok(permit) = permit else { return Ok(()) };
                            permit.send(Supplied::Edit(pending));
                        }
                    }
                    at_most = if begun.elapsed() < TAKE_MORE_BELOW { (at_most * 2).min(TAKE_MAX) } else { 1 };
                }
            }
        }
    }

    /// Nothing more is supplied; parts that are under way are still finished while the run works on them.
    async fn finish_all(
        &mut self,
        run: &mpsc::Sender<Supplied>,
        news: &mut mpsc::UnboundedReceiver<(PartNumber, bool)>,
    ) -> Result<(), StopReason> {
        if run.send(Supplied::Over).await.is_err() {
            return Ok(());
        }
        loop {
            tokio::select! {
                Some((part, whole)) = news.recv() => self.finish(part, whole).await?,
                () = run.closed() => return Ok(()),
            }
        }
    }

    async fn finish(&mut self, part: PartNumber, whole: bool) -> Result<(), StopReason> {
        self.work.finish(part, whole).await.map_err(StopReason::of_ledger)
    }

    /// Reads the rows of a part, and finds out which of its edits are still to be sent.
    async fn survey(&mut self, part: PartNumber) -> Result<PartSurvey, StopReason> {
        self.go_to(part * PART_ROWS).await?;
        let mut rows: Vec<(Edit, Wanted, Line)> = Vec::with_capacity(PART_ROWS.try_into().unwrap_or_default());
        for _ in 0..PART_ROWS {
            let Some(row) = self.rows.next() else { break };
            self.rows_read += 1;
            let Row { line, edit, .. } = row.map_err(|error| StopReason::Input(Arc::new(error)))?;
            // The plan found nothing wrong with any row, so the list has changed since.
            let Ok(edit) = edit else { return Err(StopReason::ListChanged { line }) };
            let wanted = edit.wanted();
            if !is_duplicate(&self.repeated, wanted.message, &line) {
                rows.push((edit, wanted, line));
            }
        }
        let messages = rows.iter().map(|(_, wanted, _)| wanted.message).collect();
        let known = self.work.known(messages).await.map_err(StopReason::of_ledger)?;
        // Makes sure that the list is still as it was when it was checked.
        self.rows.check_unchanged().map_err(|error| StopReason::Input(Arc::new(error)))?;
        let mut survey = PartSurvey { pending: Vec::with_capacity(rows.len()), is_whole: true };
        for ((edit, wanted, line), known) in rows.into_iter().zip(known) {
            let status = known.map(|KnownEdit { row, .. }| EditStatus { state: row.state, content: row.content });
            match stand(wanted, status, &self.policy) {
                Standing::ToDo(_) => survey.pending.push(self.pending(edit, wanted, line, known)),
                Standing::Done => {}
                Standing::Failed | Standing::InDoubt => survey.is_whole = false,
                Standing::Conflict(_) => return Err(StopReason::ListChanged { line }),
            }
        }
        Ok(survey)
    }

    fn pending(&self, edit: Edit, wanted: Wanted, line: Line, known: Option<KnownEdit>) -> Pending {
        let mut pending = Pending::new(edit, wanted, line, known.map(|known| known.row));
        if self.policy.read_first {
            pending.require_reading();
        }
        if let Some(known) = known.filter(|known| known.row.state == State::InDoubt) {
            pending.lost = Some(self.in_lost_hands(&known));
        }
        pending
    }

    /// Until when an edit in doubt may be in the hands of the run that sent it last.
    fn in_lost_hands(&self, known: &KnownEdit) -> InLostHands {
        let under_way = UnderWay::by_way_of(false, known.by_proxy).of_earlier_runs;
        let Some(run) = known.lost else {
            // It ended properly, perhaps a moment ago, and had no time to read it back.
            let quiet_from = Instant::now() + under_way;
            return InLostHands { read_from: quiet_from, send_from: quiet_from };
        };
        let learnt = self.lost.learnt(run);
        let send_from = learnt + LOST_SEND_AFTER.max(under_way);
        InLostHands { read_from: learnt + LOST_READ_AFTER, send_from }
    }

    /// Goes to the row after this many. Parts come in ascending order, except for those that others have left.
    async fn go_to(&mut self, rows: u64) -> Result<(), StopReason> {
        let failed = |error| StopReason::Input(Arc::new(error));
        if rows < self.rows_read {
            self.rows = self.input.rows(&self.mapping).map_err(failed)?;
            self.rows_read = 0;
        }
        while self.rows_read < rows {
            let skipped = (rows - self.rows_read).min(STRETCH);
            self.rows.pass_over(skipped).map_err(failed)?;
            self.rows_read += skipped;
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// Starts a supplier, and returns what it hands over.
pub(super) fn start(supplier: Supplier) -> mpsc::Receiver<Supplied> {
    let (run, edits) = mpsc::channel(AHEAD);
    tokio::spawn(supplier.supply(run));
    edits
}
