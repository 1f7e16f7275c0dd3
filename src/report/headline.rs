//! The state of a ledger in plain words: one sentence that sums it up, and what to do next.

use super::facts::LedgerFacts;
use super::format::RunState;
use crate::ledger::Totals;
use crate::words::Words;

/// The state of a ledger in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// How good or bad it is.
    pub tone: Tone,
    /// One sentence.
    pub headline: String,
    /// What else to know, and what to do.
    pub more: Vec<String>,
}

/// How good or bad the state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// All is done.
    Good,
    /// A run is in progress.
    Busy,
    /// Something is left to do.
    Open,
    /// Something was refused.
    Bad,
}

impl Tone {
    /// The word for it in the page's style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tone::Good => "good",
            Tone::Busy => "busy",
            Tone::Open => "open",
            Tone::Bad => "bad",
        }
    }
}

impl Headline {
    /// The headline for this ledger.
    pub fn of(facts: &LedgerFacts, words: &Words) -> Headline {
        let Totals { messages, done, failed, in_doubt, not_reached, .. } = facts.totals;
        let say = words.say;
        let (tone, headline) = if facts.holds == Some(false) {
            (Tone::Bad, say.altered.to_owned())
        } else if let Some(silent) = facts.silent_for() {
            (Tone::Open, (say.run_is_silent)(&words.length(silent), done, messages))
        } else if facts.is_paused() {
            (Tone::Busy, (say.run_paused)(done, messages))
        } else if facts.state() == RunState::Stopping {
            (Tone::Busy, (say.run_stopping)(done, messages))
        } else if facts.state() == RunState::Outage {
            (Tone::Open, (say.run_in_outage)(done, messages))
        } else if facts.is_running() {
            (Tone::Busy, (say.run_goes_on)(done, messages))
        } else if facts.may_lack_commits {
            (Tone::Bad, say.may_lack_commits.to_owned())
        } else if [failed, in_doubt, not_reached].iter().filter(|number| **number > 0).count() > 1 {
            let tone = if failed > 0 { Tone::Bad } else { Tone::Open };
            (tone, (say.some_not_done)([failed, in_doubt, not_reached], messages))
        } else if failed > 0 {
            (Tone::Bad, (say.some_failed)(failed, messages))
        } else if in_doubt > 0 {
            (Tone::Open, (say.some_in_doubt)(in_doubt))
        } else if not_reached > 0 {
            (Tone::Open, (say.some_not_reached)(not_reached, messages))
        } else if messages == 0 {
            (Tone::Open, say.nothing_sent.to_owned())
        } else if facts.knows_what_is_left() {
            (Tone::Good, (say.all_done)(messages))
        } else {
            (Tone::Open, (say.all_done_so_far)(messages))
        };
        Headline { tone, headline, more: more(facts, words) }
    }
}

fn more(facts: &LedgerFacts, words: &Words) -> Vec<String> {
    let Totals { failed, in_doubt, not_reached, .. } = facts.totals;
    let say = words.say;
    let mut more = Vec::new();
    if facts.holds == Some(false) {
        return vec![say.what_altered.to_owned()];
    }
    if facts.may_lack_commits {
        more.push(say.what_commits_lost.to_owned());
    } else if facts.silent_for().is_some() {
        more.push(say.what_silent.to_owned());
    } else if facts.was_cut_off() {
        more.push(if facts.shared.is_some() { say.what_lost } else { say.what_died }.to_owned());
    }
    let last = facts.last_run().map(|run| &run.record);
    if let Some(reason) = last.and_then(|run| run.reason.as_deref()) {
        more.push((say.what_stopped)(&words.lang.say(reason)));
    }
    if failed > 0 {
        more.push(say.what_failed.to_owned());
    }
    if in_doubt > 0 {
        more.push(say.what_in_doubt.to_owned());
    }
    if not_reached > 0 && !facts.is_running() && !facts.may_lack_commits {
        more.push(say.what_not_reached.to_owned());
    }
    if !facts.knows_what_is_left() {
        more.push(say.left_unknown.to_owned());
    }
    more
}
