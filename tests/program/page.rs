//! The live page as programs see it: who is admitted, what takes effect, and what it reports. (The visible part is in
//! `tests/browser`.)

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::process::Command;

use reqwest::Method;
use rusqlite::Connection;

use crate::support::harness::{Call, Place, Running, printed, wait_for};
use crate::support::service::Service;

const RUN: &str = "--input edits.csv --resume ledger.db --yes --no-progress --json --page 127.0.0.1:0 --rate 100";
const TOKEN: &str = "an operator's own token";

/// A run with a page, and a client.
struct Watched {
    run: Running,
    service: Service,
    address: String,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

struct Answer {
    status: u16,
    head: BTreeMap<String, String>,
    body: String,
}

impl Watched {
    fn start(place: &Place, with: impl FnOnce(Call<'_>) -> Call<'_>) -> Watched {
        let service = Service::start("20026=2%,20004=2%,latency=10ms..30ms");
        let run = with(place.runner(RUN).at(&service)).start();
        let page = run.page();
        let address = page.strip_prefix("http://").unwrap().strip_suffix('/').unwrap().to_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let redirects = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(redirects).build().unwrap();
        Watched { run, service, address, runtime, client }
    }

    fn ask(&self, method: Method, path: &str, head: &[(&str, &str)], body: &str) -> Answer {
        self.try_ask(method, path, head, body).unwrap()
    }

    fn try_ask(&self, method: Method, path: &str, head: &[(&str, &str)], body: &str) -> reqwest::Result<Answer> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address)).body(body.to_owned());
        for (name, value) in head {
            request = request.header(*name, *value);
        }
        self.runtime.block_on(async {
            let answer = request.send().await?;
            let head = answer.headers().iter();
            let head = head.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            Ok(Answer { status: answer.status().as_u16(), head, body: answer.text().await? })
        })
    }

    fn get(&self, path: &str, head: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, head, "")
    }

    /// A form, as the browser sends it from the page, with these changes.
    fn post(&self, form: &str, head: &[(&str, &str)]) -> u16 {
        let origin = format!("http://{}", self.address);
        let mut all = BTreeMap::from([
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", &origin),
            ("sec-fetch-site", "same-origin"),
        ]);
        all.extend(head.iter().copied());
        let head: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        self.ask(Method::POST, "/tell", &head, form).status
    }

    fn form_key(&self) -> String {
        let page = self.get("/", &[]).body;
        let (_, rest) = page.split_once("name=\"form_key\" value=\"").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    }

    /// The metrics, by their names with labels.
    fn metrics(&self) -> BTreeMap<String, String> {
        let text = self.get("/metrics", &[]).body;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(|line| line.rsplit_once(' ').unwrap()).map(|(name, value)| (name.into(), value.into())).collect()
    }
}

fn acts(place: &Place) -> i64 {
    let ledger = Connection::open(place.path("ledger.db")).unwrap();
    ledger.query_row("SELECT count(*) FROM act", [], |row| row.get(0)).unwrap()
}

fn stop(place: &Place, watched: Watched) -> crate::support::harness::Ran {
    place.runner("ctl ledger.db stop").exits(0);
    watched.run.exits(3)
}

/// Their browser is sent to the page anew when the run may already be over.
#[test]
fn whoever_stops_the_run_on_the_page_sees_its_end_there() {
    let place = Place::with_list(2_000);
    let watched = Watched::start(&place, |run| run);
    let form = format!("what=stop&form_key={}", watched.form_key());
    assert_eq!(watched.post(&form, &[]), 303);
    // A connection that is being closed is replaced by another one, as browsers do.
    let shows = |path, what| {
        wait_for(path, || watched.try_ask(Method::GET, path, &[], "").ok()?.body.contains(what).then_some(()));
    };
    shows("/", r#"class="state over""#);
    shows("/events", "event: end");
    watched.run.exits(3);
}

/// Only the page's own forms take effect, and refused ones are not in the ledger.
#[test]
fn what_does_not_come_from_the_page_is_refused() {
    let place = Place::with_list(3_000);
    let watched = Watched::start(&place, |call| call);
    let key = watched.form_key();
    let form = |what: &str| format!("what={what}&form_key={key}");
    for (form, head, status) in [
        (form("stop"), vec![("origin", "http://evil.example")], 403),
        (form("stop"), vec![("origin", "null")], 403),
        (form("stop"), vec![("origin", "")], 403),
        (form("stop"), vec![("sec-fetch-site", "cross-site")], 403),
        (form("stop"), vec![("sec-fetch-site", "same-site")], 403),
        (form("stop"), vec![("host", "evil.example"), ("origin", "http://evil.example")], 403),
        ("what=stop".to_owned(), vec![], 400),
        ("what=stop&form_key=".to_owned(), vec![], 403),
        (format!("what=stop&form_key={}", "0".repeat(32)), vec![], 403),
        (format!("{}&more=1", form("stop")), vec![], 400),
        (form("drop"), vec![], 400),
        (form("rate"), vec![], 400),
        (format!("{}&rate=0", form("rate")), vec![], 400),
        (format!("{}&rate=101", form("rate")), vec![], 409),
        (format!("{}&rate={}", form("rate"), "9".repeat(4_000)), vec![], 400),
        (form("stop"), vec![("content-type", "application/json")], 400),
    ] {
        assert_eq!(watched.post(&form, &head), status, "{form} {head:?}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "[::1].evil",
        "evil@127.0.0.1",
        "127.0.0.1:x",
    ] {
        assert_eq!(watched.get("/", &[("host", host)]).status, 403, "{host}");
    }
    for path in ["/tell", "/confirm/drop", "/ledger.db", "/../ledger.db", "//evil.example"] {
        assert!([404, 405].contains(&watched.get(path, &[]).status), "{path}");
    }
    assert_eq!(acts(&place), 0);
    // The same form takes effect if it comes from the page.
    assert_eq!(watched.post(&form("pause"), &[]), 303);
    assert_eq!(watched.post(&form("pause"), &[("sec-fetch-site", "")]), 303, "browsers of old do not say");
    assert_eq!(acts(&place), 2);
    let page = watched.get("/", &[]);
    assert!(page.head["content-security-policy"].starts_with("default-src 'none'"));
    for (name, value) in
        [("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("referrer-policy", "same-origin")]
    {
        assert_eq!(page.head[name], value);
    }
    stop(&place, watched);
}

/// With a token every request needs it, and no output reveals it.
#[test]
fn without_the_token_nothing_is_answered_and_nobody_learns_it() {
    let place = Place::with_list(3_000);
    place.write("token", format!("{TOKEN}\n"));
    let watched = Watched::start(&place, |call| {
        call.env("RUNNER_PAGE_TOKEN_FILE", place.path("token")).arg("-vv").arg("--log-file").arg("log")
    });
    for path in ["/", "/?token=wrong", "/events", "/metrics", "/healthz", "/confirm/stop", "/page.js", "/none"] {
        let answer = watched.get(path, &[]);
        assert!(answer.status == 401 && !answer.body.contains("edits.csv"), "{path}: {}", answer.status);
    }
    for wrong in ["Bearer", "Bearer wrong", TOKEN, "Basic Og=="] {
        assert_eq!(watched.get("/metrics", &[("authorization", wrong)]).status, 401, "{wrong}");
    }
    let bearer = format!("Bearer {TOKEN}");
    assert_eq!(watched.get("/metrics", &[("authorization", &bearer)]).status, 200);
    assert_eq!(watched.get("/healthz", &[("authorization", &bearer)]).status, 200);
    // Once entered, it becomes a cookie, which is a different secret.
    let origin = format!("http://{}", watched.address);
    let head = [("content-type", "application/x-www-form-urlencoded"), ("origin", &origin)];
    assert_eq!(watched.ask(Method::POST, "/token", &head, "token=wrong").status, 401);
    assert_eq!(watched.ask(Method::POST, "/token", &head[..1], &format!("token={TOKEN}")).status, 403);
    let opened = watched.ask(Method::POST, "/token", &head, &format!("token={}", TOKEN.replace(' ', "+")));
    let cookie = &opened.head["set-cookie"];
    assert_eq!((opened.status, opened.head["location"].as_str()), (303, "/"));
    assert!(cookie.ends_with("; HttpOnly; SameSite=Strict; Path=/") && !cookie.contains("operator"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = watched.get("/", &[("cookie", &format!("other=1; {cookie}"))]);
    assert_eq!(page.status, 200);
    assert!(page.body.contains("edits.csv") && !page.body.contains(TOKEN));
    assert_eq!(watched.get("/", &[("cookie", &cookie.replace('=', "=0"))]).status, 401);
    let err = watched.run.err();
    let ran = stop(&place, watched);
    std::fs::remove_file(place.path("token")).unwrap();
    let everything = format!("{err}{}{}{}", ran.out, ran.err, printed(&place.files()));
    assert!(!everything.contains(TOKEN) && !everything.contains(cookie));
    let short =
        place.runner("--input edits.csv --resume other.db --sandbox --page").env("RUNNER_PAGE_TOKEN", "short").exits(2);
    assert!(short.err.contains("RUNNER_PAGE_TOKEN is shorter than 16 characters"), "{short:#?}");
}

/// On loopback the kernel identifies the owner of a connection.
#[test]
fn another_user_of_this_machine_does_not_see_the_page() {
    let is_root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !is_root || !cfg!(target_os = "linux") {
        // Other users cannot be impersonated.
        return;
    }
    let place = Place::with_list(3_000);
    let watched = Watched::start(&place, |call| call);
    let (host, port) = watched.address.split_once(':').unwrap();
    let call = format!(
        "exec 3<>/dev/tcp/{host}/{port}; printf 'GET / HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3; cat <&3"
    );
    let other =
        Command::new("setpriv").args(["--reuid=65534", "--clear-groups", "bash", "-c", &call]).output().unwrap();
    let other = String::from_utf8(other.stdout).unwrap();
    assert!(other.starts_with("HTTP/1.1 403 ") && !other.contains("edits.csv"), "{other}");
    let own = Command::new("bash").args(["-c", &call]).output().unwrap();
    assert!(String::from_utf8(own.stdout).unwrap().starts_with("HTTP/1.1 200 "));
    stop(&place, watched);
}

/// More connections than it accepts, all silent: they are closed, and the run is not affected.
#[test]
fn silent_connections_are_let_go() {
    let place = Place::with_list(3_000);
    let watched = Watched::start(&place, |call| call);
    let silent: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(&watched.address).ok()).collect();
    let before = watched.service.stats().requests();
    watched.service.wait_for_requests(before + 100);
    let request = || watched.client.get(format!("http://{}/healthz", watched.address));
    wait_for("a place", || {
        let answer = watched.runtime.block_on(async { request().send().await });
        answer.is_ok_and(|answer| answer.status() == 200).then_some(())
    });
    drop(silent);
    stop(&place, watched);
}

/// Prometheus gets the summary's figures, and everything that the alerts and the dashboard query exists.
#[test]
fn metrics_are_those_of_the_summary_and_all_that_is_asked_for() {
    let place = Place::with_list(3_000);
    let watched = Watched::start(&place, |call| call);
    watched.service.wait_for_requests(150);
    place.runner("ctl ledger.db pause").exits(0);
    wait_for("all answers", || (watched.metrics()["runner_edits_under_way"] == "0").then_some(()));
    let metrics = watched.metrics();
    let health: serde_json::Value = serde_json::from_str(&watched.get("/healthz", &[]).body).unwrap();
    assert_eq!(health["state"], "paused");
    let content_type = &watched.get("/metrics", &[]).head["content-type"];
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    let json = stop(&place, watched).json();
    let this_run = |name: &str| json["this_run"][name].as_u64().unwrap();
    for (name, value) in [
        ("runner_edits_total{outcome=\"done\"}", this_run("done")),
        ("runner_edits_total{outcome=\"failed\"}", this_run("failed")),
        ("runner_edits_total{outcome=\"in_doubt\"}", 0),
        ("runner_requests_total{call=\"edit\"}", this_run("requests")),
        ("runner_requests_total{call=\"read_back\"}", 0),
        ("runner_answers_total{code=\"0\"}", this_run("done")),
        ("runner_answer_seconds_count", this_run("requests")),
        ("runner_pace_wait_seconds_count", this_run("requests")),
        ("runner_edits_planned", 3_000),
        ("runner_paused", 1),
        ("runner_cap_requests_per_second", 100),
    ] {
        assert_eq!(metrics.get(name), Some(&value.to_string()), "{name}: {metrics:#?} {json:#}");
    }
    let settled = this_run("done") + this_run("failed");
    assert_eq!(metrics["runner_edits_left"], (3_000 - settled).to_string());
    let answers = metrics.iter().filter(|(name, _)| name.starts_with("runner_answers_total"));
    assert_eq!(answers.map(|(_, answers)| answers.parse::<u64>().unwrap()).sum::<u64>(), this_run("requests"));
    let time = |name: &str| metrics[name].parse::<f64>().unwrap();
    assert!(time("runner_last_success_timestamp_seconds") > time("runner_start_timestamp_seconds"));

    let names: Vec<&str> = metrics.keys().map(|name| name.split('{').next().unwrap()).collect();
    let monitoring = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/monitoring");
    for file in ["alerts.yml", "dashboard.json"] {
        let text = std::fs::read_to_string(monitoring.join(file)).unwrap();
        let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
        let asked: Vec<&str> = text.split(word).filter(|word| word.starts_with("runner_")).collect();
        assert!(asked.len() > 5, "{asked:?}");
        for name in asked {
            assert!(names.contains(&name), "{file} asks for {name}, and there is none");
        }
    }
}

/// Grafana accepts a dashboard whose panels have ids, positions and queries, and a selectable data source.
#[test]
fn the_dashboard_has_what_grafana_needs() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs/monitoring/dashboard.json");
    let board: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert!(board["schemaVersion"].as_u64().unwrap() >= 39 && board["title"].is_string() && board["uid"].is_string());
    let variables = board["templating"]["list"].as_array().unwrap();
    assert!(variables.iter().any(|variable| variable["type"] == "datasource" && variable["name"] == "datasource"));
    let (mut ids, mut taken) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for panel in board["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel:#}");
        assert!(panel["title"].is_string() && panel["type"].is_string(), "{panel:#}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{panel:#}");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "two panels in one place: {panel:#}");
        }
        let targets = panel["targets"].as_array().unwrap();
        assert!(
            !targets.is_empty()
                && targets.iter().all(|target| target["expr"].as_str().is_some_and(|expr| !expr.is_empty()))
        );
    }
}

/// The alerts are valid, and fire when they should (`alerts.yml`).
#[test]
fn prometheus_takes_the_alerts_and_they_fire_when_they_shall() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (what, file) in [("check", "jobs/monitoring/alerts.yml"), ("test", "tests/program/alerts.yml")] {
        let Ok(ran) = Command::new("promtool").args([what, "rules"]).arg(root.join(file)).output() else {
            eprintln!("skipped: the alerts are checked by promtool: apt-get install prometheus");
            assert!(std::env::var_os("CI").is_none(), "in CI it must be there");
            return;
        };
        assert!(
            ran.status.success(),
            "{}{}",
            String::from_utf8_lossy(&ran.stdout),
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}
