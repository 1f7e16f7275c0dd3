//! What happens to edits, and to the run, if the service does not simply accept them.

use std::time::{Duration, SystemTime};

use runner::api::usersig::Signer;
use runner::sandbox::{IDENTIFIER, SDKAPPID, SECRET_KEY};
use secrecy::ExposeSecret as _;
use serde_json::Value;

use crate::support::harness::{FAST, Place, Summary, list, wait_for};
use crate::support::service::Service;

const JOB: &str = "--input edits.csv --resume ledger.db --json";

#[test]
fn passing_faults_are_tried_again_until_all_is_done() {
    let (place, service) = (Place::with_list(30), Service::start("20004=34%,20005=33%,91000=33%"));
    let run = place.runner(&format!("{JOB} {FAST}")).at(&service).start();
    service.wait_for_requests(30);
    service.set_faults("none");
    let ran = run.exits(0);
    assert_eq!(ran.summary(), Summary { rows: 30, done: 30, ..Summary::default() });
    let refused = [20004, 20005, 91000].map(|code| ran.answers(code));
    assert!(refused.iter().all(|times| *times > 0), "{ran:#?}");
    assert_eq!(service.stats().edited_once(), 30);
    assert_eq!(service.stats().requests(), 30 + refused.iter().sum::<u64>());
    assert_eq!(ran.json()["this_run"]["requests"], service.stats().requests());
}

#[test]
fn attempts_run_out() {
    let (place, service) = (Place::with_list(3), Service::start("20004=100%"));
    let ran = place.runner(&format!("{JOB} --max-attempts 2")).at(&service).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 3, failed: 3, ..Summary::default() });
    assert_eq!(service.stats().requests(), 6);
    assert!(place.read("ledger.failed.csv").contains(",20004,a network fault inside the service,2,2,\n"));
}

#[test]
fn what_the_service_refuses_for_good_is_listed_and_taken_up_again_when_asked_for() {
    let (place, service) = (Place::with_list(40), Service::start("unknown=30%"));
    let ran = place.runner(&format!("{JOB} {FAST}")).at(&service).exits(1);
    let Summary { done, failed, .. } = ran.summary();
    assert_eq!(ran.summary(), Summary { rows: 40, done, failed, ..Summary::default() });
    assert!(failed > 0 && done > 0, "{ran:#?}");
    assert_eq!(ran.answers(20026), failed);
    assert_eq!(ran.json()["failed_rows"], "ledger.failed.csv");

    let rows = place.read("ledger.failed.csv");
    let (header, rest) = rows.split_once('\n').unwrap();
    assert_eq!(header, "from_account,to_account,msg_key,msg_body,_code,_meaning,_attempts,_line,_apostrophes");
    assert_eq!(rest.lines().count() as u64, failed);
    let first = rest.lines().next().unwrap();
    let number: u32 = first.split(['_', ',']).nth(1).unwrap().parse().unwrap();
    let as_it_was = list([number], "new").lines().nth(1).unwrap().to_owned();
    assert_eq!(first, format!("{as_it_was},20026,there is no such message,1,{},", number + 1));

    // Left alone without a word, and taken up with it, by the failed rows alone.
    let requests = service.stats().requests();
    assert_eq!(place.runner(JOB).at(&service).exits(1).summary(), ran.summary());
    assert_eq!(service.stats().requests(), requests);
    service.set_faults("none");
    let job = format!("--input ledger.failed.csv --resume ledger.db --json --retry-failed {FAST}");
    let retried = place.runner(&job).at(&service).exits(0);
    assert_eq!(retried.summary(), Summary { rows: failed, done: failed, ..Summary::default() });

    // The whole list again: nothing is left to do, and what tells of failures goes.
    assert!(place.path("ledger.failed.csv").exists(), "it was the list of that run");
    place.runner(JOB).at(&service).exits(0);
    assert!(!place.path("ledger.failed.csv").exists());
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (40, requests + failed));
}

#[test]
fn failed_rows_of_jsonl_are_jsonl() {
    let (place, service) = (Place::new(), Service::start("20022=100%"));
    let line = r#"{"From_Account": "a", "To_Account": "b", "MsgKey": "1_2_3", "CloudCustomData": "1.50"}"#;
    place.write("edits.jsonl", format!("{line}\n"));
    let job = "--input edits.jsonl --resume ledger.db --json";
    let ran = place.runner(job).at(&service).exits(1);
    assert_eq!(ran.json()["failed_rows"], "ledger.failed.jsonl");
    let row: Value = serde_json::from_str(&place.read("ledger.failed.jsonl")).unwrap();
    assert_eq!((&row["MsgKey"], &row["CloudCustomData"]), (&"1_2_3".into(), &"1.50".into()));
    assert_eq!((&row["_code"], &row["_attempts"], &row["_line"]), (&20022.into(), &1.into(), &1.into()));
    service.set_faults("none");
    place.runner("--input ledger.failed.jsonl --resume ledger.db --retry-failed").at(&service).exits(0);
}

/// The service asks to slow down: everything does, and all edits get done.
fn check_slow_down(fault: &str, code: impl Into<Value>) {
    let (place, service) = (Place::with_list(60), Service::start(&format!("{fault}=5%")));
    let ran = place.runner(JOB).at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 60, done: 60, ..Summary::default() }, "{fault}");
    assert!(ran.answers(code) > 0 && ran.json()["this_run"]["slow_downs"].as_u64().unwrap() > 0, "{ran:#?}");
    assert!(ran.err.contains("WARN slowed down ("), "{ran:#?}");
    assert_eq!(service.stats().edited_once(), 60, "{fault}");
}

#[test]
fn the_services_limit_slows_the_run_down() {
    check_slow_down("60007", 60007);
}

#[test]
fn http_429_slows_the_run_down() {
    check_slow_down("http-429", "429");
}

/// The service refuses the job as a whole: exit 3 with what it means and what to do, nothing is edited, and once that
/// is mended the same ledger serves.
#[test]
fn a_refusal_of_the_job_stops_it_and_mending_it_resumes_it() {
    let (place, service) = (Place::with_list(30), Service::start("none"));
    let mut requests = 0;
    let mut check = |name: &str, value: &str, code: &str, advice: &str| {
        let ran = place.runner(JOB).at(&service).env(name, value).exits(3);
        let summary = ran.summary();
        assert_eq!(summary, Summary { rows: 30, not_reached: 30, ..Summary::default() });
        let reason = ran.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains(code) && reason.contains(advice), "{reason}");
        assert!(reason.contains("is line 2: MsgKey"), "{reason}");
        // The service locks out accounts that repeat it.
        requests += 1;
        assert_eq!((service.stats().number("edits"), service.stats().requests()), (0, requests));
    };
    check("TIM_SECRET_KEY", "not-the-key", "70009, the UserSig does not match the app's key", "Check that the secret");
    check("TIM_SDKAPPID", "1400000001", "70020, the sdkappid does not exist here", "Check --region");
    check("TIM_IDENTIFIER", "guest", "60010, the call needs an admin account", "Make the identifier an app admin");
    let ran = place.runner(JOB).at(&service).exits(0);
    assert_eq!((ran.summary().done, service.stats().edited_once()), (30, 30));
}

/// An expired signature is renewed once. A second refusal is final.
#[test]
fn a_signature_that_ran_out_is_made_anew_where_the_key_is_held() {
    let (place, service) = (Place::with_list(1), Service::start("70001=100%"));
    let signer = Signer::new(SDKAPPID, IDENTIFIER.into(), SECRET_KEY.into());
    let usersig = signer.sign(SystemTime::now()).text.expose_secret().to_owned();
    let check = |with_key: bool, requests: u64| {
        let call = place.runner(JOB).at(&service);
        let call = if with_key { call } else { call.env("TIM_SECRET_KEY", "").env("TIM_USERSIG", &usersig) };
        let ran = call.exits(3);
        assert_eq!(ran.json()["this_run"]["requests"], requests);
        let reason = ran.json()["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("70001, the UserSig has expired. Check this machine's clock"), "{reason}");
    };
    check(false, 1);
    check(true, 2);
    service.set_faults("none");
    let call = place.runner(JOB).at(&service).env("TIM_SECRET_KEY", "").env("TIM_USERSIG", &usersig);
    assert_eq!((call.exits(0).summary().done, service.stats().edited_once()), (1, 1));
}

/// It expires in the middle of the run, which stops before the service has to refuse it.
#[test]
fn a_ready_made_signature_is_not_used_past_its_end() {
    let (place, service) = (Place::with_list(2_000), Service::start("none"));
    let signer = Signer::new(SDKAPPID, IDENTIFIER.into(), SECRET_KEY.into()).valid_for(Duration::from_secs(6));
    let usersig = signer.sign(SystemTime::now()).text.expose_secret().to_owned();
    let call = place.runner(JOB).at(&service).env("TIM_SECRET_KEY", "").env("TIM_USERSIG", &usersig);
    let ran = call.exits(3);
    assert!(ran.json()["reason"].as_str().unwrap().starts_with("TIM_USERSIG has run out; "), "{ran:#?}");
    let summary = ran.summary();
    assert_eq!(
        summary,
        Summary { rows: 2_000, done: summary.done, not_reached: 2_000 - summary.done, ..Summary::default() }
    );
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (summary.done, summary.done));
    assert_eq!(place.runner(&format!("{JOB} {FAST}")).at(&service).exits(0).summary().done, 2_000);
}

/// The file is read when the program starts, and again when a signature made with its key is refused.
#[test]
fn a_key_that_is_changed_in_its_file_is_taken_up() {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    place.write("key.txt", "the-old-key\n");
    let call = place.runner(JOB).at(&service).env("TIM_SECRET_KEY", "").env("TIM_SECRET_KEY_FILE", "key.txt");
    let run = call.start();
    // The first request goes out a second after the plan.
    wait_for("the plan", || run.err().contains("Plan for").then_some(()));
    place.write("key.txt", format!("{SECRET_KEY}\n"));
    let ran = run.exits(0);
    assert_eq!(ran.summary(), Summary { rows: 20, done: 20, ..Summary::default() });
    assert!(ran.answers(70_009) > 0, "{ran:#?}");
    assert_eq!(service.stats().edited_once(), 20);
}

/// As Windows writes it, and as people copy it: with a byte order mark, in UTF-16, in quotation marks.
#[test]
fn a_key_file_is_read_as_it_is_meant() {
    let (place, service) = (Place::with_list(3), Service::start("none"));
    let utf16 = format!("\u{feff}{SECRET_KEY}\r\n").encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    for (rows, key) in [format!("\u{feff}{SECRET_KEY}\n").into_bytes(), utf16, format!("\"{SECRET_KEY}\"\r\n").into()]
        .into_iter()
        .enumerate()
    {
        std::fs::write(place.path("key.txt"), key).unwrap();
        let call = place.runner(&format!("{JOB} --max-rows 1")).at(&service).env("TIM_SECRET_KEY", "");
        let ran = call.env("TIM_SECRET_KEY_FILE", "key.txt").exits(0);
        assert_eq!(ran.summary().done, rows as u64 + 1, "{ran:#?}");
    }
    assert_eq!((service.stats().edited_once(), service.stats().requests()), (3, 3));
}

/// As with `<(pass show key)`: a pipe yields its key once. Reading it again would wait for a writer forever.
#[test]
fn a_key_that_comes_through_a_pipe_is_read_once() {
    // The first causes a new signature, for which a key file is read again; the second could be another key's
    // signature.
    for (fault, requests) in [("70001", 2), ("70009", 1)] {
        let (place, service) = (Place::with_list(1), Service::start(&format!("{fault}=100%")));
        let program = env!("CARGO_BIN_EXE_runner");
        let line =
            format!("/usr/bin/mkfifo key; echo {SECRET_KEY} >key & exec '{program}' {JOB} --endpoint {}", service.url);
        let call = place.shell(&line).credentials().env("TIM_SECRET_KEY", "").env("TIM_SECRET_KEY_FILE", "key");
        let ran = call.exits(3);
        assert!(ran.json()["reason"].as_str().unwrap().contains(fault), "{ran:#?}");
        assert_eq!(ran.json()["this_run"]["requests"], requests);
    }
}

/// Ten seconds must pass first: a webhook server that restarts is no reason to stop.
#[test]
fn nothing_but_90992_points_to_the_customers_own_server() {
    let (place, service) = (Place::with_list(60), Service::start("90992=100%"));
    let ran = place.runner(&format!("{JOB} {FAST} --max-attempts 100")).at(&service).exits(3);
    assert!(ran.json()["reason"].as_str().unwrap().contains("your own webhook server fails"), "{ran:#?}");
    assert_eq!(ran.summary(), Summary { rows: 60, not_reached: 60, ..Summary::default() });
    service.set_faults("none");
    assert_eq!(place.runner(&format!("{JOB} {FAST}")).at(&service).exits(0).summary().done, 60);
}

/// A failed edit did not take effect, so it may get other content when it is retried, and only then.
#[test]
fn a_failed_edit_may_be_mended() {
    let (place, service) = (Place::with_list(3), Service::start("80001=100%"));
    assert_eq!(place.runner(JOB).at(&service).exits(1).answers(80001), 3);
    service.set_faults("none");
    place.write("edits.csv", list(1..=3, "milder"));
    let refused = place.runner(JOB).at(&service).exits(2);
    assert!(refused.err.contains("line 2: the ledger has this message with another content (failed)"), "{refused:#?}");
    place.runner(&format!("{JOB} --retry-failed")).at(&service).exits(0);
    assert_eq!(service.message("2_7_1773188576")["MsgBody"][0]["MsgContent"]["Text"], "milder");
    assert_eq!(service.stats().edited_once(), 3);
}

#[test]
fn nothing_but_unknown_codes_stops_the_run() {
    let (place, service) = (Place::with_list(60), Service::start("424242=100%"));
    let ran = place.runner(&format!("{JOB} --rate 100 --concurrency 1")).at(&service).exits(3);
    assert!(ran.json()["reason"].as_str().unwrap().contains("424242"), "{ran:#?}");
    let summary = ran.summary();
    assert_eq!(summary, Summary { rows: 60, failed: 20, not_reached: 40, ..Summary::default() });
    assert!(place.read("ledger.failed.csv").contains(",424242,"));
}

#[test]
fn too_many_failures_stop_the_run() {
    let (place, service) = (Place::with_list(60), Service::start("20022=100%"));
    let job = format!("{JOB} --concurrency 1 --max-failures 5");
    let ran = place.runner(&job).at(&service).exits(3);
    assert_eq!(ran.summary(), Summary { rows: 60, failed: 6, not_reached: 54, ..Summary::default() });
    assert!(ran.json()["reason"].as_str().unwrap().contains("--max-failures 5"), "{ran:#?}");
    service.set_faults("none");
    let resumed = place.runner(&format!("{JOB} --retry-failed")).at(&service).exits(0);
    assert_eq!(resumed.summary(), Summary { rows: 60, done: 60, ..Summary::default() });
}

/// Of two thousand edits the first half went well, then everything fails: the share of all is far from the limit, the
/// share of the last thousand is not.
#[test]
fn what_begins_to_fail_in_the_middle_stops_the_run() {
    let (place, service) = (Place::with_list(6_000), Service::start("none"));
    let run = place.runner(&format!("{JOB} --rate 1000 --max-rate 1000")).at(&service).start();
    service.wait_for_requests(3_000);
    service.set_faults("20022=100%");
    let ran = run.exits(3);
    let Summary { done, failed, .. } = ran.summary();
    assert!(ran.json()["reason"].as_str().unwrap().contains("201 of the last 1000 edits failed"), "{ran:#?}");
    assert!(done >= 3_000 && failed < 600, "{ran:#?}");
}

#[test]
fn one_row_is_one_request() {
    let (place, service) = (Place::with_list(9), Service::start("none"));
    let ran = place.runner(&format!("{JOB} --max-rows 1")).at(&service).exits(0);
    assert_eq!(ran.summary(), Summary { rows: 9, done: 1, not_reached: 8, ..Summary::default() });
    assert_eq!((service.stats().requests(), service.stats().edited_once()), (1, 1));
    let text = place.runner("--input edits.csv --resume ledger.db --max-rows 1").at(&service).exits(0);
    assert!(text.out.contains("not reached  7"), "{text:#?}");
}

#[test]
fn the_sandbox_inside_misbehaves_as_it_is_told() {
    let place = Place::with_list(30);
    let ran = place.runner(&format!("{JOB} --sandbox --faults 20022=100% {FAST}")).exits(1);
    assert_eq!(ran.summary(), Summary { rows: 30, failed: 30, ..Summary::default() });
}
