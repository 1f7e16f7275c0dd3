//! Audits in a ledger file.

use rusqlite::{Connection, params};

use super::columns::number;
use super::{SqliteStore, event_log};
use crate::ledger::{AuditInfo, AuditStore, LedgerError, unix_ms};
use crate::{BUILD, system};

impl AuditStore for SqliteStore {
    fn begin_audit(&mut self, info: &AuditInfo, goes_on: Option<i64>) -> Result<i64, LedgerError> {
        let audit = self.in_one(|transaction| {
            let audit = match goes_on {
                Some(audit) => go_on(transaction, audit)?,
                None => insert(transaction, info)?,
            };
            event_log::note(transaction, "audit_begun", &[("audit", audit.to_string())])?;
            Ok(audit)
        })?;
        self.works_as(audit)?;
        Ok(audit)
    }

    fn end_audit(&mut self, ended: &str, reason: Option<&str>) -> Result<(), LedgerError> {
        let update = "UPDATE audit SET ended_at = ?2, ended = ?3, reason = ?4 WHERE audit = ?1";
        let number = self.number();
        self.end("audit", update, params![number, unix_ms(), ended, reason]).map(drop)
    }
}

fn go_on(connection: &Connection, audit: i64) -> rusqlite::Result<i64> {
    let again = "UPDATE audit SET ended = NULL, ended_at = NULL, reason = NULL WHERE audit = ?1";
    connection.execute(again, [audit]).map(|_| audit)
}

fn insert(connection: &Connection, info: &AuditInfo) -> rusqlite::Result<i64> {
    connection.execute(
        "INSERT INTO audit (begun_at, version, user, host, identifier, command, done, wanted, head, seed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        params![
            unix_ms(),
            BUILD,
            system::this_user(),
            system::host_name().unwrap_or_else(|| "unknown".to_owned()),
            info.identifier,
            info.command,
            number(info.done),
            number(info.wanted),
            info.head,
            info.seed
        ],
    )?;
    Ok(connection.last_insert_rowid())
}
