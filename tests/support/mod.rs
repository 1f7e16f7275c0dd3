//! Shared by the test programs: a working directory with the real binary, and a sandbox in a process of its own.

pub(crate) mod harness;
pub(crate) mod service;
