//! A job in a database as the source or the target of a copy.

mod source;
mod target;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

pub(in crate::ledger) use self::source::open_source;
pub(in crate::ledger) use self::target::create_target;
use super::link::failure;
use super::{Driver, PostgresAddress, PostgresError, Purpose, connect, schema};
use crate::ledger::LedgerError;
use crate::ledger::copy::{CopyError, Kind, Table};

/// A copy takes longer than what these are for. (Less memory would sort a job of a million edits on disk.)
const PATIENT: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
                       SET LOCAL work_mem = '64MB'";

/// Waits for what is asked of a database.
fn wait<T: Send + 'static>(
    future: impl Future<Output = Result<T, LedgerError>> + Send + 'static,
) -> Result<T, LedgerError> {
    Driver::get()?.wait(future)?
}

async fn execute(client: &Client, address: &PostgresAddress, sql: &str) -> Result<(), LedgerError> {
    client.batch_execute(sql).await.map_err(|error| answered(address, error))
}

fn answered(address: &PostgresAddress, error: tokio_postgres::Error) -> LedgerError {
    failure(address, PostgresError::of(address, error))
}

/// Checks that the database does not know a job of this name.
///
/// # Errors
/// It does, or cannot be used.
pub(in crate::ledger) fn check_free(address: &PostgresAddress) -> Result<(), CopyError> {
    let at = address.clone();
    let is_taken = wait(async move {
        let client = connect(&at, Purpose::Look).await?;
        Ok(schema::is_there(&client, &at).await? && schema::find_job(&client, &at).await?.is_some())
    })?;
    if is_taken { Err(taken(address)) } else { Ok(()) }
}

fn taken(address: &PostgresAddress) -> CopyError {
    CopyError::Taken { place: address.to_string() }
}

/// The types of a table's columns as they are read, or written.
fn types(table: Table, is_written: bool) -> Vec<Type> {
    let columns = table.columns().iter();
    columns
        .map(|(_, kind, _)| match kind {
            Kind::Small if is_written => Type::INT4,
            Kind::Number | Kind::Small | Kind::Run | Kind::EditsBefore => Type::INT8,
            Kind::Text | Kind::State => Type::TEXT,
            Kind::Digest => Type::BYTEA,
        })
        .collect()
}
