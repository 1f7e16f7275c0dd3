//! Lists of edits, and the command to process them.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use runner::sandbox::{IDENTIFIER, SDKAPPID, SECRET_KEY};

use crate::stand_in::StandIn;

const HEADER: &str = "from_account,to_account,msg_key,msg_body";

/// Writes these rows as CSV, each with a body of its own. A row's number stands for the same edit in every list.
pub(crate) fn csv(path: PathBuf, rows: impl Iterator<Item = u32>) -> PathBuf {
    let mut file = BufWriter::new(File::create(&path).unwrap());
    writeln!(file, "{HEADER}").unwrap();
    write_csv(file, rows);
    path
}

/// As [`csv`], in GB18030.
pub(crate) fn gb18030(path: PathBuf, rows: impl Iterator<Item = u32>) -> PathBuf {
    let mut text = Vec::new();
    writeln!(text, "{HEADER}").unwrap();
    write_csv(&mut text, rows);
    let text = String::from_utf8(text).unwrap();
    std::fs::write(&path, encoding_rs::GB18030.encode(&text).0).unwrap();
    path
}

/// Adds these rows to the end of a list.
pub(crate) fn append(path: &Path, rows: impl Iterator<Item = u32>) {
    write_csv(BufWriter::new(OpenOptions::new().append(true).open(path).unwrap()), rows);
}

fn write_csv(mut file: impl Write, rows: impl Iterator<Item = u32>) {
    for row in rows {
        let [from, to, key] = id(row);
        let body = body(row).replace('"', "\"\"");
        writeln!(file, "{from},{to},{key},\"{body}\"").unwrap();
    }
    file.flush().unwrap();
}

/// Writes these rows as request bodies, one a line: every tool can read that.
pub(crate) fn jsonl(path: PathBuf, rows: impl Iterator<Item = u32>) -> PathBuf {
    let mut file = BufWriter::new(File::create(&path).unwrap());
    rows.for_each(|row| writeln!(file, "{}", request_body(row)).unwrap());
    file.flush().unwrap();
    path
}

/// Writes these rows as one array over many lines.
pub(crate) fn json_array(path: PathBuf, rows: impl Iterator<Item = u32>) -> PathBuf {
    let mut file = BufWriter::new(File::create(&path).unwrap());
    for (index, row) in rows.enumerate() {
        write!(file, "{}\n  {}", if index == 0 { "[" } else { "," }, request_body(row)).unwrap();
    }
    writeln!(file, "\n]").unwrap();
    file.flush().unwrap();
    path
}

/// Writes these rows into the first sheet of a workbook.
pub(crate) fn xlsx(path: PathBuf, rows: impl Iterator<Item = u32>) -> PathBuf {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write_row(0, 0, HEADER.split(',')).unwrap();
    for (place, row) in (1..).zip(rows) {
        sheet.write_row(place, 0, id(row)).unwrap().write(place, 3, body(row)).unwrap();
    }
    book.save(&path).unwrap();
    path
}

pub(crate) fn request_body(row: u32) -> String {
    let [from, to, key] = id(row);
    let body = body(row);
    format!(r#"{{"From_Account":"{from}","To_Account":"{to}","MsgKey":"{key}","MsgBody":{body}}}"#)
}

fn id(row: u32) -> [String; 3] {
    // The keys of real messages are not in order either.
    let (random, second) = (row.wrapping_mul(2_654_435_761), 1_790_000_000 + row / 100);
    [format!("user_{}", row % 5_000), format!("user_{}", row % 5_003), format!("{row}_{random}_{second}")]
}

fn body(row: u32) -> String {
    format!(r#"[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"已删除 {row}"}}}}]"#)
}

/// The program.
pub(crate) fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_runner"))
}

/// The program with a list.
pub(crate) fn runner(input: &Path) -> Command {
    let mut command = program();
    command.env("TIM_SDKAPPID", SDKAPPID.to_string()).env("TIM_IDENTIFIER", IDENTIFIER);
    command.env("RUNNER_STATE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/state"));
    command.env("TIM_SECRET_KEY", SECRET_KEY).arg("--input").arg(input);
    command
}

/// The program against the stand-in, at this rate.
pub(crate) fn run(input: &Path, ledger: &Path, stand_in: &StandIn, rate: u32) -> Command {
    let mut command = runner(input);
    let rate = rate.to_string();
    command.args(["--yes", "--rate", &rate, "--max-rate", &rate, "--endpoint", &stand_in.endpoint()]);
    command.arg("--resume").arg(ledger);
    command
}
