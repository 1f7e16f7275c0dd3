//! What is known about the lists once they have been read.

use sha2::{Digest, Sha256};

use super::Delimiter;
use crate::system::digest::hex;

/// How a list was read, and what in it is no row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListFacts {
    /// The encoding of its text.
    pub encoding: &'static str,
    /// What separates the columns of a CSV list.
    pub delimiter: Option<Delimiter>,
    /// Rows of empty cells, which were passed over.
    pub empty_rows: u64,
    /// Empty columns at the end, which were passed over.
    pub empty_columns: usize,
}

/// What was read of a job's lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadInput {
    /// The lists, in order.
    pub lists: Vec<ReadList>,
    /// SHA-256 of the list's bytes as stored. Of several lists, the SHA-256 of theirs, in hexadecimal, one a line:
    /// `sha256sum a.csv b.csv | cut -c 1-64 | sha256sum`.
    pub sha256: [u8; 32],
}

/// What was read of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadList {
    /// Its rows.
    pub rows: u64,
    /// SHA-256 of its bytes as stored.
    pub sha256: [u8; 32],
    /// How it was read.
    pub facts: ListFacts,
}

impl ReadInput {
    pub(super) fn of(lists: Vec<ReadList>) -> ReadInput {
        let sha256 = match lists.as_slice() {
            [list] => list.sha256,
            lists => {
                let lines: String = lists.iter().map(|list| hex(&list.sha256) + "\n").collect();
                Sha256::digest(lines).into()
            }
        };
        ReadInput { lists, sha256 }
    }
}
