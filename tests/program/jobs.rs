//! The job files of `jobs/`, each with its sample list.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::harness::{FAST, Place, Ran, Summary};
use crate::support::service::Service;

/// Every job file with its sample list.
fn jobs() -> Vec<(String, PathBuf, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let files = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut jobs: Vec<_> = files
        .filter(|path| path.extension().is_some_and(|ending| ending == "toml"))
        .map(|job| {
            let lists = ["csv", "jsonl"].map(|ending| job.with_extension(ending));
            let list = lists.into_iter().find(|list| list.exists()).unwrap();
            (job.file_stem().unwrap().to_str().unwrap().to_owned(), job, list)
        })
        .collect();
    jobs.sort();
    jobs
}

fn all_done(name: &str, ran: &Ran) -> u64 {
    let summary = ran.summary();
    assert!(summary.rows > 0, "{name}");
    assert_eq!(summary, Summary { rows: summary.rows, done: summary.rows, ..Summary::default() }, "{name}");
    summary.rows
}

#[test]
fn every_one_runs_in_the_sandbox() {
    let place = Place::new();
    let jobs = jobs();
    assert!(jobs.len() >= 4, "{jobs:?}");
    for (name, job, list) in jobs {
        let call = place.runner(&format!("--sandbox --yes --json --resume {name}.db {FAST}"));
        let ran = call.arg("--job").arg(job).arg("--input").arg(list).exits(0);
        all_done(&name, &ran);
    }
}

/// Runs one job against a service, and returns the service with the job's list.
fn run(name: &str) -> (Service, String) {
    let (_, job, list) = jobs().into_iter().find(|(known, _, _)| known == name).unwrap();
    let (place, service) = (Place::new(), Service::start("none"));
    let call = place.runner(&format!("--yes --json --resume ledger.db {FAST}")).at(&service);
    let ran = call.arg("--job").arg(job).arg("--input").arg(&list).exits(0);
    assert_eq!(service.stats().edited_once(), all_done(name, &ran));
    (service, std::fs::read_to_string(list).unwrap())
}

fn text(text: &str) -> Value {
    json!([{ "MsgType": "TIMTextElem", "MsgContent": { "Text": text } }])
}

/// Cells of a plain CSV row.
fn cells(list: &str) -> impl Iterator<Item = Vec<&str>> {
    list.lines().skip(1).map(|line| line.split(',').collect())
}

#[test]
fn redact_text_leaves_one_sentence() {
    let (service, list) = run("redact-text");
    let messages = service.messages();
    assert_eq!(messages.len(), cells(&list).count());
    for message in messages {
        assert_eq!(message["MsgBody"], text("[removed] 该消息已删除"));
    }
}

#[test]
fn redact_with_case_number_names_the_case_of_each_row() {
    let (service, list) = run("redact-with-case-number");
    let messages = service.messages();
    for row in cells(&list) {
        let message = messages.iter().find(|message| message["MsgKey"] == row[2]).unwrap();
        assert_eq!(message["MsgBody"], text(&format!("[removed, case {}]", row[3])));
    }
    assert!(messages.iter().any(|message| message["MsgBody"] == text("[removed, case 案-2026-6586]")));
}

#[test]
fn clear_custom_data_clears_it_and_leaves_the_message_alone() {
    let (service, list) = run("clear-custom-data");
    let untouched = {
        let (place, service) = (Place::with_list(1), Service::start("20022=100%"));
        place.runner("--input edits.csv --resume ledger.db").at(&service).exits(1);
        service.messages()[0]["MsgBody"].clone()
    };
    for row in cells(&list) {
        let message = service.message(row[2]);
        assert_eq!(message["CloudCustomData"], "");
        // The sandbox's original text of every message.
        assert_eq!(message["MsgBody"][0]["MsgType"], untouched[0]["MsgType"]);
        assert_eq!(message["edits"], 1);
    }
}

#[test]
fn edits_written_out_go_out_as_they_stand() {
    let (service, list) = run("edits-written-out");
    let messages = service.messages();
    let mut bodies = 0;
    for line in list.lines() {
        let wanted: Value = serde_json::from_str(line).unwrap();
        let held = messages.iter().find(|message| message["MsgKey"] == wanted["MsgKey"]).unwrap();
        for field in ["MsgBody", "CloudCustomData"] {
            if let Some(value) = wanted.get(field) {
                assert_eq!(&held[field], value, "{field} of {}", wanted["MsgKey"]);
                bodies += u32::from(field == "MsgBody");
            }
        }
    }
    assert!(bodies > 10);
}

#[test]
fn a_job_that_wants_a_person_is_not_started_without_one() {
    let (_, job, list) = jobs().into_iter().find(|(name, _, _)| name == "redact-text").unwrap();
    let (place, service) = (Place::new(), Service::start("none"));
    let ran = place.runner("--resume ledger.db").at(&service).arg("--job").arg(job).arg("--input").arg(list).exits(2);
    assert!(ran.err.contains("then say --yes"), "{ran:#?}");
    assert_eq!((service.stats().requests(), place.files().len()), (0, 0));
}
