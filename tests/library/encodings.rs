//! Lists as spreadsheets store them: other encodings, other separators, and rows and columns of nothing.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::convert::Infallible;

use encoding_rs::{BIG5, Encoding, GB18030, SHIFT_JIS, UTF_8};
use proptest::prelude::*;
use runner::input::{ContentSpec, CopyStyle, Format, Input, InputSpec, ListFacts, Mapping, ReadList, Row, RowNote};

const CSV: &str = "from_account,to_account,msg_key,_备注,cloud_custom_data\n\
                   客服,guest_1,1_2_3,\"a,b\",\"已处理, 𠮷\"\nclerk,guest_2,4_5_6,,\"a \"\"b\"\"\nc\"\n";
const JSONL: &str = "{\"From_Account\":\"客服\",\"To_Account\":\"b\",\"MsgKey\":\"1_2_3\",\"CloudCustomData\":\"已𠮷\"}\n\n\
                     {\"From_Account\":\"a\",\"To_Account\":\"b\",\"MsgKey\":\"4_5_6\",\"CloudCustomData\":\"\"}\n";

fn mapping(encoding: Option<&str>, delimiter: Option<&str>) -> Mapping {
    let spec = InputSpec {
        encoding: encoding.map(|label| label.parse().unwrap()),
        delimiter: delimiter.map(|text| text.parse().unwrap()),
        ..InputSpec::default()
    };
    Mapping::new(&spec, &ContentSpec::default()).unwrap()
}

fn utf16(text: &str, to_bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(to_bytes).collect()
}

fn encoded(text: &str, encoding: &'static Encoding) -> Vec<u8> {
    let (bytes, _, is_lossy) = encoding.encode(text);
    assert!(!is_lossy);
    bytes.into_owned()
}

/// Line, sender, recipient, key and custom data of each row, or its problems.
fn rows(bytes: &[u8], format: Format, mapping: &Mapping) -> Result<Vec<String>, String> {
    let input = Input::from_reader("list", bytes, format).unwrap();
    let rows = input.rows(mapping).map_err(|error| error.to_string())?;
    rows.map(|row| row.map(|row| describe(&row)).map_err(|error| error.to_string())).collect()
}

fn describe(row: &Row) -> String {
    match &row.edit {
        Ok(edit) => {
            let id = edit.id();
            let data = edit.cloud_custom_data().unwrap_or("-");
            format!("{}: {} {} {} {data:?}", row.line.number, id.from_account, id.to_account, id.msg_key)
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

fn facts(bytes: &[u8], format: Format, mapping: &Mapping) -> ReadList {
    let input = Input::from_reader("list", bytes, format).unwrap();
    let visitor = |_| Ok::<(), runner::input::InputError>(());
    input.survey(mapping, vec![visitor]).unwrap().unwrap().lists[0]
}

/// A copy of all rows, as the failed ones are written back.
fn copy(bytes: &[u8], format: Format, mapping: &Mapping) -> Vec<u8> {
    let mut copy = Vec::new();
    let note = |_: &Row| {
        Ok::<_, Infallible>(Some(RowNote { code: Some(1), meaning: "不存在, gone".to_owned(), attempts: 1 }))
    };
    Input::from_reader("list", bytes, format)
        .unwrap()
        .lists()
        .next()
        .unwrap()
        .annotate(mapping, CopyStyle::default(), &mut copy, note)
        .unwrap();
    copy
}

/// Line numbers aside, which a copy changes.
fn without_lines(rows: &[String]) -> Vec<&str> {
    rows.iter().map(|row| row.split_once(": ").unwrap().1).collect()
}

#[test]
fn a_list_in_any_encoding_is_the_list_that_it_is_in_utf_8() {
    let mark = "\u{feff}";
    for (format, text) in [(Format::Csv, CSV), (Format::Jsonl, JSONL)] {
        let plain = rows(text.as_bytes(), format, &mapping(None, None)).unwrap();
        assert_eq!((plain.len(), plain.iter().filter(|row| row.contains("客服")).count()), (2, 1));
        let marked = format!("{mark}{text}");
        for (name, bytes, label, read_as) in [
            ("UTF-8", text.as_bytes().to_vec(), Some("utf-8"), "UTF-8"),
            ("UTF-16LE with a mark", utf16(&marked, u16::to_le_bytes), None, "UTF-16LE"),
            ("UTF-16BE with a mark", utf16(&marked, u16::to_be_bytes), None, "UTF-16BE"),
            ("UTF-16BE without", utf16(text, u16::to_be_bytes), Some("utf-16be"), "UTF-16BE"),
            ("UTF-16LE without", utf16(text, u16::to_le_bytes), Some("utf-16"), "UTF-16LE"),
            ("GB18030", encoded(text, GB18030), Some("gb18030"), "gb18030"),
            ("GB18030 with a mark", encoded(&marked, GB18030), Some("gb18030"), "gb18030"),
            // A mark is part of the file, and counts more than the job.
            ("UTF-8 with a mark", marked.clone().into_bytes(), Some("gb18030"), "UTF-8"),
            ("UTF-16 with a mark", utf16(&marked, u16::to_be_bytes), Some("gb18030"), "UTF-16BE"),
        ] {
            let mapping = mapping(label, None);
            assert_eq!(rows(&bytes, format, &mapping).as_ref(), Ok(&plain), "{name}");
            assert_eq!(facts(&bytes, format, &mapping).facts.encoding, read_as, "{name}");
            let sha256: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&bytes).into();
            assert_eq!(facts(&bytes, format, &mapping).sha256, sha256, "the digest is that of the bytes: {name}");
            // The copy is a list for the same job, and for a job that names no encoding.
            let copy = copy(&bytes, format, &mapping);
            for mapping in [&mapping, &self::mapping(None, None)] {
                let again = rows(&copy, format, mapping).unwrap();
                assert_eq!(without_lines(&again), without_lines(&plain), "{name}");
            }
            // So is a copy of the copy, which has the mark if the job needs it.
            let again = rows(&self::copy(&copy, format, &mapping), format, &mapping).unwrap();
            assert_eq!(without_lines(&again), without_lines(&plain), "{name}");
        }
    }
    let big5 = encoded("from_account,to_account,msg_key,cloud_custom_data\na,b,1_2_3,功能許蓋\n", BIG5);
    assert_eq!(rows(&big5, Format::Csv, &mapping(Some("big5"), None)).unwrap(), ["2: a b 1_2_3 \"功能許蓋\""]);
    let shift_jis = encoded("from_account,to_account,msg_key,cloud_custom_data\na,b,1_2_3,表示ソ\n", SHIFT_JIS);
    assert_eq!(rows(&shift_jis, Format::Csv, &mapping(Some("sjis"), None)).unwrap(), ["2: a b 1_2_3 \"表示ソ\""]);
}

#[test]
fn what_is_not_of_the_encoding_is_refused_with_its_line() {
    let error = |bytes: &[u8], label: Option<&str>| rows(bytes, Format::Csv, &mapping(label, None)).unwrap_err();
    let damaged = [encoded(CSV, GB18030), b"a,b,7_8_9,,\xff\n".to_vec()].concat();
    insta::assert_snapshot!(error(&damaged, Some("gb18030")), @r#""list", line 5: this is not gb18030 text; the list is damaged or cut off there, or has another encoding (--encoding)"#);
    let marked = utf16(&format!("\u{feff}{CSV}"), u16::to_le_bytes);
    insta::assert_snapshot!(error(&marked[..marked.len() - 1], None), @r#""list", line 4: this is not UTF-16LE text; the list is damaged or cut off there, or has another encoding (--encoding)"#);
    insta::assert_snapshot!(error(&[marked, vec![0x3d, 0xd8]].concat(), None), @r#""list", line 5: this is not UTF-16LE text; the list is damaged or cut off there, or has another encoding (--encoding)"#);
    insta::assert_snapshot!(error(&utf16(CSV, u16::to_le_bytes), None), @r#""list" seems to be UTF-16 text without a byte-order mark; if it is, add --encoding utf-16le, or save it as UTF-8 (in Excel: "CSV UTF-8")"#);
    insta::assert_snapshot!(error(&utf16(CSV, u16::to_be_bytes), None), @r#""list" seems to be UTF-16 text without a byte-order mark; if it is, add --encoding utf-16be, or save it as UTF-8 (in Excel: "CSV UTF-8")"#);
    insta::assert_snapshot!(error(b"\xff\xfe\0\0f\0\0\0", None), @r#""list" is UTF-32 text; save it as UTF-8"#);
    insta::assert_snapshot!(error(&encoded(CSV, GB18030), None), @r#""list", line 1: the header is not UTF-8; as GB18030 it reads: from_account, to_account, msg_key, _备注, cloud_custom_data; if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: "CSV UTF-8")"#);
    insta::assert_snapshot!(error(b"from_account,caf\xe9,\n", None), @r#""list", line 1: the header is not UTF-8; save the list as UTF-8 (in Excel: "CSV UTF-8"), or name its encoding with --encoding"#);
    insta::assert_snapshot!(error(CSV.as_bytes(), Some("gb18030")), @r#""list" is UTF-8 text, not gb18030; leave out --encoding (in a job file, [input] encoding), or pass --encoding utf-8"#);
    let json = encoded(&JSONL.replace("\n\n", "\n"), GB18030);
    insta::assert_snapshot!(rows(&json, Format::Jsonl, &mapping(None, None)).unwrap().join("\n"), @r#"
    line 1: the line is not UTF-8; if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: "CSV UTF-8")
    2: a b 4_5_6 ""
    "#);
    let row = b"from_account,to_account,msg_key,cloud_custom_data\na,b,1_2_3,\xd2\xd1\na,b,4_5_6,\xe9\n";
    insta::assert_snapshot!(rows(row, Format::Csv, &mapping(None, None)).unwrap().join("\n"), @r#"
    line 2: the row is not UTF-8; if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: "CSV UTF-8")
    line 3: the row is not UTF-8; save the list as UTF-8 (in Excel: "CSV UTF-8"), or name its encoding with --encoding
    "#);
}

#[test]
fn the_header_shows_what_separates_the_columns() {
    let header = "from_account,to_account,msg_key,cloud_custom_data";
    let list = |separator: &str| {
        format!("{header}\na,b,1_2_3,\"x,;\t|\"\n").replacen(',', separator, 5).replacen(',', separator, 1)
    };
    let expected = ["2: a b 1_2_3 \"x,;\\t|\""];
    for (separator, text) in [(',', ","), (';', ";"), ('\t', "\t"), ('|', "|")] {
        let plain = list(text);
        let quoted = plain.replacen("to_account", "\"to_account\"", 1).replacen("from_account", "\"from_account\"", 1);
        for text in
            [plain.clone(), quoted, plain.replace('\n', "\r\n"), plain.replace('\n', "\r"), format!("\r\n{plain}")]
        {
            let found = rows(text.as_bytes(), Format::Csv, &mapping(None, None)).unwrap();
            assert_eq!(without_lines(&found), without_lines(&[expected[0].to_owned()]), "{text}");
            let delimiter = facts(text.as_bytes(), Format::Csv, &mapping(None, None)).facts.delimiter.unwrap();
            assert_eq!(delimiter.character(), separator);
            // The copy keeps it, so that the same flag still fits.
            let copy = copy(text.as_bytes(), Format::Csv, &mapping(None, None));
            for delimiter in [None, Some(separator.to_string())] {
                let again = rows(&copy, Format::Csv, &mapping(None, delimiter.as_deref())).unwrap();
                assert_eq!(without_lines(&again), without_lines(&found), "{text}");
            }
        }
    }
    // By name only: a character that is not tried.
    let carets = list("^");
    assert!(rows(carets.as_bytes(), Format::Csv, &mapping(None, None)).is_err());
    assert_eq!(rows(carets.as_bytes(), Format::Csv, &mapping(None, Some("^"))).unwrap(), expected);
    // The job's own names count too.
    let mut spec = InputSpec::default();
    spec.columns.from_account = Some("von".to_owned());
    spec.columns.to_account = Some("an".to_owned());
    spec.columns.msg_key = Some("schlüssel, neu".to_owned());
    let mapped = Mapping::new(&spec, &ContentSpec { text: Some("x".to_owned()), ..ContentSpec::default() }).unwrap();
    assert_eq!(
        rows("von;an;schlüssel, neu\na;b;1_2_3\n".as_bytes(), Format::Csv, &mapped).unwrap(),
        ["2: a b 1_2_3 \"-\""]
    );
}

#[test]
fn a_line_for_excel_names_the_separator() {
    let row = "from_account;to_account;msg_key;cloud_custom_data\na;b;1_2_3;x\n";
    for (line, text) in [
        (3, format!("sep=;\n{row}")),
        (3, format!("\u{feff}SEP=;\r\n{row}")),
        (3, format!("\"sep=;\"\r{row}")),
        (3, format!("sep=;;;;\n{row}")),
        (4, format!("\nsep=;\n{row}")),
        (3, format!("sep=^\n{}", row.replace(';', "^"))),
        (3, format!("sep=,\n{}", row.replace(';', ","))),
        // It names one that the header does not have.
        (3, format!("sep=,\n{row}")),
    ] {
        let expected = [format!("{line}: a b 1_2_3 \"x\"")];
        assert_eq!(rows(text.as_bytes(), Format::Csv, &mapping(None, None)).unwrap(), expected, "{text}");
        let text = utf16(&format!("\u{feff}{}", text.trim_start_matches('\u{feff}')), u16::to_le_bytes);
        assert_eq!(rows(&text, Format::Csv, &mapping(None, None)).unwrap(), expected);
    }
    for text in ["sep=;", "sep=;\n", "sep=", "sep=\n", "sep=ab\n", "sep=a\n", "\"sep=\"\n"] {
        assert!(rows(text.as_bytes(), Format::Csv, &mapping(None, None)).is_err(), "{text}");
    }
}

#[test]
fn rows_and_columns_of_nothing_are_passed_over_and_counted() {
    let list = "from_account,to_account,msg_key,cloud_custom_data,, \n\
                ,,,,,\na,b,1_2_3,x,,\n   \n , ,\"\",\u{3000}\u{a0},,\nc,d,4_5_6,y\ne,f,7_8_9,z,,,\n\n\"\"\n,,,\n";
    let plain = mapping(None, None);
    let found = rows(list.as_bytes(), Format::Csv, &plain).unwrap();
    assert_eq!(found, ["3: a b 1_2_3 \"x\"", "6: c d 4_5_6 \"y\"", "7: e f 7_8_9 \"z\""]);
    let ListFacts { empty_rows, empty_columns, .. } = facts(list.as_bytes(), Format::Csv, &plain).facts;
    assert_eq!((empty_rows, empty_columns), (5, 3));
    let copy = copy(list.as_bytes(), Format::Csv, &plain);
    assert!(copy.starts_with(b"from_account,to_account,msg_key,cloud_custom_data,_code,"));
    assert_eq!(without_lines(&rows(&copy, Format::Csv, &plain).unwrap()), without_lines(&found));
    insta::assert_snapshot!(
        rows(b"from_account,to_account,msg_key,cloud_custom_data,,\na,b,1_2_3,x,,note\na,b,1_2_3,x,,,y\na,b,\n", Format::Csv, &plain)
            .unwrap().join("\n"), @r#"
    line 2: the row has text after column 4, where the header has no name; give the column a name that begins with "_" if it is not to be read
    line 3: the row has 7 cells but the header has 4; quote a cell that contains commas or quotes, and double every quote in it
    line 4: the row has 3 cells but the header has 4; quote a cell that contains commas or quotes, and double every quote in it
    "#);
    // So are columns in the middle, and rows before the header.
    let list = b",,,\n\nfrom_account,, ,to_account,msg_key,cloud_custom_data,\na,, ,b,1_2_3,x,\n";
    assert_eq!(rows(list, Format::Csv, &plain).unwrap(), ["4: a b 1_2_3 \"x\""]);
    let ListFacts { empty_rows, empty_columns, .. } = facts(list, Format::Csv, &plain).facts;
    assert_eq!((empty_rows, empty_columns), (1, 3));
    let found = rows(
        b";;\n;from_account;to_account;msg_key;cloud_custom_data\n;a;b;1_2_3;x\n1;a;b;1_2_4;x\n",
        Format::Csv,
        &plain,
    );
    insta::assert_snapshot!(found.unwrap().join("\n"), @r#"
    3: a b 1_2_3 "x"
    line 4: the row has text in column 1, where the header has no name; give the column a name that begins with "_" if it is not to be read
    "#);
}

#[test]
fn a_second_header_is_refused() {
    let header = "from_account,to_account,msg_key,cloud_custom_data";
    let check = |second: &str| {
        let list = format!("{header}\na,b,1_2_3,x\n{second}\nc,d,4_5_6,y\n");
        let found = rows(list.as_bytes(), Format::Csv, &mapping(None, None)).unwrap();
        assert_eq!(found.len(), 3, "{second}");
        found[1].clone()
    };
    let same = check(header);
    insta::assert_snapshot!(same, @"line 3: the header comes again here, as it does where two lists were joined; remove this line");
    for second in [
        " From_Account , to_account,MSG_KEY,cloud_custom_data ",
        "From_Account,To_Account,MsgKey,CloudCustomData",
        "From Account,to-account,msg key,cloud custom data",
        "\u{feff}from_account,to_account,msg_key,cloud_custom_data",
        "\"from_account\",\"to_account\",\"msg_key\",\"cloud_custom_data\"",
        "from_account,to_account,msg_key,cloud_custom_data,,",
    ] {
        assert_eq!(check(second), same, "{second}");
    }
    let other = check("msg_key,to_account,from_account,cloud_custom_data");
    insta::assert_snapshot!(other, @"line 3: another header comes here, so two lists with different columns were joined; give each list its own header and file, and run one after the other");
    for second in [
        "from_account,to_account,msg_key",
        "_note,from_account,to_account,msg_key",
        "_note,from_account,to_account,msg_key,cloud_custom_data",
        // The first list did not end with a line end.
        "e,f,7_8_9,zfrom_account,to_account,msg_key,cloud_custom_data",
    ] {
        assert_eq!(check(second), other, "{second}");
    }
    // Accounts may be called like columns.
    assert_eq!(check("from_account,to_account,7_8_9,z"), "3: from_account to_account 7_8_9 \"z\"");
}

proptest! {
    /// What a CSV writer wrote with any separator, in any encoding, is read back from any place of the list.
    #[test]
    fn what_was_written_is_read_back(
        cells in proptest::collection::vec("[a-z;,|\t\"\n一-三𠮷 ]{0,8}[a-z]", 1..12),
        separator in proptest::sample::select(&[",", ";", "\t", "|"][..]),
        label in proptest::sample::select(&["utf-8", "gb18030", "utf-16le", "utf-16be"][..]),
    ) {
        let mut writer = csv::WriterBuilder::new().delimiter(separator.as_bytes()[0]).from_writer(Vec::new());
        writer.write_record(["msg_key", "from_account", "cloud_custom_data", "to_account"]).unwrap();
        for cell in &cells {
            writer.write_record(["1_2_3", "a", cell, "b"]).unwrap();
        }
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        let bytes = match label {
            "utf-16le" => utf16(&text, u16::to_le_bytes),
            "utf-16be" => utf16(&text, u16::to_be_bytes),
            label => encoded(&text, Encoding::for_label(label.as_bytes()).unwrap_or(UTF_8)),
        };
        let mapping = mapping(Some(label), None);
        let found = rows(&bytes, Format::Csv, &mapping).unwrap();
        let expected: Vec<_> = cells.iter().map(|cell| format!("a b 1_2_3 {cell:?}")).collect();
        prop_assert_eq!(without_lines(&found), expected.clone());
        let copy = copy(&bytes, Format::Csv, &mapping);
        let again = rows(&copy, Format::Csv, &mapping).unwrap();
        prop_assert_eq!(without_lines(&again), expected);
    }
}
