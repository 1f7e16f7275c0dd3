//! Errors of a ledger in PostgreSQL. Each message names the address (which holds no password), the cause, and what to do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_postgres::error::{DbError, SqlState};

use super::{AddressError, PostgresAddress};

/// Why a PostgreSQL database cannot be used, or what it answered.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PostgresError {
    /// What the address relies on has changed since it was read.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Nothing answers there.
    #[error(
        "{address} cannot be reached: {}; see that the server runs, and that its host and port are right",
        Innermost(cause)
    )]
    Unreachable {
        /// The address.
        address: Arc<str>,
        /// Why.
        cause: Arc<tokio_postgres::Error>,
    },
    /// It did not answer in time.
    #[error(
        "{address} did not answer in time; see that the server runs and has time, and that nothing on the way holds it up"
    )]
    TimedOut {
        /// The address.
        address: Arc<str>,
    },
    /// A connection was lost.
    #[error("the connection to {address} was lost: {}", Innermost(cause))]
    Lost {
        /// The address.
        address: Arc<str>,
        /// Why.
        cause: Arc<tokio_postgres::Error>,
    },
    /// The server offers no TLS.
    #[error(
        "{address} offers no TLS, without which others on the way could read and change what is sent; set ssl = on \
         there, with a certificate for its name"
    )]
    NoTls {
        /// The address.
        address: Arc<str>,
    },
    /// The server's certificate is not trusted.
    #[error(
        "the certificate of {address} is not trusted: {why}; name the certificate of its authority with \
         sslrootcert=FILE, and the host as the certificate does"
    )]
    Certificate {
        /// The address.
        address: Arc<str>,
        /// Why not.
        why: String,
    },
    /// The file of `sslrootcert` cannot be used.
    #[error("cannot use the certificate {}: {why}", path.display())]
    RootCertificate {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: String,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS: {source}")]
    Tls {
        /// Why not.
        source: rustls::Error,
    },
    /// The server does not let this user in.
    #[error(
        "{address} does not let this user in: {}; give the right user, and its password in PGPASSWORD, ~/.pgpass or a service file",
        Answer(cause)
    )]
    Refused {
        /// The address.
        address: Arc<str>,
        /// What it answered.
        cause: Arc<tokio_postgres::Error>,
    },
    /// A pooler answers in the server's place.
    #[error(
        "a pooler is between this program and {address}, and its connections may each time lead to another session, so that \
         nothing about them can be relied on; name the server's own host and port (a pooler such as pgbouncer cannot be \
         used in any mode)"
    )]
    Pooler {
        /// The address.
        address: Arc<str>,
    },
    /// The server is too old.
    #[error("{address} is PostgreSQL {version}; 15 or newer is needed")]
    TooOld {
        /// The address.
        address: Arc<str>,
        /// Its version.
        version: u32,
    },
    /// It is a standby, or does not take changes now.
    #[error(
        "{address} is read-only now (a standby, or default_transaction_read_only is set for the server, the database or the \
         role); name the primary, or all servers of which one is it, as in postgres://user@host1,host2/database"
    )]
    ReadOnly {
        /// The address.
        address: Arc<str>,
    },
    /// It may lose what it has confirmed.
    #[error(
        "{address} may lose what it has confirmed, since {setting} is off there, and messages could be edited twice; \
         turn it on or, where that does not matter (as in a trial), add allow=fsync-off to the URL"
    )]
    NotDurable {
        /// The address.
        address: Arc<str>,
        /// The setting.
        setting: &'static str,
    },
    /// It confirms what is not on disk, although it was asked not to.
    #[error(
        "{address} sets synchronous_commit to {found}, although on was asked for; see what is between, and take it away"
    )]
    NotSynchronous {
        /// The address.
        address: Arc<str>,
        /// What it sets.
        found: String,
    },
    /// Any other answer.
    #[error("{address} answered: {}{}", Answer(cause), Advice(cause))]
    Answered {
        /// The address.
        address: Arc<str>,
        /// What it answered.
        cause: Arc<tokio_postgres::Error>,
    },
    /// The thread that drives connections is not there.
    #[error("the thread for connections to PostgreSQL cannot be used: {source}")]
    Driver {
        /// Why not.
        source: Arc<io::Error>,
    },
}

impl PostgresError {
    /// What came of a statement.
    pub fn of(address: &PostgresAddress, error: tokio_postgres::Error) -> PostgresError {
        let (named, cause) = (Arc::from(address.to_string()), Arc::new(error));
        match cause.code() {
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => PostgresError::ReadOnly { address: named },
            None if is_lost(&cause) => PostgresError::Lost { address: named, cause },
            Some(_) | None => PostgresError::Answered { address: named, cause },
        }
    }

    /// What came of opening a connection.
    pub(super) fn connecting(address: &PostgresAddress, error: tokio_postgres::Error) -> PostgresError {
        let named = Arc::from(address.to_string());
        if let Some(why) = find::<rustls::Error>(&error) {
            return PostgresError::Certificate { address: named, why: why.to_string() };
        }
        // tokio-postgres has no other sign of it.
        if Innermost(&error).to_string().as_bytes() == b"server does not support TLS" {
            return PostgresError::NoTls { address: named };
        }
        let Some(answer) = error.as_db_error() else {
            // A password is wanted and there is none, or the server does not prove that it knows it. Again there is no
            // other sign of the kind.
            let kinds: [&[u8]; 2] = [b"authentication error", b"invalid configuration"];
            let cause = Arc::new(error);
            return if kinds.contains(&cause.to_string().as_bytes()) {
                PostgresError::Refused { address: named, cause }
            } else {
                PostgresError::Unreachable { address: named, cause }
            };
        };
        let code = answer.code();
        if refuses_options(answer) {
            PostgresError::Pooler { address: named }
        } else if code.code().starts_with("28") {
            PostgresError::Refused { address: named, cause: Arc::new(error) }
        } else {
            PostgresError::of(address, error)
        }
    }

    /// Whether it may pass by itself: a lost connection, a restart, a failover, too much load.
    pub fn is_passing(&self) -> bool {
        match self {
            PostgresError::Unreachable { .. }
            | PostgresError::TimedOut { .. }
            | PostgresError::Lost { .. }
            | PostgresError::ReadOnly { .. } => true,
            PostgresError::Answered { cause, .. } => cause.code().is_some_and(passes),
            PostgresError::Address(_)
            | PostgresError::NoTls { .. }
            | PostgresError::Certificate { .. }
            | PostgresError::RootCertificate { .. }
            | PostgresError::Tls { .. }
            | PostgresError::Refused { .. }
            | PostgresError::Pooler { .. }
            | PostgresError::TooOld { .. }
            | PostgresError::NotDurable { .. }
            | PostgresError::NotSynchronous { .. }
            | PostgresError::Driver { .. } => false,
        }
    }

    /// The code of what the server answered, if it did.
    pub fn code(&self) -> Option<&SqlState> {
        match self {
            PostgresError::Answered { cause, .. } | PostgresError::Refused { cause, .. } => cause.code(),
            PostgresError::ReadOnly { .. } => Some(&SqlState::READ_ONLY_SQL_TRANSACTION),
            _ => None,
        }
    }
}

fn passes(code: &SqlState) -> bool {
    match code.code() {
        // The database was dropped; the bytes on the way made no sense.
        "57P04" | "08P01" => false,
        // The session or a statement took too long; a lock was not to be had.
        "57014" | "25P03" | "25P04" | "55P03" | "25006" => true,
        // Connections, resources, conflicts with others, and an operator's shutdown.
        code => ["08", "53", "40001", "40003", "40P01", "57P"].iter().any(|class| code.starts_with(class)),
    }
}

/// Whether the connection is of no more use.
fn is_lost(error: &tokio_postgres::Error) -> bool {
    error.is_closed() || find::<io::Error>(error).is_some()
}

/// What poolers say who do not know the parameters of a session.
fn refuses_options(answer: &DbError) -> bool {
    let is_startup = ["startup", "command-line"].iter().any(|word| answer.message().contains(word));
    is_startup && ["08P01", "0A000"].contains(&answer.code().code())
}

/// The cause of this type, if there is one. An I/O error hides the one that it was made of from `source()`.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    if let Some(found) = error.downcast_ref::<T>() {
        return Some(found);
    }
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    inner.and_then(|inner| find(inner)).or_else(|| find(error.source()?))
}

/// The cause behind all others.
struct Innermost<'a>(&'a tokio_postgres::Error);

impl fmt::Display for Innermost<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cause: &dyn Error = self.0;
        while let Some(source) = cause.source() {
            cause = source;
        }
        write!(f, "{cause}")
    }
}

/// What the server answered, with its code.
struct Answer<'a>(&'a tokio_postgres::Error);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_db_error() {
            Some(answer) => write!(f, "{} ({})", answer.message(), answer.code().code()),
            None => write!(f, "{}", Innermost(self.0)),
        }
    }
}

/// Advice for an answer, if there is any.
struct Advice<'a>(&'a tokio_postgres::Error);

impl fmt::Display for Advice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.code().map(SqlState::code) {
            Some("42501") => "; have its owner grant this role the rights that the documents name",
            Some("42P01" | "3F000") => "; the schema runner is not there as it should be",
            Some("3D000") => "; create the database, or name another one",
            Some("53300") => "; end connections that nobody needs, or raise max_connections there",
            Some("53100") => "; make room on the server's disk",
            Some("57014" | "55P03") => "; see what else works on that server (pg_stat_activity)",
            _ => "",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_what_does_not() {
        for code in ["08006", "53300", "53100", "57P01", "57P02", "57P03", "40001", "40P01", "55P03", "57014", "25006"]
        {
            assert!(passes(&SqlState::from_code(code)), "{code}");
        }
        for code in ["42501", "42P01", "23505", "28P01", "57P04", "08P01", "25P02", "40002", "XX000", "3D000"] {
            assert!(!passes(&SqlState::from_code(code)), "{code}");
        }
    }
}
