//! Reads a secret as people provide it: the key's text from a file or a variable, without what an editor, a shell or a
//! copy added around it. Anything that cannot be a secret is reported before the service is called, because the
//! service says of every such key only that it is wrong, and locks out an account that repeats it. No part of the
//! secret is ever shown.

use secrecy::SecretString;

/// Why a text is not a secret: a fragment that follows its name in a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretFault {
    /// It is empty.
    #[error("is empty; give the secret's text")]
    Empty,
    /// It is neither UTF-8 nor marked as UTF-16.
    #[error("is not text in UTF-8 (or in UTF-16 with its mark); save it as plain text")]
    Encoding,
    /// It has more than one line.
    #[error("has several lines; it must hold the secret alone, on one line")]
    Lines,
    /// It is a line of an environment file.
    #[error("looks like a line NAME=value; give the value alone")]
    Assignment,
    /// It has a quotation mark at one end only.
    #[error("has a quotation mark at one end only; give the secret without quotation marks")]
    Quote,
    /// It has white space in the middle.
    #[error("has white space inside (character {0}); copy the secret once more")]
    WhiteSpace(usize),
    /// It has a character that no secret has.
    #[error("has a character that is not printable ASCII (character {0}); copy the secret once more")]
    Character(usize),
}

/// Quotation marks that shells, editors and office programs put around a text.
const QUOTES: [(char, char); 5] = [('"', '"'), ('\'', '\''), ('`', '`'), ('“', '”'), ('‘', '’')];
/// The byte order mark.
const BOM: char = '\u{feff}';

/// Reads the secret in these bytes.
pub(super) fn read(bytes: &[u8]) -> Result<SecretString, SecretFault> {
    let text = decode(bytes)?;
    let text = unquoted(trimmed(&text))?;
    if text.is_empty() {
        return Err(SecretFault::Empty);
    }
    if text.contains(['\n', '\r']) {
        return Err(SecretFault::Lines);
    }
    if is_assignment(text) {
        return Err(SecretFault::Assignment);
    }
    for (index, character) in text.chars().enumerate() {
        if character.is_whitespace() {
            return Err(SecretFault::WhiteSpace(index + 1));
        }
        if !character.is_ascii_graphic() {
            return Err(SecretFault::Character(index + 1));
        }
    }
    Ok(SecretString::from(text))
}

/// Decodes UTF-8, or UTF-16 if it has a byte order mark, as Notepad and PowerShell write it.
fn decode(bytes: &[u8]) -> Result<String, SecretFault> {
    let utf16 = |unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let text = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
        text.ok().filter(|_| rest.is_empty()).ok_or(SecretFault::Encoding)
    };
    match bytes {
        [0xff, 0xfe, ..] => utf16(u16::from_le_bytes),
        [0xfe, 0xff, ..] => utf16(u16::from_be_bytes),
        // Text has no zero bytes: this is UTF-16 without its byte order mark.
        _ if bytes.contains(&0) => Err(SecretFault::Encoding),
        _ => String::from_utf8(bytes.to_vec()).map_err(|_| SecretFault::Encoding),
    }
}

fn trimmed(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || character == BOM)
}

fn unquoted(text: &str) -> Result<&str, SecretFault> {
    let pair = |(open, close)| text.strip_prefix(open)?.strip_suffix(close);
    if let Some(inner) = QUOTES.into_iter().find_map(pair) {
        return Ok(trimmed(inner));
    }
    let is_quote = |character| QUOTES.iter().any(|(open, close)| [*open, *close].contains(&character));
    if text.starts_with(is_quote) || text.ends_with(is_quote) { Err(SecretFault::Quote) } else { Ok(text) }
}

/// `TIM_SECRET_KEY=…`, also after `export`. A base64 secret may end with `=`, but nothing follows it.
fn is_assignment(text: &str) -> bool {
    let Some((name, value)) = text.split_once('=') else { return false };
    let name = name.trim_start_matches("export ").trim();
    let is_name = name.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    is_name && !name.is_empty() && !value.trim_matches('=').is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    const KEY: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_key_is_read_as_it_is_meant() {
        for around in [
            KEY.to_owned(),
            format!("{KEY}\n"),
            format!("{KEY}\r\n\r\n"),
            format!("\u{feff}{KEY}\r\n"),
            format!("  {KEY}\t"),
            format!("\"{KEY}\"\n"),
            format!("'{KEY}'"),
            format!("\u{feff}“{KEY}”\r\n"),
            format!("\" {KEY} \""),
        ] {
            for bytes in
                [around.clone().into_bytes(), utf16(&around, u16::to_le_bytes), utf16(&around, u16::to_be_bytes)]
            {
                assert_eq!(read(&bytes).unwrap().expose_secret(), KEY, "{around:?}");
            }
        }
        assert_eq!(read(b"c2VjcmV0LWtleQ==\n").unwrap().expose_secret(), "c2VjcmV0LWtleQ==");
    }

    #[test]
    fn what_cannot_be_meant_is_named_and_not_repeated() {
        let half = &KEY[..32];
        for (text, fault) in [
            (String::new(), SecretFault::Empty),
            ("\u{feff}\r\n".to_owned(), SecretFault::Empty),
            ("\"\"".to_owned(), SecretFault::Empty),
            (format!("{half}\n{half}\n"), SecretFault::Lines),
            (format!("TIM_SDKAPPID=1\nTIM_SECRET_KEY={KEY}\n"), SecretFault::Lines),
            (format!("TIM_SECRET_KEY={KEY}\n"), SecretFault::Assignment),
            (format!("export TIM_SECRET_KEY = \"{KEY}\""), SecretFault::Quote),
            (format!("export KEY={KEY}"), SecretFault::Assignment),
            (format!("\"{KEY}"), SecretFault::Quote),
            (format!("{KEY}'"), SecretFault::Quote),
            (format!("{half} {half}"), SecretFault::WhiteSpace(33)),
            (format!("{half}\u{a0}{half}"), SecretFault::WhiteSpace(33)),
            (format!("{half}\u{200b}{half}"), SecretFault::Character(33)),
            (format!("{half}\u{7}{half}"), SecretFault::Character(33)),
            (format!("密{KEY}"), SecretFault::Character(1)),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert_eq!(error, fault, "{text:?}");
            assert!(!error.to_string().contains(&KEY[..4]), "{error}");
        }
        let mut odd = utf16(KEY, u16::to_le_bytes);
        odd.pop();
        let unmarked = &utf16(KEY, u16::to_le_bytes)[2..];
        for bytes in [&odd[..], unmarked, b"\xff\xff\xff", b"key\xe9"] {
            assert_eq!(read(bytes).unwrap_err(), SecretFault::Encoding, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_what_is_read_is_one_printable_word(bytes: Vec<u8>) {
            if let Ok(secret) = read(&bytes) {
                assert!(secret.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
