//! What a ledger holds, for whoever looks at it: status, reports, the page. It is read in one state, beside a writer or
//! after it, and nothing is changed.

use std::fs::File;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::open::{self, JobIdentity, PathContent};
use super::record::{EditRecord, Outcomes, RunRecord, Worker};
use super::{lost, read_error};
use crate::edit::IdDigest;
use crate::ledger::{Cause, ControlAction, ControlEvent, Latency, LedgerError, Note, Sample, State, Totals};

/// The first version of the schema that keeps what is in `0002_watched.sql`.
const WATCHED: i64 = 2;
/// The first version that keeps what is in `0004_operator.sql`.
const NAMES_OPERATOR: i64 = 4;
/// What an [`EditRecord`] is made of.
const EDIT: &str = "from_account, to_account, msg_key, state, code, note, attempts, line, run, sent_at";

/// A ledger file, open to be looked at.
#[derive(Debug)]
pub struct Overview {
    connection: Connection,
    path: PathBuf,
    version: i64,
    worker: Option<Worker>,
    /// There is no log beside it.
    is_at_rest: bool,
    may_lack_commits: bool,
}

impl Overview {
    /// Opens a ledger that another process may be working on.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Overview, LedgerError> {
        if matches!(open::inspect(path)?, PathContent::Nothing) {
            return Err(LedgerError::Missing { path: path.to_owned() });
        }
        // By a handle of its own, which is closed again before SQLite opens the file (see `open::lock`).
        let worker = File::open(path).ok().and_then(|file| open::worker(&file)).map(Worker);
        // Who begins just now has a log before its index is there, and must not be taken for a copy.
        let how = if worker.is_some() { open::how_to_read(path) } else { open::how_to_look(path) };
        Overview::new(path, how, worker)
    }

    /// Opens the ledger of a run of this process.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn beside_writer(path: &Path) -> Result<Overview, LedgerError> {
        Overview::new(path, open::READ_BESIDE, Some(Worker(format!("process {}", std::process::id()))))
    }

    fn new(path: &Path, how: &str, worker: Option<Worker>) -> Result<Overview, LedgerError> {
        let failed = |source| read_error(path, source);
        let connection = open::read_only_with(path, how)?;
        // One state of the ledger from here on, so that all numbers are of the same moment.
        connection.execute_batch("BEGIN").map_err(failed)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        let is_at_rest = how == open::READ_ALONE;
        let may_lack_commits = worker.is_none() && lost::may_lack_commits(path, &connection).map_err(failed)?;
        Ok(Overview { connection, path: path.to_owned(), version, worker, is_at_rest, may_lack_commits })
    }

    /// Where the ledger is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who works on it; `None`: nobody.
    pub fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    /// Whether somebody has begun to work on it since it was opened at rest: then it was read without locks, and what was
    /// read may be of no one moment.
    pub fn has_begun_to_move(&self) -> bool {
        self.is_at_rest && lost::has_log(&self.path)
    }

    /// Whether its newest commits may be missing, as its log is gone: then it does not tell all that was done.
    pub fn may_lack_commits(&self) -> bool {
        self.may_lack_commits
    }

    /// Whether the file alone is all of it: nobody works on it, and there is no log beside it.
    pub fn is_at_rest(&self) -> bool {
        self.is_at_rest && self.worker.is_none()
    }

    /// The job it belongs to.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn job(&self) -> Result<JobIdentity, LedgerError> {
        let job = open::find_job(&self.connection).map_err(|source| self.failed(source))?;
        job.ok_or_else(|| LedgerError::Damaged { path: self.path.clone(), what: "it names no job".to_owned() })
    }

    /// How many edits stand where, and why.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn outcomes(&self) -> Result<Vec<Outcomes>, LedgerError> {
        // Nearly all edits are done, and to sort them by four columns takes three times as long as by one.
        let query = "SELECT 'done', 0, NULL, run, count(*) FROM edit
                     WHERE state = 'done' AND code = 0 AND note IS NULL GROUP BY run
                     UNION ALL
                     SELECT state, code, note, run, count(*) FROM edit
                     WHERE NOT (state = 'done' AND code IS 0 AND note IS NULL) GROUP BY state, code, note, run";
        self.all(query, [], |row| {
            Ok(Outcomes {
                state: state(row, 0)?,
                cause: cause(row.get(1)?, row.get_ref(2)?.as_str_or_null()?),
                run: row.get(3)?,
                edits: count(row, 4)?,
            })
        })
    }

    /// Where all messages are.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn totals(&self, outcomes: &[Outcomes], runs: &[RunRecord]) -> Result<Totals, LedgerError> {
        let mut totals = Totals::default();
        for Outcomes { state, edits, .. } in outcomes {
            *totals.of(*state, self.worker.is_some()) += edits;
        }
        if let Some((new_edits, seq_before)) = runs.last().and_then(|run| run.new_edits) {
            let query = "SELECT count(*) FROM edit WHERE seq > ?1";
            let reached = self.all(query, [seq_before], |row| count(row, 0))?.first().copied().unwrap_or_default();
            totals.not_reached += new_edits.saturating_sub(reached);
        }
        let Totals { done, failed, in_doubt, in_flight, not_reached, .. } = totals;
        totals.messages = done + failed + in_doubt + in_flight + not_reached;
        Ok(totals)
    }

    /// Every run, the first one first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        let watched = if self.is_watched() {
            "duplicates, planned, command, directory, new_edits, seq_before"
        } else {
            "NULL, NULL, NULL, NULL, NULL, NULL"
        };
        let operator = if self.version >= NAMES_OPERATOR { "identifier, job_sha256" } else { "NULL, NULL" };
        let proxy = if self.version >= open::NAMES_PROXY { "proxy" } else { "NULL" };
        let query = format!(
            "SELECT run, started_at, ended_at, ended, reason, version, user, host, pid, input, input_sha256, input_rows, \
             rate, {watched}, {operator}, {proxy} FROM run ORDER BY run"
        );
        self.all(&query, [], |row| {
            let new_edits: (Option<i64>, Option<i64>) = (row.get(17)?, row.get(18)?);
            Ok(RunRecord {
                run: row.get(0)?,
                started_at: row.get(1)?,
                ended_at: row.get(2)?,
                ended: row.get(3)?,
                reason: row.get::<_, Option<String>>(4)?.filter(|reason| !reason.is_empty()),
                version: row.get(5)?,
                user: row.get(6)?,
                host: row.get(7)?,
                pid: row.get(8)?,
                input: row.get(9)?,
                input_sha256: row.get(10)?,
                input_rows: count(row, 11)?,
                rate: row.get(12)?,
                duplicates: row.get::<_, Option<i64>>(13)?.map(i64::unsigned_abs),
                planned: row.get::<_, Option<i64>>(14)?.map(i64::unsigned_abs),
                command: row.get(15)?,
                directory: row.get(16)?,
                identifier: row.get(19)?,
                job_sha256: row.get(20)?,
                proxy: row.get(21)?,
                new_edits: new_edits.0.map(i64::unsigned_abs).zip(new_edits.1),
            })
        })
    }

    /// The samples of a run, in their order; without answers and latency, of which the ledger keeps the last ones only.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn samples(&self, run: i64) -> Result<Vec<Sample>, LedgerError> {
        if !self.is_watched() {
            return Ok(Vec::new());
        }
        let query = "SELECT at, rate, done, failed, in_doubt, requests, read_backs, slow_downs FROM sample
                     WHERE run = ?1 ORDER BY at, rowid";
        self.all(query, [run], |row| {
            Ok(Sample {
                at: row.get(0)?,
                rate: row.get(1)?,
                done: count(row, 2)?,
                failed: count(row, 3)?,
                in_doubt: count(row, 4)?,
                requests: count(row, 5)?,
                read_backs: count(row, 6)?,
                slow_downs: count(row, 7)?,
                ..Sample::default()
            })
        })
    }

    /// How often each answer other than success came, in all runs together or in one, the most frequent first.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn answers(&self, run: Option<i64>) -> Result<Vec<(Cause, u64)>, LedgerError> {
        if !self.is_watched() {
            return Ok(Vec::new());
        }
        let query = "SELECT code, note, sum(answers) FROM answer WHERE ?1 IS NULL OR run = ?1
                     GROUP BY code, note ORDER BY sum(answers) DESC";
        let rows = self.all(query, [run], |row| {
            let (code, note): (i64, String) = (row.get(0)?, row.get(1)?);
            let cause = if note.is_empty() { Some(Cause::Code(code)) } else { cause(None, Some(&note)) };
            Ok((cause, count(row, 2)?))
        })?;
        Ok(rows.into_iter().filter_map(|(cause, answers)| Some((cause?, answers))).collect())
    }

    /// How long answers took, in all runs together or in one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn latency(&self, run: Option<i64>) -> Result<Latency, LedgerError> {
        let mut latency = Latency::default();
        if self.is_watched() {
            let query = "SELECT up_to_ms, sum(answers) FROM latency WHERE ?1 IS NULL OR run = ?1 GROUP BY up_to_ms";
            let slots =
                self.all(query, [run], |row| Ok((u32::try_from(row.get::<_, i64>(0)?).ok(), count(row, 1)?)))?;
            for (up_to_ms, count) in slots {
                latency.add_slot(up_to_ms, count);
            }
        }
        Ok(latency)
    }

    /// What runs were told, in that order: the run, when (milliseconds since 1970), and what.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn acts(&self) -> Result<Vec<(i64, i64, ControlEvent)>, LedgerError> {
        if !self.is_watched() {
            return Ok(Vec::new());
        }
        self.all("SELECT run, at, what, rate, by FROM act ORDER BY rowid", [], |row| {
            let what = match row.get_ref(2)?.as_str()? {
                "pause" => ControlAction::Pause,
                "resume" => ControlAction::Resume,
                "stop" => ControlAction::Stop,
                _ => ControlAction::Rate(row.get(3)?),
            };
            Ok((row.get(0)?, row.get(1)?, ControlEvent { what, by: row.get(4)? }))
        })
    }

    /// Hands over the edits that stand so, in the order of first sending: all of them, or the first ones.
    ///
    /// # Errors
    /// They cannot be read, or `take` failed.
    pub fn edits<E: From<LedgerError>>(
        &self,
        state: State,
        at_most: Option<u32>,
        mut take: impl FnMut(EditRecord) -> Result<(), E>,
    ) -> Result<(), E> {
        let failed = |source| E::from(self.failed(source));
        let query = format!("SELECT {EDIT} FROM edit WHERE state = ?1 ORDER BY seq LIMIT ?2");
        let mut statement = self.connection.prepare(&query).map_err(failed)?;
        // A negative limit is none.
        let limit = at_most.map_or(-1, i64::from);
        let mut rows = statement.query(params![state.word(), limit]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            take(edit(row).map_err(failed)?)?;
        }
        Ok(())
    }

    /// The edit of this message; `None` if it was never sent.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn edit(&self, message: IdDigest) -> Result<Option<EditRecord>, LedgerError> {
        let find = || {
            let query = format!("SELECT {EDIT} FROM edit WHERE message = ?1");
            self.connection.prepare_cached(&query)?.query_row([message.0], edit).optional()
        };
        find().map_err(|source| self.failed(source))
    }

    fn is_watched(&self) -> bool {
        self.version >= WATCHED
    }

    fn all<T>(
        &self,
        query: &str,
        params: impl rusqlite::Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, LedgerError> {
        let rows = || self.connection.prepare_cached(query)?.query_map(params, read)?.collect::<rusqlite::Result<_>>();
        rows().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> LedgerError {
        read_error(&self.path, source)
    }
}

fn edit(row: &Row<'_>) -> rusqlite::Result<EditRecord> {
    Ok(EditRecord {
        from_account: row.get(0)?,
        to_account: row.get(1)?,
        msg_key: row.get(2)?,
        state: state(row, 3)?,
        cause: cause(row.get(4)?, row.get_ref(5)?.as_str_or_null()?),
        attempts: row.get(6)?,
        line: count(row, 7)?,
        run: row.get(8)?,
        sent_at: row.get(9)?,
    })
}

fn state(row: &Row<'_>, column: usize) -> rusqlite::Result<State> {
    State::from_word(row.get_ref(column)?.as_str()?)
        .ok_or_else(|| rusqlite::Error::InvalidColumnType(column, "state".to_owned(), rusqlite::types::Type::Text))
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

/// What the last answer was; a note counts before a code, as it says what the code does not.
fn cause(code: Option<i64>, note: Option<&str>) -> Option<Cause> {
    let note = note.and_then(Note::from_word).map(Cause::Note);
    note.or(code.map(Cause::Code))
}
