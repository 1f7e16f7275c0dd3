//! A connection that is opened again when it is lost, and transactions that are sent as one message.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::mem::replace;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::maybe_done;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::columns::unsound;
use super::{PostgresAddress, PostgresError, Purpose, connect};
use crate::ledger::LedgerError;

/// The longest that one attempt may take. Then its connection is given up: what was sent there may still be done, and
/// numbers or guards in every statement make that harmless.
const ATTEMPT_MAX: Duration = Duration::from_secs(2);
/// The longest that a few statements may take that nothing repeats.
const FEW_MAX: Duration = Duration::from_secs(20);
/// The longest that a run waits for the database.
const OUTAGE_MAX: Duration = Duration::from_mins(10);
/// How long it waits without a word.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// The longest that it waits when it ends. Without that it is lost, and every outcome is recorded all the same.
const ENDING_MAX: Duration = Duration::from_mins(1);
/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(3));

/// The code of what the schema's function `must` raises.
const MUST: &str = "RN001";

pub(super) type Parameter<'a> = Box<dyn ToSql + Send + Sync + 'a>;

/// A statement of a transaction.
pub(super) struct Step<'a> {
    sql: &'static str,
    parameters: Vec<Parameter<'a>>,
}

impl<'a> Step<'a> {
    pub(super) fn new(sql: &'static str) -> Step<'a> {
        Step { sql, parameters: Vec::new() }
    }

    pub(super) fn with(mut self, parameter: impl ToSql + Send + Sync + 'a) -> Step<'a> {
        self.parameters.push(Box::new(parameter));
        self
    }
}

/// A connection, and what is prepared on it.
pub(super) struct Link {
    address: PostgresAddress,
    purpose: Purpose,
    client: Option<Client>,
    statements: HashMap<&'static str, Statement>,
    /// How often it was opened.
    pub(super) openings: u64,
}

impl Link {
    pub(super) fn new(address: &PostgresAddress, purpose: Purpose) -> Link {
        Link { address: address.clone(), purpose, client: None, statements: HashMap::new(), openings: 0 }
    }

    pub(super) fn address(&self) -> &PostgresAddress {
        &self.address
    }

    /// The connection, opened if there is none.
    pub(super) async fn client(&mut self) -> Result<&mut Client, PostgresError> {
        let usable = self.client.take().filter(|client| !client.is_closed());
        if let Some(client) = usable {
            return Ok(self.client.insert(client));
        }
        self.statements.clear();
        let client = connect(&self.address, self.purpose).await?;
        self.openings += 1;
        Ok(self.client.insert(client))
    }

    /// Gives the connection up.
    pub(super) fn drop_client(&mut self) {
        self.client = None;
    }

    /// Makes all of these steps in one transaction, or none of them; the rows that each has returned. After an error that
    /// is no answer of the server, it is not known which.
    ///
    /// COMMIT in a failed transaction is no error for tokio-postgres (rust-postgres#1334), but then a step has failed.
    pub(super) async fn transact(&mut self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, PostgresError> {
        self.client().await?;
        let done = match timeout(ATTEMPT_MAX, self.attempt(steps)).await {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => PostgresError::of(&self.address, error),
            Err(_) => PostgresError::TimedOut { address: self.address.to_string().into() },
        };
        if !is_answer(&done) {
            self.drop_client();
        }
        Err(done)
    }

    async fn attempt(&mut self, steps: &[Step<'_>]) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
        let Link { client, statements, .. } = self;
        // `client` was called just before.
        let Some(client) = client else { return Ok(Vec::new()) };
        for step in steps {
            if !statements.contains_key(step.sql) {
                statements.insert(step.sql, client.prepare(step.sql).await?);
            }
        }
        pipelined(client, statements, steps).await
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("address", &self.address).finish_non_exhaustive()
    }
}

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

/// Sends the whole transaction before any answer is waited for.
///
/// Each statement has an answer of its own, so if BEGIN failed, the others would be transactions of their own: every
/// statement that changes something therefore has a guard that only holds after the one before it.
async fn pipelined(
    client: &Client,
    statements: &HashMap<&'static str, Statement>,
    steps: &[Step<'_>],
) -> Result<Vec<Vec<Row>>, tokio_postgres::Error> {
    let queries = steps.iter().map(|step| query(client, statements.get(step.sql), step));
    let all = std::iter::once(bare(client, "BEGIN")).chain(queries).chain([bare(client, "COMMIT")]);
    let mut rows: Vec<Vec<Row>> = in_order(all.collect()).await.into_iter().collect::<Result<_, _>>()?;
    rows.pop();
    rows.remove(0);
    Ok(rows)
}

fn bare<'a>(client: &'a Client, sql: &'static str) -> Answer<'a> {
    Box::pin(async move { client.batch_execute(sql).await.map(|()| Vec::new()) })
}

fn query<'a>(client: &'a Client, statement: Option<&'a Statement>, step: &'a Step<'_>) -> Answer<'a> {
    let parameters: Vec<&(dyn ToSql + Sync)> =
        step.parameters.iter().map(|one| &**one as &(dyn ToSql + Sync)).collect();
    Box::pin(async move {
        match statement {
            Some(statement) => client.query(statement, &parameters).await,
            None => client.query(step.sql, &parameters).await,
        }
    })
}

/// Begins all of these in their order, and waits until all are done.
async fn in_order(answers: Vec<Answer<'_>>) -> Vec<Result<Vec<Row>, tokio_postgres::Error>> {
    let mut answers: Vec<_> = answers.into_iter().map(|answer| Box::pin(maybe_done(answer))).collect();
    poll_fn(|context| {
        let mut are_done = true;
        for answer in &mut answers {
            are_done &= answer.as_mut().poll(context).is_ready();
        }
        if are_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    answers.into_iter().filter_map(|mut answer| answer.as_mut().take_output()).collect()
}

/// What comes of a few statements, none of which should take long.
pub(super) async fn within<T>(
    address: &PostgresAddress,
    work: impl Future<Output = Result<T, LedgerError>>,
) -> Result<T, LedgerError> {
    let timed_out = |_| Err(PostgresError::TimedOut { address: address.to_string().into() }.into());
    timeout(FEW_MAX, work).await.unwrap_or_else(timed_out)
}

/// Whether the server has answered, so that the transaction is surely not made.
pub(super) fn is_answer(error: &PostgresError) -> bool {
    match error {
        // It is about to end the connection.
        PostgresError::Answered { cause, .. } => cause.as_db_error().is_some_and(|answer| answer.severity() == "ERROR"),
        _ => false,
    }
}

/// Whether a check of the transaction itself has failed.
pub(super) fn is_must(error: &PostgresError) -> bool {
    error.code().is_some_and(|code| code.code() == MUST)
}

/// An error of the database as one of the ledger.
pub(super) fn failure(address: &PostgresAddress, error: PostgresError) -> LedgerError {
    match &error {
        // Nothing is ever written that the schema of this program would refuse.
        PostgresError::Answered { cause, .. } if error.code().is_some_and(|code| code.code().starts_with("23")) => {
            let what = cause.as_db_error().map(|answer| answer.message().to_owned());
            unsound(address, what.unwrap_or_default())
        }
        _ => error.into(),
    }
}

/// How long what fails is repeated.
#[derive(Debug)]
pub(super) struct Patience {
    since: Option<Instant>,
    pause: Duration,
    max: Duration,
    is_told: bool,
}

impl Patience {
    pub(super) fn new() -> Patience {
        Patience { since: None, pause: PAUSES.0, max: OUTAGE_MAX, is_told: false }
    }

    /// That of a run that ends.
    pub(super) fn at_the_end() -> Patience {
        Patience { max: ENDING_MAX, ..Patience::new() }
    }

    /// Waits before the next attempt.
    ///
    /// # Errors
    /// This error does not pass by itself, or not soon enough.
    pub(super) async fn wait(&mut self, address: &PostgresAddress, error: PostgresError) -> Result<(), LedgerError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !error.is_passing() || since.elapsed() > self.max {
            return Err(failure(address, error));
        }
        if since.elapsed() > SILENT_MAX && !replace(&mut self.is_told, true) {
            tracing::warn!(
                "the ledger does not answer or takes no changes, and what waits for it is tried again: {error}"
            );
        }
        tracing::debug!("{error}; it is tried again");
        // All runs lose the database at the same moment, and should not come back at the same one.
        sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// A value that is read from a row, which the schema of this program always has.
pub(super) fn read<T>(address: &PostgresAddress, value: Result<T, tokio_postgres::Error>) -> Result<T, LedgerError> {
    value.map_err(|error| unsound(address, error.to_string()))
}
