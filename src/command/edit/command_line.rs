//! The command line of this process, for the ledger and for people who resume the run.

use crate::input::Input;
use crate::job::NOT_RECORDED;
use crate::terminal::fit;

/// Options whose values the ledger does not record: a command may contain a secret, and what messages hold is in no ledger.
const HIDDEN: [&str; 3] = ["--on-finish", "--text", "--custom-data"];

/// The command line as the ledger records it: without the values of [`HIDDEN`]. The program's own secrets are never on
/// the command line.
pub(super) fn recorded_command() -> String {
    let mut is_hidden = false;
    let words = std::env::args_os().map(|word| {
        let word = word.to_string_lossy().into_owned();
        match word.split_once('=') {
            _ if std::mem::replace(&mut is_hidden, HIDDEN.contains(&word.as_str())) => NOT_RECORDED.to_owned(),
            Some((option, _)) if HIDDEN.contains(&option) => format!("{option}={NOT_RECORDED}"),
            Some(_) | None => word,
        }
    });
    quoted(&words.collect::<Vec<_>>())
}

/// The command line that resumes the run. In a terminal it is the one that was typed there; message text goes nowhere
/// else.
pub(super) fn resume_command(input: &Input) -> String {
    if fit::columns_of_stdout().is_none() || fit::columns_of_stderr().is_none() {
        return with_list(recorded_command(), input);
    }
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    with_list(quoted(&words.collect::<Vec<_>>()), input)
}

/// The command, with a remark where the list came from standard input.
pub(super) fn with_list(command: String, input: &Input) -> String {
    match input.path() {
        Some(_) => command,
        None => format!("{command}  (with the same list on standard input)"),
    }
}

fn quoted(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}
