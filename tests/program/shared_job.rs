//! A job that several machines share, looked at and told what to do from one of them. Its runs are rows that were filled by
//! hand, and whose beats this test makes.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::harness::{PROGRAM, Place};
use crate::support::postgres::Cluster;
use crate::support::shared_job::{LEASE, Lease, Tables};

/// Makes beats for these runs as long as `during` takes.
fn beating<T>(tables: &Tables<'_>, runs: &[i64], during: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    let runs = runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    std::thread::scope(|scope| {
        let beats = scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let beat = "UPDATE lease SET beat = beat + 1, renewed_at = clock_timestamp() WHERE run IN";
                tables.sql(&format!("{beat} ({runs})"));
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        // Whatever becomes of the test, the beats end.
        let done = std::panic::catch_unwind(AssertUnwindSafe(during));
        is_over.store(true, Ordering::Relaxed);
        beats.join().unwrap();
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The actions in the ledger.
fn acts(tables: &Tables<'_>) -> Vec<String> {
    let acts = tables.sql("SELECT what || coalesce(' ' || rate, '') || ' by ' || by FROM act ORDER BY act");
    acts.lines().map(str::to_owned).collect()
}

#[test]
fn every_runner_hears_of_what_an_operator_says_from_any_machine() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, tables) = (Place::new(), Tables::new(cluster.database()));
    tables.job("march");
    let one = tables.run(Lease { new_edits: 100, ..LEASE });
    let two = tables.run(Lease { rate: 120, host: "ops-2", ..LEASE });
    tables.edits(1, one, "done", 40, "state = 'done', code = 0");
    let url = tables.database.url("march");
    let ctl = |words: &str| place.runner(&format!("ctl {url} {words}"));
    beating(&tables, &[one, two], || {
        let status = ctl("status").exits(0);
        assert!(status.out.starts_with("running: 40 of 100 done"), "{status:#?}");
        for runner in
            [format!("li.wei@ops-1, process {}", 4_710 + one), format!("li.wei@ops-2, process {}", 4_710 + two)]
        {
            assert!(status.out.contains(&runner), "{status:#?}");
        }
        let paused = ctl("pause").exits(0);
        assert!(paused.out.starts_with("paused: 40 of 100 done"), "{paused:#?}");
        assert!(paused.out.contains(&format!("To resume: {PROGRAM} ctl '{url}' resume")), "{paused:#?}");
        assert_eq!((tables.sql("SELECT paused FROM job"), paused.err.as_str()), ("t".into(), ""));
        let json = ctl("rate 50 --json").exits(0).json();
        assert_eq!((&json["rate"], &json["cap"], &json["state"]), (&50.into(), &120.into(), &"paused".into()));
        assert!(json["shared"]["cap_is_of"].as_str().unwrap().ends_with(" by runner ctl"), "{json:#}");
        // The lowest rate that any of them was started with.
        let refused = ctl("rate 121").exits(2);
        assert_eq!(refused.err, "error: 121 requests a second are more than the 120 that this run may send at most\n");
        ctl("resume").exits(0);
        assert!(ctl("stop").exits(0).out.starts_with("stopping: "));
    });
    let by = acts(&tables).into_iter().map(|act| act.split_once(" by ").unwrap().0.to_owned()).collect::<Vec<_>>();
    assert_eq!(by, ["pause", "rate 50", "resume", "stop"], "and nothing that was refused");
    let who = tables.sql("SELECT DISTINCT by FROM act");
    let user = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    assert!(who.starts_with(&format!("{}@", user.trim())) && who.ends_with(" by runner ctl"), "{who}");
}

#[test]
fn a_runner_that_does_not_hear_of_it_is_named_and_without_any_there_is_nobody_to_tell() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, tables) = (Place::new(), Tables::new(cluster.database()));
    tables.job("march");
    let url = tables.database.url("march");
    let ctl = |words: &str| place.runner(&format!("ctl {url} {words}"));
    let nobody = ctl("pause").exits(2);
    assert!(nobody.err.starts_with(&format!("error: no run is going on with {url}; ")), "{nobody:#?}");
    assert!(nobody.err.contains(&format!("status '{url}'")), "{nobody:#?}");
    let beats = tables.run(LEASE);
    let silent = tables.run(Lease { renewed: 60.0, host: "ops-2", ..LEASE });
    let paused = beating(&tables, &[beats], || ctl("pause").exits(0));
    let warning = format!("warning: run {silent} on host ops-2 has not renewed its lease since");
    assert!(paused.err.starts_with(&warning) && !paused.err.contains(&format!("run {beats} ")), "{paused:#?}");
    assert!(paused.out.starts_with("paused: "), "it is durable all the same: {paused:#?}");
    tables.sql("UPDATE lease SET state = 'ended', share = 0");
    let over = ctl("resume").exits(2);
    assert!(over.err.starts_with("error: no run is going on with "), "{over:#?}");
    assert_eq!(acts(&tables).len(), 1);
    let missing = place.runner(&format!("ctl {} pause", tables.database.url("april"))).exits(2);
    assert!(missing.err.starts_with("error: there is no ledger postgres://"), "{missing:#?}");
}

/// What a machine does that has nothing but the address.
#[test]
fn a_shared_job_is_reported_in_every_form() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, tables) = (Place::new(), Tables::new(cluster.database()));
    tables.job("march");
    let run = tables.run(Lease { new_edits: 7, state: "ended", share: 0, ended: Some("interrupted"), ..LEASE });
    tables.edits(1, run, "done", 3, "state = 'done', code = 0");
    tables.edits(1, run, "gone", 2, "state = 'failed', code = 20026");
    tables.edits(1, run, "lost", 1, "state = 'in_doubt', note = 'timed out'");
    let url = tables.database.url("march");
    let runner = |words: &str| place.runner(&words.replace("URL", &url));
    let status = runner("status URL").exits(0).out;
    assert!(status.contains("Of 7 edits, 2 failed, 1 is in doubt, and 1 is not reached yet."), "{status}");
    assert!(status.contains("To resume: (cd /srv/redact && runner --input edits.csv"), "{status}");
    let json = runner("report URL --json").exits(0).json();
    assert_eq!((&json["done"], &json["not_reached"], &json["state"]), (&3.into(), &1.into(), &"over".into()));
    assert_eq!((&json["shared"]["runners"][0]["state"], &json["ledger_sha256"]), (&"ended".into(), &().into()));
    runner("report URL --html page.html").exits(0);
    assert!(place.read("page.html").contains("<h2>Runners</h2>"));
    place.write("edits.csv", "from_account,to_account,msg_key,msg_body\n");
    runner("report URL --csv report").exits(0);
    let rows = |name: &str| place.read(&format!("report/{name}")).lines().count() - 1;
    assert_eq!((rows("done.csv"), rows("failed.csv"), rows("in_doubt.csv")), (3, 2, 1));
    // A session that is over is watched once.
    assert!(runner("status URL --watch").exits(0).out.contains("Runners"));
}
