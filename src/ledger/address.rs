//! What a ledger is named by: a file of this machine, or a job in a PostgreSQL database.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use super::PostgresAddress;
use super::postgres::AddressError;
use crate::terminal::shell;

/// What a ledger is named by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LedgerAddress {
    /// A file of this machine.
    File(PathBuf),
    /// A job in a database, on which several machines can work.
    Postgres(PostgresAddress),
}

impl LedgerAddress {
    /// Parses an argument: a `postgres://` URL, or else the path of a file.
    ///
    /// # Errors
    /// It is the URL of a database, and names none.
    pub fn parse(argument: &OsStr) -> Result<LedgerAddress, AddressError> {
        match argument.to_str() {
            Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
                url.parse().map(LedgerAddress::Postgres)
            }
            Some(_) | None => Ok(LedgerAddress::File(argument.into())),
        }
    }

    /// The path, if it is a file.
    pub fn file(&self) -> Option<&Path> {
        match self {
            LedgerAddress::File(path) => Some(path),
            LedgerAddress::Postgres(_) => None,
        }
    }

    /// The database, if it is in one.
    pub fn postgres(&self) -> Option<&PostgresAddress> {
        match self {
            LedgerAddress::File(_) => None,
            LedgerAddress::Postgres(address) => Some(address),
        }
    }

    /// Whether there may be a ledger. (Nobody has asked a database yet.)
    pub fn may_exist(&self) -> bool {
        self.file().is_none_or(Path::exists)
    }

    /// As it was given: a path, or a URL.
    pub fn to_os_string(&self) -> OsString {
        match self {
            LedgerAddress::File(path) => path.clone().into(),
            LedgerAddress::Postgres(address) => address.to_string().into(),
        }
    }

    /// As an argument that cannot be taken for a flag.
    pub fn to_argument(&self) -> OsString {
        match self {
            LedgerAddress::File(path) => shell::argument(path).into(),
            LedgerAddress::Postgres(_) => self.to_os_string(),
        }
    }

    /// The path after which files are named that belong to it: its own, or one in the working directory with the job's name.
    pub fn to_named(&self) -> Cow<'_, Path> {
        match self {
            LedgerAddress::File(path) => path.into(),
            LedgerAddress::Postgres(address) => {
                let is_kept = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | ' ');
                let kept: String = address.job().chars().map(|one| if is_kept(one) { one } else { '_' }).collect();
                PathBuf::from(kept + ".db").into()
            }
        }
    }

    /// Its name, without the way to it: of a file, or of a job.
    pub fn name(&self) -> String {
        match self {
            LedgerAddress::File(path) => path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned(),
            LedgerAddress::Postgres(address) => address.job().to_owned(),
        }
    }
}

impl From<&Path> for LedgerAddress {
    fn from(path: &Path) -> LedgerAddress {
        LedgerAddress::File(path.to_owned())
    }
}

/// Without a password: there is none in it.
impl fmt::Display for LedgerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LedgerAddress::File(path) => write!(f, "{}", path.display()),
            LedgerAddress::Postgres(address) => address.fmt(f),
        }
    }
}
