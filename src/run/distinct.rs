//! Counts millions of things, or finds those that came more than once, at a few bytes each.

/// 48 bits of a digest: among ten million, hardly any two are equal by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix(u64);

impl Prefix {
    pub(super) fn of<const N: usize>(digest: [u8; N]) -> Prefix {
        Prefix(u64::from_be_bytes(std::array::from_fn(|i| if i < 2 { 0 } else { digest[i - 2] })))
    }

    fn of_parts(heap: usize, rest: Rest) -> Prefix {
        Prefix((heap as u64) << 40 | u64::from_be_bytes(std::array::from_fn(|i| if i < 3 { 0 } else { rest[i - 3] })))
    }

    /// The number of its heap, and the rest of the prefix.
    fn parts(self) -> (usize, Rest) {
        let [_, _, heap, rest @ ..] = self.0.to_be_bytes();
        (usize::from(heap), rest)
    }
}

/// A prefix without its first byte.
type Rest = [u8; 5];

/// A set of prefixes, to count the distinct ones or to find those that came more than once. They are kept in heaps by
/// their first byte, each short enough to be sorted within the processor's cache.
pub(super) struct Distinct {
    /// Every heap once, and again for every set that was added.
    heaps: Vec<Heap>,
}

const HEAPS: usize = 256;

/// So many lie in one piece of memory: a heap that grows is not moved, and has little room in vain. For ten million messages
/// in as many conversations a plan takes 110 MiB; with one vector a heap it takes 151, and no less time.
const PIECE: usize = 1024;

#[derive(Clone, Default)]
struct Heap {
    full: Vec<Vec<Rest>>,
    last: Vec<Rest>,
    /// At this length, duplicates are removed.
    fold_at: usize,
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct { heaps: vec![Heap::default(); HEAPS] }
    }
}

impl Distinct {
    pub(super) fn push(&mut self, prefix: Prefix) {
        let (heap, rest) = prefix.parts();
        self.heaps[heap].push(rest);
    }

    /// Like `push`, if only the distinct ones will be counted: memory stays in proportion to their number.
    pub(super) fn push_once(&mut self, prefix: Prefix) {
        let (number, rest) = prefix.parts();
        let heap = &mut self.heaps[number];
        heap.push(rest);
        if heap.len() >= heap.fold_at.max(64) {
            let mut once = sorted(number, [&*heap]);
            once.dedup();
            *heap = Heap { fold_at: once.len() * 4, ..Heap::default() };
            for prefix in once {
                heap.push(prefix.parts().1);
            }
        }
    }

    /// Adds all of another set.
    pub(super) fn add(&mut self, other: Distinct) {
        self.heaps.extend(other.heaps);
    }

    pub(super) fn count(self) -> u64 {
        let once = |mut prefixes: Vec<Prefix>| {
            prefixes.dedup();
            prefixes.len() as u64
        };
        self.sorted().map(once).sum()
    }

    /// Those that came more than once, in ascending order.
    pub(super) fn repeated(self) -> Vec<Prefix> {
        let mut repeated = Vec::new();
        for prefixes in self.sorted() {
            repeated.extend(prefixes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]));
        }
        repeated.dedup();
        repeated
    }

    /// Heap by heap.
    fn sorted(&self) -> impl Iterator<Item = Vec<Prefix>> {
        (0..HEAPS).map(|number| sorted(number, self.heaps.iter().skip(number).step_by(HEAPS)))
    }
}

impl Heap {
    fn push(&mut self, rest: Rest) {
        if self.last.len() == PIECE {
            self.full.push(std::mem::replace(&mut self.last, Vec::with_capacity(PIECE)));
        }
        self.last.push(rest);
    }

    fn len(&self) -> usize {
        self.full.len() * PIECE + self.last.len()
    }

    fn pieces(&self) -> impl Iterator<Item = &Vec<Rest>> {
        self.full.iter().chain([&self.last])
    }
}

/// The sorted contents of heaps with the same number.
fn sorted<'a>(number: usize, heaps: impl IntoIterator<Item = &'a Heap>) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    for piece in heaps.into_iter().flat_map(Heap::pieces) {
        prefixes.extend(piece.iter().map(|rest| Prefix::of_parts(number, *rest)));
    }
    prefixes.sort_unstable();
    prefixes
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_comes_more_than_once_is_told_and_what_there_is_counted_once() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut parts: [(Distinct, Distinct); 2] = Default::default();
        let mut times: BTreeMap<Prefix, u32> = BTreeMap::new();
        for _ in 0..40_000 {
            // Few enough values that many repeat, in every heap and across all bytes; and more than one piece in some
            // heaps.
            let mut digest = random.u64(0..30_000).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
            digest[0] >>= random.u8(0..2) * 6;
            let prefix = Prefix::of(digest);
            let (distinct, counted) = &mut parts[random.usize(0..2)];
            distinct.push(prefix);
            counted.push_once(prefix);
            *times.entry(prefix).or_default() += 1;
        }
        let [(mut distinct, mut counted), (others, others_counted)] = parts;
        distinct.add(others);
        counted.add(others_counted);
        assert_eq!(counted.count(), times.len() as u64);
        let repeated: BTreeSet<Prefix> =
            times.into_iter().filter(|(_, times)| *times > 1).map(|(prefix, _)| prefix).collect();
        assert_eq!(distinct.repeated(), Vec::from_iter(repeated));
    }
}
