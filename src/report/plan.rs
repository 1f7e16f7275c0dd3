//! The plan, for people and for programs; and what is wrong with a list.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use anstyle::Style;
use jiff::{Timestamp, Zoned};
use thousands::Separable;

use super::format::{self, FORMAT};
use super::summary::totals;
use super::{CountLine, counted, write_lines};
use crate::api::proxy::KEEPS_MAX;
use crate::input::{Delimiter, ListFacts};
use crate::run::{Plan, Problems, Tally, Warning};
use crate::terminal::colour::{DONE, DOUBT, FAILED, REMARK, TITLE};
use crate::terminal::duration::format_duration;
use crate::terminal::excerpt::Excerpt;
use crate::terminal::moment::format_moment;
use crate::words::{Lang, Words};

/// Where the plan's edits go.
#[derive(Clone, Debug)]
pub struct PlanTarget<'a> {
    /// The list's name.
    pub input: &'a str,
    /// The sheet of a workbook that is read.
    pub sheet: Option<String>,
    /// What there is to say about how the list is read.
    pub remarks: Vec<String>,
    /// The app, where it is known.
    pub sdkappid: Option<u64>,
    /// The service, where it is known.
    pub service: Option<String>,
    /// The job file's name, where it gives one.
    pub job_name: Option<String>,
    /// `host:port` of the proxy on the way, where there is one.
    pub proxy: Option<String>,
    /// Requests a second at most.
    pub rate: NonZeroU32,
    /// And requests to read back.
    pub read_back_rate: NonZeroU32,
    /// When the run is to stop.
    pub until: Option<&'a Zoned>,
    /// The current time.
    pub now: Timestamp,
    /// What an earlier run sent may be under way for this long; until then nothing in doubt is read back or sent again.
    pub quiet_after: Duration,
}

impl PlanTarget<'_> {
    /// Edits that are not in doubt are sent during that wait; after it each of the others needs one request to send it
    /// again, or two to read it back, as each side has a history of its own.
    fn takes(&self, plan: &Plan) -> Duration {
        let rate = u64::from(self.rate.get());
        let seconds = |requests: u64, rate: u64| Duration::from_secs(requests.div_ceil(rate));
        let in_doubt = slow(plan);
        let others = seconds(plan.this_run - in_doubt, rate);
        match in_doubt {
            0 => others,
            _ if plan.this_run_reads() > 0 => {
                others.max(self.quiet_after) + seconds(2 * in_doubt, self.read_back_rate.get().into())
            }
            _ => others.max(self.quiet_after) + seconds(in_doubt, rate),
        }
    }

    /// When it is to stop, in words, and about how many edits are sent by then.
    fn stops(&self, plan: &Plan) -> Option<(String, u64)> {
        let until = self.until?;
        let now = self.now.to_zoned(until.time_zone().clone());
        let left = until.duration_since(&now).try_into().unwrap_or(Duration::ZERO);
        Some((
            format_moment(until, &now),
            if self.takes(plan) <= left { plan.this_run } else { self.sent_in(plan, left) },
        ))
    }

    fn sent_in(&self, plan: &Plan, left: Duration) -> u64 {
        let rate = u64::from(self.rate.get());
        let in_doubt = slow(plan);
        let others = plan.this_run - in_doubt;
        let left_for_doubt = left.saturating_sub(Duration::from_secs(others.div_ceil(rate)).max(self.quiet_after));
        let doubt_rate =
            if plan.this_run_reads() > 0 { u64::from(self.read_back_rate.get()).div_ceil(2) } else { rate };
        let sent = |left: Duration, rate: u64| left.as_secs().saturating_mul(rate);
        sent(left, rate).min(others) + sent(left_for_doubt, doubt_rate).min(in_doubt)
    }
}

/// Edits of this run that must wait until no request for them can be under way: in doubt, or to be read first.
fn slow(plan: &Plan) -> u64 {
    (plan.in_doubt_again + plan.to_read_first).min(plan.this_run)
}

/// The question before anything is sent.
pub fn question(plan: &Plan) -> String {
    let what = counted(plan.this_run, "edit", "edits");
    if plan.to_read_first > 0 {
        let messages = counted(plan.this_run, "message", "messages");
        return format!("Read {messages} and edit those that do not hold the new content yet? Edits cannot be undone.");
    }
    let in_doubt = plan.in_doubt_again.min(plan.this_run);
    if in_doubt == 0 {
        return format!("Send {what}? They cannot be undone.");
    }
    // Which of the list's edits this run takes on is only known row by row.
    let up_to = if plan.this_run < plan.to_do { "up to " } else { "" };
    let how = if plan.to_read_back > 0 {
        "to be read back first and sent only where they did not take place"
    } else {
        "to be sent again although they may have taken place already"
    };
    let in_doubt = in_doubt.separate_with_commas();
    format!("Send {what}, among them {up_to}{in_doubt} in doubt, {how}? They cannot be undone.")
}

/// Writes the plan for people.
///
/// # Errors
/// It cannot be written.
pub fn write(out: &mut impl Write, plan: &Plan, target: &PlanTarget<'_>) -> io::Result<()> {
    write!(out, "{TITLE}Plan for {}{TITLE:#}", target.input)?;
    match (target.sdkappid, &target.service) {
        (Some(sdkappid), Some(service)) => writeln!(out, ": app {sdkappid} at {service}")?,
        _ => writeln!(out)?,
    }
    if let Some(proxy) = &target.proxy {
        let kept = KEEPS_MAX.as_secs() / 60;
        writeln!(out, "  through the proxy {proxy}{REMARK}; what is in doubt waits {kept} min longer{REMARK:#}")?;
    }
    write_lists(out, plan)?;
    let conversations = counted(plan.conversations, "conversation", "conversations");
    let mut lines = vec![
        CountLine::new("rows", plan.rows, ""),
        CountLine::new("messages", plan.messages(), format!("in {conversations}")),
    ];
    let usual = Style::new();
    for (label, number, style, remark) in [
        ("duplicates", plan.duplicates, usual, "rows that repeat another; each message is sent once"),
        ("done", plan.done, DONE, "by an earlier run; never sent again"),
        ("failed", plan.failed, FAILED, "in an earlier run; left alone without --retry-failed"),
        ("in doubt", plan.in_doubt, DOUBT, "since an earlier run; held, see --in-doubt"),
        ("in doubt", plan.to_send_in_doubt(), DOUBT, "sent again unseen; they may have taken place already"),
        ("to read back", plan.to_read_back, DOUBT, "in doubt since an earlier run; sent where not edited"),
        ("to read first", plan.to_read_first, DOUBT, "sent where the message still holds something else"),
    ] {
        if number > 0 {
            lines.push(CountLine::new(label, number, remark).styled(style));
        }
    }
    let content = format!("{} bytes of new content", plan.bytes.separate_with_commas());
    if plan.to_send() > 0 || plan.to_read_first == 0 {
        lines.push(CountLine::new("to send", plan.to_send(), content).styled(TITLE));
    }
    if plan.this_run < plan.to_do {
        lines.push(CountLine::new("this run", plan.this_run, "as --max-rows says").styled(TITLE));
    }
    write_lines(out, &lines)?;
    if plan.this_run > 0 {
        let takes = format_duration(target.takes(plan));
        write!(out, "  takes about {takes}{REMARK} at {} requests a second{REMARK:#}", target.rate)?;
        match target.stops(plan) {
            Some((until, edits)) if edits < plan.this_run => {
                let (percent, edits) = (edits * 100 / plan.this_run, edits.separate_with_commas());
                writeln!(out, "\n  {DOUBT}stops at {until}, after about {edits} edits ({percent} %){DOUBT:#}")?;
            }
            Some((until, _)) => writeln!(out, "{REMARK}, done before {until}{REMARK:#}")?,
            None => writeln!(out)?,
        }
    }
    for remark in &target.remarks {
        writeln!(out, "{REMARK}note:{REMARK:#} {remark}")?;
    }
    for warning in &plan.warnings {
        let rows = counted(warning.rows, "row", "rows");
        writeln!(out, "{DOUBT}warning:{DOUBT:#} {} ({rows}): {}", warning.line, warning.what)?;
    }
    if plan.warnings_left_out {
        writeln!(out, "{DOUBT}warning:{DOUBT:#} and more of other kinds")?;
    }
    Ok(())
}

/// How the lists were read, where that is not plain CSV or JSONL in UTF-8, and what in them is no row.
fn write_lists(out: &mut impl Write, plan: &Plan) -> io::Result<()> {
    let how: Vec<String> = plan.read.iter().map(how_read).collect();
    if shared(&how, Clone::clone).is_some() || plan.lists.is_empty() {
        if let Some(how) = how.first().filter(|how| !how.is_empty()) {
            writeln!(out, "  read as {how}")?;
        }
    } else {
        for (list, how) in plan.lists.iter().zip(&how).filter(|(_, how)| !how.is_empty()) {
            writeln!(out, "  {} read as {how}", list.name)?;
        }
    }
    let empty_rows = plan.read.iter().map(|list| list.empty_rows).sum::<u64>();
    let empty_columns = plan.read.iter().map(|list| list.empty_columns as u64).sum::<u64>();
    let empty = [(empty_rows, "empty row", "empty rows"), (empty_columns, "empty column", "empty columns")];
    let passed_over: Vec<String> = empty
        .into_iter()
        .filter(|&(count, ..)| count > 0)
        .map(|(count, one, many)| counted(count, one, many))
        .collect();
    if !passed_over.is_empty() {
        writeln!(out, "  passed over {}", passed_over.join(", "))?;
    }
    Ok(())
}

/// `GB18030, separated by tabs`; empty for plain CSV or JSONL in UTF-8.
fn how_read(list: &ListFacts) -> String {
    let separator = list.delimiter.filter(|delimiter| delimiter.character() != ',');
    match separator.map(Delimiter::plural) {
        Some(separators) => format!("{}, separated by {separators}", list.encoding),
        None if list.encoding == "UTF-8" => String::new(),
        None => list.encoding.to_owned(),
    }
}

/// What all of them have in common.
fn shared<T, V: PartialEq>(all: &[T], of: impl Fn(&T) -> V) -> Option<V> {
    let value = of(all.first()?);
    all.iter().all(|one| of(one) == value).then_some(value)
}

/// The plan as one JSON object.
pub fn object(plan: &Plan, target: &PlanTarget<'_>) -> format::PlanObject {
    let warning = |Warning { what, line, rows }: &Warning| format::WarningObject {
        line: line.number,
        list: line.list_name().map(str::to_owned),
        rows: *rows,
        what: what.clone(),
    };
    format::PlanObject {
        format: FORMAT,
        job: format::JobObject {
            sdkappid: target.sdkappid,
            service: target.service.clone(),
            name: target.job_name.clone(),
        },
        proxy: target.proxy.clone(),
        input: target.input.to_owned(),
        input_sha256: plan.sha256.clone(),
        encoding: shared(&plan.read, |list| list.encoding),
        delimiter: shared(&plan.read, |list| list.delimiter).flatten().map(Delimiter::character),
        sheet: target.sheet.clone(),
        empty_rows: (!plan.read.is_empty()).then(|| plan.read.iter().map(|list| list.empty_rows).sum()),
        empty_columns: (!plan.read.is_empty()).then(|| plan.read.iter().map(|list| list.empty_columns).sum()),
        inputs: plan.lists.iter().cloned().map(Into::into).collect(),
        rows: plan.rows,
        duplicates: plan.duplicates,
        conversations: plan.conversations,
        totals: totals(plan, &Tally::default()),
        planned: plan.this_run,
        to_send: plan.to_send(),
        to_send_failed: plan.failed_again,
        to_send_in_doubt: plan.to_send_in_doubt(),
        to_read_back: plan.to_read_back,
        to_read_first: plan.to_read_first,
        content_bytes: plan.bytes,
        different_contents: plan.contents.different(),
        rate: target.rate.get(),
        seconds_left: target.takes(plan).as_secs(),
        until: target.until.map(|until| until.timestamp().to_string()),
        until_edits: target.stops(plan).map(|(_, edits)| edits),
        warnings: plan.warnings.iter().map(warning).collect(),
    }
}

/// Writes what is wrong with the rows of a list, and below each of the first ones what stands there, as far as that is
/// given.
///
/// # Errors
/// It cannot be written.
pub fn write_problems(
    out: &mut impl Write,
    input: &str,
    problems: &Problems,
    excerpts: &[Option<Excerpt>],
    lang: Lang,
) -> io::Result<()> {
    let colon = Words::new(lang).say.colon;
    let excerpts = excerpts.iter().map(Option::as_ref).chain(std::iter::repeat(None));
    for (problem, excerpt) in problems.first.iter().zip(excerpts) {
        let list = problem.line.list_name().unwrap_or(input);
        let (place, what) = (lang.say(problem.place()), lang.say(&problem.what));
        writeln!(out, "{TITLE}{list}{colon}{place}{colon}{TITLE:#}{what}")?;
        if let Some(excerpt) = excerpt {
            writeln!(out, "{}\n", excerpt.render())?;
        }
    }
    if problems.more > 0 {
        let more = counted(problems.more, "more problem", "more problems");
        writeln!(out, "{input}{colon}{}", lang.say(format_args!("and {more} like these")))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_plan_fits_a_terminal() {
        let mut plan = Plan::default();
        for number in [
            &mut plan.rows,
            &mut plan.duplicates,
            &mut plan.conversations,
            &mut plan.done,
            &mut plan.failed,
            &mut plan.in_doubt,
            &mut plan.bytes,
        ] {
            *number = 8_000_000;
        }
        (plan.to_do, plan.in_doubt_again, plan.to_read_back, plan.this_run) =
            (8_000_000, 6_000_000, 3_000_000, 7_000_000);
        let target = PlanTarget {
            input: "edits.csv",
            sheet: None,
            remarks: Vec::new(),
            sdkappid: Some(1_400_000_000),
            service: Some("adminapisgp.im.qcloud.com".to_owned()),
            job_name: None,
            proxy: Some("proxy.example.com:3128".to_owned()),
            rate: RATE,
            read_back_rate: RATE,
            until: None,
            now: Timestamp::UNIX_EPOCH,
            quiet_after: Duration::ZERO,
        };
        let mut shown = Vec::new();
        write(&mut shown, &plan, &target).unwrap();
        let shown = anstream::adapter::strip_bytes(&shown).into_vec();
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.lines().count() > 10, "{shown}");
        for line in shown.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    /// What a plan of this many edits, some of them in doubt, says if it is to stop in an hour.
    fn check(this_run: u64, in_doubt: u64, to_read_back: u64, says: &str) {
        let until: Zoned = "2026-03-11T07:00[Asia/Shanghai]".parse().unwrap();
        let target = PlanTarget {
            input: "edits.csv",
            sheet: None,
            remarks: Vec::new(),
            sdkappid: None,
            service: None,
            job_name: None,
            proxy: None,
            rate: RATE,
            read_back_rate: RATE,
            until: Some(&until),
            now: until.timestamp() - Duration::from_hours(1),
            quiet_after: Duration::from_secs(10),
        };
        let mut plan = Plan::default();
        (plan.rows, plan.to_do, plan.this_run) = (this_run, this_run, this_run);
        (plan.in_doubt_again, plan.to_read_back) = (in_doubt, to_read_back);
        let mut shown = Vec::new();
        write(&mut shown, &plan, &target).unwrap();
        let shown = String::from_utf8(anstream::adapter::strip_bytes(&shown).into_vec()).unwrap();
        assert!(shown.contains(says), "{says:?} is not in {shown}");
    }

    #[test]
    fn a_plan_says_how_far_it_gets_in_time() {
        check(720_000, 0, 0, "\n  takes about 1 h 0 min at 200 requests a second, done before 07:00\n");
        check(720_001, 0, 0, "\n  stops at 07:00, after about 720,000 edits (99 %)\n");
        check(4_000_000, 0, 0, "\n  stops at 07:00, after about 720,000 edits (18 %)\n");
        // Half an hour for the others, and then two requests for each that is read back.
        check(1_360_000, 1_000_000, 1_000_000, "\n  stops at 07:00, after about 540,000 edits (39 %)\n");
        check(1_360_000, 1_000_000, 0, "\n  stops at 07:00, after about 720,000 edits (52 %)\n");
    }

    const RATE: NonZeroU32 = NonZeroU32::new(200).unwrap();
}
