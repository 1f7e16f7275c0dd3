//! The service, as far as it is documented: where it is, who may call it, and what its answers mean.
//!
//! A request goes to an [`endpoint`] and carries a [`usersig`], the signature of an admin account of the app. The
//! HTTP status of an answer tells nothing (it is 200 for a refusal as well); its `ErrorCode` does, and
//! [`error_code`] is the one table that says what each of them means for a run.

pub mod endpoint;
pub mod error_code;
pub mod usersig;
