//! Reading a conversation back, as `admin_getroammsg` does: pages from new to old.

use std::ops::Bound;

use super::model::{KeyParts, Messages, push_json};

/// The size at which the service ends a page, however many messages were asked for.
const PAGE_BYTES: usize = 13_000;

/// The requested part of a conversation.
#[derive(Clone, Debug)]
pub(super) struct Window {
    /// The account whose history is read.
    pub(super) operator: String,
    /// The conversation's number, the same from both sides.
    pub(super) conversation: u64,
    /// The most messages to return.
    pub(super) max_count: usize,
    /// From this Unix second on.
    pub(super) min_time: u32,
    /// Up to and including this Unix second.
    pub(super) max_time: u32,
    /// Continues after this message of the second `max_time`.
    pub(super) last_msg_key: Option<String>,
}

impl Messages {
    /// The page of a conversation that a window asks for: the service's answer, as JSON. A one-sided page lacks the
    /// messages that its operator has sent.
    pub(super) fn page(&self, window: &Window, is_one_sided: bool) -> String {
        let (mut list, mut count, mut complete) = (String::new(), 0, true);
        let mut oldest = None;
        let is_seen = |slot: &u32| {
            !is_one_sided || self.get(*slot).is_some_and(|message| *message.to_account == *window.operator)
        };
        for slot in self.newest_first(window).filter(is_seen) {
            if count == window.max_count || list.len() >= PAGE_BYTES {
                complete = false;
                break;
            }
            if count > 0 {
                list.push(',');
            }
            self.push_message(&mut list, slot);
            oldest = Some(slot);
            count += 1;
        }
        let last_key = oldest.and_then(|slot| self.get(slot)).map_or("", |message| &message.msg_key);
        let mut page = format!(
            concat!(
                r#"{{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"#,
                r#""Complete":{},"MsgCnt":{},"LastMsgTime":{},"LastMsgKey":"#
            ),
            u8::from(complete),
            count,
            KeyParts::of(last_key).time,
        );
        push_json(&mut page, last_key);
        page.push_str(",\"MsgList\":[");
        page.push_str(&list);
        page.push_str("]}");
        page
    }

    fn newest_first(&self, window: &Window) -> impl Iterator<Item = u32> {
        let Window { conversation, min_time, max_time, .. } = *window;
        let first = (conversation, min_time, 0);
        let mut end = Bound::Included((conversation, max_time, u32::MAX));
        if let Some(key) = &window.last_msg_key {
            let second = (conversation, max_time, 0)..=(conversation, max_time, u32::MAX);
            let last_seen = self
                .by_time
                .range(second)
                .find(|(_, _, slot)| self.get(*slot).is_some_and(|message| *message.msg_key == **key));
            end = last_seen.map_or(end, |entry| Bound::Excluded(*entry));
        }
        // `range` panics if the start lies after the end, and an empty window is a valid request.
        let empty = match end {
            Bound::Included(end) => first > end,
            Bound::Excluded(end) => first >= end,
            Bound::Unbounded => false,
        };
        let range = (!empty).then(|| self.by_time.range((Bound::Included(first), end)));
        range.into_iter().flatten().rev().map(|(_, _, slot)| *slot)
    }

    fn push_message(&self, out: &mut String, slot: u32) {
        let Some(message) = self.get(slot) else { return };
        let KeyParts { seq, random, time } = KeyParts::of(&message.msg_key);
        out.push_str("{\"From_Account\":");
        push_json(out, &message.from_account);
        out.push_str(",\"To_Account\":");
        push_json(out, &message.to_account);
        for (name, value) in [("MsgSeq", seq), ("MsgRandom", random), ("MsgTimeStamp", time), ("MsgFlagBits", 0)] {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            out.push_str(&value.to_string());
        }
        out.push_str(",\"MsgKey\":");
        push_json(out, &message.msg_key);
        out.push_str(",\"MsgBody\":");
        out.push_str(&message.msg_body());
        if let Some(data) = &message.cloud_custom_data {
            out.push_str(",\"CloudCustomData\":");
            push_json(out, data);
        }
        out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::edit::MessageId;

    fn id(from: &str, to: &str, key: &str) -> MessageId {
        MessageId { from_account: from.into(), to_account: to.into(), msg_key: key.into() }
    }

    fn messages(ids: &[MessageId]) -> Messages {
        let mut messages = Messages::default();
        for id in ids {
            messages.make(id, id.digest()).unwrap();
        }
        messages
    }

    fn full_window() -> Window {
        let conversation = id("a", "b", "").conversation();
        Window {
            operator: "a".into(),
            conversation,
            max_count: 100,
            min_time: 0,
            max_time: u32::MAX,
            last_msg_key: None,
        }
    }

    fn page(messages: &Messages, window: &Window) -> Value {
        serde_json::from_str(&messages.page(window, false)).unwrap()
    }

    fn keys(page: &Value) -> Vec<&str> {
        page["MsgList"].as_array().unwrap().iter().map(|message| message["MsgKey"].as_str().unwrap()).collect()
    }

    #[test]
    fn a_conversation_is_seen_from_both_sides_and_no_other() {
        let messages = messages(&[id("a", "b", "1_0_10"), id("b", "a", "2_0_20"), id("a", "c", "3_0_15")]);
        let page = page(&messages, &full_window());
        assert_eq!(keys(&page), ["2_0_20", "1_0_10"]);
        assert_eq!((&page["Complete"], &page["MsgCnt"], &page["ErrorCode"]), (&1.into(), &2.into(), &0.into()));
        let back = Window { conversation: id("b", "a", "").conversation(), ..full_window() };
        assert_eq!(keys(&serde_json::from_str(&messages.page(&back, false)).unwrap()), ["2_0_20", "1_0_10"]);
    }

    #[test]
    fn a_message_shows_all_its_fields() {
        let mut messages = messages(&[id("a", "b", "4294967295_7_10")]);
        let without = page(&messages, &full_window());
        assert!(without["MsgList"][0].get("CloudCustomData").is_none());
        messages.edit(0, Some(r#"[{"x":1.50}]"#), Some("data"));
        let page = messages.page(&full_window(), false);
        let expected = concat!(
            r#"{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0,"Complete":1,"MsgCnt":1,"LastMsgTime":10,"#,
            r#""LastMsgKey":"4294967295_7_10","MsgList":[{"From_Account":"a","To_Account":"b","MsgSeq":4294967295,"#,
            r#""MsgRandom":7,"MsgTimeStamp":10,"MsgFlagBits":0,"MsgKey":"4294967295_7_10","#,
            r#""MsgBody":[{"x":1.50}],"CloudCustomData":"data"}]}"#
        );
        assert_eq!(page, expected);
    }

    #[test]
    fn the_window_holds_both_its_ends() {
        let messages = messages(&["1_0_9", "2_0_10", "3_0_11", "4_0_12"].map(|key| id("a", "b", key)));
        let of = |min_time, max_time| page(&messages, &Window { min_time, max_time, ..full_window() });
        assert_eq!(keys(&of(10, 11)), ["3_0_11", "2_0_10"]);
        assert_eq!(keys(&of(12, 12)), ["4_0_12"]);
        assert_eq!(keys(&of(13, 99)), [""; 0]);
        assert_eq!(keys(&of(11, 10)), [""; 0]);
    }

    /// Follows the pages as a client does, and returns every key.
    fn follow(messages: &Messages, max_count: usize) -> Vec<String> {
        let mut window = Window { max_count, ..full_window() };
        let mut seen = Vec::new();
        loop {
            let page = page(messages, &window);
            seen.extend(keys(&page).into_iter().map(str::to_owned));
            if page["Complete"] == 1 {
                return seen;
            }
            window.max_time = u32::try_from(page["LastMsgTime"].as_u64().unwrap()).unwrap();
            window.last_msg_key = Some(page["LastMsgKey"].as_str().unwrap().to_owned());
        }
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let ids: Vec<_> = (0..30).map(|i| id("a", "b", &format!("{i}_0_{}", 100 + i / 7))).collect();
        let messages = messages(&ids);
        let expected: Vec<_> = ids.iter().rev().map(|id| id.msg_key.clone()).collect();
        for max_count in [1, 2, 7, 29, 30, 31] {
            assert_eq!(follow(&messages, max_count), expected, "{max_count} a page");
        }
    }

    #[test]
    fn a_one_sided_history_follows_its_pages_as_well() {
        let messages = messages(&[id("a", "b", "1_0_10"), id("b", "a", "2_0_20"), id("b", "a", "3_0_20")]);
        let side = |operator: &str, max_count| {
            let window = Window { operator: operator.into(), max_count, ..full_window() };
            serde_json::from_str::<Value>(&messages.page(&window, true)).unwrap()
        };
        assert_eq!(keys(&side("b", 9)), ["1_0_10"]);
        assert_eq!(keys(&side("a", 9)), ["3_0_20", "2_0_20"]);
        assert_eq!((keys(&side("a", 1)), &side("a", 1)["Complete"]), (vec!["3_0_20"], &0.into()));
        assert_eq!(side("a", 2)["Complete"], 1);
    }

    #[test]
    fn a_page_ends_at_its_size_as_well() {
        let ids: Vec<_> = (0..10).map(|i| id("a", "b", &format!("{i}_0_{i}"))).collect();
        let mut messages = messages(&ids);
        for slot in 0..10 {
            messages.edit(slot, None, Some(&"x".repeat(6_000)));
        }
        let first = page(&messages, &full_window());
        assert_eq!((&first["Complete"], &first["MsgCnt"]), (&0.into(), &3.into()));
        assert_eq!(follow(&messages, 100).len(), 10);
    }
}
