//! Reads small files, up to a limit: a path may lead to `/dev/zero`.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

const UTF_8_BOM: &[u8] = b"\xef\xbb\xbf";
const MIB: u64 = 1024 * 1024;
/// The longest job file, key file or file of certificates, in MiB.
const MIB_MAX: u64 = 1;
/// The longest file of heads: those of a year.
const EVIDENCE_MIB_MAX: u64 = 256;

/// Reads the bytes of a small file.
///
/// # Errors
/// The file cannot be read, or is longer than 1 MiB.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    read_at_most(path, MIB_MAX)
}

fn read_at_most(path: &Path, mib: u64) -> io::Result<Vec<u8>> {
    let (mut bytes, bytes_max) = (Vec::new(), mib * MIB);
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let what = format!("it is longer than {mib} MiB, so it is something else");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, what));
    }
    Ok(bytes)
}

/// Reads the text of a small file.
///
/// # Errors
/// As [`read`], or the file is not UTF-8.
pub fn read_text(path: &Path) -> io::Result<String> {
    text(read(path)?)
}

/// Reads the heads of a log, or proofs.
///
/// # Errors
/// As [`read_text`], but the file may have 256 MiB.
pub fn read_evidence(path: &Path) -> io::Result<String> {
    let mut bytes = read_at_most(path, EVIDENCE_MIB_MAX)?;
    // Some editors begin a text with it.
    if bytes.starts_with(UTF_8_BOM) {
        bytes.drain(..UTF_8_BOM.len());
    }
    text(bytes)
}

fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}
