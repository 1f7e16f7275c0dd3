//! Copies of ledgers: whatever a ledger holds, its copy holds, there and back; and what must not be copied is refused.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed, as it should")]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use runner::edit::{Edit, IdDigest, Line, MessageId, OneOfLists};
use runner::ledger::{
    Cause, Change, Ciphertext, ControlAction, ControlEvent, Copied, CopyError, EditRecord, EditRow, Latency,
    LedgerAddress, LedgerError, LostCommits, Note, PostgresAddress, RunEvent, RunInfo, RunList, RunRecord, RunStore,
    Sample, State, copy, open_overview, open_records, open_store,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::model_ledger::{job, run_info};
use crate::support::postgres::Cluster;

const KEYS: u8 = 12;

/// What is done to one edit.
#[derive(Clone, Debug)]
struct Step {
    key: u8,
    way: u8,
}

#[derive(Clone, Debug)]
struct Run {
    steps: Vec<Step>,
    /// `None`: its process dies.
    ended: Option<&'static str>,
    lists: bool,
    events: bool,
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let step = (0..KEYS, any::<u8>()).prop_map(|(key, way)| Step { key, way });
    let ended = prop_oneof![Just(None), Just(Some("finished")), Just(Some("interrupted")), Just(Some("stopped"))];
    let run = (proptest::collection::vec(step, 0..30), ended, any::<bool>(), any::<bool>());
    let run = run.prop_map(|(steps, ended, lists, events)| Run { steps, ended, lists, events });
    proptest::collection::vec(run, 0..5)
}

fn edit(key: u8) -> Edit {
    let id = MessageId { from_account: "甲 a".into(), to_account: "b".into(), msg_key: format!("key-{key}") };
    Edit::new(id, None, Some(format!("content {key}").into())).unwrap()
}

fn digest(key: u8) -> IdDigest {
    edit(key).id().digest()
}

/// A step that an edit in this state can take, chosen by a number.
fn change(key: u8, state: &mut Option<(State, u32)>, way: u8, line: Line) -> Option<Change> {
    use State::{Done, Failed, InDoubt, Sending, Waiting};
    let from = state.map(|(state, _)| state);
    let attempts = state.map_or(0, |(_, attempts)| attempts);
    let took = (from == Some(Sending)).then(|| Duration::from_millis(u64::from(way) * 7));
    let (to, attempts, code, note) = match (from, way % 4) {
        (None, 0) => (Some(Done), 0, None, Some(Note::AlreadyThere)),
        (None, _) => (Some(Sending), 1, None, None),
        (Some(Sending), 0) => (Some(Done), attempts, Some(0), None),
        (Some(Sending), 1) => (Some(Failed), attempts, Some(20_004), None),
        (Some(Sending), 2) => (Some(Waiting), attempts, Some(60_007), None),
        (Some(Sending), _) => (Some(InDoubt), attempts, None, Some(Note::Http(502))),
        (Some(InDoubt), 0) => (Some(Done), attempts, None, Some(Note::ReadBack)),
        (Some(InDoubt | Waiting | Failed), _) => (Some(Sending), attempts + 1, None, None),
        (Some(Done), _) => return None,
    };
    *state = to.map(|state| (state, attempts));
    let edit = edit(key);
    let (message, content) = (edit.id().digest(), edit.content_digest());
    let at = 1_700_000_000_000 + i64::from(way);
    Some(Change {
        edit: Arc::new(edit),
        message,
        content,
        line,
        from,
        to,
        part: None,
        attempts,
        code,
        note,
        at,
        took,
        original: None,
    })
}

fn sample(at: i64) -> Sample {
    let mut latency = Latency::default();
    for ms in [3, 70, 20_000] {
        latency.add(Duration::from_millis(ms));
    }
    let answers = vec![(Cause::Code(20_004), 3), (Cause::Note(Note::TimedOut), 2)];
    Sample {
        at,
        rate: 200,
        done: 5,
        failed: 1,
        in_doubt: 2,
        requests: 9,
        read_backs: 1,
        slow_downs: 4,
        answers,
        latency,
    }
}

fn events() -> Vec<RunEvent> {
    // Each run keeps its originals in a file of its own.
    static FILES: AtomicU64 = AtomicU64::new(0);
    let act = |what| RunEvent::ControlEvent(ControlEvent { what, by: "root by runner ctl".into() });
    let rate = ControlAction::Rate(NonZeroU32::new(50).unwrap());
    let samples = [7_000, 5_000, 5_000].map(|at| RunEvent::Sample(Box::new(sample(at))));
    let file: Arc<str> = format!("{:x}", FILES.fetch_add(1, Ordering::Relaxed)).into();
    let ciphertext = |number| {
        let sha256 = format!("{number:064}");
        RunEvent::Ciphertext(Ciphertext { file: Arc::clone(&file), number, originals: 12, sha256 })
    };
    let others = [act(ControlAction::Pause), act(rate), act(ControlAction::Stop), ciphertext(2), ciphertext(10)];
    samples.into_iter().chain(others).collect()
}

fn file(directory: &TempDir, name: &str) -> LedgerAddress {
    LedgerAddress::File(directory.path().join(name))
}

fn database(url: &str) -> LedgerAddress {
    LedgerAddress::Postgres(url.parse::<PostgresAddress>().unwrap())
}

fn begin(ledger: &LedgerAddress, info: &RunInfo) -> Box<dyn RunStore> {
    let mut store = open_store(ledger, &job(), LostCommits::ReadFirst).unwrap();
    store.begin_run(info).unwrap();
    store
}

fn make(ledger: &LedgerAddress, runs: &[Run]) {
    let runtime = Runtime::new().unwrap();
    let mut edits: BTreeMap<u8, (State, u32)> = BTreeMap::new();
    // There is a ledger even if nothing was run.
    drop(open_store(ledger, &job(), LostCommits::Refused).unwrap());
    for run in runs {
        // What a process that died was sending is in doubt from the next one on.
        for (state, _) in edits.values_mut().filter(|(state, _)| *state == State::Sending) {
            *state = State::InDoubt;
        }
        let list = |name: &str| RunList { name: name.into(), sha256: "0b".repeat(32), rows: 7 };
        let lists = if run.lists { vec![list("a.csv"), list("b.csv")] } else { Vec::new() };
        let proxy = run.events.then(|| "proxy:3128".to_owned());
        let mut store = begin(ledger, &RunInfo { lists, proxy, read_first: run.lists, ..run_info() });
        for step in &run.steps {
            let list = run.lists.then(|| OneOfLists { position: 1 + u32::from(step.way % 2), name: "a.csv".into() });
            let line = Line { list, number: u64::from(step.key) + 2 };
            let mut state = edits.get(&step.key).copied();
            let Some(change) = change(step.key, &mut state, step.way, line) else { continue };
            runtime.block_on(store.commit(vec![change], Vec::new())).unwrap();
            edits.extend(state.map(|state| (step.key, state)));
        }
        if run.events {
            runtime.block_on(store.commit(Vec::new(), events())).unwrap();
        }
        // A run ends as finished only if it has waited for every answer.
        let is_sending = edits.values().any(|(state, _)| *state == State::Sending);
        if let Some(ended) = run.ended.filter(|ended| *ended != "finished" || !is_sending) {
            store.end_run(ended, "a reason").unwrap();
        }
    }
}

type OfRun = (Vec<Sample>, Vec<(Cause, u64)>, Latency);

/// All that can be seen of a ledger.
#[derive(Debug, PartialEq)]
struct Seen {
    runs: Vec<RunRecord>,
    edits_before: Vec<Option<(u64, u64)>>,
    of_runs: Vec<OfRun>,
    acts: Vec<(i64, i64, ControlEvent)>,
    edits: Vec<Vec<EditRecord>>,
    rows: Vec<Option<EditRow>>,
    reads_first: bool,
}

fn seen(ledger: &LedgerAddress) -> Seen {
    // As the next run finds it: what a process that died was sending is in doubt.
    drop(open_store(ledger, &job(), LostCommits::ReadFirst).unwrap());
    let overview = open_overview(ledger).unwrap();
    let mut runs = overview.runs().unwrap();
    let before = |run: &RunRecord| run.new_edits.map(|(new, seq)| (new, overview.edits_after(seq).unwrap()));
    let edits_before = runs.iter().map(before).collect();
    let of_runs = runs.iter().map(|run| Some(run.run)).map(|run| {
        let samples = overview.samples(run.unwrap()).unwrap();
        (samples, overview.answers(run).unwrap(), overview.latency(run).unwrap())
    });
    let of_runs = of_runs.collect();
    for run in &mut runs {
        run.new_edits = None;
        // When it was found.
        run.ended_at = run.ended_at.filter(|_| run.ended.as_deref() != Some("died"));
    }
    let edits = State::ALL.map(|state| {
        let mut edits = Vec::new();
        let listed = overview.edits(state, None, |edit| {
            edits.push(edit);
            Ok::<_, LedgerError>(())
        });
        listed.unwrap();
        edits
    });
    let mut records = open_records(ledger, &job(), LostCommits::ReadFirst).unwrap().unwrap();
    let rows = (0..KEYS).map(digest).map(|message| {
        records.status(message).unwrap()?;
        Some(records.row(message).unwrap())
    });
    let rows = rows.collect();
    let refused = open_records(ledger, &job(), LostCommits::Refused);
    let reads_first = matches!(refused, Err(LedgerError::ReadsFirst { .. }));
    let acts = overview.acts().unwrap();
    Seen { runs, edits_before, of_runs, acts, edits: edits.into(), rows, reads_first }
}

fn copied(from: &LedgerAddress, to: &LedgerAddress) -> Result<Copied, CopyError> {
    let told = |line: &str| panic!("nothing is to be waited for: {line}");
    copy(from, to, &AtomicBool::new(false), &told)
}

#[test]
fn a_copy_holds_what_its_source_holds_there_and_back() {
    let cluster = Cluster::shared();
    let database_of = cluster.map(|cluster| cluster.database());
    let numbers = Cell::new(0);
    let mut tests = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let ran = tests.run(&runs(), |runs| {
        let number = numbers.get();
        numbers.set(number + 1);
        let directory = TempDir::new().unwrap();
        let [source, plain, back] = ["source.db", "plain.db", "back.db"].map(|name| file(&directory, name));
        make(&source, &runs);
        let bytes = std::fs::read(source.file().unwrap()).unwrap();
        let first = copied(&source, &plain).unwrap();
        prop_assert_eq!(std::fs::read(source.file().unwrap()).unwrap(), bytes, "the source is not changed");
        let mut copies = vec![plain];
        // What was settled while it was copied is settled in the copy; so these are alike to the last byte.
        if let Some(database_of) = &database_of {
            let [there, twice] = ["a", "b"].map(|job| database(&database_of.url(&format!("{job}{number}"))));
            let copy_of = copied(&copies[0], &there).unwrap();
            prop_assert_eq!(&Copied { newly_in_doubt: 0, ..first.clone() }, &copy_of);
            prop_assert_eq!(&copied(&there, &twice).unwrap(), &copy_of);
            prop_assert_eq!(&copied(&twice, &back).unwrap(), &copy_of);
            copies.push(back);
        }
        let wanted = seen(&source);
        let in_doubt = wanted.edits[State::ALL.iter().position(|state| *state == State::InDoubt).unwrap()].len();
        prop_assert_eq!(first.edits.get(State::InDoubt.word()).copied().unwrap_or_default(), in_doubt as u64);
        prop_assert_eq!(first.runs, wanted.runs.len() as u64);
        for copy in copies {
            prop_assert_eq!(&seen(&copy), &wanted);
        }
        Ok(())
    });
    ran.unwrap();
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries.map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn refused(from: &LedgerAddress, to: &LedgerAddress) -> String {
    copied(from, to).unwrap_err().to_string()
}

fn small(ledger: &LedgerAddress, ended: Option<&'static str>) {
    let steps = vec![Step { key: 1, way: 1 }, Step { key: 1, way: 0 }, Step { key: 2, way: 1 }];
    make(ledger, &[Run { steps, ended, lists: false, events: true }]);
}

#[test]
fn what_cannot_be_copied_is_refused_and_nothing_is_left() {
    let directory = TempDir::new().unwrap();
    let [source, target] = ["source.db", "target.db"].map(|name| file(&directory, name));
    assert!(refused(&source, &target).starts_with("there is no ledger"), "none");
    small(&source, Some("stopped"));

    // Something is there already, or what SQLite would take for a part of the copy.
    for name in ["target.db", "target.db-journal", "target.db-wal"] {
        let taken = directory.path().join(name);
        std::fs::write(&taken, "mine").unwrap();
        assert_eq!(
            refused(&source, &target),
            format!("{} is there already; name a new ledger, nothing in this one was changed", taken.display())
        );
        assert_eq!(std::fs::read(&taken).unwrap(), b"mine");
        std::fs::remove_file(&taken).unwrap();
    }
    assert!(refused(&source, &source).contains("is there already"), "itself");

    // A run works on it.
    let store = begin(&source, &run_info());
    let in_use = format!("in use by process {}", std::process::id());
    assert!(refused(&source, &target).contains(&in_use), "{}", refused(&source, &target));
    drop(store);

    // Its process died; with the log beside it nothing is lost, without it something may be.
    let log = directory.path().join("source.db-wal");
    let kept = std::fs::read(&log).unwrap();
    std::fs::remove_file(&log).unwrap();
    let _ = std::fs::remove_file(directory.path().join("source.db-shm"));
    assert!(refused(&source, &target).contains("may lack its newest commits"));
    std::fs::write(&log, kept).unwrap();
    assert_eq!(copied(&source, &target).unwrap().runs, 2);

    // Somebody stops it.
    let other = file(&directory, "other.db");
    let stopped = copy(&source, &other, &AtomicBool::new(true), &|_| {});
    assert!(matches!(stopped, Err(CopyError::Interrupted)), "{stopped:?}");
    assert_eq!(names(directory.path()), ["source.db", "source.db-wal", "target.db"]);
}

#[test]
fn a_job_that_runs_work_on_is_not_copied() {
    let Some(cluster) = Cluster::shared() else { return };
    let database_of = cluster.database();
    let directory = TempDir::new().unwrap();
    let [source, target] = ["source.db", "target.db"].map(|name| file(&directory, name));
    let there = database(&database_of.url("one"));
    assert!(refused(&there, &target).starts_with("there is no ledger"), "no tables");
    small(&source, Some("stopped"));
    copied(&source, &there).unwrap();
    assert!(
        refused(&source, &there)
            .ends_with("job=one is there already; name a new ledger, nothing in this one was changed")
    );
    assert!(refused(&database(&database_of.url("two")), &target).starts_with("there is no ledger"), "no job");

    // Its beats show that it lives.
    database_of.psql("UPDATE runner.lease SET state = 'live'");
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                database_of.psql("UPDATE runner.lease SET beat = beat + 1");
            }
        });
        let copied = copied(&there, &target);
        done.store(true, Ordering::Relaxed);
        let refused = copied.unwrap_err().to_string();
        assert!(refused.contains("is being worked on by run 1 (host "), "{refused}");
    });
    assert_eq!(names(directory.path()), ["source.db"]);
    // Whoever only died is waited for, unless somebody has no patience.
    let stopped = AtomicBool::new(false);
    let told = |line: &str| {
        assert!(line.starts_with("a run was lost"), "{line}");
        stopped.store(true, Ordering::Relaxed);
    };
    let interrupted = copy(&there, &target, &stopped, &told);
    assert!(matches!(interrupted, Err(CopyError::Interrupted)), "{interrupted:?}");
}

#[test]
fn a_job_is_made_in_one_piece_or_not_at_all() {
    let Some(cluster) = Cluster::shared() else { return };
    let database_of = cluster.database();
    let directory = TempDir::new().unwrap();
    let source = file(&directory, "source.db");
    small(&source, Some("stopped"));
    // The tables are made, and then refuse the last of what is copied.
    copied(&source, &database(&database_of.url("first"))).unwrap();
    database_of.psql("ALTER TABLE runner.act ADD CHECK (what <> 'stop') NOT VALID");
    let there = database(&database_of.url("second"));
    assert!(refused(&source, &there).contains("damaged"), "{}", refused(&source, &there));
    let count = "SELECT (SELECT count(*) FROM runner.job), (SELECT count(*) FROM runner.edit), (SELECT count(*) FROM runner.run)";
    assert_eq!(database_of.psql(count), "1|2|1");
    // Edits that are not copied begin with their first sending.
    let made = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        database_of.psql(
            "INSERT INTO runner.edit (job, part, line, run, attempts, state, code, sent_at, message, content, from_account, \
             to_account, msg_key) SELECT job, part, line, run, attempts, 'done', 0, sent_at, 'sixteen bytes it', content, \
             from_account, to_account, msg_key FROM runner.edit WHERE attempts > 0 LIMIT 1",
        )
    }));
    assert!(made.is_err());
}
