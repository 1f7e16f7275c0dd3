use std::sync::Arc;

use super::*;
use crate::edit::Edit;

fn code(code: i64) -> Verdict {
    match error_code::lookup(code).map(|entry| entry.class) {
        Some(Class::Passing) => Verdict::Retry { code: Some(code) },
        Some(_) | None => Verdict::Failed { code: Some(code) },
    }
}

fn edit_at(line: u64) -> EditAtLine {
    let id = crate::edit::MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "1_2_3".into() };
    let edit = Edit::new(id, None, Some("x".into())).unwrap();
    EditAtLine { line: line.into(), edit: Arc::new(edit) }
}

fn refusal(code: i64) -> JobRefusal {
    JobRefusal { code, edit: edit_at(17), done: 0 }
}

fn feed(breaker: &mut Breaker, verdict: Verdict, times: u64, from: Instant, apart: Duration) -> Option<StopReason> {
    (0..times).find_map(|index| {
        let now = from + apart * u32::try_from(index).unwrap();
        breaker.answered(&verdict, now)
    })
}

fn breaker() -> Breaker {
    Breaker::new(FailureLimit::Percent(20))
}

#[test]
fn a_code_that_holds_for_all_stops_at_once_where_nothing_was_accepted() {
    let reason = breaker().job_refused(refusal(70_003), false).unwrap().to_string();
    assert!(reason.starts_with("the service refused the job: 70003, "), "{reason}");
    assert!(reason.contains("line 17: MsgKey \"1_2_3\" from \"a\" to \"b\""), "{reason}");
    let mut passing = breaker();
    let now = Instant::now();
    let slow_down = Verdict::SlowDown { code: Some(60_007), retry_after: None };
    for verdict in [code(20_004), slow_down, code(424_242), code(60_004)] {
        passing.answered(&verdict, now);
        assert!(!passing.is_accepted(), "{verdict:?} may come before the service looks at the signature");
    }
    assert!(passing.job_refused(refusal(60_004), false).is_some());
}

#[test]
fn where_others_are_accepted_it_takes_a_row_of_them() {
    for accepted in [Verdict::Done, code(20_026)] {
        let (mut breaker, now) = (breaker(), Instant::now());
        for _ in 0..5 {
            breaker.answered(&accepted, now);
            for _ in 1..JOB_REFUSED_IN_A_ROW {
                assert!(breaker.job_refused(refusal(60_004), false).is_none());
            }
        }
        assert!(breaker.job_refused(refusal(60_004), false).is_some());
        breaker.answered(&accepted, now);
        assert!(breaker.job_refused(refusal(70_050), false).is_some(), "a lock-out is not called for once more");
        breaker.answered(&accepted, now);
        assert!(breaker.job_refused(refusal(60_004), true).is_some(), "and nothing was accepted since the first time");
        breaker.answered(&accepted, now);
        breaker.signature_refused();
        assert!(breaker.job_refused(refusal(70_001), false).is_some(), "another signature is in use now");
    }
}

#[test]
fn nothing_but_90992_for_a_while_points_to_the_webhook_server() {
    let now = Instant::now();
    let apart = Duration::from_millis(100);
    let stopped = |times, apart| feed(&mut breaker(), code(90_992), times, now, apart).is_some();
    assert!(stopped(101, apart));
    assert!(stopped(6, Duration::from_secs(3)), "a short list");
    assert!(!stopped(4, Duration::from_secs(9)), "too few");
    assert!(!stopped(1_000, Duration::from_millis(5)), "too soon");
    let mut interrupted = breaker();
    for _ in 0..10 {
        assert!(feed(&mut interrupted, code(90_992), 40, now, apart).is_none());
        assert!(feed(&mut interrupted, Verdict::Done, 1, now, apart).is_none());
    }
}

#[test]
fn a_service_that_finds_everything_too_fast_is_given_up_after_a_while() {
    let now = Instant::now();
    let minutes = |minutes| now + Duration::from_mins(minutes);
    let stopped = |lines: [u64; 2], most: u64| {
        let mut breaker = breaker();
        (0..=most).find_map(|minute| breaker.too_fast(edit_at(lines[usize::from(minute % 2 == 1)]), minutes(minute)))
    };
    assert!(stopped([17, 18], 14).is_none());
    assert!(matches!(stopped([17, 18], 15), Some(StopReason::TooFast)));
    assert!(stopped([17, 17], 14).is_none());
    let reason = stopped([17, 17], 15).unwrap().to_string();
    assert!(reason.contains("each time to line 17: MsgKey \"1_2_3\" from \"a\" to \"b\""), "{reason}");
    assert!(reason.ends_with("take its line out of the list"), "{reason}");

    let mut interrupted = breaker();
    for minute in 0..30 {
        assert!(interrupted.too_fast(edit_at(17), minutes(minute)).is_none());
        if minute % 10 == 0 {
            interrupted.answered(&Verdict::Done, minutes(minute));
        }
    }
}

#[test]
fn a_run_of_only_unknown_codes_stops() {
    let now = Instant::now();
    assert!(feed(&mut breaker(), code(424_242), 19, now, Duration::ZERO).is_none());
    assert!(feed(&mut breaker(), code(424_242), 20, now, Duration::ZERO).is_some());
    let mut mixed = breaker();
    assert!(feed(&mut mixed, Verdict::Done, 1, now, Duration::ZERO).is_none());
    assert!(feed(&mut mixed, code(424_242), 100, now, Duration::ZERO).is_none());
}

#[test]
fn limits_are_a_count_or_a_share_of_enough_edits() {
    let check = |text: &str, failures, settled, passed| {
        assert_eq!(text.parse::<FailureLimit>().unwrap().is_passed(failures, settled), passed, "{text}");
    };
    check("20%", 99, 99, false);
    check("20%", 20, 100, false);
    check("20%", 21, 100, true);
    check("0", 0, 5, false);
    check("0", 1, 5, true);
    check("100%", 500, 500, false);
    for bad in ["", "x", "101%", "-1", "20 %"] {
        assert!(bad.parse::<FailureLimit>().is_err(), "{bad}");
    }
}

#[test]
fn a_service_out_of_reach_is_tried_less_and_less_often_and_then_given_up() {
    let mut breaker = breaker();
    let mut now = Instant::now();
    let start = now;
    let mut holds = Vec::new();
    loop {
        let (stop, hold) = breaker.unreachable("connection refused".into(), now);
        if stop.is_some() {
            break;
        }
        holds.push(hold.as_millis());
        now += hold;
    }
    assert_eq!(holds, [500, 1_000, 2_000, 4_000, 8_000, 4_500]);
    assert_eq!(now - start, OUTAGE_FIRST);

    breaker.answered(&Verdict::Done, now);
    assert!(breaker.unreachable("connection refused".into(), now).0.is_none());
    assert!(breaker.unreachable("connection refused".into(), now + OUTAGE_FIRST).0.is_none());
    assert!(breaker.unreachable("connection refused".into(), now + OUTAGE_MAX).0.is_some());
}

/// Settles edits, `failed_of` in each ten as failed. Returns how many were settled when the breaker stopped the run.
fn settle(breaker: &mut Breaker, tally: &mut Tally, edits: u64, failed_of_ten: u64) -> Option<(u64, String)> {
    (1..=edits).find_map(|edit| {
        let state = if edit % 10 < failed_of_ten { State::Failed } else { State::Done };
        tally.failed += u64::from(state == State::Failed);
        tally.done += u64::from(state == State::Done);
        breaker.settled(state, tally).map(|reason| (edit, reason.to_string()))
    })
}

#[test]
fn what_begins_to_fail_after_a_good_night_is_not_outweighed_by_it() {
    let (mut breaker, mut tally) = (breaker(), Tally::default());
    assert_eq!(settle(&mut breaker, &mut tally, 300_000, 1), None);
    let (after, reason) = settle(&mut breaker, &mut tally, 1_000, 10).unwrap();
    assert!((100..=120).contains(&after), "{after}");
    assert!(reason.starts_with("201 of the last 1000 edits failed or are in doubt, more than"), "{reason}");

    let (mut steady, mut tally) = (Breaker::new(FailureLimit::Percent(21)), Tally::default());
    assert_eq!(settle(&mut steady, &mut tally, 10_000, 2), None, "a fifth, all the time");
    let (after, reason) = settle(&mut Breaker::new(FailureLimit::Percent(20)), &mut Tally::default(), 200, 3).unwrap();
    assert_eq!((after, reason.starts_with("30 of 100 edits")), (100, true), "{reason}");
    let (mut counted, mut tally) = (Breaker::new(FailureLimit::Count(5)), Tally::default());
    assert_eq!(settle(&mut counted, &mut tally, 100, 1).map(|(after, _)| after), Some(60));
}

#[test]
fn answers_that_are_lost_one_after_the_other_are_an_outage() {
    let (mut breaker, start) = (breaker(), Instant::now());
    breaker.answered(&Verdict::Done, start);
    let note = Note::Http(502);
    for _ in 1..LOST_IN_A_ROW {
        assert_eq!(breaker.lost(note, start).1, Duration::ZERO);
    }
    assert!(!breaker.is_out_of_reach());
    breaker.answer_known();
    for _ in 1..LOST_IN_A_ROW {
        breaker.lost(note, start);
    }
    let mut now = start;
    let (mut tries, mut stopped) = (0, None);
    while stopped.is_none() {
        let (stop, hold) = breaker.lost(note, now);
        assert!(breaker.is_out_of_reach());
        stopped = stop;
        tries += 1;
        now += hold;
    }
    assert!(tries < 50, "each of them leaves an edit in doubt: {tries}");
    assert_eq!(now - start, OUTAGE_MAX);
    assert!(stopped.unwrap().to_string().contains("HTTP 502"));
}

/// Once, a gateway that answers every request with 404 was taken for an outage like any other.
#[test]
fn an_address_that_is_not_the_services_is_given_up_soon() {
    let tries = |note, apart| {
        let (mut breaker, start) = (breaker(), Instant::now());
        let mut now = start;
        for lost in 1.. {
            let (stop, hold) = breaker.lost(note, now);
            if let Some(reason) = stop {
                return (lost, now - start, reason.to_string());
            }
            now += hold.max(apart);
        }
        unreachable!("it is given up")
    };
    let apart = Duration::from_millis(10);
    for status in [302, 400, 401, 403, 404, 405, 407, 413, 421, 451] {
        let (lost, _, reason) = tries(Note::Http(status), apart);
        assert_eq!(lost, WRONG_ADDRESS_ANSWERS, "{status}");
        assert!(
            reason.contains(&format!("HTTP {status} instead")) && reason.contains("a proxy on the way"),
            "{reason}"
        );
    }
    for note in [Note::Http(408), Note::Http(425), Note::Http(429), Note::Http(502), Note::NotTheService] {
        let (lost, after, reason) = tries(note, apart);
        assert!((LOST_FIRST..12).contains(&lost) && after < 2 * OUTAGE_FIRST, "{note:?}: {lost} in {after:?}");
        assert!(reason.starts_with("nothing that came back is an answer of the service"), "{reason}");
    }
    let (lost, ..) = tries(Note::TimedOut, Duration::from_secs(10));
    assert!((LOST_FIRST..9).contains(&lost), "{lost}");
    let (lost, after, _) = tries(Note::LostInside, apart);
    assert!(lost > LOST_IN_A_ROW && after >= OUTAGE_MAX, "the service itself said so");
}

/// Once, a run that only reads back was given up after 20 s, as if the address were wrong.
#[test]
fn whoever_was_heard_of_in_any_way_is_waited_for() {
    let (mut breaker, start) = (breaker(), Instant::now());
    breaker.answer_known();
    assert!(breaker.unreachable("connection refused".into(), start).0.is_none());
    assert!(breaker.unreachable("connection refused".into(), start + 2 * OUTAGE_FIRST).0.is_none());
    assert!(breaker.unreachable("connection refused".into(), start + OUTAGE_MAX).0.is_some());
}

/// Once, a pause of twenty minutes was taken for twenty minutes of trouble: the first trouble after it stopped the run.
#[test]
fn a_pause_is_no_trouble() {
    let now = Instant::now();
    let late = now + Duration::from_mins(20);
    let mut breaker = breaker();
    assert!(breaker.too_fast(edit_at(17), now).is_none());
    breaker.resumed(late);
    assert!(breaker.too_fast(edit_at(17), late).is_none());
    assert!(breaker.too_fast(edit_at(17), late + TOO_FAST_MAX).is_some());

    assert!(breaker.unreachable("refused".to_owned(), now).0.is_none());
    breaker.resumed(late);
    assert!(breaker.is_out_of_reach());
    assert!(breaker.unreachable("refused".to_owned(), late + Duration::from_secs(1)).0.is_none());
    assert!(breaker.unreachable("refused".to_owned(), late + OUTAGE_MAX).0.is_some());
}
