//! Looking edits up in a ledger file.
//!
//! A list is usually read in the order in which it was first sent, which is the order of the ledger's rows. So the
//! reader walks the ledger beside the list and mostly finds the next row where it expects it: no search at all.
//! Where the list has changed, it looks the message up by its digest and walks on from there. Position is the fast
//! path, the message is the truth.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension, Row};

use super::open::{self, Found, JobIdentity};
use super::read_error;
use crate::edit::{ContentDigest, IdDigest};
use crate::ledger::{Known, LedgerError, Note, Records, State};

/// Rows fetched at a time while walking. Each read is short, so it never keeps the writer's log from being folded in; and
/// little is fetched in vain by a thread that looks at every other part of a list, and leaps from one to the next.
const AHEAD: i64 = 64;

/// So many rows found one behind the other make it worth fetching the next ones ahead.
const IN_ORDER: u32 = 4;

const COLUMNS: &str = "seq, message, content, state, attempts, code, note";

/// The reading side of a ledger file. It reads beside a writer, and changes nothing.
#[derive(Debug)]
pub struct SqliteReader {
    connection: Connection,
    path: PathBuf,
    how: &'static str,
    /// It reads one state of the ledger.
    is_held: bool,
    /// The rows after the last one found, in the ledger's order.
    ahead: VecDeque<(i64, IdDigest, Known)>,
    /// The last row that was found.
    last: i64,
    /// How many were found just behind the one before.
    in_order: u32,
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
                let reader = SqliteReader::new(path, open::how_to_read(path))?;
                open::check_job(path, &reader.connection, job)?;
                Ok(Some(reader))
            }
        }
    }

    /// Opens a ledger to read in the process that has it open to write. Other than [`SqliteReader::open`] this never
    /// opens the file by itself: closing it again would take SQLite's own locks with it (such is the rule for
    /// `fcntl` locks), and the next program that looks at the ledger would believe itself alone and remove the log.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn beside_writer(path: &Path) -> Result<SqliteReader, LedgerError> {
        SqliteReader::new(path, open::READ_BESIDE)
    }

    /// Reads one state of the ledger from here on, so that not every look-up has to ask anew whether it is the last one: it
    /// takes a third off the time of a list in another order. Only while nothing is written: the writer's log cannot be
    /// folded in as long as this reader is there.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn held(mut self) -> Result<SqliteReader, LedgerError> {
        self.is_held = true;
        self.connection.execute_batch("BEGIN").map_err(|source| read_error(&self.path, source))?;
        Ok(self)
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

    /// When the last run that has ended did so; `None` if none has.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn last_run_ended(&self) -> Result<Option<SystemTime>, LedgerError> {
        let ended: Option<i64> = self
            .connection
            .query_row("SELECT max(ended_at) FROM run", [], |row| row.get(0))
            .map_err(|source| read_error(&self.path, source))?;
        Ok(ended.map(|ended| UNIX_EPOCH + Duration::from_millis(ended.unsigned_abs())))
    }

    /// The next row of the ledger, if it is this message's.
    fn walk(&mut self, message: IdDigest) -> rusqlite::Result<Option<Known>> {
        if self.ahead.is_empty() && self.in_order >= IN_ORDER {
            let mut statement = self
                .connection
                .prepare_cached(&format!("SELECT {COLUMNS} FROM edit WHERE seq > ?1 ORDER BY seq LIMIT {AHEAD}"))?;
            self.ahead = statement.query_map([self.last], read)?.collect::<rusqlite::Result<_>>()?;
            if self.ahead.is_empty() {
                // At its end: what follows in the list is new, or stands elsewhere.
                self.in_order = 0;
            }
        }
        match self.ahead.front() {
            Some((seq, next, known)) if *next == message => {
                let known = *known;
                self.last = *seq;
                self.ahead.pop_front();
                Ok(Some(known))
            }
            Some(_) | None => Ok(None),
        }
    }

    fn look_up(&mut self, message: IdDigest) -> rusqlite::Result<Option<Known>> {
        let found = self
            .connection
            .prepare_cached(&format!("SELECT {COLUMNS} FROM edit WHERE message = ?1"))?
            .query_row([message.0], read)
            .optional()?;
        // A message that is not in the ledger says nothing about where the next one is.
        let Some((seq, _, known)) = found else { return Ok(None) };
        self.in_order = if seq == self.last + 1 { self.in_order + 1 } else { 0 };
        self.last = seq;
        while self.ahead.front().is_some_and(|(next, _, _)| *next <= seq) {
            self.ahead.pop_front();
        }
        if self.ahead.front().is_some_and(|(next, _, _)| *next != seq + 1) {
            self.ahead.clear();
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

    fn again(&self) -> Result<Box<dyn Records>, LedgerError> {
        let reader = SqliteReader::new(&self.path, self.how)?;
        Ok(Box::new(if self.is_held { reader.held()? } else { reader }))
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(i64, IdDigest, Known)> {
    let state = State::from_word(row.get_ref(3)?.as_str()?)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(3, "state".to_owned(), rusqlite::types::Type::Text))?;
    let known = Known {
        state,
        content: ContentDigest(row.get(2)?),
        attempts: row.get(4)?,
        code: row.get(5)?,
        note: row.get_ref(6)?.as_str_or_null()?.and_then(Note::from_word),
    };
    Ok((row.get(0)?, IdDigest(row.get(1)?), known))
}
