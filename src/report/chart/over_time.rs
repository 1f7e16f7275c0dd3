//! How fast edits were settled, over all runs, with the cap as a line.
//!
//! Between two runs a night can pass in which nothing happens, and a run of some minutes would shrink to a hair beside
//! it. So runs share the width by how long they took, and what is between them is a gap of always the same width.

use maud::{Markup, html};
use thousands::Separable;

use super::axis::{Label, Labels, round_numbers, round_times, time_step};
use super::bins::{Bin, bins};
use super::{RunSeries, Size, at, legend};
use crate::ledger::ControlAction;
use crate::words::{OverTimeCaption, Words};

const WIDE: Size = Size { class: "wide", width: 960.0, height: 290.0 };
const NARROW: Size = Size { class: "narrow", width: 380.0, height: 270.0 };

/// Left of it are the numbers of the axis.
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
/// Above it is what the axis counts, and the marks.
const TOP: f64 = 30.0;
/// Below it are the times and days.
const BOTTOM: f64 = 36.0;
/// Of the strip with what failed or is in doubt, and of what is above it.
const STRIP: f64 = 34.0;
const ABOVE_STRIP: f64 = 28.0;
/// Between two runs, where there is room for it.
const GAP: f64 = 22.0;
/// A run is never narrower than this, however short.
const RUN_MIN: f64 = 3.0;
/// A bin takes this at least.
const BIN_MIN: f64 = 2.5;
/// Between two ticks of the time at least.
const TICK_APART: f64 = 76.0;
/// Marks closer than this are one.
const MARK_APART: f64 = 7.0;

/// Draws how fast edits were settled, run after run.
pub fn over_time(runs: &[RunSeries], words: &Words) -> Markup {
    let drawn: Vec<DrawnRun<'_>> =
        [WIDE, NARROW].into_iter().filter_map(|size| DrawnRun::new(runs, words, size)).collect();
    let Some(first) = drawn.first() else {
        return html! { figure.chart { p.empty { (words.say.no_samples) } } };
    };
    html! {
        figure.chart {
            @for chart in &drawn { (chart.draw()) }
            figcaption { (first.legend()) }
        }
    }
}

/// A run's part of the width.
struct RunSpan {
    bins: Vec<Bin>,
    acts: Vec<(i64, ControlAction)>,
    from: i64,
    to: i64,
    x: (f64, f64),
}

impl RunSpan {
    fn x(&self, at: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let (since, whole) = ((at.clamp(self.from, self.to) - self.from) as f64, (self.to - self.from).max(1) as f64);
        self.x.0 + (self.x.1 - self.x.0) * since / whole
    }

    /// From when to when it was paused.
    fn pauses(&self) -> Vec<(i64, i64)> {
        let mut pauses = Vec::new();
        let mut since = None;
        for (at, order) in &self.acts {
            match order {
                ControlAction::Pause => since = since.or(Some(*at)),
                ControlAction::Resume | ControlAction::Stop => pauses.extend(since.take().map(|since| (since, *at))),
                ControlAction::Rate(_) => {}
            }
        }
        pauses.extend(since.map(|since| (since, self.to)));
        pauses
    }

    fn rate_changes(&self) -> impl Iterator<Item = i64> {
        self.acts.iter().filter(|(_, order)| matches!(order, ControlAction::Rate(_))).map(|(at, _)| *at)
    }
}

struct DrawnRun<'a> {
    words: &'a Words,
    size: Size,
    parts: Vec<RunSpan>,
    ticks: Vec<f64>,
    /// The speed at the upper edge.
    top: f64,
    /// The most edits of one bin that failed or are in doubt.
    not_done_max: u64,
}

impl<'a> DrawnRun<'a> {
    /// `None`: there is nothing to draw.
    fn new(runs: &[RunSeries], words: &'a Words, size: Size) -> Option<DrawnRun<'a>> {
        let parts = parts(runs, size);
        let all = || parts.iter().flat_map(|part| &part.bins);
        let fastest = all().map(|bin| bin.a_second(bin.settled).max(bin.a_second(bin.requests)));
        let most = fastest.chain(all().map(|bin| f64::from(bin.cap))).fold(0.0, f64::max).max(1.0);
        let not_done_max = all().map(|bin| bin.failed + bin.in_doubt).max()?;
        let top = most * 1.06;
        let ticks = round_numbers(most).into_iter().filter(|tick| *tick <= top).collect();
        Some(DrawnRun { words, size, parts, ticks, top, not_done_max })
    }

    fn draw(&self) -> Markup {
        let Size { class, width, height } = self.size;
        let labels = self.labels();
        html! {
            svg class=(class) viewBox={ "0 0 " (width) " " (height) } role="img" aria-label=(self.caption()) {
                @for (from, to) in self.gaps() {
                    rect.gap x=(at(from)) y=(at(TOP)) width=(at(to - from)) height=(at(self.bottom() - TOP)) {}
                }
                @for part in &self.parts {
                    @for (from, to) in part.pauses() {
                        rect.pause x=(at(part.x(from))) y=(at(TOP)) width=(at((part.x(to) - part.x(from)).max(1.5)))
                            height=(at(self.bottom() - TOP)) {}
                    }
                }
                (self.scale())
                @for part in &self.parts { path.done d=(self.area(part)) {} }
                @for part in &self.parts { path.requests d=(self.line(part, |bin| bin.a_second(bin.requests))) {} }
                @for part in &self.parts { path.cap d=(self.line(part, |bin| f64::from(bin.cap))) {} }
                (self.marks())
                @if self.not_done_max > 0 { (self.strip()) }
                (self.times(&labels))
            }
        }
    }

    /// Where speed 0 is.
    fn floor(&self) -> f64 {
        self.bottom() - if self.not_done_max > 0 { STRIP + ABOVE_STRIP } else { 0.0 }
    }

    /// Where the axis of time is.
    fn bottom(&self) -> f64 {
        self.size.height - BOTTOM
    }

    fn y(&self, speed: f64) -> f64 {
        self.floor() - (self.floor() - TOP) * (speed / self.top).clamp(0.0, 1.0)
    }

    fn gaps(&self) -> impl Iterator<Item = (f64, f64)> {
        self.parts.windows(2).map(|pair| (pair[0].x.1, pair[1].x.0))
    }

    fn scale(&self) -> Markup {
        let right = self.size.width - RIGHT;
        html! {
            @for tick in &self.ticks {
                @let y = at(self.y(*tick));
                line.grid x1=(LEFT) x2=(right) y1=(y) y2=(y) {}
                text x=(LEFT - 7.0) y=(y) dy="0.35em" text-anchor="end" { (number(*tick)) }
            }
            text x="0" y="11" { (self.words.say.edits_a_second) }
        }
    }

    /// Speeds as steps: between two samples only their mean is known.
    fn line(&self, part: &RunSpan, speed: impl Fn(&Bin) -> f64) -> String {
        let mut path = String::new();
        for (index, bin) in part.bins.iter().enumerate() {
            let y = at(self.y(speed(bin)));
            let begin = if index == 0 { format!("M{} {y}", at(part.x(bin.from))) } else { format!("V{y}") };
            path.extend([begin, format!("H{}", at(part.x(bin.to)))]);
        }
        path
    }

    fn area(&self, part: &RunSpan) -> String {
        let line = self.line(part, |bin| bin.a_second(bin.settled));
        let floor = at(self.floor());
        format!("{line}V{floor}H{}Z", at(part.x.0))
    }

    /// Slow-downs and changed rates, above the curves.
    fn marks(&self) -> Markup {
        let slow = self.parts.iter().flat_map(|part| {
            let bins = part.bins.iter().filter(|bin| bin.slow_downs > 0);
            bins.map(|bin| f64::midpoint(part.x(bin.from), part.x(bin.to)))
        });
        let rate = self.parts.iter().flat_map(|part| part.rate_changes().map(|at| part.x(at)));
        html! {
            @for x in apart(slow) { path.slow d={ "M" (at(x - 3.5)) " " (at(TOP - 8.0)) "h7l-3.5 6z" } {} }
            @for x in apart(rate) { path.rate d={ "M" (at(x)) " " (at(TOP - 9.0)) "l3.5 4l-3.5 4l-3.5 -4z" } {} }
        }
    }

    fn strip(&self) -> Markup {
        let bottom = self.bottom();
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let tall =
            |count: u64| if count == 0 { 0.0 } else { (STRIP * count as f64 / self.not_done_max as f64).max(1.5) };
        html! {
            line.grid x1=(LEFT) x2=(self.size.width - RIGHT) y1=(at(bottom - STRIP)) y2=(at(bottom - STRIP)) {}
            text x=(LEFT - 7.0) y=(at(bottom - STRIP)) dy="0.35em" text-anchor="end" {
                (self.not_done_max.separate_with_commas())
            }
            text x="0" y=(at(bottom - STRIP - 9.0)) { (self.words.say.failed_or_in_doubt) }
            @for part in &self.parts {
                @for bin in part.bins.iter().filter(|bin| bin.failed + bin.in_doubt > 0) {
                    @let (x, wide) = (part.x(bin.from), (part.x(bin.to) - part.x(bin.from) - 0.6).clamp(1.2, 12.0));
                    @let (failed, in_doubt) = (tall(bin.failed), tall(bin.in_doubt));
                    @if bin.failed > 0 {
                        rect.failed x=(at(x)) y=(at(bottom - failed)) width=(at(wide)) height=(at(failed)) {}
                    }
                    @if bin.in_doubt > 0 {
                        rect.doubt x=(at(x)) y=(at(bottom - failed - in_doubt)) width=(at(wide)) height=(at(in_doubt)) {}
                    }
                }
            }
        }
    }

    fn labels(&self) -> Vec<Label> {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let all_ms: f64 = self.parts.iter().map(|part| (part.to - part.from) as f64).sum();
        let drawn: f64 = self.parts.iter().map(|part| part.x.1 - part.x.0).sum();
        let step = time_step(all_ms / drawn.max(1.0) * TICK_APART);
        let mut labels = Labels::new(self.words, step, (0.0, self.size.width));
        for part in &self.parts {
            let times = round_times(part.from, part.to, step, self.words);
            // A run too short for a round time says when it began.
            let times = if times.is_empty() { vec![part.from] } else { times };
            for time in times {
                labels.place(time, part.x(time));
            }
        }
        labels.placed()
    }

    fn times(&self, labels: &[Label]) -> Markup {
        let bottom = self.bottom();
        html! {
            @for part in &self.parts {
                line.axis x1=(at(part.x.0)) x2=(at(part.x.1)) y1=(at(bottom)) y2=(at(bottom)) {}
            }
            @for (from, to) in self.gaps() {
                @let middle = f64::midpoint(from, to);
                @if to - from > 8.0 {
                    path.axis d={ "M" (at(middle - 4.0)) " " (at(bottom + 4.0)) "l3 -8m2 0l-3 8" } {}
                }
            }
            @for label in labels {
                line.axis x1=(at(label.tick)) x2=(at(label.tick)) y1=(at(bottom)) y2=(at(bottom + 4.0)) {}
                text x=(at(label.x)) y=(at(bottom + 16.0)) text-anchor="middle" { (label.time) }
                @if let Some(day) = &label.day {
                    text x=(at(label.x)) y=(at(bottom + 30.0)) text-anchor="middle" { (day) }
                }
            }
        }
    }

    /// Only what is in it.
    fn legend(&self) -> Markup {
        let say = self.words.say;
        let bins = || self.parts.iter().flat_map(|part| &part.bins);
        let mut entries = vec![
            (html! { path.done d="M1 11V4H9V2H17V11Z" {} }, say.edits_a_second),
            (html! { path.requests d="M1 8H9V4H17" {} }, say.all_requests),
            (html! { path.cap d="M0 6H18" {} }, say.cap),
        ];
        if bins().any(|bin| bin.failed > 0) {
            entries.push((html! { rect.failed x="5" y="1" width="8" height="10" {} }, say.failed));
        }
        if bins().any(|bin| bin.in_doubt > 0) {
            entries.push((html! { rect.doubt x="5" y="1" width="8" height="10" {} }, say.in_doubt));
        }
        if bins().any(|bin| bin.slow_downs > 0) {
            entries.push((html! { path.slow d="M5.5 3h7l-3.5 6z" {} }, say.slowed_down));
        }
        if self.parts.iter().any(|part| !part.pauses().is_empty()) {
            entries.push((html! { rect.pause x="1" y="1" width="16" height="10" {} }, say.paused));
        }
        if self.parts.iter().any(|part| part.rate_changes().next().is_some()) {
            entries.push((html! { path.rate d="M9 2l3.5 4l-3.5 4l-3.5 -4z" {} }, say.rate_changed));
        }
        if self.parts.len() > 1 {
            entries.push((html! { rect.gap x="1" y="1" width="16" height="10" {} }, say.no_run));
        }
        legend(&entries)
    }

    /// The same in words.
    fn caption(&self) -> String {
        let (Some(first), Some(last)) = (self.parts.first(), self.parts.last()) else { return String::new() };
        let bins = || self.parts.iter().flat_map(|part| &part.bins);
        (self.words.say.over_time_text)(&OverTimeCaption {
            from: &self.words.moment(first.from),
            to: &self.words.moment(last.to),
            runs: self.parts.len(),
            settled: bins().map(|bin| bin.settled).sum(),
            fastest: bins().map(|bin| bin.a_second(bin.settled)).fold(0.0, f64::max),
            cap: bins().map(|bin| bin.cap).max().unwrap_or_default(),
            not_done: bins().map(|bin| bin.failed + bin.in_doubt).sum(),
            slow_downs: bins().map(|bin| bin.slow_downs).sum(),
        })
    }
}

/// Shares the width among the runs that have something to show.
fn parts(runs: &[RunSeries], size: Size) -> Vec<RunSpan> {
    let shown: Vec<(&RunSeries, i64, i64)> = runs
        .iter()
        .filter_map(|run| {
            let (first, last) = (run.samples.first()?.at, run.samples.last()?.at);
            (last > first).then_some((run, first, last))
        })
        .collect();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let (count, length) = (shown.len() as f64, |from: i64, to: i64| (to - from) as f64);
    let all = size.width - LEFT - RIGHT;
    let gap = if count > 1.0 { GAP.min(all * 0.2 / (count - 1.0)) } else { 0.0 };
    let room = all - gap * (count - 1.0).max(0.0);
    let least = RUN_MIN.min(room / count.max(1.0));
    let whole: f64 = shown.iter().map(|(_, from, to)| length(*from, *to)).sum();
    let mut x = LEFT;
    let mut parts = Vec::with_capacity(shown.len());
    for (run, from, to) in shown {
        let wide = least + (room - least * count) * length(from, to) / whole;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a width is small and not negative"
        )]
        let most = (wide / BIN_MIN).ceil() as usize;
        parts.push(RunSpan { bins: bins(&run.samples, most), acts: run.acts.clone(), from, to, x: (x, x + wide) });
        x += wide + gap;
    }
    parts
}

/// Leaves out what would be drawn over the one before.
fn apart(marks: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    marks
        .scan(f64::NEG_INFINITY, |last, x| {
            let is_free = x - *last >= MARK_APART;
            if is_free {
                *last = x;
            }
            Some(is_free.then_some(x))
        })
        .flatten()
}

fn number(tick: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a speed is small and not negative")]
    if tick.fract() == 0.0 { (tick as u64).separate_with_commas() } else { format!("{tick}") }
}

#[cfg(test)]
mod tests;
