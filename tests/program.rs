//! The program as whoever starts it meets it: its real binary, with arguments, files, signals and exit codes, against
//! the sandbox. A file a topic; `harness` and `service` hold what they share.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[expect(dead_code, reason = "the model of a ledger is for the tests of the library")]
mod support;
mod program {
    mod audit;
    pub(crate) mod certificate;
    mod clock;
    mod connection;
    mod content;
    mod copied;
    mod ctl;
    mod disk;
    mod documents;
    mod encodings;
    mod files;
    mod hostile;
    mod jobs;
    mod kill;
    mod lists;
    mod looks;
    mod lost;
    mod numbers;
    mod operations;
    mod originals;
    mod output;
    mod page;
    mod pasted;
    mod plan;
    mod proxy;
    mod read_back;
    mod refusals;
    mod report;
    mod resume;
    mod secrets;
    mod several_lists;
    mod several_runners;
    mod shared_cap;
    mod shared_job;
    pub(crate) mod shim;
    mod spoiled;
    mod terminal;
    mod until;
    mod verdicts;
    mod verify;
    mod words;
    mod workbooks;
}
