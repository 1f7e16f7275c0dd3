//! The rules for message elements (`MsgBody`): which fields each known type has, and of which JSON type.

use std::borrow::Cow;
use std::fmt::Arguments;

use super::json::Json;
use super::{Field, Finding};
use crate::terminal::escape::Quoted;

/// A JSON type that a field of an element must have.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Number,
    /// A whole number.
    Integer,
    Texts,
    /// `ImageInfoArray`: one object for each size of the picture.
    Images,
    /// Anything: the documents give no shape.
    Any,
}

use Kind::{Any, Images, Integer, Number, Text, Texts};

const IMAGE_INFO: &[(&str, Kind)] =
    &[("Type", Integer), ("Size", Integer), ("Width", Integer), ("Height", Integer), ("URL", Text)];

/// The fields of a known element type; `None` for a type that is not in the service's documents.
fn fields_of(msg_type: &str) -> Option<&'static [(&'static str, Kind)]> {
    Some(match msg_type {
        "TIMTextElem" => &[("Text", Text)],
        "TIMFaceElem" => &[("Index", Integer), ("Data", Text)],
        "TIMLocationElem" => &[("Desc", Text), ("Latitude", Number), ("Longitude", Number)],
        "TIMCustomElem" => &[("Data", Text), ("Desc", Text), ("Ext", Text), ("Sound", Text)],
        "TIMSoundElem" => {
            &[("Url", Text), ("UUID", Text), ("Size", Integer), ("Second", Integer), ("Download_Flag", Integer)]
        }
        "TIMImageElem" => &[("UUID", Text), ("ImageFormat", Integer), ("ImageInfoArray", Images)],
        "TIMFileElem" => {
            &[("Url", Text), ("UUID", Text), ("FileName", Text), ("FileSize", Integer), ("Download_Flag", Integer)]
        }
        "TIMVideoFileElem" => &[
            ("VideoUrl", Text),
            ("VideoUUID", Text),
            ("VideoFormat", Text),
            ("ThumbUrl", Text),
            ("ThumbUUID", Text),
            ("ThumbFormat", Text),
            ("VideoSize", Integer),
            ("VideoSecond", Integer),
            ("ThumbSize", Integer),
            ("ThumbWidth", Integer),
            ("ThumbHeight", Integer),
            ("VideoDownloadFlag", Integer),
            ("ThumbDownloadFlag", Integer),
        ],
        "TIMRelayElem" => &[
            ("Title", Text),
            ("CompatibleText", Text),
            ("MsgNum", Integer),
            ("AbstractList", Texts),
            ("MsgList", Any),
            ("JsonMsgKey", Any),
        ],
        _ => return None,
    })
}

/// The members of an object.
type JsonMembers<'a> = [(Cow<'a, str>, Json<'a>)];

/// Checks the elements of one message: what is odd on success, everything that is wrong on failure.
pub(super) fn check(body: &Json<'_>) -> Result<Vec<Finding>, Vec<Finding>> {
    let Json::Array(elements) = body else {
        return Err(vec![wrong(format!("must be a JSON array of message elements, not {}", kind_of(body)))]);
    };
    let mut findings = Findings::default();
    if elements.is_empty() {
        findings.errors.push(wrong("is an empty array; a message has at least one element".to_owned()));
    }
    for (index, element) in elements.iter().enumerate() {
        findings.element(format_args!("element {}", index + 1), element);
    }
    if findings.custom > 1 {
        let what = format!("has {} TIMCustomElem; the service takes at most one a message", findings.custom);
        findings.errors.push(wrong(what));
    }
    if findings.errors.is_empty() { Ok(findings.warnings) } else { Err(findings.errors) }
}

#[derive(Default)]
struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Elements that are TIMCustomElem.
    custom: usize,
}

impl Findings {
    fn element(&mut self, place: Arguments<'_>, element: &Json<'_>) {
        let Json::Object(members) = element else {
            self.errors.push(wrong(format!("{place} must be an object, not {}", kind_of(element))));
            return;
        };
        for (name, _) in members.iter().filter(|(name, _)| *name != "MsgType" && *name != "MsgContent") {
            self.extra(place, name);
        }
        let msg_type = match Json::member(members, "MsgType") {
            Some(Json::Text(msg_type)) => msg_type,
            Some(other) => return self.mistyped(place, "MsgType", "a string", other),
            None => return self.errors.push(wrong(format!("{place} has no MsgType"))),
        };
        self.custom += usize::from(msg_type == "TIMCustomElem");
        match Json::member(members, "MsgContent") {
            Some(Json::Object(content)) => self.content(place, msg_type, content),
            Some(Json::Text(_)) => self.errors.push(wrong(format!(
                "{place}: MsgContent is a string that holds JSON, as some exporters write it; it must be the object itself"
            ))),
            Some(other) => self.mistyped(place, "MsgContent", "an object", other),
            None => self.errors.push(wrong(format!("{place} has no MsgContent"))),
        }
    }

    fn content(&mut self, place: Arguments<'_>, msg_type: &str, content: &JsonMembers<'_>) {
        let Some(fields) = fields_of(msg_type) else {
            self.warnings
                .push(wrong(format!("{place} is of the unknown type {}, and is sent as it is", Quoted(msg_type))));
            return;
        };
        if msg_type == "TIMTextElem" && Json::member(content, "Text").is_none() {
            self.errors.push(wrong(format!("{place}: a TIMTextElem needs Text")));
        }
        self.fields(format_args!("{place} ({msg_type})"), fields, content);
    }

    fn fields(&mut self, place: Arguments<'_>, fields: &[(&str, Kind)], content: &JsonMembers<'_>) {
        for (name, value) in content {
            let Some((_, kind)) = fields.iter().find(|(known, _)| known == name) else {
                self.extra(place, name);
                continue;
            };
            match (kind, value) {
                (Text, Json::Text(_)) | (Any, _) => {}
                (Number, Json::Number(number)) if is_double(number) => {}
                (Integer, Json::Number(number)) if number.parse::<i64>().is_ok() => {}
                (Texts, Json::Array(items)) if items.iter().all(|item| matches!(item, Json::Text(_))) => {}
                (Images, Json::Array(images)) => self.images(place, images),
                _ => self.mistyped(place, name, wanted(*kind), value),
            }
        }
    }

    fn images(&mut self, place: Arguments<'_>, images: &[Json<'_>]) {
        for (index, image) in images.iter().enumerate() {
            let index = index + 1;
            let place = format_args!("{place}: ImageInfoArray {index}");
            match image {
                Json::Object(members) => self.fields(place, IMAGE_INFO, members),
                other => self.errors.push(wrong(format!("{place} must be an object, not {}", kind_of(other)))),
            }
        }
    }

    fn mistyped(&mut self, place: Arguments<'_>, name: &str, wanted: &str, found: &Json<'_>) {
        self.errors.push(wrong(format!("{place}: {name} must be {wanted}, not {}", kind_of(found))));
    }

    fn extra(&mut self, place: Arguments<'_>, name: &str) {
        self.warnings.push(wrong(format!(
            "{place} has the field {}, which the service's documents do not name, and is sent as it is",
            Quoted(name)
        )));
    }
}

fn wrong(what: String) -> Finding {
    Finding::new(Field::MsgBody, what)
}

/// As written: no sign of a fraction or an exponent, however many digits.
fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// Within the range of numbers.
fn is_double(number: &str) -> bool {
    number.parse().is_ok_and(f64::is_finite)
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Text => "a string",
        Number => "a number",
        Integer => "a whole number",
        Texts => "an array of strings",
        Images => "an array of objects",
        Any => "any value",
    }
}

fn kind_of(value: &Json<'_>) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.parse::<i64>().is_ok() => "a whole number",
        // Whoever reads it would make another number of it.
        Json::Number(number) if is_whole(number) => "one of more than 63 bits",
        Json::Number(number) if is_double(number) => "a fraction",
        Json::Number(_) => "one past the range of numbers",
        Json::Text(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(body: &str) -> Result<Vec<String>, Vec<String>> {
        let texts = |findings: Vec<Finding>| findings.into_iter().map(|finding| finding.what).collect();
        check(&Json::parse(body, |_| unreachable!()).unwrap()).map(texts).map_err(texts)
    }

    #[test]
    fn every_documented_type_passes_with_its_documented_fields() {
        let body = r#"[
            {"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}},
            {"MsgType":"TIMFaceElem","MsgContent":{"Index":1,"Data":"x"}},
            {"MsgType":"TIMLocationElem","MsgContent":{"Desc":"x","Latitude":29.3,"Longitude":105}},
            {"MsgType":"TIMCustomElem","MsgContent":{"Data":"x","Desc":"x","Ext":"x","Sound":"x"}},
            {"MsgType":"TIMSoundElem","MsgContent":{"Url":"x","UUID":"x","Size":1,"Second":1,"Download_Flag":2}},
            {"MsgType":"TIMImageElem","MsgContent":{"UUID":"x","ImageFormat":1,
                "ImageInfoArray":[{"Type":1,"Size":1,"Width":1,"Height":1,"URL":"x"}]}},
            {"MsgType":"TIMFileElem","MsgContent":{"Url":"x","UUID":"x","FileName":"x","FileSize":1,"Download_Flag":2}},
            {"MsgType":"TIMVideoFileElem","MsgContent":{"VideoUrl":"x","VideoSize":1,"ThumbDownloadFlag":2}},
            {"MsgType":"TIMRelayElem","MsgContent":{"Title":"x","MsgNum":1,"AbstractList":["x"],"CompatibleText":"x","MsgList":[]}}
        ]"#;
        assert_eq!(check_text(body), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_is_named_by_element_and_field() {
        for (body, part) in [
            (r"{}", "must be a JSON array of message elements, not an object"),
            (r"[]", "empty array"),
            (r"[1]", "element 1 must be an object, not a whole number"),
            (r#"[{"MsgContent":{}}]"#, "element 1 has no MsgType"),
            (r#"[{"MsgType":1,"MsgContent":{}}]"#, "MsgType must be a string, not a whole number"),
            (r#"[{"MsgType":"TIMTextElem"}]"#, "element 1 has no MsgContent"),
            (r#"[{"MsgType":"TIMTextElem","MsgContent":"{\"Text\":\"x\"}"}]"#, "a string that holds JSON"),
            (r#"[{"MsgType":"TIMTextElem","MsgContent":{}}]"#, "needs Text"),
            (r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":1}}]"#, "Text must be a string, not a whole number"),
            (
                r#"[{"MsgType":"TIMFaceElem","MsgContent":{"Index":1.5}}]"#,
                "Index must be a whole number, not a fraction",
            ),
            (
                r#"[{"MsgType":"TIMRelayElem","MsgContent":{"AbstractList":[1]}}]"#,
                "AbstractList must be an array of strings",
            ),
            (
                r#"[{"MsgType":"TIMImageElem","MsgContent":{"ImageInfoArray":[{"Size":"1"}]}}]"#,
                "ImageInfoArray 1: Size must be",
            ),
            (
                r#"[{"MsgType":"TIMCustomElem","MsgContent":{}},{"MsgType":"TIMCustomElem","MsgContent":{}}]"#,
                "2 TIMCustomElem",
            ),
        ] {
            let errors = check_text(body).unwrap_err();
            assert!(errors.iter().any(|error| error.contains(part)), "{body}: {errors:?}");
        }
    }

    #[test]
    fn what_the_documents_do_not_name_is_a_warning() {
        let unknown = check_text(r#"[{"MsgType":"TIMNewElem","MsgContent":{"A":1}}]"#).unwrap();
        assert!(unknown[0].contains("unknown type \"TIMNewElem\""), "{unknown:?}");
        let extra = check_text(r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x","B":1},"C":1}]"#).unwrap();
        assert_eq!(extra.len(), 2, "{extra:?}");
    }
}
