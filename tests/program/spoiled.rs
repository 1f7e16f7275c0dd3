//! Lists that a spreadsheet or a database export has spoiled: refused, or warned about, before anything is sent.

use jiff::Timestamp;
use serde_json::Value;

use crate::support::harness::{FAST, Place};
use crate::support::service::Service;

const TEXT: &str = "[content]\ntext = \"removed\"\n";
const IDS: &str = "from_account,to_account,msg_key\n";

/// A list of ids, a row for each of these.
fn ids<T>(rows: impl IntoIterator<Item = T>, row: impl Fn(T) -> String) -> String {
    std::iter::once(IDS.to_owned()).chain(rows.into_iter().map(row)).collect()
}

/// Checks that the list is refused with these words, by a dry run and by a run.
fn refuses(name: &str, job: &str, list: &str, says: &[&str]) {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("job.toml", job);
    place.write(name, list);
    for more in ["--dry-run", "--resume ledger.db --yes"] {
        let ran = place.runner(&format!("--job job.toml --input {name} {more}")).at(&service).exits(2);
        for part in says {
            assert!(ran.err.contains(part), "{part:?} is not in {ran:#?}");
        }
        assert!(ran.err.ends_with("nothing was sent\n"), "{ran:#?}");
    }
    assert_eq!(service.stats().requests(), 0);
}

/// What the plan warns about, as `line (rows): what`, after checking that the list is sent nevertheless.
fn warnings(job: &str, list: &str) -> Vec<String> {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("job.toml", job);
    place.write("list.csv", list);
    let call = |more: &str| place.runner(&format!("--job job.toml --input list.csv {more}")).at(&service).exits(0);
    let plan = call("--dry-run --json").json();
    let shown = call("--dry-run").out;
    let told = |warning: &Value| {
        let (line, rows, what) = (&warning["line"], &warning["rows"], warning["what"].as_str().unwrap());
        let count = if *rows == 1 { "row" } else { "rows" };
        assert!(shown.contains(&format!("warning: line {line} ({rows} {count}): {what}\n")), "{shown}");
        format!("{line} ({rows}): {what}")
    };
    let warnings = plan["warnings"].as_array().unwrap().iter().map(told).collect();
    let summary = call(&format!("--resume ledger.db --yes --json {FAST}")).summary();
    assert_eq!((summary.done, summary.failed), (plan["to_send"].as_u64().unwrap(), 0));
    warnings
}

#[test]
fn ids_that_a_spreadsheet_changed_are_refused_with_line_and_column() {
    let key = "2100000000_300000_1786000000";
    for (from, says) in [
        ("8.61381E+12", "is \"8.61381E+12\", an id that a spreadsheet has rounded"),
        ("\"8,61381E+12\"", "is \"8,61381E+12\", an id that a spreadsheet has rounded"),
        ("'00023", "begins with an apostrophe"),
        ("\"=\"\"00023\"\"\"", "begins with \"=\""),
        ("#N/A", "is \"#N/A\", an error of a spreadsheet"),
        ("#NV", "is \"#NV\", an error of a spreadsheet"),
        ("########", "is \"########\", which a spreadsheet shows where a column is too narrow"),
        ("11-Mar-24", "is \"11-Mar-24\", a date or a time"),
        ("2024/3/11 8:00", "is \"2024/3/11 8:00\", a date or a time"),
        ("8613800138000.0", "is \"8613800138000.0\", an id that was exported as a number"),
        ("NULL", "is \"NULL\", a word for \"nothing\""),
        ("a\u{a0}", "ends with a no-break space (U+00A0)"),
        ("\u{3000}a", "begins with an ideographic space (U+3000)"),
    ] {
        let list = format!("{IDS}a,b,{key}\n{from},b,{key}\n");
        let problem = format!("list.csv: line 3, column from_account: {says}");
        refuses("list.csv", TEXT, &list, &[&problem, "the list has 1 problem;"]);
    }
    let list = format!("{IDS}a,b,\"1\u{a0}786\u{a0}000\"\na,12:30,{key}\n");
    let says = ["line 2, column msg_key: is", "line 3, column to_account: is", "the list has 2 problems;"];
    refuses("list.csv", TEXT, &list, &says);
    let line = format!(r#"{{"From_Account":"1.38E10","To_Account":"'b","MsgKey":"{key}","CloudCustomData":"x"}}"#);
    let says = ["line 1, column From_Account: is", "line 1, column To_Account: begins", "the list has 2 problems;"];
    refuses("list.jsonl", "", &line, &says);
}

#[test]
fn white_space_around_ids_can_be_taken_off() {
    let list = format!("{IDS} a ,b\u{3000},\u{feff}1_2_1786000001\t\na,b,1_2_1786000001\n");
    refuses("list.csv", TEXT, &list, &["trim = true under [input]", "the list has 3 problems;"]);
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("job.toml", format!("{TEXT}[input]\ntrim = true\n"));
    place.write("list.csv", list);
    let ran = place.runner("--job job.toml --input list.csv --resume ledger.db --yes --json").at(&service).exits(0);
    // It is the same message then, here and in the service.
    assert_eq!((ran.summary().done, ran.summary().duplicates), (1, 1));
    let message = &service.messages()[0];
    assert_eq!(["From_Account", "To_Account", "MsgKey"].map(|part| &message[part]), ["a", "b", "1_2_1786000001"]);
}

const DATA: &str = "from_account,to_account,msg_key,msg_body,cloud_custom_data\n";
const BODY: &str = r#""[{""MsgType"":""TIMTextElem"",""MsgContent"":{""Text"":""x""}}]""#;

#[test]
fn words_for_nothing_as_content_are_refused() {
    let words = ["NULL", "null", "None", "nan", r"\N", "N/A", "undefined", " nil "];
    let rows = words.iter().map(|word| format!("a,b,1_2_1786000001,{BODY},{word}\n"));
    let list = DATA.to_owned() + &rows.collect::<String>();
    let says = ["line 2, column cloud_custom_data: is \"NULL\"", "null = [\"NULL\"]", "null = []", "has 8 problems"];
    refuses("list.csv", "", &list, &says);
    refuses("list.csv", "", &format!("{DATA}a,b,1_2_3,NULL,x\n"), &["line 2, column msg_body: is \"NULL\""]);
    refuses("list.csv", "", &format!("{DATA}a,b,1_2_3,{BODY},#REF!\n"), &["column cloud_custom_data: is \"#REF!\""]);
    let template = "[content]\ntext = \"{{ name }}\"\n";
    for (word, says) in [("None", "a word for \"nothing\""), ("#N/A", "an error of a spreadsheet")] {
        let says = format!("line 2, column name: is {word:?}, {says}");
        refuses("list.csv", template, &format!("from_account,to_account,msg_key,name\na,b,1_2_3,{word}\n"), &[&says]);
    }
    let id = r#""From_Account":"a","To_Account":"b","MsgKey":"1_2_3""#;
    for (member, field) in [(r#""CloudCustomData":"null""#, "CloudCustomData"), (r#""MsgBody":"\u006eull""#, "MsgBody")]
    {
        let says = format!("line 1, column {field}: is \"null\", a word for \"nothing\"");
        refuses("list.jsonl", "", &format!("{{{id},{member}}}\n"), &[&says, "has 1 problem"]);
    }
    refuses("list.jsonl", template, &format!(r#"{{{id},"name":"nan"}}"#), &["line 1, column name: is \"nan\""]);
}

/// The contents that reach the service, of messages 1, 2 and so on.
fn sent(job: &str, name: &str, list: &str) -> Vec<[Value; 2]> {
    let (place, service) = (Place::new(), Service::start("none"));
    place.write("job.toml", job);
    place.write(name, list);
    place.runner(&format!("--job job.toml --input {name} --resume ledger.db --yes {FAST}")).at(&service).exits(0);
    let mut messages = service.messages();
    messages.sort_by_key(|message| message["MsgKey"].to_string());
    messages.iter().map(|message| ["MsgBody", "CloudCustomData"].map(|part| message[part].clone())).collect()
}

#[test]
fn a_job_says_what_words_for_nothing_mean() {
    let list = format!("{DATA}a,b,1_2_3,{BODY},NULL\na,b,2_2_3,-,y\n");
    let body = serde_json::json!([{"MsgType": "TIMTextElem", "MsgContent": {"Text": "x"}}]);
    let absent = sent("[input]\nnull = [\"NULL\", \"-\"]\n", "list.csv", &list);
    // What is absent is left as it is: the sandbox has messages with other content.
    assert_eq!((&absent[0][0], &absent[1][1]), (&body, &"y".into()));
    assert!(absent[0][1] != "NULL" && absent[1][0].is_array(), "{absent:?}");
    let text =
        sent("[input]\nnull = []\n", "list.csv", list.split_inclusive('\n').take(2).collect::<String>().as_str());
    assert_eq!(text, [[body.clone(), "NULL".into()]]);
    let line = r#"{"From_Account":"a","To_Account":"b","MsgKey":"1_2_3","MsgBody":"NULL","CloudCustomData":"y"}"#;
    assert_eq!(sent("[input]\nnull = [\"NULL\"]\n", "list.jsonl", line)[0][1], "y");
    // Words that the job does not name are refused still; an id cannot be absent, and a template needs its columns.
    let null = "[input]\nnull = [\"NULL\"]\n";
    let says = ["column cloud_custom_data: is \"None\"", "null = [\"NULL\", \"None\"]"];
    refuses("list.csv", null, &list.replace("NULL", "None"), &says);
    refuses("list.csv", null, &format!("{DATA}NULL,b,1_2_3,{BODY},\n"), &["column from_account: is empty"]);
    let job = format!("{null}[content]\ntext = \"{{{{ name }}}}\"\n");
    let named = "from_account,to_account,msg_key,name\na,b,1_2_3,NULL\n";
    refuses("list.csv", &job, named, &["line 2, column name: is absent or empty"]);
    let job = format!("{null}[content]\ntext = \"{{{{ name | default('nobody') }}}}\"\n");
    assert_eq!(sent(&job, "list.csv", named)[0][0][0]["MsgContent"]["Text"], "nobody");
}

#[test]
fn a_job_with_an_empty_word_for_nothing_is_refused() {
    let place = Place::with_list(1);
    place.write("job.toml", "[input]\ntrim = true\nnull = [\"NULL\", \"\"]\n");
    let ran = place.runner("--job job.toml --input edits.csv --dry-run").exits(2);
    assert!(ran.err.contains("the job file job.toml: line 3, column 8: [input] null has the word \"\""), "{ran:#?}");
}

#[test]
fn odd_keys_are_warned_about_once_for_each_kind() {
    let keys = "1_2_1786000001234 1_3_4102444800 1_4_1262304000 1_5_178 -294967296_-1474836480_1786000001 \
                4294967296_5_1786000001 1-6-1786000001 1_7 1_8_1786000001";
    let list = ids(keys.split_whitespace(), |key| format!("c,g,{key}\n"));
    insta::assert_snapshot!(warnings(TEXT, &list).join("\n"), @r#"
    2 (1): MsgKey ends in a time of milliseconds or less; the service's keys have seconds: "1_2_1786000001234"
    3 (1): MsgKey ends in a time in the future: "1_3_4102444800"
    4 (1): MsgKey ends in a time before 2015, when there were hardly any such messages: "1_4_1262304000"
    5 (1): MsgKey ends in a number that is too short for the second of a message: "1_5_178"
    6 (1): MsgKey holds a number below zero, as programs write numbers past 2147483647; the service's are from 0 to 4294967295: "-294967296_-1474836480_1786000001"
    7 (1): MsgKey holds a number past 4294967295, the largest that the service issues: "4294967296_5_1786000001"
    8 (2): MsgKey is not of the form number_number_time, as others in this list are: "1-6-1786000001"
    "#);
    let msg_ids = ids(0..300, |row| format!("c,g,144115233406643804-1786000000-{row}\n"));
    insta::assert_snapshot!(warnings(TEXT, &msg_ids).join("\n"), @r#"2 (300): MsgKey looks like the MsgId of a webhook, which is another id; take its MsgKey: "144115233406643804-1786000000-0""#);
}

#[test]
fn odd_accounts_are_warned_about_once_for_each_kind() {
    let accounts = [
        ["144115233406644000", "b"],
        ["144115233775728000", "b"],
        ["c", "c"],
        ["d", "an_account_of_more_than_32_bytes_as_the_service_allows"],
        ["Mar-24", "b"],
    ];
    let rows = accounts.iter().zip(1..).map(|([from, to], row)| format!("{from},{to},{row}_2_1786000001\n"));
    let swapped = "x,y,7_2_1786000001\ny,x,7_2_1786000001\ny,x,7_2_1786000001\nx,y,8_2_1786000001\n";
    let list = IDS.to_owned() + &rows.collect::<String>() + swapped;
    insta::assert_snapshot!(warnings(TEXT, &list).join("\n"), @r#"
    2 (2): From_Account ends in zeros in many rows, as numbers do whose last digits a spreadsheet dropped: "144115233406644000"
    4 (1): From_Account and To_Account are the same: "c"
    5 (1): To_Account is longer than the 32 bytes that the service allows: "an_account_of_more_than_32_bytes_as_the_service_allows"
    6 (1): From_Account looks like a month that a spreadsheet made of an id: "Mar-24"
    8 (1): MsgKey is that of an earlier row with From_Account and To_Account swapped; a message has one sender: "7_2_1786000001"
    "#);
}

/// Both rows of a pair are found however far apart they are, which several threads read.
#[test]
fn a_long_list_is_searched_for_swapped_accounts() {
    let place = Place::new();
    let list = ids(0..21_000, |row| match row {
        0..9_000 => format!("a{row},b,{row}_2_1786000001\n"),
        9_000..18_000 => format!("c{row},d,{row}_2_1786000001\n"),
        _ => format!("b,a{0},{0}_2_1786000001\n", (row - 18_000) * 3),
    });
    place.write("job.toml", TEXT);
    place.write("list.csv", list);
    let plan = place.runner("--job job.toml --input list.csv --sandbox --dry-run --json").exits(0).json();
    let [warning] = plan["warnings"].as_array().unwrap().as_slice() else { panic!("{plan}") };
    assert_eq!((&warning["line"], &warning["rows"]), (&18_002.into(), &3_000.into()));
    assert_eq!((&plan["rows"], &plan["duplicates"], &plan["to_send"]), (&21_000.into(), &0.into(), &21_000.into()));
}

#[test]
fn old_messages_are_warned_about_where_messages_grow_old() {
    let place = Place::new();
    let then = Timestamp::now().as_second() - 100 * 24 * 60 * 60;
    place.write("job.toml", TEXT);
    place.write("list.csv", format!("{IDS}a,b,1_2_{then}\na,b,2_2_{then}\n"));
    let service = Service::start("none");
    let warned = |ran: crate::support::harness::Ran| {
        ran.out.contains("line 2 (2 rows): MsgKey ends in a time more than 90 days ago")
    };
    let call = || place.runner("--job job.toml --input list.csv --dry-run");
    assert!(warned(call().exits(0)));
    assert!(warned(call().arg("--region").arg("sgp").credentials().exits(0)));
    // A stand-in keeps its messages.
    assert!(!warned(call().arg("--sandbox").exits(0)));
    assert!(!warned(call().at(&service).exits(0)));
}
