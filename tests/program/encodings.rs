//! Lists as spreadsheets store them, end to end: what the plan says, and that failed rows come back as a list.

use encoding_rs::GB18030;
use insta::assert_snapshot;
use serde_json::json;

use crate::support::harness::{FAST, Place, Summary, gzip};
use crate::support::service::Service;

const JOB: &str = "[content]\ntext = \"gone\"\n";
const HEADER: &str = "from_account,to_account,msg_key\n";

fn row(number: u32) -> String {
    format!("客服_{number},guest,{number}_7_1773188576\n")
}

fn list(rows: u32) -> String {
    HEADER.to_owned() + &(1..=rows).map(row).collect::<String>()
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn gb18030(text: &str) -> Vec<u8> {
    GB18030.encode(text).0.into_owned()
}

/// What a plan says of a list, from the second line to the rows.
fn plan(place: &Place, name: &str, content: impl AsRef<[u8]>, flags: &str) -> String {
    place.write("job.toml", JOB);
    place.write(name, content);
    let ran = place.runner(&format!("--input {name} --job job.toml --dry-run {flags}")).exits(0);
    assert!(ran.out.contains("\n  rows      3\n"), "{ran:#?}");
    ran.out.lines().skip(1).take_while(|line| !line.starts_with("  rows")).map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_plan_says_how_a_list_was_read() {
    let place = Place::new();
    let list = list(3);
    let semicolons = list.replace(',', ";");
    let tabs = list.replace(',', "\t");
    assert_eq!(plan(&place, "plain.csv", &list, ""), "");
    assert_eq!(plan(&place, "plain.csv", format!("\u{feff}{list}"), ""), "");
    assert_eq!(plan(&place, "german.csv", &semicolons, ""), "read as UTF-8, separated by semicolons");
    assert_eq!(
        plan(&place, "german.csv", format!("sep=;\r\n{semicolons}"), ""),
        "read as UTF-8, separated by semicolons"
    );
    assert_eq!(plan(&place, "tabs.tsv", &tabs, ""), "read as UTF-8, separated by tabs");
    assert_eq!(plan(&place, "unicode.txt", utf16(&tabs), ""), "read as UTF-16LE, separated by tabs");
    let all = gzip(&list.replace(',', "^"));
    assert_eq!(plan(&place, "packed.csv.gz", all, "--delimiter ^"), "read as UTF-8, separated by '^'");
    assert_eq!(plan(&place, "chinese.csv", gb18030(&list), "--encoding gb18030"), "read as gb18030");
    let empty = list.replace('\n', ",,\n") + ",,,,\n,,,,\n";
    assert_eq!(plan(&place, "empty.csv", empty, ""), "passed over 2 empty rows, 2 empty columns");

    place.write("job.toml", format!("{JOB}[input]\nencoding = \"gbk\"\ndelimiter = \"tab\"\n"));
    place.write("list.txt", gb18030(&tabs));
    let call = "--input list.txt --job job.toml --dry-run --json";
    let read_as = |json: &serde_json::Value| {
        ["encoding", "delimiter", "empty_rows", "empty_columns", "rows"].map(|name| json[name].clone())
    };
    let plan = place.runner(call).exits(0).json();
    assert_eq!(read_as(&plan), [json!("GBK"), json!("\t"), json!(0), json!(0), json!(3)]);
    // A flag overrides the job file.
    place.write("list.txt", semicolons);
    let plan = place.runner(&format!("{call} --encoding utf-8 --delimiter ;")).exits(0).json();
    assert_eq!(read_as(&plan), [json!("UTF-8"), json!(";"), json!(0), json!(0), json!(3)]);
    place.write("list.jsonl", r#"{"From_Account":"a","To_Account":"b","MsgKey":"1_2_3"}"#);
    let plan = place.runner("--input list.jsonl --job job.toml --dry-run --json").exits(0).json();
    assert_eq!(read_as(&plan), [json!("GBK"), json!(null), json!(0), json!(0), json!(1)]);
}

#[test]
fn standard_input_may_have_any_encoding() {
    let place = Place::new();
    place.write("job.toml", JOB);
    // More than is looked at before the stream is copied.
    let list = list(5_000);
    for (bytes, flags) in [
        (utf16(&list), ""),
        (utf16(&list)[2..].to_vec(), "--encoding utf-16le"),
        (gb18030(&list), "--encoding gb18030"),
        (gzip(&list.replace(',', ";")), ""),
    ] {
        place.write("bytes", bytes);
        let line = format!(
            "{} --input - --input-format csv --job job.toml --dry-run {flags} <bytes",
            env!("CARGO_BIN_EXE_runner")
        );
        let ran = place.shell(&line).exits(0);
        assert!(ran.out.contains("\n  rows      5,000\n"), "{flags}: {ran:#?}");
    }
}

#[test]
fn what_cannot_be_read_is_refused_with_what_to_do() {
    let place = Place::new();
    place.write("job.toml", JOB);
    let refused = |name: &str, content: Vec<u8>, flags: &str| {
        place.write(name, content);
        let ran = place.runner(&format!("--input {name} --job job.toml --dry-run {flags}")).exits(2);
        assert_eq!(ran.out, "");
        ran.err
    };
    let with_note = gb18030("from_account,to_account,msg_key,_备注\na,b,1_2_3,\n");
    assert_snapshot!(refused("gbk.csv", with_note.clone(), ""), @r#"error: "gbk.csv", line 1: the header is not UTF-8; as GB18030 it reads: from_account, to_account, msg_key, _备注; if it is GB18030, add --encoding gb18030; otherwise save the list as UTF-8 (in Excel: "CSV UTF-8")"#);
    assert_snapshot!(refused("gbk.csv", with_note.clone(), "--encoding big6"), @r#"
    error: invalid value 'big6' for '--encoding <NAME>': "big6" is not an encoding; use gb18030, big5, utf-16le, shift_jis or windows-1252, for instance

    For more information, try '--help'.
    "#);
    assert_snapshot!(refused("gbk.csv", with_note, "--delimiter ab"), @r#"
    error: invalid value 'ab' for '--delimiter <CHAR>': "ab" cannot separate columns; use one character such as ; or | or write tab

    For more information, try '--help'.
    "#);
    assert_snapshot!(refused("cut.csv", gb18030("from_account,to_account,msg_key\na,b,1_2_客")[..41].to_vec(), "--encoding gb18030"), @r#"error: "cut.csv", line 2: this is not gb18030 text; the list is damaged or cut off there, or has another encoding (--encoding)"#);
    assert_snapshot!(refused("joined.csv", format!("{}{}", list(1), list(2)).into_bytes(), ""), @"
    joined.csv: line 3: the header comes again here, as it does where two lists were joined; remove this line
    error: the list has 1 problem; nothing was sent
    ");
    place.write("job.toml", format!("{JOB}[input]\nencoding = \"gb\"\n"));
    assert_snapshot!(refused("a.csv", Vec::new(), ""), @r#"
    error: the job file job.toml: line 4, column 12: "gb" is not an encoding; use gb18030, big5, utf-16le, shift_jis or windows-1252, for instance
      |
    4 | encoding = "gb"
      |            ^^^^
    "#);
}

#[test]
fn a_list_without_rows_is_refused() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("job.toml", JOB);
    for (name, content, says) in [
        ("header.csv", HEADER.to_owned(), "\"header.csv\" has no rows; is it the right list?"),
        ("blank.csv", format!("{HEADER},,\n\n"), "\"blank.csv\" has no rows but an empty one; is it the right list?"),
        (
            "blanks.csv",
            format!("{HEADER},,\n , ,\n"),
            "\"blanks.csv\" has no rows but 2 empty ones; is it the right list?",
        ),
        ("nothing.csv", String::new(), "\"nothing.csv\", line 1: the list is empty"),
        ("nothing.jsonl", String::new(), "\"nothing.jsonl\" has no rows; is it the right list?"),
        ("blank.jsonl", "\n \n".to_owned(), "\"blank.jsonl\" has no rows; is it the right list?"),
    ] {
        place.write(name, content);
        for flags in ["--dry-run", "--yes", "--yes --json"] {
            let call = format!("--input {name} --job job.toml --resume ledger.db {flags}");
            let ran = place.runner(&call).at(&service).exits(2);
            assert!(ran.err.contains(says), "{ran:#?}");
        }
    }
    assert_eq!(service.stats().requests(), 0);
}

/// The same job with the same flags takes the failed rows, whatever the list looked like.
#[test]
fn failed_rows_come_back_as_a_list_for_the_same_job() {
    let list = list(3).replace('\n', ",,\n") + ",,,,\n";
    let semicolons = list.replace(',', ";");
    let cases = [
        ("list.csv", gb18030(&list), "--encoding gb18030"),
        ("list.csv", gb18030(&semicolons), "--encoding gb18030 --delimiter ;"),
        ("list.txt", utf16(&list.replace(',', "\t")), ""),
        ("list.csv", format!("sep=;\n{semicolons}").into_bytes(), ""),
        ("list.csv", list.replace(',', "^").into_bytes(), "--delimiter ^"),
    ];
    let places = cases.map(|(name, bytes, flags)| {
        let (place, service) = (Place::new(), Service::start("20005=100%"));
        place.write("job.toml", JOB);
        place.write(name, bytes);
        let call = format!(
            "--input {name} --job job.toml --resume ledger.db --yes {FAST} --max-attempts 1 {flags} --max-failures 100%"
        );
        let run = place.runner(&call).at(&service).start();
        (place, service, flags, run)
    });
    for (place, service, flags, run) in places {
        run.exits(1);
        service.set_faults("none");
        let call = format!("--input ledger.failed.csv --job job.toml --resume again.db --yes --json {FAST} {flags}");
        let again = place.runner(&call).at(&service).exits(0);
        assert_eq!(again.summary(), Summary { rows: 3, done: 3, ..Summary::default() }, "{flags}");
        let mut accounts: Vec<_> =
            service.messages().iter().map(|message| message["From_Account"].to_string()).collect();
        accounts.sort();
        assert_eq!(accounts, ["\"客服_1\"", "\"客服_2\"", "\"客服_3\""], "{flags}");
    }
}

/// `runner report` and `runner sandbox` read the list as the run did.
#[test]
fn other_commands_read_the_list_as_the_run_did() {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("job.toml", JOB);
    place.write("list.csv", gb18030(&list(5).replace(',', "^")));
    let flags = "--encoding gb18030 --delimiter ^";
    let call = format!("--input list.csv --job job.toml --resume ledger.db --yes --max-rows 2 {FAST} {flags}");
    place.runner(&call).at(&service).exits(0);
    for report in [
        "report ledger.db --csv of-last-run".to_owned(),
        format!("report ledger.db --csv given --input list.csv --job job.toml {flags}"),
    ] {
        place.runner(&report).exits(0);
        let directory = report.split_whitespace().nth(3).unwrap();
        let not_reached = place.read(&format!("{directory}/not_reached.csv"));
        assert_eq!(not_reached.matches("客服_").count(), 3, "{not_reached}");
    }
}
