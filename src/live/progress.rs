//! Shows a run's progress: a bar in a terminal, otherwise a plain line every few seconds.
//!
//! The only file that uses `indicatif`.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anstream::adapter::strip_str;
use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};
use textwrap::core::display_width;
use thousands::Separable;
use tracing_subscriber::fmt::MakeWriter;
use unicode_width::UnicodeWidthStr;

use crate::ledger::Totals;
use crate::report::format::{HoldObject, RunState};
use crate::report::shares;
use crate::run::{Plan, Tally};
use crate::terminal::colour::{DONE, DOUBT, FAILED, REMARK};
use crate::terminal::duration::format_duration;
use crate::terminal::escape::escape_control;
use crate::words::Lang;

/// The interval between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The most times per second that the bar is drawn.
const DRAWS: u8 = 20;
/// The width of the bar itself, for terminals of at least the first number of columns.
const BARS: [(usize, usize); 2] = [(100, 20), (66, 10)];

/// Standard error, shared by the bar and everything else that is written there.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Hidden until a run shows it. (Not a `MultiProgress`: that panics if the terminal was closed.)
    bar: ProgressBar,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen { bar: ProgressBar::hidden() }
    }
}

impl Screen {
    /// Whether output may be coloured.
    pub fn has_colours(&self) -> bool {
        AutoStream::choice(&io::stderr()) != ColorChoice::Never
    }

    /// Returns a writer of whole lines above the bar.
    pub fn writer(&self) -> ScreenWriter {
        ScreenWriter { bar: self.bar.clone() }
    }
}

/// Writes lines above the bar.
#[derive(Clone, Debug)]
pub struct ScreenWriter {
    bar: ProgressBar,
}

impl Write for ScreenWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bar.suspend(|| anstream::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for ScreenWriter {
    type Writer = ScreenWriter;

    fn make_writer(&'a self) -> ScreenWriter {
        self.clone()
    }
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A bar.
    Bar,
    /// A line every few seconds.
    Lines,
    /// Nothing.
    Off,
}

impl Mode {
    /// The mode that suits standard error.
    pub fn of_stderr() -> Mode {
        if io::stderr().is_terminal() { Mode::Bar } else { Mode::Lines }
    }
}

/// The terminal on standard error, without its last columns: those leave room for the `^C` that a terminal echoes. On
/// a full line it would wrap, and the bar, cleared one line too low, would remain.
#[derive(Debug)]
struct StderrTerm(Term);

impl StderrTerm {
    const RESERVED_COLUMNS: u16 = 3;

    fn new() -> StderrTerm {
        StderrTerm(Term::buffered_stderr())
    }
}

impl TermLike for StderrTerm {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(StderrTerm::RESERVED_COLUMNS)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_up(lines)
    }

    fn move_cursor_down(&self, lines: usize) -> io::Result<()> {
        self.0.move_cursor_down(lines)
    }

    fn move_cursor_right(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_right(columns)
    }

    fn move_cursor_left(&self, columns: usize) -> io::Result<()> {
        self.0.move_cursor_left(columns)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The progress of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// How many messages of the list are in each state, those of earlier runs included.
    pub totals: Totals,
    /// Where this run does not take on all that is left: the edits that it has settled, and those that it set out to
    /// settle.
    pub this_run: Option<(u64, u64)>,
    /// Edits in doubt that wait to be read back.
    pub to_read_back: u64,
    /// How often the service asked to slow down.
    pub slow_downs: u64,
    /// What it is doing.
    pub state: RunState,
    /// Why nothing is sent, if nothing is.
    pub hold: Option<HoldObject>,
    /// Edits settled a second, over the last seconds.
    pub speed: f64,
    /// How long the rest of the run takes, where that is known.
    pub time_left: Option<Duration>,
}

impl Snapshot {
    /// The progress that these numbers say.
    pub fn new(plan: &Plan, tally: &Tally, totals: Totals) -> Snapshot {
        Snapshot {
            totals,
            this_run: (plan.this_run < plan.to_do).then(|| (tally.settled(), plan.this_run)),
            to_read_back: tally.to_read_back,
            slow_downs: tally.slow_downs,
            state: (&tally.activity).into(),
            hold: HoldObject::of(&tally.activity),
            speed: tally.speed,
            time_left: tally.time_left,
        }
    }

    fn is_paused(&self) -> bool {
        self.state == RunState::Paused
    }
}

/// Shows the progress of a run.
#[derive(Debug)]
pub struct Progress {
    screen: Screen,
    bar: Option<ProgressBar>,
    lines: bool,
    line_at: Instant,
    pause: PauseNotice,
}

/// The notice that the run is paused, and whether it was written.
#[derive(Debug)]
struct PauseNotice {
    resume_command: String,
    written: bool,
}

impl Progress {
    /// Starts to show a run; `resume_command` is the command that ends a pause.
    pub fn start(screen: &Screen, mode: Mode, resume_command: String) -> Progress {
        let bar = (mode == Mode::Bar).then(|| screen.bar.clone());
        if let Some(bar) = &bar {
            // The whole line is made here, so that it is known what fits; anything too long is truncated.
            let template = ProgressStyle::with_template("{wide_msg}");
            bar.set_style(template.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(StderrTerm::new()), DRAWS));
        }
        let now = Instant::now();
        Progress {
            screen: screen.clone(),
            bar,
            lines: mode == Mode::Lines,
            line_at: now + LINE_EVERY,
            pause: PauseNotice { resume_command, written: false },
        }
    }

    /// Shows the current progress; call it several times a second.
    pub fn show(&mut self, snapshot: &Snapshot) {
        let (now, lang) = (Instant::now(), Lang::of_process());
        let is_paused = snapshot.is_paused();
        let text = if is_paused {
            format!("paused; to resume: {}", self.pause.resume_command)
        } else {
            join(&parts(snapshot))
        };
        // A pause may last all night, and a log needs one notice of it.
        self.pause.written &= is_paused;
        let is_due = !self.pause.written;
        if self.lines && now >= self.line_at && is_due {
            self.line_at = now + LINE_EVERY;
            self.pause.written = is_paused;
            // If standard error is closed, nobody reads it.
            let _ = writeln!(self.screen.writer(), "{}", lang.say_lines(&text));
        }
        if let Some(bar) = &self.bar {
            let columns = StderrTerm::new().width().into();
            let line = match is_paused {
                true if display_width(&text) <= columns => text,
                true => {
                    // Cut off, the command could not be copied.
                    if is_due {
                        self.pause.written = true;
                        let _ = writeln!(self.screen.writer(), "{}", lang.say_lines(&text));
                    }
                    "paused; the command above resumes".to_owned()
                }
                false => line(snapshot, columns),
            };
            let line = lang.say_lines(&line).into_owned();
            let has_colours = self.screen.has_colours();
            bar.set_message(if has_colours { line } else { strip_str(&line).to_string() });
        }
    }

    /// Shows how far something else than a run is, with this text; call it several times a second.
    pub fn show_share(&mut self, done: u64, of: u64, text: &str) {
        let (now, text) = (Instant::now(), Lang::of_process().say_lines(text));
        if self.lines && now >= self.line_at {
            self.line_at = now + LINE_EVERY;
            let _ = writeln!(self.screen.writer(), "{text}");
        }
        if let Some(bar) = &self.bar {
            let width = usize::from(StderrTerm::new().width());
            let columns = BARS.into_iter().find(|&(from, _)| width >= from).map_or(0, |(_, columns)| columns + 1);
            let line = format!("{}{:>3} %  {text}", draw(columns, done, of), shares::percent(done, of));
            bar.set_message(if self.screen.has_colours() { line } else { strip_str(&line).to_string() });
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One part of the progress line.
struct ProgressPart {
    text: String,
    style: Style,
    /// If not everything fits, the highest rank is dropped first; the part of rank 0 always stays.
    rank: u8,
}

/// All parts, in display order.
fn parts(snapshot: &Snapshot) -> Vec<ProgressPart> {
    let Snapshot { to_read_back, slow_downs, speed, .. } = *snapshot;
    let Totals { messages, done, failed, in_doubt, .. } = snapshot.totals;
    let mut parts = Vec::new();
    let mut part = |rank, style, text: String| parts.push(ProgressPart { text, style, rank });
    part(0, Style::new(), format!("{} of {} done", done.separate_with_commas(), messages.separate_with_commas()));
    for (count, rank, style, what) in
        [(failed, 2, FAILED, "failed"), (in_doubt, 3, DOUBT, "in doubt"), (to_read_back, 6, DOUBT, "to read back")]
    {
        if count > 0 {
            part(rank, style, format!("{} {what}", count.separate_with_commas()));
        }
    }
    if let Some((settled, planned)) = snapshot.this_run {
        let (settled, planned) = (settled.separate_with_commas(), planned.separate_with_commas());
        part(5, REMARK, format!("{settled} of {planned} in this run"));
    }
    match &snapshot.hold {
        _ if snapshot.state == RunState::Stopping => part(ESSENTIAL, REMARK, "stopping".to_owned()),
        Some(hold) => part(WHY, DOUBT, hold.brief()),
        None => part(5, REMARK, format!("{speed:.1}/s")),
    }
    if let Some(left) = snapshot.time_left {
        let rank = if snapshot.hold.is_some() { 5 } else { ESSENTIAL };
        part(rank, Style::new(), format!("{} left", format_duration(left)));
    }
    if let Some(error) = snapshot.hold.as_ref().and_then(|hold| hold.error.as_deref()) {
        part(8, REMARK, escape_control(error).into_owned());
    }
    if slow_downs > 0 {
        part(7, DOUBT, format!("slowed down {slow_downs}×"));
    }
    parts
}

/// Why nothing moves is more than what has failed: it is the last part to be dropped.
const WHY: u8 = 1;
/// The bar is dropped to make room for parts up to this rank.
const ESSENTIAL: u8 = 4;
const SEPARATOR: &str = " · ";

fn columns<'a>(parts: impl IntoIterator<Item = &'a ProgressPart>) -> usize {
    let each = parts.into_iter().map(|part| part.text.width() + SEPARATOR.chars().count());
    each.sum::<usize>().saturating_sub(SEPARATOR.chars().count())
}

fn join(parts: &[ProgressPart]) -> String {
    let each = parts.iter().map(|ProgressPart { text, style, .. }| format!("{style}{text}{style:#}"));
    each.collect::<Vec<_>>().join(&format!("{REMARK}{SEPARATOR}{REMARK:#}"))
}

/// The bar, the percentage, and as many of the parts as fit into a line.
fn line(snapshot: &Snapshot, width: usize) -> String {
    const PERCENT: usize = "100 %  ".len();
    let mut parts = parts(snapshot);
    let room = width.saturating_sub(PERCENT);
    let essential = columns(parts.iter().filter(|part| part.rank <= ESSENTIAL));
    let bar = BARS.into_iter().find(|&(from, _)| width >= from).map_or(0, |(_, bar)| bar + 1);
    let bar = if essential + bar <= room { bar } else { 0 };
    while columns(&parts) + bar > room && parts.len() > 1 {
        let last = parts.iter().map(|part| part.rank).max();
        parts.retain(|part| Some(part.rank) != last);
    }
    let Totals { messages, done, .. } = snapshot.totals;
    format!("{}{:>3} %  {}", draw(bar, done, messages), shares::percent(done, messages), join(&parts))
}

/// The bar itself, in this many columns; the last of them is a space.
fn draw(columns: usize, done: u64, messages: u64) -> String {
    let Some(columns) = columns.checked_sub(1) else { return String::new() };
    let filled = (done.saturating_mul(columns as u64)).checked_div(messages).unwrap_or(columns as u64);
    let filled = usize::try_from(filled).map_or(columns, |filled| filled.min(columns));
    let head = if filled < columns { "╸" } else { "" };
    let rest = "━".repeat(columns.saturating_sub(filled + 1));
    format!("{DONE}{}{head}{DONE:#}{REMARK}{rest}{REMARK:#} ", "━".repeat(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(done: u64, messages: u64) -> Snapshot {
        Snapshot {
            totals: Totals { messages, done, not_reached: messages - done, ..Totals::default() },
            this_run: None,
            to_read_back: 0,
            slow_downs: 0,
            state: RunState::Running,
            hold: None,
            speed: 0.0,
            time_left: None,
        }
    }

    fn fast(snapshot: Snapshot, speed: f64, seconds: u64) -> Snapshot {
        Snapshot { speed, time_left: Some(Duration::from_secs(seconds)), ..snapshot }
    }

    fn rough() -> Snapshot {
        let totals = Totals { failed: 9, in_doubt: 14, not_reached: 214_401, ..at(185_576, 400_000).totals };
        Snapshot { totals, to_read_back: 12, slow_downs: 2, ..fast(at(0, 0), 199.2, 1_077) }
    }

    fn held(reason: &str, seconds_left: u64) -> HoldObject {
        HoldObject { reason: reason.to_owned(), seconds_left, since: None, outage_seconds: None, error: None }
    }

    fn outage() -> Snapshot {
        let error = Some("cannot connect to adminapisgp.im.qcloud.com:443: Connection refused".to_owned());
        let hold = HoldObject { outage_seconds: Some(130), error, ..held("outage", 12) };
        Snapshot { state: RunState::Outage, hold: Some(hold), time_left: None, ..rough() }
    }

    fn plain(snapshot: &Snapshot) -> String {
        strip_str(&join(&parts(snapshot))).to_string()
    }

    #[test]
    fn the_line_shows_what_happened_and_nothing_else() {
        let calm = fast(at(1_800, 400_000), 199.24, 1_999);
        assert_eq!(plain(&calm), "1,800 of 400,000 done · 199.2/s · 33 min 19 s left");
        let last = Snapshot { to_read_back: 1, ..at(9, 10) };
        assert_eq!(plain(&last), "9 of 10 done · 1 to read back · 0.0/s");
        let stopping = Snapshot { state: RunState::Stopping, speed: 1.0, ..last };
        assert_eq!(plain(&stopping), "9 of 10 done · 1 to read back · stopping");
        assert_eq!(plain(&at(0, 10)), "0 of 10 done · 0.0/s");
        let some = Snapshot { this_run: Some((3, 50)), ..fast(at(7, 100), 1.0, 47) };
        assert_eq!(plain(&some), "7 of 100 done · 3 of 50 in this run · 1.0/s · 47 s left");
    }

    #[test]
    fn why_nothing_moves_is_said_with_a_countdown() {
        let with = |reason, left| Snapshot { state: RunState::Held, hold: Some(held(reason, left)), ..rough() };
        let why = [with("too_fast", 30), with("retry_after", 7), with("read_back", 5), with("send_again", 61)];
        let outage = outage();
        let lines =
            why.iter().chain([&outage]).flat_map(|why| [120, 77].map(|width| strip_str(&line(why, width)).to_string()));
        insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @"
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · held 30 s: the service said too fast
         46 %  185,576 of 400,000 done · held 30 s: the service said too fast
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · held 7 s: the service asked for time
         46 %  185,576 of 400,000 done · held 7 s: the service asked for time
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · next read-back in 5 s · 17 min 57 s left
         46 %  185,576 of 400,000 done · 9 failed · next read-back in 5 s
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · next retry in 1 min 1 s
         46 %  185,576 of 400,000 done · 9 failed · next retry in 1 min 1 s
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · out of reach 2 min 10 s, next try in 12 s
         46 %  185,576 of 400,000 done · out of reach 2 min 10 s, next try in 12 s
        ");
    }

    #[test]
    fn the_bar_leaves_out_what_does_not_fit() {
        let rough = rough();
        let at_width = |width| strip_str(&line(&rough, width)).to_string();
        insta::assert_snapshot!([140, 100, 80, 60, 40, 20].map(at_width).join("\n"), @"
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · 12 to read back · 199.2/s · 17 min 57 s left · slowed down 2×
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · 17 min 57 s left
         46 %  185,576 of 400,000 done · 9 failed · 14 in doubt · 17 min 57 s left
         46 %  185,576 of 400,000 done · 9 failed · 14 in doubt
         46 %  185,576 of 400,000 done
         46 %  185,576 of 400,000 done
        ");
        let calm = fast(at(1_800, 10_000_000), 199.2, 50_191);
        let at_width = |width| strip_str(&line(&calm, width)).to_string();
        insta::assert_snapshot!([100, 80, 60, 40].map(at_width).join("\n"), @"
        ╸━━━━━━━━━━━━━━━━━━━   0 %  1,800 of 10,000,000 done · 199.2/s · 13 h 56 min left
        ╸━━━━━━━━━   0 %  1,800 of 10,000,000 done · 199.2/s · 13 h 56 min left
          0 %  1,800 of 10,000,000 done · 199.2/s · 13 h 56 min left
          0 %  1,800 of 10,000,000 done
        ");
    }

    #[test]
    fn no_line_of_the_bar_wraps() {
        for total in [1, 120, 400_000, 10_000_000] {
            for part in [0, 1, 2, 3, 7, 10] {
                let count = total * part / 10;
                let totals = Totals { failed: count / 3, in_doubt: count / 6, ..at(count / 2, total).totals };
                let snapshot = Snapshot {
                    totals,
                    to_read_back: 7,
                    slow_downs: 3,
                    this_run: Some((count, total)),
                    ..fast(at(0, 0), 199.94, count)
                };
                let out_of_reach = Snapshot { state: RunState::Outage, hold: outage().hold, ..snapshot.clone() };
                for (width, snapshot) in (30..150).flat_map(|width| [(width, &snapshot), (width, &out_of_reach)]) {
                    let line = strip_str(&line(snapshot, width)).to_string();
                    // The last remaining part is truncated to the terminal's width.
                    let is_last = !line.contains(SEPARATOR);
                    assert!(line.width() <= width || is_last, "{width}: {line}");
                }
            }
        }
    }
}
