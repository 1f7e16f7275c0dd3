//! What the test programs share: a directory with the real binary in it, and a sandbox in a process of its own.

pub(crate) mod harness;
pub(crate) mod service;
