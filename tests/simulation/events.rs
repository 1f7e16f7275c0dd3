//! What happens in a world, numbered; the points at which a process can be cut off; and the first thing that went wrong.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shared by everything in one world.
#[derive(Clone)]
pub(crate) struct Events(Arc<Mutex<Inner>>);

struct Inner {
    tells: bool,
    start: Instant,
    /// A digest of all that happened, and when.
    digest: u64,
    /// Points passed in this session, and the one at which it is cut off.
    points: u64,
    crash_at: Option<u64>,
    crash: CancellationToken,
    wrong: Option<String>,
}

impl Events {
    pub(crate) fn new(tells: bool) -> Events {
        Events(Arc::new(Mutex::new(Inner {
            tells,
            start: Instant::now(),
            digest: 0,
            points: 0,
            crash_at: None,
            crash: CancellationToken::new(),
            wrong: None,
        })))
    }

    /// A process starts, and is cut off at this point. Returns what tells that it was.
    pub(crate) fn begin(&self, crash_at: Option<u64>) -> CancellationToken {
        let mut inner = self.0.lock().unwrap();
        inner.points = 0;
        inner.crash_at = crash_at;
        inner.crash = CancellationToken::new();
        inner.crash.clone()
    }

    /// Something happened.
    pub(crate) fn tell(&self, what: impl Display) {
        let mut inner = self.0.lock().unwrap();
        let line = format!("{:10.4}  {what}", inner.start.elapsed().as_secs_f64());
        inner.digest = line
            .bytes()
            .fold(inner.digest, |digest, byte| digest.rotate_left(5) ^ u64::from(byte))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if inner.tells {
            println!("{line}");
        }
    }

    /// A point at which the process may be cut off: then nothing behind it happens.
    pub(crate) async fn point(&self, name: &str) {
        let is_cut = {
            let mut inner = self.0.lock().unwrap();
            inner.points += 1;
            let is_cut = inner.crash_at == Some(inner.points);
            if is_cut {
                inner.crash.cancel();
            }
            is_cut
        };
        if is_cut {
            self.tell(format_args!("CRASH {name}"));
            std::future::pending::<()>().await;
        }
    }

    /// Something that must never happen. The first counts; it is raised when the session is over, since most of it
    /// happens in tasks that nobody waits for.
    pub(crate) fn wrong(&self, what: impl Display) {
        self.tell(format_args!("WRONG: {what}"));
        self.0.lock().unwrap().wrong.get_or_insert(what.to_string());
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    /// Raises what went wrong.
    pub(crate) fn raise(&self) {
        let wrong = self.0.lock().unwrap().wrong.take();
        if let Some(wrong) = wrong {
            panic!("{wrong}");
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.0.lock().unwrap().digest
    }
}
