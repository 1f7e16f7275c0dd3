//! Rate-limited, resumable batch edits of Tencent Cloud IM messages.

pub mod edit;
pub mod ledger;
pub mod pace;
