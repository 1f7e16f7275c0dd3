//! Codes that concern the job: a wrong key is refused once, and where others are accepted they concern one edit.

use std::sync::Arc;
use std::time::Duration;

use runner::api::Outcome;
use runner::api::history::HistoryPage;
use runner::ledger::{Note, State};
use runner::run::{InDoubt, RunEnd, StopReason};
use tokio::time::{Instant, sleep};

use super::scripted::{Script, Session, refused, reply};

fn signed_anew(code: i64) -> Outcome {
    Outcome::Refused { code, info: String::new(), retry_after: None, signed_anew: true }
}

/// Once, thirty-four requests with a wrong key went out before the first answer: the service locks out callers who do
/// that.
#[tokio::test(start_paused = true)]
async fn a_wrong_key_is_refused_once() {
    for takes in [0, 40, 2_900] {
        let mut session = Session::new(1_000, |_, _, _| reply(0, refused(70009)));
        session.service.script = match takes {
            0 => |_, _, _| reply(0, refused(70009)),
            40 => |_, _, _| reply(40, refused(70009)),
            _ => |_, _, _| reply(2_900, refused(70009)),
        };
        for _ in 0..2 {
            session.service.sendings.lock().unwrap().clear();
            let (tally, ended) = session.run().await;
            let RunEnd::Stopped(StopReason::Refused(reason)) = ended else { panic!("{ended:?}") };
            assert!(reason.to_string().contains("line 2: MsgKey \"0_1_1773188576\" from \"a\" to \"b\""), "{reason}");
            assert_eq!((session.service.sendings(), tally.settled()), (1, 0), "{takes} ms");
            assert_eq!(session.memory.count(State::Waiting), 1, "no other edit is even in the ledger");
            assert_eq!(session.memory.rows().len(), 1);
        }
    }
}

/// The others follow the first answer, not the first request; an answer that does not show that the signature is
/// accepted is not enough.
#[tokio::test(start_paused = true)]
async fn the_others_follow_the_first_answer() {
    // Too fast, a passing error, a lost answer, an unknown code: then the first success, after 2 s.
    let mut session = Session::new(1_000, |line, sending, _| match (line, sending) {
        (2, 0) => reply(5, refused(60007)),
        (2, 1) => reply(5, refused(20004)),
        (3, 0) => reply(5, Outcome::NoAnswer(Note::ConnectionLost)),
        (4, 0) => reply(5, refused(424_242)),
        (5, 0) => reply(2_000, Outcome::Confirmed),
        _ => reply(400, Outcome::Confirmed),
    });
    session.service.in_flight = Arc::default();
    let in_flight = Arc::clone(&session.service.in_flight);
    let arrivals = Arc::clone(&session.service.arrivals);
    let watch = tokio::spawn(async move {
        while arrivals.lock().unwrap().len() < 5 {
            assert!(in_flight.lock().unwrap().1 <= 1);
            sleep(Duration::from_millis(1)).await;
        }
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.in_doubt, tally.failed), (998, 1, 1));
    watch.await.unwrap();
    assert!(session.service.in_flight.lock().unwrap().1 > 50, "and then as many as the pace allows");
}

/// A first request that is never answered delays the others, and nothing more.
#[tokio::test(start_paused = true)]
async fn a_first_request_that_is_lost_only_delays() {
    let session = Session::new(1_000, |line, _, _| match line {
        2 => reply(10_000, Outcome::NoAnswer(Note::TimedOut)),
        _ => reply(40, Outcome::Confirmed),
    });
    let start = Instant::now();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.in_doubt), (999, 1));
    assert!(start.elapsed() < Duration::from_secs(17), "{:?}", start.elapsed());
}

/// Read-backs count as well: on a resume they come first, and no edit has to go alone once one was answered.
#[tokio::test(start_paused = true)]
async fn a_page_of_a_history_is_a_first_answer_too() {
    let mut session = Session::new(40, |_, _, _| reply(5, Outcome::NoAnswer(Note::ConnectionLost)));
    session.run().await;
    session.in_doubt = InDoubt::Verify;
    session.service.script = |_, _, _| reply(400, Outcome::Confirmed);
    session.service.in_flight = Arc::default();
    session.service.history = Arc::new(|_, _| Ok(HistoryPage { complete: true, ..HistoryPage::default() }));
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!(tally.done + tally.in_doubt, 40, "{tally:?}");
    assert!(tally.done > 20, "{tally:?}");
}

/// A signature is refused in the middle of a run: the new one goes ahead alone, once.
#[tokio::test(start_paused = true)]
async fn a_new_signature_goes_ahead_alone() {
    let session = Session::new(2_000, |_, _, since| {
        let refuses = since >= Duration::from_secs(2);
        reply(100, if refuses { signed_anew(70001) } else { Outcome::Confirmed })
    });
    let mut bad = session;
    // What was in flight is signed anew, and so is the one that goes ahead; that one is refused for good.
    bad.service.script = |_, sending, since| match (since >= Duration::from_secs(2), sending) {
        (false, _) => reply(100, Outcome::Confirmed),
        (true, _) if since < Duration::from_millis(2_150) => reply(100, signed_anew(70001)),
        (true, _) => reply(100, refused(70001)),
    };
    let (_, ended) = bad.run().await;
    assert!(matches!(ended, RunEnd::Stopped(StopReason::Refused(_))), "{ended:?}");
    let late = bad.service.arrivals.lock().unwrap();
    let count = late.iter().filter(|at| **at - bad.service.start >= Duration::from_millis(2_250)).count();
    assert!(count <= 2, "{count} requests with a signature that is not accepted");
    assert_eq!(bad.memory.count(State::Failed), 0);
}

/// Once, one row with a wrong account stopped every run after sixteen more, and the message did not name the row.
#[tokio::test(start_paused = true)]
async fn a_code_of_the_job_given_to_one_row_fails_that_row() {
    for code in [60004, 60005, 60002, 60010, 70013, 90009] {
        let mut session = Session::new(3_000, |_, _, _| reply(40, Outcome::Confirmed));
        session.service.script = match code {
            60004 => |line, _, _| reply(40, if line == 500 { refused(60004) } else { Outcome::Confirmed }),
            60005 => |line, _, _| reply(40, if line % 300 == 0 { refused(60005) } else { Outcome::Confirmed }),
            60002 => {
                |line, _, _| reply(40, if line % 20 == 0 && line < 2_900 { refused(60002) } else { Outcome::Confirmed })
            }
            // The last ones, with nothing after them that could be accepted.
            60010 => |line, _, _| reply(40, if line >= 2_998 { refused(60010) } else { Outcome::Confirmed }),
            70013 => {
                |line, _, _| reply(40, if (700..705).contains(&line) { refused(70013) } else { Outcome::Confirmed })
            }
            _ => |line, _, _| reply(40, if line == 3_001 { refused(90009) } else { Outcome::Confirmed }),
        };
        session.service.history = Arc::new(|_, _| Ok(HistoryPage { complete: true, ..HistoryPage::default() }));
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Finished), "{code}: {ended:?}");
        let failed = session.memory.count(State::Failed) as u64;
        assert_eq!((tally.done + tally.failed, tally.failed), (3_000, failed), "{code}");
        let expected = match code {
            60004 | 90009 => 1,
            60005 => 10,
            60002 => 144,
            60010 => 4,
            _ => 5,
        };
        assert_eq!(failed, expected, "{code}");
        let edits = session.memory.rows();
        let failed = edits.iter().filter(|known| known.state == State::Failed);
        assert!(failed.into_iter().all(|known| known.code == Some(code) && known.attempts == 2), "{code}");
        // Only at the end of the list, where nothing else can show that the signature still works.
        let lookups = session.service.lookups.lock().unwrap().len();
        assert_eq!(lookups, usize::from(!matches!(code, 60002 | 60004 | 70013)), "{code}");
    }
}

/// Once, the last few edits failed for good when the key was revoked: too few to stop the run.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_revoked_near_the_end_stops_the_run_and_fails_no_edit() {
    let scripts: [(u32, Script); 3] = [
        (1, |line, _, _| reply(40, if line > 100 { refused(70003) } else { Outcome::Confirmed })),
        (4, |line, _, _| reply(40, if line > 97 { refused(70003) } else { Outcome::Confirmed })),
        (9, |line, _, _| reply(40, if line > 92 { refused(60004) } else { Outcome::Confirmed })),
    ];
    for (left, script) in scripts {
        let mut session = Session::new(100, script);
        session.service.history = Arc::new(|_, _| Err(refused(70003)));
        let (tally, ended) = session.run().await;
        let RunEnd::Stopped(StopReason::Refused(reason)) = ended else { panic!("{ended:?}") };
        assert_eq!((tally.done, tally.failed), (u64::from(100 - left), 0));
        assert_eq!((session.memory.count(State::Waiting), session.service.sendings()), (left as usize, 100));
        assert_eq!(session.service.lookups.lock().unwrap().len(), 1, "one lookup is enough for all");
        let says = format!("The service accepted {} before it in this run", 100 - left);
        assert!(
            reason.to_string().contains("The edit that was answered so is line ") && reason.to_string().contains(&says)
        );
        // With a key that works, the same command resumes.
        session.service.script = |_, _, _| reply(40, Outcome::Confirmed);
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
        assert_eq!((tally.done, session.memory.count(State::Done)), (u64::from(left), 100));
    }
}

/// Then nothing shows whose fault it is, so no edit fails for it. It is sent once more.
#[tokio::test(start_paused = true)]
async fn where_looks_tell_nothing_the_last_edit_with_such_a_code_stops_the_run() {
    let script: Script = |line, _, _| reply(40, if line == 101 { refused(60004) } else { Outcome::Confirmed });
    for (what, outcome) in [
        ("lookups are refused", refused(60020)),
        ("no answer comes back", Outcome::NoAnswer(Note::TimedOut)),
        ("it is busy", refused(91000)),
    ] {
        let mut session = Session::new(100, script);
        session.service.history = Arc::new(move |_, _| Err(outcome.clone()));
        let (tally, ended) = session.run().await;
        let RunEnd::Stopped(StopReason::Refused(reason)) = ended else { panic!("{what}: {ended:?}") };
        assert!(reason.to_string().contains("line 101: "), "{what}: {reason}");
        assert_eq!((tally.done, tally.failed, session.memory.count(State::Waiting)), (99, 0, 1), "{what}");
        assert_eq!(session.service.sendings(), 101, "{what}");
        assert!(session.service.lookups.lock().unwrap().len() <= 8, "{what}");
    }
}

/// A row whose signature is always "expired" while the others pass: once, it was signed anew for ever.
#[tokio::test(start_paused = true)]
async fn a_row_is_not_signed_anew_for_ever() {
    let session =
        Session::new(3_000, |line, _, _| reply(40, if line == 500 { signed_anew(70001) } else { Outcome::Confirmed }));
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.failed, session.service.sendings.lock().unwrap()[&500]), (2_999, 1, 3));
}

/// Such a row comes first: it stops the run, and is named.
#[tokio::test(start_paused = true)]
async fn a_row_that_gets_such_a_code_before_anything_was_accepted_is_named() {
    let session =
        Session::new(100, |line, _, _| reply(40, if line == 2 { refused(60004) } else { Outcome::Confirmed }));
    let (tally, ended) = session.run().await;
    let RunEnd::Stopped(reason) = ended else { panic!("{ended:?}") };
    assert!(reason.to_string().contains("line 2: MsgKey \"0_1_1773188576\""), "{reason}");
    assert_eq!((tally.settled(), session.memory.count(State::Waiting)), (0, 1));
}

/// What the app's settings do not allow for edits they may allow for lookups, so a lookup tells nothing of whose fault it
/// is. And a code that is not the one the edit got before is another fault.
#[tokio::test(start_paused = true)]
async fn a_setting_of_the_app_or_another_code_than_before_fails_no_edit() {
    let scripts: [(u64, Script); 2] = [
        (72000, |line, _, _| reply(40, if line > 97 { refused(72000) } else { Outcome::Confirmed })),
        (70009, |line, sending, since| {
            let is_revoked = since > Duration::from_secs(5);
            reply(
                40,
                match (line, sending) {
                    (50, 0) => refused(60005),
                    _ if is_revoked => refused(70009),
                    _ => Outcome::Confirmed,
                },
            )
        }),
    ];
    for (code, script) in scripts {
        let mut session = Session::new(if code == 72000 { 100 } else { 3_000 }, script);
        session.service.history = Arc::new(|_, _| Ok(HistoryPage { complete: true, ..HistoryPage::default() }));
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Stopped(StopReason::Refused(_))), "{code}: {ended:?}");
        assert_eq!((tally.failed, session.memory.count(State::Failed)), (0, 0), "{code}");
    }
}
