//! Which done edits an audit looks at: all of them, or a sample that nobody who wrote the ledger can have chosen.
//!
//! The head is SHA-256 over the digests of message and content of every done edit, in the ledger's order. The seed is SHA-256
//! of the head and of words that the auditor chooses once the ledger is fixed. Looked at are the messages for which SHA-256 of
//! seed and message digest is smallest. So anyone can draw the same sample again, with ordinary tools.

use sha2::{Digest, Sha256};

use crate::edit::{ContentDigest, IdDigest};

/// The done edits of a ledger, from which an audit draws.
#[derive(Debug, Default)]
pub struct Drawing {
    head: Sha256,
    messages: Vec<IdDigest>,
}

/// A drawing's 32 bytes: its head, or its seed.
pub type Hash = [u8; 32];

impl Drawing {
    /// Adds the next done edit, in the ledger's order.
    pub fn add(&mut self, message: IdDigest, content: ContentDigest) {
        self.head.update(message.0);
        self.head.update(content.0);
        self.messages.push(message);
    }

    /// How many there are.
    pub fn done(&self) -> u64 {
        self.messages.len() as u64
    }

    /// The head of what was added.
    pub fn head(&self) -> Hash {
        self.head.clone().finalize().into()
    }

    /// The seed that an auditor's own words give.
    pub fn seed(&self, words: &str) -> Hash {
        Sha256::new().chain_update(self.head()).chain_update(words).finalize().into()
    }

    /// All messages, in the ledger's order.
    pub fn all(self) -> Vec<IdDigest> {
        self.messages
    }

    /// So many of them, as the seed draws them, in the ledger's order.
    pub fn sample(self, size: u64, seed: &Hash) -> Vec<IdDigest> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size >= self.messages.len() {
            return self.messages;
        }
        let lot =
            |message: &IdDigest| -> Hash { Sha256::new().chain_update(seed).chain_update(message.0).finalize().into() };
        let mut lots: Vec<(Hash, usize)> =
            self.messages.iter().enumerate().map(|(place, message)| (lot(message), place)).collect();
        lots.select_nth_unstable(size);
        let mut places: Vec<usize> = lots[..size].iter().map(|(_, place)| *place).collect();
        places.sort_unstable();
        places.into_iter().map(|place| self.messages[place]).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn drawing(messages: u8) -> Drawing {
        let mut drawing = Drawing::default();
        (0..messages).for_each(|number| drawing.add(IdDigest([number; 16]), ContentDigest([9; 16])));
        drawing
    }

    #[test]
    fn a_sample_is_drawn_again_by_the_same_seed_and_by_no_other() {
        let seed = drawing(200).seed("the auditor's words");
        let sample = drawing(200).sample(20, &seed);
        assert_eq!(sample, drawing(200).sample(20, &seed));
        assert!(sample.is_sorted() && sample.iter().collect::<BTreeSet<_>>().len() == 20, "{sample:?}");
        assert_ne!(sample, drawing(200).sample(20, &drawing(200).seed("other words")));
        assert_ne!(seed, drawing(199).seed("the auditor's words"));
        for size in [200, 201, u64::MAX] {
            assert_eq!(drawing(200).sample(size, &seed), drawing(200).all());
        }
        assert_eq!(drawing(0).sample(3, &seed), []);
        assert_eq!(drawing(3).sample(0, &seed), []);
    }

    #[test]
    fn every_message_is_drawn_as_often_as_any_other() {
        let mut drawn = [0_u32; 50];
        for words in 0..2_000 {
            let seed = drawing(50).seed(&words.to_string());
            drawing(50).sample(5, &seed).iter().for_each(|message| drawn[usize::from(message.0[0])] += 1);
        }
        // 200 are expected of each, with a deviation of 13.
        assert!(drawn.iter().all(|times| (130..=270).contains(times)), "{drawn:?}");
    }
}
