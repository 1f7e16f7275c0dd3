use std::io::{Cursor, Write};

use proptest::prelude::*;
use rust_xlsxwriter::{Format as CellFormat, Formula, Workbook as NewWorkbook};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::super::{ContentSpec, Format, Input, InputSpec, Mapping};
use super::*;

const HEADER: [&str; 4] = ["from_account", "to_account", "msg_key", "note"];

fn mapping(sheet: Option<&str>) -> Mapping {
    let input = InputSpec { sheet: sheet.map(str::to_owned), ignore: vec!["note".to_owned()], ..InputSpec::default() };
    Mapping::new(&input, &ContentSpec { text: Some("x".to_owned()), ..ContentSpec::default() }).unwrap()
}

fn input(bytes: &[u8]) -> Input {
    Input::from_reader("book.xlsx", bytes, Format::Xlsx).unwrap()
}

/// Every row: its ids, or its problems.
fn read_with(bytes: &[u8], mapping: &Mapping) -> Result<Vec<String>, String> {
    let rows = input(bytes).rows(mapping).map_err(|error| error.to_string())?;
    rows.map(|row| {
        let row = row.map_err(|error| error.to_string())?;
        Ok(match row.edit {
            Ok(edit) => {
                format!(
                    "{}: {} {} {}",
                    row.line.number,
                    edit.id().from_account,
                    edit.id().to_account,
                    edit.id().msg_key
                )
            }
            Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        })
    })
    .collect()
}

fn read(bytes: &[u8]) -> Result<Vec<String>, String> {
    read_with(bytes, &mapping(None))
}

/// A workbook of these parts, beside those that every workbook has.
fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    const USUAL: [(&str, &str); 3] = [
        (
            "_rels/.rels",
            r#"<Relationships><Relationship Id="a" Type="http://x/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
        ),
        (
            "xl/_rels/workbook.xml.rels",
            r#"<Relationships><Relationship Id="s" Type="x/worksheet" Target="sheet.xml"/><Relationship Id="t" Type="x/sharedStrings" Target="/xl/sharedStrings.xml"/></Relationships>"#,
        ),
        ("xl/workbook.xml", r#"<workbook xmlns:r="r"><sheets><sheet name="One" r:id="s"/></sheets></workbook>"#),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let usual = USUAL.iter().filter(|(name, _)| parts.iter().all(|(other, _)| other != name));
    for (name, text) in usual.chain(parts) {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored)).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A workbook with this `sheetData`.
fn sheet(rows: &str) -> Vec<u8> {
    archive(&[("xl/sheet.xml", &format!("<worksheet><sheetData>{rows}</sheetData></worksheet>"))])
}

fn text_cell(place: &str, text: &str) -> String {
    format!(r#"<c r="{place}" t="inlineStr"><is><t>{text}</t></is></c>"#)
}

fn header_row() -> String {
    let cells = HEADER.iter().zip(["A1", "B1", "C1", "D1"]).map(|(name, place)| text_cell(place, name));
    format!(r#"<row r="1">{}</row>"#, cells.collect::<String>())
}

#[test]
fn cells_are_text_or_refused_with_their_place() {
    let mut book = NewWorkbook::new();
    let sheet = book.add_worksheet();
    // The list need not begin in the corner.
    for (column, name) in (1..).zip(HEADER) {
        sheet.write(2, column, name).unwrap();
    }
    let padded = CellFormat::new().set_num_format("00000000");
    let date = CellFormat::new().set_num_format("yyyy-mm-dd");
    for row in 3..14 {
        for column in 1..4 {
            sheet.write(row, column, format!("t{column}_{row}")).unwrap();
        }
        sheet.write(row, 4, 1.5).unwrap();
    }
    sheet.write(3, 1, 13_800_000_000_u64).unwrap();
    sheet.write(4, 2, 1.38e20).unwrap();
    sheet.write(5, 1, 0.5).unwrap().write(5, 2, true).unwrap();
    sheet.write_with_format(6, 1, 45_000, &date).unwrap();
    sheet.write_with_format(7, 1, 42, &padded).unwrap();
    sheet.write(8, 1, Formula::new("A1&\"x\"").set_result("ax")).unwrap();
    sheet.write(9, 1, Formula::new("1/0").set_result("#DIV/0!")).unwrap();
    sheet.write_blank(10, 1, &date).unwrap();
    sheet.write_blank(12, 5, &date).unwrap();
    sheet.write(13, 6, "stray").unwrap();
    sheet.write(20, 1, "  ").unwrap();
    sheet.write_blank(2_000, 3, &date).unwrap();
    let rows = read(&book.save_to_buffer().unwrap()).unwrap();
    let advice = "format the column as text and enter the values again, or export them again as \"CSV UTF-8\"";
    let expected = [
        "4: 13800000000 t2_3 t3_3".to_owned(),
        format!(
            "line 5: the cell C5 (column to_account) holds a number of more than 15 digits, of which spreadsheets keep only the first 15; {advice}"
        ),
        format!(
            "line 6: the cell B6 (column from_account) holds a number that is not whole; {advice} (and 1 more cell of this row)"
        ),
        format!("line 7: the cell B7 (column from_account) holds a date or a time; {advice}"),
        format!(
            "line 8: the cell B8 (column from_account) holds a number that is only shown with leading zeros; {advice}"
        ),
        "9: ax t2_8 t3_8".to_owned(),
        format!("line 10: the cell B10 (column from_account) holds the error #DIV/0!; {advice}"),
        "line 11, column from_account (B11): is empty; every edit must name its message".to_owned(),
        "12: t1_11 t2_11 t3_11".to_owned(),
        "13: t1_12 t2_12 t3_12".to_owned(),
        "line 14: the cell G14 is in a column without a name; name the column in the header, or empty it".to_owned(),
    ];
    assert_eq!(rows, expected);
}

#[test]
fn what_is_empty_is_passed_over_and_counted() {
    let mut book = NewWorkbook::new();
    let sheet = book.add_worksheet();
    sheet.write_row(1, 0, HEADER).unwrap();
    sheet.write_row(2, 0, ["a", "b", "1_2_3"]).unwrap();
    sheet.write_row(5, 0, ["a", "b", "1_2_4"]).unwrap();
    let bold = CellFormat::new().set_bold();
    sheet.write_blank(6, 5, &bold).unwrap().write(8, 1, " ").unwrap();
    let list = input(&book.save_to_buffer().unwrap());
    let facts = list.survey(&mapping(None), vec![|_| Ok::<(), InputError>(())]).unwrap();
    let facts = &facts.unwrap().lists[0].facts;
    assert_eq!((facts.empty_rows, facts.empty_columns), (5, 2));
}

#[test]
fn a_list_need_not_be_read_to_its_end() {
    let mut book = NewWorkbook::new();
    let sheet = book.add_worksheet();
    sheet.write_row(0, 0, HEADER).unwrap();
    for row in 1..20_000 {
        sheet.write_row(row, 0, ["a", "b"]).unwrap().write(row, 2, format!("1_2_{row}")).unwrap();
    }
    let list = input(&book.save_to_buffer().unwrap());
    let mut rows = list.rows(&mapping(None)).unwrap();
    assert_eq!(rows.next().unwrap().unwrap().line.number, 2);
    drop(rows);
    assert_eq!(list.rows(&mapping(None)).unwrap().last().unwrap().unwrap().line.number, 20_000);
}

#[test]
fn a_sheet_is_chosen_by_name() {
    let mut book = NewWorkbook::new();
    for (name, from) in [("Notes", "first"), ("一月", "second")] {
        let sheet = book.add_worksheet().set_name(name).unwrap();
        sheet.write_row(0, 0, HEADER).unwrap();
        sheet.write_row(1, 0, [from, "b", "1_2_3"]).unwrap();
    }
    let bytes = book.save_to_buffer().unwrap();
    assert_eq!(read(&bytes).unwrap(), ["2: first b 1_2_3"]);
    assert_eq!(read_with(&bytes, &mapping(Some("一月"))).unwrap(), ["2: second b 1_2_3"]);
    let error = read_with(&bytes, &mapping(Some("Notice"))).unwrap_err();
    assert_eq!(error, "\"book.xlsx\" has no sheet Notice; its sheets are: Notes, 一月");
    let remark = |sheet| input(&bytes).sheets(&mapping(sheet)).unwrap().remove(0).remark.unwrap();
    assert_eq!(
        remark(None),
        "the sheet Notes is read, the first of the workbook, which also has: 一月; choose another with --sheet"
    );
    assert_eq!(remark(Some("一月")), "the sheet 一月 is read");
    // The digest is that of the file, whichever sheet is read.
    let list = input(&bytes);
    let mut rows = list.rows(&mapping(None)).unwrap();
    assert_eq!(rows.by_ref().count(), 1);
    assert_eq!(
        rows.sha256().map(|digest| crate::system::digest::hex(&digest)),
        Some(crate::system::digest::sha256(&bytes))
    );
}

#[test]
fn shared_and_rich_texts_are_whole() {
    let strings = "<sst uniqueCount=\"4\"><si><t>from_account</t></si><si/><si><r><t>a</t></r><r><t xml:space=\"preserve\"> &amp; b</t></r>\
                   <rPh><t>reading</t></rPh></si><si><t><![CDATA[<c>]]>_x0041_</t></si></sst>";
    let rows = r#"<row><c t="s"><v>0</v></c><c t="str"><v>to_account</v></c><c t="inlineStr"><is><t>msg_key</t></is></c></row>
        <row><c t="s"><v>2</v></c><c t="s"><v>3</v></c><c t="str"><f>X</f><v>&#65;</v></c></row>
        <row r="5"><c r="A5" t="s"><v>1</v></c><c r="B5"><f>X1</f></c><c r="C5"/></row>"#;
    let rows = format!("<worksheet><sheetData>{rows}</sheetData></worksheet>");
    let found = read(&archive(&[("xl/sharedStrings.xml", strings), ("xl/sheet.xml", &rows)])).unwrap();
    assert_eq!(found[0], "2: a & b <c>A A");
    assert!(
        found[1].starts_with("line 5: the cell B5 (column to_account) holds a formula without a stored value"),
        "{found:?}"
    );
}

fn too_large(part: &str) -> String {
    format!(
        "\"book.xlsx\" holds more than can be read ({part:?} is too large); save the sheet as \"CSV UTF-8\", which can be of \
         any length"
    )
}

#[test]
fn hostile_workbooks_end_with_one_error() {
    let damaged = |part: &str| {
        format!(
            "\"book.xlsx\" is damaged, or was written by a program that does not keep to the format (in {part:?}); open it in \
             a spreadsheet program and save it again, or save the sheet as \"CSV UTF-8\""
        )
    };
    let in_sheet = damaged("xl/sheet.xml");
    let in_one = damaged("One").replace("\"One\"", "One");
    let header = header_row();
    let row = |cells: &str| sheet(&format!(r#"{header}<row r="2">{cells}</row>"#));
    for (bytes, error) in [
        (row(&[text_cell("B2", "x"), text_cell("A2", "x")].concat()), &in_sheet),
        (row(&[text_cell("A2", "x"), text_cell("A2", "x")].concat()), &in_sheet),
        (row(&text_cell("A3", "x")), &in_sheet),
        (row(&text_cell("XFE2", "x")), &in_sheet),
        (row(&text_cell("A99999999999", "x")), &in_sheet),
        (row(r#"<c r="A2" t="s"><v>7</v></c>"#), &in_one),
        (row(r#"<c r="A2" t="strange"><v>7</v></c>"#), &in_one),
        (row(r#"<c r="A2" t="n"><v>seven</v></c>"#), &in_one),
        (row(r#"<c r="A2" t="s"><v>one</v></c>"#), &in_sheet),
        (row(&text_cell("A2", "&lol;")), &in_one),
        (sheet(&format!(r#"{header}<row r="1"></row>"#)), &in_sheet),
        (sheet(&format!(r#"{header}<row r="1048577"></row>"#)), &in_sheet),
        (sheet(&format!(r#"{header}<row r="2"></c>"#)), &in_sheet),
        (archive(&[("xl/sheet.xml", &format!("<worksheet><sheetData>{header}<row>"))]), &in_sheet),
        (archive(&[]), &in_one),
        (
            archive(&[("xl/workbook.xml", "<workbook/>"), ("xl/sheet.xml", "")]),
            &"\"book.xlsx\" has no sheet with cells".to_owned(),
        ),
        (
            archive(&[("xl/sharedStrings.xml", "<sst><si><t>&a;</t></si></sst>")]),
            &damaged("book.xlsx").replace("\"book.xlsx\")", "book.xlsx)"),
        ),
        (archive(&[("xl/sharedStrings.xml", "<sst><si></sst>")]), &damaged("xl/sharedStrings.xml")),
        (
            archive(&[("xl/sharedStrings.xml", "<sst uniqueCount='99999999999'><si/></sst>")]),
            &too_large("xl/sharedStrings.xml"),
        ),
        (archive(&[("xl/sharedStrings.xml", "<sst uniqueCount='4 '><si/></sst>")]), &too_large("xl/sharedStrings.xml")),
        (sheet("<dimension ref='B2:A1'/>"), &in_sheet),
        (sheet("<dimension ref='A99999999999'/>"), &in_sheet),
    ] {
        assert_eq!(&read(&bytes).unwrap_err(), error, "{}", String::from_utf8_lossy(&bytes));
    }
    for bytes in [&b""[..], b"PK\x03\x04", b"from_account\n", &archive(&[("_rels/.rels", "<x/>")])] {
        let error = read(bytes).unwrap_err();
        assert!(error.starts_with("\"book.xlsx\" is not an Excel workbook (.xlsx); if it is"), "{error}");
    }
}

#[test]
fn the_corner_of_the_largest_sheet_is_a_row_like_another() {
    let rows = format!(r#"{}<row r="1048576">{}</row>"#, header_row(), text_cell("XFD1048576", "x"));
    let what =
        "line 1048576: the cell XFD1048576 is in a column without a name; name the column in the header, or empty it";
    assert_eq!(read(&sheet(&rows)).unwrap(), [what]);
}

#[test]
fn what_is_packed_small_is_not_read_without_end() {
    let pack = |name: &str, begin: &str, part: &str, times: usize| {
        let mut file = Cursor::new(archive(&[]));
        let mut zip = ZipWriter::new_append(&mut file).unwrap();
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(begin.as_bytes()).unwrap();
        let block = part.repeat((1 << 20) / part.len());
        (0..times).for_each(|_| zip.write_all(block.as_bytes()).unwrap());
        zip.finish().unwrap();
        file.into_inner()
    };
    let text = pack("xl/sheet.xml", "<worksheet><sheetData><row><c t=\"str\"><v>", "x", 3);
    assert_eq!(read(&text).unwrap_err(), too_large("xl/sheet.xml"));
    let pieces = pack("xl/sheet.xml", "<worksheet><sheetData><row><c t=\"str\"><v>", "x&lt;", 3);
    assert_eq!(read(&pieces).unwrap_err(), too_large("xl/sheet.xml"));
    let runs = pack("xl/sheet.xml", "<worksheet><sheetData><row><c t=\"inlineStr\"><is>", "<t>xxxx</t>\n", 3);
    assert_eq!(read(&runs).unwrap_err(), too_large("xl/sheet.xml"));
    let cell = "<c t=\"inlineStr\"><is><t>xxxxxxxxxxxxxxxxxx</t></is></c>";
    let row = format!(
        "<worksheet><sheetData><row>{}</row></sheetData></worksheet>",
        cell.replace("xx", &"x".repeat(100)).repeat(1_200)
    );
    assert_eq!(
        read(&archive(&[("xl/sheet.xml", &row)])).unwrap_err(),
        "\"book.xlsx\" row 1 is too long to be that of an edit"
    );
    let strings = pack("xl/sharedStrings.xml", "<sst>", "<si><t>xxxxxxxxxxxxxxx</t></si>\n", 5);
    assert_eq!(read(&strings).unwrap_err(), too_large("xl/sharedStrings.xml"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn cells_are_read_as_they_were_written(
        cells in proptest::collection::btree_map(
            (0_u32..5_000, 0_u16..300),
            prop_oneof![
                "[a_xX0-9<&>\"' é\u{1}\n]{0,12}".prop_map(Ok),
                (-999_999_999_999_999_i64..=999_999_999_999_999).prop_map(Err),
            ],
            0..400,
        )
    ) {
        let mut book = NewWorkbook::new();
        let sheet = book.add_worksheet();
        let mut expected = Vec::new();
        for ((row, column), value) in &cells {
            let text = match value {
                Ok(text) => {
                    sheet.write(*row, *column, text.as_str()).unwrap();
                    text.clone()
                }
                Err(number) => {
                    sheet.write(*row, *column, *number).unwrap();
                    number.to_string()
                }
            };
            if !text.is_empty() {
                expected.push((row + 1, u32::from(*column), text));
            }
        }
        let list = input(&book.save_to_buffer().unwrap());
        let (book, unvalued) = open_book(&list.lists().next().unwrap().stored, true).unwrap();
        let mut sheet = SheetReader::start(book, "Sheet1".to_owned(), unvalued).unwrap();
        let mut found = Vec::new();
        while sheet.read().unwrap() {
            found.extend(sheet.cells().map(|(cell, text)| (sheet.row(), cell.column, text.to_owned())));
        }
        prop_assert_eq!(found, expected);
    }

    /// Whatever is in the archive, reading ends.
    #[test]
    fn changed_bytes_do_no_harm(at in 0_usize..4096, byte: u8, cut in 0_usize..4096) {
        let mut bytes = sheet(&format!("{}<row>{}</row>", header_row(), text_cell("A2", "x")));
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = read(&bytes);
        let _ = read(&bytes[..cut.min(bytes.len())]);
    }
}
