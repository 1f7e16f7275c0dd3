//! A working directory, and the program run in it without this machine's environment. Conditions are polled, up to a
//! time limit.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use runner::sandbox::{IDENTIFIER, SDKAPPID, SECRET_KEY};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::service::Service;

/// Far longer than anything here takes, on any busy machine.
const WAIT_MAX: Duration = Duration::from_secs(90);
/// The polling interval.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// For tests that do not concern the rate.
pub(crate) const FAST: &str = "--rate 5000 --max-rate 5000";

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_runner");

/// Whether a tool that the documents use is installed. Without it the test is skipped with a message; under CI, where
/// everything must be tested, it fails.
pub(crate) fn has(tool: &str, package: &str) -> bool {
    let has = Command::new(tool).arg("--version").output().is_ok();
    assert!(has || std::env::var_os("CI").is_none(), "{tool} is missing: apt-get install {package}");
    if !has {
        eprintln!("skipped, as {tool} is missing: apt-get install {package}");
    }
    has
}

/// Polls until `look` returns something.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < WAIT_MAX, "timed out waiting for {what}");
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// A list of CSV rows, one message each, with the new text `text`.
pub(crate) fn list(numbers: impl IntoIterator<Item = u32>, text: &str) -> String {
    let mut list = "from_account,to_account,msg_key,msg_body\n".to_owned();
    for number in numbers {
        list += &row(number, text);
    }
    list
}

/// One row of [`list`].
pub(crate) fn row(number: u32, text: &str) -> String {
    let body = r#"[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""TEXT""}}]"#.replace("TEXT", text);
    format!("user_{number},user_0,{number}_7_1773188576,\"{body}\"\n")
}

/// A working directory, removed when it is dropped.
pub(crate) struct Place {
    dir: TempDir,
    /// The output of runs, kept apart from the files that they write.
    prints: TempDir,
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), prints: tempfile::tempdir().unwrap() }
    }

    /// A working directory with the list `edits.csv` of this many messages.
    pub(crate) fn with_list(rows: u32) -> Place {
        let place = Place::new();
        place.write("edits.csv", list(1..=rows, "new"));
        place
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        String::from_utf8(std::fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// Every file and its content, except SQLite's `-shm`, the index that each reader of a database may rebuild from
    /// its log, and the socket that a run opens beside its ledger.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap().map(|entry| entry.unwrap());
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
            .filter(|(name, path)| !name.ends_with("-shm") && path.is_file())
            .map(|(name, path)| (name, std::fs::read(path).unwrap()))
            .collect()
    }

    /// The state directory, which only the jobs of this test share.
    pub(crate) fn state(&self) -> PathBuf {
        self.prints.path().join("state")
    }

    /// The program with these arguments, split at white space.
    pub(crate) fn runner(&self, args: &str) -> Call<'_> {
        self.call(Path::new(PROGRAM), args.split_whitespace())
    }

    /// A shell that runs a line, such as one that the program printed.
    pub(crate) fn shell(&self, line: &str) -> Call<'_> {
        self.call(Path::new("/bin/sh"), ["-c", line])
    }

    /// The program in a terminal, through `script`, which every Debian has. Its two outputs are combined.
    pub(crate) fn terminal(&self, args: &str) -> Call<'_> {
        self.shell_in_terminal(&format!("'{PROGRAM}' {args}"))
    }

    /// A shell in a terminal that runs a line.
    pub(crate) fn shell_in_terminal(&self, line: &str) -> Call<'_> {
        self.call(Path::new("/usr/bin/script"), ["-qec", line, "/dev/null"]).env("NO_COLOR", "1").env("TERM", "xterm")
    }

    fn call<'a>(&self, program: &Path, args: impl IntoIterator<Item = &'a str>) -> Call<'_> {
        // The tests may run with SIGHUP ignored, as under `nohup`, and the program would inherit that.
        let mut command = Command::new("/usr/bin/env");
        command
            .arg("--default-signal=HUP")
            .arg(program)
            .args(args)
            .env_clear()
            .env("RUNNER_STATE_DIR", self.state())
            .current_dir(self.dir.path())
            .stdin(Stdio::null());
        Call { place: self, command, input: None, more_input: false }
    }
}

/// A command that has not been started.
pub(crate) struct Call<'a> {
    place: &'a Place,
    command: Command,
    input: Option<Vec<u8>>,
    more_input: bool,
}

impl Call<'_> {
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Passes the sandbox's app and key through the environment.
    pub(crate) fn credentials(self) -> Self {
        self.env("TIM_SDKAPPID", SDKAPPID.to_string())
            .env("TIM_IDENTIFIER", IDENTIFIER)
            .env("TIM_SECRET_KEY", SECRET_KEY)
    }

    /// Runs against this service, as the sandbox's banner says.
    pub(crate) fn at(self, service: &Service) -> Self {
        self.arg("--endpoint").arg(&service.url).credentials()
    }

    /// Sets its standard input.
    pub(crate) fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Some(bytes.into());
        self
    }

    /// Keeps its standard input open for more.
    pub(crate) fn more_input(mut self) -> Self {
        self.more_input = true;
        self
    }

    pub(crate) fn start(mut self) -> Running {
        let print = |ending: &str| {
            let file = tempfile::Builder::new().suffix(ending).tempfile_in(self.place.prints.path()).unwrap();
            file.keep().unwrap()
        };
        let ((out, out_path), (err, err_path)) = (print(".out"), print(".err"));
        if self.input.is_some() {
            self.command.stdin(Stdio::piped());
        }
        let mut child = self.command.stdout(out).stderr(err).spawn().unwrap();
        let mut stdin = child.stdin.take();
        if let (Some(stdin), Some(input)) = (&mut stdin, &self.input) {
            stdin.write_all(input).unwrap();
        }
        // Dropping it closes standard input.
        let stdin = stdin.filter(|_| self.more_input);
        Running { child, stdin, out: out_path, err: err_path }
    }

    /// Runs to the end.
    pub(crate) fn run(self) -> Ran {
        self.start().wait()
    }

    /// Runs to the end, and requires this exit code.
    pub(crate) fn exits(self, code: i32) -> Ran {
        self.start().exits(code)
    }
}

/// A running process, killed when it is dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far; in a terminal, all output.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.out).unwrap()).into_owned()
    }

    /// What it has written to standard error so far.
    pub(crate) fn err(&self) -> String {
        std::fs::read_to_string(&self.err).unwrap()
    }

    /// Types more input.
    pub(crate) fn types(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// The address of its live page, once it has printed it.
    pub(crate) fn page(&self) -> String {
        wait_for("the page's address", || {
            let err = self.err();
            let (_, rest) = err.split_once("Live page: ")?;
            rest.split_once('\n').map(|(url, _)| url.to_owned())
        })
    }

    /// Sends a signal: `INT`, `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("/bin/sh").arg("-c").arg(format!("kill -{name} {}", self.id())).status().unwrap();
        assert!(sent.success(), "it ended before it could be sent {name}: {}", self.err());
    }

    pub(crate) fn wait(mut self) -> Ran {
        let status = wait_for("a process to end", || self.child.try_wait().unwrap());
        let read = |path| String::from_utf8(std::fs::read(path).unwrap()).unwrap();
        Ran { code: status.code(), out: read(&self.out), err: read(&self.err) }
    }

    pub(crate) fn exits(self, code: i32) -> Ran {
        let ran = self.wait();
        assert_eq!(ran.code, Some(code), "{ran:#?}");
        ran
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Whether it handles signals yet: before, their default action ends it.
    pub(crate) fn listens(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        // SIGINT is the second, SIGTERM the fifteenth.
        caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 0x4002 == 0x4002)
    }

    /// Kills it, as a power cut would. Returns false if it had exited already.
    pub(crate) fn kill(mut self) -> bool {
        let _ = self.child.kill();
        self.wait().code.is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Usually it has exited already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// `None` if a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| Value::from(format!("{error}: {self:#?}")))
    }

    /// The summary of `--json`, whose numbers must add up.
    pub(crate) fn summary(&self) -> Summary {
        let json = self.json();
        let number = |name: &str| json[name].as_u64().unwrap_or_else(|| panic_about(self));
        let [rows, done, failed, in_doubt, duplicates, not_reached] =
            ["rows", "done", "failed", "in_doubt", "duplicates", "not_reached"].map(number);
        assert_eq!(rows, done + failed + in_doubt + duplicates + not_reached, "{self:#?}");
        Summary { rows, done, failed, in_doubt, duplicates, not_reached }
    }

    /// The number of unsuccessful answers of one kind, by code or description.
    pub(crate) fn answers(&self, code: impl Into<Value>) -> u64 {
        let (code, json) = (code.into(), self.json());
        let answers = json["answers_other_than_success"].as_array().unwrap();
        let found = answers.iter().find(|answer| {
            answer["code"] == code || answer["meaning"].as_str().unwrap().contains(code.as_str().unwrap_or("\0"))
        });
        found.map_or(0, |answer| answer["answers"].as_u64().unwrap())
    }

    /// The resume command that it printed.
    pub(crate) fn resume_command(&self) -> &str {
        let lines = self.out.lines().chain(self.err.lines());
        let command = lines.filter_map(|line| line.split_once("To resume: ")).map(|(_, command)| command).next();
        command.unwrap_or_else(|| panic_about(self))
    }
}

#[expect(clippy::panic, reason = "a test that panics has failed, as it should")]
fn panic_about(ran: &Ran) -> ! {
    panic!("not what was expected: {ran:#?}")
}

/// The state of a list's rows at the end of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) rows: u64,
    pub(crate) done: u64,
    pub(crate) failed: u64,
    pub(crate) in_doubt: u64,
    pub(crate) duplicates: u64,
    pub(crate) not_reached: u64,
}

/// Creates an SQLite database, or changes one.
pub(crate) fn sqlite(path: &Path, sql: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

/// Compresses like `gzip`.
pub(crate) fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(text.as_bytes()).unwrap();
    packer.finish().unwrap()
}

/// The permissions of a file, as `chmod` writes them.
pub(crate) fn mode(path: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777
}

/// Any bytes as text, to search them.
pub(crate) fn printed(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut text = String::new();
    for (name, bytes) in files {
        writeln!(text, "{name}: {}", String::from_utf8_lossy(bytes)).unwrap();
    }
    text
}
