//! A connection on which a job's ledger is looked at, in one state.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::link::failure;
use super::{Driver, PostgresAddress, PostgresError, Purpose, connect, missing, schema};
use crate::ledger::LedgerError;

/// Rows that are fetched together.
const FETCH: usize = 1_000;
/// One state of the database from here on, so that all numbers belong together. Whoever reads a list in between takes longer
/// than the session allows to stand idle.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL idle_in_transaction_session_timeout = '15min'";

type Values = Vec<Box<dyn ToSql + Sync + Send>>;

/// A connection inside a transaction, which ends with it.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) address: PostgresAddress,
    client: Arc<Client>,
}

impl Database {
    pub(super) fn open(address: &PostgresAddress) -> Result<Database, LedgerError> {
        let wanted = address.clone();
        let client = Driver::get()?.wait(async move {
            let client = connect(&wanted, Purpose::Read).await?;
            client.batch_execute(BEGIN).await.map_err(|error| failure(&wanted, PostgresError::of(&wanted, error)))?;
            if schema::is_there(&client, &wanted).await? { Ok(client) } else { Err(missing(&wanted)) }
        })??;
        Ok(Database { address: address.clone(), client: Arc::new(client) })
    }

    pub(super) fn rows(&self, query: impl Into<String>, values: Values) -> Result<Vec<Row>, LedgerError> {
        let (client, query) = (Arc::clone(&self.client), query.into());
        let rows = Driver::get()?.wait(async move {
            let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value as _).collect();
            client.query(&query, &values).await
        })?;
        rows.map_err(|error| self.failed(error))
    }

    pub(super) fn all<T>(
        &self,
        query: impl Into<String>,
        values: Values,
        read: impl FnMut(&Row) -> Result<T, tokio_postgres::Error>,
    ) -> Result<Vec<T>, LedgerError> {
        let rows = self.rows(query, values)?;
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| self.failed(error))
    }

    /// Passes each row to `visit`, a batch at a time. A cursor takes no parameters.
    pub(super) fn visit(
        &self,
        query: &str,
        mut visit: impl FnMut(&Row) -> Result<ControlFlow<()>, tokio_postgres::Error>,
    ) -> Result<(), LedgerError> {
        self.rows(format!("DECLARE visited NO SCROLL CURSOR FOR {query}"), vec![])?;
        'all: loop {
            let rows = self.rows(format!("FETCH {FETCH} FROM visited"), vec![])?;
            for row in &rows {
                if visit(row).map_err(|error| self.failed(error))?.is_break() {
                    break 'all;
                }
            }
            if rows.len() < FETCH {
                break;
            }
        }
        self.rows("CLOSE visited", vec![]).map(drop)
    }

    fn failed(&self, error: tokio_postgres::Error) -> LedgerError {
        failure(&self.address, PostgresError::of(&self.address, error))
    }
}
