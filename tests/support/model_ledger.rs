//! The one model of a ledger that tests use: in memory, with the rules of the SQLite schema written down a second time.
//! `tests/library/ledger_conformance.rs` holds it to the behaviour of the real one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};

use runner::edit::{IdDigest, Line};
use runner::ledger::{
    Applied, AuditInfo, AuditRecord, AuditStore, Cause, Change, Ciphertext, CommitFuture, ControlEvent, EditRecord,
    EditRow, EditStatus, Findings, JobIdentity, Latency, LedgerAddress, LedgerError, Look, LostCommits, Note, Outcomes,
    Overview, Progress, Records, RunEvent, RunInfo, RunRecord, RunStore, Sample, State, Store, Transition, WalEnd,
    Worker, unix_ms,
};

const PATH: &str = "model.db";

fn address() -> LedgerAddress {
    LedgerAddress::File(PATH.into())
}

/// What outlives the process.
#[derive(Clone, Default)]
pub(crate) struct ModelLedger(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    tables: Tables,
    /// What the file alone holds, without the log beside it.
    file: Tables,
    has_log: bool,
    is_locked: bool,
}

#[derive(Clone, Default)]
struct Tables {
    /// `None`: there is no ledger yet.
    job: Option<JobIdentity>,
    commits_lost: bool,
    reads_first: bool,
    runs: Vec<RunRecord>,
    edits: BTreeMap<[u8; 16], ModelEdit>,
    seqs: BTreeSet<i64>,
    samples: Vec<(i64, Sample)>,
    answers: BTreeMap<(i64, Cause), u64>,
    latency: BTreeMap<(i64, Option<u32>), u64>,
    acts: Vec<(i64, i64, ControlEvent)>,
    audits: Vec<AuditRecord>,
    looks: Vec<(i64, Look)>,
    ciphertexts: Vec<Ciphertext>,
}

#[derive(Clone)]
struct ModelEdit {
    seq: i64,
    row: EditRow,
    ids: [String; 3],
    line: Line,
    run: i64,
    sent_at: i64,
}

impl ModelLedger {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Opens it to write, as a process does when it starts.
    pub(crate) fn open_store(&self, job: &JobIdentity, gaps: LostCommits) -> Result<ModelStore, LedgerError> {
        let mut inner = self.inner();
        inner.check_job(job, gaps)?;
        if inner.is_locked {
            return Err(in_use("another process"));
        }
        let lacks_commits = inner.check_commits(gaps)?;
        inner.is_locked = true;
        inner.tables.commits_lost |= lacks_commits;
        inner.tables.job.get_or_insert_with(|| JobIdentity { other_host: None, ..job.clone() });
        inner.tables.recover();
        Ok(ModelStore { ledger: self.clone(), job: job.clone(), run: 0, has_begun: false, has_ended: false })
    }

    /// Creates it where there was none a moment ago.
    pub(crate) fn create_store(&self, job: &JobIdentity) -> Result<ModelStore, LedgerError> {
        let store = self.open_store(job, LostCommits::Refused)?;
        let has_run = !self.inner().tables.runs.is_empty();
        if has_run { Err(in_use("a run that was started a moment before")) } else { Ok(store) }
    }

    /// Opens it to look edits up; `None`: there is no ledger.
    pub(crate) fn open_records(
        &self,
        job: &JobIdentity,
        gaps: LostCommits,
    ) -> Result<Option<Box<dyn Records>>, LedgerError> {
        let inner = self.inner();
        if inner.tables.job.is_none() {
            return Ok(None);
        }
        inner.check_job(job, gaps)?;
        inner.check_commits(gaps)?;
        Ok(Some(self.records()))
    }

    /// Looks edits up beside the writer.
    pub(crate) fn records(&self) -> Box<dyn Records> {
        Box::new(ModelRecords { ledger: self.clone(), held: None })
    }

    pub(crate) fn open_overview(&self) -> Result<Box<dyn Overview>, LedgerError> {
        let inner = self.inner();
        if inner.tables.job.is_none() {
            return Err(LedgerError::Missing { ledger: address() });
        }
        let worker = inner.is_locked.then(|| Worker::new(format!("process {}", std::process::id())));
        let may_lack_commits = worker.is_none() && inner.may_lack_commits();
        let (tables, has_log) = (inner.tables.clone(), inner.has_log);
        Ok(Box::new(ModelOverview {
            address: address(),
            ledger: self.clone(),
            tables,
            worker,
            has_log,
            may_lack_commits,
        }))
    }

    /// The log of a process that has died is gone, and with it what that process committed.
    pub(crate) fn lose_log(&self) {
        let mut inner = self.inner();
        inner.tables = inner.file.clone();
        inner.has_log = false;
    }

    /// Every row, by its message.
    pub(crate) fn rows(&self) -> BTreeMap<[u8; 16], EditRow> {
        self.inner().tables.edits.iter().map(|(message, edit)| (*message, edit.row)).collect()
    }

    pub(crate) fn row(&self, message: IdDigest) -> Option<EditRow> {
        self.inner().tables.edits.get(&message.0).map(|edit| edit.row)
    }

    pub(crate) fn count(&self, state: State) -> usize {
        self.inner().tables.edits.values().filter(|edit| edit.row.state == state).count()
    }
}

impl Inner {
    fn check_job(&self, ours: &JobIdentity, gaps: LostCommits) -> Result<(), LedgerError> {
        let Some(theirs) = self.tables.job.clone() else { return Ok(()) };
        let nothing_happened = self.tables.edits.values().all(|edit| edit.row.state == State::Waiting);
        theirs.check(&address(), ours, gaps, || Ok(nothing_happened))
    }

    fn may_lack_commits(&self) -> bool {
        let has_open_run = self.tables.runs.iter().any(|run| run.ended.is_none());
        self.tables.commits_lost || (!self.has_log && has_open_run)
    }

    fn check_commits(&self, gaps: LostCommits) -> Result<bool, LedgerError> {
        let lacks = self.may_lack_commits();
        match gaps {
            LostCommits::Refused if lacks => {
                Err(LedgerError::CommitsLost { path: PATH.into(), log: format!("{PATH}-wal").into() })
            }
            LostCommits::Refused if self.tables.reads_first => Err(LedgerError::ReadsFirst { ledger: address() }),
            LostCommits::Refused | LostCommits::ReadFirst => Ok(lacks),
        }
    }
}

impl Tables {
    /// What a process that died left behind: its run never ended, and what it was sending is in doubt.
    fn recover(&mut self) {
        if self.runs.last().is_some_and(|run| run.ended.as_deref() == Some("finished")) {
            return;
        }
        for run in self.runs.iter_mut().filter(|run| run.ended.is_none()) {
            run.ended = Some("died".to_owned());
            run.ended_at = Some(unix_ms());
        }
        for row in self.edits.values_mut().map(|edit| &mut edit.row).filter(|row| row.state == State::Sending) {
            (row.state, row.code, row.note) = (State::InDoubt, None, Some(Note::ProcessDied));
        }
    }

    fn last_seq(&self) -> i64 {
        self.seqs.last().copied().unwrap_or_default()
    }

    fn put(&mut self, message: [u8; 16], edit: Option<ModelEdit>) -> Option<ModelEdit> {
        if let Some(edit) = &edit {
            self.seqs.insert(edit.seq);
        }
        let new_seq = edit.as_ref().map(|edit| edit.seq);
        let before = match edit {
            Some(edit) => self.edits.insert(message, edit),
            None => self.edits.remove(&message),
        };
        if let Some(before) = before.as_ref().filter(|before| Some(before.seq) != new_seq) {
            self.seqs.remove(&before.seq);
        }
        before
    }

    /// One step of one edit: what stands there afterwards.
    fn step(&self, run: i64, change: &Change) -> Result<Option<ModelEdit>, LedgerError> {
        let Change { attempts, code, note, content, ref line, .. } = *change;
        let known = self.edits.get(&change.message.0);
        let refused = || LedgerError::from(Transition { from: change.from, to: change.to });
        let Some(from) = change.from else {
            let to = change.to.ok_or_else(refused)?;
            let is_sent = to == State::Sending && attempts == 1;
            let is_read = attempts == 0 && matches!(to, State::Done | State::Failed | State::InDoubt);
            rule(is_sent || is_read, "an edit begins with its first sending, or with reading its message")?;
            let row = checked(EditRow { state: to, content, attempts, code, note })?;
            if known.is_some() {
                return Err(refused());
            }
            rule(run > 0, "no run has begun")?;
            let id = change.edit.id();
            let ids = [id.from_account.clone(), id.to_account.clone(), id.msg_key.clone()];
            return Ok(Some(ModelEdit {
                seq: self.last_seq() + 1,
                row,
                ids,
                line: line.clone(),
                run,
                sent_at: change.at,
            }));
        };
        let mut edit = known.filter(|edit| edit.row.state == from).cloned().ok_or_else(refused)?;
        let Some(to) = change.to else {
            let was_sent = from != State::Sending || edit.row.attempts != 1;
            rule(!was_sent, "only an edit that was never sent leaves the ledger")?;
            return Ok(None);
        };
        if to == from && from != State::Sending {
            // Read, and it is as it was.
            edit.row = checked(EditRow { code, note, ..edit.row })?;
            return Ok(Some(edit));
        }
        let moves: &[State] = match from {
            State::Sending => &[State::Done, State::Failed, State::InDoubt, State::Waiting],
            State::Waiting => &[State::Sending, State::Done, State::Failed, State::InDoubt],
            State::Failed => &[State::Sending, State::Done, State::InDoubt],
            State::InDoubt => &[State::Sending, State::Done, State::Failed],
            State::Done => &[],
        };
        rule(moves.contains(&to), "an edit cannot take this step")?;
        edit.row = checked(match (from, to) {
            // The code and the note are still those of the last answer.
            (_, State::Sending) => EditRow { state: to, attempts, content, ..edit.row },
            (State::Sending, _) if change.took.is_none() => EditRow { state: to, attempts, content, ..edit.row },
            (State::Sending, _) => EditRow { state: to, attempts, code, note, ..edit.row },
            (_, _) => EditRow { state: to, content, code, note, ..edit.row },
        })?;
        if to == State::Sending {
            rule(run > 0, "no run has begun")?;
            (edit.line, edit.run, edit.sent_at) = (line.clone(), run, change.at);
        }
        Ok(Some(edit))
    }

    fn write_event(&mut self, run: i64, event: &RunEvent) {
        match event {
            RunEvent::Sample(sample) => {
                let sample = Sample::clone(sample);
                self.answers.extend(sample.answers.iter().map(|(cause, count)| ((run, *cause), *count)));
                let slots = sample.latency.slots().filter(|(_, count)| *count > 0);
                self.latency.extend(slots.map(|(up_to_ms, count)| ((run, up_to_ms), count)));
                self.samples.push((run, Sample { answers: Vec::new(), latency: Latency::default(), ..sample }));
            }
            RunEvent::ControlEvent(act) => self.acts.push((run, unix_ms(), act.clone())),
            RunEvent::Look(look) => self.looks.push((run, *look)),
            RunEvent::Ciphertext(ciphertext) => self.ciphertexts.push(ciphertext.clone()),
            RunEvent::StoppedAtOnce => {
                for run in self.runs.iter_mut().filter(|known| known.run == run && known.ended.is_none()) {
                    run.ended = Some("interrupted".to_owned());
                    run.ended_at = Some(unix_ms());
                    run.reason = Some("a second signal stopped it at once; what was in flight is in doubt".to_owned());
                }
            }
        }
    }
}

/// A trigger of the schema.
fn rule(holds: bool, what: &str) -> Result<(), LedgerError> {
    if holds { Ok(()) } else { Err(LedgerError::Damaged { path: PATH.into(), what: what.to_owned() }) }
}

/// The schema's `CHECK`s.
fn checked(row: EditRow) -> Result<EditRow, LedgerError> {
    let has_note = row.note.is_some();
    rule(row.attempts > 0 || has_note, "CHECK: attempts > 0 OR note")?;
    rule(row.state != State::Done || row.code == Some(0) || has_note, "CHECK: done: code IS 0 OR note")?;
    let is_refused = matches!(row.state, State::Failed | State::Waiting);
    // Without a code the comparison is NULL, and SQL takes that for kept.
    rule(!is_refused || row.code != Some(0) || has_note, "CHECK: failed or waiting: code <> 0 OR note")?;
    Ok(row)
}

fn in_use(holder: &str) -> LedgerError {
    LedgerError::InUse { path: PATH.into(), holder: holder.to_owned() }
}

/// A process's side of it. Dropped before its run has ended, it leaves what a process that dies leaves.
pub(crate) struct ModelStore {
    ledger: ModelLedger,
    job: JobIdentity,
    run: i64,
    has_begun: bool,
    has_ended: bool,
}

impl ModelStore {
    /// All of it or nothing.
    pub(crate) fn apply(&mut self, changes: &[Change], events: &[RunEvent]) -> Result<(), LedgerError> {
        if self.has_ended {
            return Err(LedgerError::Latched);
        }
        let tables = &mut self.ledger.inner().tables;
        let mut undo = Vec::new();
        for change in changes {
            match tables.step(self.run, change) {
                Ok(edit) => undo.push((change.message.0, tables.put(change.message.0, edit))),
                Err(error) => {
                    for (message, edit) in undo.into_iter().rev() {
                        tables.put(message, edit);
                    }
                    return Err(error);
                }
            }
        }
        for event in events {
            tables.write_event(self.run, event);
        }
        Ok(())
    }
}

impl Store for ModelStore {
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move { self.apply(&changes, &events).map(|()| vec![Applied::Yes; changes.len()]) })
    }
}

impl AuditStore for ModelStore {
    fn begin_audit(&mut self, info: &AuditInfo, goes_on: Option<i64>) -> Result<i64, LedgerError> {
        let audits = &mut self.ledger.inner().tables.audits;
        if goes_on.is_none() {
            audits.push(AuditRecord {
                audit: audits.last().map_or(1, |last| last.audit + 1),
                begun_at: unix_ms(),
                ended_at: None,
                ended: None,
                reason: None,
                version: "model".to_owned(),
                user: "tester".to_owned(),
                host: "model".to_owned(),
                info: info.clone(),
                findings: Findings::default(),
            });
        }
        self.run = goes_on.or(audits.last().map(|last| last.audit)).unwrap_or_default();
        let again = audits.iter_mut().filter(|audit| audit.audit == self.run);
        again.for_each(|audit| (audit.ended, audit.ended_at, audit.reason) = (None, None, None));
        Ok(self.run)
    }

    fn end_audit(&mut self, ended: &str, reason: Option<&str>) -> Result<(), LedgerError> {
        self.has_ended = true;
        for audit in self.ledger.inner().tables.audits.iter_mut().filter(|audit| audit.audit == self.run) {
            audit.ended = Some(ended.to_owned());
            audit.ended_at = Some(unix_ms());
            audit.reason = reason.map(str::to_owned);
        }
        Ok(())
    }
}

impl RunStore for ModelStore {
    fn begin_run(&mut self, info: &RunInfo) -> Result<(), LedgerError> {
        let inner = &mut *self.ledger.inner();
        let tables = &mut inner.tables;
        self.run = tables.runs.last().map_or(1, |run| run.run + 1);
        let RunInfo { identifier, job_sha256, proxy, command, directory, .. } = info.clone();
        let new_edits = (info.new_edits, tables.last_seq());
        tables.job = Some(JobIdentity { other_host: None, ..self.job.clone() });
        tables.reads_first |= info.read_first;
        tables.runs.push(RunRecord {
            run: self.run,
            started_at: unix_ms(),
            ended_at: None,
            ended: None,
            reason: None,
            version: "model".to_owned(),
            user: "tester".to_owned(),
            host: "model".to_owned(),
            pid: std::process::id(),
            input: info.input.clone(),
            input_sha256: info.input_sha256.clone(),
            input_rows: info.input_rows,
            lists: info.lists.clone(),
            rate: info.rate,
            duplicates: Some(info.duplicates),
            planned: Some(info.planned),
            identifier: Some(identifier),
            job_sha256,
            proxy,
            command: Some(command),
            directory: Some(directory),
            new_edits: Some(new_edits),
        });
        inner.file = inner.tables.clone();
        inner.has_log = true;
        self.has_begun = true;
        Ok(())
    }

    fn mark_all_read(&mut self) -> Result<(), LedgerError> {
        self.ledger.inner().tables.reads_first = false;
        Ok(())
    }

    fn end_run(&mut self, ended: &str, reason: &str) -> Result<WalEnd, LedgerError> {
        if std::mem::replace(&mut self.has_ended, true) {
            return Err(LedgerError::Latched);
        }
        let inner = &mut *self.ledger.inner();
        for run in inner.tables.runs.iter_mut().filter(|run| run.run == self.run) {
            run.ended = Some(ended.to_owned());
            run.ended_at = Some(unix_ms());
            run.reason = Some(reason.to_owned()).filter(|reason| !reason.is_empty());
        }
        inner.file = inner.tables.clone();
        inner.has_log = false;
        Ok(WalEnd::Whole)
    }
}

impl Drop for ModelStore {
    fn drop(&mut self) {
        let Ok(mut inner) = self.ledger.0.lock() else { return };
        inner.is_locked = false;
        if !self.has_begun {
            inner.file = inner.tables.clone();
            inner.has_log = false;
        }
    }
}

struct ModelRecords {
    ledger: ModelLedger,
    /// The one state that it reads.
    held: Option<Arc<BTreeMap<[u8; 16], EditRow>>>,
}

impl ModelRecords {
    fn find(&self, message: IdDigest) -> Option<EditRow> {
        match &self.held {
            Some(rows) => rows.get(&message.0).copied(),
            None => self.ledger.row(message),
        }
    }
}

impl Records for ModelRecords {
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError> {
        Ok(self.find(message).map(|EditRow { state, content, .. }| EditStatus { state, content }))
    }

    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError> {
        let missing = || LedgerError::Damaged { path: PATH.into(), what: "an edit is missing".to_owned() };
        self.find(message).ok_or_else(missing)
    }

    fn again(&self) -> Result<Box<dyn Records>, LedgerError> {
        Ok(Box::new(ModelRecords { ledger: self.ledger.clone(), held: self.held.clone() }))
    }

    fn held(self: Box<Self>) -> Result<Box<dyn Records>, LedgerError> {
        let held = Some(Arc::new(self.ledger.rows()));
        Ok(Box::new(ModelRecords { ledger: self.ledger, held }))
    }

    fn went_through_proxy(&self) -> Result<bool, LedgerError> {
        Ok(self.ledger.inner().tables.runs.iter().any(|run| run.proxy.is_some()))
    }
}

struct ModelOverview {
    address: LedgerAddress,
    ledger: ModelLedger,
    tables: Tables,
    worker: Option<Worker>,
    has_log: bool,
    may_lack_commits: bool,
}

impl Overview for ModelOverview {
    fn address(&self) -> &LedgerAddress {
        &self.address
    }

    fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    fn has_begun_to_move(&self) -> bool {
        !self.has_log && self.ledger.inner().has_log
    }

    fn may_lack_commits(&self) -> bool {
        self.may_lack_commits
    }

    fn is_at_rest(&self) -> bool {
        !self.has_log && self.worker.is_none()
    }

    fn job(&self) -> Result<JobIdentity, LedgerError> {
        let missing = || LedgerError::Damaged { path: PATH.into(), what: "it names no job".to_owned() };
        self.tables.job.clone().ok_or_else(missing)
    }

    fn outcomes(&self) -> Result<Vec<Outcomes>, LedgerError> {
        let mut counts = BTreeMap::new();
        for ModelEdit { row, run, .. } in self.tables.edits.values() {
            *counts.entry((row.state, row.code, row.note, *run)).or_insert(0) += 1;
        }
        let outcome = |((state, code, note, run), edits)| Outcomes { state, cause: cause(code, note), run, edits };
        Ok(counts.into_iter().map(outcome).collect())
    }

    fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        Ok(self.tables.runs.clone())
    }

    fn edits_after(&self, seq: i64) -> Result<u64, LedgerError> {
        Ok(self.tables.seqs.range(seq + 1..).count() as u64)
    }

    fn samples(&self, run: i64) -> Result<Vec<Sample>, LedgerError> {
        let of_run = self.tables.samples.iter().filter(|(of, _)| *of == run);
        let mut samples: Vec<Sample> = of_run.map(|(_, sample)| sample.clone()).collect();
        samples.sort_by_key(|sample| sample.at);
        Ok(samples)
    }

    fn answers(&self, run: Option<i64>) -> Result<Vec<(Cause, u64)>, LedgerError> {
        let mut counts = BTreeMap::new();
        for ((of, cause), count) in &self.tables.answers {
            if run.is_none_or(|run| run == *of) {
                *counts.entry(*cause).or_insert(0) += count;
            }
        }
        let mut answers: Vec<(Cause, u64)> = counts.into_iter().collect();
        answers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(answers)
    }

    fn latency(&self, run: Option<i64>) -> Result<Latency, LedgerError> {
        let mut latency = Latency::default();
        let mut runs: BTreeMap<i64, Vec<_>> = BTreeMap::new();
        for ((of, up_to_ms), count) in &self.tables.latency {
            if run.is_none_or(|run| run == *of) {
                runs.entry(*of).or_default().push((*up_to_ms, *count));
            }
        }
        for slots in runs.values() {
            latency.add_run(slots);
        }
        Ok(latency)
    }

    fn acts(&self) -> Result<Vec<(i64, i64, ControlEvent)>, LedgerError> {
        Ok(self.tables.acts.clone())
    }

    fn ciphertexts(&self) -> Result<Vec<Ciphertext>, LedgerError> {
        let mut ciphertexts = self.tables.ciphertexts.clone();
        ciphertexts.sort_by(|one, other| (&one.file, one.number).cmp(&(&other.file, other.number)));
        Ok(ciphertexts)
    }

    fn audits(&self) -> Result<Vec<AuditRecord>, LedgerError> {
        let mut audits = self.tables.audits.clone();
        for (number, look) in &self.tables.looks {
            audits
                .iter_mut()
                .filter(|audit| audit.audit == *number)
                .for_each(|audit| audit.findings.add(look.found, 1));
        }
        Ok(audits)
    }

    fn visit_looks(&self, audit: i64, visit: &mut dyn FnMut(Look)) -> Result<(), LedgerError> {
        self.tables.looks.iter().filter(|(number, _)| *number == audit).for_each(|(_, look)| visit(*look));
        Ok(())
    }

    fn visit_edits(
        &self,
        state: State,
        at_most: Option<u32>,
        visit: &mut dyn FnMut(EditRecord) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let mut edits: Vec<&ModelEdit> = self.tables.edits.values().filter(|edit| edit.row.state == state).collect();
        edits.sort_by_key(|edit| edit.seq);
        let _ = edits
            .into_iter()
            .take(at_most.map_or(usize::MAX, |most| most as usize))
            .map(|edit| self.record(edit))
            .try_for_each(visit);
        Ok(())
    }

    fn edit(&self, message: IdDigest) -> Result<Option<EditRecord>, LedgerError> {
        Ok(self.tables.edits.get(&message.0).map(|edit| self.record(edit)))
    }
}

impl ModelOverview {
    fn record(&self, edit: &ModelEdit) -> EditRecord {
        let ModelEdit { row, ids: [from_account, to_account, msg_key], line, run, sent_at, .. } = edit.clone();
        let EditRow { state, content, code, note, attempts } = row;
        let runs = &self.tables.runs;
        let has_lists = runs.iter().any(|run| !run.lists.is_empty());
        let name = |run: &RunRecord| match line.list.as_ref().and_then(|list| run.lists.get(list.position as usize - 1))
        {
            Some(list) => list.name.clone(),
            None => run.input.clone(),
        };
        EditRecord {
            from_account,
            to_account,
            msg_key,
            state,
            cause: cause(code, note),
            attempts,
            line: line.number,
            list: runs.iter().find(|known| known.run == run && has_lists).map(name),
            run,
            sent_at,
            content,
        }
    }
}

fn cause(code: Option<i64>, note: Option<Note>) -> Option<Cause> {
    note.map(Cause::Note).or(code.map(Cause::Code))
}

/// The job of tests that need one, and no particular one.
pub(crate) fn job() -> JobIdentity {
    JobIdentity { sdkappid: 1_400_000_000, service: "test:443".into(), other_host: None, name: None }
}

/// A run of that job.
pub(crate) fn run_info() -> RunInfo {
    RunInfo {
        input: "edits.csv".into(),
        input_sha256: "07".repeat(32),
        input_rows: 3,
        lists: Vec::new(),
        duplicates: 0,
        planned: 3,
        new_edits: 3,
        rate: 200,
        read_first: false,
        identifier: "administrator".into(),
        job_sha256: None,
        proxy: None,
        command: "runner --input edits.csv --resume ledger.db".into(),
        directory: "/home/tester".into(),
        shared: None,
        known: Progress::default(),
    }
}
