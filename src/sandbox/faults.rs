//! How the sandbox misbehaves: read from text such as `20004=2%,latency=20ms..80ms,lost-after=1%`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// Shares are kept as parts of a million, so that 0.0001 % is the finest and sums are exact.
const WHOLE: u32 = 1_000_000;

/// The longest latency: beyond it a client has long given up, and `silent-before` says so better.
const LATENCY_MAX: Duration = Duration::from_mins(1);

/// What can go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Answered with this `ErrorCode`; nothing is changed.
    Code(i64),
    /// The connection is closed without an answer, before the edit takes place.
    LostBefore,
    /// The connection is closed without an answer, after the edit took place.
    LostAfter,
    /// Never answered, and the edit does not take place.
    SilentBefore,
    /// Never answered, although the edit took place.
    SilentAfter,
    /// Answered with this HTTP status and a page of HTML; nothing is changed.
    Http(u16),
    /// Answered with HTTP 200 and a page of HTML, after the edit took place.
    Garbage,
}

impl Fault {
    /// Whether a request that meets it is carried out all the same.
    pub fn takes_effect(self) -> bool {
        match self {
            Fault::LostAfter | Fault::SilentAfter | Fault::Garbage => true,
            Fault::Code(_) | Fault::LostBefore | Fault::SilentBefore | Fault::Http(_) => false,
        }
    }

    fn parse(name: &str) -> Option<Fault> {
        match name {
            "lost-before" => Some(Fault::LostBefore),
            "lost-after" => Some(Fault::LostAfter),
            "silent-before" => Some(Fault::SilentBefore),
            "silent-after" => Some(Fault::SilentAfter),
            "garbage" => Some(Fault::Garbage),
            other => match other.strip_prefix("http-") {
                Some(status) => status.parse().ok().filter(|status| (400..600).contains(status)).map(Fault::Http),
                None => other.parse().ok().filter(|code| *code > 0).map(Fault::Code),
            },
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Code(code) => write!(f, "{code}"),
            Fault::LostBefore => f.write_str("lost-before"),
            Fault::LostAfter => f.write_str("lost-after"),
            Fault::SilentBefore => f.write_str("silent-before"),
            Fault::SilentAfter => f.write_str("silent-after"),
            Fault::Http(status) => write!(f, "http-{status}"),
            Fault::Garbage => f.write_str("garbage"),
        }
    }
}

/// How often which fault happens, how long answers take, and how many messages are unknown.
///
/// As text: parts with commas between them, each `name=share%`, or `latency=40ms`, or `latency=20ms..80ms`. The
/// names: an `ErrorCode`, `lost-before`, `lost-after`, `silent-before`, `silent-after`, `http-400` to `http-599`,
/// `garbage` (shares of the requests), and `unknown` (share of the messages, decided for each once and for all).
/// `none` is no misbehaviour at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Each with its share of the requests, in millionths; in the order in which they were given.
    shares: Vec<(Fault, u32)>,
    latency: Option<RangeInclusive<Duration>>,
    unknown: u32,
}

impl Faults {
    /// A service that always does as it is asked, at once.
    pub const fn none() -> Faults {
        Faults { shares: Vec::new(), latency: None, unknown: 0 }
    }

    /// Draws what happens to the next request.
    pub fn draw(&self, rng: &mut fastrand::Rng) -> Option<Fault> {
        if self.shares.is_empty() {
            return None;
        }
        let mut rest = rng.u32(0..WHOLE);
        for (fault, share) in &self.shares {
            if rest < *share {
                return Some(*fault);
            }
            rest -= share;
        }
        None
    }

    /// Draws how long the next answer takes.
    pub fn draw_latency(&self, rng: &mut fastrand::Rng) -> Duration {
        match &self.latency {
            None => Duration::ZERO,
            Some(range) => range.start().saturating_add(range.end().saturating_sub(*range.start()).mul_f64(rng.f64())),
        }
    }

    /// Whether the message with this hash is one that the service does not know. The same seed and hash always give
    /// the same, whatever was asked for before.
    pub fn is_unknown(&self, seed: u64, hash: u64) -> bool {
        self.unknown > 0 && fastrand::Rng::with_seed(seed ^ hash).u32(0..WHOLE) < self.unknown
    }
}

/// A text that says no [`Faults`]: which part, and what is allowed there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FaultsError {
    /// No such name, or nothing after it.
    #[error(
        "{part:?}: not understood; allowed are none, or CODE=2%, lost-before, lost-after, silent-before, silent-after, \
         http-400 to http-599, garbage or unknown (each =SHARE%), and latency=40ms or latency=20ms..80ms, \
         with commas between them"
    )]
    Part {
        /// The part as it was given.
        part: String,
    },
    /// A share that is none.
    #[error("{part:?}: the share must be a percentage from 0% to 100% with at most four decimals, such as 0.5%")]
    Share {
        /// The part as it was given.
        part: String,
    },
    /// A latency that is none.
    #[error("{part:?}: the latency must be a time such as 40ms, or a range such as 20ms..80ms, of 60s at most")]
    Latency {
        /// The part as it was given.
        part: String,
    },
    /// The same name twice.
    #[error("{part:?}: it is there twice; give each name once")]
    Twice {
        /// The second of them as it was given.
        part: String,
    },
    /// Shares of the requests that cannot all be.
    #[error("the shares of the requests add up to {sum}%; they can make 100% at most")]
    TooMuch {
        /// What they add up to.
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
        let mut unknown = None;
        for part in text.split(',').map(str::trim) {
            let owned = || part.to_owned();
            let (name, value) = part.split_once('=').ok_or_else(|| FaultsError::Part { part: owned() })?;
            let twice = if name == "latency" {
                let latency = parse_latency(value).ok_or_else(|| FaultsError::Latency { part: owned() })?;
                faults.latency.replace(latency).is_some()
            } else if name == "unknown" {
                let share = parse_share(value).ok_or_else(|| FaultsError::Share { part: owned() })?;
                unknown.replace(share).is_some()
            } else {
                let fault = Fault::parse(name).ok_or_else(|| FaultsError::Part { part: owned() })?;
                let share = parse_share(value).ok_or_else(|| FaultsError::Share { part: owned() })?;
                let twice = faults.shares.iter().any(|(other, _)| *other == fault);
                faults.shares.push((fault, share));
                twice
            };
            if twice {
                return Err(FaultsError::Twice { part: owned() });
            }
        }
        faults.unknown = unknown.unwrap_or(0);
        let sum = faults.shares.iter().fold(0_u32, |sum, (_, share)| sum.saturating_add(*share));
        if sum > WHOLE {
            return Err(FaultsError::TooMuch { sum: percent(sum) });
        }
        Ok(faults)
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> =
            self.shares.iter().map(|(fault, share)| format!("{fault}={}%", percent(*share))).collect();
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
        f.write_str(if parts.is_empty() { "none" } else { "" })?;
        f.write_str(&parts.join(","))
    }
}

/// Millionths as a percentage, without the sign: 5000 is `0.5`.
fn percent(share: u32) -> String {
    let text = format!("{}.{:04}", share / 10_000, share % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `0.5%` as millionths. Read digit by digit, so that what was written is what is meant.
fn parse_share(text: &str) -> Option<u32> {
    let number = text.strip_suffix('%')?;
    let (whole, decimals) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 4 {
        return None;
    }
    let share = whole.parse::<u32>().ok()?.checked_mul(10_000)? + format!("{decimals:0<4}").parse::<u32>().ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: &str = "20004=2%,60007=0.5%,lost-before=1%,lost-after=1%,silent-before=0.1%,silent-after=0.1%,\
                              http-502=1%,http-429=1%,garbage=0.0001%,latency=20ms..80ms,unknown=1%";

    #[test]
    fn what_was_written_shows_as_it_was_written() {
        for text in [EVERYTHING, "none", "latency=40ms", "latency=1.5s", "http-599=100%", "unknown=100%", "1=12.34%"] {
            assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
        }
        assert_eq!("".parse(), Ok(Faults::none()));
        assert_eq!(" 20004=2% , garbage=1.50% ".parse::<Faults>().unwrap().to_string(), "20004=2%,garbage=1.5%");
    }

    #[test]
    fn a_bad_part_is_named_and_what_is_allowed_is_said() {
        for (text, says) in [
            ("20004", "\"20004\": not understood"),
            ("lost=1%", "\"lost=1%\": not understood"),
            ("0=1%", "\"0=1%\": not understood"),
            ("http-200=1%", "http-400 to http-599"),
            ("garbage=1%,", "\"\": not understood"),
            ("20004=2", "\"20004=2\": the share must be"),
            ("20004=101%", "the share must be"),
            ("20004=-1%", "the share must be"),
            ("20004=1.00001%", "the share must be"),
            ("20004=.5%", "the share must be"),
            ("20004=99999999999%", "the share must be"),
            ("unknown=x", "\"unknown=x\": the share must be"),
            ("latency=fast", "\"latency=fast\": the latency must be"),
            ("latency=80ms..20ms", "the latency must be"),
            ("latency=61s", "the latency must be"),
            ("latency=-1s", "the latency must be"),
            ("garbage=1%,garbage=2%", "\"garbage=2%\": it is there twice"),
            ("latency=1s,latency=1s", "it is there twice"),
            ("unknown=0%,unknown=1%", "it is there twice"),
            ("1=60%,2=40.5%", "add up to 100.5%"),
        ] {
            let message = text.parse::<Faults>().unwrap_err().to_string();
            assert!(message.contains(says), "{text}: {message}");
        }
    }

    #[test]
    fn faults_come_in_their_shares_and_the_seed_decides_which() {
        let faults: Faults = "20004=10%,lost-after=30%".parse().unwrap();
        let draws = |seed| {
            let mut rng = fastrand::Rng::with_seed(seed);
            (0..10_000).map(|_| faults.draw(&mut rng)).collect::<Vec<_>>()
        };
        let of = |wanted| draws(1).iter().filter(|drawn| **drawn == wanted).count();
        assert!((850..1150).contains(&of(Some(Fault::Code(20004)))));
        assert!((2800..3200).contains(&of(Some(Fault::LostAfter))));
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let always: Faults = "garbage=100%".parse().unwrap();
        assert!((0..1000).all(|_| always.draw(&mut fastrand::Rng::new()) == Some(Fault::Garbage)));
    }

    #[test]
    fn latency_stays_in_its_range() {
        let faults: Faults = "latency=20ms..80ms".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..1000 {
            let latency = faults.draw_latency(&mut rng);
            assert!((Duration::from_millis(20)..=Duration::from_millis(80)).contains(&latency));
        }
        assert_eq!(Faults::none().draw_latency(&mut rng), Duration::ZERO);
    }

    #[test]
    fn the_share_of_unknown_messages_is_stable() {
        let faults: Faults = "unknown=10%".parse().unwrap();
        let mut rng = fastrand::Rng::with_seed(1);
        let hashes: Vec<u64> = std::iter::repeat_with(|| rng.u64(..)).take(10_000).collect();
        let unknown = |seed| hashes.iter().map(|hash| faults.is_unknown(seed, *hash)).collect::<Vec<_>>();
        assert!((850..1150).contains(&unknown(1).iter().filter(|is| **is).count()));
        assert_eq!(unknown(1), unknown(1));
        assert_ne!(unknown(1), unknown(2));
        assert!(!Faults::none().is_unknown(1, 1));
    }
}
