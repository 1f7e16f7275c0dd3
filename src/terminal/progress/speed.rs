//! The recent speed of a run.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The window of the rate: long enough to be steady, short enough to show a slow-down.
const RATE_WINDOW: Duration = Duration::from_secs(10);

/// The recent number of settled edits per second.
#[derive(Debug)]
pub struct Speed {
    history: VecDeque<(Instant, u64)>,
}

impl Default for Speed {
    fn default() -> Speed {
        Speed::new()
    }
}

impl Speed {
    /// Starts to measure now.
    pub fn new() -> Speed {
        Speed { history: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// Records the number of edits settled by `now` and returns the rate; call it several times a second.
    pub fn update(&mut self, now: Instant, settled: u64) -> f64 {
        self.history.push_back((now, settled));
        while self.history.len() > 2 && now - self.history[0].0 > RATE_WINDOW {
            self.history.pop_front();
        }
        let (since, before) = self.history[0];
        let seconds = (now - since).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        if seconds > 0.0 { (settled - before) as f64 / seconds } else { 0.0 }
    }
}
