//! What has to be said, in whatever language.

/// Every phrase of a language: fixed ones, and those that are made around something.
#[expect(missing_docs, reason = "a phrase says what it is")]
#[derive(Debug)]
pub struct Phrases {
    pub html_lang: &'static str,
    pub colon: &'static str,
    pub comma: &'static str,
    /// Days, hours, minutes, seconds.
    pub units: [&'static str; 4],
    pub day_format: &'static str,

    // Where edits are.
    pub totals: &'static str,
    pub messages: &'static str,
    pub messages_text: fn(&str) -> String,
    pub done: &'static str,
    pub failed: &'static str,
    pub in_doubt: &'static str,
    pub in_flight: &'static str,
    pub not_reached: &'static str,
    /// A number of one of these: `19 done`.
    pub counted: fn(&str, &str) -> String,
    pub done_means: &'static str,
    pub failed_means: &'static str,
    pub in_doubt_means: &'static str,
    pub in_flight_means: &'static str,
    pub not_reached_means: &'static str,

    // How runs end, and how operators change them.
    pub ended_finished: &'static str,
    pub ended_interrupted: &'static str,
    pub ended_stopped: &'static str,
    pub ended_died: &'static str,
    pub goes_on: &'static str,
    pub order_pause: &'static str,
    pub order_resume: &'static str,
    pub order_stop: &'static str,
    pub order_rate: fn(u32) -> String,

    // The verdict.
    pub nothing_sent: &'static str,
    pub all_done: fn(u64) -> String,
    pub all_done_so_far: fn(u64) -> String,
    pub some_failed: fn(u64, u64) -> String,
    /// Those that failed, are in doubt and were not reached, where that is more than one of the three; and all.
    pub some_not_done: fn([u64; 3], u64) -> String,
    pub some_in_doubt: fn(u64) -> String,
    pub some_not_reached: fn(u64, u64) -> String,
    pub run_goes_on: fn(u64, u64) -> String,
    /// For how long, at least, nothing has been heard of any runner; done; all.
    pub run_is_silent: fn(&str, u64, u64) -> String,
    pub what_silent: &'static str,
    pub what_lost: &'static str,
    pub run_paused: fn(u64, u64) -> String,
    pub run_stopping: fn(u64, u64) -> String,
    pub run_in_outage: fn(u64, u64) -> String,
    pub altered: &'static str,
    pub what_altered: &'static str,
    pub may_lack_commits: &'static str,
    pub what_commits_lost: &'static str,
    pub left_unknown: &'static str,
    pub what_failed: &'static str,
    pub what_in_doubt: &'static str,
    pub what_not_reached: &'static str,
    pub what_died: &'static str,
    pub what_stopped: fn(&str) -> String,
    pub to_resume: &'static str,
    pub resume_list: &'static str,
    pub resume_until: &'static str,
    pub resume_on_finish: &'static str,
    pub note_columns: [&'static str; 4],
    pub apostrophe_column: &'static str,
    pub resume_content: &'static str,
    pub resume_variables: fn(&str) -> String,
    pub resume_unless_in_job: fn(&str) -> String,

    // Charts.
    pub over_time: &'static str,
    pub over_time_note: &'static str,
    pub edits_a_second: &'static str,
    pub all_requests: &'static str,
    pub cap: &'static str,
    pub failed_or_in_doubt: &'static str,
    pub slowed_down: &'static str,
    pub paused: &'static str,
    pub rate_changed: &'static str,
    pub no_run: &'static str,
    pub no_samples: &'static str,
    pub over_time_text: fn(&OverTimeCaption<'_>) -> String,
    pub latency: &'static str,
    pub latency_axis: &'static str,
    pub latency_text: fn(&LatencyCaption) -> String,
    pub no_answers: &'static str,
    pub longer: &'static str,

    // Tables.
    pub outcomes: &'static str,
    pub outcomes_note: &'static str,
    pub code: &'static str,
    pub meaning: &'static str,
    pub answers: &'static str,
    pub answers_other: &'static str,
    pub success: &'static str,
    pub no_answer_yet: &'static str,
    pub not_sent_yet: &'static str,
    pub total: &'static str,
    pub no_outcomes: &'static str,
    pub runs: &'static str,
    pub runs_note: &'static str,
    pub runs_earlier: fn(usize) -> String,
    pub no_runs: &'static str,
    pub run: &'static str,
    pub started: &'static str,
    pub took: &'static str,
    pub ended: &'static str,
    pub who: &'static str,
    pub list: &'static str,
    pub rows_text: fn(u64, Option<u64>) -> String,
    pub cap_text: fn(u32) -> String,
    pub in_directory: fn(&str) -> String,
    pub through_proxy: fn(&str) -> String,
    pub acts: &'static str,
    pub audits: &'static str,
    pub log: &'static str,
    pub no_acts: &'static str,
    pub when: &'static str,
    pub what: &'static str,
    pub by: &'static str,
    pub not_done: &'static str,
    pub nothing_not_done: &'static str,
    pub failed_first: &'static str,
    pub in_doubt_first: &'static str,
    pub from_account: &'static str,
    pub to_account: &'static str,
    pub msg_key: &'static str,
    pub why: &'static str,
    pub attempts: &'static str,
    pub line: &'static str,
    pub sent_at: &'static str,
    pub and_more: fn(u64, &str) -> String,
    pub not_reached_listed: fn(u64) -> String,
    pub not_reached_text: fn(u64) -> String,

    // The table of the service's codes.
    pub code_range: &'static str,
    pub code_verdict: &'static str,
    pub code_meaning: &'static str,
    pub code_advice: &'static str,
    pub code_success: &'static str,
    pub code_unknown: fn(i64) -> String,

    // About the report itself.
    pub title: fn(&str) -> String,
    pub about: &'static str,
    pub ledger: &'static str,
    pub job: &'static str,
    pub app_at: fn(u64, &str) -> String,
    pub made_at: &'static str,
    pub version: &'static str,
    pub still_changing: &'static str,
    pub in_database: &'static str,
    pub words_mean: &'static str,
    pub print_hint: &'static str,

    // What a run is doing, and why nothing moves.
    pub state: &'static str,
    pub state_running: &'static str,
    pub state_held: &'static str,
    pub state_outage: &'static str,
    pub state_waiting: &'static str,
    pub state_paused: &'static str,
    pub state_stopping: &'static str,
    pub state_over: &'static str,
    pub held_because: &'static str,
    pub hold_start: fn(&str) -> String,
    pub hold_too_fast: fn(&str) -> String,
    pub hold_retry_after: fn(&str) -> String,
    /// How long it has lasted, since when, what the last try came to, and when the next one is; `None`: now.
    pub hold_outage: fn(&str, &str, &str, Option<&str>) -> String,
    pub hold_read_back: fn(&str) -> String,
    pub hold_read_first: fn(&str) -> String,
    pub hold_send_again: fn(&str) -> String,
    pub hold_ledger: &'static str,
    pub hold_others: &'static str,
    pub only_the_run_knows: &'static str,
    pub list_has_fewer: fn(u64) -> String,
    pub on_host: fn(&str) -> String,

    // The runners of a job that several machines share.
    pub runners: &'static str,
    pub runners_note: &'static str,
    pub runners_at_work: &'static str,
    /// How many, and since when.
    pub runners_since: fn(usize, &str) -> String,
    pub runners_earlier: fn(usize) -> String,
    pub host: &'static str,
    pub process: &'static str,
    pub user: &'static str,
    pub share: &'static str,
    pub renewed: &'static str,
    pub renewed_ago: fn(&str) -> String,
    pub ago: fn(&str) -> String,
    pub runner_live: &'static str,
    pub runner_held: &'static str,
    pub runner_silent: &'static str,
    pub runner_lost: &'static str,
    pub runner_ended: &'static str,
    /// Its share and its `--rate`.
    pub runner_share: fn(u32, u32) -> String,
    pub runner_speed: fn(&str) -> String,
    pub process_text: fn(u32) -> String,
    pub a_second: fn(u32) -> String,
    pub cap_of_run: fn(i64, &str) -> String,
    pub of_job: fn(&str) -> String,
    pub app: &'static str,
    /// The shares that are given out, the cap, and the live runs of other jobs.
    pub app_shares: fn(u32, u32, u64) -> String,
    pub told_to_stop: &'static str,

    // The status of a run.
    pub worker: fn(&str, &str) -> String,
    pub speed: &'static str,
    pub speed_text: fn(&str, u32) -> String,
    pub not_known_yet: &'static str,
    pub time_left: &'static str,
    pub time_left_text: fn(&str, &str) -> String,
    pub slow_downs: &'static str,
}

/// What the chart over time shows, for screen readers.
#[expect(missing_docs, reason = "each says what it is")]
#[derive(Clone, Copy, Debug)]
pub struct OverTimeCaption<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub runs: usize,
    pub settled: u64,
    pub fastest: f64,
    pub cap: u32,
    pub not_done: u64,
    pub slow_downs: u64,
}

/// How long answers took: of how many half, 95 % and 99 % took up to so long; `None`: longer than all bounds.
#[expect(missing_docs, reason = "each says what it is")]
#[derive(Clone, Copy, Debug)]
pub struct LatencyCaption {
    pub answers: u64,
    pub half_ms: Option<u32>,
    pub most_ms: Option<u32>,
    pub nearly_all_ms: Option<u32>,
}

impl LatencyCaption {
    /// `50 ms`, `3 s`, `1.1 s`.
    pub fn bound(ms: u32) -> String {
        if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", f64::from(ms) / 1_000.0) }
    }
}
