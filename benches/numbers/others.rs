//! The alternatives to the program, and whether they are installed. The scripts are in `benches/others/`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Bench, IN_FLIGHT};

/// Measures tools by turns (A, B, A, B, …), so that a busy moment of the machine meets all of them. Each comes with its
/// runs in order, so that those of one turn can be compared, or with what is missing of it.
pub(crate) fn by_turns<T>(
    tools: usize,
    turns: usize,
    measure: impl Fn(usize, usize) -> Result<T, String>,
) -> Vec<Result<Vec<T>, String>> {
    let mut runs: Vec<Vec<Result<T, String>>> = (0..tools).map(|_| Vec::new()).collect();
    for turn in 0..turns {
        runs.iter_mut().enumerate().for_each(|(tool, runs)| runs.push(measure(tool, turn)));
    }
    runs.into_iter().map(|runs| runs.into_iter().collect()).collect()
}

/// A tool that is ready, or what it lacks.
pub(crate) type Found = Result<Command, String>;

/// A script that edits the messages of a list of request bodies: `list`, `url` and `log` (where it notes what is done).
pub(crate) struct Script {
    pub(crate) name: &'static str,
    interpreter: Interpreter,
    file: &'static str,
    needs: &'static [&'static str],
}

/// Where it cannot be had, that is tried once.
static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();

#[derive(Clone, Copy)]
enum Interpreter {
    Bash,
    Python,
}

pub(crate) const PARALLEL: Script = Script {
    name: "GNU parallel + curl",
    interpreter: Interpreter::Bash,
    file: "parallel.sh",
    needs: &["parallel", "curl"],
};
pub(crate) const XARGS: Script =
    Script { name: "xargs + curl", interpreter: Interpreter::Bash, file: "xargs.sh", needs: &["xargs", "curl"] };
pub(crate) const AIOHTTP: Script = Script {
    name: "Python, aiohttp + aiolimiter",
    interpreter: Interpreter::Python,
    file: "aiohttp_script.py",
    needs: &["python3"],
};

impl Script {
    /// The command at this rate.
    pub(crate) fn command(&self, bench: &Bench, list: &Path, url: &str, log: &Path, rate: u32) -> Found {
        let missing: Vec<&str> = self.needs.iter().copied().filter(|tool| find(tool).is_none()).collect();
        if !missing.is_empty() {
            return Err(format!("not there: apt-get install {}", missing.join(" ")));
        }
        let mut command = match self.interpreter {
            Interpreter::Bash => Command::new("bash"),
            Interpreter::Python => Command::new(PYTHON.get_or_init(|| python(bench)).clone()?),
        };
        command.arg(others().join(self.file)).arg(list).arg(url).arg(log).arg(rate.to_string());
        Ok(command)
    }
}

/// As many requests as it can send in this time, all with the same body.
pub(crate) fn wrk(url: &str, body: &str, seconds: u32) -> Found {
    find("wrk").ok_or("not there: apt-get install wrk")?;
    let mut command = Command::new("wrk");
    command.args(["-t1", &format!("-c{IN_FLIGHT}"), &format!("-d{seconds}s"), "-s"]).arg(others().join("post.lua"));
    command.arg(url).env("BODY", body);
    Ok(command)
}

/// The same with oha, if it is installed.
pub(crate) fn oha(url: &str, body: &str, seconds: u32) -> Found {
    find("oha").ok_or("not there: cargo install oha")?;
    let mut command = Command::new("oha");
    command.args(["--no-tui", "-c", &IN_FLIGHT.to_string(), "-z", &format!("{seconds}s"), "-m", "POST"]);
    command.args(["-T", "application/json", "-d", body, url]);
    Ok(command)
}

/// The path at which the shell would find the tool.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(tool)).find(|path| path.is_file())
}

fn others() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/others")
}

/// A Python that has the packages; they are fetched the first time.
fn python(bench: &Bench) -> Result<PathBuf, String> {
    let venv = bench.kept.join("venv");
    let python = venv.join("bin/python");
    let runs = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let is_ready = || runs(Command::new(&python).args(["-c", "import aiohttp, aiolimiter"]));
    if !is_ready() {
        let made = runs(Command::new("python3").args(["-m", "venv"]).arg(&venv));
        if !made || !runs(Command::new(&python).args(["-m", "pip", "install", "aiohttp", "aiolimiter"])) {
            return Err("not there: apt-get install python3-venv, and pip must reach PyPI".to_owned());
        }
    }
    if is_ready() { Ok(python) } else { Err("not there: pip install aiohttp aiolimiter".to_owned()) }
}
