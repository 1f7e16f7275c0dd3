//! The program's commands, one file each, and their exit codes.

mod audit;
mod codes;
mod completions;
mod copy;
mod ctl;
mod edit;
mod error;
mod files;
mod hook;
mod man;
mod originals;
mod report;
mod sandbox;
mod status;
mod verify;

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::process::ExitCode;

use self::error::CommandError;
pub use self::files::{Conflict, check as check_files};
use crate::cli::{Cli, Command};
use crate::live::progress::Screen;
use crate::terminal::colour::{DOUBT, FAILED};
use crate::terminal::escape::escape_control;
use crate::terminal::fit;
use crate::words::Lang;

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every edit of the list is done.
    Done,
    /// Finished, and some edits failed or are in doubt.
    SomeNotDone,
    /// Nothing was sent: usage, configuration, the list, or the ledger is wrong.
    NothingSent,
    /// Stopped early; the same command resumes.
    Stopped,
    /// Ctrl-C; the same command resumes.
    Interrupted,
    /// SIGTERM, or the terminal was closed; the same command resumes.
    Terminated,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl Exit {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::SomeNotDone => 1,
            Exit::NothingSent => 2,
            Exit::Stopped => 3,
            Exit::Interrupted => 130,
            Exit::Terminated => 143,
        }
    }
}

/// Executes the command line, and reports errors that occur before anything is sent. `asked_for` is the language that was
/// asked for, if any.
pub async fn execute(cli: &Cli, asked_for: Option<Lang>, screen: &Screen) -> Exit {
    let result = match &cli.command {
        None => edit::execute(&cli.job, asked_for, screen).await,
        Some(Command::Audit(args)) => audit::execute(args, screen).await,
        Some(Command::Codes { code }) => codes::execute(*code),
        Some(Command::Ctl(args)) => ctl::execute(args).await,
        Some(Command::Copy(args)) => copy::execute(args).await,
        Some(Command::Sandbox(args)) => sandbox::execute(args).await,
        Some(Command::Status(args)) => status::execute(args).await,
        Some(Command::Report(args)) => report::execute(args).await,
        Some(Command::Completions { shell }) => completions::execute(*shell),
        Some(Command::Verify(args)) => verify::execute(args),
        Some(Command::Prove(args)) => verify::prove(args),
        Some(Command::Originals(args)) => originals::execute(args),
        Some(Command::Man) => man::execute(),
    };
    result.unwrap_or_else(|error| {
        tell(format_args!("error: {}", error.with_causes()));
        if let Some(excerpt) = error.excerpt() {
            let _ = writeln!(anstream::stderr(), "{}", excerpt.render());
        }
        Exit::from(&error)
    })
}

/// Writes a line to standard error in the language of the process, with `error:` and `warning:` in colour. Control
/// characters in file names are escaped, so they cannot steer the terminal. Write errors are ignored: there is nowhere left
/// to report them.
pub fn tell(line: impl Display) {
    let (line, lang) = (line.to_string(), Lang::of_process());
    let line = escape_control(&line);
    let labelled = [("error:", FAILED), ("warning:", DOUBT)].into_iter().find_map(|(label, style)| {
        let rest = line.strip_prefix(label)?.trim_start_matches(' ');
        Some(match lang {
            Lang::En => format!("{style}{label}{style:#} {rest}"),
            Lang::Zh => format!("{style}{}{style:#}{}", lang.say(label), lang.say(rest)),
        })
    });
    let line = labelled.unwrap_or_else(|| lang.say(line)) + "\n";
    let _ = fit::write(&mut anstream::stderr(), line.as_bytes(), fit::columns_of_stderr());
}

/// Asks a yes-or-no question. The answer is read from the terminal, since standard input may be the list; `None` if there is
/// no terminal.
fn confirm(question: impl Display) -> io::Result<Option<bool>> {
    let terminal = if io::stderr().is_terminal() { File::open("/dev/tty").ok() } else { None };
    let Some(terminal) = terminal else { return Ok(None) };
    write!(anstream::stderr(), "{} [y/N] ", Lang::of_process().say_lines(&question.to_string()))?;
    let mut answer = String::new();
    BufReader::new(terminal).read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes" | "是")))
}

/// Writes a result to standard output, wrapped to the terminal unless it is JSON.
fn print(text: &[u8], is_json: bool) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    fit::write(&mut out, text, if is_json { None } else { fit::columns_of_stdout() })?;
    out.flush()
}

/// The exit of a command that only prints. A closed pipe is a success: `head` or a pager has read enough.
fn exit_after_printing(printed: io::Result<()>) -> Result<Exit, CommandError> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        result => Ok(result.map(|()| Exit::Done)?),
    }
}
