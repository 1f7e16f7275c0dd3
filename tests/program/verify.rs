//! Whether a ledger was altered: by the program itself, and by the twenty lines of Python that are in the documents.

use std::io::Read as _;
use std::process::Command;

use serde_json::Value;

use crate::support::harness::{Place, Ran, list, sqlite, wait_for};
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const RUN: &str = "--input edits.csv --resume ledger.db --yes --no-progress --json --checkpoint-file heads.txt";
const FAULTS: &str = "20004=5%,20026=5%,edit.lost-after=2%";
const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/verify.py");

/// A ledger on which a run has worked, with the heads that it has given out.
fn worked(rows: u32) -> (Place, Service) {
    let (place, service) = (Place::with_list(rows), Service::start(FAULTS));
    let ran = place.runner(RUN).at(&service).run();
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
    (place, service)
}

fn verify(place: &Place, flags: &str) -> Ran {
    place.runner(&format!("verify --json {flags}")).run()
}

/// What the Python program says of a ledger, and its exit code.
fn by_python(place: &Place, ledger: &str, heads: &str) -> (Option<i32>, String) {
    let mut call = Command::new("python3");
    call.arg(PYTHON).arg(place.path(ledger));
    if !heads.is_empty() {
        call.arg(place.path(heads));
    }
    let out = call.output().unwrap();
    (out.status.code(), String::from_utf8(out.stdout).unwrap() + &String::from_utf8_lossy(&out.stderr))
}

#[test]
fn what_was_not_altered_holds_and_every_view_names_its_head() {
    let (place, service) = worked(200);
    let again = place.runner(&format!("{RUN} --retry-failed --report report")).at(&service).run();
    let summary = &again.json()["log"];
    let found = verify(&place, "ledger.db --checkpoint heads.txt");
    assert_eq!(found.code, Some(0), "{found:#?}");
    let found = found.json();
    assert_eq!((&found["holds"], &found["unseen"], &found["began"]), (&true.into(), &0.into(), &"made".into()));
    assert!(found["heads"].as_u64() >= Some(3) && found["log"]["size"].as_u64() > Some(200), "{found:#}");
    let read = |name: &str| serde_json::from_str::<Value>(&place.read(name)).unwrap();
    let status = place.runner("status ledger.db --json").exits(0).json();
    for (view, log) in [
        ("summary", summary),
        ("status", &status["log"]),
        ("report", &read("report/summary.json")["log"]),
        ("manifest", &read("report/manifest.json")["log"]),
    ] {
        assert_eq!(log, &found["log"], "{view}");
    }
    let root = found["log"]["root"].as_str().unwrap();
    for text in ["status ledger.db", "report ledger.db", "verify ledger.db"] {
        assert!(place.runner(text).exits(0).out.contains(root), "{text}");
    }
    assert!(
        place.read("heads.txt").ends_with(&format!("\n{root}\n\n")) && place.read("report/report.html").contains(root)
    );
    let (code, text) = by_python(&place, "ledger.db", "heads.txt");
    assert_eq!((code, text.contains(root)), (Some(0), true), "{text}");
}

#[test]
fn a_report_says_whether_its_ledger_was_altered() {
    let (place, _) = worked(20);
    assert_eq!(place.runner("report ledger.db --json").exits(0).json()["holds"], true);
    assert_eq!(place.runner("status ledger.db --json").exits(0).json().get("holds"), None, "it verifies nothing");
    place.runner("report ledger.db --csv whole").exits(0);
    let ledger = rusqlite::Connection::open(place.path("ledger.db")).unwrap();
    ledger.execute_batch("DROP TRIGGER edit_leaves; DELETE FROM edit WHERE seq = 5").unwrap();
    let report = place.runner("report ledger.db --json").exits(0).json();
    // Who knows what a resumed run would send again.
    assert_eq!((&report["holds"], &report["not_reached"], &report["resume"]), (&false.into(), &1.into(), &Value::Null));
    place.runner("report ledger.db --csv altered").exits(0);
    let text = place.runner("report ledger.db").exits(0).out;
    for (whole, altered) in
        [(place.read("whole/report.html"), place.read("altered/report.html")), (String::new(), text)]
    {
        let headline = "This ledger was altered, or is damaged.";
        assert!(!whole.contains(headline) && altered.contains(headline), "{altered}");
    }
}

/// Each is done as one who knows SQLite and how this program works would do it.
const TRIES: [(&str, &str); 14] = [
    ("a renamed account", "UPDATE edit SET from_account = 'somebody' WHERE seq = 7"),
    ("fifty edits that are gone", "DELETE FROM edit WHERE seq BETWEEN 20 AND 69"),
    ("with all that names them", "DELETE FROM edit WHERE seq > 150; DELETE FROM event WHERE edit > 150"),
    (
        "an edit that nobody made",
        "INSERT INTO edit SELECT 1000, from_account, to_account, 'new', randomblob(16), content, line, run, state, attempts, code,
         note, sent_at, took_ms, list, first_content FROM edit WHERE seq = 7",
    ),
    ("another user, ten days earlier", "UPDATE run SET user = 'nobody', started_at = started_at - 864000000"),
    ("an operator who did nothing", "DELETE FROM act"),
    ("a failure that passes for done", "UPDATE edit SET state = 'done', code = 0 WHERE state = 'failed'"),
    ("what failed, left out", "UPDATE event SET state = 'done', code = 0 WHERE state = 'failed'"),
    ("another content", "UPDATE edit SET content = randomblob(16) WHERE seq = 3"),
    ("another message under the same digest", "UPDATE edit SET msg_key = msg_key || '0' WHERE seq = 3"),
    ("better numbers", "UPDATE sample SET slow_downs = 0, failed = 0, done = done + 1"),
    ("fewer answers", "DELETE FROM answer WHERE code <> 0"),
    ("a log that ends earlier", "DELETE FROM event WHERE event > (SELECT size - 20 FROM log); UPDATE log SET size = size - 20"),
    ("two events, swapped", "UPDATE event SET event = -event WHERE event IN (8, 9); UPDATE event SET event = 17 + event WHERE event < 0"),
];

#[test]
fn whatever_a_tamperer_tries_is_found() {
    let (place, service) = worked(200);
    place.write("edits.csv", list(1..=900, "new"));
    let before = service.stats().requests();
    let running = place.runner(&format!("{RUN} --rate 100")).at(&service).start();
    service.wait_for_requests(before + 20);
    place.runner("ctl ledger.db rate 90").exits(0);
    place.runner("ctl ledger.db stop --yes").exits(0);
    running.exits(3);
    let pristine = std::fs::read(place.path("ledger.db")).unwrap();
    let [drop, put_back] = ["'DROP TRIGGER ' || name", "sql"].map(|what| {
        let query = format!("SELECT group_concat({what}, '; ') FROM sqlite_schema WHERE type = 'trigger'");
        let ledger = rusqlite::Connection::open(place.path("ledger.db")).unwrap();
        ledger.query_row(&query, [], |row| row.get::<_, String>(0)).unwrap()
    });
    let found = |what: &str| {
        let found = verify(&place, "tampered.db --checkpoint heads.txt");
        assert_eq!(found.code, Some(1), "{what}: {found:#?}");
        let first = found.json()["alterations"][0].clone();
        let (code, text) = by_python(&place, "tampered.db", "heads.txt");
        assert_eq!(code, Some(1), "{what}: {text}");
        assert!(first.as_str().is_some_and(|first| !first.is_empty()), "{what}: {found:#?}");
    };
    for (what, sql) in TRIES {
        place.write("tampered.db", &pristine);
        sqlite(
            &place.path("tampered.db"),
            &format!("PRAGMA foreign_keys = OFF; {drop}; {sql}; {put_back}; PRAGMA wal_checkpoint(TRUNCATE)"),
        );
        assert_ne!(std::fs::read(place.path("tampered.db")).unwrap(), pristine, "{what}");
        found(what);
    }
    // A trigger that is gone, a byte of the file, another ledger in its place.
    place.write("tampered.db", &pristine);
    sqlite(&place.path("tampered.db"), "DROP TRIGGER event_stays; PRAGMA wal_checkpoint(TRUNCATE)");
    found("a trigger that is gone");
    let other =
        place.runner(&RUN.replace("ledger.db", "tampered.db").replace("heads.txt", "other.txt")).at(&service).run();
    assert!(matches!(other.code, Some(0 | 1)), "{other:#?}");
    found("another ledger");
    for (ledger, heads) in [("nowhere.db", "heads.txt"), ("ledger.db", "nowhere.txt"), ("edits.csv", "heads.txt")] {
        let (code, text) = by_python(&place, ledger, heads);
        assert_eq!((code, place.path("nowhere.db").exists()), (Some(2), false), "{text}");
    }
    let refused = place.runner("verify --checkpoint edits.csv ledger.db").exits(2);
    assert!(refused.err.contains("edits.csv:2: this is no size of a log"), "{}", refused.err);
}

/// The ledger as it was earlier agrees with itself.
#[test]
fn an_old_copy_of_the_ledger_is_told_by_the_heads() {
    let (place, service) = worked(50);
    std::fs::copy(place.path("ledger.db"), place.path("old.db")).unwrap();
    place.runner(&format!("{RUN} --retry-failed")).at(&service).run();
    assert_eq!(verify(&place, "old.db").code, Some(0));
    let found = verify(&place, "old.db --checkpoint heads.txt");
    let told = found.json()["alterations"][0].as_str().unwrap().to_owned();
    assert!(found.code == Some(1) && told.contains("the log ends with event"), "{found:#?}");
    assert_eq!(by_python(&place, "old.db", "").0, Some(0));
    assert_eq!(by_python(&place, "old.db", "heads.txt").0, Some(1));
    // And went on from there: a fork.
    place.runner("--input edits.csv --resume old.db --yes --retry-failed --rate 50").at(&service).run();
    let told = verify(&place, "old.db --checkpoint heads.txt").json()["alterations"].to_string();
    assert!(told.contains("the log is not the one whose head is in heads.txt:"), "{told}");
}

#[test]
fn a_run_that_is_killed_is_never_behind_the_heads_that_it_gave_out() {
    let place = Place::with_list(400);
    let service = Service::with_messages("latency=20ms..80ms", &place);
    let command = "--input edits.csv --resume ledger.db --yes --no-progress --json --rate 100";
    let running =
        place.runner(command).arg("--on-checkpoint").arg("cat >> heads.txt; echo >> heads.txt").at(&service).start();
    service.wait_for_requests(100);
    let beside = verify(&place, "ledger.db --checkpoint heads.txt");
    assert!(beside.code == Some(0) && beside.json()["sending"].as_u64() > Some(0), "{beside:#?}");
    running.kill();
    let found = verify(&place, "ledger.db --checkpoint heads.txt");
    assert_eq!(found.code, Some(0), "{found:#?}");
    place.runner(command).at(&service).exits(0);
    let found = verify(&place, "ledger.db --checkpoint heads.txt").json();
    assert_eq!((&found["holds"], &found["sending"]), (&true.into(), &0.into()), "{found:#}");
    assert_eq!(service.stats().edited_once(), 400);
}

/// What is in flight then has no outcome, and the run has an end.
#[test]
fn a_run_that_a_second_signal_stops_leaves_nothing_that_seems_altered() {
    let place = Place::with_list(40);
    let service = Service::start("silent-after=100%");
    let running = place.runner(&format!("{RUN} --timeout 10m")).at(&service).start();
    service.wait_for_requests(1);
    running.signal("INT");
    wait_for("the first signal to be heard", || running.err().contains("once more stops at once").then_some(()));
    running.signal("INT");
    running.exits(130);
    let found = verify(&place, "ledger.db --checkpoint heads.txt");
    assert_eq!((found.code, &found.json()["sending"]), (Some(0), &0.into()), "{found:#?}");
    let status = place.runner("status ledger.db --json").exits(0).json();
    assert_eq!(status["in_doubt"], 1, "{status:#}");
}

/// As files come from other systems, from a full disk, and from whoever moves logs away.
#[test]
fn heads_are_found_in_what_became_of_their_file() {
    let (place, service) = worked(10);
    let again = || place.runner(&format!("{RUN} --retry-failed")).at(&service).run();
    let holds = |file: &str, heads: u64| {
        let found = verify(&place, &format!("ledger.db --checkpoint {file}"));
        assert_eq!((found.code, &found.json()["heads"]), (Some(0), &heads.into()), "{found:#?}");
        assert_eq!(by_python(&place, "ledger.db", file).0, Some(0));
        found.err
    };
    let heads = place.read("heads.txt");
    let count = heads.matches("runner/").count() as u64;
    place.write("bom.txt", format!("\u{feff}{}", heads.replace('\n', "\r\n")));
    holds("bom.txt", count);
    // What was appended to a head that was cut off.
    place.write("heads.txt", format!("{heads}\nrunner"));
    again();
    let now = place.read("heads.txt").matches("runner/").count() as u64;
    assert!(now > count, "{}", place.read("heads.txt"));
    let told = holds("heads.txt", now);
    assert!(told.contains("this checkpoint was cut off, and is passed over"), "{told}");

    // Nothing that was put beside a head hides it.
    let genuine = heads.trim_matches('\n');
    let (origin, rest) = genuine.split_once('\n').unwrap();
    let (size, root) = rest
        .split('\n')
        .take(2)
        .collect::<Vec<_>>()
        .join(" ")
        .split_once(' ')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let other = format!("{}{}", if root.starts_with('A') { "B" } else { "A" }, &root[1..]);
    for (odd, code) in [
        (format!("{origin}\n{size}\n{other}\n"), 1),
        (format!("x\n{origin}\n{size}\n{other}\n"), 2),
        (format!("— {origin}\n{size}\n{other}\n"), 2),
        (format!("{origin}\n{size}\n{origin}\n{size}\n{other}\n"), 2),
        (format!("{origin}\n{size}\n{other} \n"), 2),
        (format!("{origin}\n{size}\n{other}A\n"), 2),
        (format!("{origin}\n{size}\nno root\n"), 2),
        (format!("{origin}\nno size\n"), 2),
        (format!("{origin}\n{size}\n{}\n", &other[..20]), 0),
        (format!("{origin}\n{size}\n"), 0),
    ] {
        place.write("odd.txt", format!("{heads}\n{odd}\n"));
        let found = verify(&place, "ledger.db --checkpoint odd.txt");
        let python = by_python(&place, "ledger.db", "odd.txt");
        assert_eq!((found.code, python.0 == Some(0)), (Some(code), code == 0), "{odd}: {found:#?} {python:?}");
    }

    // Moved away while a run goes on, which is told and begins a new one.
    place.write("edits.csv", list(11..=60, "x"));
    service.set_faults("none");
    let slow = format!("{RUN} --rate 20");
    let running = place.runner(&slow).at(&service).start();
    let size = place.read("heads.txt").len();
    wait_for("the first head", || (place.read("heads.txt").len() > size).then_some(()));
    std::fs::rename(place.path("heads.txt"), place.path("heads.1")).unwrap();
    let ran = running.exits(0);
    assert!(ran.err.contains("heads.txt: the file of heads was moved or removed; a new one begins"), "{ran:#?}");
    holds("heads.txt", 1);
    // A pipe that nobody reads, and one that somebody does.
    nix::unistd::mkfifo(&place.path("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let refused = place.runner(&RUN.replace("heads.txt", "pipe")).at(&service).exits(2);
    assert!(refused.err.contains("cannot write heads to pipe"), "{refused:#?}");
    let mut reader = std::fs::File::options().read(true).write(true).open(place.path("pipe")).unwrap();
    place.write("edits.csv", list(61..=70, "x"));
    let ran = place.runner(&RUN.replace("heads.txt", "pipe")).at(&service).exits(0);
    assert!(!ran.err.contains("warning"), "{ran:#?}");
    let mut read = vec![0; 4_096];
    let length = reader.read(&mut read).unwrap();
    read.truncate(length);
    assert!(String::from_utf8(read).unwrap().matches("runner/").count() >= 1);
}

/// In one file, each of two ledgers would seem to be in the other's place.
#[test]
fn heads_of_two_ledgers_do_not_get_into_one_file() {
    let (place, service) = worked(10);
    let before = place.read("heads.txt");
    let refused = place.runner(&RUN.replace("ledger.db", "other.db")).at(&service).exits(2);
    assert!(refused.err.contains("heads.txt holds heads of another log (runner/"), "{}", refused.err);
    assert_eq!(place.read("heads.txt"), before);
    assert!(!place.path("other.db").exists());
}

#[test]
fn what_was_done_to_one_message_is_proven_without_the_others() {
    let (place, _service) = worked(50);
    let rows = place.read("edits.csv");
    let [from, to, key] = std::array::from_fn(|column| rows.lines().nth(3).unwrap().split(',').nth(column).unwrap());
    let proof = place.runner("prove ledger.db").arg(from).arg(to).arg(key).exits(0).out;
    assert!(proof.contains(key) && !proof.contains(rows.lines().nth(4).unwrap().split(',').nth(2).unwrap()), "{proof}");
    place.write("proof.txt", &proof);
    let found = place.runner("verify --proof proof.txt --checkpoint heads.txt").exits(0);
    assert!(found.out.contains("each proven to be in its log"), "{}", found.out);
    let found = place.runner("verify --proof proof.txt --checkpoint heads.txt --json").exits(0).json();
    let heads = place.read("heads.txt").matches("runner/").count();
    assert_eq!((&found["heads"], &found["agrees_up_to"]), (&heads.into(), &found["log"]["size"]), "{found:#}");
    let found = place.runner("verify --proof proof.txt --json").exits(0).json();
    assert_eq!((&found["heads"], &found["agrees_up_to"]), (&0.into(), &Value::Null), "{found:#}");
    // For a head that was kept earlier, and of another one.
    let kept = place.read("heads.txt").split("\n\n").next().unwrap().to_owned() + "\n";
    place.write("first.txt", &kept);
    let refused = place.runner("prove ledger.db --checkpoint first.txt").arg(from).arg(to).arg(key).exits(2);
    assert!(refused.err.contains("no event of this message"), "{}", refused.err);
    place.runner("verify --proof proof.txt --checkpoint first.txt").exits(1);
    place.write("proof.txt", proof.replace("\"done\"", "\"failed\"").replace("\"line\":", "\"line\":1"));
    let found = place.runner("verify --proof proof.txt --json").exits(1);
    assert_eq!(found.json()["holds"], false);
    let refused = place.runner("prove ledger.db nobody").arg(to).arg(key).exits(2);
    assert!(refused.err.contains("no event of this message"), "{}", refused.err);
    let refused = place.runner("verify --proof edits.csv").exits(2);
    assert!(refused.err.contains("edits.csv:2: this is not"), "{}", refused.err);
}

/// It begins with the head of the log that was copied.
#[test]
fn a_copy_has_a_log_of_its_own() {
    let (place, service) = worked(50);
    place.runner("audit ledger.db").at(&service).run();
    let head = verify(&place, "ledger.db").json()["log"].clone();
    place.runner("copy ledger.db copy.db").exits(0);
    let found = verify(&place, "copy.db").json();
    assert_eq!((&found["holds"], &found["began"]), (&true.into(), &"copied".into()), "{found:#}");
    let ledger = rusqlite::Connection::open(place.path("copy.db")).unwrap();
    let first: String = ledger.query_row("SELECT line FROM event_line WHERE event = 1", [], |row| row.get(0)).unwrap();
    assert!(first.contains(head["root"].as_str().unwrap()), "{first}");
    let looks: i64 = ledger.query_row("SELECT count(*) FROM look", [], |row| row.get(0)).unwrap();
    assert!(looks > 0);
    let other = verify(&place, "copy.db --checkpoint heads.txt");
    assert!(other.code == Some(1) && other.out.contains("it is another ledger"), "{other:#?}");
}

#[test]
fn where_heads_cannot_be_kept_nothing_is_sent_and_a_command_that_fails_is_told_once() {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    let refused = place.runner(&RUN.replace("heads.txt", "none/heads.txt")).at(&service).exits(2);
    assert!(refused.err.contains("cannot write heads to none/heads.txt"), "{}", refused.err);
    let refused = place.runner(&RUN.replace("heads.txt", "edits.csv")).at(&service).exits(2);
    assert!(refused.err.contains("--checkpoint-file"), "{}", refused.err);
    assert_eq!(service.stats().requests(), 0);
    let ran = place.runner(RUN).arg("--on-checkpoint").arg("exit 7").at(&service).exits(0);
    assert_eq!(ran.err.matches("--on-checkpoint: the command ended with exit status: 7").count(), 1, "{}", ran.err);
}

/// With the lines of the how-to, and an authority that is made here.
#[test]
fn heads_can_be_stamped_with_the_time() {
    let (place, _service) = worked(10);
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/evidence.md")).unwrap();
    let line = |begin: &str| document.lines().find(|line| line.starts_with(begin)).unwrap();
    let authority = "[tsa]\ndefault_tsa = own\n[own]\nserial = serial\ndefault_policy = 1.2.3.4\ndigests = sha256\n\
                     signer_digest = sha256\n";
    place.write("tsa.cnf", authority);
    place.write("serial", "01\n");
    let key = "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=authority -keyout tsa.key -out authority.pem \
               -addext extendedKeyUsage=critical,timeStamping";
    place.shell(key).exits(0);
    place.shell(line("openssl ts -query")).exits(0);
    let reply =
        "openssl ts -reply -config tsa.cnf -queryfile heads.tsq -signer authority.pem -inkey tsa.key -out heads.tsr";
    place.shell(reply).exits(0);
    place.shell(line("openssl ts -verify")).exits(0);
    place.write("heads.txt", place.read("heads.txt").replace("runner/", "runner/0"));
    place.shell(line("openssl ts -verify")).exits(1);
}

/// As one does it who may write to the database: first in the open, then with the triggers off while it is done.
const TRIES_IN_A_DATABASE: [(&str, &str); 16] = [
    ("a renamed account", "UPDATE edit SET from_account = 'somebody' WHERE line = 7"),
    ("fifty edits that are gone", "DELETE FROM edit WHERE line BETWEEN 20 AND 69"),
    (
        "an edit that nobody made",
        "INSERT INTO edit (job, part, line, run, attempts, state, code, note, sent_at, message, content, from_account, to_account,
            msg_key)
         SELECT job, part, line, run, 0, 'done', NULL, 'read first: already there', sent_at, decode(md5('a'), 'hex'), content,
            from_account, to_account, 'new' FROM edit WHERE line = 7",
    ),
    ("another user, ten days earlier", "UPDATE run SET \"user\" = 'nobody', started_at = started_at - 864000000"),
    ("another end", "UPDATE run SET ended = 'finished', reason = NULL"),
    ("an operator who did nothing", "DELETE FROM act"),
    ("another operator", "UPDATE act SET by = 'nobody'"),
    ("a failure that passes for done", "UPDATE edit SET state = 'done', code = 0, note = NULL WHERE state = 'failed'"),
    ("what failed, left out", "UPDATE event SET state = 'done', code = 0 WHERE state = 'failed'"),
    ("another content", "UPDATE edit SET content = decode(md5('a'), 'hex') WHERE line = 3"),
    ("another message under the same digest", "UPDATE edit SET msg_key = msg_key || '0' WHERE line = 3"),
    ("better numbers", "UPDATE sample SET slow_downs = 0, failed = 0, done = done + 1"),
    ("fewer answers", "DELETE FROM answer WHERE code <> 0"),
    (
        "a log that ends earlier",
        "DELETE FROM event WHERE event > (SELECT size - 20 FROM log); UPDATE log SET size = size - 20",
    ),
    ("no log", "DELETE FROM event; DELETE FROM log"),
    ("an edit that is being sent", "UPDATE edit SET state = 'sending' WHERE line = 9"),
];

#[test]
fn whatever_a_tamperer_tries_in_a_database_is_found() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, service, database) =
        (Place::with_list(200), Service::start("20026=5%,edit.lost-after=2%"), cluster.database());
    let ledger = database.url("job");
    let call = || {
        place.runner("--input edits.csv --yes --no-progress --json --checkpoint-file heads.txt --resume").arg(&ledger)
    };
    let running = call().arg("--rate").arg("100").at(&service).start();
    service.wait_for_requests(100);
    place.runner("ctl").arg(&ledger).arg("rate").arg("90").exits(0);
    let beside = place.runner("verify --json --checkpoint heads.txt").arg(&ledger).exits(0).json();
    assert!(beside["holds"] == true && beside["unseen"].as_u64() > Some(0), "{beside:#}");
    place.runner("ctl").arg(&ledger).arg("stop").exits(0);
    running.exits(3);
    let ran = call().at(&service).run();
    assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
    let verify = |ledger: &str| place.runner("verify --json --checkpoint heads.txt").arg(ledger).run();
    let found = verify(&ledger);
    assert_eq!((found.code, &found.json()["log"]), (Some(0), &ran.json()["log"]), "{found:#?}");
    assert_eq!(place.runner("status --json").arg(&ledger).exits(0).json()["log"], ran.json()["log"]);

    let name = database.name();
    for (index, (what, sql)) in TRIES_IN_A_DATABASE.into_iter().enumerate() {
        for (way, off) in [("open", ""), ("hidden", "SET session_replication_role = replica;")] {
            let copy = format!("{name}_{index}_{way}");
            cluster.psql(&format!("CREATE DATABASE {copy} TEMPLATE {name}"));
            let done = cluster.try_psql_in(&copy, &format!("SET search_path = runner; {off} {sql}")).is_ok();
            let found = verify(&ledger.replace(&format!("/{name}?"), &format!("/{copy}?")));
            // What the database refuses has changed nothing.
            assert_eq!(found.code, Some(i32::from(done)), "{what}, {way}: {found:#?}");
            assert!(done || way == "open", "{what} was refused");
            cluster.psql(&format!("DROP DATABASE {copy}"));
        }
    }
    let copy = format!("{name}_schema");
    cluster.psql(&format!("CREATE DATABASE {copy} TEMPLATE {name}"));
    let other = ledger.replace(&format!("/{name}?"), &format!("/{copy}?"));
    for sql in [
        "ALTER TABLE edit DISABLE TRIGGER edit_is_changed",
        "CREATE OR REPLACE FUNCTION log_now() RETURNS bigint LANGUAGE sql AS 'SELECT 0::bigint'",
        "CREATE TRIGGER own BEFORE INSERT ON act FOR EACH ROW EXECUTE FUNCTION refuse('no')",
        "DROP TRIGGER edit_moves ON edit",
    ] {
        cluster.try_psql_in(&copy, &format!("SET search_path = runner; {sql}")).unwrap();
        let found = verify(&other);
        assert!(
            found.code == Some(1) && found.out.contains("in the schema is not as this program makes it"),
            "{found:#?}"
        );
    }
    cluster.psql(&format!("DROP DATABASE {copy}"));
}

/// One who may write the tables makes events only by what he changes in them.
#[test]
fn a_role_that_may_write_the_tables_cannot_write_the_log() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, service, database) = (Place::with_list(20), Service::start("none"), cluster.database());
    let ledger = database.url("job");
    place.runner("--input edits.csv --yes --no-progress --resume").arg(&ledger).at(&service).exits(0);
    let role = format!("worker_of_{}", database.name());
    // As in the documents.
    database.psql(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA runner TO {role}; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA runner TO {role};
         REVOKE INSERT, UPDATE ON runner.event, runner.log FROM {role}; GRANT DELETE ON runner.edit, runner.part TO {role}"
    ));
    let as_worker =
        |sql: &str| cluster.try_psql_in(&database.name(), &format!("SET ROLE {role}; SET search_path = runner; {sql}"));
    for sql in [
        "INSERT INTO event (job, event, body) VALUES (1, 999, '{}')",
        "UPDATE log SET size = size - 1",
        "SELECT log_body(1, '{}')",
        "CREATE TEMP TABLE own (LIKE edit); CREATE TRIGGER t AFTER INSERT ON own REFERENCING NEW TABLE AS changed FOR EACH STATEMENT
         EXECUTE FUNCTION log_edits()",
        "ALTER TABLE run DISABLE TRIGGER ALL",
    ] {
        let refused = as_worker(sql).unwrap_err();
        assert!(refused.contains("permission denied") || refused.contains("must be owner"), "{sql}: {refused}");
    }
    place.runner("verify").arg(&ledger).exits(0);
    // Nor does the setting of a copy keep anything out of it.
    let size = || database.psql("SELECT size FROM runner.log").parse::<u64>().unwrap();
    let before = size();
    as_worker("SET runner.copying = 'on'; UPDATE run SET host = 'elsewhere'").unwrap();
    assert_eq!(size(), before + 1);
    let found = place.runner("verify").arg(&ledger).exits(1);
    assert!(found.out.contains("changes host in row "), "{found:#?}");
}

#[test]
fn the_events_of_a_message_are_proven_from_a_database_and_a_copy_names_the_log_that_it_is_of() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, service, ledger) = (Place::with_list(50), Service::start("20004=20%"), cluster.database().url("job"));
    let run = "--input edits.csv --yes --no-progress --json --checkpoint-file heads.txt --resume";
    place.runner(run).arg(&ledger).at(&service).exits(0);
    place.runner("audit").arg(&ledger).at(&service).exits(0);
    let proof = |ledger: &str| {
        let proof = place.runner("prove").arg(ledger).arg("user_7").arg("user_0").arg("7_7_1773188576").exits(0).out;
        place.write("proof.txt", &proof);
        place.runner("verify --proof proof.txt").exits(0);
        proof
    };
    let of_seven = proof(&ledger);
    assert!(
        of_seven.contains("\"user_7\"") && of_seven.contains("\"look\"") && !of_seven.contains("\"user_8\""),
        "{of_seven}"
    );
    // There and back again.
    let root = |ledger: &str| {
        let found = place.runner("verify --json").arg(ledger).exits(0).json();
        (found["began"].clone(), found["log"]["root"].as_str().unwrap().to_owned())
    };
    place.runner("copy").arg(&ledger).arg("copy.db").exits(0);
    let (began, copied) = root("copy.db");
    assert_eq!(began, "copied");
    let first = "SELECT body FROM event WHERE event = 1";
    let first: String =
        rusqlite::Connection::open(place.path("copy.db")).unwrap().query_row(first, [], |row| row.get(0)).unwrap();
    assert!(first.contains(&root(&ledger).1), "{first}");
    let back = cluster.database();
    place.runner("copy copy.db").arg(back.url("job")).exits(0);
    assert_eq!(root(&back.url("job")).0, "copied");
    assert!(back.psql("SELECT line FROM runner.event_line WHERE event = 1").contains(&copied));
    proof(&back.url("job"));
    // It goes on.
    place.write("edits.csv", list(1..=80, "new"));
    place.runner(&run.replace("heads.txt", "back.txt")).arg(back.url("job")).at(&service).exits(0);
    assert_eq!(root(&back.url("job")).0, "copied");
}
