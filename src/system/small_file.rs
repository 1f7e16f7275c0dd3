//! Small files read whole, and no more of them than makes sense: a name may lead to `/dev/zero`. A leaf.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest job file, key file or file of certificates.
const BYTES_MAX: u64 = 1024 * 1024;

/// The bytes of a small file.
///
/// # Errors
/// It cannot be read, or is too long for what it should be.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB, so it is something else"));
    }
    Ok(bytes)
}

/// The text of a small file.
///
/// # Errors
/// As [`read`], or it is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}
