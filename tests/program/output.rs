//! What is printed, logged and written next to the ledger. What must never be is in `secrets`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use insta::assert_snapshot;
use serde_json::Value;

use crate::support::harness::{FAST, Place, Summary, gzip, list, mode, row};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db";

#[test]
fn the_summary_adds_up_whatever_happened() {
    let (place, service) = (Place::new(), Service::start("unknown=20%,20004=10%,lost-after=10%,20006=5%"));
    place.write("edits.csv", list(1..=90, "new") + &row(5, "new") + &row(6, "new") + &row(5, "new"));
    let job = format!("{JOB} --json --in-doubt hold {FAST}");
    // `summary` checks that the numbers add up, each time.
    let careful = place.runner(&format!("{job} --max-rows 10")).at(&service).run().summary();
    assert_eq!((careful.rows, careful.duplicates, careful.not_reached), (93, 3, 80), "{careful:?}");
    let whole = place.runner(&job).at(&service).exits(1).summary();
    assert!(whole.done > 0 && whole.failed > 0 && whole.in_doubt > 0, "{whole:?}");
    assert_eq!((whole.duplicates, whole.not_reached), (3, 0), "{whole:?}");
    let again = place.runner(&job).at(&service).exits(1).summary();
    assert_eq!(again, whole);
    service.set_faults("none");
    let mended = place.runner(&format!("{job} --retry-failed")).at(&service).exits(1).summary();
    assert_eq!(mended, Summary { done: whole.done + whole.failed, failed: 0, ..whole });
    assert_eq!(service.stats().edited_once(), 90);
}

#[test]
fn the_summary_for_people() {
    let (place, service) = (Place::with_list(12), Service::start("20022=100%"));
    let ran = place.runner(JOB).at(&service).exits(1);
    // Times and heads differ from run to run.
    let steady = |line: &&str| {
        !line.contains("a second") && !["Finished in ", "Log of the ledger: "].iter().any(|own| line.starts_with(own))
    };
    assert_snapshot!(ran.out.lines().filter(steady).collect::<Vec<_>>().join("\n"), @"
      rows         12
      done          0
      failed       12
      in doubt      0
      duplicates    0
      not reached   0
    Answers other than success
           12  20022, there is no such message
    Rows that failed or are in doubt: ledger.failed.csv
    ");
}

/// Exit 2 says that nothing was sent. It was once also the exit when everything was sent and only the summary could
/// not be written; if standard error was closed too, the program panicked.
#[test]
fn the_exit_tells_what_was_done_also_where_nobody_listens() {
    let (place, service) = (Place::with_list(5), Service::start("none"));
    let call = |closed: &str, ledger: &str| {
        let program = env!("CARGO_BIN_EXE_runner");
        place.shell(&format!("'{program}' --input edits.csv --resume {ledger}.db --endpoint {} {closed}", service.url))
    };
    let full = call(">/dev/full", "full").credentials().exits(0);
    assert!(full.err.contains("error: cannot write the summary: No space left on device"), "{full:#?}");
    assert_eq!(service.stats().edited_once(), 5);
    service.set_faults("20022=100%");
    call("--retry-failed -v >/dev/full 2>&-", "closed").credentials().exits(1);
    // The plan could not be shown, so nothing is sent.
    let requests = service.stats().requests();
    call("2>/dev/full", "unseen").credentials().exits(2);
    assert_eq!(service.stats().requests(), requests);
}

/// JSON is UTF-8 and file names need not be: the program once panicked over that, after everything was sent.
#[test]
fn names_of_files_that_are_not_utf_8_are_written_as_json_all_the_same() {
    let (place, service) = (Place::new(), Service::start("20022=100%"));
    let name = |ending: &str| OsStr::from_bytes(&[b"odd-\xff", ending.as_bytes()].concat()).to_owned();
    place.write(name(".csv"), list(1..=3, "new"));
    let call = |flags: &str| {
        let call = place.runner(&format!("--json {flags}")).arg("--input").arg(name(".csv"));
        call.arg("--resume").arg(name(".db")).arg("--report").arg(name("")).at(&service)
    };
    assert_eq!(call("--dry-run").exits(0).json()["input"], "odd-\u{fffd}.csv");
    let ran = call("").exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    assert_eq!(ran.json()["failed_rows"], "odd-\u{fffd}.failed.csv");
    assert_eq!(ran.json()["report"], "odd-\u{fffd}/report.html");
    assert!(place.path("odd-\u{fffd}.failed.csv").exists());
    assert!(place.path(name("")).join("report.html").exists());
    service.set_faults("none");
    assert_eq!(call("--retry-failed").exits(0).summary().done, 3);
}

#[test]
fn a_pipe_gets_a_plain_line_now_and_then() {
    let (place, service) = (Place::with_list(110), Service::start("none"));
    let run = |flags: &str| place.runner(&format!("--input edits.csv {flags} --rate 20")).at(&service).start();
    let (shown, quiet) = (run("--resume shown.db"), run("--resume quiet.db --no-progress"));
    let is_progress = |line: &&str| line.contains(" of 110 done · ") && line.contains("/s");
    let shown = shown.exits(0).err;
    assert!(shown.lines().any(|line| is_progress(&line)), "{shown}");
    assert!(!shown.contains(['\r', '\u{1b}']), "{shown:?}");
    assert_eq!(quiet.exits(0).err.lines().filter(is_progress).count(), 0);
}

#[test]
fn every_line_of_a_json_log_is_json() {
    let (place, service) = (Place::with_list(50), Service::start("60007=3%,20004=10%,lost-after=5%"));
    place.runner(&format!("{JOB} -vv --log-format json --log-file run.log")).at(&service).run();
    let log = place.read("run.log");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() >= 50, "{log}");
    assert!(lines.iter().all(|line| line["level"].is_string() && line["timestamp"].is_string()), "{log}");
}

/// As `logrotate` does in the middle of the night.
#[test]
fn a_log_that_is_moved_away_goes_on_in_a_new_file() {
    let (place, service) = (Place::with_list(400), Service::start("none"));
    let run = place.runner(&format!("{JOB} -vv --rate 100 --log-file run.log")).at(&service).start();
    service.wait_for_requests(20);
    std::fs::rename(place.path("run.log"), place.path("run.log.1")).unwrap();
    let ran = run.exits(0);
    assert_eq!(mode(&place.path("run.log")), 0o600);
    let (old, new) = (place.read("run.log.1"), place.read("run.log"));
    let answered = |log: &str| log.lines().filter(|line| line.contains(" answered line=")).count();
    assert!(answered(&old) >= 10 && answered(&new) >= 10, "{ran:#?}");
    assert_eq!(answered(&old) + answered(&new), 400, "a line was lost, or torn");
}

#[test]
fn a_list_may_come_from_standard_input_or_packed() {
    let (place, service) = (Place::new(), Service::start("none"));
    let piped = place.runner("--input - --input-format csv --resume piped.db --json").at(&service);
    assert_eq!(piped.input(list(1..=7, "new")).exits(0).summary().done, 7);
    place.write("edits.csv.gz", gzip(&list(11..=19, "new")));
    let packed = place.runner("--input edits.csv.gz --resume packed.db --json").at(&service).exits(0);
    assert_eq!(packed.summary().done, 9);
    assert_eq!(service.stats().edited_once(), 16);
}

/// The output of `codes` is checked verbatim next to the table; here, that it is printed.
#[test]
fn codes_are_explained() {
    let place = Place::new();
    let all = place.runner("codes").exits(0).out;
    assert!(all.lines().count() > 70 && all.starts_with("CODE"), "{all}");
    assert_snapshot!(place.runner("codes 20004").exits(0).out, @"
    code     20004
    verdict  retry
    meaning  a network fault inside the service
    advice   Nothing: the edit is tried again; if it persists, look at the service's status page.
    ");
    assert!(place.runner("codes 424242").exits(0).out.starts_with("424242 is not in the table."));
    place.runner("codes soon").exits(2);
}

/// Whatever happens to the run and to the command, the exit code is the run's.
#[test]
fn a_command_is_run_when_the_run_has_ended() {
    let (place, service) = (Place::with_list(3), Service::start("20022=100%"));
    let run = |ledger: &str, command: &str| {
        let call = place.runner(&format!("--input edits.csv --json --resume {ledger}.db --on-finish")).arg(command);
        call.at(&service).env("TIM_SECRET_KEY_OLD", "secret").env("PGPASSWORD", "secret").exits(1)
    };
    let ran = run("good", "cat > told.json; env > told.env; echo said");
    assert_eq!(place.read("told.json"), ran.out);
    assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    assert!(ran.err.ends_with("said\n"), "{ran:#?}");
    let told = place.read("told.env");
    assert!(told.contains("\nRUNNER_EXIT=1\n") && told.contains("\nRUNNER_LEDGER=good.db\n"), "{told}");
    assert!(told.contains("TIM_SDKAPPID=") && !told.contains("TIM_SECRET_KEY") && !told.contains("secret"), "{told}");
    let ran = run("bad", "exit 9");
    assert!(ran.err.ends_with("warning: --on-finish: the command ended with exit status: 9\n"), "{ran:#?}");
    // Without a run there is nothing to notify about.
    place.write("edits.csv", "from_account\n");
    let call = place.runner("--input edits.csv --resume none.db --on-finish").arg("touch none");
    call.at(&service).exits(2);
    assert!(!place.path("none").exists());
}

/// Colours are for a terminal, or a CI system that asks for them.
#[test]
fn colours_are_for_terminals() {
    let (place, service) = (Place::with_list(3), Service::start("20022=100%"));
    let run = |ledger: &str| place.runner(&format!("--input edits.csv --resume {ledger}.db")).at(&service);
    let piped = run("piped").exits(1);
    assert!(!format!("{}{}", piped.out, piped.err).contains('\u{1b}'), "{piped:#?}");
    let coloured = run("coloured").env("CLICOLOR_FORCE", "1").exits(1);
    assert!(coloured.err.contains("\u{1b}[1mPlan for edits.csv\u{1b}[0m"), "{coloured:#?}");
    // Failures are red, zero counts are dim.
    assert!(coloured.out.contains("failed       \u{1b}[1m\u{1b}[31m3\u{1b}[0m"), "{coloured:#?}");
    assert!(coloured.out.contains("done         \u{1b}[2m0\u{1b}[0m"), "{coloured:#?}");
    let plain = run("plain").env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1").exits(1);
    assert!(!format!("{}{}", plain.out, plain.err).contains('\u{1b}'), "{plain:#?}");
}
