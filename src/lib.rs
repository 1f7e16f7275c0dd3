//! Rate-limited, resumable batch edits of Tencent Cloud IM messages.

pub mod api;
pub mod cli;
pub mod command;
pub mod edit;
pub mod input;
pub mod job;
pub mod ledger;
pub mod pace;
pub mod progress;
pub mod report;
pub mod retry;
pub mod run;
pub mod sandbox;
