//! Commands that people paste into a shell. This is the one place that quotes words for it, and splits them again.
//!
//! A word stands bare where a shell takes it as it is, and otherwise in quotes. One with bytes that a terminal does not
//! show, or that are no text, becomes `"$(printf 'caf\351')"`, which every POSIX shell turns into these bytes: a command
//! that is shown is a single line of visible characters, whatever the names in it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::escape::escape_control;

const PROGRAM: &str = "runner";
const PRINTF: &str = "$(printf '";
const PRINTF_END: &str = "')";
/// `$(…)` takes away the line ends at the end. Shells other than the plainest know this as well.
const DOLLAR: &str = "$";
const LINE_END: &str = r"\012";

/// A word, quoted.
pub fn quoted(word: impl AsRef<OsStr>) -> String {
    let word = word.as_ref();
    let is_shown = |text: &&str| !text.contains(['\n', '\t']) && escape_control(text) == **text;
    // What looks like one of the forms below is written in it, so that a line can be split again without doubt.
    let looks_odd = |text: &str| text.starts_with(DOLLAR) && (text.starts_with(PRINTF) || text.ends_with(LINE_END));
    match word.to_str().filter(is_shown).filter(|text| !looks_odd(text)).map(shlex::try_quote) {
        Some(Ok(quoted)) => quoted.into_owned(),
        Some(Err(_)) | None if word.as_bytes().ends_with(b"\n") => format!("{DOLLAR}'{}'", octal(word)),
        Some(Err(_)) | None => format!("\"{PRINTF}{}{PRINTF_END}\"", octal(word)),
    }
}

/// A command line.
pub fn line(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// The words of a command line that [`line()`] made. `None`: it is none.
pub fn words(line: &str) -> Option<Vec<OsString>> {
    let word = |word: String| {
        let inside = word.strip_prefix(PRINTF).and_then(|rest| rest.strip_suffix(PRINTF_END));
        let inside = inside.or_else(|| word.strip_prefix(DOLLAR).filter(|rest| rest.ends_with(LINE_END)));
        inside.map_or_else(|| OsString::from(&word), bytes)
    };
    Some(shlex::split(line)?.into_iter().map(word).collect())
}

/// A command of this program, called as it was itself: `runner`, or by the path that led to it.
pub fn command(args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> String {
    // A test, for one, is another program.
    let called = std::env::args_os().next().filter(|called| Path::new(called).file_name() == Some(PROGRAM.as_ref()));
    let called = called.unwrap_or_else(|| PROGRAM.into());
    let args = args.into_iter().map(|arg| arg.as_ref().to_owned());
    line(std::iter::once(called).chain(args))
}

/// A path as an argument that cannot be taken for a flag.
pub fn argument(path: &Path) -> PathBuf {
    if path.as_os_str().as_bytes().starts_with(b"-") { Path::new(".").join(path) } else { path.to_owned() }
}

/// For `printf` and `$'…'`: only what neither they nor a shell could take for something else stays as it is.
fn octal(word: &OsStr) -> String {
    let bytes = word.as_bytes().iter().enumerate().map(|(index, byte)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'=' | b' ' => char::from(*byte).to_string(),
        b'-' if index > 0 => "-".to_owned(),
        byte => format!("\\{byte:03o}"),
    });
    bytes.collect()
}

fn bytes(octal: &str) -> OsString {
    let (mut bytes, mut rest) = (Vec::with_capacity(octal.len()), octal.as_bytes());
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|_| *first == b'\\').and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &others[3..] } else { others };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    /// What a shell makes of a line's words.
    fn by_shell(shell: &str, line: &str) -> Vec<u8> {
        let ran = Command::new(shell).arg("-c").arg(format!("printf '%s|' {line}")).output().unwrap();
        assert!(ran.status.success() && ran.stderr.is_empty(), "{line}: {ran:?}");
        ran.stdout
    }

    #[test]
    fn words_are_as_plain_as_they_can_be() {
        for (word, wanted) in [
            ("edits.csv", "edits.csv"),
            ("", "''"),
            ("my edits.csv", "'my edits.csv'"),
            ("it's", "\"it's\""),
            ("清单.csv", "'清单.csv'"),
            ("a\nb", r#""$(printf 'a\012b')""#),
            ("-\t%'!", r#""$(printf '\055\011\045\047\041')""#),
            ("\u{202e}x", r#""$(printf '\342\200\256x')""#),
            ("a\n", r"$'a\012'"),
        ] {
            assert_eq!(quoted(word), wanted);
        }
        assert_eq!(quoted(OsStr::from_bytes(b"caf\xe9")), r#""$(printf 'caf\351')""#);
        assert_eq!(command(["status", "my ledger.db"]), "runner status 'my ledger.db'");
        assert_eq!((argument(Path::new("-x.db")), argument(Path::new("x.db"))), ("./-x.db".into(), "x.db".into()));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_line_is_its_words_to_a_shell_and_to_us(
            words in proptest::collection::vec(
                prop_oneof![
                    "\\PC{0,12}",
                    "[-$'\"`\\\\!%~#&*?\\[\\](){}<>|; \n\t=^a0-9]{0,12}",
                    "\\$\\(printf '[a\\\\0-7]{0,9}'\\)",
                    "\\$[a\\\\0-7]{0,5}\\\\012",
                ].prop_map(OsString::from),
                1..6,
            ),
            raw in proptest::collection::vec(1_u8..=255, 0..12),
        ) {
            let words: Vec<OsString> = words.into_iter().chain([OsString::from_vec(raw)]).collect();
            let shown = line(&words);
            prop_assert_eq!(escape_control(&shown), shown.as_str());
            prop_assert!(!shown.contains(['\n', '\t']));
            prop_assert_eq!(super::words(&shown), Some(words.clone()));
            let wanted: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"|"].concat()).collect();
            // `$'…'`, for a word that ends in a line end, is not known to the plainest shells.
            let shell = if words.iter().any(|word| word.as_bytes().ends_with(b"\n")) { "bash" } else { "sh" };
            prop_assert_eq!(by_shell(shell, &shown), wanted);
        }
    }
}
