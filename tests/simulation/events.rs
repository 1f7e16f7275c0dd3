//! What happens in a world, numbered; the points at which a process can be cut off; and the first thing that went wrong.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Shared by everything in one world.
#[derive(Clone)]
pub(crate) struct Events(Arc<Mutex<Inner>>);

struct Inner {
    verbose: bool,
    start: Instant,
    /// A digest of everything that happened, and when.
    digest: u64,
    /// Points passed in this session, and the one at which it is cut off.
    points: u64,
    crash_at: Option<u64>,
    crash: CancellationToken,
    wrong: Option<String>,
}

impl Events {
    pub(crate) fn new(verbose: bool) -> Events {
        Events(Arc::new(Mutex::new(Inner {
            verbose,
            start: Instant::now(),
            digest: 0,
            points: 0,
            crash_at: None,
            crash: CancellationToken::new(),
            wrong: None,
        })))
    }

    /// Starts a process, which is cut off at this point. Returns the token that says so.
    pub(crate) fn begin(&self, crash_at: Option<u64>) -> CancellationToken {
        let mut inner = self.0.lock().unwrap();
        inner.points = 0;
        inner.crash_at = crash_at;
        inner.crash = CancellationToken::new();
        inner.crash.clone()
    }

    /// Records an event.
    pub(crate) fn log(&self, what: impl Display) {
        let mut inner = self.0.lock().unwrap();
        let line = format!("{:10.4}  {what}", inner.start.elapsed().as_secs_f64());
        inner.digest = line
            .bytes()
            .fold(inner.digest, |digest, byte| digest.rotate_left(5) ^ u64::from(byte))
            .wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if inner.verbose {
            println!("{line}");
        }
    }

    /// A point at which the process may be cut off: nothing after it happens then.
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
            self.log(format_args!("CRASH {name}"));
            std::future::pending::<()>().await;
        }
    }

    /// Records something that must never happen. The first one counts. It is raised when the session is over, since
    /// most of it happens in tasks that nothing waits for.
    pub(crate) fn wrong(&self, what: impl Display) {
        self.log(format_args!("WRONG: {what}"));
        self.0.lock().unwrap().wrong.get_or_insert(what.to_string());
    }

    pub(crate) fn check(&self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.wrong(what());
        }
    }

    /// Panics with what went wrong.
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
