//! A conversation's history (`admin_getroammsg`), page by page: the request and the answer.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Outcome, answer};
use crate::edit::MessageId;

/// The longest page that is read. A real one has about 13 KB: the service ends a page with the message that exceeds
/// that.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Messages per page, as in the service's samples.
const PAGE_MESSAGES: u32 = 100;
/// In `MsgFlagBits`: the message was recalled.
const RECALLED: u64 = 8;

/// A request for one page of a conversation's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryQuery {
    /// The account whose history is read: each side has its own.
    pub operator: String,
    /// The other account.
    pub peer: String,
    /// From this Unix second on.
    pub min_time: u32,
    /// Up to and including this Unix second.
    pub max_time: u32,
    /// Continues after this message.
    pub last_msg_key: Option<String>,
    /// The field names for the two accounts.
    pub names: AccountNames,
}

/// The two generations of field names that the service has for the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountNames {
    /// `Operator_Account`, `Peer_Account`
    Newer,
    /// `From_Account`, `To_Account`
    Older,
}

impl AccountNames {
    /// The other generation.
    #[must_use]
    pub fn other(self) -> AccountNames {
        match self {
            AccountNames::Newer => AccountNames::Older,
            AccountNames::Older => AccountNames::Newer,
        }
    }
}

/// A page of a conversation's history, from new to old.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistoryPage {
    /// Whether it is the last page.
    pub complete: bool,
    /// The Unix second of its last message.
    pub last_msg_time: u32,
    /// The key of its last message.
    pub last_msg_key: String,
    /// Its messages.
    pub messages: Vec<HistoryMessage>,
}

/// A message as the service holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct HistoryMessage {
    /// Its ID.
    pub id: MessageId,
    /// Whether its sender recalled it.
    pub recalled: bool,
    /// Its elements.
    pub msg_body: Option<Value>,
    /// Its custom data.
    pub cloud_custom_data: Option<String>,
}

impl HistoryQuery {
    /// The request's body.
    pub fn request_body(&self) -> Vec<u8> {
        let (operator, peer) = match self.names {
            AccountNames::Newer => ("Operator_Account", "Peer_Account"),
            AccountNames::Older => ("From_Account", "To_Account"),
        };
        let mut body = json!({
            operator: self.operator,
            peer: self.peer,
            "MaxCnt": PAGE_MESSAGES,
            "MinTime": self.min_time,
            "MaxTime": self.max_time,
        });
        if let Some(key) = &self.last_msg_key {
            body["LastMsgKey"] = key.as_str().into();
        }
        body.to_string().into_bytes()
    }
}

#[derive(Deserialize)]
struct HistoryFields {
    #[serde(rename = "Complete")]
    complete: u64,
    #[serde(rename = "LastMsgTime", default)]
    last_msg_time: Option<u32>,
    #[serde(rename = "LastMsgKey", default)]
    last_msg_key: Option<String>,
    /// Absent if the page is empty.
    #[serde(rename = "MsgList", default)]
    messages: Option<Vec<WireMessage>>,
}

#[derive(Deserialize)]
struct WireMessage {
    #[serde(rename = "From_Account")]
    from_account: String,
    #[serde(rename = "To_Account")]
    to_account: String,
    #[serde(rename = "MsgKey", default)]
    msg_key: Option<String>,
    #[serde(rename = "MsgSeq", default)]
    seq: u64,
    #[serde(rename = "MsgRandom", default)]
    random: u64,
    #[serde(rename = "MsgTimeStamp", default)]
    time: u64,
    #[serde(rename = "MsgFlagBits", default)]
    flags: u64,
    #[serde(rename = "MsgBody", default)]
    msg_body: Option<Value>,
    #[serde(rename = "CloudCustomData", default)]
    cloud_custom_data: Option<String>,
}

/// Reads a whole answer: a page, or the outcome if there is none.
pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Result<HistoryPage, Outcome> {
    match answer::read(status, retry_after, body) {
        // A page has no room for a pause. The service documents none for pages, and one with a refusal is honoured.
        Outcome::Confirmed | Outcome::ConfirmedAndAsks(_) => {}
        outcome => return Err(outcome),
    }
    let fields: HistoryFields = serde_json::from_slice(body).map_err(|_| Outcome::Http { status, retry_after })?;
    Ok(HistoryPage {
        complete: fields.complete == 1,
        last_msg_time: fields.last_msg_time.unwrap_or_default(),
        last_msg_key: fields.last_msg_key.unwrap_or_default(),
        messages: fields.messages.unwrap_or_default().into_iter().map(HistoryMessage::from).collect(),
    })
}

impl From<WireMessage> for HistoryMessage {
    fn from(message: WireMessage) -> HistoryMessage {
        let WireMessage { from_account, to_account, msg_key, seq, random, time, .. } = message;
        let msg_key = msg_key.unwrap_or_else(|| format!("{seq}_{random}_{time}"));
        HistoryMessage {
            id: MessageId { from_account, to_account, msg_key },
            recalled: message.flags & RECALLED != 0,
            msg_body: message.msg_body,
            cloud_custom_data: message.cloud_custom_data,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(names: AccountNames, last_msg_key: Option<String>) -> Value {
        let (operator, peer) = ("a".to_owned(), "b\"".to_owned());
        let query = HistoryQuery { operator, peer, min_time: 9, max_time: 11, last_msg_key, names };
        serde_json::from_slice(&query.request_body()).unwrap()
    }

    #[test]
    fn a_query_uses_the_newer_or_older_names() {
        let newer =
            json!({ "Operator_Account": "a", "Peer_Account": "b\"", "MaxCnt": 100, "MinTime": 9, "MaxTime": 11 });
        assert_eq!(query(AccountNames::Newer, None), newer);
        let older = json!({
            "From_Account": "a", "To_Account": "b\"", "MaxCnt": 100, "MinTime": 9, "MaxTime": 11, "LastMsgKey": "1_2_10"
        });
        assert_eq!(query(AccountNames::Older, Some("1_2_10".into())), older);
    }

    fn page(body: &str) -> Result<HistoryPage, Outcome> {
        read(200, None, body.as_bytes())
    }

    #[test]
    fn a_page_is_read_whatever_else_is_in_it() {
        let body = r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"Complete":0,"MsgCnt":2,"LastMsgTime":10,
            "LastMsgKey":"1_2_10","New":{},"MsgList":[
            {"From_Account":"a","To_Account":"b","MsgSeq":4294967295,"MsgRandom":7,"MsgTimeStamp":11,"MsgFlagBits":8,
             "MsgBody":[{"MsgType":"X","MsgContent":{}}],"CloudCustomData":"d"},
            {"From_Account":"b","To_Account":"a","MsgSeq":1,"MsgRandom":2,"MsgTimeStamp":10,"MsgKey":"1_2_10"}]}"#;
        let page = page(body).unwrap();
        assert_eq!((page.complete, page.last_msg_time, page.last_msg_key.as_str()), (false, 10, "1_2_10"));
        let [first, second] = &page.messages[..] else { panic!("{page:?}") };
        assert_eq!((first.id.msg_key.as_str(), first.recalled), ("4294967295_7_11", true));
        assert_eq!(
            (first.msg_body.as_ref().unwrap()[0]["MsgType"].as_str(), first.cloud_custom_data.as_deref()),
            (Some("X"), Some("d"))
        );
        assert_eq!((second.id.from_account.as_str(), second.recalled, &second.msg_body), ("b", false, &None));
    }

    #[test]
    fn an_empty_page_is_a_page_and_anything_else_is_none() {
        let empty = page(r#"{"ActionStatus":"OK","ErrorCode":0,"Complete":1,"MsgCnt":0}"#).unwrap();
        assert_eq!(empty, HistoryPage { complete: true, ..HistoryPage::default() });
        let no_answer = Outcome::Http { status: 200, retry_after: None };
        for body in ["", "<html>", r#"{"ActionStatus":"OK","ErrorCode":0}"#, r#"{"Complete":1}"#] {
            assert_eq!(page(body), Err(no_answer.clone()), "{body}");
        }
        let refused = page(r#"{"ActionStatus":"FAIL","ErrorCode":60010,"ErrorInfo":"x"}"#);
        assert!(matches!(refused, Err(Outcome::Refused { code: 60010, .. })), "{refused:?}");
        let whole = br#"{"ActionStatus":"OK","ErrorCode":0,"Complete":1,"MsgCnt":0}"#;
        assert!(read(200, None, whole).is_ok());
        for status in [201, 204, 404, 408, 425, 429, 502] {
            assert!(matches!(read(status, None, whole), Err(Outcome::Http { .. })), "{status}");
        }
    }

    proptest! {
        #[test]
        fn no_page_causes_a_panic(body in any::<Vec<u8>>(), list in "\\PC{0,40}") {
            let _ = read(200, None, &body);
            let _ = page(&format!(r#"{{"ActionStatus":"OK","ErrorCode":0,"Complete":1,"MsgList":{list}}}"#));
        }
    }
}
