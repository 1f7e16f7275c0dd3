//! List formats.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::ValueEnum;
use serde::Deserialize;

/// The format of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// JSON Lines: one object on each line.
    #[serde(alias = "ndjson")]
    #[value(alias = "ndjson")]
    Jsonl,
    /// A JSON array of objects, or objects one after another.
    Json,
    /// An Excel workbook.
    #[value(alias = "xlsm")]
    Xlsx,
}

impl Format {
    /// The format that a file name implies: `.csv`, `.jsonl`, `.ndjson` or `.json`, each also followed by `.gz`; `.xlsx` or
    /// `.xlsm`. Text of another name is taken for CSV: its header shows what separates the columns.
    pub(super) fn of_name(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let unpacked = name.strip_suffix(".gz").unwrap_or(&name);
        let (_, ending) = unpacked.rsplit_once('.')?;
        match ending {
            "tsv" | "tab" | "txt" => Some(Format::Csv),
            _ => ending.parse().ok().filter(|format| *format != Format::Xlsx || unpacked == name),
        }
    }

    /// The format that a file name implies, whatever the job says: many things are called `.txt`.
    pub(super) fn told_by_name(name: &str) -> Option<Format> {
        let lower_case = name.to_ascii_lowercase();
        let unpacked = lower_case.strip_suffix(".gz").unwrap_or(&lower_case);
        Format::of_name(name).filter(|_| unpacked.rsplit_once('.').is_none_or(|(_, ending)| ending != "txt"))
    }

    /// The format in which copies of this format's rows are written.
    #[must_use]
    pub fn of_copies(self) -> Format {
        match self {
            Format::Csv | Format::Xlsx => Format::Csv,
            Format::Jsonl | Format::Json => Format::Jsonl,
        }
    }

    /// The format of these lists for which a job file gives this one. Of several, it is only that of lists whose names
    /// tell none.
    #[must_use]
    pub fn of_job(self, lists: &[PathBuf]) -> Format {
        if let [list] = lists { self.or_of_copies(list) } else { self }
    }

    /// The format of a list for which a job file gives this one. The rows of a workbook or an array that failed come back
    /// in another format, under a name that shows it, and the same job file must do for them.
    fn or_of_copies(self, list: &Path) -> Format {
        match Format::of_name(&list.to_string_lossy()) {
            Some(found) if found != self && found == self.of_copies() => found,
            Some(_) | None => self,
        }
    }
}

/// The word names no list format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list format; use csv, jsonl, json or xlsx")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Format, UnknownFormat> {
        <Format as ValueEnum>::from_str(word, true).map_err(|_| UnknownFormat(word.to_owned()))
    }
}
