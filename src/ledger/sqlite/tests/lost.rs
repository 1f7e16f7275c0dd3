//! A ledger without the log that held its newest commits.

use std::fs::File;

use super::*;
use crate::ledger::sqlite::ledger_files;

/// A ledger in which one edit was done in a run that never ended, with its log beside it.
async fn interrupted(dir: &TempDir) -> PathBuf {
    let (ledger, writer) = Ledger::start(open(dir));
    done_soon(&ledger, "1").await.unwrap();
    drop(ledger);
    drop(writer.await.unwrap());
    dir.path().join("ledger.db")
}

fn lose_log(path: &Path, how: impl FnOnce(&Path)) {
    how(&ledger_files::log(path));
    let _ = std::fs::remove_file(ledger_files::index(path));
}

fn check_refused(path: &Path) {
    let before = std::fs::read(path).unwrap();
    for error in [
        SqliteStore::open(path, &job()).map(drop).unwrap_err(),
        SqliteReader::open(path, &job()).map(drop).unwrap_err(),
    ] {
        let LedgerError::CommitsLost { path: named, log } = &error else { panic!("{error}") };
        assert_eq!((named.as_path(), log), (path, &ledger_files::log(path)));
    }
    assert!(SqliteOverview::open(path).unwrap().may_lack_commits());
    assert_eq!(std::fs::read(path).unwrap(), before);
}

#[tokio::test]
async fn a_run_that_never_ended_and_has_no_log_is_refused() {
    let ways: [fn(&Path); 3] = [
        |log| std::fs::remove_file(log).unwrap(),
        |log| std::fs::rename(log, log.with_extension("elsewhere")).unwrap(),
        |log| drop(File::create(log).unwrap()),
    ];
    for lose in ways {
        let dir = TempDir::new().unwrap();
        let path = interrupted(&dir).await;
        assert!(!SqliteOverview::open(&path).unwrap().may_lack_commits(), "with its log beside it, it is whole");
        lose_log(&path, lose);
        check_refused(&path);
    }
}

/// What the lost run did cannot be known again, even after a later run has ended well.
#[tokio::test]
async fn a_loss_is_remembered_for_good() {
    let dir = TempDir::new().unwrap();
    let path = interrupted(&dir).await;
    lose_log(&path, |log| std::fs::remove_file(log).unwrap());
    for _ in 0..2 {
        let mut store = SqliteStore::open_with(&path, &job(), LostCommits::ReadFirst).unwrap();
        store.begin_run(&info()).unwrap();
        assert_eq!(store.end_run("finished", "").unwrap(), WalEnd::Whole);
        drop(store);
        check_refused(&path);
    }
}

#[tokio::test]
async fn the_log_put_back_makes_it_whole_again() {
    let dir = TempDir::new().unwrap();
    let path = interrupted(&dir).await;
    let (log, kept) = (ledger_files::log(&path), dir.path().join("kept"));
    std::fs::rename(&log, &kept).unwrap();
    check_refused(&path);
    std::fs::rename(&kept, &log).unwrap();
    drop(SqliteStore::open(&path, &job()).unwrap());
    assert_eq!(find(&dir, "1").unwrap().state, State::Done);
}

/// A ledger of an earlier version had all of its first run in the log.
#[test]
fn a_ledger_of_an_earlier_version_that_names_no_run_may_have_lost_it() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let connection = Connection::open(&path).unwrap();
    let schema = [include_str!("../0001_first.sql"), include_str!("../0002_watched.sql")].concat();
    let rows = "INSERT INTO job (one, operation, sdkappid, service, created_at) VALUES (1, 'modify_c2c_msg', 1400000000, 'sandbox', 0)";
    connection
        .execute_batch(&format!("{schema}; {rows}; PRAGMA application_id = 0x52554E52; PRAGMA user_version = 2"))
        .unwrap();
    drop(connection);
    check_refused(&path);
    drop(SqliteStore::open_with(&path, &job(), LostCommits::ReadFirst).unwrap());
    check_refused(&path);
}

/// A reader leaves an empty log behind.
#[test]
fn an_empty_log_behind_a_run_that_has_ended_is_no_log() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    open(&dir).end_run("finished", "").unwrap();
    for name in [ledger_files::log(&path), ledger_files::index(&path)] {
        drop(File::create(name).unwrap());
    }
    let overview = SqliteOverview::open(&path).unwrap();
    assert!(overview.is_at_rest() && !overview.may_lack_commits() && !overview.has_begun_to_move());
    drop(SqliteStore::open(&path, &job()).unwrap());
}

/// The end of a run cannot fold the log in while another program reads: then it names the file that belongs to the ledger.
#[test]
fn a_log_that_cannot_be_folded_in_is_named() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut store = open(&dir);
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM run").unwrap();
    assert_eq!(store.end_run("finished", "").unwrap(), WalEnd::LogRemains(ledger_files::log(&path)));
    let copy = dir.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    check_refused(&copy);
}

/// A run begins only once the file itself says so; otherwise the ledger stays as it was.
#[test]
fn no_run_begins_while_somebody_reads_an_older_state() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    drop(SqliteStore::open(&path, &job()).unwrap());
    let moved = JobIdentity { service: "there:443".into(), ..job() };
    let mut store = SqliteStore::open(&path, &moved).unwrap();
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM run").unwrap();
    let error = store.begin_run(&RunInfo { read_first: true, ..info() }).unwrap_err();
    assert!(matches!(error, LedgerError::BeingRead { .. }), "{error}");
    drop((reader, store));
    let overview = SqliteOverview::open(&path).unwrap();
    assert_eq!(overview.runs().unwrap(), [], "the run that did not begin is not named");
    assert_eq!(overview.job().unwrap(), job());
    drop(SqliteStore::open(&path, &job()).expect("nor must the next one read first for it"));
}

#[test]
fn another_address_of_the_service_is_taken_where_messages_are_read_first() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let at = |service: &str| JobIdentity { service: service.into(), ..job() };
    let (here, there) = (at("here:443"), at("there:443"));
    let mut store = SqliteStore::open(&path, &here).unwrap();
    store.begin_run(&info()).unwrap();
    let done =
        "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                VALUES ('a', 'b', 'c', zeroblob(16), zeroblob(16), 1, 1, 'sending', 1, 0);
         UPDATE edit SET state = 'done', code = 0";
    store.connection().unwrap().execute_batch(done).unwrap();
    store.end_run("interrupted", "").unwrap();
    drop(store);
    let refusal = SqliteStore::open(&path, &there).unwrap_err().to_string();
    assert!(refusal.contains("add --read-first"), "{refusal}");
    let sandbox = SqliteStore::open_with(&path, &at("sandbox"), LostCommits::ReadFirst).unwrap_err().to_string();
    assert!(!sandbox.contains("--read-first"), "the sandbox has none of these messages: {sandbox}");
    // To open it is to ask whether it can be done: nobody has agreed to it yet.
    let before = std::fs::read(&path).unwrap();
    drop(SqliteStore::open_with(&path, &there, LostCommits::ReadFirst).unwrap());
    assert!(std::fs::read(&path).unwrap() == before, "opened, it is another one");
    drop(SqliteStore::open(&path, &here).unwrap());
    let mut store = SqliteStore::open_with(&path, &there, LostCommits::ReadFirst).unwrap();
    store.begin_run(&RunInfo { read_first: true, ..info() }).unwrap();
    store.mark_all_read().unwrap();
    store.end_run("finished", "").unwrap();
    drop(store);
    drop(SqliteStore::open(&path, &there).unwrap());
    SqliteStore::open(&path, &here).unwrap_err();
}

/// The second host of a region is the same service: an earlier version, which was told it by its address, noted that.
#[test]
fn a_ledger_of_a_regions_second_host_goes_on_without_reading_first() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let second = JobIdentity { service: "second:443".into(), ..job() };
    let ours = JobIdentity { service: "first:443".into(), other_host: Some("second:443".into()), ..job() };
    let mut store = SqliteStore::open(&path, &second).unwrap();
    store.begin_run(&info()).unwrap();
    let done =
        "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                VALUES ('a', 'b', 'c', zeroblob(16), zeroblob(16), 1, 1, 'sending', 1, 0);
         UPDATE edit SET state = 'done', code = 0";
    store.connection().unwrap().execute_batch(done).unwrap();
    store.end_run("finished", "").unwrap();
    drop(store);
    SqliteStore::open(&path, &JobIdentity { other_host: None, ..ours.clone() }).unwrap_err();
    assert!(SqliteReader::open(&path, &ours).unwrap().is_some());
    let mut store = SqliteStore::open(&path, &ours).unwrap();
    store.begin_run(&info()).unwrap();
    store.end_run("finished", "").unwrap();
    drop(store);
    assert_eq!(SqliteOverview::open(&path).unwrap().job().unwrap().service, "first:443");
    drop(SqliteStore::open(&path, &ours).unwrap());
}
