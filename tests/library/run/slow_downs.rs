//! "Too fast", said by mistake, or to one message only.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use runner::api::Outcome;
use runner::api::history::{HistoryMessage, HistoryPage};
use runner::edit::MessageId;
use runner::ledger::{Note, State};
use runner::run::{InDoubt, RunEnd, StopReason};
use tokio::time::Instant;

use super::scripted::{Script, Session, refused, reply};

/// Once, 13 of them made this take more than four minutes.
#[tokio::test(start_paused = true)]
async fn a_few_slow_downs_said_by_mistake_cost_little() {
    let session = Session::new(4_000, |line, sending, _| {
        reply(3, if line % 300 == 1 && sending == 0 { refused(60_007) } else { Outcome::Confirmed })
    });
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, tally.slow_downs), (4_000, 13));
    let mean = session.service.mean(4_000);
    assert!(mean >= 190.0, "{mean}");
    assert!(session.service.worst_second() <= 200);
}

/// Once, this starved the run: 301 of 3,000 edits in two minutes.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_always_too_fast_fails_and_the_others_do_not_wait_for_it() {
    let scripts: [Script; 2] = [
        |line, _, _| reply(3, if line == 100 { refused(60_018) } else { Outcome::Confirmed }),
        |line, _, _| reply(3, if line % 300 == 100 { refused(60_007) } else { Outcome::Confirmed }),
    ];
    for (script, stubborn) in scripts.into_iter().zip([1, 10]) {
        let session = Session::new(3_000, script);
        let start = Instant::now();
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
        assert_eq!((tally.done, tally.failed), (3_000 - stubborn, stubborn));
        // At first it may be meant for all: that is settled once others have passed a second later.
        let more = tally.attempts - (3_000 - stubborn + 8 * stubborn);
        assert!((stubborn..=6 * stubborn).contains(&more), "{more} of {stubborn}");
        assert!(session.service.mean(2_900) >= 185.0, "{}", session.service.mean(2_900));
        assert!(start.elapsed() < Duration::from_mins(3), "{:?}", start.elapsed());
        let edits = session.memory.rows();
        let failed = edits.iter().filter(|known| known.state == State::Failed);
        assert!(failed.clone().all(|known| matches!(known.code, Some(60_007 | 60_018))));
        assert_eq!(failed.count() as u64, stubborn);
    }
}

/// What passed a while ago proves nothing about now. Once, another caller who took the whole limit made the last edits
/// of a list fail for good.
#[tokio::test(start_paused = true)]
async fn the_last_edits_of_a_list_do_not_fail_for_what_others_send() {
    let scripts: [Script; 2] = [
        |line, _, since| {
            let is_busy = line > 2_990 && since < Duration::from_mins(8);
            reply(3, if is_busy { refused(60_007) } else { Outcome::Confirmed })
        },
        |line, _, since| {
            let is_busy = line > 3_000 && since < Duration::from_mins(8);
            reply(3, if is_busy { refused(60_011) } else { Outcome::Confirmed })
        },
    ];
    for script in scripts {
        let session = Session::new(3_000, script);
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
        assert_eq!((tally.done, tally.failed), (3_000, 0));
    }
}

/// The last edit has no others to compare it with, so the run stops. The reason must name it: otherwise each resumed run
/// would stop in the same way, and nobody could tell why.
#[tokio::test(start_paused = true)]
async fn a_last_edit_that_is_always_too_fast_is_named_when_the_run_stops() {
    let script: Script = |line, _, _| reply(3, if line == 301 { refused(60_018) } else { Outcome::Confirmed });
    let session = Session::new(300, script);
    let (tally, ended) = session.run().await;
    assert_eq!((tally.done, tally.failed), (299, 0));
    let RunEnd::Stopped(reason @ StopReason::OneTooFast(_)) = ended else { panic!("{ended:?}") };
    assert!(reason.to_string().contains("each time to line 301: MsgKey"), "{reason}");
}

/// At a low rate few answers come, and they prove as much.
#[tokio::test(start_paused = true)]
async fn a_message_that_is_always_too_fast_fails_at_a_low_rate_too() {
    let mut session =
        Session::new(400, |line, _, _| reply(3, if line == 100 { refused(60_018) } else { Outcome::Confirmed }));
    session.rate = NonZeroU32::new(2).unwrap();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.failed), (399, 1));
    assert!(tally.attempts <= 399 + 8 + 6, "{}", tally.attempts);
}

/// No edit is to blame for what happens to all.
#[tokio::test(start_paused = true)]
async fn where_everything_is_too_fast_no_edit_fails_and_the_run_is_given_up_in_the_end() {
    let scripts: [Script; 2] = [
        |_, _, _| reply(3, refused(60_007)),
        |_, _, since| reply(3, if since > Duration::from_secs(5) { refused(60_007) } else { Outcome::Confirmed }),
    ];
    for script in scripts {
        let session = Session::new(3_000, script);
        let start = Instant::now();
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Stopped(StopReason::TooFast)), "{ended:?}");
        assert_eq!((tally.failed, tally.done, session.memory.count(State::Waiting) > 0), (0, tally.done, true));
        let took = start.elapsed();
        assert!(took > Duration::from_mins(15) && took < Duration::from_mins(18), "{took:?}");
        assert!(tally.attempts - tally.done < 100, "{tally:?}");
    }
    let recovers = Session::new(3_000, |_, _, since| {
        let is_busy = (Duration::from_secs(5)..Duration::from_mins(8)).contains(&since);
        reply(3, if is_busy { refused(60_007) } else { Outcome::Confirmed })
    });
    let (tally, ended) = recovers.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.failed), (3_000, 0));
}

/// Once, its lookups held the edits again and again, and after five minutes that run read nothing back any more.
#[tokio::test(start_paused = true)]
async fn a_message_whose_looks_are_always_too_fast_stays_in_doubt_and_the_others_are_read_back() {
    let mut session = Session::new(20_000, |line, sending, _| {
        let lost = matches!(line, 7 | 19_000) && sending == 0;
        reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
    });
    session.in_doubt = InDoubt::Verify;
    session.service.history = Arc::new(|nth, _| {
        // The first may be meant for all, and the edit has eight of its own.
        if nth <= 9 {
            return Err(refused(60_007));
        }
        let [from_account, to_account, msg_key] = ["a", "b", "18998_1_1773188576"].map(str::to_owned);
        let id = MessageId { from_account, to_account, msg_key };
        let held = HistoryMessage { id, recalled: false, msg_body: None, cloud_custom_data: Some("x".to_owned()) };
        Ok(HistoryPage { complete: true, messages: vec![held], ..HistoryPage::default() })
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.in_doubt, tally.found_edited, tally.read_backs), (19_999, 1, 1, 10), "{tally:?}");
    let known = session.memory.only(State::InDoubt);
    assert_eq!((known.note, known.code), (Some(Note::ReadBackFailed), Some(60_007)));
    let arrivals = session.service.arrivals.lock().unwrap();
    // The first request goes alone, and the time it took is caught up in the next seconds.
    let holds = arrivals.windows(2).filter(|pair| pair[1] - pair[0] > Duration::from_millis(300)).count();
    assert_eq!(holds, 1, "only the first holds the edits");
}

/// Once, with few slots a change waited 80 ms for others that could not come: 24 edits a second with two slots.
#[tokio::test(start_paused = true)]
async fn few_places_are_enough_for_the_cap_where_answers_are_quick() {
    for (places, takes) in [(2, 1), (8, 3), (32, 60), (128, 400)] {
        let mut session = Session::new(
            2_000,
            match takes {
                1 => |_, _, _| reply(1, Outcome::Confirmed),
                3 => |_, _, _| reply(3, Outcome::Confirmed),
                60 => |_, _, _| reply(60, Outcome::Confirmed),
                _ => |_, _, _| reply(400, Outcome::Confirmed),
            },
        );
        session.in_flight_max = places;
        session.run().await;
        let mean = session.service.mean(2_000);
        assert!(mean >= 198.0, "{places} places, {takes} ms: {mean}");
        assert!(session.service.worst_second() <= 200);
    }
}
