//! Request bodies, checked as the service checks them.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;

use super::faults::NamesFault;
use super::history::Window;
use crate::edit::{CONTENT_BYTES_MAX, IdDigest, MessageId};

/// The most messages per page that may be requested. The service's own limit is not documented.
const PAGE_MESSAGES_MAX: usize = 1_000;

/// A requested edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Modify {
    /// The message.
    pub(super) id: MessageId,
    /// Its digest, computed here so that it is not computed under the lock.
    pub(super) digest: IdDigest,
    /// New elements, as received.
    pub(super) msg_body: Option<Box<str>>,
    /// New custom data.
    pub(super) cloud_custom_data: Option<String>,
}

/// A body's members, not yet parsed: a wrong type must lead to that member's code.
#[derive(Deserialize)]
struct BodyFields<'a> {
    #[serde(rename = "From_Account", borrow, default, deserialize_with = "present")]
    from_account: Option<&'a RawValue>,
    #[serde(rename = "To_Account", borrow, default, deserialize_with = "present")]
    to_account: Option<&'a RawValue>,
    #[serde(rename = "Operator_Account", borrow, default, deserialize_with = "present")]
    operator_account: Option<&'a RawValue>,
    #[serde(rename = "Peer_Account", borrow, default, deserialize_with = "present")]
    peer_account: Option<&'a RawValue>,
    #[serde(rename = "MsgKey", borrow, default, deserialize_with = "present")]
    msg_key: Option<&'a RawValue>,
    #[serde(rename = "MsgBody", borrow, default, deserialize_with = "present")]
    msg_body: Option<&'a RawValue>,
    #[serde(rename = "CloudCustomData", borrow, default, deserialize_with = "present")]
    cloud_custom_data: Option<&'a RawValue>,
    #[serde(rename = "MaxCnt", borrow, default, deserialize_with = "present")]
    max_count: Option<&'a RawValue>,
    #[serde(rename = "MinTime", borrow, default, deserialize_with = "present")]
    min_time: Option<&'a RawValue>,
    #[serde(rename = "MaxTime", borrow, default, deserialize_with = "present")]
    max_time: Option<&'a RawValue>,
    #[serde(rename = "LastMsgKey", borrow, default, deserialize_with = "present")]
    last_msg_key: Option<&'a RawValue>,
}

/// `null` is a value of the wrong type, not an absent one.
fn present<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The part that all kinds of elements have in common.
#[derive(Deserialize)]
struct Element<'a> {
    #[serde(rename = "MsgType")]
    msg_type: String,
    #[serde(rename = "MsgContent", borrow)]
    content: &'a RawValue,
}

/// The content of a `TIMTextElem`.
#[derive(Deserialize)]
struct TextContent {
    #[serde(rename = "Text")]
    _text: String,
}

impl Modify {
    /// Parses the body of a `modify_c2c_msg`.
    ///
    /// # Errors
    /// The `ErrorCode` that the service would answer with.
    pub(super) fn parse(body: &[u8]) -> Result<Modify, i64> {
        let members: BodyFields<'_> = members(body)?;
        let id = MessageId {
            from_account: account(members.from_account).ok_or(90008)?,
            to_account: account(members.to_account).ok_or(90003)?,
            msg_key: account(members.msg_key).ok_or(90054)?,
        };
        let msg_body = members.msg_body.map(elements).transpose()?;
        let cloud_custom_data = members.cloud_custom_data.map(|data| text(data).ok_or(90010)).transpose()?;
        if msg_body.is_none() && cloud_custom_data.is_none() {
            return Err(20001);
        }
        let bytes = msg_body.as_ref().map_or(0, |body| body.len()) + cloud_custom_data.as_ref().map_or(0, String::len);
        if bytes > CONTENT_BYTES_MAX {
            return Err(93000);
        }
        Ok(Modify { digest: id.digest(), id, msg_body, cloud_custom_data })
    }
}

impl Window {
    /// Parses the body of an `admin_getroammsg`, with the account names that are accepted; the newer ones take
    /// precedence.
    ///
    /// # Errors
    /// The `ErrorCode` that the service would answer with.
    pub(super) fn parse(body: &[u8], names: NamesFault) -> Result<Window, i64> {
        let members: BodyFields<'_> = members(body)?;
        let (operator, peer) = match names {
            NamesFault::Both => {
                (members.operator_account.or(members.from_account), members.peer_account.or(members.to_account))
            }
            NamesFault::Older => (members.from_account, members.to_account),
            NamesFault::Newer => (members.operator_account, members.peer_account),
        };
        let conversation = MessageId {
            from_account: account(operator).ok_or(90008)?,
            to_account: account(peer).ok_or(90003)?,
            msg_key: String::new(),
        };
        let number = |member: Option<&RawValue>| serde_json::from_str::<u32>(member?.get()).ok();
        let max_count = number(members.max_count).filter(|count| *count > 0).ok_or(90010)?;
        Ok(Window {
            conversation: conversation.conversation(),
            operator: conversation.from_account,
            max_count: usize::try_from(max_count).unwrap_or(PAGE_MESSAGES_MAX).min(PAGE_MESSAGES_MAX),
            min_time: number(members.min_time).ok_or(90010)?,
            max_time: number(members.max_time).ok_or(90010)?,
            // A client that has no key yet may send an empty one.
            last_msg_key: match members.last_msg_key {
                Some(key) => Some(text(key).ok_or(90010)?).filter(|key| !key.is_empty()),
                None => None,
            },
        })
    }
}

fn members(body: &[u8]) -> Result<BodyFields<'_>, i64> {
    // serde also deserializes a struct from an array, which the service does not accept.
    let starts_an_object = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{');
    if starts_an_object { serde_json::from_slice(body).map_err(|_| 90001) } else { Err(90001) }
}

fn text(member: &RawValue) -> Option<String> {
    serde_json::from_str(member.get()).ok()
}

/// A required, non-empty text.
fn account(member: Option<&RawValue>) -> Option<String> {
    text(member?).filter(|text| !text.is_empty())
}

fn elements(member: &RawValue) -> Result<Box<str>, i64> {
    let json = member.get();
    if !json.starts_with('[') {
        return Err(90007);
    }
    let elements: Vec<Element<'_>> = serde_json::from_str(json).map_err(|_| 90002)?;
    if elements.is_empty() {
        return Err(90002);
    }
    for element in elements {
        if !element.content.get().starts_with('{') {
            return Err(90002);
        }
        let content = element.content.get();
        let is_valid = match element.msg_type.as_str() {
            "TIMTextElem" => serde_json::from_str::<TextContent>(content).is_ok(),
            _ => serde_json::from_str::<IgnoredAny>(content).is_ok(),
        };
        if !is_valid {
            return Err(90010);
        }
    }
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]"#;

    fn modify(members: &str) -> Result<Modify, i64> {
        Modify::parse(format!(r#"{{"From_Account":"a","To_Account":"b","MsgKey":"1_2_3"{members}}}"#).as_bytes())
    }

    #[test]
    fn an_edit_keeps_its_json_unchanged() {
        let body = r#"[ {"MsgContent":{"Text":"\u4e2d", "X":1.50},"MsgType":"TIMTextElem"} ]"#;
        let modify = modify(&format!(r#","MsgBody": {body} ,"CloudCustomData":"d\n","Other":1"#)).unwrap();
        assert_eq!(modify.msg_body.as_deref(), Some(body));
        assert_eq!(modify.cloud_custom_data.as_deref(), Some("d\n"));
        assert_eq!((modify.id.msg_key.as_str(), modify.digest), ("1_2_3", modify.id.digest()));
    }

    #[test]
    fn empty_custom_data_is_a_change() {
        assert_eq!(modify(r#","CloudCustomData":"""#).unwrap().cloud_custom_data.as_deref(), Some(""));
    }

    fn check(members: &str, code: i64) {
        assert_eq!(modify(members).unwrap_err(), code, "{members}");
    }

    #[test]
    fn each_thing_that_is_wrong_with_an_edit_has_its_code() {
        check("", 20001);
        check(",", 90001);
        check(r#","MsgBody":"x""#, 90007);
        check(r#","MsgBody":null"#, 90007);
        check(r#","MsgBody":{}"#, 90007);
        check(r#","MsgBody":[]"#, 90002);
        check(r#","MsgBody":[1]"#, 90002);
        check(r#","MsgBody":[{"MsgType":"TIMTextElem"}]"#, 90002);
        check(r#","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":"{}"}]"#, 90002);
        check(r#","MsgBody":[{"MsgType":"TIMTextElem","MsgContent":{"Text":1}}]"#, 90010);
        check(r#","CloudCustomData":{}"#, 90010);
        check(r#","CloudCustomData":null"#, 90010);
        check(&format!(r#","CloudCustomData":"{}""#, "x".repeat(CONTENT_BYTES_MAX + 1)), 93000);
        for (body, code) in [
            ("", 90001),
            ("[]", 90001),
            ("x", 90001),
            ("{}", 90008),
            (r#"{"From_Account":1}"#, 90008),
            (r#"{"From_Account":""}"#, 90008),
            (r#"{"From_Account":"a"}"#, 90003),
            (r#"{"From_Account":"a","To_Account":["b"]}"#, 90003),
            (r#"{"From_Account":"a","To_Account":"b"}"#, 90054),
            (r#"{"From_Account":"a","To_Account":"b","MsgKey":1}"#, 90054),
        ] {
            assert_eq!(Modify::parse(body.as_bytes()).unwrap_err(), code, "{body}");
        }
    }

    #[test]
    fn content_up_to_the_limit_passes() {
        let data = "x".repeat(CONTENT_BYTES_MAX - TEXT.len());
        assert!(modify(&format!(r#","MsgBody":{TEXT},"CloudCustomData":"{data}""#)).is_ok());
    }

    #[test]
    fn a_window_is_read_with_newer_and_older_names() {
        let window = |taken: NamesFault, names: [&str; 2], rest: &str| {
            let [operator, peer] = names;
            Window::parse(format!(r#"{{"{operator}":"b","{peer}":"a"{rest}}}"#).as_bytes(), taken)
        };
        let (newer, older) = (["Operator_Account", "Peer_Account"], ["From_Account", "To_Account"]);
        let rest = r#","MaxCnt":100,"MinTime":1,"MaxTime":2"#;
        let conversation = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: String::new() };
        for (taken, names) in [
            (NamesFault::Both, newer),
            (NamesFault::Both, older),
            (NamesFault::Newer, newer),
            (NamesFault::Older, older),
        ] {
            let window = window(taken, names, rest).unwrap();
            assert_eq!((window.conversation, window.operator.as_str()), (conversation.conversation(), "b"));
            assert_eq!((window.max_count, window.min_time, window.max_time), (100, 1, 2));
            assert_eq!(window.last_msg_key, None);
        }
        assert_eq!(window(NamesFault::Older, newer, rest).unwrap_err(), 90008);
        assert_eq!(window(NamesFault::Newer, older, rest).unwrap_err(), 90008);
        assert_eq!(window(NamesFault::Older, ["From_Account", "Peer_Account"], rest).unwrap_err(), 90003);
        let next = window(NamesFault::Both, newer, &format!(r#"{rest},"LastMsgKey":"1_2_3""#)).unwrap();
        assert_eq!(next.last_msg_key.as_deref(), Some("1_2_3"));
        assert_eq!(window(NamesFault::Both, newer, "").unwrap_err(), 90010);
        assert_eq!(window(NamesFault::Both, newer, r#","MaxCnt":0,"MinTime":1,"MaxTime":2"#).unwrap_err(), 90010);
        assert_eq!(window(NamesFault::Both, ["Operator_Account", "X"], rest).unwrap_err(), 90003);
        assert_eq!(window(NamesFault::Both, ["X", "Peer_Account"], rest).unwrap_err(), 90008);
    }
}
