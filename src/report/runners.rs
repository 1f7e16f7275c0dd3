//! The runners of a shared job, in words and as a table: for texts, reports and live pages.

use std::time::Duration;

use maud::{Markup, html};
use thousands::Separable;

use super::format::{RunnerObject, SharedObject};
use crate::ledger::{CapOwner, Runner, RunnerState, SharedJob};
use crate::terminal::escape::escape_control;
use crate::words::{Lang, Words};

impl Words {
    /// Whether a runner works.
    pub fn runner_state(&self, runner: &Runner) -> &'static str {
        match runner.state {
            RunnerState::Live if runner.progress.held => self.say.runner_held,
            RunnerState::Live => self.say.runner_live,
            RunnerState::Silent => self.say.runner_silent,
            RunnerState::Lost => self.say.runner_lost,
            RunnerState::Ended => self.say.runner_ended,
        }
    }

    /// How long ago its lease was renewed, unless it has given it back.
    pub fn runner_renewed(&self, runner: &Runner) -> Option<String> {
        (runner.state != RunnerState::Ended).then(|| (self.say.ago)(&self.length(runner.renewed)))
    }

    /// Whose the cap in force is.
    pub fn cap_owner(&self, owner: &CapOwner) -> String {
        let (text, job) = match owner {
            CapOwner::Run { run, host, job } => ((self.say.cap_of_run)(*run, host), job),
            CapOwner::Operator { by, job } => (self.lang.say(by), job),
        };
        match job {
            Some(job) => format!("{text}{}{}", self.say.comma, (self.say.of_job)(job)),
            None => text,
        }
    }

    /// What all runs of a job share, by what it is; not fit to be shown before control characters are escaped.
    pub fn shared_lines(&self, shared: &SharedJob) -> Vec<(&'static str, String)> {
        let say = self.say;
        let mut lines = Vec::new();
        if shared.cap > 0 {
            let whose = shared.cap_is_of.as_ref().map(|owner| format!("{}{}", say.colon, self.cap_owner(owner)));
            lines.push((say.cap, format!("{}{}", (say.a_second)(shared.cap), whose.unwrap_or_default())));
            lines.push((say.app, (say.app_shares)(shared.shares, shared.cap, shared.other_runs)));
        }
        if let Some(stop) = &shared.stop {
            lines.push((say.told_to_stop, self.lang.say(stop)));
        }
        lines
    }
}

/// The runners as a table. On a narrow screen each becomes a block, whose cells begin with their columns' names.
pub fn table(shared: &SharedJob, words: &Words) -> Markup {
    let say = words.say;
    let count = |number: u64, column: &str| {
        html! { td.number.zero[number == 0] data-label=(column) { (number.separate_with_commas()) } }
    };
    html! {
        div.scroll { table.runners {
            caption { (say.runners) }
            thead { tr {
                th.number scope="col" { (say.run) } th scope="col" { (say.host) } th.number scope="col" { (say.process) }
                th scope="col" { (say.user) } th scope="col" { (say.state) } th.number scope="col" { (say.share) }
                th.number scope="col" { (say.speed) } th.number scope="col" { (say.done) }
                th.number scope="col" { (say.failed) } th.number scope="col" { (say.in_doubt) }
                th scope="col" { (say.renewed) }
            } }
            tbody { @for runner in &shared.runners {
                @let Runner { run, host, pid, user, share, progress, .. } = runner;
                tr class=(runner.state.word()) {
                    th.number scope="row" data-label=(say.run) { (run) }
                    td.text data-label=(say.host) { (escape_control(host)) }
                    td.number data-label=(say.process) { (pid) }
                    td.text data-label=(say.user) { (escape_control(user)) }
                    td data-label=(say.state) { (words.runner_state(runner)) }
                    td.number data-label=(say.share) { @if runner.is_live() { ((say.a_second)(*share)) } }
                    td.number data-label=(say.speed) { @if let Some(speed) = speed(runner) { (speed) "/s" } }
                    (count(progress.done, say.done)) (count(progress.failed, say.failed))
                    (count(progress.in_doubt, say.in_doubt))
                    td.when data-label=(say.renewed) { @if let Some(ago) = words.runner_renewed(runner) { (ago) } }
                }
            } }
        } }
    }
}

/// Edits that it settles a second. Whoever is silent sends nothing.
pub(super) fn speed(runner: &Runner) -> Option<String> {
    (runner.state == RunnerState::Live).then(|| format!("{:.1}", runner.progress.speed))
}

/// The same for programs.
pub fn object(shared: &SharedJob) -> SharedObject {
    let words = Words::at(Lang::En, jiff::tz::TimeZone::UTC);
    SharedObject {
        cap: (shared.cap > 0).then_some(shared.cap),
        cap_is_of: shared.cap_is_of.as_ref().map(|owner| words.cap_owner(owner)),
        shares: shared.shares,
        other_runs: shared.other_runs,
        paused: shared.paused,
        stop: shared.stop.clone(),
        rate: shared.rate,
        runners: shared.runners.iter().map(runner).collect(),
    }
}

fn runner(runner: &Runner) -> RunnerObject {
    let Runner { run, host, pid, user, state, share, rate, renewed, progress, .. } = runner;
    RunnerObject {
        run: *run,
        host: host.clone(),
        pid: *pid,
        user: user.clone(),
        state: state.word().into(),
        held: progress.held,
        share: *share,
        rate: *rate,
        renewed_seconds_ago: tenths(renewed.min(&Duration::from_secs(u32::MAX.into())).as_secs_f64()),
        edits_a_second: if *state == RunnerState::Live { tenths(progress.speed) } else { 0.0 },
        done: progress.done,
        failed: progress.failed,
        in_doubt: progress.in_doubt,
        requests: progress.requests,
        read_backs: progress.read_backs,
        slow_downs: progress.slow_downs,
    }
}

fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests;
