//! The service answers nothing for a while: the list must not come into doubt row by row.

use std::sync::Arc;
use std::time::Duration;

use runner::api::history::{HistoryMessage, HistoryPage};
use runner::api::{Outcome, history::HistoryQuery};
use runner::ledger::Note;
use runner::run::{FailureLimit, InDoubt, RunEnd, StopReason};
use tokio::time::Instant;

use super::scripted::{Reply, Session, refused, reply};

fn lost() -> Outcome {
    Outcome::NoAnswer(Note::ConnectionLost)
}

fn out_for_a_minute(_: u64, _: u32, since: Duration) -> Reply {
    let is_out = (Duration::from_secs(2)..Duration::from_secs(62)).contains(&since);
    reply(1, if is_out { lost() } else { Outcome::Confirmed })
}

fn out_for_good(_: u64, _: u32, since: Duration) -> Reply {
    reply(1, if since >= Duration::from_secs(2) { lost() } else { Outcome::Confirmed })
}

#[tokio::test(start_paused = true)]
async fn an_outage_brings_few_edits_into_doubt() {
    let mut session = Session::new(4_000, out_for_a_minute);
    session.failures = FailureLimit::Percent(100);
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    // Twenty in a row, what goes out while the last of them are committed, and one try after each hold.
    assert!((20..48).contains(&tally.in_doubt), "{tally:?}");
    assert_eq!(tally.done + tally.in_doubt, 4_000);
}

/// Once, lookups that prove nothing, or need no request, were taken for a sign that the service is back: after each of
/// them the list went out at full speed again, and all of it came into doubt.
#[tokio::test(start_paused = true)]
async fn looks_that_tell_nothing_do_not_end_an_outage() {
    type Look = fn(usize, &HistoryQuery) -> Result<HistoryPage, Outcome>;
    let lookups: [(&str, Look, u32); 5] = [
        ("refused", |_, _| Err(refused(60010)), 8),
        ("nothing there", |_, _| Ok(HistoryPage { complete: true, ..HistoryPage::default() }), 8),
        ("lost", |_, _| Err(lost()), 8),
        ("lost, one attempt", |_, _| Err(lost()), 1),
        ("answered with a passing error", |_, _| Err(refused(20004)), 8),
    ];
    for (name, look, attempts_max) in lookups {
        let mut session = Session::new(4_000, out_for_good);
        session.in_doubt = InDoubt::Verify;
        session.failures = FailureLimit::Percent(100);
        session.attempts_max = attempts_max.try_into().unwrap();
        session.service.history = Arc::new(look);
        let start = Instant::now();
        let (tally, ended) = session.run().await;
        assert!(matches!(ended, RunEnd::Stopped(StopReason::NoAnswers(_))), "{name}: {ended:?}");
        assert!((20..110).contains(&tally.in_doubt), "{name}: {tally:?}");
        assert!(start.elapsed() < Duration::from_mins(11), "{name}: {:?}", start.elapsed());
    }
}

/// If lookups show what became of each edit, the run continues without the edits' answers.
#[tokio::test(start_paused = true)]
async fn looks_that_tell_make_up_for_answers() {
    let mut session = Session::new(2_000, out_for_good);
    session.in_doubt = InDoubt::Verify;
    session.service.history = Arc::new(|_, _| {
        let held = |row: u64| {
            let [from_account, to_account] = ["a", "b"].map(str::to_owned);
            let id = runner::edit::MessageId { from_account, to_account, msg_key: format!("{row}_1_1773188576") };
            HistoryMessage { id, recalled: false, msg_body: None, cloud_custom_data: Some("x".to_owned()) }
        };
        Ok(HistoryPage { complete: true, messages: (0..2_000).map(held).collect(), ..HistoryPage::default() })
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, RunEnd::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.in_doubt, tally.attempts), (2_000, 0, 2_000));
    assert!(tally.found_edited > 1_000, "{tally:?}");
}
