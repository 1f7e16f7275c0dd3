//! A failing disk and a wrong wall clock: `shim.c` between the program and the system, for as long as a test requires.
//! It also records the system calls that cannot be observed from outside.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::support::harness::Call;

/// The compiled library. Each test process builds it once, under the same name, and none ever sees an incomplete file.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/shim.c");
    let made = tempfile::Builder::new().suffix(".so").tempfile_in(folder).unwrap().into_temp_path();
    let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&made).arg(source).status();
    assert!(compiled.unwrap().success(), "cc cannot compile shim.c");
    let library = folder.join("shim.so");
    made.persist(&library).unwrap();
    library
});

/// The control files of programs that run with it.
pub(crate) struct Shim {
    control: TempDir,
}

impl Shim {
    pub(crate) fn new() -> Shim {
        Shim { control: tempfile::tempdir().unwrap() }
    }

    /// The same call, under the shim.
    pub(crate) fn under<'a>(&self, call: Call<'a>) -> Call<'a> {
        let control = self.control.path();
        call.env("LD_PRELOAD", &*LIBRARY)
            .env("SHIM_DISK", control.join("disk"))
            .env("SHIM_CLOCK", control.join("clock"))
            .env("SHIM_TCP", control.join("tcp"))
    }

    /// The same call, which calls one port of loopback by way of another one.
    pub(crate) fn by_way_of(call: Call<'_>, from: u16, to: u16) -> Call<'_> {
        call.env("LD_PRELOAD", &*LIBRARY).env("SHIM_PORTS", format!("{from}:{to}"))
    }

    /// The `TCP_USER_TIMEOUT` of each connection so far, in milliseconds.
    pub(crate) fn tcp_user_timeouts(&self) -> Vec<u32> {
        let notes = std::fs::read_to_string(self.control.path().join("tcp")).unwrap_or_default();
        notes.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// From now on the disk is `full`, or fails (`io`), or is `readonly`.
    pub(crate) fn disk(&self, fault: &str) {
        self.set("disk", fault);
    }

    /// From now on the wall clock is wrong by so many seconds.
    pub(crate) fn clock(&self, seconds: i64) {
        self.set("clock", &seconds.to_string());
    }

    /// From now on nothing is wrong.
    pub(crate) fn mend(&self) {
        for name in ["disk", "clock"] {
            // Usually only one of them exists.
            let _ = std::fs::remove_file(self.control.path().join(name));
        }
    }

    fn set(&self, name: &str, text: &str) {
        let half = self.control.path().join("new");
        std::fs::write(&half, text).unwrap();
        std::fs::rename(half, self.control.path().join(name)).unwrap();
    }
}
