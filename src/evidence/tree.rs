//! The Merkle tree of RFC 9162, section 2.1.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::Checkpoint;

/// SHA-256 of a leaf or of a subtree.
pub type Hash = [u8; 32];

/// The hash of a leaf.
pub fn leaf(line: &[u8]) -> Hash {
    Sha256::new().chain_update([0]).chain_update(line).finalize().into()
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
}

/// All leaves so far, as the hashes of the complete subtrees that they make up: enough to add leaves, and for the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Range {
    size: u64,
    /// One for each bit of the size that is set, the largest subtree first.
    hashes: Vec<Hash>,
}

impl Range {
    /// The range of this size with these hashes, as [`Range::hashes`] gave them; `None` if it cannot be one.
    pub fn of(size: u64, hashes: &[u8]) -> Option<Range> {
        let (hashes, rest) = hashes.as_chunks();
        let fits = rest.is_empty() && hashes.len() == size.count_ones() as usize;
        fits.then(|| Range { size, hashes: hashes.to_vec() })
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        // Each bit that is carried joins two subtrees of the same size.
        for _ in 0..self.size.trailing_ones() {
            hash = self.hashes.pop().map_or(hash, |left| node(&left, &hash));
        }
        self.hashes.push(hash);
        self.size += 1;
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The hashes of the subtrees, the largest first.
    pub fn hashes(&self) -> &[u8] {
        self.hashes.as_flattened()
    }

    /// The root of the tree of these leaves.
    pub fn root(&self) -> Hash {
        let root = self.hashes.iter().rev().copied().reduce(|right, left| node(&left, &right));
        root.unwrap_or_else(|| Sha256::digest([]).into())
    }
}

impl FromIterator<Hash> for Range {
    fn from_iter<I: IntoIterator<Item = Hash>>(leaves: I) -> Range {
        let mut range = Range::default();
        for leaf in leaves {
            range.push(leaf);
        }
        range
    }
}

/// A log as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its name.
    pub origin: Arc<str>,
    /// Its events.
    pub range: Range,
}

impl Head {
    /// What is kept elsewhere.
    pub fn checkpoint(&self) -> Checkpoint {
        Checkpoint { origin: self.origin.to_string(), size: self.range.size(), root: self.range.root() }
    }
}

/// The path from a leaf to the root of the tree of all `leaves`: what each step is hashed with, the lowest first.
pub fn inclusion(leaves: &[Hash], index: usize) -> Vec<Hash> {
    let mut path = Vec::new();
    let (mut leaves, mut index) = (leaves, index);
    while leaves.len() > 1 {
        let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
        let (own, other) = if index < left.len() { (left, right) } else { (right, left) };
        index -= if index < left.len() { 0 } else { left.len() };
        path.push(other.iter().copied().collect::<Range>().root());
        leaves = own;
    }
    path.reverse();
    path
}

/// The root to which this path leads; `None` if no tree of this size has such a path.
pub(super) fn root_of(leaf: Hash, index: u64, size: u64, path: &[Hash]) -> Option<Hash> {
    let (mut own, mut last) = (index, size.checked_sub(1)?);
    if own > last {
        return None;
    }
    let mut root = leaf;
    for step in path {
        if last == 0 {
            return None;
        }
        if own % 2 == 1 || own == last {
            root = node(step, &root);
            // A subtree without a neighbour on its level is part of a larger one as it is.
            let levels = if own % 2 == 1 { 0 } else { own.trailing_zeros() };
            (own, last) = (own >> levels, last >> levels);
        } else {
            root = node(&root, step);
        }
        (own, last) = (own >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

#[cfg(test)]
mod tests {
    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use proptest::prelude::*;

    use super::*;

    fn leaves(size: usize) -> Vec<Hash> {
        (0..size).map(|number| leaf(number.to_string().as_bytes())).collect()
    }

    proptest! {
        /// Another implementation of the same tree has the same roots and paths.
        #[test]
        fn roots_and_paths_are_those_of_rfc_9162(size in 1_usize..200, at in any::<prop::sample::Index>()) {
            let mut other = MemoryBackedTree::<Sha256, String>::new();
            (0..size).for_each(|number| other.push(number.to_string()));
            let (leaves, index) = (leaves(size), at.index(size));
            let range = leaves.iter().copied().collect::<Range>();
            let theirs = other.root();
            prop_assert_eq!(&range.root()[..], &theirs.as_bytes()[..]);
            prop_assert_eq!(Range::of(range.size(), range.hashes()), Some(range.clone()));
            let path = inclusion(&leaves, index);
            let theirs = other.prove_inclusion(index);
            prop_assert_eq!(path.as_flattened(), theirs.as_bytes());
            let (at, size) = (index as u64, size as u64);
            prop_assert_eq!(root_of(leaves[index], at, size, &path), Some(range.root()));
            prop_assert_ne!(root_of(leaves[index], at + 1, size, &path), Some(range.root()));
            for step in 0..path.len() {
                let mut wrong = path.clone();
                wrong[step][31] ^= 1;
                prop_assert_ne!(root_of(leaves[index], at, size, &wrong), Some(range.root()));
                wrong.remove(step);
                prop_assert_ne!(root_of(leaves[index], at, size, &wrong), Some(range.root()));
            }
        }
    }

    #[test]
    fn what_cannot_be_a_range_is_none() {
        assert_eq!(Range::of(3, &[0; 32]), None);
        assert_eq!(Range::of(1, &[0; 31]), None);
        assert_eq!(Range::of(0, &[]), Some(Range::default()));
        assert_eq!(root_of([0; 32], 0, 0, &[]), None);
    }
}
