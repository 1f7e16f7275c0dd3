//! What an answer of the service says.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::{Outcome, error_code};
use crate::ledger::Note;

/// The longest answer that is read. A real one has a hundred bytes; something in front of the service may send pages.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of the service's own words that are kept.
const INFO_CHARS_MAX: usize = 300;

/// The fields come in any order, and more may be added.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "ActionStatus")]
    action_status: String,
    #[serde(rename = "ErrorCode")]
    error_code: i64,
    /// For people only, so whatever it is, it must not stand in the way of the rest.
    #[serde(rename = "ErrorInfo", default)]
    error_info: serde_json::Value,
}

/// Reads the whole of an answer. Truth is in the body; the status counts only where the body is not the service's.
pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Outcome {
    let answer = serde_json::from_str::<Answer>(&String::from_utf8_lossy(body)).ok();
    let success = (200..300).contains(&status);
    // With another status it may be the word of something in front that speaks the same way: only a code that is known
    // counts then.
    let Some(answer) = answer.filter(|answer| success || error_code::lookup(answer.error_code).is_some()) else {
        return if success { Outcome::NoAnswer(Note::NotTheService) } else { Outcome::Http { status, retry_after } };
    };
    match (answer.action_status.as_str(), answer.error_code) {
        ("OK", 0) if success => Outcome::Confirmed,
        ("FAIL", code) if code != 0 => {
            let info = answer.error_info.as_str().unwrap_or_default().chars().take(INFO_CHARS_MAX).collect();
            Outcome::Refused { code, info, retry_after, signed_anew: false }
        }
        // It contradicts itself: nothing may be concluded from it.
        _ => Outcome::NoAnswer(Note::NotTheService),
    }
}

/// The value of a `Retry-After` header: seconds, or an HTTP date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // RFC 2822 and HTTP write dates alike, but for the name of the zone.
    let date = value.strip_suffix("GMT").map(|date| format!("{date}+0000"))?;
    let at = SystemTime::from(jiff::fmt::rfc2822::parse(&date).ok()?.timestamp());
    Some(at.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_services_clear_word_is_a_success() {
        let refused =
            |code, info: &str| Outcome::Refused { code, info: info.into(), retry_after: None, signed_anew: false };
        let no_answer = Outcome::NoAnswer(Note::NotTheService);
        for (status, body, expected) in [
            (200, r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"succeed"}"#, Outcome::Confirmed),
            (200, r#"{"New":[1],"ErrorCode":0,"ActionStatus":"OK"}"#, Outcome::Confirmed),
            (200, r#"{"ErrorInfo":"x","ErrorCode":20004,"ActionStatus":"FAIL"}"#, refused(20004, "x")),
            (502, r#"{"ErrorInfo":"x","ErrorCode":91000,"ActionStatus":"FAIL"}"#, refused(91000, "x")),
            (200, r#"{"ActionStatus":"OK","ErrorCode":20004}"#, no_answer.clone()),
            (200, r#"{"ActionStatus":"FAIL","ErrorCode":0}"#, no_answer.clone()),
            (502, r#"{"ActionStatus":"OK","ErrorCode":0}"#, Outcome::Http { status: 502, retry_after: None }),
            (503, r#"{"ActionStatus":"FAIL","ErrorCode":424242}"#, Outcome::Http { status: 503, retry_after: None }),
            (200, r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":null}"#, Outcome::Confirmed),
            (200, r#"{"ActionStatus":"OK"}"#, no_answer.clone()),
            (200, r#"{"ActionStatus":"OK","ErrorCode":0"#, no_answer.clone()),
            (200, "<html>", no_answer.clone()),
            (200, "", no_answer),
            (502, "<html>", Outcome::Http { status: 502, retry_after: None }),
            (404, "", Outcome::Http { status: 404, retry_after: None }),
        ] {
            assert_eq!(read(status, None, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn retry_after_comes_in_seconds_or_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |value: &str, expected| {
            assert_eq!(retry_after(value, now), Option::map(expected, Duration::from_secs), "{value}");
        };
        check("3", Some(3));
        check(" 0 ", Some(0));
        check("Sun, 06 Nov 1994 08:49:40 GMT", Some(3));
        check("Sun, 06 Nov 1994 08:49:30 GMT", Some(0));
        check("soon", None);
        check("-1", None);
        check("99999999999999999999999", None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status: u16, body: Vec<u8>, header: String) {
            read(status, None, &body);
            retry_after(&header, SystemTime::now());
        }
    }
}
