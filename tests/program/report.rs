//! `runner status` and `runner report`, during a run, after it, and after it was killed; and `--report` on a run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::harness::{FAST, Place, Ran, Summary, list, mode, row, wait_for};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --json";
const FILES: [&str; 7] =
    ["done.csv", "failed.csv", "in_doubt.csv", "manifest.json", "not_reached.csv", "report.html", "summary.json"];

/// The number of messages in each state, which must add up.
fn totals(ran: &Ran) -> [u64; 6] {
    let json = ran.json();
    let names = ["messages", "done", "failed", "in_doubt", "in_flight", "not_reached"];
    let totals = names.map(|name| json[name].as_u64().unwrap());
    assert_eq!(totals[0], totals[1..].iter().sum::<u64>(), "{ran:#?}");
    totals
}

/// Every file of the directory and, because reading must leave no trace, also what SQLite keeps next to a ledger.
fn names(place: &Place) -> BTreeSet<String> {
    let entries = std::fs::read_dir(place.path("")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Checks the manifest of a report, and returns the message keys of a list in it.
fn verified(place: &Place, directory: &str) -> BTreeMap<String, Vec<String>> {
    let manifest: Value = serde_json::from_str(&place.read(&format!("{directory}/manifest.json"))).unwrap();
    let mut keys = BTreeMap::new();
    for file in manifest["files"].as_array().unwrap() {
        let name = file["name"].as_str().unwrap();
        let bytes = std::fs::read(place.path(directory).join(name)).unwrap();
        let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        assert_eq!(
            (file["bytes"].as_u64(), file["sha256"].as_str()),
            (Some(bytes.len() as u64), Some(&*sha256)),
            "{name}"
        );
        assert_eq!(mode(&place.path(directory).join(name)), 0o600, "{name}");
        if name.strip_suffix(".csv").is_some() {
            let mut rows = csv::Reader::from_reader(&bytes[..]);
            keys.insert(name.to_owned(), rows.records().map(|row| row.unwrap()[2].to_owned()).collect());
        }
    }
    keys
}

fn keys(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(|number| format!("{number}_7_1773188576")).collect()
}

#[test]
fn the_status_beside_a_run_and_after_it() {
    let (place, service) = (Place::with_list(400), Service::start("latency=20ms..60ms"));
    let run = place.runner("--input edits.csv --resume ledger.db --rate 100").at(&service).start();
    let look = || place.runner("status ledger.db --json").exits(0);
    wait_for("the ledger", || place.path("ledger.db-wal").exists().then_some(()));
    let beside = wait_for("a few to be done", || {
        let status = place.runner("status ledger.db --json").run();
        (status.code == Some(0) && status.json()["done"].as_u64() > Some(20)).then_some(status)
    });
    let [messages, done, .., not_reached] = totals(&beside);
    assert_eq!((messages, beside.json()["worker"].is_string()), (400, true), "{beside:#?}");
    assert!(done < 400 && not_reached > 0, "{beside:#?}");
    assert_eq!((&beside.json()["rate"], &beside.json()["resume"]), (&100.into(), &Value::Null));
    let text = place.runner("status ledger.db").exits(0).out;
    assert!(
        text.contains("A run is in progress: ") && text.contains("; the rate is 100") && !text.contains('\u{1b}'),
        "{text}"
    );
    // It watches until the end, and writes only changes.
    let watch = place.runner("status ledger.db --watch").exits(0);
    run.exits(0);
    let blocks: Vec<_> = watch.out.split("ledger.db: app ").skip(1).collect();
    assert!(blocks.len() > 1 && blocks.windows(2).all(|pair| pair[0] != pair[1]), "{watch:#?}");
    assert!(blocks.last().unwrap().contains("All 400 edits are done."), "{watch:#?}");
    let before = (names(&place), place.files());
    let after = look();
    assert_eq!(totals(&after), [400, 400, 0, 0, 0, 0]);
    assert_eq!((&after.json()["worker"], &after.json()["resume"]), (&Value::Null, &Value::Null));
    assert_eq!((names(&place), place.files()), before);
}

#[test]
fn the_status_after_a_run_was_killed() {
    let place = Place::with_list(300);
    let service = Service::with_messages("edit.silent-before=20%", &place);
    let run = place.runner(&format!("{JOB} {FAST} --timeout 60s")).at(&service).start();
    wait_for("some to be done", || {
        let status = place.runner("status ledger.db --json").run();
        (status.code == Some(0) && status.json()["done"].as_u64() > Some(20)).then_some(())
    });
    assert!(run.kill());
    let before = (names(&place), place.files());
    let status = place.runner("status ledger.db --json").exits(0);
    let [messages, _, _, in_doubt, in_flight, _] = totals(&status);
    assert_eq!((messages, in_flight), (300, 0), "{status:#?}");
    assert!(in_doubt > 0, "{status:#?}");
    let text = place.runner("status ledger.db").exits(0).out;
    assert!(text.contains("The last run was cut off"), "{text}");
    let resume = text.lines().find_map(|line| line.strip_prefix("To resume: ")).unwrap().to_owned();
    assert!(resume.contains(JOB) && !resume.contains("cd "), "{resume}");
    // From another directory it names the run's.
    let ledger = place.path("ledger.db");
    let elsewhere = Place::new();
    let text = elsewhere.runner("status").arg(&ledger).exits(0).out;
    assert!(
        text.contains(&format!("To resume: (cd {} && ", place.path("").to_str().unwrap().trim_end_matches('/'))),
        "{text}"
    );
    place.runner("report ledger.db").exits(0);
    assert_eq!((names(&place), place.files()), before);
    // A copy has no index of its log, and reading it creates none.
    let copy = Place::new();
    for name in ["ledger.db", "ledger.db-wal"] {
        copy.write(name, std::fs::read(place.path(name)).unwrap());
    }
    let before = (names(&copy), copy.files());
    assert_eq!(totals(&copy.runner("status ledger.db --json").exits(0)), totals(&status));
    assert_eq!((names(&copy), copy.files()), before);
    service.set_faults("none");
    place.shell(&resume).credentials().exits(0);
    assert_eq!(totals(&place.runner("status ledger.db --json").exits(0))[..3], [300, 300, 0]);
}

#[test]
fn a_report_lists_every_edit_that_is_not_done_and_can_be_verified() {
    let (place, service) = (Place::new(), Service::start("20022=100%"));
    place.write("edits.csv", list(1..=30, "new") + &row(5, "new"));
    place.runner(&format!("{JOB} --max-rows 4")).at(&service).exits(1);
    service.set_faults("none");
    place.runner(&format!("{JOB} --max-rows 6")).at(&service).exits(1);
    place.runner("report ledger.db --csv out").exits(0);
    let found = verified(&place, "out");
    assert_eq!((&found["done.csv"], &found["failed.csv"]), (&keys(5..=10), &keys(1..=4)));
    assert_eq!(found["in_doubt.csv"], keys([]));
    assert_eq!(found["not_reached.csv"], keys(11..=30));
    let there =
        std::fs::read_dir(place.path("out")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let (own, there): (BTreeSet<_>, BTreeSet<_>) = there.partition(|name| name.starts_with('.'));
    assert_eq!((there, own), (FILES.map(str::to_owned).into(), [".manifest.json.sha256".to_owned()].into()));
    place.shell("cd out && sha256sum --check --strict .manifest.json.sha256").exits(0);
    // If a job file gives the content, each of them is a list again.
    place.write("job.toml", "[content]\ntext = \"[removed]\"\n");
    let again = place.runner("--dry-run --json --job job.toml --input out/not_reached.csv").exits(0);
    assert_eq!(again.json()["messages"], 20);
    // The list has moved: the report says so, and removes what an earlier one wrote.
    std::fs::rename(place.path("edits.csv"), place.path("moved.csv")).unwrap();
    let left_out = place.runner("report ledger.db --csv out").exits(0);
    assert!(left_out.err.contains("not_reached.csv is left out: "), "{left_out:#?}");
    let summary: Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    assert_eq!(summary["left_out"][0]["name"], "not_reached.csv");
    assert!(!verified(&place, "out").contains_key("not_reached.csv") && !place.path("out/not_reached.csv").exists());
    place.runner("report ledger.db --csv out --input moved.csv").exits(0);
    assert_eq!(verified(&place, "out")["not_reached.csv"], keys(11..=30));
    // A file that is no longer the list is not taken for it.
    place.write("edits.csv", list(1..=31, "new"));
    let other = place.runner("report ledger.db --csv out").exits(0);
    assert!(other.err.contains("edits.csv is not what it was in the last run"), "{other:#?}");
}

/// What people open in a spreadsheet program is text there, and still the list of the same messages.
#[test]
fn ids_that_begin_a_formula_come_back_as_they_were() {
    let (place, service) = (Place::new(), Service::start("20026=100%"));
    place.write("job.toml", "[input]\nignore = ['@note']\n[content]\ntext = 'gone'\n");
    place.write(
        "edits.csv",
        "from_account,to_account,msg_key,@note\n+8613800138000,@RBT#001,1_2_1773188576,=x\n-5,b,2_2_1773188576,\n\
         a,b,3_2_1773188576,'-)\n",
    );
    let job =
        |list: &str| format!("--job job.toml --input {list} --resume ledger.db --json --max-failures 100% {FAST}");
    let ran = place.runner(&format!("{} --report audit --lang zh", job("edits.csv"))).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    for name in ["ledger.failed.csv", "audit/failed.csv"] {
        let text = place.read(name);
        let plain = text.trim_start_matches('\u{feff}').as_bytes();
        for row in csv::ReaderBuilder::new().has_headers(false).from_reader(plain).records().map(Result::unwrap) {
            assert!(!row.iter().any(|cell| cell.starts_with(['=', '+', '-', '@', '\t', '\r'])), "{row:?}");
        }
        assert!(text.contains("\n'+8613800138000,'@RBT#001,1_2_1773188576,"), "{text}");
    }
    let failed = place.read("ledger.failed.csv");
    let header = "\u{feff}from_account,to_account,msg_key,'@note,_错误码,_原因,_发送次数,_行号,_单引号数\n";
    assert!(failed.starts_with(header), "{failed}");
    // An account of which a spreadsheet program made a number is found out.
    place.write("spoiled.csv", failed.replace("'+86138", "86138"));
    let refused = place.runner(&format!("{} --dry-run", job("spoiled.csv"))).at(&service).exits(2);
    let says = "line 2, column _单引号数: is \"3\", but the row has 2 of the apostrophes";
    assert!(refused.err.contains(says), "{refused:#?}");
    // They fail again, and the copy of the copy is read too.
    for name in ["ledger.failed.csv", "ledger.failed-2.csv"] {
        let ran = place.runner(&format!("{} --retry-failed", job(name))).at(&service).exits(1);
        assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() }, "{name}");
    }
    service.set_faults("none");
    let ran = place.runner(&format!("{} --retry-failed", job("audit/failed.csv"))).at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 3, done: 3, ..Summary::default() });
    assert_eq!(totals(&place.runner("status ledger.db --json").exits(0)), [3, 3, 0, 0, 0, 0]);
}

#[test]
fn a_run_writes_its_report() {
    let (place, service) = (Place::with_list(20), Service::start("20022=100%"));
    let job = format!("{JOB} --max-rows 5 --report out/night --lang zh");
    let ran = place.runner(&job).at(&service).exits(1);
    assert_eq!(
        (&ran.json()["report"], &ran.json()["failed_rows"]),
        (&"out/night/report.html".into(), &"ledger.failed.csv".into())
    );
    let found = verified(&place, "out/night");
    assert_eq!((&found["failed.csv"], &found["not_reached.csv"]), (&keys(1..=5), &keys(6..=20)));
    let page = place.read("out/night/report.html");
    assert!(page.contains("<html lang=\"zh-CN\">") && page.contains("20 条编辑中有 5 条失败，15 条未处理。"), "{page}");
    // With the mark by which a spreadsheet program in Chinese knows the encoding; they are lists all the same.
    for name in ["out/night/done.csv", "out/night/failed.csv", "out/night/not_reached.csv", "ledger.failed.csv"] {
        assert!(place.read(name).starts_with("\u{feff}from_account,"), "{name}");
    }
    let again = place.runner("--dry-run --json --input ledger.failed.csv").exits(0);
    assert_eq!(again.json()["messages"], 5);
    service.set_faults("none");
    place.runner(&format!("{JOB} --report out/night")).at(&service).exits(1);
    assert_eq!(verified(&place, "out/night")["not_reached.csv"], keys([]));
    assert!(place.read("out/night/done.csv").starts_with("from_account,"));
}

/// What happened does not change because nobody can read about it.
#[test]
fn a_report_that_cannot_be_written_changes_nothing_of_the_run() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    place.write("taken", "a file, no directory");
    let ran = place.runner(&format!("{JOB} --report taken")).at(&service).exits(0);
    assert!(ran.err.contains("error: cannot write the report: cannot write taken/"), "{ran:#?}");
    assert_eq!((ran.summary().done, &ran.json()["report"]), (3, &Value::Null));
    place.runner("report ledger.db --html taken/page.html").exits(2);
    place.runner("report ledger.db --html page.html").exits(0);
    assert!(place.read("page.html").contains("All 3 edits are done."));
    assert_eq!(place.runner("report ledger.db --json").exits(0).json()["done"], 3);
    assert!(place.runner("report ledger.db").exits(0).out.contains("All 3 edits are done."));
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let place = Place::new();
    place.write("edits.csv", "no ledger");
    for command in
        ["status", "report", "status --watch", "report --json", "report --csv out", "report --html page.html"]
    {
        for ledger in ["edits.csv", "nothing.db"] {
            let ran = place.runner(command).arg(ledger).exits(2);
            assert!(ran.err.starts_with("error: ") && ran.out.is_empty(), "{ran:#?}");
        }
    }
    assert_eq!(names(&place), BTreeSet::from(["edits.csv".to_owned()]));
}

/// Each run records its signer and its job file, and a report with content other than what was sent says so.
#[test]
fn a_report_with_another_content_than_was_sent_says_so() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("edits.csv", "from_account,to_account,msg_key\na,b,1_7_1773188576\na,b,2_7_1773188576\n");
    place.write("job.toml", "[content]\ntext = \"[removed]\"\n");
    place
        .runner(&format!("--job job.toml --input edits.csv --resume ledger.db --max-rows 1 {FAST}"))
        .at(&service)
        .exits(0);
    let run = place.runner("report ledger.db --json").exits(0).json()["runs"][0].clone();
    let sha256 =
        Sha256::digest(place.read("job.toml")).iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    assert_eq!((&run["identifier"], &run["job_sha256"]), (&"administrator".into(), &sha256.into()), "{run:#}");
    assert!(place.runner("report ledger.db").exits(0).out.contains("(administrator)"));

    let report = "report ledger.db --csv audit --input edits.csv --job job.toml";
    assert!(!place.runner(report).exits(0).err.contains("warning"));
    place.write("job.toml", "[content]\ntext = \"[gone]\"\n");
    let other = place.runner(report).exits(0);
    let says = "the list gives 1 message another content than was sent (the first in line 2)";
    assert!(other.err.contains(says), "{other:#?}");
    let left_out = place.runner("report ledger.db --csv audit").exits(0);
    assert!(left_out.err.contains("job.toml is not what it was in the last run"), "{left_out:#?}");
}
