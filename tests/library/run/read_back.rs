//! Reading back edits in doubt.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use runner::api::Outcome;
use runner::api::history::{HistoryMessage, HistoryPage, HistoryQuery};
use runner::edit::MessageId;
use runner::ledger::{Note, State};
use runner::run::{Conditions, FailureLimit, InDoubt, Reviewed, RunEnd, UnderWay};
use tokio::time::{Instant, sleep};

use super::scripted::{Reply, Session, refused, reply};

/// The answer to the first attempt at one edit is lost.
fn loses_one(line: u64, sending: u32, _: Duration) -> Reply {
    let lost = line == 7 && sending == 0;
    reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
}

fn verifying(
    rows: u64,
    history: impl Fn(usize, &HistoryQuery) -> Result<HistoryPage, Outcome> + Send + Sync + 'static,
) -> Session {
    let mut session = Session::new(rows, loses_one);
    session.in_doubt = InDoubt::Verify;
    session.service.history = Arc::new(history);
    session
}

/// The message whose answer was lost, as a history shows it.
fn held(data: &str) -> HistoryMessage {
    let [from_account, to_account, msg_key] = ["a", "b", "5_1_1773188576"].map(str::to_owned);
    let id = MessageId { from_account, to_account, msg_key };
    HistoryMessage { id, recalled: false, msg_body: None, cloud_custom_data: Some(data.to_owned()) }
}

fn page(messages: Vec<HistoryMessage>) -> HistoryPage {
    HistoryPage { complete: true, messages, ..HistoryPage::default() }
}

/// "Too fast" in answer to a read-back holds read-backs and edits.
#[tokio::test(start_paused = true)]
async fn a_slow_down_of_reading_back_holds_everything() {
    let session = verifying(2_000, |nth, question| {
        if nth == 1 {
            return Err(refused(60007));
        }
        assert!(question.min_time <= 1_773_188_576 && question.max_time >= 1_773_188_576);
        Ok(page(vec![held("x")]))
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.found_edited, tally.attempts), (2_000, 1, 2_000));
    let lookups = session.service.lookups.lock().unwrap();
    let [first, second] = lookups[..] else { panic!("{lookups:?}") };
    let is_a_second = |at: Duration| at >= Duration::from_secs(1);
    assert!(is_a_second(second - first), "{:?}", second - first);
    // A second in which no edit goes out either.
    let arrivals = session.service.arrivals.lock().unwrap();
    let held = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(is_a_second(held), "{held:?}");
}

/// Once, a run never ended: no edit is to blame for a lookup that is too fast, so these were not counted.
#[tokio::test(start_paused = true)]
async fn looks_that_are_always_too_fast_come_to_an_end() {
    let session = verifying(2_000, |_, _| Err(refused(60007)));
    let start = Instant::now();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.in_doubt, tally.attempts), (1_999, 1, 2_000));
    assert!(start.elapsed() < Duration::from_mins(8), "{:?}", start.elapsed());
    let known = session.memory.only(State::InDoubt);
    assert_eq!((known.note, known.code), (Some(Note::ReadBackFailed), Some(60007)));
}

/// Lookups that are too fast minutes apart are not one series.
#[tokio::test(start_paused = true)]
async fn one_look_that_is_too_fast_does_not_count_for_minutes() {
    let mut session = verifying(120_000, |nth, _| match nth {
        1 | 4 => Err(refused(60007)),
        2 | 3 => Err(refused(90_048)),
        _ => Ok(page(vec![HistoryMessage {
            id: MessageId { msg_key: "99998_1_1773188576".into(), ..held("x").id },
            ..held("x")
        }])),
    });
    session.service.script = |line, sending, _| {
        let lost = matches!(line, 7 | 100_000) && sending == 0;
        reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
    };
    let (tally, _) = session.run().await;
    assert_eq!((tally.in_doubt, tally.found_edited), (1, 1), "{tally:?}");
}

/// Lookups whose signature is refused again and again, while the edits' is not, come to an end as well.
#[tokio::test(start_paused = true)]
async fn looks_with_a_signature_that_is_never_taken_come_to_an_end() {
    let session = verifying(4_000, |_, _| {
        Err(Outcome::Refused { code: 70_001, info: String::new(), retry_after: None, signed_anew: true })
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.in_doubt, tally.read_backs), (3_999, 1, 8));
}

/// What one side's history shows of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Wanted,
    Another,
    LeftOut,
    Recalled,
    Nothing,
    /// The history breaks off before its end.
    CutShort,
    Refused,
}

impl Side {
    fn answer(self) -> Result<HistoryPage, Outcome> {
        match self {
            Side::Wanted => Ok(page(vec![held("x")])),
            Side::Another => Ok(page(vec![held("as it was")])),
            Side::LeftOut => Ok(page(vec![HistoryMessage { cloud_custom_data: None, ..held("") }])),
            Side::Recalled => Ok(page(vec![HistoryMessage { recalled: true, ..held("as it was") }])),
            Side::Nothing => Ok(page(Vec::new())),
            Side::CutShort => Ok(HistoryPage { complete: false, ..page(Vec::new()) }),
            Side::Refused => Err(refused(90_048)),
        }
    }
}

/// Each side has a history of its own, and they may differ.
#[tokio::test(start_paused = true)]
async fn both_sides_are_heard() {
    use Side::{Another, CutShort, LeftOut, Nothing, Recalled, Refused, Wanted};
    let edited = (State::Done, 50, Some(Note::ReadBack));
    let sent_again = (State::Done, 51, None);
    let in_doubt = |note| (State::InDoubt, 50, Some(note));
    for (sides, expected) in [
        ([Wanted, Wanted], edited),
        ([Wanted, Another], edited),
        ([Wanted, Nothing], edited),
        ([Wanted, Refused], edited),
        ([Another, Another], sent_again),
        ([Another, Nothing], sent_again),
        ([Another, Refused], in_doubt(Note::ReadBackRefused)),
        ([Another, CutShort], in_doubt(Note::ReadBackFailed)),
        ([Nothing, CutShort], in_doubt(Note::ReadBackFailed)),
        ([Wanted, CutShort], edited),
        ([Another, Recalled], in_doubt(Note::Recalled)),
        ([Another, LeftOut], in_doubt(Note::Alike)),
        ([Recalled, Recalled], in_doubt(Note::Recalled)),
        ([Recalled, Nothing], in_doubt(Note::Recalled)),
        ([LeftOut, LeftOut], in_doubt(Note::Alike)),
        ([Nothing, Nothing], in_doubt(Note::NotInHistory)),
        ([Nothing, Refused], in_doubt(Note::ReadBackRefused)),
        ([Refused, Refused], in_doubt(Note::ReadBackRefused)),
    ] {
        for [sender, receiver] in [sides, [sides[1], sides[0]]] {
            let session = verifying(50, move |_, question| match question.operator.as_str() {
                "a" => sender.answer(),
                _ => receiver.answer(),
            });
            session.run().await;
            let known = session.memory.of("5_1_1773188576");
            let came_to = (known.state, session.service.sendings(), known.note);
            assert_eq!(came_to, expected, "the sender's side: {sender:?}, the receiver's: {receiver:?}");
        }
    }
}

/// A page starts after the last message of the previous one, in both of the ways that the service asks for.
#[tokio::test(start_paused = true)]
async fn a_history_is_read_page_by_page() {
    let session = verifying(50, |nth, question| {
        let another = MessageId { msg_key: format!("{nth}_9_1773188577"), ..held("").id };
        let goes_on = (question.max_time, question.last_msg_key.as_deref());
        let page = |last_msg_time, complete, held| {
            let messages = vec![HistoryMessage { id: another.clone(), ..held }];
            Ok(HistoryPage { complete, last_msg_time, last_msg_key: another.msg_key.clone(), messages })
        };
        match (nth, goes_on) {
            (1, (1_773_188_577, None)) => page(1_773_188_577, false, held("y")),
            (2, (1_773_188_577, Some("1_9_1773188577"))) => page(1_773_188_576, false, held("y")),
            (3, (1_773_188_576, Some("2_9_1773188577"))) => {
                Ok(HistoryPage { complete: true, ..Side::Wanted.answer().unwrap() })
            }
            (nth, goes_on) => panic!("question {nth} goes on at {goes_on:?}"),
        }
    });
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, tally.found_edited, tally.read_backs), (50, 1, 3));
}

/// Reading back has a limit of its own, however fast the edits may be.
#[tokio::test(start_paused = true)]
async fn looks_keep_to_their_own_limit() {
    let mut session = Session::new(4_000, |line, sending, _| match (line % 4, sending) {
        (0, 0) => reply(1, Outcome::NoAnswer(Note::ConnectionLost)),
        _ => reply(1, Outcome::Confirmed),
    });
    session.in_doubt = InDoubt::Verify;
    session.rate = NonZeroU32::new(2_000).unwrap();
    session.service.history = Arc::new(|_, _| Ok(page(Vec::new())));
    session.failures = FailureLimit::Percent(100);
    let (tally, _) = session.run().await;
    assert_eq!((tally.in_doubt, tally.read_backs), (1_000, 2_000));
    let worst = session.service.worst_second_of_questions();
    assert!((190..=200).contains(&worst), "{worst}");
}

/// It waits until the service can no longer be working on the attempt whose answer was lost, whatever the jitter.
#[tokio::test(start_paused = true)]
async fn an_edit_that_is_sent_again_unseen_waits_until_nothing_of_it_is_under_way() {
    let mut session = Session::new(400, |line, sending, _| {
        let lost = line.is_multiple_of(10) && sending == 0;
        reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
    });
    session.in_doubt = InDoubt::Retry;
    let start = Instant::now();
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, session.service.sendings()), (400, 440));
    let waited = session.service.arrivals.lock().unwrap()[400] - start;
    // The first of them was lost at once.
    assert!(waited >= Duration::from_secs(5), "{waited:?}");
}

/// Edits that wait are bounded, however many of them the service refuses for now.
#[tokio::test(start_paused = true)]
async fn what_waits_is_bounded() {
    static SEEN: AtomicU32 = AtomicU32::new(0);
    let mut session = Session::new(60_000, |line, sending, _| {
        SEEN.fetch_add(u32::from(sending == 0), Ordering::Relaxed);
        // Nothing else goes out before the first one is accepted.
        reply(1, if line == 2 { Outcome::Confirmed } else { refused(20004) })
    });
    session.rate = NonZeroU32::new(5_000).unwrap();
    session.failures = FailureLimit::Percent(100);
    let stop = session.stop.clone();
    tokio::spawn(async move {
        sleep(Duration::from_secs(7)).await;
        stop.cancel();
    });
    session.run().await;
    assert_eq!(session.memory.count(State::Failed), 0, "they wait still");
    let seen = SEEN.load(Ordering::Relaxed);
    assert!((10_000..11_000).contains(&seen), "{seen}");
}

/// With `--read-first` every message is read before it is sent, once nothing of an earlier run can be under way.
#[tokio::test(start_paused = true)]
async fn what_is_read_first_is_sent_only_where_it_holds_something_else() {
    // Keys end in the row's number: some messages hold what is wanted, some were recalled, some are missing.
    let history = |_: usize, _: &HistoryQuery| {
        let held = |row: u64| {
            let id =
                MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: format!("{row}_1_1773188576") };
            let data = if row.is_multiple_of(4) { "x" } else { "old" };
            HistoryMessage { id, recalled: row % 4 == 1, msg_body: None, cloud_custom_data: Some(data.into()) }
        };
        Ok(page((0..40).filter(|row| row % 4 != 2).map(held).collect()))
    };
    let mut session = Session::new(40, |_, _, _| reply(1, Outcome::Confirmed));
    session.read_first = true;
    session.service.history = Arc::new(history);
    session.failures = FailureLimit::Percent(100);
    let locked = Instant::now();
    session.locked_since = Some(locked);
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.failed, tally.in_doubt, tally.attempts), (20, 20, 0, 10), "{tally:?}");
    assert_eq!((tally.found_already, tally.found_missing, tally.found_edited + tally.found_not_edited), (10, 20, 0));
    let first = *session.service.lookups.lock().unwrap().iter().min().unwrap();
    assert!(first - locked >= Duration::from_secs(10), "an earlier run's request may still be under way");
}

/// A proxy has confirmed the bytes to the kernel, and may pass them on minutes later. After a lookup that comes too
/// early, the edit would be sent once more.
#[tokio::test(start_paused = true)]
async fn what_a_proxy_may_still_pass_on_is_waited_for() {
    for (under_way, seconds) in [(UnderWay::DIRECT, 5), (UnderWay::by_way_of(true, false), 125)] {
        let mut session = verifying(10, |_, _| Ok(page(vec![held("old")])));
        (session.under_way, session.failures) = (under_way, FailureLimit::Percent(100));
        let (tally, _) = session.run().await;
        assert_eq!((tally.done, tally.found_not_edited, tally.attempts), (10, 1, 11));
        let first_look = session.service.lookups.lock().unwrap()[0];
        let waited = first_look - session.service.arrivals.lock().unwrap()[0];
        assert!((seconds..=seconds + 1).contains(&waited.as_secs()), "{waited:?}");

        let mut again = Session::new(10, loses_one);
        (again.under_way, again.in_doubt) = (under_way, InDoubt::Retry);
        let (tally, _) = again.run().await;
        assert_eq!((tally.done, tally.attempts), (10, 11));
        let arrivals = again.service.arrivals.lock().unwrap();
        let waited = arrivals[10] - arrivals[9];
        assert!(waited >= Duration::from_secs(seconds), "{waited:?}");
    }
}

/// Whether it is this run's proxy or that of an earlier one.
#[tokio::test(start_paused = true)]
async fn what_a_proxy_has_of_an_earlier_run_is_waited_for() {
    for (proxy, proxy_before, seconds) in
        [(false, false, 10), (true, false, 130), (false, true, 130), (true, true, 130)]
    {
        let mut session = Session::new(1, |_, _, _| reply(1, Outcome::Confirmed));
        session.read_first = true;
        session.service.history = Arc::new(|_, _| Ok(page(Vec::new())));
        session.under_way = UnderWay::by_way_of(proxy, proxy_before);
        let locked = Instant::now();
        session.locked_since = Some(locked);
        session.run().await;
        let first = *session.service.lookups.lock().unwrap().iter().min().unwrap();
        assert_eq!((first - locked).as_secs(), seconds, "{proxy} {proxy_before}");
    }
}

/// What a message held when it was reviewed is compared as late as possible: a look from before a wait counts no more.
#[tokio::test(start_paused = true)]
async fn a_message_is_read_again_where_it_may_have_changed_since_it_was_read() {
    let mut list = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    std::io::Write::write_all(
        &mut list,
        b"from_account,to_account,msg_key,cloud_custom_data\na,b,0_1_1773188576,old\n",
    )
    .unwrap();
    let reviewed = Some(Arc::new(Reviewed::read(list.path()).unwrap()));
    // The first sending is refused as too fast, which holds the second one for a while.
    let script = |_: u64, sending: u32, _: Duration| {
        let retry_after = Some(Duration::from_secs(10));
        let too_fast = Outcome::Refused { code: 60007, info: String::new(), retry_after, signed_anew: false };
        reply(1, if sending == 0 { too_fast } else { Outcome::Confirmed })
    };
    for (later, state, keeps_originals) in [
        ("old", State::Done, false),
        ("edited by its sender", State::Failed, false),
        ("edited by its sender", State::Done, true),
    ] {
        let mut session = Session::new(1, script);
        (session.read_first, session.failures) = (true, FailureLimit::Percent(100));
        // What is to be kept is what it held last.
        let reviewed = reviewed.clone().filter(|_| !keeps_originals);
        session.conditions = Conditions { reviewed, keeps_originals };
        // One look at each side, and then what it holds later.
        session.service.history = Arc::new(move |look, _: &HistoryQuery| {
            let id = MessageId { msg_key: "0_1_1773188576".to_owned(), ..held("").id };
            Ok(page(vec![HistoryMessage { id, ..held(if look <= 2 { "old" } else { later }) }]))
        });
        let (tally, _) = session.run().await;
        let (arrivals, lookups) = (session.service.arrivals.lock().unwrap(), session.service.lookups.lock().unwrap());
        assert_eq!(session.memory.count(state), 1, "{tally:?}");
        for arrival in arrivals.iter() {
            let last_look = lookups.iter().filter(|look| *look <= arrival).max().unwrap();
            assert!(*arrival - *last_look <= Duration::from_secs(6), "{:?}", *arrival - *last_look);
        }
        if state == State::Failed {
            assert_eq!(session.memory.only(state).note, Some(Note::NotAsReviewed));
            assert_eq!((arrivals.len(), tally.found_unfit), (1, 1));
        }
    }
}

/// Looks that take longer than they may be old are used all the same: another one would take as long.
#[tokio::test(start_paused = true)]
async fn a_history_that_is_slow_does_not_keep_a_run_from_its_end() {
    for (rows, in_flight_max, rate, takes) in [(300, 600, 200, 3_000), (1_000, 1_000, 200, 50), (6, 8, 1, 100)] {
        let mut session = Session::new(rows, |_, _, _| reply(1, Outcome::Confirmed));
        (session.read_first, session.in_flight_max) = (true, in_flight_max);
        (session.rate, session.service.lookup_takes) = (NonZeroU32::new(rate).unwrap(), Duration::from_millis(takes));
        session.conditions = Conditions { reviewed: None, keeps_originals: true };
        session.service.history = Arc::new(move |_, _: &HistoryQuery| {
            let id = |row| MessageId { msg_key: format!("{row}_1_1773188576"), ..held("").id };
            Ok(page((0..rows).map(|row| HistoryMessage { id: id(row), ..held("old") }).collect()))
        });
        let begun = Instant::now();
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Finished) && tally.done == rows, "{ended:?} {tally:?}");
        assert!(begun.elapsed() < Duration::from_mins(2), "{rows}: {:?}", begun.elapsed());
        assert_eq!(tally.found_to_edit, rows);
    }
}

/// What was sent, and reads neither as wanted nor as it was reviewed, is for a person to look at.
#[tokio::test(start_paused = true)]
async fn what_was_sent_and_reads_otherwise_since_stays_in_doubt() {
    let mut list = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let header = "from_account,to_account,msg_key,cloud_custom_data".to_owned();
    let rows = (0..10).map(|row| format!("a,b,{row}_1_1773188576,old"));
    let text = std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n");
    std::io::Write::write_all(&mut list, text.as_bytes()).unwrap();
    let mut session = verifying(10, |look, _| {
        let id = |row: usize| MessageId { msg_key: format!("{row}_1_1773188576"), ..held("").id };
        let data = if look <= 20 { "old" } else { "a third one" };
        Ok(page((0..10).map(|row| HistoryMessage { id: id(row), ..held(data) }).collect()))
    });
    (session.read_first, session.failures) = (true, FailureLimit::Percent(100));
    session.conditions =
        Conditions { reviewed: Some(Arc::new(Reviewed::read(list.path()).unwrap())), keeps_originals: false };
    let (tally, _) = session.run().await;
    assert_eq!((tally.done, tally.in_doubt), (9, 1), "{tally:?}");
    assert_eq!(session.memory.only(State::InDoubt).note, Some(Note::ReadsOtherwise));
}
