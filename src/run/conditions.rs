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
use crate::edit::{ContentDigest, Edit, IdDigest, Likeness, Wanted};
use crate::input::{ContentSpec, Input, InputError, InputSpec, Mapping, MappingError, Problem, Row};

/// How long after the answer that showed a message its intent is made at the latest. (How long the answer, recording the intent and
/// encrypting take is not counted: a message that is read again would take as long once more.)
const LOOK_AGE_MAX: Duration = Duration::from_secs(2);
/// How long after that it is sent at the latest. Most permits come earlier, so few intents are in vain.
const PERMIT_WAIT_MAX: Duration = Duration::from_secs(4);
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
    /// Whether a message may have changed since it was read, and must be read again. The service cannot compare before it edits,
    /// so the only means is to read late.
    pub(super) fn is_read_too_long_ago(&self, read_at: Option<Instant>) -> bool {
        let is_asked = self.reviewed.is_some() || self.keeps_originals;
        is_asked && read_at.is_none_or(|read_at| read_at.elapsed() > LOOK_AGE_MAX)
    }

    /// The same of one whose intent became durable at this time.
    pub(super) fn is_intended_too_long_ago(&self, intended: Instant) -> bool {
        (self.reviewed.is_some() || self.keeps_originals) && intended.elapsed() > PERMIT_WAIT_MAX
    }
}

/// What messages held when somebody reviewed them: their digests.
pub struct Reviewed(Vec<ReviewedMessage>);

/// What one message held.
#[derive(Clone, Copy)]
struct ReviewedMessage {
    message: IdDigest,
    content: ContentDigest,
    line: u64,
    /// Whether that is of its elements, and of its custom data. Of digests alone it is not known.
    parts: Option<[bool; 2]>,
}

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
        reviewed.sort_unstable_by_key(|reviewed| (reviewed.message, reviewed.line));
        for pair in reviewed.windows(2) {
            if let [first, second] = pair
                && first.message == second.message
                && first.content != second.content
            {
                let what = format!(
                    "it says otherwise than line {} what its message held; keep one row of each message, with all that was reviewed of it",
                    first.line
                );
                return Err(ReviewedError::Row { name: input.name().to_owned(), line: second.line, what });
            }
        }
        Ok(Reviewed(reviewed))
    }

    fn of_digests(path: &Path, input: &Input) -> Result<Vec<ReviewedMessage>, ReviewedError> {
        let wrong = |error: csv::Error| ReviewedError::Row {
            name: input.name().to_owned(),
            line: error.position().map_or(1, csv::Position::line),
            what: match error.kind() {
                csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
                _ => error.to_string(),
            },
        };
        let mut rows = csv::Reader::from_path(path).map_err(wrong)?.into_deserialize();
        let mut reviewed = Vec::new();
        loop {
            let line = rows.reader().position().line();
            let Some(row) = rows.next() else { break };
            let Digests { message, content } = row.map_err(wrong)?;
            let (message, content) = (IdDigest(message.0), ContentDigest(content.0));
            reviewed.push(ReviewedMessage { message, content, line, parts: None });
        }
        Ok(reviewed)
    }

    fn of_list(input: &Input) -> Result<Vec<ReviewedMessage>, ReviewedError> {
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default())?;
        let mut reviewed = Vec::new();
        for row in input.rows(&mapping)? {
            let Row { line, edit, .. } = row?;
            let wrong = |problems: Vec<Problem>| ReviewedError::Row {
                name: input.name().to_owned(),
                line: line.number,
                what: problems.first().map_or_else(String::new, |problem| problem.what.clone()),
            };
            let held = edit.map_err(wrong)?;
            let Wanted { message, content, .. } = held.wanted();
            reviewed.push(ReviewedMessage { message, content, line: line.number, parts: Some(parts(&held)) });
        }
        Ok(reviewed)
    }

    /// What the message held.
    fn of(&self, message: IdDigest) -> &[ReviewedMessage] {
        let from = self.0.partition_point(|other| other.message < message);
        let of_it = self.0[from..].iter().take_while(|other| other.message == message).count();
        &self.0[from..from + of_it]
    }

    /// Whether the message holds what it held. (Custom data that the history does not show is none.)
    pub(super) fn is_as_reviewed(&self, message: IdDigest, body: Option<&Value>, custom_data: Option<&str>) -> bool {
        let mut reviewed = self.of(message).iter();
        reviewed.any(|reviewed| reviewed.content.likeness(body, custom_data) != Likeness::Other)
    }

    /// Checks that every message of a list was reviewed.
    ///
    /// # Errors
    /// Some were not, or the list cannot be read.
    pub fn check(&self, input: &Input, mapping: &Mapping) -> Result<(), PlanError> {
        let mut problems = Problems::default();
        for row in input.rows(mapping)? {
            let Row { line, edit, .. } = row?;
            let Ok(edit) = edit else { continue };
            let (reviewed, replaced) = (self.of(edit.id().digest()), parts(&edit));
            let covers = |parts: [bool; 2]| {
                parts.into_iter().zip(replaced).all(|(is_held, is_replaced)| is_held || !is_replaced)
            };
            let what = if reviewed.is_empty() {
                "its message is not in the file of --only-if, so nobody knows whether it was reviewed; add it there, or take the \
                 row out"
            } else if !reviewed.iter().all(|reviewed| reviewed.parts.is_none_or(covers)) {
                "it replaces a part of its message (msg_body, cloud_custom_data) of which the file of --only-if does not say \
                 what it held; add that part there"
            } else {
                continue;
            };
            problems.push(Problem { line, column: None, cell: None, what: what.to_owned() });
        }
        if problems.count() == 0 { Ok(()) } else { Err(PlanError::Problems(problems)) }
    }
}

/// Whether it has elements, and custom data.
fn parts(edit: &Edit) -> [bool; 2] {
    [edit.msg_body().is_some(), edit.cloud_custom_data().is_some()]
}

/// Without what it holds: a digest of a short text is guessed.
impl fmt::Debug for Reviewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviewed").field("messages", &self.0.len()).finish_non_exhaustive()
    }
}
