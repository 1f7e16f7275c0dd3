//! A queue of edits, each with the time at which it is due.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use tokio::time::Instant;

use crate::ledger::Pending;
use crate::retry;

#[derive(Debug)]
pub(super) struct Waiting {
    heap: BinaryHeap<Reverse<WaitingEdit>>,
    /// Orders edits that are due at the same time by arrival.
    sequence: u64,
    random: fastrand::Rng,
}

#[derive(Debug)]
struct WaitingEdit {
    due: Instant,
    sequence: u64,
    pending: Pending,
}

impl Waiting {
    pub(super) fn new(seed: u64) -> Waiting {
        Waiting { heap: BinaryHeap::new(), sequence: 0, random: fastrand::Rng::with_seed(seed) }
    }

    /// Adds an edit that is due after about `delay`.
    pub(super) fn push(&mut self, pending: Pending, now: Instant, delay: Duration) {
        let due = now + retry::jittered(delay, &mut self.random);
        self.push_at(pending, due);
    }

    /// Adds an edit that is due at `due`, and not before.
    pub(super) fn push_at(&mut self, pending: Pending, due: Instant) {
        self.sequence += 1;
        self.heap.push(Reverse(WaitingEdit { due, sequence: self.sequence, pending }));
    }

    /// Takes one edit that is due.
    pub(super) fn due(&mut self, now: Instant) -> Option<Pending> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.pending)
    }

    /// When the next edit is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.due)
    }

    /// When the last edit is due.
    pub(super) fn last_due(&self) -> Option<Instant> {
        self.heap.iter().map(|Reverse(entry)| entry.due).max()
    }

    /// Edits that must be read before they are sent, and are not in doubt.
    pub(super) fn to_read_first(&self) -> u64 {
        self.heap.iter().filter(|Reverse(entry)| entry.pending.doubt().is_none()).count() as u64
    }

    /// Edits that no lost run may still be sending.
    pub(super) fn in_no_other_hands(&self) -> usize {
        self.heap.iter().filter(|Reverse(entry)| entry.pending.lost.is_none()).count()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Edits that came into doubt in this run, or were sent again in it and are still in doubt.
    pub(super) fn in_doubt(&self) -> u64 {
        self.heap.iter().filter(|Reverse(entry)| entry.pending.came_into_doubt()).count() as u64
    }

    /// Keeps only the edits that came into doubt in this run. The others stay as the ledger says.
    pub(super) fn keep_in_doubt(&mut self) {
        self.heap.retain(|Reverse(entry)| entry.pending.came_into_doubt());
    }
}

impl PartialEq for WaitingEdit {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for WaitingEdit {}

impl PartialOrd for WaitingEdit {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WaitingEdit {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}
