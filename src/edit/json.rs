//! JSON that every reader parses alike, and messages for JSON that does not parse.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::terminal::escape::Quoted;

/// The prefix of the names under which the parser keeps numbers and raw text. It would misread an object of the list
/// that has such a key.
const RESERVED_PREFIX: &str = "$serde_json::private::";

/// The members of an object, in order, each value as written.
pub(crate) struct JsonMembers<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for JsonMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = JsonMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonMembers<'de>, A::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some((name, value)) = map.next_entry::<JsonStr<'de>, &'de RawValue>()? {
                    members.push((name.0, value));
                }
                Ok(JsonMembers(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A string, borrowed if it is written without escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct JsonStr<'a>(#[serde(borrow)] pub(crate) Cow<'a, str>);

/// A JSON value in which nothing is ambiguous: no key stands twice in one object, and numbers keep all
/// their digits.
#[derive(Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(String),
    Text(Cow<'a, str>),
    Array(Vec<Json<'a>>),
    /// In the order of the keys.
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Parses `text`. `not_json` makes the message for text that does not parse.
    ///
    /// # Errors
    /// It does not parse, or an object in it has a duplicate key: some readers keep the first value and some the last,
    /// so the service could read another value than the one that is checked here.
    pub(crate) fn parse(
        text: &'a str,
        not_json: impl FnOnce(&serde_json::Error) -> String,
    ) -> Result<Json<'a>, String> {
        serde_json::from_str(text).map_err(|error| {
            if !error.is_data() {
                return not_json(&error);
            }
            // The message is our own; the parser has appended the position.
            let message = error.to_string();
            message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what).to_owned()
        })
    }

    /// The value of `key` among the members of an object.
    pub(crate) fn member<'b>(members: &'b [(Cow<'a, str>, Json<'a>)], key: &str) -> Option<&'b Json<'a>> {
        members.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Json<'a>, D::Error> {
        deserializer.deserialize_any(AnyJson)
    }
}

/// Reads a value of any kind.
struct AnyJson;

impl<'de> Visitor<'de> for AnyJson {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.to_string()))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(JsonStr(name)) = map.next_key()? {
            if name.starts_with(RESERVED_PREFIX) {
                return number(&name, map);
            }
            members.push((name, map.next_value()?));
        }
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            None => Ok(Json::Object(members)),
            Some(pair) => Err(A::Error::custom(format_args!(
                "has the key {} twice in one object, and readers differ about which of the two counts; keep one",
                Quoted(&pair[0].0)
            ))),
        }
    }
}

/// A number that fits no machine word is handed on by the parser as an object of one member. An object of the list that looks
/// like one is refused.
fn number<'de, A: MapAccess<'de>>(name: &str, mut map: A) -> Result<Json<'de>, A::Error> {
    map.next_value().map(|Digits(digits)| Json::Number(digits)).map_err(|_| {
        let name = Quoted(name);
        A::Error::custom(format_args!("has the key {name}, which cannot be checked; give it another name"))
    })
}

/// The digits of a number. The parser passes them as an owned string; strings of the list are borrowed.
struct Digits(String);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DigitsVisitor;

        impl Visitor<'_> for DigitsVisitor {
            type Value = Digits;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the digits of a number")
            }

            fn visit_string<E: Error>(self, digits: String) -> Result<Digits, E> {
                Ok(Digits(digits))
            }

            fn visit_str<E: Error>(self, _: &str) -> Result<Digits, E> {
                Err(E::custom("a string of the list"))
            }
        }

        deserializer.deserialize_any(DigitsVisitor)
    }
}

/// Why a text is not JSON: a fragment without the position. It quotes nothing of the text.
pub(crate) fn parse_error(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    if message.contains("hex escape") || message.contains("surrogate") || message.contains("code point") {
        "a \\u escape is one half of a pair (\\ud800 to \\udfff) without the other, which stands for no character"
            .to_owned()
    } else if message.contains("recursion limit") {
        "brackets are nested more than 127 deep".to_owned()
    } else if let Some(what) = message.strip_prefix("EOF while parsing ") {
        format!("it ends within {what}")
    } else if message == "trailing characters" {
        "something follows after its end".to_owned()
    } else {
        message.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Json::parse(text, parse_error).unwrap_err()
    }

    #[test]
    fn a_key_that_stands_twice_is_found_at_any_depth_and_however_it_is_written() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#" [ 1, {"b":{"c":[{"a":1,"b":2,"a":3}]}} ] "#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"x":{},"a":{},"y":0,"a":0}"#,
        ] {
            assert!(message(text).starts_with("has the key \"a\" twice"), "{text}");
        }
        for text in [r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#, "\"a\"", r#"{"a":1,"A":2}"#] {
            assert!(Json::parse(text, parse_error).is_ok(), "{text}");
        }
    }

    /// The parser represents a number as an object with one key of a reserved name. `{"…Number":"5"}` in a list was
    /// once read as the number 5, and sent as an object.
    #[test]
    fn the_parsers_own_names_are_no_keys() {
        for name in ["Number", "RawValue"] {
            for value in ["5", "\"5\"", r#""\u0035""#, "null", "{}", r#"{"$serde_json::private::Number":"5"}"#] {
                let text = format!(r#"[{{"Index":{{"$serde_json::private::{name}":{value}}}}}]"#);
                assert!(message(&text).contains("cannot be checked"), "{text}");
            }
        }
        assert!(Json::parse(r#"[{"Text":"$serde_json::private::Number"}]"#, parse_error).is_ok());
        assert_eq!(Json::parse("1.50E2", parse_error), Ok(Json::Number("1.50e+2".to_owned())));
    }

    #[test]
    fn a_parse_error_is_reported_without_its_position() {
        for (text, what) in [
            ("[1,2", "it ends within a list"),
            ("[1] 2", "something follows after its end"),
            (&"[".repeat(100_000), "brackets are nested more than 127 deep"),
        ] {
            assert_eq!(message(text), what);
        }
    }
}
