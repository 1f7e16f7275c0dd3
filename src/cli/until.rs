//! The time at which a run stops (`--until`).

use std::str::FromStr;

use jiff::civil::{DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

use crate::terminal::moment::format_moment;

/// A time, as given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Until {
    /// The next occurrence of a time of day.
    TimeOfDay(Time),
    /// A day and a local time.
    Local(DateTime),
    /// A moment.
    Moment(Zoned),
}

/// Why a time cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UntilError {
    /// It is not a time.
    #[error("write a time such as 07:00, 2026-03-01T07:00 or 2026-03-01T07:00+08:00")]
    NoTime,
    /// It has passed.
    #[error("--until {0} is over already; it is {1}")]
    Over(String, String),
    /// Jiff's calendar ends in the year 9999.
    #[error("--until: that is too far away")]
    TooFar,
}

impl FromStr for Until {
    type Err = UntilError;

    fn from_str(text: &str) -> Result<Until, UntilError> {
        // From the most to the least specific: each parser also accepts more specific texts than it needs.
        if let Ok(zoned) = text.parse::<Zoned>() {
            return Ok(Until::Moment(zoned));
        }
        if let Ok(moment) = text.parse::<Timestamp>() {
            return Ok(Until::Moment(moment.to_zoned(TimeZone::system())));
        }
        // A day alone would mean its midnight, which is hardly intended.
        if text.contains(':') {
            if let Ok(local) = text.parse::<DateTime>() {
                return Ok(Until::Local(local));
            }
            if let Ok(time) = text.parse::<Time>() {
                return Ok(Until::TimeOfDay(time));
            }
        }
        Err(UntilError::NoTime)
    }
}

impl Until {
    /// The moment that is meant, as of `now`.
    ///
    /// # Errors
    /// It has passed, or is too far away.
    pub fn moment(&self, now: &Zoned) -> Result<Zoned, UntilError> {
        let moment = match self {
            Until::TimeOfDay(time) => next(*time, now).map_err(|_| UntilError::TooFar)?,
            Until::Local(local) => local.to_zoned(now.time_zone().clone()).map_err(|_| UntilError::TooFar)?,
            Until::Moment(moment) => moment.clone(),
        };
        if moment <= *now {
            return Err(UntilError::Over(format_moment(&moment, now), format_moment(now, &moment)));
        }
        Ok(moment)
    }
}

/// Today, or else tomorrow. A time that clocks skip, as in spring, is an hour later; of a time that occurs twice, the first
/// counts.
fn next(time: Time, now: &Zoned) -> Result<Zoned, jiff::Error> {
    let on = |day: jiff::civil::Date| day.to_datetime(time).to_zoned(now.time_zone().clone());
    let today = on(now.date())?;
    if today > *now { Ok(today) } else { on(now.date().checked_add(1.day())?) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The moment that `text` means in Berlin, at this time.
    fn check(text: &str, now: &str) -> String {
        let now: Zoned = format!("{now}[Europe/Berlin]").parse().unwrap();
        let moment = text.parse::<Until>().and_then(|until| until.moment(&now));
        moment.map_or_else(|error| error.to_string(), |moment| moment.timestamp().to_string())
    }

    #[test]
    fn a_time_of_day_is_the_next_one() {
        assert_eq!(check("07:00", "2026-03-10T23:10"), "2026-03-11T06:00:00Z");
        assert_eq!(check("07:00", "2026-03-10T06:59"), "2026-03-10T06:00:00Z");
        // Whoever types the same again when it has come means the next morning.
        assert_eq!(check("07:00", "2026-03-10T07:00"), "2026-03-11T06:00:00Z");
        assert_eq!(check("23:30:15", "2026-12-31T23:31"), "2027-01-01T22:30:15Z");
    }

    #[test]
    fn clocks_that_are_put_forward_or_back_still_have_that_time() {
        // In the night of the 29th it is never 02:30.
        assert_eq!(check("02:30", "2026-03-28T22:00"), "2026-03-29T01:30:00Z");
        // In the night of 25 October it is 02:30 twice.
        assert_eq!(check("02:30", "2026-10-24T22:00"), "2026-10-25T00:30:00Z");
    }

    #[test]
    fn a_day_may_be_given_and_a_zone() {
        assert_eq!(check("2026-03-12T07:00", "2026-03-10T23:10"), "2026-03-12T06:00:00Z");
        assert_eq!(check("2026-03-12 07:00", "2026-03-10T23:10"), "2026-03-12T06:00:00Z");
        assert_eq!(check("2026-03-12T07:00+08:00", "2026-03-10T23:10"), "2026-03-11T23:00:00Z");
        assert_eq!(check("2026-03-12T07:00[Asia/Shanghai]", "2026-03-10T23:10"), "2026-03-11T23:00:00Z");
        assert_eq!(check("2026-03-12T07:00Z", "2026-03-10T23:10"), "2026-03-12T07:00:00Z");
    }

    #[test]
    fn what_is_over_or_no_time_is_refused() {
        let over = "--until 2026-03-10 07:00 is over already; it is 2026-03-11 08:30";
        assert_eq!(check("2026-03-10T07:00", "2026-03-11T08:30"), over);
        for text in ["", "7", "7 o'clock", "25:00", "2026-03-12", "tomorrow", "07:00 tomorrow"] {
            assert_eq!(check(text, "2026-03-10T23:10"), UntilError::NoTime.to_string(), "{text:?}");
        }
    }
}
