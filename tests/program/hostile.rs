//! Lists that are damaged, are something else, or are malicious: each is read as it was meant or refused clearly, in
//! little memory, and none of it reaches the terminal unescaped.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use insta::{assert_snapshot, with_settings};
use runner::terminal::escape::escape_control;

use crate::support::harness::{Call, FAST, Place, Ran, gzip, list, row, wait_for};
use crate::support::service::Service;

/// The address space of the program that reads a list. It needs two thirds of that, even as a debug build; hostile
/// lists would expand to several times as much.
const MEMORY_KB: u32 = 96 * 1024;
/// The same with templates, which have a stack of their own.
const MEMORY_WITH_TEMPLATES_KB: u32 = 256 * 1024;

const HEADER: &str = "from_account,to_account,msg_key,cloud_custom_data\n";

/// The program with this little memory; `args` are for a shell.
fn within<'a>(memory_kb: u32, place: &'a Place, args: &str) -> Call<'a> {
    place.shell(&format!("ulimit -v {memory_kb}; exec '{}' {args}", env!("CARGO_BIN_EXE_runner")))
}

/// Checks that it exits with 0 or 2, and that its output is safe for a terminal.
fn is_sound(about: &str, ran: &Ran) {
    assert!(matches!(ran.code, Some(0 | 2)), "{about}: {ran:#?}");
    assert!(!ran.err.contains("panicked") && !ran.err.contains("overflow"), "{about}: {ran:#?}");
    for text in [&ran.out, &ran.err] {
        assert_eq!(escape_control(text), text.as_str(), "{about}");
    }
}

/// The output of a dry run of this list.
fn dry_run_output(place: &Place, name: &str) -> String {
    let ran = within(MEMORY_KB, place, &format!("--input {name} --sandbox --dry-run --json")).run();
    is_sound(name, &ran);
    if ran.code == Some(2) {
        assert_eq!(ran.out, "", "{name}");
        return ran.err;
    }
    let plan = ran.json();
    let mut output =
        format!("fine: {} rows, {} to send, {} bytes\n", plan["rows"], plan["to_send"], plan["content_bytes"]);
    for warning in plan["warnings"].as_array().unwrap() {
        writeln!(output, "warning: line {}: {}", warning["line"], warning["what"].as_str().unwrap()).unwrap();
    }
    output
}

/// Every file of the corpus, by name.
fn corpus() -> Vec<(String, PathBuf)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/hostile");
    let files = directory.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut files: Vec<_> = files.map(|path| (name(&path), path)).filter(|(name, _)| !name.starts_with('.')).collect();
    files.sort();
    files
}

#[test]
fn every_list_is_read_as_it_was_meant_or_refused_in_clear_words() {
    let place = Place::new();
    let mut all = String::new();
    for (name, path) in corpus() {
        place.write(&name, std::fs::read(path).unwrap());
        writeln!(all, "== {name}\n{}", dry_run_output(&place, &name)).unwrap();
    }
    with_settings!({ snapshot_path => "../data", prepend_module_to_snapshot => false, omit_expression => true }, {
        assert_snapshot!("hostile", all);
    });
}

/// The valid ones, end to end: in the end the service holds what the list meant.
#[test]
fn what_was_meant_arrives() {
    let fine: Vec<_> = corpus().into_iter().filter(|(name, _)| name.starts_with("fine-")).collect();
    let mut all = String::new();
    // Several at once, as each run waits a second before it sends anything.
    for some in fine.chunks(4) {
        let cases: Vec<_> =
            some.iter().map(|(name, path)| (name, path, Place::new(), Service::start("none"))).collect();
        let runs: Vec<_> = cases
            .iter()
            .map(|(name, path, place, service)| {
                place.write(name, std::fs::read(path).unwrap());
                place.runner(&format!("--input {name} --resume ledger.db --json {FAST}")).at(service).start()
            })
            .collect();
        for ((name, _, _, service), run) in cases.iter().zip(runs) {
            is_sound(name, &run.exits(0));
            writeln!(all, "== {name}").unwrap();
            let parts = ["MsgKey", "From_Account", "To_Account", "MsgBody", "CloudCustomData"];
            let messages = service.messages();
            let mut lines: Vec<_> =
                messages.iter().map(|message| parts.map(|part| message[part].to_string()).join(" ")).collect();
            // They arrive in any order, as several are in flight at once.
            lines.sort();
            for line in lines {
                writeln!(all, "{}", escape_control(&line)).unwrap();
            }
        }
    }
    with_settings!({ snapshot_path => "../data", prepend_module_to_snapshot => false, omit_expression => true }, {
        assert_snapshot!("arrived", all);
    });
}

/// Checks that a list, generated here because it is too large for the repository, is refused with these words.
fn check(name: &str, content: impl AsRef<[u8]>, says: &str) {
    let place = Place::new();
    place.write(name, content);
    let output = dry_run_output(&place, name);
    assert!(output.contains(says), "{says:?} is not in {output:.2000}");
    assert!(output.len() < 50_000, "{} bytes are printed: {output:.2000}", output.len());
}

fn id(number: u32) -> String {
    format!(r#""From_Account":"mara_{number}","To_Account":"desk","MsgKey":"{number}_1_1""#)
}

/// Compresses `head` and this many copies of `piece`, which is compressed once: consecutive gzip members are one text.
fn bomb(head: &str, piece: &str, times: usize) -> Vec<u8> {
    [gzip(head), gzip(piece).repeat(times)].concat()
}

const MEGABYTE: usize = 1 << 20;

#[test]
fn cells_and_rows_without_end_are_refused() {
    let ten = "x".repeat(10 * MEGABYTE);
    let long = "the row that begins on line 3 is longer than 1048576 bytes; a quote was probably left open there";
    check("bare.csv", format!("{HEADER}a,b,c,d\na,b,c,{ten}\n"), long);
    check("quoted.csv", format!("{HEADER}a,b,c,d\na,b,c,\"{ten}\"\n"), long);
    check(
        "account.csv",
        format!("{HEADER}a,b,c,d\n{},b,c,d\n", "x".repeat(MEGABYTE / 2)),
        "line 3, column from_account: is",
    );
    check("data.csv", format!("{HEADER}a,b,c,{}\n", "x".repeat(MEGABYTE / 2)), "makes 524288 bytes of new content");
    let line = "line 1: the line is longer than 1048576 bytes";
    check("line.jsonl", format!("{{{},\"CloudCustomData\":\"{ten}\"}}\n{{}}\n", id(1)), line);
    check("no-end.jsonl", format!("{{\"{ten}"), line);
}

#[test]
fn columns_without_end_are_counted_not_kept() {
    let million = ",".repeat(1_000_000);
    check("row.csv", format!("{HEADER}{million}\na,b,c,d\n"), "line 2: the row has 1000001 cells but the header has 4");
    check("header.csv", format!("{million}\n"), "the header has 1000001 columns; at most 1024 are read");
    let members = (0..60_000).map(|n| format!("\"_{n}\":{n}")).collect::<Vec<_>>().join(",");
    check("members.jsonl", format!("{{{},{members}}}\n", id(1)), "the object has 60003 members; at most 1024 are read");
    let elements = vec!["1"; MEGABYTE / 3].join(",");
    check("elements.jsonl", format!("{{{},\"MsgBody\":[{elements}]}}\n", id(1)), "makes 699051 bytes of new content");
}

#[test]
fn nesting_without_end_is_refused() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let nested = "column MsgBody: is not JSON: brackets are nested more than 127 deep";
    check("body.jsonl", format!("{{{},\"MsgBody\":{}}}\n", id(1), deep(5_000)), nested);
    check("long.jsonl", format!("{{{},\"MsgBody\":{}}}\n", id(1), deep(400_000)), "makes 800000 bytes of new content");
    check("line.jsonl", deep(400_000), "line 1: must be a JSON object, not an array");
    let ignored = format!("{{{},\"CloudCustomData\":\"x\",\"_a\":{}}}\n", id(1), deep(400_000));
    check("ignored.jsonl", ignored, "fine: 1 rows");
}

#[test]
fn what_unpacks_to_much_more_is_read_bit_by_bit() {
    let piece = |byte: &str| byte.repeat(MEGABYTE);
    check("line.jsonl.gz", bomb("", &piece("0"), 150), "line 1: the line is longer than 1048576 bytes");
    check("cell.csv.gz", bomb(HEADER, &piece("0"), 150), "the row that begins on line 2 is longer than 1048576 bytes");
    check("commas.csv.gz", bomb("", &piece(","), 150), "the row that begins on line 1 is longer");
    check("lines.csv.gz", bomb("", &piece("\n"), 20), "line 1: the list is empty");
    check("nul.csv.gz", bomb("", &piece("\0"), 150), "seems to be UTF-16 text without");
    let problem = format!("{{{},\"{}\":1}}\n", id(1), "n".repeat(MEGABYTE));
    check("names.jsonl.gz", bomb("", &problem.replacen("nn", "", 100), 150), "and 50 more problems like these");
}

#[test]
fn a_files_own_name_cannot_steer_the_terminal() {
    let place = Place::new();
    let name = "\u{1b}[2J\u{202e}vsc.csv";
    for content in [list(1..=2, "new"), list([], "") + "short\n", String::new()] {
        place.write(name, content);
        let ran = place.runner("--dry-run --input").arg(name).run();
        is_sound("the name", &ran);
        assert!(format!("{}{}", ran.out, ran.err).contains(r"\u{1b}[2J\u{202e}vsc.csv"), "{ran:#?}");
    }
    is_sound("no such file", &place.runner("--dry-run --input").arg("\u{9b}2J.csv").exits(2));
}

fn make_fifo(place: &Place, name: &str) {
    place.shell(&format!("/usr/bin/mkfifo {name}")).exits(0);
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let place = Place::new();
    make_fifo(&place, "edits.csv");
    place.shell("mkdir folder.csv").env("PATH", "/usr/bin:/bin").exits(0);
    for (args, says) in [
        // Nobody ever writes into it.
        (
            "--input edits.csv",
            "\"edits.csv\" is not a regular file, so it cannot be read twice; redirect it to standard input with --input -",
        ),
        ("--input folder.csv", "\"folder.csv\" is a directory; give the path of a file"),
        ("--input /dev/zero --input-format csv", "\"/dev/zero\" is not a regular file"),
        ("--input /dev/null --input-format csv", "\"/dev/null\" is not a regular file"),
        ("--input - --input-format csv </dev/null", "\"standard input\", line 1: the list is empty"),
        ("--input - --input-format csv </dev/zero", "standard input does not start with text"),
        ("--input - --input-format jsonl </dev/urandom", "standard input does not start with text"),
        ("--input - --input-format csv <&-", "standard input"),
        ("--input - --input-format csv <folder.csv", "cannot copy standard input into a temporary file"),
    ] {
        let ran = within(MEMORY_KB, &place, &format!("{args} --dry-run")).exits(2);
        is_sound(args, &ran);
        assert!(ran.err.contains(says), "{args}: {ran:#?}");
    }
}

#[test]
fn a_pipe_is_read_by_way_of_standard_input() {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    make_fifo(&place, "pipe");
    let line = format!(
        "/bin/cat edits.csv >pipe & exec '{}' --input - --input-format csv --resume ledger.db <pipe",
        env!("CARGO_BIN_EXE_runner")
    );
    place.shell(&line).env("TIM_ENDPOINT", &service.url).credentials().exits(0);
    assert_eq!(service.stats().edited_once(), 20);
}

/// Changes the list in the middle of a run: it stops, and sends nothing that was not planned.
fn check_change(change: impl FnOnce(&Place), code: i32) {
    let (place, service) = (Place::with_list(150), Service::start("none"));
    let run = place.runner("--input edits.csv --resume ledger.db --rate 100").at(&service).start();
    service.wait_for_requests(20);
    change(&place);
    let ran = run.exits(code);
    assert!(service.messages().iter().all(|message| !message.to_string().contains("unplanned")), "{ran:#?}");
    if code == 3 {
        assert!(ran.out.contains("changed while it was being read; start again"), "{ran:#?}");
        // Nothing was lost: with the list as it was, the same command does the rest.
        place.write("edits.csv", list(1..=150, "new"));
        place.runner("--input edits.csv --resume ledger.db").at(&service).exits(0);
    }
    assert_eq!(service.stats().edited_once(), 150);
}

#[test]
fn a_list_that_changes_under_a_run_stops_it() {
    let grow = |place: &Place| {
        let mut file = OpenOptions::new().append(true).open(place.path("edits.csv")).unwrap();
        file.write_all(row(400, "unplanned").as_bytes()).unwrap();
    };
    check_change(grow, 3);
    let cut = |place: &Place| OpenOptions::new().write(true).open(place.path("edits.csv")).unwrap().set_len(0).unwrap();
    check_change(cut, 3);
    check_change(|place| place.write("edits.csv", list(1..=150, "unplanned")), 3);
}

/// Editors replace the old file with a new one. The run has the old one open.
#[test]
fn a_list_that_is_replaced_under_a_run_does_not_matter() {
    let replace = |place: &Place| {
        place.write("new.csv", list(1..=150, "unplanned"));
        std::fs::rename(place.path("new.csv"), place.path("edits.csv")).unwrap();
    };
    check_change(replace, 0);
    check_change(|place| std::fs::remove_file(place.path("edits.csv")).unwrap(), 0);
}

/// The operator's consent is to the plan that is shown.
#[test]
fn a_list_that_changes_while_somebody_looks_at_its_plan_is_not_sent() {
    let (place, service) = (Place::with_list(20), Service::start("none"));
    let program = env!("CARGO_BIN_EXE_runner");
    let line = format!(
        "{{ while [ ! -e looked ]; do sleep 0.05; done; echo y; }} | \
         script -qec \"'{program}' --input edits.csv --resume ledger.db --endpoint {}\" /dev/null >&2",
        service.url
    );
    let run = place.shell(&line).env("PATH", "/usr/bin:/bin").env("TERM", "xterm").credentials().start();
    wait_for("the question", || run.err().contains("Send 20 edits?").then_some(()));
    place.write("edits.csv", list(1..=20, "unplanned"));
    place.write("looked", "");
    let ran = run.exits(2);
    assert!(ran.err.contains("changed while it was being read"), "{ran:#?}");
    assert_eq!(service.stats().requests(), 0);
}

/// Job files are written by operators, but also copied from strangers.
#[test]
fn a_hostile_job_file_is_refused_in_clear_words() {
    let place = Place::new();
    place.write("edits.csv", "from_account,to_account,msg_key\na,b,1_1_1\n");
    let loops = format!("{}{}", "{% for i in range(99999) %}".repeat(4), "{% endfor %}".repeat(4));
    let doubles = format!("{{% set x = 'xxxxxxxxxxxxxxxx' %}}{}{{{{ x | length }}}}", "{% set x = x ~ x %}".repeat(40));
    let packed =
        format!("content.msg_body = \"{{% set v = 1 %}}{}{{{{ v | tojson }}}}\"", "{%set v=[v]%}".repeat(1_800));
    let text = |template: &str| format!("content.text = \"{template}\"\n").into_bytes();
    let deep = |piece: &str| format!("name = {}", piece.repeat(10_000)).into_bytes();
    let far_more = "takes far more work than a message can need; does it loop?";
    for (job, says) in [
        (b"name = \"caf\xe9\"".to_vec(), "the job file job.toml: it is not UTF-8"),
        (deep("["), "max recursion depth met"),
        (deep("{a="), "max recursion depth met"),
        (format!("{}a = 1", "a.".repeat(10_000)).into_bytes(), "recursion limit"),
        (format!("[{}a]", "a.".repeat(10_000)).into_bytes(), "recursion limit"),
        (b"name = \"\x1b[2J\"".to_vec(), "job.toml"),
        (b"\"\\u001b[2J\" = 1".to_vec(), "unknown field"),
        (vec![b'#'; 64 << 20], "it is longer than 1 MiB, so it is something else"),
        (b"[service]\nsdkappid = 99999999999999999999".to_vec(), "line 2, column 12"),
        (b"[pace]\nrate = 4294967296".to_vec(), "line 2, column 8"),
        (b"[retry]\ntimeout = \"PT9999999999999999999h\"".to_vec(), "retry.timeout: write a time such as 10s"),
        (text(&loops), far_more),
        (text(&doubles), far_more),
        (text("{{ ('%99999999999d' | format(1)) | length }}"), far_more),
        (text("{{ 'x' * 99999999 }}"), far_more),
        (text("{% for i in range(10**9) %}{% endfor %}"), "range has too many elements"),
        (text("{% include 'text' %}"), "is not a valid template"),
        (text(&format!("{{{{ colour{} }}}}", "|e".repeat(12_000))), "needs the column colour"),
        (text(&format!("{{{{ colour{} }}}}", "|e".repeat(50_000))), "bytes long; a template may have at most 24576"),
        (packed.into_bytes(), "brackets are nested more than 127 deep"),
        (
            b"content.msg_body = '[{\"MsgType\":1,\"MsgType\":2}]'".to_vec(),
            "has the key \"MsgType\" twice in one object",
        ),
    ] {
        place.write("job.toml", &job);
        let ran = within(MEMORY_WITH_TEMPLATES_KB, &place, "--input edits.csv --dry-run --job job.toml").run();
        let about = String::from_utf8_lossy(&job[..job.len().min(80)]).into_owned();
        is_sound(&about, &ran);
        assert!(ran.err.contains(says), "{about}: {ran:#?}");
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{about}");
    }
    let endless = within(MEMORY_WITH_TEMPLATES_KB, &place, "--input edits.csv --dry-run --job /dev/zero").exits(2);
    assert!(endless.err.contains("it is longer than 1 MiB"), "{endless:#?}");
}
