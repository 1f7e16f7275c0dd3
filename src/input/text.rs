//! Turns stored bytes into text: decompresses gzip as a stream, strips a byte-order mark, and refuses what is
//! recognizably not UTF-8 text.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

use super::InputError;
use super::stored::{Stored, StoredReader};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// The text of a list, from its first character.
pub(super) struct DecodedText(Chain<Cursor<Vec<u8>>, Decompressed>);

enum Decompressed {
    Plain(BufReader<StoredReader>),
    /// Concatenated gzip members are one text, as they are for `gzip -d`.
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<StoredReader>>>>),
}

impl DecodedText {
    pub(super) fn open(stored: &Stored) -> Result<DecodedText, InputError> {
        let stored_bytes = BufReader::with_capacity(BUFFER_BYTES, stored.reader());
        let mut decompressed = if stored.is_gzip() {
            Decompressed::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(stored_bytes))))
        } else {
            Decompressed::Plain(stored_bytes)
        };
        let mut head = Vec::with_capacity(4);
        (&mut decompressed).take(4).read_to_end(&mut head).map_err(|error| read_error(stored, 1, error))?;
        let name = || stored.name().to_owned();
        match head.as_slice() {
            [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..] => Err(InputError::Utf16 { name: name() }),
            b"PK\x03\x04" => Err(InputError::Workbook { name: name() }),
            b"\xd0\xcf\x11\xe0" => Err(InputError::OldWorkbook { name: name() }),
            [0xef, 0xbb, 0xbf, rest @ ..] => Ok(DecodedText(Cursor::new(rest.to_vec()).chain(decompressed))),
            _ => Ok(DecodedText(Cursor::new(head).chain(decompressed))),
        }
    }

    /// The bytes as they are stored, for a list that is no text.
    pub(super) fn undecoded(stored: &Stored) -> DecodedText {
        let stored_bytes = BufReader::with_capacity(BUFFER_BYTES, stored.reader());
        DecodedText(Cursor::new(Vec::new()).chain(Decompressed::Plain(stored_bytes)))
    }

    fn stored_reader(&self) -> &StoredReader {
        match self.0.get_ref().1 {
            Decompressed::Plain(reader) => reader.get_ref(),
            Decompressed::Gzip(reader) => reader.get_ref().get_ref().get_ref(),
        }
    }

    /// Stored bytes read so far.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.stored_reader().bytes()
    }

    /// The digest of the stored bytes, once the end has been reached.
    pub(super) fn sha256(&self) -> Option<[u8; 32]> {
        self.stored_reader().sha256()
    }
}

/// The error for a failed read. If the list changed meanwhile, the error says so instead of calling it damaged.
pub(super) fn read_error(stored: &Stored, line: u64, source: io::Error) -> InputError {
    if let Err(changed) = stored.check_unchanged() {
        return changed;
    }
    let name = stored.name().to_owned();
    let damaged = matches!(
        source.kind(),
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    );
    if stored.is_gzip() && damaged {
        InputError::Gzip { name, line, source }
    } else {
        InputError::Read { name, line, source }
    }
}

impl Read for DecodedText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for DecodedText {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.0.consume(bytes);
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Decompressed::Plain(reader) => reader.read(buffer),
            Decompressed::Gzip(reader) => reader.read(buffer),
        }
    }
}

impl BufRead for Decompressed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Decompressed::Plain(reader) => reader.fill_buf(),
            Decompressed::Gzip(reader) => reader.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Decompressed::Plain(reader) => reader.consume(bytes),
            Decompressed::Gzip(reader) => reader.consume(bytes),
        }
    }
}
