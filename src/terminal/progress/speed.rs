//! How fast it goes, of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The rate is that of the last seconds: long enough to be calm, short enough to show a slow-down.
const RATE_OVER: Duration = Duration::from_secs(10);

/// How many edits are settled a second, of late.
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
    /// From now on.
    pub fn new() -> Speed {
        Speed { history: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// So many are settled by now; to be told several times a second.
    pub fn of(&mut self, now: Instant, settled: u64) -> f64 {
        self.history.push_back((now, settled));
        while self.history.len() > 2 && now - self.history[0].0 > RATE_OVER {
            self.history.pop_front();
        }
        let (since, before) = self.history[0];
        let seconds = (now - since).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        if seconds > 0.0 { (settled - before) as f64 / seconds } else { 0.0 }
    }
}
