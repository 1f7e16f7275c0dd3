//! A report's page, in a browser: on a desk, on a phone, by day and by night, in both languages, with much and with nothing.

use runner::ledger::{JobIdentity, create_store};

use super::chromium::Browser;
use crate::support::harness::{FAST, Place, list};
use crate::support::service::Service;

/// The number of the headline's sum that has this class.
const NUMBER: &str =
    "const number = name => Number(document.querySelector(`.sum .${name} dd`).textContent.replaceAll(',', ''));";

/// The columns that a row lacks, or has no room for.
const LOST_ON_A_PHONE: &str = "return [...document.querySelectorAll('table')].flatMap(table => \
     [...table.querySelectorAll('thead th')].flatMap(column => \
     [...table.querySelectorAll('tbody tr:not(.details)')].flatMap(row => { \
         const cell = [...row.children].find(cell => cell.dataset.label === column.textContent); \
         if (!cell) return [`no ${column.textContent}`]; \
         if (cell.textContent === '') return []; \
         const label = getComputedStyle(cell, '::before').content, box = cell.getBoundingClientRect(); \
         const lines = box.height / parseFloat(getComputedStyle(cell).lineHeight); \
         const fits = box.left >= 0 && box.right <= innerWidth && box.width > 300 && lines < 3 + cell.textContent.length / 12; \
         return fits && label.includes(column.textContent) ? [] : [`${label} ${box.width} ${lines}`]; \
     })))";

/// The cells that do not fit on a sheet.
const CUT_OFF: &str = "return [...document.querySelectorAll('th, td, p, pre')].filter(cell => { \
         const box = cell.getBoundingClientRect(); \
         return box.width > 0 && (box.right > innerWidth + 1 || cell.scrollWidth > cell.clientWidth + 1) && \
             !cell.closest('caption') && getComputedStyle(cell).display !== 'inline'; \
     }).map(cell => cell.textContent)";

fn background(browser: &Browser) -> String {
    let script = "return getComputedStyle(document.body).backgroundColor";
    browser.script(script).as_str().unwrap().to_owned()
}

/// Opens what a run has written, on every screen.
fn check(browser: &Browser, place: &Place, name: &str, lang: &str, edits: u64) {
    browser.resize(1_200, 900);
    browser.prefer("light");
    browser.open(&format!("file://{}", place.path(format!("{name}/report.html")).display()));
    browser.wait("document.readyState === 'complete'");
    assert_eq!(browser.script("return document.documentElement.lang"), lang);
    // The headline is a sum, and it is one.
    let sum = browser.script(&format!(
        "{NUMBER} return [number('all'), ['done', 'failed', 'doubt', 'flight', 'left'].map(number).reduce((a, b) => a + b)]"
    ));
    assert_eq!(sum, serde_json::json!([edits, edits]), "{name}");
    // It needs nothing beside it.
    assert_eq!(browser.script("return performance.getEntriesByType('resource').length"), 0);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let light = background(browser);
    for (scheme, width) in [("light", 1_200), ("light", 390), ("dark", 390), ("dark", 1_200)] {
        browser.prefer(scheme);
        browser.resize(width, 900);
        assert!(!browser.overflows(), "{name} is wider than {width}");
        assert_eq!(background(browser) == light, scheme == "light");
        // Of each chart there is a wide and a narrow one, and one of them is shown.
        let charts = browser.script(
            "return [...document.querySelectorAll('figure')].map(figure => figure.querySelector('.empty') ? 0 : \
             [...figure.querySelectorAll('svg')].filter(svg => svg.getBoundingClientRect().width > 100).length)",
        );
        let shown = u64::from(edits > 0);
        let charts = charts.as_array().unwrap();
        assert!(charts.len() == 2 && charts.iter().all(|chart| *chart == shown), "{name}, {width}: {charts:?}");
        browser.screenshot(&format!("{name}-{scheme}-{width}"));
    }
    // On a phone a row is a block: each column of a table is in each row, with its name, and has room.
    browser.prefer("light");
    browser.resize(390, 900);
    assert_eq!(browser.script(LOST_ON_A_PHONE), serde_json::json!([]), "{name}");
    browser.paper(true);
    assert_eq!(browser.script(CUT_OFF), serde_json::json!([]), "{name}");
    assert!(!browser.overflows(), "{name} is wider than a sheet");
    browser.screenshot(&format!("{name}-paper"));
    browser.paper(false);
}

/// A ledger of ten runs with everything in it, and with names as long as they can be.
fn many_runs(browser: &Browser, place: &Place) {
    let row = |number: u32| {
        let account = format!("customer_{number:023}");
        let body = r#""[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""x""}}]""#;
        format!("{account},{account},{}_4294967295_1773188576,{body}\n", 4_000_000_000 + number)
    };
    let rows = (1..=300).map(row);
    let list: String = std::iter::once("from_account,to_account,msg_key,msg_body\n".to_owned()).chain(rows).collect();
    place.write("edits.csv", list);
    let service = Service::with_messages("20026=4%,edit.silent-after=2%,latency=5ms..40ms", place);
    for _ in 0..10 {
        let run = format!("--input edits.csv --resume ten.db --max-rows 28 --in-doubt hold --timeout 1s {FAST}");
        let ran = place.runner(&format!("{run} --max-failures 100%")).at(&service).run();
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
    }
    for (name, lang) in [("ten", "en"), ("ten-zh", "zh")] {
        place.runner(&format!("report ten.db --csv {name} --lang {lang}")).exits(0);
        check(browser, place, name, if lang == "zh" { "zh-CN" } else { lang }, 300);
    }
}

#[test]
fn a_report_looks_right_with_much_with_one_and_with_nothing() {
    let Some(browser) = Browser::start() else { return };
    let place = Place::new();
    many_runs(&browser, &place);
    let job = JobIdentity { sdkappid: 1_400_000_000, service: "a:443".to_owned(), other_host: None, name: None };
    drop(create_store(&place.path("none.db").as_path().into(), &job).unwrap());
    place.runner("report none.db --csv report-of-none").exits(0);
    check(&browser, &place, "report-of-none", "en", 0);
    for (name, edits, lang) in [("report", 400, "en"), ("report-zh", 400, "zh"), ("report-of-one", 1, "en")] {
        place.write("edits.csv", list(1..=edits, "new"));
        let service = Service::with_messages("20004=3%,20026=2%,edit.silent-after=0.5%,latency=5ms..40ms", &place);
        let run = format!(
            "--input edits.csv --resume {name}.db --report {name} --lang {lang} --in-doubt hold --timeout 4s {FAST}"
        );
        let ran = place.runner(&run).at(&service).run();
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:#?}");
        let lang = if lang == "zh" { "zh-CN" } else { lang };
        check(&browser, &place, name, lang, edits.into());
    }
}
