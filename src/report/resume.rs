//! The command that resumes a run, to be pasted into a shell, and what it cannot say itself.
//!
//! Flags are repeated as they were given: whoever asked for `--retry-failed`, `--in-doubt retry`, `--read-first` or
//! `--max-rows` meant the whole list, and what was not reached is still to be treated so. The exceptions are flags that
//! mean something else by now, see [`Remark`].

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use jiff::{Timestamp, Zoned};

use crate::terminal::shell;
use crate::words::Phrases;

/// What stands in a recorded command for a value that is not recorded.
pub const NOT_RECORDED: &str = "…";
const ON_FINISH: &str = "--on-finish";
const ON_CHECKPOINT: &str = "--on-checkpoint";
const ENCRYPT_WITH: &str = "--encrypt-with";
const TEXT: &str = "--text";
const CUSTOM_DATA: &str = "--custom-data";
const UNTIL: &str = "--until";
const JOB: &str = "--job";
/// The flag without which a ledger that may lack commits is refused.
const READ_FIRST: &str = "--read-first";
/// Flags whose values the ledger does not hold: a command may contain a secret, and what messages hold is in no ledger.
const HIDDEN: [&str; 5] = [ON_FINISH, ON_CHECKPOINT, ENCRYPT_WITH, TEXT, CUSTOM_DATA];
/// How `--until` is written: a moment, which means the same tomorrow.
const MOMENT: &str = "%Y-%m-%dT%H:%M:%S%:z";

/// The variables that a run reads, and the flags that stand for them. The proxy's are there as well: without them, a run
/// goes another way, or none.
const VARIABLES: [(&str, &[&str]); 14] = [
    ("TIM_SDKAPPID", &["--sdkappid"]),
    ("TIM_IDENTIFIER", &["--identifier"]),
    ("TIM_SECRET_KEY", &[]),
    ("TIM_SECRET_KEY_FILE", &[]),
    ("TIM_USERSIG", &[]),
    ("TIM_REGION", &["--region", "--endpoint"]),
    ("TIM_ENDPOINT", &["--region", "--endpoint"]),
    ("RUNNER_STATE_DIR", &[]),
    ("SSL_CERT_FILE", &[]),
    ("HTTPS_PROXY", &[]),
    ("https_proxy", &[]),
    ("ALL_PROXY", &[]),
    ("all_proxy", &[]),
    (PASSWORD, &[]),
];
/// That of a database that holds the ledger.
const PASSWORD: &str = "PGPASSWORD";
/// The same for a run of which only the ledger is known: one of each line is needed, if no flag says it. A job file may
/// say it or not.
const NEEDED: [(&str, &[&str]); 4] = [
    ("TIM_SDKAPPID", &["--sdkappid"]),
    ("TIM_IDENTIFIER", &["--identifier"]),
    ("TIM_SECRET_KEY / TIM_SECRET_KEY_FILE / TIM_USERSIG", &[]),
    ("TIM_REGION / TIM_ENDPOINT", &["--region", "--endpoint"]),
];

/// A command that resumes a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// A line for a shell.
    pub command: String,
    /// What else to know.
    pub remarks: Vec<Remark>,
}

/// What a command cannot say itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remark {
    /// The list has to be given to standard input.
    List,
    /// `--until` is left out: its time comes only once, and the same time of day would mean tomorrow's.
    Until,
    /// This flag is left out: the ledger does not hold its command, which may contain a secret.
    Command(&'static str),
    /// `--text` or `--custom-data` is left out: what messages hold is recorded nowhere.
    Content,
    /// These variables are needed. Whether they are still set is not known, and their values are never shown.
    Variables(String),
    /// So are these, if the job file does not say it: the ledger does not hold what is in that.
    UnlessInJob(String),
}

impl Remark {
    /// A sentence.
    pub fn text(&self, say: &Phrases) -> String {
        match self {
            Remark::List => say.resume_list.to_owned(),
            Remark::Until => say.resume_until.to_owned(),
            Remark::Command(flag) => say.resume_on_finish.replace(ON_FINISH, flag),
            Remark::Content => say.resume_content.to_owned(),
            Remark::Variables(names) => (say.resume_variables)(names),
            Remark::UnlessInJob(names) => (say.resume_unless_in_job)(names),
        }
    }
}

/// Where and when a command will be pasted.
#[derive(Clone, Copy, Debug)]
pub enum Pasted<'a> {
    /// Soon, in a shell with this working directory.
    Here {
        /// The directory.
        directory: &'a Path,
        /// Now.
        at: Timestamp,
    },
    /// Who knows: it is in a file, or on a page.
    Anywhere,
}

/// How a run was called.
#[derive(Clone, Debug)]
pub struct Called {
    words: Vec<OsString>,
    /// Empty: not known.
    directory: PathBuf,
    list: CalledList,
    variables: String,
    /// Variables that are needed if the job file does not say it.
    unless_in_job: String,
}

#[derive(Clone, Debug)]
enum CalledList {
    File,
    /// Standard input, maybe from a file.
    StandardInput(Option<PathBuf>),
}

impl Called {
    /// By the call of this process; `until` is the moment that its `--until` meant, and `is_sandbox` that its service is
    /// inside it.
    pub fn of_process(reads_standard_input: bool, until: Option<&Zoned>, is_sandbox: bool) -> Called {
        let words: Vec<_> = with_moment(std::env::args_os(), until);
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_of_use = |name: &str| name != PASSWORD || words.iter().any(names_database);
        let variables = VARIABLES.iter().filter(|(name, flags)| is_set(name) && !has_any(&words, flags));
        let variables = variables.filter(|(name, _)| is_of_use(name));
        let variables: Vec<_> = variables.map(|(name, _)| *name).filter(|_| !is_sandbox).collect();
        let list = if reads_standard_input {
            let file = Path::new("/dev/stdin").canonicalize().ok();
            CalledList::StandardInput(file.filter(|file| file.is_file()))
        } else {
            CalledList::File
        };
        let directory = std::env::current_dir().unwrap_or_default();
        Called { variables: variables.join(", "), unless_in_job: String::new(), words, directory, list }
    }

    /// By what the ledger holds about a run. `None`: it is not a command line.
    pub fn recorded(command: &str, directory: &str, reads_standard_input: bool, is_sandbox: bool) -> Option<Called> {
        let words = shell::words(command)?;
        let has_job = has_any(&words, &[JOB]);
        let (mut variables, mut unless_in_job) = (Vec::new(), Vec::new());
        for (names, flags) in NEEDED.into_iter().filter(|(_, flags)| !is_sandbox && !has_any(&words, flags)) {
            // The secret is in no job file, and has no flag.
            if has_job && !flags.is_empty() { &mut unless_in_job } else { &mut variables }.push(names);
        }
        let list = if reads_standard_input { CalledList::StandardInput(None) } else { CalledList::File };
        let (variables, unless_in_job) = (variables.join(", "), unless_in_job.join(", "));
        Some(Called { variables, unless_in_job, words, directory: directory.into(), list })
    }

    /// The command line for the ledger: without the values of hidden flags. The program's own secrets are never on the command
    /// line.
    pub fn to_record(&self) -> String {
        shell::line(self.hiding(&HIDDEN).words)
    }

    /// What resumes the run, for a page that others see: without the values of hidden flags.
    pub fn resume_for_page(&self) -> Resume {
        self.hiding(&HIDDEN).resume(Pasted::Anywhere)
    }

    /// Without what messages hold, which is shown in the terminal where it was typed and nowhere else.
    #[must_use]
    pub fn without_content(&self) -> Called {
        self.hiding(&[TEXT, CUSTOM_DATA])
    }

    fn hiding(&self, flags: &[&str]) -> Called {
        let mut words = Vec::with_capacity(self.words.len());
        for_each_flag(&self.words, |flag| match flag {
            Flag::Hidden(flag, value) => {
                words.extend([flag.into(), if flags.contains(&flag) { NOT_RECORDED.into() } else { value.to_owned() }]);
            }
            Flag::Until(until) => words.extend([UNTIL.into(), until.to_owned()]),
            Flag::Other(word) => words.push(word.to_owned()),
        });
        Called { words, ..self.clone() }
    }

    /// Adds `--read-first`, if it is not there.
    #[must_use]
    pub fn reading_first(mut self) -> Called {
        if !has_any(&self.words, &[READ_FIRST]) {
            self.words.push(READ_FIRST.into());
        }
        self
    }

    /// The command that resumes the run.
    pub fn resume(&self, pasted: Pasted<'_>) -> Resume {
        let (mut words, mut remarks) = (Vec::with_capacity(self.words.len()), Vec::new());
        for_each_flag(&self.words, |flag| match flag {
            Flag::Hidden(flag, value) if value != NOT_RECORDED => words.extend([flag.into(), value.to_owned()]),
            Flag::Hidden(flag @ (ON_FINISH | ON_CHECKPOINT | ENCRYPT_WITH), _) => remarks.push(Remark::Command(flag)),
            Flag::Hidden(..) if remarks.contains(&Remark::Content) => {}
            Flag::Hidden(..) => remarks.push(Remark::Content),
            Flag::Until(until) if is_ahead(until, pasted) => words.extend([UNTIL.into(), until.to_owned()]),
            Flag::Until(_) => remarks.push(Remark::Until),
            Flag::Other(word) => words.push(word.to_owned()),
        });
        let mut command = shell::line(words);
        match &self.list {
            CalledList::StandardInput(Some(file)) => command = format!("{command} < {}", shell::quoted(file)),
            CalledList::StandardInput(None) => remarks.insert(0, Remark::List),
            CalledList::File => {}
        }
        let is_there = match pasted {
            Pasted::Here { directory, .. } => directory == self.directory,
            Pasted::Anywhere => false,
        };
        if !is_there && !self.directory.as_os_str().is_empty() {
            command = format!("(cd {} && {command})", shell::quoted(&self.directory));
        }
        if !self.variables.is_empty() {
            remarks.push(Remark::Variables(self.variables.clone()));
        }
        if !self.unless_in_job.is_empty() {
            remarks.push(Remark::UnlessInJob(self.unless_in_job.clone()));
        }
        Resume { command, remarks }
    }
}

enum Flag<'a> {
    /// One of [`HIDDEN`].
    Hidden(&'static str, &'a OsStr),
    Until(&'a OsStr),
    Other(&'a OsStr),
}

/// Takes the words one by one, and these flags with their values. No other flag's value can begin with `--`.
fn for_each_flag(words: &[OsString], mut take: impl FnMut(Flag<'_>)) {
    let mut words = words.iter().map(OsString::as_os_str);
    while let Some(word) = words.next() {
        let value = |flag: &str| word.to_str().and_then(|word| word.strip_prefix(flag)?.strip_prefix('='));
        if let Some((flag, hidden)) = HIDDEN.into_iter().find_map(|flag| Some((flag, value(flag)?))) {
            take(Flag::Hidden(flag, hidden.as_ref()));
        } else if let Some(until) = value(UNTIL) {
            take(Flag::Until(until.as_ref()));
        } else if let Some(flag) = HIDDEN.into_iter().find(|flag| word == *flag) {
            take(Flag::Hidden(flag, words.next().unwrap_or_default()));
        } else if word == UNTIL {
            take(Flag::Until(words.next().unwrap_or_default()));
        } else {
            take(Flag::Other(word));
        }
    }
}

/// With a moment in the place of a time of day.
fn with_moment(words: impl Iterator<Item = OsString>, moment: Option<&Zoned>) -> Vec<OsString> {
    let (all, mut words) = (words.collect::<Vec<_>>(), Vec::new());
    for_each_flag(&all, |flag| match (flag, moment) {
        (Flag::Until(_), Some(moment)) => words.extend([UNTIL.into(), moment.strftime(MOMENT).to_string().into()]),
        (Flag::Until(until), None) => words.extend([UNTIL.into(), until.to_owned()]),
        (Flag::Hidden(flag, value), _) => words.extend([flag.into(), value.to_owned()]),
        (Flag::Other(word), _) => words.push(word.to_owned()),
    });
    words
}

/// Whether this is a moment, and it is still to come.
fn is_ahead(until: &OsStr, pasted: Pasted<'_>) -> bool {
    let Pasted::Here { at, .. } = pasted else { return false };
    let moment = until.to_str().and_then(|until| until.parse::<Timestamp>().ok());
    moment.is_some_and(|moment| moment > at)
}

fn names_database(word: &OsString) -> bool {
    word.to_str().is_some_and(|word| word.contains("postgres://") || word.contains("postgresql://"))
}

fn has_any(words: &[OsString], flags: &[&str]) -> bool {
    let is = |word: &OsString, flag: &str| {
        word.to_str()
            .and_then(|word| word.strip_prefix(flag))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    words.iter().any(|word| flags.iter().any(|flag| is(word, flag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resume(command: &str, at: &str) -> (String, Vec<Remark>) {
        let here = Pasted::Here { directory: Path::new("/srv"), at: at.parse().unwrap() };
        let Resume { command, remarks } = Called::recorded(command, "/srv", false, true).unwrap().resume(here);
        (command, remarks)
    }

    #[test]
    fn what_would_mean_something_else_by_now_is_left_out() {
        const NIGHT: &str = "2026-03-10T23:00:00Z";
        for (command, wanted, remarks) in [
            (
                "runner --input a.csv --max-rows 5 --retry-failed",
                "runner --input a.csv --max-rows 5 --retry-failed",
                vec![],
            ),
            ("runner --on-finish … --yes", "runner --yes", vec![Remark::Command(ON_FINISH)]),
            ("runner --on-finish=… --yes", "runner --yes", vec![Remark::Command(ON_FINISH)]),
            ("runner --text … --custom-data=… --yes", "runner --yes", vec![Remark::Content]),
            // A ledger of an earlier version has the time as it was typed, and nobody knows which day's it was.
            ("runner --until 07:00 --yes", "runner --yes", vec![Remark::Until]),
            ("runner --until=2026-03-10T07:00:00+00:00", "runner", vec![Remark::Until]),
            ("runner --until 2026-03-11T07:00:00+00:00", "runner --until 2026-03-11T07:00:00+00:00", vec![]),
        ] {
            assert_eq!(resume(command, NIGHT), (wanted.to_owned(), remarks), "{command}");
        }
    }

    #[test]
    fn from_elsewhere_it_goes_to_where_the_run_was_and_says_what_it_needs() {
        let command = "runner --input - --until 2026-03-11T07:00:00+00:00 --sdkappid=1 --region cn";
        let called = Called::recorded(command, "/srv/a b", true, false).unwrap();
        let Resume { command, remarks } = called.reading_first().resume(Pasted::Anywhere);
        assert_eq!(command, "(cd '/srv/a b' && runner --input - '--sdkappid=1' --region cn --read-first)");
        let variables = "TIM_IDENTIFIER, TIM_SECRET_KEY / TIM_SECRET_KEY_FILE / TIM_USERSIG".to_owned();
        assert_eq!(remarks, [Remark::List, Remark::Until, Remark::Variables(variables)]);
        let called = Called::recorded("runner --job job.toml --region cn", "", false, false).unwrap();
        let secret = "TIM_SECRET_KEY / TIM_SECRET_KEY_FILE / TIM_USERSIG".to_owned();
        let remarks = called.resume(Pasted::Anywhere).remarks;
        let account = "TIM_SDKAPPID, TIM_IDENTIFIER".to_owned();
        assert_eq!(remarks, [Remark::Variables(secret), Remark::UnlessInJob(account)], "a job file may lack them");
        assert!(Called::recorded("runner 'unclosed", "/srv", false, true).is_none());
    }

    #[test]
    fn the_ledger_gets_a_moment_and_no_command() {
        let words = ["runner", "--until", "07:00", "--on-finish=curl -H token", "--text", "a b"].map(OsString::from);
        let moment: Zoned = "2026-03-11T07:00[+08:00]".parse().unwrap();
        let words = with_moment(words.into_iter(), Some(&moment));
        let (list, variables, unless_in_job) = (CalledList::File, String::new(), String::new());
        let called = Called { words, directory: PathBuf::new(), list, variables, unless_in_job };
        assert_eq!(called.to_record(), "runner --until 2026-03-11T07:00:00+08:00 --on-finish '…' --text '…'");
        let here = Pasted::Here { directory: Path::new("/"), at: "2026-03-10T23:30:00Z".parse().unwrap() };
        assert_eq!(called.resume(here).command, "runner --on-finish 'curl -H token' --text 'a b'");
        assert_eq!(called.without_content().resume(here).command, "runner --on-finish 'curl -H token'");
    }
}
