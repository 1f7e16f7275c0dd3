//! The live page of one of the runners that share a job, in a browser.

use super::chromium::Browser;
use crate::support::harness::{Place, wait_for};
use crate::support::postgres::Cluster;
use crate::support::service::Service;

/// Cells that do not fit, or columns that a runner's block lacks on a phone.
const LOST: &str = "return [...document.querySelectorAll('.runners [data-label]')].filter(cell => { \
         const box = cell.getBoundingClientRect(); \
         return cell.textContent !== '' && (box.width === 0 || box.left < 0 || box.right > innerWidth + 1); \
     }).map(cell => cell.dataset.label + ' ' + cell.textContent)";

#[test]
fn one_page_shows_every_runner_and_its_buttons_act_on_all() {
    let (Some(browser), Some(cluster)) = (Browser::start(), Cluster::shared()) else { return };
    let database = cluster.database();
    let (place, other) = (Place::with_list(4_000), Place::with_list(4_000));
    let service = Service::with_messages("latency=20ms..60ms", &place);
    let url = database.url("march");
    let start = |place: &Place, more: &str| {
        let run = format!("--input edits.csv --resume {url} --yes --no-progress --json {more}");
        place.runner(&run).at(&service).start()
    };
    let one = start(&place, "--rate 100 --page 127.0.0.1:0");
    browser.open(&one.page());
    let rows = "document.querySelectorAll('.runners tbody tr').length";
    browser.wait(&format!("{rows} === 1"));
    let two = start(&other, "--rate 60");
    browser.wait(&format!("{rows} === 2"));
    browser.wait("document.querySelector('#runners').innerText.includes('60/s: --rate of run 2')");
    // Both have a share, and both are at work.
    browser.wait(
        "[...document.querySelectorAll('.runners td[data-label=share]')].every(share => parseInt(share.innerText) > 0) && \
         [...document.querySelectorAll('.runners td[data-label=done]')].every(done => parseInt(done.innerText) > 0)",
    );
    for width in [1_200, 390] {
        browser.resize(width, 900);
        assert!(!browser.overflows(), "it is wider than {width}");
        assert_eq!(browser.script(LOST), serde_json::json!([]), "{width}");
        browser.script("document.querySelector('#runners').scrollIntoView({ block: 'center' })");
        browser.screenshot(&format!("shared-running-{width}"));
    }
    browser.resize(1_200, 900);
    let page = one.page();
    let metrics = place.shell(&format!("curl -sS --noproxy '*' {page}metrics")).exits(0).out;
    for name in [
        "runner_app_cap_requests_per_second 60",
        "runner_job_share_requests_per_second{run=\"1\",",
        "runner_job_edits_total{run=\"2\",",
        "runner_job_since_renewal_seconds{run=\"2\",",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }

    browser.click("#buttons .pause");
    browser.wait("document.querySelector('#confirm-pause').open");
    assert!(browser.text("#confirm-pause").contains("every runner of the job"));
    browser.click("#confirm-pause .go");
    browser.wait("document.querySelector('.state.paused')");
    wait_for("both to be held", || {
        let held = "SELECT count(*) FROM runner.lease WHERE state = 'live' AND held";
        (database.psql(held) == "2").then_some(())
    });
    browser.wait(
        "[...document.querySelectorAll('.runners td[data-label=state]')].every(state => state.innerText === 'held')",
    );
    browser.screenshot("shared-paused-1200");
    // The open page sees the end, whoever stops the job, and from where.
    other.runner(&format!("ctl {url} stop")).exits(0);
    browser.wait("document.querySelector('.state.over')");
    one.exits(3);
    two.exits(3);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let acts = database.psql("SELECT string_agg(what, ', ' ORDER BY act) FROM runner.act");
    assert_eq!(acts, "pause, stop");
    assert_eq!(database.psql("SELECT by FROM runner.act WHERE what = 'pause'"), "127.0.0.1 on the page");
}
