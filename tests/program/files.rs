//! The program overwrites none of its inputs, and keeps files that it did not write itself.

use crate::support::harness::{FAST, Place, list};
use crate::support::service::Service;

/// Every file below a directory.
fn tree(place: &Place) -> Vec<(String, Vec<u8>)> {
    let find = place.shell("find . -type f -not -name '*-shm' | sort").exits(0).out;
    find.lines().map(|name| (name.to_owned(), std::fs::read(place.path(name)).unwrap())).collect()
}

/// Checks that this shell line is refused, names both uses of the file, and leaves every file unchanged.
fn refuses(place: &Place, service: &Service, line: &str, uses: [&str; 2]) {
    let (files, requests) = (tree(place), service.stats().requests());
    let line = line.replace("runner ", &format!("'{}' ", crate::support::harness::PROGRAM));
    let call = place.shell(&line).credentials().env("TIM_ENDPOINT", &service.url);
    let ran = call.env("TIM_SECRET_KEY", "").env("TIM_SECRET_KEY_FILE", "key.txt").exits(2);
    let says = format!("error: {} and {} would be one file", uses[0], uses[1]);
    assert!(ran.err.contains(&says), "{line}: {says:?} is not in {ran:#?}");
    assert!(tree(place) == files, "{line}: files were changed, made or taken away");
    assert_eq!(service.stats().requests(), requests, "{line}");
}

fn stage() -> (Place, Service) {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    place.write("key.txt", runner::sandbox::SECRET_KEY);
    place.write("job.toml", "name = \"job\"\n");
    place.write("ca.pem", "none");
    std::fs::create_dir(place.path("audit")).unwrap();
    (place, service)
}

/// A list in the directory of `--report` became a bare header.
#[test]
fn a_report_is_never_written_over_the_list() {
    let (place, service) = stage();
    for name in
        ["done.csv", "failed.csv", "in_doubt.csv", "not_reached.csv", "summary.json", "report.html", "manifest.json"]
    {
        let report = format!("the report's {name} (--report)");
        std::fs::rename(place.path("edits.csv"), place.path(format!("audit/{name}"))).unwrap();
        let run = format!("runner --input audit/{name} --input-format csv --resume ledger.db --report");
        refuses(&place, &service, &format!("{run} audit"), [&report, "the list (--input)"]);
        refuses(&place, &service, &format!("{run} audit --dry-run"), [&report, "the list (--input)"]);
        refuses(&place, &service, &format!("{run} audit/../audit"), [&report, "the list (--input)"]);
        refuses(&place, &service, &format!("ln -s audit link; {run} link"), [&report, "the list (--input)"]);
        std::fs::rename(place.path(format!("audit/{name}")), place.path("edits.csv")).unwrap();
        std::fs::remove_file(place.path("link")).unwrap();
        // Through hard links, symbolic links, and standard input.
        let run = "runner --input edits.csv --resume ledger.db --report audit";
        for link in ["ln", "ln -s -r"] {
            place.shell(&format!("{link} edits.csv audit/{name}")).exits(0);
            refuses(&place, &service, run, [&report, "the list (--input)"]);
            let piped = format!("{} < edits.csv", run.replace("edits.csv", "- --input-format csv"));
            refuses(&place, &service, &piped, [&report, "the list (--input)"]);
            std::fs::remove_file(place.path(format!("audit/{name}"))).unwrap();
        }
    }
}

#[test]
fn no_two_files_of_a_run_are_one() {
    let (place, service) = stage();
    let list = "the list (--input)";
    let run = "runner --input edits.csv --job job.toml --ca-cert ca.pem --resume ledger.db";
    let log = "the log (--log-file)";
    for (flags, uses) in [
        ("--log-file edits.csv", [log, list]),
        ("--log-file job.toml", [log, "the job file (--job)"]),
        ("--log-file ca.pem", [log, "the file of --ca-cert"]),
        ("--log-file key.txt", [log, "the file of TIM_SECRET_KEY_FILE"]),
        ("--log-file ledger.db", ["the ledger", log]),
        ("--log-file ledger.db-wal", ["the ledger's -wal file", log]),
        ("--log-file ledger.db-ctl", ["the ledger's -ctl file", log]),
        ("--log-file ledger.failed.csv", ["the list of what failed, beside the ledger", log]),
        ("--log-file ledger.failed.jsonl", ["the list of what failed, beside the ledger", log]),
        ("--report audit --log-file audit/report.html", ["the report's report.html (--report)", log]),
        ("--report audit --log-file ./new/../audit/report.html", ["the report's report.html (--report)", log]),
        (">> edits.csv", ["standard output", list]),
    ] {
        refuses(&place, &service, &format!("{run} {flags}"), uses);
    }
    for (line, uses) in [
        ("runner --input edits.csv --resume edits.csv", ["the ledger", list]),
        ("ln -s edits.csv new.db; runner --input edits.csv --resume new.db", ["the ledger", list]),
        (
            "runner --input audit/failed.csv --resume audit/failed.db --report audit",
            ["the report's failed.csv (--report)", list],
        ),
        ("runner --input a.db-wal --input-format csv --resume a.db", ["the ledger's -wal file", list]),
        ("runner --input a.db-journal --input-format csv --resume a.db", ["the ledger's -journal file", list]),
        (
            "runner --input edits.csv --resume failed.csv --report .",
            ["the ledger", "the report's failed.csv (--report)"],
        ),
        ("runner sandbox --input edits.csv --log-file edits.csv", [log, list]),
    ] {
        refuses(&place, &service, line, uses);
    }
    // Paths that only look alike are accepted; the list of failed rows avoids the input list by itself.
    place.shell("cp edits.csv ledger.failed.csv").exits(0);
    let run = "--input ledger.failed.csv --resume ledger.db --report audit --log-file /dev/stderr --json";
    assert_eq!(place.runner(run).at(&service).exits(0).summary().done, 3);
    assert!(place.path("ledger.failed.csv").exists());
}

#[test]
fn a_report_from_the_ledger_is_never_written_over_what_it_reads() {
    let (place, service) = stage();
    place.shell("mv edits.csv audit/failed.csv").exits(0);
    place.runner("--input audit/failed.csv --job job.toml --resume ledger.db").at(&service).exits(0);
    let page = "the page (--html)";
    for (flags, uses) in [
        ("--html ledger.db", ["the ledger", page]),
        ("--html ledger.db-wal", ["the ledger's -wal file", page]),
        ("--html audit/failed.csv", [page, "the list of the last run"]),
        ("--html job.toml", [page, "the job file of the last run"]),
        ("--csv audit", ["the report's failed.csv (--csv)", "the list of the last run"]),
        ("--csv audit --input audit/failed.csv", ["the report's failed.csv (--csv)", "the list (--input)"]),
    ] {
        refuses(&place, &service, &format!("runner report ledger.db {flags}"), uses);
    }
}

/// The files of a killed run were once taken for older than its end, which is recorded when the next one starts: the
/// rows that were fixed in between were lost.
#[test]
fn rows_that_were_mended_before_a_run_died_are_kept() {
    let (place, service) = (Place::with_list(5), Service::start("20026=100%"));
    let job = format!("--input edits.csv --resume ledger.db --max-failures 100% --in-doubt hold {FAST}");
    place.runner(&job).at(&service).exits(1);
    place.write("ledger.failed.csv", "mended");
    service.set_faults("silent-before=100%");
    let run = place.runner(&format!("{job} --retry-failed --timeout 60s")).at(&service).start();
    // One request goes first, alone.
    service.wait_for_requests(6);
    assert!(run.kill());
    let ran = place.runner(&job).at(&service).exits(1);
    assert_eq!(place.read("ledger.failed.csv~"), "mended");
    assert_eq!(place.read("ledger.failed.csv").lines().count(), 6);
    assert!(
        ran.err.contains("ledger.failed.csv is not as this program has written it; it is kept as ledger.failed.csv~")
    );
    // The files of the last run are unchanged.
    place.runner(&job).at(&service).exits(1);
    assert!(!place.path("ledger.failed.csv~2").exists());
}

/// A file that is in the way is kept under another name; what an earlier report wrote is replaced.
#[test]
fn what_a_report_did_not_write_is_put_aside() {
    let (place, service) = stage();
    place.write("audit/failed.csv", "mine");
    place.write("audit/manifest.json", "mine, too");
    place.write("page.html", "my page");
    let job = "--input edits.csv --resume ledger.db --report audit";
    let ran = place.runner(job).at(&service).exits(0);
    for name in ["failed.csv", "manifest.json"] {
        let told = format!("audit/{name} is not as this program has written it; it is kept as audit/{name}~");
        assert!(ran.err.contains(&told), "{ran:#?}");
    }
    let kept = || (place.read("audit/failed.csv~"), place.read("audit/manifest.json~"));
    assert_eq!(kept(), ("mine".to_owned(), "mine, too".to_owned()));
    place.runner("report ledger.db --html page.html").exits(0);
    assert_eq!(place.read("page.html~"), "my page");
    let names = || place.shell("ls . audit").exits(0).out;
    let before = names();
    for _ in 0..2 {
        assert!(!place.runner(job).at(&service).exits(0).err.contains("is kept as"));
        place.runner("report ledger.db --html page.html --lang zh").exits(0);
        place.runner("report ledger.db --csv audit").exits(0);
    }
    assert_eq!(names(), before);
    place.write("audit/summary.json", "looked over");
    place.write("edits.csv", list(1..=4, "new"));
    place.runner(job).at(&service).exits(0);
    assert_eq!(place.read("audit/summary.json~"), "looked over");
    assert_eq!(names().matches('~').count(), 4);
}
