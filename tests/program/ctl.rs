//! Controlling a run from the shell.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::support::harness::{PROGRAM, Place, Running, mode, wait_for};
use crate::support::service::Service;

const RUN: &str = "--input edits.csv --resume ledger.db --yes --no-progress --json";

/// A run at 100 requests a second, which has sent a few.
fn start<'a>(place: &'a Place, service: &Service) -> (Running, impl Fn(&str) -> crate::support::harness::Call<'a>) {
    let run = place.runner(RUN).arg("--rate").arg("100").at(service).start();
    service.wait_for_requests(5);
    (run, |words: &str| place.runner(&format!("ctl ledger.db {words}")))
}

/// The control actions in the ledger, and who requested them.
fn acts(place: &Place) -> Vec<(String, Option<u32>, String)> {
    let ledger = Connection::open(place.path("ledger.db")).unwrap();
    let mut acts = ledger.prepare("SELECT what, rate, by FROM act ORDER BY rowid").unwrap();
    let acts = acts.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    acts.collect::<rusqlite::Result<_>>().unwrap()
}

fn user() -> String {
    let user = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
    String::from_utf8(user).unwrap().trim().to_owned()
}

#[test]
fn a_run_is_paused_slowed_down_and_gone_on_with_from_the_shell() {
    let place = Place::with_list(400);
    let service = Service::start("latency=20ms");
    let (run, ctl) = start(&place, &service);
    let status = ctl("status --json").exits(0).json();
    assert_eq!(
        (&status["this_run"]["planned"], &status["rate"], &status["cap"]),
        (&400.into(), &100.into(), &100.into())
    );
    assert!(["running", "held"].contains(&status["state"].as_str().unwrap()), "{status}");

    let paused = ctl("pause").exits(0);
    assert!(paused.out.starts_with("paused: "), "{paused:#?}");
    assert!(paused.out.contains(&format!("To resume: {PROGRAM} ctl ledger.db resume")), "{paused:#?}");
    // Requests in flight finish; then nothing is in flight, and nothing arrives any more.
    wait_for("all answers", || {
        let sending = "SELECT count(*) FROM edit WHERE state = 'sending'";
        let ledger = Connection::open(place.path("ledger.db")).unwrap();
        (ledger.query_row(sending, [], |row| row.get::<_, i64>(0)).unwrap() == 0).then_some(())
    });
    let arrived = service.stats().requests();
    for _ in 0..5 {
        assert_eq!(ctl("status --json").exits(0).json()["state"], "paused");
    }
    assert_eq!(service.stats().requests(), arrived);

    assert!(ctl("rate 50").exits(0).out.contains(" · rate 50 (at most 100)"));
    let refused = ctl("rate 101").exits(2);
    assert_eq!(refused.err, "error: 101 requests a second are more than the 100 that this run may send at most\n");
    ctl("rate 100").exits(0);
    ctl("resume").exits(0);
    let summary = run.exits(0).summary();
    assert_eq!((summary.done, service.stats().edited_once()), (400, 400));
    let by = format!("{} by runner ctl", user());
    let told = |what: &str, rate| (what.to_owned(), rate, by.clone());
    let wanted = [told("pause", None), told("rate", Some(50)), told("rate", Some(100)), told("resume", None)];
    assert_eq!(acts(&place), wanted, "and nothing that was refused");
}

#[test]
fn a_run_that_is_told_to_stop_drains_and_the_same_command_resumes_it() {
    let place = Place::with_list(300);
    let service = Service::start("latency=20ms");
    let (run, ctl) = start(&place, &service);
    // Without a terminal for a prompt, the command line is the consent.
    assert!(ctl("stop").exits(0).out.starts_with("stopping: "));
    let stopped = run.exits(3);
    let json = stopped.json();
    assert_eq!(json["reason"], format!("{} by runner ctl told it to stop", user()), "{json:#}");
    let summary = stopped.summary();
    assert!(summary.not_reached > 0 && summary.in_doubt == 0, "{summary:?}");
    assert!(!place.path("ledger.db-ctl").exists());
    let none = ctl("status").exits(2);
    assert!(none.err.starts_with("error: no run is going on with ledger.db"), "{none:#?}");
    place.runner(RUN).at(&service).exits(0);
    assert_eq!(service.stats().edited_once(), 300);
}

#[test]
fn in_a_terminal_it_asks_before_it_stops_a_run() {
    let place = Place::with_list(300);
    let service = Service::start("latency=20ms");
    let (run, ctl) = start(&place, &service);
    let asked = place.terminal("ctl ledger.db stop").input("n\n").exits(2);
    assert!(asked.out.contains("Stop it after what is in flight? The same command resumes it. [y/N]"), "{asked:#?}");
    assert_eq!(acts(&place), []);
    ctl("stop --yes").exits(0);
    run.exits(3);
}

#[test]
fn the_socket_is_its_owners_and_goes_with_the_run() {
    let place = Place::with_list(300);
    let service = Service::start("latency=20ms");
    let (run, ctl) = start(&place, &service);
    let socket = place.path("ledger.db-ctl");
    assert!(socket.symlink_metadata().unwrap().file_type().is_socket());
    assert_eq!(mode(&socket), 0o600);
    // A second run of the same ledger does not get as far as the socket.
    place.runner(RUN).at(&service).exits(2);
    ctl("status").exits(0);
    // A killed run leaves it behind; nobody listens, and the next run replaces it.
    assert!(run.kill());
    assert!(socket.exists());
    assert!(ctl("pause").exits(2).err.contains("no run is going on with ledger.db"));
    let run = place.runner(RUN).at(&service).start();
    wait_for("the next run", || (ctl("status").run().code == Some(0)).then_some(()));
    assert_eq!(mode(&socket), 0o600);
    ctl("stop").exits(0);
    run.exits(3);
    assert!(!socket.exists());
    assert!(place.runner("ctl other.db pause").exits(2).err.contains("there is no ledger other.db"));
}

fn say(socket: &Path, what: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    // It may have read enough, and closed the connection.
    let _ = stream.write_all(what);
    let mut answer = String::new();
    let _ = BufReader::new(stream).read_line(&mut answer);
    answer
}

/// The socket accepts one short line, and a silent client delays nobody.
#[test]
fn what_is_no_request_is_refused_and_nothing_is_done() {
    let place = Place::with_list(3_000);
    let service = Service::start("latency=20ms");
    let (run, ctl) = start(&place, &service);
    let socket = place.path("ledger.db-ctl");
    for words in
        [&b"pause\n"[..], b"{}\n", b"{\"do\":\"rate\",\"rate\":0}\n", b"{\"do\":\"rate\",\"rate\":1e99}\n", &[0xff; 9]]
    {
        let mut words = words.to_vec();
        words.push(b'\n');
        let answer = say(&socket, &words);
        assert!(answer.starts_with("{\"refused\":") || answer.is_empty(), "{answer}");
    }
    let endless = format!("{{\"do\":\"pause\",\"why\":\"{}\"}}\n", "x".repeat(1 << 20));
    let answer = say(&socket, endless.as_bytes());
    assert!(answer.starts_with("{\"refused\":") || answer.is_empty(), "{answer}");
    // More connections than it serves at once, all silent: they are closed after a while.
    let silent: Vec<UnixStream> = (0..40).map(|_| UnixStream::connect(&socket).unwrap()).collect();
    wait_for("a place", || (ctl("status").run().code == Some(0)).then_some(()));
    drop(silent);
    assert_eq!(acts(&place), []);
    ctl("stop").exits(0);
    run.exits(3);
}

/// A path that is too long for a socket's address is reached through its directory.
#[test]
fn a_ledger_deep_down_has_a_socket_as_well() {
    let place = Place::with_list(5_000);
    let service = Service::start("latency=20ms");
    let deep: PathBuf = std::iter::repeat_n("a-directory-whose-name-is-long", 6).collect();
    std::fs::create_dir_all(place.path(&deep)).unwrap();
    let ledger = deep.join("ledger.db");
    let run = place.runner("--input edits.csv --yes --no-progress --resume").arg(&ledger).at(&service).start();
    service.wait_for_requests(5);
    place.runner("ctl").arg(&ledger).arg("pause").exits(0);
    place.runner("ctl").arg(&ledger).arg("stop").exits(0);
    let stopped = run.exits(3);
    assert_eq!(stopped.err.matches("WARN").count(), 2, "paused, stopped: {stopped:#?}");
}

#[test]
fn something_else_where_the_socket_belongs_is_left_alone_and_told_of() {
    let place = Place::with_list(5);
    let service = Service::start("");
    place.write("ledger.db-ctl", "mine");
    let run = place.runner("--input edits.csv --resume ledger.db --yes --no-progress").at(&service).exits(0);
    assert_eq!(run.err.matches("the run goes on without a socket").count(), 1, "{run:#?}");
    assert_eq!(place.read("ledger.db-ctl"), "mine");
    // What listens there is not a run of the ledger's owner only where another user could put it: this is the same one.
    std::fs::remove_file(place.path("ledger.db-ctl")).unwrap();
    let _listens = UnixListener::bind(place.path("ledger.db-ctl")).unwrap();
    place.runner("--input edits.csv --resume ledger.db --yes --no-progress").at(&service).exits(0);
    assert!(!place.path("ledger.db-ctl").exists());
}

/// In a terminal of 80 columns.
#[test]
fn a_bar_that_is_paused_says_how_to_resume() {
    let place = Place::with_list(300);
    let service = Service::start("latency=20ms");
    let args = format!("--input edits.csv --resume ledger.db --yes --endpoint {}", service.url);
    let run = place.terminal(&args).credentials().start();
    service.wait_for_requests(5);
    place.runner("ctl ledger.db pause").exits(0);
    wait_for("the bar to say so", || {
        run.out().contains(&format!("paused; to resume: {PROGRAM} ctl ledger.db resume")).then_some(())
    });
    place.runner("ctl ledger.db stop").exits(0);
    run.exits(3);
}
