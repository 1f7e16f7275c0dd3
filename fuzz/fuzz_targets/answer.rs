#![no_main]
use libfuzzer_sys::fuzz_target;
use runner::api::Outcome;
use serde_json::Value;

/// The parser is private to the client, so it is included as a file.
#[path = "../../src/api"]
mod api {
    pub(crate) use runner::api::Outcome;

    #[expect(dead_code, reason = "only the parsers' own crate uses all of it")]
    mod answer;
    #[expect(dead_code, reason = "only the parsers' own crate uses all of it")]
    mod history;

    pub(crate) fn read(status: u16, retry_after: Option<std::time::Duration>, body: &[u8]) -> Outcome {
        answer::read(status, retry_after, body)
    }

    /// Whether it is a page of a history.
    pub(crate) fn is_page(status: u16, body: &[u8]) -> bool {
        history::read(status, None, body).is_ok()
    }

    pub(crate) fn retry_after(header: &str) -> Option<std::time::Duration> {
        answer::retry_after(header, std::time::SystemTime::UNIX_EPOCH)
    }
}

mod edit {
    pub(crate) use runner::edit::MessageId;
}

fuzz_target!(|body: &[u8]| {
    let retry_after = api::retry_after(&String::from_utf8_lossy(body));
    for status in [200, 204, 302, 404, 429, 502] {
        let outcome = api::read(status, retry_after, body);
        let is_confirmed = matches!(outcome, Outcome::Confirmed | Outcome::ConfirmedAndAsks(_));
        assert!(is_confirmed || !api::is_page(status, body));
        match outcome {
            Outcome::Confirmed | Outcome::ConfirmedAndAsks(_) => {
                // An ignored field may hold invalid text, such as half a surrogate pair.
                if let Ok(answer) = serde_json::from_str::<Value>(&String::from_utf8_lossy(body)) {
                    assert_eq!((answer["ActionStatus"].as_str(), answer["ErrorCode"].as_i64()), (Some("OK"), Some(0)));
                }
                assert_eq!(status, 200);
            }
            Outcome::Refused { code, info, .. } => {
                assert!(status == 200 && code != 0 && info.chars().count() <= 300);
            }
            Outcome::Http { .. } => {}
            Outcome::NoAnswer(_) | Outcome::NotSent { .. } | Outcome::NoSignature | Outcome::HeldBack => {
                panic!("it was answered")
            }
        }
    }
});
