//! What every ledger must do: one suite, run against the SQLite file, a job in PostgreSQL, and the model that the tests of the run use. To
//! add another kind of ledger, implement `LedgerKind` for it and name it at the end.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use runner::edit::{Edit, IdDigest, Line, MessageId, OneOfLists};
use runner::ledger::{
    Applied, AuditInfo, AuditStore, Cause, Change, Ciphertext, ControlAction, ControlEvent, EditRecord, EditRow,
    EditStatus, Found, Intent, JobIdentity, Latency, Ledger, LedgerAddress, LedgerError, Look, LostCommits, NotEdited,
    Note, Outcomes, Overview, Pending, Records, RunEvent, RunInfo, RunList, RunRecord, RunStore, Sample, Settlement,
    SharedTerms, State, Totals, Transition, WalEnd, create_store, open_audit, open_overview, open_records, open_store,
    overview_beside_writer, records_beside_writer, unix_ms,
};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::support::model_ledger::{ModelLedger, job, run_info};
use crate::support::postgres::{Cluster, Database};

/// One kind of ledger. What it holds outlives the stores that are opened on it, as a file outlives processes.
trait LedgerKind: Sized {
    /// Whether several runs work on it at the same time. Then none finds it in use, and a run that has died is known to have
    /// only when another has watched its lease for a while.
    const IS_SHARED: bool = false;

    /// Whether this machine has what it needs.
    fn is_here() -> bool {
        true
    }

    /// A place where there is no ledger yet.
    fn fresh() -> Self;
    fn open(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Box<dyn RunStore>, LedgerError>;
    fn create(&self) -> Result<Box<dyn RunStore>, LedgerError>;
    fn audit(&self) -> Result<Box<dyn AuditStore>, LedgerError>;
    fn records(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Option<Box<dyn Records>>, LedgerError>;
    fn records_beside_writer(&self) -> Box<dyn Records>;
    fn overview(&self) -> Result<Box<dyn Overview>, LedgerError>;
    fn overview_beside_writer(&self) -> Box<dyn Overview>;
    /// Takes away all that was committed since a run began that has not ended. False: this kind cannot lose it.
    fn lose_commits(&self) -> bool;

    /// A store in which a run has begun.
    fn begin(&self) -> Box<dyn RunStore> {
        self.begin_with(&run_info(), LostCommits::Refused)
    }

    fn begin_with(&self, info: &RunInfo, gaps: LostCommits) -> Box<dyn RunStore> {
        let mut store = self.open(&job(), gaps).unwrap();
        store.begin_run(info).unwrap();
        store
    }

    fn start(&self) -> (Ledger, JoinHandle<Box<dyn RunStore>>) {
        Ledger::start(self.begin())
    }

    fn row(&self, key: &str) -> Option<EditRow> {
        let (mut records, message) = (self.records_beside_writer(), digest(key));
        let status = records.status(message).unwrap()?;
        let row = records.row(message).unwrap();
        assert_eq!(status, EditStatus { state: row.state, content: row.content });
        Some(row)
    }
}

struct Sqlite(TempDir);

impl Sqlite {
    fn address(&self) -> LedgerAddress {
        LedgerAddress::File(self.0.path().join("ledger.db"))
    }
}

impl LedgerKind for Sqlite {
    fn fresh() -> Sqlite {
        Sqlite(TempDir::new().unwrap())
    }

    fn open(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Box<dyn RunStore>, LedgerError> {
        open_store(&self.address(), job, gaps)
    }

    fn create(&self) -> Result<Box<dyn RunStore>, LedgerError> {
        create_store(&self.address(), &job())
    }

    fn audit(&self) -> Result<Box<dyn AuditStore>, LedgerError> {
        open_audit(&self.address(), &job())
    }

    fn records(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Option<Box<dyn Records>>, LedgerError> {
        open_records(&self.address(), job, gaps)
    }

    fn records_beside_writer(&self) -> Box<dyn Records> {
        records_beside_writer(&self.address()).unwrap()
    }

    fn overview(&self) -> Result<Box<dyn Overview>, LedgerError> {
        open_overview(&self.address())
    }

    fn overview_beside_writer(&self) -> Box<dyn Overview> {
        overview_beside_writer(&self.address()).unwrap()
    }

    fn lose_commits(&self) -> bool {
        for beside in ["ledger.db-wal", "ledger.db-shm"] {
            let _ = std::fs::remove_file(self.0.path().join(beside));
        }
        true
    }
}

/// A job in a database of its own.
struct Postgres(Database<'static>);

impl Postgres {
    fn address(&self) -> LedgerAddress {
        LedgerAddress::Postgres(self.0.url("conformance").parse().unwrap())
    }
}

impl LedgerKind for Postgres {
    const IS_SHARED: bool = true;

    fn is_here() -> bool {
        Cluster::shared().is_some()
    }

    fn fresh() -> Postgres {
        Postgres(Cluster::shared().unwrap().database())
    }

    fn open(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Box<dyn RunStore>, LedgerError> {
        open_store(&self.address(), job, gaps)
    }

    fn create(&self) -> Result<Box<dyn RunStore>, LedgerError> {
        create_store(&self.address(), &job())
    }

    fn audit(&self) -> Result<Box<dyn AuditStore>, LedgerError> {
        open_audit(&self.address(), &job())
    }

    fn records(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Option<Box<dyn Records>>, LedgerError> {
        open_records(&self.address(), job, gaps)
    }

    fn records_beside_writer(&self) -> Box<dyn Records> {
        records_beside_writer(&self.address()).unwrap()
    }

    fn overview(&self) -> Result<Box<dyn Overview>, LedgerError> {
        open_overview(&self.address())
    }

    fn overview_beside_writer(&self) -> Box<dyn Overview> {
        overview_beside_writer(&self.address()).unwrap()
    }

    /// What it has confirmed is in its own log, which nothing here can take away.
    fn lose_commits(&self) -> bool {
        false
    }

    /// With a list of its own, so that it does not join a run that has died, but waits until that is sure.
    fn begin_with(&self, info: &RunInfo, gaps: LostCommits) -> Box<dyn RunStore> {
        let mut store = self.open(&job(), gaps).unwrap();
        let shared = Some(SharedTerms { list: std::array::from_fn(|_| fastrand::u8(..)), settings: Vec::new() });
        store.begin_run(&RunInfo { shared, ..info.clone() }).unwrap();
        store
    }
}

impl LedgerKind for ModelLedger {
    fn fresh() -> ModelLedger {
        ModelLedger::default()
    }

    fn open(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Box<dyn RunStore>, LedgerError> {
        Ok(Box::new(self.open_store(job, gaps)?))
    }

    fn create(&self) -> Result<Box<dyn RunStore>, LedgerError> {
        Ok(Box::new(self.create_store(&job())?))
    }

    fn audit(&self) -> Result<Box<dyn AuditStore>, LedgerError> {
        self.open_overview()?;
        Ok(Box::new(self.open_store(&job(), LostCommits::Refused)?))
    }

    fn records(&self, job: &JobIdentity, gaps: LostCommits) -> Result<Option<Box<dyn Records>>, LedgerError> {
        self.open_records(job, gaps)
    }

    fn records_beside_writer(&self) -> Box<dyn Records> {
        ModelLedger::records(self)
    }

    fn overview(&self) -> Result<Box<dyn Overview>, LedgerError> {
        self.open_overview()
    }

    fn overview_beside_writer(&self) -> Box<dyn Overview> {
        self.open_overview().unwrap()
    }

    fn lose_commits(&self) -> bool {
        self.lose_log();
        true
    }
}

fn edit(key: &str, content: &str) -> Edit {
    let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() };
    Edit::new(id, None, Some(content.into())).unwrap()
}

fn pending(key: &str) -> Pending {
    let edit = edit(key, "x");
    let wanted = edit.wanted();
    Pending::new(edit, wanted, 2, None)
}

fn digest(key: &str) -> IdDigest {
    edit(key, "x").id().digest()
}

fn settled(state: State, code: i64) -> Settlement {
    Settlement { state, code: Some(code), note: None, counts: true }
}

fn noted(state: State, note: Note) -> Settlement {
    Settlement { state, code: None, note: Some(note), counts: true }
}

async fn intend(ledger: &Ledger, key: &str) -> Intent {
    ledger.intend(pending(key).ready().unwrap()).await.unwrap()
}

/// Sends an edit once; the edit, to be sent again.
async fn send(ledger: &Ledger, key: &str, settlement: Settlement) -> Pending {
    let intent = intend(ledger, key).await;
    ledger.record(intent, settlement).await.unwrap().into_pending()
}

async fn end(ledger: Ledger, writer: JoinHandle<Box<dyn RunStore>>, how: &str) {
    drop(ledger);
    assert_eq!(writer.await.unwrap().end_run(how, "").unwrap(), WalEnd::Whole);
}

/// Ends as a process that dies does.
async fn die(ledger: Ledger, writer: JoinHandle<Box<dyn RunStore>>) {
    drop(ledger);
    drop(writer.await.unwrap());
}

fn runs(ledger: &impl LedgerKind) -> Vec<RunRecord> {
    ledger.overview().unwrap().runs().unwrap()
}

fn is_damage(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Damaged { .. } | LedgerError::Unsound { .. })
}

fn totals(overview: &dyn Overview) -> Totals {
    overview.totals(&overview.outcomes().unwrap(), &overview.runs().unwrap()).unwrap()
}

fn listed(overview: &dyn Overview, state: State, at_most: Option<u32>) -> Vec<EditRecord> {
    let mut edits = Vec::new();
    let taken = overview.edits(state, at_most, |edit| {
        edits.push(edit);
        Ok::<_, LedgerError>(())
    });
    taken.unwrap();
    edits
}

async fn a_ledger_is_made_by_the_first_store_and_names_its_job<L: LedgerKind>() {
    let ledger = L::fresh();
    assert!(ledger.records(&job(), LostCommits::Refused).unwrap().is_none());
    assert!(matches!(ledger.overview(), Err(LedgerError::Missing { .. })));
    drop(ledger.create().unwrap());
    assert!(ledger.records(&job(), LostCommits::Refused).unwrap().is_some());
    assert_eq!(ledger.overview().unwrap().job().unwrap(), job());
    assert_eq!(runs(&ledger), []);
    drop(ledger.create().unwrap());
    assert_eq!(ledger.begin().end_run("finished", "").unwrap(), WalEnd::Whole);
    if L::IS_SHARED {
        drop(ledger.create().unwrap());
        return;
    }
    let error = ledger.create().map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
}

async fn a_run_is_recorded_from_its_beginning_to_its_end<L: LedgerKind>() {
    let ledger = L::fresh();
    let info = RunInfo {
        duplicates: 1,
        planned: 5,
        new_edits: 4,
        job_sha256: Some("ab".to_owned()),
        proxy: Some("proxy.example.com:3128".to_owned()),
        ..run_info()
    };
    let mut store = ledger.begin_with(&info, LostCommits::Refused);
    let run = ledger.overview_beside_writer().runs().unwrap().remove(0);
    assert_eq!((run.run, run.ended_at, &run.ended, &run.reason), (1, None, &None, &None));
    let of_list = (run.input, run.input_sha256, run.input_rows, run.duplicates, run.planned);
    assert_eq!(of_list, (info.input, info.input_sha256, 3, Some(1), Some(5)));
    assert_eq!((run.rate, run.new_edits, run.pid), (200, Some((4, 0)), std::process::id()));
    assert_eq!((run.identifier, run.job_sha256, run.proxy), (Some(info.identifier), info.job_sha256, info.proxy));
    assert_eq!((run.command, run.directory), (Some(info.command), Some(info.directory)));
    store.end_run("stopped", "the disk is full").unwrap();
    assert!(matches!(store.end_run("finished", ""), Err(LedgerError::Latched)), "it has ended");
    assert!(matches!(store.commit(Vec::new(), Vec::new()).await, Err(LedgerError::Latched)), "it has ended");
    drop(store);
    let run = runs(&ledger).remove(0);
    assert_eq!((run.ended.as_deref(), run.reason.as_deref()), (Some("stopped"), Some("the disk is full")));
    assert!(run.ended_at >= Some(run.started_at));
    ledger.begin().end_run("finished", "").unwrap();
    let run = runs(&ledger).remove(1);
    assert_eq!((run.run, run.ended.as_deref(), run.reason), (2, Some("finished"), None));
}

async fn the_lists_of_a_run_and_of_its_edits_are_kept<L: LedgerKind>() {
    let ledger = L::fresh();
    let list = |name: &str, rows| RunList { name: name.to_owned(), sha256: "0f".repeat(32), rows };
    let lists = vec![list("a.csv", 2), list("b.csv", 1)];
    let several = RunInfo { lists: lists.clone(), ..run_info() };
    let (handle, writer) = Ledger::start(ledger.begin_with(&several, LostCommits::Refused));
    let of_b = Line { list: Some(OneOfLists { position: 2, name: "b.csv".into() }), number: 7 };
    for (key, line) in [("1", of_b.clone()), ("2", 3.into())] {
        let edit = edit(key, "x");
        let wanted = edit.wanted();
        let intent = handle.intend(Pending::new(edit, wanted, line, None).ready().unwrap()).await.unwrap();
        handle.record(intent, settled(State::Failed, 20026)).await.unwrap();
    }
    let place = |key: &str| {
        let edit = ledger.overview_beside_writer().edit(digest(key)).unwrap().unwrap();
        (edit.list, edit.line, edit.run)
    };
    assert_eq!(place("1"), (Some("b.csv".to_owned()), 7, 1));
    assert_eq!(place("2"), (Some("edits.csv".to_owned()), 3, 1));
    end(handle, writer, "finished").await;

    // Sent again from the only list of another run, and from the first list of a third.
    let (handle, writer) = ledger.start();
    let again = |line: Line| Pending::new(edit("1", "x"), edit("1", "x").wanted(), line, ledger.row("1"));
    let intent = handle.intend(again(4.into()).ready().unwrap()).await.unwrap();
    assert_eq!(place("1"), (Some("edits.csv".to_owned()), 4, 2));
    handle.record(intent, settled(State::Failed, 20026)).await.unwrap();
    end(handle, writer, "finished").await;
    let swapped = RunInfo { lists: lists.iter().cloned().rev().collect(), ..run_info() };
    let (handle, writer) = Ledger::start(ledger.begin_with(&swapped, LostCommits::Refused));
    let of_b = Line { list: Some(OneOfLists { position: 1, name: "b.csv".into() }), number: 7 };
    let intent = handle.intend(again(of_b).ready().unwrap()).await.unwrap();
    assert_eq!(place("1"), (Some("b.csv".to_owned()), 7, 3));
    handle.record(intent, settled(State::Done, 0)).await.unwrap();
    end(handle, writer, "finished").await;
    let runs: Vec<_> = runs(&ledger).into_iter().map(|run| run.lists).collect();
    assert_eq!(runs, [lists, Vec::new(), swapped.lists]);
}

async fn a_run_through_a_proxy_is_remembered<L: LedgerKind>() {
    let ledger = L::fresh();
    let proxy = Some("proxy.example.com:3128".to_owned());
    for (of_this_run, ever) in [(None, false), (proxy, true), (None, true)] {
        let mut store = ledger.begin_with(&RunInfo { proxy: of_this_run, ..run_info() }, LostCommits::Refused);
        store.end_run("finished", "").unwrap();
        drop(store);
        let records = ledger.records(&job(), LostCommits::Refused).unwrap().unwrap();
        assert_eq!(records.went_through_proxy().unwrap(), ever);
    }
}

async fn intents_and_outcomes_are_there_when_the_calls_return<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    let content = pending("1").content;
    let row = |state, attempts, code, note| Some(EditRow { state, content, attempts, code, note });
    let intent = intend(&handle, "1").await;
    assert_eq!(ledger.row("1"), row(State::Sending, 1, None, None));
    let waiting = handle.record(intent, settled(State::Waiting, 20004)).await.unwrap();
    assert_eq!(ledger.row("1"), row(State::Waiting, 1, Some(20004), None));
    // The code is that of the last answer until there is another.
    let intent = handle.intend(waiting.into_pending().ready().unwrap()).await.unwrap();
    assert_eq!(ledger.row("1"), row(State::Sending, 2, Some(20004), None));
    let lost = handle.record(intent, noted(State::InDoubt, Note::TimedOut)).await.unwrap();
    assert_eq!(ledger.row("1"), row(State::InDoubt, 2, None, Some(Note::TimedOut)));
    let read = handle.settle(lost.into_pending(), noted(State::InDoubt, Note::ReadBackFailed)).await.unwrap();
    assert_eq!(ledger.row("1"), row(State::InDoubt, 2, None, Some(Note::ReadBackFailed)));
    handle.settle(read.into_pending(), noted(State::Done, Note::ReadBack)).await.unwrap();
    assert_eq!(ledger.row("1"), row(State::Done, 2, None, Some(Note::ReadBack)));
    end(handle, writer, "finished").await;
}

async fn an_edit_may_be_settled_by_reading_alone<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    for (key, state, note) in [
        ("1", State::Done, Note::AlreadyThere),
        ("2", State::Failed, Note::NotThere),
        ("3", State::InDoubt, Note::ReadBackRefused),
    ] {
        handle.settle(pending(key), noted(state, note)).await.unwrap();
        let row = ledger.row(key).unwrap();
        assert_eq!((row.state, row.attempts, row.code, row.note), (state, 0, None, Some(note)));
    }
    let failed = Pending::new(edit("2", "x"), edit("2", "x").wanted(), 2, ledger.row("2"));
    let proof = NotEdited::shown_by(&failed, None, Some("as it was")).unwrap();
    let intent = handle.intend(failed.found_not_edited(proof, None).unwrap().ready().unwrap()).await.unwrap();
    handle.record(intent, settled(State::Done, 0)).await.unwrap();
    // The note went with the answer.
    assert_eq!(ledger.row("2").map(|row| (row.state, row.attempts, row.note)), Some((State::Done, 1, None)));
    end(handle, writer, "finished").await;
}

async fn a_withdrawn_intent_leaves_things_as_they_stood<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    let intent = intend(&handle, "1").await;
    handle.withdraw(intent).await.unwrap();
    assert_eq!(ledger.row("1"), None);

    for (key, settlement) in [
        ("2", settled(State::Waiting, 20004)),
        ("3", settled(State::Failed, 20026)),
        ("4", noted(State::InDoubt, Note::ConnectionLost)),
    ] {
        let sent = send(&handle, key, settlement).await;
        let before = ledger.row(key);
        let intent = handle.intend(sent.send_again_unseen().unwrap()).await.unwrap();
        handle.withdraw(intent).await.unwrap();
        assert_eq!(ledger.row(key), before);
    }

    // With content that was corrected: what is being sent is what the ledger holds, and then the old content again.
    let before = ledger.row("3").unwrap();
    let corrected = edit("3", "corrected");
    let wanted = corrected.wanted();
    let intent = handle.intend(Pending::new(corrected, wanted, 2, Some(before)).ready().unwrap()).await.unwrap();
    assert_ne!(ledger.row("3").unwrap().content, before.content);
    handle.withdraw(intent).await.unwrap();
    assert_eq!(ledger.row("3"), Some(before));
    end(handle, writer, "finished").await;
}

async fn what_a_dead_process_was_sending_is_in_doubt<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    let waiting = send(&handle, "1", settled(State::Waiting, 20004)).await;
    let _under_way = (handle.intend(waiting.ready().unwrap()).await.unwrap(), intend(&handle, "2").await);
    send(&handle, "3", settled(State::Done, 0)).await;
    die(handle, writer).await;

    // The next start records it; until then the ledger is as it was left.
    let overview = ledger.overview().unwrap();
    // Nobody has missed it yet where several work.
    assert_eq!(overview.worker().is_some(), L::IS_SHARED);
    assert_eq!((overview.may_lack_commits(), overview.is_at_rest()), (false, false));
    assert_eq!(listed(&*overview, State::Sending, None).len(), 2);
    let (in_doubt, in_flight) = if L::IS_SHARED { (0, 2) } else { (2, 0) };
    let expected = Totals { messages: 3, done: 1, in_doubt, in_flight, ..Totals::default() };
    assert_eq!(totals(&*overview), expected);
    assert_eq!(overview.runs().unwrap()[0].ended, None);
    drop(overview);

    let store = ledger.begin();
    for (key, attempts) in [("1", 2), ("2", 1)] {
        let row = ledger.row(key).unwrap();
        assert_eq!((row.state, row.code, row.note), (State::InDoubt, None, Some(Note::ProcessDied)));
        assert_eq!(row.attempts, attempts);
    }
    assert_eq!(ledger.row("3").unwrap().state, State::Done);
    drop(store);
    let runs = runs(&ledger);
    assert_eq!((runs[0].ended.as_deref(), runs[0].ended_at.is_some()), (Some("died"), true));
    assert_eq!(runs[1].ended, None);
}

async fn a_commit_is_all_or_nothing<L: LedgerKind>() {
    let ledger = L::fresh();
    let mut store = ledger.begin();
    let step = |key: &str, from, to| change(&edit(key, "x"), from, to);
    let sending = Some(State::Sending);
    let event = || vec![RunEvent::Sample(Box::default())];
    let refused = store.commit(vec![step("1", None, sending), step("2", sending, None)], event()).await.unwrap_err();
    assert!(
        matches!(refused, LedgerError::Transition(Transition { from: Some(State::Sending), to: None })),
        "{refused}"
    );
    let unlawful = Change { attempts: 2, ..step("2", None, sending) };
    let refused = store.commit(vec![step("1", None, sending), unlawful], event()).await.unwrap_err();
    assert!(is_damage(&refused), "{refused}");
    assert_eq!((ledger.row("1"), ledger.row("2")), (None, None));
    assert_eq!(ledger.overview_beside_writer().samples(1).unwrap(), []);
    // In the order in which they are given.
    let done = Change { code: Some(0), took: Some(Duration::from_millis(70)), ..step("1", sending, Some(State::Done)) };
    store.commit(vec![step("1", None, sending), step("2", None, sending), done], event()).await.unwrap();
    assert_eq!(["1", "2"].map(|key| ledger.row(key).map(|row| row.state)), [Some(State::Done), sending]);
    assert_eq!(ledger.overview_beside_writer().samples(1).unwrap(), [Sample::default()]);
}

/// A run that believes another state than the ledger holds must not continue.
async fn an_edit_that_is_elsewhere_than_the_run_believes_latches_the_ledger<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    send(&handle, "1", settled(State::Done, 0)).await;
    let error = handle.intend(pending("1").ready().unwrap()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Transition(_)), "{error}");
    assert!(matches!(handle.intend(pending("2").ready().unwrap()).await, Err(LedgerError::Latched)));
    assert_eq!(ledger.row("2"), None);
    die(handle, writer).await;
}

async fn a_missing_row_is_an_error<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    send(&handle, "1", settled(State::Done, 0)).await;
    let mut records = ledger.records_beside_writer();
    assert_eq!(records.status(digest("2")).unwrap(), None);
    assert!(records.row(digest("2")).is_err_and(|error| is_damage(&error)));
    end(handle, writer, "finished").await;
}

async fn a_reader_that_is_held_reads_one_state<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    let waiting = send(&handle, "1", settled(State::Waiting, 20004)).await;
    let mut held = ledger.records_beside_writer().held().unwrap();
    let mut state = |message| held.status(message).unwrap().map(|status| status.state);
    assert_eq!(state(digest("1")), Some(State::Waiting));
    let intent = handle.intend(waiting.ready().unwrap()).await.unwrap();
    handle.record(intent, settled(State::Done, 0)).await.unwrap();
    send(&handle, "2", settled(State::Done, 0)).await;
    assert_eq!((state(digest("1")), state(digest("2"))), (Some(State::Waiting), None));
    drop(held);
    let again = ledger.records_beside_writer().again().unwrap().row(digest("1")).unwrap();
    assert_eq!(again.state, State::Done);
    end(handle, writer, "finished").await;
}

async fn one_process_at_a_time<L: LedgerKind>() {
    let ledger = L::fresh();
    let store = ledger.begin();
    if L::IS_SHARED {
        drop(ledger.open(&job(), LostCommits::Refused).unwrap());
        return;
    }
    let error = ledger.open(&job(), LostCommits::Refused).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
    let overview = ledger.overview().unwrap();
    assert_eq!(overview.worker().unwrap().name(), format!("process {}", std::process::id()));
    assert!(!overview.is_at_rest() && !overview.may_lack_commits());
    drop((store, overview));
    drop(ledger.open(&job(), LostCommits::Refused).unwrap());
    let overview = ledger.overview().unwrap();
    assert_eq!(overview.worker(), None);
    assert!(overview.is_at_rest() && !overview.has_begun_to_move());
    let _store = ledger.begin();
    assert!(overview.has_begun_to_move());
}

async fn another_jobs_ledger_is_refused_once_something_happened_in_it<L: LedgerKind>() {
    let ledger = L::fresh();
    let other = JobIdentity { sdkappid: 1_400_000_001, ..job() };
    let moved = JobIdentity { service: "moved:443".into(), ..job() };
    let (handle, writer) = ledger.start();
    // A refusal is nothing that happened.
    let waiting = send(&handle, "1", settled(State::Waiting, 70_003)).await;
    end(handle, writer, "stopped").await;
    drop(ledger.open(&other, LostCommits::Refused).unwrap());
    assert_eq!(ledger.overview().unwrap().job().unwrap(), job(), "no run of the other job has begun");

    let (handle, writer) = ledger.start();
    let intent = handle.intend(waiting.ready().unwrap()).await.unwrap();
    handle.record(intent, settled(State::Done, 0)).await.unwrap();
    end(handle, writer, "finished").await;
    for refused in [&other, &moved, &JobIdentity { name: Some("n".into()), ..job() }] {
        for error in [
            ledger.open(refused, LostCommits::Refused).map(drop).unwrap_err(),
            ledger.records(refused, LostCommits::Refused).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, LedgerError::OtherJob { .. }), "{error}");
        }
    }
    assert!(ledger.open(&other, LostCommits::ReadFirst).is_err(), "another app has other messages");

    // To open it is to ask whether it can be done; it is done when a run begins.
    drop(ledger.open(&moved, LostCommits::ReadFirst).unwrap());
    assert_eq!(ledger.overview().unwrap().job().unwrap(), job());
    let mut store = ledger.open(&moved, LostCommits::ReadFirst).unwrap();
    store.begin_run(&run_info()).unwrap();
    store.end_run("finished", "").unwrap();
    drop(store);
    assert_eq!(ledger.overview().unwrap().job().unwrap(), moved);
    assert!(ledger.open(&job(), LostCommits::Refused).is_err());

    let second_host = JobIdentity { service: "first:443".into(), other_host: Some("moved:443".into()), ..job() };
    drop(ledger.open(&second_host, LostCommits::Refused).unwrap());
}

async fn a_run_that_reads_first_binds_the_next_until_it_has_read_all<L: LedgerKind>() {
    let ledger = L::fresh();
    let reads = RunInfo { read_first: true, ..run_info() };
    ledger.begin_with(&reads, LostCommits::ReadFirst).end_run("interrupted", "").unwrap();
    for error in [
        ledger.open(&job(), LostCommits::Refused).map(drop).unwrap_err(),
        ledger.records(&job(), LostCommits::Refused).map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, LedgerError::ReadsFirst { .. }), "{error}");
    }
    let mut store = ledger.begin_with(&reads, LostCommits::ReadFirst);
    store.mark_all_read().unwrap();
    store.end_run("finished", "").unwrap();
    drop(store);
    assert!(ledger.records(&job(), LostCommits::Refused).unwrap().is_some());
    drop(ledger.open(&job(), LostCommits::Refused).unwrap());
}

async fn lost_commits_are_noticed_and_remembered<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    send(&handle, "1", settled(State::Done, 0)).await;
    end(handle, writer, "finished").await;
    let (handle, writer) = ledger.start();
    send(&handle, "2", settled(State::Done, 0)).await;
    die(handle, writer).await;
    assert!(ledger.records(&job(), LostCommits::Refused).unwrap().is_some(), "nothing is lost yet");
    if !ledger.lose_commits() {
        return;
    }
    let check_lost = || {
        assert!(ledger.overview().unwrap().may_lack_commits());
        for error in [
            ledger.open(&job(), LostCommits::Refused).map(drop).unwrap_err(),
            ledger.records(&job(), LostCommits::Refused).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, LedgerError::CommitsLost { .. }), "{error}");
        }
    };
    check_lost();
    let mut store = ledger.begin_with(&run_info(), LostCommits::ReadFirst);
    assert_eq!((ledger.row("1").map(|row| row.state), ledger.row("2")), (Some(State::Done), None));
    store.end_run("finished", "").unwrap();
    drop(store);
    // A later run that ends well does not bring back what was lost.
    check_lost();
}

async fn an_overview_counts_and_lists<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) =
        Ledger::start(ledger.begin_with(&RunInfo { new_edits: 10, ..run_info() }, LostCommits::Refused));
    let start = unix_ms();
    send(&handle, "1", settled(State::Done, 0)).await;
    for key in ["9", "2", "7"] {
        send(&handle, key, settled(State::Failed, 20026)).await;
    }
    send(&handle, "3", settled(State::Waiting, 20004)).await;
    let intent = intend(&handle, "4").await;
    handle.withdraw(intent).await.unwrap();
    send(&handle, "5", noted(State::InDoubt, Note::Http(502))).await;
    let _under_way = intend(&handle, "6").await;

    let overview = ledger.overview_beside_writer();
    let expected = Totals { messages: 10, done: 1, failed: 3, in_doubt: 1, in_flight: 1, not_reached: 4 };
    assert_eq!(totals(&*overview), expected);
    let line = |state, cause, edits| Outcomes { state, cause, run: 1, edits };
    assert_eq!(
        outcomes(&*overview),
        [
            line(State::Sending, None, 1),
            line(State::Waiting, Some(Cause::Code(20004)), 1),
            line(State::Done, Some(Cause::Code(0)), 1),
            line(State::Failed, Some(Cause::Code(20026)), 3),
            line(State::InDoubt, Some(Cause::Note(Note::Http(502))), 1),
        ]
    );
    let keys = |at_most| listed(&*overview, State::Failed, at_most).into_iter().map(|edit| edit.msg_key);
    assert_eq!(keys(None).collect::<Vec<_>>(), ["9", "2", "7"], "in the order of first sending");
    assert_eq!(keys(Some(2)).collect::<Vec<_>>(), ["9", "2"]);
    let mut taken = 0;
    let stopped = overview.edits(State::Failed, None, |_| {
        taken += 1;
        Err(LedgerError::Latched)
    });
    assert!(matches!(stopped, Err(LedgerError::Latched)) && taken == 1, "{stopped:?} after {taken}");
    let found = overview.edit(digest("5")).unwrap().unwrap();
    let (sent_at, cause) = (found.sent_at, Some(Cause::Note(Note::Http(502))));
    assert!(sent_at >= start, "{sent_at}");
    let [from_account, to_account, msg_key] = ["a", "b", "5"].map(str::to_owned);
    let expected = EditRecord {
        from_account,
        to_account,
        msg_key,
        state: State::InDoubt,
        cause,
        attempts: 1,
        line: 2,
        list: None,
        run: 1,
        sent_at,
        content: edit("5", "x").content_digest(),
    };
    assert_eq!(found, expected);
    assert_eq!(overview.edit(digest("4")).unwrap(), None);
    assert_eq!((overview.edits_after(0).unwrap(), overview.edits_after(5).unwrap()), (7, 2));
    drop(overview);
    end(handle, writer, "stopped").await;
}

async fn events_are_read_as_they_were_written<L: LedgerKind>() {
    let ledger = L::fresh();
    let (handle, writer) = ledger.start();
    let mut latency = Latency::default();
    latency.add(Duration::from_millis(70));
    let answers = vec![(Cause::Code(20004), 1), (Cause::Note(Note::Http(502)), 7)];
    let first =
        Sample { at: 1_000, rate: 200, done: 1, requests: 2, answers, latency: latency.clone(), ..Sample::default() };
    latency.add(Duration::from_millis(80));
    latency.add(Duration::from_secs(20));
    // Counts are totals since the beginning of the run, so the last sample replaces the others.
    let answers = vec![(Cause::Code(20004), 2), (Cause::Note(Note::Http(502)), 9)];
    let second = Sample { at: 6_000, done: 900, slow_downs: 1, answers: answers.clone(), latency, ..first.clone() };
    for sample in [&first, &second] {
        handle.record_event(RunEvent::Sample(Box::new(sample.clone()))).await.unwrap();
    }
    let rate = ControlAction::Rate(NonZeroU32::new(5).unwrap());
    let acts = [ControlAction::Pause, ControlAction::Resume, rate, ControlAction::Stop]
        .map(|what| ControlEvent { what, by: "root by runner ctl".to_owned() });
    for act in &acts {
        handle.record_event(RunEvent::ControlEvent(act.clone())).await.unwrap();
    }
    let ciphertexts = [("b", 1), ("a", 10), ("a", 9)].map(|(file, number)| Ciphertext {
        file: file.into(),
        number,
        originals: 17,
        sha256: "0a".repeat(32),
    });
    for ciphertext in &ciphertexts {
        handle.record_event(RunEvent::Ciphertext(ciphertext.clone())).await.unwrap();
    }
    assert!(handle.commits().count() >= 6);
    end(handle, writer, "finished").await;
    let (handle, writer) = ledger.start();
    handle.record_event(RunEvent::Sample(Box::new(first.clone()))).await.unwrap();
    handle.downgrade().stopped_at_once().await.unwrap();
    die(handle, writer).await;

    let overview = ledger.overview().unwrap();
    let kept = |sample: &Sample| Sample { answers: Vec::new(), latency: Latency::default(), ..sample.clone() };
    assert_eq!(overview.samples(1).unwrap(), [kept(&first), kept(&second)]);
    assert_eq!(overview.samples(3).unwrap(), []);
    let all = [(answers[1].0, 16), (answers[0].0, 3)];
    assert_eq!(
        (overview.answers(Some(1)).unwrap(), overview.answers(None).unwrap()),
        (vec![answers[1], answers[0]], all.into())
    );
    assert_eq!(overview.answers(Some(3)).unwrap(), []);
    let slots = |run| overview.latency(run).unwrap().slots().filter(|(_, count)| *count > 0).collect::<Vec<_>>();
    let counted = |up_to_70| vec![(Some(70), up_to_70), (Some(80), 1), (None, 1)];
    assert_eq!((slots(Some(1)), slots(None)), (counted(1), counted(2)));
    let [second_file, tenth, ninth] = ciphertexts;
    assert_eq!(overview.ciphertexts().unwrap(), [ninth, tenth, second_file]);
    let recorded = overview.acts().unwrap();
    assert!(recorded.iter().all(|(run, at, _)| *run == 1 && *at > 1_000));
    assert_eq!(recorded.into_iter().map(|(_, _, act)| act).collect::<Vec<_>>(), acts);
    let run = &overview.runs().unwrap()[1];
    assert_eq!(run.ended.as_deref(), Some("interrupted"));
    assert!(run.reason.as_ref().is_some_and(|reason| reason.starts_with("a second signal")));
}

async fn what_an_audit_finds_is_kept_and_it_can_go_on<L: LedgerKind>() {
    let ledger = L::fresh();
    assert!(matches!(ledger.audit(), Err(LedgerError::Missing { .. })), "there is none yet");
    let (handle, writer) = ledger.start();
    for key in ["1", "2", "3"] {
        send(&handle, key, settled(State::Done, 0)).await;
    }
    end(handle, writer, "finished").await;
    let info = AuditInfo {
        done: 5,
        wanted: 3,
        head: "0a".repeat(32),
        seed: Some("0b".repeat(32)),
        identifier: "administrator".to_owned(),
        command: "runner audit ledger.db".to_owned(),
    };
    let look = |key: &str, found, cause| Look { message: digest(key), at: 7_000, found, cause };
    let looks = [
        look("1", Found::AsWanted, None),
        look("2", Found::CannotBeTold, Some(Cause::Note(Note::KeyWithoutTime))),
        look("3", Found::CannotBeTold, Some(Cause::Code(90_009))),
    ];
    let start = unix_ms();
    let mut store = ledger.audit().unwrap();
    assert_eq!(store.begin_audit(&info, None).unwrap(), 1);
    store.commit(Vec::new(), vec![RunEvent::Look(looks[0])]).await.unwrap();
    store.end_audit("interrupted", None).unwrap();
    drop(store);
    let mut store = ledger.audit().unwrap();
    assert_eq!(store.begin_audit(&info, Some(1)).unwrap(), 1);
    let last = ledger.overview_beside_writer().audits().unwrap().pop().unwrap();
    assert_eq!((last.ended, last.ended_at), (None, None), "it goes on");
    let events = looks[1..].iter().map(|look| RunEvent::Look(*look)).collect();
    store.commit(Vec::new(), events).await.unwrap();
    store.end_audit("finished", None).unwrap();
    drop(store);
    let mut store = ledger.audit().unwrap();
    assert_eq!(store.begin_audit(&AuditInfo { seed: None, ..info.clone() }, None).unwrap(), 2);
    store.end_audit("stopped", Some("the service refuses it")).unwrap();
    drop(store);

    let overview = ledger.overview().unwrap();
    let audits = overview.audits().unwrap();
    assert_eq!(audits.len(), 2, "{audits:?}");
    let (first, second) = (&audits[0], &audits[1]);
    assert!(first.begun_at >= start && first.ended_at >= Some(first.begun_at) && first.is_finished(), "{first:?}");
    assert_eq!(first.info, info);
    let findings = first.findings;
    assert_eq!((findings.of(Found::AsWanted), findings.of(Found::CannotBeTold), findings.defects()), (1, 2, 2));
    assert_eq!((second.ended.as_deref(), second.reason.as_deref()), (Some("stopped"), Some("the service refuses it")));
    assert_eq!((&second.info.seed, second.findings.looked_at(), second.is_finished()), (&None, 0, false));
    let mut kept = Vec::new();
    overview.visit_looks(1, &mut |look| kept.push(look)).unwrap();
    kept.sort_by_key(|look| looks.iter().position(|other| other.message == look.message));
    assert_eq!(kept, looks);
}

/// Sorted, as their order is free.
fn outcomes(overview: &dyn Overview) -> Vec<Outcomes> {
    let mut outcomes = overview.outcomes().unwrap();
    outcomes.sort_by_key(|line| (line.state, line.cause, line.run));
    outcomes
}

fn change(edit: &Edit, from: Option<State>, to: Option<State>) -> Change {
    Change {
        edit: Arc::new(edit.clone()),
        message: edit.id().digest(),
        content: edit.content_digest(),
        line: 2.into(),
        from,
        to,
        part: None,
        attempts: 1,
        code: None,
        note: None,
        at: 1_000,
        took: None,
        original: None,
    }
}

/// A transition, lawful or not.
#[derive(Clone, Debug)]
struct Step {
    key: usize,
    from: Option<State>,
    /// The state of the edit in the ledger instead of `from`.
    from_ledger: bool,
    to: Option<State>,
    /// `None`: as many as before, and one more if it is sent.
    attempts: Option<u32>,
    code: Option<i64>,
    note: Option<Note>,
    took: Option<u64>,
    is_corrected: bool,
    line: u64,
}

#[derive(Clone, Debug)]
enum Action {
    Commit(Vec<Step>),
    /// The process dies, and another one starts.
    Die,
    End(&'static str),
}

const KEYS: [&str; 3] = ["1", "2", "3"];
const NOTES: [Note; 6] =
    [Note::TimedOut, Note::ProcessDied, Note::ReadBack, Note::AlreadyThere, Note::NotThere, Note::Http(502)];

fn any_action() -> impl Strategy<Value = Action> {
    let state = || prop::sample::select(&State::ALL);
    let code = prop_oneof![Just(None), Just(Some(0)), Just(Some(20004)), Just(Some(-1))];
    let note = prop_oneof![2 => Just(None), 3 => prop::sample::select(&NOTES).prop_map(Some)];
    let from_ledger = prop::bool::weighted(0.9);
    let to = prop_oneof![1 => Just(None), 4 => Just(Some(State::Sending)), 6 => state().prop_map(Some)];
    let attempts = prop_oneof![4 => Just(None), 1 => (0..3_u32).prop_map(Some)];
    let took = prop::option::of(0..5_000_u64);
    let states = (prop::option::of(state()), from_ledger, to);
    let step = (0..KEYS.len(), states, attempts, code, note, took, any::<bool>(), 1..9_u64).prop_map(
        |(key, (from, from_ledger, to), attempts, code, note, took, is_corrected, line)| Step {
            key,
            from,
            from_ledger,
            to,
            attempts,
            code,
            note,
            took,
            is_corrected,
            line,
        },
    );
    prop_oneof![
        20 => prop::collection::vec(step, 1..4).prop_map(Action::Commit),
        1 => Just(Action::Die),
        1 => prop::sample::select(&["finished", "stopped"]).prop_map(Action::End),
    ]
}

impl Step {
    fn change(&self, known: Option<EditRow>, at: i64) -> Change {
        let edit = edit(KEYS[self.key], if self.is_corrected { "corrected" } else { "x" });
        let Step { to, code, note, line, .. } = *self;
        let from = if self.from_ledger { known.map(|row| row.state) } else { self.from };
        let before = known.map_or(0, |row| row.attempts);
        let attempts = self.attempts.unwrap_or(before + u32::from(to == Some(State::Sending)));
        let (line, took) = (line.into(), self.took.map(Duration::from_millis));
        Change { attempts, code, note, line, at, took, ..change(&edit, from, to) }
    }
}

/// Everything that can be read of the edits.
type Contents = (Vec<Option<EditRow>>, Vec<Option<EditRecord>>, Vec<Vec<EditRecord>>, Vec<Outcomes>, u64);

fn contents(ledger: &impl LedgerKind) -> Contents {
    let overview = ledger.overview_beside_writer();
    (
        KEYS.map(|key| ledger.row(key)).into(),
        KEYS.map(|key| overview.edit(digest(key)).unwrap()).into(),
        State::ALL.map(|state| listed(&*overview, state, None)).into(),
        outcomes(&*overview),
        overview.edits_after(1).unwrap(),
    )
}

fn refusal(result: &Result<Vec<Applied>, LedgerError>) -> String {
    match result {
        Ok(_) => "taken".to_owned(),
        Err(LedgerError::Damaged { .. }) => "not allowed by the schema".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// Does the same to both and compares them after each step; how many commits were taken, and how many refused.
async fn same_in_both(actions: &[Action]) -> (u32, u32) {
    let (sqlite, model) = (Sqlite::fresh(), ModelLedger::fresh());
    let (mut of_sqlite, mut of_model) = (sqlite.begin(), model.begin());
    let (mut taken, mut refused) = (0, 0);
    for (at, action) in (1_000..).zip(actions) {
        match action {
            Action::Commit(steps) => {
                let known = |step: &Step| model.row(digest(KEYS[step.key]));
                let changes: Vec<Change> = steps.iter().map(|step| step.change(known(step), at)).collect();
                let results =
                    (of_sqlite.commit(changes.clone(), Vec::new()).await, of_model.commit(changes, Vec::new()).await);
                assert_eq!(refusal(&results.0), refusal(&results.1), "SQLite, the model: {steps:?}");
                if results.0.is_ok() { taken += 1 } else { refused += 1 }
            }
            Action::Die | Action::End(_) => {
                if let Action::End(how) = action {
                    of_sqlite.end_run(how, "").unwrap();
                    of_model.end_run(how, "").unwrap();
                }
                drop((of_sqlite, of_model));
                (of_sqlite, of_model) = (sqlite.begin(), model.begin());
            }
        }
        assert_eq!(contents(&sqlite), contents(&model), "SQLite, the model, after {action:?}");
    }
    (taken, refused)
}

/// Whatever a run does, lawful or not: the model takes what SQLite takes, and holds what SQLite holds.
#[test]
fn the_model_takes_and_holds_what_sqlite_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let counts = std::cell::Cell::new((0, 0));
    let config = ProptestConfig { cases: 96, ..ProptestConfig::default() };
    proptest!(config, |(actions in prop::collection::vec(any_action(), 1..40))| {
        let (taken, refused) = runtime.block_on(same_in_both(&actions));
        counts.set((counts.get().0 + taken, counts.get().1 + refused));
    });
    let (taken, refused) = counts.get();
    assert!(taken > 200 && refused > 200, "{taken} taken, {refused} refused: too few to tell");
}

/// Runs each behaviour against each kind of ledger.
macro_rules! conformance {
    ($($kind:ident: $ledger:ty),+; $behaviours:tt) => { $(conformance!(@kind $kind, $ledger, $behaviours);)+ };
    (@kind $kind:ident, $ledger:ty, { $($behaviour:ident),+ $(,)? }) => {
        mod $kind {
            use super::*;
            $(
                #[tokio::test]
                async fn $behaviour() {
                    if <$ledger>::is_here() {
                        super::$behaviour::<$ledger>().await;
                    }
                }
            )+
        }
    };
}

conformance!(sqlite: Sqlite, model: ModelLedger, postgres: Postgres; {
    a_ledger_is_made_by_the_first_store_and_names_its_job,
    a_run_is_recorded_from_its_beginning_to_its_end,
    the_lists_of_a_run_and_of_its_edits_are_kept,
    a_run_through_a_proxy_is_remembered,
    intents_and_outcomes_are_there_when_the_calls_return,
    an_edit_may_be_settled_by_reading_alone,
    a_withdrawn_intent_leaves_things_as_they_stood,
    what_a_dead_process_was_sending_is_in_doubt,
    a_commit_is_all_or_nothing,
    an_edit_that_is_elsewhere_than_the_run_believes_latches_the_ledger,
    a_missing_row_is_an_error,
    a_reader_that_is_held_reads_one_state,
    one_process_at_a_time,
    another_jobs_ledger_is_refused_once_something_happened_in_it,
    a_run_that_reads_first_binds_the_next_until_it_has_read_all,
    lost_commits_are_noticed_and_remembered,
    an_overview_counts_and_lists,
    events_are_read_as_they_were_written,
    what_an_audit_finds_is_kept_and_it_can_go_on,
});
