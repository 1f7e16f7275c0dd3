//! That one event is in a log of a known head, as a C2SP proof (<https://c2sp.org/tlog-proof>) that follows the event's line.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::checkpoint::{hash, number};
use super::tree::root_of;
use super::{Checkpoint, Hash, Head, inclusion, leaf};

const FORMAT: &str = "c2sp.org/tlog-proof@v1";

/// An event of a log, and the proof that the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The event, as one line of JSON.
    pub line: String,
    /// Its position in the log, from 0.
    pub index: u64,
    /// From the event to the root.
    pub path: Vec<Hash>,
    /// The head of the log.
    pub checkpoint: Checkpoint,
}

/// Collects the proofs of some of a log's events while the log is read.
#[derive(Debug)]
pub struct Prover {
    leaves: Vec<Hash>,
    found: Vec<(u64, String)>,
    size: u64,
}

impl Prover {
    /// For the log as it was when it had this many events; `None`: as it is.
    pub fn new(size: Option<u64>) -> Prover {
        Prover { leaves: Vec::new(), found: Vec::new(), size: size.unwrap_or(u64::MAX) }
    }

    /// The next event of the log, and whether it is to be proven.
    pub fn event(&mut self, line: &[u8], is_wanted: bool) {
        let index = self.leaves.len() as u64;
        if index < self.size {
            if is_wanted {
                self.found.push((index, String::from_utf8_lossy(line).into_owned()));
            }
            self.leaves.push(leaf(line));
        }
    }

    /// The proofs, of the log of this name.
    pub fn finish(self, origin: Arc<str>) -> Vec<Proof> {
        let Prover { leaves, found, .. } = self;
        let checkpoint = Head { origin, range: leaves.iter().copied().collect() }.checkpoint();
        let proof = |(index, line): (u64, String)| Proof {
            line,
            index,
            path: inclusion(&leaves, usize::try_from(index).unwrap_or(usize::MAX)),
            checkpoint: checkpoint.clone(),
        };
        found.into_iter().map(proof).collect()
    }
}

/// Why a text holds no proofs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// A line is not what should stand there.
    #[error("{file}:{line}: this is not {expected}; give a file that runner prove has written")]
    Malformed {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What should be there.
        expected: &'static str,
    },
    /// There is nothing in it.
    #[error("{file} holds no proof")]
    Empty {
        /// The file.
        file: String,
    },
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{FORMAT}\nindex {}", self.line, self.index)?;
        self.path.iter().try_for_each(|step| writeln!(f, "{}", STANDARD.encode(step)))?;
        write!(f, "\n{}", self.checkpoint)
    }
}

impl Proof {
    /// Whether the log of that head has this event at this position.
    pub fn holds(&self) -> bool {
        let Checkpoint { size, root, .. } = self.checkpoint;
        root_of(leaf(self.line.as_bytes()), self.index, size, &self.path) == Some(root)
    }

    /// Reads all proofs of a text, one after the other, with empty lines between them.
    ///
    /// # Errors
    /// There is none, or something that is none.
    pub fn read_all(file: &str, text: &str) -> Result<Vec<Proof>, ProofError> {
        let mut lines = text.lines().enumerate().peekable();
        let mut found = Vec::new();
        while let Some((at, line)) = lines.next() {
            if line.is_empty() || line.starts_with("— ") {
                continue;
            }
            let malformed =
                |line: usize, expected| ProofError::Malformed { file: file.to_owned(), line: line + 1, expected };
            let mut next = |expected| lines.next().ok_or_else(|| malformed(at + 1, expected));
            let (at_format, format) = next("the line that names the format")?;
            if format != FORMAT {
                return Err(malformed(at_format, "the line that names the format"));
            }
            let (at_index, index) = next("a position")?;
            let index = index.strip_prefix("index ").and_then(number);
            let index = index.ok_or_else(|| malformed(at_index, "a position"))?;
            let mut path = Vec::new();
            loop {
                let (at, step) = next("an empty line and a checkpoint")?;
                if step.is_empty() {
                    break;
                }
                path.push(hash(step).ok_or_else(|| malformed(at, "a SHA-256 in Base64"))?);
            }
            let (at, origin) = next("the name of a log")?;
            let (_, size) = next("a size")?;
            let (_, root) = next("a root")?;
            let checkpoint = number(size).zip(hash(root));
            let (size, root) = checkpoint.ok_or_else(|| malformed(at + 1, "the size and root of a checkpoint"))?;
            let checkpoint = Checkpoint { origin: origin.to_owned(), size, root };
            found.push(Proof { line: line.to_owned(), index, path, checkpoint });
        }
        if found.is_empty() { Err(ProofError::Empty { file: file.to_owned() }) } else { Ok(found) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::evidence::{Range, inclusion};

    fn proofs() -> Vec<Proof> {
        let lines: Vec<String> = (1..=5).map(|event| format!("{{\"event\":{event}}}")).collect();
        let leaves: Vec<Hash> = lines.iter().map(|line| leaf(line.as_bytes())).collect();
        let range = leaves.iter().copied().collect::<Range>();
        let checkpoint = Checkpoint { origin: "runner/00".into(), size: range.size(), root: range.root() };
        let all = lines.into_iter().zip(0..).map(|(line, index)| Proof {
            line,
            index: index as u64,
            path: inclusion(&leaves, index),
            checkpoint: checkpoint.clone(),
        });
        all.collect()
    }

    #[test]
    fn proofs_are_read_as_they_are_written_and_hold() {
        let text: Vec<String> = proofs().iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(text[1], @r#"
        {"event":2}
        c2sp.org/tlog-proof@v1
        index 1
        KfFgKcf+uWxIdJcCfFLZXAiKfTO+WY+uiBZPW0zGmm8=
        QlYYOXjckLs/xra49+ZoHlaxKeotmxhz+r0DPrpePWQ=
        pmVkGLiiUONChi1MXX0MW6Fcv8FneyKv0k3r5A0bz5w=

        runner/00
        5
        EjY9ZOvOSxlSBcIO6mJn0kDb3dAdC/4avEtbTR0/CLk=
        "#);
        let read = Proof::read_all("proof.txt", &text.join("\n")).unwrap();
        assert_eq!(read, proofs());
        assert!(read.iter().all(Proof::holds));
    }

    proptest! {
        /// Whatever byte is another one: it does not hold, or it is no proof.
        #[test]
        fn no_byte_can_be_another_one(at in any::<prop::sample::Index>(), other in 0x20_u8..0x7f) {
            let text = proofs()[1].to_string();
            // The log's name and size say which head it is; the root is that head.
            let (name, length) = (text.find("runner/00").unwrap(), "runner/00\n5".len());
            let at = at.index(text.len());
            let mut bytes = text.clone().into_bytes();
            prop_assume!(bytes[at] != other && !(name..name + length).contains(&at));
            bytes[at] = other;
            let read = Proof::read_all("proof.txt", std::str::from_utf8(&bytes).unwrap());
            prop_assert!(read.is_err() || read.is_ok_and(|read| !read.iter().all(Proof::holds)));
        }
    }
}
