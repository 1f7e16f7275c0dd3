//! Where the socket of a ledger is.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The longest path that the address of a socket holds on every system (104 bytes, the last of them is zero).
const PATH_BYTES_MAX: usize = 103;

/// The path of a ledger's socket: beside the file itself, also where `ledger` is a link to it.
pub(super) fn path(ledger: &Path) -> PathBuf {
    let mut path = std::fs::canonicalize(ledger).unwrap_or_else(|_| ledger.to_owned()).into_os_string();
    path.push("-ctl");
    path.into()
}

/// A name for that path that fits into a socket's address: a path that is too long leads through its opened directory.
pub(super) fn near(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let (Some(directory), Some(name), true) =
        (path.parent(), path.file_name(), path.as_os_str().len() > PATH_BYTES_MAX)
    else {
        return Ok((path.to_owned(), None));
    };
    let directory = File::open(directory)?;
    let near = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((near, Some(directory)))
}
