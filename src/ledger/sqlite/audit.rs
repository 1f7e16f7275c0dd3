//! Audits in a ledger file.

use rusqlite::{Connection, Transaction, params};

use super::SqliteStore;
use super::columns::number;
use crate::ledger::{AuditInfo, AuditStore, Cause, LedgerError, Look, unix_ms};
use crate::{BUILD, system};

impl AuditStore for SqliteStore {
    fn begin_audit(&mut self, info: &AuditInfo, goes_on: Option<i64>) -> Result<i64, LedgerError> {
        let connection = self.connection()?;
        let audit = match goes_on {
            Some(audit) => go_on(connection, audit),
            None => insert(connection, info),
        };
        let audit = audit.map_err(|source| self.failed(source))?;
        self.works_as(audit)?;
        Ok(audit)
    }

    fn end_audit(&mut self, ended: &str, reason: Option<&str>) -> Result<(), LedgerError> {
        let update = "UPDATE audit SET ended_at = ?2, ended = ?3, reason = ?4 WHERE audit = ?1";
        let number = self.number();
        self.end(update, params![number, unix_ms(), ended, reason]).map(drop)
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

pub(super) fn write_look(transaction: &Transaction<'_>, audit: i64, look: &Look) -> rusqlite::Result<()> {
    let (code, note) = match look.cause {
        Some(Cause::Code(code)) => (Some(code), None),
        Some(Cause::Note(note)) => (None, Some(note.word())),
        None => (None, None),
    };
    transaction
        .prepare_cached("INSERT INTO look (audit, message, at, found, code, note) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?
        .execute(params![audit, look.message.0, look.at, look.found.word(), code, note])?;
    Ok(())
}
