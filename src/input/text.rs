//! Turns stored bytes into text: decompresses gzip as a stream, strips a byte-order mark, decodes what is not UTF-8, and
//! refuses what is recognizably no text.

use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::MultiGzDecoder;

use super::InputError;
use super::decoder::{Decoder, Malformed};
use super::dialect::TextEncoding;
use super::stored::{Stored, StoredReader};

/// Bytes read at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Text that is read ahead, to see what separates the columns.
const HEAD_BYTES: u64 = 16 * 1024;

/// The text of a list, from its first character.
pub(super) struct DecodedText {
    /// The beginning of the text, and why reading ahead stopped, if it failed.
    head: Cursor<Vec<u8>>,
    failed: Option<io::Error>,
    rest: Text,
}

/// The bytes, the first of which were read to see what they are.
type Bytes = Chain<Cursor<Vec<u8>>, Decompressed>;

enum Text {
    Utf8(Box<Bytes>),
    Other(Box<Decoder<Bytes>>),
}

enum Decompressed {
    Plain(BufReader<StoredReader>),
    /// Concatenated gzip members are one text, as they are for `gzip -d`.
    Gzip(Box<BufReader<MultiGzDecoder<BufReader<StoredReader>>>>),
}

impl DecodedText {
    /// Opens the text, which is UTF-8 unless a byte-order mark or the job names another encoding. A mark overrides the
    /// job: it is part of the file.
    pub(super) fn open(stored: &Stored, named: Option<TextEncoding>) -> Result<DecodedText, InputError> {
        let stored_bytes = BufReader::with_capacity(BUFFER_BYTES, stored.reader());
        let mut decompressed = if stored.is_gzip() {
            Decompressed::Gzip(Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(stored_bytes))))
        } else {
            Decompressed::Plain(stored_bytes)
        };
        let mut first = Vec::with_capacity(4);
        (&mut decompressed).take(4).read_to_end(&mut first).map_err(|error| read_error(stored, 1, error))?;
        let name = || stored.name().to_owned();
        let (mark, encoding) = match (first.as_slice(), named) {
            ([0xff, 0xfe, 0, 0] | [0, 0, 0xfe, 0xff], _) => return Err(InputError::Utf32 { name: name() }),
            (b"PK\x03\x04", _) => return Err(InputError::Workbook { name: name() }),
            (b"\xd0\xcf\x11\xe0", _) => return Err(InputError::OldWorkbook { name: name() }),
            ([0xff, 0xfe, ..], _) => (2, UTF_16LE),
            ([0xfe, 0xff, ..], _) => (2, UTF_16BE),
            ([0xef, 0xbb, 0xbf, ..], _) => (3, UTF_8),
            (_, Some(TextEncoding(named))) => {
                let more = decompressed.fill_buf().map_err(|error| read_error(stored, 1, error))?;
                if named != UTF_8 && is_plainly_utf8(&[&first, more].concat()) {
                    return Err(InputError::NotAsNamed { name: name(), encoding: named.name() });
                }
                (0, named)
            }
            ([0, _, ..], None) => return Err(InputError::UnmarkedUtf16 { name: name(), label: "utf-16be" }),
            ([_, 0, ..], None) => return Err(InputError::UnmarkedUtf16 { name: name(), label: "utf-16le" }),
            (_, None) => (0, UTF_8),
        };
        let bytes = Cursor::new(first.split_off(mark)).chain(decompressed);
        let mut rest = if encoding == UTF_8 {
            Text::Utf8(Box::new(bytes))
        } else {
            Text::Other(Box::new(Decoder::new(bytes, encoding)))
        };
        let mut head = Vec::new();
        let failed = (&mut rest).take(HEAD_BYTES).read_to_end(&mut head).err();
        // The mark as an encoding that has no byte order writes it.
        if mark == 0 && encoding != UTF_8 && head.starts_with("\u{feff}".as_bytes()) {
            head.drain(..'\u{feff}'.len_utf8());
        }
        Ok(DecodedText { head: Cursor::new(head), failed, rest })
    }

    /// The encoding of the stored text.
    pub(super) fn encoding(&self) -> &'static Encoding {
        match &self.rest {
            Text::Utf8(_) => UTF_8,
            Text::Other(decoder) => decoder.encoding(),
        }
    }

    /// The beginning of the text: all of it, if it is short.
    pub(super) fn head(&self) -> &[u8] {
        self.head.get_ref()
    }

    /// The bytes as they are stored, for a list that is no text.
    pub(super) fn undecoded(stored: &Stored) -> DecodedText {
        let stored_bytes = BufReader::with_capacity(BUFFER_BYTES, stored.reader());
        let bytes = Cursor::new(Vec::new()).chain(Decompressed::Plain(stored_bytes));
        DecodedText { head: Cursor::new(Vec::new()), failed: None, rest: Text::Utf8(Box::new(bytes)) }
    }

    fn stored_reader(&self) -> &StoredReader {
        let bytes = match &self.rest {
            Text::Utf8(bytes) => bytes,
            Text::Other(decoder) => decoder.get_ref(),
        };
        match bytes.get_ref().1 {
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

/// Whether the text begins as UTF-8 beyond doubt. In another encoding, a few characters may look like that by chance, but
/// not as many as this.
fn is_plainly_utf8(bytes: &[u8]) -> bool {
    const CHARACTERS: usize = 8;
    let valid = match str::from_utf8(bytes) {
        Ok(_) => bytes,
        // The last character is cut off.
        Err(error) if error.error_len().is_none() => &bytes[..error.valid_up_to()],
        Err(_) => return false,
    };
    str::from_utf8(valid).is_ok_and(|text| text.chars().filter(|c| !c.is_ascii()).nth(CHARACTERS - 1).is_some())
}

/// The error for a failed read. If the list changed meanwhile, the error says so instead of calling it damaged.
pub(super) fn read_error(stored: &Stored, line: u64, source: io::Error) -> InputError {
    if let Err(changed) = stored.check_unchanged() {
        return changed;
    }
    let name = stored.name().to_owned();
    if let Some(Malformed { encoding, line }) = source.get_ref().and_then(|source| source.downcast_ref()) {
        return InputError::Malformed { name, line: *line, encoding: encoding.name() };
    }
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
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

impl BufRead for DecodedText {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.head.position() < self.head.get_ref().len() as u64 {
            return self.head.fill_buf();
        }
        match self.failed.take() {
            Some(error) => Err(error),
            None => self.rest.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        if self.head.position() < self.head.get_ref().len() as u64 {
            self.head.consume(bytes);
        } else {
            self.rest.consume(bytes);
        }
    }
}

impl Read for Text {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Text::Utf8(bytes) => bytes.read(buffer),
            Text::Other(decoder) => decoder.read(buffer),
        }
    }
}

impl BufRead for Text {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Text::Utf8(bytes) => bytes.fill_buf(),
            Text::Other(decoder) => decoder.fill_buf(),
        }
    }

    fn consume(&mut self, bytes: usize) {
        match self {
            Text::Utf8(text) => text.consume(bytes),
            Text::Other(decoder) => decoder.consume(bytes),
        }
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
