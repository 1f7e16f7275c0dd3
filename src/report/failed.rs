//! The rows that failed or are in doubt, as a list that can be mended and given in again.

use std::path::{Path, PathBuf};

use crate::input::{AnnotateError, CopyStyle, Format, List, Mapping, Row, RowNote};
use crate::ledger::{Cause, EditRow, LedgerError, Note, Records, State};
use crate::run::Plan;
use crate::system::atomic_file::{self, WriteError};
use crate::words::{Lang, Words};

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

/// Where they go: `<ledger's stem>.failed.csv` or `.jsonl` beside the ledger; of several lists each has its own
/// `<ledger's stem>.<list's stem>.failed.csv`. A number keeps them apart from the lists that are being worked on, and from
/// each other.
pub fn paths(ledger: &Path, lists: &[(Option<&Path>, Format)], is_list: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let stem = ledger.file_stem().unwrap_or_default().to_string_lossy();
    if let [(_, format)] = lists {
        return vec![path(ledger, &stem, *format, is_list)];
    }
    let mut paths: Vec<PathBuf> = Vec::with_capacity(lists.len());
    for (list, format) in lists {
        let stem = format!("{stem}.{}", list.map_or("stdin".into(), |list| stem_of(list, &stem)));
        paths.push(path(ledger, &stem, *format, |path| is_list(path) || paths.iter().any(|taken| taken == path)));
    }
    paths
}

/// The name of a list without its endings; and without those that [`paths`] gives, so that the rows of a list keep their
/// name however often they fail.
fn stem_of(list: &Path, ledger: &str) -> String {
    let name = list.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".gz").unwrap_or(&name);
    let stem = stem.rsplit_once('.').map_or(stem, |(stem, _)| stem);
    let (before, ending) = stem.rsplit_once(".failed").unwrap_or((stem, ""));
    let is_number = ending.is_empty() || ending.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok());
    let stem = if is_number { before } else { stem };
    stem.strip_prefix(ledger).and_then(|stem| stem.strip_prefix('.')).unwrap_or(stem).to_owned()
}

fn path(ledger: &Path, stem: &str, format: Format, is_taken: impl Fn(&Path) -> bool) -> PathBuf {
    let directory = ledger.parent().unwrap_or_else(|| Path::new(""));
    let ending = match format.of_copies() {
        Format::Csv | Format::Xlsx => "csv",
        Format::Jsonl | Format::Json => "jsonl",
    };
    std::iter::once(String::new())
        .chain((2..1_000).map(|number: u32| format!("-{number}")))
        .map(|number| directory.join(format!("{stem}.failed{number}.{ending}")))
        .find(|path| !is_taken(path))
        .unwrap_or_default()
}

/// Writes the rows of the list whose edits failed or are in doubt to `path`: all of them, or nothing. Returns how many
/// there are.
///
/// # Errors
/// The list or the ledger cannot be read, or the file cannot be written.
pub fn write(
    path: &Path,
    list: &List,
    mapping: &Mapping,
    plan: &Plan,
    records: &mut dyn Records,
    words: &Words,
) -> Result<u64, FailedRowsError> {
    atomic_file::write_marked(path, |out| {
        // JSON is for programs.
        let words = if list.format().of_copies() == Format::Csv { words } else { &Words::new(Lang::En) };
        let style = CopyStyle {
            note_columns: words.say.note_columns,
            apostrophe_column: words.say.apostrophe_column,
            has_mark: !words.csv_mark().is_empty(),
        };
        let note_of = |row: &Row| {
            let Ok(edit) = &row.edit else { return Ok(None) };
            if plan.is_duplicate(edit, &row.line) {
                return Ok(None);
            }
            let message = edit.id().digest();
            Ok(match records.status(message)?.map(|brief| brief.state) {
                Some(State::Failed | State::InDoubt | State::Sending) => note(&records.row(message)?, words),
                Some(State::Done | State::Waiting) | None => None,
            })
        };
        Ok(list.annotate(mapping, style, out, note_of)?)
    })
}

fn note(known: &EditRow, words: &Words) -> Option<RowNote> {
    let EditRow { state, attempts, code, note, .. } = *known;
    let of_note = |note: Note| words.meaning(Cause::Note(note));
    let what = match state {
        State::Failed => code.map(|code| words.meaning(Cause::Code(code))).or_else(|| note.map(of_note)),
        State::InDoubt | State::Sending => {
            let why = note.map_or_else(|| words.lang.say("no answer ever came"), of_note);
            Some(words.lang.say(format_args!("in doubt: {why}")))
        }
        State::Done | State::Waiting => return None,
    };
    Some(RowNote { code, meaning: what.unwrap_or_default(), attempts })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The files for the failed rows of these lists, if `taken` are lists that are being worked on.
    fn named(lists: &[&str], taken: &[&str]) -> Vec<String> {
        let lists: Vec<_> = lists
            .iter()
            .map(|name| {
                let format = if name.contains("jsonl") { Format::Jsonl } else { Format::Csv };
                ((*name != "-").then_some(Path::new(*name)), format)
            })
            .collect();
        let paths = paths(Path::new("d/l.db"), &lists, |path| taken.iter().any(|taken| Path::new(taken) == path));
        paths.iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn each_list_has_a_file_of_its_own() {
        assert_eq!(named(&["a.csv"], &[]), ["d/l.failed.csv"]);
        assert_eq!(named(&["d/l.failed.csv"], &["d/l.failed.csv"]), ["d/l.failed-2.csv"]);
        assert_eq!(
            named(&["a.csv", "x/b.c.jsonl.gz", "-"], &[]),
            ["d/l.a.failed.csv", "d/l.b.c.failed.jsonl", "d/l.stdin.failed.csv"]
        );
        assert_eq!(
            named(&["x/a.csv", "y/a.csv", "a.jsonl"], &[]),
            ["d/l.a.failed.csv", "d/l.a.failed-2.csv", "d/l.a.failed.jsonl"]
        );
    }

    #[test]
    fn failed_rows_that_fail_again_keep_the_name_of_their_list() {
        let lists = ["d/l.a.failed.csv", "d/l.b.failed-2.csv"];
        assert_eq!(named(&lists, &lists), ["d/l.a.failed-2.csv", "d/l.b.failed.csv"]);
        assert_eq!(named(&["not.failed-yet.csv", ".csv"], &[]), ["d/l.not.failed-yet.failed.csv", "d/l..failed.csv"]);
    }
}
