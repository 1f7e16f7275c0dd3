//! What operators say to all runs of a job.

use super::events::rate;
use super::link::{Link, Step, failure, within};
use super::{Driver, PostgresAddress, Purpose, ledger, missing, schema};
use crate::ledger::{ControlEvent, LedgerError, SharedControl, SharedFuture, unix_ms};

const LOCK: &str = "SELECT job FROM job WHERE name = $1::text FOR NO KEY UPDATE";

/// Only while somebody is there to do it.
const ACT: &str = "
WITH j AS (
    SELECT j.job, (SELECT max(r.run) FROM run r WHERE r.job = j.job) AS run FROM job j
    WHERE j.name = $1::text
      AND EXISTS (SELECT 1 FROM run r JOIN lease l USING (run) WHERE r.job = j.job AND l.state = 'live')),
kept AS (
    INSERT INTO act (job, run, at, what, rate, by)
    SELECT j.job, j.run, $2::int8, $3::text, $4::int4, $5::text FROM j RETURNING 1)
UPDATE job SET
    paused = CASE $3::text WHEN 'pause' THEN true WHEN 'resume' THEN false ELSE job.paused END,
    rate = CASE $3::text WHEN 'rate' THEN $4::int4 ELSE job.rate END,
    rate_by = CASE $3::text WHEN 'rate' THEN $5::text ELSE job.rate_by END,
    stop = CASE $3::text WHEN 'stop' THEN $5::text ELSE job.stop END
FROM j, kept WHERE job.job = j.job RETURNING 1";

/// The control of a job's runs, from anywhere.
#[derive(Debug)]
pub(super) struct PostgresControl {
    address: PostgresAddress,
}

impl PostgresControl {
    /// Of a job that is there.
    ///
    /// # Errors
    /// It is not, or cannot be reached.
    pub(super) fn open(address: &PostgresAddress) -> Result<PostgresControl, LedgerError> {
        let at = address.clone();
        Driver::get()?.wait(async move {
            let mut link = Link::new(&at, Purpose::Look);
            let client = link.client().await?;
            let look =
                async { Ok(schema::is_there(client, &at).await? && schema::find_job(client, &at).await?.is_some()) };
            if within(&at, look).await? { Ok(()) } else { Err(missing(&at)) }
        })??;
        Ok(PostgresControl::new(address))
    }

    pub(super) fn new(address: &PostgresAddress) -> PostgresControl {
        PostgresControl { address: address.clone() }
    }
}

impl SharedControl for PostgresControl {
    fn act(&self, event: ControlEvent) -> SharedFuture<'_, ()> {
        let address = self.address.clone();
        Box::pin(async move { Driver::get()?.run(act(address, event)).await? })
    }
}

/// On a connection of its own: an operator says something now and then.
async fn act(address: PostgresAddress, event: ControlEvent) -> Result<(), LedgerError> {
    let mut link = Link::new(&address, Purpose::Look);
    let act = Step::new(ACT).with(address.job().to_owned()).with(unix_ms()).with(event.what.word());
    let act = act.with(rate(event.what)).with(event.by);
    let steps = [Step::new(LOCK).with(address.job().to_owned()), act];
    let rows = link.transact(&steps).await.map_err(|error| failure(&address, error))?;
    match &rows[..] {
        [job, _] if job.is_empty() => Err(missing(&address)),
        [_, act] if act.is_empty() => Err(LedgerError::NobodyAtWork { ledger: ledger(&address) }),
        _ => Ok(()),
    }
}
