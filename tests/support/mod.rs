//! What the test programs share: a directory with the real binary in it, a sandbox in a process of its own,
//! and the model of a ledger.

pub(crate) mod harness;
pub(crate) mod model_ledger;
pub(crate) mod service;
