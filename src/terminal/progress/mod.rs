//! Shows a run's progress: a bar in a terminal, otherwise a plain line every few seconds.
//!
//! The only file that uses `indicatif`.

mod speed;

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

pub use self::speed::Speed;
use crate::terminal::colour::{DONE, DOUBT, FAILED, REMARK};
use crate::terminal::duration::format_duration;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Edits that were confirmed in this run.
    pub done: u64,
    /// Edits that failed in this run.
    pub failed: u64,
    /// Edits that remain in doubt in this run.
    pub in_doubt: u64,
    /// Edits in doubt that wait to be read back.
    pub to_read_back: u64,
    /// How often the service asked to slow down.
    pub slow_downs: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// Whether it is stopping and sends nothing more.
    pub stopping: bool,
}

impl Snapshot {
    fn settled(self) -> u64 {
        self.done + self.failed + self.in_doubt
    }
}

/// Shows the progress of a run.
#[derive(Debug)]
pub struct Progress {
    screen: Screen,
    bar: Option<ProgressBar>,
    lines: bool,
    total: u64,
    line_at: Instant,
    speed: Speed,
    pause: PauseNotice,
}

/// The notice that the run is paused, and whether it was written.
#[derive(Debug)]
struct PauseNotice {
    resume_command: String,
    written: bool,
}

impl Progress {
    /// Starts to show a run of `total` edits; `resume_command` is the command that ends a pause.
    pub fn start(screen: &Screen, mode: Mode, total: u64, resume_command: String) -> Progress {
        let bar = (mode == Mode::Bar).then(|| screen.bar.clone());
        if let Some(bar) = &bar {
            bar.set_length(total);
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
            total,
            line_at: now + LINE_EVERY,
            speed: Speed::new(),
            pause: PauseNotice { resume_command, written: false },
        }
    }

    /// Shows the current progress; call it several times a second.
    pub fn show(&mut self, snapshot: Snapshot) {
        let now = Instant::now();
        let rate = self.speed.update(now, snapshot.settled());
        let text = if snapshot.paused {
            format!("paused; to resume: {}", self.pause.resume_command)
        } else {
            join(&parts(snapshot, self.total, rate))
        };
        // A pause may last all night, and a log needs one notice of it.
        self.pause.written &= snapshot.paused;
        let is_due = !self.pause.written;
        if self.lines && now >= self.line_at && is_due {
            self.line_at = now + LINE_EVERY;
            self.pause.written = snapshot.paused;
            // If standard error is closed, nobody reads it.
            let _ = writeln!(self.screen.writer(), "{text}");
        }
        if let Some(bar) = &self.bar {
            bar.set_position(snapshot.settled());
            let columns = StderrTerm::new().width().into();
            let line = match snapshot.paused {
                true if display_width(&text) <= columns => text,
                true => {
                    // Cut off, the command could not be copied.
                    if is_due {
                        self.pause.written = true;
                        let _ = writeln!(self.screen.writer(), "{text}");
                    }
                    "paused; the command above resumes".to_owned()
                }
                false => line(snapshot, self.total, rate, columns),
            };
            let has_colours = self.screen.has_colours();
            bar.set_message(if has_colours { line } else { strip_str(&line).to_string() });
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
fn parts(snapshot: Snapshot, total: u64, rate: f64) -> Vec<ProgressPart> {
    let Snapshot { failed, in_doubt, to_read_back, slow_downs, .. } = snapshot;
    let settled = snapshot.settled();
    let mut parts = Vec::new();
    let mut part = |rank, style, text: String| parts.push(ProgressPart { text, style, rank });
    part(0, Style::new(), format!("{} of {}", settled.separate_with_commas(), total.separate_with_commas()));
    for (count, rank, style, what) in
        [(failed, 1, FAILED, "failed"), (in_doubt, 2, DOUBT, "in doubt"), (to_read_back, 5, DOUBT, "to read back")]
    {
        if count > 0 {
            part(rank, style, format!("{} {what}", count.separate_with_commas()));
        }
    }
    let left = total.saturating_sub(settled);
    if snapshot.stopping {
        part(ESSENTIAL, REMARK, "stopping".to_owned());
    } else {
        part(4, REMARK, format!("{rate:.1}/s"));
    }
    if rate > 0.0 && left > 0 && !snapshot.stopping {
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        let seconds = (left as f64 / rate).ceil().min(1e9);
        part(ESSENTIAL, Style::new(), format!("{} left", format_duration(Duration::from_secs_f64(seconds))));
    }
    if slow_downs > 0 {
        part(6, DOUBT, format!("slowed down {slow_downs}×"));
    }
    parts
}

/// The bar is dropped to make room for parts up to this rank.
const ESSENTIAL: u8 = 3;
const SEPARATOR: &str = " · ";

fn columns<'a>(parts: impl IntoIterator<Item = &'a ProgressPart>) -> usize {
    let each = parts.into_iter().map(|part| part.text.chars().count() + SEPARATOR.chars().count());
    each.sum::<usize>().saturating_sub(SEPARATOR.chars().count())
}

fn join(parts: &[ProgressPart]) -> String {
    let each = parts.iter().map(|ProgressPart { text, style, .. }| format!("{style}{text}{style:#}"));
    each.collect::<Vec<_>>().join(&format!("{REMARK}{SEPARATOR}{REMARK:#}"))
}

/// The bar, the percentage, and as many of the parts as fit into a line.
fn line(snapshot: Snapshot, total: u64, rate: f64, width: usize) -> String {
    const PERCENT: usize = "100 %  ".len();
    let mut parts = parts(snapshot, total, rate);
    let room = width.saturating_sub(PERCENT);
    let essential = columns(parts.iter().filter(|part| part.rank <= ESSENTIAL));
    let bar = BARS.into_iter().find(|&(from, _)| width >= from).map_or(0, |(_, bar)| bar + 1);
    let bar = if essential + bar <= room { bar } else { 0 };
    while columns(&parts) + bar > room && parts.len() > 1 {
        let last = parts.iter().map(|part| part.rank).max();
        parts.retain(|part| Some(part.rank) != last);
    }
    let percent = (snapshot.settled() * 100).checked_div(total).unwrap_or(100).min(100);
    format!("{}{percent:>3} %  {}", draw(bar, snapshot.settled(), total), join(&parts))
}

/// The bar itself, in this many columns; the last of them is a space.
fn draw(columns: usize, settled: u64, total: u64) -> String {
    let Some(columns) = columns.checked_sub(1) else { return String::new() };
    let filled = (settled.saturating_mul(columns as u64)).checked_div(total).unwrap_or(columns as u64);
    let filled = usize::try_from(filled).map_or(columns, |filled| filled.min(columns));
    let head = if filled < columns { "╸" } else { "" };
    let rest = "━".repeat(columns.saturating_sub(filled + 1));
    format!("{DONE}{}{head}{DONE:#}{REMARK}{rest}{REMARK:#} ", "━".repeat(filled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(snapshot: Snapshot, total: u64, rate: f64) -> String {
        strip_str(&join(&parts(snapshot, total, rate))).to_string()
    }

    #[test]
    fn the_line_shows_what_happened_and_nothing_else() {
        let calm = Snapshot { done: 1_800, ..Snapshot::default() };
        assert_eq!(plain(calm, 400_000, 199.24), "1,800 of 400,000 · 199.2/s · 33 min 19 s left");
        let rough = Snapshot { done: 3_990, failed: 9, in_doubt: 1, slow_downs: 2, ..Snapshot::default() };
        assert_eq!(plain(rough, 4_000, 150.0), "4,000 of 4,000 · 9 failed · 1 in doubt · 150.0/s · slowed down 2×");
        let last = Snapshot { done: 9, to_read_back: 1, ..Snapshot::default() };
        assert_eq!(plain(last, 10, 0.0), "9 of 10 · 1 to read back · 0.0/s");
        let stopping = Snapshot { stopping: true, ..last };
        assert_eq!(plain(stopping, 10, 1.0), "9 of 10 · 1 to read back · stopping");
        assert_eq!(plain(Snapshot::default(), 10, 0.0), "0 of 10 · 0.0/s");
    }

    #[test]
    fn the_bar_leaves_out_what_does_not_fit() {
        let rough =
            Snapshot { done: 185_576, failed: 9, in_doubt: 2, to_read_back: 12, slow_downs: 2, ..Snapshot::default() };
        let at = |width| strip_str(&line(rough, 400_000, 199.2, width)).to_string();
        insta::assert_snapshot!([140, 100, 80, 60, 40, 20].map(at).join("\n"), @"
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,587 of 400,000 · 9 failed · 2 in doubt · 12 to read back · 199.2/s · 17 min 57 s left · slowed down 2×
        ━━━━━━━━━╸━━━━━━━━━━  46 %  185,587 of 400,000 · 9 failed · 2 in doubt · 199.2/s · 17 min 57 s left
        ━━━━╸━━━━━  46 %  185,587 of 400,000 · 9 failed · 2 in doubt · 17 min 57 s left
         46 %  185,587 of 400,000 · 9 failed · 2 in doubt
         46 %  185,587 of 400,000 · 9 failed
         46 %  185,587 of 400,000
        ");
        let calm = Snapshot { done: 1_800, ..Snapshot::default() };
        let at = |width| strip_str(&line(calm, 10_000_000, 199.2, width)).to_string();
        insta::assert_snapshot!([100, 80, 60, 40].map(at).join("\n"), @"
        ╸━━━━━━━━━━━━━━━━━━━   0 %  1,800 of 10,000,000 · 199.2/s · 13 h 56 min left
        ╸━━━━━━━━━   0 %  1,800 of 10,000,000 · 199.2/s · 13 h 56 min left
          0 %  1,800 of 10,000,000 · 199.2/s · 13 h 56 min left
          0 %  1,800 of 10,000,000
        ");
    }

    #[test]
    fn no_line_of_the_bar_wraps() {
        for total in [1, 120, 400_000, 10_000_000] {
            for part in [0, 1, 2, 3, 7, 10] {
                let count = total * part / 10;
                let snapshot = Snapshot {
                    done: count / 2,
                    failed: count / 3,
                    in_doubt: count / 6,
                    to_read_back: 7,
                    slow_downs: 3,
                    ..Snapshot::default()
                };
                for width in 30..150 {
                    let line = strip_str(&line(snapshot, total, 199.94, width)).to_string();
                    // The last remaining part is truncated to the terminal's width.
                    let is_last = !line.contains(SEPARATOR);
                    assert!(line.chars().count() <= width || is_last, "{width}: {line}");
                }
            }
        }
    }
}
