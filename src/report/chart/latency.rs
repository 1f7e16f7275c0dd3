//! How long answers took. The slots are of unequal width, so a bar is as tall as its share, and its bounds stand below.

use maud::{Markup, html};

use super::axis::{round_numbers, width};
use super::{Size, at};
use crate::ledger::Latency;
use crate::words::{LatencyCaption, Words};

const WIDE: Size = Size { class: "wide", width: 960.0, height: 200.0 };
const NARROW: Size = Size { class: "narrow", width: 380.0, height: 200.0 };

const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 22.0;
/// A bar is not wider than this, however few there are.
const BAR_MAX: f64 = 110.0;
/// Between two labels at least.
const BETWEEN: f64 = 8.0;

/// Draws how long answers took.
pub fn latency(latency: &Latency, words: &Words) -> Markup {
    let slots = slots(latency);
    html! {
        figure.chart {
            @if slots.is_empty() {
                p.empty { (words.say.no_answers) }
            } @else {
                @let caption = caption(latency, words);
                @for size in [WIDE, NARROW] { (draw(&slots, size, &caption, words)) }
                figcaption { (caption) }
            }
        }
    }
}

/// A bar: its bounds in milliseconds, and its share of all.
#[derive(Clone, Copy, Debug, PartialEq)]
struct LatencyBucket {
    from: u32,
    /// `None`: longer than all bounds.
    to: Option<u32>,
    share: f64,
}

/// From the first slot that has something in it to the last one.
fn slots(latency: &Latency) -> Vec<LatencyBucket> {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let share = |count: u64| count as f64 / latency.count().max(1) as f64;
    let mut from = 0;
    let all: Vec<LatencyBucket> = latency
        .chart_slots()
        .into_iter()
        .map(|(to, count)| {
            let slot = LatencyBucket { from, to, share: share(count) };
            from = to.unwrap_or(from);
            slot
        })
        .collect();
    let is_used = |slot: &LatencyBucket| slot.share > 0.0;
    match (all.iter().position(is_used), all.iter().rposition(is_used)) {
        (Some(first), Some(last)) => all[first..=last].to_vec(),
        (_, _) => Vec::new(),
    }
}

fn draw(slots: &[LatencyBucket], size: Size, caption: &str, words: &Words) -> Markup {
    let Size { class, width: wide, height } = size;
    let floor = height - BOTTOM;
    let most = slots.iter().map(|slot| slot.share * 100.0).fold(0.0, f64::max);
    let ticks = round_numbers(most);
    let top = ticks.last().copied().unwrap_or(100.0);
    let y = |percent: f64| floor - (floor - TOP) * percent / top;
    #[expect(clippy::cast_precision_loss, reason = "there are 33 at most")]
    let (count, nth) = (slots.len() as f64, |index: usize| index as f64);
    let bar = ((wide - LEFT - RIGHT - 24.0) / count).min(BAR_MAX);
    let x = |index: usize| LEFT + 12.0 + bar * nth(index);
    html! {
        svg class=(class) viewBox={ "0 0 " (wide) " " (height) } role="img" aria-label=(caption) {
            text x="0" y="11" { (words.say.latency_axis) }
            @for tick in &ticks {
                line.grid x1=(LEFT) x2=(wide - RIGHT) y1=(at(y(*tick))) y2=(at(y(*tick))) {}
                text x=(LEFT - 7.0) y=(at(y(*tick))) dy="0.35em" text-anchor="end" { (at(*tick)) " %" }
            }
            @for (index, slot) in slots.iter().enumerate() {
                @let tall = (floor - y(slot.share * 100.0)).max(if slot.share > 0.0 { 1.0 } else { 0.0 });
                rect.bar x=(at(x(index) + 1.0)) y=(at(floor - tall)) width=(at(bar - 2.0)) height=(at(tall)) {
                    title { (bounds(slot)) ": " (percent(slot.share)) }
                }
                @if slot.share > 0.0 && bar > width("99.9 %") {
                    text.share x=(at(x(index) + bar / 2.0)) y=(at(floor - tall - 5.0)) text-anchor="middle" {
                        (percent(slot.share))
                    }
                }
            }
            line.axis x1=(LEFT) x2=(wide - RIGHT) y1=(at(floor)) y2=(at(floor)) {}
            @for (at_x, label) in edges(slots, bar, x(0), words) {
                text x=(at(at_x)) y=(at(floor + 15.0)) text-anchor="middle" { (label) }
            }
        }
    }
}

/// The bounds below the bars' edges, as many as there is room for.
fn edges(slots: &[LatencyBucket], bar: f64, first: f64, words: &Words) -> Vec<(f64, String)> {
    let bound = |ms: Option<u32>| match ms {
        Some(0) => "0".to_owned(),
        Some(ms) => LatencyCaption::bound(ms),
        None => words.say.longer.to_owned(),
    };
    let begin = slots.first().map(|slot| bound(Some(slot.from)));
    let mut free_from = f64::NEG_INFINITY;
    let labels = begin.into_iter().chain(slots.iter().map(|slot| bound(slot.to)));
    labels
        .scan(first, |x, label| {
            let here = *x;
            *x += bar;
            Some((here, label))
        })
        .filter(|(x, label)| {
            let is_free = x - width(label) / 2.0 >= free_from;
            if is_free {
                free_from = x + width(label) / 2.0 + BETWEEN;
            }
            is_free
        })
        .collect()
}

fn bounds(slot: &LatencyBucket) -> String {
    match slot.to {
        Some(to) => format!("{}–{}", LatencyCaption::bound(slot.from), LatencyCaption::bound(to)),
        None => format!("> {}", LatencyCaption::bound(slot.from)),
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        few if few < 0.1 => "< 0.1 %".to_owned(),
        percent if percent < 9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// The same in words.
pub fn caption(latency: &Latency, words: &Words) -> String {
    (words.say.latency_text)(&LatencyCaption {
        answers: latency.count(),
        half_ms: latency.quantile_ms(0.5),
        most_ms: latency.quantile_ms(0.95),
        nearly_all_ms: latency.quantile_ms(0.99),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;

    use super::*;
    use crate::words::Lang;

    fn of(times: &[(u64, u32)]) -> Latency {
        let mut latency = Latency::default();
        for (ms, count) in times {
            for _ in 0..*count {
                latency.add(Duration::from_millis(*ms));
            }
        }
        latency
    }

    #[test]
    fn bars_go_from_the_first_to_the_last_that_is_used() {
        let found = slots(&of(&[(30, 3), (150, 1)]));
        let wanted = [
            (20, Some(30), 0.75),
            (30, Some(40), 0.0),
            (40, Some(50), 0.0),
            (50, Some(60), 0.0),
            (60, Some(80), 0.0),
            (80, Some(100), 0.0),
            (100, Some(150), 0.25),
        ];
        assert_eq!(found, wanted.map(|(from, to, share)| LatencyBucket { from, to, share }));
        assert_eq!(slots(&of(&[(20_000, 1)])), [LatencyBucket { from: 10_000, to: None, share: 1.0 }]);
        assert_eq!(slots(&Latency::default()), []);
    }

    /// The text of each element that a pattern finds, with the number of one of its attributes.
    fn found(svg: &str, element: &str, attribute: &str) -> Vec<(f64, String)> {
        let (tag, attribute) = (format!("<{element} "), format!(" {attribute}=\""));
        let elements = svg.split(tag.as_str()).skip(1).map(|rest| format!(" {rest}"));
        elements
            .filter_map(|rest| {
                let number = rest.split(attribute.as_str()).nth(1)?.split('"').next()?.parse().ok()?;
                let text = rest.split('>').skip(1).find(|text| !text.starts_with('<') && !text.is_empty())?;
                Some((number, text.split('<').next()?.replace("&gt;", ">")))
            })
            .collect()
    }

    /// Where a bar begins, the label below it says from when on, and its tooltip says the same; and the bars are as tall as
    /// the shares that are written above them.
    #[test]
    fn bars_labels_and_tooltips_have_the_same_bounds() {
        let words = Words::at(Lang::En, TimeZone::UTC);
        let mut old = Latency::default();
        old.add_run(&[(Some(50), 30), (Some(100), 60), (Some(500), 10)]);
        for (latency, bars) in [(of(&[(25, 30), (72, 60), (1_400, 9), (20_000, 1)]), 23), (old, 5)] {
            let drawn = super::latency(&latency, &words).into_string();
            // Of the two drawings, the wide one has room for all labels.
            let svg = drawn.split("<svg").nth(1).unwrap();
            let rects = found(svg, "rect class=\"bar\"", "x");
            assert_eq!(rects.len(), bars, "{svg}");
            let labels: Vec<_> = found(svg, "text", "x").into_iter().filter(|(x, _)| *x > LEFT).collect();
            let mut checked = 0;
            for ((x, tooltip), next) in rects.iter().zip(rects.iter().skip(1).map(Some).chain([None])) {
                let begins = tooltip.split(['–', ':']).next().unwrap().trim_start_matches("> ");
                if let Some((_, label)) = labels.iter().find(|(at, _)| (at - (x - 1.0)).abs() < 0.2) {
                    if label.ends_with('%') {
                        continue;
                    }
                    assert_eq!(label, begins, "{svg}");
                    checked += 1;
                }
                if let Some((_, next)) = next {
                    let ends = tooltip.split(['–', ':']).nth(1).unwrap();
                    assert!(next.trim_start_matches("> ").starts_with(ends), "{tooltip}, {next}");
                }
            }
            assert!(checked >= 5, "{checked}: {svg}");
        }
    }

    #[test]
    fn it_is_told_in_words() {
        let words = Words::at(Lang::En, TimeZone::UTC);
        let latency = of(&[(30, 1_000), (150, 60), (20_000, 20)]);
        assert_eq!(
            caption(&latency, &words),
            "Half of 1,080 answers came within 30 ms, 95 % within 150 ms, 99 % longer than 10 s."
        );
        assert!(super::latency(&Latency::default(), &words).into_string().contains(words.say.no_answers));
    }
}
