//! The messages that the sandbox holds: one model for demos, rehearsals and tests. No clock, no I/O.
//!
//! Every message that a request names exists: it is created on first use, with an original text, so that any list can
//! be rehearsed. A rehearsal may have many millions of them, so common texts are stored once, and original texts not
//! at all: they are generated on demand.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;

use crate::edit::{IdDigest, MessageId};

/// The most texts that are kept for sharing. A text that many messages have in common recurs long before that many
/// others; a text of one message alone must not be stored twice.
const POOL_TEXTS_MAX: usize = 10_000;

/// The current state of a message.
#[derive(Clone, Debug)]
pub(super) struct StoredMessage {
    pub(super) from_account: Arc<str>,
    pub(super) to_account: Arc<str>,
    pub(super) msg_key: Box<str>,
    /// `None` until it is edited.
    msg_body: Option<Arc<str>>,
    pub(super) cloud_custom_data: Option<Arc<str>>,
    edits: u32,
}

impl StoredMessage {
    /// The elements: the JSON array as received.
    pub(super) fn msg_body(&self) -> Arc<str> {
        match &self.msg_body {
            Some(body) => Arc::clone(body),
            None => original_body(&self.msg_key).into(),
        }
    }

    /// The custom data; `None` if there never was any.
    pub(super) fn cloud_custom_data(&self) -> Option<&str> {
        self.cloud_custom_data.as_deref()
    }

    /// The number of edits that took effect.
    pub(super) fn edits(&self) -> u32 {
        self.edits
    }
}

/// Counts of messages and edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Messages that requests have named.
    pub messages_known: u64,
    /// Those of them that were edited.
    pub messages_edited: u64,
    /// Those of them that were edited more than once, which must never happen.
    pub edited_more_than_once: u64,
    /// Edits that took effect, over all messages.
    pub edits: u64,
}

/// All messages.
#[derive(Debug, Default)]
pub(super) struct Messages {
    slots: HashMap<IdDigest, u32>,
    all: Vec<StoredMessage>,
    /// Conversation, second of the message, slot: a conversation's history is a range of it.
    pub(super) by_time: BTreeSet<(u64, u32, u32)>,
    accounts: TextPool,
    contents: TextPool,
    counts: Counts,
}

impl Messages {
    /// The slot of a message that was named before.
    pub(super) fn find(&self, digest: IdDigest) -> Option<u32> {
        self.slots.get(&digest).copied()
    }

    /// Creates a message that [`Messages::find`] did not find. `None` beyond four billion messages; memory runs out
    /// earlier.
    pub(super) fn make(&mut self, id: &MessageId, digest: IdDigest) -> Option<u32> {
        let slot = u32::try_from(self.all.len()).ok()?;
        self.all.push(StoredMessage {
            from_account: self.accounts.share(&id.from_account),
            to_account: self.accounts.share(&id.to_account),
            msg_key: id.msg_key.as_str().into(),
            msg_body: None,
            cloud_custom_data: None,
            edits: 0,
        });
        self.slots.insert(digest, slot);
        self.by_time.insert((id.conversation(), KeyParts::of(&id.msg_key).time, slot));
        self.counts.messages_known += 1;
        Some(slot)
    }

    /// Applies an edit: the given fields overwrite, the others stay.
    pub(super) fn edit(&mut self, slot: u32, msg_body: Option<&str>, cloud_custom_data: Option<&str>) {
        let Some(message) = self.all.get_mut(slot as usize) else { return };
        if let Some(body) = msg_body {
            message.msg_body = Some(self.contents.share(body));
        }
        if let Some(data) = cloud_custom_data {
            message.cloud_custom_data = Some(self.contents.share(data));
        }
        message.edits += 1;
        self.counts.edits += 1;
        match message.edits {
            1 => self.counts.messages_edited += 1,
            2 => self.counts.edited_more_than_once += 1,
            _ => {}
        }
    }

    /// The message in a slot.
    pub(super) fn get(&self, slot: u32) -> Option<&StoredMessage> {
        self.all.get(slot as usize)
    }

    /// The counts so far.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes at most `count` messages from `first` on, one line of JSON each. Writes nothing if there are no more.
    pub(super) fn write_lines(&self, first: usize, count: usize, out: &mut String) {
        for message in self.all.iter().skip(first).take(count) {
            out.push_str("{\"From_Account\":");
            push_json(out, &message.from_account);
            out.push_str(",\"To_Account\":");
            push_json(out, &message.to_account);
            out.push_str(",\"MsgKey\":");
            push_json(out, &message.msg_key);
            out.push_str(",\"MsgBody\":");
            out.push_str(&one_line(&message.msg_body()));
            if let Some(data) = &message.cloud_custom_data {
                out.push_str(",\"CloudCustomData\":");
                push_json(out, data);
            }
            out.push_str(",\"edits\":");
            out.push_str(&message.edits.to_string());
            out.push_str("}\n");
        }
    }
}

/// The three parts of a MsgKey, each 0 where the key has another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyParts {
    /// `MsgSeq`
    pub seq: u32,
    /// `MsgRandom`
    pub random: u32,
    /// `MsgTimeStamp`, in Unix seconds.
    pub time: u32,
}

impl KeyParts {
    /// Takes a MsgKey apart.
    pub fn of(msg_key: &str) -> KeyParts {
        let mut parts = msg_key.split('_').map(str::parse::<u32>);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(seq)), Some(Ok(random)), Some(Ok(time)), None) => KeyParts { seq, random, time },
            _ => KeyParts { seq: 0, random: 0, time: 0 },
        }
    }
}

/// Texts of which many are the same, each kept once while somebody holds it.
#[derive(Debug, Default)]
struct TextPool {
    texts: HashSet<Arc<str>>,
}

impl TextPool {
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= POOL_TEXTS_MAX {
            self.texts.clear();
        }
        let new: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&new));
        new
    }
}

/// Appends `text` as a JSON string.
pub(super) fn push_json(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

fn original_body(msg_key: &str) -> String {
    let mut text = String::from(r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"#);
    push_json(&mut text, &format!("the original text of {msg_key}"));
    text.push_str("}}]");
    text
}

/// A line break can only stand between JSON's parts, never inside a string: a space does the same there.
fn one_line(json: &str) -> String {
    json.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &str) -> MessageId {
        MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() }
    }

    fn made(messages: &mut Messages, key: &str) -> u32 {
        messages.make(&id(key), id(key).digest()).unwrap()
    }

    #[test]
    fn a_message_is_made_with_an_original_text() {
        let mut messages = Messages::default();
        assert_eq!(messages.find(id("1_2_\"3").digest()), None);
        let slot = made(&mut messages, "1_2_\"3");
        assert_eq!(messages.find(id("1_2_\"3").digest()), Some(slot));
        let message = messages.get(slot).unwrap();
        let body: serde_json::Value = serde_json::from_str(&message.msg_body()).unwrap();
        assert_eq!(body[0]["MsgContent"]["Text"], "the original text of 1_2_\"3");
        assert_eq!((message.cloud_custom_data(), message.edits()), (None, 0));
    }

    #[test]
    fn what_is_given_overwrites_and_what_is_absent_stays() {
        let mut messages = Messages::default();
        let slot = made(&mut messages, "1_2_3");
        messages.edit(slot, None, Some("data"));
        assert!(messages.get(slot).unwrap().msg_body().contains("original"));
        messages.edit(slot, Some("[1]"), None);
        let message = messages.get(slot).unwrap();
        assert_eq!((&*message.msg_body(), message.cloud_custom_data()), ("[1]", Some("data")));
        messages.edit(slot, None, Some(""));
        assert_eq!(messages.get(slot).unwrap().cloud_custom_data(), Some(""));
    }

    #[test]
    fn a_message_edited_more_than_once_is_counted_once() {
        let mut messages = Messages::default();
        let slots = ["1_1_1", "2_2_2", "3_3_3"].map(|key| made(&mut messages, key));
        for slot in [slots[0], slots[1], slots[1], slots[1]] {
            messages.edit(slot, Some("[]"), None);
        }
        let counts = Counts { messages_known: 3, messages_edited: 2, edited_more_than_once: 1, edits: 4 };
        assert_eq!(messages.counts(), counts);
    }

    #[test]
    fn equal_contents_and_accounts_are_kept_once() {
        let mut messages = Messages::default();
        let slots = ["1_1_1", "2_2_2"].map(|key| made(&mut messages, key));
        for slot in slots {
            messages.edit(slot, Some("[\"the same\"]"), None);
        }
        let [one, two] = slots.map(|slot| messages.get(slot).unwrap());
        assert!(Arc::ptr_eq(&one.msg_body(), &two.msg_body()));
        assert!(Arc::ptr_eq(&one.from_account, &two.from_account));
    }

    #[test]
    fn the_pool_does_not_grow_with_texts_that_differ() {
        let mut pool = TextPool::default();
        for i in 0..POOL_TEXTS_MAX * 3 {
            pool.share(&i.to_string());
        }
        assert!(pool.texts.len() <= POOL_TEXTS_MAX);
    }

    #[test]
    fn keys_of_the_usual_form_are_split() {
        let none = KeyParts { seq: 0, random: 0, time: 0 };
        for (key, parts) in [
            ("4294967295_2_3", KeyParts { seq: u32::MAX, random: 2, time: 3 }),
            ("1_2", none),
            ("1_2_3_4", none),
            ("1_2_x", none),
            ("1_2_4294967296", none),
            ("", none),
        ] {
            assert_eq!(KeyParts::of(key), parts, "{key}");
        }
    }

    #[test]
    fn lines_are_json_and_end_when_the_messages_do() {
        let mut messages = Messages::default();
        let slot = made(&mut messages, "1_1_1");
        made(&mut messages, "2_2_2");
        messages.edit(slot, Some("[\n {} ]"), Some("d\n"));
        let mut out = String::new();
        messages.write_lines(0, 10, &mut out);
        let lines: Vec<serde_json::Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((&lines[0]["edits"], &lines[0]["CloudCustomData"]), (&1.into(), &"d\n".into()));
        assert_eq!((&lines[1]["MsgKey"], &lines[1]["From_Account"]), (&"2_2_2".into(), &"a".into()));
        let mut rest = String::new();
        messages.write_lines(2, 10, &mut rest);
        assert_eq!(rest, "");
    }
}
