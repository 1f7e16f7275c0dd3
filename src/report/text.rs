//! Status and report as text for a terminal of 80 columns. Colours only repeat what the words say; the caller strips
//! them where they are not wanted.

use std::fmt::Write;

use anstyle::Style;
use thousands::Separable;
use unicode_width::UnicodeWidthStr;

use super::facts::{LedgerFacts, Report, RunFacts};
use super::headline::{Headline, Tone};
use super::resume::Resume;
use super::{audit, chart, evidence};
use super::{runners, shares};
use crate::ledger::{Cause, EditRecord, RunRecord, Runner, RunnerState, Totals, Worker};
use crate::terminal::colour::{DONE, DOUBT, FAILED, IN_FLIGHT, REMARK, TITLE};
use crate::terminal::escape::escape_control;
use crate::terminal::fit;
use crate::words::Words;

const COLUMNS: usize = 80;
/// Runs shown; a ledger with a run every hour has many.
const RUNS_SHOWN: usize = 8;
/// Edits shown one by one.
const EDITS_SHOWN: usize = 10;

const PLAIN: Style = Style::new();

/// The status, in some twenty lines.
pub fn status(facts: &LedgerFacts, resume: Option<&Resume>, words: &Words) -> String {
    let mut text = TextReport { out: String::new(), words };
    text.head(facts);
    if facts.worker.is_none() || facts.silent_for().is_some() {
        text.advice(facts);
    }
    text.totals(facts);
    text.pace(facts);
    text.runners(facts);
    text.answers(facts, false);
    text.runs(facts);
    text.acts(facts);
    text.audits(facts);
    text.log(facts);
    text.resume(resume);
    text.out
}

/// A whole report.
pub fn report(report: &Report, words: &Words) -> String {
    let (facts, say) = (&report.facts, words.say);
    let mut text = TextReport { out: String::new(), words };
    text.head(facts);
    text.advice(facts);
    text.totals(facts);
    text.pace(facts);
    if facts.latency.count() > 0 {
        text.title(say.latency);
        text.wrapped(&chart::caption(&facts.latency, words), "  ", "  ");
    }
    text.answers(facts, true);
    text.not_done(say.failed_first, &report.not_done.failed, facts.totals.failed, "failed.csv");
    text.not_done(say.in_doubt_first, &report.not_done.in_doubt, facts.totals.in_doubt, "in_doubt.csv");
    text.runners(facts);
    text.runs(facts);
    text.acts(facts);
    text.audits(facts);
    text.about(report);
    text.resume(report.resume.as_ref());
    text.out
}

/// The runners of a shared job.
pub fn runners(facts: &LedgerFacts, words: &Words) -> String {
    let mut text = TextReport { out: String::new(), words };
    text.runners(facts);
    text.out
}

struct TextReport<'a> {
    out: String,
    words: &'a Words,
}

impl TextReport<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn title(&mut self, title: &str) {
        self.line("");
        self.line(&styled(TITLE, title));
    }

    /// A paragraph, with the indents of its first line and of the others.
    fn wrapped(&mut self, paragraph: &str, first: &str, others: &str) {
        let options = textwrap::Options::new(COLUMNS)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .word_separator(textwrap::WordSeparator::Custom(fit::words))
            .initial_indent(first)
            .subsequent_indent(others);
        for line in textwrap::wrap(&escape_control(paragraph), options) {
            self.line(&line);
        }
    }

    fn head(&mut self, facts: &LedgerFacts) {
        let say = self.words.say;
        let job = (say.app_at)(facts.job.sdkappid, &escape_control(&facts.job.service));
        self.line(&styled(REMARK, &format!("{}{}{job}", facts.ledger, say.colon)));
        let Headline { tone, headline, .. } = Headline::of(facts, self.words);
        self.line(&styled(tone_style(tone).bold(), &escape_control(&headline)));
    }

    /// What else to know, and what to do.
    fn advice(&mut self, facts: &LedgerFacts) {
        for sentence in &Headline::of(facts, self.words).more {
            self.wrapped(sentence, "", "");
        }
    }

    fn totals(&mut self, facts: &LedgerFacts) {
        let say = self.words.say;
        let Totals { messages, done, failed, in_doubt, in_flight, not_reached } = facts.totals;
        let lines = [
            (say.messages, messages, PLAIN),
            (say.done, done, DONE),
            (say.failed, failed, FAILED),
            (say.in_doubt, in_doubt, DOUBT),
            (say.in_flight, in_flight, IN_FLIGHT),
            (say.not_reached, not_reached, PLAIN),
        ];
        let labels = lines.iter().map(|(label, _, _)| label.width()).max().unwrap_or_default();
        let numbers = messages.separate_with_commas().len();
        let of_messages = shares::tenths(&[done, failed, in_doubt, in_flight, not_reached]);
        let of_messages = std::iter::once(0).chain(of_messages);
        self.line("");
        for ((label, number, style), tenths) in lines.into_iter().zip(of_messages) {
            let shown = format!("{:>numbers$}", number.separate_with_commas());
            let shown = if number == 0 { styled(REMARK, &shown) } else { styled(style, &shown) };
            let share = if label == say.messages { String::new() } else { shares::text(number, tenths, messages) };
            let share = if share.is_empty() { share } else { format!("{share:>9}") };
            self.line(&format!("  {}  {shown}{}", padded(label, labels), styled(REMARK, &share)));
        }
        if let Some(list) = facts.list_messages().filter(|list| *list < messages) {
            self.wrapped(&(say.list_has_fewer)(list), "  ", "  ");
        }
    }

    /// Speed and time left.
    fn pace(&mut self, facts: &LedgerFacts) {
        let say = self.words.say;
        let Some(since) = facts.running_since().filter(|_| facts.is_running()) else { return };
        let since = self.words.moment(since);
        let speed = facts.speed().map_or_else(|| say.not_known_yet.to_owned(), |speed| format!("{speed:.1}"));
        let left = facts.time_left().map_or_else(
            || (if facts.live.is_some() || facts.shared.is_some() { "–" } else { say.only_the_run_knows }).to_owned(),
            |left| {
                let until = facts.at.saturating_add(i64::try_from(left.as_millis()).unwrap_or(i64::MAX));
                (say.time_left_text)(&self.words.length(left), &self.words.clock(until))
            },
        );
        let worker = facts.worker.as_ref().map(Worker::name).unwrap_or_default();
        let mut lines = vec![(say.state, self.words.run_state(facts.state()).to_owned())];
        if let Some(hold) = facts.live.as_ref().and_then(|live| live.hold.as_ref()) {
            lines.push((say.held_because, escape_control(&self.words.hold(hold)).into_owned()));
        }
        lines.extend([(say.speed, (say.speed_text)(&speed, facts.rate().unwrap_or_default())), (say.time_left, left)]);
        if let Some(shared) = &facts.shared {
            lines.push((say.runners_at_work, (say.runners_since)(shared.live().count(), &since)));
            lines.extend(self.words.shared_lines(shared));
        } else {
            lines.push((say.who, (say.worker)(worker, &since)));
        }
        let slow_downs = facts.slow_downs();
        if slow_downs > 0 {
            lines.push((say.slow_downs, slow_downs.separate_with_commas()));
        }
        let labels = lines.iter().map(|(label, _)| label.width()).max().unwrap_or_default();
        self.line("");
        for (label, what) in lines {
            self.wrapped(&what, &format!("  {}  ", padded(label, labels)), &" ".repeat(labels + 4));
        }
    }

    /// The answers other than success, with advice where it fits.
    fn answers(&mut self, facts: &LedgerFacts, with_advice: bool) {
        if facts.answers.is_empty() {
            return;
        }
        self.title(self.words.say.answers_other);
        for (cause, answers) in &facts.answers {
            let what = match cause {
                Cause::Code(code) => format!("{code}{}{}", self.words.say.comma, self.words.meaning(*cause)),
                Cause::Note(_) => self.words.meaning(*cause),
            };
            self.wrapped(&what, &format!("  {:>7}  ", answers.separate_with_commas()), "           ");
            if let Some(advice) = self.words.advice(*cause).filter(|_| with_advice) {
                self.wrapped(advice, "           ", "           ");
            }
        }
    }

    fn not_done(&mut self, title: &str, edits: &[EditRecord], all: u64, file: &str) {
        if all == 0 {
            return;
        }
        let say = self.words.say;
        self.title(&format!("{title}{}{}", say.colon, all.separate_with_commas()));
        for edit in edits.iter().take(EDITS_SHOWN) {
            let EditRecord { from_account, to_account, msg_key, line, list, cause, .. } = edit;
            let list = list.as_ref().map(|list| format!("{list}{}", say.comma)).unwrap_or_default();
            self.wrapped(
                &format!("{list}{} {line}{}{from_account} → {to_account}{}{msg_key}", say.line, say.colon, say.comma),
                "  ",
                "    ",
            );
            let what = match cause {
                Some(Cause::Code(code)) => format!("{code}{}{}", say.comma, self.words.meaning(Cause::Code(*code))),
                Some(cause) => self.words.meaning(*cause),
                None => say.no_answer_yet.to_owned(),
            };
            self.wrapped(&what, "    ", "    ");
        }
        let more = all.saturating_sub(edits.len().min(EDITS_SHOWN) as u64);
        if more > 0 {
            self.line(&format!("  {}", (say.and_more)(more, file)));
        }
    }

    /// The runners of the session: all that work, and the last ones of those that do not.
    fn runners(&mut self, facts: &LedgerFacts) {
        let say = self.words.say;
        let Some(shared) = facts.shared.as_ref().filter(|shared| !shared.runners.is_empty()) else { return };
        self.title(say.runners);
        let not_live = shared.runners.iter().filter(|runner| !runner.is_live()).count();
        let mut left_out = not_live.saturating_sub(RUNS_SHOWN);
        if left_out > 0 {
            self.line(&format!("  {}", (say.runners_earlier)(left_out)));
        }
        let states = shared.runners.iter().map(|runner| self.words.runner_state(runner).width());
        let columns = states.max().unwrap_or_default();
        for runner in &shared.runners {
            if !runner.is_live() && left_out > 0 {
                left_out -= 1;
                continue;
            }
            self.runner(runner, columns);
        }
    }

    fn runner(&mut self, runner: &Runner, columns: usize) {
        let (words, say) = (self.words, self.words.say);
        let Runner { run, host, pid, user, share, rate, renewed, state, progress, .. } = runner;
        let style = match state {
            RunnerState::Live if progress.held => DOUBT,
            RunnerState::Live => IN_FLIGHT,
            RunnerState::Silent | RunnerState::Lost => DOUBT,
            RunnerState::Ended => PLAIN,
        };
        let word = words.runner_state(runner);
        let mut what = Vec::new();
        if runner.is_live() {
            what.push((say.runner_share)(*share, *rate));
        }
        what.extend(runners::speed(runner).map(|speed| (say.runner_speed)(&speed)));
        if *state != RunnerState::Ended {
            what.push((say.renewed_ago)(&words.length(*renewed)));
        }
        let what = what.join(say.comma);
        let gap = " ".repeat(columns.saturating_sub(word.width()));
        self.line(&format!("  {run:>2}  {}{gap}  {what}", styled(style, word)));
        let mut line = format!("{user}@{host}{}{}", say.comma, (say.process_text)(*pid));
        let parts = [(progress.done, say.done), (progress.failed, say.failed), (progress.in_doubt, say.in_doubt)];
        for (number, what) in parts.into_iter().filter(|(number, _)| *number > 0) {
            let _ = write!(line, " · {}", (say.counted)(&number.separate_with_commas(), what));
        }
        self.wrapped(&line, "      ", "      ");
    }

    fn runs(&mut self, facts: &LedgerFacts) {
        let say = self.words.say;
        if facts.runs.is_empty() {
            return;
        }
        self.title(say.runs);
        let earlier = facts.runs.len().saturating_sub(RUNS_SHOWN);
        if earlier > 0 {
            self.line(&format!("  {}", (say.runs_earlier)(earlier)));
        }
        for run in facts.runs.iter().skip(earlier) {
            self.run(run, facts.goes_on(run), facts.at);
        }
    }

    fn run(&mut self, run: &RunFacts, goes_on: bool, now: i64) {
        let (words, record) = (self.words, &run.record);
        let took = run.took(goes_on.then_some(now)).map(|took| words.length(took)).unwrap_or_default();
        let style = match record.ended.as_deref() {
            Some("finished") => DONE,
            None if goes_on => IN_FLIGHT,
            Some(_) | None => DOUBT,
        };
        let ended = styled(style, words.ended(record.ended.as_deref(), goes_on));
        let started = words.moment(record.started_at);
        self.line(&format!("  {:>2}  {started}  {}  {ended}", record.run, padded(&took, 12)));
        let mut line = format!("{}@{}{} · {}", record.user, record.host, account(record), record.input);
        if let Some(proxy) = &record.proxy {
            let _ = write!(line, " · {}", (words.say.through_proxy)(proxy));
        }
        let Totals { done, failed, in_doubt, .. } = run.edits;
        let parts = [(done, words.say.done), (failed, words.say.failed), (in_doubt, words.say.in_doubt)];
        for (number, what) in parts.into_iter().filter(|(number, _)| *number > 0) {
            let _ = write!(line, " · {}", (self.words.say.counted)(&number.separate_with_commas(), what));
        }
        self.wrapped(&line, "      ", "      ");
        if let Some(reason) = &record.reason {
            self.wrapped(&self.words.lang.say(reason), "      ", "      ");
        }
    }

    fn acts(&mut self, facts: &LedgerFacts) {
        if facts.acts.is_empty() {
            return;
        }
        self.title(self.words.say.acts);
        let earlier = facts.acts.len().saturating_sub(RUNS_SHOWN);
        let acts = &facts.acts[earlier..];
        let columns = acts.iter().map(|(_, _, act)| self.words.order(act.what).width()).max().unwrap_or_default();
        for (run, at, act) in acts {
            let (when, what) = (self.words.moment(*at), self.words.order(act.what));
            self.wrapped(
                &format!("{}  {}", padded(&what, columns), self.words.lang.say(&act.by)),
                &format!("  {run:>2}  {when}  "),
                "      ",
            );
        }
    }

    fn audits(&mut self, facts: &LedgerFacts) {
        if facts.audits.is_empty() {
            return;
        }
        self.title(self.words.say.audits);
        let earlier = facts.audits.len().saturating_sub(RUNS_SHOWN);
        for audit in &facts.audits[earlier..] {
            let (when, what) = (self.words.moment(audit.begun_at), audit::line(audit, self.words));
            self.wrapped(&what, &format!("  {:>2}  {when}  ", audit.audit), "      ");
        }
    }

    fn log(&mut self, facts: &LedgerFacts) {
        let Some(head) = &facts.log else { return };
        self.title(self.words.say.log);
        self.line(&format!("  {}", evidence::log_line(head, self.words.lang)));
    }

    fn about(&mut self, report: &Report) {
        let say = self.words.say;
        let facts = &report.facts;
        self.title(say.about);
        let sha256 =
            report.ledger_sha256.as_ref().map_or(facts.no_digest(say).to_owned(), |sha| format!("SHA-256 {sha}"));
        self.wrapped(&format!("{} {}", say.ledger, facts.ledger), "  ", "    ");
        self.line(&format!("    {sha256}"));
        if let Some(head) = &facts.log {
            self.line(&format!("  {}", say.log));
            self.line(&format!("    {}", evidence::log_line(head, self.words.lang)));
        }
        self.wrapped(&evidence::verdict(facts.holds, self.words.lang), "    ", "    ");
        if let Some(run) = facts.last_run() {
            self.wrapped(&format!("{} {}", say.list, run.record.input), "  ", "    ");
            for list in &run.record.lists {
                self.wrapped(&list.name, "    ", "    ");
                self.line(&format!("    SHA-256 {}", escape_control(&list.sha256)));
            }
            if run.record.lists.is_empty() {
                self.line(&format!("    SHA-256 {}", escape_control(&run.record.input_sha256)));
            }
        }
        let (moment, place) = (self.words.moment(facts.at), self.words.place(facts.at));
        self.line(&format!("  {} {moment}{}{place}{}runner {}", say.made_at, say.comma, say.comma, crate::VERSION));
    }

    /// The command stands on a line of its own and is not broken, so that it can be copied.
    fn resume(&mut self, resume: Option<&Resume>) {
        let Some(Resume { command, remarks }) = resume else { return };
        let say = self.words.say;
        self.line("");
        self.line(&format!("{}{}{}", styled(TITLE, say.to_resume), say.colon, escape_control(command)));
        for remark in remarks {
            self.wrapped(&remark.text(say), "  ", "  ");
        }
    }
}

fn tone_style(tone: Tone) -> Style {
    match tone {
        Tone::Good => DONE,
        Tone::Busy => IN_FLIGHT,
        Tone::Open => DOUBT,
        Tone::Bad => FAILED,
    }
}

fn styled(style: Style, text: &str) -> String {
    if text.is_empty() || style.is_plain() { text.to_owned() } else { format!("{style}{text}{style:#}") }
}

/// Padded to this many columns of a terminal; a Chinese character takes two.
pub(super) fn padded(text: &str, columns: usize) -> String {
    format!("{text}{}", " ".repeat(columns.saturating_sub(text.width())))
}

/// The admin account that a run signed with, shown after the user who started it.
pub(super) fn account(record: &RunRecord) -> String {
    record.identifier.as_ref().map(|identifier| format!(" ({identifier})")).unwrap_or_default()
}
