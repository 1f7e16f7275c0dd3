//! The parts of a workbook: a ZIP archive of XML files, each read as a stream and never further than its limit.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use flate2::bufread::DeflateDecoder;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::{CompressionMethod, HasZipMetadata, ZipArchive};

use super::Trouble;
use crate::input::ROW_BYTES_MAX;
use crate::input::stored::{Stored, StoredBytes};

/// What may be read to find the parts: the directory of any real workbook takes a few kilobytes.
const DIRECTORY_BYTES_MAX: u64 = 8 << 20;
/// The longest tag or text: a cell that is longer than a row may be would be refused later.
const EVENT_BYTES_MAX: usize = 2 * ROW_BYTES_MAX;
const BUFFER_BYTES: usize = 64 * 1024;

/// The parts of an archive.
pub(super) struct Package {
    stored: Stored,
    archive: ZipArchive<Directory>,
}

impl Package {
    pub(super) fn open(stored: &Stored) -> Result<Package, Trouble> {
        let directory = Directory { reader: stored.bytes_from(0), bytes: stored.bytes(), left: DIRECTORY_BYTES_MAX };
        let archive = ZipArchive::new(directory).map_err(|_| Trouble::NotAWorkbook)?;
        Ok(Package { stored: stored.clone(), archive })
    }

    /// Opens a part, of which no more than `limit` bytes are read; `None` if there is none of this name.
    pub(super) fn part(&self, name: &str, limit: u64) -> Result<Option<Xml>, Trouble> {
        // Some writers use other letters, or the separator of their system.
        let plain = |name: &str| name.replace('\\', "/").to_ascii_lowercase();
        let wanted = plain(name.trim_start_matches('/'));
        let mut names = self.archive.file_names();
        let Some(index) = names.position(|name| name.is_ok_and(|name| plain(&name) == wanted)) else {
            return Ok(None);
        };
        let damaged = |_| Trouble::Damaged { place: name.to_owned() };
        let entry = self.archive.by_index_data(index).map_err(damaged)?;
        let metadata = entry.get_metadata();
        let mut directory = Directory { reader: self.stored.bytes_from(0), bytes: self.stored.bytes(), left: 1024 };
        let begin = metadata.data_start(&mut directory).map_err(damaged)?;
        let bytes = self.stored.bytes_from(begin).take(metadata.compressed_size);
        let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
        let method = if metadata.is_encrypted() { None } else { Some(metadata.compression_method) };
        let bytes: Box<dyn Read + Send> = match method {
            Some(CompressionMethod::STORE) => Box::new(bytes),
            Some(CompressionMethod::DEFLATE) => Box::new(DeflateDecoder::new(bytes)),
            Some(_) | None => return Err(Trouble::Damaged { place: name.to_owned() }),
        };
        Ok(Some(Xml::new(name, bytes, limit)))
    }
}

/// The bytes of the file, as far as the archive's directory is read.
struct Directory {
    reader: StoredBytes,
    bytes: u64,
    left: u64,
}

impl Read for Directory {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("the directory of the archive is too long"));
        }
        let room = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.reader.read(&mut buffer[..room])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Seek for Directory {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.reader.offset.checked_add_signed(offset),
        };
        let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.reader.offset = target;
        Ok(target)
    }
}

/// Reads the events of an XML part. None is longer than [`EVENT_BYTES_MAX`].
pub(super) struct Xml {
    name: String,
    reader: Reader<Limited>,
    buffer: Vec<u8>,
}

/// What to make of an event.
pub(super) enum XmlEvent<'a> {
    Start(BytesStart<'a>),
    /// The end of the element of this name.
    End(&'static str),
    Text,
    Other,
}

impl Xml {
    fn new(name: &str, bytes: Box<dyn Read + Send>, limit: u64) -> Xml {
        let bytes = BufReader::with_capacity(BUFFER_BYTES, bytes);
        let mut reader = Reader::from_reader(Limited { bytes, left: limit, event_left: 0 });
        reader.config_mut().expand_empty_elements = true;
        Xml { name: name.to_owned(), reader, buffer: Vec::new() }
    }

    /// The next event; `None` at the end. The text of an event is appended to `text`.
    pub(super) fn next(&mut self, text: &mut String) -> Result<Option<XmlEvent<'_>>, Trouble> {
        self.buffer.clear();
        self.reader.get_mut().event_left = EVENT_BYTES_MAX;
        let damaged = || Trouble::Damaged { place: self.name.clone() };
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(quick_xml::Error::Io(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(Trouble::TooLarge { place: self.name.clone() });
            }
            Err(_) => return Err(damaged()),
        };
        Ok(Some(match event {
            Event::Start(element) => XmlEvent::Start(element),
            Event::End(element) => XmlEvent::End(known(element.local_name().as_ref())),
            Event::Text(found) => {
                text.push_str(&found.xml10_content());
                XmlEvent::Text
            }
            Event::CData(found) => {
                text.push_str(&found.xml10_content());
                XmlEvent::Text
            }
            Event::GeneralRef(name) => {
                // An entity that a document defines itself is never expanded: that is how XML bombs work.
                match name.resolve_char_ref() {
                    Ok(Some(character)) => text.push(character),
                    Ok(None) => {
                        let known = quick_xml::escape::resolve_xml_entity(name.as_ref());
                        text.push_str(known.ok_or_else(damaged)?);
                    }
                    Err(_) => return Err(damaged()),
                }
                XmlEvent::Text
            }
            Event::Eof => return Ok(None),
            Event::Empty(_) | Event::Decl(_) | Event::PI(_) | Event::Comment(_) | Event::DocType(_) => XmlEvent::Other,
        }))
    }

    /// The damage to tell of.
    pub(super) fn damaged(&self) -> Trouble {
        Trouble::Damaged { place: self.name.clone() }
    }

    pub(super) fn too_large(&self) -> Trouble {
        Trouble::TooLarge { place: self.name.clone() }
    }
}

/// The names of the elements whose ends mean something.
fn known(name: &str) -> &'static str {
    const KNOWN: [&str; 8] = ["c", "v", "t", "is", "si", "rPh", "row", "sheetData"];
    KNOWN.into_iter().find(|known| *known == name).unwrap_or(if name == "cellXfs" { "cellXfs" } else { "" })
}

/// The value of an attribute, by its name without a prefix.
pub(super) fn attribute(element: &BytesStart<'_>, wanted: &str) -> Option<String> {
    let mut attributes = element.attributes();
    let found =
        attributes.with_checks(false).flatten().find(|attribute| attribute.key.local_name().as_ref() == wanted)?;
    quick_xml::escape::unescape(&found.value).ok().map(std::borrow::Cow::into_owned)
}

/// Bytes that end with an error at the limits of the part and of the event.
struct Limited {
    bytes: BufReader<Box<dyn Read + Send>>,
    left: u64,
    event_left: usize,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let found = self.fill_buf()?;
        let bytes = found.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&found[..bytes]);
        self.consume(bytes);
        Ok(bytes)
    }
}

impl BufRead for Limited {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let found = self.bytes.fill_buf()?;
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.event_left);
        if room == 0 && !found.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(&found[..found.len().min(room)])
    }

    fn consume(&mut self, bytes: usize) {
        self.bytes.consume(bytes);
        self.left -= bytes as u64;
        self.event_left -= bytes;
    }
}
