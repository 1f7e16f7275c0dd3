//! Digests of messages and contents. Ledgers on disk hold them, so they never change.
//!
//! The input is written out in one buffer first, on the stack if it fits: hashing many small pieces takes several times
//! as long, and there are three digests for each row of a list.

use arrayvec::ArrayVec;

use super::json::Json;
use super::number;

/// Enough for most inputs.
const BUFFER_BYTES: usize = 512;

/// Which numbers of a JSON value have the same encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    /// Those of the same value.
    ByValue,
    /// Those written alike, as version 0.1 had it in its ledgers.
    AsWritten,
}

/// Hashes an unambiguous encoding of its input: no two different inputs are encoded alike.
pub(super) struct CanonicalHasher {
    buffer: ArrayVec<u8, BUFFER_BYTES>,
    /// The input overflow this buffer, if it did not fit.
    overflow: Option<Box<blake3::Hasher>>,
    numbers: Numbers,
    /// Whether a number was encoded in another form than its own.
    has_rewritten: bool,
}

impl CanonicalHasher {
    pub(super) fn new() -> CanonicalHasher {
        CanonicalHasher::with(Numbers::ByValue)
    }

    pub(super) fn with(numbers: Numbers) -> CanonicalHasher {
        CanonicalHasher { buffer: ArrayVec::new(), overflow: None, numbers, has_rewritten: false }
    }

    /// Whether [`Numbers::AsWritten`] would have made another digest.
    pub(super) fn has_rewritten(&self) -> bool {
        self.has_rewritten
    }

    /// Most are one byte or eight: inlined, each of those is one step.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.buffer.try_extend_from_slice(bytes).is_err() {
            self.spill(bytes);
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        self.overflow.get_or_insert_default().update(&self.buffer).update(bytes);
        self.buffer.clear();
    }

    /// Length first, so that no two sequences of texts have the same encoding.
    pub(super) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.bytes(text.as_bytes());
    }

    /// By value: objects with sorted keys, each part preceded by its kind and length.
    pub(super) fn json(&mut self, value: &Json<'_>) {
        match value {
            Json::Null => self.bytes(b"n"),
            Json::Bool(true) => self.bytes(b"t"),
            Json::Bool(false) => self.bytes(b"f"),
            Json::Number(written) => {
                self.bytes(b"#");
                let form = match self.numbers {
                    Numbers::ByValue => number::canonical(written),
                    Numbers::AsWritten => written.as_str().into(),
                };
                self.has_rewritten |= form != written.as_str();
                self.text(&form);
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

    /// The whole digest.
    pub(super) fn digest(&mut self) -> [u8; 32] {
        match &mut self.overflow {
            None => blake3::hash(&self.buffer).into(),
            Some(overflow) => overflow.update(&self.buffer).finalize().into(),
        }
    }

    /// The first 128 bits of the digest.
    pub(super) fn digest_16(&mut self) -> [u8; 16] {
        let digest = self.digest();
        std::array::from_fn(|i| digest[i])
    }
}
