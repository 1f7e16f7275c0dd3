//! The faults of the sandbox, parsed from text such as `20004=2%,latency=20ms..80ms,lost-after=1%`.

mod text;

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

pub use self::text::FaultsError;
use crate::api::endpoint::ApiMethod;

/// Shares are stored in millionths, so that 0.0001 % is the finest and sums are exact.
const WHOLE: u32 = 1_000_000;

/// The longest time that the service works on a request, even after its client is gone.
const LATE_MAX: Duration = Duration::from_secs(3);

/// What can go wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Fault {
    /// Answered with this `ErrorCode`; nothing is changed.
    Code(i64),
    /// The connection is closed without an answer, and the edit does not take effect.
    LostBefore,
    /// The connection is closed without an answer, after the edit took effect.
    LostAfter,
    /// The connection is closed at once without an answer, and the edit takes effect within the next three seconds.
    LostLate,
    /// Never answered, and the edit does not take effect.
    SilentBefore,
    /// Never answered, although the edit took effect.
    SilentAfter,
    /// Answered with this HTTP status and a page of HTML; nothing is changed.
    Http(u16),
    /// Answered likewise, after the edit took effect.
    HttpAfter(u16),
    /// Answered with HTTP 200 and a page of HTML, after the edit took effect.
    Garbage,
}

impl Fault {
    /// Whether a request that meets it is still carried out, and at once.
    pub(super) fn takes_effect(self) -> bool {
        match self {
            Fault::LostAfter | Fault::SilentAfter | Fault::HttpAfter(_) | Fault::Garbage => true,
            Fault::Code(_) | Fault::LostBefore | Fault::LostLate | Fault::SilentBefore | Fault::Http(_) => false,
        }
    }

    fn parse(name: &str) -> Option<Fault> {
        match name {
            "lost-before" => Some(Fault::LostBefore),
            "lost-after" => Some(Fault::LostAfter),
            "lost-late" => Some(Fault::LostLate),
            "silent-before" => Some(Fault::SilentBefore),
            "silent-after" => Some(Fault::SilentAfter),
            "garbage" => Some(Fault::Garbage),
            other => match other.strip_prefix("http-") {
                Some(rest) => {
                    let (status, fault): (_, fn(u16) -> Fault) = match rest.strip_suffix("-after") {
                        Some(status) => (status, Fault::HttpAfter),
                        None => (rest, Fault::Http),
                    };
                    status.parse().ok().filter(|status| (300..600).contains(status)).map(fault)
                }
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
            Fault::LostLate => f.write_str("lost-late"),
            Fault::SilentBefore => f.write_str("silent-before"),
            Fault::SilentAfter => f.write_str("silent-after"),
            Fault::Http(status) => write!(f, "http-{status}"),
            Fault::HttpAfter(status) => write!(f, "http-{status}-after"),
            Fault::Garbage => f.write_str("garbage"),
        }
    }
}

/// How often one fault happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FaultShare {
    fault: Fault,
    /// The only call that meets it; `None` if both do.
    call: Option<ApiMethod>,
    /// In millionths of the requests.
    millionths: u32,
}

impl FaultShare {
    fn is_met_by(self, call: ApiMethod) -> bool {
        self.call.is_none_or(|only| only == call)
    }

    /// Whether some call meets both.
    fn overlaps(self, other: FaultShare) -> bool {
        self.call.is_none_or(|call| other.is_met_by(call))
    }
}

/// The account field names that a read-back may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NamesFault {
    /// Either.
    #[default]
    Both,
    /// `From_Account` and `To_Account` only.
    Older,
    /// `Operator_Account` and `Peer_Account` only.
    Newer,
}

/// The faults of the history. Behaviour that the service does not document exists here in both forms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct HistoryFaults {
    /// The names that it accepts; a request with others lacks its accounts.
    pub(super) names: NamesFault,
    /// Whether only the recipient of a message has it in their history.
    pub(super) is_one_sided: bool,
}

/// The shares of the faults, the latency, the share of unknown messages, and the faults of the history.
///
/// As text, its parts are separated by commas.
///
/// | part | |
/// |---|---|
/// | `20004=2%` | answered with this `ErrorCode` |
/// | `lost-before=1%` | the connection is closed, the edit does not take place |
/// | `lost-after=1%` | the connection is closed after the edit took place |
/// | `lost-late=1%` | the connection is closed at once, the edit takes place up to 3 s later |
/// | `silent-before=1%`, `silent-after=1%` | no answer, and the edit does not take place, or does |
/// | `http-502=1%`, `http-502-after=1%` | 300 to 599, with a page of HTML, and the edit does not take place, or did |
/// | `garbage=1%` | HTTP 200 with a page of HTML, after the edit took place |
/// | `unknown=1%` | no such message, neither to edit nor to read back; for each message decided once and for all |
/// | `latency=40ms`, `latency=20ms..80ms` | how long answers take |
/// | `history=older-names` | read-backs with the newer names of the accounts are refused; `newer-names`: the older |
/// | `history=one-sided` | only who received a message sees it; `history=older-names+one-sided`: both |
///
/// The shares, except `unknown`, apply to the requests of both calls; with `edit.` or `read.` before the name, to that
/// call's alone. For each call they add up to at most 100 %. `none` means no faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// In the given order.
    shares: Vec<FaultShare>,
    latency: Option<RangeInclusive<Duration>>,
    unknown: u32,
    history: HistoryFaults,
}

impl Faults {
    /// No faults: every request is carried out and answered at once.
    pub const fn none() -> Faults {
        let history = HistoryFaults { names: NamesFault::Both, is_one_sided: false };
        Faults { shares: Vec::new(), latency: None, unknown: 0, history }
    }

    /// Draws the fault of the next request of this call.
    pub(super) fn draw(&self, call: ApiMethod, rng: &mut fastrand::Rng) -> Option<Fault> {
        let mut shares = self.shares.iter().filter(|share| share.is_met_by(call)).peekable();
        shares.peek()?;
        let mut rest = rng.u32(0..WHOLE);
        for share in shares {
            if rest < share.millionths {
                return Some(share.fault);
            }
            rest -= share.millionths;
        }
        None
    }

    /// Draws the delay of a late edit after its request.
    pub(super) fn draw_late(rng: &mut fastrand::Rng) -> Duration {
        LATE_MAX.mul_f64(rng.f64())
    }

    /// The faults of the history.
    pub(super) fn history(&self) -> HistoryFaults {
        self.history
    }

    /// Draws the latency of the next answer.
    pub(super) fn draw_latency(&self, rng: &mut fastrand::Rng) -> Duration {
        match &self.latency {
            None => Duration::ZERO,
            Some(range) => range.start().saturating_add(range.end().saturating_sub(*range.start()).mul_f64(rng.f64())),
        }
    }

    /// Whether the message with this hash is unknown to the service. The same seed and hash always give the same
    /// result, whatever was requested before.
    pub(super) fn is_unknown(&self, seed: u64, hash: u64) -> bool {
        self.unknown > 0 && fastrand::Rng::with_seed(seed ^ hash).u32(0..WHOLE) < self.unknown
    }
}

#[cfg(test)]
mod tests;
