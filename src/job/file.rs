//! The job file: its keys, and the places of its errors.

use std::fmt;
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::JobError;
use crate::input::{ContentSpec, InputSpec};
use crate::run::InDoubt;
use crate::system::digest::sha256;
use crate::system::small_file;
use crate::terminal::excerpt::{Excerpt, line_of};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct JobFile {
    pub(super) name: Option<String>,
    pub(super) confirm: Option<Confirm>,
    pub(super) service: ServiceSpec,
    pub(super) pace: PaceSpec,
    pub(super) retry: RetrySpec,
    pub(super) input: InputSpec,
    pub(super) content: ContentSpec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Confirm {
    Always,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ServiceSpec {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) sdkappid: Option<u64>,
    pub(super) identifier: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PaceSpec {
    pub(super) rate: Option<NonZeroU32>,
    pub(super) max_rate: Option<NonZeroU32>,
    pub(super) concurrency: Option<NonZeroUsize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetrySpec {
    pub(super) max_attempts: Option<NonZeroU32>,
    pub(super) timeout: Option<String>,
    pub(super) max_failures: Option<String>,
    pub(super) in_doubt: Option<InDoubt>,
    pub(super) read_first: Option<bool>,
}

/// The text of the job file, if there is one.
#[derive(Debug, Default)]
pub(super) struct JobFileText(Option<(PathBuf, String)>);

impl JobFile {
    /// Reads the file; everything is unset if there is none.
    pub(super) fn read(path: Option<&Path>) -> Result<(JobFile, JobFileText), JobError> {
        let Some(path) = path else { return Ok((JobFile::default(), JobFileText::default())) };
        let text = small_file::read_text(path).map_err(|source| JobError::Read { path: path.to_owned(), source })?;
        let file = toml::from_str(&text).map_err(|error| {
            let place = error.span().map(|span| Box::new(JobFilePlace::new(&text, span, "")));
            JobError::File { path: path.to_owned(), place, what: error.message().to_owned() }
        })?;
        Ok((file, JobFileText(Some((path.to_owned(), text)))))
    }
}

impl JobFileText {
    /// SHA-256 of the file, in hexadecimal.
    pub(super) fn sha256(&self) -> Option<String> {
        self.0.as_ref().map(|(_, text)| sha256(text.as_bytes()))
    }

    /// Adds the place in the file to an error about a value of the file.
    pub(super) fn locate(&self, error: JobError) -> JobError {
        let Some((path, text)) = &self.0 else { return error };
        let key = match &error {
            JobError::Value { origin, .. } => origin.as_str(),
            JobError::Mapping { source, .. } => source.key(),
            _ => return error,
        };
        let Some(place) = find(text, key) else { return error };
        let place = JobFilePlace::new(text, place, key.rsplit('.').next().unwrap_or(key));
        let place = Some(Box::new(place));
        match error {
            JobError::Mapping { source, .. } => JobError::Mapping { path: Some(path.clone()), place, source },
            error => JobError::File { path: path.clone(), place, what: error.to_string() },
        }
    }
}

/// Where the value of a key such as `retry.timeout` is.
fn find(text: &str, key: &str) -> Option<Range<usize>> {
    let document = DeTable::parse(text).ok()?;
    let mut found = None;
    let mut table = document.get_ref();
    for name in key.split('.') {
        let value = table.get(name)?;
        found = Some(value.span());
        if let DeValue::Table(inner) = value.get_ref() {
            table = inner;
        }
    }
    found
}

/// Where in a job file something is wrong.
#[derive(Clone, Debug)]
pub struct JobFilePlace {
    line: u64,
    column: usize,
    /// The text at that place.
    pub excerpt: Excerpt,
}

impl JobFilePlace {
    fn new(text: &str, place: Range<usize>, label: &str) -> JobFilePlace {
        let at = text.floor_char_boundary(place.start);
        let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let column = text[begin..at].chars().count() + 1;
        JobFilePlace { line: line_of(text, at), column, excerpt: Excerpt::within(text, place, label) }
    }
}

impl fmt::Display for JobFilePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}
