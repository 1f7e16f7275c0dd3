//! Text from outside, made fit to be shown: what a stranger's file or service says cannot steer a terminal, nor show
//! itself as something else than it is. A leaf.

use std::borrow::Cow;
use std::fmt;

/// Characters of a name that are shown: a header that is no header can be a cell of a whole message.
pub const NAME_CHARS_SHOWN: usize = 64;

/// A name, for people: bare where it is a plain word, else as [`Quoted`].
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(pub &'a str);

/// A short text, for people: in quotes, escaped, and no more of it than a person would read.
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

/// Whole lines, for people: control characters other than line ends and tabs, and invisible ones, are written out.
pub fn escape_control(text: &str) -> Cow<'_, str> {
    let harms = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_invisible(c);
    if !text.contains(harms) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if harms(c) { shown.extend(c.escape_unicode()) } else { shown.push(c) }
    }
    Cow::Owned(shown)
}

/// Characters that a person does not see, or that change the order in which he sees others: two ids can look alike and
/// be different ones.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Nothing but printable ASCII, as in most ids: told in one look, and then nothing else need be looked for.
pub fn is_plain(text: &str) -> bool {
    // Without a way out in between, so that eight bytes are looked at in one step.
    let all = |bytes: &[u8]| bytes.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~'));
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    eights.iter().all(|eight| all(eight)) && all(rest)
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
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
            // A letter, so it is said, that is not to be seen.
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
        fn nothing_that_is_shown_steers_a_terminal(text in "(\\PC|\\pC|[\u{1b}\u{9b}\u{ad}\u{1160}\u{202e}\u{3164}\u{e0020}]){0,80}") {
            let shown = format!("{}{}{}", Name(&text), Quoted(&text), escape_control(&text));
            prop_assert!(!shown.contains(|c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || is_invisible(c)), "{:?}", shown);
        }
    }
}
