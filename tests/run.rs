//! The run itself, on a paused clock, with a scripted service and a ledger in memory: what would take minutes takes
//! milliseconds, and times are exact. The cap is proved here to the millisecond; on a real machine, client and server
//! share two cores, and neither sees the other's clock.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "a test that cannot go on shall say so")]

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runner::api::history::{Held, Page, Question};
use runner::api::{Outcome, Service};
use runner::edit::{IdDigest, MessageId};
use runner::input::{ContentSpec, Format, Input, InputSpec, Mapping};
use runner::ledger::{Change, Intent, Known, Ledger, LedgerError, Note, Records, State, Store};
use runner::pace::Permit;
use runner::run::{Ended, FailureLimit, InDoubt, Limits, Line, Policy, StopReason, Tally, Terms, plan, run};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// The ledger, in memory. It can be told to fail at its n-th commit.
#[derive(Clone, Default)]
struct Memory {
    edits: Arc<Mutex<HashMap<IdDigest, Known>>>,
    commits: Arc<Mutex<u64>>,
    fails_at: Option<u64>,
}

impl Store for Memory {
    async fn commit(&mut self, changes: Vec<Change>) -> Result<(), LedgerError> {
        // As long as an fsync on a cloud disk takes.
        sleep(Duration::from_millis(5)).await;
        let mut commits = self.commits.lock().unwrap();
        *commits += 1;
        if self.fails_at.is_some_and(|at| *commits >= at) {
            let source = Arc::new(std::io::Error::other("no space left on device"));
            return Err(LedgerError::Write { path: "ledger.db".into(), source });
        }
        let mut edits = self.edits.lock().unwrap();
        for change in changes {
            let message = change.edit.id().digest();
            assert_eq!(edits.get(&message).map(|known| known.state), change.from, "the run believes another state");
            match change.to {
                None => {
                    edits.remove(&message);
                }
                Some(state) => {
                    let content = change.edit.content_digest();
                    let (attempts, code, note) = (change.attempts, change.code, change.note);
                    edits.insert(message, Known { state, content, attempts, code, note });
                }
            }
        }
        Ok(())
    }
}

impl Records for Memory {
    fn find(&mut self, message: IdDigest) -> Result<Option<Known>, LedgerError> {
        Ok(self.edits.lock().unwrap().get(&message).copied())
    }
}

impl Memory {
    fn count(&self, state: State) -> usize {
        self.edits.lock().unwrap().values().filter(|known| known.state == state).count()
    }
}

/// What the service does with the n-th sending of an edit (0, 1, …), this long after the start.
type Script = fn(line: u64, sending: u32, since: Duration) -> Reply;

#[derive(Clone)]
struct Reply {
    /// From the permit to the bytes: a connection that has to be opened.
    opens: Duration,
    /// From the bytes to the answer.
    takes: Duration,
    outcome: Outcome,
}

fn reply(takes: u64, outcome: Outcome) -> Reply {
    Reply { opens: Duration::ZERO, takes: Duration::from_millis(takes), outcome }
}

fn refused(code: i64) -> Outcome {
    Outcome::Refused { code, info: String::new(), retry_after: None, signed_anew: false }
}

/// The service, as the script says. It sees when requests arrive.
#[derive(Clone)]
struct Scripted {
    script: Script,
    start: Instant,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    sendings: Arc<Mutex<HashMap<u64, u32>>>,
    in_flight: Arc<Mutex<(usize, usize)>>,
    /// What comes back of the n-th question (1, 2, …) for a history.
    history: fn(usize, &Question) -> Result<Page, Outcome>,
    questions: Arc<Mutex<Vec<Instant>>>,
}

impl Scripted {
    fn new(script: Script) -> Scripted {
        Scripted {
            script,
            start: Instant::now(),
            arrivals: Arc::default(),
            sendings: Arc::default(),
            in_flight: Arc::default(),
            // Nobody is allowed to look.
            history: |_, _| Err(refused(60010)),
            questions: Arc::default(),
        }
    }

    fn sendings(&self) -> u32 {
        self.sendings.lock().unwrap().values().sum()
    }

    fn worst_second(&self) -> usize {
        let arrivals = self.arrivals.lock().unwrap();
        let (mut worst, mut first) = (0, 0);
        for last in 0..arrivals.len() {
            while arrivals[last] - arrivals[first] >= Duration::from_secs(1) {
                first += 1;
            }
            worst = worst.max(last - first + 1);
        }
        worst
    }

    /// Of the first `count` requests: at the end of a list, the last retries leave the cap unused.
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    fn mean(&self, count: usize) -> f64 {
        let arrivals = self.arrivals.lock().unwrap();
        (count - 1) as f64 / (arrivals[count - 1] - arrivals[0]).as_secs_f64()
    }
}

impl Service for Scripted {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let sending = {
            let mut sendings = self.sendings.lock().unwrap();
            let count = sendings.entry(intent.line()).or_default();
            *count += 1;
            *count - 1
        };
        let reply = (self.script)(intent.line(), sending, self.start.elapsed());
        {
            let mut in_flight = self.in_flight.lock().unwrap();
            in_flight.0 += 1;
            in_flight.1 = in_flight.1.max(in_flight.0);
        }
        sleep(reply.opens).await;
        if matches!(reply.outcome, Outcome::NotSent { .. }) {
            drop(permit);
        } else {
            permit.spend();
            self.arrivals.lock().unwrap().push(Instant::now());
        }
        sleep(reply.takes).await;
        self.in_flight.lock().unwrap().0 -= 1;
        reply.outcome
    }

    async fn history(&self, question: &Question, permit: Permit) -> Result<Page, Outcome> {
        permit.spend();
        let nth = {
            let mut questions = self.questions.lock().unwrap();
            questions.push(Instant::now());
            questions.len()
        };
        (self.history)(nth, question)
    }
}

struct Session {
    rows: u64,
    memory: Memory,
    service: Scripted,
    in_doubt: InDoubt,
    in_flight_max: usize,
    locked_since: Option<Instant>,
    stop: CancellationToken,
}

impl Session {
    fn new(rows: u64, script: Script) -> Session {
        Session {
            rows,
            memory: Memory::default(),
            service: Scripted::new(script),
            in_doubt: InDoubt::Hold,
            in_flight_max: 600,
            locked_since: None,
            stop: CancellationToken::new(),
        }
    }

    async fn run(&self) -> (Tally, Ended) {
        let header = "from_account,to_account,msg_key,cloud_custom_data".to_owned();
        let rows = (0..self.rows).map(|row| format!("a,b,{row}_1_1773188576,x"));
        let list = std::iter::once(header).chain(rows).collect::<Vec<_>>().join("\n");
        let input = Input::from_reader("edits.csv", list.as_bytes(), Format::Csv).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let attempts_max = NonZeroU32::new(8).unwrap();
        let policy = Policy { in_doubt: self.in_doubt, retry_failed: false, rows_max: None };
        let plan = plan(&input, &mapping, Some(&mut self.memory.clone()), &policy).unwrap();
        let todo = plan.todo(&input, &mapping, Some(Box::new(self.memory.clone())), policy).unwrap();
        let (ledger, writer) = Ledger::start(self.memory.clone());
        let terms =
            Terms { rate: RATE, attempts_max, in_doubt: self.in_doubt, locked_since: self.locked_since, seed: 1 };
        let line = Line::new(ledger, self.service.clone(), terms);
        let limits = Limits { in_flight_max: self.in_flight_max, ahead_max: 20, failures: FailureLimit::Percent(20) };
        let ended = run(line, limits, todo, self.stop.clone(), |_| {}).await;
        writer.await.unwrap();
        ended
    }
}

/// The cap is never passed and at least 99 % of it is used, as the service sees it.
async fn check_pace(script: Script) {
    let session = Session::new(4_000, script);
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, Ended::Finished), "{ended:?}");
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
    // As the program does on a ledger in which something was sent.
    session.locked_since = Some(Instant::now());
    session.stop = CancellationToken::new();
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, Ended::Finished), "{ended:?}");
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

#[tokio::test(start_paused = true)]
async fn attempts_run_out_and_the_edit_has_failed() {
    let session = Session::new(30, |line, _, _| reply(1, if line == 5 { refused(20005) } else { Outcome::Confirmed }));
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, Ended::Finished), "{ended:?}");
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
    assert!(matches!(ended, Ended::Interrupted), "{ended:?}");
    let sent = session.service.sendings() as usize;
    assert_eq!(session.memory.count(State::Done), sent);
    assert_eq!(session.memory.edits.lock().unwrap().len(), sent, "nothing else is in the ledger");
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
    let session =
        Session::new(1_000, |line, _, _| reply(200, if line == 100 { refused(70003) } else { Outcome::Confirmed }));
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, Ended::Stopped(StopReason::Refused(_))), "{ended:?}");
    assert_eq!(session.memory.count(State::Waiting), 1, "the refused edit can be sent again");
    assert_eq!(session.memory.count(State::Sending), 0);
    assert_eq!(session.memory.count(State::Done) as u64, tally.done);
}

#[tokio::test(start_paused = true)]
async fn nothing_but_90992_stops_and_points_to_the_webhook_server() {
    let session = Session::new(4_000, |_, _, _| reply(5, refused(90992)));
    let (_, ended) = session.run().await;
    let Ended::Stopped(reason) = ended else { panic!("{ended:?}") };
    assert!(reason.to_string().contains("your own webhook server"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_service_out_of_reach_costs_no_attempts() {
    let session = Session::new(100, |_, _, since| {
        let unreachable = Outcome::NotSent { reason: "connection refused".to_owned() };
        reply(0, if since < Duration::from_secs(5) { unreachable } else { Outcome::Confirmed })
    });
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, Ended::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.attempts), (100, 100));
    assert!(session.memory.edits.lock().unwrap().values().all(|known| known.attempts == 1));

    let gone = Session::new(100, |_, _, _| reply(0, Outcome::NotSent { reason: "connection refused".to_owned() }));
    let (tally, ended) = gone.run().await;
    assert!(matches!(ended, Ended::Stopped(StopReason::Unreachable(_))), "{ended:?}");
    assert_eq!((tally.settled(), gone.memory.edits.lock().unwrap().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn once_the_ledger_failed_nothing_more_is_sent() {
    let mut session = Session::new(1_000, |_, _, _| reply(100, Outcome::Confirmed));
    session.memory.fails_at = Some(10);
    let (tally, ended) = session.run().await;
    let Ended::Stopped(StopReason::Ledger(error)) = ended else { panic!("{ended:?}") };
    assert!(error.to_string().contains("no space left on device"), "{error}");
    let sent = session.service.sendings() as usize;
    let (done, sending) = (session.memory.count(State::Done), session.memory.count(State::Sending));
    assert!(sent <= done + sending, "{sent} were sent, {done} are done and {sending} known to be under way");
    assert_eq!(tally.done as usize, done);
    assert!(tally.in_doubt as usize <= sending && tally.in_doubt > 0, "{tally:?}");
}

/// "Too fast", said to a read-back, holds it and the edits too.
#[tokio::test(start_paused = true)]
async fn a_slow_down_of_reading_back_holds_everything() {
    let mut session = Session::new(2_000, |line, sending, _| {
        let lost = line == 7 && sending == 0;
        reply(1, if lost { Outcome::NoAnswer(Note::ConnectionLost) } else { Outcome::Confirmed })
    });
    session.in_doubt = InDoubt::Verify;
    session.service.history = |nth, question| {
        if nth == 1 {
            return Err(refused(60007));
        }
        assert!(question.min_time <= 1_773_188_576 && question.max_time >= 1_773_188_576);
        let [from_account, to_account, msg_key] = ["a", "b", "5_1_1773188576"].map(str::to_owned);
        let id = MessageId { from_account, to_account, msg_key };
        let held = Held { id, recalled: false, msg_body: None, cloud_custom_data: Some("x".to_owned()) };
        Ok(Page { complete: true, messages: vec![held], ..Page::default() })
    };
    let (tally, ended) = session.run().await;
    assert!(matches!(ended, Ended::Finished), "{ended:?}");
    assert_eq!((tally.done, tally.found_edited, tally.attempts), (2_000, 1, 2_000));
    let questions = session.service.questions.lock().unwrap();
    let [first, second] = questions[..] else { panic!("{questions:?}") };
    let is_a_second = |at: Duration| at >= Duration::from_secs(1);
    assert!(is_a_second(second - first), "{:?}", second - first);
    // A second in which no edit goes out either.
    let arrivals = session.service.arrivals.lock().unwrap();
    let held = arrivals.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(is_a_second(held), "{held:?}");
}
