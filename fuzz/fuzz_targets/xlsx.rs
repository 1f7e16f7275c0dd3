#![no_main]
use std::io::{Cursor, Write as _};

use libfuzzer_sys::fuzz_target;
use runner::input::Format;
use runner_fuzz::{plain, read};
use zip::write::{SimpleFileOptions, ZipWriter};

const PARTS: [(&str, &str); 3] = [
    (
        "_rels/.rels",
        r#"<Relationships><Relationship Id="a" Type="x/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
    ),
    (
        "xl/_rels/workbook.xml.rels",
        r#"<Relationships><Relationship Id="s" Type="x/worksheet" Target="sheet.xml"/></Relationships>"#,
    ),
    ("xl/workbook.xml", r#"<workbook xmlns:r="r"><sheets><sheet name="One" r:id="s"/></sheets></workbook>"#),
];

/// A workbook with these bytes as one of its parts.
fn workbook(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let others = PARTS.iter().filter(|(other, _)| *other != name).map(|(name, text)| (*name, text.as_bytes()));
    for (name, bytes) in others.chain([(name, bytes)]) {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

// Tries the bytes as they are, and as each part that is read: nobody else could write valid checksums.
fuzz_target!(|bytes: &[u8]| {
    read(bytes, Format::Xlsx, plain());
    let names = ["xl/sheet.xml", "xl/sharedStrings.xml", "xl/styles.xml", "xl/workbook.xml"];
    for name in names {
        read(&workbook(name, bytes), Format::Xlsx, plain());
    }
    let rows = [b"<worksheet><sheetData>".as_slice(), bytes, b"</sheetData></worksheet>"].concat();
    read(&workbook("xl/sheet.xml", &rows), Format::Xlsx, plain());
});
