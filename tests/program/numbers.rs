//! One set of numbers: whoever shows a run at one moment counts the same things, under the same names, out of the same
//! whole.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::harness::{Place, Running, list, wait_for};
use crate::support::service::Service;

const RUN: &str = "--input edits.csv --resume ledger.db --yes --no-progress --json --rate 100 --page 127.0.0.1:0";
const STATES: [&str; 6] = ["messages", "done", "failed", "in_doubt", "in_flight", "not_reached"];

fn totals(object: &Value) -> BTreeMap<&str, u64> {
    let totals = STATES.into_iter().filter_map(|name| Some((name, object[name].as_u64()?)));
    let totals: BTreeMap<_, _> = totals.collect();
    assert_eq!(totals.len(), STATES.len(), "{object:#}");
    totals
}

/// What the run's page answers at this path.
fn fetch(run: &Running, path: &str) -> String {
    let url = format!("{}{path}", run.page());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    runtime.block_on(async { client.get(url).send().await.unwrap().text().await.unwrap() })
}

/// The metrics, by their names with labels.
fn metrics(run: &Running) -> BTreeMap<String, String> {
    let text = fetch(run, "metrics");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Pauses the run, compares what all views say of it, and returns that.
fn compared_at_a_pause(place: &Place, run: &Running) -> Value {
    place.runner("ctl ledger.db pause").exits(0);
    let ctl = || place.runner("ctl ledger.db status --json").exits(0).json();
    wait_for("all answers", || (ctl()["in_flight"] == 0).then_some(()));
    // The speed of the last seconds falls during a pause: all of them are asked while it stays the same.
    let (told, status, report) = wait_for("a steady speed", || {
        let told = ctl();
        let status = place.runner("status ledger.db --json").exits(0).json();
        let report = place.runner("report ledger.db --json").exits(0).json();
        (ctl()["edits_a_second"] == told["edits_a_second"]).then_some((told, status, report))
    });
    let health: Value = serde_json::from_str(&fetch(run, "healthz")).unwrap();
    for other in [&status, &report, &health] {
        assert_eq!(totals(other), totals(&told));
        for name in ["state", "hold", "seconds_left"] {
            assert_eq!(other[name], told[name], "{name}: {other:#} {told:#}");
        }
    }
    for other in [&status, &report] {
        assert_eq!(
            (&other["rate"], &other["edits_a_second"], &other["list_messages"]),
            (&told["rate"], &told["edits_a_second"], &told["messages"])
        );
    }
    assert_eq!((&told["state"], &told["seconds_left"]), (&"paused".into(), &Value::Null));
    let metrics = metrics(run);
    let known = |name: &str| metrics.get(name).map(String::as_str).unwrap_or_default();
    let of = |object: &Value, name: &str| object[name].to_string();
    assert_eq!(known("runner_messages"), of(&told, "messages"));
    for state in &STATES[1..] {
        assert_eq!(known(&format!("runner_messages_by_state{{state=\"{state}\"}}")), of(&told, state), "{state}");
    }
    let this_run = &told["this_run"];
    for (metric, member) in [
        ("runner_edits_total{outcome=\"done\"}", "done"),
        ("runner_edits_total{outcome=\"failed\"}", "failed"),
        ("runner_edits_total{outcome=\"in_doubt\"}", "in_doubt"),
        ("runner_requests_total{call=\"edit\"}", "requests"),
        ("runner_requests_total{call=\"read_back\"}", "read_backs"),
        ("runner_edits_planned", "planned"),
        ("runner_edits_to_read_back", "to_read_back"),
    ] {
        assert_eq!(known(metric), of(this_run, member), "{metric}");
    }
    assert_eq!((known("runner_state{state=\"paused\"}"), known("runner_state{state=\"running\"}")), ("1", "0"));
    assert_eq!(known("runner_time_left_seconds"), "NaN");
    // And what is written for people.
    let (done, messages) = (told["done"].as_u64().unwrap(), told["messages"].as_u64().unwrap());
    let line = place.runner("ctl ledger.db status").exits(0).out;
    assert!(line.starts_with(&format!("paused: {done} of {messages} done")), "{line}");
    let text = place.runner("status ledger.db").exits(0).out;
    assert!(text.contains(&format!("A run is paused: {done} of {messages} edits done so far.")), "{text}");
    let page = fetch(run, "");
    assert!(page.contains(&format!("{done} of {messages} done")), "{page}");
    assert!(page.contains("app 1400000000 at 127.0.0.1:") && page.contains("ledger.db"), "{page}");
    told
}

/// The end of a run, as its summary, the ledger and the report say it.
fn compared_at_the_end(place: &Place, summary: &Value) {
    let status = place.runner("status ledger.db --json").exits(0).json();
    let report = place.runner("report ledger.db --json").exits(0).json();
    assert_eq!((totals(&status), totals(&report)), (totals(summary), totals(summary)));
    assert_eq!(
        (&status["state"], &status["hold"], &status["seconds_left"]),
        (&"over".into(), &Value::Null, &Value::Null)
    );
    let last = status["runs"].as_array().unwrap().last().unwrap();
    for name in ["requests", "read_backs", "slow_downs", "planned"] {
        assert_eq!(last[name], summary["this_run"][name], "{name}");
    }
}

/// A night: interrupted in the middle, gone on with, some edits only, failed ones once more.
#[test]
fn all_views_say_the_same_of_a_run_and_of_those_before_it() {
    let (place, service) = (Place::new(), Service::start("20026=8%,20004=5%,edit.lost-after=3%,latency=5ms..20ms"));
    place.write("edits.csv", list(1..=600, "new"));
    let first = place.runner(RUN).arg("--max-failures").arg("90%").at(&service).start();
    service.wait_for_requests(150);
    let told = compared_at_a_pause(&place, &first);
    assert_eq!(told["messages"], 600);
    // Lost answers are in doubt as soon as they are lost, and not "not reached" until they are read back.
    assert!(told["in_doubt"].as_u64() >= told["this_run"]["to_read_back"].as_u64(), "{told:#}");
    assert!(told["in_doubt"].as_u64() > Some(0), "{told:#}");
    place.runner("ctl ledger.db stop").exits(0);
    let summary = first.exits(3).json();
    compared_at_the_end(&place, &summary);

    // The whole stays the list, also in a run that goes on with it, or that does some of it only.
    let second = place.runner(&format!("{RUN} --max-failures 90% --max-rows 150")).at(&service).start();
    service.wait_for_requests(service.stats().requests() + 50);
    let told = compared_at_a_pause(&place, &second);
    assert!(told["done"].as_u64() > summary["done"].as_u64(), "what earlier runs did is counted: {told:#}");
    assert_eq!((&told["messages"], &told["this_run"]["planned"]), (&600.into(), &150.into()));
    place.runner("ctl ledger.db resume").exits(0);
    let summary = second.exits(1).json();
    compared_at_the_end(&place, &summary);

    service.set_faults("latency=5ms..20ms");
    let third = place.runner(RUN).arg("--retry-failed").at(&service).start();
    service.wait_for_requests(service.stats().requests() + 30);
    compared_at_a_pause(&place, &third);
    place.runner("ctl ledger.db resume").exits(0);
    let summary = third.exits(0).json();
    compared_at_the_end(&place, &summary);
    assert_eq!((&summary["messages"], &summary["done"]), (&600.into(), &600.into()));
}

/// Reading back is told in edits, and adds up; it takes more requests than that.
#[test]
fn what_read_backs_found_adds_up() {
    let (place, service) = (Place::with_list(60), Service::start("edit.lost-after=30%,edit.lost-before=30%"));
    let job = "--input edits.csv --resume ledger.db --max-failures 100% --rate 200";
    let ran = place.runner(job).at(&service).run();
    let read = ran.out.lines().find(|line| line.contains(" read back: ")).unwrap_or_else(|| panic!("{ran:#?}"));
    let numbers: Vec<u64> = read.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [all, edited, not_edited, unclear] = numbers[..] else { panic!("{read}") };
    assert_eq!(all, edited + not_edited + unclear, "{read}");
    assert!(edited > 0 && not_edited > 0, "{read}");
    assert!(ran.out.contains(" requests to edit, ") && ran.out.contains(" requests to read messages"), "{ran:#?}");
}

/// The shares of `status` add up to 100 %.
#[test]
fn the_shares_of_a_status_add_up() {
    let (place, service) = (Place::with_list(7), Service::start("none"));
    place.runner("--input edits.csv --resume ledger.db --max-rows 2").at(&service).run();
    service.set_faults("20026=100%");
    place.runner("--input edits.csv --resume ledger.db --max-rows 2 --max-failures 100%").at(&service).run();
    let text = place.runner("status ledger.db").exits(0).out;
    let shares: Vec<f64> =
        text.lines().filter_map(|line| line.strip_suffix(" %")?.rsplit(' ').next()?.parse().ok()).collect();
    assert_eq!(shares.len(), 3, "{text}");
    let tenths: f64 = shares.iter().map(|share| (share * 10.0).round()).sum();
    assert!((tenths - 1_000.0).abs() < f64::EPSILON, "{text}");
}

/// A run that cannot reach its service says so wherever it is looked at, and that it is over when it is.
#[test]
fn an_outage_is_named_everywhere() {
    let (place, service) = (Place::with_list(3_000), Service::start("latency=5ms"));
    let run = place.runner(RUN).at(&service).start();
    service.wait_for_requests(60);
    let address = service.address().to_owned();
    drop(service);
    let told = wait_for("the outage", || {
        let told = place.runner("ctl ledger.db status --json").exits(0).json();
        (told["state"] == "outage" && told["hold"]["seconds_left"].as_u64() > Some(2)).then_some(told)
    });
    assert_eq!((&told["hold"]["reason"], &told["seconds_left"]), (&"outage".into(), &Value::Null));
    assert!(told["hold"]["since"].is_string() && told["hold"]["error"].is_string(), "{told:#}");
    let line = place.runner("ctl ledger.db status").exits(0).out;
    assert!(line.starts_with("outage: ") && line.contains(" · out of reach "), "{line}");
    let status = place.runner("status ledger.db").exits(0).out;
    assert!(status.contains("The service has been out of reach for "), "{status}");
    assert!(status.contains("the service is out of reach: "), "{status}");
    let chinese = place.runner("status ledger.db --lang zh").exits(0).out;
    assert!(chinese.contains("服务中断") && chinese.contains("连接被拒绝"), "{chinese}");
    let page = fetch(&run, "");
    assert!(page.contains("Service out of reach") && page.contains("The service has been out of reach for "), "{page}");
    assert_eq!(metrics(&run)["runner_state{state=\"outage\"}"], "1");
    let service = Service::again_at(&address, "latency=5ms");
    service.wait_for_requests(20);
    wait_for("the end of the outage", || {
        let told = place.runner("ctl ledger.db status --json").exits(0).json();
        (told["state"] == "running" && told["hold"].is_null() && told["seconds_left"].is_u64()).then_some(())
    });
    place.runner("ctl ledger.db stop").exits(0);
    let ran = run.exits(3);
    assert_eq!(ran.err.matches("WARN the service answers again, after ").count(), 1, "{ran:#?}");
    assert_eq!(place.runner("status ledger.db --json").exits(0).json()["state"], "over");
}
