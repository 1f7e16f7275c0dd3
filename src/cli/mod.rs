//! The words of the command line. No work is done here.

pub mod until;

use std::fmt::Display;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, StyledStr, Styles, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::api::endpoint::RegionHost;
use crate::cli::until::Until;
use crate::input::Format;
use crate::report::words::Lang;
use crate::run::{FailureLimit, InDoubt};
use crate::sandbox::Faults;
use crate::terminal::colour;
use crate::{BUILD, VERSION};

const ABOUT: &str = "Edits messages of Tencent Cloud IM from a list: each once, never faster than allowed, resumable";

const LONG_ABOUT: &str = "\
Edits messages of Tencent Cloud IM from a list: each once, never faster than allowed, resumable.

The whole list is read and checked before anything is sent. What was done is kept in a ledger, so that the same command \
again goes on where the last one stopped, however it stopped. An edit cannot be undone: begin with --dry-run, then \
--sandbox, then --max-rows 1.";

/// Commands to begin with.
pub const EXAMPLES: &str = "  What would happen; nothing is sent:
    runner --input edits.csv --dry-run
  A rehearsal against a stand-in, without the service:
    runner --input edits.csv --resume rehearsal.db --sandbox
  One edit, to have a look at it on a phone:
    runner --input edits.csv --resume ledger.db --max-rows 1
  The job; the same command again resumes it:
    runner --input edits.csv --resume ledger.db
  As far as it comes by the morning:
    runner --input edits.csv --resume ledger.db --until 07:00";

/// The variables that count.
pub const ENVIRONMENT: &str = "  TIM_SDKAPPID, TIM_IDENTIFIER            the app, and its admin account
  TIM_SECRET_KEY or TIM_SECRET_KEY_FILE   the app's secret key, or its file
  TIM_USERSIG                             a ready-made signature, instead
  TIM_REGION, TIM_ENDPOINT                the service
  RUNNER_PAGE_TOKEN, or …_TOKEN_FILE      the live page's token
  RUNNER_STATE_DIR                        where jobs share an app's cap
  HTTPS_PROXY, ALL_PROXY, NO_PROXY        the proxy on the way, or none
  RUST_LOG, NO_COLOR                      as usual";

/// What the exit tells.
pub const EXIT_CODES: &str = "  0         every edit of the list is done
  1         finished; some failed or are in doubt
  2         nothing was sent: usage, configuration, the list, or the ledger
  3         stopped early; the same command resumes
  130, 143  interrupted; the same command resumes";

const SANDBOX_EXAMPLES: &str = "  In one terminal, with faults:
    runner sandbox --input edits.csv --faults '20004=2%,lost-after=1%'
  In another one:
    runner --input edits.csv --resume x.db --endpoint http://127.0.0.1:8200";

const STATUS_EXAMPLES: &str = "  runner status ledger.db
  runner status ledger.db --watch        until the run is over
  runner status ledger.db --json | jq .done";

const REPORT_EXAMPLES: &str = "  runner report ledger.db
  runner report ledger.db --html report.html --lang zh
  runner report ledger.db --csv evidence     page, summary, lists, manifest";

const CODES_EXAMPLES: &str = "  runner codes                 all of them
  runner codes 90992           one, with what to do about it
  runner codes --lang zh       in Chinese
  runner codes | grep failed   those that end an edit";

const CTL_EXAMPLES: &str = "  runner ctl ledger.db status
  runner ctl ledger.db pause
  runner ctl ledger.db rate 50";

const COMPLETIONS_EXAMPLES: &str = "  in ~/.bashrc                    source <(runner completions bash)
  in ~/.zshrc, after compinit     source <(runner completions zsh)
  in ~/.config/fish/config.fish   runner completions fish | source";

const MAN_EXAMPLES: &str = "  runner man | man -l -
  runner man > ~/.local/share/man/man1/runner.1";

const STYLES: Styles = Styles::styled()
    .header(colour::TITLE)
    .usage(colour::TITLE)
    .literal(colour::COMMAND)
    .placeholder(colour::REMARK)
    .error(colour::FAILED)
    .valid(colour::DONE)
    .invalid(colour::DOUBT);

/// Lines below a heading of their own.
fn section(heading: &str, lines: &str) -> String {
    let style = colour::TITLE;
    format!("{style}{heading}:{style:#}\n{lines}")
}

fn long_help() -> StyledStr {
    let sections = [("Examples", EXAMPLES), ("Environment", ENVIRONMENT), ("Exit codes", EXIT_CODES)];
    sections.map(|(heading, lines)| section(heading, lines)).join("\n\n").into()
}

fn short_help() -> StyledStr {
    format!("{}\n\nMore, with environment and exit codes: runner --help", section("Examples", EXAMPLES)).into()
}

fn examples(lines: &str) -> StyledStr {
    section("Examples", lines).into()
}

/// Where the live page is, where nobody says it.
const PAGE: &str = "127.0.0.1:8201";

/// The command line of `runner`.
#[derive(Debug, Parser)]
#[command(name = "runner", version = VERSION, long_version = BUILD, about = ABOUT, long_about = LONG_ABOUT)]
#[command(after_help = short_help(), after_long_help = long_help(), styles = STYLES, max_term_width = 100)]
#[command(override_usage = "runner --input <FILE> --resume <LEDGER> [OPTIONS]\n       runner <COMMAND>")]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(disable_help_subcommand = true, disable_help_flag = true, disable_version_flag = true)]
pub struct Cli {
    /// Something else than the job.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The job.
    #[command(flatten)]
    pub job: JobArgs,
    /// This, in short; --help says more
    #[arg(long, short, global = true, action = ArgAction::Help, help_heading = HELP)]
    #[arg(long_help = "This; -h is shorter")]
    help: Option<bool>,
    /// The version; --version has the build too
    #[arg(long, short = 'V', action = ArgAction::Version, help_heading = HELP)]
    version: Option<bool>,
}

/// What can be done besides the job.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// How far a ledger's run is, while it goes on and after
    #[command(after_help = examples(STATUS_EXAMPLES))]
    Status(StatusArgs),
    /// What happened, for people and for programs
    #[command(after_help = examples(REPORT_EXAMPLES))]
    Report(ReportArgs),
    /// Tell a run that is going on: pause, resume, rate N, stop
    #[command(after_help = examples(CTL_EXAMPLES))]
    Ctl(CtlArgs),
    /// What the service's error codes mean, and what a run does about them
    #[command(after_help = examples(CODES_EXAMPLES))]
    Codes {
        /// One code; without it all are listed
        #[arg(value_name = "CODE")]
        code: Option<i64>,
        /// The language: en or zh (en)
        #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true)]
        lang: Option<Lang>,
    },
    /// A local stand-in for the service, for rehearsals
    #[command(after_help = examples(SANDBOX_EXAMPLES))]
    Sandbox(SandboxArgs),
    /// A script that lets a shell complete these words
    #[command(after_help = examples(COMPLETIONS_EXAMPLES))]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// The manual page
    #[command(after_help = examples(MAN_EXAMPLES))]
    Man,
}

/// The job's flags.
#[expect(clippy::struct_excessive_bools, reason = "flags are what they are")]
#[derive(Debug, Args)]
#[command(next_help_heading = "Job")]
pub struct JobArgs {
    /// The list of edits: .csv, .jsonl or .ndjson, each also .gz; - is standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, required = true)]
    pub input: Option<PathBuf>,
    /// How the list is written, where its name does not say it
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub input_format: Option<Format>,
    /// The ledger of what was done; made if it is not there
    ///
    /// The same ledger again resumes the job. Keep it: it is what keeps a message from being edited twice.
    #[arg(long, value_name = "LEDGER", value_hint = ValueHint::FilePath, required_unless_present = "dry_run")]
    pub resume: Option<PathBuf>,
    /// A job file (TOML); flags and environment win over it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub job: Option<PathBuf>,
    /// Show the plan only: nothing is sent, no ledger is made or touched
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask before sending
    #[arg(long)]
    pub yes: bool,

    /// Requests a second at most (200)
    ///
    /// The cap is the app's, for this call. Jobs of the app that this user runs on this machine share it: one that would
    /// bring their sum above --max-rate is refused. Leave room for other machines and programs.
    #[arg(long, value_name = "N", value_parser = at_most(RATE_MAX), help_heading = PACE)]
    pub rate: Option<NonZeroU32>,
    /// What --rate, and all jobs of the app together, may be at most (200, the service's limit)
    #[arg(long, value_name = "N", value_parser = at_most(RATE_MAX), help_heading = PACE)]
    pub max_rate: Option<NonZeroU32>,
    /// Requests in flight at most (as many as the rate needs at 3 s an answer)
    #[arg(long, value_name = "N", value_parser = at_most(CONCURRENCY_MAX), help_heading = PACE)]
    pub concurrency: Option<NonZeroUsize>,

    /// Edits in this run at most
    ///
    /// Exit 0 then means that these are done; the summary counts the others as not reached.
    #[arg(long, value_name = "N", value_parser = at_most(ROWS_MAX), help_heading = LIMITS)]
    pub max_rows: Option<NonZeroU64>,
    /// Stop in time, such as 07:00, or 2026-03-01T07:00+08:00
    ///
    /// A time of day is the next one of this machine's local time. What is in flight is waited for, and edits whose answers
    /// were lost are read back, which takes 15 s more at most. The exit is 3, and the same command resumes.
    #[arg(long, value_name = "TIME", help_heading = LIMITS)]
    pub until: Option<Until>,
    /// Stop when more edits than this fail or come into doubt (20% once 100 are settled)
    #[arg(long, value_name = "N|N%", help_heading = LIMITS)]
    pub max_failures: Option<FailureLimit>,

    /// Attempts at one edit in one run at most (8)
    #[arg(long, value_name = "N", value_parser = at_most(ATTEMPTS_MAX), help_heading = RETRY)]
    pub max_attempts: Option<NonZeroU32>,
    /// Time for one answer (10s)
    #[arg(long, value_name = "TIME", value_parser = time, help_heading = RETRY)]
    pub timeout: Option<Duration>,
    /// What becomes of an edit whose answer was lost: verify, retry or hold (verify)
    ///
    /// verify reads the message back, and sends it again only where it was not edited; hold leaves the edit in doubt,
    /// for a person; retry sends it again unseen, which tells phones twice where it did take place.
    #[arg(long, value_enum, value_name = "HOW", hide_possible_values = true, help_heading = RETRY)]
    pub in_doubt: Option<InDoubt>,
    /// Read each message before it is sent, and send only where it holds something else
    ///
    /// A message that holds the new content already is done; one that was recalled or is not there is not sent, and is
    /// listed. It takes two requests more for each message, which have a limit of their own. This is the way on with
    /// a ledger that was lost, or has lost its newest commits, and to another address of the service.
    #[arg(long, help_heading = RETRY)]
    pub read_first: bool,
    /// Take up the ledger's failed edits again
    #[arg(long, help_heading = RETRY)]
    pub retry_failed: bool,

    /// Where the app's data is: cn, sgp, kor, ger, ind, usa, jpn or idn (TIM_REGION)
    ///
    /// Each but jpn has a second host for when the first is out of reach: sgp-backup. It is the same service with the same
    /// messages, and the same ledger goes on there.
    #[arg(long, value_parser = region_hosts(), value_name = "REGION", hide_possible_values = true)]
    #[arg(conflicts_with_all = ["endpoint", "sandbox"], help_heading = SERVICE)]
    pub region: Option<RegionHost>,
    /// The service's address, instead of a region (TIM_ENDPOINT)
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url, conflicts_with = "sandbox", help_heading = SERVICE)]
    pub endpoint: Option<String>,
    /// The app (TIM_SDKAPPID)
    #[arg(long, value_name = "ID", help_heading = SERVICE)]
    pub sdkappid: Option<u64>,
    /// An admin account of the app (TIM_IDENTIFIER)
    #[arg(long, value_name = "NAME", help_heading = SERVICE)]
    pub identifier: Option<String>,
    /// One more trusted authority (PEM)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = SERVICE)]
    pub ca_cert: Option<PathBuf>,
    /// Run against a stand-in inside this process; needs no credentials
    #[arg(long, help_heading = SERVICE)]
    pub sandbox: bool,
    /// How the stand-in misbehaves, such as 20004=2%,lost-after=1%
    #[arg(long, value_name = "FAULTS", requires = "sandbox", help_heading = SERVICE)]
    pub faults: Option<Faults>,

    /// Write results as JSON
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
    /// Write a report into this directory at the end
    ///
    /// A page for people, a summary for programs, lists of what failed, is in doubt or was not reached, and a manifest.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, help_heading = OUTPUT)]
    pub report: Option<PathBuf>,
    /// A command to run when the run has ended
    ///
    /// It goes through sh -c, with the JSON summary on its standard input and RUNNER_EXIT and RUNNER_LEDGER in its
    /// environment, and without the secrets. It has a minute. Its failure is told, and does not change the exit code.
    #[arg(long, value_name = "CMD", value_hint = ValueHint::CommandString, help_heading = OUTPUT)]
    pub on_finish: Option<String>,
    /// Show the run on a live page (127.0.0.1:8201)
    ///
    /// It has totals, charts and buttons to pause, resume, slow down and stop the run, and /metrics and /healthz. On
    /// this machine it is open to the user who started the run, and to root. A token is needed beyond this machine, and where
    /// the kernel does not say who connects (/proc/net/tcp): it is part of the address that is printed, or RUNNER_PAGE_TOKEN.
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = PAGE, help_heading = OUTPUT)]
    pub page: Option<SocketAddr>,
    /// The language of the report and of the page: en or zh (en; the browser's)
    #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true, hide_short_help = true)]
    #[arg(help_heading = OUTPUT)]
    pub lang: Option<Lang>,
    /// No progress on standard error
    #[arg(long, help_heading = OUTPUT)]
    pub no_progress: bool,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The arguments of `runner ctl`.
#[derive(Debug, Args)]
pub struct CtlArgs {
    /// The ledger that the run works on
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath)]
    pub ledger: PathBuf,
    /// What it is told.
    #[command(subcommand)]
    pub what: CtlAction,
    /// Write the answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a run can be told from the shell.
#[derive(Debug, Subcommand)]
pub enum CtlAction {
    /// How far it is
    Status,
    /// Send nothing more for now; what is in flight comes to its end, and nothing is left in doubt
    Pause,
    /// Go on after a pause
    Resume,
    /// At most N requests a second from now on; nothing above what the run began with
    Rate {
        /// Requests a second
        #[arg(value_name = "N")]
        rate: NonZeroU32,
    },
    /// Stop after what is in flight; the run ends with exit code 3, and the same command resumes it
    ///
    /// Edits whose answers were lost are read back first, which takes 15 s more at most. Told once more, the run does not
    /// wait for that.
    Stop {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}
const PACE: &str = "Pace";
const LIMITS: &str = "Limits";
const RETRY: &str = "Retry";
const SERVICE: &str = "Service";
const OUTPUT: &str = "Output";
const HELP: &str = "Help";

/// The flags of `runner sandbox`.
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// The address to listen on; it must be of this machine only
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8200")]
    pub listen: SocketAddr,
    /// Requests a second for each call, beyond which it answers 60007
    #[arg(long, value_name = "N", default_value = "200")]
    pub rate: NonZeroU32,
    /// A list whose messages it has from the start; others it has once somebody asks to edit them
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Option<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "input")]
    pub job: Option<PathBuf>,
    /// How it misbehaves, such as 20004=2%,lost-after=1%,latency=20ms..80ms
    #[arg(long, value_name = "FAULTS")]
    pub faults: Option<Faults>,
    /// The same seed misbehaves in the same way
    #[arg(long, value_name = "N", default_value = "1")]
    pub seed: u64,
    /// The log's flags.
    #[command(flatten)]
    pub log: LogArgs,
}

/// The flags of `runner status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath)]
    pub ledger: PathBuf,
    /// Write one JSON object
    #[arg(long)]
    pub json: bool,
    /// Look again every two seconds, until nobody works on it any more
    #[arg(long)]
    pub watch: bool,
    /// The language: en or zh (en)
    #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true)]
    pub lang: Option<Lang>,
}

/// The flags of `runner report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The ledger
    #[arg(value_name = "LEDGER", value_hint = ValueHint::FilePath)]
    pub ledger: PathBuf,
    /// Write a page that needs nothing beside it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with_all = ["json", "csv"])]
    pub html: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Write the page, the summary, the lists of what is not done, and a manifest into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub csv: Option<PathBuf>,
    /// The language: en or zh (en)
    #[arg(long, value_enum, value_name = "LANG", hide_possible_values = true)]
    pub lang: Option<Lang>,
    /// The list of edits, for the list of those not reached (the last run's, where it is unchanged)
    #[arg(long, value_name = "LIST", value_hint = ValueHint::FilePath, requires = "csv")]
    pub input: Option<PathBuf>,
    /// The list's job file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "input")]
    pub job: Option<PathBuf>,
}

/// How the log is written.
#[derive(Clone, Debug, Default, Args)]
pub struct LogArgs {
    /// How log lines are written: text or json (text)
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true, help_heading = OUTPUT)]
    pub log_format: Option<LogFormat>,
    /// Log into this file instead of standard error
    ///
    /// Lines are added at its end. Where it was moved away or removed, as logrotate does, the next line begins a new one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = OUTPUT)]
    pub log_file: Option<PathBuf>,
    /// Log errors only
    #[arg(long, short, conflicts_with = "verbose", help_heading = OUTPUT)]
    pub quiet: bool,
    /// Log more; twice for everything
    #[arg(long, short, action = ArgAction::Count, help_heading = OUTPUT)]
    pub verbose: u8,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// No answer is worth a longer wait: the service itself gives up after 3 s. And an hour can be added to any clock.
const TIME_MAX: Duration = Duration::from_hours(1);

/// Far above what any service or sandbox takes.
pub const RATE_MAX: NonZeroU32 = NonZeroU32::new(1_000_000).unwrap();
/// As many ports as an address has: no more connections can be open.
pub const CONCURRENCY_MAX: NonZeroUsize = NonZeroUsize::new(65_535).unwrap();
/// Eight take a minute; this many, a working day.
pub const ATTEMPTS_MAX: NonZeroU32 = NonZeroU32::new(1_000).unwrap();
/// No list is longer: at 200 a second it would take a century and a half.
const ROWS_MAX: NonZeroU64 = NonZeroU64::new(1_000_000_000_000).unwrap();

/// A number from 1 to `max`.
fn at_most<T>(max: T) -> impl Fn(&str) -> Result<T, String> + Clone + Send + Sync + 'static
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| *number <= max);
        number.ok_or_else(|| format!("write a whole number from 1 to {max}"))
    }
}

fn region_hosts() -> impl TypedValueParser<Value = RegionHost> {
    let words = RegionHost::all().map(|host| host.to_string());
    PossibleValuesParser::new(words).try_map(|word| word.parse::<RegionHost>())
}

/// A length of time: `10s`, `1m 30s`, `500ms`; an hour at most.
pub fn time(text: &str) -> Result<Duration, String> {
    let parsed: Option<Duration> = text.parse::<jiff::SignedDuration>().ok().and_then(|time| time.try_into().ok());
    let time = parsed.filter(|time| !time.is_zero()).ok_or("write a time such as 10s, 500ms or 1m 30s")?;
    if time > TIME_MAX { Err("it is more than an hour; the service gives up after 3 s".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `9223372036854775807s` was taken, and every attempt panicked when it was added to the clock.
    #[test]
    fn a_time_is_an_hour_at_most() {
        assert_eq!(time("1h"), Ok(TIME_MAX));
        for text in ["1h 1ns", "9223372036854775807s", "2562047788015215h"] {
            assert_eq!(time(text), Err("it is more than an hour; the service gives up after 3 s".to_owned()), "{text}");
        }
        for text in ["0s", "-1s", "-9223372036854775808s", "9223372036854775808s", "ten", ""] {
            assert_eq!(time(text), Err("write a time such as 10s, 500ms or 1m 30s".to_owned()), "{text}");
        }
    }
}
