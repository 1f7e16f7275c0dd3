//! The command line of this process, for the ledger and for people who resume the run.

use crate::input::Input;

/// The command line as the ledger records it: without the command of `--on-finish`, which may contain a secret. The
/// program's own secrets are never on the command line.
pub(super) fn recorded_command() -> String {
    const ON_FINISH: &str = "--on-finish";
    let mut is_hook = false;
    let words = std::env::args_os().map(|word| {
        let word = word.to_string_lossy().into_owned();
        match word.split_once('=') {
            _ if std::mem::replace(&mut is_hook, word == ON_FINISH) => "…".to_owned(),
            Some((ON_FINISH, _)) => format!("{ON_FINISH}=…"),
            Some(_) | None => word,
        }
    });
    quoted(&words.collect::<Vec<_>>())
}

/// The command line that resumes the run.
pub(super) fn resume_command(input: &Input) -> String {
    let words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    with_list(quoted(&words.collect::<Vec<_>>()), input)
}

/// The command, with a remark where a list came from standard input.
pub(super) fn with_list(command: String, input: &Input) -> String {
    if input.lists().all(|list| list.path().is_some()) {
        command
    } else {
        format!("{command}  (with the same list on standard input)")
    }
}

fn quoted(words: &[String]) -> String {
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}
