//! Looks through the parts of a workbook before calamine reads them, because calamine trusts what a file says: it
//! reserves memory for as many shared texts as are announced, holds tags and texts of any length, and takes the number
//! of a row as it is. A workbook that passes can be read in bounded memory.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use zip::ZipArchive;

use super::Trouble;
use super::place::{COLUMNS_MAX, ROWS_MAX, column_of};
use crate::input::stored::{Stored, StoredBytes};
use crate::input::{ROW_BYTES_MAX, SPOOL_BYTES_MAX};

/// What may be read to find the parts: the directory of any real workbook takes a few kilobytes.
const DIRECTORY_BYTES_MAX: u64 = 8 << 20;
/// Bytes of a part that is no sheet. The largest has the shared texts, which have to be in memory.
const PART_BYTES_MAX: u64 = if cfg!(test) { 4 << 20 } else { 256 << 20 };
/// The longest tag, text, cell or shared text: what is longer than a row may be would be refused later.
const RUN_BYTES_MAX: usize = 2 * ROW_BYTES_MAX;
const BUFFER_BYTES: usize = 64 * 1024;
/// Elements of a part that become something larger in memory, such as formats: more than a spreadsheet program allows.
const KEPT_MAX: u32 = 1 << 18;
const KEPT: [&str; 8] = ["xf", "font", "fill", "border", "numFmt", "sheet", "definedName", "Relationship"];
/// The shortest shared text.
const STRING_BYTES_MIN: u64 = "<si/>".len() as u64;
/// Formulas without a value of which a note is kept.
const FORMULAS_MAX: usize = 1 << 20;

/// The bytes of the file, in which the archive is searched. No more than `left` are read.
pub(super) struct ArchiveBytes {
    reader: StoredBytes,
    bytes: u64,
    left: u64,
}

impl ArchiveBytes {
    pub(super) fn of(stored: &Stored, left: u64) -> ArchiveBytes {
        ArchiveBytes { reader: stored.bytes_from(0), bytes: stored.bytes(), left }
    }
}

impl Read for ArchiveBytes {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let room = usize::try_from(self.left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let read = self.reader.read(&mut buffer[..room])?;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Seek for ArchiveBytes {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.reader.offset.checked_add_signed(offset),
        };
        self.reader.offset = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.reader.offset)
    }
}

/// Where formulas have no stored value (row and column, the first are 0), in order: calamine calls such cells empty. (Of
/// all sheets together; a cell that is empty in one sheet and such a formula in another is hardly ever in a list.)
pub(super) type Unvalued = Vec<(u32, u32)>;

/// Looks through all parts, or all but the sheets.
pub(super) fn inspect(stored: &Stored, with_sheets: bool) -> Result<Unvalued, Trouble> {
    let limited = BufReader::new(ArchiveBytes::of(stored, DIRECTORY_BYTES_MAX));
    drop(ZipArchive::new(limited).map_err(|_| Trouble::NotAWorkbook)?);
    let bytes = BufReader::with_capacity(BUFFER_BYTES, ArchiveBytes::of(stored, u64::MAX));
    let mut archive = ZipArchive::new(bytes).map_err(|_| Trouble::NotAWorkbook)?;
    let mut unvalued = Vec::new();
    for index in 0..archive.len() {
        let place = archive.name_for_index(index).and_then(Result::ok).unwrap_or_default().into_owned();
        // Other parts are never read: relations to them are refused below.
        if !is_xml(&place) && !place.to_ascii_lowercase().ends_with(".rels") {
            continue;
        }
        let part = archive.by_index(index).map_err(|_| Trouble::Damaged { place: place.clone() })?;
        let bytes = BufReader::with_capacity(BUFFER_BYTES, part);
        let mut part = Part::new(place, Limited { bytes, left: PART_BYTES_MAX, run_left: RUN_BYTES_MAX });
        part.inspect(with_sheets, &mut unvalued)?;
    }
    unvalued.sort_unstable();
    Ok(unvalued)
}

fn is_xml(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".xml")
}

/// One part, as far as it has been read.
struct Part<R: BufRead> {
    place: String,
    reader: Reader<Limited<R>>,
    in_rows: bool,
    row: u32,
    next_column: u32,
    cell: CellSeen,
    kept: u32,
    strings: u64,
    announced: u64,
}

/// What has been seen of a cell.
#[derive(Default)]
struct CellSeen {
    column: u32,
    is_shared: bool,
    is_in_value: bool,
    /// A formula comes before its value.
    is_unvalued: bool,
}

impl<R: BufRead> Part<R> {
    fn new(place: String, bytes: Limited<R>) -> Self {
        let mut reader = Reader::from_reader(bytes);
        // Ends are checked against their starts, so that no element runs on past the one around it.
        reader.config_mut().expand_empty_elements = true;
        Part {
            place,
            reader,
            in_rows: false,
            row: 0,
            next_column: 0,
            cell: CellSeen::default(),
            kept: 0,
            strings: 0,
            announced: 0,
        }
    }

    fn damaged(&self) -> Trouble {
        Trouble::Damaged { place: self.place.clone() }
    }

    fn too_large(&self) -> Trouble {
        Trouble::TooLarge { place: self.place.clone() }
    }

    fn inspect(&mut self, with_sheets: bool, unvalued: &mut Unvalued) -> Result<(), Trouble> {
        let mut buffer = Vec::new();
        let mut depth = 0_u32;
        loop {
            buffer.clear();
            let event = match self.reader.read_event_into(&mut buffer) {
                Ok(event) => event,
                Err(quick_xml::Error::Io(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                    return Err(self.too_large());
                }
                Err(_) => return Err(self.damaged()),
            };
            // Pieces of a cell or of a shared text are put together, so they count together.
            let is_piece = |name: &str| match name {
                "row" | "c" => false,
                "si" => self.in_rows,
                _ => self.in_rows || self.announced > 0 || self.strings > 0,
            };
            match event {
                Event::Start(element) => {
                    let name = element.local_name();
                    let is_piece = is_piece(name.as_ref());
                    if depth == 0 && name.as_ref() == "worksheet" && !self.is_fixed() {
                        self.reader.get_mut().left = SPOOL_BYTES_MAX;
                        if !with_sheets {
                            return Ok(());
                        }
                    }
                    depth += 1;
                    self.start(&element)?;
                    if !is_piece {
                        self.reader.get_mut().run_left = RUN_BYTES_MAX;
                    }
                }
                Event::End(element) => {
                    depth = depth.saturating_sub(1);
                    let name = element.local_name();
                    if !is_piece(name.as_ref()) {
                        self.reader.get_mut().run_left = RUN_BYTES_MAX;
                    }
                    match name.as_ref() {
                        "sheetData" => self.in_rows = false,
                        "v" => self.cell.is_in_value = false,
                        "c" if self.in_rows && self.cell.is_unvalued => {
                            if unvalued.len() == FORMULAS_MAX {
                                return Err(self.too_large());
                            }
                            unvalued.push((self.row - 1, self.cell.column));
                        }
                        _ => {}
                    }
                }
                // calamine would take the first shared text for a number that it cannot read.
                Event::Text(text)
                    if self.cell.is_in_value
                        && self.cell.is_shared
                        && (text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit())) =>
                {
                    return Err(self.damaged());
                }
                Event::Eof if depth > 0 => return Err(self.damaged()),
                Event::Eof => {
                    let most = self.reader.buffer_position() / STRING_BYTES_MIN;
                    return if self.announced > most { Err(self.too_large()) } else { Ok(()) };
                }
                _ => {}
            }
        }
    }

    /// Whether calamine reads this part whole, whatever is in it.
    fn is_fixed(&self) -> bool {
        let name = self.place.to_ascii_lowercase();
        ["sharedstrings.xml", "styles.xml", "theme1.xml", "workbook.xml", ".rels"].iter().any(|end| name.ends_with(end))
    }

    fn start(&mut self, element: &BytesStart<'_>) -> Result<(), Trouble> {
        let name = element.local_name();
        let name = name.as_ref();
        if KEPT.contains(&name) {
            self.kept += 1;
            if self.kept > KEPT_MAX {
                return Err(self.too_large());
            }
        }
        match name {
            "sst" => {
                self.announced = match self.attribute(element, "uniqueCount")? {
                    Some(count) => count.parse().map_err(|_| self.too_large())?,
                    None => 0,
                };
            }
            "si" if !self.in_rows => self.strings += 1,
            "Relationship" => self.relation(element)?,
            "dimension" => {
                let corners = self.attribute(element, "ref")?.ok_or_else(|| self.damaged())?;
                let corners = corners.split(':').map(corner).collect::<Option<Vec<_>>>();
                let is_sound = |corners: &Vec<(u32, u32)>| match corners[..] {
                    [_] => true,
                    [from, to] => from.0 <= to.0 && from.1 <= to.1,
                    _ => false,
                };
                corners.filter(is_sound).ok_or_else(|| self.damaged())?;
            }
            "sheetData" => self.in_rows = true,
            "row" if self.in_rows => {
                let number = match self.attribute(element, "r")? {
                    Some(number) => number.parse().ok(),
                    None => self.row.checked_add(1),
                };
                let number = number.filter(|number| self.row < *number && *number <= ROWS_MAX);
                self.row = number.ok_or_else(|| self.damaged())?;
                self.next_column = 0;
            }
            "c" if self.in_rows => {
                let column = match self.attribute(element, "r")? {
                    Some(name) => column_of(&name, self.row),
                    None => Some(self.next_column),
                };
                // Readers do not agree on which of two cells at one place counts.
                let column =
                    column.filter(|&column| self.row > 0 && self.next_column <= column && column < COLUMNS_MAX);
                let column = column.ok_or_else(|| self.damaged())?;
                self.next_column = column + 1;
                let is_shared = self.attribute(element, "t")?.as_deref() == Some("s");
                self.cell = CellSeen { column, is_shared, ..CellSeen::default() };
            }
            "v" => (self.cell.is_in_value, self.cell.is_unvalued) = (true, false),
            "is" => self.cell.is_unvalued = false,
            "f" => self.cell.is_unvalued = true,
            _ => {}
        }
        Ok(())
    }

    /// The shared texts and the formats are read from where every spreadsheet program puts them.
    fn relation(&self, element: &BytesStart<'_>) -> Result<(), Trouble> {
        let kind = self.attribute(element, "Type")?.unwrap_or_default();
        let target = self.attribute(element, "Target")?.unwrap_or_default().to_ascii_lowercase();
        let file = target.rsplit('/').next().unwrap_or_default();
        match kind.rsplit('/').next().unwrap_or_default() {
            "officeDocument" if !is_xml(file) => Err(Trouble::NotAWorkbook),
            "sharedStrings" if file != "sharedstrings.xml" => Err(self.damaged()),
            "styles" if file != "styles.xml" => Err(self.damaged()),
            "worksheet" if !is_xml(file) => Err(self.damaged()),
            _ => Ok(()),
        }
    }

    /// The value of an attribute, by its name without a prefix.
    fn attribute(&self, element: &BytesStart<'_>, wanted: &str) -> Result<Option<String>, Trouble> {
        let mut found = None;
        for attribute in element.attributes() {
            let attribute = attribute.map_err(|_| self.damaged())?;
            if attribute.key.local_name().as_ref() == wanted && found.is_none() {
                let value = quick_xml::escape::unescape(&attribute.value).map_err(|_| self.damaged())?;
                found = Some(value.into_owned());
            }
        }
        Ok(found)
    }
}

/// The row and the column of a cell's name such as `B17`.
fn corner(name: &str) -> Option<(u32, u32)> {
    let row = name.trim_start_matches(|letter: char| letter.is_ascii_alphabetic()).parse().ok()?;
    (1..=ROWS_MAX).contains(&row).then(|| Some((row, column_of(name, row)?)))?
}

/// Bytes that end with an error at the limits of the part and of a run.
struct Limited<R> {
    bytes: R,
    left: u64,
    run_left: usize,
}

impl<R: BufRead> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.fill_buf()?.read(buffer)?;
        self.consume(bytes);
        Ok(bytes)
    }
}

impl<R: BufRead> BufRead for Limited<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let found = self.bytes.fill_buf()?;
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.run_left);
        if room == 0 && !found.is_empty() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(&found[..found.len().min(room)])
    }

    fn consume(&mut self, bytes: usize) {
        self.bytes.consume(bytes);
        self.left -= bytes as u64;
        self.run_left -= bytes;
    }
}
