//! The rows that failed or are in doubt, as a list that can be mended and given in again.

use std::path::{Path, PathBuf};

use crate::api::error_code::meaning;
use crate::input::{AnnotateError, Format, Input, Mapping, Row, RowNote};
use crate::ledger::{EditRow, LedgerError, Records, State};
use crate::run::Plan;
use crate::system::atomic_file::{self, WriteError};
use crate::words::Words;

/// Why the rows could not be written.
#[derive(Debug, thiserror::Error)]
pub enum FailedRowsError {
    /// The list or the ledger cannot be read.
    #[error("cannot write the rows that failed: {0}")]
    Copy(#[from] AnnotateError<LedgerError>),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Where they go: `<ledger's stem>.failed.csv` or `.jsonl` beside the ledger. If that is the very list that is being
/// worked on, a number keeps the two apart.
pub fn path(ledger: &Path, format: Format, is_list: impl Fn(&Path) -> bool) -> PathBuf {
    let directory = ledger.parent().unwrap_or_else(|| Path::new(""));
    let stem = ledger.file_stem().unwrap_or_default().to_string_lossy();
    let ending = match format.of_copies() {
        Format::Csv | Format::Xlsx => "csv",
        Format::Jsonl | Format::Json => "jsonl",
    };
    std::iter::once(String::new())
        .chain((2..1_000).map(|number: u32| format!("-{number}")))
        .map(|number| directory.join(format!("{stem}.failed{number}.{ending}")))
        .find(|path| !is_list(path))
        .unwrap_or_default()
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
    words: &Words,
) -> Result<(), FailedRowsError> {
    atomic_file::write_marked(path, |out| {
        if input.format() == Format::Csv {
            out.write_all(words.csv_mark()).map_err(|source| WriteError { path: path.to_owned(), source })?;
        }
        let note_of = |row: &Row| {
            let Ok(edit) = &row.edit else { return Ok(None) };
            if plan.is_duplicate(edit, row.line) {
                return Ok(None);
            }
            let message = edit.id().digest();
            Ok(match records.status(message)?.map(|brief| brief.state) {
                Some(State::Failed | State::InDoubt | State::Sending) => note(&records.row(message)?),
                Some(State::Done | State::Waiting) | None => None,
            })
        };
        input.annotate(mapping, out, note_of)?;
        Ok(())
    })
}

fn note(known: &EditRow) -> Option<RowNote> {
    let EditRow { state, attempts, code, note, .. } = *known;
    let what = match state {
        State::Failed => code.map(|code| meaning(code).to_owned()).or_else(|| note.map(crate::ledger::Note::meaning)),
        State::InDoubt | State::Sending => {
            let why = note.map_or_else(|| "no answer ever came".to_owned(), crate::ledger::Note::meaning);
            Some(format!("in doubt: {why}"))
        }
        State::Done | State::Waiting => return None,
    };
    Some(RowNote { code, meaning: what.unwrap_or_default(), attempts })
}
