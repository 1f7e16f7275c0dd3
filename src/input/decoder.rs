//! Decodes text of another encoding into UTF-8 as a stream. Bytes that are no character are an error: a replacement
//! character would be sent to the service as part of a message.

use std::fmt;
use std::io::{self, BufRead, Read};

use encoding_rs::{DecoderResult, Encoding};

use super::line_counter::LineCounter;

/// Bytes of text that are decoded at a time.
const TEXT_BYTES: usize = 64 * 1024;

/// The decoded text of a reader.
pub(super) struct Decoder<R> {
    bytes: R,
    encoding: &'static Encoding,
    characters: encoding_rs::Decoder,
    text: Box<[u8]>,
    /// The part of `text` that has not been consumed.
    begin: usize,
    end: usize,
    lines: LineCounter,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Decoding,
    /// What follows the text decoded so far is no character.
    Malformed,
    Ended,
}

/// Bytes that are no character of the encoding. The source of an [`io::Error`].
#[derive(Debug)]
pub(super) struct Malformed {
    pub(super) encoding: &'static Encoding,
    pub(super) line: u64,
}

impl std::error::Error for Malformed {}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} is not {}", self.line, self.encoding.name())
    }
}

impl<R: BufRead> Decoder<R> {
    pub(super) fn new(bytes: R, encoding: &'static Encoding) -> Decoder<R> {
        Decoder::with_capacity(TEXT_BYTES, bytes, encoding)
    }

    fn with_capacity(capacity: usize, bytes: R, encoding: &'static Encoding) -> Decoder<R> {
        Decoder {
            bytes,
            encoding,
            characters: encoding.new_decoder_without_bom_handling(),
            text: vec![0; capacity].into_boxed_slice(),
            begin: 0,
            end: 0,
            lines: LineCounter::default(),
            state: State::Decoding,
        }
    }

    pub(super) fn encoding(&self) -> &'static Encoding {
        self.encoding
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.bytes
    }
}

impl<R: BufRead> BufRead for Decoder<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.begin == self.end && self.state == State::Decoding {
            let bytes = self.bytes.fill_buf()?;
            let is_last = bytes.is_empty();
            let (result, read, written) =
                self.characters.decode_to_utf8_without_replacement(bytes, &mut self.text, is_last);
            self.bytes.consume(read);
            (self.begin, self.end) = (0, written);
            self.lines.advance(&self.text[..written]);
            match result {
                DecoderResult::Malformed(..) => self.state = State::Malformed,
                DecoderResult::InputEmpty if is_last => self.state = State::Ended,
                DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
            }
        }
        if self.begin == self.end && self.state == State::Malformed {
            let malformed = Malformed { encoding: self.encoding, line: self.lines.line() };
            return Err(io::Error::new(io::ErrorKind::InvalidData, malformed));
        }
        Ok(&self.text[self.begin..self.end])
    }

    fn consume(&mut self, bytes: usize) {
        self.begin = (self.begin + bytes).min(self.end);
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// The text of `bytes`, the beginning of something longer, if they are valid in that encoding. A character that is cut
/// off at the end is left out.
pub(super) fn decode_start(bytes: &[u8], encoding: &'static Encoding) -> Option<String> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut text = String::with_capacity(decoder.max_utf8_buffer_length_without_replacement(bytes.len())?);
    let (result, _) = decoder.decode_to_string_without_replacement(bytes, &mut text, false);
    (result == DecoderResult::InputEmpty).then_some(text)
}

/// What to do about a list that is not UTF-8.
pub(super) fn encoding_advice(is_gb18030: bool) -> &'static str {
    if is_gb18030 {
        "if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: \"CSV UTF-8\")"
    } else {
        "save the list as UTF-8 (in Excel: \"CSV UTF-8\"), or name its encoding with --encoding"
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use encoding_rs::{BIG5, EUC_JP, GB18030, ISO_2022_JP, SHIFT_JIS, UTF_16BE, UTF_16LE, WINDOWS_1252};
    use proptest::prelude::*;

    use super::*;

    const ENCODINGS: [&Encoding; 8] = [GB18030, UTF_16LE, UTF_16BE, BIG5, SHIFT_JIS, EUC_JP, ISO_2022_JP, WINDOWS_1252];

    /// The text, or what was decoded before the error, and its line.
    fn decode(bytes: &[u8], encoding: &'static Encoding, buffer: usize, capacity: usize) -> (String, Option<u64>) {
        let mut decoder = Decoder::with_capacity(capacity, BufReader::with_capacity(buffer, bytes), encoding);
        let mut text = Vec::new();
        let failed = decoder.read_to_end(&mut text).err();
        let line = failed.map(|error| error.get_ref().and_then(|e| e.downcast_ref::<Malformed>()).unwrap().line);
        (String::from_utf8(text).unwrap(), line)
    }

    proptest! {
        /// Any bytes through any buffers are the text that they are in one go, or an error.
        #[test]
        fn text_does_not_depend_on_buffers(
            bytes in proptest::collection::vec(prop_oneof![any::<u8>(), 0x30_u8..0x3a, 0x80_u8..0xff, Just(b'\n')], 0..80),
            encoding in proptest::sample::select(&ENCODINGS[..]),
            buffer in 1_usize..20,
            capacity in 8_usize..40,
        ) {
            let (text, line) = decode(&bytes, encoding, buffer, capacity);
            if let Some(whole) = encoding.decode_without_bom_handling_and_without_replacement(&bytes) {
                prop_assert_eq!((text.as_str(), line), (&*whole, None));
            } else {
                prop_assert_eq!(line, Some(1 + text.replace("\r\n", "\n").matches(['\n', '\r']).count() as u64));
                // Up to the error it is the same text.
                let (lossy, _) = encoding.decode_without_bom_handling(&bytes);
                prop_assert!(lossy.starts_with(&text));
            }
        }

        #[test]
        fn any_text_comes_back(
            text in "[a-z,;\n\"\u{4e00}-\u{9fa5}\u{20000}-\u{20100}é]{0,60}",
            buffer in 1_usize..20,
            capacity in 8_usize..40,
        ) {
            let (bytes, _, has_errors) = GB18030.encode(&text);
            prop_assert!(!has_errors);
            prop_assert_eq!(decode(&bytes, GB18030, buffer, capacity), (text.clone(), None));
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            prop_assert_eq!(decode(&bytes, UTF_16LE, buffer, capacity), (text.clone(), None));
            // Cut off anywhere, it is an error or a shorter text, and never a replacement character.
            let (cut, line) = decode(&bytes[..bytes.len().saturating_sub(1)], UTF_16LE, buffer, capacity);
            prop_assert!(text.starts_with(&cut) && line.is_some() != text.is_empty());
        }
    }

    #[test]
    fn an_error_names_its_line_and_comes_after_the_text_before_it() {
        for buffer in [1, 2, 3, 64] {
            assert_eq!(decode(b"a\r\nb\xff\nc", GB18030, buffer, 8), ("a\r\nb".to_owned(), Some(2)));
            // Half of a surrogate pair, at the end and before another character.
            assert_eq!(decode(b"a\0\n\0\x3d\xd8", UTF_16LE, buffer, 8), ("a\n".to_owned(), Some(2)));
            assert_eq!(decode(b"\x3d\xd8b\0", UTF_16LE, buffer, 8), (String::new(), Some(1)));
            assert_eq!(decode(b"\x81\x30\x81", GB18030, buffer, 8), (String::new(), Some(1)));
        }
    }
}
