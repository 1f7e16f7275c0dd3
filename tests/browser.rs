//! Pages as people see them: Debian's chromium opens them, presses their buttons, and takes pictures into
//! `target/screenshots`. Where there is no chromium these tests say so and pass, but not in CI.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

#[expect(dead_code, reason = "the tests of the program need more of it")]
mod support;
mod browser {
    mod chromium;
    mod live;
    mod report;
    mod shared;
}
