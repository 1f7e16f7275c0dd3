//! The tables of the page.

use maud::{Markup, html};
use thousands::Separable;

use super::shown;
use crate::ledger::{Cause, ControlEvent, EditRecord, RunRecord, State, Totals};
use crate::report::audit;
use crate::report::facts::{CauseLine, LedgerFacts, NotReachedList, Report, RunFacts};
use crate::report::text::account;
use crate::words::Words;

/// Runs that are shown; a ledger that is worked on every hour has many.
const RUNS_SHOWN: usize = 50;

pub(super) fn outcomes(facts: &LedgerFacts, words: &Words) -> Markup {
    let say = words.say;
    let lines = facts.by_cause();
    if lines.is_empty() {
        return html! { p.empty { (say.no_outcomes) } };
    }
    let Totals { messages, done, failed, in_doubt, in_flight, not_reached } = facts.totals;
    let columns = [say.done, say.failed, say.in_doubt, say.in_flight, say.not_reached];
    // Edits are in flight only during a run.
    let is_used = [true, true, true, in_flight > 0, true];
    let cells = |numbers: [u64; 5]| {
        html! {
            @for ((number, column), _) in numbers.iter().zip(columns).zip(is_used).filter(|(_, is_used)| *is_used) {
                (count(*number, column))
            }
        }
    };
    html! {
        div.scroll { table.outcomes {
            caption { (say.outcomes) }
            thead { tr {
                th scope="col" { (say.code) } th scope="col" { (say.meaning) }
                th.number scope="col" { (say.answers) }
                @for (column, _) in columns.iter().zip(is_used).filter(|(_, is_used)| *is_used) {
                    th.number scope="col" { (column) }
                }
            } }
            tbody { @for line in &lines {
                @let CauseLine { cause, answers, edits } = line;
                tr {
                    th.code scope="row" data-label=(say.code) { (code(*cause)) }
                    td.text data-label=(say.meaning) { (why(*cause, edits.not_reached, words)) }
                    // The number is not known for success; other answers came at least once.
                    td.number data-label=(say.answers) { @if *answers > 0 { (answers.separate_with_commas()) } }
                    (cells([edits.done, edits.failed, edits.in_doubt, edits.in_flight, edits.not_reached]))
                }
            } }
            tfoot { tr {
                th scope="row" { (say.total) }
                td.text { ((say.messages_text)(&messages.separate_with_commas())) }
                td {}
                (cells([done, failed, in_doubt, in_flight, not_reached]))
            } }
        } }
    }
}

fn code(cause: Option<Cause>) -> String {
    match cause {
        Some(Cause::Code(code)) => code.to_string(),
        Some(Cause::Note(_)) | None => "–".to_owned(),
    }
}

fn why(cause: Option<Cause>, not_reached: u64, words: &Words) -> Markup {
    let Some(cause) = cause else {
        let what = if not_reached > 0 { words.say.not_sent_yet } else { words.say.no_answer_yet };
        return html! { (what) };
    };
    html! { div {
        (words.meaning(cause))
        @if let Some(advice) = words.advice(cause) { span.advice { (advice) } }
    } }
}

fn count(number: u64, column: &str) -> Markup {
    html! { td.number.zero[number == 0] data-label=(column) { (number.separate_with_commas()) } }
}

pub(super) fn not_done(report: &Report, words: &Words) -> Markup {
    let (say, totals) = (words.say, report.facts.totals);
    let Totals { failed, in_doubt, not_reached, .. } = totals;
    let is_listed = report.not_reached == NotReachedList::Written;
    let not_reached_text = if is_listed { say.not_reached_listed } else { say.not_reached_text };
    html! {
        @if failed + in_doubt + not_reached == 0 { p.empty { (say.nothing_not_done) } }
        @if failed > 0 { (edits(&report.not_done.failed, failed, say.failed_first, "failed.csv", words)) }
        @if in_doubt > 0 { (edits(&report.not_done.in_doubt, in_doubt, say.in_doubt_first, "in_doubt.csv", words)) }
        @if not_reached > 0 { p { (not_reached_text(not_reached)) } }
    }
}

fn edits(edits: &[EditRecord], all: u64, title: &str, file: &str, words: &Words) -> Markup {
    let say = words.say;
    let more = all.saturating_sub(edits.len() as u64);
    html! {
        div.scroll { table.edits {
            caption.seen { (title) (say.colon) (all.separate_with_commas()) }
            thead { tr {
                th scope="col" { (say.from_account) } th scope="col" { (say.to_account) } th scope="col" { (say.msg_key) }
                th scope="col" { (say.why) } th.number scope="col" { (say.attempts) }
                th.number scope="col" { (say.line) } th scope="col" { (say.sent_at) }
            } }
            tbody { @for edit in edits { tr {
                @for (id, column) in [
                    (&edit.from_account, say.from_account),
                    (&edit.to_account, say.to_account),
                    (&edit.msg_key, say.msg_key),
                ] { td data-label=(column) { div.id { (shown(id)) } } }
                td.text data-label=(say.why) { (reason(edit, words)) }
                td.number data-label=(say.attempts) { (edit.attempts) }
                td.number data-label=(say.line) {
                    @if let Some(list) = &edit.list { (shown(list)) br; }
                    (edit.line.separate_with_commas())
                }
                td.when data-label=(say.sent_at) { (words.moment(edit.sent_at)) }
            } } }
        } }
        @if more > 0 { p.note { ((say.and_more)(more, file)) } }
    }
}

fn reason(edit: &EditRecord, words: &Words) -> Markup {
    let cause = edit.cause.or((edit.state == State::Sending).then_some(Cause::Note(crate::ledger::Note::ProcessDied)));
    html! { div {
        @if let Some(Cause::Code(code)) = cause { b.code { (code) } " " }
        @if let Some(cause) = cause { (words.meaning(cause)) }
    } }
}

/// The SHA-256 of a run's list, or of each of its lists.
pub(super) fn digests(record: &RunRecord) -> Markup {
    html! {
        @for list in &record.lists { br; (shown(&list.name)) " SHA-256 " code { (shown(&list.sha256)) } }
        @if record.lists.is_empty() { br; "SHA-256 " code { (shown(&record.input_sha256)) } }
    }
}

pub(super) fn runs(facts: &LedgerFacts, words: &Words) -> Markup {
    let say = words.say;
    let earlier = facts.runs.len().saturating_sub(RUNS_SHOWN);
    if facts.runs.is_empty() {
        return html! { p.empty { (say.no_runs) } };
    }
    html! {
        p.note { (say.runs_note) }
        @if earlier > 0 { p.note { ((say.runs_earlier)(earlier)) } }
        div.scroll { table.runs {
            caption { (say.runs) }
            thead { tr {
                th.number scope="col" { (say.run) } th scope="col" { (say.started) } th scope="col" { (say.took) }
                th scope="col" { (say.ended) } th scope="col" { (say.who) }
                th.number scope="col" { (say.done) } th.number scope="col" { (say.failed) }
                th.number scope="col" { (say.in_doubt) }
            } }
            @for run in facts.runs.iter().skip(earlier) {
                (one_run(run, facts.goes_on(run), facts.at, words))
            }
        } }
    }
}

fn one_run(run: &RunFacts, goes_on: bool, now: i64, words: &Words) -> Markup {
    let (say, record) = (words.say, &run.record);
    let took = run.took(goes_on.then_some(now));
    html! {
        tbody {
            tr {
                th.number scope="row" data-label=(say.run) { (record.run) }
                td.when data-label=(say.started) { (words.moment(record.started_at)) }
                td.when data-label=(say.took) { @if let Some(took) = took { (words.length(took)) } }
                td data-label=(say.ended) { (words.ended(record.ended.as_deref(), goes_on)) }
                td.text data-label=(say.who) {
                    (shown(&record.user)) "@" (shown(&record.host)) (shown(&account(record)))
                }
                (count(run.edits.done, say.done)) (count(run.edits.failed, say.failed))
                (count(run.edits.in_doubt, say.in_doubt))
            }
            tr.details { td {} td colspan="7" {
                @if let Some(reason) = &record.reason { p { (shown(&words.lang.say(reason))) } }
                p {
                    (say.list) " " b { (shown(&record.input)) } (say.comma)
                    ((say.rows_text)(record.input_rows, record.duplicates))
                    " · " ((say.cap_text)(record.rate)) " · runner " (shown(&record.version))
                    @if let Some(proxy) = &record.proxy { " · " ((say.through_proxy)(&shown(proxy))) }
                    (digests(record))
                }
                @if let Some(command) = &record.command {
                    p { code.command { (shown(command)) }
                        @if let Some(directory) = &record.directory { br; ((say.in_directory)(&shown(directory))) }
                    }
                }
            } }
        }
    }
}

pub(super) fn acts(facts: &LedgerFacts, words: &Words) -> Markup {
    let say = words.say;
    if facts.acts.is_empty() {
        return html! { p.empty { (say.no_acts) } };
    }
    html! {
        div.scroll { table.acts {
            caption { (say.acts) }
            thead { tr {
                th scope="col" { (say.when) } th.number scope="col" { (say.run) } th scope="col" { (say.what) }
                th scope="col" { (say.by) }
            } }
            tbody { @for (run, at, ControlEvent { what, by }) in &facts.acts { tr {
                td.when data-label=(say.when) { (words.moment(*at)) } td.number data-label=(say.run) { (run) }
                td data-label=(say.what) { (words.order(*what)) }
                td.text data-label=(say.by) { (shown(&words.lang.say(by))) }
            } } }
        } }
    }
}

pub(super) fn audits(facts: &LedgerFacts, words: &Words) -> Markup {
    let say = words.say;
    html! {
        div.scroll { table.acts {
            caption { (say.audits) }
            thead { tr { th.number scope="col" { "#" } th scope="col" { (say.when) } th scope="col" { (say.what) } } }
            tbody { @for record in &facts.audits { tr {
                td.number data-label="#" { (record.audit) }
                td.when data-label=(say.when) { (words.moment(record.begun_at)) }
                td.text data-label=(say.what) { (shown(&audit::line(record, words))) }
            } } }
        } }
    }
}
