//! Chromium, driven by way of WebDriver, which is a few calls of JSON over HTTP. (The crates for it bring in twenty others,
//! among them HTTP libraries in versions of their own.)

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::harness::wait_for;

/// Nothing of it goes to the network, and nothing of it stays.
const FLAGS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1100,900",
];

/// A browser with one window; gone when it is dropped.
pub(crate) struct Browser {
    driver: Child,
    /// Kept open: whoever prints into a closed pipe ends.
    _out: BufReader<ChildStdout>,
    profile: TempDir,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
    session: String,
}

impl Browser {
    /// `None`: there is none on this machine, and that is said. In CI it must be there.
    pub(crate) fn start() -> Option<Browser> {
        let (driver, chromium) = (found("chromedriver"), found("chromium"));
        let (Some(driver), Some(chromium)) = (driver, chromium) else {
            let missing = "there is no chromium here: apt-get install chromium chromium-driver fonts-noto-cjk";
            assert!(std::env::var_os("CI").is_none(), "{missing}");
            // Not by a macro, whose words are not shown where a test passes.
            std::io::stderr().write_all(format!("skipped: {missing}\n").as_bytes()).unwrap();
            return None;
        };
        let mut driver =
            Command::new(driver).arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(driver.stdout.take().unwrap());
        let port = wait_for("chromedriver to say its port", || {
            let mut line = String::new();
            out.read_line(&mut line).unwrap();
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim().trim_end_matches('.').parse::<u16>().ok()
        });
        let profile = tempfile::tempdir().unwrap();
        let mut browser = Browser {
            driver,
            _out: out,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
            session: format!("http://127.0.0.1:{port}/session"),
            profile,
        };
        let profile = format!("--user-data-dir={}", browser.profile.path().display());
        let flags: Vec<&str> = FLAGS.iter().copied().chain([profile.as_str()]).collect();
        let capabilities = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium, "args": flags },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let started = browser.post("", &capabilities);
        browser.session = format!("{}/{}", browser.session, started["sessionId"].as_str().unwrap());
        Some(browser)
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.try_post(path, body).unwrap_or_else(|error| wrong(path, &error))
    }

    fn try_post(&self, path: &str, body: &Value) -> Result<Value, Value> {
        let request = self.client.post(format!("{}{path}", self.session)).body(body.to_string());
        let answer = self.runtime.block_on(async { request.send().await?.text().await }).unwrap();
        let value = serde_json::from_str::<Value>(&answer).unwrap()["value"].take();
        if value["error"].is_null() { Ok(value) } else { Err(value) }
    }

    /// A command of the browser's own protocol.
    fn command(&self, command: &str, params: &Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": params }))
    }

    pub(crate) fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    /// What a function made of this body returns on the page.
    pub(crate) fn script(&self, body: &str) -> Value {
        self.post("/execute/sync", &json!({ "script": body, "args": [] }))
    }

    /// Waits until an expression on the page is true. A page may be loading just then.
    pub(crate) fn wait(&self, expression: &str) {
        let body = json!({ "script": format!("return Boolean({expression})"), "args": [] });
        wait_for(expression, || (self.try_post("/execute/sync", &body) == Ok(true.into())).then_some(()));
    }

    /// The text of what a selector names; empty where there is no such thing.
    pub(crate) fn text(&self, selector: &str) -> String {
        let text = self.script(&format!("return document.querySelector({selector:?})?.innerText ?? ''"));
        text.as_str().unwrap_or_default().to_owned()
    }

    /// Clicks like a person: only what can be seen. It may be replaced meanwhile by what is newer.
    pub(crate) fn click(&self, selector: &str) {
        wait_for(selector, || {
            let find = json!({ "using": "css selector", "value": selector });
            let element = self.try_post("/element", &find).ok()?;
            let id = element.as_object()?.values().next()?.as_str()?.to_owned();
            self.try_post(&format!("/element/{id}/click"), &json!({})).ok()
        });
    }

    /// What it complained of, such as a policy that was violated.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let lines = self.post("/se/log", &json!({ "type": "browser" }));
        lines.as_array().unwrap().iter().map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    /// As on a screen of this size; narrow ones are those of phones.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        let phone = width < 600;
        let screen = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone });
        self.command("Emulation.setDeviceMetricsOverride", &screen);
    }

    /// The colours that whoever looks prefers.
    pub(crate) fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", &features);
    }

    /// As on a sheet of A4 inside its margins, or again as on a screen.
    pub(crate) fn paper(&self, is_paper: bool) {
        let media = if is_paper { "print" } else { "screen" };
        self.command("Emulation.setEmulatedMedia", &json!({ "media": media }));
        self.resize(688, 900);
    }

    /// From the next page on, scripts of pages do not run.
    pub(crate) fn without_script(&self) {
        self.command("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    }

    /// A header that is sent with every request.
    pub(crate) fn accept_language(&self, languages: &str) {
        self.command("Network.enable", &json!({}));
        let headers = json!({ "headers": { "Accept-Language": languages } });
        self.command("Network.setExtraHTTPHeaders", &headers);
    }

    /// Whether something is wider than the window.
    pub(crate) fn overflows(&self) -> bool {
        self.script("return document.documentElement.scrollWidth > window.innerWidth").as_bool().unwrap()
    }

    /// A picture of the whole page, as `target/screenshots/<name>.png`.
    pub(crate) fn screenshot(&self, name: &str) -> PathBuf {
        let picture = self.command("Page.captureScreenshot", &json!({ "captureBeyondViewport": true }));
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join(format!("{name}.png"));
        std::fs::write(&path, STANDARD.decode(picture["data"].as_str().unwrap()).unwrap()).unwrap();
        path
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver takes its browser along; killed, it would leave it behind.
        let request = self.client.delete(&self.session).timeout(std::time::Duration::from_secs(10));
        let _ = self.runtime.block_on(async { request.send().await });
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Where a program is, if it is anywhere.
fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

#[expect(clippy::panic, reason = "a test that panics has failed, as it should")]
fn wrong(path: &str, error: &Value) -> ! {
    panic!("the browser did not do {path}: {error:#}")
}
