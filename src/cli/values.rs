//! Parsers of values, and their bounds.

use std::ffi::OsStr;
use std::fmt::Display;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PathBufValueParser, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::api::endpoint::RegionHost;
use crate::ledger::LedgerAddress;

/// Longer waits are pointless, as the service itself gives up after 3 s; and an hour can be added to any clock.
const TIME_MAX: Duration = Duration::from_hours(1);

/// Far above what any service or sandbox accepts.
pub const RATE_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
/// The service's limit for reading messages back.
pub(super) const LOOKUPS_MAX: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// The number of ports of an address: no more connections can be open.
pub const CONCURRENCY_MAX: NonZeroUsize = NonZeroUsize::new(65_535).unwrap();
/// Eight attempts take a minute; this many, a working day.
pub const ATTEMPTS_MAX: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// No list is longer: at 200 a second this would take a century and a half.
pub(super) const ROWS_MAX: NonZeroU64 = NonZeroU64::new(1_000_000_000_000).unwrap();

/// A number from 1 to `max`.
pub(super) fn at_most<T>(max: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| format!("write a whole number from 1 to {max}"))
    }
}

/// The path of a file, or the URL of a job in a database.
pub(super) fn ledger_address() -> impl TypedValueParser<Value = LedgerAddress> {
    LedgerAddressParser
}

/// clap shows a value that it refuses, and this one may hold a password.
#[derive(Clone)]
struct LedgerAddressParser;

impl TypedValueParser for LedgerAddressParser {
    type Value = LedgerAddress;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<LedgerAddress, clap::Error> {
        if value.is_empty() {
            // Refused as any missing value.
            PathBufValueParser::new().parse_ref(command, arg, value)?;
        }
        LedgerAddress::parse(value).map_err(|error| {
            let name = arg.map(ToString::to_string).unwrap_or_default();
            let message = format!("invalid value for '{name}': {error}\n");
            clap::Error::raw(ErrorKind::ValueValidation, message).with_cmd(command)
        })
    }
}

pub(super) fn region_hosts() -> impl TypedValueParser<Value = RegionHost> {
    let words = RegionHost::all().map(|host| host.to_string());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<RegionHost>())
}

/// A length of time: `10s`, `1m 30s`, `500ms`; an hour at most.
pub fn time(text: &str) -> Result<Duration, String> {
    let parsed: Option<Duration> = text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    let time = parsed.filter(|time| !time.is_zero()).ok_or("write a time such as 10s, 500ms or 1m 30s")?;
    if time > TIME_MAX { Err("it is more than an hour; the service gives up after 3 s".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `9223372036854775807s` was taken, and every attempt panicked when it was added to the clock.
    #[test]
    fn a_time_is_an_hour_at_most() {
        assert_eq!(time("1h"), Ok(TIME_MAX));
        for text in ["1h 1ns", "9223372036854775807s", "2562047788015215h"] {
            assert_eq!(time(text), Err("it is more than an hour; the service gives up after 3 s".to_owned()), "{text}");
        }
        for text in ["0s", "-1s", "-9223372036854775808s", "9223372036854775808s", "ten", ""] {
            assert_eq!(time(text), Err("write a time such as 10s, 500ms or 1m 30s".to_owned()), "{text}");
        }
    }
}
