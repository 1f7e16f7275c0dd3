//! Which of millions of things came more than once, or how many there are, at a few bytes each.

/// 48 bits of a digest: of ten million of them, hardly any two are the same by chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix([u8; 6]);

impl Prefix {
    pub(super) fn of<const N: usize>(digest: [u8; N]) -> Prefix {
        Prefix(std::array::from_fn(|i| digest[i]))
    }

    fn of_parts(first: u8, rest: Rest) -> Prefix {
        let mut prefix = [first; 6];
        prefix[1..].copy_from_slice(&rest);
        Prefix(prefix)
    }

    /// Its heap, and what is left to be told within that.
    fn parts(self) -> (usize, Rest) {
        let [first, rest @ ..] = self.0;
        (usize::from(first), rest)
    }
}

/// A prefix without its first byte.
type Rest = [u8; 5];

/// Of how many things there are, or which of them came more than once, each told by its prefix. They lie in heaps by their
/// first byte, each of which is short enough to be sorted where the processor has it at hand.
pub(super) struct Distinct {
    heaps: Vec<Heap>,
}

#[derive(Clone, Default)]
struct Heap {
    rests: Vec<Rest>,
    /// They are folded together when there are this many.
    fold_at: usize,
}

impl Default for Distinct {
    fn default() -> Distinct {
        Distinct { heaps: vec![Heap::default(); 256] }
    }
}

impl Distinct {
    pub(super) fn push(&mut self, prefix: Prefix) {
        let (heap, rest) = prefix.parts();
        self.heaps[heap].rests.push(rest);
    }

    /// Like `push`, where only the count of distinct ones is asked for: memory stays in proportion to that.
    pub(super) fn push_once(&mut self, prefix: Prefix) {
        let (heap, rest) = prefix.parts();
        let heap = &mut self.heaps[heap];
        heap.rests.push(rest);
        if heap.rests.len() >= heap.fold_at.max(64) {
            heap.fold();
            heap.fold_at = heap.rests.len() * 4;
        }
    }

    pub(super) fn count(&mut self) -> u64 {
        self.heaps.iter_mut().map(Heap::fold).sum()
    }

    /// Those that came more than once, in ascending order.
    pub(super) fn repeated(&mut self) -> Vec<Prefix> {
        let mut repeated = Vec::new();
        for (first, heap) in (0..=u8::MAX).zip(&mut self.heaps) {
            let mut heap = std::mem::take(heap);
            heap.sort();
            let twice = heap.rests.windows(2).filter(|pair| pair[0] == pair[1]);
            repeated.extend(twice.map(|pair| Prefix::of_parts(first, pair[0])));
        }
        repeated.dedup();
        repeated
    }
}

impl Heap {
    /// Leaves one of each, and tells how many these are.
    fn fold(&mut self) -> u64 {
        self.sort();
        self.rests.dedup();
        self.rests.len() as u64
    }

    /// As numbers, which are compared in one step.
    fn sort(&mut self) {
        self.rests.sort_unstable_by_key(|rest| {
            let mut number = [0; 8];
            number[3..].copy_from_slice(rest);
            u64::from_be_bytes(number)
        });
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[test]
    fn what_comes_more_than_once_is_told_and_what_there_is_counted_once() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut distinct, mut counted) = (Distinct::default(), Distinct::default());
        let mut times: BTreeMap<Prefix, u32> = BTreeMap::new();
        for _ in 0..20_000 {
            // So few that many come again, in every heap and across all bytes.
            let prefix = Prefix::of((random.u64(0..30_000).wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
            distinct.push(prefix);
            counted.push_once(prefix);
            *times.entry(prefix).or_default() += 1;
        }
        assert_eq!(counted.count(), times.len() as u64);
        let repeated: BTreeSet<Prefix> =
            times.into_iter().filter(|(_, times)| *times > 1).map(|(prefix, _)| prefix).collect();
        assert_eq!(distinct.repeated(), Vec::from_iter(repeated));
    }
}
