//! The service's error codes and the ledger's notes in Chinese: the same table as [`crate::api::error_code`], for people
//! who read Chinese. One word a thing: `docs/glossary.md` has the list.

use crate::api::error_code::{self, Class};

/// What is said of a code that is not in the table.
pub(crate) const UNKNOWN: &str = "未收录的错误码";

/// What a code says: a fragment without a full stop. `None` where the table does not know it.
pub(crate) fn meaning(code: i64) -> Option<&'static str> {
    Some(match code {
        20001 => "请求无效，或其中没有可编辑的内容",
        20002 => "UserSig 已失效",
        20003 => "消息发送方或接收方的 UserID 无效或不存在",
        20004 => "服务端网络异常",
        20005 | 70500 | 90994 | 90995 | 91000 => "服务端内部错误",
        20006 => "被应用自己的回调服务拒绝",
        20007 => "发送方已被接收方拉黑",
        20009 => "双方互不为好友",
        20010 => "发送方不是接收方的好友",
        20011 => "接收方不是发送方的好友",
        20012 => "发送方已被禁言",
        20016 => "已超过可撤回消息的时限",
        20018 => "删除漫游消息时发生内部错误",
        20022 | 20026 => "消息不存在",
        20023 => "消息已被撤回",
        23001 | 23004..=23009 | 90030 | 90033 | 90034 | 90040 | 90043 | 90045 | 90047 => {
            "仅见于客户端的错误码表，该接口的文档没有说明"
        }
        20028 => "消息同时正被别人修改",
        22006 => "这类请求过于频繁",
        60002 => "HTTP 请求或其 URL 无法解析",
        60003 => "服务端无法解析请求中的 JSON",
        60004 | 60005 => "URL 或请求体中的账号或签名有误",
        60006 => "SDKAppID 无效",
        60007 => "该接口的调用频率超过上限",
        60008 => "服务端处理请求超时",
        60009 => "服务端没有 URL 所指的接口",
        60010 | 70403 | 90009 => "该接口须由 App 管理员账号调用",
        60011 => "整个应用的请求过多",
        60012 => "请求未带 SDKAppID",
        60013 => "服务端无法解析内部应答",
        60014 => "服务端查询账号超时",
        60015 => "请求中的账号不是字符串",
        60016 => "应用已被停用",
        60017 => "应用被禁止调用该接口",
        60018 | 60019 => "请求过于频繁",
        60020 => "应用的套餐已到期，或尚未生效",
        60021 => "不允许从该 IP 地址调用",
        70001 | 70347 => "UserSig 已过期",
        70002 => "UserSig 为空",
        70003 => "UserSig 无法解析，可能被截断",
        70005 => "UserSig 校验未通过",
        70009 => "UserSig 与应用密钥不匹配",
        70013 => "UserSig 是为另一个 identifier 生成的",
        70014 => "UserSig 是为另一个 SDKAppID 生成的",
        70016 => "该数据中心没有这个应用用于校验 UserSig 的密钥",
        70020 => "该数据中心没有这个 SDKAppID",
        70050 => "校验失败次数过多，暂时被锁定",
        70051 => "账号已被列入黑名单",
        70052 => "UserSig 已被吊销",
        70107 => "该应用中不存在此账号",
        70114 => "账号因安全原因受限",
        70169 | 70202 => "服务端内部超时",
        70201 | 70203 | 70207 | 70208 | 70222 | 70308 | 70348 | 70362 | 70401 => {
            "服务端内部的临时故障（据旧版错误码表）"
        }
        70346 => "账号或其签名被拒绝",
        70398 => "应用的账号数超过套餐上限",
        70402 => "参数缺失或无效",
        72000 => "应用的配置或套餐不支持该接口",
        80001 => "文本未通过服务端的内容安全检查",
        80002 => "消息过长",
        80004 => "内容未通过服务端的内容安全检查",
        90001 => "请求的 JSON 解析失败",
        90002 => "MsgBody 不是数组，或其中的元素不符合消息格式",
        90003 => "缺少 To_Account，或它不是字符串",
        90005 => "缺少 MsgRandom，或它不是整数",
        90006 => "缺少 MsgTimeStamp，或它不是整数",
        90007 => "MsgBody 不是数组",
        90008 => "缺少 From_Account，或它无效",
        90010 => "请求不符合消息格式",
        90011 => "接收方账号超过 500 个",
        90012 => "To_Account 未注册或不存在",
        90026 => "消息的保存时长超过 7 天",
        90031 => "SyncOtherMachine 不是整数",
        90044 => "MsgLifeTime 不是整数",
        90048 => "请求中的账号不存在",
        90054 => "MsgKey 无效",
        90055 => "服务端不接受请求的内容",
        90992 => "服务端内部错误，或应用自己的回调服务异常",
        91101 => "该账号同时轮询的 Web 客户端过多",
        93000 => "请求过长",
        120_001..=130_000 => "被应用自己的回调服务拒绝，错误码由该服务定义",
        _ => return None,
    })
}

/// What a run does about it, in a few words.
pub(crate) fn verdict(class: Class) -> &'static str {
    match class {
        Class::Passing => "重试",
        Class::InDoubt => "回读，重试",
        Class::SlowDown => "降速，重试",
        Class::Signature => "重新签名，重试",
        Class::StopAccess | Class::StopConfiguration => "停止运行",
        Class::EditFails => "失败",
    }
}

const CHECK_REGION: &str = "请检查 --region 或 --endpoint：一个应用只在一个数据中心；改正后再续跑。";
const CHECK_KEY: &str = "请检查密钥是否属于该 SDKAppID，改正后再续跑。";
const CORRECT_THE_ROW: &str = "请改正该行的内容，放入一份新清单。";
const CHECK_THE_ACCOUNT: &str = "请检查账号的拼写，并确认该账号已导入应用。";
const NO_SUCH_MESSAGE: &str =
    "消息可能已超过存储期限、已被撤回，或者并不是这一条：请检查 From_Account、To_Account 和 MsgKey。";
const SEND_ONLY: &str = "这个错误码仅见于其他接口：请向服务方的技术支持询问，编辑请求为何会返回它。";
const BE_AN_ADMIN: &str = "请在控制台把该 identifier 设为 App 管理员，或换用管理员账号，然后续跑。";
const SHORTEN: &str = "请缩短该行的内容：旧版文档中的上限是 8 KB，新版文档中是 12 KB。";

/// What a person should do about a code: a sentence. `None` where the table does not know it.
pub(crate) fn advice(code: i64) -> Option<&'static str> {
    Some(match code {
        20001 | 20003 | 70107 | 90008 | 90012 | 90048 => CHECK_THE_ACCOUNT,
        20006 => "请向回调服务的负责人了解拒绝的原因。",
        20007
        | 20009..=20012
        | 20016
        | 20018
        | 23001
        | 23004..=23009
        | 90011
        | 90026
        | 90030
        | 90031
        | 90033
        | 90034
        | 90040
        | 90043..=90045
        | 90047
        | 91101 => SEND_ONLY,
        20022 | 20026 => NO_SUCH_MESSAGE,
        20023 => "已撤回的消息无法编辑：请从清单中删去该行。",
        60003 | 60015 | 70402 | 80001 | 80004 | 90001 | 90002 | 90003 | 90007 | 90010 | 90055 => CORRECT_THE_ROW,
        60006 => "请在控制台核对 SDKAppID，并确认应用未被删除，然后续跑。",
        60009 | 70016 | 70020 => CHECK_REGION,
        60010 | 70403 | 90009 => BE_AN_ADMIN,
        60016 => "请在控制台查明应用被停用的原因，处理后再续跑。",
        60017 => "请向服务方的技术支持询问，该应用为何被禁止调用。",
        60020 => "请续费；套餐约五分钟后生效，届时续跑。",
        60021 => "请在控制台把本机地址加入应用的 IP 白名单，然后续跑。",
        70005 | 70009 => CHECK_KEY,
        70013 => "请给出生成该 UserSig 时所用的 identifier，或改为提供密钥，然后续跑。",
        70014 => "请给出生成该 UserSig 时所用的 SDKAppID，或改为提供密钥，然后续跑。",
        70050 => "请检查密钥，至少等一分钟，然后续跑。",
        70051 => "请把该账号移出黑名单，然后续跑。",
        70052 => "请重新生成 UserSig，或改为提供密钥，然后续跑。",
        70114 => "请向服务方的技术支持询问受限的原因。",
        70398 => "请升级套餐，或删除部分账号，然后续跑。",
        80002 | 93000 => SHORTEN,
        90054 => "请对照清单的来源核对 MsgKey。",
        90992 => "如果每个请求都返回这个错误码，请检查应用的回调服务：它必须应答服务端。",
        120_001..=130_000 => "请向回调服务的负责人询问该错误码的含义。",
        _ => class_advice(error_code::lookup(code)?.class),
    })
}

/// What to do where the code has no advice of its own.
fn class_advice(class: Class) -> &'static str {
    match class {
        Class::Passing => "无需处理：会自动重试；如果持续出现，请查看服务方的状态页。",
        Class::InDoubt => "无需处理：会回读该消息，没有编辑成功的再次编辑；如果持续出现，请查看服务方的状态页。",
        Class::SlowDown => "无需处理：会自动降速；如果持续出现，请查明还有谁在调用该接口。",
        Class::Signature => "请检查本机时钟，并提供密钥而不是现成的 UserSig，让程序自行签名。",
        Class::StopAccess => "请对照控制台检查 SDKAppID、identifier 和密钥，然后用同一条命令续跑。",
        Class::StopConfiguration => "请检查 --region 或 --endpoint，以及控制台中应用的状态和套餐，然后续跑。",
        Class::EditFails => "请改正该行，或从清单中删去；加上 --retry-failed，会重试账本中失败的编辑。",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Chinese, not English left over.
    fn check_chinese(what: &str, text: &str, english: &str) {
        assert_ne!(text, english, "{what}");
        assert!(text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{what}: {text}");
        assert!(!text.contains([',', ';']), "{what} has punctuation of another language: {text}");
    }

    #[test]
    fn every_code_of_the_table_has_its_chinese() {
        for entry in error_code::all() {
            for code in [*entry.codes.start(), *entry.codes.end()] {
                let (meaning, advice) = (meaning(code).unwrap(), advice(code).unwrap());
                check_chinese(&code.to_string(), meaning, entry.meaning);
                check_chinese(&code.to_string(), advice, entry.advice);
                assert!(!meaning.ends_with('。') && advice.ends_with('。'), "{code}: {meaning}: {advice}");
            }
        }
    }

    #[test]
    fn codes_that_mean_the_same_in_english_do_so_in_chinese() {
        let table = error_code::all();
        for (one, other) in table.iter().flat_map(|one| table.iter().map(move |other| (one, other))) {
            let [(a, b), (x, y)] = [one, other].map(|entry| {
                let code = *entry.codes.start();
                (meaning(code), advice(code))
            });
            assert_eq!(one.meaning == other.meaning, a == x, "the meanings of {:?} and {:?}", one.codes, other.codes);
            assert_eq!(one.advice == other.advice, b == y, "the advice on {:?} and {:?}", one.codes, other.codes);
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_unknown() {
        for code in [i64::MIN, 0, 20008, 23003, 23010, 90004, 120_000, 130_001, i64::MAX] {
            assert_eq!((meaning(code), advice(code)), (None, None), "{code}");
        }
    }
}
