//! The texts of the command line: help, completions, the manual page, the version.

use std::path::Path;
use std::process::Command;

use crate::support::harness::{PROGRAM, Place};

const SUBCOMMANDS: [&str; 9] = ["status", "report", "ctl", "audit", "copy", "codes", "sandbox", "completions", "man"];

/// The output for a terminal of this width.
fn printed(args: &str, columns: &str) -> String {
    Place::new().runner(args).env("COLUMNS", columns).exits(0).out
}

#[test]
fn help_is_short_or_long_and_has_examples() {
    let (short, long) = (printed("-h", "80"), printed("--help", "80"));
    for part in
        ["\nJob:", "\nPace:", "\nLimits:", "\nRetry:", "\nService:", "\nOutput:", "\nExamples:", "--until <TIME>"]
    {
        assert!(short.contains(part) && long.contains(part), "{part:?} is not in {short}{long}");
    }
    for part in ["\nExit codes:", "130, 143", "nothing was sent", "TIM_SECRET_KEY_FILE", "RUNNER_LEDGER"] {
        assert!(long.contains(part) && !short.contains(part), "{part:?} is not in {long}, or in {short}");
    }
    assert!(short.lines().count() <= 110, "{short}");
    for command in SUBCOMMANDS {
        let help = printed(&format!("{command} --help"), "80");
        assert!(help.contains("\nExamples:\n") && help.contains(&format!("runner {command}")), "{help}");
    }
}

#[test]
fn help_and_manual_fit_a_terminal() {
    let mut texts = vec![printed("-h", "80"), printed("--help", "80")];
    texts.extend(SUBCOMMANDS.map(|command| printed(&format!("{command} --help"), "80")));
    for text in texts {
        // Output to a pipe has no escape codes.
        assert!(!text.contains('\u{1b}'), "{text:?}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

/// The program parses each example of its own help.
#[test]
fn the_examples_are_understood() {
    let help = printed("--help", "80");
    let examples: Vec<&str> = help.lines().filter_map(|line| line.strip_prefix("    runner ")).collect();
    assert!(examples.len() >= 5, "{help}");
    for example in examples {
        // The list is missing, which is reported only after all arguments were parsed.
        let place = Place::new();
        let call = place.shell(&format!("'{PROGRAM}' {example}")).credentials().env("TIM_REGION", "sgp");
        let ran = call.exits(2);
        assert!(ran.err.contains("cannot open the list \"edits.csv\""), "{ran:#?}");
    }
}

#[test]
fn shells_take_the_completions() {
    for (shell, marks) in [
        ("bash", "complete -F _runner"),
        ("zsh", "#compdef runner"),
        ("fish", "complete -c runner"),
        ("elvish", "set edit:completion:arg-completer[runner]"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let script = printed(&format!("completions {shell}"), "80");
        assert!(script.contains(marks) && script.contains("until"), "{shell}: {script}");
    }
    // As the shell itself does on the tab key.
    let asked = "source <(\"$0\" completions bash); COMP_WORDS=(runner --unt); COMP_CWORD=1; _runner runner --unt runner; echo \"$COMPREPLY\"";
    let answer = Command::new("bash").args(["-c", asked, PROGRAM]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "--until\n", "{answer:?}");
    Place::new().runner("completions").exits(2);
}

#[test]
fn the_manual_is_one_page_with_everything() {
    let page = printed("man", "80");
    assert!(page.contains(".TH runner 1"), "{page}");
    for command in SUBCOMMANDS {
        assert!(page.contains(&format!("\n.SH \"RUNNER {}\"\n", command.to_uppercase())), "{command} is not in {page}");
    }
    for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "ENVIRONMENT", "\"EXIT STATUS\""] {
        assert!(page.contains(&format!("\n.SH {section}\n")), "{section} is not in {page}");
    }
    // If there is a formatter, it reports no errors.
    if Path::new("/usr/bin/man").exists() {
        let place = Place::new();
        place.write("runner.1", &page);
        let shown = place.shell("PATH=/usr/bin:/bin MANWIDTH=80 LC_ALL=C.UTF-8 man --warnings -l runner.1").exits(0);
        assert_eq!(shown.err, "");
        assert!(shown.out.contains("--until <TIME>") && shown.out.contains("EXIT STATUS"), "{}", shown.out);
        for line in shown.out.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
}

/// A reader such as `head` closes the pipe early.
#[test]
fn a_pipe_that_is_closed_is_no_error() {
    for command in ["man", "completions zsh", "codes"] {
        let ran = Place::new().shell(&format!("'{PROGRAM}' {command} | head -c 1 >/dev/null")).exits(0);
        assert_eq!(ran.err, "", "{command}");
    }
}

#[test]
fn the_version_is_short_or_tells_the_build() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(printed("-V", "80"), format!("runner {version}\n"));
    let long = printed("--version", "80");
    assert_eq!(long, format!("runner {}\n", runner::BUILD));
    let build = long.trim().strip_prefix(&format!("runner {version} (")).and_then(|rest| rest.strip_suffix(')'));
    let (commit, target) = build.and_then(|build| build.split_once(", target ")).unwrap();
    assert!(commit == "unknown commit" || commit.strip_prefix("commit ").is_some_and(|hash| hash.len() >= 7), "{long}");
    assert!(target.contains(std::env::consts::ARCH), "{long}");
}

#[test]
fn what_is_wrong_with_the_arguments_is_said_in_the_language_of_the_reader() {
    let refused = |args: &str, lang: &str| Place::new().runner(args).env("RUNNER_LANG", lang).exits(2).err;
    let chinese = refused("--rate 0", "zh");
    assert!(chinese.starts_with("错误：'--rate <N>' 的值 '0' 无效：请填写 1 到 1000000 之间的整数\n"), "{chinese}");
    assert_eq!(refused("--rate 0 --lang zh", "en"), chinese);
    for english in [refused("--rate 0", "en"), refused("--rate 0 --lang en", "zh")] {
        assert!(english.starts_with("error: invalid value '0' for '--rate <N>': write a whole number"), "{english}");
    }
}
