//! What the test programs share: a directory with the real binary in it, a sandbox in a process of its own,
//! the model of a ledger, a PostgreSQL server, and a proxy in front of it.

pub(crate) mod harness;
pub(crate) mod model_database;
pub(crate) mod model_ledger;
pub(crate) mod postgres;
pub(crate) mod service;
pub(crate) mod shared_job;
pub(crate) mod tcp_proxy;
