//! Escapes untrusted text for display: the content of a file or an answer must not control the terminal, or look like
//! something it is not.

use std::borrow::Cow;
use std::fmt;

/// The most characters of a name that are shown: a malformed header may be a cell that holds a whole message.
pub const NAME_CHARS_SHOWN: usize = 64;

/// A name for display: bare if it is a plain word, otherwise as [`Quoted`].
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(pub &'a str);

/// A short text for display: in quotes, escaped, and truncated to a readable length.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| (c.is_alphanumeric() && !is_invisible(c)) || matches!(c, '_' | '-' | '.');
        let length = self.0.chars().take(NAME_CHARS_SHOWN + 1).count();
        if (1..=NAME_CHARS_SHOWN).contains(&length) && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            Quoted(self.0).fmt(f)
        }
    }
}

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.char_indices().nth(NAME_CHARS_SHOWN).map_or(self.0.len(), |(at, _)| at);
        let (shown, rest) = self.0.split_at(end);
        f.write_str(&escape_control(&format!("{shown:?}{}", if rest.is_empty() { "" } else { "…" })))
    }
}

/// Escapes the control characters in whole lines, other than line ends and tabs, and the invisible characters.
pub fn escape_control(text: &str) -> Cow<'_, str> {
    let is_unsafe = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_invisible(c);
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) { escaped.extend(c.escape_unicode()) } else { escaped.push(c) }
    }
    Cow::Owned(escaped)
}

/// Whether a reader does not see the character, or it changes the order of others: two different ids may look alike.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether the text is printable ASCII only, as most ids are: a fast check that makes all others unnecessary.
pub fn is_printable_ascii(text: &str) -> bool {
    // Without an early exit, so that eight bytes are checked in one step.
    let all = |bytes: &[u8]| bytes.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    eights.iter().all(|eight| all(eight)) && all(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_bare_or_quoted() {
        for (name, shown) in [
            ("case_no", "case_no"),
            ("案件号", "案件号"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("\u{1b}[2J\u{7}", r#""\u{1b}[2J\u{7}""#),
            ("\u{202e}drawkcab", r#""\u{202e}drawkcab""#),
            ("a\u{2028}b", r#""a\u{2028}b""#),
            // Unicode calls it a letter, but it is invisible.
            ("a\u{3164}", r#""a\u{3164}""#),
        ] {
            assert_eq!(Name(name).to_string(), shown);
        }
        assert_eq!(Name(&"n".repeat(64)).to_string(), "n".repeat(64));
        assert_eq!(Name(&"é".repeat(65)).to_string(), format!("\"{}\"…", "é".repeat(64)));
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(escape_control("a\n\tb: 中\n"), "a\n\tb: 中\n");
        assert_eq!(escape_control("a\u{1b}[2J\r\u{9b}\u{202e}b"), r"a\u{1b}[2J\u{d}\u{9b}\u{202e}b");
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_controls_a_terminal(text in "(\\PC|\\pC|[\u{1b}\u{9b}\u{ad}\u{1160}\u{202e}\u{3164}\u{e0020}]){0,80}") {
            let shown = format!("{}{}{}", Name(&text), Quoted(&text), escape_control(&text));
            prop_assert!(!shown.contains(|c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_invisible(c)), "{:?}", shown);
        }
    }
}
