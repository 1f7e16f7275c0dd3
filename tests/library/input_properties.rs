//! Properties of every list: what a writer wrote is read back, and no bytes make reading panic or hang.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::convert::Infallible;
use std::io::Write as _;

use csv::{QuoteStyle, Terminator, WriterBuilder};
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;
use runner::edit::Edit;
use runner::input::{ColumnNames, ContentSpec, CopyStyle, Format, Input, InputSpec, Mapping, Row, RowNote};
use runner::terminal::escape::escape_control;
use serde_json::{Value, json};

/// From, to, key, custom data.
type Cells = [String; 4];

fn mapping() -> Mapping {
    Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap()
}

fn read(text: &[u8], format: Format, mapping: &Mapping) -> Vec<Row> {
    let input = Input::from_reader("edits", text, format).unwrap();
    input.rows(mapping).unwrap().map(Result::unwrap).collect()
}

fn cells(edit: &Edit) -> Cells {
    let id = edit.id();
    let data = edit.cloud_custom_data().unwrap_or_default().to_owned();
    [id.from_account.clone(), id.to_account.clone(), id.msg_key.clone(), data]
}

fn any_cells() -> impl Strategy<Value = Vec<Cells>> {
    // Some ids and words are refused as spoiled: these begin and end with a letter that no such has.
    let id = || "w\\PC{0,12}w";
    let data = prop_oneof!["[\",\r\n{}a\u{feff}]{1,8}", any::<String>().prop_map(|text| format!("x{text}"))];
    vec((id(), id(), id(), data).prop_map(|(from, to, key, data)| [from, to, key, data]), 0..12)
}

/// Line ends as an editor counts them.
fn lines(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text).replace("\r\n", "\n");
    text.matches(['\r', '\n']).count() as u64
}

/// Mostly bytes that the readers treat specially.
fn hostile_bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![4 => prop::sample::select(b"\",\r\n{}[]:a_\\".to_vec()), 1 => any::<u8>()];
    vec(byte, 0..400)
}

proptest! {
    #[test]
    fn what_a_csv_writer_wrote_is_read_back(
        rows in any_cells(),
        crlf in any::<bool>(),
        always in any::<bool>(),
        bom in any::<bool>(),
    ) {
        let terminator = if crlf { Terminator::CRLF } else { Terminator::Any(b'\n') };
        let quotes = if always { QuoteStyle::Always } else { QuoteStyle::Necessary };
        let start = if bom { "\u{feff}".as_bytes().to_vec() } else { Vec::new() };
        let mut writer = WriterBuilder::new().terminator(terminator).quote_style(quotes).from_writer(start);
        writer.write_record(["from_account", "to_account", "msg_key", "cloud_custom_data"]).unwrap();
        let mut begin = Vec::new();
        for row in &rows {
            writer.flush().unwrap();
            begin.push(lines(writer.get_ref()) + 1);
            writer.write_record(row).unwrap();
        }
        let found = read(&writer.into_inner().unwrap(), Format::Csv, &mapping());
        prop_assert_eq!(found.iter().map(|row| row.line.number).collect::<Vec<_>>(), begin);
        prop_assert_eq!(found.iter().map(|row| cells(row.edit.as_ref().unwrap())).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn what_a_json_writer_wrote_is_read_back(rows in any_cells()) {
        let lines = rows.iter().map(|[from, to, key, data]| {
            serde_json::json!({"From_Account": from, "To_Account": to, "MsgKey": key, "CloudCustomData": data}).to_string()
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        let found = read(text.as_bytes(), Format::Jsonl, &mapping());
        prop_assert_eq!(found.iter().map(|row| cells(row.edit.as_ref().unwrap())).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn no_bytes_make_reading_panic_or_hang(bytes in hostile_bytes(), content in any::<bool>()) {
        let text = content.then(|| "{{ a }}".to_owned());
        let mapping = Mapping::new(
            &InputSpec { ignore: vec!["a".into()], ..InputSpec::default() },
            &ContentSpec { text, ..ContentSpec::default() },
        ).unwrap();
        let header = b"from_account,to_account,msg_key,a".to_vec();
        for (head, format) in [
            (Vec::new(), Format::Csv),
            (header, Format::Csv),
            (vec![0x1f, 0x8b], Format::Csv),
            (Vec::new(), Format::Jsonl),
            (b"{\"MsgKey\":\"k\"".to_vec(), Format::Jsonl),
            (vec![0x1f, 0x8b], Format::Jsonl),
        ] {
            let text = [head, bytes.clone()].concat();
            let input = Input::from_reader("edits", text.as_slice(), format).unwrap();
            // Every message is safe to show on a terminal.
            let mut messages = Vec::new();
            match input.rows(&mapping) {
                Ok(rows) => {
                    for (number, row) in rows.enumerate() {
                        prop_assert!(number < text.len());
                        match row.map(|row| row.edit) {
                            Ok(Ok(edit)) => messages.extend(edit.warnings().into_iter().map(|warning| warning.what)),
                            Ok(Err(problems)) => messages.extend(problems.iter().map(ToString::to_string)),
                            Err(error) => messages.push(error.to_string()),
                        }
                    }
                }
                Err(error) => messages.push(error.to_string()),
            }
            for message in messages {
                prop_assert_eq!(escape_control(&message), message.as_str());
            }
            let note = |_: &Row| Ok::<_, Infallible>(Some(RowNote { code: None, meaning: String::new(), attempts: 0 }));
            // Copying may fail only because the list cannot be read.
            let _ = input.lists().next().unwrap().annotate(&mapping, CopyStyle::default(), std::io::sink(), note);
        }
    }

    #[test]
    fn any_number_of_gzip_members_is_the_same_list(rows in any_cells(), cuts in vec(any::<prop::sample::Index>(), 0..4)) {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["from_account", "to_account", "msg_key", "cloud_custom_data"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let text = writer.into_inner().unwrap();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len())).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let mut packed = Vec::new();
        for piece in cuts.windows(2) {
            let mut packer = GzEncoder::new(&mut packed, Compression::fast());
            packer.write_all(&text[piece[0]..piece[1]]).unwrap();
            packer.finish().unwrap();
        }
        let found = read(&packed, Format::Csv, &mapping());
        prop_assert_eq!(found.iter().map(|row| cells(row.edit.as_ref().unwrap())).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn values_from_a_row_stay_inside_their_place_in_a_template(values in vec("(?s).{1,20}", 1..4)) {
        let body = r#"[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"a {{ v }} b","Desc":{{ v | tojson }}}}]"#;
        // Any text: also words for "nothing".
        let mapping = Mapping::new(&InputSpec { null: Some(Vec::new()), ..InputSpec::default() }, &ContentSpec {
            msg_body: Some(body.to_owned()),
            cloud_custom_data: Some("<{{ v }}>".to_owned()),
            ..ContentSpec::default()
        }).unwrap();
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(["from_account", "to_account", "msg_key", "v"]).unwrap();
        let mut lines = Vec::new();
        for value in &values {
            writer.write_record(["a", "b", "k", value]).unwrap();
            writeln!(lines, "{}", json!({"From_Account": "a", "To_Account": "b", "MsgKey": "k", "v": value})).unwrap();
        }
        for (text, format) in [(writer.into_inner().unwrap(), Format::Csv), (lines, Format::Jsonl)] {
            for (row, value) in read(&text, format, &mapping).into_iter().zip(&values) {
                let edit = row.edit.unwrap();
                let body: Value = serde_json::from_str(edit.msg_body().unwrap().text()).unwrap();
                let content = json!({"Data": format!("a {value} b"), "Desc": value});
                prop_assert_eq!(body, json!([{"MsgType": "TIMCustomElem", "MsgContent": content}]));
                let data = format!("<{value}>");
                prop_assert_eq!(edit.cloud_custom_data(), Some(data.as_str()));
            }
        }
    }

    #[test]
    fn columns_may_have_any_names(names in prop::collection::hash_set("[^_\\s\\x00\u{feff}][^\\s\\x00\u{feff}]{0,8}", 4), rows in any_cells()) {
        let names: Vec<String> = names.into_iter().collect();
        let [from_account, to_account, msg_key, cloud_custom_data] = std::array::from_fn(|index| Some(names[index].clone()));
        let columns = ColumnNames { from_account, to_account, msg_key, cloud_custom_data, msg_body: None };
        let mapping = Mapping::new(&InputSpec { columns, ..InputSpec::default() }, &ContentSpec::default()).unwrap();
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&names).unwrap();
        let mut lines = Vec::new();
        for row in &rows {
            writer.write_record(row).unwrap();
            let members: serde_json::Map<String, Value> =
                names.iter().cloned().zip(row.iter().map(|cell| Value::from(cell.as_str()))).collect();
            writeln!(lines, "{}", Value::from(members)).unwrap();
        }
        let text = writer.into_inner().unwrap();
        // This prefix would be recognized as a ZIP archive.
        prop_assume!(!text.starts_with(b"PK\x03\x04"));
        for (text, format) in [(text, Format::Csv), (lines, Format::Jsonl)] {
            let found = read(&text, format, &mapping);
            prop_assert_eq!(found.iter().map(|row| cells(row.edit.as_ref().unwrap())).collect::<Vec<_>>(), rows.clone());
        }
    }

    #[test]
    fn a_copy_of_the_rows_gives_the_same_edits(rows in any_cells(), jsonl in any::<bool>(), with_note in vec(any::<bool>(), 12)) {
        let (format, text) = if jsonl {
            let lines = rows.iter().map(|[from, to, key, data]| {
                serde_json::json!({"to_account": to, "From_Account": from, "_x": 1, "MsgKey": key, "CloudCustomData": data})
                    .to_string()
            });
            (Format::Jsonl, lines.collect::<Vec<_>>().join("\n").into_bytes())
        } else {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(["_x", "to_account", "From_Account", "CloudCustomData", "MsgKey"]).unwrap();
            for [from, to, key, data] in &rows {
                writer.write_record(["1", to, from, data, key]).unwrap();
            }
            (Format::Csv, writer.into_inner().unwrap())
        };
        let mapping = mapping();
        let input = Input::from_reader("edits", text.as_slice(), format).unwrap();
        let mut copy = Vec::new();
        let has_note = |row: &Row| with_note[usize::try_from(row.number).unwrap() - 1];
        let note = |row: &Row| {
            let note = RowNote { code: Some(1), meaning: "\"a\",\nb".into(), attempts: 1 };
            Ok::<_, Infallible>(has_note(row).then_some(note))
        };
        let written = input.lists().next().unwrap().annotate(&mapping, CopyStyle::default(), &mut copy, note).unwrap();
        let kept = |rows: Vec<Row>| rows.into_iter().map(|row| cells(&row.edit.unwrap())).collect::<Vec<_>>();
        let wanted: Vec<_> = read(&text, format, &mapping).into_iter().filter(has_note).collect();
        prop_assert_eq!(written, wanted.len() as u64);
        prop_assert_eq!(kept(read(&copy, format, &mapping)), kept(wanted));
    }

    /// Also those that are refused, and copies of copies.
    #[test]
    fn no_cell_of_a_copy_begins_a_formula_and_each_is_read_as_it_was(
        rows in vec(prop::array::uniform4("['=+@\t\r＝-]{0,3}[a'=+-]{0,4}"), 1..12),
        delimiter in prop::sample::select(b",;".to_vec()),
    ) {
        let spec = InputSpec { ignore: vec!["@when".to_owned(), "'+".to_owned()], null: Some(Vec::new()), ..InputSpec::default() };
        let mapping = Mapping::new(&spec, &ContentSpec::default()).unwrap();
        let mut writer = WriterBuilder::new().delimiter(delimiter).from_writer(Vec::new());
        writer.write_record(["@when", "from_account", "'+", "to_account", "msg_key", "cloud_custom_data"]).unwrap();
        for [from, to, key, data] in &rows {
            writer.write_record(["=NOW()", from, "'", to, key, data]).unwrap();
        }
        let list = writer.into_inner().unwrap();
        let found = |text: &[u8]| -> Vec<_> {
            let said = |row: Row| row.edit.map(|edit| cells(&edit)).map_err(|problems| {
                problems.into_iter().map(|problem| (problem.column, problem.what)).collect::<Vec<_>>()
            });
            read(text, Format::Csv, &mapping).into_iter().map(said).collect()
        };
        let mut copy = list.clone();
        for apostrophe_column in ["_apostrophes", "_单引号数"] {
            let input = Input::from_reader("edits", copy.as_slice(), Format::Csv).unwrap();
            copy = Vec::new();
            let style = CopyStyle { apostrophe_column, ..CopyStyle::default() };
            let note = |_: &Row| Ok::<_, Infallible>(Some(RowNote { code: Some(-1), meaning: "=x".into(), attempts: 1 }));
            let written = input.lists().next().unwrap().annotate(&mapping, style, &mut copy, note).unwrap();
            prop_assert_eq!(written, rows.len() as u64);
            prop_assert_eq!(found(&copy), found(&list));
            let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).from_reader(copy.as_slice());
            for record in reader.records() {
                let record = record.unwrap();
                let begins_formula = |cell: &str| cell.starts_with(['=', '+', '-', '@', '\t', '\r', '＝']);
                prop_assert!(!record.iter().any(begins_formula), "{:?}", record);
            }
        }
    }
}
