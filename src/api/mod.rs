//! The service: where it is, who may call it, one request and what came back, and what its answers mean.
//!
//! A request goes to an [`endpoint`], maybe by way of a [`proxy`], and carries a [`usersig`], the signature of an admin account of the app, which
//! [`credentials`] keep fresh. The [`client`] sends it and says what came of it: an [`Outcome`], which is data, never
//! an error. Only a 200 whose body is the service's JSON is an answer, for a refusal as well; its `ErrorCode` tells, and
//! [`error_code`] is the one table that says what each of them means for a run. [`history`] is what the service holds,
//! for looking at a message whose edit is in doubt.

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

/// Something that edits messages: the service over HTTP, or a scripted one in simulations. A permit is spent just before
/// the bytes go out, or dropped if they never do.
pub trait Service: Send + Sync + 'static {
    /// Sends one edit, once.
    fn modify(&self, intent: &Intent, permit: Permit) -> impl Future<Output = Outcome> + Send;

    /// Asks for one page of a history, which changes nothing. Without a page: what came instead, never
    /// a confirmation.
    fn history(
        &self,
        query: &HistoryQuery,
        permit: Permit,
    ) -> impl Future<Output = Result<HistoryPage, Outcome>> + Send;
}

/// What came back of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service says that the edit took place.
    Confirmed,
    /// The same, and it asks to be left alone for this long.
    ConfirmedAndAsks(Duration),
    /// The service says that it did not, and why.
    Refused {
        /// Its `ErrorCode`, not zero.
        code: i64,
        /// Its `ErrorInfo`, cut to a bounded length: text from outside, to be shown with its control characters escaped.
        info: String,
        /// How long it asks to wait, where it does.
        retry_after: Option<Duration>,
        /// The signature was refused, and a new one has been made since.
        signed_anew: bool,
    },
    /// Something came back, and it is no answer of the service: another status than 200, whatever came with it, or a
    /// body that is not the service's JSON.
    Http {
        /// The status.
        status: u16,
        /// How long it asks to wait, where it does.
        retry_after: Option<Duration>,
    },
    /// Surely not one byte of the edit went out.
    NotSent {
        /// What was out of reach and why, without the URL: a sentence without a full stop.
        reason: String,
    },
    /// It did not go out: the ready-made signature has run out, and there is no key to make another with.
    NoSignature,
    /// It went out, and nothing came back that says what became of it.
    NoAnswer(Note),
}
