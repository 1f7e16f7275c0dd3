//! What is shown of a shared job, from tables that were filled by hand.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use runner::edit::IdDigest;
use runner::ledger::{
    CapOwner, Cause, ControlAction, LedgerAddress, LedgerError, Note, Overview, RunnerState, State, open_overview,
};

use crate::support::postgres::Cluster;
use crate::support::shared_job::{LEASE, Lease, Tables};

fn address(url: &str) -> LedgerAddress {
    LedgerAddress::parse(url.as_ref()).unwrap()
}

fn open(tables: &Tables<'_>, job: &str) -> Box<dyn Overview> {
    open_overview(&address(&tables.database.url(job))).unwrap()
}

fn error(url: &str) -> LedgerError {
    open_overview(&address(url)).map(|_| ()).unwrap_err()
}

/// The accounts of the edits in a state, in order.
fn accounts(overview: &dyn Overview, state: State, at_most: Option<u32>) -> Vec<String> {
    let mut accounts = Vec::new();
    overview
        .edits(state, at_most, |edit| {
            accounts.push(edit.from_account);
            Ok::<_, LedgerError>(())
        })
        .unwrap();
    accounts
}

/// What PostgreSQL's `md5` makes of a name, which stands for a message.
fn message(tables: &Tables<'_>, name: &str) -> IdDigest {
    let hex = tables.sql(&format!("SELECT md5('{name}')"));
    IdDigest(u128::from_str_radix(&hex, 16).unwrap().to_be_bytes())
}

#[test]
fn a_job_that_is_not_there_is_missing_and_a_newer_schema_is_left_alone() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.database();
    assert!(matches!(error(&database.url("march")), LedgerError::Missing { .. }));
    let tables = Tables::new(database);
    let missing = error(&database.url("march"));
    assert!(matches!(&missing, LedgerError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("job=march"), "{missing}");
    tables.job("march");
    assert!(open(&tables, "march").runs().unwrap().is_empty());
    tables.sql("UPDATE version SET version = 9");
    let other = error(&database.url("march"));
    assert!(matches!(other, LedgerError::OtherVersion { found: 9, .. }), "{other}");
}

#[test]
fn an_overview_is_of_one_job_and_of_one_moment() {
    let Some(cluster) = Cluster::shared() else { return };
    let tables = Tables::new(cluster.database());
    tables.job("march");
    tables.job("april");
    let ours = tables.run(Lease { new_edits: 20, ..LEASE });
    let theirs = tables.run(Lease { job: 2, host: "ops-9", ..LEASE });
    tables.edits(1, ours, "done", 5, "state = 'done', code = 0");
    tables.edits(1, ours, "gone", 2, "state = 'failed', code = 20026");
    tables.edits(1, ours, "lost", 3, "state = 'in_doubt', note = 'timed out'");
    tables.edits(1, ours, "busy", 1, "attempts = 1");
    tables.edits(2, theirs, "theirs", 4, "state = 'done', code = 0");
    tables.sql(&format!(
        "INSERT INTO sample (run, at, rate, done, failed, in_doubt, requests, read_backs, slow_downs)
         VALUES ({ours}, 2000, 90, 5, 2, 3, 11, 1, 4), ({ours}, 1000, 80, 1, 0, 0, 2, 0, 0), ({theirs}, 1, 1, 1, 1, 1, 1, 1, 1);
         INSERT INTO answer VALUES ({ours}, 20026, '', 2), ({ours}, 0, 'timed out', 3), ({theirs}, 20004, '', 9);
         INSERT INTO latency VALUES ({ours}, 50, 7), ({ours}, -1, 1), ({theirs}, 50, 9);
         INSERT INTO run_list VALUES ({theirs}, 1, 'a.csv', 'cd', 4);
         INSERT INTO act (job, run, at, what, rate, by) VALUES (1, {ours}, 5, 'rate', 50, 'li.wei@ops-1 by runner ctl'),
             (1, NULL, 6, 'pause', NULL, 'li.wei@ops-1 by runner ctl'), (2, {theirs}, 7, 'stop', NULL, 'somebody else')"
    ));
    let overview = open(&tables, "march");
    // From here on it is one state, whatever comes.
    tables.edits(1, ours, "later", 6, "state = 'done', code = 0");

    let job = overview.job().unwrap();
    assert_eq!((job.sdkappid, &*job.service), (1_400_000_000, "adminapisgp.im.qcloud.com:443"));
    assert_eq!(job.name.as_deref(), Some("march file"));
    let outcomes = overview.outcomes().unwrap();
    let by_state: BTreeMap<_, _> = outcomes.iter().map(|line| (line.state, (line.cause, line.edits))).collect();
    let wanted = [
        (State::Sending, (None, 1)),
        (State::Done, (Some(Cause::Code(0)), 5)),
        (State::Failed, (Some(Cause::Code(20026)), 2)),
        (State::InDoubt, (Some(Cause::Note(Note::TimedOut)), 3)),
    ];
    assert_eq!(by_state, wanted.into());
    let runs = overview.runs().unwrap();
    assert_eq!(runs.iter().map(|run| (run.run, &*run.host, run.lists.len())).collect::<Vec<_>>(), [(ours, "ops-1", 0)]);
    assert_eq!((runs[0].new_edits, runs[0].rate, runs[0].input_rows), (Some((20, 0)), 200, 5_000));
    let samples = overview.samples(ours).unwrap();
    assert_eq!(samples.iter().map(|sample| (sample.at, sample.rate)).collect::<Vec<_>>(), [(1_000, 80), (2_000, 90)]);
    assert!(overview.samples(theirs).unwrap().is_empty());
    let answers = [(Cause::Note(Note::TimedOut), 3), (Cause::Code(20026), 2)];
    assert_eq!((overview.answers(None).unwrap(), overview.answers(Some(theirs)).unwrap()), (answers.into(), vec![]));
    assert_eq!((overview.latency(None).unwrap().count(), overview.latency(Some(theirs)).unwrap().count()), (8, 0));
    let acts = overview.acts().unwrap();
    let acts: Vec<_> = acts.iter().map(|(run, at, act)| (*run, *at, act.what)).collect();
    assert_eq!(acts, [(ours, 5, ControlAction::Rate(50.try_into().unwrap())), (0, 6, ControlAction::Pause)]);
    let totals = overview.totals(&outcomes, &runs).unwrap();
    assert_eq!((totals.done, totals.failed, totals.in_doubt, totals.in_flight), (5, 2, 3, 1));
    assert_eq!((totals.not_reached, totals.messages), (9, 20));
    assert_eq!(
        (overview.may_lack_commits(), overview.is_at_rest(), overview.has_begun_to_move()),
        (false, false, false)
    );
}

#[test]
fn edits_are_visited_through_a_cursor_in_order_and_found_by_their_messages() {
    let Some(cluster) = Cluster::shared() else { return };
    let tables = Tables::new(cluster.database());
    tables.job("march");
    let run = tables.run(LEASE);
    tables.edits(1, run, "a", 2_500, "state = 'failed', code = 20026");
    tables.edits(1, run, "b", 1, "state = 'waiting', code = 20004");
    let overview = open(&tables, "march");
    let wanted: Vec<String> = (1..=2_500).map(|number| format!("a_{number}")).collect();
    assert_eq!(accounts(&*overview, State::Failed, None), wanted);
    assert_eq!(accounts(&*overview, State::Failed, Some(1_001)), wanted[..1_001]);
    assert!(accounts(&*overview, State::InDoubt, None).is_empty());
    let mut seen = 0;
    let mut three = |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    overview.visit_edits(State::Failed, None, &mut three).unwrap();
    assert_eq!(seen, 3);
    // And the next cursor has the same name.
    assert_eq!(accounts(&*overview, State::Waiting, None), ["b_1"]);

    let asked = ["b_1", "never", "a_7", "a_7"].map(|name| message(&tables, name));
    let found = overview.find_edits(&asked).unwrap();
    let found: Vec<_> = found.iter().map(|edit| edit.as_ref().map(|edit| &*edit.from_account)).collect();
    assert_eq!(found, [Some("b_1"), None, Some("a_7"), Some("a_7")]);
    let edit = overview.edit(asked[2]).unwrap().unwrap();
    assert_eq!((&*edit.msg_key, edit.line, edit.attempts, edit.run), ("7_7_1773188576", 8, 1, run));
    assert_eq!((edit.state, edit.cause, edit.list), (State::Failed, Some(Cause::Code(20026)), None));
    assert_eq!(overview.edit(asked[1]).unwrap(), None);
}

#[test]
fn the_lowest_rate_of_the_app_is_the_cap_and_its_owner_is_named() {
    let Some(cluster) = Cluster::shared() else { return };
    let tables = Tables::new(cluster.database());
    tables.job("march");
    tables.job("april");
    let shared = || open(&tables, "march").shared().unwrap().unwrap();
    assert_eq!((shared().cap, shared().cap_is_of, shared().shares), (0, None, 0));
    let one = tables.run(LEASE);
    let two = tables.run(Lease { host: "ops-2", share: 50, ..LEASE });
    // All say the same: it is nobody's.
    assert_eq!((shared().cap, shared().cap_is_of, shared().shares, shared().other_runs), (200, None, 150, 0));
    tables.sql(&format!("UPDATE lease SET rate = 120 WHERE run = {two}"));
    let owner =
        |run, host: &str, job: Option<&str>| Some(CapOwner::Run { run, host: host.into(), job: job.map(Into::into) });
    assert_eq!((shared().cap, shared().cap_is_of), (120, owner(two, "ops-2", None)));
    let other = tables.run(Lease { job: 2, share: 30, rate: 80, host: "ops-9", ..LEASE });
    assert_eq!((shared().cap, shared().cap_is_of), (80, owner(other, "ops-9", Some("april"))));
    assert_eq!((shared().shares, shared().other_runs), (180, 1));
    tables.sql("UPDATE job SET rate = 60, rate_by = 'li.wei@ops-1 by runner ctl' WHERE name = 'march'");
    let by = CapOwner::Operator { by: "li.wei@ops-1 by runner ctl".into(), job: None };
    assert_eq!((shared().cap, shared().cap_is_of, shared().rate), (60, Some(by), 60.try_into().ok()));
    // What the dead said does not count.
    tables.sql(&format!("UPDATE job SET rate = NULL; UPDATE lease SET state = 'lost', share = 0 WHERE run = {other}"));
    assert_eq!((shared().cap, shared().shares), (120, 150));
    tables.sql(&format!("UPDATE lease SET state = 'ended', share = 0 WHERE run IN ({one}, {two})"));
    assert_eq!((shared().cap, shared().cap_is_of, shared().shares), (0, None, 0));
}

#[test]
fn runners_of_the_session_are_shown_with_how_they_are() {
    let Some(cluster) = Cluster::shared() else { return };
    let tables = Tables::new(cluster.database());
    tables.job("march");
    let worker = || open(&tables, "march").worker().map(|worker| worker.name().to_owned());
    assert_eq!(worker(), None);
    let earlier = tables.run(Lease { state: "lost", share: 0, ended: Some("died"), new_edits: 100, ..LEASE });
    tables.edits(1, earlier, "e", 10, "state = 'done', code = 0");
    tables.sql("UPDATE job SET session = 2, stop = 'li.wei@ops-1 by runner ctl', paused = true");
    let session = Lease { session: 2, ..LEASE };
    let first = tables.run(Lease { new_edits: 90, ..session });
    assert_eq!(worker().unwrap(), format!("1 runner: process {} on host ops-1", 4_710 + first));
    tables.edits(1, first, "f", 30, "state = 'done', code = 0");
    // It began later, when fewer messages were new: what is left is what the first one found, less what was done since.
    let silent = tables.run(Lease { renewed: 8.5, host: "ops-2", new_edits: 60, ..session });
    let lost = tables.run(Lease { state: "lost", share: 0, host: "ops-3", new_edits: 60, ..session });
    let ended = tables.run(Lease { state: "ended", share: 0, ended: Some("finished"), new_edits: 60, ..session });
    tables.sql(&format!(
        "UPDATE lease SET done = 30, failed = 2, in_doubt = 1, requests = 40, read_backs = 3, slow_downs = 4, speed = 12.5,
             held = true WHERE run = {first}"
    ));
    let overview = open(&tables, "march");
    let shared = overview.shared().unwrap().unwrap();
    let states: Vec<_> = shared.runners.iter().map(|runner| (runner.run, &*runner.host, runner.state)).collect();
    let wanted = [
        (first, "ops-1", RunnerState::Live),
        (silent, "ops-2", RunnerState::Silent),
        (lost, "ops-3", RunnerState::Lost),
        (ended, "ops-1", RunnerState::Ended),
    ];
    assert_eq!(states, wanted, "and none of an earlier session");
    assert_eq!((shared.first_run, shared.paused), (Some(first), true));
    assert_eq!(shared.stop.as_deref(), Some("li.wei@ops-1 by runner ctl"));
    assert_eq!(worker().unwrap(), "2 runners");
    let runner = &shared.runners[0];
    assert_eq!((runner.user.as_str(), runner.share, runner.rate, runner.beat), ("li.wei", 100, 200, 7));
    let progress = runner.progress;
    assert_eq!((progress.done, progress.failed, progress.in_doubt), (30, 2, 1));
    assert_eq!((progress.requests, progress.read_backs, progress.slow_downs), (40, 3, 4));
    assert!(progress.held && (progress.speed - 12.5).abs() < 0.01);
    let renewed = shared.runners[1].renewed;
    assert!(renewed >= Duration::from_millis(8_500) && renewed < Duration::from_mins(2), "{renewed:?}");
    let totals = overview.totals(&overview.outcomes().unwrap(), &overview.runs().unwrap()).unwrap();
    assert_eq!((totals.done, totals.not_reached, totals.messages), (40, 60, 100));
    // Whoever left something in doubt at its end gives the lease up as lost, and has ended all the same.
    tables.sql(&format!("UPDATE run SET ended = 'stopped', ended_at = 1 WHERE run = {lost}"));
    assert_eq!(open(&tables, "march").shared().unwrap().unwrap().runners[2].state, RunnerState::Ended);
    // Whoever still has a lease is shown, whatever session it began in.
    tables.sql(&format!("UPDATE lease SET state = 'live' WHERE run = {earlier}"));
    assert_eq!(open(&tables, "march").shared().unwrap().unwrap().runners[0].run, earlier);
}
