//! The limit of failures: `--max-failures`.

use std::str::FromStr;

use crate::terminal::escape::Quoted;

/// Before this many edits are settled, a share of failures means nothing.
const SHARE_FROM: u64 = 100;

/// How many edits may fail or come into doubt before the run stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureLimit {
    /// This many.
    Count(u64),
    /// This share, in percent, once a hundred edits are settled.
    Percent(u8),
}

/// Text that is not a limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} is no limit; write a number of edits (50) or a share (20%)", Quoted(.0))]
pub struct FailureLimitError(String);

impl FromStr for FailureLimit {
    type Err = FailureLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let limit = match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(FailureLimit::Percent),
            None => text.parse().ok().map(FailureLimit::Count),
        };
        limit.ok_or_else(|| FailureLimitError(text.to_owned()))
    }
}

impl std::fmt::Display for FailureLimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FailureLimit::Count(count) => write!(f, "{count}"),
            FailureLimit::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl FailureLimit {
    pub(super) fn is_passed(self, failures: u64, settled: u64) -> bool {
        match self {
            FailureLimit::Count(count) => failures > count,
            FailureLimit::Percent(percent) => settled >= SHARE_FROM && failures * 100 > settled * u64::from(percent),
        }
    }
}
