//! What is not to be relied on is noticed: a database that has lost something, a schema of another program or version, and
//! plans that would read whole tables.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use runner::ledger::{
    Applied, Beat, Change, LedgerError, LostCommits, Note, State, open_records, open_store, records_beside_writer,
};

use super::store::{address, beat, begin, change, commit, digest, intent, open, success};
use crate::support::model_ledger::job;
use crate::support::postgres::Cluster;

#[tokio::test]
async fn a_database_that_has_lost_what_it_confirmed_is_noticed() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    let (mut store, mut run) = begin(&database.url("j"));
    commit(&mut store, vec![intent("1")]).await;
    commit(&mut store, vec![success("1")]).await;
    beat(&mut run, 10).await;
    beat(&mut run, 10).await;
    database.psql("UPDATE runner.lease SET commits = 1, beat = 1");
    let error = store.commit(vec![intent("2")], Vec::new()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Forgotten { .. }), "{error}");
    let error = run.beats.beat(Beat::default()).await.unwrap_err();
    assert!(matches!(error, LedgerError::Forgotten { .. }), "{error}");
}

#[test]
fn what_is_not_a_ledger_of_this_program_is_refused_and_left_as_it_is() {
    let Some(cluster) = Cluster::shared() else { return };
    let check = |setup: &str, part: Option<&str>| {
        let database = cluster.database();
        database.psql(setup);
        let url = database.url("j");
        let opened = open_store(&address(&url), &job(), LostCommits::Refused).map(drop);
        match part {
            Some(part) => {
                let error = opened.unwrap_err().to_string();
                assert!(error.contains(part) && error.contains(&url), "{error}");
                assert_eq!(database.psql("SELECT count(*) FROM runner.mine"), "0");
            }
            None => opened.unwrap(),
        }
    };
    check("CREATE SCHEMA runner; CREATE TABLE runner.mine (a int)", Some("it holds other tables"));
    check("CREATE SCHEMA runner", None);
    let database = cluster.database();
    let url = database.url("j");
    assert!(open_records(&address(&url), &job(), LostCommits::Refused).unwrap().is_none());
    assert_eq!(database.psql("SELECT count(*) FROM pg_namespace WHERE nspname = 'runner'"), "0", "nothing was made");
    let stores: Vec<_> = (0..8).map(|_| url.clone()).map(|url| std::thread::spawn(move || drop(open(&url)))).collect();
    for store in stores {
        store.join().unwrap();
    }
    database.psql("UPDATE runner.version SET version = 99");
    let error = open_store(&address(&url), &job(), LostCommits::Refused).map(drop).unwrap_err();
    assert!(matches!(error, LedgerError::OtherVersion { found: 99, .. }), "{error}");
    assert!(records_beside_writer(&address(&url)).is_err());
}

/// A plan that was made while the table was empty, or of statistics from when it was small, would read all of it later. The
/// server counts what it reads.
#[tokio::test]
async fn no_statement_of_a_run_reads_more_than_the_rows_that_it_is_about() {
    let Some(cluster) = Cluster::shared() else { return };
    for analyzed in [0, 1, 6, 24] {
        reads_no_more_than_it_should(cluster, analyzed).await;
    }
}

/// Makes 24 batches, with the statistics of the table gathered before one of them.
async fn reads_no_more_than_it_should(cluster: &Cluster, analyzed: u32) {
    const OTHERS: u64 = 50_000;
    let database = cluster.database();
    let url = database.url("j");
    let (mut store, mut run) = begin(&url);
    // Not after the batches: on a slow machine it would find the first one silent, and declare it lost as it begins.
    let (mut second_store, mut second) = begin(&url);
    run.work.take(1).await.unwrap();
    let (in_doubt, sending) = (Some(State::InDoubt), Some(State::Sending));
    let mut steps = 0;
    for batch in 0..24 {
        if batch == analyzed {
            database.psql("ANALYZE");
        }
        if batch == 12 {
            database.psql(&format!(
                "INSERT INTO runner.edit (job, part, line, run, attempts, state, note, sent_at, message, content, from_account, \
                                          to_account, msg_key) \
                 SELECT 1, 1 + n / 128, n, 1, 0, 'done', 'x', 0, decode(md5(n::text), 'hex'), decode(md5('x'), 'hex'), 'a', 'b', n \
                 FROM generate_series(1, {OTHERS}) n"
            ));
        }
        let key = |number: u32| format!("{batch}-{number}");
        let withdrawn = Change { took: None, attempts: 0, ..change(&key(3), sending, None, 1) };
        let read = Change { note: Some(Note::ReadBackFailed), took: None, ..change(&key(2), in_doubt, in_doubt, 1) };
        for changes in [
            (0..4).map(|number| intent(&key(number))).collect(),
            vec![success(&key(1)), change(&key(2), sending, in_doubt, 1), withdrawn],
            vec![read],
            vec![change(&key(2), in_doubt, sending, 2)],
            vec![Change { attempts: 2, ..success(&key(2)) }],
        ] {
            steps += changes.len();
            assert!(commit(&mut store, changes).await.iter().all(|applied| *applied == Applied::Yes));
        }
        run.work.known(vec![digest(&key(1)); 8]).await.unwrap();
        steps += 8;
    }
    assert!(second.beats.declare_lost(1, 0).await.unwrap());
    assert_eq!(
        database
            .psql("SET enable_seqscan = off; SELECT count(*) FROM runner.edit WHERE part = 0 AND state = 'in_doubt'"),
        "24"
    );
    assert_eq!(commit(&mut store, vec![success("0-0")]).await, [Applied::NotYours(Some(State::Done))]);
    second_store.end_run("finished", "").unwrap();
    store.end_run("finished", "").unwrap();
    drop((run, second));
    // Each connection tells what it has counted when it ends.
    crate::support::harness::wait_for("connections to end", || {
        let left =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        (database.psql(left) == "0").then_some(())
    });
    let scanned = database.psql("SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'edit'");
    assert_eq!(scanned, "0", "rows were read without an index, with statistics from batch {analyzed}");
    let read = database.psql("SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'edit'");
    let read: u64 = read.parse().unwrap();
    assert!(
        read > 100 && read < 8 * u64::try_from(steps).unwrap(),
        "{read} entries of indexes were read for {steps} steps, with statistics from batch {analyzed}"
    );
}
