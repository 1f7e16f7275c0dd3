//! The ledger, in memory: it outlives the process, can fail, and checks every step.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::edit::IdDigest;
use runner::ledger::{Change, EditRow, EditStatus, LedgerError, Note, Records, RunEvent, State, Store};
use tokio::time::sleep;

use crate::simulation::events::Events;
use crate::simulation::service::Tencent;

#[derive(Clone)]
pub(crate) struct Disk {
    events: Events,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    rows: BTreeMap<[u8; 16], EditRow>,
    /// As they were when this session began: what the file alone holds if its log is lost.
    rows_before: BTreeMap<[u8; 16], EditRow>,
    /// Commits were lost: from then on every message is read before it is sent.
    has_lost_commits: bool,
    /// Of this session.
    commits: u64,
    fails_at: Option<u64>,
    /// Whether the commit that fails is on the disk all the same.
    applied: bool,
    has_failed: bool,
}

impl Disk {
    pub(crate) fn new(events: &Events) -> Disk {
        Disk { events: events.clone(), inner: Arc::default() }
    }

    /// A process opens it: what the last one was sending is in doubt.
    pub(crate) fn open(&self, fails_at: Option<u64>, applied: bool) {
        let mut inner = self.inner.lock().unwrap();
        for known in inner.rows.values_mut().filter(|known| known.state == State::Sending) {
            (known.state, known.note, known.code) = (State::InDoubt, Some(Note::ProcessDied), None);
        }
        let rows = std::mem::take(&mut inner.rows);
        let (rows_before, has_lost_commits) = (rows.clone(), inner.has_lost_commits);
        *inner = Inner { rows, rows_before, has_lost_commits, fails_at, applied, ..Inner::default() };
    }

    /// The log of a process that has died is gone: what it committed is lost.
    pub(crate) fn lose_log(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.rows = std::mem::take(&mut inner.rows_before);
        inner.has_lost_commits = true;
    }

    pub(crate) fn has_lost_commits(&self) -> bool {
        self.inner.lock().unwrap().has_lost_commits
    }

    pub(crate) fn held(&self, message: IdDigest) -> Option<EditRow> {
        self.inner.lock().unwrap().rows.get(&message.0).copied()
    }

    /// The same when this session began.
    pub(crate) fn held_before(&self, message: IdDigest) -> Option<EditRow> {
        self.inner.lock().unwrap().rows_before.get(&message.0).copied()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.inner.lock().unwrap().has_failed
    }

    pub(crate) fn count(&self, state: State) -> u64 {
        self.inner.lock().unwrap().rows.values().filter(|known| known.state == state).count() as u64
    }

    /// The process's side of it.
    pub(crate) fn store(&self, service: &Tencent) -> DiskStore {
        DiskStore { disk: self.clone(), service: service.clone() }
    }
}

impl Records for Disk {
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError> {
        Ok(self.held(message).map(|EditRow { state, content, .. }| EditStatus { state, content }))
    }

    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError> {
        Ok(self.held(message).unwrap())
    }

    fn again(&self) -> Result<Box<dyn Records>, LedgerError> {
        Ok(Box::new(self.clone()))
    }
}

pub(crate) struct DiskStore {
    disk: Disk,
    service: Tencent,
}

impl Store for DiskStore {
    async fn commit(&mut self, changes: Vec<Change>, _: Vec<RunEvent>) -> Result<(), LedgerError> {
        let events = self.disk.events.clone();
        // As long as an fsync on a cloud disk takes.
        sleep(Duration::from_millis(5)).await;
        events.point("before a commit").await;
        let failure = {
            let mut inner = self.disk.inner.lock().unwrap();
            inner.commits += 1;
            let fails = inner.fails_at.is_some_and(|at| inner.commits >= at);
            inner.has_failed |= fails;
            fails.then_some(inner.applied)
        };
        if failure != Some(false) {
            for change in &changes {
                self.apply(change);
            }
        }
        events.log(format_args!(
            "commit of {} changes{}",
            changes.len(),
            if failure.is_some() { " fails" } else { "" }
        ));
        if failure.is_some() {
            let source = Arc::new(std::io::Error::other("no space left on device"));
            return Err(LedgerError::Write { path: "ledger.db".into(), source });
        }
        events.point("after a commit").await;
        Ok(())
    }
}

impl DiskStore {
    fn apply(&self, change: &Change) {
        let (events, message) = (&self.disk.events, change.edit.id().digest());
        let key = &change.edit.id().msg_key;
        let before = self.disk.held(message).map(|known| known.state);
        events.log(format_args!("  {key}: {before:?} to {:?}", change.to));
        events.check(before == change.from, || {
            format!("the run believes that {key} is {:?}, but it is {before:?}", change.from)
        });
        events.check(before != Some(State::Done), || format!("{key} was done already"));
        events.check(change.to != Some(State::Done) || self.service.has(&change.edit), || {
            format!("{key} is called done, and the service does not have it")
        });
        // What the ledger calls failed will be listed as not edited.
        // But not what was not sent for what its message showed: a run whose commits are lost may have edited it before.
        let is_not_sent = change.note.is_some_and(Note::is_of_reading_first);
        events.check(change.to != Some(State::Failed) || is_not_sent || !self.service.was_made(&change.edit), || {
            format!("{key} is called failed, and the service has it")
        });
        let is_of_the_job = matches!(change.code, Some(60_004 | 60_005 | 70_001 | 70_003));
        events.check(change.to != Some(State::Failed) || !is_of_the_job || self.service.may_be_blamed(key), || {
            format!("{key} is called failed with {:?}, and nothing was accepted since", change.code)
        });
        let mut inner = self.disk.inner.lock().unwrap();
        match change.to {
            None => {
                inner.rows.remove(&message.0);
            }
            Some(state) => {
                let (content, attempts, code, note) = (change.content, change.attempts, change.code, change.note);
                inner.rows.insert(message.0, EditRow { state, content, attempts, code, note });
            }
        }
    }
}
