//! Counts the lines of a text while it is read.

use memchr::{memchr, memchr_iter};

/// Counts line ends as an editor does: `\n`, `\r\n` and a lone `\r` are one each.
#[derive(Default)]
pub(super) struct LineCounter {
    ended: u64,
    after_cr: bool,
}

impl LineCounter {
    pub(super) fn line(&self) -> u64 {
        self.ended + 1
    }

    pub(super) fn advance(&mut self, bytes: &[u8]) {
        // Most lists use `\n` alone, which can be counted many bytes at a time.
        if !self.after_cr && memchr(b'\r', bytes).is_none() {
            self.ended += memchr_iter(b'\n', bytes).count() as u64;
            return;
        }
        for &byte in bytes {
            self.ended += u64::from(byte == b'\r' || (byte == b'\n' && !self.after_cr));
            self.after_cr = byte == b'\r';
        }
    }
}
