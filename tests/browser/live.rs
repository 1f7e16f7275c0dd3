//! The live page of a run, in a browser.

use std::io::{Read, Write};
use std::net::TcpListener;

use rusqlite::Connection;

use super::chromium::Browser;
use crate::support::harness::{Place, Ran, Running, wait_for};
use crate::support::service::Service;

const RUN: &str = "--input edits.csv --resume ledger.db --yes --no-progress --json --page 127.0.0.1:0 --rate 100";

/// Passing and lasting faults, and answers that take their time.
const FAULTS: &str = "20004=3%,20026=1%,edit.lost-after=0.5%,latency=20ms..80ms";

/// A run with a page.
struct Watched {
    place: Place,
    service: Service,
    run: Running,
    url: String,
}

impl Watched {
    fn start(rows: u32, more: &str) -> Watched {
        let place = Place::with_list(rows);
        let service = Service::with_messages(FAULTS, &place);
        let run = place.runner(&format!("{RUN} {more}")).at(&service).start();
        let url = run.page();
        Watched { place, service, run, url }
    }

    /// What the ledger says that the run was told.
    fn acts(&self) -> Vec<String> {
        let ledger = Connection::open(self.place.path("ledger.db")).unwrap();
        let mut acts = ledger.prepare("SELECT what || ' ' || ifnull(rate, '') || ' by ' || by FROM act").unwrap();
        let acts = acts.query_map([], |row| row.get(0)).unwrap();
        acts.collect::<rusqlite::Result<_>>().unwrap()
    }

    fn under_way(&self) -> i64 {
        let ledger = Connection::open(self.place.path("ledger.db")).unwrap();
        ledger.query_row("SELECT count(*) FROM edit WHERE state = 'sending'", [], |row| row.get(0)).unwrap()
    }

    fn stop(self) -> Ran {
        self.place.runner("ctl ledger.db stop").exits(0);
        self.run.exits(3)
    }
}

/// `1,234` as a number.
fn number(browser: &Browser, selector: &str) -> u64 {
    browser.text(selector).replace(',', "").parse().unwrap()
}

fn presses(browser: &Browser, button: &str) {
    browser.click(&format!("#buttons .{button}"));
    browser.wait(&format!("document.querySelector('#confirm-{button}').open"));
    browser.click(&format!("#confirm-{button} .go"));
}

/// Everything that an operator does, one after the other.
#[test]
fn an_operator_watches_pauses_resumes_slows_down_and_stops_a_run() {
    let Some(browser) = Browser::start() else { return };
    let watched = Watched::start(4_000, "");
    browser.open(&watched.url);
    browser.script("window.notLoadedAgain = true");

    // The numbers move by themselves, and add up.
    let before = number(&browser, ".totals .done dd");
    browser.wait(&format!(
        "Number(document.querySelector('.totals .done dd').innerText.replace(',', '')) > {before} + 100"
    ));
    assert_eq!(browser.script("return window.notLoadedAgain"), true);
    let parts =
        "return [...document.querySelectorAll('.totals dd')].map((part) => Number(part.innerText.replace(',', '')))";
    let parts: Vec<u64> = serde_json::from_value(browser.script(parts)).unwrap();
    assert_eq!(parts[..6].iter().sum::<u64>(), parts[6], "{parts:?}");
    assert_eq!(parts[6], 4_000);
    browser.wait("document.querySelectorAll('#answers tbody tr').length >= 3");
    browser.screenshot("live-running");

    // A pause: what is in flight comes to its end, and then nothing arrives any more.
    browser.click("#buttons .pause");
    browser.wait("document.querySelector('#confirm-pause').open");
    browser.screenshot("live-asks");
    browser.click("#confirm-pause .go");
    browser.wait("document.querySelector('.state.paused')");
    assert_eq!(watched.acts(), ["pause  by 127.0.0.1 on the page"]);
    wait_for("all answers", || (watched.under_way() == 0).then_some(()));
    let arrived = watched.service.stats().requests();
    browser.script("window.at = document.querySelector('#pace .note').innerText");
    browser.wait("document.querySelector('#pace .note').innerText != window.at");
    assert_eq!(watched.service.stats().requests(), arrived);
    browser.screenshot("live-paused");

    presses(&browser, "resume");
    browser.wait("document.querySelector('.state.running')");
    watched.service.wait_for_requests(arrived + 10);

    // The form does not let one ask for more than the cap, and the run does not do it either.
    browser.click("#buttons .rate");
    browser.script("document.querySelector('#confirm-rate input[name=rate]').value = 101");
    browser.click("#confirm-rate .go");
    assert_eq!(browser.script("return document.querySelector('#confirm-rate').open"), true);
    browser.script("document.querySelector('#confirm-rate form').noValidate = true");
    browser.click("#confirm-rate .go");
    browser.wait(
        "document.querySelector('[role=alert]')?.innerText.includes('101 requests a second are more than the 100')",
    );
    browser.screenshot("live-refused");
    browser.click(".go");
    browser.click("#buttons .rate");
    browser.script("document.querySelector('#confirm-rate input[name=rate]').value = 20");
    browser.click("#confirm-rate .go");
    browser.wait("document.querySelector('#pace').innerText.includes('20 a second; the cap is 100')");

    presses(&browser, "stop");
    browser.wait("document.querySelector('.state.over')");
    assert!(browser.text("#state").contains("The command below resumes it"));
    assert_eq!(browser.text("#buttons"), "");
    browser.screenshot("live-over");
    let by = |what: &str| format!("{what} by 127.0.0.1 on the page");
    assert_eq!(watched.acts(), [by("pause "), by("resume "), by("rate 20"), by("stop ")]);
    let ran = watched.run.exits(3);
    let done = ran.summary().done;
    assert_eq!(number(&browser, ".totals .done dd"), done, "the last state is seen");
    let complaints = browser.complaints();
    let ours: Vec<_> = complaints.iter().filter(|line| !line.contains("409 (Conflict)")).collect();
    assert!(ours.is_empty(), "{complaints:#?}");
    // And the same command goes on.
    let rest =
        watched.place.runner("--input edits.csv --resume ledger.db --yes --no-progress --json").at(&watched.service);
    let rest = rest.run().summary();
    assert!(rest.done > done && rest.not_reached == 0, "{rest:?}");
    assert_eq!(watched.service.stats().edited_once(), rest.done);
}

/// On a phone at night, in both languages.
#[test]
fn it_fits_a_phone_in_the_dark_in_both_languages() {
    let Some(browser) = Browser::start() else { return };
    let watched = Watched::start(4_000, "");
    watched.service.wait_for_requests(150);
    watched.place.runner("ctl ledger.db rate 50").exits(0);
    browser.prefer("dark");
    for (width, languages, lang, word) in [
        (1_100, "en-GB,en", "en", "done"),
        (390, "en-GB,en", "en", "done"),
        (390, "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN", "已完成"),
    ] {
        browser.resize(width, 844);
        browser.accept_language(languages);
        browser.open(&watched.url);
        browser.wait("document.querySelectorAll('#answers tbody tr').length >= 2");
        assert_eq!(browser.script("return document.documentElement.lang"), lang);
        assert_eq!(browser.text(".totals .done dt"), word);
        assert!(!browser.overflows(), "{width} {lang}");
        let background = browser.script("return getComputedStyle(document.body).backgroundColor");
        assert_eq!(background, "rgb(19, 24, 30)");
        browser.screenshot(&format!("live-dark-{width}-{lang}"));
        browser.click("#buttons .stop");
        assert!(!browser.overflows(), "{width} {lang}, asking");
        browser.click("#confirm-stop button:not(.go)");
        browser.wait("!document.querySelector('#confirm-stop').open");
    }
    assert_eq!(watched.acts().len(), 1, "asked is not told");
    watched.stop();
}

/// By keyboard alone, and with the focus where it was while the page changes.
#[test]
fn it_can_be_used_by_keyboard_and_says_little_aloud() {
    let Some(browser) = Browser::start() else { return };
    let watched = Watched::start(4_000, "");
    browser.open(&watched.url);
    browser.wait("document.querySelector('.state.running')");
    browser.script("document.querySelector('#buttons .pause').focus()");
    // What is said aloud changes with the state, and every tenth of the way.
    browser.script(
        "window.said = 0; new MutationObserver(() => { window.said += 1 }).observe(document.querySelector('#said'), { childList: true });
         window.moved = 0; new MutationObserver(() => { window.moved += 1 }).observe(document.querySelector('#pace'), { childList: true })",
    );
    browser.wait("window.moved >= 4");
    assert!(browser.script("return window.said").as_u64().unwrap() <= 2);
    assert_eq!(browser.script("return document.activeElement.dataset.opens"), "confirm-pause");
    browser.script("document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: ' ', bubbles: true }))");
    browser.wait("document.querySelector('#confirm-pause').open");
    assert_eq!(
        browser.script("return document.querySelector('#confirm-pause').contains(document.activeElement)"),
        true
    );
    watched.stop();
    browser.wait("document.querySelector('.state.over')");
}

/// Every button leads to a page that asks.
#[test]
fn it_works_without_script() {
    let Some(browser) = Browser::start() else { return };
    let watched = Watched::start(4_000, "");
    browser.without_script();
    browser.open(&watched.url);
    browser.click("#buttons .pause");
    browser.click("main.asks .go");
    wait_for("the pause", || (watched.acts() == ["pause  by 127.0.0.1 on the page"]).then_some(()));
    browser.click("#buttons .resume");
    browser.click("main.asks .go");
    wait_for("the end of it", || (watched.acts().len() == 2).then_some(()));
    watched.stop();
}

/// A run that is killed cannot say that it ends.
#[test]
fn a_connection_that_is_lost_is_told_of_and_the_next_run_is_found() {
    let Some(browser) = Browser::start() else { return };
    let Watched { place, service, run, url } = Watched::start(4_000, "");
    browser.open(&url);
    browser.wait("document.querySelector('.state.running')");
    assert!(run.kill());
    browser.wait("!document.querySelector('#lost').hidden");
    browser.screenshot("live-lost");
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    let again = RUN.replace("127.0.0.1:0", address);
    let run = place.runner(&again).at(&service).start();
    browser.wait("document.querySelector('#lost').hidden && document.querySelector('.state')");
    // Its forms are those of the new run.
    browser.wait("document.querySelector('.state.running')");
    presses(&browser, "stop");
    run.exits(3);
}

/// A page of somebody else in the same browser posts a form at it, and fetches from it.
#[test]
fn a_hostile_page_in_the_same_browser_cannot_press_a_button() {
    let Some(browser) = Browser::start() else { return };
    let watched = Watched::start(4_000, "");
    browser.open(&watched.url);
    // Even one that knew the key.
    let key = browser.script("return document.querySelector('input[name=form_key]').value");
    let hostile = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = hostile.local_addr().unwrap().port();
    let target = watched.url.clone();
    let page = format!(
        "<!doctype html><title>hostile</title><iframe src='{target}'></iframe>\
         <form id=f method=post action='{target}tell'><input name=what value=stop><input name=form_key value={}></form>\
         <script>
           fetch('{target}').then(() => {{ window.read = 'could' }}, () => {{ window.read = 'could not' }});
           fetch('{target}tell', {{ method: 'POST', mode: 'no-cors', credentials: 'include',
             headers: {{ 'Content-Type': 'application/x-www-form-urlencoded' }}, body: new URLSearchParams(new FormData(f)) }});
         </script>",
        key.as_str().unwrap()
    );
    std::thread::spawn(move || {
        for stream in hostile.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4_096]);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n", page.len());
            let _ = stream.write_all(format!("{head}{page}").as_bytes());
        }
    });
    // Another site to the browser than 127.0.0.1, though it is the same machine.
    browser.open(&format!("http://localhost:{port}/"));
    browser.wait("window.read");
    assert_eq!(browser.script("return window.read"), "could not");
    browser.script("f.submit()");
    browser.wait("document.body.innerText.includes('this does not come from the page itself')");
    assert_eq!(watched.acts(), [] as [&str; 0]);
    watched.stop();
}
