//! What stands for messages and contents in a ledger. Ledgers on disk hold these digests, so they never change.
//!
//! Everything is spelled out into one buffer and digested at once: a digest of many small pieces takes several times as
//! long.

use super::json::Json;

/// Room for what is usually spelled out, so that the buffer is made once.
const USUAL_BYTES: usize = 512;

/// What is to be digested, spelled out so that no two different things are spelled alike.
pub(super) struct Spelled(Vec<u8>);

impl Spelled {
    pub(super) fn new() -> Spelled {
        Spelled(Vec::with_capacity(USUAL_BYTES))
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Length first, so that no two sequences of texts run together to the same bytes.
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// By value: objects with their keys sorted, each part with its kind and length in front.
    pub(super) fn json(&mut self, value: &Json<'_>) {
        match value {
            Json::Null => self.bytes(b"n"),
            Json::Bool(true) => self.bytes(b"t"),
            Json::Bool(false) => self.bytes(b"f"),
            // As written: 1 and 1.0 count as different, which can at worst lead to a question, never to a lost edit.
            Json::Number(number) => {
                self.bytes(b"#");
                self.text(number);
            }
            Json::Text(text) => {
                self.bytes(b"s");
                self.text(text);
            }
            Json::Array(items) => {
                self.bytes(b"a");
                self.count(items.len());
                for item in items {
                    self.json(item);
                }
            }
            Json::Object(members) => {
                self.bytes(b"o");
                self.count(members.len());
                for (key, item) in members {
                    self.text(key);
                    self.json(item);
                }
            }
        }
    }

    fn count(&mut self, count: usize) {
        self.bytes(&(count as u64).to_le_bytes());
    }

    /// All bits of the digest.
    pub(super) fn digest(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }

    /// The first 128 bits of it.
    pub(super) fn digest_16(&self) -> [u8; 16] {
        let whole = self.digest();
        std::array::from_fn(|i| whole[i])
    }
}
