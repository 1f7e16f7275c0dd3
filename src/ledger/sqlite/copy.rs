//! A ledger file as the source or the target of a copy.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params, params_from_iter};
use tempfile::TempPath;

use super::damage::{check_after_crash, read_error, write_error};
use super::event_log::{self, EventLog, LookImage};
use super::open::{self, PathContent};
use super::{filesystem, ledger_files, lost};
use crate::evidence::Checkpoint;
use crate::ledger::copy::{CopyError, JobFacts, Kind, Row, Source, Table, Target, Value, Visit};
use crate::ledger::{JobIdentity, LedgerError};

/// Memory for the indexes of the copy while it is written, in KiB; negative is SQLite's sign for that unit.
const CACHE: i64 = -65_536;

/// A ledger file that nobody works on, locked as by a run and read in one state.
#[derive(Debug)]
pub(in crate::ledger) struct SqliteSource {
    connection: Connection,
    path: PathBuf,
    version: i64,
    /// The number of each run, counted from 1.
    runs: BTreeMap<i64, i64>,
    /// How many edits have a number up to this one.
    edits_before: BTreeMap<i64, i64>,
    /// Declared last, so closed last.
    _lock: Option<File>,
}

impl SqliteSource {
    /// # Errors
    /// There is none, it is locked, may have lost its newest commits, is damaged, or cannot be read.
    pub(in crate::ledger) fn open(path: &Path) -> Result<SqliteSource, CopyError> {
        filesystem::check(path)?;
        let missing = || LedgerError::Missing { ledger: path.into() };
        if matches!(open::inspect(path)?, PathContent::Nothing) {
            return Err(missing().into());
        }
        let lock = open::lock_to_read(path)?;
        // Again under the lock.
        if matches!(open::inspect(path)?, PathContent::Nothing) {
            return Err(missing().into());
        }
        let connection = open::read_only_with(path, open::how_to_read_traceless(path))?;
        if lost::may_lack_commits(path, &connection).map_err(|source| read_error(path, source))? {
            return Err(CopyError::LacksCommits { ledger: path.into() });
        }
        check_after_crash(path, &connection)?;
        SqliteSource::new(path, connection, Some(lock)).map_err(|source| read_error(path, source).into())
    }

    fn new(path: &Path, connection: Connection, lock: Option<File>) -> rusqlite::Result<SqliteSource> {
        connection.execute_batch("BEGIN")?;
        let version = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let path = path.to_owned();
        let (runs, edits_before) = (BTreeMap::new(), BTreeMap::new());
        let mut source = SqliteSource { connection, path, version, runs, edits_before, _lock: lock };
        source.runs = source.number_runs()?;
        source.edits_before = source.count_edits()?;
        Ok(source)
    }

    fn number_runs(&self) -> rusqlite::Result<BTreeMap<i64, i64>> {
        let mut statement = self.connection.prepare("SELECT run FROM run ORDER BY run")?;
        let runs = statement.query_map([], |row| row.get(0))?;
        runs.zip(1..).map(|(run, number)| Ok((run?, number))).collect()
    }

    /// In one pass: from each of these numbers to the next one.
    fn count_edits(&self) -> rusqlite::Result<BTreeMap<i64, i64>> {
        let Some(column) = self.column("seq_before", 2) else { return Ok(BTreeMap::new()) };
        let query = format!("SELECT DISTINCT {column} FROM run WHERE {column} IS NOT NULL ORDER BY 1");
        let ends =
            self.connection.prepare(&query)?.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
        let mut between = self.connection.prepare("SELECT count(*) FROM edit WHERE seq > ?1 AND seq <= ?2")?;
        let (mut from, mut edits) = (i64::MIN, 0);
        let mut before = BTreeMap::new();
        for to in ends {
            edits += between.query_row([from, to], |row| row.get::<_, i64>(0))?;
            before.insert(to, edits);
            from = to;
        }
        Ok(before)
    }

    /// The column's name, if this version has it.
    fn column(&self, name: &str, since: i64) -> Option<String> {
        (self.version >= since).then(|| format!("\"{name}\""))
    }

    fn damaged(&self, what: &str) -> CopyError {
        LedgerError::Damaged { path: self.path.clone(), what: what.to_owned() }.into()
    }

    fn value(&self, kind: Kind, value: ValueRef<'_>) -> Result<Value, CopyError> {
        let text = |text: &[u8]| match std::str::from_utf8(text) {
            Ok(text) => Ok(Value::Text(text.to_owned())),
            Err(_) => Err(self.damaged("a text is not UTF-8")),
        };
        match (kind, value) {
            (_, ValueRef::Null) => Ok(Value::Null),
            (Kind::Number | Kind::Small, ValueRef::Integer(number)) => Ok(Value::Number(number)),
            (Kind::Run, ValueRef::Integer(run)) => {
                let number = self.runs.get(&run).ok_or_else(|| self.damaged("it names a run that it does not hold"))?;
                Ok(Value::Number(*number))
            }
            (Kind::EditsBefore, ValueRef::Integer(seq)) => {
                Ok(Value::Number(self.edits_before.get(&seq).copied().unwrap_or_default()))
            }
            (Kind::Text | Kind::State, ValueRef::Text(bytes)) => text(bytes),
            (Kind::Digest, ValueRef::Blob(bytes)) => match bytes.try_into() {
                Ok(digest) => Ok(Value::Digest(digest)),
                Err(_) => Err(self.damaged("a digest is not of 16 bytes")),
            },
            (_, _) => Err(self.damaged("a column holds what is never written to it")),
        }
    }
}

impl Source for SqliteSource {
    fn job(&mut self) -> Result<JobFacts, CopyError> {
        let reads_first = self.column("reads_first", 4).unwrap_or_else(|| "0".to_owned());
        let query = format!("SELECT sdkappid, service, name, created_at, {reads_first} FROM job");
        let job = self.connection.query_row(&query, [], |row| {
            Ok(JobFacts {
                sdkappid: row.get(0)?,
                service: row.get(1)?,
                name: row.get(2)?,
                created_at: row.get(3)?,
                reads_first: row.get(4)?,
                head: None,
            })
        });
        let mut job = job.map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => self.damaged("it names no job"),
            error => read_error(&self.path, error).into(),
        })?;
        if self.version >= open::KEEPS_EVIDENCE {
            let head = event_log::head(&self.connection).map_err(|source| read_error(&self.path, source))?;
            job.head = Some(head.checkpoint());
        }
        Ok(job)
    }

    fn read(&mut self, table: Table, visit: &mut Visit<'_>) -> Result<(), CopyError> {
        let failed = |source| read_error(&self.path, source);
        let columns = table.columns();
        if columns.iter().all(|(_, _, since)| self.version < *since) {
            return Ok(());
        }
        let names: Vec<String> =
            columns.iter().map(|(name, _, since)| self.column(name, *since).unwrap_or("NULL".to_owned())).collect();
        let order = match table {
            Table::Run => "run",
            Table::List => "run, list",
            Table::Edit => "seq",
            Table::Sample => "run, at, rowid",
            Table::Answer => "run, code, note",
            Table::Latency => "run, up_to_ms",
            Table::Act => "rowid",
            Table::Ciphertext => "file, number",
            Table::Audit => "audit",
            Table::Look => "audit, message",
        };
        let query = format!("SELECT {} FROM {} ORDER BY {order}", names.join(", "), table.name());
        let mut statement = self.connection.prepare(&query).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let values = columns.iter().enumerate().map(|(index, (_, kind, _))| {
                let value = row.get_ref(index).map_err(failed)?;
                self.value(*kind, value)
            });
            visit(values.collect::<Result<Row, CopyError>>()?)?;
        }
        Ok(())
    }
}

/// Checks that nothing is where a copy is to be, nor beside it what SQLite would take for a part of it.
///
/// # Errors
/// Something is there.
pub(in crate::ledger) fn check_free(path: &Path) -> Result<(), CopyError> {
    let beside = [path.to_owned(), ledger_files::journal(path), ledger_files::log(path)];
    if let Some(taken) = beside.iter().find(|file| file.symlink_metadata().is_ok()) {
        return Err(CopyError::Taken { place: taken.display().to_string() });
    }
    ledger_files::put_back(path)?;
    Ok(filesystem::check(path)?)
}

/// A ledger file that is being made, under another name beside its place.
#[derive(Debug)]
pub(in crate::ledger) struct SqliteTarget {
    /// `None` once all is written.
    connection: Option<Connection>,
    /// What the schema asks of a new edit, which is not so for a copied one. It is put back at the end.
    begins: String,
    /// Of the log that it is a copy of.
    head: Option<Checkpoint>,
    path: PathBuf,
    temporary: TempPath,
}

impl SqliteTarget {
    /// # Errors
    /// It cannot be written.
    pub(in crate::ledger) fn create(path: &Path, job: &JobFacts) -> Result<SqliteTarget, CopyError> {
        let written = |source| CopyError::Write { path: path.to_owned(), source: Arc::new(source) };
        // Closed again: closing it later would release SQLite's locks.
        let temporary = tempfile::Builder::new()
            .prefix(".runner-copy-")
            .tempfile_in(directory(path))
            .map_err(written)?
            .into_temp_path();
        let made = SqliteTarget::fill(&temporary, job).map_err(|source| write_error(path, source))?;
        let (connection, begins) = made;
        Ok(SqliteTarget {
            connection: Some(connection),
            begins,
            head: job.head.clone(),
            path: path.to_owned(),
            temporary,
        })
    }

    fn fill(temporary: &Path, job: &JobFacts) -> rusqlite::Result<(Connection, String)> {
        let identity = JobIdentity {
            sdkappid: job.sdkappid.unsigned_abs(),
            service: job.service.clone(),
            other_host: None,
            name: job.name.clone(),
        };
        let connection = open::make(temporary, &identity, None)?;
        // If anything fails, the file is removed; and it is made durable as a whole, at the end.
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.query_row("PRAGMA journal_mode = OFF", [], |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", CACHE)?;
        connection.execute_batch("BEGIN")?;
        connection
            .execute("UPDATE job SET created_at = ?1, reads_first = ?2", params![job.created_at, job.reads_first])?;
        let find = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = 'edit_begins'";
        let begins = connection.query_row(find, [], |row| row.get(0))?;
        connection.execute_batch("DROP TRIGGER edit_begins")?;
        // Found is what becomes part of the log, which begins once all else is there.
        connection.execute_batch("CREATE TEMP TABLE look (audit, message, at, found, code, note)")?;
        Ok((connection, begins))
    }

    /// Ends what is written with the log of the copy.
    fn begin_log(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(&self.begins)?;
        EventLog::begin(connection, "copied", self.head.as_ref())?;
        let mut log = EventLog::load(connection)?;
        let mut looks = connection.prepare("SELECT audit, message, at, found, code, note FROM temp.look")?;
        let mut looks = looks.query([])?;
        while let Some(row) = looks.next()? {
            log.look(connection, &LookImage::of(row)?)?;
        }
        log.save(connection)?;
        connection.execute_batch("COMMIT")
    }

    fn insert(&mut self, table: Table, rows: &[Row]) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Ok(()) };
        let columns: Vec<String> = table.columns().iter().map(|(name, ..)| format!("\"{name}\"")).collect();
        let places = vec!["?"; columns.len()].join(", ");
        let (columns, name) = (columns.join(", "), table.name());
        // A table of this name hides the view.
        let mut insert = connection.prepare_cached(&format!("INSERT INTO {name} ({columns}) VALUES ({places})"))?;
        for row in rows {
            insert.execute(params_from_iter(row))?;
        }
        Ok(())
    }
}

impl Target for SqliteTarget {
    fn write(&mut self, table: Table, rows: Vec<Row>) -> Result<(), CopyError> {
        self.insert(table, &rows).map_err(|source| write_error(&self.path, source).into())
    }

    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, CopyError> {
        let failed = |source| write_error(&self.path, source);
        if let Some(connection) = self.connection.take() {
            self.begin_log(&connection).map_err(failed)?;
            connection.close().map_err(|(_, source)| failed(source))?;
        }
        let connection = open::read_only(&self.temporary)?;
        let source =
            SqliteSource::new(&self.path, connection, None).map_err(|source| read_error(&self.path, source))?;
        Ok(Box::new(source))
    }

    fn finish(self: Box<Self>) -> Result<(), CopyError> {
        let written = |source| CopyError::Write { path: self.path.clone(), source: Arc::new(source) };
        File::open(&self.temporary).and_then(|file| file.sync_all()).map_err(written)?;
        check_free(&self.path)?;
        let path = self.path.clone();
        self.temporary.persist_noclobber(&path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => CopyError::Taken { place: path.display().to_string() },
            _ => CopyError::Write { path: path.clone(), source: Arc::new(error.error) },
        })?;
        // The name is durable now, or a moment later by itself.
        let _ = File::open(directory(&path)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Number(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Digest(digest) => ValueRef::Blob(digest),
        }))
    }
}
