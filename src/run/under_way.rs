//! How long a request may still be under way once its answer is given up.

use std::time::Duration;

use crate::api::client::UNDERWAY_MAX;
use crate::api::proxy::KEEPS_MAX;

/// The service works on a request for at most 3 s. The rest is for the way there, and for its storage to show the
/// result.
pub(super) const READ_BACK_AFTER: Duration = Duration::from_secs(5);

/// How long nothing that may still be under way is read back or sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// For what this run sent, from when its answer was given up.
    pub of_this_run: Duration,
    /// For what an earlier run sent, from when it could no longer send.
    pub of_earlier_runs: Duration,
}

impl UnderWay {
    /// With nothing but the network between the run and the service.
    pub const DIRECT: UnderWay =
        UnderWay { of_this_run: READ_BACK_AFTER, of_earlier_runs: UNDERWAY_MAX.saturating_add(READ_BACK_AFTER) };

    /// With or without a proxy in this run and in an earlier one. A proxy may pass on what it took, long after the
    /// kernel reported its arrival.
    pub fn by_way_of(proxy: bool, proxy_before: bool) -> UnderWay {
        let kept = |proxy| if proxy { KEEPS_MAX } else { Duration::ZERO };
        let UnderWay { of_this_run, of_earlier_runs } = UnderWay::DIRECT;
        UnderWay {
            of_this_run: of_this_run + kept(proxy),
            of_earlier_runs: of_earlier_runs + kept(proxy || proxy_before),
        }
    }
}
