//! Parses and formats [`Faults`].

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use super::{Fault, FaultShare, Faults, HistoryFaults, NamesFault, WHOLE};
use crate::api::endpoint::ApiMethod;
use crate::terminal::escape::Quoted;

/// The longest latency: by then any client has timed out, which `silent-before` expresses better.
const LATENCY_MAX: Duration = Duration::from_mins(1);

/// The prefixes for the name of a fault that only one call meets, without the dot.
const CALLS: [(&str, ApiMethod); 2] = [("edit", ApiMethod::ModifyC2cMsg), ("read", ApiMethod::AdminGetRoamMsg)];

/// Why a text is not valid [`Faults`]: the part, and what is allowed there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// An unknown name, or no value.
    #[error(
        "{}: not understood; allowed are none, or, with commas between them: CODE=2%, lost-before, lost-after, \
         lost-late, silent-before, silent-after, http-300 to http-599, http-300-after to http-599-after or garbage (each =SHARE%, and with edit. or read. \
         before it for that call alone), unknown=2%, latency=40ms or latency=20ms..80ms, and history=older-names, \
         history=newer-names or history=one-sided",
        Quoted(part)
    )]
    Part {
        /// The part as it was given.
        part: String,
    },
    /// An invalid share.
    #[error(
        "{}: the share must be a percentage from 0% to 100% with at most four decimals, such as 0.5%",
        Quoted(part)
    )]
    FaultShare {
        /// The part as it was given.
        part: String,
    },
    /// An invalid latency.
    #[error("{}: the latency must be a time such as 40ms, or a range such as 20ms..80ms, of 60s at most", Quoted(part))]
    Latency {
        /// The part as it was given.
        part: String,
    },
    /// An invalid history fault.
    #[error(
        "{}: the history must be older-names or newer-names, one-sided, or one of each with + between them, \
         such as history=older-names+one-sided",
        Quoted(part)
    )]
    HistoryFaults {
        /// The part as it was given.
        part: String,
    },
    /// A name that is given twice for one call.
    #[error("{}: given twice; give each name once", Quoted(part))]
    Twice {
        /// The second occurrence as it was given.
        part: String,
    },
    /// Shares that exceed the requests.
    #[error("the shares of the requests to {call} add up to {sum}%; they can make 100% at most")]
    TooMuch {
        /// The call: `edit` or `read`.
        call: &'static str,
        /// The sum of the shares.
        sum: String,
    },
}

impl FromStr for Faults {
    type Err = FaultsError;

    fn from_str(text: &str) -> Result<Faults, FaultsError> {
        let mut faults = Faults::none();
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(faults);
        }
        let (mut unknown, mut history) = (None, None);
        for part in text.split(',').map(str::trim) {
            let owned = || part.to_owned();
            let (name, value) = part.split_once('=').ok_or_else(|| FaultsError::Part { part: owned() })?;
            let is_twice = match name {
                "latency" => {
                    let latency = parse_latency(value).ok_or_else(|| FaultsError::Latency { part: owned() })?;
                    faults.latency.replace(latency).is_some()
                }
                "unknown" => {
                    let share = parse_share(value).ok_or_else(|| FaultsError::FaultShare { part: owned() })?;
                    unknown.replace(share).is_some()
                }
                "history" => {
                    let behaviour = parse_history(value).ok_or_else(|| FaultsError::HistoryFaults { part: owned() })?;
                    history.replace(behaviour).is_some()
                }
                name => {
                    let (fault, call) = parse_name(name).ok_or_else(|| FaultsError::Part { part: owned() })?;
                    let millionths = parse_share(value).ok_or_else(|| FaultsError::FaultShare { part: owned() })?;
                    let share = FaultShare { fault, call, millionths };
                    let is_twice = faults.shares.iter().any(|other| other.fault == fault && other.overlaps(share));
                    faults.shares.push(share);
                    is_twice
                }
            };
            if is_twice {
                return Err(FaultsError::Twice { part: owned() });
            }
        }
        faults.unknown = unknown.unwrap_or(0);
        faults.history = history.unwrap_or_default();
        for (name, call) in CALLS {
            let shares = faults.shares.iter().filter(|share| share.is_met_by(call));
            let sum = shares.fold(0_u32, |sum, share| sum.saturating_add(share.millionths));
            if sum > WHOLE {
                return Err(FaultsError::TooMuch { call: name, sum: percent(sum) });
            }
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.shares.iter().map(FaultShare::to_string).collect();
        if let Some(range) = &self.latency {
            parts.push(if range.start() == range.end() {
                format!("latency={:?}", range.start())
            } else {
                format!("latency={:?}..{:?}", range.start(), range.end())
            });
        }
        if self.unknown > 0 {
            parts.push(format!("unknown={}%", percent(self.unknown)));
        }
        let words = history_words(self.history);
        if !words.is_empty() {
            parts.push(format!("history={}", words.join("+")));
        }
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(","))
    }
}

impl fmt::Display for FaultShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = CALLS.iter().find(|(_, call)| Some(*call) == self.call) {
            write!(f, "{name}.")?;
        }
        write!(f, "{}={}%", self.fault, percent(self.millionths))
    }
}

/// Parses a fault's name, and the only call that meets it: `edit.lost-after`.
fn parse_name(name: &str) -> Option<(Fault, Option<ApiMethod>)> {
    let only = CALLS.iter().find_map(|(call_name, call)| {
        let rest = name.strip_prefix(call_name)?.strip_prefix('.')?;
        Some((rest, *call))
    });
    match only {
        Some((rest, call)) => Some((Fault::parse(rest)?, Some(call))),
        None => Some((Fault::parse(name)?, None)),
    }
}

fn parse_history(text: &str) -> Option<HistoryFaults> {
    let mut history = HistoryFaults::default();
    for word in text.split('+').map(str::trim) {
        match (word, history) {
            ("older-names", HistoryFaults { names: NamesFault::Both, .. }) => history.names = NamesFault::Older,
            ("newer-names", HistoryFaults { names: NamesFault::Both, .. }) => history.names = NamesFault::Newer,
            ("one-sided", HistoryFaults { is_one_sided: false, .. }) => history.is_one_sided = true,
            _ => return None,
        }
    }
    Some(history)
}

fn history_words(history: HistoryFaults) -> Vec<&'static str> {
    let names = match history.names {
        NamesFault::Both => None,
        NamesFault::Older => Some("older-names"),
        NamesFault::Newer => Some("newer-names"),
    };
    names.into_iter().chain(history.is_one_sided.then_some("one-sided")).collect()
}

/// Formats millionths as a percentage, without the sign: 5000 is `0.5`.
fn percent(share: u32) -> String {
    let text = format!("{}.{:04}", share / 10_000, share % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Parses `0.5%` as millionths. In decimal, so that the value is exact.
fn parse_share(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let share = whole.parse::<u32>().ok()?.checked_mul(10_000)?.checked_add(format!("{decimals:0<4}").parse().ok()?)?;
    (share <= WHOLE).then_some(share)
}

fn parse_latency(text: &str) -> Option<RangeInclusive<Duration>> {
    let time = |text: &str| -> Option<Duration> {
        let time = Duration::try_from(text.trim().parse::<jiff::SignedDuration>().ok()?).ok()?;
        (time <= LATENCY_MAX).then_some(time)
    };
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (time(first)?, time(last)?);
    (first <= last).then_some(first..=last)
}
