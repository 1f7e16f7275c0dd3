//! The head of a log, as a C2SP checkpoint (<https://c2sp.org/tlog-checkpoint>): its name, its size and its root, one a line.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Hash;

/// The head of a log at some size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many events it has.
    pub size: u64,
    /// The root of their tree.
    pub root: Hash,
}

/// A checkpoint that was read from a file, with where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedCheckpoint {
    /// `heads.txt:17`.
    pub place: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

/// Why a file holds no checkpoints.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// A line is none of a checkpoint's.
    #[error(
        "{place}: {what}; a checkpoint is three lines (the log's name, its size, its root in Base64) and an empty one"
    )]
    Malformed {
        /// The file and the line.
        place: String,
        /// What is wrong there.
        what: &'static str,
    },
    /// There is nothing in it.
    #[error("{file} holds no checkpoint")]
    Empty {
        /// The file.
        file: String,
    },
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root))
    }
}

impl Checkpoint {
    /// The root in Base64.
    pub fn root(&self) -> String {
        STANDARD.encode(self.root)
    }

    /// The log that the first checkpoint of a text is of, if there is one.
    pub fn first_origin(text: &str) -> Option<String> {
        let first = text.split("\n\n").find_map(|block| read("", block, |_| {}).ok()?.pop());
        first.map(|found| found.checkpoint.origin)
    }

    /// Reads all checkpoints of a text, one after the other. Signatures, which begin with a dash, are passed over: they are
    /// checked by the tools that made them. So is a checkpoint that was cut off, as when the disk was full, with a warning.
    ///
    /// # Errors
    /// There is none, or something that is none.
    pub fn read_all(file: &str, text: &str) -> Result<Vec<NamedCheckpoint>, CheckpointError> {
        read(file, text, |place| tracing::warn!("{place}: this checkpoint was cut off, and is passed over"))
    }
}

/// Tells of each checkpoint that was cut off.
fn read(file: &str, text: &str, mut cut_off: impl FnMut(String)) -> Result<Vec<NamedCheckpoint>, CheckpointError> {
    let lines: Vec<_> = text.lines().enumerate().filter(|(_, line)| !line.starts_with("— ")).collect();
    let mut found = Vec::new();
    for block in lines.split(|(_, line)| line.is_empty()) {
        let Some(((at, origin), rest)) = block.split_first() else { continue };
        let place = |at: usize| format!("{file}:{}", at + 1);
        let malformed = |at: usize, what| Err(CheckpointError::Malformed { place: place(at), what });
        let (size, root) = match rest {
            [(at, size), ..] if number(size).is_none() => return malformed(*at, "this is no size of a log"),
            [] | [_] => (None, None),
            [(_, size), (_, root)] if is_begun(root) => (number(size), None),
            [(_, size), (at, root)] => match hash(root) {
                Some(root) => (number(size), Some(root)),
                None => return malformed(*at, "this is no SHA-256 in Base64"),
            },
            // Otherwise a head could hide behind another one, as what extends it.
            [_, _, (at, _), ..] => return malformed(*at, "there should be an empty line"),
        };
        let (Some(size), Some(root)) = (size, root) else {
            cut_off(place(*at));
            continue;
        };
        let checkpoint = Checkpoint { origin: (*origin).to_owned(), size, root };
        found.push(NamedCheckpoint { place: place(*at), checkpoint });
    }
    if found.is_empty() { Err(CheckpointError::Empty { file: file.to_owned() }) } else { Ok(found) }
}

/// Whether a SHA-256 in Base64 may begin like this, which has no end.
fn is_begun(root: &str) -> bool {
    const WHOLE: usize = 44;
    root.len() < WHOLE && root.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte))
}

/// A decimal number without leading zeros.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

pub(super) fn hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(size: u64) -> Checkpoint {
        Checkpoint { origin: "runner/0011223344556677".into(), size, root: [7; 32] }
    }

    #[test]
    fn checkpoints_of_a_file_are_found_with_their_lines() {
        let text = format!("{}\n{}— someone Az3grl\n\n{}", checkpoint(1), checkpoint(20), checkpoint(300));
        let found = Checkpoint::read_all("heads.txt", &text).unwrap();
        let places: Vec<_> = found.iter().map(|found| (found.place.as_str(), found.checkpoint.size)).collect();
        assert_eq!(places, [("heads.txt:1", 1), ("heads.txt:5", 20), ("heads.txt:10", 300)]);
        assert_eq!(found[2].checkpoint, checkpoint(300));
    }

    /// Whatever of one came to the disk, the others are found; what was appended to it after that begins with an empty line.
    #[test]
    fn one_that_was_cut_off_is_passed_over() {
        let (first, last) = (checkpoint(1).to_string(), checkpoint(300).to_string());
        let cut_off = checkpoint(20).to_string();
        for length in 0..cut_off.len() - 1 {
            for after in [String::new(), format!("\n\n{last}\n")] {
                let text = format!("\n\n{first}\n\n{}{after}", &cut_off[..length]);
                let found = Checkpoint::read_all("heads.txt", &text).unwrap();
                let sizes: Vec<_> = found.iter().map(|found| found.checkpoint.size).collect();
                assert_eq!(sizes, if after.is_empty() { vec![1] } else { vec![1, 300] }, "{text}");
            }
        }
        assert!(Checkpoint::read_all("heads.txt", "runner").is_err());
    }

    #[test]
    fn what_is_no_checkpoint_is_told_with_its_line() {
        let told = |text: &str| Checkpoint::read_all("heads.txt", text).unwrap_err().to_string();
        assert!(told("\n\n").contains("heads.txt holds no checkpoint"));
        assert!(told("a\n01\n").starts_with("heads.txt:2: this is no size"));
        assert!(told("a\nb\n").starts_with("heads.txt:2: this is no size"));
        let heads = format!("{}{}", checkpoint(1), checkpoint(2));
        assert!(told(&heads).starts_with("heads.txt:4: there should be an empty line"));
        assert!(told("\na\n1\nAA==\n").starts_with("heads.txt:4: this is no SHA-256"));
    }
}
