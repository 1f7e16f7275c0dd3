//! The documents are correct: each command that they show is run, against the sandbox, and prints what they show; each
//! option that they name exists; and the Chinese ones have everything that the English ones have.
//!
//! Each section (`##`) has its own directory, with the repository's `jobs` in it and a list `edits.csv`.

mod languages;
mod markdown;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;

use tempfile::TempDir;

use self::markdown::{Command, Section, sections};
use crate::support::harness::{Call, PROGRAM, Place, Ran, Running, has, list, wait_for};
use crate::support::service::Service;

/// The documents in English; the Chinese ones have the same commands, as `languages` checks.
const DOCUMENTS: [&str; 2] = ["README.md", "jobs/README.md"];

/// The commands that are not run, by prefix, with the reason.
const NOT_RUN: [(&str, &str); 12] = [
    ("cargo test", "it is what runs this"),
    ("cargo install", "it builds what is tested here once more"),
    ("export ", "who calls which service is said for every command here, below"),
    ("umask ", "the same: it is for the key's file"),
    ("sudo ", "it changes the machine"),
    ("printf ", "it goes on to sudo"),
    ("systemctl ", "there is no systemd to ask in a container; the unit's own test runs its command"),
    ("journalctl ", "the same"),
    (".ci/", "it builds a package; that has a test of its own"),
    ("apt-get ", "it changes the machine"),
    ("man ", "it waits for a person"),
    ("source ", "it changes the shell"),
];

fn text(document: &str) -> String {
    std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(document)).unwrap()
}

/// A running section: its commands in order, as a person types them.
struct Stage {
    place: Place,
    service: Service,
    /// Where a shell finds the program.
    bin: TempDir,
    /// The address of its page, instead of the default port.
    page: String,
    last: Option<Ran>,
    /// The background jobs.
    behind: Option<Running>,
}

impl Stage {
    fn new(rows: u32) -> Stage {
        let (place, bin) = (Place::new(), tempfile::tempdir().unwrap());
        place.write("edits.csv", list(1..=rows, "new"));
        std::os::unix::fs::symlink(PROGRAM, bin.path().join("runner")).unwrap();
        let jobs = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("jobs");
        std::os::unix::fs::symlink(jobs, place.path("jobs")).unwrap();
        let page = free_address();
        Stage { place, service: Service::start("none"), bin, page, last: None, behind: None }
    }

    fn with_environment<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.env("PATH", format!("{}:/usr/bin:/bin", self.bin.path().display()))
            .env("TIM_ENDPOINT", &self.service.url)
            .env("HOME", self.place.path(""))
            .credentials()
    }

    /// Runs one command, and compares what it prints with what is shown.
    fn run(&mut self, Command { line, shown }: &Command) {
        if line == "echo $?" {
            let code = self.last.take().and_then(|ran| ran.code).map(|code| code.to_string());
            assert_eq!(code.as_deref(), shown.first().map(String::as_str), "the exit code of the command before");
            return;
        }
        self.succeeded("the one before this");
        let lines: Vec<String> = line.lines().filter(|line| is_run(line)).map(|line| self.adapted(line)).collect();
        if lines.is_empty() {
            return;
        }
        if let Some(args) = line.strip_prefix("runner sandbox ") {
            self.service = self.sandbox(args);
            return;
        }
        let lines = lines.join("\n");
        if let Some(line) = lines.strip_suffix(" &") {
            self.behind = Some(self.with_environment(self.place.shell(&format!("exec {line}"))).start());
            // In the middle of it, and far enough for it to know its speed.
            self.service.wait_for_requests(300);
            return;
        }
        let ran = if shown.iter().any(|line| line.ends_with(" y")) {
            self.typed(&lines, shown)
        } else {
            self.with_environment(self.place.shell(&format!("set -eu\n{lines}"))).run()
        };
        self.compare(&ran, shown);
        self.last = Some(ran);
    }

    /// Adapted to this sandbox, and with consent given.
    fn adapted(&self, line: &str) -> String {
        let asks = line.contains("jobs/redact-text.toml") && line.contains("--resume") && !line.contains("--yes");
        let yes = if asks { " --yes" } else { "" };
        line.replace("127.0.0.1:8200", self.service.address())
            .replace("127.0.0.1:8201", &self.page)
            .replace("--page ", &format!("--page {} ", self.page))
            .replace("cargo run -- ", "runner ")
            + yes
    }

    fn succeeded(&mut self, which: &str) {
        if let Some(ran) = self.last.take() {
            assert_eq!(ran.code, Some(0), "{which} failed, and no `echo $?` shows that: {ran:#?}");
        }
    }

    fn sandbox(&self, args: &str) -> Service {
        let list = self.place.path("edits.csv");
        let words = shlex::split(args).unwrap().into_iter();
        let words: Vec<String> =
            words.map(|word| if word == "edits.csv" { list.display().to_string() } else { word }).collect();
        Service::with_args(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// In a terminal, with the shown answer, and Ctrl-C if shown.
    fn typed(&self, line: &str, shown: &[String]) -> Ran {
        let call = self.with_environment(self.place.shell_in_terminal(line));
        let mut run = call.input("").more_input().start();
        wait_for("the question", || run.out().contains("[y/N]").then_some(()));
        run.types("y\n");
        if shown.iter().any(|line| line == "^C") {
            // As many as the shown summary has, so that its faults come up here too.
            self.service.wait_for_requests(1600);
            run.types("\x03");
        }
        run.wait()
    }

    /// Each shown line is printed, in this order, numbers and times apart.
    fn compare(&self, ran: &Ran, shown: &[String]) {
        let printed = format!("{}\n{}", ran.err, ran.out).replace(self.service.address(), "127.0.0.1:8200");
        let printed: Vec<String> = printed.split(['\n', '\r']).map(plain).collect();
        let mut rest = printed.iter();
        for line in shown.iter().filter(|line| !line.is_empty() && !matches!(line.as_str(), "…" | "^C")) {
            let line = plain(&line.replace("adminapisgp.im.qcloud.com", "127.0.0.1:8200"));
            assert!(rest.any(|printed| *printed == line), "{line:?} is not in, or not in this order in {printed:#?}");
        }
    }
}

/// A free port.
fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn is_run(line: &str) -> bool {
    !NOT_RUN.iter().any(|(beginning, _)| line.starts_with(beginning)) && !line.starts_with('#')
}

/// A line in comparable form: any number is the same, white space and bars have no length, and one request more or the
/// uneven pace of a busy machine makes no difference.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut escape = false;
    for c in line.chars() {
        match c {
            '\u{1b}' => escape = true,
            _ if escape => escape = !c.is_ascii_alphabetic(),
            // It is within a number, or at its end.
            '0'..='9' | '.' | ',' | ':' if plain.ends_with('#') => {}
            '0'..='9' => plain.push('#'),
            '━' | '╸' | '╺' | '─' if plain.ends_with('━') => {}
            '━' | '╸' | '╺' | '─' => plain.push('━'),
            c if c.is_whitespace() && plain.ends_with(' ') => {}
            c if c.is_whitespace() => plain.push(' '),
            c => plain.push(c),
        }
    }
    let busy = [", slowed down #×", " · slowed down #×"];
    let plain = busy.iter().fold(plain, |plain, busy| plain.replace(busy, ""));
    plain.replace("requests", "request").trim().to_owned()
}

/// The commands of each section of level 2, with those of the sections below it.
fn parts(sections: Vec<Section>) -> Vec<(String, Vec<Command>)> {
    let mut parts: Vec<(String, Vec<Command>)> = Vec::new();
    for section in sections {
        if section.level <= 2 {
            parts.push((section.heading.clone(), Vec::new()));
        }
        let (_, commands) = parts.last_mut().unwrap();
        commands.extend(section.blocks.iter().flat_map(markdown::Block::commands));
    }
    parts.retain(|(_, commands)| !commands.is_empty());
    parts
}

fn check(document: &str) {
    if !["jq", "sqlite3", "curl"].iter().all(|tool| has(tool, tool)) {
        return;
    }
    let parts = parts(sections(&text(document)));
    assert!(parts.len() >= 3, "{document} has no commands");
    // The sections mostly wait for the rate limit.
    std::thread::scope(|scope| {
        for (heading, commands) in &parts {
            let work = move || {
                // Something happens in the middle of it.
                let has_middle =
                    |command: &Command| command.line.ends_with(" &") || command.shown.iter().any(|line| line == "^C");
                let is_long = commands.iter().any(has_middle);
                let mut stage = Stage::new(if is_long { 4000 } else { 40 });
                for command in commands {
                    // Shown by the test's harness where it fails.
                    println!("{document}: {heading}: {}", command.line);
                    stage.run(command);
                }
                stage.succeeded("the last one");
            };
            std::thread::Builder::new().name(heading.clone()).spawn_scoped(scope, work).unwrap();
        }
    });
}

#[test]
fn the_readmes_commands_do_what_it_says() {
    check("README.md");
}

#[test]
fn the_how_tos_commands_do_what_they_say() {
    check("jobs/README.md");
}

/// The options in the program's own help.
fn options() -> BTreeSet<String> {
    let place = Place::new();
    let help = place.runner("--help").exits(0).out;
    let commands = help.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|line| line.starts_with("  "));
    let mut all = help.clone();
    for command in commands.filter_map(|line| line.split_whitespace().next()).filter(|word| *word != "help") {
        write!(all, "{}", place.runner(&format!("{command} --help")).exits(0).out).unwrap();
    }
    flags(&all).map(str::to_owned).collect()
}

/// The options that a text names.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 2)
}

#[test]
fn each_option_that_is_named_exists() {
    let options = options();
    for document in DOCUMENTS {
        let sections = sections(&text(document));
        let commands: Vec<Command> =
            sections.iter().flat_map(|section| &section.blocks).flat_map(markdown::Block::commands).collect();
        let lines = commands.iter().map(|command| command.line.as_str());
        let spans = sections.iter().flat_map(Section::code_spans);
        let ours = lines.chain(spans).filter(|code| code.starts_with("runner ") || code.starts_with("--"));
        let named: BTreeSet<&str> = ours.flat_map(flags).collect();
        assert!(named.len() > 10, "{document}: {named:?}");
        for flag in named {
            assert!(options.contains(flag), "{document} names {flag}, which `runner --help` does not");
        }
    }
}
