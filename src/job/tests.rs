use clap::Parser;

use super::*;
use crate::cli::Cli;

struct Fixed(&'static [(&'static str, &'static str)]);

impl Environment for Fixed {
    fn get(&self, name: &str) -> Option<OsString> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    }
}

const FULL: Fixed = Fixed(&[
    ("TIM_SDKAPPID", "1400000000"),
    ("TIM_IDENTIFIER", "administrator"),
    ("TIM_SECRET_KEY", "key"),
    ("TIM_REGION", "sgp"),
]);

fn job(flags: &str, environment: &Fixed, file: &str) -> Result<Job, JobError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("job.toml");
    std::fs::write(&path, file).unwrap();
    let flags = format!("runner --input e.csv --resume l.db --job {} {flags}", path.display());
    Job::new(&Cli::try_parse_from(flags.split_whitespace()).unwrap().job, environment)
}

fn host(flags: &str, environment: &Fixed, file: &str) -> String {
    job(flags, environment, file).unwrap().identity.unwrap().service
}

#[test]
fn flags_win_over_the_environment_and_both_over_the_file() {
    let file = "[service]\nregion = \"kor\"\n[pace]\nrate = 50\n[retry]\ntimeout = \"5s\"\nmax_failures = \"3\"";
    assert_eq!(host("--region usa", &FULL, file), "adminapiusa.im.qcloud.com:443");
    assert_eq!(host("--endpoint https://a.example:8443", &FULL, file), "a.example:8443");
    assert_eq!(host("", &FULL, file), "adminapisgp.im.qcloud.com:443");
    let without = Fixed(&FULL.0[..3]);
    assert_eq!(host("", &without, file), "adminapikr.im.qcloud.com:443");
    let job_ = job("", &FULL, file).unwrap();
    assert_eq!((job_.rate.get(), job_.in_flight_max), (50, 150));
    assert_eq!((job_.timeout, job_.failures), (Duration::from_secs(5), FailureLimit::Count(3)));
    assert_eq!(job("--rate 60", &FULL, file).unwrap().rate.get(), 60);
}

#[test]
fn what_cannot_be_is_named() {
    let check = |flags: &str, environment: &Fixed, file: &str, part: &str| {
        let error = job(flags, environment, file).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    let none = Fixed(&[]);
    check("", &none, "", "the service is not given");
    check("--region sgp", &none, "", "the app is not given");
    check("--region sgp --sdkappid 1", &none, "", "the admin account is not given");
    check("--region sgp --sdkappid 1 --identifier a", &none, "", "the secret is not given");
    check("--rate 201", &FULL, "", "above the most that is allowed, 200");
    check("--rate 11", &FULL, "[pace]\nmax_rate = 10", "above the most that is allowed, 10");
    check("--endpoint http://example.com", &FULL, "", "plain http");
    check("", &FULL, "[service]\nregon = \"sgp\"", "regon");
    check("", &FULL, "[service]\nsecret_key = \"x\"", "secret_key");
    check("", &FULL, "name = 3", "line 1, column 8");
    check("", &FULL, "[retry]\ntimeout = \"soon\"", "retry.timeout: write a time such as");
    check("", &FULL, "[retry]\nmax_failures = \"many\"", "retry.max_failures");
    check("", &Fixed(&[("TIM_REGION", "mars")]), "", "TIM_REGION: ");
    let two = Fixed(&[("TIM_SDKAPPID", "1"), ("TIM_IDENTIFIER", "a"), ("TIM_SECRET_KEY", "k"), ("TIM_USERSIG", "s")]);
    check("--region sgp", &two, "", "TIM_SECRET_KEY and TIM_USERSIG: are both set");
}

/// `--timeout 9223372036854775807s` was once taken, and made every attempt panic.
#[test]
fn every_number_has_an_upper_bound_that_is_told() {
    let check = |file: &str, part: &str| {
        let error = job("", &FULL, file).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    for (key, max) in [("rate", 1_000_000_u64), ("max_rate", 1_000_000), ("concurrency", 65_535)] {
        check(&format!("[pace]\n{key} = {}", max + 1), &format!("pace.{key}: write a whole number from 1 to {max}"));
    }
    check("[retry]\nmax_attempts = 1001", "retry.max_attempts: write a whole number from 1 to 1000");
    check("[retry]\ntimeout = \"9223372036854775807s\"", "retry.timeout: ");
    for flag in ["rate", "max-rate", "concurrency", "max-rows", "max-attempts", "timeout"] {
        for number in ["0", "-1", "18446744073709551615", "99999999999999999999999s", "x"] {
            let args = format!("runner --input a.csv --resume l.db --{flag}={number}");
            assert!(Cli::try_parse_from(args.split(' ')).is_err(), "{args}");
        }
    }
}

#[test]
fn a_signature_in_a_pasted_address_is_not_repeated() {
    let error = job("--endpoint https://u:pw@h.example/v4?usersig=SECRET", &FULL, "").unwrap_err().to_string();
    assert!(!error.contains("SECRET") && !error.contains("pw"), "{error}");
}

#[test]
fn the_sandbox_needs_no_credentials() {
    let job = job("--sandbox --rate 5000 --max-rate 5000", &Fixed(&[]), "name = \"n\"").unwrap();
    let identity = job.identity.unwrap();
    assert_eq!((identity.service.as_str(), identity.name.as_deref()), ("sandbox", Some("n")));
}

#[test]
fn what_is_wrong_in_the_file_is_shown_there() {
    let check = |file: &str| {
        let error = job("", &FULL, file).unwrap_err();
        let excerpt = error.excerpt().map(|excerpt| anstream::adapter::strip_str(&excerpt.render()).to_string());
        let told = error.to_string();
        // The file is in a temporary directory.
        let told = told.split_once("job.toml: ").map_or(told.as_str(), |(_, told)| told).to_owned();
        format!("{told}\n{}", excerpt.unwrap_or_default())
    };
    let shown = [
        check("name = \"a\"\n[pace]\nratee = 5\n"),
        check("[pace]\nrate = \"fast\""),
        check("[retry]\n  timeout = \"soon\""),
        check("[content]\ntext = \"{{ oops\"\n"),
        check("[input.columns]\nmsg_key = \"_k\"\n[content]\ntext = \"x\""),
        check("[content]\ntext = \"\"\"\n{{ 没有"),
        check("[service]\nsecret_key = \"abcdef\""),
    ];
    insta::assert_snapshot!(shown.join("\n"), @r#"
    line 3, column 1: unknown field `ratee`, expected one of `rate`, `max_rate`, `concurrency`
      |
    3 | ratee
      | ^^^^^
    line 2, column 8: invalid type: string "fast", expected a nonzero u32
      |
    2 | rate = "fast"
      |        ^^^^^^
    line 2, column 13: retry.timeout: write a time such as 10s, 500ms or 1m 30s
      |
    2 |   timeout = "soon"
      |             ^^^^^^ timeout
    line 2, column 8: the job's [content] text is not a valid template
      |
    2 | text = "{{ oops"
      |        ^^^^^^^^^ text
    line 1, column 1: the column "_k" begins with "_"; runner reserves such names for its own notes and never reads them, so rename the column
      |
    1 | [input.columns]
      | ^^^^^^^^^^^^^^^ columns
    line 3, column 6: invalid multi-line basic string, expected `"`
      |
    3 | {{ 没有
      |        ^
    line 2, column 1: unknown field `secret_key`, expected one of `region`, `endpoint`, `sdkappid`, `identifier`
      |
    2 | secret_key
      | ^^^^^^^^^^
    "#);
}
