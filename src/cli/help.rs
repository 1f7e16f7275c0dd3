//! The longer texts of the help, and how it looks.

use clap::builder::{StyledStr, Styles};

use crate::terminal::colour;

pub(super) const PACE: &str = "Pace";
pub(super) const LIMITS: &str = "Limits";
pub(super) const RETRY: &str = "Retry";
pub(super) const SERVICE: &str = "Service";
pub(super) const OUTPUT: &str = "Output";
pub(super) const HELP: &str = "Help";

pub(super) const ABOUT: &str =
    "Edits messages of Tencent Cloud IM from a list: each once, never faster than allowed, resumable";

pub(super) const LONG_ABOUT: &str = "\
Edits messages of Tencent Cloud IM from a list: each once, never faster than allowed, resumable.

The whole list is read and checked before anything is sent. A ledger records what was done: the same command resumes \
where the last run stopped, however it stopped. An edit cannot be undone: start with --dry-run, then --sandbox, then \
--max-rows 1.";

/// The first commands to try.
pub const EXAMPLES: &str = "  Show the plan; nothing is sent:
    runner --input edits.csv --dry-run
  Rehearse against a local stand-in for the service:
    runner --input edits.csv --resume rehearsal.db --sandbox
  Make one edit, and check it on a phone:
    runner --input edits.csv --resume ledger.db --max-rows 1
  Run the job; the same command resumes it:
    runner --input edits.csv --resume ledger.db
  Stop in the morning, however far it is:
    runner --input edits.csv --resume ledger.db --until 07:00";

/// The environment variables.
pub const ENVIRONMENT: &str = "  TIM_SDKAPPID, TIM_IDENTIFIER            the app and its admin account
  TIM_SECRET_KEY or TIM_SECRET_KEY_FILE   the app's secret key, or its file
  TIM_USERSIG                             a ready-made signature instead
  TIM_REGION, TIM_ENDPOINT                the service
  RUNNER_PAGE_TOKEN, or …_TOKEN_FILE      the live page's token
  RUNNER_STATE_DIR                        where jobs share an app's cap
  PGPASSWORD, PGPASSFILE, PGSERVICEFILE   the password of PostgreSQL
  HTTPS_PROXY, ALL_PROXY, NO_PROXY        the proxy, and hosts without it
  RUNNER_LANG                             the language: en or zh
  RUST_LOG, NO_COLOR                      as usual";

/// The exit codes.
pub const EXIT_CODES: &str = "  0         every edit of the list is done
  1         finished; some failed or are in doubt
  2         nothing was sent: usage, configuration, the list, or the ledger
  3         stopped early; the same command resumes
  130, 143  interrupted; the same command resumes";

pub(super) const SANDBOX_EXAMPLES: &str = "  In one terminal, with faults:
    runner sandbox --input edits.csv --faults '20004=2%,lost-after=1%'
  In another:
    runner --input edits.csv --resume x.db --endpoint http://127.0.0.1:8200";

pub(super) const STATUS_EXAMPLES: &str = "  runner status ledger.db
  runner status ledger.db --watch        until the run ends
  runner status ledger.db --json | jq .done";

pub(super) const REPORT_EXAMPLES: &str = "  runner report ledger.db
  runner report ledger.db --html report.html --lang zh
  runner report ledger.db --csv evidence     page, summary, lists, manifest";

pub(super) const CODES_EXAMPLES: &str = "  runner codes                 all codes
  runner codes 90992           one code, and what to do about it
  runner codes --lang zh       in Chinese
  runner codes | grep failed   the codes that fail an edit";

pub(super) const CTL_EXAMPLES: &str = "  runner ctl ledger.db status
  runner ctl ledger.db pause
  runner ctl ledger.db rate 50";

pub(super) const AUDIT_EXAMPLES: &str = "  runner audit ledger.db
  runner audit ledger.db --csv audit
  runner audit ledger.db --sample 2995 --words 'as I please'";

pub(super) const VERIFY_EXAMPLES: &str = "  runner verify ledger.db --checkpoint heads.txt
  runner verify --proof proof.txt --checkpoint heads.txt";

pub(super) const PROVE_EXAMPLES: &str = "  runner prove ledger.db user1 user2 1_2_3 > proof.txt";

pub(super) const ORIGINALS_EXAMPLES: &str = "  runner originals kept.age --decrypt-with 'age -d -i key' > back.jsonl
  runner originals kept.age --ledger ledger.db";

pub(super) const COPY_EXAMPLES: &str = "  runner copy ledger.db 'postgres://user@host/db?job=NAME'
  runner copy 'postgres://user@host/db?job=NAME' ledger.db";

pub(super) const COMPLETIONS_EXAMPLES: &str = "  ~/.bashrc                    source <(runner completions bash)
  ~/.zshrc, after compinit     source <(runner completions zsh)
  ~/.config/fish/config.fish   runner completions fish | source";

pub(super) const MAN_EXAMPLES: &str = "  runner man | man -l -
  runner man > ~/.local/share/man/man1/runner.1";

pub(super) const STYLES: Styles = Styles::styled()
    .header(colour::TITLE)
    .usage(colour::TITLE)
    .literal(colour::COMMAND)
    .placeholder(colour::REMARK)
    .error(colour::FAILED)
    .valid(colour::DONE)
    .invalid(colour::DOUBT);

/// A heading and the lines below it.
fn section(heading: &str, lines: &str) -> String {
    let style = colour::TITLE;
    format!("{style}{heading}:{style:#}\n{lines}")
}

pub(super) fn long_help() -> StyledStr {
    let sections = [("Examples", EXAMPLES), ("Environment", ENVIRONMENT), ("Exit codes", EXIT_CODES)];
    sections.map(|(heading, lines)| section(heading, lines)).join("\n\n").into()
}

pub(super) fn short_help() -> StyledStr {
    format!("{}\n\nFor environment variables and exit codes, see runner --help", section("Examples", EXAMPLES)).into()
}

pub(super) fn examples(lines: &str) -> StyledStr {
    section("Examples", lines).into()
}
