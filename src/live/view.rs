//! How a run is just now, as whoever watches it is told.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::control_socket::Status;
use crate::ledger::unix_ms;
use crate::report::summary::Totals;
use crate::run::Tally;

/// What is known of a run from its beginning.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// Its ledger.
    pub ledger: PathBuf,
    /// The list's name.
    pub input: String,
    /// Edits that it set out to send or to read back.
    pub planned: u64,
    /// Requests a second that it may be told at most.
    pub cap: NonZeroU32,
    /// The command that resumes it.
    pub resume: String,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
}

/// What a run is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewState {
    /// It sends.
    Running,
    /// Nothing goes out for so long: at the start, after a slow-down, or while the service is out of reach.
    Held(Duration),
    /// Somebody has told it to pause.
    Paused,
    /// It was told to stop, waits for what is in flight, and reads back what is in doubt.
    Stopping,
    /// It has ended: `finished`, `interrupted`, `stopped`.
    Over(&'static str),
}

/// How a run is at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What it is about.
    pub state: ViewState,
    /// What it has done.
    pub tally: Tally,
    /// Where every row of the list is.
    pub totals: Totals,
    /// Edits settled a second, of late.
    pub speed: f64,
    /// When this was so, in milliseconds since 1970.
    pub at: i64,
}

impl ViewState {
    /// One word for it.
    pub fn word(&self) -> &'static str {
        match self {
            ViewState::Running => "running",
            ViewState::Held(_) => "held",
            ViewState::Paused => "paused",
            ViewState::Stopping => "stopping",
            ViewState::Over(_) => "over",
        }
    }
}

impl View {
    pub(super) fn new(state: ViewState, tally: &Tally, totals: Totals, speed: f64) -> View {
        View { state, tally: tally.clone(), totals, speed, at: unix_ms() }
    }

    /// How long it takes yet, at the speed of late. `None`: nobody knows, as while it is paused.
    pub fn left(&self, facts: &LiveRun) -> Option<Duration> {
        let left = facts.planned.saturating_sub(self.tally.settled());
        let goes_on = matches!(self.state, ViewState::Running | ViewState::Held(_)) && self.speed > 0.0 && left > 0;
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        goes_on.then(|| Duration::from_secs_f64((left as f64 / self.speed).ceil().min(1e9)))
    }

    pub(super) fn status(&self, facts: &LiveRun) -> Status {
        let Tally { done, failed, in_doubt, to_read_back, slow_downs, pace, .. } = self.tally;
        Status {
            state: self.state.word().to_owned(),
            process: std::process::id(),
            planned: facts.planned,
            done,
            failed,
            in_doubt,
            to_read_back,
            slow_downs,
            speed: (self.speed * 10.0).round() / 10.0,
            rate: pace.cap,
            cap: facts.cap.get(),
            seconds_left: self.left(facts).map(|left| left.as_secs()),
        }
    }
}
