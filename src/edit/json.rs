//! JSON that means the same to whoever reads it, and words for JSON that does not parse.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::shown::Quoted;

/// Names under which the parser keeps numbers and raw text. An object of the list with such a key would be taken for
/// what it is not.
const PARSERS_OWN: &str = "$serde_json::private::";

/// The members of an object, in order, each value as it was written.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

/// A string, borrowed wherever it is written without escapes.
#[derive(serde::Deserialize)]
pub(crate) struct Text<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// Refuses a key that stands twice in one object, at any depth: some readers keep the first value and some the last, so
/// what was checked here could be another thing than what the service makes of it. What does not parse, or is nested too
/// deep, is left to the parser to tell.
pub(crate) fn check_keys(text: &str) -> Result<(), String> {
    check_keys_within(text.trim_ascii_start(), 0)
}

fn check_keys_within(json: &str, depth: u32) -> Result<(), String> {
    /// The parser's own limit.
    const DEPTH_MAX: u32 = 128;
    match json.as_bytes().first() {
        _ if depth == DEPTH_MAX => Ok(()),
        Some(b'{') => {
            let Ok(Members(members)) = serde_json::from_str(json) else { return Ok(()) };
            let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
            names.sort_unstable();
            if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
                return Err(format!(
                    "has the key {} twice in one object, and readers differ about which of the two counts; keep one",
                    Quoted(pair[0])
                ));
            }
            if let Some(name) = names.iter().find(|name| name.starts_with(PARSERS_OWN)) {
                return Err(format!("has the key {}, which cannot be checked; give it another name", Quoted(name)));
            }
            members.iter().try_for_each(|(_, value)| check_keys_within(value.get(), depth + 1))
        }
        Some(b'[') => {
            let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(json) else { return Ok(()) };
            items.iter().try_for_each(|item| check_keys_within(item.get(), depth + 1))
        }
        Some(_) | None => Ok(()),
    }
}

/// Why a text is not JSON: a fragment without the place. It quotes nothing of the text.
pub(crate) fn fault(error: &serde_json::Error) -> String {
    let told = error.to_string();
    let told = told.split(" at line ").next().unwrap_or_default();
    if told.contains("hex escape") || told.contains("surrogate") || told.contains("code point") {
        "a \\u escape is one half of a pair (\\ud800 to \\udfff) without the other, which stands for no character"
            .to_owned()
    } else if told.contains("recursion limit") {
        "brackets are nested more than 127 deep".to_owned()
    } else if let Some(what) = told.strip_prefix("EOF while parsing ") {
        format!("it ends within {what}")
    } else if told == "trailing characters" {
        "something follows behind its end".to_owned()
    } else {
        told.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_stands_twice_is_found_at_any_depth_and_however_it_is_written() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#" [ 1, {"b":{"c":[{"a":1,"b":2,"a":3}]}} ] "#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{},"a":{},"y":0,"a":0}"#,
        ] {
            assert!(check_keys(text).unwrap_err().starts_with("has the key \"a\" twice"), "{text}");
        }
        for text in [r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#, "", "{", "[1,2", "\"a\"", r#"{"a":1,"A":2}"#] {
            assert_eq!(check_keys(text), Ok(()), "{text}");
        }
    }

    /// The parser keeps a number as an object with one key of a secret name. `{"…Number":"5"}` in a list was then taken
    /// for the number 5, and sent as an object.
    #[test]
    fn the_parsers_own_names_are_no_keys() {
        for name in ["Number", "RawValue"] {
            let text = format!(r#"[{{"Index":{{"$serde_json::private::{name}":"5"}}}}]"#);
            assert!(check_keys(&text).unwrap_err().contains("cannot be checked"), "{text}");
        }
        assert_eq!(check_keys(r#"[{"Text":"$serde_json::private::Number"}]"#), Ok(()));
    }

    #[test]
    fn nesting_without_an_end_is_left_to_the_parser() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(check_keys(&deep), Ok(()));
        let error = serde_json::from_str::<serde_json::Value>(&deep).unwrap_err();
        assert_eq!(fault(&error), "brackets are nested more than 127 deep");
    }
}
