//! The run itself, on a paused clock, with a scripted service and a ledger in memory: what would take minutes takes
//! milliseconds, and times are exact. The cap is proved here to the millisecond; on a real machine, client and server
//! share two cores, and neither sees the other's clock.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on shall say so")]

mod control;
mod job_codes;
mod outage;
mod read_back;
mod scripted;
mod slow_downs;
mod stopping;

use std::time::Duration;

use runner::api::Outcome;
use runner::ledger::{Note, State};
use runner::run::{InDoubt, RunEnd, StopReason};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use self::scripted::{Reply, Script, Session, refused, reply};

/// Checks that the cap is never exceeded and at least 99 % of it is used, as the service sees it.
async fn check_pace(script: Script) {
    let session = Session::new(4_000, script);
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!(tally.done, 4_000);
    assert!(session.service.worst_second() <= 200, "{}", session.service.worst_second());
    let mean = session.service.mean(4_000);
    assert!(mean >= 198.0, "{mean}");
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_kept_and_used_with_fast_answers() {
    check_pace(|_, _, _| reply(1, Outcome::Confirmed)).await;
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_kept_and_used_with_answers_that_take_300_to_500_ms() {
    check_pace(|line, _, _| reply(300 + line * 7_919 % 200, Outcome::Confirmed)).await;
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_kept_and_used_with_answers_that_take_three_seconds() {
    check_pace(|_, _, _| reply(2_900, Outcome::Confirmed)).await;
}

#[tokio::test(start_paused = true)]
async fn the_cap_is_kept_and_used_with_passing_errors() {
    check_pace(|line, sending, _| {
        reply(40, if line % 20 == 0 && sending < 2 { refused(20004) } else { Outcome::Confirmed })
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connections_that_open_slowly_do_not_bunch_requests_up() {
    let session = Session::new(2_000, |line, _, _| Reply {
        opens: Duration::from_millis(if line < 80 { 400 } else { 0 }),
        ..reply(20, Outcome::Confirmed)
    });
    session.run().await;
    assert!(session.service.worst_second() <= 200, "{}", session.service.worst_second());
}

#[tokio::test(start_paused = true)]
async fn a_restart_within_the_same_second_does_not_add_to_it() {
    let mut session = Session::new(1_000, |_, _, _| reply(1, Outcome::Confirmed));
    let stop = session.stop.clone();
    let first = tokio::spawn(async move {
        sleep(Duration::from_millis(900)).await;
        stop.cancel();
    });
    session.run().await;
    first.await.unwrap();
    // As the program does with a ledger that has attempts in it.
    session.locked_since = Some(Instant::now());
    session.stop = CancellationToken::new();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert!(tally.done > 700 && tally.done < 1_000, "{tally:?}");
    assert_eq!(session.service.sendings(), 1_000, "each was sent once");
    assert!(session.service.worst_second() <= 200, "{}", session.service.worst_second());
}

#[tokio::test(start_paused = true)]
async fn a_waiting_retry_holds_no_place_in_flight() {
    // Half the list is refused at first and comes back seconds later; with two places, the other half must not wait.
    let mut session = Session::new(200, |line, sending, _| {
        reply(1, if line <= 101 && sending < 3 { refused(91000) } else { Outcome::Confirmed })
    });
    session.in_flight_max = 2;
    let start = Instant::now();
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, tally.attempts), (200, 500));
    assert!(start.elapsed() < Duration::from_secs(40), "{:?}", start.elapsed());
    assert!(session.service.in_flight.lock().unwrap().1 <= 2);
}

/// A run that sends one at a time should leave few in doubt if the process dies: an intent is made only for what goes
/// out soon.
#[tokio::test(start_paused = true)]
async fn with_few_places_few_intents_are_made_ahead() {
    let mut session = Session::new(1_000, |_, _, _| reply(400, Outcome::Confirmed));
    session.in_flight_max = 1;
    assert!(timeout(Duration::from_secs(5), session.run()).await.is_err(), "it was too fast");
    assert!(session.memory.count(State::Done) > 5);
    assert!(session.memory.count(State::Sending) <= 3, "{}", session.memory.count(State::Sending));
}

#[tokio::test(start_paused = true)]
async fn attempts_run_out_and_the_edit_has_failed() {
    let session = Session::new(30, |line, _, _| reply(1, if line == 5 { refused(20005) } else { Outcome::Confirmed }));
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.failed), (29, 1));
    assert_eq!(session.service.sendings.lock().unwrap()[&5], 8);
    assert_eq!(session.memory.count(State::Failed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_back_what_was_not_sent_and_waits_for_what_was() {
    let session = Session::new(1_000, |_, _, _| reply(400, Outcome::Confirmed));
    let stop = session.stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(2)).await;
        stop.cancel();
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Interrupted), "{ended:?}");
    let sent = session.service.sendings() as usize;
    assert_eq!(session.memory.count(State::Done), sent);
    assert_eq!(session.memory.rows().len(), sent, "nothing else is in the ledger");
    assert_eq!(tally.done as usize, sent);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_held_or_sent_again_as_was_asked_for() {
    let script: Script = |line, sending, _| {
        let lost = line == 7 && sending == 0;
        reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
    };
    let held = Session::new(50, script);
    let (tally, _) = held.run().await;
    assert_eq!((tally.done, tally.in_doubt, held.memory.count(State::InDoubt)), (49, 1, 1));
    assert_eq!(held.service.sendings(), 50);

    let mut retried = Session::new(50, script);
    retried.in_doubt = InDoubt::Retry;
    let start = Instant::now();
    let (tally, _) = retried.run().await;
    assert_eq!((tally.done, tally.in_doubt, retried.service.sendings()), (50, 0, 51));
    assert!(start.elapsed() >= Duration::from_secs(3), "the service may have been working on it still");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_holds_for_all_stops_after_what_is_in_flight() {
    // The key is revoked in the middle of the run.
    let session =
        Session::new(1_000, |line, _, _| reply(200, if line >= 100 { refused(70003) } else { Outcome::Confirmed }));
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Stopped(StopReason::Refused(_))), "{ended:?}");
    let refused = session.memory.count(State::Waiting);
    assert!((10..80).contains(&refused), "what was in flight, and can be sent again: {refused}");
    assert_eq!((session.memory.count(State::Failed), tally.failed), (0, 0), "none of them is at fault");
    assert_eq!(session.memory.count(State::Sending), 0);
    assert_eq!(session.memory.count(State::Done) as u64, tally.done);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_90992_stops_and_points_to_the_webhook_server() {
    let session = Session::new(4_000, |_, _, _| reply(5, refused(90992)));
    let (_, ended) = session.run().await;
    let RunEnd::Stopped(reason) = ended else { panic!("{ended:?}") };
    assert!(reason.to_string().contains("your own webhook server"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_service_out_of_reach_costs_no_attempts() {
    let session = Session::new(100, |_, _, since| {
        let unreachable = Outcome::NotSent { reason: "connection refused".to_owned() };
        reply(0, if since < Duration::from_secs(5) { unreachable } else { Outcome::Confirmed })
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.attempts), (100, 100));
    assert!(session.memory.rows().iter().all(|known| known.attempts == 1));

    let gone = Session::new(100, |_, _, _| reply(0, Outcome::NotSent { reason: "connection refused".to_owned() }));
    let (tally, ended) = gone.run().await;
    assert!(matches!(ended, RunEnd::Stopped(StopReason::Unreachable(_))), "{ended:?}");
    assert_eq!((tally.settled(), gone.memory.rows().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn once_the_ledger_failed_nothing_more_is_sent() {
    let mut session = Session::new(1_000, |_, _, _| reply(100, Outcome::Confirmed));
    session.memory.fails_at = Some(10);
    let (tally, ended) = session.run().await;
    let RunEnd::Stopped(StopReason::Ledger(error)) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("no space left on device"), "{error}");
    let sent = session.service.sendings() as usize;
    let (done, sending) = (session.memory.count(State::Done), session.memory.count(State::Sending));
    assert!(sent <= done + sending, "{sent} were sent, {done} are done and {sending} known to be under way");
    assert_eq!(tally.done as usize, done);
    assert!(tally.in_doubt as usize <= sending && tally.in_doubt > 0, "{tally:?}");
}

/// A lost answer holds nothing up, so the next slow-down does not count as one of a series.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_does_not_make_the_next_slow_down_worse() {
    let session = Session::new(4_000, |line, sending, _| match (line, sending) {
        (100 | 2_300, 0) => reply(1, refused(60007)),
        (2_000, 0) => reply(1, Outcome::NoAnswer(Note::ConnectionLost)),
        _ => reply(1, Outcome::Confirmed),
    });
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, tally.in_doubt, tally.slow_downs), (3_999, 1, 2));
    let arrivals = session.service.arrivals.lock().unwrap();
    let held = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    // The first request goes alone, which takes longer than either hold.
    assert!(held.as_secs_f64() < 0.3, "{held:?}");
}

/// Whatever the outcome of the edit, the service asks for a pause.
#[tokio::test(start_paused = true)]
async fn a_503_that_asks_for_time_gets_it() {
    let retry_after = Some(Duration::from_secs(7));
    let session = Session::new(1_000, move |line, _, _| {
        let busy = Outcome::Http { status: 503, retry_after: Some(Duration::from_secs(7)) };
        reply(1, if line == 400 { busy } else { Outcome::Confirmed })
    });
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, tally.in_doubt), (999, 1));
    let arrivals = session.service.arrivals.lock().unwrap();
    let held = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(held >= retry_after, "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn a_success_that_asks_for_time_gets_it() {
    let asked = Duration::from_secs(7);
    let session = Session::new(1_000, |line, _, _| {
        let asks = Outcome::ConfirmedAndAsks(Duration::from_secs(7));
        reply(1, if line == 400 { asks } else { Outcome::Confirmed })
    });
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, session.service.sendings()), (1_000, 1_000));
    let arrivals = session.service.arrivals.lock().unwrap();
    let held = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max();
    assert!(held >= Some(asked), "{held:?}");
}
