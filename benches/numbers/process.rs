//! Starts the measured process, and measures what it and its descendants cost.
//!
//! The kernel reports the CPU time and the peak memory of ended children, for all of them together. So this program is
//! started once more for each measurement, as a watcher without other children. The watcher leads a process group,
//! which it ends when its standard input closes: nothing that was started outlives the bench, however that ends.

use std::io::{BufRead as _, Write as _, stdin};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::time::TimeValLike as _;
use nix::unistd::{Pid, getpgrp};
use serde::{Deserialize, Serialize};

/// A process that takes longer is ended, so that the whole bench ends.
pub(crate) const TIME_MOST: Duration = Duration::from_secs(150);
/// The argument that makes this program a watcher.
pub(crate) const WATCH: &str = "watch-over";

/// The cost of a process.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured {
    pub(crate) took: Duration,
    /// Its own and that of all its descendants.
    pub(crate) cpu: Duration,
    /// The peak of it or of one of its descendants.
    pub(crate) memory_kib: i64,
    /// `None` if a signal ended it, or its time was over.
    pub(crate) exit_code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Measured {
    pub(crate) fn memory_mib(&self) -> f64 {
        f64::from(i32::try_from(self.memory_kib).unwrap()) / 1_024.0
    }

    /// Requires this exit; otherwise its figures measure something else.
    #[track_caller]
    pub(crate) fn expect_exit(self, exit_codes: &[i32]) -> Measured {
        let ended_well = self.exit_code.is_some_and(|code| exit_codes.contains(&code));
        assert!(ended_well, "ended with {:?}, not {exit_codes:?}: {}{}", self.exit_code, self.stdout, self.stderr);
        self
    }
}

/// Runs it to the end.
pub(crate) fn measure(command: &Command) -> Measured {
    Running::start(command).finish()
}

/// A process that is being watched. Dropping it ends it.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &Command) -> Running {
        let mut watcher = Command::new(std::env::current_exe().unwrap());
        watcher.arg(WATCH).arg(command.get_program()).args(command.get_args());
        watcher.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        if let Some(dir) = command.get_current_dir() {
            watcher.current_dir(dir);
        }
        Running(watcher.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap())
    }

    pub(crate) fn signal(&mut self, signal: Signal) {
        writeln!(self.0.stdin.as_mut().unwrap(), "{signal}").unwrap();
    }

    /// The CPU time that it has taken so far.
    pub(crate) fn cpu(&self) -> Duration {
        let watcher = self.0.id().to_string();
        let all = std::fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        all.filter(|process| stat(process).is_some_and(|stat| stat[PARENT] == watcher))
            .map(|process| cpu_of(&process))
            .sum()
    }

    pub(crate) fn finish(mut self) -> Measured {
        // Closed only after the watcher has reported: closing it makes the watcher end everything.
        let orders = self.0.stdin.take();
        let output = std::io::read_to_string(self.0.stdout.take().unwrap()).unwrap();
        drop(orders);
        self.0.wait().unwrap();
        serde_json::from_str(&output).unwrap()
    }
}

/// Of `/proc/…/stat`, counted from the field after the name: the parent, and the four times of the process and of those of
/// its children that have ended.
const PARENT: usize = 1;
const TIMES: std::ops::RangeInclusive<usize> = 11..=14;
/// The unit of these times, which Linux shows to all.
const TICK: Duration = Duration::from_millis(10);

fn stat(process: &str) -> Option<Vec<String>> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().map(str::to_owned).collect())
}

/// The CPU time that a process and those of its children that have ended have taken; none if it has gone.
pub(crate) fn cpu_of(process: &str) -> Duration {
    let Some(stat) = stat(process) else { return Duration::ZERO };
    stat[TIMES].iter().map(|ticks| TICK * ticks.parse::<u32>().unwrap()).sum()
}

/// The watcher: runs the program and reports its cost.
pub(crate) fn watch(words: impl Iterator<Item = String>) -> ExitCode {
    let words: Vec<String> = words.collect();
    let start = Instant::now();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", words[0]));
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    std::thread::spawn(move || {
        std::thread::sleep(TIME_MOST);
        let _ = kill(pid, Signal::SIGKILL);
    });
    std::thread::spawn(move || {
        for order in stdin().lock().lines().map_while(Result::ok) {
            let _ = kill(pid, order.parse::<Signal>().unwrap());
        }
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    });
    let output = child.wait_with_output().unwrap();
    let took = start.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    let cpu_us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let measured = Measured {
        took,
        cpu: Duration::from_micros(u64::try_from(cpu_us).unwrap()),
        memory_kib: usage.max_rss(),
        exit_code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    };
    println!("{}", serde_json::to_string(&measured).unwrap());
    ExitCode::SUCCESS
}
