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
