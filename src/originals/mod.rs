//! What messages held before their edits, kept encrypted: `--originals FILE --encrypt-with CMD`, and the way back.
//!
//! ```text
//! read first ──▶ original ──▶ store: of each commit ──▶ filter ──▶ file ──▶ the ledger's own store
//!                             (those of its intents)   encrypted   durable  intents, and the digest of the ciphertext
//! ```
//!
//! The originals of a commit are encrypted together and are durable before its intents are, and an edit is sent only after
//! that. No key is known here: a command of the user's encrypts, and another one decrypts.

mod file;
mod filter;
mod store;
mod way_back;

pub use file::{Frame, Frames, OriginalsError, OriginalsFile};
pub use store::KeepingStore;
pub use way_back::way_back;

use crate::system::digest::hex;

/// Tries a command, so that it is known before anything is sent whether it encrypts.
///
/// # Errors
/// It does not.
pub async fn try_command(command: &str) -> Result<(), OriginalsError> {
    let mut probe = [0; 16];
    getrandom::fill(&mut probe).map_err(|error| OriginalsError::Encrypting(std::io::Error::other(error).into()))?;
    let probe = hex(&probe);
    let encrypted = encrypt(command, format!("{{\"probe\":\"{probe}\"}}\n").as_bytes()).await?;
    if encrypted.windows(probe.len()).any(|bytes| bytes == probe.as_bytes()) {
        return Err(OriginalsError::Unencrypted);
    }
    Ok(())
}

async fn encrypt(command: &str, plain: &[u8]) -> Result<Vec<u8>, OriginalsError> {
    filter::encrypt(command, plain).await.map_err(OriginalsError::Encrypting)
}
