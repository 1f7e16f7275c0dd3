//! Audits: what reading done edits back has shown, kept beside them. An audit changes no edit.

use super::{Cause, LedgerError, Store};
use crate::edit::IdDigest;

/// What an audit has found a message to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Found {
    /// It holds the content that the ledger recorded as done.
    AsWanted,
    /// It holds other content.
    Differs,
    /// It was recalled, and does not hold that content.
    Recalled,
    /// It is in neither account's history.
    NotInHistory,
    /// It could not be looked up.
    CannotBeTold,
}

impl Found {
    /// Every finding, the good one first.
    pub const ALL: [Found; 5] =
        [Found::AsWanted, Found::Differs, Found::Recalled, Found::NotInHistory, Found::CannotBeTold];

    /// Its name in the ledger, and in files for programs.
    pub fn word(self) -> &'static str {
        match self {
            Found::AsWanted => "as_wanted",
            Found::Differs => "differs",
            Found::Recalled => "recalled",
            Found::NotInHistory => "not_in_history",
            Found::CannotBeTold => "cannot_be_told",
        }
    }

    /// Parses its name in the ledger.
    pub fn from_word(word: &str) -> Option<Found> {
        Found::ALL.into_iter().find(|found| found.word() == word)
    }
}

/// What was found of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// The message.
    pub message: IdDigest,
    /// When it was found, in milliseconds since 1970.
    pub at: i64,
    /// What was found.
    pub found: Found,
    /// Why it cannot be told.
    pub cause: Option<Cause>,
}

/// How many messages were found to be what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Findings([u64; Found::ALL.len()]);

impl Findings {
    /// Counts one more, or several.
    pub fn add(&mut self, found: Found, messages: u64) {
        self.0[found as usize] += messages;
    }

    /// How many were found to be this.
    pub fn of(&self, found: Found) -> u64 {
        self.0[found as usize]
    }

    /// How many were looked at.
    pub fn looked_at(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many are not, or not known to be, as wanted.
    pub fn defects(&self) -> u64 {
        self.looked_at() - self.of(Found::AsWanted)
    }
}

/// What is recorded of an audit when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditInfo {
    /// The done edits of the ledger.
    pub done: u64,
    /// How many of them are to be looked at.
    pub wanted: u64,
    /// SHA-256, in hexadecimal, of those that are done: see [`crate::run::Drawing`].
    pub head: String,
    /// What a sample was drawn with, in hexadecimal; `None`: all are looked at.
    pub seed: Option<String>,
    /// The admin account that signs.
    pub identifier: String,
    /// The command line.
    pub command: String,
}

/// One audit of the ledger. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// Its number, from 1.
    pub audit: i64,
    /// When it began.
    pub begun_at: i64,
    /// When it ended; `None`: it has not, or its process died.
    pub ended_at: Option<i64>,
    /// `finished`, `interrupted` or `stopped`.
    pub ended: Option<String>,
    /// Why it was stopped.
    pub reason: Option<String>,
    /// The program.
    pub version: String,
    /// Who, on which host.
    pub user: String,
    /// The host.
    pub host: String,
    /// What it set out to do.
    pub info: AuditInfo,
    /// What it has found so far.
    pub findings: Findings,
}

impl AuditRecord {
    /// Whether it looked at all that it set out to look at.
    pub fn is_finished(&self) -> bool {
        self.ended.as_deref() == Some("finished")
    }
}

/// The side of a ledger that records audits: it takes [`RunEvent::Look`](super::RunEvent::Look), and no changes of edits. A
/// file is locked against other processes.
pub trait AuditStore: Store {
    /// Records that an audit begins, or that the one with this number goes on. Later commits belong to it. Returns its number.
    ///
    /// # Errors
    /// It could not be made durable.
    fn begin_audit(&mut self, info: &AuditInfo, goes_on: Option<i64>) -> Result<i64, LedgerError>;

    /// Records how the audit ended, and why if it was stopped.
    ///
    /// # Errors
    /// It could not be made durable. What was found is durable all the same.
    fn end_audit(&mut self, ended: &str, reason: Option<&str>) -> Result<(), LedgerError>;
}
