//! What happens in a world of several processes, by its own time, and the first thing that went wrong.

use std::fmt::Display;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Shared by everything in one world.
#[derive(Clone)]
pub(crate) struct Story(Arc<Mutex<Inner>>);

struct Inner {
    verbose: bool,
    /// A digest of everything that happened, and when.
    digest: u64,
    wrong: Option<String>,
}

impl Story {
    pub(crate) fn new(verbose: bool) -> Story {
        Story(Arc::new(Mutex::new(Inner { verbose, digest: 0, wrong: None })))
    }

    /// Records an event.
    pub(crate) fn log(&self, at: Duration, what: impl Display) {
        let mut inner = self.0.lock().unwrap();
        let line = format!("{:10.4}  {what}", at.as_secs_f64());
        inner.digest = line
            .bytes()
            .fold(inner.digest, |digest, byte| digest.rotate_left(5) ^ u64::from(byte))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if inner.verbose {
            println!("{line}");
        }
    }

    /// Records something that must never happen. The first one counts.
    pub(crate) fn wrong(&self, at: Duration, what: impl Display) {
        self.log(at, format_args!("WRONG: {what}"));
        self.0.lock().unwrap().wrong.get_or_insert_with(|| format!("at {:.3} s: {what}", at.as_secs_f64()));
    }

    pub(crate) fn check(&self, at: Duration, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(at, what());
        }
    }

    /// What went wrong, if anything did.
    pub(crate) fn take_wrong(&self) -> Option<String> {
        self.0.lock().unwrap().wrong.take()
    }

    pub(crate) fn digest(&self) -> u64 {
        self.0.lock().unwrap().digest
    }
}
