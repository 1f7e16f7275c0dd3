//! What stands for messages and contents in a ledger. Ledgers on disk hold these digests, so they never change.
//!
//! What is digested is spelled out in one piece first, on the stack where it has room there: a digest of many small pieces
//! takes several times as long, and there are three for each row of a list.

use arrayvec::ArrayVec;

use super::json::Json;

/// Room for what is usually spelled out.
const USUAL_BYTES: usize = 512;

/// What is to be digested, spelled out so that no two different things are spelled alike.
pub(super) struct CanonicalHasher {
    piece: ArrayVec<u8, USUAL_BYTES>,
    /// What came before this piece, where it is not the only one.
    before: Option<Box<blake3::Hasher>>,
}

impl CanonicalHasher {
    pub(super) fn new() -> CanonicalHasher {
        CanonicalHasher { piece: ArrayVec::new(), before: None }
    }

    /// Most are a byte, or eight: put in place, each of those is one step.
    #[inline]
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        if self.piece.try_extend_from_slice(bytes).is_err() {
            self.spill(bytes);
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        self.before.get_or_insert_default().update(&self.piece).update(bytes);
        self.piece.clear();
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
    pub(super) fn digest(&mut self) -> [u8; 32] {
        match &mut self.before {
            None => blake3::hash(&self.piece).into(),
            Some(before) => before.update(&self.piece).finalize().into(),
        }
    }

    /// The first 128 bits of it.
    pub(super) fn digest_16(&mut self) -> [u8; 16] {
        let whole = self.digest();
        std::array::from_fn(|i| whole[i])
    }
}
