//! One requested edit: which message, and its new content.
//!
//! It knows the service's terms for a message, and nothing of files, ledgers or networks. Whatever it accepts is fit
//! to send; what it refuses, it names by field, with a sentence that says what to do.

mod digest;
mod element;
pub(crate) mod json;
mod likeness;
mod line;
mod number;
mod original;

use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use serde_json::Value;

use self::digest::{CanonicalHasher, Numbers};
use self::json::Json;
pub use self::likeness::Likeness;
pub use self::line::{Line, OneOfLists};
pub use self::original::Original;
use crate::terminal::escape::{is_invisible, is_printable_ascii};

/// Bytes of new content above which a message is warned about: older pages of the service give 8 KB as the limit.
pub const CONTENT_BYTES_WARN: usize = 8_000;
/// Bytes of new content above which a message is refused: the largest limit any page of the service gives (12 KB).
pub const CONTENT_BYTES_MAX: usize = 12_288;
/// Bytes of an account or a key above which it is refused: several times the length that the service issues, so this
/// is text from the wrong column.
pub const ID_BYTES_MAX: usize = 256;

/// The message to edit. The service identifies a message by all three parts together: a batch send gives one `MsgKey`
/// to many recipients.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// UserID of the sender (`From_Account`).
    pub from_account: String,
    /// UserID of the recipient (`To_Account`).
    pub to_account: String,
    /// The service's key of the message within that conversation (`MsgKey`).
    pub msg_key: String,
}

/// 128 bits of BLAKE3 over a [`MessageId`]: the key by which the ledger and the plan look up messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IdDigest(pub [u8; 16]);

/// 128 bits of BLAKE3 over an edit's new content, by JSON value: white space, the order of keys, character escapes and
/// the way a number is written do not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentDigest(pub [u8; 16]);

/// The digests by which the ledger and the plan know an edit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The message.
    pub message: IdDigest,
    /// The new content.
    pub content: ContentDigest,
    /// The digest that version 0.1 recorded for it, if that differs: there `30` and `30.0` were two contents.
    pub content_as_written: Option<ContentDigest>,
}

impl Wanted {
    /// Whether the content that a ledger has recorded is this one.
    pub fn is_content(&self, recorded: ContentDigest) -> bool {
        self.content == recorded || self.content_as_written == Some(recorded)
    }
}

/// The same number for a message and for one with the same key whose accounts are swapped. Others hardly ever share it.
/// It is valid only within one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EitherWay(pub(crate) u64);

impl EitherWay {
    /// The number for a message's three parts, in the order of [`MessageId`].
    pub(crate) fn of([from_account, to_account, msg_key]: [&str; 3]) -> EitherWay {
        EitherWay::within(conversation(from_account, to_account), msg_key)
    }

    /// The number for a message of a [`MessageId::conversation`].
    pub(crate) fn within(conversation: u64, msg_key: &str) -> EitherWay {
        EitherWay(BuildHasherDefault::<DefaultHasher>::default().hash_one((conversation, msg_key)))
    }
}

fn conversation(a: &str, b: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((a.min(b), a.max(b)))
}

impl IdDigest {
    /// The digest of a message's three parts, in the order of [`MessageId`].
    pub(crate) fn of(parts: [&str; 3]) -> IdDigest {
        let mut hasher = CanonicalHasher::new();
        for part in parts {
            hasher.text(part);
        }
        IdDigest(hasher.digest_16())
    }
}

impl ContentDigest {
    fn of(body: Option<&[u8; 32]>, custom_data: Option<&str>) -> ContentDigest {
        let mut hasher = CanonicalHasher::new();
        match body {
            Some(body) => {
                hasher.bytes(b"B");
                hasher.bytes(body);
            }
            None => hasher.bytes(b"-"),
        }
        match custom_data {
            Some(data) => {
                hasher.bytes(b"C");
                hasher.text(data);
            }
            None => hasher.bytes(b"-"),
        }
        ContentDigest(hasher.digest_16())
    }

    /// Compares the content with this digest and what a message holds. An edit may have changed the elements, the custom data,
    /// or both. Missing custom data proves nothing: the history may not show it.
    pub fn likeness(self, msg_body: Option<&Value>, cloud_custom_data: Option<&str>) -> Likeness {
        let text = msg_body.map(Value::to_string);
        // What the service has sent is JSON, so it parses.
        let json = text.as_deref().and_then(|text| Json::parse(text, ToString::to_string).ok());
        let bodies =
            json.iter().flat_map(|body| [Numbers::ByValue, Numbers::AsWritten].map(|how| digest_of(body, how)));
        let bodies: Vec<[u8; 32]> = bodies.collect();
        let is_body = bodies.iter().any(|body| self == ContentDigest::of(Some(body), None));
        let has = |data| {
            let mut contents = bodies.iter().map(Some).chain([None]);
            contents.any(|body| self == ContentDigest::of(body, Some(data)))
        };
        match cloud_custom_data {
            _ if is_body => Likeness::Same,
            Some(data) if has(data) => Likeness::Same,
            None if has("") => Likeness::Alike,
            Some(_) | None => Likeness::Other,
        }
    }
}

impl MessageId {
    /// The digest that stands for this message in the ledger.
    pub fn digest(&self) -> IdDigest {
        IdDigest::of([&self.from_account, &self.to_account, &self.msg_key])
    }

    /// The number that this message shares with one whose accounts are swapped.
    pub fn either_way(&self) -> EitherWay {
        EitherWay::of([&self.from_account, &self.to_account, &self.msg_key])
    }

    /// The digest of the message with the same key whose accounts are swapped.
    pub fn swapped(&self) -> IdDigest {
        IdDigest::of([&self.to_account, &self.from_account, &self.msg_key])
    }

    /// The Unix second of the message, if its key has the form that contains it:
    /// `{MsgSeq}_{MsgRandom}_{MsgTimeStamp}`.
    pub fn second(&self) -> Option<u32> {
        let mut parts = self.msg_key.split('_');
        let [seq, random] = [parts.next()?, parts.next()?].map(|part| part.parse::<u64>().ok());
        let second = parts.next()?.parse().ok();
        if parts.next().is_some() { None } else { seq.and(random).and(second) }
    }

    /// A number that is the same for both directions between two accounts. It is valid only within one process: for
    /// counting, not for storing.
    pub fn conversation(&self) -> u64 {
        conversation(&self.from_account, &self.to_account)
    }
}

/// A field of an edit, by the name the service gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// `From_Account`
    FromAccount,
    /// `To_Account`
    ToAccount,
    /// `MsgKey`
    MsgKey,
    /// `MsgBody`
    MsgBody,
    /// `CloudCustomData`
    CloudCustomData,
}

impl Field {
    /// Every field, in the order of the service's documentation.
    pub const ALL: [Field; 5] =
        [Field::FromAccount, Field::ToAccount, Field::MsgKey, Field::MsgBody, Field::CloudCustomData];

    /// The service's own name.
    pub fn service_name(self) -> &'static str {
        match self {
            Field::FromAccount => "From_Account",
            Field::ToAccount => "To_Account",
            Field::MsgKey => "MsgKey",
            Field::MsgBody => "MsgBody",
            Field::CloudCustomData => "CloudCustomData",
        }
    }

    /// The short name of the column in a CSV list.
    pub fn column_name(self) -> &'static str {
        match self {
            Field::FromAccount => "from_account",
            Field::ToAccount => "to_account",
            Field::MsgKey => "msg_key",
            Field::MsgBody => "msg_body",
            Field::CloudCustomData => "cloud_custom_data",
        }
    }
}

/// What is wrong, or unusual, with one field: a sentence that says what it is and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The field it is about.
    pub field: Field,
    /// One sentence for the person who wrote the list. It holds no message text.
    pub what: String,
}

impl Finding {
    fn new(field: Field, what: impl Into<String>) -> Self {
        Finding { field, what: what.into() }
    }
}

/// A message's new elements: JSON text as the caller wrote it, known to be an array that the service's rules allow and
/// that every reader parses alike. Cheap to clone if it has no warnings.
#[derive(Clone)]
pub struct MsgBody {
    text: Arc<str>,
    digest: [u8; 32],
    /// The digest with each number as written, if that differs.
    digest_as_written: Option<[u8; 32]>,
    warnings: Vec<Finding>,
}

impl MsgBody {
    /// Checks `text` against the rules for message elements. The text itself is kept unchanged.
    ///
    /// # Errors
    /// Everything that is wrong with it: it exceeds the service's limit, does not parse, has a duplicate key in an
    /// object, is not an array of elements, or has a field of the wrong JSON type in a known element.
    pub fn parse(text: &str) -> Result<MsgBody, Vec<Finding>> {
        let wrong = |what: String| vec![Finding::new(Field::MsgBody, what)];
        // Before parsing: a megabyte of brackets would make a hundred megabytes of findings.
        let trimmed = text.trim();
        if trimmed.len() > CONTENT_BYTES_MAX {
            return Err(wrong(too_long(trimmed.len())));
        }
        let not_json = |error: &serde_json::Error| {
            format!(
                "is not JSON: {} (at line {} column {} of its text); it must be the JSON array of message elements",
                json::parse_error(error),
                error.line(),
                error.column()
            )
        };
        let value = Json::parse(text, not_json).map_err(wrong)?;
        let warnings = element::check(&value)?;
        let mut hasher = CanonicalHasher::new();
        hasher.json(&value);
        let digest_as_written = hasher.has_rewritten().then(|| digest_of(&value, Numbers::AsWritten));
        Ok(MsgBody { text: trimmed.into(), digest: hasher.digest(), digest_as_written, warnings })
    }

    /// A body of one text element.
    pub fn of_text(text: &str) -> MsgBody {
        let content = Json::Object(vec![("Text".into(), Json::Text(text.into()))]);
        let element =
            Json::Object(vec![("MsgContent".into(), content), ("MsgType".into(), Json::Text("TIMTextElem".into()))]);
        let quoted = Value::from(text);
        MsgBody {
            text: format!(r#"[{{"MsgContent":{{"Text":{quoted}}},"MsgType":"TIMTextElem"}}]"#).into(),
            digest: digest_of(&Json::Array(vec![element]), Numbers::ByValue),
            digest_as_written: None,
            warnings: Vec::new(),
        }
    }

    /// The JSON text, as the caller wrote it.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Without the text: what a message holds must not come into a log by way of `{:?}`.
impl fmt::Debug for MsgBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsgBody").field("bytes", &self.text.len()).finish_non_exhaustive()
    }
}

/// One requested edit, checked and fit to send.
#[derive(Clone)]
pub struct Edit {
    id: MessageId,
    msg_body: Option<MsgBody>,
    cloud_custom_data: Option<Arc<str>>,
}

/// Shows the message and the content's size, but not the content.
impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("id", &self.id)
            .field("content_bytes", &self.content_bytes())
            .finish_non_exhaustive()
    }
}

impl Edit {
    /// Builds an edit, or reports everything that is wrong with it. Parts that many edits share (a fixed sentence) are
    /// passed in shared, so that they are checked and stored once.
    ///
    /// # Errors
    /// One finding for each problem; the edit must not be sent.
    pub fn new(
        id: MessageId,
        msg_body: Option<MsgBody>,
        cloud_custom_data: Option<Arc<str>>,
    ) -> Result<Edit, Vec<Finding>> {
        let mut findings = Vec::new();
        for (field, value) in
            [(Field::FromAccount, &id.from_account), (Field::ToAccount, &id.to_account), (Field::MsgKey, &id.msg_key)]
        {
            if value.is_empty() {
                findings.push(Finding::new(field, "is empty; every edit must name its message"));
            } else if !is_printable_ascii(value) && value.chars().any(char::is_control) {
                findings.push(Finding::new(
                    field,
                    "holds a control character; the list was probably damaged when it was exported",
                ));
            } else if value.len() > ID_BYTES_MAX {
                findings.push(Finding::new(
                    field,
                    format!(
                        "is {} bytes long, far longer than any that the service knows; is it in the right column?",
                        value.len()
                    ),
                ));
            }
        }
        let edit = Edit { id, msg_body, cloud_custom_data };
        if edit.msg_body.is_none() && edit.cloud_custom_data.is_none() {
            findings.push(Finding::new(
                Field::MsgBody,
                "is absent, and so is CloudCustomData: there is nothing to change; give one of them in the list, or new \
                 content for every row in a job file",
            ));
        }
        let bytes = edit.content_bytes();
        if bytes > CONTENT_BYTES_MAX {
            findings.push(Finding::new(edit.larger_part(), too_long(bytes)));
        }
        if findings.is_empty() { Ok(edit) } else { Err(findings) }
    }

    /// The message to edit.
    pub fn id(&self) -> &MessageId {
        &self.id
    }

    /// The new elements, if the edit changes them.
    pub fn msg_body(&self) -> Option<&MsgBody> {
        self.msg_body.as_ref()
    }

    /// The new custom data, if the edit changes it. An empty text clears the field.
    pub fn cloud_custom_data(&self) -> Option<&str> {
        self.cloud_custom_data.as_deref()
    }

    /// The digest of the new content: two edits of one message are the same edit if their digests are equal.
    pub fn content_digest(&self) -> ContentDigest {
        self.digest_with(self.msg_body.as_ref().map(|body| &body.digest))
    }

    fn digest_with(&self, body: Option<&[u8; 32]>) -> ContentDigest {
        ContentDigest::of(body, self.cloud_custom_data())
    }

    /// The digests of the message and of the content.
    pub fn wanted(&self) -> Wanted {
        let as_written = self.msg_body.as_ref().and_then(|body| body.digest_as_written.as_ref());
        Wanted {
            message: self.id.digest(),
            content: self.content_digest(),
            content_as_written: as_written.map(|body| self.digest_with(Some(body))),
        }
    }

    /// The size of the new content in bytes: the elements' JSON text and the custom data.
    pub fn content_bytes(&self) -> usize {
        self.msg_body.as_ref().map_or(0, |body| body.text.len())
            + self.cloud_custom_data.as_ref().map_or(0, |data| data.len())
    }

    /// Everything that is unusual about it, but will be sent as it is.
    pub fn warnings(&self) -> Vec<Finding> {
        let mut warnings = self.msg_body.as_ref().map_or_else(Vec::new, |body| body.warnings.clone());
        for (field, value) in [
            (Field::FromAccount, &self.id.from_account),
            (Field::ToAccount, &self.id.to_account),
            (Field::MsgKey, &self.id.msg_key),
        ] {
            if !is_printable_ascii(value) && value.contains(is_invisible) {
                warnings.push(Finding::new(
                    field,
                    "holds invisible or direction-changing characters, as pasted text does, and is sent with them",
                ));
            }
        }
        if self.content_bytes() > CONTENT_BYTES_WARN {
            warnings.push(Finding::new(
                self.larger_part(),
                format!("makes more than {CONTENT_BYTES_WARN} bytes of new content, the limit that older pages give"),
            ));
        }
        warnings
    }

    /// The body of the request that asks the service for this edit.
    pub fn request_body(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.content_bytes() + 160);
        body.push(b'{');
        write_member(&mut body, "From_Account", &self.id.from_account);
        body.push(b',');
        write_member(&mut body, "To_Account", &self.id.to_account);
        body.push(b',');
        write_member(&mut body, "MsgKey", &self.id.msg_key);
        if let Some(elements) = &self.msg_body {
            body.extend_from_slice(b",\"MsgBody\":");
            body.extend_from_slice(elements.text.as_bytes());
        }
        if let Some(data) = &self.cloud_custom_data {
            body.push(b',');
            write_member(&mut body, "CloudCustomData", data);
        }
        body.push(b'}');
        body
    }

    fn larger_part(&self) -> Field {
        let body = self.msg_body.as_ref().map_or(0, |body| body.text.len());
        if body * 2 >= self.content_bytes() { Field::MsgBody } else { Field::CloudCustomData }
    }
}

fn too_long(bytes: usize) -> String {
    format!("makes {bytes} bytes of new content; the service takes {CONTENT_BYTES_MAX} at most")
}

fn write_member(out: &mut Vec<u8>, name: &str, value: &str) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    // A string always serializes, and writing to memory cannot fail.
    let _ = serde_json::to_writer(out, value);
}

fn digest_of(value: &Json<'_>, numbers: Numbers) -> [u8; 32] {
    let mut hasher = CanonicalHasher::with(numbers);
    hasher.json(value);
    hasher.digest()
}

#[cfg(test)]
mod tests;
