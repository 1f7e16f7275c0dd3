//! What is asked of a message before its edit is made.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

use super::plan::{PlanError, Problems};
use crate::edit::{ContentDigest, IdDigest, Likeness};
use crate::input::{ContentSpec, Input, InputError, InputSpec, Mapping, MappingError, Problem, Row};
use crate::system::digest::sha256;

/// The header of a file of digests.
const HEADER: &[u8] = b"message,content";

/// What is asked of each message before its edit is made. Both need that it is read first.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// It still holds what it held when it was reviewed.
    pub reviewed: Option<Arc<Reviewed>>,
    /// What it holds is kept.
    pub keeps_originals: bool,
}

impl Conditions {
    /// Whether a message may have changed since it was read. The service cannot compare before it edits, so the only means is
    /// to read late.
    pub(super) fn is_read_too_long_ago(&self, read_at: Option<Instant>, most: Duration) -> bool {
        self.reviewed.is_some() && read_at.is_none_or(|read_at| read_at.elapsed() > most)
    }
}

/// What messages held when somebody reviewed them: their digests.
pub struct Reviewed(Vec<(IdDigest, ContentDigest)>);

/// Why a file does not say what messages held.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReviewedError {
    /// It cannot be read.
    #[error("--only-if: {0}")]
    Input(#[from] InputError),
    /// It cannot be read as a list.
    #[error(transparent)]
    Mapping(#[from] MappingError),
    /// A row of it is wrong.
    #[error("--only-if: line {line} of {name}: {what}")]
    Row {
        /// The file.
        name: String,
        /// The line.
        line: u64,
        /// What is wrong.
        what: String,
    },
}

/// A row of digests, as a ledger has them.
#[derive(Deserialize)]
struct Digests {
    message: Digest,
    content: Digest,
}

/// 16 bytes in hexadecimal.
struct Digest([u8; 16]);

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let digest = u128::from_str_radix(&text, 16).ok().filter(|_| is_hex);
        let wrong = || serde::de::Error::custom("a digest is 32 hexadecimal digits");
        digest.map(|digest| Digest(digest.to_be_bytes())).ok_or_else(wrong)
    }
}

impl Reviewed {
    /// Reads a file: a list of the messages with what they held, in any format of a list; or CSV with the columns `message` and
    /// `content`, the digests of both as a ledger has them.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is wrong.
    pub fn read(path: &Path) -> Result<Reviewed, ReviewedError> {
        let input = Input::open(path, None)?;
        let failed = |source| InputError::Open { name: input.name().to_owned(), source };
        let mut begin = Vec::new();
        File::open(path).and_then(|file| file.take(64).read_to_end(&mut begin)).map_err(failed)?;
        let is_of_digests = begin.split(|byte| b"\r\n".contains(byte)).next() == Some(HEADER);
        let mut reviewed = if is_of_digests { Reviewed::of_digests(path, &input)? } else { Reviewed::of_list(&input)? };
        reviewed.sort_unstable_by_key(|(message, content)| (*message, content.0));
        Ok(Reviewed(reviewed))
    }

    fn of_digests(path: &Path, input: &Input) -> Result<Vec<(IdDigest, ContentDigest)>, ReviewedError> {
        let wrong = |error: csv::Error| ReviewedError::Row {
            name: input.name().to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            what: match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
                _ => error.to_string(),
            },
        };
        let rows = csv::Reader::from_path(path).map_err(wrong)?.into_deserialize();
        let digests = |row: csv::Result<Digests>| {
            row.map(|Digests { message, content }| (IdDigest(message.0), ContentDigest(content.0)))
        };
        rows.map(digests).collect::<csv::Result<_>>().map_err(wrong)
    }

    fn of_list(input: &Input) -> Result<Vec<(IdDigest, ContentDigest)>, ReviewedError> {
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default())?;
        let mut reviewed = Vec::new();
        for row in input.rows(&mapping)? {
            let Row { line, edit, .. } = row?;
            let wrong = |problems: Vec<Problem>| ReviewedError::Row {
                name: input.name().to_owned(),
                line: line.number,
                what: problems.first().map_or_else(String::new, |problem| problem.what.clone()),
            };
            let wanted = edit.map_err(wrong)?.wanted();
            reviewed.push((wanted.message, wanted.content));
        }
        Ok(reviewed)
    }

    /// SHA-256 of all of it, in hexadecimal.
    pub fn digest(&self) -> String {
        let bytes: Vec<u8> = self.0.iter().flat_map(|(message, content)| [message.0, content.0]).flatten().collect();
        sha256(&bytes)
    }

    /// What the message held.
    fn of(&self, message: IdDigest) -> &[(IdDigest, ContentDigest)] {
        let from = self.0.partition_point(|(other, _)| *other < message);
        let of_it = self.0[from..].iter().take_while(|(other, _)| *other == message).count();
        &self.0[from..from + of_it]
    }

    /// Whether the message holds what it held. (Custom data that the history does not show is none.)
    pub(super) fn is_as_reviewed(&self, message: IdDigest, body: Option<&Value>, custom_data: Option<&str>) -> bool {
        let likeness = |content: &ContentDigest| content.likeness(body, custom_data);
        self.of(message).iter().any(|(_, content)| likeness(content) != Likeness::Other)
    }

    /// Checks that every message of a list was reviewed.
    ///
    /// # Errors
    /// Some were not, or the list cannot be read.
    pub fn check(&self, input: &Input, mapping: &Mapping) -> Result<(), PlanError> {
        let mut problems = Problems::default();
        for row in input.rows(mapping)? {
            let Row { line, edit, .. } = row?;
            if edit.is_ok_and(|edit| self.of(edit.id().digest()).is_empty()) {
                let what = "its message is not in the file of --only-if, so nobody knows whether it was reviewed; add it \
                            there, or take the row out";
                problems.push(Problem { line, column: None, cell: None, what: what.to_owned() });
            }
        }
        if problems.count() == 0 { Ok(()) } else { Err(PlanError::Problems(problems)) }
    }
}

/// Without what it holds: a digest of a short text is guessed.
impl fmt::Debug for Reviewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviewed").field("messages", &self.0.len()).finish_non_exhaustive()
    }
}
