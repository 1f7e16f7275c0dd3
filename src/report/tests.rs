//! Reports of ledgers that are written down here, with fixed times and names.

use std::path::PathBuf;
use std::time::Duration;

use anstream::adapter::strip_str;
use insta::assert_snapshot;
use jiff::tz::TimeZone;
use proptest::prelude::*;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use super::facts::{LedgerFacts, NotReachedList, Report};
use super::page::page;
use super::resume::Pasted;
use super::{lists, machine, text};
use crate::edit::MessageId;
use crate::evidence::Checkpoint;
use crate::input::{ContentSpec, Format, Input, InputSpec, Mapping, Row};
use crate::ledger::{JobIdentity, LostCommits, Totals, Worker, open_overview, open_store};
use crate::report::format::{FORMAT, RunState, RunStatus, ThisRun};
use crate::run::Tally;
use crate::words::{Lang, Words};

/// 2025-11-25 14:00:01 UTC.
const BEGIN: i64 = 1_764_079_201_000;
const MINUTE: i64 = 60_000;

/// A ledger, made by the program and then filled by hand.
struct Filled {
    connection: Connection,
    path: PathBuf,
    _dir: TempDir,
}

impl Filled {
    fn new() -> Filled {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        let job = JobIdentity {
            sdkappid: 1_400_000_000,
            service: "adminapisgp.im.qcloud.com:443".into(),
            other_host: None,
            name: None,
        };
        drop(open_store(&path.as_path().into(), &job, LostCommits::Refused).unwrap());
        Filled { connection: Connection::open(&path).unwrap(), path, _dir: dir }
    }

    fn sql(&self, sql: &str) {
        self.connection.execute_batch(sql).unwrap();
    }

    /// A run of this list with so many new edits.
    fn run(&self, run: i64, started: i64, ended: Option<(&str, i64)>, new_edits: u64) {
        let before = "(SELECT coalesce(max(seq), 0) FROM edit)";
        let insert = format!(
            "INSERT INTO run (run, started_at, ended_at, ended, reason, version, user, host, pid, input, input_sha256,
                 input_rows, rate, duplicates, planned, new_edits, seq_before, command, directory)
             VALUES (?1, ?2, ?3, ?4, NULL, '0.1.0', 'li.wei', 'ops-3', 4711, 'edits.csv', ?5, ?6, 200, 0, ?6, ?6, {before},
                 'runner --input edits.csv --resume ledger.db', '/srv/redact')"
        );
        let (how, when) = ended.unzip();
        let new_edits = i64::try_from(new_edits).unwrap();
        self.connection.execute(&insert, params![run, started, when, how, "ab".repeat(32), new_edits]).unwrap();
    }

    /// An edit whose last attempt, in `run`, came to this.
    fn edit(&self, run: i64, id: [&str; 3], state: &str, code: Option<i64>, note: Option<&str>) {
        let [from_account, to_account, msg_key] = id.map(str::to_owned);
        let message = MessageId { from_account, to_account, msg_key }.digest();
        let insert = "INSERT INTO edit (from_account, to_account, msg_key, message, content, line, run, state, attempts, sent_at)
                      VALUES (?1, ?2, ?3, ?4, zeroblob(16), 2, ?5, 'sending', 1, ?6)";
        self.connection.execute(insert, params![id[0], id[1], id[2], message.0, run, BEGIN]).unwrap();
        if state != "sending" {
            let update = "UPDATE edit SET state = ?1, code = ?2, note = ?3 WHERE message = ?4";
            self.connection.execute(update, params![state, code, note, message.0]).unwrap();
        }
    }

    fn edits(&self, run: i64, name: &str, number: u32, state: &str, code: Option<i64>, note: Option<&str>) {
        self.sql("BEGIN");
        for number in 1..=number {
            let name = format!("{name}_{number}");
            self.edit(run, [&name, "user_0", &format!("{number}_7_1773188576")], state, code, note);
        }
        self.sql("COMMIT");
    }

    fn report(&self) -> Report {
        let overview = open_overview(&self.path.as_path().into()).unwrap();
        let mut report = Report::read(&*overview, Some(true), BEGIN + 40 * MINUTE, Pasted::Anywhere).unwrap();
        // It is another one each time.
        report.ledger_sha256 = Some("cd".repeat(32));
        report.facts.log = Some(Checkpoint { origin: "runner/0123456789abcdef".into(), size: 1_016, root: [7; 32] });
        report
    }
}

/// A night that went as nights go: stopped by a person, cut off, slowed down, resumed to the end but for a few.
fn rough_night() -> Filled {
    let ledger = Filled::new();
    ledger.run(1, BEGIN, Some(("died", BEGIN + 30 * MINUTE)), 1_000);
    ledger.edits(1, "user", 400, "done", Some(0), None);
    ledger.edits(1, "gone", 3, "failed", Some(20026), None);
    ledger.run(2, BEGIN + 30 * MINUTE, Some(("interrupted", BEGIN + 33 * MINUTE)), 597);
    ledger.edits(2, "more", 500, "done", Some(0), None);
    ledger.edits(2, "lost", 2, "in_doubt", None, Some("timed out"));
    ledger.edits(2, "late", 1, "waiting", Some(20004), None);
    for (run, from, seconds) in [(1, BEGIN, 3), (2, BEGIN + 30 * MINUTE, 4)] {
        for second in 0..=seconds {
            ledger.sql(&format!(
                "INSERT INTO sample VALUES ({run}, {}, 200, {}, 0, 0, {}, 0, {run})",
                from + second * 5_000,
                second * 990,
                second * 995
            ));
        }
    }
    ledger.sql(&format!(
        "INSERT INTO act VALUES (2, {}, 'pause', NULL, 'li.wei by runner ctl'), (2, {}, 'resume', NULL, 'li.wei by runner ctl'),
             (2, {}, 'rate', 100, '127.0.0.1 on the page');
         INSERT INTO answer VALUES (1, 20004, '', 12), (1, 20026, '', 3), (2, 0, 'timed out', 2), (2, 60007, '', 2);
         INSERT INTO latency VALUES (1, 50, 300), (2, 100, 600), (2, 500, 8);",
        BEGIN + 31 * MINUTE,
        BEGIN + 32 * MINUTE,
        BEGIN + 32 * MINUTE + 9_000
    ));
    ledger
}

fn words(lang: Lang) -> Words {
    Words::at(lang, TimeZone::fixed(jiff::tz::offset(8)))
}

#[test]
fn the_status_of_a_rough_night() {
    let report = rough_night().report();
    let status = text::status(&report.facts, report.resume.as_ref(), &words(Lang::En));
    assert_snapshot!(strip_str(&status).to_string(), @"
    ledger.db: app 1400000000 at adminapisgp.im.qcloud.com:443
    Of 1,000 edits, 3 failed, 2 are in doubt, and 95 are not reached yet.
    Failed: the messages are as before. Fix their rows in the list of failed rows
    beside the ledger (after a run that was cut off: in failed.csv of runner report
    --csv), and run that list with --retry-failed.
    In doubt: the answer was lost, so the message may or may not have been edited.
    The next run reads it back; check on a phone what that cannot settle.
    Not reached: the same command continues with what is left.

      messages     1,000
      done           900   90.0 %
      failed           3    0.3 %
      in doubt         2    0.2 %
      in flight        0
      not reached     95    9.5 %
      The ledger holds more than the last run's list, which has 597 messages.

    Answers other than success
           12  20004, a network fault inside the service
            3  20026, there is no such message
            2  no answer came in time; the edit may or may not have taken place
            2  60007, this API was called more often than its limit allows

    Runs
       1  2025-11-25 22:00:01  15 s          cut off
          li.wei@ops-3 · edits.csv · 400 done · 3 failed
       2  2025-11-25 22:30:01  3 min 0 s     interrupted
          li.wei@ops-3 · edits.csv · 500 done · 2 in doubt

    Pauses, rate changes and stops
       2  2025-11-25 22:31:01  pause     li.wei by runner ctl
       2  2025-11-25 22:32:01  resume    li.wei by runner ctl
       2  2025-11-25 22:32:10  rate 100  127.0.0.1 on the page

    Log of events
      1,016 events, head BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=

    To resume: (cd /srv/redact && runner --input edits.csv --resume ledger.db)
      It needs these variables, as before: TIM_SDKAPPID, TIM_IDENTIFIER,
      TIM_SECRET_KEY / TIM_SECRET_KEY_FILE / TIM_USERSIG, TIM_REGION / TIM_ENDPOINT.
    ");
}

#[test]
fn what_a_run_says_of_itself_is_newer_than_its_last_sample() {
    let ledger = rough_night();
    ledger.sql("UPDATE run SET ended = NULL, ended_at = NULL WHERE run = 2");
    let mut report = ledger.report();
    let tally = Tally { attempts: 5_000, read_backs: 4, slow_downs: 9, ..Tally::default() };
    let live = RunStatus {
        format: FORMAT,
        state: RunState::Running,
        hold: None,
        pid: 4_711,
        totals: report.facts.totals,
        this_run: ThisRun::new(1_000, &tally, Duration::from_mins(1)),
        edits_a_second: 44.6,
        rate: 50,
        cap: 200,
        seconds_left: Some(90),
        shared: None,
    };
    report.facts.worker = Some(Worker::new("process 4711"));
    report.facts.follow(Some(live));
    let run = report.facts.runs.last().unwrap().last.as_ref().unwrap();
    assert_eq!((run.requests, run.read_backs, run.slow_downs), (5_000, 4, 9));
    let shown = |lang| {
        let text = strip_str(&text::status(&report.facts, None, &words(lang))).to_string();
        let from = text.lines().skip_while(|line| !line.starts_with("  s") && !line.starts_with("  状态"));
        from.take(5).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(format!("{}\n{}", shown(Lang::En), shown(Lang::Zh)), @"
      state       running
      speed       44.6 edits a second; the rate is 50
      time left   about 1 min 30 s, until 22:41:31
      who, host   process 4711 works on it since 2025-11-25 22:30:01
      slow-downs  9
      状态          运行中
      速度          每秒 44.6 条编辑，限速 50
      剩余时间      约 1 分 30 秒，预计 22:41:31 结束
      操作人与主机  进程 4711 自 2025-11-25 22:30:01 起运行
      降速次数      9
    ");
}

#[test]
fn the_report_of_an_interrupted_run_in_chinese() {
    let ledger = Filled::new();
    ledger.run(1, BEGIN, Some(("interrupted", BEGIN + 33 * MINUTE)), 1_000);
    ledger.edits(1, "user", 400, "done", Some(0), None);
    ledger.sql(&format!("INSERT INTO act VALUES (1, {}, 'rate', 100, 'li.wei by runner ctl')", BEGIN + MINUTE));
    ledger.sql("INSERT INTO latency VALUES (1, 50, 400)");
    let report = text::report(&ledger.report(), &words(Lang::Zh));
    let report = strip_str(&report).to_string().replace(crate::VERSION, "VERSION");
    assert_snapshot!(report, @"
    ledger.db：应用 1400000000，服务 adminapisgp.im.qcloud.com:443
    1,000 条编辑中还有 600 条未处理。
    未处理：用同一条命令即可续跑。

      消息    1,000
      已完成    400   40.0 %
      失败        0
      待核实      0
      发送中      0
      未处理    600   60.0 %

    应答耗时
      共 400 次应答：半数不超过 50 ms，95 % 不超过 50 ms，99 % 不超过 50 ms。

    运行记录
       1  2025-11-25 22:00:01  33 分 0 秒    被中断
          li.wei@ops-3 · edits.csv · 已完成 400 条

    人工干预
       1  2025-11-25 22:01:01  限速调为 100  li.wei（通过 runner ctl）

    关于本报告
      账本 ledger.db
        SHA-256 cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd
      事件日志
        1,016 个事件，日志头 BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=
        已验证：账本的全部内容都可由日志得出；未与外部日志头比对。
      清单 edits.csv
        SHA-256 abababababababababababababababababababababababababababababababab
      生成时间 2025-11-25 22:40:01，UTC+08:00，runner VERSION

    续跑命令：(cd /srv/redact && runner --input edits.csv --resume ledger.db)
      与上次一样，还需要设置这些环境变量：TIM_SDKAPPID、TIM_IDENTIFIER、
      TIM_SECRET_KEY / TIM_SECRET_KEY_FILE / TIM_USERSIG、TIM_REGION /
      TIM_ENDPOINT。
    ");
}

/// A command is not broken, and neither are ids: they are copied.
#[test]
fn texts_fit_eighty_columns() {
    let report = rough_night().report();
    for lang in [Lang::En, Lang::Zh] {
        let text = text::report(&report, &words(lang));
        for line in strip_str(&text).to_string().lines().filter(|line| !line.contains("runner --input")) {
            let columns = unicode_width::UnicodeWidthStr::width(line);
            assert!(columns <= 80, "{columns}: {line}");
        }
    }
}

#[test]
fn the_verdict_says_what_matters_most() {
    let check = |fill: &dyn Fn(&Filled), headline: &str, goes_on: bool| {
        let ledger = Filled::new();
        fill(&ledger);
        let report = ledger.report();
        assert_eq!(machine::report(&report).status.headline, headline);
        assert_eq!(report.resume.is_some(), goes_on, "{headline}");
    };
    let finished = Some(("finished", BEGIN + MINUTE));
    check(&|_| {}, "Nothing has been sent yet.", false);
    check(&|ledger| ledger.run(1, BEGIN, finished, 0), "Nothing has been sent yet.", false);
    check(
        &|ledger| {
            ledger.run(1, BEGIN, finished, 1);
            ledger.edits(1, "a", 1, "done", Some(0), None);
        },
        "The one edit is done.",
        false,
    );
    check(
        &|ledger| {
            ledger.run(1, BEGIN, finished, 5);
            ledger.edits(1, "a", 3, "done", Some(0), None);
            ledger.edits(1, "b", 2, "failed", Some(20026), None);
        },
        "2 edits of 5 failed.",
        false,
    );
    // A process that died leaves in doubt what it was sending.
    check(
        &|ledger| {
            ledger.run(1, BEGIN, None, 5);
            ledger.edits(1, "a", 3, "done", Some(0), None);
            ledger.edits(1, "b", 1, "sending", None, None);
        },
        "Of 5 edits, 1 is in doubt and 1 is not reached yet.",
        true,
    );
    check(
        &|ledger| {
            ledger.run(1, BEGIN, Some(("interrupted", BEGIN + MINUTE)), 5);
            ledger.edits(1, "a", 3, "done", Some(0), None);
        },
        "2 edits of 5 are not reached yet.",
        true,
    );
}

#[test]
fn what_a_stranger_wrote_is_harmless_on_the_page() {
    let ledger = Filled::new();
    ledger.run(1, BEGIN, Some(("stopped", BEGIN + MINUTE)), 2);
    ledger.edit(1, ["<script>alert(1)</script>", "\u{202e}evil", "\"onload=\u{1b}[2J&"], "failed", Some(80_001), None);
    ledger.sql(
        "UPDATE run SET reason = '</p><img src=x>', host = '<b>', input = '<i>.csv', command = 'a </code><script>'",
    );
    let report = ledger.report();
    for lang in [Lang::En, Lang::Zh] {
        let page = page(&report, &words(lang)).into_string();
        for harm in ["<script", "<img", "<i>", "\u{202e}", "\u{1b}", "http-equiv=\"refresh", "src=", "@import", "url("]
        {
            let found = page.find(harm);
            // The one stranger's `src=` that there is stands within an escaped tag.
            let is_escaped = |at: usize| page[..at].ends_with("&lt;img ");
            assert!(found.is_none_or(is_escaped), "{harm:?} in {lang:?}: {:?}", &page[found.unwrap()..][..80]);
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && page.contains("\\u{202e}evil"));
    }
}

#[test]
fn the_page_tells_its_language_and_shows_the_first_rows_only() {
    let ledger = Filled::new();
    ledger.run(1, BEGIN, Some(("finished", BEGIN + MINUTE)), 150);
    ledger.edits(1, "a", 150, "failed", Some(20026), None);
    let report = ledger.report();
    let (english, chinese) = (page(&report, &words(Lang::En)), page(&report, &words(Lang::Zh)));
    let (english, chinese) = (english.into_string(), chinese.into_string());
    assert!(english.contains("<html lang=\"en\">") && chinese.contains("<html lang=\"zh-CN\">"));
    assert!(english.contains("and 50 more, see failed.csv") && chinese.contains("另有 50 条，见 failed.csv"));
    assert_eq!(english.matches("user_0").count(), 100);
}

/// With a job file that gives the content, the lists are lists again; so the columns' names are the list's own.
#[test]
fn lists_hold_ids_as_text() {
    let ledger = Filled::new();
    ledger.run(1, BEGIN, None, 3);
    ledger.edit(1, ["=1+1", "a,\"b\"", "line\nbreak"], "failed", Some(20026), None);
    ledger.edit(1, ["@x", "y", "z"], "sending", None, None);
    let overview = open_overview(&ledger.path.as_path().into()).unwrap();
    let mut out = Vec::new();
    assert_eq!(lists::failed(&*overview, &words(Lang::En), &mut out).unwrap(), 1);
    assert_snapshot!(String::from_utf8(out).unwrap(), @r#"
    from_account,to_account,msg_key,_state,_code,_meaning,_attempts,_line,_sent_at,_apostrophes
    '=1+1,"a,""b""","line
    break",failed,20026,there is no such message,1,2,2025-11-25T14:00:01.000Z,1
    "#);
    let mut out = Vec::new();
    assert_eq!(lists::in_doubt(&*overview, &words(Lang::En), &mut out).unwrap(), 1);
    let mut rows = csv::Reader::from_reader(&out[..]);
    let row = rows.records().next().unwrap().unwrap();
    assert_eq!((&row[0], &row[3], &row[4], &row[9]), ("'@x", "in_doubt", "", "1"));
}

#[test]
fn a_summary_says_what_is_left_out() {
    let mut report = rough_night().report();
    assert!(machine::report(&report).left_out.is_empty());
    report.not_reached = NotReachedList::LeftOut("it moved".into());
    assert_eq!(machine::report(&report).left_out[0].why, "it moved");
}

fn sum(edits: &[Totals]) -> Totals {
    edits.iter().fold(Totals::default(), |sum, edits| Totals {
        messages: sum.messages + edits.messages,
        done: sum.done + edits.done,
        failed: sum.failed + edits.failed,
        in_doubt: sum.in_doubt + edits.in_doubt,
        in_flight: sum.in_flight + edits.in_flight,
        not_reached: sum.not_reached + edits.not_reached,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ids_of_a_list_are_read_as_in_any_other(
        ids in proptest::collection::vec(proptest::array::uniform3("['=+@\t\r-]{0,3}[a'=+@-]{0,4}"), 1..12),
    ) {
        let ledger = Filled::new();
        ledger.run(1, BEGIN, None, ids.len() as u64);
        let mut plain = csv::Writer::from_writer(Vec::new());
        plain.write_record(["from_account", "to_account", "msg_key"]).unwrap();
        for (number, [from, to, key]) in ids.iter().enumerate() {
            let key = format!("{key}{number}");
            ledger.edit(1, [from, to, &key], "failed", Some(20026), None);
            plain.write_record([from, to, &key]).unwrap();
        }
        let overview = open_overview(&ledger.path.as_path().into()).unwrap();
        let mut failed = Vec::new();
        lists::failed(&*overview, &words(Lang::Zh), &mut failed).unwrap();
        let content = ContentSpec { text: Some("x".into()), ..ContentSpec::default() };
        let mapping = Mapping::new(&InputSpec { null: Some(Vec::new()), ..InputSpec::default() }, &content).unwrap();
        let found = |text: &[u8]| -> Vec<_> {
            let input = Input::from_reader("list", text, Format::Csv).unwrap();
            let said = |row: Row| row.edit.map(|edit| edit.id().clone()).map_err(|problems| {
                problems.into_iter().map(|problem| (problem.column, problem.what)).collect::<Vec<_>>()
            });
            input.rows(&mapping).unwrap().map(|row| said(row.unwrap())).collect()
        };
        prop_assert_eq!(found(&failed), found(&plain.into_inner().unwrap()));
    }

    #[test]
    fn whatever_happened_the_numbers_add_up(
        edits in proptest::collection::vec((1_i64..4, 0_usize..6), 0..60),
        left in 0_u64..50,
    ) {
        let ledger = Filled::new();
        for run in 1..4 {
            ledger.run(run, BEGIN + run * MINUTE, Some(("interrupted", BEGIN + run * MINUTE)), edits.len() as u64 + left);
        }
        let ends = [("done", Some(0), None), ("done", None, Some("read back")), ("failed", Some(20026), None),
            ("in_doubt", None, Some("timed out")), ("waiting", Some(20004), None), ("sending", None, None)];
        ledger.sql("BEGIN");
        for (number, (run, end)) in edits.iter().enumerate() {
            let (state, code, note) = ends[*end];
            ledger.edit(*run, [&number.to_string(), "b", "c"], state, code, note);
        }
        ledger.sql("COMMIT");
        let facts: LedgerFacts = ledger.report().facts;
        let Totals { messages, done, failed, in_doubt, in_flight, not_reached } = facts.totals;
        prop_assert_eq!(messages, edits.len() as u64 + left);
        prop_assert_eq!(messages, done + failed + in_doubt + in_flight + not_reached);
        let by_cause: Vec<Totals> = facts.by_cause().iter().map(|line| line.edits).collect();
        prop_assert_eq!(sum(&by_cause), facts.totals);
        let by_run: Vec<Totals> = facts.runs.iter().map(|run| run.edits).collect();
        let by_run = sum(&by_run);
        prop_assert_eq!((by_run.done, by_run.failed, by_run.in_doubt), (done, failed, in_doubt));
    }
}
