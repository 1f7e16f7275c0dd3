//! The rows that failed or are in doubt, as a list that can be mended and given in again.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::api::error_code::meaning;
use crate::input::{AnnotateError, Format, Input, Mapping, Note, Row};
use crate::ledger::{Known, LedgerError, Records, State};
use crate::run::Plan;
use crate::shown::harmless;

/// Why the rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FailedRowsError {
    /// The list or the ledger cannot be read.
    #[error("cannot write the rows that failed: {0}")]
    Copy(#[from] AnnotateError<LedgerError>),
    /// The file cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Where they go: `<ledger's stem>.failed.csv` or `.jsonl` beside the ledger. If that is the very list that is being
/// worked on, a number keeps the two apart.
pub fn path(ledger: &Path, input: &Input) -> PathBuf {
    let directory = ledger.parent().unwrap_or_else(|| Path::new(""));
    let stem = ledger.file_stem().unwrap_or_default().to_string_lossy();
    let ending = match input.format() {
        Format::Csv => "csv",
        Format::Jsonl => "jsonl",
    };
    let taken = input.path().and_then(|path| path.canonicalize().ok());
    std::iter::once(String::new())
        .chain((2..1_000).map(|number: u32| format!("-{number}")))
        .map(|number| directory.join(format!("{stem}.failed{number}.{ending}")))
        .find(|path| taken.is_none() || path.canonicalize().ok() != taken)
        .unwrap_or_default()
}

/// Keeps what somebody has made of the file since the last run: it is renamed to the same name with a `~` behind it, or
/// `~2` and so on. A run writes the file just before it ends.
pub fn put_aside(path: &Path, last_run_ended: Option<SystemTime>) {
    let Ok(written) = path.metadata().and_then(|metadata| metadata.modified()) else { return };
    // The ledger's time has whole milliseconds, the file's has more.
    if last_run_ended.is_some_and(|ended| written <= ended + Duration::from_millis(1)) {
        return;
    }
    let free = std::iter::once(String::new())
        .chain((2..1_000).map(|number: u32| number.to_string()))
        .map(|number| {
            let mut name = path.as_os_str().to_owned();
            name.push(format!("~{number}"));
            PathBuf::from(name)
        })
        .find(|name| !name.exists());
    if let Some(free) = free
        && let Err(error) = std::fs::rename(path, &free)
    {
        tracing::warn!(?error, "cannot put {} aside", harmless(&path.to_string_lossy()));
    }
}

/// Writes the rows of the list whose edits failed or are in doubt to `path`: all of them, or nothing.
///
/// # Errors
/// The list or the ledger cannot be read, or the file cannot be written.
pub fn write(
    path: &Path,
    input: &Input,
    mapping: &Mapping,
    plan: &Plan,
    records: &mut dyn Records,
) -> Result<(), FailedRowsError> {
    let failed = |source| FailedRowsError::Write { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(directory).map_err(failed)?;
    // Readable by its owner only, as it holds what the list holds; complete, or not there at all.
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut out = BufWriter::new(file.as_file_mut());
    input.annotate(mapping, &mut out, |row: &Row| {
        let Ok(edit) = &row.edit else { return Ok(None) };
        if plan.is_duplicate(edit, row.line) {
            return Ok(None);
        }
        let message = edit.id().digest();
        Ok(match records.brief(message)?.map(|brief| brief.state) {
            Some(State::Failed | State::InDoubt | State::Sending) => note(&records.known(message)?),
            Some(State::Done | State::Waiting) | None => None,
        })
    })?;
    out.flush().map_err(failed)?;
    drop(out);
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn note(known: &Known) -> Option<Note> {
    let Known { state, attempts, code, note, .. } = *known;
    let what = match state {
        State::Failed => code.map(|code| meaning(code).to_owned()).or_else(|| note.map(crate::ledger::Note::meaning)),
        State::InDoubt | State::Sending => {
            let why = note.map_or_else(|| "it was never heard of again".to_owned(), crate::ledger::Note::meaning);
            Some(format!("in doubt: {why}"))
        }
        State::Done | State::Waiting => return None,
    };
    Some(Note { code, meaning: what.unwrap_or_default(), attempts })
}
