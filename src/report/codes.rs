//! `runner codes`: the service's error codes, and what this program does about each.

use std::io::{self, Write};

use crate::api::error_code::{self, Class, CodeEntry};
use crate::ledger::Cause;
use crate::words::{Lang, Words};

/// Writes the whole table, a line a code: code, verdict, meaning. At most 100 columns wide.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_table(out: &mut impl Write, lang: Lang) -> io::Result<()> {
    let words = Words::new(lang);
    let code_width = error_code::all().iter().map(|entry| codes_text(entry).len()).max().unwrap_or(0);
    let verdict_width = Class::ALL.iter().map(|class| class.verdict_word().len()).max().unwrap_or(0);
    writeln!(out, "{:<code_width$}  {:<verdict_width$}  MEANING", "CODE", "VERDICT")?;
    for entry in error_code::all() {
        let (codes, verdict) = (codes_text(entry), entry.class.verdict_word());
        let meaning = words.meaning(Cause::Code(*entry.codes.start()));
        writeln!(out, "{codes:<code_width$}  {verdict:<verdict_width$}  {meaning}")?;
    }
    Ok(())
}

/// Writes what is known about one code, including advice, or that nothing is known about it.
///
/// # Errors
/// Those of writing to `out`.
pub fn write_one(out: &mut impl Write, code: i64, lang: Lang) -> io::Result<()> {
    if code == 0 {
        return writeln!(out, "0 is success: the service has made the edit.");
    }
    let Some(entry) = error_code::lookup(code) else {
        return writeln!(
            out,
            "{code} is not in the table. An edit that is answered with it fails, and the report names the code;\n\
             a run that gets nothing but unknown codes stops."
        );
    };
    writeln!(out, "code     {code}")?;
    if entry.codes.start() != entry.codes.end() {
        writeln!(out, "range    {}", codes_text(entry))?;
    }
    writeln!(out, "verdict  {}", entry.class.verdict_word())?;
    let words = Words::new(lang);
    writeln!(out, "meaning  {}", words.meaning(Cause::Code(code)))?;
    writeln!(out, "advice   {}", words.advice(Cause::Code(code)).unwrap_or(entry.advice))
}

fn codes_text(entry: &CodeEntry) -> String {
    let (first, last) = (entry.codes.start(), entry.codes.end());
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(code: i64) -> String {
        let mut out = Vec::new();
        write_one(&mut out, code, Lang::En).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_names_every_entry_and_fits_a_terminal() {
        let mut out = Vec::new();
        write_table(&mut out, Lang::En).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().count(), error_code::all().len() + 1);
        assert!(text.contains("\n20004          retry             a network fault"), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 100, "{line}");
        }
    }

    #[test]
    fn one_code_comes_with_advice() {
        assert_eq!(
            one(90012),
            "code     90012\nverdict  failed\nmeaning  To_Account is not registered or does not exist\n\
             advice   Check the account's spelling, and that it was imported into this app.\n"
        );
        assert!(one(120_500).contains("range    120001-130000\n"));
    }

    #[test]
    fn in_chinese_meaning_and_advice_are_in_chinese() {
        let mut out = Vec::new();
        write_one(&mut out, 90012, Lang::Zh).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("verdict  failed\nmeaning  To_Account "), "{text}");
        assert!(!text.contains("Check the account"), "{text}");
    }

    #[test]
    fn an_unknown_code_is_called_unknown() {
        assert!(one(4711).starts_with("4711 is not in the table."));
        assert!(one(0).contains("success"));
    }
}
