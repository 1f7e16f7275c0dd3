//! Audits of a job in a database.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::columns::{number, unsound};
use super::link::{Link, Patience, Step, failure, read};
use super::{Driver, PostgresAddress, Purpose};
use crate::ledger::{
    Applied, AuditInfo, AuditStore, Cause, Change, CommitFuture, LedgerError, Look, RunEvent, Store, unix_ms,
};
use crate::{BUILD, system};

/// Keeps a second audit of the job out, for as long as this connection lasts ("RUNR", as for the tables, and the job).
const LOCK: &str = "SELECT pg_try_advisory_lock(1381322322, job) FROM job WHERE name = $1::text";
const BEGIN: &str = "
INSERT INTO audit (job, audit, begun_at, version, \"user\", host, identifier, command, done, wanted, head, seed)
SELECT j.job, 1 + coalesce((SELECT max(audit) FROM audit a WHERE a.job = j.job), 0), $2::int8, $3::text, $4::text, $5::text,
       $6::text, $7::text, $8::int8, $9::int8, $10::text, $11::text
FROM job j WHERE j.name = $1::text RETURNING audit";
const GO_ON: &str = "
UPDATE audit SET ended = NULL, ended_at = NULL, reason = NULL
FROM job j WHERE j.name = $1::text AND audit.job = j.job AND audit.audit = $2::int8 RETURNING audit.audit";
/// May be done twice.
const LOOKS: &str = "
INSERT INTO look (job, audit, message, at, found, code, note)
SELECT j.job, $2::int8, o.message, o.at, o.found, o.code, o.note
FROM job j, unnest($3::bytea[], $4::int8[], $5::text[], $6::int8[], $7::text[]) AS o (message, at, found, code, note)
WHERE j.name = $1::text ON CONFLICT DO NOTHING";
const END: &str = "
UPDATE audit SET ended_at = $3::int8, ended = $4::text, reason = $5::text
FROM job j WHERE j.name = $1::text AND audit.job = j.job AND audit.audit = $2::int8 RETURNING audit.audit";

/// Records the audits of a job. One process at a time does so.
#[derive(Debug)]
pub(super) struct PostgresAudit {
    address: PostgresAddress,
    link: Arc<Mutex<Link>>,
    audit: i64,
}

impl PostgresAudit {
    pub(super) fn new(address: &PostgresAddress) -> PostgresAudit {
        let link = Arc::new(Mutex::new(Link::new(address, Purpose::Run)));
        PostgresAudit { address: address.clone(), link, audit: 0 }
    }

    fn step(&self, sql: &'static str) -> Step<'static> {
        Step::new(sql).with(self.address.job().to_owned())
    }

    /// Keeps other audits of the job out; whether nobody else does.
    fn lock(&self) -> Result<bool, LedgerError> {
        let (link, address, step) = (Arc::clone(&self.link), self.address.clone(), self.step(LOCK));
        let locked = async move { link.lock().await.transact(&[step]).await };
        let rows = Driver::get()?.wait(locked)?.map_err(|error| failure(&address, error))?;
        let row = rows.first().and_then(|rows| rows.first());
        row.map_or(Ok(false), |row| read(&address, row.try_get(0)))
    }

    /// Makes these steps, the last of which returns the audit's number. `patience`: they may be made twice.
    fn make(&self, steps: Vec<Step<'static>>, patience: Option<Patience>) -> Result<i64, LedgerError> {
        let (link, address) = (Arc::clone(&self.link), self.address.clone());
        let rows = Driver::get()?.wait(async move {
            let link = &mut *link.lock().await;
            match patience {
                Some(patience) => persist(link, &steps, patience).await,
                None => link.transact(&steps).await.map_err(|error| failure(link.address(), error)),
            }
        })??;
        let row = rows.last().and_then(|rows| rows.first());
        read(&address, row.ok_or_else(|| unsound(&address, "the row of the audit has gone"))?.try_get(0))
    }
}

/// Repeats the steps until the database has answered.
async fn persist(
    link: &mut Link,
    steps: &[Step<'_>],
    mut patience: Patience,
) -> Result<Vec<Vec<tokio_postgres::Row>>, LedgerError> {
    loop {
        match link.transact(steps).await {
            Ok(rows) => return Ok(rows),
            Err(error) => patience.wait(&link.address().clone(), error).await?,
        }
    }
}

impl AuditStore for PostgresAudit {
    fn begin_audit(&mut self, info: &AuditInfo, goes_on: Option<i64>) -> Result<i64, LedgerError> {
        let step = match goes_on {
            Some(audit) => self.step(GO_ON).with(audit),
            None => self
                .step(BEGIN)
                .with(unix_ms())
                .with(BUILD)
                .with(system::this_user())
                .with(system::host_name().unwrap_or_else(|| "unknown".to_owned()))
                .with(info.identifier.clone())
                .with(info.command.clone())
                .with(number(info.done))
                .with(number(info.wanted))
                .with(info.head.clone())
                .with(info.seed.clone()),
        };
        if !self.lock()? {
            let (path, holder) = (self.address.to_string().into(), "another audit".to_owned());
            return Err(LedgerError::InUse { path, holder });
        }
        self.audit = self.make(vec![step], None)?;
        Ok(self.audit)
    }

    fn end_audit(&mut self, ended: &str, reason: Option<&str>) -> Result<(), LedgerError> {
        let step = self.step(END).with(self.audit).with(unix_ms()).with(ended.to_owned());
        self.make(vec![step.with(reason.map(str::to_owned))], Some(Patience::at_the_end())).map(drop)
    }
}

impl Store for PostgresAudit {
    fn commit(&mut self, changes: Vec<Change>, events: Vec<RunEvent>) -> CommitFuture<'_> {
        Box::pin(async move {
            let looks: Vec<&Look> = events
                .iter()
                .filter_map(|event| match event {
                    RunEvent::Look(look) => Some(look),
                    RunEvent::Sample(_)
                    | RunEvent::ControlEvent(_)
                    | RunEvent::StoppedAtOnce
                    | RunEvent::Ciphertext(_) => None,
                })
                .collect();
            // An audit changes no edit.
            if !changes.is_empty() || looks.len() != events.len() {
                return Err(LedgerError::Latched);
            }
            let code = |look: &&Look| match look.cause {
                Some(Cause::Code(code)) => Some(code),
                Some(Cause::Note(_)) | None => None,
            };
            let note = |look: &&Look| match look.cause {
                Some(Cause::Note(note)) => Some(note.word()),
                Some(Cause::Code(_)) | None => None,
            };
            let step = self
                .step(LOOKS)
                .with(self.audit)
                .with(looks.iter().map(|look| look.message.0.to_vec()).collect::<Vec<_>>())
                .with(looks.iter().map(|look| look.at).collect::<Vec<_>>())
                .with(looks.iter().map(|look| look.found.word()).collect::<Vec<_>>())
                .with(looks.iter().map(code).collect::<Vec<_>>())
                .with(looks.iter().map(note).collect::<Vec<_>>());
            let link = Arc::clone(&self.link);
            let made = async move { persist(&mut *link.lock().await, &[step], Patience::new()).await };
            Driver::get()?.run(made).await??;
            Ok(Vec::<Applied>::new())
        })
    }
}
