//! What is particular to the SQLite file; `tests/library/ledger_conformance.rs` has what every ledger must do.

mod damage;
mod lost;
mod overview;
mod removed;
mod verify;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use super::damage::write_error;
use super::{SqliteOverview, SqliteReader, SqliteStore};
use crate::edit::{Edit, IdDigest, MessageId};
use crate::ledger::{
    Change, CommitFuture, EditRow, EditStatus, Intent, JobIdentity, Ledger, LedgerError, LostCommits, Overview,
    Pending, Progress, Records, RunEvent, RunInfo, RunStore, Settlement, State, Store, WalEnd, state,
};

fn job() -> JobIdentity {
    JobIdentity { sdkappid: 1_400_000_000, service: "sandbox".into(), other_host: None, name: None }
}

fn info() -> RunInfo {
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

/// A ledger of the first version, with a run that ended like this.
fn first_version(path: &Path, ended: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(include_str!("0001_first.sql")).unwrap();
    connection
        .execute_batch(&format!(
            "INSERT INTO job VALUES (1, 'modify_c2c_msg', 1400000000, 'sandbox', NULL, 5);
             INSERT INTO run VALUES (1, 10, 20, '{ended}', '', '0.1.0', 'root', 'host', 7, 'edits.csv', 'ab', 3, 200);
             PRAGMA application_id = 0x52554E52; PRAGMA user_version = 1"
        ))
        .unwrap();
    connection
}

fn pending(key: &str) -> Pending {
    let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() };
    let edit = Edit::new(id, None, Some("x".into())).unwrap();
    let wanted = edit.wanted();
    Pending::new(edit, wanted, 2, None)
}

fn digest(key: &str) -> IdDigest {
    pending(key).edit.id().digest()
}

fn settled(state: State, code: i64) -> Settlement {
    Settlement { state, code: Some(code), note: None, counts: true }
}

fn open(dir: &TempDir) -> SqliteStore {
    let mut store = SqliteStore::open(&dir.path().join("ledger.db"), &job()).unwrap();
    store.begin_run(&info()).unwrap();
    store
}

/// SQLite would confirm commits sooner with any other setting, and lose them in a power cut.
#[test]
fn a_commit_is_confirmed_once_it_is_on_the_disk() {
    let dir = TempDir::new().unwrap();
    drop(open(&dir));
    let connection = super::open::open_to_write(&dir.path().join("ledger.db")).unwrap();
    let setting = |name| connection.pragma_query_value(None, name, |row| row.get::<_, Value>(0)).unwrap();
    assert_eq!(setting("synchronous"), Value::Integer(2), "FULL");
    assert_eq!(setting("journal_mode"), Value::Text("wal".to_owned()));
}

fn find(dir: &TempDir, key: &str) -> Option<EditRow> {
    let mut reader = SqliteReader::open(&dir.path().join("ledger.db"), &job()).unwrap().unwrap();
    let brief = reader.status(digest(key)).unwrap()?;
    let known = reader.row(digest(key)).unwrap();
    assert_eq!(brief, EditStatus { state: known.state, content: known.content });
    Some(known)
}

async fn intend(ledger: &Ledger, key: &str) -> Intent {
    ledger.intend(pending(key).ready().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_step_that_is_not_in_the_table_is_refused_and_latches_nothing() {
    let dir = TempDir::new().unwrap();
    let (ledger, _writer) = Ledger::start(open(&dir));
    let intent = intend(&ledger, "1").await;
    let done = ledger.record(intent, settled(State::Done, 0)).await.unwrap();
    let error = ledger.intend(done.into_pending().ready().unwrap()).await.unwrap_err();
    assert_eq!(error.to_string(), "an edit cannot go from done to sending");
    intend(&ledger, "2").await;
}

#[tokio::test]
async fn a_run_that_believes_another_state_than_the_ledger_holds_is_stopped() {
    let dir = TempDir::new().unwrap();
    let (ledger, _writer) = Ledger::start(open(&dir));
    let _first = intend(&ledger, "1").await;
    ledger.intend(pending("1").ready().unwrap()).await.unwrap_err();
    let latched = ledger.intend(pending("2").ready().unwrap()).await.unwrap_err();
    assert!(matches!(latched, LedgerError::Latched), "{latched}");
}

/// The tables in `state.rs` and the triggers of the schema say the same.
#[test]
fn the_schema_allows_just_the_steps_of_the_table() {
    let states: Vec<Option<State>> = std::iter::once(None).chain(State::ALL.map(Some)).collect();
    for &from in &states {
        for &to in states.iter().filter(|&&to| to != from) {
            let dir = TempDir::new().unwrap();
            let store = open(&dir);
            let connection = store.connection().unwrap();
            let set =
                |state: State| connection.execute("UPDATE edit SET state = ?1, code = 1, note = 'x'", [state.word()]);
            if let Some(from) = from {
                let insert = "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                     VALUES ('a', 'b', 'c', zeroblob(16), zeroblob(16), 1, 1, 'sending', 1, 0)";
                connection.execute(insert, []).unwrap();
                if from != State::Sending {
                    set(from).unwrap();
                }
            }
            let step = match (from, to) {
                (None, Some(to)) => connection.execute(
                    "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at, note)
                     VALUES ('a', 'b', 'c', zeroblob(16), zeroblob(16), 1, 1, ?1, ?1 = 'sending', 0, 'x')",
                    [to.word()],
                ),
                (_, Some(to)) => set(to),
                (_, None) => connection.execute("DELETE FROM edit", []),
            };
            let allowed = state::check(from, to).is_ok() || state::check_read(from, to).is_ok();
            assert_eq!(step.is_ok(), allowed, "{from:?} to {to:?}: {step:?}");
        }
    }
}

#[tokio::test]
async fn lists_in_any_order_find_what_the_ledger_holds() {
    let dir = TempDir::new().unwrap();
    let (ledger, writer) = Ledger::start(open(&dir));
    let edits: Vec<_> = (0..1_500).map(|index: u32| done_soon(&ledger, &index.to_string())).collect();
    for edit in edits {
        edit.await.unwrap();
    }
    drop(ledger);
    drop(writer.await.unwrap());
    let connection = Connection::open(dir.path().join("ledger.db")).unwrap();
    // Whoever walks past this finds nothing for more rows than it fetches at a time.
    connection.execute_batch("DROP TRIGGER edit_leaves; DELETE FROM edit WHERE seq BETWEEN 301 AND 600").unwrap();
    let mut held = connection.prepare("SELECT message FROM edit").unwrap();
    let held: HashSet<[u8; 16]> = held.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut seed = fastrand::Rng::with_seed(1);
    let ordered: Vec<u32> = (0..1_600).collect();
    let mut shuffled = ordered.clone();
    seed.shuffle(&mut shuffled);
    let with_gaps = ordered.iter().copied().filter(|index| index % 7 != 0).collect();
    let grown = (10_000..10_050).chain(ordered.iter().copied()).collect();
    let backwards = ordered.iter().copied().rev().collect();
    // As one of two threads meets them.
    let leaping = ordered.iter().copied().filter(|index| index / 100 % 2 == 0).collect();
    for list in [ordered, shuffled, with_gaps, grown, backwards, leaping] as [Vec<u32>; 6] {
        let mut reader = SqliteReader::open(&dir.path().join("ledger.db"), &job()).unwrap().unwrap();
        for index in list {
            let message = digest(&index.to_string());
            assert_eq!(reader.status(message).unwrap().is_some(), held.contains(&message.0), "{index}");
        }
    }
}

#[tokio::test]
async fn what_is_added_behind_the_last_edit_is_found() {
    let dir = TempDir::new().unwrap();
    let (ledger, writer) = Ledger::start(open(&dir));
    let mut reader = None;
    for edits in [0..1, 1..2, 2..9, 9..140, 140..141, 141..400, 400..402] {
        let done: Vec<_> = edits.clone().map(|index: u32| done_soon(&ledger, &index.to_string())).collect();
        for done in done {
            done.await.unwrap();
        }
        let beside = || SqliteReader::beside_writer(&dir.path().join("ledger.db")).unwrap();
        let reader = reader.get_or_insert_with(beside);
        let mut is_held = |index: u32| reader.status(digest(&index.to_string())).unwrap().is_some();
        assert!(edits.clone().all(&mut is_held) && !is_held(edits.end), "{edits:?}");
    }
    drop(ledger);
    writer.await.unwrap();
}

/// Otherwise it would be sent as if it had never been.
#[tokio::test]
async fn an_edit_that_is_missing_from_its_index_is_damage() {
    let dir = TempDir::new().unwrap();
    let (ledger, writer) = Ledger::start(open(&dir));
    for key in ["1", "2"] {
        done_soon(&ledger, key).await.unwrap();
    }
    drop(ledger);
    writer.await.unwrap().end_run("finished", "").unwrap();
    let path = dir.path().join("ledger.db");
    // By its own words, the index has one edit less than there are.
    let connection = Connection::open(&path).unwrap();
    let name = "sqlite_autoindex_edit_1";
    let root: i64 =
        connection.query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = std::fs::read(&path).unwrap();
    let page = &mut bytes[usize::try_from((root - 1) * 4_096).unwrap()..][..4_096];
    page[3..5].copy_from_slice(&1_u16.to_be_bytes());
    std::fs::write(&path, bytes).unwrap();
    let mut reader = SqliteReader::open(&path, &job()).unwrap().unwrap();
    let found = ["1", "2"].map(|key| {
        let _ = reader.status(digest(key)).unwrap().unwrap();
        reader.row(digest(key)).map_err(|error| error.to_string())
    });
    let missing = found.iter().filter_map(|found| found.as_ref().err());
    assert_eq!(missing.filter(|error| error.contains("is damaged: an edit is missing from its index")).count(), 1);
}

fn done_soon(ledger: &Ledger, key: &str) -> tokio::task::JoinHandle<()> {
    let (ledger, pending) = (ledger.clone(), pending(key));
    tokio::spawn(async move {
        let intent = ledger.intend(pending.ready().unwrap()).await.unwrap();
        ledger.record(intent, settled(State::Done, 0)).await.unwrap();
    })
}

#[test]
fn what_is_not_this_jobs_ledger_is_refused_and_left_as_it_is() {
    let check = |name: &str, bytes: &[u8], part: &str| {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = SqliteStore::open(&path, &job()).unwrap_err().to_string();
        assert!(error.contains(part) && error.contains(name), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a file was left beside it");
    };
    check("notes.txt", b"call Tom back", "not an SQLite database");
    check("cut.db", b"SQLite format 3\0", "not an SQLite database");

    let dir = TempDir::new().unwrap();
    let theirs = dir.path().join("theirs.db");
    Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    check("theirs.db", &std::fs::read(&theirs).unwrap(), "another program's SQLite database");

    let newer = dir.path().join("newer.db");
    let store = SqliteStore::open(&newer, &job()).unwrap();
    store.connection().unwrap().pragma_update(None, "user_version", 99).unwrap();
    drop(store);
    check("newer.db", &std::fs::read(&newer).unwrap(), "newer runner");
}

#[tokio::test]
async fn another_jobs_ledger_is_refused_once_something_happened_in_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let other = JobIdentity { sdkappid: 1_400_000_001, ..job() };
    drop(open(&dir));
    drop(SqliteStore::open(&path, &other).unwrap());
    drop(SqliteStore::open(&path, &job()).unwrap());

    let (ledger, writer) = Ledger::start(open(&dir));
    let intent = intend(&ledger, "1").await;
    ledger.record(intent, settled(State::Done, 0)).await.unwrap();
    drop(ledger);
    writer.await.unwrap().end_run("finished", "").unwrap();
    let before = std::fs::read(&path).unwrap();
    for refused in
        [other, JobIdentity { service: "other:443".into(), ..job() }, JobIdentity { name: Some("n".into()), ..job() }]
    {
        let error = SqliteStore::open(&path, &refused).unwrap_err();
        assert!(matches!(error, LedgerError::OtherJob { .. }), "{error}");
        assert!(SqliteReader::open(&path, &refused).is_err());
    }
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn one_process_at_a_time() {
    let dir = TempDir::new().unwrap();
    let _held = open(&dir);
    let error = SqliteStore::open(&dir.path().join("ledger.db"), &job()).unwrap_err().to_string();
    assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
}

#[test]
fn only_its_owner_can_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = TempDir::new().unwrap();
    let _store = open(&dir);
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn after_one_failed_commit_nothing_more_is_taken() {
    struct Full;
    impl Store for Full {
        fn commit(&mut self, _: Vec<Change>, _: Vec<RunEvent>) -> CommitFuture<'_> {
            Box::pin(async { Err(write_error(Path::new("ledger.db"), rusqlite::Error::QueryReturnedNoRows)) })
        }
    }
    let (ledger, _writer) = Ledger::start(Full);
    let first = ledger.intend(pending("1").ready().unwrap()).await.unwrap_err();
    assert!(matches!(first, LedgerError::Write { .. }), "{first}");
    let second =
        tokio::time::timeout(Duration::from_secs(5), ledger.intend(pending("2").ready().unwrap())).await.unwrap();
    assert!(matches!(second, Err(LedgerError::Latched)));
}
