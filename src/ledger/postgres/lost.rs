//! What becomes of a run that no longer renews its lease.

use tokio_postgres::Transaction;

use super::PostgresAddress;
use super::PostgresError;
use crate::ledger::{Note, unix_ms};

/// What a run was sending is in doubt: all of it is of the parts that it holds. (What was not taken from a list has the part
/// -1.) Rows are compared as a whole, which only the index of parts can answer: to a plan that was made while there was one part,
/// the primary key would look as good, of which it would read all of the job.
pub(super) const IN_DOUBT: &str = "
UPDATE edit e SET state = 'in_doubt', code = NULL, note = $2::text
FROM (SELECT x.place
      FROM lease l,
           LATERAL (SELECT p.number FROM part p WHERE p.job = l.job AND p.run = l.run AND p.state = 'taken'
                    UNION ALL SELECT -1) p,
           LATERAL (SELECT x.ctid AS place FROM edit x
                    WHERE (x.part, x.job) BETWEEN (p.number, l.job) AND (p.number, l.job)
                      AND x.run = l.run AND x.state = 'sending') x
      WHERE l.run = $1::int8) o
WHERE e.ctid = o.place AND e.state = 'sending' AND e.run = $1::int8
RETURNING 1";

/// Declares a run lost whose beat is still this one: its shares and parts are free, and what it was sending is in doubt. The
/// caller has locked the row of its pace. Returns false if it has beaten since, or was declared lost before.
pub(super) async fn declare(
    address: &PostgresAddress,
    transaction: &Transaction<'_>,
    run: i64,
    beat: i64,
) -> Result<bool, PostgresError> {
    let failed = |error| PostgresError::of(address, error);
    let lost = "UPDATE lease SET state = 'lost', share = 0, reads = 0
                WHERE run = $1::int8 AND beat = $2::int8 AND state = 'live'";
    if transaction.execute(lost, &[&run, &beat]).await.map_err(failed)? == 0 {
        return Ok(false);
    }
    transaction.execute(IN_DOUBT, &[&run, &Note::ProcessDied.word()]).await.map_err(failed)?;
    let died = "UPDATE run SET ended = 'died', ended_at = $2::int8 WHERE run = $1::int8 AND ended IS NULL";
    transaction.execute(died, &[&run, &unix_ms()]).await.map_err(failed)?;
    Ok(true)
}
