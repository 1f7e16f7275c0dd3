//! A report as a directory, to be kept or checked: the page, the summary, a list of the edits of
//! each state, and a manifest by which each file can be verified.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::facts::{NotReachedList, Report};
use super::format::{self, FORMAT, Manifest};
use super::lists::{self, EditListError, PlannedInput};
use super::page::page;
use super::{evidence, machine};
use crate::ledger::{LedgerError, Overview};
use crate::system::atomic_file::{self, WriteError, Written};
use crate::system::small_file;
use crate::words::{Words, iso};

/// The page's name.
pub const PAGE: &str = "report.html";
const SUMMARY: &str = "summary.json";
const DONE: &str = "done.csv";
const FAILED: &str = "failed.csv";
const IN_DOUBT: &str = "in_doubt.csv";
const NOT_REACHED: &str = "not_reached.csv";
/// The manifest's name.
pub const MANIFEST: &str = "manifest.json";
/// All of them.
pub const NAMES: [&str; 7] = [PAGE, SUMMARY, DONE, FAILED, IN_DOUBT, NOT_REACHED, MANIFEST];

/// Why a report could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The ledger cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A list cannot be made.
    #[error("cannot write {name}: {source}")]
    List {
        /// The file.
        name: &'static str,
        /// Why.
        source: EditListError,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes the whole report. Files of an earlier report are replaced if its manifest lists them; other files are put
/// aside. `wanted` is the list, whose edits may not have been reached, or why there is none.
///
/// # Errors
/// The ledger cannot be read, or a file cannot be written; those written before stay.
pub fn write(
    directory: &Path,
    overview: &dyn Overview,
    report: &mut Report,
    wanted: Result<PlannedInput<'_>, String>,
    words: &Words,
) -> Result<(), ReportError> {
    let mut files = ReportFiles { directory, known: known(directory), written: Vec::new() };
    let list = |name| move |source| ReportError::List { name, source };
    files.add(DONE, |out| lists::done(overview, words, out).map_err(list(DONE)))?;
    files.add(FAILED, |out| lists::failed(overview, words, out).map_err(list(FAILED)))?;
    files.add(IN_DOUBT, |out| lists::in_doubt(overview, words, out).map_err(list(IN_DOUBT)))?;
    report.not_reached = match wanted {
        // If it is known that none is left, the list is not needed.
        Err(why) if report.facts.totals.not_reached > 0 || !report.facts.knows_what_is_left() => {
            files.remove(NOT_REACHED)?;
            NotReachedList::LeftOut(why)
        }
        wanted => {
            let wanted = wanted.ok();
            let written = files
                .add(NOT_REACHED, |out| lists::not_reached(overview, wanted, words, out).map_err(list(NOT_REACHED)));
            match written {
                Err(ReportError::List { source: EditListError::Input(error), .. }) => {
                    files.remove(NOT_REACHED)?;
                    NotReachedList::LeftOut(error.to_string())
                }
                written => written.map(|()| NotReachedList::Written)?,
            }
        }
    };
    files.add_json(SUMMARY, &machine::report(report))?;
    files.add_text(PAGE, &page(report, words).into_string())?;
    let path = directory.join(MANIFEST);
    let manifest = pretty(&path, &manifest(report, &files.written))?;
    Ok(write_text(&path, &manifest)?)
}

/// Writes the page alone.
///
/// # Errors
/// It cannot be written.
pub fn write_page(path: &Path, report: &Report, words: &Words) -> Result<(), WriteError> {
    write_text(path, &page(report, words).into_string())
}

fn write_text(path: &Path, text: &str) -> Result<(), WriteError> {
    atomic_file::write_marked(path, |out| {
        out.write_all(text.as_bytes()).map_err(|source| WriteError { path: path.to_owned(), source })
    })
}

fn pretty(path: &Path, value: &impl Serialize) -> Result<String, WriteError> {
    format::pretty(value).map_err(|error| WriteError { path: path.to_owned(), source: error.into() })
}

/// The SHA-256 of each file that an earlier report wrote, as its manifest has them.
fn known(directory: &Path) -> BTreeMap<String, String> {
    let manifest = small_file::read(&directory.join(MANIFEST)).ok();
    let manifest: Value = manifest.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let files = manifest["files"].as_array().into_iter().flatten();
    files.filter_map(|file| Some((file["name"].as_str()?.to_owned(), file["sha256"].as_str()?.to_owned()))).collect()
}

fn manifest(report: &Report, written: &[(&str, Written)]) -> Manifest {
    let facts = &report.facts;
    let files = written.iter().map(|(name, file)| format::File {
        name: (*name).to_owned(),
        bytes: file.bytes,
        sha256: file.sha256.clone(),
    });
    let last = facts.last_run().map(|run| &run.record);
    Manifest {
        format: FORMAT,
        made_at: iso(facts.at),
        version: crate::BUILD.to_owned(),
        ledger: facts.ledger.clone(),
        ledger_sha256: report.ledger_sha256.clone(),
        log: facts.log.as_ref().map(evidence::log),
        job: machine::job(&facts.job),
        input: last.map(|run| run.input.clone()),
        input_sha256: last.map(|run| run.input_sha256.clone()),
        inputs: last.into_iter().flat_map(|run| &run.lists).cloned().map(Into::into).collect(),
        files: files.collect(),
        left_out: machine::left_out(report),
    }
}

struct ReportFiles<'a> {
    directory: &'a Path,
    known: BTreeMap<String, String>,
    written: Vec<(&'static str, Written)>,
}

impl ReportFiles<'_> {
    fn add<T>(
        &mut self,
        name: &'static str,
        fill: impl FnOnce(&mut dyn std::io::Write) -> Result<T, ReportError>,
    ) -> Result<(), ReportError> {
        let ours = self.known.get(name).map(String::as_str);
        let (_, written) = atomic_file::write(&self.directory.join(name), ours, fill)?;
        self.written.push((name, written));
        Ok(())
    }

    fn add_text(&mut self, name: &'static str, text: &str) -> Result<(), ReportError> {
        let path = self.directory.join(name);
        self.add(name, |out| Ok(out.write_all(text.as_bytes()).map_err(|source| WriteError { path, source })?))
    }

    fn add_json(&mut self, name: &'static str, value: &impl Serialize) -> Result<(), ReportError> {
        let text = pretty(&self.directory.join(name), value)?;
        self.add_text(name, &text)
    }

    /// Removes a file of an earlier report that this one does not have.
    fn remove(&self, name: &str) -> Result<(), WriteError> {
        atomic_file::remove(&self.directory.join(name), self.known.get(name).map(String::as_str))
    }
}
