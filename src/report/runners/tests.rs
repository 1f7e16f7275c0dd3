//! A shared job that is written down here, as people see it.

use std::ops::ControlFlow;

use anstream::adapter::strip_str;
use insta::assert_snapshot;
use jiff::tz::TimeZone;

use super::*;
use crate::edit::IdDigest;
use crate::ledger::{
    AuditRecord, Cause, Ciphertext, ControlEvent, EditRecord, JobIdentity, Latency, LedgerAddress, LedgerError, Look,
    Outcomes, Overview, Progress, RunRecord, Sample, State, Worker,
};
use crate::report::facts::{LedgerFacts, Report};
use crate::report::format::RunState;
use crate::report::page::page;
use crate::report::resume::Pasted;
use crate::report::{machine, text};

/// 2025-11-25 14:00:01 UTC.
const BEGIN: i64 = 1_764_079_201_000;
const MINUTE: i64 = 60_000;

/// A job of 4,000 messages, with its runners.
struct Job {
    address: LedgerAddress,
    shared: SharedJob,
    worker: Option<Worker>,
    done: u64,
    sending: u64,
    /// How each run ended.
    ended: Vec<Option<&'static str>>,
}

fn runner(run: i64, host: &str, state: RunnerState, share: u32, speed: f64) -> Runner {
    let progress = Progress { done: 600 * run.unsigned_abs(), speed, ..Progress::default() };
    Runner {
        run,
        host: host.to_owned(),
        pid: 4_710 + u32::try_from(run).unwrap(),
        user: "li.wei".to_owned(),
        state,
        share,
        rate: 200,
        beat: 7,
        renewed: Duration::from_millis(400),
        progress,
    }
}

impl Job {
    fn new(runners: Vec<Runner>) -> Job {
        let live = runners.iter().filter(|runner| runner.is_live()).count();
        Job {
            address: LedgerAddress::parse("postgres://li.wei@db.example.com/ops?job=march".as_ref()).unwrap(),
            worker: (live > 0).then(|| Worker::new(format!("{live} runners"))),
            ended: vec![None; runners.len()],
            shared: SharedJob {
                first_run: runners.first().map(|runner| runner.run),
                cap: 200 * u32::from(live > 0),
                shares: runners.iter().map(|runner| runner.share).sum(),
                runners,
                ..SharedJob::default()
            },
            done: 1_800,
            sending: 20,
        }
    }

    fn facts(&self) -> LedgerFacts {
        LedgerFacts::read(self, BEGIN + 5 * MINUTE).unwrap()
    }

    fn status(&self, lang: Lang) -> String {
        let facts = self.facts();
        let resume = facts.resume(Pasted::Anywhere);
        let text = text::status(&facts, resume.as_ref(), &Words::at(lang, TimeZone::UTC));
        strip_str(&text).to_string()
    }
}

impl Overview for Job {
    fn address(&self) -> &LedgerAddress {
        &self.address
    }

    fn worker(&self) -> Option<&Worker> {
        self.worker.as_ref()
    }

    fn has_begun_to_move(&self) -> bool {
        false
    }

    fn may_lack_commits(&self) -> bool {
        false
    }

    fn is_at_rest(&self) -> bool {
        false
    }

    fn shared(&self) -> Result<Option<SharedJob>, LedgerError> {
        Ok(Some(self.shared.clone()))
    }

    fn job(&self) -> Result<JobIdentity, LedgerError> {
        let service = "adminapisgp.im.qcloud.com:443".to_owned();
        Ok(JobIdentity { sdkappid: 1_400_000_000, service, other_host: None, name: None })
    }

    fn outcomes(&self) -> Result<Vec<Outcomes>, LedgerError> {
        let success = Some(Cause::Code(0));
        Ok(vec![
            Outcomes { state: State::Done, cause: success, run: 1, edits: self.done },
            Outcomes { state: State::Sending, cause: None, run: 2, edits: self.sending },
        ])
    }

    fn ciphertexts(&self) -> Result<Vec<Ciphertext>, LedgerError> {
        Ok(Vec::new())
    }

    fn runs(&self) -> Result<Vec<RunRecord>, LedgerError> {
        let run = |(runner, ended): (&Runner, Option<&str>)| RunRecord {
            run: runner.run,
            started_at: BEGIN + (runner.run - 1) * MINUTE,
            ended_at: ended.map(|_| BEGIN + 4 * MINUTE + runner.run),
            ended: ended.map(str::to_owned),
            reason: None,
            version: "0.2.0".to_owned(),
            user: runner.user.clone(),
            host: runner.host.clone(),
            pid: runner.pid,
            input: "edits.csv".to_owned(),
            input_sha256: "ab".repeat(32),
            input_rows: 4_000,
            lists: Vec::new(),
            rate: runner.rate,
            duplicates: Some(0),
            planned: Some(4_000),
            identifier: None,
            job_sha256: None,
            proxy: None,
            command: Some(
                "runner --input edits.csv --resume 'postgres://li.wei@db.example.com/ops?job=march'".to_owned(),
            ),
            directory: Some("/srv/redact".to_owned()),
            // A later one found fewer new messages, and does not count.
            new_edits: Some((4_000 / runner.run.unsigned_abs(), 0)),
        };
        Ok(self.shared.runners.iter().zip(self.ended.iter().copied()).map(run).collect())
    }

    fn edits_after(&self, _seq: i64) -> Result<u64, LedgerError> {
        Ok(self.done + self.sending)
    }

    fn samples(&self, _run: i64) -> Result<Vec<Sample>, LedgerError> {
        Ok(Vec::new())
    }

    fn answers(&self, _run: Option<i64>) -> Result<Vec<(Cause, u64)>, LedgerError> {
        Ok(Vec::new())
    }

    fn latency(&self, _run: Option<i64>) -> Result<Latency, LedgerError> {
        Ok(Latency::default())
    }

    fn acts(&self) -> Result<Vec<(i64, i64, ControlEvent)>, LedgerError> {
        Ok(Vec::new())
    }

    fn audits(&self) -> Result<Vec<AuditRecord>, LedgerError> {
        Ok(Vec::new())
    }

    fn visit_looks(&self, _: i64, _: &mut dyn FnMut(Look)) -> Result<(), LedgerError> {
        Ok(())
    }

    fn visit_edits(
        &self,
        _state: State,
        _at_most: Option<u32>,
        _visit: &mut dyn FnMut(EditRecord) -> ControlFlow<()>,
    ) -> Result<(), LedgerError> {
        Ok(())
    }

    fn edit(&self, _message: IdDigest) -> Result<Option<EditRecord>, LedgerError> {
        Ok(None)
    }
}

/// One of each kind, under a cap that one of them brought.
fn of_each_kind() -> Job {
    let held = Progress { held: true, failed: 3, in_doubt: 1, slow_downs: 2, ..Progress::default() };
    let mut job = Job::new(vec![
        runner(1, "ops-1", RunnerState::Live, 25, 24.6),
        Runner { progress: held, rate: 50, ..runner(2, "ops-2", RunnerState::Live, 20, 0.0) },
        Runner { renewed: Duration::from_secs(12), ..runner(3, "ops-3.example.com", RunnerState::Silent, 5, 7.0) },
        Runner { renewed: Duration::from_secs(130), ..runner(4, "ops-4", RunnerState::Lost, 0, 9.0) },
        runner(5, "ops-5", RunnerState::Ended, 0, 9.0),
    ]);
    job.ended = vec![None, None, None, Some("died"), Some("interrupted")];
    job.shared.cap = 50;
    job.shared.cap_is_of = Some(CapOwner::Run { run: 2, host: "ops-2".to_owned(), job: None });
    job.shared.other_runs = 1;
    job
}

#[test]
fn a_status_shows_the_job_as_a_whole_and_each_runner() {
    let (english, chinese) = (of_each_kind().status(Lang::En), of_each_kind().status(Lang::Zh));
    assert_snapshot!(english, @"
    march: app 1400000000 at adminapisgp.im.qcloud.com:443
    A run is in progress: 1,800 of 4,000 edits done so far.

      messages     4,000
      done         1,800   45.0 %
      failed           0
      in doubt         0
      in flight       20    0.5 %
      not reached  2,180   54.5 %

      state       running
      speed       24.6 edits a second; the rate is 50
      time left   about 1 min 30 s, until 14:06:31
      runners     3, since 2025-11-25 14:00:01
      cap         50/s: --rate of run 2 (host ops-2)
      app         of all jobs of this app: 50 of 50/s given out, 1 run of another
                  job among them
      slow-downs  2

    Runners
       1  at work  share 25/s (--rate 200), 24.6 edits/s, renewed 0.4 s ago
          li.wei@ops-1, process 4711 · 600 done
       2  held     share 20/s (--rate 50), 0.0 edits/s, renewed 0.4 s ago
          li.wei@ops-2, process 4712 · 3 failed · 1 in doubt
       3  silent   share 5/s (--rate 200), renewed 12 s ago
          li.wei@ops-3.example.com, process 4713 · 1,800 done
       4  lost     renewed 2 min 10 s ago
          li.wei@ops-4, process 4714 · 2,400 done
       5  ended
          li.wei@ops-5, process 4715 · 3,000 done

    Runs
       1  2025-11-25 14:00:01  5 min 0 s     in progress
          li.wei@ops-1 · edits.csv · 1,800 done
       2  2025-11-25 14:01:01  4 min 0 s     in progress
          li.wei@ops-2 · edits.csv
       3  2025-11-25 14:02:01  3 min 0 s     in progress
          li.wei@ops-3.example.com · edits.csv
       4  2025-11-25 14:03:01                cut off
          li.wei@ops-4 · edits.csv
       5  2025-11-25 14:04:01  0.0 s         interrupted
          li.wei@ops-5 · edits.csv
    ");
    assert_snapshot!(chinese, @"
    march：应用 1400000000，服务 adminapisgp.im.qcloud.com:443
    正在运行：4,000 条编辑中已完成 1,800 条。

      消息    4,000
      已完成  1,800   45.0 %
      失败        0
      待核实      0
      发送中     20    0.5 %
      未处理  2,180   54.5 %

      状态      运行中
      速度      每秒 24.6 条编辑，限速 50
      剩余时间  约 1 分 30 秒，预计 14:06:31 结束
      进程      3 个，自 2025-11-25 14:00:01 起
      限速      每秒 50：运行 2（主机 ops-2）的 --rate
      应用      该应用的全部任务：每秒 50 中已分配 50，其中有其他任务的 1 次运行
      降速次数  2

    进程
       1  工作中    份额每秒 25（--rate 200），每秒 24.6 条编辑，0.4 秒前续约
          li.wei@ops-1，进程 4711 · 已完成 600 条
       2  暂缓发送  份额每秒 20（--rate 50），每秒 0.0 条编辑，0.4 秒前续约
          li.wei@ops-2，进程 4712 · 失败 3 条 · 待核实 1 条
       3  无响应    份额每秒 5（--rate 200），12 秒前续约
          li.wei@ops-3.example.com，进程 4713 · 已完成 1,800 条
       4  失联      2 分 10 秒前续约
          li.wei@ops-4，进程 4714 · 已完成 2,400 条
       5  已结束
          li.wei@ops-5，进程 4715 · 已完成 3,000 条

    运行记录
       1  2025-11-25 14:00:01  5 分 0 秒     进行中
          li.wei@ops-1 · edits.csv · 已完成 1,800 条
       2  2025-11-25 14:01:01  4 分 0 秒     进行中
          li.wei@ops-2 · edits.csv
       3  2025-11-25 14:02:01  3 分 0 秒     进行中
          li.wei@ops-3.example.com · edits.csv
       4  2025-11-25 14:03:01                异常终止
          li.wei@ops-4 · edits.csv
       5  2025-11-25 14:04:01  0.0 秒        被中断
          li.wei@ops-5 · edits.csv
    ");
    for line in english.lines().chain(chinese.lines()) {
        assert!(unicode_width::UnicodeWidthStr::width(line) <= 80, "{line}");
    }
}

#[test]
fn a_job_that_was_told_something_says_so() {
    let mut job = Job::new(vec![runner(1, "ops-1", RunnerState::Live, 40, 0.0)]);
    job.shared.cap = 40;
    job.shared.rate = 40.try_into().ok();
    let by = "li.wei@ops-9 by runner ctl".to_owned();
    job.shared.cap_is_of = Some(CapOwner::Operator { by: by.clone(), job: Some("april".to_owned()) });
    job.shared.paused = true;
    assert_eq!((job.facts().state(), job.facts().time_left()), (RunState::Paused, None));
    job.shared.stop = Some(by);
    assert_eq!(job.facts().state(), RunState::Stopping);
    let shown = |lang| {
        let lines = Words::at(lang, TimeZone::UTC).shared_lines(&job.shared);
        lines.iter().map(|(label, text)| format!("{label}: {text}")).collect::<Vec<_>>().join("\n")
    };
    assert_snapshot!(format!("{}\n{}", shown(Lang::En), shown(Lang::Zh)), @"
    cap: 40/s: li.wei@ops-9 by runner ctl, of the job april
    app: of all jobs of this app: 40 of 40/s given out
    told to stop: li.wei@ops-9 by runner ctl
    限速: 每秒 40：li.wei@ops-9（通过 runner ctl），任务 april
    应用: 该应用的全部任务：每秒 40 中已分配 40
    要求停止: li.wei@ops-9（通过 runner ctl）
    ");
}

/// The night operator's machine died alone, and nobody has declared it lost.
#[test]
fn runners_of_which_nothing_is_heard_are_not_called_a_run_in_progress() {
    let silent = Runner { renewed: Duration::from_mins(12), ..runner(1, "ops-1", RunnerState::Silent, 200, 180.0) };
    let job = Job::new(vec![silent]);
    assert_eq!(job.facts().time_left(), None);
    let status = job.status(Lang::En);
    let head: Vec<_> = status.lines().skip(1).take(3).collect();
    assert_snapshot!(head.join("\n"), @"
    No runner has been heard from for 12 min 0 s: 1,800 of 4,000 edits done so far.
    They were cut off from the database, or have died; either way they send nothing
    by now. The same command, here or on another machine, takes over.
    ");
    assert!(status.contains("To resume: "), "{status}");
    assert!(job.status(Lang::Zh).contains("已有 12 分 0 秒没有任何进程的消息"));
}

#[test]
fn a_session_was_cut_off_if_nobody_came_to_the_end_and_somebody_was_lost() {
    use RunnerState::{Ended, Live, Lost};
    let session = |ended: [Option<&'static str>; 2], states: [RunnerState; 2]| {
        let [one, two] = states;
        let mut job = Job::new(vec![runner(1, "ops-1", one, 0, 0.0), runner(2, "ops-2", two, 0, 0.0)]);
        job.ended = ended.into();
        job.facts()
    };
    let both_lost = session([Some("died"), None], [Lost, Lost]);
    assert!(both_lost.was_cut_off() && !both_lost.is_running() && both_lost.resume(Pasted::Anywhere).is_some());
    assert_eq!(both_lost.state(), RunState::Over);
    assert!(session([Some("stopped"), Some("died")], [Ended, Lost]).was_cut_off());
    // The last one to end was told to.
    assert!(!session([Some("died"), Some("stopped")], [Lost, Ended]).was_cut_off());
    // One of them did the rest.
    assert!(!session([Some("died"), Some("finished")], [Lost, Ended]).was_cut_off());
    assert!(!session([Some("stopped"), Some("stopped")], [Ended, Ended]).was_cut_off());
    // The last one to begin has ended, and another goes on.
    let goes_on = session([None, Some("stopped")], [Live, Ended]);
    assert!(goes_on.is_running() && !goes_on.was_cut_off() && goes_on.resume(Pasted::Anywhere).is_none());
    assert_eq!(goes_on.runs.iter().map(|run| goes_on.goes_on(run)).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn programs_get_every_number_of_a_shared_job() {
    let job = of_each_kind();
    let status = serde_json::to_value(machine::status(&job.facts(), None)).unwrap();
    assert_eq!((&status["state"], &status["worker"]), (&"running".into(), &"3 runners".into()));
    // What is left, as the first of them found it.
    assert_eq!((&status["not_reached"], &status["messages"]), (&2_180.into(), &4_000.into()));
    assert_eq!((&status["rate"], &status["edits_a_second"]), (&50.into(), &24.6.into()));
    assert_eq!(status["seconds_left"], 90, "2,200 at 24.6 a second");
    let mut shared = status["shared"].clone();
    shared["runners"].as_array_mut().unwrap().truncate(2);
    assert_snapshot!(serde_json::to_string_pretty(&shared).unwrap(), @r#"
    {
      "cap": 50,
      "cap_is_of": "--rate of run 2 (host ops-2)",
      "other_runs": 1,
      "paused": false,
      "rate": null,
      "runners": [
        {
          "done": 600,
          "edits_a_second": 24.6,
          "failed": 0,
          "held": false,
          "host": "ops-1",
          "in_doubt": 0,
          "pid": 4711,
          "rate": 200,
          "read_backs": 0,
          "renewed_seconds_ago": 0.4,
          "requests": 0,
          "run": 1,
          "share": 25,
          "slow_downs": 0,
          "state": "live",
          "user": "li.wei"
        },
        {
          "done": 0,
          "edits_a_second": 0.0,
          "failed": 3,
          "held": true,
          "host": "ops-2",
          "in_doubt": 1,
          "pid": 4712,
          "rate": 50,
          "read_backs": 0,
          "renewed_seconds_ago": 0.4,
          "requests": 0,
          "run": 2,
          "share": 20,
          "slow_downs": 2,
          "state": "live",
          "user": "li.wei"
        }
      ],
      "shares": 50,
      "stop": null
    }
    "#);
}

#[test]
fn the_report_has_a_section_for_the_runners_and_no_digest_of_a_file() {
    let mut job = of_each_kind();
    job.shared.runners[0].host = "<script>\u{202e}".to_owned();
    let mut report = Report::read(&job, Some(true), BEGIN + 5 * MINUTE, Pasted::Anywhere).unwrap();
    for lang in [Lang::En, Lang::Zh] {
        let words = Words::at(lang, TimeZone::UTC);
        let page = page(&report, &words).into_string();
        assert!(page.contains(&format!("<h2>{}</h2>", words.say.runners)) && page.contains(words.say.in_database));
        assert!(page.contains("&lt;script&gt;\\u{202e}") && !page.contains("<script>"), "{page}");
        let text = strip_str(&text::report(&report, &words)).to_string();
        assert!(text.contains(words.say.in_database) && text.contains("ops-3.example.com"), "{text}");
    }
    report.facts.shared.as_mut().unwrap().runners.retain(|runner| [1, 4].contains(&runner.run));
    let table = table(&report.facts.shared.unwrap(), &Words::at(Lang::En, TimeZone::UTC)).into_string();
    assert_snapshot!(table.replace("<tr", "\n<tr").replace("<td", "\n  <td"), @r#"
    <div class="scroll"><table class="runners"><caption>Runners</caption><thead>
    <tr><th class="number" scope="col">run</th><th scope="col">host</th><th class="number" scope="col">process</th><th scope="col">user</th><th scope="col">state</th><th class="number" scope="col">share</th><th class="number" scope="col">speed</th><th class="number" scope="col">done</th><th class="number" scope="col">failed</th><th class="number" scope="col">in doubt</th><th scope="col">last renewal</th></tr></thead><tbody>
    <tr class="live"><th class="number" scope="row" data-label="run">1</th>
      <td class="text" data-label="host">&lt;script&gt;\u{202e}</td>
      <td class="number" data-label="process">4711</td>
      <td class="text" data-label="user">li.wei</td>
      <td data-label="state">at work</td>
      <td class="number" data-label="share">25/s</td>
      <td class="number" data-label="speed">24.6/s</td>
      <td class="number" data-label="done">600</td>
      <td class="number zero" data-label="failed">0</td>
      <td class="number zero" data-label="in doubt">0</td>
      <td class="when" data-label="last renewal">0.4 s ago</td></tr>
    <tr class="lost"><th class="number" scope="row" data-label="run">4</th>
      <td class="text" data-label="host">ops-4</td>
      <td class="number" data-label="process">4714</td>
      <td class="text" data-label="user">li.wei</td>
      <td data-label="state">lost</td>
      <td class="number" data-label="share"></td>
      <td class="number" data-label="speed"></td>
      <td class="number" data-label="done">2,400</td>
      <td class="number zero" data-label="failed">0</td>
      <td class="number zero" data-label="in doubt">0</td>
      <td class="when" data-label="last renewal">2 min 10 s ago</td></tr></tbody></table></div>
    "#);
}
