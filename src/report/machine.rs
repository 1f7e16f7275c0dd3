//! A ledger's [`LedgerFacts`] and a [`Report`] as JSON objects.

use jiff::tz::TimeZone;

use super::facts::{CauseLine, LedgerFacts, NotReachedList, Report, RunFacts};
use super::format::{self, FORMAT};
use super::headline::Headline;
use super::resume::Resume;
use super::{audit, evidence, runners};
use crate::ledger::{Cause, ControlAction, ControlEvent, JobIdentity, RunRecord, Worker};
use crate::words::{Lang, Words, iso};

/// What `runner status` prints, with the command that resumes the last run.
pub fn status(facts: &LedgerFacts, resume: Option<&Resume>) -> format::Status {
    let words = &english();
    format::Status {
        format: FORMAT,
        ledger: facts.ledger.clone(),
        job: job(&facts.job),
        made_at: iso(facts.at),
        headline: Headline::of(facts, words).headline,
        state: facts.state(),
        hold: facts.live.as_ref().and_then(|live| live.hold.clone()),
        worker: facts.worker.as_ref().map(|worker| Worker::name(worker).to_owned()),
        totals: facts.totals,
        list_messages: facts.list_messages(),
        not_reached_is_known: facts.knows_what_is_left(),
        may_lack_commits: facts.may_lack_commits,
        edits_a_second: facts.speed(),
        rate: facts.rate(),
        seconds_left: facts.time_left().map(|left| left.as_secs()),
        outcomes: facts.by_cause().iter().map(|line| outcome(line, words)).collect(),
        shared: facts.shared.as_ref().map(runners::object),
        runs: facts.runs.iter().map(run).collect(),
        acts: facts.acts.iter().map(act).collect(),
        audits: facts.audits.iter().map(audit::object).collect(),
        log: facts.log.as_ref().map(evidence::log),
        holds: facts.holds,
        resume: resume.map(|resume| resume.command.clone()),
    }
}

/// What `runner report` prints.
pub fn report(report: &Report) -> format::ReportObject {
    let slots = report.facts.latency.slots().filter(|(_, answers)| *answers > 0);
    format::ReportObject {
        status: status(&report.facts, report.resume.as_ref()),
        ledger_sha256: report.ledger_sha256.clone(),
        version: crate::BUILD.to_owned(),
        latency: slots.map(|(up_to_ms, answers)| format::LatencyCount { up_to_ms, answers }).collect(),
        left_out: left_out(report),
    }
}

/// Programs read one language, whatever people read.
fn english() -> Words {
    Words::at(Lang::En, TimeZone::UTC)
}

/// The files of a report that are missing, why, and how to get them.
pub fn left_out(report: &Report) -> Vec<format::LeftOut> {
    match &report.not_reached {
        NotReachedList::NotAsked | NotReachedList::Written => Vec::new(),
        NotReachedList::LeftOut(why) => vec![format::LeftOut {
            name: "not_reached.csv".to_owned(),
            why: why.clone(),
            how: "runner report LEDGER --csv DIR --input LIST [--job FILE]".to_owned(),
        }],
    }
}

/// The job that a ledger belongs to.
pub fn job(job: &JobIdentity) -> format::JobObject {
    format::JobObject { sdkappid: Some(job.sdkappid), service: Some(job.service.clone()), name: job.name.clone() }
}

fn outcome(line: &CauseLine, words: &Words) -> format::OutcomeObject {
    let CauseLine { cause, answers, edits } = line;
    format::OutcomeObject {
        answers: format::AnswerCount {
            cause: (*cause).into(),
            meaning: cause.map(|cause| words.meaning(cause)),
            answers: (*cause != Some(Cause::Code(0))).then_some(*answers),
        },
        advice: cause.and_then(|cause| words.advice(cause)).map(Into::into),
        totals: *edits,
    }
}

fn run(run: &RunFacts) -> format::Run {
    let (record, last) = (RunRecord::clone(&run.record), run.last.as_ref());
    format::Run {
        run: record.run,
        started_at: iso(record.started_at),
        ended_at: record.ended_at.map(iso),
        ended: record.ended,
        reason: record.reason,
        user: record.user,
        host: record.host,
        pid: record.pid,
        version: record.version,
        input: record.input,
        input_sha256: record.input_sha256,
        inputs: record.lists.into_iter().map(Into::into).collect(),
        rows: record.input_rows,
        duplicates: record.duplicates,
        planned: record.planned,
        rate: record.rate,
        identifier: record.identifier,
        job_sha256: record.job_sha256,
        proxy: record.proxy,
        command: record.command,
        directory: record.directory,
        totals: run.edits,
        requests: last.map(|sample| sample.requests),
        read_backs: last.map(|sample| sample.read_backs),
        slow_downs: last.map(|sample| sample.slow_downs),
    }
}

fn act((run, at, ControlEvent { what, by }): &(i64, i64, ControlEvent)) -> format::Act {
    let rate = match what {
        ControlAction::Rate(rate) => Some(*rate),
        ControlAction::Pause | ControlAction::Resume | ControlAction::Stop => None,
    };
    format::Act { run: *run, at: iso(*at), what: what.word(), rate, by: by.clone() }
}
