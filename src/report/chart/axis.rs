//! Where the ticks of an axis are: at round numbers and at round times, and no label over another.

use unicode_width::UnicodeWidthStr;

use crate::words::Words;

/// What a letter of the charts' font takes, about.
const LETTER: f64 = 6.3;
/// Between two labels at least.
const BETWEEN: f64 = 10.0;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Steps that people count time in.
const STEPS: [i64; 24] = [
    SECOND,
    2 * SECOND,
    5 * SECOND,
    10 * SECOND,
    15 * SECOND,
    30 * SECOND,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    28 * DAY,
    91 * DAY,
    364 * DAY,
];

/// Round numbers from 0 to the first one that is not below `most`: about four of them.
pub(super) fn round_numbers(most: f64) -> Vec<f64> {
    // Where there is nothing, the axis still shows what it would be.
    let most = if most > 0.0 { most } else { 1.0 };
    let rough = most / 4.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|factor| factor * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    // Five steps reach the largest number in any case.
    (0..=5)
        .map(|number| f64::from(number) * step)
        .scan(false, |reached, tick| {
            let take = !*reached;
            *reached = tick >= most * 0.999;
            take.then_some(tick)
        })
        .collect()
}

/// The smallest step of time whose ticks are at least so far apart.
pub(super) fn time_step(apart_ms: f64) -> i64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let step = STEPS.into_iter().find(|step| *step as f64 >= apart_ms);
    step.unwrap_or(STEPS[STEPS.len() - 1])
}

/// The round times of the place between two moments.
pub(super) fn round_times(from: i64, to: i64, step: i64, words: &Words) -> Vec<i64> {
    let ahead = words.ahead_ms(from);
    let first = (from + ahead).div_euclid(step) * step - ahead;
    let mut times: Vec<i64> = Vec::new();
    let mut time = if first < from { first + step } else { first };
    while time <= to {
        times.push(time);
        time += step;
    }
    times
}

/// A label below the axis: the time, and the day where it is another than before.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    /// Where its tick is.
    pub(super) tick: f64,
    /// Where its middle is.
    pub(super) x: f64,
    /// The time of day, or the day where ticks are days.
    pub(super) time: String,
    /// The day.
    pub(super) day: Option<String>,
}

/// Writes labels from the left to the right between two edges, as long as there is room for each.
#[derive(Debug)]
pub(super) struct Labels<'a> {
    words: &'a Words,
    step: i64,
    edges: (f64, f64),
    last_day: Option<String>,
    free_from: (f64, f64),
    placed: Vec<Label>,
}

impl<'a> Labels<'a> {
    pub(super) fn new(words: &'a Words, step: i64, edges: (f64, f64)) -> Labels<'a> {
        Labels { words, step, edges, last_day: None, free_from: (edges.0, edges.0), placed: Vec::new() }
    }

    /// Puts a label for this moment at `tick`; false: there is no room.
    pub(super) fn place(&mut self, at: i64, tick: f64) -> bool {
        let day = self.words.day(at);
        let (time, day) = if self.step >= DAY {
            (day, None)
        } else if self.step < MINUTE {
            (self.words.clock(at), Some(day))
        } else {
            (self.words.minute(at), Some(day))
        };
        let (x, end) = self.room(&time, tick);
        if end - width(&time) < self.free_from.0 {
            return false;
        }
        self.free_from.0 = end + BETWEEN;
        let day = day.filter(|day| self.last_day.as_ref() != Some(day)).filter(|day| {
            let (_, end) = self.room(day, tick);
            end - width(day) >= self.free_from.1
        });
        if let Some(day) = &day {
            self.free_from.1 = self.room(day, tick).1 + BETWEEN;
            self.last_day = Some(day.clone());
        }
        self.placed.push(Label { tick, x, time, day });
        true
    }

    /// Where a text has its middle and its end so that it stays within the edges.
    fn room(&self, text: &str, tick: f64) -> (f64, f64) {
        let half = width(text) / 2.0;
        let x = tick.min(self.edges.1 - half).max(self.edges.0 + half);
        (x, x + half)
    }

    pub(super) fn placed(self) -> Vec<Label> {
        self.placed
    }
}

/// How wide a text is, about.
pub(super) fn width(text: &str) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a label is short")]
    let columns = text.width() as f64;
    columns * LETTER
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::words::Lang;

    #[test]
    fn ticks_are_at_round_numbers() {
        for (most, ticks) in [
            (200.0, vec![0.0, 50.0, 100.0, 150.0, 200.0]),
            (0.0, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
            (1.0, vec![0.0, 0.25, 0.5, 0.75, 1.0]),
            (3.0, vec![0.0, 1.0, 2.0, 3.0]),
            (7.0, vec![0.0, 2.0, 4.0, 6.0, 8.0]),
            (5_000.0, vec![0.0, 2_000.0, 4_000.0, 6_000.0]),
        ] {
            assert_eq!(round_numbers(most), ticks, "{most}");
        }
    }

    #[test]
    fn times_are_round_where_the_place_is() {
        let india = Words::at(Lang::En, TimeZone::fixed(jiff::tz::Offset::from_seconds(5 * 3_600 + 1_800).unwrap()));
        let times = round_times(1_764_079_201_000, 1_764_079_201_000 + 3 * HOUR, HOUR, &india);
        let times: Vec<_> = times.into_iter().map(|time| india.minute(time)).collect();
        assert_eq!(times, ["20:00", "21:00", "22:00"]);
    }

    #[test]
    fn steps_fit_the_length_of_a_run() {
        // Ten ticks across so many seconds.
        for (seconds, step) in [(3, SECOND), (33 * 60, 5 * MINUTE), (14 * 3_600, 2 * HOUR), (4 * 86_400, 12 * HOUR)] {
            assert_eq!(time_step(f64::from(seconds) * 100.0), step, "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn the_last_tick_is_above_all_and_there_are_few(most in 1e-3_f64..1e9) {
            let ticks = round_numbers(most);
            prop_assert!((2..=6).contains(&ticks.len()), "{ticks:?}");
            prop_assert!(ticks.last().copied().unwrap_or_default() >= most * 0.999, "{ticks:?}");
        }

        #[test]
        fn no_label_is_over_another(ticks in proptest::collection::vec(0_i64..40 * DAY, 1..60), wide in 200.0_f64..1_000.0, step in 0..STEPS.len()) {
            let words = Words::at(Lang::Zh, TimeZone::UTC);
            let mut labels = Labels::new(&words, STEPS[step], (0.0, wide));
            let mut ticks = ticks;
            ticks.sort_unstable();
            #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
            let x = |tick: i64| tick as f64 / (40 * DAY) as f64 * wide;
            for tick in ticks {
                labels.place(tick, x(tick));
            }
            let placed = labels.placed();
            prop_assert!(!placed.is_empty());
            for pair in placed.windows(2) {
                prop_assert!(pair[0].x + width(&pair[0].time) / 2.0 <= pair[1].x - width(&pair[1].time) / 2.0);
            }
            let days: Vec<_> = placed.iter().filter_map(|label| Some((label.tick, label.day.as_ref()?))).collect();
            for pair in days.windows(2) {
                prop_assert!(pair[0].1 != pair[1].1);
            }
        }
    }
}
