use jiff::tz::TimeZone;

use super::*;
use crate::ledger::Sample;
use crate::words::Lang;

const BEGIN: i64 = 1_764_079_201_000;

/// A run of so many seconds at 198 a second, with a sample every five.
fn run(begin: i64, seconds: i64) -> RunSeries {
    let sample = |second: i64| Sample {
        at: begin + second * 1_000,
        rate: 200,
        done: second.unsigned_abs() * 198,
        failed: second.unsigned_abs() / 100,
        requests: second.unsigned_abs() * 199,
        ..Sample::default()
    };
    RunSeries::new((0..seconds).step_by(5).chain([seconds]).map(sample).collect(), Vec::new())
}

fn check(runs: &[RunSeries], times: &[&str], days: &[&str]) {
    let words = Words::at(Lang::En, TimeZone::UTC);
    let labels = DrawnRun::new(runs, &words, WIDE).unwrap().labels();
    let found: Vec<_> = labels.iter().map(|label| label.time.as_str()).collect();
    assert_eq!(found, times);
    assert_eq!(labels.iter().filter_map(|label| label.day.as_deref()).collect::<Vec<_>>(), days);
}

#[test]
fn the_axis_fits_the_length() {
    check(&[run(BEGIN, 3)], &["14:00:01", "14:00:02", "14:00:03", "14:00:04"], &["25 Nov"]);
    check(&[run(BEGIN, 33 * 60)], &["14:05", "14:10", "14:15", "14:20", "14:25", "14:30"], &["25 Nov"]);
    let night = ["16:00", "18:00", "20:00", "22:00", "00:00", "02:00", "04:00"];
    check(&[run(BEGIN, 14 * 3_600)], &night, &["25 Nov", "26 Nov"]);
    let days = ["00:00", "12:00", "00:00", "12:00", "00:00", "12:00", "00:00", "12:00"];
    check(&[run(BEGIN, 4 * 86_400)], &days, &["26 Nov", "27 Nov", "28 Nov", "29 Nov"]);
}

#[test]
fn a_night_between_two_runs_takes_a_gap() {
    let runs = [run(BEGIN, 600), run(BEGIN + 50_000_000, 600)];
    let parts = parts(&runs, WIDE);
    let wide = |part: &RunSpan| part.x.1 - part.x.0;
    assert!((wide(&parts[0]) - wide(&parts[1])).abs() < 0.1);
    assert!((parts[1].x.0 - parts[0].x.1 - GAP).abs() < 0.1);
    assert!((parts[1].x.1 - (WIDE.width - RIGHT)).abs() < 0.1);
}

#[test]
fn many_short_runs_stay_within_the_width() {
    let runs: Vec<_> = (0..400).map(|number| run(BEGIN + number * 60_000, 6)).collect();
    for size in [WIDE, NARROW] {
        let parts = parts(&runs, size);
        assert!(parts.windows(2).all(|pair| pair[0].x.1 <= pair[1].x.0 && pair[0].x.0 < pair[0].x.1));
        assert!(parts.last().unwrap().x.1 <= size.width - RIGHT + 0.1);
    }
}

#[test]
fn a_pause_lasts_until_it_is_ended() {
    let mut stretch = run(BEGIN, 600);
    let minute = |number: i64| BEGIN + number * 60_000;
    stretch.acts = vec![
        (minute(1), ControlAction::Pause),
        (minute(2), ControlAction::Pause),
        (minute(3), ControlAction::Resume),
        (minute(4), ControlAction::Resume),
        (minute(5), ControlAction::Pause),
    ];
    assert_eq!(parts(&[stretch], WIDE)[0].pauses(), [(minute(1), minute(3)), (minute(5), minute(10))]);
}

#[test]
fn without_data_it_says_so() {
    let words = Words::at(Lang::En, TimeZone::UTC);
    for runs in [vec![], vec![RunSeries::default()], vec![RunSeries::new(vec![Sample::default(); 2], Vec::new())]] {
        let chart = over_time(&runs, &words).into_string();
        assert!(chart.contains(words.say.no_samples) && !chart.contains("<svg"), "{chart}");
    }
}

#[test]
fn a_long_run_is_a_short_text() {
    let words = Words::at(Lang::En, TimeZone::UTC);
    let chart = over_time(&[run(BEGIN, 14 * 3_600)], &words).into_string();
    assert!(chart.len() < 100_000, "{}", chart.len());
    assert!(!chart.contains("NaN") && !chart.contains("inf"));
}
