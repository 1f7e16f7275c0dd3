//! Fits text to the terminal: lines that are too long are broken between words.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use anstream::adapter::strip_str;
use console::Term;
use textwrap::core::{Word, display_width};
use textwrap::{Options, WordSeparator, WordSplitter};
use unicode_width::UnicodeWidthChar;

/// A column narrower than this is harder to read than lines broken without an indent.
const TEXT_MIN: usize = 20;

/// The label before a command, whose line is never broken so that it can be copied.
pub const COMMAND_LABEL: &str = "To resume: ";
/// The same in Chinese.
const COMMAND_LABEL_ZH: &str = "续跑命令：";

/// The width of standard error in columns; `None` if it is not a terminal.
pub fn columns_of_stderr() -> Option<usize> {
    columns(&Term::stderr())
}

/// The width of standard output in columns; `None` if it is not a terminal.
pub fn columns_of_stdout() -> Option<usize> {
    columns(&Term::stdout())
}

fn columns(term: &Term) -> Option<usize> {
    term.is_term().then(|| term.size().1.into())
}

/// Writes whole lines, broken to fit into this many columns.
///
/// # Errors
/// The lines cannot be written.
pub fn write(out: &mut impl io::Write, text: &[u8], columns: Option<usize>) -> io::Result<()> {
    match (columns, std::str::from_utf8(text)) {
        (Some(columns), Ok(text)) => out.write_all(fit(text, columns).as_bytes()),
        (_, _) => out.write_all(text),
    }
}

/// Breaks lines that are longer than this many columns; continuation lines are indented to the last column of the
/// line.
pub fn fit(text: &str, columns: usize) -> Cow<'_, str> {
    if text.lines().all(|line| display_width(line) <= columns) {
        return Cow::Borrowed(text);
    }
    let mut fitted = String::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let plain = strip_str(line).to_string();
        if [COMMAND_LABEL, COMMAND_LABEL_ZH].iter().any(|label| plain.contains(label)) {
            fitted.push_str(line);
        } else {
            let indent = " ".repeat(hanging_indent(&plain, columns));
            // A flag that is broken at one of its hyphens could not be copied.
            let options = Options::new(columns).subsequent_indent(&indent).break_words(false);
            let options =
                options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::Custom(words));
            let _ = write!(fitted, "{}", textwrap::wrap(line, options).join("\n"));
        }
        fitted.push_str(end);
    }
    Cow::Owned(fitted)
}

/// Where a line may be broken: at blanks, and around each Chinese character, but not before closing punctuation nor after
/// opening punctuation.
pub fn words(line: &str) -> Box<dyn Iterator<Item = Word<'_>> + '_> {
    let is_wide = |c: char| c.width() == Some(2);
    let closes = |c: char| "，。、；：？！）》”’…".contains(c);
    let opens = |c: char| "（《“‘".contains(c);
    let mut rest = line;
    Box::new(std::iter::from_fn(move || {
        let mut before = rest.chars().next()?;
        let end = rest.char_indices().skip(1).find(|(_, c)| {
            let here = (before == ' ' && *c != ' ')
                || (*c != ' ' && (is_wide(before) || is_wide(*c)) && !closes(*c) && !opens(before));
            before = *c;
            here
        });
        let (word, others) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = others;
        Some(Word::from(word))
    }))
}

/// Where the last column of a table row begins: after its last gap of two or more spaces.
fn hanging_indent(plain: &str, columns: usize) -> usize {
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
    fn long_lines_continue_below_their_column() {
        let text = format!(
            "{TITLE}Stopped after 3 s:{TITLE:#} the service refused the job, for a reason\n  \
             rows  4   {REMARK}all of which were reported before{REMARK:#}\n  \
             4  the connection was lost before the answer; it may or may not have been\n\
             To resume: runner --input edits.csv --resume ledger.db\n"
        );
        assert_snapshot!(strip_str(&fit(&text, 30)).to_string(), @"
        Stopped after 3 s: the service
        refused the job, for a reason
          rows  4   all of which were
        reported before
          4  the connection was lost
             before the answer; it may
             or may not have been
        To resume: runner --input edits.csv --resume ledger.db
        ");
        assert_eq!(fit(&text, 100), text);
        assert_eq!(fit("more than --max-failures 20%\n", 18), "more than\n--max-failures 20%\n");
        // Chinese has no spaces between words.
        assert_eq!(fit("错误：本机还有应用 14 的另一个任务。\n", 20), "错误：本机还有应用\n14 的另一个任务。\n");
        assert_eq!(fit("本机还有该应用的另一个任务。\n", 20), "本机还有该应用的另一\n个任务。\n");
    }
}
