//! Several lists are worked on as one: whatever the places where a list is split, the plan and the edits are the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;
use runner::edit::{ContentDigest, IdDigest};
use runner::input::{ContentSpec, Format, Input, InputError, InputSpec, List, Mapping};
use runner::run::{self, AsOf, InDoubt, Plan, PlanError, Policy};
use runner::system::digest::hex;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const HEADER: &str = "from_account,to_account,msg_key,cloud_custom_data\n";
/// With the columns in another order.
const OTHER_HEADER: &str = "_note,cloud_custom_data,msg_key,to_account,from_account\n";

/// A row: the number of its message, and its custom data.
type Cells = (u32, u32);

/// How a list is written.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Csv,
    OtherCsv,
    Jsonl,
}

impl Kind {
    fn text(self, rows: &[Cells]) -> String {
        let row = |(key, data): &Cells| match self {
            Kind::Csv => format!("a,b,{key}_2_3,{data}\n"),
            Kind::OtherCsv => format!("\"two\nlines\",{data},{key}_2_3,b,a\n"),
            Kind::Jsonl => format!(
                "{{\"From_Account\":\"a\",\"To_Account\":\"b\",\"MsgKey\":\"{key}_2_3\",\"CloudCustomData\":\"{data}\"}}\n"
            ),
        };
        let header = match self {
            Kind::Csv => HEADER,
            Kind::OtherCsv => OTHER_HEADER,
            Kind::Jsonl => "",
        };
        header.to_owned() + &rows.iter().map(row).collect::<String>()
    }

    /// The line on which a row begins, counted from 0 in its list.
    fn line(self, row: u64) -> u64 {
        match self {
            Kind::Csv => row + 2,
            Kind::OtherCsv => 2 * row + 2,
            Kind::Jsonl => row + 1,
        }
    }

    fn ending(self) -> &'static str {
        if matches!(self, Kind::Jsonl) { "jsonl" } else { "csv" }
    }
}

fn mapping() -> Mapping {
    Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap()
}

fn plan(input: &Input) -> Result<Plan, PlanError> {
    let policy = Policy { in_doubt: InDoubt::Hold, retry_failed: false, read_first: false, rows_max: None };
    let now = Timestamp::from_second(1_786_000_000).unwrap();
    let as_of = AsOf { now, messages_expire: false };
    run::plan(input, &mapping(), None, &policy, as_of)
}

fn open(paths: &[PathBuf]) -> Result<Input, InputError> {
    let (first, others) = paths.split_first().unwrap();
    Input::open_all(first, others, None)
}

/// The rows that a run sends, in their order.
fn to_send(input: &Input, plan: &Plan) -> Vec<(IdDigest, ContentDigest)> {
    let rows = input.rows(&mapping()).unwrap().map(Result::unwrap);
    let edits = rows.map(|row| (row.edit.unwrap(), row.line));
    let edits = edits.filter(|(edit, line)| !plan.is_duplicate(edit, line));
    edits.map(|(edit, _)| (edit.id().digest(), edit.content_digest())).collect()
}

/// Writes the rows to lists, each as long and of such a kind as `parts` say; the last has the rest.
fn split(dir: &Path, rows: &[Cells], parts: &[(usize, Kind)], last: Kind) -> Vec<(PathBuf, Kind, usize)> {
    let mut rest = rows;
    let parts = parts.iter().copied().chain([(rows.len(), last)]).enumerate();
    parts
        .map(|(index, (length, kind))| {
            let (part, others) = rest.split_at(length.min(rest.len()));
            rest = others;
            let path = dir.join(format!("{index}.{}", kind.ending()));
            std::fs::write(&path, kind.text(part)).unwrap();
            (path, kind, part.len())
        })
        .collect()
}

proptest! {
    #[test]
    fn a_list_may_be_split_anywhere(
        rows in vec((0..30_u32, prop_oneof![60 => Just(0), 1 => Just(1_u32)]), 0..60),
        parts in vec((0..25_usize, prop::sample::select(&[Kind::Csv, Kind::OtherCsv, Kind::Jsonl])), 1..5),
        last in prop::sample::select(&[Kind::Csv, Kind::OtherCsv, Kind::Jsonl]),
    ) {
        let dir = TempDir::new().unwrap();
        let one = Input::from_reader("one", Kind::Csv.text(&rows).as_bytes(), Format::Csv).unwrap();
        let lists = split(dir.path(), &rows, &parts, last);
        let paths: Vec<PathBuf> = lists.iter().map(|(path, ..)| path.clone()).collect();
        let several = open(&paths).unwrap();

        // Each row is where it was written.
        let places: Vec<_> = several.rows(&mapping()).unwrap().map(|row| row.unwrap().line).collect();
        let wanted = (1..).zip(&lists).flat_map(|(position, (_, kind, length))| {
            (0..*length as u64).map(move |row| (position, kind.line(row)))
        });
        let found = places.iter().map(|line| (line.list.as_ref().unwrap().position, line.number));
        prop_assert_eq!(found.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());

        match (plan(&one), plan(&several)) {
            (Ok(one_plan), Ok(plan)) => {
                let numbers = |plan: &Plan| {
                    let Plan { rows, duplicates, conversations, to_do, new_edits, this_run, bytes, .. } = *plan;
                    [rows, duplicates, conversations, to_do, new_edits, this_run, bytes]
                };
                prop_assert_eq!(numbers(&one_plan), numbers(&plan));
                prop_assert_eq!(to_send(&one, &one_plan), to_send(&several, &plan));
                let read: Vec<_> = plan.lists.iter().map(|list| (list.name.clone(), list.rows)).collect();
                let written: Vec<_> = lists.iter().map(|(path, _, rows)| (path.display().to_string(), *rows as u64)).collect();
                prop_assert_eq!(read, written);
            }
            (Err(PlanError::Problems(one)), Err(PlanError::Problems(several))) => {
                prop_assert_eq!(one.count(), several.count());
            }
            (Err(PlanError::Input(InputError::NoRows { .. })), Err(PlanError::Input(InputError::NoRows { .. }))) => {
                prop_assert_eq!(rows.len(), 0);
            }
            (one, several) => prop_assert!(false, "{one:?} and {several:?}"),
        }
        let mut reading = several.rows(&mapping()).unwrap();
        prop_assert_eq!(reading.by_ref().count(), rows.len());
        prop_assert_eq!(reading.bytes(), several.bytes());
    }
}

/// Writes these files, and opens them in this order.
fn lists(dir: &TempDir, files: &[(&str, &str)]) -> Input {
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| dir.path().join(name)).collect();
    for (path, (_, text)) in paths.iter().zip(files) {
        std::fs::write(path, text).unwrap();
    }
    open(&paths).unwrap()
}

#[test]
fn what_is_wrong_names_the_list_and_the_line() {
    let dir = TempDir::new().unwrap();
    let problems = |files: &[(&str, &str)]| {
        let error = match plan(&lists(&dir, files)).unwrap_err() {
            PlanError::Problems(problems) => {
                problems.first.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
            error => error.to_string(),
        };
        error.replace(&format!("{}/", dir.path().display()), "")
    };
    let row = |key: &str, data: &str| format!("{HEADER}a,b,{key},{data}\n");
    let (good, other) = (row("1_2_3", "x"), row("1_2_3", "y"));
    insta::assert_snapshot!(problems(&[("a.csv", &good), ("b.csv", &other)]), @r#"b.csv: line 2: wants another content for the message of line 2 of "a.csv"; a message is edited once: keep one of the two"#);
    insta::assert_snapshot!(problems(&[("a.csv", &row("", "x")), ("b.csv", &good), ("c.jsonl", "{}\n")]), @r"
    a.csv: line 2, column msg_key: is empty; every edit must name its message
    c.jsonl: line 1, column From_Account: is missing; every edit must name its message
    c.jsonl: line 1, column To_Account: is missing; every edit must name its message
    c.jsonl: line 1, column MsgKey: is missing; every edit must name its message
    ");
    insta::assert_snapshot!(problems(&[("a.csv", &good), ("b.csv", "from,to\n")]), @r#""b.csv", line 1: the header lacks from_account, to_account, msg_key; its columns are: from, to. Rename them, or map them in the job file ([input.columns])"#);
}

#[test]
fn problems_are_shown_where_they_are_in_each_list() {
    let dir = TempDir::new().unwrap();
    let bad = format!("{HEADER}a,b,,of a\n");
    let input =
        lists(&dir, &[("a.csv", &bad), ("b.csv", &bad.replace("of a", "of b")), ("c.jsonl", "{\"To_Account\":7}\n")]);
    let Err(PlanError::Problems(problems)) = plan(&input) else { panic!("it has problems") };
    let excerpts = input.excerpts(&mapping(), &problems.first).unwrap();
    let shown = excerpts.iter().map(|excerpt| {
        let excerpt = anstream::adapter::strip_str(&excerpt.as_ref().unwrap().render()).to_string();
        excerpt.lines().nth(1).unwrap().to_owned()
    });
    let of_c = r#"1 | {"To_Account":7}"#;
    assert_eq!(shown.collect::<Vec<_>>(), ["2 | a,b,,of a", "2 | a,b,,of b", of_c, of_c, of_c]);
}

#[test]
fn a_warning_names_the_first_list_that_has_it() {
    let dir = TempDir::new().unwrap();
    let row = |element: &str| {
        format!(
            r#"{{"From_Account":"a","To_Account":"b","MsgKey":"{element}_2_1500000000","MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"x","New":1}}}}]}}"#
        )
    };
    let (first, second, third) = (row("1"), row("2"), row("3"));
    let plain = format!("{HEADER}a,b,9_2_1500000000,x\n");
    let input = lists(
        &dir,
        &[("a.csv", &plain), ("b.jsonl", &format!("\n{first}\n")), ("c.jsonl", &format!("{second}\n{third}\n"))],
    );
    let warnings = plan(&input).unwrap().warnings;
    let warning = warnings.first().unwrap();
    let name = dir.path().join("b.jsonl").display().to_string();
    assert_eq!((warnings.len(), warning.rows, warning.line.list_name(), warning.line.number), (1, 3, Some(&*name), 2));
}

#[test]
fn the_digest_of_several_lists_is_that_of_their_digests() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (format!("{HEADER}a,b,1_2_3,x\n"), format!("{HEADER}a,b,2_2_3,x\n"));
    let hex = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let both = plan(&lists(&dir, &[("a.csv", &a), ("b.csv", &b)])).unwrap();
    let (of_a, of_b) = (hex(a.as_bytes()), hex(b.as_bytes()));
    assert_eq!(both.lists.iter().map(|list| &list.sha256).collect::<Vec<_>>(), [&of_a, &of_b]);
    assert_eq!(both.sha256, hex(format!("{of_a}\n{of_b}\n").as_bytes()));
    let one = plan(&lists(&dir, &[("a.csv", &a)])).unwrap();
    assert_eq!((one.sha256, one.lists), (of_a, Vec::new()));
}

#[test]
fn a_file_is_given_once_by_whatever_name() {
    let dir = TempDir::new().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("a.csv"), HEADER).unwrap();
    std::fs::write(at("b.csv"), HEADER).unwrap();
    std::os::unix::fs::symlink("a.csv", at("link.csv")).unwrap();
    let error = |names: &[&str]| {
        let paths: Vec<_> = names.iter().map(|name| if *name == "-" { name.into() } else { at(name) }).collect();
        open(&paths).unwrap_err().to_string().replace(&format!("{}/", dir.path().display()), "")
    };
    insta::assert_snapshot!(error(&["a.csv", "b.csv", "a.csv"]), @r#""a.csv" and "a.csv" are the same file; give each list once"#);
    insta::assert_snapshot!(error(&["a.csv", "b.csv", "link.csv"]), @r#""link.csv" and "a.csv" are the same file; give each list once"#);
    insta::assert_snapshot!(error(&["-", "a.csv", "-"]), @"standard input (--input -) is given twice; it can only be read once");
}

#[test]
fn a_format_is_for_the_lists_whose_names_do_not_tell() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("a.csv"), format!("{HEADER}a,b,1_2_3,x\n")).unwrap();
    std::fs::write(dir.path().join("b.list"), Kind::Jsonl.text(&[(2, 0)])).unwrap();
    let [a, b] = ["a.csv", "b.list"].map(|name| dir.path().join(name));
    let input = Input::open_all(&a, std::slice::from_ref(&b), Some(Format::Jsonl)).unwrap();
    assert_eq!(input.lists().map(List::format).collect::<Vec<_>>(), [Format::Csv, Format::Jsonl]);
    assert_eq!(plan(&input).unwrap().rows, 2);
    let text = dir.path().join("c.txt");
    std::fs::copy(&b, &text).unwrap();
    let formats = |format| {
        let input = Input::open_all(&a, std::slice::from_ref(&text), format).unwrap();
        input.lists().map(List::format).collect::<Vec<_>>()
    };
    assert_eq!(formats(Some(Format::Jsonl)), [Format::Csv, Format::Jsonl], "many things are called .txt");
    assert_eq!(formats(None), [Format::Csv, Format::Csv]);
    assert!(matches!(Input::open_all(&a, &[b], None), Err(InputError::NoFormat { .. })));
}

/// What is read of a list that is reached late is what was there when all of them were opened.
#[test]
fn a_list_that_changes_before_it_is_reached_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (a, b) = (format!("{HEADER}a,b,1_2_3,x\n"), format!("{HEADER}a,b,2_2_3,x\n"));
    let input = lists(&dir, &[("a.csv", &a), ("b.csv", &b)]);
    let mut rows = input.rows(&mapping()).unwrap();
    assert!(rows.next().unwrap().is_ok());
    std::fs::write(dir.path().join("b.csv"), format!("{b}a,b,3_2_3,x\n")).unwrap();
    assert!(matches!(rows.next(), Some(Err(InputError::Changed { .. }))));
    assert!(rows.next().is_none(), "after an error there are no rows");
    assert!(matches!(plan(&input), Err(PlanError::Input(InputError::Changed { .. }))));
}
