//! Rate-limited, resumable batch edits of Tencent Cloud IM messages.

pub mod api;
pub mod edit;
pub mod input;
pub mod ledger;
pub mod pace;
pub mod report;
pub mod retry;
pub mod sandbox;
