//! The result of a run.

use std::time::Duration;

use crate::report::summary::Summary;
use crate::run::{Plan, RunEnd, Tally};

/// The result of a run.
pub(super) struct RunResult {
    pub(super) tally: Tally,
    pub(super) ended: RunEnd,
    /// How long the run took.
    pub(super) took: Duration,
}

impl RunResult {
    pub(super) fn summary<'a>(&'a self, plan: &'a Plan) -> Summary<'a> {
        let RunResult { tally, ended, took } = self;
        Summary {
            plan,
            tally,
            whole: None,
            log: None,
            originals: None,
            ended,
            took: *took,
            failed_rows: Vec::new(),
            report: None,
            resume: None,
        }
    }
}
