//! A run that stops while edits are in doubt.

use std::sync::Arc;
use std::time::Duration;

use runner::api::Outcome;
use runner::api::history::{HistoryMessage, HistoryPage};
use runner::edit::MessageId;
use runner::ledger::{ControlAction, ControlEvent, Note, RunEvent, State};
use runner::run::{Control, InDoubt, RunEnd, StopReason, Tally, UnderWay};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::scripted::{RATE, Reply, Script, Session, refused, reply};

/// A lookup can settle an edit no sooner than 5 s after its answer was lost, and the run waits at most 10 s longer.
const DUE: Duration = Duration::from_secs(5);
const MOST: Duration = Duration::from_secs(15);
const NEARLY_MOST: Duration = Duration::from_millis(14_500);
/// What is in flight and what has to be written take less than that.
const A_MOMENT: Duration = Duration::from_millis(500);

/// The answer to one edit is lost.
fn loses_one(line: u64, sending: u32, _: Duration) -> Reply {
    let lost = line == 7 && sending == 0;
    reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
}

/// A run in which one answer is lost at once, and whose message then holds `data`.
fn session(script: Script, data: &'static str) -> Session {
    let mut session = Session::new(2_000, script);
    session.in_doubt = InDoubt::Verify;
    session.service.history = Arc::new(move |_, _| {
        let [from_account, to_account, msg_key] = ["a", "b", "5_1_1773188576"].map(str::to_owned);
        let id = MessageId { from_account, to_account, msg_key };
        let held = HistoryMessage { id, recalled: false, msg_body: None, cloud_custom_data: Some(data.to_owned()) };
        Ok(HistoryPage { complete: true, messages: vec![held], ..HistoryPage::default() })
    });
    session
}

fn start(session: Session) -> (Arc<Session>, Control, JoinHandle<(Tally, RunEnd)>) {
    let session = Arc::new(session);
    let (control, orders) = Control::new(RATE, CancellationToken::new());
    let run = Arc::clone(&session);
    (session, control, tokio::spawn(async move { run.run_with(orders).await }))
}

async fn tell(control: &Control, what: ControlAction) {
    control.tell(ControlEvent { what, by: "the operator".to_owned() }).await.unwrap();
}

/// Interrupts the run after a second. Returns how long it took from then on.
async fn interrupt(session: &Session) -> (Tally, RunEnd, Duration) {
    let stop = session.stop.clone();
    let stopping = tokio::spawn(async move {
        sleep(Duration::from_secs(1)).await;
        stop.cancel();
        Instant::now()
    });
    let (tally, ended) = session.run().await;
    (tally, ended, stopping.await.unwrap().elapsed())
}

#[tokio::test(start_paused = true)]
async fn what_came_into_doubt_is_settled_before_the_run_ends() {
    let session = session(loses_one, "x");
    let (tally, ended, took) = interrupt(&session).await;
    assert!(matches!(ended, RunEnd::Interrupted), "{ended:?}");
    assert_eq!((tally.in_doubt, tally.found_edited, session.memory.count(State::InDoubt)), (0, 1, 0));
    assert!(took < DUE, "{took:?}");
    let sent = session.service.sendings();
    assert!((150..=250).contains(&sent), "nothing was sent after the stop: {sent}");
}

/// It is not sent any more, and the next run finds it unchanged.
#[tokio::test(start_paused = true)]
async fn what_was_not_edited_is_left_to_the_next_run() {
    let mut session = session(loses_one, "as it was");
    let (tally, _, took) = interrupt(&session).await;
    assert_eq!((tally.in_doubt, tally.found_not_edited, session.memory.count(State::InDoubt)), (1, 1, 1));
    assert!(took < DUE, "{took:?}");
    assert_eq!(session.service.sendings.lock().unwrap()[&7], 1);
    session.stop = CancellationToken::new();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.in_doubt, session.memory.count(State::Done)), (0, 2_000));
    assert_eq!(session.service.sendings(), 2_001);
    assert_eq!(session.service.sendings.lock().unwrap()[&7], 2);
}

/// Meanwhile the run can still be watched and controlled.
#[tokio::test(start_paused = true)]
async fn looks_that_are_never_answered_hold_it_up_for_so_long_and_no_longer() {
    let mut session = session(loses_one, "x");
    session.service.lookup_takes = Duration::from_hours(1);
    let (session, control, run) = start(session);
    sleep(Duration::from_secs(1)).await;
    tell(&control, ControlAction::Stop).await;
    let stopped = Instant::now();
    sleep(NEARLY_MOST).await;
    assert!(!run.is_finished());
    timeout(A_MOMENT, tell(&control, ControlAction::Rate(RATE))).await.unwrap();
    let (tally, ended) = run.await.unwrap();
    assert!(matches!(ended, RunEnd::Stopped(StopReason::Operator { .. })), "{ended:?}");
    assert!((MOST..MOST + A_MOMENT).contains(&stopped.elapsed()), "{:?}", stopped.elapsed());
    assert_eq!((tally.in_doubt, session.memory.only(State::InDoubt).note), (1, Some(Note::ConnectionLost)));
    let remarks = session.memory.events();
    let samples = remarks.iter().filter(|record_event| matches!(record_event, RunEvent::Sample(_))).count();
    assert!(samples >= 4, "one every 5 s: {samples}");
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_again_it_does_not_wait() {
    // Before its lookup is due, and while it is under way.
    for after in [Duration::from_secs(1), Duration::from_secs(7)] {
        let mut session = session(loses_one, "x");
        session.service.lookup_takes = Duration::from_hours(1);
        let (session, control, run) = start(session);
        sleep(Duration::from_secs(1)).await;
        tell(&control, ControlAction::Stop).await;
        sleep(after).await;
        assert!(!run.is_finished());
        tell(&control, ControlAction::Stop).await;
        let (tally, ended) = timeout(A_MOMENT, run).await.unwrap().unwrap();
        assert!(matches!(ended, RunEnd::Stopped(StopReason::Operator { .. })), "{ended:?}");
        assert_eq!((tally.in_doubt, session.memory.count(State::InDoubt)), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_paused_does_not_wait() {
    for orders in [[ControlAction::Pause, ControlAction::Stop], [ControlAction::Stop, ControlAction::Pause]] {
        let (session, control, run) = start(session(loses_one, "x"));
        sleep(Duration::from_secs(1)).await;
        for order in orders {
            tell(&control, order).await;
        }
        let (tally, _) = timeout(A_MOMENT, run).await.unwrap().unwrap();
        assert_eq!((tally.in_doubt, session.service.lookups.lock().unwrap().len()), (1, 0));
    }
}

/// A run that the service refuses does not wait either.
#[tokio::test(start_paused = true)]
async fn a_run_that_the_service_refuses_does_not_wait() {
    let session = session(
        |line, sending, since| if line < 200 { loses_one(line, sending, since) } else { reply(1, refused(70003)) },
        "x",
    );
    let start = Instant::now();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Stopped(StopReason::Refused(_))), "{ended:?}");
    assert!(start.elapsed() < DUE, "{:?}", start.elapsed());
    assert_eq!((tally.in_doubt, session.service.lookups.lock().unwrap().len()), (1, 0));
}

/// What this run did not send stays as it was: in doubt since an earlier run, or to be read before it is sent.
#[tokio::test(start_paused = true)]
async fn it_waits_for_nothing_that_it_did_not_send() {
    let mut session = session(loses_one, "x");
    session.in_doubt = InDoubt::Hold;
    session.run().await;
    let sent = session.service.sendings();
    session.in_doubt = InDoubt::Verify;
    for read_first in [false, true] {
        session.read_first = read_first;
        session.rows += 100;
        session.stop = CancellationToken::new();
        session.locked_since = Some(Instant::now());
        let (_, ended, took) = interrupt(&session).await;
        assert!(matches!(ended, RunEnd::Interrupted), "{ended:?}");
        assert!(took < A_MOMENT, "{took:?}");
        assert_eq!((session.memory.count(State::InDoubt), session.service.lookups.lock().unwrap().len()), (1, 0));
    }
    assert!(session.service.sendings() < sent + 200);
}

/// A run that cannot reach the service does not wait either.
#[tokio::test(start_paused = true)]
async fn a_run_that_is_out_of_reach_does_not_wait() {
    let session = session(
        |line, sending, since| {
            let unreachable = Outcome::NotSent { reason: "connection refused".to_owned() };
            if line < 100 { loses_one(line, sending, since) } else { reply(1, unreachable) }
        },
        "x",
    );
    let (tally, ended, took) = interrupt(&session).await;
    assert!(matches!(ended, RunEnd::Interrupted), "{ended:?}");
    assert!(took < A_MOMENT, "{took:?}");
    assert_eq!((tally.in_doubt, session.service.lookups.lock().unwrap().len()), (1, 0));
}

/// What a proxy may still pass on cannot be read back for two minutes: the next run does that.
#[tokio::test(start_paused = true)]
async fn a_run_by_way_of_a_proxy_does_not_wait() {
    let mut session = session(loses_one, "x");
    session.under_way = UnderWay::by_way_of(true, false);
    let (tally, _, took) = interrupt(&session).await;
    assert!(took < A_MOMENT, "{took:?}");
    assert_eq!((tally.in_doubt, session.service.lookups.lock().unwrap().len()), (1, 0));
}
