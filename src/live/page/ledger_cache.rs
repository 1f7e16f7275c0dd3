//! What the ledger knows beside the view of this moment: the samples and acts of its runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ledger::{ControlEvent, LedgerAddress, LedgerError, SharedJob, overview_beside_writer, unix_ms};
use crate::report::chart::{RunSeries, together};

/// A sample comes every few seconds; those in between are made of the view.
const FRESH: Duration = Duration::from_secs(2);
/// Runs that are drawn.
const RUNS_MAX: usize = 12;
/// Acts that are listed.
pub(super) const ACTS_MAX: usize = 8;

/// Reads it, and not more often than there can be something new.
#[derive(Debug)]
pub(in crate::live) struct LedgerCache {
    ledger: LedgerAddress,
    cached: Arc<Mutex<Cached>>,
}

#[derive(Debug, Default)]
struct Cached {
    known: Arc<LedgerView>,
    /// When it was read; `None`: it is to be read again.
    at: Option<Instant>,
    /// It is being read.
    is_under_way: bool,
}

/// What the ledger knew.
#[derive(Clone, Debug, Default)]
pub(in crate::live) struct LedgerView {
    /// The last of them is the current run.
    pub(super) runs: Vec<RunSeries>,
    /// When, and what; the last one first.
    pub(super) acts: Vec<(i64, ControlEvent)>,
    /// What all runs of the job share, if several can work on it together.
    pub(in crate::live) shared: Option<SharedJob>,
    /// When it was read, in milliseconds since 1970.
    pub(super) at: i64,
}

impl LedgerCache {
    pub(super) fn new(ledger: &LedgerAddress) -> LedgerCache {
        LedgerCache { ledger: ledger.clone(), cached: Arc::default() }
    }

    /// Makes the next call read the ledger again.
    pub(super) fn is_stale(&self) {
        lock(&self.cached).at = None;
    }

    /// What the ledger knew within the last seconds. A database may be far away, or out of reach: it is asked in the
    /// background, and until it has answered, this is what it said before.
    pub(in crate::live) fn known(&self) -> Arc<LedgerView> {
        let mut cached = lock(&self.cached);
        if cached.at.is_some_and(|at| at.elapsed() < FRESH) || cached.is_under_way {
            return Arc::clone(&cached.known);
        }
        if self.ledger.postgres().is_some()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            cached.is_under_way = true;
            let (ledger, waiting) = (self.ledger.clone(), Arc::clone(&self.cached));
            runtime.spawn_blocking(move || {
                let read = look(&ledger);
                lock(&waiting).take(read);
            });
        } else {
            cached.take(look(&self.ledger));
        }
        Arc::clone(&cached.known)
    }
}

impl Cached {
    fn take(&mut self, read: Result<LedgerView, LedgerError>) {
        match read {
            Ok(known) => self.known = Arc::new(known),
            // A ledger that fails stops the run, which is reported elsewhere.
            Err(error) => tracing::debug!(?error, "the page could not look at the ledger"),
        }
        self.at = Some(Instant::now());
        self.is_under_way = false;
    }
}

fn lock(cached: &Mutex<Cached>) -> MutexGuard<'_, Cached> {
    cached.lock().unwrap_or_else(PoisonError::into_inner)
}

fn look(ledger: &LedgerAddress) -> Result<LedgerView, LedgerError> {
    let overview = overview_beside_writer(ledger)?;
    let acts = overview.acts()?;
    let runs = overview.runs()?;
    let first = runs.len().saturating_sub(RUNS_MAX);
    let series = |run| -> Result<RunSeries, LedgerError> {
        let actions = acts.iter().filter(|(of, ..)| *of == run).map(|(_, at, act)| (*at, act.what)).collect();
        Ok(RunSeries::new(overview.samples(run)?, actions))
    };
    let runs = runs[first..].iter().map(|run| series(run.run)).collect::<Result<_, _>>()?;
    let shared = overview.shared()?;
    let runs = if shared.is_some() { together(runs) } else { runs };
    let acts = acts.into_iter().rev().take(ACTS_MAX).map(|(_, at, act)| (at, act)).collect();
    Ok(LedgerView { runs, acts, shared, at: unix_ms() })
}
