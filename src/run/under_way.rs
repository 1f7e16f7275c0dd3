//! How long a request may be under way after nobody waits for its answer any more.

use std::time::Duration;

use crate::api::client::UNDERWAY_MAX;
use crate::api::proxy::KEEPS_MAX;

/// The service works on a request for at most 3 s. The rest is for the way there, and for its storage to show what it did.
pub(super) const READ_BACK_AFTER: Duration = Duration::from_secs(5);

/// For how long nothing is looked at, or sent again, that may be under way yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// What this run sent, from when its answer was given up.
    pub of_this_run: Duration,
    /// What an earlier run sent, from when it cannot send any more.
    pub of_earlier_runs: Duration,
}

impl UnderWay {
    /// Where nothing but the network is on the way to the service.
    pub const DIRECT: UnderWay =
        UnderWay { of_this_run: READ_BACK_AFTER, of_earlier_runs: UNDERWAY_MAX.saturating_add(READ_BACK_AFTER) };

    /// Whether a proxy is on the way of this run, and whether one was on the way of an earlier one: it may pass on what it
    /// has taken, however long ago the kernel was told that it arrived.
    pub fn by_way_of(proxy: bool, proxy_before: bool) -> UnderWay {
        let kept = |proxy| if proxy { KEEPS_MAX } else { Duration::ZERO };
        let UnderWay { of_this_run, of_earlier_runs } = UnderWay::DIRECT;
        UnderWay {
            of_this_run: of_this_run + kept(proxy),
            of_earlier_runs: of_earlier_runs + kept(proxy || proxy_before),
        }
    }
}
