//! What a message held before its edit.

use std::fmt;

use serde_json::Value;

use super::{Edit, write_member};

/// What a message held before its edit, as a line of a list: the edit that would give it back. Cheap to move, and shown to
/// nobody.
#[derive(Clone)]
pub struct Original(Box<[u8]>);

impl Original {
    /// From what the history shows of the message of `edit`: what that replaces, and nothing else. `None` if the history does not
    /// show it. Custom data that it does not show is taken for none, and `edit` is undone by clearing it.
    pub fn of(edit: &Edit, msg_body: Option<&Value>, cloud_custom_data: Option<&str>) -> Option<Original> {
        let id = edit.id();
        let mut line = Vec::new();
        let members = [("From_Account", &id.from_account), ("To_Account", &id.to_account), ("MsgKey", &id.msg_key)];
        for (index, (name, value)) in members.into_iter().enumerate() {
            line.push(if index == 0 { b'{' } else { b',' });
            write_member(&mut line, name, value);
        }
        if edit.msg_body().is_some() {
            let body = msg_body?;
            line.extend_from_slice(b",\"MsgBody\":");
            line.extend_from_slice(body.to_string().as_bytes());
        }
        if edit.cloud_custom_data().is_some() {
            line.push(b',');
            write_member(&mut line, "CloudCustomData", cloud_custom_data.unwrap_or_default());
        }
        line.extend_from_slice(b"}\n");
        Some(Original(line.into()))
    }

    /// The line, with its line feed.
    pub fn line(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Original").field("bytes", &self.0.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::edit::{MessageId, MsgBody};

    fn edit(body: Option<&str>, data: Option<&str>) -> Edit {
        let id = MessageId { from_account: "a\"".into(), to_account: "b".into(), msg_key: "1_2_3".into() };
        Edit::new(id, body.map(MsgBody::of_text), data.map(Into::into)).unwrap()
    }

    #[test]
    fn it_gives_back_all_that_the_edit_replaces() {
        let body = json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "a phone number"}}]);
        let line = |edit: &Edit, body, data| {
            Original::of(edit, body, data).map(|line| String::from_utf8(line.line().to_vec()).unwrap())
        };
        let ids = r#"{"From_Account":"a\"","To_Account":"b","MsgKey":"1_2_3""#;
        let was = r#","MsgBody":[{"MsgContent":{"Text":"a phone number"},"MsgType":"TIMTextElem"}]"#;
        let (text, data) = (edit(Some("[removed]"), None), edit(None, Some("{}")));
        assert_eq!(line(&text, Some(&body), None), Some(format!("{ids}{was}}}\n")));
        assert_eq!(line(&text, Some(&body), Some("x")), Some(format!("{ids}{was}}}\n")));
        let both = edit(Some("[removed]"), Some(""));
        assert_eq!(line(&both, Some(&body), Some("x")), Some(format!("{ids}{was},\"CloudCustomData\":\"x\"}}\n")));
        assert_eq!(line(&data, Some(&body), Some("x")), Some(format!("{ids},\"CloudCustomData\":\"x\"}}\n")));
        assert_eq!(line(&text, None, Some("x")), None);
        assert_eq!(line(&data, None, None), Some(format!("{ids},\"CloudCustomData\":\"\"}}\n")));
        assert!(!format!("{:?}", Original::of(&text, Some(&body), None)).contains("phone"));
    }
}
