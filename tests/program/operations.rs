//! Unattended operation: the systemd unit and the crontab in `jobs/operations`.

use crate::support::harness::{PROGRAM, Place, Ran, Summary, has};
use crate::support::service::Service;

const DIRECTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/jobs/operations");

fn file(name: &str) -> String {
    std::fs::read_to_string(format!("{DIRECTORY}/{name}")).unwrap()
}

/// Runs a command from an operations file, with this directory in place of the machine's.
fn run(command: &str) -> Ran {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    place.write("takedown.toml", "name = \"takedown\"\nconfirm = \"always\"\n");
    place.write("takedown.key", runner::sandbox::SECRET_KEY);
    let command = command
        .replace("%i", "takedown")
        .replace("/usr/bin/runner", PROGRAM)
        .replace("/etc/runner/", "")
        .replace("cd /var/lib/runner/takedown", "true");
    let call = place.shell(&command).env("TIM_SDKAPPID", runner::sandbox::SDKAPPID.to_string());
    let call = call.env("TIM_IDENTIFIER", runner::sandbox::IDENTIFIER).env("TIM_ENDPOINT", &service.url);
    let ran = call.env("TIM_SECRET_KEY_FILE", "takedown.key").exits(0);
    assert_eq!(service.stats().edited_once(), 20, "{ran:#?}");
    ran
}

#[test]
fn the_unit_does_the_job() {
    let unit = file("runner@.service");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    assert_eq!(run(&format!("{command} --json")).summary(), Summary { rows: 20, done: 20, ..Summary::default() });
}

#[test]
fn systemd_finds_no_fault_with_the_unit() {
    if !has("systemd-analyze", "systemd") {
        return;
    }
    let place = Place::new();
    place.write("runner@.service", file("runner@.service").replace("/usr/bin/runner", PROGRAM));
    let ran = place.shell("systemd-analyze verify --man=no ./runner@takedown.service").exits(0);
    assert_eq!((ran.out.as_str(), ran.err.as_str()), ("", ""), "a warning is a fault");
}

#[test]
fn the_line_for_cron_does_the_job() {
    let table = file("runner.cron");
    let line = table.lines().rfind(|line| line.starts_with(|c: char| c.is_ascii_digit())).unwrap();
    // Five fields give the time, and one the user.
    let command = line.splitn(7, ' ').last().unwrap();
    assert!(!line.contains('%'), "a per cent sign is the end of a line to cron");
    run(command);
}
