//! The model of a ledger on a disk that outlives the process and can fail. Every transition is checked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::edit::IdDigest;
use runner::ledger::{
    Applied, Change, CommitFuture, EditRow, LedgerError, LostCommits, Note, Records, RunEvent, RunInfo, RunStore,
    State, Store,
};
use runner::run::RunEnd;
use tokio::time::sleep;

use crate::simulation::events::Events;
use crate::simulation::file::LedgerFile;
use crate::simulation::service::Tencent;
use crate::support::model_ledger::{ModelLedger, ModelStore, job, run_info};

#[derive(Clone)]
pub(crate) struct Disk {
    events: Events,
    model: ModelLedger,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// The rows when this session began.
    rows_before: BTreeMap<[u8; 16], EditRow>,
    /// Whether commits were lost: from then on every message is read before it is sent.
    has_lost_commits: bool,
    /// The commits of this session.
    commits: u64,
    fails_at: Option<u64>,
    /// Whether the commit that fails is on disk all the same.
    applied: bool,
    has_failed: bool,
    /// A real ledger, to which the same is committed.
    file: Option<LedgerFile>,
}

impl Disk {
    pub(crate) fn new(events: &Events) -> Disk {
        Disk { events: events.clone(), model: ModelLedger::default(), inner: Arc::default() }
    }

    /// From the beginning on, what is committed is also committed to a real ledger file.
    pub(crate) fn add_file(&self, seed: u64) {
        self.inner.lock().unwrap().file = Some(LedgerFile::new(seed));
    }

    /// Whether the program refuses the ledger unless each message is read first.
    pub(crate) fn wants_read_first(&self) -> bool {
        match self.model.open_records(&job(), LostCommits::Refused) {
            Ok(_) => false,
            Err(LedgerError::CommitsLost { .. } | LedgerError::ReadsFirst { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    }

    /// A process opens it and begins a run.
    pub(crate) fn open(&self, service: &Tencent, read_first: bool, fails_at: Option<u64>, applied: bool) -> DiskStore {
        let gaps = if read_first { LostCommits::ReadFirst } else { LostCommits::Refused };
        let mut model = self.model.open_store(&job(), gaps).unwrap();
        let info = RunInfo { read_first, ..run_info() };
        model.begin_run(&info).unwrap();
        let mut inner = self.inner.lock().unwrap();
        let mut file = inner.file.take();
        if let Some(file) = &mut file {
            file.begin(gaps, &info);
        }
        let (rows_before, has_lost_commits) = (self.model.rows(), inner.has_lost_commits);
        *inner = Inner { rows_before, has_lost_commits, fails_at, applied, file, ..Inner::default() };
        DiskStore { disk: self.clone(), model, service: service.clone() }
    }

    /// The process is cut off here.
    pub(crate) fn cut_off(&self) {
        if let Some(file) = &mut self.inner.lock().unwrap().file {
            file.cut_off(&self.model.rows());
        }
    }

    /// The log of a process that has died is gone: what it committed is lost.
    pub(crate) fn lose_log(&self) {
        self.model.lose_log();
        let mut inner = self.inner.lock().unwrap();
        inner.has_lost_commits = true;
        // How much that is is another matter with a real file, so from here on there is none.
        if let Some(file) = inner.file.take() {
            file.lose_log();
        }
    }

    pub(crate) fn has_lost_commits(&self) -> bool {
        self.inner.lock().unwrap().has_lost_commits
    }

    pub(crate) fn records(&self) -> Box<dyn Records> {
        self.model.records()
    }

    pub(crate) fn held(&self, message: IdDigest) -> Option<EditRow> {
        self.model.row(message)
    }

    /// The row when this session began.
    pub(crate) fn held_before(&self, message: IdDigest) -> Option<EditRow> {
        self.inner.lock().unwrap().rows_before.get(&message.0).copied()
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.inner.lock().unwrap().has_failed
    }

    pub(crate) fn count(&self, state: State) -> u64 {
        self.model.count(state) as u64
    }
}

/// The process's side of it.
pub(crate) struct DiskStore {
    disk: Disk,
    model: ModelStore,
    service: Tencent,
}

impl Store for DiskStore {
    fn commit(&mut self, changes: Vec<Change>, run_events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
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
                    self.check(change);
                }
                if let Err(error) = self.model.apply(&changes, &run_events) {
                    events.wrong(format_args!("the run commits what no ledger takes: {error}"));
                } else if let Some(file) = &mut self.disk.inner.lock().unwrap().file {
                    file.commit(&changes, &run_events);
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
            Ok(vec![Applied::Yes; changes.len()])
        })
    }
}

impl DiskStore {
    /// Ends the run and its process. `has_read_all`: no message of its list was left unread.
    pub(crate) fn end(mut self, ended: &RunEnd, has_read_all: bool) {
        let how = match ended {
            RunEnd::Finished => "finished",
            RunEnd::Interrupted => "interrupted",
            RunEnd::Stopped(_) => "stopped",
        };
        if has_read_all {
            self.model.mark_all_read().unwrap();
        }
        self.model.end_run(how, "").unwrap();
        if let Some(file) = &mut self.disk.inner.lock().unwrap().file {
            file.end(how, has_read_all);
        }
    }

    fn check(&self, change: &Change) {
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
    }
}
