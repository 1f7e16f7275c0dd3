//! The page's own words, in the two languages of reports; what both say is in `words`.

use crate::words::{Lang, Words};

/// Words that only the page has.
#[derive(Debug)]
pub(super) struct PageWords {
    pub(super) running: &'static str,
    pub(super) running_text: &'static str,
    pub(super) held: &'static str,
    pub(super) outage: &'static str,
    pub(super) waiting: &'static str,
    pub(super) done_of: fn(&str, &str) -> String,
    pub(super) this_run: fn(&str, &str) -> String,
    pub(super) paused: &'static str,
    pub(super) paused_text: &'static str,
    pub(super) stopping: &'static str,
    pub(super) stopping_text: &'static str,
    pub(super) over: &'static str,
    pub(super) over_finished: &'static str,
    pub(super) over_left: &'static str,
    pub(super) aloud: fn(&str, u64) -> String,
    pub(super) lost: &'static str,
    pub(super) as_of: &'static str,

    pub(super) rows: &'static str,
    pub(super) duplicates: &'static str,
    pub(super) speed: &'static str,
    pub(super) speed_text: fn(f64) -> String,
    pub(super) rate: &'static str,
    pub(super) rate_text: fn(u32, u32) -> String,
    /// This runner's share of the cap that all share.
    pub(super) share_text: fn(u32, u32) -> String,
    pub(super) slowed: fn(u32) -> String,
    pub(super) to_read_back: &'static str,
    pub(super) last_success: &'static str,
    pub(super) answers: &'static str,
    pub(super) answers_note: &'static str,
    pub(super) no_answers: &'static str,

    pub(super) pause: &'static str,
    pub(super) pause_question: &'static str,
    pub(super) resume: &'static str,
    pub(super) resume_question: &'static str,
    pub(super) change_rate: &'static str,
    pub(super) rate_question: fn(u32) -> String,
    pub(super) rate_label: &'static str,
    pub(super) stop: &'static str,
    pub(super) stop_question: &'static str,
    pub(super) cancel: &'static str,
    pub(super) on_all: &'static str,
    pub(super) asking_database: &'static str,

    pub(super) not_done: &'static str,
    pub(super) back: &'static str,
    pub(super) not_understood: &'static str,
    pub(super) old_form: &'static str,
    pub(super) above_cap: fn(u32, u32) -> String,
    pub(super) no_room: fn(&str) -> String,
    pub(super) at_its_end: &'static str,
    pub(super) ledger_failed: fn(&str) -> String,

    pub(super) token_title: &'static str,
    pub(super) token_text: &'static str,
    pub(super) token_wrong: &'static str,
    pub(super) token_label: &'static str,
    pub(super) token_open: &'static str,
    pub(super) token_there: &'static str,
}

impl PageWords {
    pub(super) fn of(words: &Words) -> &'static PageWords {
        match words.lang {
            Lang::En => &ENGLISH,
            Lang::Zh => &CHINESE,
        }
    }
}

static ENGLISH: PageWords = PageWords {
    running: "Running",
    running_text: "Edits are being sent.",
    held: "Held",
    outage: "Service out of reach",
    waiting: "Waiting",
    done_of: |done, messages| format!("{done} of {messages} done"),
    this_run: |settled, planned| format!("this run: {settled} of {planned} edits"),
    paused: "Paused",
    paused_text: "Nothing is sent until somebody resumes it. A pause leaves nothing in doubt.",
    stopping: "Stopping",
    stopping_text: "Nothing new is sent; requests in flight finish, and edits in doubt are read back where they can be.",
    over: "Over",
    over_finished: "The run has ended: every edit was processed.",
    over_left: "The run ended before the end of its list. The command below resumes it.",
    aloud: |state, percent| format!("{state}, {percent} % done"),
    lost: "The connection to the run is lost. These are the last numbers; reconnecting. If the run has ended, runner status shows how.",
    as_of: "as of",

    rows: "rows of the list",
    duplicates: "duplicates",
    speed: "speed",
    speed_text: |speed| format!("{speed:.1} edits a second"),
    rate: "rate",
    rate_text: |rate, cap| {
        if rate == cap { format!("{rate} a second, the cap") } else { format!("{rate} a second; the cap is {cap}") }
    },
    share_text: |share, cap| format!("{share} a second, this runner's share of {cap}"),
    slowed: |pace| format!("slowed down to {pace} for now"),
    to_read_back: "to be read back",
    last_success: "last success",
    answers: "Answers",
    answers_note: "Answers to the edits of this run. An edit that was sent again has more than one.",
    no_answers: "No answer yet.",

    pause: "Pause",
    pause_question: "Send nothing more for now? Requests in flight finish, and nothing is left in doubt.",
    resume: "Resume",
    resume_question: "Resume sending? Edits cannot be undone.",
    change_rate: "Change the rate",
    rate_question: |cap| {
        format!("How many requests a second at most, from now on? This run began with {cap}, which is its limit.")
    },
    rate_label: "requests a second",
    stop: "Stop",
    stop_question: "Stop the run? Requests in flight finish, and the same command resumes it.",
    cancel: "Cancel",
    on_all: "This goes for every runner of the job, wherever it is.",
    asking_database: "The database has not answered yet.",

    not_done: "That was not done",
    back: "Back to the page",
    not_understood: "The form was not filled in correctly.",
    old_form: "The form belongs to another run or another page. Reload the page.",
    no_room: |why| format!("The rate stays as it is: {why}."),
    above_cap: |wanted, cap| {
        format!("{wanted} requests a second are more than the {cap} that this run may send at most.")
    },
    at_its_end: "The run is ending.",
    ledger_failed: |error| format!("It could not be written to the ledger: {error}"),

    token_title: "This page needs its token",
    token_text: "It was printed when the run was started, or is the one that RUNNER_PAGE_TOKEN holds.",
    token_wrong: "That is not the token.",
    token_label: "Token",
    token_open: "Open",
    token_there: "I have already opened the printed link: continue",
};

static CHINESE: PageWords = PageWords {
    running: "运行中",
    running_text: "正在发送编辑。",
    held: "暂缓发送",
    outage: "服务中断",
    waiting: "等待中",
    done_of: |done, messages| format!("已完成 {done} / {messages}"),
    this_run: |settled, planned| format!("本次运行：{settled} / {planned} 条编辑"),
    paused: "已暂停",
    paused_text: "在有人点击“继续”之前不再发送；暂停不会造成待核实的编辑。",
    stopping: "正在停止",
    stopping_text: "不再发送新的编辑；已发出的请求会等到应答，待核实的编辑尽可能回读。",
    over: "已结束",
    over_finished: "运行已结束：清单已全部处理完。",
    over_left: "运行已结束，但清单没有处理完。用下面的命令即可续跑。",
    aloud: |state, percent| format!("{state}，已完成 {percent} %"),
    lost: "与运行的连接已断开，正在重新连接；页面上是最后收到的数字。如果运行已结束，可用 runner status 查看结果。",
    as_of: "截至",

    rows: "清单行数",
    duplicates: "重复",
    speed: "速度",
    speed_text: |speed| format!("每秒 {speed:.1} 条编辑"),
    rate: "限速",
    rate_text: |rate, cap| {
        if rate == cap { format!("每秒 {rate}，即上限") } else { format!("每秒 {rate}，上限 {cap}") }
    },
    share_text: |share, cap| format!("每秒 {share}，即本进程在上限 {cap} 中的份额"),
    slowed: |pace| format!("暂时降到每秒 {pace}"),
    to_read_back: "待回读",
    last_success: "最近一次成功",
    answers: "应答",
    answers_note: "本次运行中，编辑收到的应答；重发过的编辑会有多次应答。",
    no_answers: "尚无应答。",

    pause: "暂停",
    pause_question: "要暂停发送吗？已发出的请求会等到应答，不会造成待核实的编辑。",
    resume: "继续",
    resume_question: "要继续发送吗？编辑无法撤销。",
    change_rate: "调整限速",
    rate_question: |cap| format!("此后每秒最多发送多少个请求？本次运行开始时为 {cap}，不能超过这个数。"),
    rate_label: "每秒请求数",
    stop: "停止",
    stop_question: "要停止运行吗？已发出的请求会等到应答；用同一条命令即可续跑。",
    cancel: "取消",
    on_all: "这对该任务的所有进程都有效，无论在哪台机器上。",
    asking_database: "数据库尚未应答。",

    not_done: "未执行",
    back: "返回页面",
    not_understood: "表单填写有误，请重新填写。",
    old_form: "该表单属于另一次运行或另一个页面。请重新加载页面。",
    no_room: |why| format!("限速没有改变：{why}。"),
    above_cap: |wanted, cap| format!("每秒 {wanted} 个请求，超过了本次运行的上限 {cap}。"),
    at_its_end: "运行即将结束。",
    ledger_failed: |error| format!("无法写入账本：{error}"),

    token_title: "此页面需要令牌",
    token_text: "令牌在启动运行时已打印出来，或者就是 RUNNER_PAGE_TOKEN 的值。",
    token_wrong: "令牌不正确。",
    token_label: "令牌",
    token_open: "打开",
    token_there: "我已打开过打印出来的链接，继续",
};
