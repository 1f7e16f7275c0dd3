//! Overviews of ledgers of the first version, and of files that are none.

use super::*;
use crate::ledger::Totals;

fn totals(overview: &dyn Overview) -> Totals {
    overview.totals(&overview.outcomes().unwrap(), &overview.runs().unwrap()).unwrap()
}

/// A ledger of the first version can be looked at as it is, and is brought up by the next run.
#[tokio::test]
async fn a_ledger_of_the_first_version_is_looked_at_and_brought_up() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("ledger.db");
    drop(first_version(&path, "finished"));
    let before = std::fs::read(&path).unwrap();
    let overview = SqliteOverview::open(&path).unwrap();
    let run = &overview.runs().unwrap()[0];
    assert_eq!(
        (run.ended.as_deref(), run.reason.as_ref(), run.planned, run.command.as_ref()),
        (Some("finished"), None, None, None)
    );
    assert_eq!(totals(&overview), Totals::default());
    assert_eq!((overview.samples(1).unwrap(), overview.acts().unwrap()), (vec![], vec![]));
    assert_eq!((overview.answers(None).unwrap(), overview.latency(None).unwrap().count()), (vec![], 0));
    drop(overview);
    assert!(!SqliteReader::open(&path, &job()).unwrap().unwrap().went_through_proxy().unwrap());
    assert!(before == std::fs::read(&path).unwrap(), "it was changed");

    let (ledger, writer) = Ledger::start(open(&dir));
    ledger.record_event(RunEvent::Sample(Box::default())).await.unwrap();
    drop(ledger);
    writer.await.unwrap();
    let overview = SqliteOverview::open(&path).unwrap();
    assert_eq!(overview.runs().unwrap().len(), 2);
    assert_eq!(overview.samples(2).unwrap().len(), 1);
}

#[test]
fn what_is_no_ledger_is_not_looked_at() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("none.db");
    assert!(matches!(SqliteOverview::open(&path), Err(LedgerError::Missing { .. })));
    std::fs::write(&path, "edits").unwrap();
    assert!(matches!(SqliteOverview::open(&path), Err(LedgerError::NotALedger { .. })));
}
