//! A run that is controlled while it runs.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use runner::api::Outcome;
use runner::ledger::{ControlAction, ControlEvent, Note, RunEvent, Sample, State};
use runner::pace;
use runner::register::{Register, RegisterEntry};
use runner::run::{Activity, Control, ControlError, HoldReason, InDoubt, RunEnd, StopReason, Tally, whole_seconds};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::scripted::{RATE, Reply, Session, reply};

fn start(rows: u64) -> (Arc<Session>, Control, JoinHandle<(Tally, RunEnd)>) {
    let session = Arc::new(Session::new(rows, |_, _, _| reply(50, Outcome::Confirmed)));
    let (control, orders) = Control::new(RATE, CancellationToken::new());
    let run = Arc::clone(&session);
    (session, control, tokio::spawn(async move { run.run_with(orders).await }))
}

fn act(what: ControlAction) -> ControlEvent {
    ControlEvent { what, by: "the operator".to_owned() }
}

fn rate(rate: u32) -> ControlAction {
    ControlAction::Rate(NonZeroU32::new(rate).unwrap())
}

#[tokio::test(start_paused = true)]
async fn during_a_pause_nothing_is_sent_and_nothing_would_be_in_doubt() {
    let (session, control, run) = start(1_000);
    sleep(Duration::from_secs(2)).await;
    control.tell(act(ControlAction::Pause)).await.unwrap();
    // What is in flight finishes, and intents not yet sent are withdrawn.
    sleep(Duration::from_secs(1)).await;
    let sent = session.service.sendings();
    assert!(sent > 300 && sent < 450, "{sent}");
    assert_eq!(session.memory.count(State::Sending), 0);
    sleep(Duration::from_mins(10)).await;
    assert_eq!((session.service.sendings(), session.memory.count(State::Sending)), (sent, 0));
    control.tell(act(ControlAction::Resume)).await.unwrap();
    let (tally, ended) = run.await.unwrap();
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, session.service.sendings()), (1_000, 1_000));
    assert!(session.service.worst_second() <= 200, "{}", session.service.worst_second());
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_what_it_is_told_and_never_above_the_cap() {
    let (session, control, run) = start(1_000);
    sleep(Duration::from_secs(2)).await;
    control.tell(act(rate(10))).await.unwrap();
    let sent = session.service.sendings();
    sleep(Duration::from_secs(10)).await;
    // Nothing leaves until fewer than the new cap went out within a second.
    let slow = session.service.sendings() - sent;
    assert!((85..=100).contains(&slow), "{slow}");
    // With few going out, few would be in doubt if the process died.
    assert!(session.memory.count(State::Sending) <= 6, "{}", session.memory.count(State::Sending));
    let refused = control.tell(act(rate(201))).await;
    assert!(matches!(refused, Err(ControlError::AboveCap { .. })), "{refused:?}");
    control.tell(act(rate(200))).await.unwrap();
    let (tally, _) = run.await.unwrap();
    assert_eq!(tally.done, 1_000);
    assert!(session.service.worst_second() <= 200, "{}", session.service.worst_second());
    let refused = control.tell(act(ControlAction::Pause)).await;
    assert!(matches!(refused, Err(ControlError::Over)), "{refused:?}");
}

/// The run's share of its app's cap follows its rate, and is never less than what may still count of what it sent.
#[tokio::test(start_paused = true)]
async fn room_is_given_back_once_what_was_sent_in_it_does_not_count_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let wanted = RegisterEntry {
        service: "example.com:443".to_owned(),
        sdkappid: 1_400_000_000,
        rate: RATE,
        max_rate: RATE,
        ledger: "ledger.db".into(),
        process: 4_711,
        database: None,
    };
    let share = Arc::new(Register::at(dir.path().to_owned()).unwrap().join(wanted).unwrap());
    let (session, control, run) = start(1_000);
    let control = control.sharing(Some(Arc::clone(&share)));
    sleep(Duration::from_secs(2)).await;
    let lower = tokio::spawn(async move { control.tell(act(rate(50))).await });
    sleep(Duration::from_millis(500)).await;
    let counts = session.service.arrivals.lock().unwrap().iter().filter(|at| at.elapsed() < pace::WINDOW).count();
    assert!(counts > 50 && share.rate() == RATE, "{counts} requests still count");
    lower.await.unwrap().unwrap();
    assert_eq!(share.rate().get(), 50);
    let counts = session.service.arrivals.lock().unwrap().iter().filter(|at| at.elapsed() < pace::WINDOW).count();
    assert!(counts <= 50, "{counts} requests still count");
    run.abort();
}

/// Their permits were given at the higher rate. They are sent later, and nobody takes the service for unreachable.
#[tokio::test(start_paused = true)]
async fn requests_whose_connections_open_only_after_the_rate_was_lowered_keep_to_it() {
    let slow_to_open = |_, _, _| Reply { opens: Duration::from_millis(900), ..reply(50, Outcome::Confirmed) };
    let session = Arc::new(Session::new(1_000, slow_to_open));
    let (control, orders) = Control::new(RATE, CancellationToken::new());
    let run = Arc::clone(&session);
    let run = tokio::spawn(async move {
        let mut was_out_of_reach = false;
        let report = |tally: &Tally| was_out_of_reach |= matches!(tally.activity, Activity::Outage(_));
        (run.run_shown(orders, report).await, was_out_of_reach)
    });
    sleep(Duration::from_millis(2_400)).await;
    control.tell(act(rate(10))).await.unwrap();
    let arrived = || session.service.arrivals.lock().unwrap().len();
    let before = arrived();
    sleep(Duration::from_secs(10)).await;
    // A permit counts while its connection opens, too.
    assert!((40..=100).contains(&(arrived() - before)), "{}", arrived() - before);
    let begun = session.service.sendings() as usize;
    assert!(begun > arrived() + 50, "{begun} begun, {} arrived: none was held back", arrived());
    control.tell(act(rate(200))).await.unwrap();
    let ((tally, ended), was_out_of_reach) = run.await.unwrap();
    assert!(matches!(ended, RunEnd::Finished) && !was_out_of_reach, "{ended:?}");
    assert_eq!((tally.done, arrived()), (1_000, 1_000));
    assert!(session.service.worst_second() <= 200, "{}", session.service.worst_second());
}

#[tokio::test(start_paused = true)]
async fn told_to_stop_it_drains_also_in_the_middle_of_a_pause() {
    for pause in [false, true] {
        let (session, control, run) = start(1_000);
        sleep(Duration::from_secs(2)).await;
        if pause {
            control.tell(act(ControlAction::Pause)).await.unwrap();
        }
        control.tell(act(ControlAction::Stop)).await.unwrap();
        let (tally, ended) = run.await.unwrap();
        assert!(matches!(&ended, RunEnd::Stopped(StopReason::Operator { by }) if by == "the operator"), "{ended:?}");
        assert_eq!(tally.done, u64::from(session.service.sendings()));
        assert_eq!(session.memory.count(State::Done), tally.done as usize);
        assert_eq!(session.memory.rows().len(), tally.done as usize, "the rest is not in the ledger");
    }
}

/// Every control event is in the ledger, with samples of the progress.
#[tokio::test(start_paused = true)]
async fn the_ledger_is_told_of_acts_and_how_far_the_run_is() {
    let (session, control, run) = start(4_000);
    sleep(Duration::from_secs(1)).await;
    for order in [ControlAction::Pause, ControlAction::Resume, rate(150)] {
        control.tell(act(order)).await.unwrap();
    }
    run.await.unwrap();
    let remarks = session.memory.events();
    let acts: Vec<ControlEvent> = remarks
        .iter()
        .filter_map(|record_event| match record_event {
            RunEvent::ControlEvent(act) => Some(act.clone()),
            RunEvent::Sample(_) | RunEvent::StoppedAtOnce | RunEvent::Look(_) | RunEvent::Ciphertext(_) => None,
        })
        .collect();
    assert_eq!(acts, [ControlAction::Pause, ControlAction::Resume, rate(150)].map(act));
    let samples: Vec<&Sample> = remarks
        .iter()
        .filter_map(|record_event| match record_event {
            RunEvent::ControlEvent(_) | RunEvent::StoppedAtOnce | RunEvent::Look(_) | RunEvent::Ciphertext(_) => None,
            RunEvent::Sample(sample) => Some(&**sample),
        })
        .collect();
    assert_eq!((samples[0].done, samples[0].rate), (0, 200));
    assert_eq!(samples[2].rate, 150);
    let last = samples[samples.len() - 1];
    assert_eq!((last.done, last.requests, last.latency.count()), (4_000, 4_000, 4_000));
    assert_eq!(last.latency.quantile_ms(0.5), Some(50));
    assert!((6..=8).contains(&samples.len()), "one every 5 s, and the last: {}", samples.len());
    assert!(samples.windows(2).all(|pair| pair[0].done <= pair[1].done));
}

/// A session whose run reports what it shows, at every tick.
fn start_shown(session: Session) -> (Control, Arc<std::sync::Mutex<Tally>>, JoinHandle<(Tally, RunEnd)>) {
    let shown = Arc::new(std::sync::Mutex::new(Tally::default()));
    let (control, orders) = Control::new(RATE, CancellationToken::new());
    let (show, session) = (Arc::clone(&shown), Arc::new(session));
    let run =
        tokio::spawn(async move { session.run_shown(orders, |tally| show.lock().unwrap().clone_from(tally)).await });
    (control, shown, run)
}

/// Once, the time left was the average of the last seconds: after a change it was wrong for as long.
#[tokio::test(start_paused = true)]
async fn the_time_left_follows_a_changed_rate_and_a_pause_at_once() {
    let session = Session::new(10_000, |_, _, _| reply(50, Outcome::Confirmed));
    let (control, shown, run) = start_shown(session);
    // A tick, and what is in flight.
    let moment = Duration::from_millis(300);
    let left = || shown.lock().unwrap().time_left.map(|left| left.as_secs());
    let settled = || shown.lock().unwrap().settled();
    sleep(Duration::from_secs(10)).await;
    let near = |left: Option<u64>, rate: u64| {
        let wanted = (10_000 - settled()) / rate;
        assert!(left.is_some_and(|left| left.abs_diff(wanted) <= wanted / 50 + 1), "{left:?}, and not {wanted}");
    };
    near(left(), 200);
    control.tell(act(rate(20))).await.unwrap();
    sleep(moment).await;
    near(left(), 20);
    control.tell(act(ControlAction::Pause)).await.unwrap();
    sleep(moment).await;
    assert_eq!((left(), shown.lock().unwrap().activity.clone()), (None, Activity::Paused));
    sleep(Duration::from_mins(30)).await;
    control.tell(act(rate(200))).await.unwrap();
    control.tell(act(ControlAction::Resume)).await.unwrap();
    sleep(moment).await;
    near(left(), 200);
    sleep(Duration::from_secs(5)).await;
    near(left(), 200);
    let (tally, _) = run.await.unwrap();
    assert_eq!((tally.done, tally.time_left), (10_000, None));
}

#[tokio::test(start_paused = true)]
async fn a_hold_is_shown_with_its_reason_and_counts_down_to_its_end() {
    let session = Session::new(4_000, |line, sending, _| {
        let asks = Outcome::ConfirmedAndAsks(Duration::from_secs(30));
        reply(1, if line == 400 && sending == 0 { asks } else { Outcome::Confirmed })
    });
    let (_control, shown, run) = start_shown(session);
    let mut seen: Vec<u64> = Vec::new();
    for _ in 0..160 {
        sleep(Duration::from_millis(250)).await;
        let tally = shown.lock().unwrap().clone();
        if let Activity::Held(hold) = tally.activity {
            assert_eq!(hold.reason, HoldReason::RetryAfter);
            assert!(tally.time_left.is_some_and(|left| left >= hold.left + Duration::from_secs(15)), "{tally:?}");
            seen.push(whole_seconds(hold.left));
        }
    }
    assert!(seen.len() >= 115 && seen[0] >= 29 && seen.last() == Some(&1), "{seen:?}");
    assert!(seen.windows(2).all(|pair| pair[1] <= pair[0] && pair[0] - pair[1] <= 1), "{seen:?}");
    assert_eq!(run.await.unwrap().0.done, 4_000);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_named_with_its_error_and_since_when() {
    let session = Session::new(4_000, |_, _, since| {
        let unreachable = Outcome::NotSent { reason: "connection refused".to_owned() };
        let is_out = (5..65).contains(&since.as_secs());
        reply(1, if is_out { unreachable } else { Outcome::Confirmed })
    });
    let (_control, shown, run) = start_shown(session);
    let (mut lasted, mut others) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        sleep(Duration::from_millis(250)).await;
        let tally = shown.lock().unwrap().clone();
        match tally.activity {
            Activity::Outage(outage) => {
                assert_eq!((outage.error.as_str(), tally.time_left), ("connection refused", None));
                assert!(outage.next_try <= Duration::from_secs(15), "{outage:?}");
                lasted.push(outage.lasted);
            }
            other => others.push(other),
        }
    }
    assert!(lasted.windows(2).all(|pair| pair[0] <= pair[1]), "{lasted:?}");
    let longest = lasted.last().unwrap().as_secs();
    assert!((55..=80).contains(&longest), "{longest}");
    assert!(others.iter().all(|other| matches!(other, Activity::Running)), "{others:?}");
    assert_eq!(run.await.unwrap().0.done, 4_000);
}

/// At the end of a list what is left only waits: for its read-back, or to be sent again.
#[tokio::test(start_paused = true)]
async fn what_only_waits_is_said_to_wait() {
    let mut session = Session::new(100, |line, sending, _| match (line, sending) {
        (50, 0) => reply(1, Outcome::NoAnswer(Note::ConnectionLost)),
        _ => reply(1, Outcome::Confirmed),
    });
    session.in_doubt = InDoubt::Verify;
    let (_control, shown, run) = start_shown(session);
    sleep(Duration::from_secs(3)).await;
    let tally = shown.lock().unwrap().clone();
    assert!(matches!(tally.activity, Activity::Waiting(hold) if hold.reason == HoldReason::ReadBack), "{tally:?}");
    assert_eq!((tally.open_doubts, tally.to_read_back, tally.in_doubt, tally.under_way), (1, 1, 0, 0));
    let (tally, _) = run.await.unwrap();
    assert_eq!((tally.done, tally.in_doubt, tally.open_doubts), (99, 1, 0));
}
