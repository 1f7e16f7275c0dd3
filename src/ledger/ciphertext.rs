//! What a ledger records of the originals that are kept in files of their own.

use std::sync::Arc;

/// The originals of one commit, encrypted: they are in a file of their own, and the ledger knows how they must be there. (It has
/// no digest of what messages held: that of a phone number is guessed in seconds.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ciphertext {
    /// The name that the file has in its first line.
    pub file: Arc<str>,
    /// Its number there, from 1.
    pub number: u64,
    /// How many originals are in it.
    pub originals: u64,
    /// SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}
