//! What a ledger file holds, read in one state, beside a writer or after it.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::columns::{count, found, state};
use super::damage::{read_error, unsoundness};
use super::open::{self, PathContent};
use super::{event_log, log_reader, lost, verify};
use crate::edit::{ContentDigest, IdDigest};
use crate::evidence::{Head, NamedCheckpoint, Proof};
use crate::ledger::{
    Alteration, AuditInfo, AuditRecord, Cause, Ciphertext, ControlAction, ControlEvent, EditRecord, Findings,
    JobIdentity, Latency, LedgerAddress, LedgerError, Look, Note, Outcomes, Overview, RunList, RunRecord, Sample,
    State, Verification, Worker,
};

/// The first version of the schema that keeps what is in `0002_watched.sql`.
const WATCHED: i64 = 2;
/// The first version that keeps what is in `0004_operator.sql`.
const NAMES_OPERATOR: i64 = 4;
/// The columns of an [`EditRecord`].
const EDIT: &str = "from_account, to_account, msg_key, state, code, note, attempts, line, run, sent_at, content";
/// And the name of its list, if any run had several.
const LIST: &str = "coalesce((SELECT name FROM run_list WHERE run_list.run = edit.run AND run_list.list = edit.list), \
                    (SELECT input FROM run WHERE run.run = edit.run AND EXISTS (SELECT 1 FROM run_list)))";

/// A ledger file, open to be read in one state.
#[derive(Debug)]
pub(crate) struct SqliteOverview {
    connection: Connection,
    /// The file.
    address: LedgerAddress,
    path: PathBuf,
    /// How the file is read.
    how: &'static str,
    version: i64,
    worker: Option<Worker>,
    /// There was no log beside it.
    is_at_rest: bool,
    /// When it was written last.
    written: Option<(SystemTime, u64)>,
    may_lack_commits: bool,
}

impl SqliteOverview {
    /// Opens a ledger that another process may be working on.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<SqliteOverview, LedgerError> {
        if matches!(open::inspect(path)?, PathContent::Nothing) {
            return Err(LedgerError::Missing { ledger: path.into() });
        }
        // Through a handle of its own, which is closed before SQLite opens the file (see `open::lock`).
        let worker = File::open(path).ok().and_then(|file| open::worker(&file)).map(Worker::new);
        // A writer that is just starting has a log before its index, and must not be taken for a copy.
        let how = if worker.is_some() { open::how_to_read(path) } else { open::how_to_read_traceless(path) };
        SqliteOverview::new(path, how, worker)
    }

    /// Opens the ledger of a run of this process.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn beside_writer(path: &Path) -> Result<SqliteOverview, LedgerError> {
        SqliteOverview::new(path, open::READ_BESIDE, Some(Worker::new(format!("process {}", std::process::id()))))
    }

    fn new(path: &Path, how: &'static str, worker: Option<Worker>) -> Result<SqliteOverview, LedgerError> {
        let failed = |source| read_error(path, source);
        let written = written(path);
        let connection = open::read_only_with(path, how)?;
        // One state of the ledger from here on, so that all numbers belong together.
        connection.execute_batch("BEGIN").map_err(failed)?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
        let is_at_rest = how == open::READ_ALONE;
        let may_lack_commits = worker.is_none() && lost::may_lack_commits(path, &connection).map_err(failed)?;
        let (address, path) = (path.into(), path.to_owned());
        Ok(SqliteOverview { connection, address, path, how, version, worker, is_at_rest, written, may_lack_commits })
    }

    /// The columns of an [`EditRecord`].
    fn columns(&self) -> String {
        format!("{EDIT}, {}", if self.version >= open::NAMES_LISTS { LIST } else { "NULL" })
    }

    fn check_log(&self) -> Result<(), LedgerError> {
        let has_log = self.version >= open::KEEPS_EVIDENCE;
        if has_log { Ok(()) } else { Err(LedgerError::NoLog { ledger: self.address.clone() }) }
    }

    fn is_watched(&self) -> bool {
        self.version >= WATCHED
    }

    /// The lists of each run that had several.
    fn lists(&self) -> Result<BTreeMap<i64, Vec<RunList>>, LedgerError> {
        let mut lists: BTreeMap<i64, Vec<RunList>> = BTreeMap::new();
        if self.version >= open::NAMES_LISTS {
            let query = "SELECT run, name, sha256, \"rows\" FROM run_list ORDER BY run, list";
            let rows = self.all(query, [], |row| {
                let list = RunList { name: row.get(1)?, sha256: row.get(2)?, rows: count(row, 3)? };
                Ok((row.get::<_, i64>(0)?, list))
            })?;
            for (run, list) in rows {
                lists.entry(run).or_default().push(list);
            }
        }
        Ok(lists)
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

impl Overview for SqliteOverview {
    fn address(&self) -> &LedgerAddress {
        &self.address
    }

    fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    fn has_begun_to_move(&self) -> bool {
        self.is_at_rest && (lost::has_log(&self.path) || written(&self.path) != self.written)
    }

    fn may_lack_commits(&self) -> bool {
        self.may_lack_commits
    }

    fn is_at_rest(&self) -> bool {
        self.is_at_rest && self.worker.is_none()
    }

    fn job(&self) -> Result<JobIdentity, LedgerError> {
        let job = open::find_job(&self.connection).map_err(|source| self.failed(source))?;
        job.ok_or_else(|| LedgerError::Damaged { path: self.path.clone(), what: "it names no job".to_owned() })
    }

    fn outcomes(&self) -> Result<Vec<Outcomes>, LedgerError> {
        // Nearly all edits are done, and sorting them by four columns takes three times as long as by one.
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

    fn edits_after(&self, seq: i64) -> Result<u64, LedgerError> {
        let counted = self.all("SELECT count(*) FROM edit WHERE seq > ?1", [seq], |row| count(row, 0))?;
        Ok(counted.first().copied().unwrap_or_default())
    }

    fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
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
        let mut lists = self.lists()?;
        self.all(&query, [], |row| {
            let new_edits: (Option<i64>, Option<i64>) = (row.get(17)?, row.get(18)?);
            let run = row.get(0)?;
            Ok(RunRecord {
                run,
                lists: lists.remove(&run).unwrap_or_default(),
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

    fn samples(&self, run: i64) -> Result<Vec<Sample>, LedgerError> {
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

    fn answers(&self, run: Option<i64>) -> Result<Vec<(Cause, u64)>, LedgerError> {
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

    fn latency(&self, run: Option<i64>) -> Result<Latency, LedgerError> {
        let mut latency = Latency::default();
        if self.is_watched() {
            let query = "SELECT run, up_to_ms, answers FROM latency WHERE ?1 IS NULL OR run = ?1 ORDER BY run";
            let slots = self.all(query, [run], |row| {
                Ok((row.get::<_, i64>(0)?, (u32::try_from(row.get::<_, i64>(1)?).ok(), count(row, 2)?)))
            })?;
            for run in slots.chunk_by(|(run, _), (other, _)| run == other) {
                latency.add_run(&run.iter().map(|(_, slot)| *slot).collect::<Vec<_>>());
            }
        }
        Ok(latency)
    }

    fn acts(&self) -> Result<Vec<(i64, i64, ControlEvent)>, LedgerError> {
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

    fn ciphertexts(&self) -> Result<Vec<Ciphertext>, LedgerError> {
        if self.version < open::KEEPS_EVIDENCE {
            return Ok(Vec::new());
        }
        self.all("SELECT file, number, originals, sha256 FROM ciphertext ORDER BY file, number", [], |row| {
            let file: String = row.get(0)?;
            Ok(Ciphertext { file: file.into(), number: count(row, 1)?, originals: count(row, 2)?, sha256: row.get(3)? })
        })
    }

    fn audits(&self) -> Result<Vec<AuditRecord>, LedgerError> {
        if self.version < open::KEEPS_EVIDENCE {
            return Ok(Vec::new());
        }
        let query = "SELECT audit, begun_at, ended_at, ended, reason, version, user, host, done, wanted, head, seed, identifier,
                     command FROM audit ORDER BY audit";
        let mut audits = self.all(query, [], |row| {
            Ok(AuditRecord {
                audit: row.get(0)?,
                begun_at: row.get(1)?,
                ended_at: row.get(2)?,
                ended: row.get(3)?,
                reason: row.get(4)?,
                version: row.get(5)?,
                user: row.get(6)?,
                host: row.get(7)?,
                info: AuditInfo {
                    done: count(row, 8)?,
                    wanted: count(row, 9)?,
                    head: row.get(10)?,
                    seed: row.get(11)?,
                    identifier: row.get(12)?,
                    command: row.get(13)?,
                },
                findings: Findings::default(),
            })
        })?;
        let query = "SELECT found, count(*) FROM look WHERE audit = ?1 GROUP BY found";
        for audit in &mut audits {
            for (found, messages) in self.all(query, [audit.audit], |row| Ok((found(row, 0)?, count(row, 1)?)))? {
                audit.findings.add(found, messages);
            }
        }
        Ok(audits)
    }

    fn visit_looks(&self, audit: i64, visit: &mut dyn FnMut(Look)) -> Result<(), LedgerError> {
        let failed = |source| self.failed(source);
        let query = "SELECT message, at, found, code, note FROM look WHERE audit = ?1";
        let mut statement = self.connection.prepare_cached(query).map_err(failed)?;
        let looks = statement.query_map([audit], |row| {
            let cause = cause(row.get(3)?, row.get_ref(4)?.as_str_or_null()?);
            Ok(Look { message: IdDigest(row.get(0)?), at: row.get(1)?, found: found(row, 2)?, cause })
        });
        for look in looks.map_err(failed)? {
            visit(look.map_err(failed)?);
        }
        Ok(())
    }

    fn head(&self) -> Result<Option<Head>, LedgerError> {
        if self.version < open::KEEPS_EVIDENCE {
            return Ok(None);
        }
        event_log::head(&self.connection).map(Some).map_err(|source| self.failed(source))
    }

    fn verify(&self, heads: &[NamedCheckpoint]) -> Result<Verification, LedgerError> {
        self.check_log()?;
        let (path, how) = (self.path.clone(), self.how);
        // A file at rest has one state, whoever reads it.
        let mut second = if self.is_at_rest { Some(open::read_only_with(&path, how)?) } else { None };
        // The file itself is checked beside that, on another thread.
        let soundness = std::thread::spawn(move || {
            let connection = open::read_only_with(&path, how)?;
            // One state of it, also while a run writes.
            let damage = connection.execute_batch("BEGIN").and_then(|()| unsoundness(&connection));
            damage.map_err(|source| read_error(&path, source))
        });
        let verified = verify::verify(&self.connection, second.as_mut(), heads).map_err(|source| self.failed(source));
        // A panic in it was reported when it happened.
        let damage = soundness.join().unwrap_or(Err(LedgerError::Latched))?;
        let mut verified = verified?;
        if let Some(what) = damage {
            verified.add(Alteration::Damaged { what: what.replace('\n', " ") });
        }
        Ok(verified)
    }

    fn prove(&self, message: IdDigest, size: Option<u64>) -> Result<Vec<Proof>, LedgerError> {
        self.check_log()?;
        log_reader::prove(&self.connection, message, size).map_err(|source| self.failed(source))
    }

    fn visit_edits(
        &self,
        state: State,
        at_most: Option<u32>,
        visit: &mut dyn FnMut(EditRecord) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        let failed = |source| self.failed(source);
        let query = format!("SELECT {} FROM edit WHERE state = ?1 ORDER BY seq LIMIT ?2", self.columns());
        let mut statement = self.connection.prepare(&query).map_err(failed)?;
        // SQLite takes a negative limit for none.
        let limit = at_most.map_or(-1, i64::from);
        let mut rows = statement.query(params![state.word(), limit]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            if visit(edit(row).map_err(failed)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn edit(&self, message: IdDigest) -> Result<Option<EditRecord>, LedgerError> {
        let find = || {
            let query = format!("SELECT {} FROM edit WHERE message = ?1", self.columns());
            self.connection.prepare_cached(&query)?.query_row([message.0], edit).optional()
        };
        find().map_err(|source| self.failed(source))
    }
}

/// When the file was written last, and its length then.
fn written(path: &Path) -> Option<(SystemTime, u64)> {
    let file = path.metadata().ok()?;
    Some((file.modified().ok()?, file.len()))
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
        content: ContentDigest(row.get(10)?),
        list: row.get(11)?,
    })
}

/// The result of the last attempt. A note takes precedence over a code, as it says what the code does not.
fn cause(code: Option<i64>, note: Option<&str>) -> Option<Cause> {
    let note = note.and_then(Note::from_word).map(Cause::Note);
    note.or(code.map(Cause::Code))
}
