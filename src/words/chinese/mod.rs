//! In Simplified Chinese. One word a thing: `docs/glossary.md` has the list. Edits and messages are counted in 条, runs,
//! attempts and answers in 次; 每秒 comes before the number.

pub(super) mod codes;

use thousands::Separable;

use super::Lang;
use super::phrases::{LatencyCaption, OverTimeCaption, Phrases};
use crate::input::APOSTROPHE_COLUMNS;

pub(super) static CHINESE: Phrases = Phrases {
    html_lang: "zh-CN",
    colon: "：",
    comma: "，",
    units: ["天", "小时", "分", "秒"],
    day_format: "%-m月%-d日",

    totals: "总数",
    messages: "消息",
    messages_text: |number| format!("{number} 条消息"),
    done: "已完成",
    failed: "失败",
    in_doubt: "待核实",
    in_flight: "发送中",
    not_reached: "未处理",
    counted: |number, what| format!("{what} {number} 条"),
    done_means: "服务端已确认编辑，或回读证实消息已是新内容",
    failed_means: "服务端明确拒绝，或多次发送均被拒绝；消息保持原样",
    in_doubt_means: "应答丢失，消息是否已被编辑尚不清楚",
    in_flight_means: "正在发送",
    not_reached_means: "尚未编辑",

    ended_finished: "已结束",
    ended_interrupted: "被中断",
    ended_stopped: "已停止",
    ended_died: "异常终止",
    goes_on: "进行中",
    order_pause: "暂停",
    order_resume: "继续",
    order_stop: "停止",
    order_rate: |rate| format!("限速调为 {rate}"),

    nothing_sent: "尚未发送任何编辑。",
    all_done: |all| format!("{} 条编辑全部完成。", all.separate_with_commas()),
    all_done_so_far: |all| format!("账本中的 {} 条编辑均已完成。", all.separate_with_commas()),
    some_failed: |failed, all| {
        format!("{} 条编辑中有 {} 条失败。", all.separate_with_commas(), failed.separate_with_commas())
    },
    some_not_done: |[failed, in_doubt, not_reached], all| {
        let parts = [(failed, "失败"), (in_doubt, "待核实"), (not_reached, "未处理")];
        let parts = parts.into_iter().filter(|(number, _)| *number > 0);
        let parts: Vec<_> = parts.map(|(number, what)| format!("{} 条{what}", number.separate_with_commas())).collect();
        format!("{} 条编辑中有 {}。", all.separate_with_commas(), parts.join("，"))
    },
    some_in_doubt: |in_doubt| format!("有 {} 条编辑待核实。", in_doubt.separate_with_commas()),
    some_not_reached: |left, all| {
        format!("{} 条编辑中还有 {} 条未处理。", all.separate_with_commas(), left.separate_with_commas())
    },
    run_goes_on: |done, all| {
        format!("正在运行：{} 条编辑中已完成 {} 条。", all.separate_with_commas(), done.separate_with_commas())
    },
    run_is_silent: |length, done, all| {
        format!(
            "已有 {length}没有任何进程的消息：{} 条编辑中已完成 {} 条。",
            all.separate_with_commas(),
            done.separate_with_commas()
        )
    },
    what_silent: "这些进程与数据库断开，或者已经终止；无论哪种情况，现在都不再发送。在本机或其他机器上执行同一条命令即可接手。",
    what_lost: "上次运行异常终止：没有一个进程处理完清单，且至少有一个失联。用同一条命令即可续跑，程序会先回读当时正在发送的编辑。",
    run_paused: |done, all| {
        format!("运行已暂停：{} 条编辑中已完成 {} 条。", all.separate_with_commas(), done.separate_with_commas())
    },
    run_stopping: |done, all| {
        format!("运行正在停止：{} 条编辑中已完成 {} 条。", all.separate_with_commas(), done.separate_with_commas())
    },
    run_in_outage: |done, all| {
        format!(
            "运行仍在进行，但服务中断：{} 条编辑中已完成 {} 条。",
            all.separate_with_commas(),
            done.separate_with_commas()
        )
    },
    altered: "该账本已被改动或损坏。",
    what_altered: "账本的内容与其事件日志不符：改了什么、在哪里、从哪个事件起，请用 runner verify 查看。以下是账本现在的内容。\
                   查清之前请勿续跑：消息可能被再次编辑。",
    may_lack_commits: "该账本缺少最新的提交。",
    what_commits_lost: "有一次运行没有正常结束，而存放最新提交的 SQLite 日志（与账本同名，后缀为 -wal）已不在账本旁边，或已被其他程序合并。\
                        因此不知道最后发送了哪些编辑，下面的数字可能偏低。如果日志只是遗留在别处，请把它放回账本旁边；\
                        否则请加上 --read-first 续跑：凡是账本没有记为已完成的消息，都会先读取，再决定是否发送。",
    left_unknown: "账本由本程序的早期版本写成，不知道清单还剩多少。",
    what_failed: "失败：消息保持原样。请在账本旁边的失败清单（运行异常终止时，用 runner report --csv 生成的 failed.csv）中改正这些行，再加上 --retry-failed 运行该清单。",
    what_in_doubt: "待核实：应答丢失，消息可能已被编辑，也可能没有。下次运行会先回读；回读仍无法判定的，请在手机上核对。",
    what_not_reached: "未处理：用同一条命令即可续跑。",
    what_died: "上次运行异常终止：进程被强制结束或断电。用同一条命令即可续跑，程序会先回读当时正在发送的编辑。",
    what_stopped: |reason| format!("上次运行已停止，原因：{}。", reason.trim_end_matches(['.', '。'])),
    to_resume: "续跑命令",
    resume_list: "清单须再次从标准输入读入：请在命令后加上 < 文件，或用管道传入同一份清单。",
    resume_until: "命令中不再带 --until，因为那个时刻只来一次；如仍需定时停止，请重新指定。",
    resume_on_finish: "命令中不再带 --on-finish，因为其内容可能含有密钥，账本不作记录；请自行补上。",
    note_columns: ["_错误码", "_原因", "_发送次数", "_行号"],
    apostrophe_column: APOSTROPHE_COLUMNS[1],
    resume_content: "命令中不再带 --text 和 --custom-data，因为账本不记录消息内容；请把原来给出的参数补上。",
    resume_variables: |names| format!("与上次一样，还需要设置这些环境变量：{}。", names.replace(", ", "、")),
    resume_unless_in_job: |names| format!("以下各项如未写在任务文件中，也须设置：{}。", names.replace(", ", "、")),

    over_time: "运行过程",
    over_time_note: "每秒处理完的编辑数，虚线为限速。没有运行的时段已略去。",
    edits_a_second: "每秒编辑数",
    all_requests: "每秒请求数（含重发和回读）",
    cap: "限速",
    failed_or_in_doubt: "失败或待核实",
    slowed_down: "服务端提示“过于频繁”",
    paused: "暂停",
    rate_changed: "限速调整",
    no_run: "未运行",
    no_samples: "没有数据可供绘图：运行时间太短，或账本由早期版本写成。",
    over_time_text: |caption| {
        let OverTimeCaption { from, to, runs, settled, fastest, cap, not_done, slow_downs } = *caption;
        format!(
            "{from} 至 {to}，共运行 {runs} 次：处理完 {} 条编辑，其中 {} 条失败或待核实；最快每秒 {fastest:.0} 条，限速 {cap}，降速 {} 次。",
            settled.separate_with_commas(),
            not_done.separate_with_commas(),
            slow_downs.separate_with_commas()
        )
    },
    latency: "应答耗时",
    latency_axis: "各段应答耗时所占的比例",
    latency_text: |caption| {
        let LatencyCaption { answers, half_ms, most_ms, nearly_all_ms } = *caption;
        let bound = |ms: Option<u32>| match ms {
            Some(ms) => format!("不超过 {}", LatencyCaption::bound(ms)),
            None => "超过 10 s".to_owned(),
        };
        format!(
            "共 {} 次应答：半数{}，95 % {}，99 % {}。",
            answers.separate_with_commas(),
            bound(half_ms),
            bound(most_ms),
            bound(nearly_all_ms)
        )
    },
    no_answers: "没有数据可供绘图：尚无应答，或账本由早期版本写成。",
    longer: "更久",

    outcomes: "按错误码统计",
    outcomes_note: "每条编辑按最后一次应答归类；“应答次数”是这种应答出现的总次数，重发过的编辑会有多次应答。",
    code: "错误码",
    meaning: "含义与处理建议",
    answers: "应答次数",
    answers_other: "成功以外的应答",
    success: "成功",
    no_answer_yet: "尚无应答",
    not_sent_yet: "尚未发送",
    total: "合计",
    no_outcomes: "尚未发送任何编辑。",
    runs: "运行记录",
    runs_note: "每条编辑只计入最后一次发送它的那次运行。",
    runs_earlier: |more| format!("更早的 {more} 次运行见 summary.json。"),
    no_runs: "尚无运行记录。",
    run: "序号",
    started: "开始",
    took: "用时",
    ended: "结果",
    who: "操作人与主机",
    list: "清单",
    rows_text: |rows, duplicates| match duplicates {
        None | Some(0) => format!("{} 行", rows.separate_with_commas()),
        Some(duplicates) => {
            format!("{} 行，其中重复 {} 行", rows.separate_with_commas(), duplicates.separate_with_commas())
        }
    },
    cap_text: |cap| format!("限速每秒 {cap}"),
    in_directory: |directory| format!("目录 {directory}"),
    through_proxy: |proxy| format!("经由代理 {proxy}"),
    log: "事件日志",
    audits: "核查：已完成编辑的回读结果",
    acts: "人工干预",
    no_acts: "没有人暂停或停止过运行，也没有人调整过限速。",
    when: "时间",
    what: "操作",
    by: "操作人",
    not_done: "未完成的编辑及原因",
    nothing_not_done: "没有：账本中的编辑已全部完成。",
    failed_first: "失败",
    in_doubt_first: "待核实",
    from_account: "From_Account",
    to_account: "To_Account",
    msg_key: "MsgKey",
    why: "原因",
    attempts: "发送次数",
    line: "行号",
    sent_at: "最后发送",
    and_more: |more, file| format!("另有 {} 条，见 {file}", more.separate_with_commas()),
    not_reached_listed: |left| format!("{} 条编辑未处理，见 not_reached.csv。", left.separate_with_commas()),
    not_reached_text: |left| {
        format!(
            "{} 条编辑未处理。账本不保存清单；提供清单后，用 runner report LEDGER --csv DIR --input LIST 可生成 not_reached.csv。",
            left.separate_with_commas()
        )
    },

    code_range: "范围",
    code_verdict: "处理方式",
    code_meaning: "含义",
    code_advice: "处理建议",
    code_success: "0 表示成功：服务端已完成编辑。",
    code_unknown: |code| {
        format!(
            "未收录错误码 {code}。收到它的编辑记为失败，报告会列出这个错误码；如果收到的全是未收录的错误码，运行会停止。"
        )
    },

    title: |ledger| format!("{ledger} 消息编辑报告"),
    about: "关于本报告",
    ledger: "账本",
    job: "任务",
    app_at: |app, service| format!("应用 {app}，服务 {service}"),
    made_at: "生成时间",
    version: "程序版本",
    still_changing: "正在运行，或上次运行异常终止：账本文件还会变化",
    in_database: "保存在数据库中",
    words_mean: "术语说明",
    print_hint: "本报告只反映生成时的状态，以账本为准。",

    state: "状态",
    state_running: "运行中",
    state_held: "暂缓发送",
    state_outage: "服务中断",
    state_waiting: "等待中",
    state_paused: "已暂停",
    state_stopping: "正在停止",
    state_over: "已结束",
    held_because: "原因",
    hold_start: |left| format!("{left}后开始发送：上一次运行最后发出的请求仍计入限速。"),
    hold_too_fast: |left| format!("服务端提示“过于频繁”，{left}后继续发送。"),
    hold_retry_after: |left| format!("服务端要求等待（Retry-After），{left}后继续发送。"),
    hold_outage: |lasted, since, error, next| {
        let next = next.map_or_else(|| "正在重试".to_owned(), |next| format!("{next}后重试"));
        format!("从 {since} 起服务中断，已持续 {lasted}；{next}。最近一次尝试：{error}。")
    },
    hold_read_back: |left| format!("有待核实的编辑等待回读，最早的一条在{left}后：在那之前，服务端可能仍在处理它。"),
    hold_read_first: |left| {
        format!("编辑前要先读取消息，最早的一条在{left}后：在那之前，之前的运行所发出的请求可能仍未处理完。")
    },
    hold_send_again: |left| format!("有编辑暂时被服务端拒绝，等待重发，最早的一条在{left}后。"),
    hold_ledger: "账本没有响应，恢复之前不会发送任何请求。",
    hold_others: "清单的其余部分由其他运行处理；它们留下的部分由本次运行接手。",
    only_the_run_knows: "未知：此处无法向运行查询",
    list_has_fewer: |list| {
        format!("账本中的消息多于最近一次运行的清单，该清单有 {} 条消息。", list.separate_with_commas())
    },
    on_host: |host| format!("主机 {host}"),

    runners: "进程",
    runners_note: "正在处理该任务的进程，以及自本次第一个进程开始以来处理过该任务的进程。",
    runners_at_work: "进程",
    runners_since: |number, since| format!("{number} 个，自 {since} 起"),
    runners_earlier: |more| format!("另有 {more} 个已结束，见 status --json。"),
    host: "主机",
    process: "进程号",
    user: "用户",
    share: "份额",
    renewed: "最近续约",
    renewed_ago: |length| format!("{length}前续约"),
    ago: |length| format!("{length}前"),
    runner_live: "工作中",
    runner_held: "暂缓发送",
    runner_silent: "无响应",
    runner_lost: "失联",
    runner_ended: "已结束",
    runner_share: |share, rate| format!("份额每秒 {share}（--rate {rate}）"),
    runner_speed: |speed| format!("每秒 {speed} 条编辑"),
    process_text: |process| format!("进程 {process}"),
    a_second: |number| format!("每秒 {number}"),
    cap_of_run: |run, host| format!("运行 {run}（主机 {host}）的 --rate"),
    of_job: |job| format!("任务 {job}"),
    app: "应用",
    app_shares: |shares, cap, others| {
        let others =
            if others == 0 { String::new() } else { format!("，其中有其他任务的 {others} 次运行") };
        format!("该应用的全部任务：每秒 {cap} 中已分配 {shares}{others}")
    },
    told_to_stop: "要求停止",

    worker: |name, since| format!("{} 自 {since} 起运行", Lang::Zh.say(name)),
    speed: "速度",
    speed_text: |speed, rate| format!("每秒 {speed} 条编辑，限速 {rate}"),
    not_known_yet: "未知",
    time_left: "剩余时间",
    time_left_text: |length, until| format!("约 {length}，预计 {until} 结束"),
    slow_downs: "降速次数",
};
