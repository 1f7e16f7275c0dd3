//! Whole sentences in Chinese: errors, warnings, questions, reasons, what a plan and a summary say.
//!
//! A message is written in English where it arises, and stays English in the log, the ledger and JSON. What a person reads
//! is translated at the very end, by [`Lang::say`](super::Lang::say), from the finished sentence. So a reason that a ledger
//! has held for years can be translated, and so can the answer of another process. `sentences.toml` has the pairs; a
//! test looks for every sentence in the code and fails if there is no pair for it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use textwrap::core::display_width;

use super::chinese::codes;
use crate::api::error_code;

/// By room: English sentences and their translations. `{name}` stands for inserted text, `{N}` for an inserted number.
const SENTENCES: &str = include_str!("chinese/sentences.toml");

/// The most specific pairs first: those with the most fixed text.
static PAIRS: LazyLock<Vec<Pair>> = LazyLock::new(pairs);
/// What stands for inserted text in a sentence.
#[expect(clippy::unwrap_used, reason = "a constant pattern, which every translation uses")]
static INSERTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{([A-Za-z_]+[0-9]?)\}").unwrap());

/// What separates the pieces of a line: styles, gaps between columns, and dots.
#[expect(clippy::unwrap_used, reason = "a constant pattern, which every translation uses")]
static SEPARATOR: LazyLock<Regex> = LazyLock::new(|| Regex::new("(?:\u{1b}\\[[0-9;]*m)+|\n|  +| · ").unwrap());

struct Pair {
    english: Regex,
    chinese: String,
    fixed_bytes: usize,
}

/// The sentence in Chinese, together with what is inserted into it as far as there are pairs for that.
pub(super) fn in_chinese(sentence: &str) -> Option<String> {
    let (pair, parts) = PAIRS.iter().find_map(|pair| Some((pair, pair.english.captures(sentence)?)))?;
    let (mut said, mut end, mut is_ours) = (String::new(), 0, true);
    for name in INSERTED.captures_iter(&pair.chinese) {
        let whole = name.get(0)?;
        append(&mut said, &pair.chinese[end..whole.start()], is_ours);
        end = whole.end();
        let part = parts.name(&name[1]).map_or("", |part| part.as_str());
        let chinese = in_chinese(part);
        is_ours = chinese.is_some();
        append(&mut said, chinese.as_deref().unwrap_or(part), is_ours);
    }
    append(&mut said, &pair.chinese[end..], is_ours);
    Some(said)
}

/// Appends a part, with one space between Chinese and what is not, and none between Chinese and Chinese. Beside what is
/// not ours, such as the name of a file, spaces stay as they are written.
fn append(said: &mut String, more: &str, is_ours: bool) {
    let is_mark = |c: char| "，。：；、？！（）“”".contains(c);
    let is_chinese = |c: char| ('\u{4e00}'..='\u{9fff}').contains(&c);
    let before = said.trim_end_matches(' ').chars().next_back();
    let after = more.trim_start_matches(' ').chars().next();
    let (Some(before), Some(after), true) = (before, after, is_ours) else { return said.push_str(more) };
    let space = if is_mark(before) || is_mark(after) || (is_chinese(before) && is_chinese(after)) {
        ""
    } else if is_chinese(before) != is_chinese(after) && (before.is_ascii_graphic() || after.is_ascii_graphic()) {
        " "
    } else {
        return said.push_str(more);
    };
    said.truncate(said.trim_end_matches(' ').len());
    said.push_str(space);
    said.push_str(more.trim_start_matches(' '));
}

/// The lines of a terminal in Chinese, piece by piece where they have columns or styles. Columns stay aligned.
pub(super) fn lines_in_chinese(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    // The columns that the last piece is wider than in English, and its last character.
    let (mut begin, mut wider, mut last) = (0, 0, ' ');
    let ends = SEPARATOR.find_iter(text).map(|found| (found.start(), found.end())).chain([(text.len(), text.len())]);
    for (end, next) in ends {
        let (piece, separator) = (&text[begin..end], &text[end..next]);
        begin = next;
        if !piece.is_empty() {
            let chinese = in_chinese(piece.trim()).map(|chinese| piece.replace(piece.trim(), &chinese));
            let mut chinese = chinese.as_deref().unwrap_or(piece);
            if chinese.trim_end().ends_with('：') {
                chinese = chinese.trim_end();
            }
            // Full-width punctuation and a word have no space between them.
            if !last.is_ascii()
                && !chinese.trim_start().starts_with(|c: char| c.is_ascii_alphanumeric() && last != '：')
            {
                chinese = chinese.trim_start();
            }
            wider = display_width(chinese).cast_signed() - display_width(piece).cast_signed();
            last = chinese.chars().next_back().unwrap_or(last);
            said.push_str(chinese);
        }
        if separator.starts_with("  ") {
            let gap = separator.len().saturating_add_signed(-std::mem::take(&mut wider)).max(2);
            said.extend(std::iter::repeat_n(' ', gap));
            last = ' ';
        } else {
            said.push_str(separator);
            if separator == "\n" {
                (wider, last) = (0, ' ');
            }
        }
    }
    said
}

fn pairs() -> Vec<Pair> {
    let rooms: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(SENTENCES).unwrap_or_default();
    let written = rooms.into_values().flatten();
    let mut pairs: Vec<Pair> =
        written.chain(of_codes()).filter_map(|(english, chinese)| Pair::new(&english, chinese)).collect();
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.fixed_bytes));
    pairs
}

/// What the table of error codes says in both languages.
fn of_codes() -> impl Iterator<Item = (String, String)> {
    error_code::all().iter().flat_map(|entry| {
        let code = *entry.codes.start();
        let meaning = codes::meaning(code).unwrap_or(codes::UNKNOWN);
        [
            (entry.meaning.to_owned(), meaning.to_owned()),
            (entry.advice.to_owned(), codes::advice(code).unwrap_or_default().to_owned()),
        ]
    })
}

impl Pair {
    /// `None` if the sentence has no fixed text or names a part twice.
    fn new(english: &str, chinese: String) -> Option<Pair> {
        let (mut pattern, mut fixed_bytes, mut end) = ("(?s)^".to_owned(), 0, 0);
        for name in INSERTED.captures_iter(english) {
            let whole = name.get(0)?;
            let fixed = &english[end..whole.start()];
            (fixed_bytes, end) = (fixed_bytes + fixed.len(), whole.end());
            let what = match &name[1] {
                "s" => "s?",
                // These stand where other sentences begin, and must not swallow the beginning of those.
                "account" => "[A-Za-z_0-9]+",
                "row" => "(?:line )?[0-9][0-9,]*(?: of .*?)?",
                name if name.starts_with('N') => "[0-9][0-9,.]*",
                _ => ".*?",
            };
            pattern = format!("{pattern}{}(?P<{}>{what})", regex::escape(fixed), &name[1]);
        }
        let fixed = &english[end..];
        fixed_bytes += fixed.len();
        let english = Regex::new(&format!("{pattern}{}$", regex::escape(fixed))).ok()?;
        (fixed_bytes > 0).then_some(Pair { english, chinese, fixed_bytes })
    }
}

#[cfg(test)]
mod tests;
