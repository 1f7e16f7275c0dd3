//! Where the content of a file goes that was removed while it was written to: beside it, under a name of its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The maximum number of rescued files beside one: more than anybody lets accumulate.
const RESCUED_MAX: u32 = 9;

/// The names that rescued files may have, the first one first.
pub fn names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let beside = |ending: String| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let others = (2..=RESCUED_MAX).map(|number| format!(".rescued-{number}"));
    std::iter::once(".rescued".to_owned()).chain(others).map(beside)
}

/// Creates the first that is free, which only its owner can read.
///
/// # Errors
/// None is free, or it cannot be created.
pub fn create(path: &Path) -> io::Result<(PathBuf, File)> {
    let make = |name: &PathBuf| OpenOptions::new().write(true).create_new(true).mode(0o600).open(name);
    let free = names(path).find_map(|name| match make(&name) {
        Ok(file) => Some(Ok((name, file))),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
        Err(error) => Some(Err(error)),
    });
    free.unwrap_or_else(|| Err(io::Error::other("too many rescued files lie beside it")))
}
