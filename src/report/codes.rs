//! `runner codes`: the service's error codes, and what this program does about each.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr;

use super::text::padded;
use crate::api::error_code::{self, CodeEntry};
use crate::ledger::Cause;
use crate::words::{Lang, Words};

/// Writes the whole table, a line a code: code, verdict, meaning. At most 100 columns wide.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_table(out: &mut impl Write, lang: Lang) -> io::Result<()> {
    let words = Words::new(lang);
    let say = words.say;
    let head = [say.code, say.code_verdict, say.code_meaning].map(str::to_uppercase);
    let rows = error_code::all().iter().map(|entry| {
        let meaning = words.meaning(Cause::Code(*entry.codes.start()));
        [codes_text(entry), words.verdict(entry.class).to_owned(), meaning]
    });
    let lines: Vec<[String; 3]> = std::iter::once(head).chain(rows).collect();
    let [codes, verdicts] = [0, 1].map(|column| lines.iter().map(|line| line[column].width()).max().unwrap_or(0));
    for [code, verdict, meaning] in lines {
        writeln!(out, "{}  {}  {meaning}", padded(&code, codes), padded(&verdict, verdicts))?;
    }
    Ok(())
}

/// Writes what is known about one code, including advice, or that nothing is known about it.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_one(out: &mut impl Write, code: i64, lang: Lang) -> io::Result<()> {
    let words = Words::new(lang);
    let say = words.say;
    if code == 0 {
        return writeln!(out, "{}", say.code_success);
    }
    let Some(entry) = error_code::lookup(code) else { return writeln!(out, "{}", (say.code_unknown)(code)) };
    let range = Some(codes_text(entry)).filter(|_| entry.codes.start() != entry.codes.end());
    let lines = [
        (say.code, Some(code.to_string())),
        (say.code_range, range),
        (say.code_verdict, Some(words.verdict(entry.class).to_owned())),
        (say.code_meaning, Some(words.meaning(Cause::Code(code)))),
        (say.code_advice, Some(words.advice(Cause::Code(code)).unwrap_or(entry.advice).to_owned())),
    ];
    let labels = lines.iter().map(|(label, _)| label.width()).max().unwrap_or(0);
    for (label, what) in lines {
        if let Some(what) = what {
            writeln!(out, "{}  {what}", padded(label, labels))?;
        }
    }
    Ok(())
}

fn codes_text(entry: &CodeEntry) -> String {
    let (first, last) = (entry.codes.start(), entry.codes.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(code: i64, lang: Lang) -> String {
        let mut out = Vec::new();
        write_one(&mut out, code, lang).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_names_every_entry_and_fits_a_terminal() {
        for (lang, head, line) in [
            (
                Lang::En,
                "CODE           VERDICT           MEANING\n",
                "\n20004          retry             a network fault",
            ),
            (Lang::Zh, "错误码         处理方式        含义\n", "\n20004          重试            服务端网络异常\n"),
        ] {
            let mut out = Vec::new();
            write_table(&mut out, lang).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.lines().count(), error_code::all().len() + 1);
            assert!(text.starts_with(head) && text.contains(line), "{text}");
            for line in text.lines() {
                assert!(line.width() <= 100, "{line}");
            }
        }
    }

    #[test]
    fn one_code_comes_with_advice() {
        assert_eq!(
            one(90012, Lang::En),
            "code     90012\nverdict  failed\nmeaning  To_Account is not registered or does not exist\n\
             advice   Check the account's spelling, and that it was imported into this app.\n"
        );
        assert!(one(120_500, Lang::En).contains("range    120001-130000\n"));
        assert_eq!(
            one(90012, Lang::Zh),
            "错误码    90012\n处理方式  失败\n含义      To_Account 未注册或不存在\n\
             处理建议  请检查账号的拼写，并确认该账号已导入应用。\n"
        );
        assert!(one(120_500, Lang::Zh).contains("范围      120001-130000\n"));
    }

    #[test]
    fn an_unknown_code_is_called_unknown() {
        assert!(one(4711, Lang::En).starts_with("4711 is not in the table."));
        assert!(one(4711, Lang::Zh).starts_with("未收录错误码 4711。"));
        assert!(one(0, Lang::En).contains("success") && one(0, Lang::Zh).contains("成功"));
    }
}
