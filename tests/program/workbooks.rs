//! Lists that are an Excel workbook, or JSON that is not lines.

use rust_xlsxwriter::Workbook;

use crate::support::harness::{FAST, Place};
use crate::support::service::Service;

const JOB: &str = "[input]\nformat = 'xlsx'\nsheet = 'Edits'\n[content]\ntext = 'x'\n";

fn workbook(rows: &[[&str; 3]]) -> Vec<u8> {
    let mut book = Workbook::new();
    book.add_worksheet().set_name("Notes").unwrap().write(0, 0, "nothing").unwrap();
    let sheet = book.add_worksheet().set_name("Edits").unwrap();
    sheet.write_row(0, 0, ["from_account", "to_account", "msg_key"]).unwrap();
    for (row, cells) in (1..).zip(rows) {
        sheet.write_row(row, 0, cells.iter().copied()).unwrap();
    }
    book.save_to_buffer().unwrap()
}

/// The rows that failed are a list again, for the same job file, although it says which sheet of a workbook to read.
#[test]
fn failed_rows_of_a_workbook_come_back_as_csv() {
    let (place, service) = (Place::new(), Service::start("20009=100%"));
    place.write("job.toml", JOB);
    place.write("edits.xlsx", workbook(&[["a", "b", "1_2_1773200000"], ["张三", "b,c", "3_4_1773200000"]]));
    let job = format!("--job job.toml --resume ledger.db --max-failures 100% --yes --json {FAST}");
    let ran = place.runner(&format!("{job} --input edits.xlsx")).at(&service).exits(1);
    assert_eq!((ran.summary().rows, ran.summary().failed), (2, 2));
    let failed = place.read("ledger.failed.csv");
    assert!(
        failed.starts_with(
            "from_account,to_account,msg_key,_code,_meaning,_attempts,_line,_apostrophes\na,b,1_2_1773200000,20009,"
        ),
        "{failed}"
    );
    assert!(failed.contains("\n张三,\"b,c\",3_4_1773200000,20009,"), "{failed}");
    let again = place.runner("--job job.toml --input ledger.failed.csv --dry-run --json").exits(0);
    assert_eq!(again.json()["rows"], 2);
}

#[test]
fn a_plan_says_which_sheet_is_read() {
    let place = Place::new();
    place.write("job.toml", "[content]\ntext = 'x'\n");
    place.write("edits.xlsx", workbook(&[["a", "b", "1_2_1773200000"]]));
    let ran = place.runner("--job job.toml --input edits.xlsx --sheet Edits --dry-run").exits(0);
    assert!(ran.out.contains("note: the sheet Edits is read\n"), "{ran:#?}");
    let ran = place.runner("--job job.toml --input edits.xlsx --dry-run").exits(2);
    assert!(ran.err.contains("the header lacks from_account, to_account, msg_key"), "{ran:#?}");
    let ran = place.runner("--job job.toml --input edits.xlsx --sheet None --dry-run").exits(2);
    assert!(ran.err.contains("has no sheet None; its sheets are: Notes, Edits"), "{ran:#?}");
    let ran = place.runner("--job job.toml --input edits.xlsx --sheet Edits --dry-run --json").exits(0);
    assert_eq!(ran.json()["sheet"], "Edits");
    place.write("list.csv", "from_account,to_account,msg_key\na,b,1_2_1773200000\n");
    let ran = place.runner("--job job.toml --input list.csv --sheet Edits --dry-run").exits(2);
    assert!(ran.err.contains("list.csv\" is not an Excel workbook, so it has no sheets"), "{ran:#?}");
    place.write("list.csv", workbook(&[]));
    let ran = place.runner("--job job.toml --input list.csv --dry-run").exits(2);
    assert!(ran.err.contains("pass --input-format xlsx"), "{ran:#?}");
    let ran = place.runner("--job job.toml --input - --input-format xlsx --sheet Edits --dry-run --json");
    let ran = ran.input(workbook(&[["a", "b", "1_2_1773200000"]])).exits(0);
    assert_eq!(ran.json()["rows"], 1);
    place.write("old.xls", "x");
    let ran = place.runner("--job job.toml --input old.xls --dry-run").exits(2);
    assert!(ran.err.contains("save it as .xlsx"), "{ran:#?}");
}

/// Failed elements of an array come back as JSON Lines, a list again.
#[test]
fn an_array_is_a_list_whatever_it_is_called() {
    let (place, service) = (Place::new(), Service::start("20009=100%"));
    let array = include_str!("../data/array.json");
    place.write("array.json", array);
    place.write("array.jsonl", array);
    for name in ["array.json", "array.jsonl"] {
        let plan = place.runner(&format!("--input {name} --dry-run --json")).exits(0);
        assert_eq!(plan.json()["rows"], 3, "{name}");
    }
    let job = format!("--resume ledger.db --max-failures 100% --yes --json {FAST}");
    let ran = place.runner(&format!("{job} --input array.json")).at(&service).exits(1);
    assert_eq!((ran.summary().rows, ran.summary().failed), (3, 3));
    assert_eq!(place.read("ledger.failed.jsonl").lines().count(), 3);
    let again = place.runner("--input ledger.failed.jsonl --dry-run --json").exits(0);
    assert_eq!(again.json()["rows"], 3);
}

#[test]
fn json_that_is_no_list_is_one_error() {
    let place = Place::new();
    place.write("export.json", r#"{"MsgList":[{"From_Account":"a","MsgSeq":1,"MsgBody":[]},{"MsgSeq":2}]}"#);
    let ran = place.runner("--input export.json --dry-run").exits(2);
    assert_eq!(ran.err.lines().count(), 1, "{ran:#?}");
    assert!(ran.err.contains("docs/how-to/list-from-history-export.md"), "{ran:#?}");
    let cut = &include_str!("../data/array.json")[..700];
    place.write("cut.json", cut);
    let ran = place.runner("--input cut.json --resume ledger.db --sandbox --yes").exits(2);
    assert!(ran.err.contains("it was cut off, so fetch it again"), "{ran:#?}");
}
