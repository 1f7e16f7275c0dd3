//! Moments for display.

use jiff::{Unit, Zoned, ZonedRound};

/// The moment: `07:00`, with the day unless it is today.
pub fn format_moment(moment: &Zoned, now: &Zoned) -> String {
    let moment = moment.with_time_zone(now.time_zone().clone());
    let minutes = moment.round(ZonedRound::new().smallest(Unit::Minute)).is_ok_and(|rounded| rounded == moment);
    let time = moment.strftime(if minutes { "%H:%M" } else { "%H:%M:%S" });
    if moment.date() == now.date() { time.to_string() } else { format!("{} {time}", moment.date()) }
}
