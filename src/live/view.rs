//! The state of a run at one moment, as page, metrics and `runner ctl` show it.

use std::fmt;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use thousands::Separable;

use crate::ledger::{Totals, unix_ms};
use crate::report::format::{FORMAT, RunState, RunStatus, ThisRun};
use crate::report::resume::Resume;
use crate::run::Tally;
use crate::terminal::duration::format_duration;

/// What is fixed when a run begins.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// Its ledger.
    pub ledger: PathBuf,
    /// The list's name.
    pub input: String,
    /// Edits that it sets out to send or to read back.
    pub planned: u64,
    /// Rows of the list that repeat another.
    pub duplicates: u64,
    /// The highest rate that it can be set to, in requests a second.
    pub cap: NonZeroU32,
    /// The command that resumes it.
    pub resume: Resume,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
}

/// What a run is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ViewState {
    /// It is sending.
    Running,
    /// Nothing is sent for this long: at the start, after a slow-down, or while the service is out of reach.
    Held(Duration),
    /// An operator has paused it.
    Paused,
    /// It is stopping: it waits for what is in flight, and reads back what is in doubt where it can.
    Stopping,
    /// It has ended: `finished`, `interrupted`, `stopped`.
    Over(&'static str),
}

/// A run at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What it is doing.
    pub state: ViewState,
    /// What it has done.
    pub tally: Tally,
    /// How many messages of the list are in each state.
    pub totals: Totals,
    /// Edits settled a second, over the last seconds.
    pub speed: f64,
    /// The moment, in milliseconds since 1970.
    pub at: i64,
}

impl ViewState {
    /// What a run that has not ended is doing.
    pub(super) fn of(tally: &Tally) -> ViewState {
        if tally.stopping {
            ViewState::Stopping
        } else if tally.paused {
            ViewState::Paused
        } else if tally.pace.held.is_zero() {
            ViewState::Running
        } else {
            ViewState::Held(tally.pace.held)
        }
    }

    /// The state as JSON has it.
    pub fn state(&self) -> RunState {
        match self {
            ViewState::Running => RunState::Running,
            ViewState::Held(_) => RunState::Held,
            ViewState::Paused => RunState::Paused,
            ViewState::Stopping => RunState::Stopping,
            ViewState::Over(_) => RunState::Over,
        }
    }
}

impl View {
    pub(super) fn new(state: ViewState, tally: &Tally, totals: Totals, speed: f64) -> View {
        View { state, tally: tally.clone(), totals, speed, at: unix_ms() }
    }

    /// How long the rest takes at the current speed. `None` if that is not known, as while it is paused.
    pub fn left(&self, facts: &LiveRun) -> Option<Duration> {
        let left = facts.planned.saturating_sub(self.tally.settled());
        let is_sending = matches!(self.state, ViewState::Running | ViewState::Held(_)) && self.speed > 0.0 && left > 0;
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        is_sending.then(|| Duration::from_secs_f64((left as f64 / self.speed).ceil().min(1e9)))
    }

    /// For `runner ctl`.
    pub(super) fn status(&self, facts: &LiveRun) -> RunStatus {
        let mut totals = self.totals;
        totals.in_flight = (self.tally.under_way as u64).min(totals.not_reached);
        totals.not_reached -= totals.in_flight;
        let took = Duration::from_millis(self.at.saturating_sub(facts.started_at).max(0).unsigned_abs());
        RunStatus {
            format: FORMAT,
            state: self.state.state(),
            pid: std::process::id(),
            totals,
            this_run: ThisRun::new(facts.planned, &self.tally, took),
            edits_a_second: (self.speed * 10.0).round() / 10.0,
            rate: self.tally.pace.cap,
            cap: facts.cap.get(),
            seconds_left: self.left(facts).map(|left| left.as_secs()),
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ThisRun { planned, done, failed, in_doubt, to_read_back, slow_downs, .. } = self.this_run;
        let settled = (done + failed + in_doubt).separate_with_commas();
        write!(f, "{}: {settled} of {}", self.state.word(), planned.separate_with_commas())?;
        for (count, what) in [(failed, "failed"), (in_doubt, "in doubt"), (to_read_back, "to read back")] {
            if count > 0 {
                write!(f, " · {} {what}", count.separate_with_commas())?;
            }
        }
        let RunStatus { edits_a_second, rate, cap, .. } = *self;
        write!(f, " · {edits_a_second:.1}/s of {rate}")?;
        if rate < cap {
            write!(f, " (at most {cap})")?;
        }
        if let Some(seconds) = self.seconds_left {
            write!(f, " · {} left", format_duration(Duration::from_secs(seconds)))?;
        }
        if slow_downs > 0 {
            write!(f, " · slowed down {slow_downs}×")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Once, a run that stopped by itself, as for too many failures, was shown as running until it had ended.
    #[test]
    fn a_run_that_stops_by_itself_is_shown_as_stopping() {
        let mut tally = Tally::default();
        assert_eq!(ViewState::of(&tally), ViewState::Running);
        tally.pace.held = Duration::from_secs(3);
        assert_eq!(ViewState::of(&tally), ViewState::Held(Duration::from_secs(3)));
        tally.paused = true;
        assert_eq!(ViewState::of(&tally), ViewState::Paused);
        tally.stopping = true;
        assert_eq!(ViewState::of(&tally), ViewState::Stopping);
    }

    #[test]
    fn a_status_says_what_matters() {
        let tally = Tally { done: 1_800, ..Tally::default() };
        let calm = RunStatus {
            format: FORMAT,
            state: RunState::Running,
            pid: 1,
            totals: Totals { messages: 4_000, done: 1_800, not_reached: 2_200, ..Totals::default() },
            this_run: ThisRun::new(4_000, &tally, Duration::from_secs(9)),
            edits_a_second: 199.2,
            rate: 200,
            cap: 200,
            seconds_left: Some(12),
        };
        assert_eq!(calm.to_string(), "running: 1,800 of 4,000 · 199.2/s of 200 · 12 s left");
        let line = serde_json::to_string(&calm).unwrap();
        assert_eq!(serde_json::from_str::<RunStatus>(&line).unwrap(), calm, "{line}");
        let this_run = ThisRun { failed: 3, ..calm.this_run.clone() };
        let (state, seconds_left) = (RunState::Paused, None);
        let paused = RunStatus { state, this_run, rate: 50, edits_a_second: 0.0, seconds_left, ..calm };
        assert_eq!(paused.to_string(), "paused: 1,803 of 4,000 · 3 failed · 0.0/s of 50 (at most 200)");
    }
}
