//! Who may join, and when.

use std::time::{Duration, Instant};

use super::{Scene, all_end, done_by, edits, in_a_database, keeps, tell, wait_for_shares};
use crate::support::harness::list;

#[test]
fn a_late_joiner_takes_what_is_left_and_one_that_comes_when_all_is_done_has_nothing_to_do() {
    in_a_database(|database| {
        let scene = Scene::new(edits(1_200, 3_000));
        let ledger = database.url("job");
        let mut runners = scene.runners(2, &ledger);
        scene.service.wait_for_requests(300);
        runners.push(scene.runner("late", &ledger));
        let ended = all_end(runners);
        let stats = scene.is_done_by(database, &ended);
        keeps(&stats, 200);
        assert!(done_by(&ended[2]) > 0);
        let begun = Instant::now();
        let last = scene.runner("last", &ledger).exits(0);
        assert!(begun.elapsed() < Duration::from_secs(20), "{last:#?}");
        assert_eq!((last.summary().done, done_by(&last)), (u64::from(scene.rows), 0));
        assert_eq!(scene.service.stats().requests(), stats.requests());
        tell(&format!("joined late: worst second {}, {} by the late one", stats.worst_second(), done_by(&ended[2])));
    });
}

/// While somebody works, only the same list with the same settings may be worked on, for the same app.
#[test]
fn other_lists_terms_and_apps_are_refused_and_nothing_is_sent_for_them() {
    in_a_database(|database| {
        let scene = Scene::new(400);
        scene.place.write("longer.csv", list(1..=401, "new"));
        scene.place.write("other.csv", list(1..=400, "other"));
        let ledger = database.url("job");
        // Slow enough to be at work until all others are refused.
        let first = scene.call("first", &ledger, "--rate 5").start();
        wait_for_shares(database, 1);
        scene.service.wait_for_requests(5);
        let refused = |flags: &str, says: &[&str]| {
            let ran = scene.call("refused", &ledger, flags).exits(2);
            assert!(says.iter().all(|says| ran.err.contains(says)), "{flags}: {ran:#?}");
            ran.err
        };
        let longer = scene.place.runner("--input longer.csv --yes --rate 200 --resume").arg(&ledger);
        let longer = longer.at(&scene.service).env("RUNNER_STATE_DIR", scene.place.state().join("longer")).exits(2);
        let digests = longer.err.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64);
        let digests: std::collections::BTreeSet<&str> = digests.collect();
        assert_eq!(digests.len(), 2, "{longer:#?}");
        let other = scene.place.runner("--input other.csv --yes --rate 200 --resume").arg(&ledger);
        let other = other.at(&scene.service).env("RUNNER_STATE_DIR", scene.place.state().join("other")).exits(2);
        assert!(other.err.contains("with another content"), "{other:#?}");
        refused("--retry-failed", &["--retry-failed false by run 1", "--retry-failed true"]);
        refused("--read-first", &["--read-first false by run 1"]);
        refused("--in-doubt hold", &["--in-doubt verify by run 1", "--in-doubt hold"]);
        let ran = scene.call("refused", &ledger, "").env("TIM_SDKAPPID", "1400000001").exits(2);
        assert!(ran.err.contains("is the ledger of app 1400000000") && ran.err.contains("1400000001"), "{ran:#?}");
        let sandbox = scene.place.runner("--input edits.csv --yes --sandbox --resume").arg(&ledger).exits(2);
        assert!(sandbox.err.contains("--sandbox"), "{sandbox:#?}");
        let inside = ledger.replace("postgres@", "postgres:planted-4717@");
        scene.call("refused", &inside, "").exits(2);

        first.signal("INT");
        let first = first.exits(130);
        assert_eq!(scene.service.stats().edited_once(), done_by(&first));
        assert_eq!(database.psql("SELECT count(*) FROM runner.run"), "1");
    });
}
