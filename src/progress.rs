//! How far it is, for whoever watches: a bar in a terminal, a plain line every few seconds elsewhere.
//!
//! A leaf, and the only file that knows `indicatif`.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use thousands::Separable;
use tracing_subscriber::fmt::MakeWriter;

/// Between two plain lines.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// The rate is that of the last seconds: long enough to be calm, short enough to show a slow-down.
const RATE_OVER: Duration = Duration::from_secs(10);

/// Standard error, shared by the bar and everything else that is written there.
#[derive(Clone, Debug)]
pub struct Screen {
    /// Hidden until a run shows it. (Not a `MultiProgress`: that panics where the terminal was closed.)
    bar: ProgressBar,
}

impl Default for Screen {
    fn default() -> Screen {
        Screen { bar: ProgressBar::hidden() }
    }
}

impl Screen {
    /// Whether what is written there may be coloured.
    pub fn has_colours(&self) -> bool {
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
    }

    /// Writes lines above the bar, whole.
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
        self.bar.suspend(|| io::stderr().write(bytes))
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

/// How the way is shown.
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
    /// What fits where standard error goes.
    pub fn of_stderr() -> Mode {
        if io::stderr().is_terminal() { Mode::Bar } else { Mode::Lines }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Edits that were confirmed in this run.
    pub done: u64,
    /// Edits that failed in this run.
    pub failed: u64,
    /// Edits that stay in doubt in this run.
    pub in_doubt: u64,
    /// Edits in doubt that wait to be read back.
    pub to_read_back: u64,
    /// How often the service said "too fast".
    pub slow_downs: u64,
    /// Somebody has told it to pause.
    pub paused: bool,
}

impl Snapshot {
    fn settled(self) -> u64 {
        self.done + self.failed + self.in_doubt
    }
}

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    screen: Screen,
    bar: Option<ProgressBar>,
    lines: bool,
    total: u64,
    line_at: Instant,
    speed: Speed,
    paused: Paused,
}

/// What is said while the run is paused, and whether it was said.
#[derive(Debug)]
struct Paused {
    to_go_on: String,
    said: bool,
}

impl Progress {
    /// Begins to show a run of `total` edits; `to_go_on` is the command that ends a pause.
    pub fn start(screen: &Screen, mode: Mode, total: u64, to_go_on: String) -> Progress {
        let bar = (mode == Mode::Bar).then(|| screen.bar.clone());
        if let Some(bar) = &bar {
            bar.set_length(total);
            bar.set_style(style());
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let now = Instant::now();
        Progress {
            screen: screen.clone(),
            bar,
            lines: mode == Mode::Lines,
            total,
            line_at: now + LINE_EVERY,
            speed: Speed::new(),
            paused: Paused { to_go_on, said: false },
        }
    }

    /// Shows how far it is now; to be called several times a second.
    pub fn show(&mut self, snapshot: Snapshot) {
        let now = Instant::now();
        let rate = self.speed.of(now, snapshot.settled());
        let told = if snapshot.paused {
            format!("paused; to go on: {}", self.paused.to_go_on)
        } else {
            describe(snapshot, self.total, rate)
        };
        // A pause may last all night, and a log needs to be told of it once.
        let is_news = !(snapshot.paused && self.paused.said);
        if self.lines && now >= self.line_at && is_news {
            self.line_at = now + LINE_EVERY;
            self.paused.said = snapshot.paused;
            // Whoever closed standard error does not want to know.
            let _ = writeln!(self.screen.writer(), "{told}");
        }
        if let Some(bar) = &self.bar {
            bar.set_position(snapshot.settled());
            bar.set_message(told);
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How many edits are settled a second, of late.
#[derive(Debug)]
pub struct Speed {
    history: VecDeque<(Instant, u64)>,
}

impl Default for Speed {
    fn default() -> Speed {
        Speed::new()
    }
}

impl Speed {
    /// From now on.
    pub fn new() -> Speed {
        Speed { history: VecDeque::from([(Instant::now(), 0)]) }
    }

    /// So many are settled by now; to be told several times a second.
    pub fn of(&mut self, now: Instant, settled: u64) -> f64 {
        self.history.push_back((now, settled));
        while self.history.len() > 2 && now - self.history[0].0 > RATE_OVER {
            self.history.pop_front();
        }
        let (since, before) = self.history[0];
        let seconds = (now - since).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        if seconds > 0.0 { (settled - before) as f64 / seconds } else { 0.0 }
    }
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template("{bar:20.green/dim} {percent:>3} %  {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸━")
}

fn describe(snapshot: Snapshot, total: u64, rate: f64) -> String {
    let mut parts = vec![format!("{} of {}", snapshot.settled().separate_with_commas(), total.separate_with_commas())];
    let Snapshot { failed, in_doubt, to_read_back, .. } = snapshot;
    for (count, what) in [(failed, "failed"), (in_doubt, "in doubt"), (to_read_back, "to read back")] {
        if count > 0 {
            parts.push(format!("{} {what}", count.separate_with_commas()));
        }
    }
    parts.push(format!("{rate:.1}/s"));
    let left = total.saturating_sub(snapshot.settled());
    if rate > 0.0 && left > 0 {
        #[expect(clippy::cast_precision_loss, reason = "for people, and far below 2^52")]
        let seconds = (left as f64 / rate).ceil().min(1e9);
        parts.push(format!("{} left", time(Duration::from_secs_f64(seconds))));
    }
    if snapshot.slow_downs > 0 {
        parts.push(format!("slowed down {}×", snapshot.slow_downs));
    }
    parts.join(" · ")
}

/// A length of time for people: two units at most.
pub fn time(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_matters_and_leaves_out_what_did_not_happen() {
        let calm = Snapshot { done: 1_800, ..Snapshot::default() };
        assert_eq!(describe(calm, 400_000, 199.24), "1,800 of 400,000 · 199.2/s · 33 min 19 s left");
        let rough = Snapshot { done: 3_990, failed: 9, in_doubt: 1, to_read_back: 0, slow_downs: 2, paused: false };
        assert_eq!(describe(rough, 4_000, 150.0), "4,000 of 4,000 · 9 failed · 1 in doubt · 150.0/s · slowed down 2×");
        let last = Snapshot { done: 9, to_read_back: 1, ..Snapshot::default() };
        assert_eq!(describe(last, 10, 0.0), "9 of 10 · 1 to read back · 0.0/s");
        assert_eq!(describe(Snapshot::default(), 10, 0.0), "0 of 10 · 0.0/s");
    }

    #[test]
    fn times_have_two_units_at_most() {
        for (seconds, text) in
            [(0, "0 s"), (9, "9 s"), (59, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (200_000, "2 d 7 h")]
        {
            assert_eq!(time(Duration::from_secs(seconds)), text);
        }
    }
}
