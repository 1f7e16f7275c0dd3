//! Copies a ledger from one place to another: from a file to a database, and back.
//!
//! A ledger is read as rows of a neutral form ([`Table`]), in which runs and edits are numbered from 1 in their order, since
//! numbers are of one place only. Nobody may work on the source, which is not changed. The copy is not to be seen before it
//! is whole: once it is written, both are read from beginning to end, and must have the same digest.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{LedgerAddress, LedgerError, Note, State, postgres, sqlite, unix_ms};
use crate::evidence::Checkpoint;

/// Rows that are handed on together.
const BATCH_ROWS: usize = 1_024;

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The edits in each state.
    pub edits: BTreeMap<&'static str, u64>,
    /// Runs.
    pub runs: u64,
    /// All rows, by table.
    pub rows: Vec<(&'static str, u64)>,
    /// Edits that a process was sending when it died, which are in doubt in the copy.
    pub newly_in_doubt: u64,
    /// Outcomes that came after their edit had passed to another run: they stay where they are.
    pub late_left: u64,
    /// BLAKE3 of all that both ledgers hold, in hexadecimal.
    pub digest: String,
}

/// Why a ledger was not copied. Then there is no copy, and nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// One of the two cannot be used.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// There is something at the place of the copy.
    #[error("{place} is there already; name a new ledger, nothing in this one was changed")]
    Taken {
        /// What is there.
        place: String,
    },
    /// The source does not know all that was sent.
    #[error(
        "{ledger} may lack its newest commits, so a copy would not know all that was sent: put its log back beside it if \
         there is one; otherwise resume this one, with --read-first, and do not copy it"
    )]
    LacksCommits {
        /// The source.
        ledger: LedgerAddress,
    },
    /// Somebody works on the source.
    #[error("{ledger} is being worked on by {who}; let it finish or stop it, then try again")]
    AtWork {
        /// The source.
        ledger: LedgerAddress,
        /// The runs at work.
        who: String,
    },
    /// The copy does not hold what the source holds.
    #[error(
        "the copy did not hold what {ledger} holds ({what}), and was removed; try again, and see what the disks report"
    )]
    Different {
        /// The source.
        ledger: LedgerAddress,
        /// The first difference.
        what: String,
    },
    /// A file could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Arc<std::io::Error>,
    },
    /// The database did not say whether it has kept the copy.
    #[error(
        "it is not known whether {ledger} was made: {source}; look with runner status, and copy again if it is not there"
    )]
    Unknown {
        /// The copy.
        ledger: Box<LedgerAddress>,
        /// What came of the question.
        source: Box<LedgerError>,
    },
    /// Somebody stopped it.
    #[error("interrupted; there is no copy")]
    Interrupted,
}

/// Copies a ledger to where there is none. `tell` gets what a person should know meanwhile; `stop` ends it early.
///
/// # Errors
/// There is no copy then, and nothing was changed.
pub fn copy(
    from: &LedgerAddress,
    to: &LedgerAddress,
    stop: &AtomicBool,
    tell: &dyn Fn(&str),
) -> Result<Copied, CopyError> {
    match to {
        LedgerAddress::File(path) => sqlite::check_free(path)?,
        LedgerAddress::Postgres(address) => postgres::check_free(address)?,
    }
    let mut source: Box<dyn Source> = match from {
        LedgerAddress::File(path) => Box::new(sqlite::SqliteSource::open(path)?),
        LedgerAddress::Postgres(address) => postgres::open_source(address, to.file().is_some(), &|| check(stop), tell)?,
    };
    let mut settling = Settling::new(unix_ms());
    let job = source.job()?;
    let mut target: Box<dyn Target> = match to {
        LedgerAddress::File(path) => Box::new(sqlite::SqliteTarget::create(path, &job)?),
        LedgerAddress::Postgres(address) => postgres::create_target(address, &job)?,
    };
    for table in Table::ALL {
        check(stop)?;
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        source.read(table, &mut |mut row| {
            settling.settle(table, &mut row);
            batch.push(row);
            if batch.len() < BATCH_ROWS {
                return Ok(());
            }
            check(stop)?;
            target.write(table, std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS)))
        })?;
        target.write(table, batch)?;
    }
    let (newly_in_doubt, late_left) = (settling.in_doubt, source.late()?);
    let wanted = Tally::of(&mut *source, Some(&mut settling), stop)?;
    let found = Tally::of(&mut *target.read_back()?, None, stop)?;
    if let Some(what) = wanted.difference(&found) {
        return Err(CopyError::Different { ledger: from.clone(), what });
    }
    check(stop)?;
    target.finish()?;
    let runs = wanted.rows.iter().find(|(name, _)| *name == Table::Run.name()).map_or(0, |(_, rows)| *rows);
    let digest = wanted.digest.to_hex().to_string();
    Ok(Copied { edits: wanted.states, runs, rows: wanted.rows, newly_in_doubt, late_left, digest })
}

fn check(stop: &AtomicBool) -> Result<(), CopyError> {
    if stop.load(Ordering::Relaxed) { Err(CopyError::Interrupted) } else { Ok(()) }
}

/// A ledger that is read, in one state.
pub(super) trait Source {
    fn job(&mut self) -> Result<JobFacts, CopyError>;

    /// Passes every row of a table to `visit`, in order.
    fn read(&mut self, table: Table, visit: &mut Visit<'_>) -> Result<(), CopyError>;

    /// How many late outcomes there are, which no copy has.
    fn late(&mut self) -> Result<u64, CopyError> {
        Ok(0)
    }
}

/// Takes a row, until it fails.
pub(super) type Visit<'a> = dyn FnMut(Row) -> Result<(), CopyError> + 'a;

/// A ledger that is being made. Dropped before it is finished, it was never there.
pub(super) trait Target {
    /// Writes rows of a table. Tables come in the order of [`Table::ALL`].
    fn write(&mut self, table: Table, rows: Vec<Row>) -> Result<(), CopyError>;

    /// Reads what was written; nothing is written after that.
    fn read_back(&mut self) -> Result<Box<dyn Source + '_>, CopyError>;

    /// Makes it durable, under its name.
    fn finish(self: Box<Self>) -> Result<(), CopyError>;
}

/// What a ledger says of its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobFacts {
    pub(super) sdkappid: i64,
    pub(super) service: String,
    pub(super) name: Option<String>,
    pub(super) created_at: i64,
    pub(super) reads_first: bool,
    /// The head of its log, if it has one. A copy has a log of its own, which begins with it.
    pub(super) head: Option<Checkpoint>,
}

/// The tables that every ledger has, in an order in which each row comes after those that it refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Run,
    List,
    Edit,
    Sample,
    Answer,
    Latency,
    Act,
    Ciphertext,
    Audit,
    Look,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    /// A number that takes four bytes in a database.
    Small,
    Text,
    Digest,
    State,
    /// The number of a run: of those of the job, in their order, from 1.
    Run,
    /// How many edits came before.
    EditsBefore,
}

/// A column: its name, what it holds, and the first version of a ledger file that has it.
pub(super) type Column = (&'static str, Kind, i64);

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
    Digest([u8; 16]),
}

/// The values of a table's columns.
pub(super) type Row = Vec<Value>;

impl Table {
    pub(super) const ALL: [Table; 10] = [
        Table::Run,
        Table::List,
        Table::Edit,
        Table::Sample,
        Table::Answer,
        Table::Latency,
        Table::Act,
        Table::Ciphertext,
        Table::Audit,
        Table::Look,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Table::Run => "run",
            Table::List => "run_list",
            Table::Edit => "edit",
            Table::Sample => "sample",
            Table::Answer => "answer",
            Table::Latency => "latency",
            Table::Act => "act",
            Table::Ciphertext => "ciphertext",
            Table::Audit => "audit",
            Table::Look => "look",
        }
    }

    pub(super) fn columns(self) -> &'static [Column] {
        use Kind::{Digest, EditsBefore, Number, Run, Small, State, Text};
        match self {
            Table::Run => &[
                ("run", Run, 1),
                ("started_at", Number, 1),
                ("ended_at", Number, 1),
                ("ended", Text, 1),
                ("reason", Text, 1),
                ("version", Text, 1),
                ("user", Text, 1),
                ("host", Text, 1),
                ("pid", Small, 1),
                ("input", Text, 1),
                ("input_sha256", Text, 1),
                ("input_rows", Number, 1),
                ("rate", Small, 1),
                ("duplicates", Number, 2),
                ("planned", Number, 2),
                ("new_edits", Number, 2),
                ("seq_before", EditsBefore, 2),
                ("command", Text, 2),
                ("directory", Text, 2),
                ("identifier", Text, 4),
                ("job_sha256", Text, 4),
                ("proxy", Text, 5),
            ],
            Table::List => {
                &[("run", Run, 6), ("list", Small, 6), ("name", Text, 6), ("sha256", Text, 6), ("rows", Number, 6)]
            }
            Table::Edit => &[
                ("from_account", Text, 1),
                ("to_account", Text, 1),
                ("msg_key", Text, 1),
                ("message", Digest, 1),
                ("content", Digest, 1),
                ("line", Number, 1),
                ("run", Run, 1),
                ("state", State, 1),
                ("attempts", Small, 1),
                ("code", Number, 1),
                ("note", Text, 1),
                ("sent_at", Number, 1),
                ("took_ms", Number, 1),
                ("list", Small, 6),
            ],
            Table::Sample => &[
                ("run", Run, 2),
                ("at", Number, 2),
                ("rate", Small, 2),
                ("done", Number, 2),
                ("failed", Number, 2),
                ("in_doubt", Number, 2),
                ("requests", Number, 2),
                ("read_backs", Number, 2),
                ("slow_downs", Number, 2),
            ],
            Table::Answer => &[("run", Run, 2), ("code", Number, 2), ("note", Text, 2), ("answers", Number, 2)],
            Table::Latency => &[("run", Run, 2), ("up_to_ms", Number, 2), ("answers", Number, 2)],
            Table::Act => &[("run", Run, 2), ("at", Number, 2), ("what", Text, 2), ("rate", Small, 2), ("by", Text, 2)],
            Table::Ciphertext => &[
                ("run", Run, 7),
                ("file", Text, 7),
                ("number", Number, 7),
                ("originals", Number, 7),
                ("sha256", Text, 7),
            ],
            Table::Audit => &[
                ("audit", Number, 7),
                ("begun_at", Number, 7),
                ("ended_at", Number, 7),
                ("ended", Text, 7),
                ("reason", Text, 7),
                ("version", Text, 7),
                ("user", Text, 7),
                ("host", Text, 7),
                ("identifier", Text, 7),
                ("command", Text, 7),
                ("done", Number, 7),
                ("wanted", Number, 7),
                ("head", Text, 7),
                ("seed", Text, 7),
            ],
            Table::Look => &[
                ("audit", Number, 7),
                ("message", Digest, 7),
                ("at", Number, 7),
                ("found", Text, 7),
                ("code", Number, 7),
                ("note", Text, 7),
            ],
        }
    }

    /// The place of a column, which the table has.
    pub(super) fn column(self, name: &str) -> usize {
        self.columns().iter().position(|(other, ..)| *other == name).unwrap_or_default()
    }
}

/// What the next run does before anything else: a run that never ended has died, and what it was sending is in doubt.
struct Settling {
    at: i64,
    in_doubt: u64,
    run: [usize; 2],
    edit: [usize; 3],
}

impl Settling {
    fn new(at: i64) -> Settling {
        Settling {
            at,
            in_doubt: 0,
            run: ["ended", "ended_at"].map(|name| Table::Run.column(name)),
            edit: ["state", "code", "note"].map(|name| Table::Edit.column(name)),
        }
    }

    fn settle(&mut self, table: Table, row: &mut Row) {
        match table {
            Table::Run => {
                let [ended, ended_at] = self.run;
                if row[ended] == Value::Null {
                    row[ended] = Value::Text("died".to_owned());
                    row[ended_at] = Value::Number(self.at);
                }
            }
            Table::Edit => {
                let [state, code, note] = self.edit;
                if matches!(&row[state], Value::Text(word) if word == State::Sending.word()) {
                    row[state] = Value::Text(State::InDoubt.word().to_owned());
                    row[code] = Value::Null;
                    row[note] = Value::Text(Note::ProcessDied.word());
                    self.in_doubt += 1;
                }
            }
            Table::List
            | Table::Sample
            | Table::Answer
            | Table::Latency
            | Table::Act
            | Table::Ciphertext
            | Table::Audit
            | Table::Look => {}
        }
    }
}

/// What a ledger holds, to be compared.
#[derive(Debug)]
struct Tally {
    rows: Vec<(&'static str, u64)>,
    states: BTreeMap<&'static str, u64>,
    digest: blake3::Hash,
}

impl Tally {
    fn of(source: &mut dyn Source, mut settling: Option<&mut Settling>, stop: &AtomicBool) -> Result<Tally, CopyError> {
        let mut hasher = blake3::Hasher::new();
        let job = source.job()?;
        let name = job.name.map_or(Value::Null, Value::Text);
        let job = [
            Value::Number(job.sdkappid),
            Value::Text(job.service),
            name,
            Value::Number(job.created_at),
            Value::Number(job.reads_first.into()),
        ];
        let mut bytes = Vec::new();
        for value in &job {
            value.append_to(&mut bytes);
        }
        let mut states = BTreeMap::new();
        let mut rows = Vec::new();
        let state = Table::Edit.column("state");
        for table in Table::ALL {
            let mut count = 0_u64;
            source.read(table, &mut |mut row| {
                if let Some(settling) = &mut settling {
                    settling.settle(table, &mut row);
                }
                if table == Table::Edit
                    && let Value::Text(word) = &row[state]
                    && let Some(state) = State::from_word(word)
                {
                    *states.entry(state.word()).or_default() += 1;
                }
                for value in row {
                    value.append_to(&mut bytes);
                }
                count += 1;
                if bytes.len() > 1 << 16 {
                    hasher.update(&bytes);
                    bytes.clear();
                    check(stop)?;
                }
                Ok(())
            })?;
            // So that a row cannot pass from the end of one table to the beginning of the next.
            bytes.extend(count.to_le_bytes());
            rows.push((table.name(), count));
        }
        hasher.update(&bytes);
        Ok(Tally { rows, states, digest: hasher.finalize() })
    }

    /// The first thing in which the other one differs.
    fn difference(&self, other: &Tally) -> Option<String> {
        let counts = self.rows.iter().zip(&other.rows).find(|(ours, theirs)| ours != theirs);
        if let Some(((table, ours), (_, theirs))) = counts {
            return Some(format!("{theirs} rows instead of {ours} in the table {table}"));
        }
        let [ours, theirs] = [self, other].map(|tally| tally.digest.to_hex());
        (self.digest != other.digest).then(|| format!("the digest {theirs} instead of {ours}"))
    }
}

impl Value {
    /// In a form in which no two rows are alike.
    fn append_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Null => bytes.push(0),
            Value::Number(number) => {
                bytes.push(1);
                bytes.extend(number.to_le_bytes());
            }
            Value::Text(text) => {
                bytes.push(2);
                bytes.extend((text.len() as u64).to_le_bytes());
                bytes.extend(text.as_bytes());
            }
            Value::Digest(digest) => {
                bytes.push(3);
                bytes.extend(digest);
            }
        }
    }
}
