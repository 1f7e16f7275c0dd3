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

The whole list is read and checked before anything is sent. What was done is kept in a ledger, so that the same command \
again goes on where the last one stopped, however it stopped. An edit cannot be undone: begin with --dry-run, then \
--sandbox, then --max-rows 1.";

/// Commands to begin with.
pub const EXAMPLES: &str = "  What would happen; nothing is sent:
    runner --input edits.csv --dry-run
  A rehearsal against a stand-in, without the service:
    runner --input edits.csv --resume rehearsal.db --sandbox
  One edit, to have a look at it on a phone:
    runner --input edits.csv --resume ledger.db --max-rows 1
  The job; the same command again resumes it:
    runner --input edits.csv --resume ledger.db
  As far as it comes by the morning:
    runner --input edits.csv --resume ledger.db --until 07:00";

/// The variables that count.
pub const ENVIRONMENT: &str = "  TIM_SDKAPPID, TIM_IDENTIFIER            the app, and its admin account
  TIM_SECRET_KEY or TIM_SECRET_KEY_FILE   the app's secret key, or its file
  TIM_USERSIG                             a ready-made signature, instead
  TIM_REGION, TIM_ENDPOINT                the service
  RUNNER_PAGE_TOKEN, or …_TOKEN_FILE      the live page's token
  RUNNER_STATE_DIR                        where jobs share an app's cap
  HTTPS_PROXY, ALL_PROXY, NO_PROXY        the proxy on the way, or none
  RUST_LOG, NO_COLOR                      as usual";

/// What the exit tells.
pub const EXIT_CODES: &str = "  0         every edit of the list is done
  1         finished; some failed or are in doubt
  2         nothing was sent: usage, configuration, the list, or the ledger
  3         stopped early; the same command resumes
  130, 143  interrupted; the same command resumes";

pub(super) const SANDBOX_EXAMPLES: &str = "  In one terminal, with faults:
    runner sandbox --input edits.csv --faults '20004=2%,lost-after=1%'
  In another one:
    runner --input edits.csv --resume x.db --endpoint http://127.0.0.1:8200";

pub(super) const STATUS_EXAMPLES: &str = "  runner status ledger.db
  runner status ledger.db --watch        until the run is over
  runner status ledger.db --json | jq .done";

pub(super) const REPORT_EXAMPLES: &str = "  runner report ledger.db
  runner report ledger.db --html report.html --lang zh
  runner report ledger.db --csv evidence     page, summary, lists, manifest";

pub(super) const CODES_EXAMPLES: &str = "  runner codes                 all of them
  runner codes 90992           one, with what to do about it
  runner codes --lang zh       in Chinese
  runner codes | grep failed   those that end an edit";

pub(super) const CTL_EXAMPLES: &str = "  runner ctl ledger.db status
  runner ctl ledger.db pause
  runner ctl ledger.db rate 50";

pub(super) const COMPLETIONS_EXAMPLES: &str = "  in ~/.bashrc                    source <(runner completions bash)
  in ~/.zshrc, after compinit     source <(runner completions zsh)
  in ~/.config/fish/config.fish   runner completions fish | source";

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

/// Lines below a heading of their own.
fn section(heading: &str, lines: &str) -> String {
    let style = colour::TITLE;
    format!("{style}{heading}:{style:#}\n{lines}")
}

pub(super) fn long_help() -> StyledStr {
    let sections = [("Examples", EXAMPLES), ("Environment", ENVIRONMENT), ("Exit codes", EXIT_CODES)];
    sections.map(|(heading, lines)| section(heading, lines)).join("\n\n").into()
}

pub(super) fn short_help() -> StyledStr {
    format!("{}\n\nMore, with environment and exit codes: runner --help", section("Examples", EXAMPLES)).into()
}

pub(super) fn examples(lines: &str) -> StyledStr {
    section("Examples", lines).into()
}
