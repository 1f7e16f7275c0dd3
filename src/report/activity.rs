//! What a run is doing, and why it sends nothing, in words.

use std::time::Duration;

use jiff::Timestamp;

use super::format::{HoldObject, RunState};
use crate::terminal::duration::in_two_units;
use crate::words::Words;

impl Words {
    /// The word for what a run is doing.
    pub fn run_state(&self, state: RunState) -> &'static str {
        match state {
            RunState::Running => self.say.state_running,
            RunState::Held => self.say.state_held,
            RunState::Outage => self.say.state_outage,
            RunState::Waiting => self.say.state_waiting,
            RunState::Paused => self.say.state_paused,
            RunState::Stopping => self.say.state_stopping,
            RunState::Over => self.say.state_over,
        }
    }

    /// Why a run sends nothing, and for how much longer.
    pub fn hold(&self, hold: &HoldObject) -> String {
        let units = self.say.units;
        let whole = |seconds| in_two_units(Duration::from_secs(seconds), units);
        let left = whole(hold.seconds_left);
        match hold.reason.as_str() {
            "start" => (self.say.hold_start)(&left),
            "too_fast" => (self.say.hold_too_fast)(&left),
            "retry_after" => (self.say.hold_retry_after)(&left),
            "outage" => {
                let since = hold.since.as_deref().and_then(|since| since.parse::<Timestamp>().ok());
                let since = since.map(|since| self.clock(since.as_millisecond())).unwrap_or_default();
                let error = self.lang.say(hold.error.as_deref().unwrap_or_default().trim_end_matches('.'));
                let next = (hold.seconds_left > 0).then_some(left.as_str());
                (self.say.hold_outage)(&whole(hold.outage_seconds.unwrap_or_default()), &since, &error, next)
            }
            "read_back" => (self.say.hold_read_back)(&left),
            "read_first" => (self.say.hold_read_first)(&left),
            "send_again" => (self.say.hold_send_again)(&left),
            "ledger" => self.say.hold_ledger.to_owned(),
            "others" => self.say.hold_others.to_owned(),
            // A newer program's reason.
            other => format!("{other} ({left})"),
        }
    }
}
