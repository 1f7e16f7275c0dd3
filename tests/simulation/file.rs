//! A real ledger file beside the model: what a simulated process commits is committed to it too, and heads of its log are
//! kept outside. Whenever a process has ended, or was cut off, events and states agree, and no head is ahead of the file.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use runner::edit::IdDigest;
use runner::evidence::NamedCheckpoint;
use runner::ledger::{
    Alteration, Change, EditRow, LedgerAddress, LostCommits, RunEvent, RunInfo, RunStore, Verification, open_overview,
    open_store, overview_beside_writer, records_beside_writer,
};
use tempfile::TempDir;

use crate::support::model_ledger::job;

/// Commits from one head to the next.
const HEAD_EVERY: u64 = 3;

pub(crate) struct LedgerFile {
    /// It is removed at the end.
    _directory: TempDir,
    path: PathBuf,
    store: Option<Box<dyn RunStore>>,
    commits: u64,
    heads: Vec<NamedCheckpoint>,
    /// The length of the write-ahead log up to which all is durable that a head names.
    durable: u64,
    random: fastrand::Rng,
}

impl LedgerFile {
    pub(crate) fn new(seed: u64) -> LedgerFile {
        let memory = Path::new("/dev/shm");
        let directory = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.unwrap();
        let path = directory.path().join("ledger.db");
        let random = fastrand::Rng::with_seed(seed);
        LedgerFile { _directory: directory, path, store: None, commits: 0, heads: Vec::new(), durable: 0, random }
    }

    fn address(&self) -> LedgerAddress {
        LedgerAddress::File(self.path.clone())
    }

    fn log(&self) -> PathBuf {
        self.path.with_extension("db-wal")
    }

    /// A process opens it and begins a run.
    pub(crate) fn begin(&mut self, gaps: LostCommits, info: &RunInfo) {
        self.store = None;
        let mut store = open_store(&self.address(), &job(), gaps).unwrap();
        store.begin_run(info).unwrap();
        self.store = Some(store);
        self.keep_head();
    }

    pub(crate) fn commit(&mut self, changes: &[Change], events: &[RunEvent]) {
        let store = self.store.as_mut().unwrap();
        // On a clock of its own: that of the simulation stands still until it is moved.
        thread::scope(|scope| {
            let commit = || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(store.commit(changes.to_vec(), events.to_vec())).unwrap();
            };
            scope.spawn(commit).join().unwrap();
        });
        self.commits += 1;
        if self.commits.is_multiple_of(HEAD_EVERY) {
            self.keep_head();
        }
    }

    fn keep_head(&mut self) {
        let head = overview_beside_writer(&self.address()).unwrap().head().unwrap().unwrap();
        self.heads.push(NamedCheckpoint { place: format!("head {}", self.heads.len()), checkpoint: head.checkpoint() });
        self.durable = fs::metadata(self.log()).unwrap().len();
    }

    pub(crate) fn end(&mut self, how: &str, has_read_all: bool) {
        let mut store = self.store.take().unwrap();
        if has_read_all {
            store.mark_all_read().unwrap();
        }
        store.end_run(how, "").unwrap();
        drop(store);
        let found = self.verify();
        assert!(found.holds() && found.sending == 0, "{found:?}");
    }

    /// The process is gone, and leaves the files as they are. If the machine stops with it, of what was written after the last
    /// head some part is on the disk.
    pub(crate) fn cut_off(&mut self, rows: &BTreeMap<[u8; 16], EditRow>) {
        let (file, log) = (fs::read(&self.path).unwrap(), fs::read(self.log()).unwrap());
        // Others would wait for its lock.
        self.store = None;
        let length = self.random.u64(self.durable..=log.len() as u64);
        for log in [&log[..usize::try_from(length).unwrap()], &log] {
            self.put(&file, Some(log));
            let found = self.verify();
            assert!(found.holds(), "{length} of {} bytes: {found:?}", log.len());
        }
        let held: u64 = open_overview(&self.address()).unwrap().outcomes().unwrap().iter().map(|line| line.edits).sum();
        assert_eq!(held, rows.len() as u64);
        let mut records = records_beside_writer(&self.address()).unwrap();
        for (message, row) in rows {
            let message = IdDigest(*message);
            assert!(records.status(message).unwrap().is_some(), "a row is missing: {row:?}");
            assert_eq!(records.row(message).unwrap(), *row);
        }
        drop(records);
        self.put(&file, Some(&log));
    }

    /// And the log beside the file is gone as well, which a head tells that is ahead of it.
    pub(crate) fn lose_log(mut self) {
        let file = fs::read(&self.path).unwrap();
        self.put(&file, None);
        let found = self.verify();
        let is_cut_off = self.heads.iter().any(|head| head.checkpoint.size > found.head.size);
        let only_cut_off = found.alterations.iter().all(|what| matches!(what, Alteration::CutOff { .. }));
        assert!(only_cut_off && found.holds() != is_cut_off, "{found:?}");
    }

    fn put(&mut self, file: &[u8], log: Option<&[u8]>) {
        fs::write(&self.path, file).unwrap();
        match log {
            Some(log) => fs::write(self.log(), log).unwrap(),
            None => fs::remove_file(self.log()).unwrap(),
        }
        let _ = fs::remove_file(self.path.with_extension("db-shm"));
    }

    fn verify(&self) -> Verification {
        open_overview(&self.address()).unwrap().verify(&self.heads).unwrap()
    }
}
