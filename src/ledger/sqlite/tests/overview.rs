//! Looking at a ledger, whatever it is in the middle of.

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;
use crate::ledger::{Cause, ControlAction, ControlEvent, Latency, Sample, Totals};

fn totals(overview: &Overview) -> Totals {
    overview.totals(&overview.outcomes().unwrap(), &overview.runs().unwrap()).unwrap()
}

#[tokio::test]
async fn totals_add_up_while_it_is_worked_on_and_after_a_death() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let mut store = SqliteStore::open(&path, &job()).unwrap();
    store.begin_run(&RunInfo { new_edits: 10, ..info() }).unwrap();
    let (ledger, writer) = Ledger::start(store);
    let done = intend(&ledger, "1").await;
    ledger.record(done, settled(State::Done, 0)).await.unwrap();
    let failed = intend(&ledger, "2").await;
    ledger.record(failed, settled(State::Failed, 20026)).await.unwrap();
    let waiting = intend(&ledger, "3").await;
    ledger.record(waiting, settled(State::Waiting, 20004)).await.unwrap();
    let withdrawn = intend(&ledger, "4").await;
    ledger.withdraw(withdrawn).await.unwrap();
    let _under_way = intend(&ledger, "5").await;

    let expected = Totals { messages: 10, done: 1, failed: 1, in_doubt: 0, in_flight: 1, not_reached: 7 };
    let overview = Overview::open(&path).unwrap();
    assert_eq!(overview.worker().unwrap().name(), format!("process {}", std::process::id()));
    assert_eq!(totals(&overview), expected);
    assert_eq!(totals(&Overview::beside_writer(&path).unwrap()), expected);
    drop((ledger, overview));
    writer.await.unwrap();

    // Nobody works on it, and nobody has resumed it yet.
    let overview = Overview::open(&path).unwrap();
    assert_eq!(overview.worker(), None);
    assert_eq!(totals(&overview), Totals { in_doubt: 1, in_flight: 0, ..expected });
    let run = &overview.runs().unwrap()[0];
    assert_eq!((run.run, run.ended.as_deref(), run.duplicates, run.planned), (1, None, Some(0), Some(3)));
    assert_eq!(run.command.as_deref(), Some("runner --input edits.csv --resume ledger.db"));
    let mut found = Vec::new();
    overview
        .edits(State::Failed, None, |edit| {
            found.push(edit);
            Ok::<_, LedgerError>(())
        })
        .unwrap();
    assert_eq!((found[0].msg_key.as_str(), found[0].cause), ("2", Some(Cause::Code(20026))));
}

#[tokio::test]
async fn remarks_are_read_as_they_were_written() {
    let dir = TempDir::new().unwrap();
    let (ledger, writer) = Ledger::start(open(&dir));
    let mut latency = Latency::default();
    latency.add(Duration::from_millis(70));
    latency.add(Duration::from_secs(20));
    let answers = vec![(Cause::Code(20004), 2), (Cause::Note(Note::Http(502)), 7)];
    let first = Sample { at: 1_000, rate: 200, done: 1, requests: 2, ..Sample::default() };
    let second =
        Sample { at: 6_000, rate: 150, done: 900, slow_downs: 1, answers: answers.clone(), latency, ..first.clone() };
    for sample in [&first, &second] {
        ledger.record_event(RunEvent::Sample(Box::new(sample.clone()))).await.unwrap();
    }
    let acts = [
        ControlAction::Pause,
        ControlAction::Resume,
        ControlAction::Rate(NonZeroU32::new(5).unwrap()),
        ControlAction::Stop,
    ]
    .map(|what| ControlEvent { what, by: "root by runner ctl".to_owned() });
    for act in &acts {
        ledger.record_event(RunEvent::ControlEvent(act.clone())).await.unwrap();
    }
    assert!(ledger.commits().count() >= 6);
    drop(ledger);
    writer.await.unwrap();
    let overview = Overview::open(&dir.path().join("ledger.db")).unwrap();
    let samples = overview.samples(1).unwrap();
    assert_eq!(samples[0], first);
    assert_eq!(samples[1], Sample { answers: Vec::new(), latency: Latency::default(), ..second });
    assert_eq!(overview.samples(2).unwrap(), []);
    assert_eq!(overview.answers(None).unwrap(), [answers[1], answers[0]]);
    assert_eq!(overview.answers(Some(2)).unwrap(), []);
    let slots: Vec<_> = overview.latency(None).unwrap().slots().filter(|(_, count)| *count > 0).collect();
    assert_eq!(slots, [(Some(100), 1), (None, 1)]);
    assert_eq!(overview.acts().unwrap().into_iter().map(|(_, _, act)| act).collect::<Vec<_>>(), acts);
}

/// A ledger of the first version can be looked at as it is, and is brought up by the next run.
#[tokio::test]
async fn a_ledger_of_the_first_version_is_looked_at_and_brought_up() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch(include_str!("../0001_first.sql")).unwrap();
    connection
        .execute_batch(
            "INSERT INTO job VALUES (1, 'modify_c2c_msg', 1400000000, 'sandbox', NULL, 5);
             INSERT INTO run VALUES (1, 10, 20, 'finished', '', '0.1.0', 'root', 'host', 7, 'edits.csv', 'ab', 3, 200);
             PRAGMA application_id = 0x52554E52; PRAGMA user_version = 1",
        )
        .unwrap();
    drop(connection);
    let before = std::fs::read(&path).unwrap();
    let overview = Overview::open(&path).unwrap();
    let run = &overview.runs().unwrap()[0];
    assert_eq!(
        (run.ended.as_deref(), run.reason.as_ref(), run.planned, run.command.as_ref()),
        (Some("finished"), None, None, None)
    );
    assert_eq!(totals(&overview), Totals::default());
    assert_eq!((overview.samples(1).unwrap(), overview.acts().unwrap()), (vec![], vec![]));
    assert_eq!((overview.answers(None).unwrap(), overview.latency(None).unwrap().count()), (vec![], 0));
    drop(overview);
    assert!(!SqliteReader::open(&path, &job()).unwrap().unwrap().went_through_proxy().unwrap());
    assert!(before == std::fs::read(&path).unwrap(), "it was changed");

    let (ledger, writer) = Ledger::start(open(&dir));
    ledger.record_event(RunEvent::Sample(Box::default())).await.unwrap();
    drop(ledger);
    writer.await.unwrap();
    let overview = Overview::open(&path).unwrap();
    assert_eq!(overview.runs().unwrap().len(), 2);
    assert_eq!(overview.samples(2).unwrap().len(), 1);
}

#[test]
fn what_is_no_ledger_is_not_looked_at() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("none.db");
    assert!(matches!(Overview::open(&path), Err(LedgerError::Missing { .. })));
    std::fs::write(&path, "edits").unwrap();
    assert!(matches!(Overview::open(&path), Err(LedgerError::NotALedger { .. })));
}

/// That a run went by way of a proxy is known for good: a later one waits for what that one may have kept.
#[test]
fn a_run_by_way_of_a_proxy_is_remembered() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    let proxy = Some("proxy.example.com:3128".to_owned());
    for (of_this_run, ever) in [(None, false), (proxy.clone(), true), (None, true)] {
        let mut store = SqliteStore::open(&path, &job()).unwrap();
        store.begin_run(&RunInfo { proxy: of_this_run, ..info() }).unwrap();
        store.end_run("finished", "").unwrap();
        assert_eq!(SqliteReader::open(&path, &job()).unwrap().unwrap().went_through_proxy().unwrap(), ever);
    }
    let runs = Overview::open(&path).unwrap().runs().unwrap();
    assert_eq!(runs.into_iter().map(|run| run.proxy).collect::<Vec<_>>(), [None, proxy, None]);
}
