//! Reads small files, up to a limit: a path may lead to `/dev/zero`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The longest job file, key file or file of certificates.
const BYTES_MAX: u64 = 1024 * 1024;

/// Reads the bytes of a small file.
///
/// # Errors
/// The file cannot be read, or is longer than 1 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is longer than 1 MiB, so it is something else"));
    }
    Ok(bytes)
}

/// Reads the text of a small file.
///
/// # Errors
/// As [`read`], or the file is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}
