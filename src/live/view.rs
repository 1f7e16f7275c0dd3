//! The state of a run at one moment, as page, metrics and `runner ctl` show it.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use thousands::Separable;

use crate::ledger::{LedgerAddress, Totals, unix_ms};
use crate::report::format::{FORMAT, HoldObject, RunState, RunStatus, ThisRun};
use crate::report::resume::Resume;
use crate::run::{Activity, Tally};
use crate::terminal::duration::format_duration;
use crate::terminal::escape::escape_control;

/// What is fixed when a run begins.
#[derive(Clone, Debug)]
pub struct LiveRun {
    /// Its ledger.
    pub ledger: LedgerAddress,
    /// The list's name.
    pub input: String,
    /// The app.
    pub sdkappid: u64,
    /// The service's host and port, or `sandbox`.
    pub service: String,
    /// Edits that it sets out to send or to read back.
    pub planned: u64,
    /// Edits of the list that are left to send or to read back when it begins; it may set out to do only some of them.
    pub to_do: u64,
    /// Rows of the list that repeat another.
    pub duplicates: u64,
    /// The highest rate that it can be set to, in requests a second.
    pub cap: NonZeroU32,
    /// The command that resumes it.
    pub resume: Resume,
    /// When it began, in milliseconds since 1970.
    pub started_at: i64,
}

/// A run at one moment.
#[derive(Clone, Debug)]
pub struct View {
    /// What it has done, and is doing.
    pub tally: Tally,
    /// How many messages of the list are in each state.
    pub totals: Totals,
    /// The moment, in milliseconds since 1970.
    pub at: i64,
}

impl View {
    pub(super) fn new(tally: &Tally, totals: Totals) -> View {
        View { tally: tally.clone(), totals, at: unix_ms() }
    }

    /// What the run is doing.
    pub fn activity(&self) -> &Activity {
        &self.tally.activity
    }

    /// The same as one word.
    pub fn state(&self) -> RunState {
        self.activity().into()
    }

    /// Whether the run sends nothing new any more.
    pub(super) fn is_stopping(&self) -> bool {
        matches!(self.activity(), Activity::Stopping | Activity::Over(_))
    }

    /// The same run, that somebody has told to stop.
    pub(super) fn stopping(&self) -> View {
        let tally = Tally { activity: Activity::Stopping, time_left: None, ..self.tally.clone() };
        View { tally, ..self.clone() }
    }

    /// For `runner ctl`.
    pub(super) fn status(&self, facts: &LiveRun) -> RunStatus {
        let took = Duration::from_millis(self.at.saturating_sub(facts.started_at).max(0).unsigned_abs());
        RunStatus {
            format: FORMAT,
            state: self.state(),
            hold: HoldObject::of(self.activity()),
            pid: std::process::id(),
            totals: self.totals,
            this_run: ThisRun::new(facts.planned, &self.tally, took),
            edits_a_second: (self.tally.speed * 10.0).round() / 10.0,
            rate: self.tally.pace.cap,
            cap: facts.cap.get(),
            seconds_left: self.tally.time_left.map(|left| left.as_secs()),
            shared: None,
        }
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Totals { messages, done, failed, in_doubt, .. } = self.totals;
        let ThisRun { to_read_back, slow_downs, .. } = self.this_run;
        write!(
            f,
            "{}: {} of {} done",
            self.state.word(),
            done.separate_with_commas(),
            messages.separate_with_commas()
        )?;
        for (count, what) in [(failed, "failed"), (in_doubt, "in doubt"), (to_read_back, "to read back")] {
            if count > 0 {
                write!(f, " · {} {what}", count.separate_with_commas())?;
            }
        }
        if let Some(hold) = &self.hold {
            write!(f, " · {}", hold.brief())?;
            if let Some(error) = &hold.error {
                write!(f, " · {}", escape_control(error))?;
            }
        }
        let RunStatus { edits_a_second, rate, cap, .. } = *self;
        // Over the last seconds: where nothing is sent, it is of the time before, and says nothing.
        match self.state {
            RunState::Running => write!(f, " · {edits_a_second:.1}/s of {rate}")?,
            _ => write!(f, " · rate {rate}")?,
        }
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

    #[test]
    fn a_status_says_what_matters() {
        let tally = Tally { done: 1_800, ..Tally::default() };
        let calm = RunStatus {
            format: FORMAT,
            state: RunState::Running,
            hold: None,
            pid: 1,
            totals: Totals { messages: 4_000, done: 1_800, not_reached: 2_200, ..Totals::default() },
            this_run: ThisRun::new(4_000, &tally, Duration::from_secs(9)),
            edits_a_second: 199.2,
            rate: 200,
            cap: 200,
            seconds_left: Some(12),
            shared: None,
        };
        assert_eq!(calm.to_string(), "running: 1,800 of 4,000 done · 199.2/s of 200 · 12 s left");
        let line = serde_json::to_string(&calm).unwrap();
        assert_eq!(serde_json::from_str::<RunStatus>(&line).unwrap(), calm, "{line}");
        let totals = Totals { failed: 3, not_reached: 2_197, ..calm.totals };
        let (state, seconds_left) = (RunState::Paused, None);
        let paused = RunStatus { state, totals, rate: 50, edits_a_second: 0.0, seconds_left, ..calm.clone() };
        assert_eq!(paused.to_string(), "paused: 1,800 of 4,000 done · 3 failed · rate 50 (at most 200)");
        let hold = HoldObject {
            reason: "outage".to_owned(),
            seconds_left: 12,
            since: Some("2026-11-25T05:40:01.000Z".to_owned()),
            outage_seconds: Some(130),
            error: Some("Connection refused".to_owned()),
        };
        let outage = RunStatus { state: RunState::Outage, hold: Some(hold), edits_a_second: 0.0, seconds_left, ..calm };
        assert_eq!(
            outage.to_string(),
            "outage: 1,800 of 4,000 done · out of reach 2 min 10 s, next try in 12 s · Connection refused · rate 200"
        );
        // A run of an earlier version says less.
        let line = serde_json::to_string(&outage).unwrap().replace("\"hold\":{", "\"unknown\":{");
        assert_eq!(serde_json::from_str::<RunStatus>(&line).unwrap().hold, None);
    }
}
