//! A ledger in PostgreSQL, with a real server.

mod connect;
mod overview;
mod pooler;
mod soundness;
mod store;
