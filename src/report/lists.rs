//! The edits by state, as CSV. The ledger keeps no content, so these have none; with a job file that gives it,
//! each is a list again: columns that begin with `_` are ignored.
//!
//! A cell that would be a formula to a spreadsheet program has an apostrophe in front, which the reader of lists takes
//! off again: the last column says how many ids of the row have one.

use std::io::Write;

use crate::edit::{Edit, Line};
use crate::input::{APOSTROPHE_COLUMNS, Input, InputError, Mapping, Row, write_header, write_row};
use crate::ledger::{Cause, EditRecord, LedgerError, Note, Overview, RunList, RunRecord, State};
use crate::run::Plan;
use crate::words::{Words, iso};

pub(super) const IDS: [&str; 3] = ["from_account", "to_account", "msg_key"];
const NOTES: [&str; 6] = ["_state", "_code", "_meaning", "_attempts", "_line", "_sent_at"];
/// The name of the list, where a run had several.
const LIST: &str = "_list";
/// Rows that are looked up together.
pub(super) const LOOK_UPS: usize = 500;

/// Why a list could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EditListError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The list of wanted edits cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] csv::Error),
}

/// A list of wanted edits, with its plan.
#[derive(Clone, Copy, Debug)]
pub struct PlannedInput<'a> {
    /// The list.
    pub input: &'a Input,
    /// How it is read.
    pub mapping: &'a Mapping,
    /// Which of its rows repeat another.
    pub plan: &'a Plan,
}

/// Writes the edits that are done, and returns how many there are.
///
/// # Errors
/// The ledger cannot be read, or the file cannot be written.
pub fn done(overview: &dyn Overview, words: &Words, out: &mut dyn Write) -> Result<u64, EditListError> {
    let mut list = EditListWriter::begin(words, has_had_several(overview)?, out)?;
    overview.edits(State::Done, None, |edit| list.edit("done", &edit))?;
    list.end()
}

/// Writes the edits that failed, and returns how many there are.
///
/// # Errors
/// The ledger cannot be read, or the file cannot be written.
pub fn failed(overview: &dyn Overview, words: &Words, out: &mut dyn Write) -> Result<u64, EditListError> {
    let mut list = EditListWriter::begin(words, has_had_several(overview)?, out)?;
    overview.edits(State::Failed, None, |edit| list.edit("failed", &edit))?;
    list.end()
}

/// Writes the edits in doubt, and returns how many there are.
///
/// # Errors
/// The ledger cannot be read, or the file cannot be written.
pub fn in_doubt(overview: &dyn Overview, words: &Words, out: &mut dyn Write) -> Result<u64, EditListError> {
    let mut list = EditListWriter::begin(words, has_had_several(overview)?, out)?;
    overview.edits(State::InDoubt, None, |edit| list.edit("in_doubt", &edit))?;
    if overview.worker().is_none() {
        // What a dead process was sending is in doubt, and the next run records it as such.
        overview.edits(State::Sending, None, |mut edit| {
            edit.cause = Some(Cause::Note(Note::ProcessDied));
            list.edit("in_doubt", &edit)
        })?;
    }
    list.end()
}

/// Writes the edits that were not reached, and returns how many there are; without `wanted` there are none.
///
/// # Errors
/// The ledger or the list cannot be read, or the file cannot be written.
pub fn not_reached(
    overview: &dyn Overview,
    wanted: Option<PlannedInput<'_>>,
    words: &Words,
    out: &mut dyn Write,
) -> Result<u64, EditListError> {
    let runs = overview.runs()?;
    let has_several = wanted.is_some_and(|wanted| wanted.input.has_several()) || has_had_several(overview)?;
    let mut list = EditListWriter::begin(words, has_several, out)?;
    if let Some(PlannedInput { input, mapping, plan }) = wanted {
        let names = names(input, plan, &runs);
        let mut rows = Vec::new();
        for row in input.rows(mapping)? {
            let Row { line, edit: Ok(edit), .. } = row? else { continue };
            if plan.is_duplicate(&edit, &line) {
                continue;
            }
            rows.push((line, edit));
            if rows.len() == LOOK_UPS {
                list.rows_not_reached(overview, &rows, &names)?;
                rows.clear();
            }
        }
        list.rows_not_reached(overview, &rows, &names)?;
    }
    list.end()
}

/// The names of the lists, as the ledger has them: they may have been given by other paths now.
fn names<'a>(input: &'a Input, plan: &'a Plan, runs: &'a [RunRecord]) -> Vec<&'a str> {
    if !input.has_several() {
        return vec![input.name()];
    }
    let of_ledger = |list: &RunList| {
        let lists = runs.iter().rev().flat_map(|run| &run.lists);
        lists.into_iter().find(|known| known.sha256 == list.sha256).map(|known| &*known.name)
    };
    plan.lists.iter().map(|list| of_ledger(list).unwrap_or(&list.name)).collect()
}

/// Whether any run had several lists.
fn has_had_several(overview: &dyn Overview) -> Result<bool, LedgerError> {
    Ok(overview.runs()?.iter().any(|run| !run.lists.is_empty()))
}

struct EditListWriter<'a> {
    out: csv::Writer<&'a mut dyn Write>,
    words: &'a Words,
    has_lists: bool,
    rows: u64,
}

impl<'a> EditListWriter<'a> {
    fn begin(words: &'a Words, has_lists: bool, out: &'a mut dyn Write) -> Result<EditListWriter<'a>, EditListError> {
        out.write_all(words.csv_mark()).map_err(csv::Error::from)?;
        let mut list = EditListWriter { out: csv::Writer::from_writer(out), words, has_lists, rows: 0 };
        let notes = NOTES.into_iter().chain(has_lists.then_some(LIST));
        write_header(&mut list.out, IDS, notes, APOSTROPHE_COLUMNS[0])?;
        Ok(list)
    }

    fn row(&mut self, ids: [&str; 3], notes: [&str; 6], list: &str) -> Result<(), EditListError> {
        self.rows += 1;
        Ok(write_row(&mut self.out, ids, notes.into_iter().chain(self.has_lists.then_some(list)))?)
    }

    fn edit(&mut self, state: &str, edit: &EditRecord) -> Result<(), EditListError> {
        let EditRecord { from_account, to_account, msg_key, cause, attempts, line, list, sent_at, .. } = edit;
        let code = match cause {
            Some(Cause::Code(code)) => code.to_string(),
            Some(Cause::Note(_)) | None => String::new(),
        };
        let meaning = cause.map(|cause| self.words.meaning(cause)).unwrap_or_default();
        let (attempts, line, sent_at) = (attempts.to_string(), line.to_string(), iso(*sent_at));
        self.row(
            [from_account, to_account, msg_key],
            [state, &code, &meaning, &attempts, &line, &sent_at],
            list.as_deref().unwrap_or_default(),
        )
    }

    /// Those of the rows that were not sent, or wait to be sent again.
    fn rows_not_reached(
        &mut self,
        overview: &dyn Overview,
        rows: &[(Line, Edit)],
        names: &[&str],
    ) -> Result<(), EditListError> {
        let messages: Vec<_> = rows.iter().map(|(_, edit)| edit.id().digest()).collect();
        for ((line, edit), known) in rows.iter().zip(overview.find_edits(&messages)?) {
            match known {
                None => self.new_edit(edit, line, names)?,
                Some(known) if known.state == State::Waiting => self.edit("not_reached", &known)?,
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn new_edit(&mut self, edit: &Edit, line: &Line, names: &[&str]) -> Result<(), EditListError> {
        let id = edit.id();
        let number = line.number.to_string();
        let list = line.list.as_ref().map_or(0, |list| list.position as usize - 1);
        self.row(
            [&id.from_account, &id.to_account, &id.msg_key],
            ["not_reached", "", "", "0", &number, ""],
            names.get(list).copied().unwrap_or_default(),
        )
    }

    fn end(mut self) -> Result<u64, EditListError> {
        self.out.flush().map_err(csv::Error::from)?;
        Ok(self.rows)
    }
}
