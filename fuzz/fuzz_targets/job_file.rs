#![no_main]
use std::cell::RefCell;
use std::ffi::OsString;

use clap::Parser as _;
use libfuzzer_sys::fuzz_target;
use runner::cli::Cli;
use runner::job::{Environment, Job};

struct Nothing;

impl Environment for Nothing {
    fn get(&self, _: &str) -> Option<OsString> {
        None
    }
}

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().unwrap());
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow(|file| {
        std::fs::write(file.path(), bytes).unwrap();
        let words = ["runner", "--input", "e.csv", "--dry-run", "--job", file.path().to_str().unwrap()];
        match Job::new(&Cli::try_parse_from(words).unwrap().job, &Nothing) {
            Ok(job) => assert!(job.service.is_none()),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
});
