//! List formats.

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
}

impl Format {
    /// The format that a file name implies: `.csv`, `.jsonl` or `.ndjson`, each also followed by `.gz`. Text of another
    /// name is taken for CSV: its header shows what separates the columns.
    pub(super) fn of_name(name: &str) -> Option<Format> {
        let name = name.to_ascii_lowercase();
        let (_, ending) = name.strip_suffix(".gz").unwrap_or(&name).rsplit_once('.')?;
        match ending {
            "tsv" | "tab" | "txt" => Some(Format::Csv),
            _ => ending.parse().ok(),
        }
    }
}

/// The word names no list format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list format; use csv or jsonl")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(word: &str) -> Result<Format, UnknownFormat> {
        <Format as ValueEnum>::from_str(word, true).map_err(|_| UnknownFormat(word.to_owned()))
    }
}
