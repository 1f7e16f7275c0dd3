//! What is particular to a ledger that several runs share: leases, fences, parts, lost answers, late outcomes.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use runner::edit::{Edit, IdDigest, MessageId};
use runner::ledger::{
    Applied, Beat, Beaten, Change, ControlAction, ControlEvent, LedgerAddress, LedgerError, LostCommits, Note,
    PART_ROWS, PostgresAddress, Progress, RunEvent, RunInfo, RunStore, SharedRun, SharedTerms, State, Taken,
    open_control, open_store,
};

use crate::support::model_ledger::{job, run_info};
use crate::support::postgres::{Cluster, Database};

pub(super) fn address(url: &str) -> LedgerAddress {
    LedgerAddress::Postgres(url.parse::<PostgresAddress>().unwrap())
}

pub(super) fn open(url: &str) -> Box<dyn RunStore> {
    open_store(&address(url), &job(), LostCommits::Refused).unwrap()
}

fn info(rows: u64) -> RunInfo {
    let shared = Some(SharedTerms { list: [7; 32], settings: vec![("in-doubt", "verify".to_owned())] });
    RunInfo { input_rows: rows, shared, ..run_info() }
}

pub(super) fn begin(url: &str) -> (Box<dyn RunStore>, SharedRun) {
    begin_with(url, &info(3 * PART_ROWS))
}

fn begin_with(url: &str, info: &RunInfo) -> (Box<dyn RunStore>, SharedRun) {
    let mut store = open(url);
    store.begin_run(info).unwrap();
    let shared = store.share().unwrap();
    assert!(store.share().is_none(), "it is taken once");
    (store, shared)
}

fn edit(key: &str) -> Edit {
    let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() };
    Edit::new(id, None, Some("x".into())).unwrap()
}

pub(super) fn digest(key: &str) -> IdDigest {
    edit(key).id().digest()
}

pub(super) fn change(key: &str, from: Option<State>, to: Option<State>, attempts: u32) -> Change {
    let edit = edit(key);
    let (message, content) = (edit.id().digest(), edit.content_digest());
    let is_answer = from == Some(State::Sending);
    Change {
        edit: Arc::new(edit),
        message,
        content,
        line: 2.into(),
        from,
        to,
        part: Some(0),
        attempts,
        code: (to == Some(State::Done)).then_some(0),
        note: (to == Some(State::InDoubt)).then_some(Note::TimedOut),
        at: 1_000,
        took: is_answer.then(|| Duration::from_millis(70)),
        original: None,
    }
}

pub(super) fn intent(key: &str) -> Change {
    change(key, None, Some(State::Sending), 1)
}

pub(super) fn success(key: &str) -> Change {
    change(key, Some(State::Sending), Some(State::Done), 1)
}

pub(super) async fn commit(store: &mut Box<dyn RunStore>, changes: Vec<Change>) -> Vec<Applied> {
    store.commit(changes, Vec::new()).await.unwrap()
}

pub(super) async fn beat(run: &mut SharedRun, share: u32) -> Beaten {
    run.beats.beat(Beat { share, reads: share, wanted: 200, ..Beat::default() }).await.unwrap()
}

fn rows(database: Database<'_>) -> String {
    database.psql("SELECT msg_key, state, run, attempts FROM runner.edit ORDER BY msg_key")
}

#[tokio::test]
async fn shares_never_pass_the_cap_and_beats_bring_the_others_back() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().url("j");
    let (mut first_store, mut first) = begin(&url);
    let (_second_store, mut second) = begin_with(&url, &RunInfo { rate: 150, ..info(3 * PART_ROWS) });
    let beaten = beat(&mut first, 200).await;
    assert_eq!((beaten.share, beaten.reads, beaten.cap, beaten.is_anew), (150, 150, 150, true), "the lowest rate");
    assert_eq!(beaten.live.iter().map(|lease| (lease.run, lease.beat)).collect::<Vec<_>>(), [(1, 1), (2, 0)]);
    let beaten = beat(&mut second, 75).await;
    assert_eq!((beaten.share, beaten.live[0].share, beaten.live[0].wanted), (0, 150, 200));
    let progress = Progress { done: 7, requests: 9, speed: 3.5, ..Progress::default() };
    let lowered = first.beats.beat(Beat { share: 75, reads: 75, wanted: 200, progress, ..Beat::default() }).await;
    let lowered = lowered.unwrap();
    assert_eq!((lowered.share, lowered.is_anew, lowered.others), (75, false, Progress::default()));
    let beaten = beat(&mut second, 100).await;
    assert_eq!(
        (beaten.share, beaten.others),
        (75, Progress { done: 7, requests: 9, speed: 3.5, ..Progress::default() })
    );

    let hold = Some(Duration::from_secs(3));
    second.beats.beat(Beat { share: 75, reads: 75, hold, ..Beat::default() }).await.unwrap();
    let beaten = beat(&mut first, 75).await;
    assert_eq!((beaten.holds, beaten.hold), (1, Duration::from_secs(3)));
    // A shorter one makes it no shorter, and whoever begins holds for the rest of it.
    let short = Some(Duration::from_millis(10));
    second.beats.beat(Beat { share: 75, reads: 75, hold: short, ..Beat::default() }).await.unwrap();
    let beaten = beat(&mut first, 75).await;
    assert!(beaten.holds == 2 && beaten.hold > Duration::from_secs(1), "{beaten:?}");
    let (mut third_store, mut third) = begin_with(&url, &RunInfo { rate: 150, ..info(3 * PART_ROWS) });
    let beaten = beat(&mut third, 0).await;
    assert!(Duration::ZERO < beaten.hold_left && beaten.hold_left <= Duration::from_secs(3), "{beaten:?}");
    third_store.end_run("finished", "").unwrap();
    first_store.end_run("finished", "").unwrap();
    assert!(matches!(first.beats.beat(Beat::default()).await, Err(LedgerError::LeaseLost { .. })));
    let beaten = beat(&mut second, 150).await;
    assert_eq!((beaten.share, beaten.live.len(), beaten.others.done), (150, 1, 7), "counts only grow");
}

#[tokio::test]
async fn parts_are_dealt_out_once_and_those_of_a_lost_run_again() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let url = database.url("j");
    let (mut first_store, mut first) = begin(&url);
    let (mut second_store, mut second) = begin(&url);
    assert_eq!(first.work.take(1).await.unwrap(), Taken::Parts(vec![0]));
    assert_eq!(second.work.take(1).await.unwrap(), Taken::Parts(vec![1]));
    commit(&mut first_store, vec![intent("1"), intent("2"), intent("3")]).await;
    commit(&mut first_store, vec![success("3")]).await;
    second.work.finish(1, true).await.unwrap();
    assert_eq!(second.work.take(5).await.unwrap(), Taken::Parts(vec![2]));
    second.work.finish(2, false).await.unwrap();
    assert_eq!(second.work.take(5).await.unwrap(), Taken::Wait);

    let watched = beat(&mut second, 100).await.live[0];
    beat(&mut first, 100).await;
    assert!(!second.beats.declare_lost(watched.run, watched.beat).await.unwrap(), "it has beaten since");
    assert!(second.beats.declare_lost(watched.run, watched.beat + 1).await.unwrap());
    assert!(!second.beats.declare_lost(watched.run, watched.beat + 1).await.unwrap());
    assert_eq!(rows(database), "1|in_doubt|1|1\n2|in_doubt|1|1\n3|done|1|1");
    assert_eq!(database.psql("SELECT ended FROM runner.run WHERE run = 1"), "died");
    assert!(matches!(first.work.take(1).await, Err(LedgerError::LeaseLost { .. })));
    let known = first.work.known(vec![digest("2")]).await;
    assert!(matches!(known, Err(LedgerError::LeaseLost { .. })), "others may be sending it: {known:?}");
    assert!(matches!(first.beats.beat(Beat::default()).await, Err(LedgerError::LeaseLost { .. })));
    assert_eq!(second.work.take(5).await.unwrap(), Taken::Parts(vec![0]));
    let known = second.work.known(["9", "2", "3"].map(digest).into()).await.unwrap();
    assert_eq!(known[0], None);
    let doubt = known[1].unwrap();
    assert_eq!((doubt.row.state, doubt.row.note, doubt.lost), (State::InDoubt, Some(Note::ProcessDied), Some(1)));
    assert_eq!(known[2].map(|known| (known.row.state, known.row.code)), Some((State::Done, Some(0))));

    // What it hears now is kept. A success settles its doubt; nothing else does.
    let failure = Change { code: Some(20026), ..change("2", Some(State::Sending), Some(State::Failed), 1) };
    let answers = commit(&mut first_store, vec![success("1"), failure, intent("4")]).await;
    let in_state = |state| Applied::NotYours(Some(state));
    assert_eq!(answers, [in_state(State::Done), in_state(State::InDoubt), Applied::NotYours(None)]);
    assert_eq!(rows(database), "1|done|1|1\n2|in_doubt|1|1\n3|done|1|1");
    assert_eq!(database.psql("SELECT state FROM runner.late ORDER BY state"), "done\nfailed");
    // The run that read it back meanwhile is told so, and its other changes are made.
    let sent_again = change("1", Some(State::InDoubt), Some(State::Sending), 2);
    let answers = commit(&mut second_store, vec![sent_again, intent("4")]).await;
    assert_eq!(answers, [in_state(State::Done), Applied::Yes]);
    let sent_again = change("2", Some(State::InDoubt), Some(State::Sending), 2);
    assert_eq!(commit(&mut second_store, vec![sent_again]).await, [Applied::Yes]);
    assert_eq!(commit(&mut first_store, vec![success("2")]).await, [in_state(State::Sending)]);
    let twice = Change { attempts: 2, ..success("2") };
    assert_eq!(commit(&mut second_store, vec![twice, success("4")]).await, [Applied::Yes, Applied::Yes]);
    second.work.finish(0, true).await.unwrap();
    assert_eq!(second.work.take(5).await.unwrap(), Taken::Over);
    second_store.end_run("finished", "").unwrap();
    drop(first_store);

    // In the next session what is not whole is offered again.
    let (mut store, mut third) = begin(&url);
    assert_eq!(third.work.take(5).await.unwrap(), Taken::Parts(vec![2]));
    third.work.finish(2, true).await.unwrap();
    assert_eq!(third.work.take(5).await.unwrap(), Taken::Over);
    store.end_run("finished", "").unwrap();
    // Another list begins anew.
    let other = RunInfo { shared: Some(SharedTerms { list: [8; 32], settings: Vec::new() }), ..info(PART_ROWS + 1) };
    let (_store, mut fourth) = begin_with(&url, &other);
    assert_eq!(fourth.work.take(5).await.unwrap(), Taken::Parts(vec![0, 1]));
}

/// A copy of a ledger knows of no parts, and a list that has grown has others.
#[tokio::test]
async fn of_a_list_that_is_new_only_those_parts_are_dealt_out_that_are_not_done() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let url = database.url("j");
    let (mut first_store, mut first) = begin_with(&url, &info(300));
    let (mut second_store, mut second) = begin_with(&url, &info(300));
    first.work.pass_over(vec![true, false, true, false, true]).await.unwrap();
    // Whoever comes second has another plan, and changes nothing any more.
    second.work.pass_over(vec![true; 5]).await.unwrap();
    assert_eq!(second.work.take(1).await.unwrap(), Taken::Parts(vec![1]));
    assert_eq!(first.work.take(5).await.unwrap(), Taken::Parts(vec![3]));
    assert_eq!(first.work.take(5).await.unwrap(), Taken::Wait);
    first.work.finish(3, true).await.unwrap();
    second.work.finish(1, false).await.unwrap();
    assert_eq!(first.work.take(5).await.unwrap(), Taken::Over);
    assert_eq!(
        database.psql("SELECT string_agg(state, ',' ORDER BY number) FROM runner.part"),
        "whole,seen,whole,whole,whole"
    );
    first_store.end_run("finished", "").unwrap();
    second_store.end_run("finished", "").unwrap();

    // Once parts were dealt out, it is too late.
    let other = RunInfo { shared: Some(SharedTerms { list: [8; 32], settings: Vec::new() }), ..info(300) };
    let (_store, mut third) = begin_with(&url, &other);
    assert_eq!(third.work.take(1).await.unwrap(), Taken::Parts(vec![0]));
    third.work.pass_over(vec![true; 5]).await.unwrap();
    assert_eq!(third.work.take(9).await.unwrap(), Taken::Parts(vec![1, 2, 3, 4]));
}

#[tokio::test]
async fn another_list_or_other_settings_are_refused_while_others_work() {
    let Some(cluster) = Cluster::shared() else { return };
    let url = cluster.database().url("j");
    let (_store, mut first) = begin(&url);
    let stop = Arc::new(AtomicBool::new(false));
    let beating = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                while !stop.load(Ordering::Relaxed) {
                    beat(&mut first, 10).await;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
            first
        })
    };
    let refused = |terms: SharedTerms| {
        let info = RunInfo { shared: Some(terms), ..info(3 * PART_ROWS) };
        open(&url).begin_run(&info).unwrap_err().to_string()
    };
    let told = refused(SharedTerms { list: [8; 32], settings: vec![("in-doubt", "verify".to_owned())] });
    let named = format!("process {})", std::process::id());
    assert!(told.contains("run 1 (host ") && told.contains(&named), "{told}");
    assert!(told.contains(&"07".repeat(32)) && told.contains(&"08".repeat(32)), "{told}");
    let told = refused(SharedTerms { list: [7; 32], settings: vec![("in-doubt", "retry".to_owned())] });
    assert!(told.contains("--in-doubt verify") && told.contains("--in-doubt retry"), "{told}");
    let control = open_control(&address(&url)).unwrap().unwrap();
    let rate = ControlAction::Rate(NonZeroU32::new(5).unwrap());
    for what in [ControlAction::Pause, rate, ControlAction::Stop] {
        control.act(ControlEvent { what, by: "root by runner ctl".to_owned() }).await.unwrap();
    }
    let error = open(&url).begin_run(&info(3 * PART_ROWS)).unwrap_err();
    assert!(matches!(error, LedgerError::BeingStopped { .. }), "{error}");
    stop.store(true, Ordering::Relaxed);
    let mut first = beating.join().unwrap();
    // A share that is above the cap now is lowered by its run, which sends less first.
    let beaten = beat(&mut first, 100).await;
    let stop = beaten.stop.as_deref();
    assert_eq!((beaten.paused, beaten.cap, beaten.share, stop), (true, 5, 10, Some("root by runner ctl")));

    // It has died: whoever comes next waits until that is sure, and begins a session of its own.
    let other = RunInfo { shared: Some(SharedTerms { list: [8; 32], settings: Vec::new() }), ..info(3 * PART_ROWS) };
    let (mut store, mut second) = begin_with(&url, &other);
    let beaten = beat(&mut second, 100).await;
    assert_eq!((beaten.paused, beaten.stop, beaten.share, beaten.live.len()), (false, None, 100, 1));
    store.end_run("stopped", "").unwrap();
    let event = ControlEvent { what: ControlAction::Stop, by: "root".to_owned() };
    let error = control.act(event).await.unwrap_err();
    assert!(matches!(error, LedgerError::NobodyAtWork { .. }), "{error}");
}

#[tokio::test]
async fn a_run_that_ends_with_requests_under_way_is_lost() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    for (job, stops) in [("a", false), ("b", true)] {
        let (mut store, mut run) = begin(&database.url(job));
        run.work.take(1).await.unwrap();
        commit(&mut store, vec![intent("1"), intent("2"), success("2")]).await;
        if stops {
            store.commit(vec![intent("3")], vec![RunEvent::StoppedAtOnce]).await.unwrap();
            assert_eq!(commit(&mut store, vec![success("1")]).await, [Applied::NotYours(Some(State::Done))]);
        }
        store.end_run("interrupted", "why").unwrap();
        let ended = database.psql(&format!(
            "SELECT l.state, ended FROM runner.run JOIN runner.lease l USING (run) WHERE run = {}",
            run.run
        ));
        assert_eq!(ended, "lost|interrupted");
        assert!(!database.psql("SELECT state FROM runner.edit").contains("sending"));
    }
}

/// Each time its connection is cut somewhere between what was sent and the answer, and each row is exact afterwards.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_was_lost_is_made_once() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let url = database.url("j");
    let (mut store, mut run) = begin(&url);
    assert_eq!(run.work.take(1).await.unwrap(), Taken::Parts(vec![0]));
    let done = Arc::new(AtomicBool::new(false));
    let name = database.name();
    let kills = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || {
            let kill =
                format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'");
            let mut kills = 0_u32;
            while !done.load(Ordering::Relaxed) {
                kills += cluster.psql(&kill).parse::<u32>().unwrap();
                std::thread::sleep(Duration::from_millis(fastrand::u64(5..60)));
            }
            kills
        })
    };
    for batch in 0..60 {
        let key = |number: u32| format!("{batch}-{number}");
        let intents = (0..20).map(|number| intent(&key(number))).collect();
        assert_eq!(commit(&mut store, intents).await, [Applied::Yes; 20]);
        let known = run.work.known(vec![digest(&key(3))]).await.unwrap();
        assert_eq!(known[0].map(|known| known.row.state), Some(State::Sending));
        let outcomes = (0..20).map(|number| success(&key(number))).collect();
        assert_eq!(commit(&mut store, outcomes).await, [Applied::Yes; 20]);
    }
    for part in 1..3 {
        assert_eq!(run.work.take(1).await.unwrap(), Taken::Parts(vec![part]), "each one once");
    }
    let mut beats = 0;
    while beats < 20 {
        match run.beats.beat(Beat { share: 9, ..Beat::default() }).await {
            Ok(beaten) => {
                beats += 1;
                assert_eq!(beaten.share, 9);
            }
            Err(LedgerError::Postgres(error)) => assert!(error.is_passing(), "{error}"),
            Err(error) => panic!("{error}"),
        }
    }
    store.end_run("finished", "").unwrap();
    done.store(true, Ordering::Relaxed);
    let kills = kills.join().unwrap();
    assert!(kills > 10, "only {kills} connections were cut");
    assert_eq!(
        database.psql("SELECT count(*), count(*) FILTER (WHERE state = 'done' AND attempts = 1) FROM runner.edit"),
        "1200|1200"
    );
    assert_eq!(database.psql("SELECT commits, state FROM runner.lease"), "120|ended");
}

#[tokio::test]
async fn a_server_that_is_killed_in_the_middle_loses_nothing_that_was_confirmed() {
    let Some(mut cluster) = Cluster::start() else { return };
    let url = cluster.url("j");
    let (mut store, _run) = begin(&url);
    let done = Arc::new(AtomicBool::new(false));
    let writing = {
        let done = Arc::clone(&done);
        tokio::spawn(async move {
            let mut confirmed = 0;
            while !done.load(Ordering::Relaxed) {
                let keys: Vec<String> = (0..10).map(|number| format!("{confirmed}-{number}")).collect();
                let intents = keys.iter().map(|key| intent(key)).collect();
                assert_eq!(commit(&mut store, intents).await, [Applied::Yes; 10]);
                let outcomes = keys.iter().map(|key| success(key)).collect();
                assert_eq!(commit(&mut store, outcomes).await, [Applied::Yes; 10]);
                confirmed += 10;
            }
            store.end_run("finished", "").unwrap();
            confirmed
        })
    };
    let cluster = tokio::task::spawn_blocking(move || {
        for _ in 0..3 {
            let commits = cluster.psql("SELECT max(commits) + 20 FROM runner.lease");
            let reached = format!("SELECT max(commits) > {commits} FROM runner.lease");
            crate::support::harness::wait_for("commits", || (cluster.psql(&reached) == "t").then_some(()));
            cluster.kill_9();
            cluster.start_again();
        }
        cluster
    });
    let cluster = cluster.await.unwrap();
    done.store(true, Ordering::Relaxed);
    let confirmed = writing.await.unwrap();
    let count = cluster.psql("SELECT count(*), count(*) FILTER (WHERE state = 'done') FROM runner.edit");
    assert_eq!(count, format!("{confirmed}|{confirmed}"));
}
