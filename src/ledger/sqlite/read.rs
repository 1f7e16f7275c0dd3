//! Looking edits up in a ledger file.
//!
//! A list is usually read in the order in which it was first sent, which is the order of the ledger's rows. So the reader
//! walks through the ledger along with the list and mostly finds the next row without a search. Where the list has changed,
//! it looks the message up by its digest and continues from there. Position is the fast path; the message decides.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};

use super::columns::state;
use super::damage::read_error;
use super::lost;
use super::open::{self, PathContent};
use crate::edit::{ContentDigest, IdDigest};
use crate::ledger::{EditRow, EditStatus, JobIdentity, LedgerError, LostCommits, Note, Records};

/// Rows fetched at a time while walking. Each read is short, so it never keeps the writer's log from being folded in, and a
/// thread that reads every other part of a list fetches few rows that it skips.
const AHEAD: i64 = 128;

/// After this many consecutive rows it is worth fetching the next ones ahead.
const IN_ORDER: u32 = 4;

/// The columns that a list is compared with. More is read only of the few edits to send: each column of millions counts.
const COLUMNS: &str = "message, content, state";

/// The reading side of a ledger file. It reads beside a writer and changes nothing.
#[derive(Debug)]
pub(crate) struct SqliteReader {
    connection: Connection,
    path: PathBuf,
    how: &'static str,
    /// Whether it reads one state of the ledger.
    is_held: bool,
    /// The rows after the last one found, in order.
    ahead: VecDeque<(IdDigest, EditStatus)>,
    /// The number of the last row fetched; without rows ahead, of the last one found.
    last: i64,
    /// How many rows in succession were each found right after the previous one.
    in_order: u32,
    empty: bool,
}

impl SqliteReader {
    #[cfg(test)]
    pub(crate) fn open(path: &Path, job: &JobIdentity) -> Result<Option<SqliteReader>, LedgerError> {
        SqliteReader::open_with(path, job, LostCommits::Refused)
    }

    /// Opens the ledger of this job to read; `None` if there is no ledger yet. `gaps` says what to do with a ledger that may
    /// have lost its newest commits.
    ///
    /// # Errors
    /// The file is no ledger, another job's, may have lost its newest commits, or cannot be read.
    pub(crate) fn open_with(
        path: &Path,
        job: &JobIdentity,
        gaps: LostCommits,
    ) -> Result<Option<SqliteReader>, LedgerError> {
        match open::inspect(path)? {
            PathContent::Nothing => Ok(None),
            PathContent::Ledger => {
                let reader = SqliteReader::new(path, open::how_to_read(path))?;
                open::check_job(path, &reader.connection, job, gaps)?;
                lost::check(path, &reader.connection, gaps)?;
                Ok(Some(reader))
            }
        }
    }

    /// Opens a ledger to read in the process that has it open to write. Unlike [`SqliteReader::open_with`] this never opens
    /// the file itself: closing it again would release SQLite's own locks (such is the rule for `fcntl` locks), and the next
    /// program to read the ledger would believe itself alone and remove the log.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn beside_writer(path: &Path) -> Result<SqliteReader, LedgerError> {
        SqliteReader::new(path, open::READ_BESIDE)
    }

    fn new(path: &Path, how: &'static str) -> Result<SqliteReader, LedgerError> {
        let connection = open::read_only_with(path, how)?;
        let empty = connection
            .query_row("SELECT NOT EXISTS (SELECT 1 FROM edit)", [], |row| row.get(0))
            .map_err(|source| read_error(path, source))?;
        Ok(SqliteReader {
            connection,
            path: path.to_owned(),
            how,
            is_held: false,
            ahead: VecDeque::new(),
            last: 0,
            in_order: IN_ORDER,
            empty,
        })
    }

    /// Finds the message if its row is the next one, or soon after it.
    fn walk(&mut self, message: IdDigest) -> rusqlite::Result<Option<EditStatus>> {
        if self.ahead.is_empty() && self.in_order >= IN_ORDER {
            let query = format!("SELECT {COLUMNS} FROM edit WHERE seq > ?1 AND seq <= ?2 ORDER BY seq");
            let mut statement = self.connection.prepare_cached(&query)?;
            let end = self.last.saturating_add(AHEAD);
            let mut rows = statement.query([self.last, end])?;
            while let Some(row) = rows.next()? {
                self.ahead.push_back((IdDigest(row.get(0)?), status(row)?));
            }
            self.last = end;
            if self.ahead.is_empty() {
                // The end of the ledger: the rest of the list is new, or is elsewhere.
                self.in_order = 0;
            }
        }
        if self.ahead.front().is_some_and(|(next, _)| *next != message) {
            let Some(at) = self.ahead.iter().position(|(next, _)| *next == message) else { return Ok(None) };
            self.ahead.drain(..at);
        }
        Ok(self.ahead.pop_front().map(|(_, status)| status))
    }

    fn look_up(&mut self, message: IdDigest) -> rusqlite::Result<Option<EditStatus>> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS}, seq FROM edit WHERE message = ?1"))?
            .query_row([message.0], |row| Ok((status(row)?, row.get(3)?)))
            .optional()?;
        // A message that is not in the ledger does not show where the next one is.
        let Some((status, seq)) = found else { return Ok(None) };
        self.in_order = if seq == self.last.saturating_add(1) { self.in_order + 1 } else { 0 };
        self.last = seq;
        self.ahead.clear();
        Ok(Some(status))
    }
}

impl Records for SqliteReader {
    fn status(&mut self, message: IdDigest) -> Result<Option<EditStatus>, LedgerError> {
        if self.empty {
            return Ok(None);
        }
        let found = match self.walk(message) {
            Ok(None) => self.look_up(message),
            found => found,
        };
        found.map_err(|source| read_error(&self.path, source))
    }

    fn row(&mut self, message: IdDigest) -> Result<EditRow, LedgerError> {
        let find = || {
            let query = "SELECT state, content, attempts, code, note FROM edit WHERE message = ?1";
            self.connection.prepare_cached(query)?.query_row([message.0], row).optional()
        };
        // The walk finds an edit without the index.
        let missing = || {
            let what = "an edit is missing from its index".to_owned();
            LedgerError::Damaged { path: self.path.clone(), what }
        };
        find().map_err(|source| read_error(&self.path, source))?.ok_or_else(missing)
    }

    fn again(&self) -> Result<Box<dyn Records>, LedgerError> {
        let reader = SqliteReader::new(&self.path, self.how)?;
        if self.is_held { Box::new(reader).held() } else { Ok(Box::new(reader)) }
    }

    /// A look-up then need not check for a newer state, which takes a third off the time of a list in another order.
    fn held(mut self: Box<Self>) -> Result<Box<dyn Records>, LedgerError> {
        self.is_held = true;
        self.connection.execute_batch("BEGIN").map_err(|source| read_error(&self.path, source))?;
        Ok(self)
    }

    fn went_through_proxy(&self) -> Result<bool, LedgerError> {
        let find = || {
            let version: i64 = self.connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
            let query = "SELECT EXISTS (SELECT 1 FROM run WHERE proxy IS NOT NULL)";
            if version < open::NAMES_PROXY { Ok(false) } else { self.connection.query_row(query, [], |row| row.get(0)) }
        };
        find().map_err(|source| read_error(&self.path, source))
    }
}

fn status(row: &Row<'_>) -> rusqlite::Result<EditStatus> {
    Ok(EditStatus { content: ContentDigest(row.get(1)?), state: state(row, 2)? })
}

fn row(row: &Row<'_>) -> rusqlite::Result<EditRow> {
    Ok(EditRow {
        state: state(row, 0)?,
        content: ContentDigest(row.get(1)?),
        attempts: row.get(2)?,
        code: row.get(3)?,
        note: row.get_ref(4)?.as_str_or_null()?.and_then(Note::from_word),
    })
}
