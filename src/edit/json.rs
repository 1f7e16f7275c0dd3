//! JSON that every reader parses alike, and messages for JSON that does not parse.

use std::borrow::Cow;
use std::fmt;

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
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

/// An unambiguous JSON value: no object has a duplicate key, and numbers keep all their digits. Its parts live in an
/// arena, because a value has many small lists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(&'a str),
    Array(&'a [Json<'a>]),
    /// Sorted by key.
    Object(&'a [(&'a str, Json<'a>)]),
}

impl<'a> Json<'a> {
    /// Parses `text`. `not_json` makes the message for text that does not parse.
    ///
    /// # Errors
    /// It does not parse, or an object in it has a duplicate key: some readers keep the first value and some the last,
    /// so the service could read another value than the one that is checked here.
    pub(crate) fn parse(
        text: &'a str,
        arena: &'a Bump,
        not_json: impl FnOnce(&serde_json::Error) -> String,
    ) -> Result<Json<'a>, String> {
        let mut parser = serde_json::Deserializer::from_str(text);
        let value = ArenaSeed(arena).deserialize(&mut parser).and_then(|value| parser.end().map(|()| value));
        value.map_err(|error| {
            if !error.is_data() {
                return not_json(&error);
            }
            // The message is our own; the parser has appended the position.
            let message = error.to_string();
            message.rsplit_once(" at line ").map_or(message.as_str(), |(what, _)| what).to_owned()
        })
    }

    /// The value of `key` among the members of an object.
    pub(crate) fn member(members: &[(&str, Json<'a>)], key: &str) -> Option<Json<'a>> {
        members.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }
}

/// Deserializes a value and allocates its parts in this arena.
#[derive(Clone, Copy)]
struct ArenaSeed<'a>(&'a Bump);

impl<'de: 'a, 'a> DeserializeSeed<'de> for ArenaSeed<'a> {
    type Value = Json<'a>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'a>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for ArenaSeed<'a> {
    type Value = Json<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'a>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'a>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'a>, E> {
        Ok(Json::Number(self.0.alloc_str(&value.to_string())))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'a>, E> {
        Ok(Json::Number(self.0.alloc_str(&value.to_string())))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Json<'a>, E> {
        Ok(Json::Text(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json<'a>, E> {
        Ok(Json::Text(self.0.alloc_str(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'a>, A::Error> {
        let mut array = BumpVec::new_in(self.0);
        while let Some(item) = items.next_element_seed(self)? {
            array.push(item);
        }
        Ok(Json::Array(array.into_bump_slice()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'a>, A::Error> {
        let mut members = BumpVec::new_in(self.0);
        while let Some(JsonStr(name)) = map.next_key()? {
            if name.starts_with(RESERVED_PREFIX) {
                return self.number(&name, map);
            }
            let name = match name {
                Cow::Borrowed(name) => name,
                Cow::Owned(name) => self.0.alloc_str(&name),
            };
            members.push((name, map.next_value_seed(self)?));
        }
        members.sort_unstable_by_key(|(name, _)| *name);
        match members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            None => Ok(Json::Object(members.into_bump_slice())),
            Some(pair) => Err(A::Error::custom(format_args!(
                "has the key {} twice in one object, and readers differ about which of the two counts; keep one",
                Quoted(pair[0].0)
            ))),
        }
    }
}

impl<'a> ArenaSeed<'a> {
    /// The parser passes a number that fits no machine word as an object of one member. An object of the list that
    /// looks like one is refused.
    fn number<'de, A: MapAccess<'de>>(self, name: &str, mut map: A) -> Result<Json<'a>, A::Error> {
        let digits = map.next_value().map(|Digits(digits)| Json::Number(self.0.alloc_str(&digits)));
        digits.map_err(|_| {
            let name = Quoted(name);
            A::Error::custom(format_args!("has the key {name}, which cannot be checked; give it another name"))
        })
    }
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
        Json::parse(text, &Bump::new(), parse_error).unwrap_err()
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
            assert!(Json::parse(text, &Bump::new(), parse_error).is_ok(), "{text}");
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
        assert!(Json::parse(r#"[{"Text":"$serde_json::private::Number"}]"#, &Bump::new(), parse_error).is_ok());
        assert_eq!(Json::parse("1.50E2", &Bump::new(), parse_error), Ok(Json::Number("1.50e+2")));
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
