//! The bytes of a list on disk: one handle, a fingerprint that reveals changes, and a digest computed while reading.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::sync::Arc;
use std::time::SystemTime;

use encoding_rs::{UTF_16BE, UTF_16LE};
use sha2::{Digest, Sha256};

use super::InputError;
use super::decoder::decode_start;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZIP: [u8; 4] = *b"PK\x03\x04";
/// Bytes of a stream that are checked before the rest is copied.
const HEAD_BYTES: usize = 64 * 1024;

/// A list on disk. The handle stays open, so replacing the file at this path has no effect.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    name: Arc<str>,
    file: Arc<File>,
    fingerprint: Fingerprint,
    is_gzip: bool,
}

/// Reveals that a file was written to. (It is always the same file, because the handle stays open.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Fingerprint {
    fn of(file: &File) -> io::Result<Fingerprint> {
        let metadata = file.metadata()?;
        Ok(Fingerprint { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl Stored {
    pub(super) fn new(name: String, file: File) -> io::Result<Stored> {
        let fingerprint = Fingerprint::of(&file)?;
        let mut magic = Vec::new();
        StoredReader::new(Arc::new(file.try_clone()?)).take(2).read_to_end(&mut magic)?;
        Ok(Stored { name: name.into(), file: Arc::new(file), fingerprint, is_gzip: magic == GZIP })
    }

    /// Copies a stream of at most `bytes_max` bytes into a temporary file.
    pub(super) fn spool(name: String, mut reader: impl Read, bytes_max: u64) -> Result<Stored, InputError> {
        let failed = |source| InputError::Spool { name: name.clone(), source };
        let mut head = Vec::new();
        reader.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
        // `/dev/zero` would fill the disk before the first row was parsed.
        let is_packed = head.starts_with(&GZIP) || head.starts_with(&ZIP);
        if head.len() == HEAD_BYTES && !is_packed && !starts_as_text(&head) {
            return Err(InputError::NotText { name });
        }
        let reader = head.as_slice().chain(reader);
        // The file never has a name, so nothing remains however this process ends.
        let mut file = tempfile::tempfile().map_err(failed)?;
        let copied = io::copy(&mut reader.take(bytes_max.saturating_add(1)), &mut file).map_err(failed)?;
        if copied > bytes_max {
            return Err(InputError::SpoolTooLong { name });
        }
        file.flush().and_then(|()| file.rewind()).map_err(failed)?;
        Stored::new(name.clone(), file).map_err(failed)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes(&self) -> u64 {
        self.fingerprint.bytes
    }

    /// Whether the bytes are gzip-compressed.
    pub(super) fn is_gzip(&self) -> bool {
        self.is_gzip
    }

    pub(super) fn reader(&self) -> StoredReader {
        StoredReader::new(Arc::clone(&self.file))
    }

    /// The stored bytes from a place in the file on, without a digest.
    pub(super) fn bytes_from(&self, offset: u64) -> StoredBytes {
        StoredBytes { file: Arc::clone(&self.file), offset }
    }

    /// Fails if the file has been written to since it was opened.
    pub(super) fn check_unchanged(&self) -> Result<(), InputError> {
        match Fingerprint::of(&self.file) {
            Ok(now) if now == self.fingerprint => Ok(()),
            Ok(_) | Err(_) => Err(InputError::Changed { name: self.name.to_string() }),
        }
    }
}

/// Reads the stored bytes from the top, at its own position, and hashes them on the way.
pub(super) struct StoredReader {
    file: Arc<File>,
    offset: u64,
    hash: Sha256,
    ended: bool,
}

impl StoredReader {
    fn new(file: Arc<File>) -> StoredReader {
        StoredReader { file, offset: 0, hash: Sha256::new(), ended: false }
    }

    /// Bytes read so far.
    pub(super) fn bytes(&self) -> u64 {
        self.offset
    }

    /// The digest of the whole file, once its end has been reached.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.ended.then(|| self.hash.clone().finalize().into())
    }
}

impl Read for StoredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = read_at(&self.file, buffer, self.offset)?;
        self.hash.update(&buffer[..read]);
        self.offset += read as u64;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

/// Reads the stored bytes at its own position.
pub(super) struct StoredBytes {
    file: Arc<File>,
    pub(super) offset: u64,
}

impl Read for StoredBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = read_at(&self.file, buffer, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}

/// Whether these bytes can be text of any encoding. Only UTF-16 has bytes that are zero, but no character that is.
fn starts_as_text(head: &[u8]) -> bool {
    let is_utf16 = |encoding| decode_start(head, encoding).is_some_and(|text| !text.contains('\0'));
    !head.contains(&0) || is_utf16(UTF_16LE) || is_utf16(UTF_16BE)
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_stream_is_refused_at_the_limit() {
        let error = Stored::spool("x".into(), io::repeat(b'a'), 1_000).unwrap_err();
        assert!(matches!(error, InputError::SpoolTooLong { .. }));
        assert_eq!(Stored::spool("x".into(), io::repeat(b'a').take(1_000), 1_000).unwrap().bytes(), 1_000);
    }

    #[test]
    fn a_stream_that_does_not_start_as_text_is_refused() {
        let outcome = |stream: Box<dyn Read>| match Stored::spool("x".into(), stream.take(1 << 20), 1 << 21) {
            Ok(stored) => stored.bytes().to_string(),
            Err(error) => error.to_string(),
        };
        let no_text = "x does not start with text, so it is not a list; save the list as UTF-8";
        assert_eq!(outcome(Box::new(io::repeat(0))), no_text);
        let noise = (0_u32..200_000).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect::<Vec<u8>>();
        assert_eq!(outcome(Box::new(io::Cursor::new(noise))), no_text);
        // A short stream is read row by row, so the error names the line.
        assert_eq!(outcome(Box::new(io::repeat(0).take(1_000))), "1000");
        // It may have any encoding: the job may name it, and the first block may end inside a character.
        assert_eq!(outcome(Box::new(io::repeat(0xd6))), "1048576");
        let utf16 = |swap: bool| {
            let units = "a\u{1f600}".repeat(HEAD_BYTES).encode_utf16().collect::<Vec<_>>();
            units
                .into_iter()
                .flat_map(|unit| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() })
                .collect::<Vec<_>>()
        };
        assert_eq!(outcome(Box::new(io::Cursor::new(utf16(false)))), "393216");
        assert_eq!(outcome(Box::new(io::Cursor::new(utf16(true)))), "393216");
        assert_eq!(outcome(Box::new(GZIP.chain(io::repeat(0)))), "1048576");
        assert_eq!(outcome(Box::new(io::Cursor::new(format!("a{}", "é".repeat(HEAD_BYTES))))), "131073");
    }

    #[test]
    fn the_digest_covers_the_bytes_and_is_known_at_the_end() {
        let stored = Stored::spool("x".into(), &b"abc"[..], 10).unwrap();
        let mut reader = stored.reader();
        assert_eq!(reader.sha256(), None);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        // The first and the last bytes of the digest that the standard gives for "abc".
        let digest = reader.sha256().unwrap();
        assert_eq!((&digest[..4], &digest[28..]), (&[0xba, 0x78, 0x16, 0xbf][..], &[0xf2, 0x00, 0x15, 0xad][..]));
    }
}
