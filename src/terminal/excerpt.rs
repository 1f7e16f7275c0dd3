//! Shows a position in untrusted text with some context, however long the line is and whatever control characters it
//! holds. The only file that uses `annotate-snippets`.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::terminal::colour::{FAILED, REMARK};
use crate::terminal::escape::escape_control;

/// The terminal width for which excerpts are laid out.
pub const COLUMNS: usize = 80;
/// Columns of the line that are shown, label included: with the line number in front they fit that width.
const COLUMNS_MAX: usize = 68;
/// Columns shown before and after the marked part. The line may be message text, of which only as much is shown as is
/// needed to find the position.
const BEFORE_MAX: usize = 24;
const AFTER_MAX: usize = 12;
/// The most columns of a label.
const LABEL_MAX: usize = 20;
/// Marks where text was cut off.
const CUT: &str = "…";
/// Bytes of the longest character in UTF-8.
const CHAR_BYTES: usize = 4;

/// A part of a line, truncated and escaped, with a marked range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    line: usize,
    before: String,
    marked: String,
    after: String,
    label: String,
}

impl Excerpt {
    /// Marks the bytes `place` of line `number`. Memory is bounded, whatever the line is.
    pub fn new(number: u64, line: &[u8], place: Range<usize>, label: &str) -> Excerpt {
        let place = place.start.min(line.len())..place.end.clamp(place.start.min(line.len()), line.len());
        // Escaped, one character may take many columns.
        let label: String = label.chars().take(LABEL_MAX + 1).map(escape).collect();
        let label = if columns(&label) > LABEL_MAX { String::new() } else { label };
        let before = last(&line[..place.start], BEFORE_MAX);
        let columns_left = COLUMNS_MAX.saturating_sub(columns(&before) + columns(&label) + 2);
        let marked = first(&line[place.clone()], columns_left);
        let columns_left = COLUMNS_MAX.saturating_sub(columns(&before) + columns(&marked)).min(AFTER_MAX);
        // If the marked part was cut, what follows it is out of view.
        let after = if marked.ends_with(CUT) { String::new() } else { first(&line[place.end..], columns_left) };
        Excerpt { line: usize::try_from(number).unwrap_or(usize::MAX), before, marked, after, label }
    }

    /// Marks a range in a text of several lines, such as a job file. What follows it is not shown: after a wrong key
    /// there may be a secret.
    pub fn within(text: &str, place: Range<usize>, label: &str) -> Excerpt {
        let at = text.floor_char_boundary(place.start);
        let begin = text[..at].rfind('\n').map_or(0, |end| end + 1);
        let line = text[begin..].lines().next().unwrap_or_default();
        let number = line_of(text, at);
        let place = at - begin..place.end.saturating_sub(begin).clamp(at - begin, line.len().max(at - begin));
        Excerpt::new(number, &line.as_bytes()[..place.end.min(line.len())], place, label)
    }

    /// Renders it as coloured lines, without a trailing line end.
    pub fn render(&self) -> String {
        let Excerpt { line, before, marked, after, label } = self;
        let source = format!("{before}{marked}{after}");
        let place = before.len()..before.len() + marked.len();
        let mark = AnnotationKind::Primary.span(place);
        let mark = if label.is_empty() { mark } else { mark.label(label) };
        let snippet = Snippet::source(source).line_start(*line).annotation(mark);
        let group = Group::with_level(Level::ERROR).element(snippet);
        let renderer = Renderer::styled().term_width(2 * COLUMNS_MAX).error(FAILED).line_num(REMARK);
        renderer.render(&[group])
    }
}

/// The line number of a byte offset, counted from 1.
pub fn line_of(text: &str, at: usize) -> u64 {
    text.as_bytes()[..at.min(text.len())].iter().map(|&byte| u64::from(byte == b'\n')).sum::<u64>() + 1
}

/// A text on one line of at most this many columns, escaped.
pub fn shortened(text: &str, columns: usize) -> String {
    first(text.as_bytes(), columns)
}

/// The first columns of a text, escaped.
fn first(bytes: &[u8], columns_left: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min((columns_left + 2) * CHAR_BYTES)]).into_owned();
    let mut shown = String::new();
    for c in text.chars() {
        let c = escape(c);
        if columns(&shown) + columns(&c) > columns_left {
            // The last column shows that something was cut off.
            while columns(&shown) >= columns_left && shown.pop().is_some() {}
            return if columns_left == 0 { String::new() } else { shown + CUT };
        }
        shown += &c;
    }
    shown
}

/// The last columns of a text, escaped.
fn last(bytes: &[u8], columns_left: usize) -> String {
    let mut from = bytes.len().saturating_sub((columns_left + 2) * CHAR_BYTES);
    // Do not start in the middle of a character.
    while from > 0 && from < bytes.len() && bytes[from] & 0xc0 == 0x80 {
        from += 1;
    }
    let text = String::from_utf8_lossy(&bytes[from..]).into_owned();
    let mut kept: Vec<String> = Vec::new();
    let mut used = 0;
    for c in text.chars().rev() {
        let c = escape(c);
        used += columns(&c);
        if used > columns_left {
            kept.push(CUT.to_owned());
            break;
        }
        kept.push(c);
    }
    kept.into_iter().rev().collect()
}

/// One character as it is shown: visible and on one line.
fn escape(c: char) -> String {
    match c {
        '\t' | '\n' | '\r' => " ".to_owned(),
        c => escape_control(c.encode_utf8(&mut [0; CHAR_BYTES])).into_owned(),
    }
}

/// The most columns that a text may take: characters outside ASCII may be wide.
fn columns(text: &str) -> usize {
    text.chars().map(|c| if c.is_ascii() || CUT.contains(c) { 1 } else { 2 }).sum()
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;
    use crate::terminal::escape::is_invisible;

    fn shown(line: &str, place: Range<usize>, label: &str) -> String {
        strip_str(&Excerpt::new(7, line.as_bytes(), place, label).render()).to_string()
    }

    #[test]
    fn the_place_is_marked() {
        assert_snapshot!(shown("user_1,user_0,5_7_1773188576,oops", 29..33, "msg_body"), @r#"
          |
        7 | …1,user_0,5_7_1773188576,oops
          |                          ^^^^ msg_body
        "#);
        // Nothing at all, at the end.
        assert_snapshot!(shown("user_1,user_0,", 14..14, "msg_key"), @r#"
          |
        7 | user_1,user_0,
          |               ^ msg_key
        "#);
    }

    #[test]
    fn a_long_line_is_shown_in_part() {
        let line = format!("{},{},{}", "before".repeat(1_000), "marked ".repeat(2_000), "after".repeat(1_000));
        assert_snapshot!(shown(&line, 6_001..20_001, "msg_body"), @r#"
          |
        7 | …eforebeforebeforebefore,marked marked marked marked mark…
          |                          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ msg_body
        "#);
        assert_snapshot!(shown(&line, 6_001..6_010, "msg_body"), @r#"
          |
        7 | …eforebeforebeforebefore,marked marked marked…
          |                          ^^^^^^^^^ msg_body
        "#);
        assert_snapshot!(shown("用户一,用户二,五_七,[{\"类型\":\"文字\",\"内容\":\"一二三四五六七八九十一二三四五六七八九十\"}]", 29..110, "msg_body"), @r#"
          |
        7 | 用户一,用户二,五_七,[{"类型":"文字","内容":"一二三四五六…
          |                      ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ msg_body
        "#);
    }

    #[test]
    fn an_excerpt_does_not_control_the_terminal() {
        assert_snapshot!(shown("a\u{1b}[2J,\u{202e}b\tc\r,d", 6..10, "x"), @r#"
          |
        7 | a\u{1b}[2J,\u{202e}b c ,d
          |            ^^^^^^^^^ x
        "#);
    }

    proptest! {
        #[test]
        fn any_excerpt_is_bounded_and_escaped(
            line in proptest::collection::vec(any::<u8>(), 0..400),
            start in 0_usize..500,
            length in 0_usize..500,
            label in proptest::collection::vec(prop_oneof![any::<char>(), Just('\u{200b}')], 0..40),
        ) {
            let label: String = label.into_iter().collect();
            let styled = Excerpt::new(u64::MAX, &line, start..start + length, &label).render();
            let shown = strip_str(&styled).to_string();
            prop_assert!(shown.len() < 2_000, "{shown}");
            prop_assert!(!shown.contains(|c: char| (c.is_control() && c != '\n') || is_invisible(c)), "{shown:?}");
        }
    }
}
