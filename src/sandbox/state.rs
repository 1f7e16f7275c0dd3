//! The mutable state of the sandbox, behind one lock: what a request does, and how it is answered.
//!
//! A request is counted, measured against the rate limit, checked, and only then meets a fault: so a fault never hides
//! that the request was wrong, and a message is known as soon as a valid request named it.

use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use super::faults::{Fault, Faults};
use super::history::Window;
use super::model::{Counts, Messages};
use super::request::Modify;
use super::traffic::{Answered, ApiStats, Traffic};
use crate::api::endpoint::ApiMethod;
use crate::api::error_code;
use crate::edit::{IdDigest, MessageId};

const SUCCESS_JSON: &str = r#"{"ActionStatus":"OK","ErrorInfo":"succeed","ErrorCode":0}"#;

/// What the client gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SandboxAnswer {
    /// HTTP 200 with the service's JSON.
    Json(Bytes),
    /// A page of HTML with this HTTP status, which may be 200.
    Html(u16),
    /// No answer: the connection is closed.
    Closed,
    /// No answer: the connection stays open until the client leaves.
    Silence,
}

/// An answer, and how long to delay it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// What the client gets.
    pub(super) answer: SandboxAnswer,
    /// The delay after the request took effect.
    pub(super) delay: Duration,
    /// The edit that takes effect later, whatever the client receives.
    pub(super) late: Option<LateEdit>,
}

/// An edit that takes effect some time after its request: pass it to [`SandboxState::apply_late`] then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LateEdit {
    /// The delay after its request.
    pub(super) after: Duration,
    slot: u32,
    edit: Modify,
}

/// The statistics of a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stats {
    /// The requests to edit.
    pub modify_c2c_msg: ApiStats,
    /// The requests to read back.
    pub admin_getroammsg: ApiStats,
    /// The messages, and how often they were edited.
    #[serde(flatten)]
    pub messages: Counts,
    /// Late edits that have not taken effect yet.
    pub edits_to_come: u64,
    /// The current faults.
    pub faults: String,
}

/// The state of a sandbox; see the module.
#[derive(Debug)]
pub(super) struct SandboxState {
    /// The faults, from the next request on.
    pub(super) faults: Faults,
    /// The messages.
    pub(super) messages: Messages,
    seed: u64,
    rng: fastrand::Rng,
    modify: Traffic,
    read: Traffic,
    edits_to_come: u64,
}

impl SandboxState {
    /// A new state, which admits `rate` requests per second for each API.
    pub(super) fn new(rate: u32, faults: Faults, seed: u64) -> SandboxState {
        SandboxState {
            faults,
            messages: Messages::default(),
            seed,
            rng: fastrand::Rng::with_seed(seed),
            modify: Traffic::new(rate),
            read: Traffic::new(rate),
            edits_to_come: 0,
        }
    }

    /// Answers a request to edit, whose body was read at `at` after the start and parsed to this edit, or refused with
    /// this code.
    pub(super) fn modify(&mut self, at: Duration, request: Result<Modify, i64>) -> Reply {
        if !self.modify.record_arrival(at) {
            return self.reply_to_modify(None, refusal(60007));
        }
        let found = request.and_then(|edit| {
            let slot = self.find_or_make(&edit.id, edit.digest).ok_or(20026)?;
            Ok((edit, slot))
        });
        let (edit, slot) = match found {
            Ok(done) => done,
            Err(code) => return self.reply_to_modify(None, refusal(code)),
        };
        let fault = self.faults.draw(ApiMethod::ModifyC2cMsg, &mut self.rng);
        if fault.is_none_or(Fault::takes_effect) {
            self.messages.edit(slot, edit.msg_body.as_deref(), edit.cloud_custom_data.as_deref());
        }
        let mut reply = self.reply_to_modify(fault, (0, Bytes::from_static(SUCCESS_JSON.as_bytes())));
        if fault == Some(Fault::LostLate) {
            self.edits_to_come += 1;
            reply.late = Some(LateEdit { after: Faults::draw_late(&mut self.rng), slot, edit });
        }
        reply
    }

    /// Applies a late edit.
    pub(super) fn apply_late(&mut self, late: &LateEdit) {
        let LateEdit { slot, edit, .. } = late;
        self.messages.edit(*slot, edit.msg_body.as_deref(), edit.cloud_custom_data.as_deref());
        self.edits_to_come -= 1;
    }

    /// Answers a request to read back, like [`SandboxState::modify`].
    pub(super) fn read(&mut self, at: Duration, request: Result<Window, i64>) -> Reply {
        let (fault, answer) = if self.read.record_arrival(at) {
            match request {
                Ok(window) => {
                    let page = self.messages.page(&window, self.faults.history().is_one_sided);
                    (self.faults.draw(ApiMethod::AdminGetRoamMsg, &mut self.rng), (0, page.into()))
                }
                Err(code) => (None, refusal(code)),
            }
        } else {
            (None, refusal(60007))
        };
        reply(&self.faults, &mut self.rng, &mut self.read, fault, answer)
    }

    /// The statistics so far.
    pub(super) fn stats(&self) -> Stats {
        Stats {
            modify_c2c_msg: self.modify.stats(),
            admin_getroammsg: self.read.stats(),
            messages: self.messages.counts(),
            edits_to_come: self.edits_to_come,
            faults: self.faults.to_string(),
        }
    }

    /// Adds a message, as if a request had named it.
    pub(super) fn add_message(&mut self, id: &MessageId) {
        self.find_or_make(id, id.digest());
    }

    /// A message that was named before stays known, whatever share is unknown now.
    fn find_or_make(&mut self, id: &MessageId, digest: IdDigest) -> Option<u32> {
        if let Some(slot) = self.messages.find(digest) {
            return Some(slot);
        }
        let hash = digest.0.iter().take(8).fold(0, |hash, byte| hash << 8 | u64::from(*byte));
        if self.faults.is_unknown(self.seed, hash) {
            return None;
        }
        self.messages.make(id, digest)
    }

    fn reply_to_modify(&mut self, fault: Option<Fault>, answer: (i64, Bytes)) -> Reply {
        reply(&self.faults, &mut self.rng, &mut self.modify, fault, answer)
    }
}

/// Counts the answer and builds the reply: `answer`, unless a fault replaces it.
fn reply(
    faults: &Faults,
    rng: &mut fastrand::Rng,
    traffic: &mut Traffic,
    fault: Option<Fault>,
    (code, json): (i64, Bytes),
) -> Reply {
    let (answered, answer) = match fault {
        None => (Answered::Code(code), SandboxAnswer::Json(json)),
        Some(Fault::Code(code)) => (Answered::Code(code), SandboxAnswer::Json(refusal(code).1)),
        Some(fault @ (Fault::LostBefore | Fault::LostAfter)) => (Answered::Fault(fault), SandboxAnswer::Closed),
        // Without delay: the client must be gone before the edit takes effect.
        Some(fault @ Fault::LostLate) => {
            traffic.record_answer(Answered::Fault(fault));
            return Reply { answer: SandboxAnswer::Closed, delay: Duration::ZERO, late: None };
        }
        Some(fault @ (Fault::SilentBefore | Fault::SilentAfter)) => (Answered::Fault(fault), SandboxAnswer::Silence),
        Some(fault @ (Fault::Http(status) | Fault::HttpAfter(status))) => {
            (Answered::Fault(fault), SandboxAnswer::Html(status))
        }
        Some(fault @ Fault::Garbage) => (Answered::Fault(fault), SandboxAnswer::Html(200)),
    };
    traffic.record_answer(answered);
    Reply { answer, delay: faults.draw_latency(rng), late: None }
}

/// A code, and the service's JSON for it.
pub(super) fn refusal(code: i64) -> (i64, Bytes) {
    let meaning = error_code::lookup(code).map_or("a code that is in no public list", |entry| entry.meaning);
    let info = serde_json::Value::from(format!("sandbox: {meaning}"));
    (code, format!(r#"{{"ActionStatus":"FAIL","ErrorInfo":{info},"ErrorCode":{code}}}"#).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(key: &str) -> MessageId {
        MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: key.into() }
    }

    fn edit(key: &str) -> Modify {
        let id = id(key);
        Modify { digest: id.digest(), id, msg_body: Some("[1]".into()), cloud_custom_data: None }
    }

    fn state(faults: &str) -> SandboxState {
        SandboxState::new(200, faults.parse().unwrap(), 1)
    }

    fn code_of(reply: &Reply) -> i64 {
        let SandboxAnswer::Json(json) = &reply.answer else { panic!("{reply:?}") };
        serde_json::from_slice::<serde_json::Value>(json).unwrap()["ErrorCode"].as_i64().unwrap()
    }

    fn window() -> Window {
        let conversation = id("").conversation();
        Window { operator: "a".into(), conversation, max_count: 9, min_time: 0, max_time: 9, last_msg_key: None }
    }

    /// The keys that this account sees when it reads back.
    fn keys(state: &mut SandboxState, operator: &str) -> Vec<String> {
        let window = Window { operator: operator.into(), ..window() };
        let SandboxAnswer::Json(page) = state.read(Duration::ZERO, Ok(window)).answer else { panic!() };
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        let list = page["MsgList"].as_array().unwrap();
        assert_eq!(page["MsgCnt"], list.len());
        list.iter().map(|message| message["MsgKey"].as_str().unwrap().to_owned()).collect()
    }

    /// Checks the answer under a fault that always happens, and the number of edits that took effect.
    fn check(fault: &str, answer: &SandboxAnswer, edits: u64) {
        let mut state = state(&format!("{fault}=100%"));
        let reply = state.modify(Duration::ZERO, Ok(edit("1_2_3")));
        assert_eq!(&reply.answer, answer, "{fault}");
        let seen = state.stats();
        assert_eq!((seen.messages.edits, seen.messages.messages_known), (edits, 1), "{fault}");
        assert_eq!(seen.modify_c2c_msg.answers, [(fault.to_owned(), 1)].into(), "{fault}");
    }

    #[test]
    fn each_fault_does_what_it_says_and_the_message_is_known_in_any_case() {
        check("20004", &SandboxAnswer::Json(refusal(20004).1), 0);
        check("lost-before", &SandboxAnswer::Closed, 0);
        check("lost-after", &SandboxAnswer::Closed, 1);
        check("lost-late", &SandboxAnswer::Closed, 0);
        check("silent-before", &SandboxAnswer::Silence, 0);
        check("silent-after", &SandboxAnswer::Silence, 1);
        check("http-502", &SandboxAnswer::Html(502), 0);
        check("http-408-after", &SandboxAnswer::Html(408), 1);
        check("garbage", &SandboxAnswer::Html(200), 1);
    }

    #[test]
    fn a_late_edit_takes_effect_when_it_is_due_and_counts_like_any_other() {
        let mut state = state("edit.lost-late=100%,latency=1s");
        let reply = state.modify(Duration::ZERO, Ok(edit("1_2_3")));
        assert_eq!((&reply.answer, reply.delay), (&SandboxAnswer::Closed, Duration::ZERO));
        assert_eq!((state.stats().messages.edits, state.stats().edits_to_come), (0, 1));
        // Sent again in the meantime, and both take effect.
        state.faults = Faults::none();
        assert_eq!(code_of(&state.modify(Duration::ZERO, Ok(edit("1_2_3")))), 0);
        state.apply_late(&reply.late.unwrap());
        let seen = state.stats();
        assert_eq!((seen.messages.edits, seen.messages.edited_more_than_once, seen.edits_to_come), (2, 1, 0));
    }

    #[test]
    fn an_edit_without_fault_takes_effect() {
        let mut state = state("none");
        let reply = state.modify(Duration::ZERO, Ok(edit("1_2_3")));
        assert_eq!((code_of(&reply), reply.delay), (0, Duration::ZERO));
        let slot = state.messages.find(id("1_2_3").digest()).unwrap();
        assert_eq!(&*state.messages.get(slot).unwrap().msg_body(), "[1]");
    }

    #[test]
    fn a_wrong_request_is_refused_before_any_fault() {
        let mut state = state("lost-after=100%");
        assert_eq!(code_of(&state.modify(Duration::ZERO, Err(90003))), 90003);
        assert_eq!(state.stats().messages.messages_known, 0);
    }

    #[test]
    fn over_the_cap_nothing_takes_effect_and_each_api_has_its_own() {
        let mut state = SandboxState::new(2, Faults::none(), 1);
        let codes: Vec<i64> =
            ["1_1_1", "2_2_2", "3_3_3"].map(|key| code_of(&state.modify(Duration::ZERO, Ok(edit(key))))).into();
        assert_eq!(codes, [0, 0, 60007]);
        assert_eq!(code_of(&state.read(Duration::ZERO, Ok(window()))), 0);
        let seen = state.stats();
        assert_eq!((seen.messages.edits, seen.messages.messages_known), (2, 2));
        assert_eq!((seen.modify_c2c_msg.over_cap, seen.admin_getroammsg.over_cap), (1, 0));
        assert_eq!(code_of(&state.modify(Duration::from_secs(1), Ok(edit("3_3_3")))), 0);
    }

    #[test]
    fn an_unknown_message_stays_unknown_and_a_known_one_known() {
        let mut state = state("none");
        assert_eq!(code_of(&state.modify(Duration::ZERO, Ok(edit("1_1_1")))), 0);
        state.faults = "unknown=100%".parse().unwrap();
        assert_eq!(code_of(&state.modify(Duration::ZERO, Ok(edit("1_1_1")))), 0);
        for _ in 0..3 {
            assert_eq!(code_of(&state.modify(Duration::ZERO, Ok(edit("2_2_2")))), 20026);
        }
        assert_eq!(keys(&mut state, "a"), ["1_1_1"]);
    }

    #[test]
    fn faults_meet_reading_back_as_well() {
        let mut state = state("http-429=100%,latency=5ms");
        let reply = state.read(Duration::ZERO, Ok(window()));
        assert_eq!(reply, Reply { answer: SandboxAnswer::Html(429), delay: Duration::from_millis(5), late: None });
        state.faults = "edit.http-429=100%".parse().unwrap();
        assert_eq!(code_of(&state.read(Duration::ZERO, Ok(window()))), 0);
        for lost in ["lost-late=100%", "read.lost-before=100%"] {
            state.faults = lost.parse().unwrap();
            assert_eq!(state.read(Duration::ZERO, Ok(window())).answer, SandboxAnswer::Closed);
        }
        assert_eq!(state.stats().edits_to_come, 0);
    }

    #[test]
    fn a_one_sided_history_shows_only_received_messages() {
        let mut state = state("none");
        assert_eq!(code_of(&state.modify(Duration::ZERO, Ok(edit("1_1_1")))), 0);
        assert_eq!((keys(&mut state, "a"), keys(&mut state, "b")), (vec!["1_1_1".into()], vec!["1_1_1".into()]));
        state.faults = "history=one-sided".parse().unwrap();
        assert_eq!((keys(&mut state, "a"), keys(&mut state, "b")), (vec![], vec!["1_1_1".to_owned()]));
    }
}
