//! What a workbook says about all its sheets: their names, the texts that they share, and how their numbers are shown.

use std::collections::HashMap;

use super::Trouble;
use super::package::{Package, Xml, XmlEvent, attribute};
use crate::input::ROW_BYTES_MAX;

/// Bytes of any part that is neither a sheet nor the shared texts.
const PART_BYTES_MAX: u64 = 16 << 20;
/// Bytes of the shared texts, which have to be in memory.
const STRINGS_BYTES_MAX: u64 = if cfg!(test) { 4 << 20 } else { 256 << 20 };
/// Sheets of a workbook: far more than any real one has.
const SHEETS_MAX: usize = 10_000;

/// A workbook's sheets, and what is needed to read their cells.
pub(super) struct Workbook {
    pub(super) package: Package,
    /// Each sheet's name and part, in the workbook's order. Charts are none.
    pub(super) sheets: Vec<(String, String)>,
    pub(super) strings: SharedStrings,
    pub(super) formats: Vec<NumberFormat>,
}

/// How a cell shows its number, as far as that concerns what the number means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NumberFormat {
    /// As digits.
    #[default]
    Plain,
    /// With this many digits at least.
    Padded(usize),
    /// As a date or a time.
    Date,
}

impl Workbook {
    pub(super) fn open(package: Package) -> Result<Workbook, Trouble> {
        let main = Main::of(&package)?;
        let sheets = main.sheets(&package)?;
        let target = |wanted: &str| main.relations.iter().find(|relation| relation.kind == wanted);
        let target = |wanted: &str| target(wanted).map(|relation| resolve(&main.folder, &relation.target));
        let strings = match target("sharedStrings") {
            Some(part) => package.part(&part, STRINGS_BYTES_MAX)?.map(SharedStrings::read).transpose()?,
            None => None,
        };
        let formats = match target("styles") {
            Some(part) => package.part(&part, PART_BYTES_MAX)?.map(number_formats).transpose()?,
            None => None,
        };
        Ok(Workbook { package, sheets, strings: strings.unwrap_or_default(), formats: formats.unwrap_or_default() })
    }
}

struct Relation {
    id: String,
    /// The last word of its type.
    kind: String,
    target: String,
}

/// The part that names the others.
struct Main {
    part: String,
    folder: String,
    relations: Vec<Relation>,
}

impl Main {
    fn of(package: &Package) -> Result<Main, Trouble> {
        let first = relations(package, "_rels/.rels")?.into_iter().find(|relation| relation.kind == "officeDocument");
        let part = first.map(|relation| resolve("", &relation.target)).ok_or(Trouble::NotAWorkbook)?;
        if !part.to_ascii_lowercase().ends_with(".xml") {
            return Err(Trouble::NotAWorkbook);
        }
        let folder = part.rfind('/').map_or("", |end| &part[..=end]).to_owned();
        let relations = relations(package, &format!("{folder}_rels/{}.rels", &part[folder.len()..]))?;
        Ok(Main { part, folder, relations })
    }

    fn sheets(&self, package: &Package) -> Result<Vec<(String, String)>, Trouble> {
        let part_of = |id: &str| {
            let mut relations = self.relations.iter().filter(|relation| relation.kind == "worksheet");
            Some(resolve(&self.folder, &relations.find(|relation| relation.id == id)?.target))
        };
        let sheets = sheet_ids(package, &self.part)?.into_iter();
        Ok(sheets.filter_map(|(name, id)| Some((name, part_of(&id)?))).collect())
    }
}

/// The name and the part of each sheet.
pub(super) fn sheets(package: &Package) -> Result<Vec<(String, String)>, Trouble> {
    Main::of(package)?.sheets(package)
}

fn relations(package: &Package, part: &str) -> Result<Vec<Relation>, Trouble> {
    let Some(mut xml) = package.part(part, PART_BYTES_MAX)? else { return Ok(Vec::new()) };
    let mut relations = Vec::new();
    let mut text = String::new();
    while let Some(event) = xml.next(&mut text)? {
        text.clear();
        if let XmlEvent::Start(element) = event
            && element.local_name().as_ref() == "Relationship"
            && let (Some(id), Some(kind), Some(target)) =
                (attribute(&element, "Id"), attribute(&element, "Type"), attribute(&element, "Target"))
        {
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            relations.push(Relation { id, kind, target });
        }
    }
    Ok(relations)
}

/// The part that a target names; relative to the folder of the part that names it.
fn resolve(folder: &str, target: &str) -> String {
    let path = match target.strip_prefix('/') {
        Some(absolute) => absolute.to_owned(),
        None => format!("{folder}{target}"),
    };
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names.join("/")
}

/// The name of each sheet, and the id of its relation.
fn sheet_ids(package: &Package, part: &str) -> Result<Vec<(String, String)>, Trouble> {
    let mut xml = package.part(part, PART_BYTES_MAX)?.ok_or(Trouble::NotAWorkbook)?;
    let mut sheets = Vec::new();
    let mut text = String::new();
    while let Some(event) = xml.next(&mut text)? {
        text.clear();
        if let XmlEvent::Start(element) = event
            && element.local_name().as_ref() == "sheet"
            && let (Some(name), Some(id)) = (attribute(&element, "name"), attribute(&element, "id"))
        {
            sheets.push((name, id));
            if sheets.len() > SHEETS_MAX {
                return Err(xml.too_large());
            }
        }
    }
    Ok(sheets)
}

/// The texts that cells share, one after another.
#[derive(Default)]
pub(super) struct SharedStrings {
    text: String,
    ends: Vec<u32>,
}

impl SharedStrings {
    fn read(mut xml: Xml) -> Result<SharedStrings, Trouble> {
        let mut strings = SharedStrings::default();
        while let Some(event) = xml.next(&mut String::new())? {
            if let XmlEvent::Start(element) = event
                && element.local_name().as_ref() == "si"
            {
                drop(element);
                read_string(&mut xml, "si", &mut strings.text)?;
                // The part's limit is below 2³² bytes.
                strings.ends.push(u32::try_from(strings.text.len()).map_err(|_| xml.too_large())?);
            }
        }
        Ok(strings)
    }

    pub(super) fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let begin = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        self.text.get(begin..end)
    }
}

/// Appends the text of an element whose start has been read: all of its runs, without the reading aids above them.
pub(super) fn read_string(xml: &mut Xml, name: &str, out: &mut String) -> Result<(), Trouble> {
    let (mut in_text, mut phonetic) = (false, 0_u32);
    let mut text = String::new();
    let begin = out.len();
    loop {
        if text.len() + out.len() - begin > 2 * ROW_BYTES_MAX {
            return Err(xml.too_large());
        }
        match xml.next(&mut text)? {
            None => return Err(xml.damaged()),
            Some(XmlEvent::Start(element)) => match element.local_name().as_ref() {
                "rPh" => phonetic += 1,
                "t" => in_text = true,
                _ => {}
            },
            Some(XmlEvent::End(end)) if end == name => return Ok(()),
            Some(XmlEvent::End(end)) => match end {
                "rPh" => phonetic = phonetic.saturating_sub(1),
                "t" => {
                    unescape(&text, out);
                    text.clear();
                    in_text = false;
                }
                _ => {}
            },
            Some(XmlEvent::Text | XmlEvent::Other) => {}
        }
        if !in_text || phonetic > 0 {
            text.clear();
        }
    }
}

/// Appends a text in which characters that XML cannot hold are written as `_x000D_`.
pub(super) fn unescape(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some(at) = rest.find("_x") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let code = rest.get(2..6).filter(|_| rest.as_bytes().get(6) == Some(&b'_'));
        let code = code.filter(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let character = code.and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
        let passed = if let Some(character) = character {
            out.push(character);
            7
        } else {
            out.push_str("_x");
            2
        };
        rest = &rest[passed..];
    }
    out.push_str(rest);
}

/// The number format of each style, in the order by which cells name them.
fn number_formats(mut xml: Xml) -> Result<Vec<NumberFormat>, Trouble> {
    let (mut own, mut formats, mut in_cell_styles) = (HashMap::new(), Vec::new(), false);
    let mut text = String::new();
    while let Some(event) = xml.next(&mut text)? {
        text.clear();
        match event {
            XmlEvent::Start(element) => match element.local_name().as_ref() {
                "numFmt" => {
                    let id = attribute(&element, "numFmtId").and_then(|id| id.parse::<u32>().ok());
                    if let (Some(id), Some(code)) = (id, attribute(&element, "formatCode")) {
                        own.insert(id, format_of_code(&code));
                    }
                }
                "cellXfs" => in_cell_styles = true,
                "xf" if in_cell_styles => {
                    let id = attribute(&element, "numFmtId").and_then(|id| id.parse::<u32>().ok()).unwrap_or(0);
                    formats.push(own.get(&id).copied().unwrap_or_else(|| format_of_id(id)));
                }
                _ => {}
            },
            XmlEvent::End("cellXfs") => in_cell_styles = false,
            XmlEvent::End(_) | XmlEvent::Text | XmlEvent::Other => {}
        }
    }
    Ok(formats)
}

/// The formats that every spreadsheet program knows, those of East Asia included.
fn format_of_id(id: u32) -> NumberFormat {
    match id {
        14..=22 | 27..=36 | 45..=47 | 50..=58 | 71..=81 => NumberFormat::Date,
        _ => NumberFormat::Plain,
    }
}

fn format_of_code(code: &str) -> NumberFormat {
    // The first section is that of positive numbers. What is quoted, escaped or in brackets is shown as it is, except
    // for elapsed times such as [h].
    let mut digits = 0;
    let mut is_date = false;
    let mut has_point = false;
    let mut characters = code.chars();
    while let Some(character) = characters.next() {
        match character {
            ';' => break,
            '"' => drop(characters.by_ref().find(|&next| next == '"')),
            '\\' | '_' | '*' => drop(characters.next()),
            '[' => {
                let inside: String = characters.by_ref().take_while(|&next| next != ']').collect();
                is_date |= !inside.is_empty()
                    && inside.chars().all(|next| matches!(next.to_ascii_lowercase(), 'h' | 'm' | 's'));
            }
            'y' | 'Y' | 'm' | 'M' | 'd' | 'D' | 'h' | 'H' | 's' | 'S' => is_date = true,
            // "General"
            'G' | 'g' if code.to_ascii_lowercase().starts_with("general") => return NumberFormat::Plain,
            'E' | 'e' if code.contains("E+") || code.contains("E-") => break,
            '.' => has_point = true,
            '0' if !has_point => digits += 1,
            _ => {}
        }
    }
    match (is_date, digits) {
        (true, _) => NumberFormat::Date,
        (false, 0 | 1) => NumberFormat::Plain,
        (false, digits) => NumberFormat::Padded(digits),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_tell_dates_and_leading_zeros_from_numbers() {
        for (code, format) in [
            ("General", NumberFormat::Plain),
            ("0", NumberFormat::Plain),
            ("#,##0.00", NumberFormat::Plain),
            ("0.00E+00", NumberFormat::Plain),
            ("@", NumberFormat::Plain),
            ("[Red]0", NumberFormat::Plain),
            ("\"days\" 0", NumberFormat::Plain),
            ("0_d", NumberFormat::Plain),
            ("000000", NumberFormat::Padded(6)),
            ("00000.00", NumberFormat::Padded(5)),
            ("yyyy-mm-dd", NumberFormat::Date),
            ("yyyy\"年\"m\"月\"d\"日\"", NumberFormat::Date),
            ("[$-804]h:mm", NumberFormat::Date),
            ("[h]:00", NumberFormat::Date),
        ] {
            assert_eq!(format_of_code(code), format, "{code}");
        }
    }

    #[test]
    fn characters_that_xml_cannot_hold_are_read() {
        for (written, text) in [
            ("a_x000D_b", "a\rb"),
            ("_x005F_x000D_", "_x000D_"),
            ("_x00g0_", "_x00g0_"),
            ("_x_x0041", "_x_x0041"),
            ("_xD83D_", "_xD83D_"),
        ] {
            let mut found = String::new();
            unescape(written, &mut found);
            assert_eq!(found, text);
        }
    }

    #[test]
    fn targets_are_relative_to_their_part() {
        assert_eq!(resolve("xl/", "worksheets/sheet1.xml"), "xl/worksheets/sheet1.xml");
        assert_eq!(resolve("xl/", "/xl/styles.xml"), "xl/styles.xml");
        assert_eq!(resolve("xl/", "../../x.xml"), "x.xml");
    }
}
