//! Commands that the program prints are pasted into a shell, and do what was said of them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use clap::CommandFactory;
use runner::cli::Cli;

use crate::support::harness::{PROGRAM, Place, list, wait_for};
use crate::support::service::Service;

/// What follows `To resume: ` in a text.
fn command(text: &str) -> &str {
    text.lines().find_map(|line| line.split_once("To resume: ")).unwrap().1
}

#[test]
fn whatever_the_names_are_the_printed_command_resumes() {
    let names: [&[u8]; 5] =
        [b"my edits.csv", b"it's \"$HOME\" `x`.csv", b"two\nlines.csv", b"caf\xe9 !%.csv", b"-x --y.csv"];
    for name in names {
        let (place, service) = (Place::new(), Service::start("none"));
        let name = OsStr::from_bytes(name);
        place.write(name, list(1..=4, "new"));
        let input: OsString = [OsStr::new("--input="), name].into_iter().collect();
        let call = place.runner("--resume").arg("a 'ledger'.db").arg(input).arg("--max-rows").arg("1");
        let first = call.at(&service).exits(0);
        let status = place.runner("status").arg("a 'ledger'.db").exits(0).out;
        place.shell(command(&status)).credentials().exits(0);
        // The page is opened anywhere, and so is the status of a ledger of another directory.
        let elsewhere = Place::new();
        let status = elsewhere.runner("status").arg(place.path("a 'ledger'.db")).exits(0).out;
        elsewhere.shell(command(&status)).env("RUNNER_STATE_DIR", place.state()).credentials().exits(0);
        assert!(status.contains("\n  It needs these variables, as before: TIM_"), "{status}");
        assert_eq!(service.stats().edited_once(), 3, "{first:#?}");
        assert!(!first.out.contains("To resume"), "what --max-rows asked for is done: {first:#?}");
    }
}

#[test]
fn a_summary_has_the_command_of_on_finish_and_the_ledger_does_not() {
    let (place, service) = (Place::with_list(3), Service::start("20003=100%"));
    let job = "--input edits.csv --resume ledger.db --max-failures 1 --concurrency 1";
    let ended = place.runner(job).arg("--on-finish").arg("echo 's3cret' >> ended").at(&service).exits(3);
    service.set_faults("none");
    assert!(ended.resume_command().contains("s3cret"), "{ended:#?}");
    assert!(
        ended
            .out
            .contains("It needs these variables, as before: TIM_SDKAPPID, TIM_IDENTIFIER, TIM_SECRET_KEY, RUNNER_")
    );
    for args in ["status ledger.db", "report ledger.db"] {
        let text = place.runner(args).exits(0).out;
        assert!(text.contains("\n  --on-finish is left out, ") && !text.contains("s3cret"), "{text}");
        assert!(!command(&text).contains("on-finish"), "{text}");
    }
    place.runner("report ledger.db --html page.html").exits(0);
    let page = place.read("page.html");
    let (_, resume) = page.split_once("<pre><code>").unwrap();
    let resume = resume.split_once("</code>").unwrap().0.replace("&amp;", "&");
    assert!(resume.starts_with("(cd ") && page.contains("--on-finish is left out"), "{resume}");
    let ran = place.shell(&format!("cd / && {resume}")).credentials().exits(1);
    assert!(ran.out.contains("\n  done         1\n"), "{ran:#?}");
    assert_eq!(place.read("ended"), "s3cret\n");
}

#[test]
fn a_time_of_day_is_printed_as_the_moment_that_it_was() {
    let (place, service) = (Place::with_list(3), Service::start("20003=100%"));
    let in_an_hour = jiff::Zoned::now() + jiff::SignedDuration::from_hours(1);
    let until = in_an_hour.strftime("%H:%M:%S").to_string();
    let job = format!("--input edits.csv --resume ledger.db --max-failures 1 --concurrency 1 --until {until}");
    let ended = place.runner(&job).at(&service).exits(3);
    let moment = in_an_hour.timestamp().strftime("--until %Y-%m-%dT").to_string();
    let status = place.runner("status ledger.db").exits(0).out;
    for command in [ended.resume_command(), command(&status)] {
        assert!(command.contains(&moment) && !command.contains(&format!("--until {until}")), "{command}");
    }
    service.set_faults("none");
    place.shell(ended.resume_command()).credentials().exits(1);
    // In a file it may be read when that has come.
    let (other, service) = (Place::with_list(3), Service::start("20003=100%"));
    other.runner(&format!("{job} --report out")).at(&service).exits(3);
    let summary: serde_json::Value = serde_json::from_str(&other.read("out/summary.json")).unwrap();
    assert!(!summary["resume"].as_str().unwrap().contains("--until"), "{summary:#}");
    assert!(other.read("out/report.html").contains("--until is left out"));
}

#[test]
fn a_list_from_standard_input_is_redirected_again_or_asked_for() {
    let (place, service) = (Place::new(), Service::start("20003=100%"));
    place.write("my list.csv", list(1..=3, "new"));
    let job = format!(
        "'{PROGRAM}' --input - --input-format csv --resume ledger.db --max-failures 1 --concurrency 1 --endpoint {}",
        service.url
    );
    let ended = place.shell(&format!("{job} < 'my list.csv'")).credentials().exits(3);
    assert!(ended.resume_command().ends_with("/my list.csv'"), "{ended:#?}");
    let status = place.runner("status ledger.db").exits(0).out;
    assert!(status.contains("\n  It reads the same list from standard input: add < FILE"), "{status}");
    service.set_faults("none");
    place.shell(ended.resume_command()).credentials().exits(1);
    let piped = place.shell(&format!("cat 'my list.csv' | {job} --retry-failed --max-rows 1"));
    piped.credentials().exits(1);
    assert_eq!(service.stats().edited_once(), 2);
}

#[test]
fn the_sandbox_says_how_to_run_against_it() {
    let place = Place::new();
    place.write("my edits.csv", "from_account,to_account,msg_key\na,b,1_7_1773188576\na,b,2_7_1773188576\n");
    place.write("-job's.toml", "[content]\ntext = \"[removed]\"\n");
    let sandbox =
        place.runner("sandbox --listen 127.0.0.1:0 --input").arg("my edits.csv").arg("--job=-job's.toml").start();
    let banner = wait_for("the banner", || {
        let out = sandbox.out();
        out.contains("Make it stumble").then_some(out)
    });
    let typed: Vec<&str> = banner.lines().filter_map(|line| line.strip_prefix("  ")).collect();
    let ran = place.shell(&typed.join("\n")).exits(0);
    assert!(ran.out.contains("\n  done         2\n"), "{typed:#?}");
}

#[test]
fn commands_in_what_ctl_says_work() {
    let (place, service) = (Place::with_list(60), Service::start("latency=10ms..20ms"));
    let run = place.runner("--input edits.csv --rate 20").arg("--resume=-my ledger.db").at(&service).start();
    service.wait_for_requests(1);
    let ctl = |what: &str| place.runner("ctl").arg("./-my ledger.db").arg(what);
    let paused = ctl("pause").exits(0);
    place.shell(command(&paused.out)).exits(0);
    assert!(!ctl("status").exits(0).out.contains("To resume: "));
    run.exits(0);
    let over = ctl("status").exits(2);
    let hint = over.err.split_once("; ").unwrap().1.split_once(" shows how").unwrap().0;
    assert!(place.shell(hint).exits(0).out.contains("All 60 edits are done."), "{over:#?}");
}

/// Every flag in a string of the sources is a flag of the program.
#[test]
fn every_flag_that_is_named_exists() {
    fn flags(command: &clap::Command, into: &mut BTreeSet<String>) {
        into.extend(command.get_arguments().filter_map(|arg| arg.get_long()).map(|long| format!("--{long}")));
        command.get_subcommands().for_each(|command| flags(command, into));
    }
    fn sources(directory: &Path, visit: &mut dyn FnMut(&Path, &str)) {
        for entry in std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_str().unwrap();
            if entry.is_dir() && name != "tests" {
                sources(&entry, visit);
            } else if entry.extension() == Some(OsStr::new("rs")) && name != "tests.rs" {
                visit(&entry, &std::fs::read_to_string(&entry).unwrap());
            }
        }
    }
    let mut known = BTreeSet::new();
    flags(&Cli::command(), &mut known);
    let (mut unknown, mut found) = (Vec::new(), 0);
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut |path, text| {
        let text = text.split("#[cfg(test)]").next().unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("--") {
                let word = line[at + 2..].split(|c: char| !(c.is_ascii_lowercase() || c == '-')).next().unwrap();
                let begins = at == 0 || !line[..at].ends_with(['-', '<']);
                if begins && word.len() > 1 && !word.starts_with('-') {
                    found += 1;
                    let flag = format!("--{}", word.trim_end_matches('-'));
                    // CSS variables are written with two dashes as well; they are in files of their own and in `var(…)`.
                    if !known.contains(&flag) {
                        unknown.push(format!("{}: {flag}", path.display()));
                    }
                }
            }
        }
    });
    assert!(found > 50, "{found}");
    assert_eq!(unknown, Vec::<String>::new());
}
