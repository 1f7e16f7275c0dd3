//! In English.

use thousands::Separable;

use super::phrases::{LatencyCaption, OverTimeCaption, Phrases};
use crate::input::APOSTROPHE_COLUMNS;

pub(super) static ENGLISH: Phrases = Phrases {
    html_lang: "en",
    colon: ": ",
    comma: ", ",
    units: ["d", "h", "min", "s"],
    day_format: "%-d %b",

    totals: "Totals",
    messages: "messages",
    messages_text: |number| if number == "1" { "1 message".to_owned() } else { format!("{number} messages") },
    done: "done",
    failed: "failed",
    in_doubt: "in doubt",
    in_flight: "in flight",
    not_reached: "not reached",
    counted: |number, what| format!("{number} {what}"),
    done_means: "the service confirmed the edit, or reading the message back showed it",
    failed_means: "the service refused the edit for good, or every attempt; the message is as it was",
    in_doubt_means: "the answer was lost: it is not known yet whether the message was edited",
    in_flight_means: "being sent right now",
    not_reached_means: "not edited yet",

    ended_finished: "finished",
    ended_interrupted: "interrupted",
    ended_stopped: "stopped",
    ended_died: "cut off",
    goes_on: "in progress",
    order_pause: "pause",
    order_resume: "resume",
    order_stop: "stop",
    order_rate: |rate| format!("rate {rate}"),

    nothing_sent: "Nothing has been sent yet.",
    all_done: |all| match all {
        1 => "The one edit is done.".to_owned(),
        all => format!("All {} edits are done.", all.separate_with_commas()),
    },
    all_done_so_far: |all| format!("All {} in the ledger are done.", edits(all)),
    some_failed: |failed, all| format!("{} of {} failed.", edits(failed), all.separate_with_commas()),
    some_not_done: |[failed, in_doubt, not_reached], all| {
        let mut parts = Vec::new();
        if failed > 0 {
            parts.push(format!("{} failed", failed.separate_with_commas()));
        }
        if in_doubt > 0 {
            parts.push(format!("{} {} in doubt", in_doubt.separate_with_commas(), are(in_doubt)));
        }
        if not_reached > 0 {
            parts.push(format!("{} {} not reached yet", not_reached.separate_with_commas(), are(not_reached)));
        }
        let last = parts.pop().unwrap_or_default();
        let and = if parts.len() > 1 { "," } else { "" };
        format!("Of {}, {}{and} and {last}.", edits(all), parts.join(", "))
    },
    some_in_doubt: |in_doubt| format!("{} {} in doubt.", edits(in_doubt), are(in_doubt)),
    some_not_reached: |left, all| {
        format!("{} of {} {} not reached yet.", edits(left), all.separate_with_commas(), are(left))
    },
    run_goes_on: |done, all| {
        format!("A run is in progress: {} of {} done so far.", done.separate_with_commas(), edits(all))
    },
    run_is_silent: |length, done, all| {
        format!(
            "No runner has been heard from for {length}: {} of {} done so far.",
            done.separate_with_commas(),
            edits(all)
        )
    },
    what_silent: "They were cut off from the database, or have died; either way they send nothing by now. The same command, \
                  here or on another machine, takes over.",
    what_lost: "The last run was cut off: none of its runners came to the end, and at least one was lost. The same command \
                resumes it, and first reads back what was under way.",
    run_paused: |done, all| format!("A run is paused: {} of {} done so far.", done.separate_with_commas(), edits(all)),
    run_stopping: |done, all| {
        format!("A run is stopping: {} of {} done so far.", done.separate_with_commas(), edits(all))
    },
    run_in_outage: |done, all| {
        format!(
            "A run goes on, but the service is out of reach: {} of {} done so far.",
            done.separate_with_commas(),
            edits(all)
        )
    },
    altered: "This ledger was altered, or is damaged.",
    what_altered: "Not all that it says follows from its log of events: runner verify tells what, where and from which event on. \
                   What is below is what it says now. Do not resume it before that is cleared up: messages could be edited again.",
    may_lack_commits: "The newest commits of this ledger are missing.",
    what_commits_lost: "A run began and did not end, and the log that SQLite keeps beside it (its name with -wal) is gone or was \
                        folded in by another program, so what was sent last is not known: the numbers below may be too low. \
                        If the log was left behind, put it back beside the ledger. Otherwise resume with --read-first: \
                        each message that is not recorded as done is read before it is sent.",
    left_unknown: "How much of the list is left is not known: a first version of the program wrote this ledger.",
    what_failed: "Failed: the messages are as before. Fix their rows in the list of failed rows beside the ledger \
                  (after a run that was cut off: in failed.csv of runner report --csv), and run that list with \
                  --retry-failed.",
    what_in_doubt: "In doubt: the answer was lost, so the message may or may not have been edited. The next run reads it \
                    back; check on a phone what that cannot settle.",
    what_not_reached: "Not reached: the same command continues with what is left.",
    what_died: "The last run was cut off: its process died (killed, or a power cut). The same command \
                resumes it, and first reads back what was under way.",
    what_stopped: |reason| format!("The last run was stopped: {}.", reason.trim_end_matches('.')),
    to_resume: "To resume",
    resume_list: "It reads the same list from standard input: add < FILE, or pipe it in.",
    resume_until: "--until is left out, as that time comes only once: add a new one if the run is to stop again.",
    resume_on_finish: "--on-finish is left out, as its command may hold a secret and is not recorded: add it again.",
    note_columns: ["_code", "_meaning", "_attempts", "_line"],
    apostrophe_column: APOSTROPHE_COLUMNS[0],
    resume_content: "--text and --custom-data are left out, as no ledger records what messages hold: add what was given.",
    resume_variables: |names| format!("It needs these variables, as before: {names}."),
    resume_unless_in_job: |names| format!("And these, unless the job file sets them: {names}."),

    over_time: "Over time",
    over_time_note: "Settled edits a second, the cap as a dashed line. Times without a run are left out.",
    edits_a_second: "edits a second",
    all_requests: "requests a second, with those sent again and read back",
    cap: "cap",
    failed_or_in_doubt: "failed or in doubt",
    slowed_down: "the service said \u{201c}too fast\u{201d}",
    paused: "paused",
    rate_changed: "rate changed",
    no_run: "no run",
    no_samples: "There is nothing to draw: no run was long enough, or the ledger is of a first version.",
    over_time_text: |caption| {
        let OverTimeCaption { from, to, runs, settled, fastest, cap, not_done, slow_downs } = *caption;
        let runs = if runs == 1 { "one run".to_owned() } else { format!("{runs} runs") };
        format!(
            "From {from} to {to}, {runs}: {} settled, at most {fastest:.0} a second under a cap of {cap}; {} of them \
             failed or in doubt; slowed down {} times.",
            edits(settled),
            not_done.separate_with_commas(),
            slow_downs.separate_with_commas()
        )
    },
    latency: "How long answers took",
    latency_axis: "share of the answers to edits, by how long they took",
    latency_text: |caption| {
        let LatencyCaption { answers, half_ms, most_ms, nearly_all_ms } = *caption;
        let bound = |ms: Option<u32>| match ms {
            Some(ms) => format!("within {}", LatencyCaption::bound(ms)),
            None => "longer than 10 s".to_owned(),
        };
        if answers == 1 {
            return format!("The one answer came {}.", bound(half_ms));
        }
        format!(
            "Half of {} answers came {}, 95 % {}, 99 % {}.",
            answers.separate_with_commas(),
            bound(half_ms),
            bound(most_ms),
            bound(nearly_all_ms)
        )
    },
    no_answers: "There is nothing to draw: no answer has come yet, or the ledger is of a first version.",
    longer: "longer",

    outcomes: "Outcomes by code",
    outcomes_note: "The last answer to each edit, and how often each answer came in all: an edit that was sent again has \
                    more than one.",
    code: "code",
    meaning: "meaning, and what to do",
    answers: "answers",
    answers_other: "Answers other than success",
    success: "success",
    no_answer_yet: "no answer yet",
    not_sent_yet: "not sent yet",
    total: "total",
    no_outcomes: "No edit has been sent yet.",
    runs: "Runs",
    runs_note: "Each edit is counted in the run that sent it last.",
    runs_earlier: |more| match more {
        1 => "One earlier run is in summary.json.".to_owned(),
        more => format!("{more} earlier runs are in summary.json."),
    },
    no_runs: "None yet.",
    run: "run",
    started: "started",
    took: "took",
    ended: "ended",
    who: "who, host",
    list: "list",
    rows_text: |rows, duplicates| {
        let rows = if rows == 1 { "1 row".to_owned() } else { format!("{} rows", rows.separate_with_commas()) };
        match duplicates {
            None | Some(0) => rows,
            Some(1) => format!("{rows}, 1 duplicate"),
            Some(duplicates) => format!("{rows}, {} duplicates", duplicates.separate_with_commas()),
        }
    },
    cap_text: |cap| format!("cap {cap}/s"),
    in_directory: |directory| format!("in {directory}"),
    through_proxy: |proxy| format!("through the proxy {proxy}"),
    log: "Log of events",
    audits: "Audits: what done edits were found to be when they were read back",
    acts: "Pauses, rate changes and stops",
    no_acts: "Nobody paused a run, changed its rate or stopped it with runner ctl or on the page.",
    when: "when",
    what: "what",
    by: "by",
    not_done: "What was not done, and why",
    nothing_not_done: "Nothing: every edit that the ledger knows of is done.",
    failed_first: "Failed",
    in_doubt_first: "In doubt",
    from_account: "From_Account",
    to_account: "To_Account",
    msg_key: "MsgKey",
    why: "why",
    attempts: "attempts",
    line: "line",
    sent_at: "last sent",
    and_more: |more, file| format!("and {} more, see {file}", more.separate_with_commas()),
    not_reached_listed: |left| format!("{} {} not reached: see not_reached.csv.", edits(left), are(left)),
    not_reached_text: |left| {
        format!(
            "{} {} not reached. The ledger does not hold the list: with it, runner report LEDGER --csv DIR --input LIST \
             writes not_reached.csv.",
            edits(left),
            are(left)
        )
    },

    code_range: "range",
    code_verdict: "verdict",
    code_meaning: "meaning",
    code_advice: "advice",
    code_success: "0 is success: the service has made the edit.",
    code_unknown: |code| {
        format!(
            "{code} is not in the table. An edit that is answered with it fails, and the report names the code;\n\
             a run that gets nothing but unknown codes stops."
        )
    },

    title: |ledger| format!("Report on {ledger}"),
    about: "About this report",
    ledger: "ledger",
    job: "job",
    app_at: |app, service| format!("app {app} at {service}"),
    made_at: "made",
    version: "made by",
    still_changing: "a run is working on it, or was cut off: its file still changes",
    in_database: "in a database",
    words_mean: "What the words mean",
    print_hint: "A report of one moment; the ledger is the record.",

    state: "state",
    state_running: "running",
    state_held: "held",
    state_outage: "service out of reach",
    state_waiting: "waiting",
    state_paused: "paused",
    state_stopping: "stopping",
    state_over: "over",
    held_because: "why",
    hold_start: |left| format!("The run starts in {left}: what an earlier run sent last still counts."),
    hold_too_fast: |left| format!("The service said \u{201c}too fast\u{201d}: nothing is sent for another {left}."),
    hold_retry_after: |left| format!("The service asked for time (Retry-After): nothing is sent for another {left}."),
    hold_outage: |lasted, since, error, next| {
        let next = next.map_or_else(|| "It is being tried now".to_owned(), |next| format!("Next try in {next}"));
        format!("The service has been out of reach for {lasted}, since {since}. {next}. The last try: {error}.")
    },
    hold_read_back: |left| {
        format!(
            "Edits in doubt wait to be read back, the next one in {left}: until then the service may still be working on it."
        )
    },
    hold_read_first: |left| {
        format!(
            "Messages wait to be read before they are edited, the next one in {left}: an earlier run may still be under way."
        )
    },
    hold_send_again: |left| {
        format!("Edits that the service refused for now wait to be sent again, the next one in {left}.")
    },
    hold_ledger: "The ledger does not answer, so nothing is sent until it does.",
    hold_others: "The rest of the list is with other runs; this one takes over what they leave.",
    only_the_run_knows: "not known: the run itself cannot be asked from here",
    list_has_fewer: |list| {
        let messages =
            if list == 1 { "1 message".to_owned() } else { format!("{} messages", list.separate_with_commas()) };
        format!("The ledger holds more than the last run's list, which has {messages}.")
    },
    on_host: |host| format!("on {host}"),

    runners: "Runners",
    runners_note: "Each process that works on the job, or did since the first of them began.",
    runners_at_work: "runners",
    runners_since: |number, since| format!("{number}, since {since}"),
    runners_earlier: |more| match more {
        1 => "One more has ended, see status --json.".to_owned(),
        more => format!("{more} more have ended, see status --json."),
    },
    host: "host",
    process: "process",
    user: "user",
    share: "share",
    renewed: "last renewal",
    renewed_ago: |length| format!("renewed {length} ago"),
    ago: |length| format!("{length} ago"),
    runner_live: "at work",
    runner_held: "held",
    runner_silent: "silent",
    runner_lost: "lost",
    runner_ended: "ended",
    runner_share: |share, rate| format!("share {share}/s (--rate {rate})"),
    runner_speed: |speed| format!("{speed} edits/s"),
    process_text: |process| format!("process {process}"),
    a_second: |number| format!("{number}/s"),
    cap_of_run: |run, host| format!("--rate of run {run} (host {host})"),
    of_job: |job| format!("of the job {job}"),
    app: "app",
    app_shares: |shares, cap, others| {
        let others = match others {
            0 => String::new(),
            1 => ", 1 run of another job among them".to_owned(),
            others => format!(", {others} runs of other jobs among them"),
        };
        format!("of all jobs of this app: {shares} of {cap}/s given out{others}")
    },
    told_to_stop: "told to stop",

    worker: |name, since| format!("{name} works on it since {since}"),
    speed: "speed",
    speed_text: |speed, rate| format!("{speed} edits a second; the rate is {rate}"),
    not_known_yet: "not known yet",
    time_left: "time left",
    time_left_text: |length, until| format!("about {length}, until {until}"),
    slow_downs: "slow-downs",
};

fn edits(number: u64) -> String {
    format!("{} {}", number.separate_with_commas(), if number == 1 { "edit" } else { "edits" })
}

fn are(number: u64) -> &'static str {
    if number == 1 { "is" } else { "are" }
}
