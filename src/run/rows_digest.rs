//! One digest of all rows of a list: of what they ask for, not of how the list is written.

use crate::edit::Wanted;

/// Sums over the rows, which several threads can take up in any order: each row counts with its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowsDigest {
    messages: u128,
    contents: u128,
    rows: u64,
}

impl RowsDigest {
    /// Adds the row of this number. Message and content are digests already, so a sum that is weighted by odd numbers tells
    /// any two lists apart unless somebody takes pains that it does not.
    pub(super) fn add(&mut self, number: u64, wanted: &Wanted) {
        let weight = (u128::from(number) << 1) | 1;
        self.messages = self.messages.wrapping_add(u128::from_le_bytes(wanted.message.0).wrapping_mul(weight));
        self.contents = self.contents.wrapping_add(u128::from_le_bytes(wanted.content.0).wrapping_mul(weight));
        self.rows += 1;
    }

    /// Adds what another thread has taken up.
    pub(super) fn merge(&mut self, other: RowsDigest) {
        self.messages = self.messages.wrapping_add(other.messages);
        self.contents = self.contents.wrapping_add(other.contents);
        self.rows += other.rows;
    }

    /// The digest.
    pub(super) fn finish(self) -> [u8; 32] {
        let mut bytes = Vec::with_capacity(40);
        bytes.extend_from_slice(&self.messages.to_le_bytes());
        bytes.extend_from_slice(&self.contents.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        blake3::hash(&bytes).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{Edit, MessageId};

    fn digest(rows: &[(u64, &str, &str)]) -> [u8; 32] {
        let mut halves = [RowsDigest::default(); 2];
        for (number, key, content) in rows {
            let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: (*key).into() };
            let edit = Edit::new(id, None, Some((*content).into())).unwrap();
            halves[usize::from(number % 2 == 0)].add(*number, &edit.wanted());
        }
        let [mut one, other] = halves;
        one.merge(other);
        one.finish()
    }

    #[test]
    fn lists_with_other_rows_or_another_order_differ() {
        let list = digest(&[(1, "1", "x"), (2, "2", "y"), (3, "3", "x")]);
        assert_eq!(list, digest(&[(3, "3", "x"), (2, "2", "y"), (1, "1", "x")]), "threads take rows in any order");
        for other in [
            &[(1, "1", "x"), (2, "2", "y")][..],
            &[(1, "1", "x"), (2, "2", "x"), (3, "3", "x")],
            &[(1, "1", "y"), (2, "2", "x"), (3, "3", "x")],
            &[(1, "2", "y"), (2, "1", "x"), (3, "3", "x")],
            &[(1, "1", "x"), (2, "2", "y"), (3, "3", "x"), (4, "3", "x")],
        ] {
            assert_ne!(list, digest(other));
        }
    }
}
