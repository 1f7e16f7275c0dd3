//! The events of a run, as statements of a commit: each behind its fence.

use super::columns::{number, small};
use super::link::Step;
use super::lost::IN_DOUBT;
use crate::ledger::{Cause, Ciphertext, ControlAction, ControlEvent, Note, RunEvent, Sample, unix_ms};

pub(super) const SAMPLE: &str = "
INSERT INTO sample (run, at, rate, done, failed, in_doubt, requests, read_backs, slow_downs)
SELECT run, $3::int8, $4::int4, $5::int8, $6::int8, $7::int8, $8::int8, $9::int8, $10::int8
FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'";

/// The last beat of a run is from before its end, its last sample is not.
pub(super) const PROGRESS: &str = "
UPDATE lease SET done = $3::int8, failed = $4::int8, in_doubt = $5::int8, requests = $6::int8, read_backs = $7::int8,
    slow_downs = $8::int8
WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'";

pub(super) const ANSWERS: &str = "
INSERT INTO answer (run, code, note, answers)
SELECT run, o.code, o.note, o.answers
FROM lease, unnest($3::int8[], $4::text[], $5::int8[]) AS o(code, note, answers)
WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'
ON CONFLICT (run, code, note) DO UPDATE SET answers = excluded.answers WHERE answer.answers <> excluded.answers";

pub(super) const LATENCY: &str = "
INSERT INTO latency (run, up_to_ms, answers)
SELECT run, o.up_to_ms, o.answers
FROM lease, unnest($3::int8[], $4::int8[]) AS o(up_to_ms, answers)
WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'
ON CONFLICT (run, up_to_ms) DO UPDATE SET answers = excluded.answers WHERE latency.answers <> excluded.answers";

pub(super) const ACT: &str = "
INSERT INTO act (job, run, at, what, rate, by)
SELECT job, run, $3::int8, $4::text, $5::int4, $6::text
FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'";

pub(super) const CIPHERTEXT: &str = "
INSERT INTO ciphertext (run, file, number, originals, sha256)
SELECT run, $3::text, $4::int8, $5::int8, $6::text
FROM lease WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'";

const STOPPED: &str = "
UPDATE run SET ended_at = $3::int8, ended = 'interrupted', reason = $4::text
FROM lease l
WHERE run.run = $1::int8 AND ended IS NULL AND l.run = $1::int8 AND l.commits = $2::int8 AND l.state = 'live'";

const GIVE_UP: &str = "
UPDATE lease SET state = 'lost', share = 0, reads = 0 WHERE run = $1::int8 AND commits = $2::int8 AND state = 'live'";

/// The statements for these events. The one that gives the lease up, after which no fence holds, is the last.
pub(super) fn steps(run: i64, commit: i64, events: &[RunEvent]) -> Vec<Step<'static>> {
    let mut steps = Vec::new();
    let mut gives_up = false;
    for event in events {
        match event {
            RunEvent::Sample(sample) => sample_steps(run, commit, sample, &mut steps),
            RunEvent::ControlEvent(act) => steps.push(act_step(run, commit, act)),
            RunEvent::Ciphertext(Ciphertext { file, number: of_file, originals, sha256 }) => {
                let step = Step::new(CIPHERTEXT).with(run).with(commit).with(file.to_string()).with(number(*of_file));
                steps.push(step.with(number(*originals)).with(sha256.clone()));
            }
            RunEvent::StoppedAtOnce => gives_up = true,
            // A run finds none: audits have a store of their own.
            RunEvent::Look(_) => {}
        }
    }
    if gives_up {
        let reason = "a second signal stopped it at once; what was in flight is in doubt";
        steps.push(Step::new(IN_DOUBT).with(run).with(Note::ProcessDied.word()));
        steps.push(Step::new(STOPPED).with(run).with(commit).with(unix_ms()).with(reason));
        steps.push(Step::new(GIVE_UP).with(run).with(commit));
    }
    steps
}

fn sample_steps(run: i64, commit: i64, sample: &Sample, steps: &mut Vec<Step<'static>>) {
    let step = Step::new(SAMPLE).with(run).with(commit).with(sample.at).with(small(sample.rate));
    let step = step.with(number(sample.done)).with(number(sample.failed)).with(number(sample.in_doubt));
    let step = step.with(number(sample.requests)).with(number(sample.read_backs)).with(number(sample.slow_downs));
    steps.push(step);
    let step = Step::new(PROGRESS).with(run).with(commit).with(number(sample.done)).with(number(sample.failed));
    let step = step.with(number(sample.in_doubt)).with(number(sample.requests)).with(number(sample.read_backs));
    steps.push(step.with(number(sample.slow_downs)));
    if !sample.answers.is_empty() {
        let (mut codes, mut notes, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (cause, count) in &sample.answers {
            let (code, note) = match cause {
                Cause::Code(code) => (*code, String::new()),
                Cause::Note(note) => (0, note.word()),
            };
            codes.push(code);
            notes.push(note);
            counts.push(number(*count));
        }
        steps.push(Step::new(ANSWERS).with(run).with(commit).with(codes).with(notes).with(counts));
    }
    let slots = sample.latency.slots().filter(|(_, count)| *count > 0);
    let (bounds, counts): (Vec<i64>, Vec<i64>) =
        slots.map(|(up_to_ms, count)| (up_to_ms.map_or(-1, i64::from), number(count))).unzip();
    if !bounds.is_empty() {
        steps.push(Step::new(LATENCY).with(run).with(commit).with(bounds).with(counts));
    }
}

fn act_step(run: i64, commit: i64, act: &ControlEvent) -> Step<'static> {
    let step = Step::new(ACT).with(run).with(commit).with(unix_ms()).with(act.what.word());
    step.with(rate(act.what)).with(act.by.clone())
}

/// The rate that an action sets.
pub(super) fn rate(what: ControlAction) -> Option<i32> {
    match what {
        ControlAction::Rate(rate) => Some(small(rate.get())),
        ControlAction::Pause | ControlAction::Resume | ControlAction::Stop => None,
    }
}
