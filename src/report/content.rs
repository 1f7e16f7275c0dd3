//! The new content of a list's first row, as the plan shows it in a terminal: what is about to be sent, to be looked at
//! once more. It is message text, which goes into no file, no log and no JSON.

use std::io::{self, Write};

use serde_json::Value;
use textwrap::core::display_width;
use thousands::Separable;

use crate::edit::MsgBody;
use crate::run::{CONTENTS_MAX, Plan};
use crate::terminal::colour::REMARK;
use crate::terminal::excerpt::shortened;
use crate::words::Lang;

/// Text is shown in this many columns at least.
const TEXT_MIN: usize = 20;

/// Writes it in lines of this many columns.
///
/// # Errors
/// It cannot be written.
pub fn write(out: &mut impl Write, plan: &Plan, columns: usize, lang: Lang) -> io::Result<()> {
    let Some(edit) = plan.contents.first() else { return Ok(()) };
    if plan.this_run == 0 {
        return Ok(());
    }
    let fitted = |text: &str, others: usize| shortened(text, columns.saturating_sub(others).max(TEXT_MIN));
    if let Some(body) = edit.msg_body() {
        let (text, kind) = described(body);
        let (label, kind) = (lang.say("new content"), lang.say(format_args!("({kind})")));
        let text = fitted(&text, display_width(&label) + display_width(&kind) + "    \"\" ".len());
        writeln!(out, "  {label}  \"{text}\" {REMARK}{kind}{REMARK:#}")?;
    }
    let label = lang.say("custom data");
    match edit.cloud_custom_data() {
        Some("") => writeln!(out, "  {label}  {}", lang.say("cleared"))?,
        Some(data) => writeln!(out, "  {label}  \"{}\"", fitted(data, display_width(&label) + "    \"\"".len()))?,
        None => {}
    }
    let first = lang.say("; this is the first row's");
    match plan.contents.different() {
        Some(1) if plan.messages() > 1 => {
            writeln!(out, "  {REMARK}{}{REMARK:#}", lang.say("the same for every message"))
        }
        Some(1) => Ok(()),
        Some(count) => {
            let different = format!("{} different contents", count.separate_with_commas());
            writeln!(out, "  {}{REMARK}{first}{REMARK:#}", lang.say(different))
        }
        None => {
            let different = format!("more than {} different contents", CONTENTS_MAX.separate_with_commas());
            writeln!(out, "  {}{REMARK}{first}{REMARK:#}", lang.say(different))
        }
    }
}

/// The text of a message's first text element, or what its first element holds; and how many elements it has.
fn described(body: &MsgBody) -> (String, String) {
    // It was parsed before, so it parses.
    let elements: Vec<Value> = serde_json::from_str(body.text()).unwrap_or_default();
    let text = |element: &Value| Some(element["MsgContent"]["Text"].as_str()?.to_owned());
    let is_text = |element: &Value| element["MsgType"] == "TIMTextElem";
    let texts = elements.iter().filter(|element| is_text(element)).count();
    let kind = match (elements.len(), texts) {
        (1, 1) => "1 text element".to_owned(),
        (1, _) => "1 element without text".to_owned(),
        (count, texts) if count == texts => format!("{count} text elements"),
        (count, texts) => format!("{count} elements, {texts} of them text"),
    };
    let shown = elements.iter().find(|element| is_text(element)).and_then(text);
    (
        shown.unwrap_or_else(|| elements.first().map(|element| element["MsgContent"].to_string()).unwrap_or_default()),
        kind,
    )
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;

    use super::*;
    use crate::input::{ContentSpec, Format, Input, InputSpec, Mapping};
    use crate::run::{AsOf, InDoubt, Policy, plan};

    /// What the plan of a list of these contents shows.
    fn shown(rows: &[(&str, Option<&str>)], columns: usize) -> String {
        let lines = rows.iter().enumerate().map(|(number, (body, data))| {
            let data = data.map(|data| format!(r#","CloudCustomData":{}"#, Value::from(data))).unwrap_or_default();
            format!(r#"{{"From_Account":"a","To_Account":"b","MsgKey":"{number}","MsgBody":{body}{data}}}"#)
        });
        let lines = lines.collect::<Vec<_>>().join("\n");
        let input = Input::from_reader("list", lines.as_bytes(), Format::Jsonl).unwrap();
        let mapping = Mapping::new(&InputSpec::default(), &ContentSpec::default()).unwrap();
        let policy = Policy { in_doubt: InDoubt::Hold, retry_failed: false, read_first: false, rows_max: None };
        let mut out = Vec::new();
        let as_of = AsOf { now: jiff::Timestamp::UNIX_EPOCH, messages_expire: false };
        write(&mut out, &plan(&input, &mapping, None, &policy, as_of).unwrap(), columns, Lang::En).unwrap();
        let out = strip_str(&String::from_utf8(out).unwrap()).to_string();
        assert!(out.lines().all(|line| display_width(line) <= columns), "{out}");
        out
    }

    #[test]
    fn the_first_rows_content_is_shown_with_the_number_of_others() {
        let text = |text: &str| MsgBody::of_text(text).text().to_owned();
        let place = r#"{"MsgType":"TIMLocationElem","MsgContent":{"Desc":"x","Latitude":30.0}}"#;
        let (one, long) = (text("该消息已删除"), text(&"长".repeat(100)));
        let control = text("a\u{1b}[2J\nb\u{202e}\"");
        let two = format!("[{place},{}]", &one[1..one.len() - 1]);
        let shown = [
            shown(&[(&one, None)], 80),
            shown(&[(&one, None), (&one, None)], 80),
            shown(&[(&control, Some("")), (&one, None), (&one, Some(""))], 80),
            shown(&[(&long, Some(&"x".repeat(100))), (&long, None)], 60),
            shown(&[(&two, None), (&format!("[{place}]"), None)], 80),
            shown(&[(&format!("[{place}]"), None)], 80),
        ];
        insta::assert_snapshot!(shown.join("\n"), @r#"
        new content  "该消息已删除" (1 text element)

        new content  "该消息已删除" (1 text element)
        the same for every message

        new content  "a\u{1b}[2J b\u{202e}"" (1 text element)
        custom data  cleared
        3 different contents; this is the first row's

        new content  "长长长长长长长长长长长长…" (1 text element)
        custom data  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"
        2 different contents; this is the first row's

        new content  "该消息已删除" (2 elements, 1 of them text)
        2 different contents; this is the first row's

        new content  "{"Desc":"x","Latitude":30.0}" (1 element without text)
        "#);
    }
}
