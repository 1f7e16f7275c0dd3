//! Properties of every text that a person, a job file or the service may write: no text makes a parser panic, what is
//! accepted is what was meant, and what is refused gets a message that can be shown.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser as _;
use jiff::Zoned;
use proptest::prelude::*;
use runner::api::endpoint::{Endpoint, RegionHost};
use runner::api::usersig;
use runner::cli::{self, Cli};
use runner::edit::{Edit, MessageId, MsgBody};
use runner::job::{Environment, Job};
use runner::run::FailureLimit;
use runner::sandbox::Faults;
use runner::sandbox::KeyParts;
use runner::terminal::escape::escape_control;
use serde_json::{Value, json};

/// A message may quote the text that it is about, so it must be safe to show.
fn can_be_shown(message: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(escape_control(message), message);
    Ok(())
}

/// Texts made mostly of pieces that the parser treats specially.
fn pieces(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    let piece = prop_oneof![8 => prop::sample::select(words).prop_map(str::to_owned), 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(&["TIMTextElem", "TIMFaceElem", "TIMRelayElem"][..]).prop_map(Value::from),
    ];
    let name = prop_oneof![
        prop::sample::select(&["MsgType", "MsgContent", "Text", "Index", "AbstractList"][..]).prop_map(String::from),
        any::<String>(),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Numbers and times of any size, and texts that resemble them.
fn amounts() -> impl Strategy<Value = String> {
    let units = &["", "%", "s", "ms", "h", "d", "y", " weeks", ":00", "e9", ".5"][..];
    prop_oneof![
        (any::<i128>(), prop::sample::select(units)).prop_map(|(number, unit)| format!("{number}{unit}")),
        (any::<u32>(), prop::sample::select(units)).prop_map(|(number, unit)| format!("{number}{unit}")),
        ("[0-9]{1,60}", prop::sample::select(units)).prop_map(|(number, unit)| number + unit),
        any::<f64>().prop_map(|number| number.to_string()),
        pieces(&[
            "1",
            "9",
            "0",
            "-",
            "+",
            ".",
            "_",
            "e",
            "inf",
            "nan",
            "0x",
            "%",
            "s",
            "h",
            ":",
            " ",
            "99999999999999999999"
        ]),
        any::<String>(),
    ]
}

struct Nothing;

impl Environment for Nothing {
    fn get(&self, _: &str) -> Option<OsString> {
        None
    }
}

/// The job of a dry run with this job file.
fn job(file: &[u8]) -> Result<Job, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("job.toml");
    std::fs::write(&path, file).unwrap();
    let words = ["runner", "--input", "e.csv", "--dry-run", "--job", path.to_str().unwrap()];
    Job::new(&Cli::try_parse_from(words).unwrap().job, &Nothing).map_err(|error| error.to_string())
}

/// The bounds that a run relies on: an hour can be added to any clock, and slots can be counted.
fn check_bounds(job: &Job) -> Result<(), TestCaseError> {
    prop_assert!(job.timeout > Duration::ZERO && job.timeout <= Duration::from_hours(1), "{:?}", job.timeout);
    prop_assert!(job.rate <= job.max_rate && job.max_rate.get() <= 1_000_000, "{} of {}", job.rate, job.max_rate);
    prop_assert!((1..=65_535).contains(&job.in_flight_max), "{}", job.in_flight_max);
    Ok(())
}

proptest! {
    #[test]
    fn any_elements_are_sent_as_they_are_or_refused(elements in prop::collection::vec(any_json(), 0..4)) {
        let text = Value::from(elements).to_string();
        let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "1_2_3".into() };
        match MsgBody::parse(&text) {
            Ok(body) => {
                let edit = Edit::new(id, Some(body), None).unwrap();
                let request = String::from_utf8(edit.request_body()).unwrap();
                let start = r#"{"From_Account":"a","To_Account":"b","MsgKey":"1_2_3","MsgBody":"#;
                prop_assert_eq!(request.strip_prefix(start).unwrap().strip_suffix('}').unwrap(), &text);
                for warning in edit.warnings() {
                    can_be_shown(&warning.what)?;
                }
            }
            Err(findings) => {
                prop_assert!(!findings.is_empty());
                for finding in findings {
                    can_be_shown(&finding.what)?;
                }
            }
        }
    }

    #[test]
    fn any_text_is_elements_or_is_refused(text in pieces(&[
        "[", "]", "{", "}", "\"", ":", ",", "\"MsgType\":", "\"TIMTextElem\"", "\"MsgContent\":", "\\ud83d", "\\u0000", "1e9",
        "-", "\u{feff}", " ", "null", "\"a\":1,",
    ])) {
        if let Err(findings) = MsgBody::parse(&text) {
            for finding in findings {
                can_be_shown(&finding.what)?;
            }
        }
    }

    /// A duplicate key is found at any depth.
    #[test]
    fn a_duplicate_key_is_never_accepted(content in any_json(), key in any::<String>(), depth in 0..6_usize) {
        let key = Value::from(key);
        let twice = format!("{{{key}:1,\"x{}\":{content},{key}:{content}}}", key.to_string().len());
        let nested = (0..depth).fold(twice, |inner, level| if level % 2 == 0 { format!("[1,{inner}]") } else { format!("{{\"a\":{inner}}}") });
        let text = format!(r#"[{{"MsgType":"TIMFutureElem","MsgContent":{{"A":{nested}}}}}]"#);
        prop_assert!(MsgBody::parse(&text).is_err());
    }

    #[test]
    fn a_job_file_is_a_job_or_is_refused(text in pieces(&[
        "[service]\n", "[pace]\n", "[retry]\n", "[input]\n", "[content]\n", "rate = ", "max_rate = ", "sdkappid = ", "text = ",
        "msg_body = ", "ignore = ", "columns = ", "\"", "'", "'''", "\n", "[", "]", "{", "}", "1", "-1", "200", "true", "=", ".",
        "{{ a }}", "{% for a in b %}", "{% endfor %}", "name = \"n\"\n", "confirm = \"always\"\n", "in_doubt = \"hold\"\n",
        "timeout = \"3s\"\n", "max_failures = \"5%\"\n",
    ])) {
        if let Ok(job) = job(text.as_bytes()) {
            prop_assert!(job.service.is_none(), "a dry run has no service");
        }
    }

    #[test]
    fn any_bytes_are_a_job_file_or_are_refused(bytes: Vec<u8>) {
        // Few byte strings other than comments are jobs.
        let _ = job(&bytes);
    }

    /// A time-out of 292 years once made every attempt panic.
    #[test]
    fn any_amount_on_the_command_line_is_within_bounds_or_refused(
        flag in prop::sample::select(&[
            "--rate", "--max-rate", "--concurrency", "--max-rows", "--max-attempts", "--timeout", "--max-failures", "--until",
            "--sdkappid", "--page",
        ][..]),
        amount in amounts(),
    ) {
        let word = format!("{flag}={amount}");
        match Cli::try_parse_from(["runner", "--input", "e.csv", "--dry-run", &word]) {
            Ok(cli) => {
                if let Some(until) = &cli.job.until {
                    let _ = until.moment(&Zoned::now());
                }
                if let Ok(job) = Job::new(&cli.job, &Nothing) {
                    check_bounds(&job)?;
                }
            }
            Err(error) => prop_assert!(error.use_stderr(), "{error}"),
        }
        for words in [["ctl", "ledger.db", "rate", &amount].as_slice(), &["sandbox", "--rate", &amount], &["sandbox", "--seed", &amount]] {
            let _ = Cli::try_parse_from(["runner"].iter().chain(words));
        }
    }

    #[test]
    fn any_amount_in_a_job_file_is_within_bounds_or_refused(
        key in prop::sample::select(&[
            "service.sdkappid", "pace.rate", "pace.max_rate", "pace.concurrency", "retry.max_attempts", "retry.timeout",
            "retry.max_failures",
        ][..]),
        amount in amounts(),
        quoted: bool,
    ) {
        let value = if quoted { json!(amount).to_string() } else { amount };
        if let Ok(job) = job(format!("{key} = {value}\n").as_bytes()) {
            check_bounds(&job)?;
        }
    }

    #[test]
    fn a_time_is_more_than_nothing(text in pieces(&["1", "0", "-", "+", ".", "5", "s", "ms", "m", "h", "d", " ", ",", "PT", "T", "ago", "99999999999"])) {
        match cli::time(&text) {
            Ok(time) => prop_assert!(time > Duration::ZERO),
            Err(error) => can_be_shown(&error)?,
        }
    }

    #[test]
    fn a_formatted_time_is_read_back(milliseconds in 1..=3_600_000_u64) {
        prop_assert_eq!(cli::time(&format!("{milliseconds}ms")), Ok(Duration::from_millis(milliseconds)));
    }

    #[test]
    fn a_failure_limit_is_displayed_as_it_is_parsed(text in pieces(&["0", "1", "20", "100", "%", "-", ".", " ", "99999999999999999999"])) {
        match text.parse::<FailureLimit>() {
            Ok(limit) => prop_assert_eq!(limit.to_string().parse::<FailureLimit>(), Ok(limit)),
            Err(error) => can_be_shown(&error.to_string())?,
        }
    }

    #[test]
    fn faults_are_displayed_as_they_are_parsed(text in pieces(&[
        "20004", "=", "%", ",", "1", "0.5", ".", "latency=", "20ms", "1.5s", "..", "lost-after=", "garbage=", "unknown=", "http-502=",
        "none", " ", "-",
    ])) {
        match text.parse::<Faults>() {
            Ok(faults) => prop_assert_eq!(faults.to_string().parse::<Faults>(), Ok(faults)),
            Err(error) => can_be_shown(&error.to_string())?,
        }
    }

    #[test]
    fn an_endpoint_is_safe_to_send_a_signature_to(text in pieces(&[
        "http", "https", "ftp", ":", "//", "/", "@", "?", "#", "localhost", "127.0.0.1", "[::1]", "example.com", ":8080", "user", "%00",
        "\\", "\t", "1", "xn--", "0x7f000001",
    ])) {
        match Endpoint::parse(&text) {
            Ok(endpoint) => {
                prop_assert!(endpoint.is_loopback() || endpoint.to_string().starts_with("https://"), "{}", endpoint);
                prop_assert_eq!(Endpoint::parse(&endpoint.to_string()), Ok(endpoint));
            }
            Err(error) => can_be_shown(&error.to_string())?,
        }
        if let Err(error) = text.parse::<RegionHost>() {
            can_be_shown(&error.to_string())?;
        }
    }

    #[test]
    fn any_text_is_no_usersig(text: String) {
        if let Err(error) = usersig::decode(&text) {
            can_be_shown(&error.to_string())?;
        }
    }

    #[test]
    fn a_message_key_splits_into_its_parts(parts: [u32; 3], other: String) {
        let [sequence, random, time] = parts;
        let key = KeyParts::of(&format!("{sequence}_{random}_{time}"));
        prop_assert_eq!(key.time, time);
        // For any other text, what matters is that it returns.
        let _ = KeyParts::of(&other);
    }

    #[test]
    fn any_custom_data_arrives(data: String) {
        let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "k".into() };
        let edit = Edit::new(id, None, Some(data.as_str().into())).unwrap();
        let request: Value = serde_json::from_slice(&edit.request_body()).unwrap();
        prop_assert_eq!(&request["CloudCustomData"], &json!(data));
    }
}
