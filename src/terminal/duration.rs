//! Lengths of time for people.

use std::time::Duration;

/// A length of time in English: `1 h 25 min`.
pub fn time(length: Duration) -> String {
    two_units(length, ["d", "h", "min", "s"])
}

/// A length of time in two units at most, of day, hour, minute and second.
pub fn two_units(length: Duration, units: [&str; 4]) -> String {
    let seconds = length.as_secs();
    let [day, hour, minute, second] = units;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} {second}"),
        (0, 0, minutes, seconds) => format!("{minutes} {minute} {seconds} {second}"),
        (0, hours, minutes, _) => format!("{hours} {hour} {minutes} {minute}"),
        (days, hours, _, _) => format!("{days} {day} {hours} {hour}"),
    }
}
