//! A job goes on where its ledger was copied to, and comes back.

use crate::support::harness::{Place, Summary};
use crate::support::postgres::Cluster;
use crate::support::service::Service;

const ROWS: u32 = 60;

#[test]
fn a_list_goes_on_in_a_database_and_comes_back_and_no_message_is_edited_twice() {
    let Some(cluster) = Cluster::shared() else { return };
    let (place, database) = (Place::with_list(ROWS), cluster.database());
    let url = database.url("moved");
    let service = Service::with_messages("lost-after=40%", &place);
    let run =
        |ledger: &str| place.runner(&format!("--input edits.csv --resume {ledger} --rate 200 --json")).at(&service);

    // Some are done, some in doubt, most not reached.
    run("ledger.db").arg("--max-rows").arg("30").arg("--in-doubt").arg("hold").exits(1);
    let copied = place.runner(&format!("copy ledger.db {url} --json")).exits(0).json();
    let in_doubt = copied["in_doubt"].as_u64().unwrap();
    assert!(in_doubt > 0 && copied["done"] == 30 - in_doubt && copied["edits"] == 30, "{copied:#}");
    let taken = place.runner(&format!("copy ledger.db {url}")).exits(2);
    assert!(taken.err.contains("is there already"), "{taken:#?}");

    service.set_faults("");
    let resumed = run(&url).exits(0);
    assert_eq!(resumed.summary(), Summary { rows: ROWS.into(), done: ROWS.into(), ..Summary::default() });
    assert_eq!(resumed.json()["this_run"]["read_backs"].as_u64().map(|read| read > 0), Some(true), "{resumed:#?}");
    let once = (u64::from(ROWS), u64::from(ROWS));
    assert_eq!((service.stats().edited_once(), service.stats().requests()), once);

    let back = place.runner(&format!("copy {url} back.db")).exits(0);
    assert!(back.out.contains("edits 60, runs 2.\nDone 60, failed 0, in doubt 0, waiting 0.\n"), "{back:#?}");
    assert!(
        back.out.ends_with("resume with --resume back.db only: neither ledger knows what is sent from the other.\n")
    );
    assert_eq!(run("back.db").exits(0).json()["this_run"]["requests"], 0);
    assert_eq!((service.stats().edited_once(), service.stats().requests()), once);
}
