//! What there is to say, as one JSON object: for programs, and for whoever checks a report.

use serde_json::{Value, json};

use super::facts::{CauseLine, LedgerFacts, NotReachedList, Report, RunFacts};
use super::headline::Headline;
use super::words::{Words, iso};
use crate::ledger::{Cause, ControlAction, ControlEvent, LedgerTotals, Worker};

/// How it stands, with the command that goes on.
pub fn status(facts: &LedgerFacts, resume: Option<&str>, words: &Words) -> Value {
    let LedgerTotals { messages, done, failed, in_doubt, in_flight, not_reached } = facts.totals;
    let current = facts.last_run().filter(|_| facts.goes_on());
    json!({
        "ledger": facts.ledger,
        "job": { "sdkappid": facts.job.sdkappid, "service": facts.job.service, "name": facts.job.name },
        "made_at": iso(facts.at),
        "verdict": Headline::of(facts, words).headline,
        "messages": messages,
        "done": done,
        "failed": failed,
        "in_doubt": in_doubt,
        "in_flight": in_flight,
        "not_reached": not_reached,
        "not_reached_is_known": facts.knows_what_is_left(),
        "worker": facts.worker.as_ref().map(Worker::name),
        "may_lack_commits": facts.may_lack_commits,
        "paused": facts.is_paused(),
        "edits_a_second": current.and_then(|run| run.rate),
        "cap": facts.last_run().map(RunFacts::cap),
        "seconds_left": facts.time_left().map(|left| left.as_secs()),
        "outcomes": facts.by_cause().iter().map(|line| outcome(line, words)).collect::<Vec<_>>(),
        "runs": facts.runs.iter().map(run).collect::<Vec<_>>(),
        "acts": facts.acts.iter().map(act).collect::<Vec<_>>(),
        "resume": resume,
    })
}

/// All that a report tells.
pub fn summary(report: &Report, words: &Words) -> Value {
    let facts = &report.facts;
    let mut summary = status(facts, report.resume.as_deref(), words);
    let slots = facts.latency.slots().filter(|(_, answers)| *answers > 0);
    let slots: Vec<_> = slots.map(|(up_to, answers)| json!({ "up_to_ms": up_to, "answers": answers })).collect();
    summary["ledger_sha256"] = json!(report.ledger_sha256);
    summary["version"] = json!(crate::BUILD);
    summary["latency"] = json!(slots);
    summary["left_out"] = left_out(report);
    summary
}

/// The files of a report that are not there, why, and how to get them.
pub fn left_out(report: &Report) -> Value {
    match &report.not_reached {
        NotReachedList::NotAsked | NotReachedList::Written => json!([]),
        NotReachedList::LeftOut(why) => json!([{
            "name": "not_reached.csv",
            "why": why,
            "how": "runner report LEDGER --csv DIR --input LIST [--job FILE]",
        }]),
    }
}

fn outcome(line: &CauseLine, words: &Words) -> Value {
    let CauseLine { cause, answers, edits } = line;
    let (code, note) = match cause {
        Some(Cause::Code(code)) => (Some(*code), None),
        Some(Cause::Note(note)) => (None, Some(note.word())),
        None => (None, None),
    };
    json!({
        "code": code,
        "note": note,
        "meaning": cause.map(|cause| words.meaning(cause)),
        "advice": cause.and_then(|cause| words.advice(cause)),
        "answers": if *cause == Some(Cause::Code(0)) { None } else { Some(answers) },
        "done": edits.done,
        "failed": edits.failed,
        "in_doubt": edits.in_doubt,
        "in_flight": edits.in_flight,
        "not_reached": edits.not_reached,
    })
}

fn run(run: &RunFacts) -> Value {
    let (record, last) = (&run.record, run.last.as_ref());
    json!({
        "run": record.run,
        "started_at": iso(record.started_at),
        "ended_at": record.ended_at.map(iso),
        "ended": record.ended,
        "reason": record.reason,
        "user": record.user,
        "host": record.host,
        "pid": record.pid,
        "version": record.version,
        "input": record.input,
        "input_sha256": record.input_sha256,
        "input_rows": record.input_rows,
        "duplicates": record.duplicates,
        "planned": record.planned,
        "rate": record.rate,
        "identifier": record.identifier,
        "job_sha256": record.job_sha256,
        "proxy": record.proxy,
        "command": record.command,
        "directory": record.directory,
        // Each edit is counted in the run that sent it last.
        "done": run.edits.done,
        "failed": run.edits.failed,
        "in_doubt": run.edits.in_doubt,
        // As it said last: of a run that was cut off some seconds are missing.
        "requests": last.map(|sample| sample.requests),
        "read_backs": last.map(|sample| sample.read_backs),
        "slow_downs": last.map(|sample| sample.slow_downs),
    })
}

fn act((run, at, ControlEvent { what, by }): &(i64, i64, ControlEvent)) -> Value {
    let rate = match what {
        ControlAction::Rate(rate) => Some(rate.get()),
        ControlAction::Pause | ControlAction::Resume | ControlAction::Stop => None,
    };
    json!({ "run": run, "at": iso(*at), "what": what.word(), "rate": rate, "by": by })
}
