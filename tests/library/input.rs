//! Lists through the public API: what is read, what is refused and with which message, and that no file can do harm.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::convert::Infallible;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use runner::input::{
    ContentSpec, CopyStyle, Format, Input, InputError, InputSpec, Mapping, ROW_BYTES_MAX, Row, RowNote,
};
use sha2::{Digest, Sha256};

const BODY: &str = r#"[{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}]"#;

fn job(toml: &str) -> Mapping {
    #[derive(serde::Deserialize)]
    struct Job {
        #[serde(default)]
        input: InputSpec,
        #[serde(default)]
        content: ContentSpec,
    }
    let job: Job = toml::from_str(toml).unwrap();
    Mapping::new(&job.input, &job.content).unwrap()
}

fn bad_job(toml: &str) -> String {
    let job: toml::Table = toml.parse().unwrap();
    let table = |name: &str| job.get(name).cloned().unwrap_or_else(|| toml::Table::new().into());
    let error = Mapping::new(&table("input").try_into().unwrap(), &table("content").try_into().unwrap()).unwrap_err();
    match std::error::Error::source(&error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn input(text: impl AsRef<[u8]>, format: Format) -> Input {
    Input::from_reader("edits", text.as_ref(), format).unwrap()
}

fn read(text: impl AsRef<[u8]>, format: Format, mapping: &Mapping) -> Result<Vec<Row>, InputError> {
    input(text, format).rows(mapping)?.collect()
}

/// One line for each row: its line number, identifiers and content, or its problems.
fn describe(rows: &[Row]) -> String {
    let row = |row: &Row| match &row.edit {
        Ok(edit) => {
            let id = edit.id();
            let body = edit.msg_body().map_or("-", |body| body.text());
            let data = edit.cloud_custom_data().map_or("-".to_owned(), |data| format!("{data:?}"));
            format!("{}: {} {} {} {body} {data}", row.line, id.from_account, id.to_account, id.msg_key)
        }
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n")
}

fn csv(text: &str, toml: &str) -> String {
    match read(text, Format::Csv, &job(toml)) {
        Ok(rows) => describe(&rows),
        Err(error) => error.to_string(),
    }
}

fn jsonl(text: &str, toml: &str) -> String {
    match read(text, Format::Jsonl, &job(toml)) {
        Ok(rows) => describe(&rows),
        Err(error) => error.to_string(),
    }
}

const FIXED: &str = "[content]\ntext = 'gone'";

#[test]
fn columns_come_in_any_order_by_either_name_or_the_lists_own() {
    insta::assert_snapshot!(
        csv("\u{feff}MsgKey,to_account, From_Account ,cloud_custom_data,_code\r\n1_2_3,b,a,c,9\r\n\r\n4_5_6,b,\"a\r\na\",,", ""),
        @r#"
    line 2: a b 1_2_3 - "c"
    line 4, column From_Account: holds a control character; the list was probably damaged when it was exported
    line 4, column msg_body: is absent, and so is CloudCustomData: there is nothing to change; give one of them in the list, or new content for every row in a job file
    "#
    );
    insta::assert_snapshot!(
        csv("key,note,sender,recipient\nk,n,a,b\n", &format!("
            input.ignore = ['note']
            input.columns = {{ from_account = 'sender', to_account = 'recipient', msg_key = 'key' }}
            {FIXED}")),
        @r#"line 2: a b k [{"MsgContent":{"Text":"gone"},"MsgType":"TIMTextElem"}] -"#
    );
}

#[test]
fn an_invalid_header_is_refused_with_what_to_do() {
    insta::assert_snapshot!(csv("", FIXED), @r#""edits", line 1: the list is empty; its first line must name the columns (from_account,to_account,msg_key, …)"#);
    insta::assert_snapshot!(csv("sender,recipient,msg_key\n", FIXED), @r#""edits", line 1: the header lacks from_account, to_account; its columns are: sender, recipient, msg_key. Rename them, or map them in the job file ([input.columns])"#);
    insta::assert_snapshot!(csv("user_1,user_2,1_2_3\nuser_1,user_2,1_2_4", FIXED), @r#""edits", line 1: the header lacks from_account, to_account, msg_key; this line looks like data, but the first line must name the columns (from_account,to_account,msg_key, …)"#);
    insta::assert_snapshot!(csv("from_account；to_account；msg_key\n", FIXED), @r#""edits", line 1: the header lacks from_account, to_account, msg_key; the columns seem to be separated by '；'; save the list with commas"#);
    insta::assert_snapshot!(csv("from_account;to_account\n", FIXED), @r#""edits", line 1: the header lacks msg_key; its columns are: from_account, to_account. Rename them, or map them in the job file ([input.columns])"#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key\n", &format!("input.delimiter = ';'\n{FIXED}")), @r#""edits", line 1: the header lacks from_account, to_account, msg_key; the columns seem to be separated by ','; leave out --delimiter (in a job file, [input] delimiter), or let it name that"#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key,note,a b\u{1b}[31m\n", FIXED), @r#""edits", line 1: unknown column: note, "a b\u{1b}[31m"; in the job file, list it in [input] ignore or map it in [input.columns]; or start its name with "_""#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key,msg_key\n", FIXED), @r#""edits", line 1: two columns are named msg_key; rename or remove one"#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key,MsgKey\n", FIXED), @r#""edits", line 1: the columns msg_key and MsgKey both give msg_key; list one of them in [input] ignore"#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key\n", ""), @r#""edits", line 1: there is nothing to change: the list has neither a msg_body nor a cloud_custom_data column; add one, or give new content for every row with --text, --custom-data or a job file ([content])"#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key,msg_body\n", FIXED), @r#""edits", line 1: the column msg_body holds new content, and so does the job's [content] text; remove one of the two, or list the column in [input] ignore"#);
    insta::assert_snapshot!(csv("from_account,to_account,msg_key\n", "content.text = '{{ case_no }}'"), @r#""edits", line 1: the job's [content] text needs the column case_no, but the header has: from_account, to_account, msg_key"#);
    insta::assert_snapshot!(csv("from_account,to_account,\"msg_key\n", FIXED), @r#""edits", line 1: a quote was left open in the header"#);
}

#[test]
fn the_job_replaces_an_ignored_content_column() {
    let text = "from_account,to_account,msg_key,msg_body\na,b,k,old\n";
    insta::assert_snapshot!(csv(text, "input.ignore = ['msg_body']\ncontent.text = 'was {{ msg_body }}'"), @r#"line 2: a b k [{"MsgContent":{"Text":"was old"},"MsgType":"TIMTextElem"}] -"#);
}

#[test]
fn bad_rows_are_reported_and_reading_continues() {
    let text = format!(
        "from_account,to_account,msg_key,msg_body\na,b\n,b,k,\"{0}\"\na,b,k,\na,b,k,[]\na,b,k,\"[{{\"MsgType\":\"T\"}}]\"\na,b,k,\"{0}\"\na,b,k,\"[\n",
        BODY.replace('"', "\"\"")
    );
    insta::assert_snapshot!(csv(&text, ""), @r#"
    line 2: the row has 2 cells but the header has 4; quote a cell that contains commas or quotes, and double every quote in it
    line 3, column from_account: is empty; every edit must name its message
    line 4, column msg_body: is absent, and so is CloudCustomData: there is nothing to change; give one of them in the list, or new content for every row in a job file
    line 5, column msg_body: is an empty array; a message has at least one element
    line 6: a quoted cell continues after its closing quote; double every quote inside a quoted cell
    line 7: a b k [{"MsgType":"TIMTextElem","MsgContent":{"Text":"x"}}] -
    line 8: the list ends inside a quoted cell; a quote was left open, or the file is cut off
    "#);
}

#[test]
fn a_broken_encoding_is_reported_with_its_line() {
    let rows = read(b"from_account,to_account,msg_key\na,\xe4\xb8,\xad\na,\xd6\xd0,k\na,b,k", Format::Csv, &job(FIXED));
    insta::assert_snapshot!(describe(&rows.unwrap()), @r#"
    line 2: the row is not UTF-8; save the list as UTF-8 (in Excel: "CSV UTF-8"), or name its encoding with --encoding
    line 3: the row is not UTF-8; as GB18030 it has the id 中; if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: "CSV UTF-8")
    line 4: a b k [{"MsgContent":{"Text":"gone"},"MsgType":"TIMTextElem"}] -
    "#);
    let utf16: Vec<u8> = "from_account,".encode_utf16().flat_map(u16::to_le_bytes).collect();
    insta::assert_snapshot!(read(utf16, Format::Csv, &job(FIXED)).unwrap_err(), @r#""edits" seems to be UTF-16 text without a byte-order mark; if it is, add --encoding utf-16le, or save it as UTF-8 (in Excel: "CSV UTF-8")"#);
    insta::assert_snapshot!(read(b"from_account,\xd6\xd0\n", Format::Csv, &job(FIXED)).unwrap_err(), @r#""edits", line 1: the header is not UTF-8; as GB18030 it reads: from_account, 中; if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: "CSV UTF-8")"#);
    insta::assert_snapshot!(read(b"PK\x03\x04 ...", Format::Csv, &job(FIXED)).unwrap_err(), @r#""edits" is an Excel workbook or a ZIP archive; if it is a workbook, pass --input-format xlsx; unpack an archive"#);
}

#[test]
fn an_unclosed_quote_does_not_read_the_file_into_memory() {
    let text = format!("from_account,to_account,msg_key\na,b,k\na,b,\"{}", "k\n".repeat(ROW_BYTES_MAX));
    insta::assert_snapshot!(csv(&text, FIXED), @r#""edits": the row that begins on line 3 is longer than 1048576 bytes; a quote was probably left open there"#);
    let many = format!("from_account,to_account,msg_key{}\n", ",_".repeat(2_000));
    insta::assert_snapshot!(csv(&many, FIXED), @r#""edits", line 1: the header has 2003 columns; at most 1024 are read"#);
}

#[test]
fn a_line_is_the_services_request_body() {
    let text = r#"{"From_Account":"a","To_Account":"b","MsgKey":"1_2_3","MsgBody":[ {"MsgContent":{"Text":"\u4e2d 1"}, "MsgType":"TIMTextElem"} ]}

{"msg_key":"k","to_account":"\u0062","from_account":"a","cloud_custom_data":"","_code":1}"#;
    insta::assert_snapshot!(jsonl(text, ""), @r#"
    line 1: a b 1_2_3 [ {"MsgContent":{"Text":"\u4e2d 1"}, "MsgType":"TIMTextElem"} ] -
    line 3: a b k - ""
    "#);
}

#[test]
fn bad_lines_are_reported_and_reading_continues() {
    let id = r#""From_Account":"a","To_Account":"b","MsgKey":"k""#;
    let text = [
        "\"a secret\"".to_owned(),
        format!("[{{{id}}}]"),
        format!("{{{id},"),
        format!("{{{id}}}"),
        format!(r#"{{{id},"MsgKey":"other","Extra":1,"MsgBody":null}}"#),
        format!(r#"{{{id},"MsgBody":"[]"}}"#),
        format!(r#"{{{id},"CloudCustomData":{{"a":1}}}}"#),
        r#"{"From_Account":7,"MsgKey":"k","CloudCustomData":"x"}"#.to_owned(),
        format!(r#"{{{id},"CloudCustomData":"\ud800"}}"#),
        format!(r#"{{{id},"CloudCustomData":"{}"}}"#, "x".repeat(ROW_BYTES_MAX)),
        format!(r#"{{{id},"CloudCustomData":"ok"}}"#),
    ]
    .join("\n");
    insta::assert_snapshot!(jsonl(&text, ""), @r#"
    line 1: must be a JSON object, not a string; JSON Lines has one whole object on each line
    line 2: must be a JSON object, not an array; JSON Lines has one whole object on each line
    line 3: is not JSON: it ends within a value (at byte 50 of the object); JSON Lines has one whole object on each line
    line 4, column MsgBody: is absent, and so is CloudCustomData: there is nothing to change; give one of them in the list, or new content for every row in a job file
    line 5, column MsgKey: appears twice in this object; each name may appear once
    line 5, column Extra: is not a field of an edit; in the job file, list it in [input] ignore or map it in [input.columns]; or start its name with "_"
    line 5, column MsgBody: is null; leave the member out to keep the field as it is; "" clears CloudCustomData
    line 6, column MsgBody: is a string that holds JSON, as some exporters write it; it must be the JSON array itself
    line 7, column CloudCustomData: must be a string, not an object; write custom data that is JSON as a string that contains it
    line 8, column From_Account: must be a string, not a number
    line 8, column To_Account: is missing; every edit must name its message
    line 9, column CloudCustomData: is not a valid string: a \u escape is one half of a pair (\ud800 to \udfff) without the other, which stands for no character
    line 10: the line is longer than 1048576 bytes, many times what a message can hold
    line 11: a b k - "ok"
    "#);
}

#[test]
fn templates_see_json_as_it_is() {
    let text = r#"{"From_Account":"a","To_Account":"b","MsgKey":"k","n":7,"s":"q\"\n","o":{"b":[1,2.50,null]},"z":null}
{"From_Account":"a","To_Account":"b","MsgKey":"k","n":12345678901234567890,"s":"","o":1}
{"From_Account":"a","To_Account":"b","MsgKey":"k","n":1.000000000000000000001,"s":"","o":1}
{"From_Account":"a","To_Account":"b","MsgKey":"k","n":1,"s":"","o":1,"MsgBody":[]}"#;
    let toml = r#"
        [input]
        ignore = ["z"]
        [content]
        msg_body = '[{"MsgType":"TIMCustomElem","MsgContent":{"Data":"n {{ n }} {{ s }}","X":{{ o | tojson }}}}]'
        "#;
    insta::assert_snapshot!(jsonl(text, toml), @r#"
    line 1: a b k [{"MsgType":"TIMCustomElem","MsgContent":{"Data":"n 7 q\"\n","X":{"b": [1, 2.5, null]}}}] -
    line 2: a b k [{"MsgType":"TIMCustomElem","MsgContent":{"Data":"n 12345678901234567890 ","X":1}}] -
    line 3, column n: is a number with more digits than a template can keep; write it as a string
    line 4, column MsgBody: holds new content, and so does the job's [content] msg_body; remove one of the two, or list the column in [input] ignore
    "#);
}

#[test]
fn a_job_that_contradicts_itself_is_refused() {
    insta::assert_snapshot!(bad_job("content.text = 'a'\ncontent.msg_body = '[]'"), @"[content] gives both text and msg_body, and each is the whole message; keep one");
    insta::assert_snapshot!(bad_job("content.text = '{{ a'"), @"the job's [content] text is not a valid template: syntax error: unexpected end of input, expected end of variable block (in text:1)");
    insta::assert_snapshot!(bad_job("content.msg_body = '[]'"), @"the job's [content] msg_body is an empty array; a message has at least one element");
    insta::assert_snapshot!(bad_job("content.text = '{{ _code }}'"), @r#"the column "_code" begins with "_"; runner reserves such names for its own notes and never reads them, so rename the column"#);
    insta::assert_snapshot!(bad_job("input.ignore = ['a']\ninput.columns.msg_key = 'a'"), @r#"the column "a" is mapped in [input.columns] and listed in ignore; remove one of the two"#);
    insta::assert_snapshot!(bad_job("input.columns = { msg_key = 'a', to_account = 'a' }"), @r#"[input.columns] gives the column "a" to two fields; each needs a column of its own"#);
    insta::assert_snapshot!(bad_job(&format!("content.text = '{}'", "x".repeat(20_000))), @"the job's [content] text makes 20052 bytes of new content; the service takes 12288 at most");
    assert!(toml::from_str::<ContentSpec>("txt = 'a'").is_err());
    assert!(toml::from_str::<InputSpec>("columns = { sender = 'a' }").is_err());
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_is_recognized_by_its_bytes_and_damage_reported_with_its_line() {
    let text = format!("from_account,to_account,msg_key\n{}", "a,b,k\n".repeat(1_000));
    let members = [gz(&text.as_bytes()[..100]), gz(&text.as_bytes()[100..])].concat();
    let list = input(&members, Format::Csv);
    let mut rows = list.rows(&job(FIXED)).unwrap();
    assert_eq!(rows.by_ref().map(Result::unwrap).count(), 1_000);
    assert_eq!(rows.sha256(), Some(Sha256::digest(&members).into()));
    assert_eq!(rows.bytes(), members.len() as u64);

    let cut = &members[..members.len() - 9];
    let error = read(cut, Format::Csv, &job(FIXED)).unwrap_err().to_string();
    // How much of the end comes out depends on the decompressor.
    let said = error.strip_prefix("\"edits\" is damaged after line ").unwrap();
    let (line, said) = said.split_once(": ").unwrap();
    assert!((1..=1_002).contains(&line.parse().unwrap()), "{error}");
    assert_eq!(said, "its gzip data is broken or cut off; fetch the file again");
}

#[test]
fn a_list_is_opened_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let text = "from_account,to_account,msg_key\na,b,k\n";
    for (name, bytes, format) in [
        ("a.csv", text.as_bytes().to_vec(), Format::Csv),
        ("A.CSV.GZ", gz(text.as_bytes()), Format::Csv),
        ("plain.csv.gz", text.as_bytes().to_vec(), Format::Csv),
        ("a.tsv", text.replace(',', "\t").into_bytes(), Format::Csv),
        ("a.tab.gz", gz(text.replace(',', "\t").as_bytes()), Format::Csv),
        ("a.TXT", text.as_bytes().to_vec(), Format::Csv),
        ("a.ndjson", Vec::new(), Format::Jsonl),
        ("a.jsonl.gz", gz(b""), Format::Jsonl),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let list = Input::open(&path, None).unwrap();
        let one = list.lists().next().unwrap();
        assert_eq!((one.format(), one.path()), (format, Some(path.as_path())), "{name}");
        assert_eq!(list.rows(&job(FIXED)).unwrap().count(), usize::from(format == Format::Csv), "{name}");
    }
    let error =
        |path: &Path| Input::open(path, None).unwrap_err().to_string().replace(&*folder.path().to_string_lossy(), "");
    std::fs::write(folder.path().join("list.ods"), text).unwrap();
    insta::assert_snapshot!(error(&folder.path().join("list.ods")), @r#""/list.ods" is a spreadsheet in another format; save it as .xlsx, or save the sheet as "CSV UTF-8""#);
    insta::assert_snapshot!(error(folder.path()), @r#""" is a directory; give the path of a file"#);
    insta::assert_snapshot!(error(Path::new("-")), @r#"cannot tell the format of "-"; name it .csv, .jsonl or .json (each also with .gz) or .xlsx, or pass --input-format csv, jsonl, json or xlsx"#);
    insta::assert_snapshot!(error(&folder.path().join("none.csv")), @r#"cannot open the list "/none.csv""#);
    insta::assert_snapshot!(error(Path::new("/dev/zero")), @r#""/dev/zero" is not a regular file, so it cannot be read twice; redirect it to standard input with --input - and "<""#);
}

#[test]
fn a_list_that_changes_is_not_read_further() {
    let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    let text = format!("from_account,to_account,msg_key\n{}", "a,b,k\n".repeat(2_500));
    std::fs::write(file.path(), &text).unwrap();
    let list = Input::open(file.path(), None).unwrap();
    let mut rows = list.rows(&job(FIXED)).unwrap();
    assert!(rows.next().unwrap().is_ok());
    std::fs::OpenOptions::new().append(true).open(file.path()).unwrap().write_all(b"a,b,k\n").unwrap();
    let rest: Vec<_> = rows.by_ref().collect();
    assert_eq!(rest.len(), 1_000, "the next check notices the change");
    assert!(matches!(rest.last(), Some(Err(InputError::Changed { .. }))));
    assert_eq!(rows.sha256(), None);
    assert!(matches!(list.rows(&job(FIXED)), Err(InputError::Changed { .. })));
}

#[test]
fn a_list_that_is_replaced_is_read_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "from_account,to_account,msg_key\na,b,k\n").unwrap();
    let list = Input::open(&path, None).unwrap();
    std::fs::write(folder.path().join("new"), "other").unwrap();
    std::fs::rename(folder.path().join("new"), &path).unwrap();
    assert_eq!(list.rows(&job(FIXED)).unwrap().map(Result::unwrap).count(), 1);
}

#[test]
fn readers_are_independent_of_each_other() {
    let text = format!("from_account,to_account,msg_key\n{}", "a,b,k\n".repeat(50_000));
    let list = input(text, Format::Csv);
    let mapping = job(FIXED);
    let (one, two) = (list.rows(&mapping).unwrap(), list.rows(&mapping).unwrap());
    assert!(one.zip(two).all(|(one, two)| one.unwrap().line == two.unwrap().line));
}

#[test]
fn rows_may_be_read_on_another_thread() {
    let rows = input("from_account,to_account,msg_key\na,b,k\n", Format::Csv).rows(&job(FIXED)).unwrap();
    assert_eq!(std::thread::spawn(move || rows.count()).join().unwrap(), 1);
}

fn annotate(list: &Input, mapping: &Mapping) -> String {
    let mut out = Vec::new();
    let note = |row: &Row| -> Result<_, Infallible> {
        let note = RowNote { code: Some(20_022), meaning: "no such message, \"gone\"".into(), attempts: 2 };
        Ok((row.number != 2).then_some(note))
    };
    list.lists().next().unwrap().annotate(mapping, CopyStyle::default(), &mut out, note).unwrap();
    String::from_utf8(out).unwrap()
}

/// A row that somebody has changed so that its apostrophes no longer tell what the cells were is refused, not guessed.
#[test]
fn apostrophes_are_taken_off_only_as_the_row_says() {
    let mapping = job("content.text = 'x'");
    let row = |cells: &str| {
        let list = format!("from_account,to_account,msg_key,_mine,_apostrophes\n{cells}\n");
        let rows = read(&list, Format::Csv, &mapping).unwrap();
        match &rows[0].edit {
            Ok(edit) => edit.id().from_account.clone(),
            Err(_) => describe(&rows),
        }
    };
    assert_eq!(row("'+86138,b,k,,1"), "+86138");
    assert_eq!(row("'+86138,'@b,k,'=x, 2 "), "+86138");
    assert_eq!(row("+86138,b,k,,"), "+86138");
    for (cells, said, found) in
        [("86138,b,k,'=x,1", 1, 0), ("'+86138,b,k,,2", 2, 1), ("'+86138,'-b,k,,1", 1, 2), ("'86138,b,k,,1", 1, 0)]
    {
        let says =
            format!("column _apostrophes: is \"{said}\", but the row has {found} of the apostrophes that runner puts");
        assert!(row(cells).contains(&says), "{}", row(cells));
    }
    assert!(row("'+86138,b,k,,yes").contains("is \"yes\", but the row has 1 of"), "{}", row("'+86138,b,k,,yes"));
    assert!(row("'+86138,b,k,,").contains("from_account: begins with an apostrophe"), "{}", row("'+86138,b,k,,"));
    let two = "from_account,to_account,msg_key,_apostrophes,_apostrophes\na,b,k,,\n";
    let error = read(two, Format::Csv, &mapping).unwrap_err().to_string();
    assert!(error.contains("two columns are named _apostrophes"), "{error}");
}

#[test]
fn failed_rows_are_a_list_again() {
    let mapping = job("input.ignore = ['Note']\ncontent.text = 'x'");
    let list = input(
        "_code,from_account, Note,to_account,msg_key,_mine\r\n1,a,\"x,\n\"\"y\"\"\",b,k,z\n1,a,n,b,k2,z\nshort\n1,,n,b,k3,z",
        Format::Csv,
    );
    let copy = annotate(&list, &mapping);
    insta::assert_snapshot!(copy, @r#"
    from_account, Note,to_account,msg_key,_code,_meaning,_attempts,_line,_apostrophes
    a,"x,
    ""y""",b,k,20022,"no such message, ""gone""",2,2,
    ,n,b,k3,20022,"no such message, ""gone""",2,6,
    "#);
    assert_eq!(annotate(&input(&copy, Format::Csv), &mapping).lines().next(), copy.lines().next());

    let list = input(
        "{\"_code\":1, \"n\\u006fte\": [1.50, {}],\"From_Account\":\"a\",\"To_Account\":\"b\",\"MsgKey\":\"k\"}\n{}\nbroken\n{\"_x\":1}",
        Format::Jsonl,
    );
    let mapping = job("input.ignore = ['note']\ncontent.text = 'x'");
    let copy = annotate(&list, &mapping);
    insta::assert_snapshot!(copy, @r#"
    {"note":[1.50, {}],"From_Account":"a","To_Account":"b","MsgKey":"k","_code":20022,"_meaning":"no such message, \"gone\"","_attempts":2,"_line":1}
    {"_code":20022,"_meaning":"no such message, \"gone\"","_attempts":2,"_line":4}
    "#);
    let again = read(&copy, Format::Jsonl, &mapping).unwrap();
    assert!(again[0].edit.is_ok(), "{}", describe(&again));
}

#[test]
fn every_sample_list_is_read_without_a_problem() {
    #[derive(serde::Deserialize)]
    struct Job {
        #[serde(default)]
        input: InputSpec,
        #[serde(default)]
        content: ContentSpec,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs");
    let mut jobs = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let job: Job = toml::from_str(&text).unwrap();
        let mapping = Mapping::new(&job.input, &job.content).unwrap();
        let list = ["csv", "jsonl"].map(|ending| path.with_extension(ending)).into_iter().find(|list| list.exists());
        let list = Input::open(&list.unwrap(), None).unwrap();
        let rows: Vec<Row> = list.rows(&mapping).unwrap().map(Result::unwrap).collect();
        assert!((10..=40).contains(&rows.len()), "{path:?}: {} rows", rows.len());
        let mut ids = std::collections::HashSet::new();
        for row in &rows {
            let edit = row.edit.as_ref().unwrap_or_else(|problems| panic!("{path:?}: {problems:?}"));
            assert_eq!(edit.warnings(), [], "{path:?}, {}", row.line);
            assert!(ids.insert(edit.id().digest()), "{path:?}, {}: the message appears twice", row.line);
        }
        jobs += 1;
    }
    assert_eq!(jobs, 4);
}
