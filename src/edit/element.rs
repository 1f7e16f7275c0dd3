//! The rules for message elements (`MsgBody`): the fields of each known type, and their JSON types.

use std::borrow::Cow;
use std::fmt::Arguments;

use super::json::Json;
use super::number::canonical;
use super::{Field, Finding};
use crate::terminal::escape::Quoted;

/// The JSON type of a field of an element.
#[derive(Clone, Copy)]
enum FieldType {
    Text,
    Number,
    /// A whole number.
    Integer,
    Texts,
    /// `ImageInfoArray`: one object for each size of the picture.
    Images,
    /// Anything: the documents specify no type.
    Any,
}

use FieldType::{Any, Images, Integer, Number, Text, Texts};

const IMAGE_INFO: &[(&str, FieldType)] =
    &[("Type", Integer), ("Size", Integer), ("Width", Integer), ("Height", Integer), ("URL", Text)];

/// The fields of a known element type; `None` for a type that the service's documents do not name.
fn fields_of(msg_type: &str) -> Option<&'static [(&'static str, FieldType)]> {
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

/// Checks the elements of one message. Returns the warnings, or everything that is wrong.
pub(super) fn check(body: &Json<'_>) -> Result<Vec<Finding>, Vec<Finding>> {
    let Json::Array(elements) = body else {
        return Err(vec![finding(format!("must be a JSON array of message elements, not {}", type_of(body)))]);
    };
    let mut findings = Findings::default();
    if elements.is_empty() {
        findings.errors.push(finding("is an empty array; a message has at least one element".to_owned()));
    }
    for (index, element) in elements.iter().enumerate() {
        findings.check_element(format_args!("element {}", index + 1), element);
    }
    if findings.custom > 1 {
        let what = format!("has {} TIMCustomElem; the service takes at most one a message", findings.custom);
        findings.errors.push(finding(what));
    }
    if findings.errors.is_empty() { Ok(findings.warnings) } else { Err(findings.errors) }
}

#[derive(Default)]
struct Findings {
    errors: Vec<Finding>,
    warnings: Vec<Finding>,
    /// The number of TIMCustomElem.
    custom: usize,
}

impl Findings {
    fn check_element(&mut self, place: Arguments<'_>, element: &Json<'_>) {
        let Json::Object(members) = element else {
            self.errors.push(finding(format!("{place} must be an object, not {}", type_of(element))));
            return;
        };
        for (name, _) in members.iter().filter(|(name, _)| *name != "MsgType" && *name != "MsgContent") {
            self.warn_of_field(place, name);
        }
        let msg_type = match Json::member(members, "MsgType") {
            Some(Json::Text(msg_type)) => msg_type,
            Some(other) => return self.refuse_type(place, "MsgType", "a string", other),
            None => return self.errors.push(finding(format!("{place} has no MsgType"))),
        };
        self.custom += usize::from(msg_type == "TIMCustomElem");
        match Json::member(members, "MsgContent") {
            Some(Json::Object(content)) => self.check_content(place, msg_type, content),
            Some(Json::Text(_)) => self.errors.push(finding(format!(
                "{place}: MsgContent is a string that holds JSON, as some exporters write it; it must be the object itself"
            ))),
            Some(other) => self.refuse_type(place, "MsgContent", "an object", other),
            None => self.errors.push(finding(format!("{place} has no MsgContent"))),
        }
    }

    fn check_content(&mut self, place: Arguments<'_>, msg_type: &str, content: &JsonMembers<'_>) {
        let Some(fields) = fields_of(msg_type) else {
            self.warnings
                .push(finding(format!("{place} is of the unknown type {}, and is sent as it is", Quoted(msg_type))));
            return;
        };
        if msg_type == "TIMTextElem" && Json::member(content, "Text").is_none() {
            self.errors.push(finding(format!("{place}: a TIMTextElem needs Text")));
        }
        self.check_fields(format_args!("{place} ({msg_type})"), fields, content);
    }

    fn check_fields(&mut self, place: Arguments<'_>, fields: &[(&str, FieldType)], content: &JsonMembers<'_>) {
        for (name, value) in content {
            let Some((_, kind)) = fields.iter().find(|(known, _)| known == name) else {
                self.warn_of_field(place, name);
                continue;
            };
            match (kind, value) {
                (Text, Json::Text(_)) | (Any, _) => {}
                (Number, Json::Number(number)) if is_double(number) => {}
                (Integer, Json::Number(number)) if number.parse::<i64>().is_ok() => {}
                (Texts, Json::Array(items)) if items.iter().all(|item| matches!(item, Json::Text(_))) => {}
                (Images, Json::Array(images)) => self.check_images(place, images),
                _ => self.refuse_type(place, name, expected_type(*kind), value),
            }
        }
    }

    fn check_images(&mut self, place: Arguments<'_>, images: &[Json<'_>]) {
        for (index, image) in images.iter().enumerate() {
            let index = index + 1;
            let place = format_args!("{place}: ImageInfoArray {index}");
            match image {
                Json::Object(members) => self.check_fields(place, IMAGE_INFO, members),
                other => self.errors.push(finding(format!("{place} must be an object, not {}", type_of(other)))),
            }
        }
    }

    fn refuse_type(&mut self, place: Arguments<'_>, name: &str, expected_type: &str, found: &Json<'_>) {
        self.errors.push(finding(format!("{place}: {name} must be {expected_type}, not {}", type_of(found))));
    }

    fn warn_of_field(&mut self, place: Arguments<'_>, name: &str) {
        self.warnings.push(finding(format!(
            "{place} has the field {}, which the service's documents do not name, and is sent as it is",
            Quoted(name)
        )));
    }
}

fn finding(what: String) -> Finding {
    Finding::new(Field::MsgBody, what)
}

/// Judged by its text: no fraction and no exponent, however many digits.
fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// Whether a double can hold it.
fn is_double(number: &str) -> bool {
    number.parse().is_ok_and(f64::is_finite)
}

fn expected_type(kind: FieldType) -> &'static str {
    match kind {
        Text => "a string",
        Number => "a number",
        Integer => "a whole number",
        Texts => "an array of strings",
        Images => "an array of objects",
        Any => "any value",
    }
}

fn type_of(value: &Json<'_>) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(number) if number.parse::<i64>().is_ok() => "a whole number",
        // A reader would parse it as another number.
        Json::Number(number) if is_whole(number) => "one of more than 63 bits",
        // 1.0 is whole, but a reader for whole numbers may refuse it.
        Json::Number(number) if is_whole(&canonical(number)) => "one written with a point or an exponent",
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
                r#"[{"MsgType":"TIMFaceElem","MsgContent":{"Index":1.0}}]"#,
                "Index must be a whole number, not one written with a point or an exponent",
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
