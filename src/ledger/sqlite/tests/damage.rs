//! Ledgers whose bytes are not those that were written.

use super::*;

const EDITS: u32 = 300;

/// The files of a ledger of [`EDITS`] edits, with the ending of each name: as a run left it that ended, or died.
async fn files(has_ended: bool) -> Vec<(&'static str, Vec<u8>)> {
    let dir = TempDir::new().unwrap();
    let (ledger, writer) = Ledger::start(open(&dir));
    let edits: Vec<_> = (0..EDITS).map(|index| done_soon(&ledger, &index.to_string())).collect();
    for edit in edits {
        edit.await.unwrap();
    }
    drop(ledger);
    let mut store = writer.await.unwrap();
    let read = |ending| std::fs::read(dir.path().join(format!("ledger.db{ending}"))).unwrap();
    if has_ended {
        store.end_run("finished", "").unwrap();
        vec![("", read(""))]
    } else {
        vec![("", read("")), ("-wal", read("-wal"))]
    }
}

fn damage(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    let at = random.usize(..bytes.len());
    match random.u8(..4) {
        0 => bytes.truncate(at),
        1 => {
            let end = bytes.len().min(at + 512);
            bytes[at..end].fill(0);
        }
        // In the first page are the header and the schema.
        2 => bytes[at % 4_096] ^= random.u8(1..),
        _ => {
            for _ in 0..random.u8(1..20) {
                let at = random.usize(..bytes.len());
                bytes[at] ^= random.u8(1..);
            }
        }
    }
}

/// Looks at every edit, and then opens the ledger as a run does.
fn go_through(path: &Path) -> Result<(), LedgerError> {
    let look = |mut reader: SqliteReader| -> Result<(), LedgerError> {
        (0..EDITS + 5).map(|index| digest(&index.to_string())).try_for_each(|message| {
            let is_held = reader.status(message)?.is_some();
            if is_held { reader.row(message).map(drop) } else { Ok(()) }
        })
    };
    SqliteReader::open(path, &job())?.map_or(Ok(()), look)?;
    let mut store = SqliteStore::open(path, &job())?;
    look(SqliteReader::beside_writer(path)?)?;
    store.begin_run(&info())?;
    store.end_run("finished", "").map(drop)
}

#[tokio::test]
async fn a_damaged_ledger_is_told_of_by_its_name_and_with_what_to_do() {
    let (mut sound, mut told, mut unclear) = (0, 0, Vec::new());
    for (kind, files) in [files(true).await, files(false).await].into_iter().enumerate() {
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (dir, damaged) = (TempDir::new().unwrap(), random.usize(..files.len()));
            let path = dir.path().join("ledger.db");
            for (index, (ending, bytes)) in files.iter().enumerate() {
                let mut bytes = bytes.clone();
                if index == damaged {
                    damage(&mut bytes, &mut random);
                }
                std::fs::write(dir.path().join(format!("ledger.db{ending}")), bytes).unwrap();
            }
            match go_through(&path) {
                Ok(()) => sound += 1,
                Err(error) => {
                    told += 1;
                    let message = error.to_string();
                    let named = message.contains(path.to_str().unwrap());
                    let advice = message.contains("; put a sound copy in its place")
                        || message.contains("; name ")
                        || message.contains("; use that one");
                    if !named || !advice {
                        unclear.push(format!("files {kind}, seed {seed}: {message}"));
                    }
                }
            }
        }
    }
    assert!(unclear.is_empty(), "{unclear:#?}");
    assert!(sound > 0 && told > 100, "{sound} sound, {told} told");
}

/// What only a look at the whole file finds, after a run that never ended: an edit that its index does not know.
#[tokio::test]
async fn after_a_crash_all_of_it_is_checked_and_after_a_good_end_nothing() {
    let whole = files(true).await.remove(0).1;
    for has_ended in [true, false] {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("ledger.db");
        std::fs::write(&path, &whole).unwrap();
        add_behind_the_index(&path);
        if !has_ended {
            Connection::open(&path).unwrap().execute("UPDATE run SET ended = NULL, ended_at = NULL", []).unwrap();
        }
        let bytes = std::fs::read(&path).unwrap();
        // Without a log beside it, a run that never ended is a loss as well.
        let opened = SqliteStore::open_with(&path, &job(), LostCommits::ReadFirst).map(drop);
        if has_ended {
            opened.unwrap();
            continue;
        }
        let message = opened.unwrap_err().to_string();
        let says = format!("the ledger {} is damaged: wrong # of entries in index", path.display());
        assert!(message.starts_with(&says) && message.contains("nothing was sent"), "{message}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a file was left beside it");
    }
}

/// Adds an edit to the table while its index is hidden, as if a write to that had been lost.
fn add_behind_the_index(path: &Path) {
    let run = |sql: &str| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    run("PRAGMA writable_schema = ON;
         CREATE TABLE hidden AS SELECT * FROM sqlite_schema WHERE name = 'sqlite_autoindex_edit_1';
         DELETE FROM sqlite_schema WHERE name = 'sqlite_autoindex_edit_1';
         UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL UNIQUE', 'NOT NULL       ') WHERE name = 'edit'");
    run("INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
         VALUES ('a', 'b', 'c', randomblob(16), randomblob(16), 1, 1, 'sending', 1, 0)");
    run("PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL       ', 'NOT NULL UNIQUE') WHERE name = 'edit';
         INSERT INTO sqlite_schema SELECT * FROM hidden");
    run("DROP TABLE hidden");
}

/// The process died between the first byte and the last of a new ledger, in which nothing was ever sent.
#[test]
fn a_ledger_that_was_being_made_is_made_again() {
    let (making, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let connection = Connection::open(making.path().join("ledger.db")).unwrap();
    // A cache this small makes SQLite write into the file long before the transaction ends.
    let schema = include_str!("../0001_first.sql");
    let ids = "PRAGMA application_id = 0x52554E52; PRAGMA user_version = 1";
    let bulk =
        "CREATE TABLE bulk (b BLOB); INSERT INTO bulk SELECT zeroblob(100000) FROM pragma_function_list LIMIT 20";
    connection.execute_batch(&format!("PRAGMA cache_size = 1; BEGIN; {schema}; {ids}; {bulk}")).unwrap();
    for name in ["ledger.db", "ledger.db-journal"] {
        std::fs::copy(making.path().join(name), dir.path().join(name)).unwrap();
    }
    let path = dir.path().join("ledger.db");
    assert!(std::fs::metadata(&path).unwrap().len() > 4_096, "it was written to");
    assert!(SqliteReader::open(&path, &job()).unwrap().is_none());
    drop(open(&dir));
    assert!(SqliteReader::open(&path, &job()).unwrap().is_some());
}

/// The process died when its new ledger was complete, and only the free pages were still to go.
#[test]
fn a_ledger_whose_free_pages_were_going_is_the_ledger_that_it_was() {
    let (making, dir) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    drop(SqliteStore::open(&making.path().join("ledger.db"), &job()).unwrap());
    let connection = Connection::open(making.path().join("ledger.db")).unwrap();
    let bulk =
        "CREATE TABLE bulk (b BLOB); INSERT INTO bulk SELECT zeroblob(100000) FROM pragma_function_list LIMIT 20";
    connection.execute_batch(&format!("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN; {bulk}")).unwrap();
    for name in ["ledger.db", "ledger.db-journal"] {
        std::fs::copy(making.path().join(name), dir.path().join(name)).unwrap();
    }
    assert!(std::fs::metadata(dir.path().join("ledger.db")).unwrap().len() > 1_000_000, "it was written to");
    drop(SqliteStore::open(&dir.path().join("ledger.db"), &job()).unwrap());
    let ledger = Connection::open(dir.path().join("ledger.db")).unwrap();
    let query = "SELECT count(*), (SELECT count(*) FROM sqlite_schema WHERE name = 'bulk') FROM job";
    assert_eq!(ledger.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?))), Ok((1, 0)));
}
