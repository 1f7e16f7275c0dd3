//! Durations for display.

use std::time::Duration;

/// The duration in English, in at most two units: `1 h 25 min`.
pub fn format_duration(duration: Duration) -> String {
    in_two_units(duration, ["d", "h", "min", "s"])
}

/// The duration in at most two units, given the words for day, hour, minute and second.
pub fn in_two_units(duration: Duration, [day, hour, minute, second]: [&str; 4]) -> String {
    let seconds = duration.as_secs();
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} {second}"),
        (0, 0, minutes, seconds) => format!("{minutes} {minute} {seconds} {second}"),
        (0, hours, minutes, _) => format!("{hours} {hour} {minutes} {minute}"),
        (days, hours, _, _) => format!("{days} {day} {hours} {hour}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_at_most_two_units() {
        for (seconds, text) in
            [(0, "0 s"), (9, "9 s"), (59, "59 s"), (61, "1 min 1 s"), (3_700, "1 h 1 min"), (200_000, "2 d 7 h")]
        {
            assert_eq!(format_duration(Duration::from_secs(seconds)), text);
        }
    }
}
