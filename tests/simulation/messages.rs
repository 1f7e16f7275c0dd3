//! The messages that the service holds, what happens to them, and what its histories show.

use std::collections::BTreeMap;

use runner::api::Outcome;
use runner::api::history::{AccountNames, HistoryMessage, HistoryPage, HistoryQuery};
use runner::edit::{Edit, MessageId, MsgBody};
use serde_json::Value;

/// Properties of the service that do not change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Make {
    /// The account field names that it accepts; `None`: both.
    pub(crate) names: Option<AccountNames>,
    pub(crate) page: usize,
    pub(crate) history: History,
}

/// What its histories do not show, or show differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    Whole,
    /// It refuses all history requests.
    Refused,
    /// It refuses one side's history: the sender's, or the receiver's.
    RefusedTo(Side),
    /// Only the receiver's history has the message.
    OneSided,
    /// The sender's history never shows an edit.
    SenderSeesOld,
    /// The same, and the receiver's history is refused.
    SenderSeesOldAlone,
    NoCustomData,
    /// Empty custom data is left out.
    NoEmptyCustomData,
    /// It adds something to each element.
    Adds,
    /// It says that there is more, but not where.
    CutShort,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Sender,
    Receiver,
}

impl History {
    pub(crate) const ALL: [History; 11] = [
        History::Whole,
        History::Refused,
        History::RefusedTo(Side::Sender),
        History::RefusedTo(Side::Receiver),
        History::OneSided,
        History::SenderSeesOld,
        History::SenderSeesOldAlone,
        History::NoCustomData,
        History::NoEmptyCustomData,
        History::Adds,
        History::CutShort,
    ];

    /// Whether a history can prove what became of an edit.
    fn proves(self, edit: &Edit, before: &Content) -> bool {
        let data = edit.cloud_custom_data();
        // Where there was no custom data, nothing is shown until there is some.
        let is_seen = before.custom_data.is_some() || edit.msg_body().is_some_and(|wanted| before.body != json(wanted));
        match self {
            History::Whole | History::OneSided | History::SenderSeesOld => data.is_none() || is_seen,
            History::NoCustomData => data.is_none(),
            History::NoEmptyCustomData => data.is_none() || (data != Some("") && is_seen),
            History::Refused
            | History::RefusedTo(_)
            | History::SenderSeesOldAlone
            | History::Adds
            | History::CutShort => false,
        }
    }

    fn is_refused_to(self, side: Side) -> bool {
        match self {
            History::Refused => true,
            History::RefusedTo(whom) => side == whom,
            History::SenderSeesOldAlone => side == Side::Receiver,
            _ => false,
        }
    }
}

fn json(body: &MsgBody) -> Value {
    serde_json::from_str(body.text()).unwrap()
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ordinary,
    /// It no longer exists.
    Gone,
    /// It was recalled. It can still be edited, but no history shows that.
    Recalled,
}

struct Message {
    kind: Kind,
    /// What it holds, and what it held before it was edited.
    content: Content,
    before: Content,
    /// The edit that was made of it.
    made: Option<Edit>,
    edits: u32,
    /// Requests for it so far.
    sent: u32,
    /// It was sent again as `--in-doubt retry` asks for, and so may be edited more than once.
    is_forgiven: bool,
    /// Requests for it that the service works on, or that are on their way.
    under_way: u32,
}

#[derive(Clone)]
struct Content {
    body: Value,
    custom_data: Option<String>,
}

pub(crate) struct Messages {
    make: Make,
    messages: BTreeMap<MessageId, Message>,
}

impl Messages {
    pub(crate) fn new(make: Make) -> Messages {
        Messages { make, messages: BTreeMap::new() }
    }

    /// A message that holds this text, and perhaps custom data.
    pub(crate) fn add(&mut self, id: MessageId, kind: Kind, text: &str, custom_data: Option<&str>) {
        let body = serde_json::json!([{ "MsgType": "TIMTextElem", "MsgContent": { "Text": text } }]);
        let content = Content { body, custom_data: custom_data.map(str::to_owned) };
        let before = content.clone();
        let (made, is_forgiven) = (None, false);
        let message = Message { kind, content, before, made, edits: 0, sent: 0, is_forgiven, under_way: 0 };
        self.messages.insert(id, message);
    }

    /// It holds what this edit wants.
    pub(crate) fn has(&self, edit: &Edit) -> bool {
        let Content { body, custom_data } = &self.messages[edit.id()].content;
        edit.msg_body().is_none_or(|wanted| json(wanted) == *body)
            && edit.cloud_custom_data().is_none_or(|wanted| wanted == custom_data.as_deref().unwrap_or_default())
    }

    /// This edit was made.
    pub(crate) fn was_made(&self, edit: &Edit) -> bool {
        let made = self.messages[edit.id()].made.as_ref();
        made.is_some_and(|made| made.content_digest() == edit.content_digest())
    }

    pub(crate) fn is_forgiven(&self, id: &MessageId) -> bool {
        self.messages[id].is_forgiven
    }

    pub(crate) fn kind(&self, id: &MessageId) -> Kind {
        self.messages[id].kind
    }

    pub(crate) fn edits(&self, id: &MessageId) -> u32 {
        self.messages[id].edits
    }

    /// Whether it can be told what became of an edit.
    pub(crate) fn can_be_told(&self, edit: &Edit) -> bool {
        let message = &self.messages[edit.id()];
        let has_time = edit.id().second().is_some();
        message.kind == Kind::Ordinary && has_time && self.make.history.proves(edit, &message.before)
    }

    /// A request goes out, from a process that sends again what is in doubt, or not. Returns how many others for the same
    /// message are under way.
    pub(crate) fn depart(&mut self, id: &MessageId, resends: bool) -> u32 {
        let Some(message) = self.messages.get_mut(id) else { return 0 };
        message.is_forgiven |= resends && message.sent > 0;
        message.sent += 1;
        message.under_way += 1;
        message.under_way - 1
    }

    /// The service is through with a request.
    pub(crate) fn settle(&mut self, id: &MessageId) {
        if let Some(message) = self.messages.get_mut(id) {
            message.under_way -= 1;
        }
    }

    /// The edit takes place, if there is such a message. Returns how many there were.
    pub(crate) fn edit(&mut self, edit: &Edit) -> Option<u32> {
        let message = self.messages.get_mut(edit.id()).filter(|message| message.kind != Kind::Gone)?;
        if let Some(body) = edit.msg_body() {
            message.content.body = json(body);
        }
        if let Some(data) = edit.cloud_custom_data() {
            message.content.custom_data = Some(data.to_owned());
        }
        message.made = Some(edit.clone());
        message.edits += 1;
        Some(message.edits)
    }

    /// A page of a history, from new to old.
    pub(crate) fn page(&self, question: &HistoryQuery) -> Result<HistoryPage, Outcome> {
        let refused = |code| Outcome::Refused { code, info: String::new(), retry_after: None, signed_anew: false };
        let operator = &question.operator;
        let sends = self.messages.keys().any(|id| id.from_account == *operator);
        if self.make.history.is_refused_to(if sends { Side::Sender } else { Side::Receiver }) {
            return Err(refused(if self.make.history == History::Refused { 60_005 } else { 90_048 }));
        }
        if self.make.names.is_some_and(|names| names != question.names) {
            return Err(refused(90_008));
        }
        let sides = [operator, &question.peer];
        let mut found: Vec<(u32, &MessageId, &Message)> = self
            .messages
            .iter()
            .filter(|(id, message)| {
                let is_theirs = sides.contains(&&id.from_account) && sides.contains(&&id.to_account);
                let is_shown = self.make.history != History::OneSided || id.to_account == *operator;
                message.kind != Kind::Gone && is_theirs && is_shown
            })
            .filter_map(|(id, message)| Some((id.second()?, id, message)))
            .filter(|(second, ..)| (question.min_time..=question.max_time).contains(second))
            .collect();
        found.sort_by(|a, b| (b.0, &b.1.msg_key).cmp(&(a.0, &a.1.msg_key)));
        // The key is looked for in the second that is named with it, and nowhere else.
        if let Some(last) = &question.last_msg_key
            && let Some(at) =
                found.iter().position(|(second, id, _)| id.msg_key == *last && *second == question.max_time)
        {
            found.drain(..=at);
        }
        let is_cut_short = self.make.history == History::CutShort;
        let complete = found.len() <= self.make.page && !is_cut_short;
        found.truncate(if is_cut_short { found.len() / 2 } else { self.make.page });
        let (last_msg_time, last_msg_key) =
            found.last().map_or((0, String::new()), |(second, id, _)| (*second, id.msg_key.clone()));
        let last_msg_key = if is_cut_short { String::new() } else { last_msg_key };
        let messages =
            found.iter().map(|(_, id, message)| self.held(id, message, id.from_account == *operator)).collect();
        Ok(HistoryPage { complete, last_msg_time, last_msg_key, messages })
    }

    fn held(&self, id: &MessageId, message: &Message, is_sender: bool) -> HistoryMessage {
        let history = self.make.history;
        let sees_old = matches!(history, History::SenderSeesOld | History::SenderSeesOldAlone) && is_sender;
        let is_old = sees_old || message.kind == Kind::Recalled;
        let Content { mut body, custom_data } = if is_old { &message.before } else { &message.content }.clone();
        if history == History::Adds {
            body[0]["MsgContent"]["Added"] = serde_json::json!(1);
        }
        let is_left_out = match history {
            History::NoCustomData => true,
            History::NoEmptyCustomData => custom_data.as_deref() == Some(""),
            _ => false,
        };
        HistoryMessage {
            id: id.clone(),
            recalled: message.kind == Kind::Recalled,
            msg_body: Some(body),
            cloud_custom_data: custom_data.filter(|_| !is_left_out),
        }
    }
}
