//! `runner` reads a list of message edits, has Tencent Cloud IM make each of them once, never faster than the service
//! allows, and records what happened in a ledger, so that an interrupted run resumes where it stopped.
//!
//! An edit cannot be undone, and each one is pushed to people's phones. The code is therefore built around four
//! promises:
//!
//! 1. Nothing is sent before its intent is durable. Only [`ledger::Ledger::intend`] makes a [`ledger::Intent`], after
//!    the commit, and nothing else can be sent.
//! 2. Nothing counts as done before its outcome is durable, and nothing that the service did not confirm. Only
//!    [`ledger::Ledger::record`] (what the service answered) and [`ledger::Ledger::settle`] (what reading back showed)
//!    make a [`ledger::Recorded`], after the commit, and nothing else is counted.
//! 3. No message is edited twice. Only a 200 whose body is the service's JSON is an answer. A request that gets any other
//!    response, or none, leaves the edit *in doubt* until its message has been read back, which happens only once the
//!    service can no longer be working on it. An edit in doubt, or one that must be read first, becomes the
//!    [`ledger::Ready`] that [`ledger::Ledger::intend`] takes only with a [`ledger::NotEdited`], made by comparing the
//!    message that was read; `--in-doubt retry` has a way of its own, [`ledger::Pending::send_again_unseen`]. Whether a
//!    request went out at all is known for certain, see [`api::Outcome::NotSent`]. A ledger that may have lost its newest
//!    commits is refused, or used with `--read-first`, which reads each message before it is sent.
//! 4. Never more requests than the cap in any second, for one app, across all jobs that a user runs on one machine and, with a
//!    ledger that they share, on all machines, retries and restarts included. A [`pace::Permit`] counts until a second, and a
//!    margin for its way, after its bytes left; [`register`] knows the other jobs of this machine, and the ledger deals out
//!    [shares](pace::shares) of the cap to those of others ([`ledger::Beats`]). Reading back is another call with its own limit
//!    at the service, which is kept in the same way.
//!
//! An edit takes a straight path:
//!
//! ```text
//! edits.csv ──▶ input ──▶ edit ──▶ ledger ──▶ pace ──▶ api ──▶ retry ──▶ ledger ──▶ progress, report
//!              a row     checked  intent is  a permit  one     what it   outcome
//!                                 durable    in time   request means     is durable
//! ```
//!
//! First [`run::plan`] reads and checks the whole list; then [`run::run`] takes each row along that path. The modules are
//! listed below in reading order. Imports run the other way: first the domain ([`edit`], [`input`], [`ledger`], [`pace`],
//! [`api`], [`retry`], [`run`]), then what people see of it ([`words`], [`report`], [`live`], [`sandbox`]), then the program ([`cli`],
//! [`job`], [`command`]). [`terminal`], [`system`], [`register`] and [`log`] are used by all of them and depend on none.

pub mod edit;

pub mod input;

pub mod ledger;

pub mod originals;

pub mod pace;

pub mod register;

pub mod evidence;

pub mod api;

pub mod retry;

pub mod run;

pub mod words;

pub mod report;

pub mod live;

pub mod sandbox;

pub mod cli;

pub mod job;

pub mod command;

pub mod terminal;

pub mod system;

pub mod log;

/// The package's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version, the commit and the target: `0.2.0 (commit abc1234, target x86_64-unknown-linux-gnu)`.
pub const BUILD: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("RUNNER_COMMIT"), ", target ", env!("RUNNER_TARGET"), ")");
