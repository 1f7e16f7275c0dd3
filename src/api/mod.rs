//! The service: where it is, who may call it, one request and its outcome, and what its answers mean.
//!
//! A request goes to an [`endpoint`], possibly through a [`proxy`], and carries a [`usersig`]: the signature of an
//! admin account of the app, which [`credentials`] renews. The [`client`] sends it and returns an [`Outcome`], which
//! is data, never an error. Only a 200 whose body is the service's JSON counts as an answer, even for a refusal;
//! [`error_code`] is the one table that says what each `ErrorCode` means for a run. [`history`] reads what the service
//! holds, to check a message whose edit is in doubt.

mod answer;
pub mod client;
pub mod credentials;
pub mod endpoint;
pub mod error_code;
pub mod history;
pub mod proxy;
pub mod secret;
pub mod usersig;
mod wire;

use std::future::Future;
use std::time::Duration;

use self::history::{HistoryPage, HistoryQuery};
use crate::ledger::{Intent, Note};
use crate::pace::Permit;

/// Edits messages: the service over HTTP, or a scripted one in simulations. A permit is spent just before the bytes go
/// out, or dropped if they never do.
pub trait Service: Send + Sync + 'static {
    /// Sends one edit, once.
    fn modify(&self, intent: &Intent, permit: Permit) -> impl Future<Output = Outcome> + Send;

    /// Requests one page of a history, which changes nothing. Without a page, returns the outcome instead, never a
    /// confirmation.
    fn history(
        &self,
        query: &HistoryQuery,
        permit: Permit,
    ) -> impl Future<Output = Result<HistoryPage, Outcome>> + Send;
}

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service confirmed the edit.
    Confirmed,
    /// The service confirmed the edit and asks for a pause of this length.
    ConfirmedAndAsks(Duration),
    /// The service refused the edit, with a reason.
    Refused {
        /// Its `ErrorCode`, not zero.
        code: i64,
        /// Its `ErrorInfo`, cut to a bounded length: untrusted text, so escape its control characters before showing
        /// it.
        info: String,
        /// The pause that the service asks for, if any.
        retry_after: Option<Duration>,
        /// The signature was refused, and a new one has been made since.
        signed_anew: bool,
    },
    /// The response is not an answer of the service: a status other than 200, whatever the body, or a body that is not
    /// the service's JSON.
    Http {
        /// The HTTP status.
        status: u16,
        /// The pause that the service asks for, if any.
        retry_after: Option<Duration>,
    },
    /// Certainly, not one byte of the edit was sent.
    NotSent {
        /// What could not be reached and why, without the URL: a sentence without a full stop.
        reason: String,
    },
    /// Nothing was sent: between its permit and its sending, the run lost the right to send, for now or for good. Nobody
    /// is to blame, and it says nothing about the service.
    HeldBack,
    /// Nothing was sent: the ready-made signature has expired, and there is no key to make another.
    NoSignature,
    /// The request was sent, and no answer says what became of it.
    NoAnswer(Note),
}
