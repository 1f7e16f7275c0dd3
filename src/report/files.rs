//! Files that are written completely or not at all, readable by their owner only, with what a manifest says of them.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// A file could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {source}", path.display())]
pub struct WriteError {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub source: io::Error,
}

/// What a manifest says of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// How long it is.
    pub bytes: u64,
    /// SHA-256 of what is in it, in hexadecimal.
    pub sha256: String,
}

/// Writes a file: what `fill` writes, all of it, or nothing.
///
/// # Errors
/// It cannot be written, or `fill` failed.
pub fn write<T, E: From<WriteError>>(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> Result<T, E>,
) -> Result<(T, Written), E> {
    let failed = |source| WriteError { path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut temporary = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let (filled, written) = {
        let mut out = Hashing { out: BufWriter::new(temporary.as_file_mut()), hash: Sha256::new(), bytes: 0 };
        let filled = fill(&mut out)?;
        out.flush().map_err(failed)?;
        (filled, Written { bytes: out.bytes, sha256: hex(out.hash) })
    };
    temporary.persist(path).map_err(|error| failed(error.error))?;
    Ok((filled, written))
}

/// SHA-256 of what is in a file, in hexadecimal.
///
/// # Errors
/// It cannot be read.
pub fn sha256(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(hash)),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

struct Hashing<W> {
    out: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let written = self.out.write(buffer)?;
        self.hash.update(&buffer[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/file.txt");
        let ((), written) =
            write(&path, |out| out.write_all(b"abc").map_err(|source| WriteError { path: path.clone(), source }))
                .unwrap();
        assert_eq!(written.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!((written.bytes, sha256(&path).unwrap()), (3, written.sha256));
        let broken = |out: &mut dyn Write| {
            out.write_all(b"half").unwrap();
            Err::<(), _>(WriteError { path: path.clone(), source: io::Error::other("it broke") })
        };
        write(&path, broken).unwrap_err();
        assert_eq!(std::fs::read(&path).unwrap(), b"abc");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    }
}
