//! Text for people, made to fit where they read it: in a terminal, lines that are too long are broken between words. A leaf.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use anstream::adapter::strip_str;
use console::Term;
use textwrap::Options;
use textwrap::core::display_width;

/// Narrower columns than this are harder to read than broken words.
const TEXT_MIN: usize = 20;

/// What begins the line of a command, to be copied as it is.
pub const COMMAND_LABEL: &str = "To resume: ";

/// The columns of standard error; `None` where it is no terminal.
pub fn columns_of_stderr() -> Option<usize> {
    columns(&Term::stderr())
}

/// The columns of standard output; `None` where it is no terminal.
pub fn columns_of_stdout() -> Option<usize> {
    columns(&Term::stdout())
}

fn columns(term: &Term) -> Option<usize> {
    term.is_term().then(|| term.size().1.into())
}

/// Writes whole lines, broken where they do not fit into so many columns.
///
/// # Errors
/// They cannot be written.
pub fn write(out: &mut impl io::Write, text: &[u8], columns: Option<usize>) -> io::Result<()> {
    match (columns, std::str::from_utf8(text)) {
        (Some(columns), Ok(text)) => out.write_all(fit(text, columns).as_bytes()),
        (_, _) => out.write_all(text),
    }
}

/// Breaks lines that are longer than so many columns; what goes on stands below the text of its column.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.lines().all(|line| display_width(line) <= columns) {
        return Cow::Borrowed(text);
    }
    let mut fitted = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let plain = strip_str(line).to_string();
        if plain.contains(COMMAND_LABEL) {
            fitted.push_str(line);
        } else {
            let indent = " ".repeat(hanging(&plain, columns));
            let options = Options::new(columns).subsequent_indent(&indent).break_words(false);
            let _ = write!(fitted, "{}", textwrap::wrap(line, options).join("\n"));
        }
        fitted.push_str(end);
    }
    Cow::Owned(fitted)
}

/// Where the last column of a table begins: behind its last gap of two spaces or more.
fn hanging(plain: &str, columns: usize) -> usize {
    if !plain.starts_with(' ') {
        return 0;
    }
    let gap = plain.rfind("  ").map_or(0, |at| at + 2);
    let column = display_width(&plain[..gap]);
    if column + TEXT_MIN <= columns { column } else { 0 }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::terminal::colour::{REMARK, TITLE};

    #[test]
    fn what_is_too_long_goes_on_below_its_column() {
        let text = format!(
            "{TITLE}Stopped after 3 s:{TITLE:#} the service refused the job, for a reason\n  \
             rows  4   {REMARK}all of which were told of before{REMARK:#}\n  \
             4  the connection was lost before the answer; it may or may not have been\n\
             To resume: runner --input edits.csv --resume ledger.db\n"
        );
        assert_snapshot!(strip_str(&fit(&text, 30)).to_string(), @"
        Stopped after 3 s: the service
        refused the job, for a reason
          rows  4   all of which were
        told of before
          4  the connection was lost
             before the answer; it may
             or may not have been
        To resume: runner --input edits.csv --resume ledger.db
        ");
        assert_eq!(fit(&text, 100), text);
    }
}
