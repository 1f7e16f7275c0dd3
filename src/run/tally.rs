//! The progress of a run in numbers. Edits are counted from durable outcomes only.

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use super::activity::Activity;
use crate::api::error_code;
pub use crate::ledger::Cause;
use crate::ledger::{Latency, Note, Progress, Recorded, Sample, State, unix_ms};
use crate::pace;
use crate::retry::Verdict;

/// The progress of one run.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Edits that the service confirmed.
    pub done: u64,
    /// Edits that the service refused for good, or too often.
    pub failed: u64,
    /// Edits in doubt that this run leaves so.
    pub in_doubt: u64,
    /// Edits that came into doubt in this run, and that it has not settled yet.
    pub open_doubts: u64,
    /// Requests to edit that were sent.
    pub attempts: u64,
    /// Requests to read messages.
    pub read_backs: u64,
    /// Edits in doubt that wait to be read back, or are being read back.
    pub to_read_back: u64,
    /// Edits that wait to be read before they are sent, or are being read.
    pub to_read_first: u64,
    /// Edits in doubt that a read-back found made.
    pub found_edited: u64,
    /// Edits in doubt that a read-back found not made: they were sent again, or failed if no attempt was left. While a
    /// run stops, they stay in doubt.
    pub found_not_edited: u64,
    /// Read-backs of edits in doubt that could not tell: the edits stay in doubt.
    pub found_unclear: u64,
    /// Edits read before sending whose messages held something else, and that were sent then.
    pub found_to_edit: u64,
    /// Edits read before sending of whose messages it cannot be told what they hold.
    pub found_unread: u64,
    /// Edits read before sending whose messages already held the wanted content.
    pub found_already: u64,
    /// Edits read before sending whose messages were recalled or not there.
    pub found_missing: u64,
    /// Edits read before sending whose messages do not meet a condition of the run, and that were not sent.
    pub found_unfit: u64,
    /// "Too fast" answers that changed the pace.
    pub slow_downs: u64,
    /// The number of answers other than success, by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Edits that had failed before this run, and were sent again in it.
    pub failed_again: u64,
    /// Edits that were in doubt before this run, and were sent again or settled in it.
    pub in_doubt_again: u64,
    /// How long answers to edits took.
    pub latency: Latency,
    /// How long edits with a durable intent waited to be sent.
    pub waits: Latency,
    /// How long commits of the ledger took.
    pub commits: Latency,
    /// When an edit was last confirmed, in milliseconds since 1970; 0 if none was.
    pub last_done_at: i64,
    /// Edits whose intent is durable or being made so, and whose outcome is not.
    pub under_way: usize,
    /// Those of them that had failed before this run, and that it had not sent before.
    pub under_way_failed: u64,
    /// Those of them that were in doubt before this run, and that it had not sent before.
    pub under_way_in_doubt: u64,
    /// The current pace of edits.
    pub pace: pace::PaceNow,
    /// The operator has paused the run.
    pub paused: bool,
    /// Nothing more will be sent.
    pub stopping: bool,
    /// What other runs have done since this one began, where several work on the list.
    pub others: Progress,
    /// The cap that all of them share, in requests a second.
    pub job_cap: Option<NonZeroU32>,
    /// What the run is doing.
    pub activity: Activity,
    /// Edits settled a second, over the last seconds, by this run and those that it shares its list with.
    pub speed: f64,
    /// How long the rest takes; `None` where that is not known: while it is paused or stopping, while the
    /// service is out of reach, and once nothing is left.
    pub time_left: Option<Duration>,
}

/// How long the parts of one attempt took.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// From the durable intent to the permit.
    pub(super) waited: Duration,
    /// From the permit to the answer.
    pub(super) answered: Duration,
}

impl Tally {
    /// Edits that this run is finished with.
    pub fn settled(&self) -> u64 {
        self.done + self.failed + self.in_doubt
    }

    pub(super) fn settle(&mut self, recorded: &Recorded) {
        match recorded.state() {
            State::Done => {
                self.done += 1;
                self.last_done_at = unix_ms();
            }
            State::Failed => self.failed += 1,
            State::InDoubt => self.in_doubt += 1,
            State::Sending | State::Waiting => {}
        }
    }

    pub(super) fn attempt(&mut self, recorded: &Recorded, verdict: &Verdict, times: Times) {
        self.attempts += 1;
        self.waits.add(times.waited);
        // A time-out only measures the limit.
        if !matches!(verdict, Verdict::InDoubt { code: None, .. }) {
            self.latency.add(times.answered);
        }
        self.count_resumed(recorded.taken_up());
        if let Some(cause) = Cause::of(verdict) {
            *self.causes.entry(cause).or_default() += 1;
        }
    }

    /// An edit in doubt was settled by the late success of a lost run.
    pub(super) fn settled_late(&mut self) {
        self.done += 1;
        self.last_done_at = unix_ms();
    }

    /// The progress, for the ledger.
    pub(super) fn sample(&self) -> Sample {
        Sample {
            at: unix_ms(),
            rate: self.pace.cap,
            done: self.done,
            failed: self.failed,
            in_doubt: self.in_doubt,
            requests: self.attempts,
            read_backs: self.read_backs,
            slow_downs: self.slow_downs,
            answers: self.causes.iter().map(|(cause, answers)| (*cause, *answers)).collect(),
            latency: self.latency.clone(),
        }
    }

    /// A read-back was recorded, whether or not it settled its edit.
    pub(super) fn read_back(&mut self, recorded: &Recorded) {
        self.count_resumed(recorded.taken_up());
        match (recorded.state(), recorded.was_read_first()) {
            (State::Done, false) => self.found_edited += 1,
            (State::Done, true) => self.found_already += 1,
            (State::Failed, false) => self.found_not_edited += 1,
            (State::Failed, true) => match recorded.note() {
                Some(Note::NotAsReviewed | Note::NotShown) => self.found_unfit += 1,
                _ => self.found_missing += 1,
            },
            (State::InDoubt, false) => self.found_unclear += 1,
            (State::InDoubt, true) => self.found_unread += 1,
            (State::Sending | State::Waiting, _) => {}
        }
    }

    /// The ledger failed while it said `sending` of an edit.
    pub(super) fn unsure(&mut self, state_before: Option<State>) {
        self.count_resumed(state_before);
        self.in_doubt += 1;
    }

    fn count_resumed(&mut self, before: Option<State>) {
        match before {
            Some(State::Failed) => self.failed_again += 1,
            Some(State::InDoubt) => self.in_doubt_again += 1,
            Some(State::Sending | State::Waiting | State::Done) | None => {}
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Code(code) => write!(f, "{code}, {}", error_code::meaning(*code)),
            Cause::Note(note) => f.write_str(&note.meaning()),
        }
    }
}

impl Cause {
    /// `None` for a success.
    pub(super) fn of(verdict: &Verdict) -> Option<Cause> {
        match *verdict {
            Verdict::Done | Verdict::NotSent => None,
            Verdict::SignAnew { code } => Some(Cause::Code(code)),
            Verdict::InDoubt { code, note } => code.map(Cause::Code).or(Some(Cause::Note(note))),
            Verdict::Retry { code }
            | Verdict::SlowDown { code, .. }
            | Verdict::Failed { code }
            | Verdict::Stop { code } => code.map(Cause::Code),
        }
    }
}
