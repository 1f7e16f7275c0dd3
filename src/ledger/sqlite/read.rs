//! Looking edits up in a ledger file.
//!
//! A list is usually read in the order in which it was first sent, which is the order of the ledger's rows. So the
//! reader walks the ledger beside the list and mostly finds the next row where it expects it: no search at all.
//! Where the list has changed, it looks the message up by its digest and walks on from there. Position is the fast
//! path, the message is the truth.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row};

use super::open::{self, Found, JobIdentity};
use super::{Counts, LastRun, counts, last_run, read_error};
use crate::edit::{ContentDigest, IdDigest};
use crate::ledger::{Known, LedgerError, Note, Records, State};

/// Rows fetched at a time while walking. Each read is short, so it never keeps the writer's log from being folded in.
const AHEAD: i64 = 512;

const COLUMNS: &str = "seq, message, content, state, attempts, code, note";

/// The reading side of a ledger file. It reads beside a writer, and changes nothing.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    path: PathBuf,
    /// The rows after the last one found, in the ledger's order.
    ahead: VecDeque<(i64, IdDigest, Known)>,
    /// The last row that was fetched.
    fetched: i64,
    /// There was nothing to be fetched the last time.
    at_end: bool,
    empty: bool,
}

impl SqliteReader {
    /// Opens the ledger of this job to read; `None` where there is no ledger yet.
    ///
    /// # Errors
    /// The file is no ledger, another job's, or cannot be read.
    pub fn open(path: &Path, job: &JobIdentity) -> Result<Option<SqliteReader>, LedgerError> {
        match open::inspect(path)? {
            Found::Nothing => Ok(None),
            Found::Ledger => {
                let connection = open::read_only(path)?;
                open::check_job(path, &connection, job)?;
                let empty = connection
                    .query_row("SELECT NOT EXISTS (SELECT 1 FROM edit)", [], |row| row.get(0))
                    .map_err(|source| read_error(path, source))?;
                Ok(Some(SqliteReader {
                    connection,
                    path: path.to_owned(),
                    ahead: VecDeque::new(),
                    fetched: 0,
                    at_end: false,
                    empty,
                }))
            }
        }
    }

    /// How many edits stand where.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn counts(&self) -> Result<Counts, LedgerError> {
        counts(&self.connection).map_err(|source| read_error(&self.path, source))
    }

    /// The last run, for people.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn last_run(&self) -> Result<Option<LastRun>, LedgerError> {
        last_run(&self.connection).map_err(|source| read_error(&self.path, source))
    }

    fn walk(&mut self, message: IdDigest) -> rusqlite::Result<Option<Known>> {
        if self.ahead.is_empty() && !self.at_end {
            let mut statement = self
                .connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM edit WHERE seq > ?1 ORDER BY seq LIMIT {AHEAD}"))?;
            let mut rows = statement.query([self.fetched])?;
            while let Some(row) = rows.next()? {
                let found = read(row)?;
                self.fetched = found.0;
                self.ahead.push_back(found);
            }
            self.at_end = self.ahead.is_empty();
        }
        Ok(match self.ahead.front() {
            Some((_, next, _)) if *next == message => self.ahead.pop_front().map(|(_, _, known)| known),
            Some(_) | None => None,
        })
    }

    fn look_up(&mut self, message: IdDigest) -> rusqlite::Result<Option<Known>> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM edit WHERE message = ?1"))?
            .query_row([message.0], read)
            .optional()?;
        let Some((seq, _, known)) = found else { return Ok(None) };
        while self.ahead.front().is_some_and(|(next, _, _)| *next <= seq) {
            self.ahead.pop_front();
        }
        // Where the found row lies outside what was fetched, the walk goes on behind it.
        let follows = self.ahead.front().map_or(seq == self.fetched, |(next, _, _)| *next == seq + 1);
        if !follows {
            self.ahead.clear();
            self.fetched = seq;
            self.at_end = false;
        }
        Ok(Some(known))
    }
}

impl Records for SqliteReader {
    fn find(&mut self, message: IdDigest) -> Result<Option<Known>, LedgerError> {
        if self.empty {
            return Ok(None);
        }
        let found = match self.walk(message) {
            Ok(None) => self.look_up(message),
            found => found,
        };
        found.map_err(|source| read_error(&self.path, source))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, IdDigest, Known)> {
    let word: String = row.get(3)?;
    let state = State::from_word(&word)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(3, "state".to_owned(), rusqlite::types::Type::Text))?;
    let note: Option<String> = row.get(6)?;
    let known = Known {
        state,
        content: ContentDigest(row.get(2)?),
        attempts: row.get(4)?,
        code: row.get(5)?,
        note: note.as_deref().and_then(Note::from_word),
    };
    Ok((row.get(0)?, IdDigest(row.get(1)?), known))
}
