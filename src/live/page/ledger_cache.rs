//! What the ledger knows beside the view of this moment: the samples and acts of its runs.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::ledger::{ControlEvent, LedgerError, overview_beside_writer};
use crate::report::chart::RunSeries;

/// A sample comes every few seconds; those in between are made of the view.
const FRESH: Duration = Duration::from_secs(2);
/// Runs that are drawn.
const RUNS_MAX: usize = 12;
/// Acts that are listed.
pub(super) const ACTS_MAX: usize = 8;

/// Reads it, and not more often than there can be something new.
#[derive(Debug)]
pub(super) struct LedgerCache {
    ledger: PathBuf,
    read: Mutex<Option<(Instant, Arc<LedgerView>)>>,
}

/// What the ledger knew.
#[derive(Clone, Debug, Default)]
pub(super) struct LedgerView {
    /// The last of them is the current run.
    pub(super) runs: Vec<RunSeries>,
    /// When, and what; the last one first.
    pub(super) acts: Vec<(i64, ControlEvent)>,
}

impl LedgerCache {
    pub(super) fn new(ledger: &Path) -> LedgerCache {
        LedgerCache { ledger: ledger.to_owned(), read: Mutex::new(None) }
    }

    /// Makes the next call read the ledger again.
    pub(super) fn is_stale(&self) {
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn known(&self) -> Arc<LedgerView> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, known)) = &*read
            && at.elapsed() < FRESH
        {
            return Arc::clone(known);
        }
        let known = look(&self.ledger).unwrap_or_else(|error| {
            // A ledger that fails stops the run, which is reported elsewhere.
            tracing::debug!(?error, "the page could not look at the ledger");
            read.take().map(|(_, known)| LedgerView::clone(&known)).unwrap_or_default()
        });
        let known = Arc::new(known);
        *read = Some((Instant::now(), Arc::clone(&known)));
        known
    }
}

fn look(ledger: &Path) -> Result<LedgerView, LedgerError> {
    let overview = overview_beside_writer(ledger)?;
    let acts = overview.acts()?;
    let runs = overview.runs()?;
    let first = runs.len().saturating_sub(RUNS_MAX);
    let series = |run| -> Result<RunSeries, LedgerError> {
        let actions = acts.iter().filter(|(of, ..)| *of == run).map(|(_, at, act)| (*at, act.what)).collect();
        Ok(RunSeries::new(overview.samples(run)?, actions))
    };
    let runs = runs[first..].iter().map(|run| series(run.run)).collect::<Result<_, _>>()?;
    let acts = acts.into_iter().rev().take(ACTS_MAX).map(|(_, at, act)| (at, act)).collect();
    Ok(LedgerView { runs, acts })
}
