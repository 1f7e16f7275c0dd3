//! That what was altered is found, whatever it is, against a head from outside; and that what is written agrees with itself
//! after every crash.

use std::fmt::Write as _;
use std::fs;

use rusqlite::types::Value;

use super::*;
use crate::evidence::{Checkpoint, NamedCheckpoint, Range, leaf};
use crate::ledger::sqlite::{event_log, verify};
use crate::ledger::{
    Alteration, AuditInfo, AuditStore, Cause, ControlAction, ControlEvent, Found, Look, Note, Sample, Verification,
};

fn outside(checkpoint: Checkpoint) -> [NamedCheckpoint; 1] {
    [NamedCheckpoint { place: "heads.txt:1".to_owned(), checkpoint }]
}

fn head(path: &Path) -> Checkpoint {
    SqliteOverview::open(path).unwrap().head().unwrap().unwrap().checkpoint()
}

fn noted(state: State, note: Note) -> Settlement {
    Settlement { state, code: None, note: Some(note), counts: true }
}

async fn send(ledger: &Ledger, key: &str, settlement: Settlement) -> Pending {
    let intent = intend(ledger, key).await;
    ledger.record(intent, settlement).await.unwrap().into_pending()
}

/// A ledger with a bit of everything: two runs, of which the first one died, samples, acts, an audit, edits in every state and
/// with every kind of step, odd characters, and another content than before.
async fn make(dir: &TempDir, edits: u32) -> PathBuf {
    let path = dir.path().join("ledger.db");
    let (ledger, writer) = Ledger::start(open(dir));
    ledger.set_in_flight_max(1);
    for number in 0..edits {
        let key = format!("{number}_\"\\/é汉\u{2028}");
        match number % 5 {
            0 => drop(send(&ledger, &key, settled(State::Failed, 20_026)).await),
            1 => drop(send(&ledger, &key, noted(State::InDoubt, Note::ConnectionLost)).await),
            2 => {
                let waits = send(&ledger, &key, settled(State::Waiting, 20_004)).await;
                let intent = ledger.intend(waits.ready().unwrap()).await.unwrap();
                ledger.record(intent, settled(State::Done, 0)).await.unwrap();
            }
            _ => drop(send(&ledger, &key, settled(State::Done, 0)).await),
        }
    }
    for act in [ControlAction::Pause, ControlAction::Rate(7.try_into().unwrap())] {
        let act = ControlEvent { what: act, by: "root by runner ctl".to_owned() };
        ledger.record_event(RunEvent::ControlEvent(act)).await.unwrap();
    }
    let mut sample = Sample { at: 5, rate: 200, done: 2, ..Sample::default() };
    sample.answers = vec![(Cause::Code(20_004), 1), (Cause::Note(Note::ConnectionLost), 2)];
    sample.latency.add(Duration::from_millis(30));
    ledger.record_event(RunEvent::Sample(Box::new(sample.clone()))).await.unwrap();
    let lost = intend(&ledger, "lost").await;
    drop((ledger, lost));
    drop(writer.await.unwrap());

    let (ledger, writer) = Ledger::start(open(dir));
    // It failed, and is sent once more, with another content.
    let key = "0_\"\\/é汉\u{2028}";
    let failed = find_pending(dir, key, "another");
    let intent = ledger.intend(failed.ready().unwrap()).await.unwrap();
    ledger.record(intent, settled(State::Done, 0)).await.unwrap();
    let withdrawn = ledger.intend(pending("never").ready().unwrap()).await.unwrap();
    ledger.withdraw(withdrawn).await.unwrap();
    sample.answers[0].1 = 9;
    sample.done = 1;
    ledger.record_event(RunEvent::Sample(Box::new(sample))).await.unwrap();
    drop(ledger);
    writer.await.unwrap().end_run("finished", "").unwrap();

    let mut store = SqliteStore::open(&path, &job()).unwrap();
    let info = AuditInfo {
        done: 3,
        wanted: 2,
        head: "0a".repeat(32),
        seed: None,
        identifier: "administrator".into(),
        command: "runner audit ledger.db".into(),
    };
    store.begin_audit(&info, None).unwrap();
    let look = |key, found, cause| RunEvent::Look(Look { message: digest(key), at: 7_000, found, cause });
    let looks = [look("lost", Found::Differs, None), look(key, Found::CannotBeTold, Some(Cause::Code(90_009)))];
    store.commit(Vec::new(), looks.into()).await.unwrap();
    store.end_audit("finished", None).unwrap();
    path
}

/// An edit that the ledger holds, to be sent with this content.
fn find_pending(dir: &TempDir, key: &str, content: &str) -> Pending {
    let known = find(dir, key).unwrap();
    let edit = Edit::new(pending(key).edit.id().clone(), None, Some(content.into())).unwrap();
    let wanted = edit.wanted();
    Pending::new(edit, wanted, 2, Some(known))
}

fn check(connection: &Connection, heads: &[NamedCheckpoint]) -> Verification {
    verify::verify(connection, None, heads).unwrap()
}

/// An open ledger that may be written to as its schema forbids.
struct Tampered {
    connection: Connection,
    heads: [NamedCheckpoint; 1],
    tries: u32,
}

impl Tampered {
    fn new(path: &Path) -> Tampered {
        let heads = outside(head(path));
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON").unwrap();
        connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
        Tampered { connection, heads, tries: 0 }
    }

    fn column<T: rusqlite::types::FromSql>(&self, query: &str) -> Vec<T> {
        let mut statement = self.connection.prepare(query).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Does that, checks that it is found, and takes it back.
    fn attempt(&mut self, what: &str, params: impl rusqlite::Params) {
        self.connection.execute_batch("SAVEPOINT attempt").unwrap();
        // A change that the types forbid is refused all the same.
        let done = self.connection.execute(what, params);
        if done.is_ok_and(|rows| rows > 0) {
            self.tries += 1;
            let found = verify::verify(&self.connection, None, &self.heads);
            assert!(!found.as_ref().is_ok_and(Verification::holds), "not found: {what}: {found:?}");
        }
        self.connection.execute_batch("ROLLBACK TO attempt; RELEASE attempt").unwrap();
    }
}

/// Another value of the same type: with one bit, or one character, changed.
fn changed(value: Value) -> Value {
    match value {
        Value::Null => Value::Integer(1),
        Value::Integer(number) => Value::Integer(number ^ 1),
        Value::Real(number) => Value::Real(number + 1.0),
        Value::Text(text) if text.is_empty() => Value::Text("x".to_owned()),
        Value::Text(text) => {
            let (first, rest) = text.split_at(text.chars().next().unwrap().len_utf8());
            Value::Text(format!("{}{rest}", if first == "a" { "b" } else { "a" }))
        }
        Value::Blob(mut bytes) => {
            match bytes.last_mut() {
                Some(last) => *last ^= 1,
                None => bytes.push(0),
            }
            Value::Blob(bytes)
        }
    }
}

#[tokio::test]
async fn every_value_and_every_row_that_is_altered_is_found() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 165).await;
    let mut tampered = Tampered::new(&path);
    let sound = check(&tampered.connection, &tampered.heads);
    assert!(sound.holds() && sound.agrees.is_some() && sound.head.size > 200, "{sound:?}");

    let tables: Vec<String> =
        tampered.column("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    for table in tables {
        let columns: Vec<String> = tampered.column(&format!("SELECT name FROM pragma_table_info('{table}')"));
        let keys: Vec<String> =
            tampered.column(&format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk"));
        let has_rowid = !matches!(table.as_str(), "run_list" | "answer" | "latency");
        let key = if has_rowid { "rowid".to_owned() } else { keys.join(" || '/' || ") };
        let rows: Vec<String> = tampered.column(&format!("SELECT cast({key} AS TEXT) FROM {table} ORDER BY {key}"));
        // Of the many, some: the first ones and the last ones hold what is rare.
        let every = std::env::var_os("EVERY_BYTE").is_some();
        let is_tried = |at: usize| every || at < 6 || at.is_multiple_of(41) || at + 20 > rows.len();
        for (_, row) in rows.iter().enumerate().filter(|(at, _)| is_tried(*at)) {
            for column in &columns {
                let query = format!("SELECT \"{column}\" FROM {table} WHERE cast({key} AS TEXT) = ?1");
                let value: Value = tampered.connection.query_row(&query, [row], |row| row.get(0)).unwrap();
                let update = format!("UPDATE {table} SET \"{column}\" = ?2 WHERE cast({key} AS TEXT) = ?1");
                // Of the right type where there was nothing.
                let others = [changed(value.clone()), Value::Text("x".into()), Value::Blob(vec![7; 16]), Value::Null];
                for other in others.into_iter().filter(|other| *other != value) {
                    tampered.attempt(&update, rusqlite::params![row, other]);
                }
            }
            tampered.attempt(&format!("DELETE FROM {table} WHERE cast({key} AS TEXT) = ?1"), [row]);
            if has_rowid {
                let others: Vec<&String> =
                    columns.iter().filter(|name| !keys.contains(name) || keys.len() > 1).collect();
                let names: Vec<String> = others.iter().map(|name| format!("\"{name}\"")).collect();
                let names = names.join(", ");
                let values = names.replace("\"message\"", "randomblob(16)");
                let insert = format!("INSERT INTO {table} ({names}) SELECT {values} FROM {table} WHERE rowid = ?1");
                tampered.attempt(&insert, [row]);
                let swap = format!("UPDATE {table} SET rowid = -rowid WHERE rowid IN (?1, ?1 + 1)");
                tampered.attempt(&swap, [row]);
            }
        }
    }
    assert!(tampered.tries > 1_500, "{}", tampered.tries);
}

/// What has lost its end agrees with itself, if whoever cut it off has computed the head anew.
#[tokio::test]
async fn a_log_that_lost_its_end_or_was_written_anew_is_found_by_a_head_from_outside() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 10).await;
    let mut tampered = Tampered::new(&path);
    let events = tampered.heads[0].checkpoint.size;
    let lines: Vec<String> = tampered.column("SELECT line FROM event_line ORDER BY event");
    let anew = |lines: &[String]| lines.iter().map(|line| leaf(line.as_bytes())).collect::<Range>();
    for size in 1..events {
        let range = anew(&lines[..usize::try_from(size).unwrap()]);
        let connection = &tampered.connection;
        connection.execute_batch("SAVEPOINT attempt").unwrap();
        connection.execute("DELETE FROM event WHERE event > ?1", [i64::try_from(size).unwrap()]).unwrap();
        let save = "UPDATE log SET size = ?1, hashes = ?2";
        connection.execute(save, rusqlite::params![i64::try_from(size).unwrap(), range.hashes()]).unwrap();
        let found = check(connection, &tampered.heads);
        let cut_off = Alteration::CutOff { place: "heads.txt:1".into(), events: size, size: events };
        assert!(found.alterations.contains(&cut_off) || found.more > 0, "{found:?}");
        connection.execute_batch("ROLLBACK TO attempt; RELEASE attempt").unwrap();
    }

    // Another user, in the run and in its events, with a log that agrees: nothing shows it but the head.
    let rewrite = "UPDATE event SET body = replace(body, '\"pid\":', '\"pid\":1') WHERE body LIKE '%\"pid\":%';
        UPDATE run SET pid = '1' || pid;";
    tampered.connection.execute_batch(rewrite).unwrap();
    let lines: Vec<String> = tampered.column("SELECT line FROM event_line ORDER BY event");
    tampered.connection.execute("UPDATE log SET hashes = ?1", [anew(&lines).hashes()]).unwrap();
    let alone = check(&tampered.connection, &[]);
    assert!(alone.holds(), "{alone:?}");
    let found = check(&tampered.connection, &tampered.heads);
    let rewritten = Alteration::Rewritten { place: "heads.txt:1".into(), from: 1, to: events };
    assert_eq!(found.alterations, [rewritten]);
    tampered.attempt("UPDATE log SET origin = 'runner/0000000000000000'", []);
}

/// Readers of a log find its end where a whole block of numbers is missing, and still read what comes after it.
#[tokio::test]
async fn events_with_numbers_far_beyond_are_read() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 300).await;
    let size = head(&path).size;
    // At the edges of blocks.
    for at in [32_i64, 33, 64, 65, 96, 97] {
        let other = dir.path().join("other.db");
        fs::copy(&path, &other).unwrap();
        let tampered = Tampered::new(&other);
        tampered.connection.execute("DELETE FROM event WHERE event = ?1", [at]).unwrap();
        drop(tampered);
        let found = SqliteOverview::open(&other).unwrap().verify(&[]).unwrap();
        assert_eq!(
            (found.head.size, &found.alterations[0]),
            (size - 1, &Alteration::Gap { expected: at.unsigned_abs(), found: at + 1 })
        );
    }

    Tampered::new(&path)
        .connection
        .execute_batch(
            "UPDATE event SET event = event + 1000000 WHERE event > 150; UPDATE event SET event = -1 WHERE event = 1",
        )
        .unwrap();
    let found = SqliteOverview::open(&path).unwrap().verify(&[]).unwrap();
    assert_eq!(found.head.size, size);
    assert_eq!(found.alterations[0], Alteration::Gap { expected: 1, found: -1 });
    assert_eq!(found.alterations[1], Alteration::Gap { expected: 151, found: 1_000_151 });
    // One for each number that is not the one it should be, and the head; all edits are in events.
    let others = found.alterations.iter().filter(|found| !matches!(found, Alteration::Gap { .. })).count();
    assert_eq!((others, usize::try_from(found.more).unwrap() + 20), (0, usize::try_from(size).unwrap() - 149 + 1));
}

/// Some bytes of the file, or with EVERY_BYTE every one: each is found, or nothing that the file holds depends on it.
#[tokio::test]
async fn every_byte_of_the_file_that_says_something_is_found() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 300).await;
    let heads = outside(head(&path));
    let (bytes, dump) = (fs::read(&path).unwrap(), dump(&path).unwrap());
    let step = if std::env::var_os("EVERY_BYTE").is_some() { 1 } else { 131 };
    let (mut found, mut silent) = (0, 0);
    for at in (0..bytes.len()).step_by(step) {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << (at % 8);
        let other = dir.path().join("altered.db");
        fs::write(&other, altered).unwrap();
        let holds = SqliteOverview::open(&other).and_then(|overview| overview.verify(&heads)).is_ok_and(|v| v.holds());
        if holds {
            assert_eq!(self::dump(&other).as_ref(), Some(&dump), "byte {at} is not found");
            silent += 1;
        } else {
            found += 1;
        }
    }
    assert!(found > 300, "{found} found, {silent} say nothing");
}

/// What is not where it belongs in the index is not found by its message any more.
#[tokio::test]
async fn an_entry_of_the_index_that_cannot_be_found_is_an_alteration() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 20).await;
    // Statistics that say that the index is in no order.
    let connection = Connection::open(&path).unwrap();
    let unordered = "UPDATE sqlite_stat1 SET stat = stat || ' unordered'";
    // What it has beside them has messages, too.
    let others = "PRAGMA secure_delete = ON; DELETE FROM sqlite_stat4";
    connection.execute_batch(&format!("ANALYZE; {unordered}; {others}")).unwrap();
    let messages = ["SELECT message FROM edit WHERE seq = 7", "SELECT message FROM edit WHERE seq = 8"];
    let messages = messages.map(|query| connection.query_row(query, [], |row| row.get::<_, [u8; 16]>(0)).unwrap());
    drop(connection);
    let bytes = fs::read(&path).unwrap();
    // A record of two columns: the length of its header, a blob of sixteen bytes, and a small integer.
    let places = messages.map(|message| {
        let is_there = |at: &usize| bytes[*at..*at + 16] == message && bytes[at - 3..at - 1] == [3, 0x2c];
        let places: Vec<usize> = (3..bytes.len() - 16).filter(is_there).collect();
        assert_eq!(places.len(), 1);
        places[0]
    });
    let is_found = |bytes: Vec<u8>| {
        fs::write(&path, bytes).unwrap();
        let found = SqliteOverview::open(&path).unwrap().verify(&[]).unwrap();
        assert!(matches!(found.alterations[..], [Alteration::Damaged { .. }]), "{found:?}");
    };
    // 0x2d is a text as long.
    let mut other_type = bytes.clone();
    other_type[places[0] - 2] = 0x2d;
    is_found(other_type);
    let mut swapped = bytes.clone();
    for (from, to) in [(places[0], places[1]), (places[1], places[0])] {
        swapped[to..to + 17].copy_from_slice(&bytes[from..from + 17]);
    }
    is_found(swapped);
}

/// A row that is read in its turn, and not found by its number.
#[tokio::test]
async fn events_out_of_their_order_in_the_file_are_an_alteration() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 20).await;
    let leaf = "SELECT min(pageno) FROM dbstat WHERE name = 'event' AND pagetype = 'leaf'";
    let page: u32 = Connection::open(&path).unwrap().query_row(leaf, [], |row| row.get(0)).unwrap();
    let (bytes, start) = (fs::read(&path).unwrap(), (usize::try_from(page).unwrap() - 1) * 4_096);
    let cells = usize::from(u16::from_be_bytes([bytes[start + 3], bytes[start + 4]]));
    assert!(cells > 10);
    for cell in 0..cells - 1 {
        let mut swapped = bytes.clone();
        let pointer = start + 8 + 2 * cell;
        swapped[pointer..pointer + 4].rotate_left(2);
        fs::write(&path, swapped).unwrap();
        let found = SqliteOverview::open(&path).unwrap().verify(&[]).unwrap();
        let is_damaged = |alteration: &Alteration| matches!(alteration, Alteration::Damaged { .. });
        assert!(found.more > 0 || found.alterations.iter().any(is_damaged), "{cell}: {found:?}");
    }
}

/// While a run writes, table and index are compared as they were at one moment.
#[test]
fn a_ledger_that_is_written_to_holds() {
    let dir = TempDir::new().unwrap();
    let _store = open(&dir);
    let path = dir.path().join("ledger.db");
    let mut connection = Connection::open(&path).unwrap();
    // They are being sent, so the log does not have them yet.
    let mut send = |numbers: std::ops::Range<u32>| {
        let transaction = connection.transaction().unwrap();
        for number in numbers {
            let key = number.to_string();
            let insert = "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                          VALUES ('a', 'b', ?1, ?2, zeroblob(16), 1, 1, 'sending', 1, 0)";
            let message = IdDigest::of(["a", "b", &key]).0;
            transaction.prepare_cached(insert).unwrap().execute((key, message)).unwrap();
        }
        transaction.commit().unwrap();
    };
    send(0..10_000);
    std::thread::scope(|scope| {
        let verifying = scope.spawn(|| {
            for _ in 0..10 {
                let found = SqliteOverview::beside_writer(&path).unwrap().verify(&[]).unwrap();
                assert!(found.holds() && found.sending >= 10_000, "{found:?}");
            }
        });
        let mut number = 10_000;
        while !verifying.is_finished() {
            send(number..number + 1);
            number += 1;
        }
        verifying.join().unwrap();
    });
}

/// All that the file holds, by its own tables, and by the index with which edits are found.
fn dump(path: &Path) -> Option<String> {
    let connection = crate::ledger::sqlite::open::read_only(path).ok()?;
    let mut all = String::new();
    let index = "SELECT message, seq FROM edit INDEXED BY sqlite_autoindex_edit_1 ORDER BY message";
    let mut index = connection.prepare(index).ok()?;
    let index = index.query_map([], |row| Ok((row.get::<_, Value>(0)?, row.get::<_, i64>(1)?))).ok()?;
    writeln!(all, "{:?}", index.collect::<Result<Vec<_>, _>>().ok()?).unwrap();
    let mut tables = connection.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").ok()?;
    let tables = tables.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<String>>(1)?))).ok()?;
    for table in tables {
        let (name, sql) = table.ok()?;
        writeln!(all, "{name} {sql:?}").unwrap();
        if sql.is_some_and(|sql| sql.starts_with("CREATE TABLE")) {
            let mut rows = connection.prepare(&format!("SELECT * FROM \"{name}\"")).ok()?;
            let columns = rows.column_count();
            let mut rows = rows.query([]).ok()?;
            while let Some(row) = rows.next().ok()? {
                for column in 0..columns {
                    write!(all, "{:?} ", row.get::<_, Value>(column).ok()?).unwrap();
                }
            }
        }
    }
    Some(all)
}

/// The line that is hashed is the one that the view shows, and which other programs hash.
#[tokio::test]
async fn the_view_shows_the_lines_that_are_hashed() {
    let dir = TempDir::new().unwrap();
    let path = make(&dir, 20).await;
    let connection = Connection::open(&path).unwrap();
    let mut statement = connection.prepare("SELECT line FROM event_line ORDER BY event").unwrap();
    let lines = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let range = lines.map(|line| leaf(line.unwrap().as_bytes())).collect::<Range>();
    assert_eq!(event_log::head(&connection).unwrap().range, range);
}

/// Wherever a process or the machine stops: what is there agrees with itself, and no head that went out is ahead of it.
#[tokio::test]
async fn after_every_crash_events_and_states_agree_and_no_head_is_ahead() {
    let dir = TempDir::new().unwrap();
    let (path, log) = (dir.path().join("ledger.db"), dir.path().join("ledger.db-wal"));
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut heads = Vec::new();
        for _ in 0..random.u32(1..4) {
            let (ledger, writer) = Ledger::start(open(&dir));
            ledger.set_in_flight_max(1);
            // The length of the log up to which all is durable that a head may name.
            let mut durable = fs::metadata(&log).unwrap().len();
            for step in 0..random.u32(1..30) {
                let key = format!("{seed}-{step}-{}", random.u8(..));
                let Ok(intent) = ledger.intend(pending(&key).ready().unwrap()).await else { break };
                let settlement = match random.u8(..4) {
                    0 => settled(State::Failed, 20_026),
                    1 => noted(State::InDoubt, Note::ConnectionLost),
                    _ => settled(State::Done, 0),
                };
                if random.u8(..5) > 0 {
                    ledger.record(intent, settlement).await.unwrap();
                }
                if random.bool() {
                    durable = fs::metadata(&log).unwrap().len();
                    let place = format!("head {}", heads.len());
                    let checkpoint =
                        SqliteOverview::beside_writer(&path).unwrap().head().unwrap().unwrap().checkpoint();
                    heads.push(NamedCheckpoint { place, checkpoint });
                }
            }
            drop(ledger);
            let store = writer.await.unwrap();
            // The machine stops: of what came after the last head, a part is on the disk.
            let (file, mut log_bytes) = (fs::read(&path).unwrap(), fs::read(&log).unwrap());
            drop(store);
            let length = random.u64(durable..=log_bytes.len() as u64);
            log_bytes.truncate(usize::try_from(length).unwrap());
            fs::write(&path, file).unwrap();
            fs::write(&log, log_bytes).unwrap();
            let _ = fs::remove_file(dir.path().join("ledger.db-shm"));
            let found = SqliteOverview::open(&path).unwrap().verify(&heads).unwrap();
            assert!(found.holds(), "seed {seed}: {found:?}");
        }
        let ended = open(&dir).end_run("finished", "");
        assert_eq!(ended.unwrap(), WalEnd::Whole);
        let found = SqliteOverview::open(&path).unwrap().verify(&heads).unwrap();
        assert!(found.holds() && found.sending == 0, "seed {seed}: {found:?}");
        fs::remove_file(&path).unwrap();
    }
}

/// A ledger of an earlier version has a log from its next run on, which begins with how things stood.
#[tokio::test]
async fn the_log_of_an_older_ledger_begins_with_how_things_stood() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let connection = first_version(&path, "died");
    let insert =
        "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                  VALUES ('a', 'b', ?1, ?2, zeroblob(16), 1, 1, 'sending', 1, 0)";
    for key in ["1", "2"] {
        connection.execute(insert, rusqlite::params![key, digest(key).0]).unwrap();
    }
    connection.execute("UPDATE edit SET state = 'done', code = 0 WHERE msg_key = '1'", []).unwrap();
    drop(connection);
    assert!(matches!(SqliteOverview::open(&path).unwrap().verify(&[]), Err(LedgerError::NoLog { .. })));
    open(&dir).end_run("finished", "").unwrap();
    let found = SqliteOverview::open(&path).unwrap().verify(&[]).unwrap();
    assert!(found.holds() && found.why.as_deref() == Some("upgraded"), "{found:?}");
    let proofs = SqliteOverview::open(&path).unwrap().prove(digest("1"), None).unwrap();
    assert!(proofs.len() == 1 && proofs[0].holds(), "{proofs:?}");
    assert_eq!(proofs[0].checkpoint, found.head);
}
