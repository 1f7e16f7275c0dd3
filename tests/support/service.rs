//! A sandbox in a process of its own.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::support::harness::{PROGRAM, Place, wait_for};

/// `runner sandbox` in a process of its own, killed when it is dropped.
pub(crate) struct Service {
    pub(crate) url: String,
    child: Child,
    /// Kept open: printing into a closed pipe ends a process.
    _out: BufReader<ChildStdout>,
    runtime: tokio::runtime::Runtime,
    client: reqwest::Client,
}

impl Service {
    /// A sandbox without a rate limit, with these faults.
    pub(crate) fn start(faults: &str) -> Service {
        Service::with_rate(faults, 100_000)
    }

    pub(crate) fn with_rate(faults: &str, rate: u32) -> Service {
        Service::with_args(&["--faults", faults, "--rate", &rate.to_string()])
    }

    /// Adds the messages of `edits.csv`, which the real service would have from the start.
    pub(crate) fn with_messages(faults: &str, place: &Place) -> Service {
        let list = place.path("edits.csv");
        Service::with_args(&["--faults", faults, "--rate", "100000", "--input", list.to_str().unwrap()])
    }

    /// Replaces it with a new one at the same address, without the state of this one.
    pub(crate) fn replaced_by(self, faults: &str) -> Service {
        let address = self.address().to_owned();
        drop(self);
        Service::again_at(&address, faults)
    }

    /// One at this address, where there was one before.
    pub(crate) fn again_at(address: &str, faults: &str) -> Service {
        Service::listening(address, &["--faults", faults, "--rate", "100000"])
    }

    pub(crate) fn with_args(args: &[&str]) -> Service {
        Service::listening("127.0.0.1:0", args)
    }

    /// One that comes before everything else on this machine, where that is allowed: it counts a request when it gets to it,
    /// and what other tests do at the same time must not push requests together.
    pub(crate) fn prompt(args: &[&str]) -> Service {
        let chrt = |program: &str| {
            let mut command = Command::new("chrt");
            command.args(["-f", "1", program]);
            command
        };
        let may = chrt("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        let program = if may { chrt(PROGRAM) } else { Command::new(PROGRAM) };
        Service::run(program, "127.0.0.1:0", args)
    }

    fn listening(address: &str, args: &[&str]) -> Service {
        Service::run(Command::new(PROGRAM), address, args)
    }

    fn run(mut program: Command, address: &str, args: &[&str]) -> Service {
        let mut child = program
            .args(["sandbox", "--listen", address])
            .args(args)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut banner = String::new();
        out.read_line(&mut banner).unwrap();
        let url = banner.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        Service {
            url: url.trim_end_matches('.').to_owned(),
            child,
            _out: out,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            client: reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap(),
        }
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    fn send(&self, request: reqwest::RequestBuilder) -> String {
        let answer = async { request.send().await?.error_for_status()?.text().await };
        self.runtime.block_on(answer).unwrap()
    }

    /// Its statistics so far.
    pub(crate) fn stats(&self) -> Stats {
        let text = self.send(self.client.get(format!("{}/sandbox/stats", self.url)));
        Stats { all: serde_json::from_str(&text).unwrap() }
    }

    /// Every message that a request has named.
    pub(crate) fn messages(&self) -> Vec<Value> {
        let text = self.send(self.client.get(format!("{}/sandbox/messages", self.url)));
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The message with this key.
    pub(crate) fn message(&self, key: &str) -> Value {
        self.messages().into_iter().find(|message| message["MsgKey"] == key).unwrap()
    }

    /// Changes its faults.
    pub(crate) fn set_faults(&self, faults: &str) {
        self.send(self.client.post(format!("{}/sandbox/faults", self.url)).body(faults.to_owned()));
    }

    /// Waits until this many requests have arrived.
    pub(crate) fn wait_for_requests(&self, count: u64) {
        wait_for("requests", || (self.stats().requests() >= count).then_some(()));
    }

    /// Waits until this many lookups have arrived.
    pub(crate) fn wait_for_read_backs(&self, count: u64) {
        wait_for("lookups", || (self.stats().read_backs() >= count).then_some(()));
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A sandbox's statistics.
#[derive(Debug, PartialEq)]
pub(crate) struct Stats {
    all: Value,
}

impl Stats {
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.all[name].as_u64().unwrap()
    }

    /// Requests to edit.
    pub(crate) fn requests(&self) -> u64 {
        self.all["modify_c2c_msg"]["requests"].as_u64().unwrap()
    }

    /// Requests to read back.
    pub(crate) fn read_backs(&self) -> u64 {
        self.all["admin_getroammsg"]["requests"].as_u64().unwrap()
    }

    /// The most requests to edit in any second.
    pub(crate) fn worst_second(&self) -> u64 {
        self.all["modify_c2c_msg"]["worst_second"].as_u64().unwrap()
    }

    pub(crate) fn mean_rate(&self) -> f64 {
        self.all["modify_c2c_msg"]["mean_rate"].as_f64().unwrap()
    }

    /// Messages that were edited, after checking that none was edited twice.
    pub(crate) fn edited_once(&self) -> u64 {
        assert_eq!(self.number("edited_more_than_once"), 0, "{self:#?}");
        self.number("edits")
    }
}
