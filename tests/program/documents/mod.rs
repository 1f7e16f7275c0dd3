//! The documents hold: each command that they show is run again, and prints what they show; each option and each sample file
//! that they name exists; and the Chinese ones have everything that the English ones have.
//!
//! Each document is typed from its first command to its last into one shell after the other, as a newcomer does it: in a directory
//! that has what a clone has, the `jobs` and `docs/verify.py`, and nothing else but what the commands before have made; with the
//! environment that the document itself exports, and no other. Only addresses are others: the sandbox is where no other test's is, what goes
//! to a region goes to it, and a document that speaks to PostgreSQL has a server of its own.

mod languages;
mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use self::markdown::{Command, Section, sections};
use crate::support::harness::{Call, PROGRAM, Place, Ran, Running, has, wait_for};
use crate::support::postgres::{Cluster, OWNER};
use crate::support::service::Service;

/// What is not run, by how it begins, and why.
const NOT_RUN: [(&str, &str); 16] = [
    ("cargo test", "it is what runs this"),
    ("cargo bench", "it takes minutes, and measures what runs beside it"),
    ("cargo install", "it builds what is tested here once more"),
    ("cargo build", "the same"),
    ("SEED", "it is a run of the simulation"),
    ("TOGETHER", "the same"),
    ("CRASH", "the same"),
    ("SEVERAL_RUNNERS", "it takes half an hour, of the machine for itself"),
    ("INSTA_UPDATE", "it rewrites what the tests compare with"),
    ("sudo ", "it changes the machine"),
    ("printf ", "it goes on to sudo"),
    ("systemctl ", "there is no systemd to ask in a container; the unit's own test runs its command"),
    ("journalctl ", "the same"),
    (".ci/", "it checks or packs all of this; .ci/run is what runs this"),
    ("fuzz/run ", "it goes on for minutes, with a compiler of its own"),
    ("apt-get ", "it changes the machine"),
];

/// Edits that are done before something happens in the middle of a run: nearly as many as the shown summary has, so that its
/// faults come up here too.
const MIDDLE: u64 = 1_300;
/// The same of a run behind an `&`: far enough for it to know its speed.
const UNDER_WAY: u64 = 300;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(document: &str) -> String {
    std::fs::read_to_string(root().join(document)).unwrap()
}

/// Every document, as it is called from the root: those of the root itself and all below `docs`.
fn all_documents() -> BTreeSet<String> {
    let mut documents = BTreeSet::new();
    let mut folders = vec![PathBuf::new(), PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in root().join(&folder).read_dir().unwrap() {
            let entry = entry.unwrap();
            let name = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.extend(name.starts_with("docs").then_some(name));
            } else if name.extension().is_some_and(|extension| extension == "md") {
                documents.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    documents
}

/// The English ones; the Chinese ones have the same commands, as `languages` checks.
fn documents() -> Vec<String> {
    let all = all_documents();
    let english: Vec<String> = all.into_iter().filter(|document| !document.ends_with(".zh-CN.md")).collect();
    assert!(english.len() > 15, "{english:?}");
    english
}

fn commands(document: &str) -> Vec<Command> {
    sections(&text(document)).iter().flat_map(|section| &section.blocks).flat_map(markdown::Block::commands).collect()
}

/// A document at work: commands one after the other, as a person types them.
struct Stage {
    place: Place,
    /// What a region's address leads to here. Started with the first command that speaks of a region.
    service: Option<Service>,
    /// Where a shell finds the program.
    bin: TempDir,
    /// The server of a document that has statements for one.
    database: Option<Cluster>,
    /// Where a sandbox, a page and PostgreSQL are, instead of the well-known ports.
    addresses: BTreeMap<&'static str, String>,
    /// What the document has exported so far.
    exports: String,
    last: Option<Ran>,
    /// What a `&`, or a second terminal, left running.
    behind: Vec<Running>,
}

impl Stage {
    fn new() -> Stage {
        let (place, bin) = (Place::new(), tempfile::tempdir().unwrap());
        std::os::unix::fs::symlink(PROGRAM, bin.path().join("runner")).unwrap();
        // A copy: whatever a command does to it, it is not done to the repository.
        let copied =
            std::process::Command::new("cp").arg("-r").arg(root().join("jobs")).arg(place.path("jobs")).status();
        assert!(copied.unwrap().success());
        std::fs::create_dir(place.path("docs")).unwrap();
        place.write("docs/verify.py", text("docs/verify.py"));
        // "Put the key into it with an editor."
        place.write(".tim-key", runner::sandbox::SECRET_KEY);
        let addresses = ["127.0.0.1:8200", "127.0.0.1:8201"].map(|known| (known, free_address()));
        Stage {
            place,
            service: None,
            bin,
            database: None,
            addresses: BTreeMap::from(addresses),
            exports: String::new(),
            last: None,
            behind: Vec::new(),
        }
    }

    fn serve(&mut self, cluster: Cluster) {
        self.addresses.insert("127.0.0.1:5432", format!("127.0.0.1:{}", cluster.port()));
        self.database = Some(cluster);
    }

    /// What an administrator types into `psql`.
    fn administer(&self, statements: &str) {
        let cluster = self.database.as_ref().unwrap();
        let file = cluster.write("typed.sql", statements);
        let mut psql = cluster.program("psql");
        psql.args(["-Xq", "-v", "ON_ERROR_STOP=1", "-U", OWNER, "-d", OWNER, "-p", &cluster.port().to_string(), "-h"]);
        let ran = psql.arg(cluster.directory()).arg("-f").arg(file).output().unwrap();
        assert!(ran.status.success(), "{statements}: {}", String::from_utf8_lossy(&ran.stderr));
    }

    fn shell(&self, line: &str) -> Call<'_> {
        self.with_environment(self.place.shell(&format!("set -eu\n{}{line}", self.exports)))
    }

    fn with_environment<'a>(&self, call: Call<'a>) -> Call<'a> {
        call.env("PATH", format!("{}:/usr/bin:/bin", self.bin.path().display())).env("HOME", self.place.path(""))
    }

    /// Starts it where nothing else is. Another test may have taken that port since it was found to be free.
    fn sandbox(&mut self, line: &str) -> Running {
        let mut tries = 0;
        loop {
            let mut sandbox = self.shell(&format!("exec {line} --listen {}", self.addresses["127.0.0.1:8200"])).start();
            let says_all = wait_for("the end of what the sandbox says", || {
                let says_all = sandbox.out().contains("stumble");
                (says_all || sandbox.has_ended()).then_some(says_all)
            });
            if says_all {
                return sandbox;
            }
            tries += 1;
            assert!(tries < 5, "it ends at once: {line}: {}", sandbox.err());
            self.addresses.insert("127.0.0.1:8200", free_address());
        }
    }

    /// Runs one command, and compares what it prints with what is shown.
    fn run(&mut self, Command { line, shown, is_sql }: &Command) {
        if *is_sql {
            return self.administer(line);
        }
        if line == "echo $?" {
            let code = self.last.take().and_then(|ran| ran.code).map(|code| code.to_string());
            assert_eq!(code.as_deref(), shown.first().map(String::as_str), "the exit code of the command before");
            return;
        }
        self.succeeded("the one before this");
        let lines: Vec<String> = line.lines().filter(|line| is_run(line)).map(|line| self.adapted(line)).collect();
        for line in lines.iter().filter(|line| line.starts_with("export ")) {
            writeln!(self.exports, "{line}").unwrap();
        }
        if lines.is_empty() {
            return;
        }
        let lines = lines.join("\n");
        if lines.starts_with("runner sandbox ") {
            let sandbox = self.sandbox(&lines);
            self.compare(&sandbox.out(), shown);
            self.behind.push(sandbox);
            return;
        }
        if let Some(line) = lines.strip_suffix(" &") {
            self.behind.push(self.shell(&format!("exec {line}")).start());
            self.wait_for_edits(line, UNDER_WAY, 0);
            return;
        }
        let ran = if lines.lines().any(asks) { self.typed(&lines, shown) } else { self.shell(&lines).run() };
        self.compare(&format!("{}\n{}", ran.err, ran.out), shown);
        self.last = Some(ran);
    }

    /// Waits until the run of this command has done so many edits, and so many are to be read back.
    fn wait_for_edits(&self, line: &str, count: u64, to_read_back: u64) {
        let ledger = line.split("--resume ").nth(1).unwrap().split(' ').next().unwrap();
        wait_for("edits", || {
            let ran = self.shell(&format!("runner ctl {ledger} status --json")).run();
            let status = (ran.code == Some(0)).then(|| ran.json())?;
            let run = &status["this_run"];
            let reached = |member: &str, wanted: u64| run[member].as_u64().is_some_and(|number| number >= wanted);
            (reached("done", count) && reached("to_read_back", to_read_back)).then_some(())
        });
    }

    /// For the addresses here.
    fn adapted(&mut self, line: &str) -> String {
        let adapted = self
            .with_addresses(line)
            .replace("--page ", &format!("--page {} ", self.addresses["127.0.0.1:8201"]))
            .replace("cargo run -- ", "runner ");
        let Some(region) = adapted.split_whitespace().find(|word| word.starts_with("TIM_REGION=")) else {
            return adapted;
        };
        let service = self.service.get_or_insert_with(|| Service::start("none"));
        adapted.replace(region, &format!("TIM_ENDPOINT={}", service.url))
    }

    fn with_addresses(&self, text: &str) -> String {
        self.addresses.iter().fold(text.to_owned(), |text, (known, here)| text.replace(known, here))
    }

    fn succeeded(&mut self, which: &str) {
        if let Some(ran) = self.last.take() {
            assert_eq!(ran.code, Some(0), "{which} failed, and no `echo $?` shows that: {ran:#?}");
        }
    }

    /// In a terminal, with a yes to what is asked, and Ctrl-C where that is shown.
    fn typed(&self, line: &str, shown: &[String]) -> Ran {
        let call = self.with_environment(self.place.shell_in_terminal(&format!("{}{line}", self.exports)));
        let mut run = call.input("").more_input().start();
        // Where nothing is left to be sent, nothing is asked.
        wait_for("the question, or the end", || (run.out().contains("[y/N]") || run.has_ended()).then_some(()));
        if run.out().contains("[y/N]") {
            run.types("y\n");
        }
        if shown.iter().any(|line| line == "^C") {
            let reads_back = shown.iter().any(|line| line.contains("WARN reading back"));
            self.wait_for_edits(line, MIDDLE, u64::from(reads_back));
            run.types("\x03");
        }
        run.wait()
    }

    /// Each shown line is printed, in this order, numbers and times apart.
    fn compare(&self, printed: &str, shown: &[String]) {
        let known = self.service.iter().map(|service| (service.address(), "adminapisgp.im.qcloud.com:443"));
        let known = known.chain(self.addresses.iter().map(|(known, here)| (here.as_str(), *known)));
        let printed = known.fold(printed.to_owned(), |printed, (here, known)| printed.replace(here, known));
        let printed: Vec<String> = printed.split(['\n', '\r']).map(plain).collect();
        let mut rest = printed.iter();
        for line in shown.iter().filter(|line| !line.is_empty() && !matches!(line.as_str(), "…" | "^C")) {
            let line = plain(line);
            assert!(rest.any(|printed| *printed == line), "{line:?} is not in, or not in this order in {printed:#?}");
        }
    }
}

/// Whether a command is one that asks before it sends.
fn asks(line: &str) -> bool {
    let sends = line.starts_with("runner --") && line.contains("--resume");
    sends && !["--yes", "--dry-run"].iter().any(|word| line.contains(word))
}

/// A port that nobody has just now.
fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

fn is_run(line: &str) -> bool {
    !NOT_RUN.iter().any(|(beginning, _)| line.starts_with(beginning)) && !line.starts_with('#')
}

/// A line as it is compared: digits are one number, white space and bars have no length, and neither one request more,
/// nor a machine that is too busy for an even pace, nor an edit in doubt at that moment makes a difference.
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
    let busy = [", slowed down #×", " · slowed down #×", " · # to read back", " · # in doubt", " · #/s"];
    let plain = busy.iter().fold(plain, |plain, busy| plain.replace(busy, ""));
    plain.replace("requests", "request").trim().to_owned()
}

/// Types the commands of some documents, side by side: they wait for the pace most of the time. Tells how many there are.
fn check(documents: &[String]) -> usize {
    if !["jq", "sqlite3", "curl"].iter().all(|tool| has(tool, tool)) {
        return usize::MAX;
    }
    let all: Vec<(&String, Vec<Command>)> = documents.iter().map(|document| (document, commands(document))).collect();
    std::thread::scope(|scope| {
        for (document, commands) in &all {
            let work = move || {
                let mut stage = Stage::new();
                if commands.iter().any(|command| command.is_sql) {
                    let Some(cluster) = Cluster::start() else { return };
                    stage.serve(cluster);
                }
                for command in commands {
                    // Shown by the test's harness where it fails.
                    println!("{document}: {}", command.line);
                    stage.run(command);
                }
                stage.succeeded("the last one");
            };
            std::thread::Builder::new().name((*document).clone()).spawn_scoped(scope, work).unwrap();
        }
    });
    all.iter().map(|(_, commands)| commands.len()).sum()
}

fn is_how_to(document: &str) -> bool {
    document.starts_with("docs/how-to/")
}

#[test]
fn the_readmes_commands_do_what_it_says() {
    assert!(check(&["README.md".to_owned()]) > 8);
}

#[test]
fn the_how_tos_commands_do_what_they_say() {
    let how_tos: Vec<String> = documents().into_iter().filter(|document| is_how_to(document)).collect();
    assert!(check(&how_tos) > 60, "{how_tos:?}");
}

#[test]
fn the_other_documents_commands_do_what_they_say() {
    let others = documents().into_iter().filter(|document| !is_how_to(document) && document != "README.md");
    assert!(check(&others.collect::<Vec<_>>()) > 20);
}

/// A sample of `jobs`, a folder of the code, a script: whatever a command or a sentence names is in the repository.
#[test]
fn each_file_of_the_repository_that_is_named_is_there() {
    let folders = ["jobs/", "src/", "tests/", "fuzz/", "benches/", "docs/", ".ci/", ".cargo/"];
    let mut named = BTreeSet::new();
    for document in documents() {
        let sections = sections(&text(&document));
        let spans = sections.iter().flat_map(Section::code_spans).map(str::to_owned);
        let lines = commands(&document).into_iter().map(|command| command.line);
        for code in lines.chain(spans) {
            let words = code.split_whitespace().map(|word| word.trim_matches(['\'', '"']).to_owned());
            named.extend(words.filter(|word| folders.iter().any(|folder| word.starts_with(folder))));
        }
    }
    assert!(named.len() > 20, "{named:?}");
    for file in named {
        assert!(root().join(&file).exists(), "{file} is named in a document, and is not there");
    }
}

/// What the program knows, by its own help.
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

/// The words of a text that are options.
fn flags(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| word.starts_with("--") && word.len() > 2)
}

#[test]
fn each_option_that_is_named_exists() {
    let options = options();
    let mut all = 0;
    for document in documents() {
        let (sections, commands) = (sections(&text(&document)), commands(&document));
        let lines = commands.iter().map(|command| command.line.as_str());
        let spans = sections.iter().flat_map(Section::code_spans);
        let ours = lines.chain(spans).filter(|code| code.starts_with("runner ") || code.starts_with("--"));
        let named: BTreeSet<&str> = ours.flat_map(flags).collect();
        all += named.len();
        for flag in named {
            assert!(options.contains(flag), "{document} names {flag}, which `runner --help` does not");
        }
    }
    assert!(all > 60, "{all}");
}
