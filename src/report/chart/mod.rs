//! Charts, as pure functions from data to SVG. Colours and fonts come from [`CHART_CSS`], so that light and dark work
//! without a word here. Each is drawn twice, for wide and for narrow screens: shrunk, its letters could not be read.

mod axis;
mod bins;
mod latency;
mod over_time;
mod together;

use maud::{Markup, html};

use self::bins::thinned;
pub use self::latency::{caption, latency};
pub use self::over_time::over_time;
pub use self::together::together;
use crate::ledger::{ControlAction, Sample};

/// The style sheet of the charts: the palette, light, dark and for print, and what each class looks like.
pub const CHART_CSS: &str = include_str!("chart.css");

/// Samples of one run that are drawn at most: a screen has not many more points.
const POINTS_MAX: usize = 300;

/// One run, to be drawn.
#[derive(Clone, Debug, Default)]
pub struct RunSeries {
    /// How far it was, in the order of time; counts are from the run's beginning.
    pub samples: Vec<Sample>,
    /// How operators changed it, and when (milliseconds since 1970).
    pub acts: Vec<(i64, ControlAction)>,
}

impl RunSeries {
    /// Takes what is drawn of a run: of many samples one in so many, and always the first and the last.
    pub fn new(samples: Vec<Sample>, acts: Vec<(i64, ControlAction)>) -> RunSeries {
        RunSeries { samples: thinned(samples, POINTS_MAX), acts }
    }
}

/// How large a chart is, in its own units, which are pixels where there is room.
#[derive(Clone, Copy, Debug)]
struct Size {
    class: &'static str,
    width: f64,
    height: f64,
}

/// A line of a legend: a little picture, and what it means.
fn legend(entries: &[(Markup, &str)]) -> Markup {
    html! {
        ul.legend {
            @for (picture, what) in entries {
                li { svg viewBox="0 0 18 12" aria-hidden="true" { (picture) } span { (what) } }
            }
        }
    }
}

/// A coordinate: a tenth of a pixel is enough.
fn at(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded.fract() == 0.0 { format!("{rounded:.0}") } else { format!("{rounded:.1}") }
}
