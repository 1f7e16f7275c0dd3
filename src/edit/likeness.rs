//! Whether a message holds what an edit asks for: compared by JSON value, with room for doubt.
//!
//! The service may return a message slightly changed: with a member added, a number written in another way, white
//! space trimmed, or custom data left out. Taking such a message for a different one would cause a second edit; taking
//! it for the requested one would be a claim that nobody confirmed. So there is a third verdict between the two.

use icu_normalizer::ComposingNormalizerBorrowed;
use serde_json::{Number, Value};

use super::Edit;
use super::number::canonical;
use crate::terminal::escape::is_invisible;

/// Numbers whose relative difference is at most this may be one number that was rounded.
const ROUNDED: f64 = 1e-6;

/// How a message's content compares with the one that an edit asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Likeness {
    /// It is the requested content.
    Same,
    /// It may be the requested content as the service stores it, or something else.
    Alike,
    /// It is certainly something else.
    Other,
}

impl Edit {
    /// Compares the content that this edit asks for with what its message holds. Fields that the edit does not change
    /// are ignored.
    pub fn likeness(&self, msg_body: Option<&Value>, cloud_custom_data: Option<&str>) -> Likeness {
        let body = match (&self.msg_body, msg_body) {
            (None, _) => Likeness::Same,
            // It was parsed before, so it parses.
            (Some(wanted), Some(held)) => {
                serde_json::from_str(wanted.text()).map_or(Likeness::Alike, |wanted| compare(&wanted, held))
            }
            (Some(_), None) => Likeness::Alike,
        };
        let data = match (self.cloud_custom_data(), cloud_custom_data) {
            (None, _) => Likeness::Same,
            (Some(wanted), Some(held)) => compare_texts(wanted, held),
            // There may be none, or the history may not show it. That the requested body is there proves nothing
            // either: it may have been the same before.
            (Some(_), None) => Likeness::Alike,
        };
        body.max(data)
    }
}

fn compare(wanted: &Value, held: &Value) -> Likeness {
    let same_or_other = |same| if same { Likeness::Same } else { Likeness::Other };
    match (wanted, held) {
        (Value::Object(wanted), Value::Object(held)) => {
            let common = wanted.iter().filter_map(|(key, value)| Some(compare(value, held.get(key)?)));
            let common: Vec<Likeness> = common.collect();
            let complete = common.len() == wanted.len() && common.len() == held.len();
            let members = if complete { Likeness::Same } else { Likeness::Alike };
            common.into_iter().fold(members, Likeness::max)
        }
        (Value::Array(wanted), Value::Array(held)) => {
            // As with members: the service may have added or left out something.
            let length = if wanted.len() == held.len() { Likeness::Same } else { Likeness::Alike };
            wanted.iter().zip(held).map(|(wanted, held)| compare(wanted, held)).fold(length, Likeness::max)
        }
        (Value::Number(wanted), Value::Number(held)) => compare_numbers(wanted, held),
        (Value::String(wanted), Value::String(held)) => compare_texts(wanted, held),
        (Value::Bool(wanted), Value::Bool(held)) => same_or_other(wanted == held),
        (Value::Null, Value::Null) => Likeness::Same,
        // A value's type is what a service is most likely to change silently: 1, "1", true.
        _ => Likeness::Alike,
    }
}

/// Texts that differ only in what a service normalizes are alike, and so is one that was truncated.
fn compare_texts(wanted: &str, held: &str) -> Likeness {
    if wanted == held {
        return Likeness::Same;
    }
    let normalized = |text: &str| {
        let visible: String =
            text.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !is_invisible(*c)).collect();
        ComposingNormalizerBorrowed::new_nfkc().normalize(&visible).into_owned()
    };
    let is_truncated = !held.is_empty() && wanted.starts_with(held);
    if is_truncated || normalized(wanted) == normalized(held) { Likeness::Alike } else { Likeness::Other }
}

fn compare_numbers(wanted: &Number, held: &Number) -> Likeness {
    if canonical(&wanted.to_string()) == canonical(&held.to_string()) {
        return Likeness::Same;
    }
    let is_integer = |number: &Number| number.to_string().parse::<i128>().is_ok();
    if is_integer(wanted) && is_integer(held) {
        return Likeness::Other;
    }
    let (Some(first), Some(second)) = (wanted.as_f64(), held.as_f64()) else { return Likeness::Alike };
    if (first - second).abs() <= ROUNDED * first.abs().max(second.abs()) { Likeness::Alike } else { Likeness::Other }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::{MessageId, MsgBody};

    fn id() -> MessageId {
        MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "1_2_3".into() }
    }

    fn check(content: &str, held: &str, likeness: Likeness) {
        let body = |content: &str| format!(r#"[{{"MsgType":"X","MsgContent":{content}}}]"#);
        let edit = Edit::new(id(), Some(MsgBody::parse(&body(content)).unwrap()), None).unwrap();
        let value: Value = serde_json::from_str(&body(held)).unwrap();
        assert_eq!(edit.likeness(Some(&value), None), likeness, "{content} and {held}");
    }

    #[test]
    fn content_is_compared_by_value() {
        check(r#"{"A":1,"B":"\u4e2d"}"#, r#"{ "B":"中", "A":1 }"#, Likeness::Same);
        check(r#"{"A":[null,true,{}]}"#, r#"{"A":[null,true,{}]}"#, Likeness::Same);
        check(r#"{"A":"x"}"#, r#"{"A":"y"}"#, Likeness::Other);
        check(r#"{"A":true}"#, r#"{"A":false}"#, Likeness::Other);
        check(r#"{"A":[1]}"#, r#"{"A":[2,1]}"#, Likeness::Other);
    }

    #[test]
    fn what_the_service_may_have_changed_by_itself_is_no_proof_of_anything() {
        check(r#"{"A":"x"}"#, r#"{"A":"x","Filled":1}"#, Likeness::Alike);
        check(r#"{"A":"x","Unknown":1}"#, r#"{"A":"x"}"#, Likeness::Alike);
        check(r#"{"A":1}"#, r#"{"A":"1"}"#, Likeness::Alike);
        check(r#"{"A":"x"}"#, r#"{"A":"y","Filled":1}"#, Likeness::Other);
        check(r#"{"A":[1]}"#, r#"{"A":[1,2]}"#, Likeness::Alike);
        check(r#"{"A":[1,2]}"#, r#"{"A":[1]}"#, Likeness::Alike);
        check(r#"{"A":[1,2]}"#, r#"{"A":[3]}"#, Likeness::Other);
    }

    #[test]
    fn texts_that_were_normalized_are_no_proof_of_anything() {
        for (wanted, held, likeness) in [
            (" [removed] ", "[removed]", Likeness::Alike),
            ("a\r\nb", "a\nb", Likeness::Alike),
            ("e\u{301}", "\u{e9}", Likeness::Alike),
            ("\u{feff}x", "x", Likeness::Alike),
            ("［已删除］", "[已删除]", Likeness::Alike),
            ("a long text", "a long", Likeness::Alike),
            ("a long", "a long text", Likeness::Other),
            (" ", "", Likeness::Alike),
            ("x", "", Likeness::Other),
            ("", "x", Likeness::Other),
            ("X", "x", Likeness::Other),
        ] {
            assert_eq!(compare_texts(wanted, held), likeness, "{wanted:?} and {held:?}");
        }
    }

    #[test]
    fn numbers_are_compared_by_value() {
        for (wanted, held, likeness) in [
            ("1", "1.0", Likeness::Same),
            ("1.50", "1.5", Likeness::Same),
            ("150", "1.5e2", Likeness::Same),
            ("-0", "0", Likeness::Same),
            ("1", "2", Likeness::Other),
            ("4294967296", "4294967297", Likeness::Other),
            ("12345678901234567890123456789012345678901234567890", "1", Likeness::Other),
            ("39.123456", "39.12346", Likeness::Alike),
            ("39.12345678901234567", "39.12345678901234568", Likeness::Alike),
            ("39.1", "39.2", Likeness::Other),
            ("30.0", "3e1", Likeness::Same),
            ("39.12345678901234567", "3912345678901234567e-17", Likeness::Same),
            ("1e400", "1e400", Likeness::Same),
            ("1e400", "10e399", Likeness::Same),
            ("1e-400", "2e-400", Likeness::Alike),
            ("1e999999999", "1.0e999999999", Likeness::Same),
            ("1e400", "2e400", Likeness::Alike),
        ] {
            check(&format!(r#"{{"N":{wanted}}}"#), &format!(r#"{{"N":{held}}}"#), likeness);
        }
    }

    #[test]
    fn only_what_the_edit_changes_is_looked_at() {
        let data = Edit::new(id(), None, Some("x".into())).unwrap();
        assert_eq!(data.likeness(None, Some("x")), Likeness::Same);
        assert_eq!(data.likeness(None, Some("y")), Likeness::Other);
        let cleared = Edit::new(id(), None, Some("".into())).unwrap();
        assert_eq!(cleared.likeness(None, Some("")), Likeness::Same);
        assert_eq!(cleared.likeness(None, Some("x")), Likeness::Other);
        let body = Edit::new(id(), Some(MsgBody::of_text("x")), None).unwrap();
        assert_eq!(body.likeness(None, Some("y")), Likeness::Alike);
        let both = Edit::new(id(), Some(MsgBody::of_text("x")), Some("y".into())).unwrap();
        let held = serde_json::json!([{ "MsgContent": { "Text": "x" }, "MsgType": "TIMTextElem" }]);
        assert_eq!(both.likeness(Some(&held), Some("y")), Likeness::Same);
        assert_eq!(both.likeness(Some(&held), Some("z")), Likeness::Other);
    }

    /// An edit that had taken effect was once sent again, because the history does not show custom data.
    #[test]
    fn custom_data_that_is_left_out_is_no_proof_of_anything() {
        let body = || Some(MsgBody::of_text("x"));
        let held = |text: &str| serde_json::json!([{ "MsgType": "TIMTextElem", "MsgContent": { "Text": text } }]);
        let left_out = |body, data: &str, held: &Value| {
            Edit::new(id(), body, Some(data.into())).unwrap().likeness(Some(held), None)
        };
        assert_eq!(left_out(None, "y", &held("x")), Likeness::Alike);
        assert_eq!(left_out(None, "", &held("x")), Likeness::Alike);
        assert_eq!(left_out(body(), "y", &held("x")), Likeness::Alike);
        assert_eq!(left_out(body(), "y", &held("as it was")), Likeness::Other);
        assert_eq!(left_out(body(), "", &held("x")), Likeness::Alike);
        assert_eq!(left_out(body(), "", &held("as it was")), Likeness::Other);
    }
}
