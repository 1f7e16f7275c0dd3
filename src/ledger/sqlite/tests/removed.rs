//! The ledger's files are taken away, or others put in their place, while it is in use.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

/// A ledger in use with one edit done and one on its way.
struct InUse {
    dir: TempDir,
    ledger: Ledger,
    writer: tokio::task::JoinHandle<SqliteStore>,
    _on_its_way: Intent,
}

impl InUse {
    async fn new() -> InUse {
        let dir = TempDir::new().unwrap();
        let (ledger, writer) = Ledger::start(open(&dir));
        let intent = intend(&ledger, "1").await;
        ledger.record(intent, settled(State::Done, 0)).await.unwrap();
        let on_its_way = intend(&ledger, "2").await;
        InUse { dir, ledger, writer, _on_its_way: on_its_way }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The error of the next intent, which nobody may send; then the ledger is let go of.
    async fn intent_is_refused(self) -> (TempDir, String) {
        let error = self.ledger.intend(pending("3").ready().unwrap()).await.unwrap_err();
        assert!(matches!(error, LedgerError::Removed { .. }), "{error}");
        assert!(matches!(self.ledger.intend(pending("4").ready().unwrap()).await, Err(LedgerError::Latched)));
        drop(self.ledger);
        assert!(matches!(self.writer.await.unwrap().end_run("stopped", ""), Err(LedgerError::Latched)));
        (self.dir, error.to_string())
    }
}

fn state(path: &Path, key: &str) -> Option<State> {
    let mut reader = SqliteReader::open(path, &job()).unwrap().unwrap();
    reader.status(digest(key)).unwrap().map(|brief| brief.state)
}

/// Every file that is left, but for the rescued one.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| !path.to_str().unwrap().ends_with(".rescued"))
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

/// After `way`, of which `file` is what is missed first: everything is rescued, nothing is started anew, and putting
/// it back as the message says mends it.
async fn check(file: &str, way: impl FnOnce(&Path)) {
    let in_use = InUse::new().await;
    way(in_use.dir.path());
    let (dir, message) = in_use.intent_is_refused().await;
    let path = dir.path().join("ledger.db");
    let rescued = dir.path().join("ledger.db.rescued");
    let named = format!("{} was removed or replaced while it was in use", dir.path().join(file).display());
    assert!(message.starts_with(&named), "{message}");
    assert!(message.contains(&format!("is in {}: move ", rescued.display())), "{message}");

    assert_eq!(rescued.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let states = ["1", "2", "3", "4"].map(|key| state(&rescued, key));
    assert_eq!(states, [Some(State::Done), Some(State::Sending), Some(State::Sending), None], "{file}");

    let left = files(dir.path());
    for refused in [SqliteStore::open(&path, &job()).map(drop), SqliteStore::create(&path, &job()).map(drop)] {
        let message = refused.unwrap_err().to_string();
        assert!(message.starts_with(&format!("{} holds what ", rescued.display())), "{message}");
    }
    assert!(matches!(SqliteReader::open(&path, &job()), Err(LedgerError::NotPutBack { .. })));
    assert!(files(dir.path()) == left, "a file was changed");

    for ending in ["", "-wal", "-shm"] {
        // Not all of them are there each time.
        let _ = fs::remove_file(dir.path().join(format!("ledger.db{ending}")));
    }
    fs::rename(&rescued, &path).unwrap();
    let (ledger, _writer) = Ledger::start(open(&dir));
    assert_eq!(["1", "2", "3"].map(|key| state(&path, key)), [State::Done, State::InDoubt, State::InDoubt].map(Some));
    intend(&ledger, "4").await;
    assert!(dir.path().join("ledger.db-wal").exists(), "it is written to by way of a log again");
}

#[tokio::test]
async fn a_ledger_that_is_removed_is_rescued() {
    check("ledger.db", |dir| fs::remove_file(dir.join("ledger.db")).unwrap()).await;
    check("ledger.db", |dir| {
        for ending in ["", "-wal", "-shm"] {
            fs::remove_file(dir.join(format!("ledger.db{ending}"))).unwrap();
        }
    })
    .await;
    check("ledger.db", |dir| fs::rename(dir.join("ledger.db"), dir.join("moved.db")).unwrap()).await;
}

#[tokio::test]
async fn a_ledger_that_is_replaced_is_rescued() {
    check("ledger.db", |dir| {
        fs::write(dir.join("new"), "something else").unwrap();
        fs::rename(dir.join("new"), dir.join("ledger.db")).unwrap();
    })
    .await;
    // By a copy of it from before, which alone would let what was sent since be sent again.
    check("ledger.db", |dir| {
        fs::copy(dir.join("ledger.db"), dir.join("copy")).unwrap();
        fs::rename(dir.join("copy"), dir.join("ledger.db")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_ledger_whose_log_or_index_is_removed_or_replaced_is_rescued() {
    for file in ["ledger.db-wal", "ledger.db-shm"] {
        check(file, |dir| fs::remove_file(dir.join(file)).unwrap()).await;
        check(file, |dir| {
            fs::copy(dir.join(file), dir.join("copy")).unwrap();
            fs::rename(dir.join("copy"), dir.join(file)).unwrap();
        })
        .await;
    }
}

#[tokio::test]
async fn what_took_its_place_is_left_alone() {
    let in_use = InUse::new().await;
    let other = InUse::new().await;
    for ending in ["", "-wal", "-shm"] {
        let name = format!("ledger.db{ending}");
        fs::rename(other.path(&name), in_use.path(&name)).unwrap();
    }
    let before = files(in_use.dir.path());
    let (dir, _) = in_use.intent_is_refused().await;
    assert!(files(dir.path()) == before, "the other's files were changed");
}

#[tokio::test]
async fn a_ledger_that_is_moved_is_whole_where_it_is_now() {
    let in_use = InUse::new().await;
    fs::rename(in_use.path("ledger.db"), in_use.path("moved.db")).unwrap();
    let (dir, _) = in_use.intent_is_refused().await;
    let moved = dir.path().join("moved.db");
    assert_eq!(["1", "2"].map(|key| state(&moved, key)), [Some(State::Done), Some(State::Sending)]);
    let log = fs::read(dir.path().join("ledger.db-wal")).unwrap();
    assert!(log.is_empty(), "a log that would be taken for another's");
}

#[tokio::test]
async fn a_ledger_that_cannot_be_rescued_is_told_of() {
    let in_use = InUse::new().await;
    fs::remove_dir_all(in_use.dir.path()).unwrap();
    let (_, message) = in_use.intent_is_refused().await;
    assert!(
        message.contains("could not be saved: No such file or directory (os error 2); if it was moved"),
        "{message}"
    );
}

#[tokio::test]
async fn no_rescued_ledger_is_overwritten() {
    let in_use = InUse::new().await;
    fs::write(in_use.path("ledger.db.rescued"), "an older one").unwrap();
    fs::remove_file(in_use.path("ledger.db")).unwrap();
    let (dir, message) = in_use.intent_is_refused().await;
    assert!(message.contains("ledger.db.rescued-2: move "), "{message}");
    assert_eq!(fs::read(dir.path().join("ledger.db.rescued")).unwrap(), b"an older one");
    assert_eq!(state(&dir.path().join("ledger.db.rescued-2"), "1"), Some(State::Done));
}

#[tokio::test]
async fn a_ledger_that_is_removed_after_its_last_commit_is_rescued_too() {
    let dir = TempDir::new().unwrap();
    let mut store = SqliteStore::open(&dir.path().join("ledger.db"), &job()).unwrap();
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    let error = store.begin_run(&info()).unwrap_err();
    assert!(matches!(error, LedgerError::Removed { .. }), "{error}");

    let dir = TempDir::new().unwrap();
    let mut store = open(&dir);
    fs::remove_file(dir.path().join("ledger.db")).unwrap();
    let error = store.end_run("finished", "").unwrap_err();
    assert!(matches!(error, LedgerError::Removed { rescued: Ok(_), .. }), "{error}");
}

/// SQLite keeps its log where the link leads to.
#[tokio::test]
async fn a_ledger_behind_a_link_is_found_and_missed() {
    let (dir, far) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let path = dir.path().join("ledger.db");
    std::os::unix::fs::symlink(far.path().join("far.db"), &path).unwrap();
    let (ledger, _writer) = Ledger::start(open(&dir));
    intend(&ledger, "1").await;
    assert!(far.path().join("far.db-wal").exists());
    assert_eq!(state(&path, "1"), Some(State::Sending), "its log was not read");
    fs::remove_file(far.path().join("far.db-wal")).unwrap();
    let message = ledger.intend(pending("2").ready().unwrap()).await.unwrap_err().to_string();
    assert!(message.contains("far.db-wal was removed") && message.contains("ledger.db.rescued"), "{message}");
}
