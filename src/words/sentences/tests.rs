//! Every sentence in the code that a person reads has a pair, and every pair is sound.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::*;
use crate::ledger::Note;

/// Not for people, or in both languages by other means.
const ELSEWHERE: [&str; 16] = [
    // The phrases of reports and pages.
    "src/words",
    "src/live/page/words.rs",
    "src/live/page/html.rs",
    // Help, JSON, metrics and the log are in English.
    "src/cli",
    "src/command/man.rs",
    "src/report/format",
    "src/report/machine.rs",
    "src/live/metrics.rs",
    "src/log.rs",
    // SQL, charts, the ledger's words for notes, the table of codes, what other crates say, and the stand-in.
    "src/ledger/sqlite",
    "src/ledger/postgres/overview.rs",
    "src/ledger/note.rs",
    "src/report/chart",
    "src/api/error_code.rs",
    "src/edit/json.rs",
    "src/sandbox",
];
/// Parts of sentences that are tested as a whole below, and text that is compared or typed, not shown.
const PARTS: [&str; 26] = [
    "up to ",
    "{name:?} has no rows{}; is it the right list?",
    " but an empty one",
    " but {n} empty ones",
    "\nStopped at once. {}{command}",
    "tunnel error: ",
    "proxy authorization required",
    "failed to create underlying connection",
    "the proxy {} ",
    "runner ctl {} {what}",
    "the job {name:?} of ",
    "another job",
    "other jobs",
    "{jobs} of app {} at {} on this machine: ",
    "; with {} a second of this one that makes {sum}, and the app's cap is {max}; ",
    "it has",
    "they have",
    "wait until {others} ended, or run each at {each}: ",
    "runner ctl {} rate {each}, ",
    "the last ",
    ". The service accepted {done} before it in this run: if the resumed run stops at this one again, take its line out \
     of the list",
    "in doubt",
    "to read back",
    " · slowed down {slow_downs}×",
    "the job file {}",
    "the job",
];
/// What they hold is for the log, or for a bug report.
const MACROS: [&str; 9] = ["trace", "debug", "info", "warn", "error", "assert", "assert_eq", "unreachable", "panic"];

#[test]
fn every_sentence_has_a_pair() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut without = Vec::new();
    for path in files(&root.join("src")) {
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
        if is_test || ELSEWHERE.iter().any(|other| name.starts_with(other)) {
            continue;
        }
        let source: TokenStream = fs::read_to_string(&path).unwrap().parse().unwrap();
        let mut literals = Vec::new();
        collect(source, &mut literals);
        let is_wanted = |literal: &str| is_sentence(literal) && !PARTS.contains(&literal) && !is_sql(&name, literal);
        let wanted = literals.iter().filter(|literal| is_wanted(literal));
        without.extend(wanted.filter(|literal| !has_pair(literal)).map(|literal| format!("{name}: {literal:?}")));
    }
    assert!(without.is_empty(), "{} sentences have no pair:\n{}", without.len(), without.join("\n"));
}

#[test]
fn every_pair_is_sound() {
    let rooms: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(SENTENCES).unwrap();
    let names = |text: &str| -> Vec<String> {
        let mut names: Vec<_> = INSERTED.captures_iter(text).map(|name| name[1].to_owned()).collect();
        // The ending of a plural, which Chinese does not have.
        names.retain(|name| name != "s");
        names.sort();
        names
    };
    let half_width = Regex::new("[\u{4e00}-\u{9fff}][,;:?!]").unwrap();
    for (english, chinese) in rooms.into_values().flatten() {
        assert_eq!(names(&english), names(&chinese), "{english}");
        assert!(Pair::new(&english, chinese.clone()).is_some(), "{english}");
        assert!(!half_width.is_match(&chinese), "{chinese} has punctuation of another language");
    }
}

#[test]
fn whole_sentences_are_translated_with_what_they_contain() {
    for (english, chinese) in [
        (
            "cannot write failed.csv: No space left on device (os error 28); the ledger has them all the same",
            "无法写入 failed.csv：磁盘空间不足（os error 28）；账本中的记录完整",
        ),
        (
            "the service refused the job: 20001, it is wrong. Look the code up, then resume. The edit that was answered so \
             is line 17: MsgKey \"1_2_3\" from \"a\" to \"b\". The service accepted 12 before it in this run: if the \
             resumed run stops at this one again, take its line out of the list",
            "服务端拒绝了该任务：20001，it is wrong。请查明该错误码的含义，然后续跑。收到该应答的编辑在第 17 行：MsgKey \"1_2_3\"，\
             由 \"a\" 发给 \"b\"。此前服务端在本次运行中已接受 12 条：若续跑后仍停在这一条，请将该行移出清单",
        ),
        ("77777, which is not a known code", "77777，未收录的错误码"),
        ("root by runner ctl told it to stop", "root（通过 runner ctl）下令停止"),
        (
            "line 8 (2 rows): MsgKey holds a number below zero, as programs write numbers past 2147483647; the service's are \
             from 0 to 4294967295: \"-1_2_3\"",
            "第 8 行（同类共 2 行）：MsgKey 中有负数，程序处理大于 2147483647 的数时会写成这样；服务端的取值为 0 至 \
             4294967295：\"-1_2_3\"",
        ),
        (
            "line 2 (30 rows): From_Account ends in zeros in many rows, as numbers do whose last digits a spreadsheet \
             dropped: \"138000\"",
            "第 2 行（同类共 30 行）：许多行的 From_Account 以多个零结尾，像是末几位被电子表格丢掉的数字：\"138000\"",
        ),
        (
            "element 1 (TIMImageElem): ImageInfoArray 1 must be an object, not a string",
            "元素 1（TIMImageElem）：ImageInfoArray 1 必须是对象，而不是字符串",
        ),
        (
            "the job's [content] text is not a valid template: syntax error (in text:1)",
            "任务的 [content] text 不是有效的模板：syntax error (in text:1)",
        ),
        (
            "wants another content for the message of line 2 of \"a.csv\"; a message is edited once: keep one of the two",
            "与“a.csv”第 2 行针对同一条消息，但内容不同；每条消息只编辑一次：请只保留其一",
        ),
        (
            "line 1,017 of the list is not as it was when it was checked; leave the list alone while it is worked on, then \
             resume",
            "清单第 1,017 行与检查时不同；运行期间请勿改动清单，然后续跑",
        ),
        (
            "other jobs of app 14 at a:443 on this machine: a.db (process 7) at 80 a second, b.db (process 8) at 90 a \
             second; with 50 a second of this one that makes 220, and the app's cap is 200; say --rate 30, or wait until \
             there is more room",
            "本机还有应用 14（a:443）的其他任务：a.db（进程 7，每秒 80 次）、b.db（进程 8，每秒 90 次）；加上本任务的每秒 50 次，合计 \
             220 次，而该应用的上限为 200；请设置 --rate 30，或等有额度时再运行",
        ),
        (
            "a.db is the ledger of the job \"x\" of app 14 at a:443, but this job is app 14 at b:443; name that job's own \
             ledger, or a new one",
            "a.db 是应用 14（a:443）的任务 \"x\" 的账本，而当前任务是应用 14（b:443）；请指定该任务自己的账本，或一个新账本",
        ),
    ] {
        assert_eq!(in_chinese(english).unwrap_or_default(), chinese);
    }
}

/// As much room as in English is left for a column, since Chinese is the shorter of the two.
#[test]
fn lines_are_translated_piece_by_piece_and_columns_stay_aligned() {
    let plan = "\u{1b}[1mPlan for edits.csv\u{1b}[0m: app 14 at a:443\n  rows         4,000\n  to send      3,998   320,000 bytes \
                of new content\n  takes about 20 s\u{1b}[2m at 200 requests a second\u{1b}[0m\n";
    assert_eq!(
        lines_in_chinese(plan),
        "\u{1b}[1medits.csv 的计划\u{1b}[0m：应用 14，服务 a:443\n  行数         4,000\n  待发送       3,998   新内容共 320,000 \
         字节\n  约需 20 秒\u{1b}[2m（每秒 200 次请求）\u{1b}[0m\n"
    );
    assert_eq!(
        lines_in_chinese("34 %  1,398 of 4,000 done · 3 failed · 12 s left"),
        "34 %  已完成 1,398 / 4,000 · 失败 3 · 剩余 12 秒"
    );
    assert_eq!(lines_in_chinese("To resume: \u{1b}[1mrunner\u{1b}[0m"), "续跑命令：\u{1b}[1mrunner\u{1b}[0m");
    assert_eq!(
        lines_in_chinese("  9 requests to edit, 26.6 a second · \u{1b}[33mslowed down 3×\u{1b}[0m"),
        "  9 次编辑请求，每秒 26.6 次 · \u{1b}[33m降速 3 次\u{1b}[0m"
    );
}

#[test]
fn what_codes_and_notes_mean_is_translated() {
    for entry in error_code::all() {
        assert!(in_chinese(entry.meaning).is_some() && in_chinese(entry.advice).is_some(), "{:?}", entry.codes);
    }
    let words = "timed out,connection lost,http 404,http 502,not the service's answer,lost inside the service,process \
                 died,read back,read back: not edited,read back: not in the history,key without time,read back: \
                 alike,read back: recalled,read first: already there,read first: recalled,read first: \
                 not in the history,read-back refused,read-back failed";
    for word in words.split(',') {
        assert!(in_chinese(&Note::from_word(word).unwrap().meaning()).is_some(), "{word}");
    }
}

#[test]
fn what_is_no_sentence_of_the_program_is_left_alone() {
    for text in ["", "edits.csv", "7", "a: b"] {
        assert_eq!(in_chinese(text), None, "{text:?}");
    }
}

/// A sentence may come with what it is about in front of it, or with a label.
fn has_pair(literal: &str) -> bool {
    let styles = Regex::new(r"\{(TITLE|REMARK|DOUBT|FAILED|DONE|COMMAND|style)(:#)?\}|\n *|  +| · ").unwrap();
    styles.split(literal).filter(|piece| is_sentence(piece)).all(|piece| is_paired(piece.trim()))
}

fn is_paired(piece: &str) -> bool {
    let sentence = filled(piece);
    let sentence = ["error: ", "warning: "].iter().find_map(|label| sentence.strip_prefix(label)).unwrap_or(&sentence);
    in_chinese(sentence).is_some() || in_chinese(&format!("7 {sentence}")).is_some()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
        .into_iter()
        .flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .collect()
}

/// The string literals of some code, without attributes other than `#[error]`, and without tests.
fn collect(source: TokenStream, literals: &mut Vec<String>) {
    let tokens: Vec<TokenTree> = source.into_iter().collect();
    let is = |token: Option<&TokenTree>, text: &str| token.is_some_and(|token| token.to_string() == text);
    let (mut at, mut is_test) = (0, false);
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Literal(literal) => {
                literals.extend(syn::parse_str::<syn::LitStr>(&literal.to_string()).map(|text| text.value()));
            }
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                at += usize::from(is(tokens.get(at), "!"));
                if let Some(TokenTree::Group(attribute)) = tokens.get(at) {
                    let text = attribute.stream().to_string();
                    is_test |= text.starts_with("cfg (test)") || text.starts_with("cfg(test)");
                    if text.starts_with("error") {
                        collect(attribute.stream(), literals);
                    }
                    at += 1;
                }
            }
            TokenTree::Ident(name) if is(tokens.get(at), "!") && MACROS.iter().any(|other| name == other) => at += 2,
            TokenTree::Ident(name) if name == "expect" => at += 1,
            TokenTree::Group(group) if is_test && group.delimiter() == Delimiter::Brace => is_test = false,
            TokenTree::Group(group) => collect(group.stream(), literals),
            TokenTree::Punct(mark) if mark.as_char() == ';' => is_test = false,
            TokenTree::Ident(_) | TokenTree::Punct(_) => {}
        }
    }
}

/// Statements stand between the messages there. They begin with a keyword, or with the name that a part of one has.
fn is_sql(file: &str, literal: &str) -> bool {
    let first = literal.split_whitespace().next().unwrap_or_default();
    let is_keyword =
        first.len() > 1 && first.trim_end_matches([',', ';', '(']).bytes().all(|byte| byte.is_ascii_uppercase());
    file.starts_with("src/ledger/postgres") && (is_keyword || literal.contains("(SELECT "))
}

/// Whether it has two words beside each other.
fn is_sentence(literal: &str) -> bool {
    let words = filled(literal);
    let words: Vec<&str> = words.split(' ').collect();
    let is_word = |word: &str| {
        word.len() > 1 && word.trim_end_matches([',', '.', ':', ';']).bytes().all(|byte| byte.is_ascii_alphabetic())
    };
    words.windows(2).any(|pair| pair.iter().all(|word| is_word(word)))
}

/// The literal of a format string with something inserted everywhere.
fn filled(literal: &str) -> String {
    let mut filled = String::new();
    let mut rest = literal;
    while let Some(at) = rest.find(['{', '}']) {
        filled += &rest[..at];
        let brace = &rest[at..=at];
        if rest[at + 1..].starts_with(brace) {
            filled += brace;
            rest = &rest[at + 2..];
        } else {
            // The ending of a plural is left out.
            if !filled.ends_with(|c: char| c.is_ascii_alphabetic()) {
                filled.push('7');
            }
            rest = rest[at..].split_once('}').map_or("", |(_, rest)| rest);
        }
    }
    filled + rest
}
