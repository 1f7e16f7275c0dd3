//! Parsing the service's answers.

use std::time::{Duration, SystemTime};

use serde::Deserialize;

use super::Outcome;

/// The longest answer that is read. A real one has about a hundred bytes; a proxy or gateway may send whole pages.
pub(super) const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Characters of `ErrorInfo` that are kept.
const INFO_CHARS_MAX: usize = 300;

/// The fields may come in any order, and the service may add more.
#[derive(Deserialize)]
struct AnswerBody {
    #[serde(rename = "ActionStatus")]
    action_status: String,
    #[serde(rename = "ErrorCode")]
    error_code: i64,
    /// For people only, so a value of any type is accepted.
    #[serde(rename = "ErrorInfo", default)]
    error_info: serde_json::Value,
}

/// The only status that the service answers with, for successes and refusals alike.
pub(super) const OK: u16 = 200;

/// Reads a whole answer. Only a 200 whose body is the service's JSON is one: anything else comes from something in
/// between, which may have passed the request on before it gave up, even if it speaks the same JSON.
pub(super) fn read(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Outcome {
    let no_answer = Outcome::Http { status, retry_after };
    if status != OK {
        return no_answer;
    }
    let Ok(answer) = serde_json::from_str::<AnswerBody>(&String::from_utf8_lossy(body)) else { return no_answer };
    match (answer.action_status.as_str(), answer.error_code) {
        ("OK", 0) => retry_after.map_or(Outcome::Confirmed, Outcome::ConfirmedAndAsks),
        ("FAIL", code) if code != 0 => {
            let info = answer.error_info.as_str().unwrap_or_default().chars().take(INFO_CHARS_MAX).collect();
            Outcome::Refused { code, info, retry_after, signed_anew: false }
        }
        // The answer contradicts itself, so nothing may be concluded from it.
        _ => no_answer,
    }
}

/// The value of a `Retry-After` header: seconds, or an HTTP date.
pub(super) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // RFC 2822 and HTTP dates differ only in the name of the zone.
    let date = value.strip_suffix("GMT").map(|date| format!("{date}+0000"))?;
    let time = SystemTime::from(jiff::fmt::rfc2822::parse(&date).ok()?.timestamp());
    Some(time.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_an_unambiguous_confirmation_is_a_success() {
        let refused =
            |code, info: &str| Outcome::Refused { code, info: info.into(), retry_after: None, signed_anew: false };
        let http = |status| Outcome::Http { status, retry_after: None };
        for (status, body, expected) in [
            (200, r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":"succeed"}"#, Outcome::Confirmed),
            (200, r#"{"New":[1],"ErrorCode":0,"ActionStatus":"OK"}"#, Outcome::Confirmed),
            (200, r#"{"ErrorInfo":"x","ErrorCode":20004,"ActionStatus":"FAIL"}"#, refused(20004, "x")),
            (200, r#"{"ActionStatus":"OK","ErrorCode":20004}"#, http(200)),
            (200, r#"{"ActionStatus":"FAIL","ErrorCode":0}"#, http(200)),
            (200, r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":null}"#, Outcome::Confirmed),
            (200, r#"{"ActionStatus":"OK"}"#, http(200)),
            (200, r#"{"ActionStatus":"OK","ErrorCode":0"#, http(200)),
            (200, "<html>", http(200)),
            (200, "", http(200)),
            (502, "<html>", http(502)),
            (404, "", http(404)),
        ] {
            assert_eq!(read(status, None, body.as_bytes()), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_success_may_ask_for_a_pause() {
        let (ok, pause) = (br#"{"ActionStatus":"OK","ErrorCode":0}"#, Duration::from_secs(7));
        assert_eq!(read(200, Some(pause), ok), Outcome::ConfirmedAndAsks(pause));
    }

    /// A gateway may answer in the service's own format, and for a request that it has passed on.
    #[test]
    fn no_other_status_is_an_answer_whatever_its_body_says() {
        let retry_after = Some(Duration::from_secs(7));
        for status in [201, 202, 204, 206, 301, 302, 304, 400, 401, 403, 404, 408, 413, 425, 429, 500, 502, 503, 504] {
            for body in [
                r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#,
                r#"{"ActionStatus":"FAIL","ErrorCode":91000,"ErrorInfo":"x"}"#,
                r#"{"ActionStatus":"FAIL","ErrorCode":70003,"ErrorInfo":"x"}"#,
                r#"{"ActionStatus":"FAIL","ErrorCode":20026,"ErrorInfo":"x"}"#,
                "<html>",
                "",
            ] {
                let expected = Outcome::Http { status, retry_after };
                assert_eq!(read(status, retry_after, body.as_bytes()), expected, "{status} {body}");
            }
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
        fn no_answer_causes_a_panic(status: u16, body: Vec<u8>, header: String) {
            read(status, None, &body);
            retry_after(&header, SystemTime::now());
        }
    }
}
