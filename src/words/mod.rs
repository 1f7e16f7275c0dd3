//! What people read, in their language and with the times of their place. One word a thing, in both languages.
//!
//! [`Phrases`] are what reports and pages are composed of. What the program says in whole sentences, such as errors and
//! questions, is translated by [`Lang::say`]. JSON, the log, metrics and the ledger are in English, always.

mod chinese;
mod english;
mod phrases;
mod sentences;

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt::Display;
use std::sync::OnceLock;
use std::time::Duration;

use clap::ValueEnum;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use self::chinese::CHINESE;
use self::english::ENGLISH;
pub use self::phrases::{LatencyCaption, OverTimeCaption, Phrases};
use crate::api::error_code::{self, Class};
use crate::ledger::{Cause, ControlAction, State};
use crate::terminal::duration::in_two_units;
use crate::terminal::escape::Quoted;

/// A language that people read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Lang {
    /// English.
    #[default]
    En,
    /// Simplified Chinese.
    Zh,
}

static OF_PROCESS: OnceLock<Lang> = OnceLock::new();

/// `RUNNER_LANG` is no language.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RUNNER_LANG: {0} is not a language of this program; set it to en or zh, or remove it")]
pub struct UnknownLang(String);

impl Lang {
    /// The language that is asked for, by the flag or by `RUNNER_LANG`; `None` if neither is given.
    ///
    /// # Errors
    /// The variable holds something else.
    pub fn asked_for(
        flag: Option<Lang>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Option<Lang>, UnknownLang> {
        let given = || variable("RUNNER_LANG").filter(|word| !word.is_empty());
        let Some(word) = (if flag.is_none() { given() } else { None }) else { return Ok(flag) };
        let word = word.to_string_lossy();
        Lang::from_str(&word, true).map(Some).map_err(|_| UnknownLang(Quoted(&word).to_string()))
    }

    /// The language of the locale: of the first that is set of `LC_ALL`, `LC_MESSAGES` and `LANG`.
    pub fn of_locale(variable: impl Fn(&str) -> Option<OsString>) -> Lang {
        let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
            .into_iter()
            .find_map(|name| variable(name).filter(|word| !word.is_empty()));
        match set {
            Some(locale) if locale.to_string_lossy().starts_with("zh") => Lang::Zh,
            Some(_) | None => Lang::En,
        }
    }

    /// Makes this the language of the process, once its command line has been read.
    pub fn speak(self) {
        // A second call has no effect: what has been said already was in the first language.
        let _ = OF_PROCESS.set(self);
    }

    /// The language of the process: English until [`Lang::speak`].
    pub fn of_process() -> Lang {
        OF_PROCESS.get().copied().unwrap_or_default()
    }

    /// An English sentence of this program, in this language. What has no translation stays English.
    pub fn say(self, sentence: impl Display) -> String {
        let sentence = sentence.to_string();
        match self {
            Lang::En => sentence,
            Lang::Zh => sentences::in_chinese(&sentence).unwrap_or(sentence),
        }
    }

    /// The lines that a terminal shows, with columns and styles, in this language.
    pub fn say_lines(self, lines: &str) -> Cow<'_, str> {
        match self {
            Lang::En => Cow::Borrowed(lines),
            Lang::Zh => Cow::Owned(sentences::lines_in_chinese(lines)),
        }
    }
}

/// How things are said: the phrases of a language, and the times of a place.
#[derive(Clone, Debug)]
pub struct Words {
    /// The language.
    pub lang: Lang,
    /// Its phrases.
    pub say: &'static Phrases,
    /// Where the times are those of.
    pub zone: TimeZone,
}

impl Words {
    /// With the times of this machine's place.
    pub fn new(lang: Lang) -> Words {
        Words::at(lang, TimeZone::system())
    }

    /// With the times of some place.
    pub fn at(lang: Lang, zone: TimeZone) -> Words {
        let say = match lang {
            Lang::En => &ENGLISH,
            Lang::Zh => &CHINESE,
        };
        Words { lang, say, zone }
    }

    /// What a CSV file for people begins with: without this mark a spreadsheet program in Chinese takes it for GBK. Lists are
    /// read with the mark as without it.
    pub fn csv_mark(&self) -> &'static [u8] {
        match self.lang {
            Lang::En => b"",
            Lang::Zh => "\u{feff}".as_bytes(),
        }
    }

    /// The meaning of an answer: a fragment without a full stop.
    pub fn meaning(&self, cause: Cause) -> String {
        match (cause, self.lang) {
            (Cause::Code(0), _) => self.say.success.to_owned(),
            (Cause::Code(code), Lang::En) => error_code::meaning(code).to_owned(),
            (Cause::Code(code), Lang::Zh) => {
                chinese::codes::meaning(code).unwrap_or(chinese::codes::UNKNOWN).to_owned()
            }
            (Cause::Note(note), lang) => lang.say(note.meaning()),
        }
    }

    /// What to do about an answer, if anything.
    pub fn advice(&self, cause: Cause) -> Option<&'static str> {
        match (cause, self.lang) {
            (Cause::Code(code), Lang::En) => error_code::lookup(code).map(|entry| entry.advice),
            (Cause::Code(code), Lang::Zh) => chinese::codes::advice(code),
            (Cause::Note(_), _) => None,
        }
    }

    /// What a run does about answers of this class, in a few words.
    pub fn verdict(&self, class: Class) -> &'static str {
        match self.lang {
            Lang::En => class.verdict_word(),
            Lang::Zh => chinese::codes::verdict(class),
        }
    }

    /// The word for where an edit stands.
    pub fn state(&self, state: State) -> &'static str {
        match state {
            State::Sending => self.say.in_flight,
            State::Waiting => self.say.not_reached,
            State::Done => self.say.done,
            State::Failed => self.say.failed,
            State::InDoubt => self.say.in_doubt,
        }
    }

    /// How a run ended, by the ledger's word; `None`: it has not, or that is not known.
    pub fn ended(&self, ended: Option<&str>, goes_on: bool) -> &'static str {
        match ended {
            Some("finished") => self.say.ended_finished,
            Some("interrupted") => self.say.ended_interrupted,
            Some("stopped") => self.say.ended_stopped,
            None if goes_on => self.say.goes_on,
            // The ledger has no other word, and its next run records `died` for one that never ended.
            Some(_) | None => self.say.ended_died,
        }
    }

    /// An operator's action on a run.
    pub fn order(&self, order: ControlAction) -> String {
        match order {
            ControlAction::Pause => self.say.order_pause.to_owned(),
            ControlAction::Resume => self.say.order_resume.to_owned(),
            ControlAction::Stop => self.say.order_stop.to_owned(),
            ControlAction::Rate(rate) => (self.say.order_rate)(rate.get()),
        }
    }

    /// A length of time: two units at most, tenths below ten seconds.
    pub fn length(&self, length: Duration) -> String {
        if length < Duration::from_secs(10) {
            return format!("{:.1} {}", length.as_secs_f64(), self.say.units[3]);
        }
        in_two_units(length, self.say.units)
    }

    /// A moment, given in milliseconds since 1970: `2026-11-25 13:40:01`.
    pub fn moment(&self, at: i64) -> String {
        self.time(at, "%Y-%m-%d %H:%M:%S")
    }

    /// Its time of day with seconds.
    pub fn clock(&self, at: i64) -> String {
        self.time(at, "%H:%M:%S")
    }

    /// Its time of day without.
    pub fn minute(&self, at: i64) -> String {
        self.time(at, "%H:%M")
    }

    /// Its day, without the year.
    pub fn day(&self, at: i64) -> String {
        self.time(at, self.say.day_format)
    }

    fn time(&self, at: i64, format: &str) -> String {
        let Ok(time) = Timestamp::from_millisecond(at) else { return at.to_string() };
        time.to_zoned(self.zone.clone()).strftime(format).to_string()
    }

    /// How far its place is ahead of UTC then, in milliseconds.
    pub fn ahead_ms(&self, at: i64) -> i64 {
        let time = Timestamp::from_millisecond(at).unwrap_or_default();
        i64::from(self.zone.to_offset(time).seconds()) * 1_000
    }

    /// The place: `Asia/Shanghai, UTC+08:00`.
    pub fn place(&self, at: i64) -> String {
        let offset = self.time(at, "UTC%:z");
        match self.zone.iana_name() {
            Some(name) if name != "UTC" => format!("{name}{}{offset}", self.say.comma),
            Some(_) | None => offset,
        }
    }
}

/// A moment for programs: RFC 3339, UTC.
pub fn iso(at: i64) -> String {
    Timestamp::from_millisecond(at).map_or_else(|_| at.to_string(), |time| format!("{time:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_then_the_variable_then_the_locale_decide() {
        let lang = |flag, environment: &[(&str, &str)]| {
            let variable =
                |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
            let asked_for = Lang::asked_for(flag, variable).map_err(|error| error.to_string())?;
            Ok::<_, String>(asked_for.unwrap_or_else(|| Lang::of_locale(variable)))
        };
        assert_eq!(lang(None, &[]), Ok(Lang::En));
        assert_eq!(lang(None, &[("LANG", "zh_CN.UTF-8")]), Ok(Lang::Zh));
        assert_eq!(lang(None, &[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "C")]), Ok(Lang::En));
        assert_eq!(lang(None, &[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "")]), Ok(Lang::Zh));
        assert_eq!(lang(None, &[("RUNNER_LANG", "ZH"), ("LC_ALL", "C")]), Ok(Lang::Zh));
        assert_eq!(lang(Some(Lang::En), &[("RUNNER_LANG", "zh")]), Ok(Lang::En));
        assert!(lang(None, &[("RUNNER_LANG", "fr")]).unwrap_err().contains("\"fr\""));
    }

    #[test]
    fn times_are_those_of_the_place() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let words = Words::at(Lang::Zh, zone);
        assert_eq!(words.moment(1_764_079_201_500), "2025-11-25 22:00:01");
        assert_eq!(
            (words.day(1_764_079_201_500), words.minute(1_764_079_201_500)),
            ("11月25日".into(), "22:00".into())
        );
        assert_eq!(words.place(0), "UTC+08:00");
        assert_eq!(iso(1_764_079_201_500), "2025-11-25T14:00:01.500Z");
    }

    #[test]
    fn lengths_have_in_two_units_at_most() {
        let (english, chinese) = (Words::at(Lang::En, TimeZone::UTC), Words::at(Lang::Zh, TimeZone::UTC));
        for (ms, in_english, in_chinese) in [
            (400, "0.4 s", "0.4 秒"),
            (59_999, "59 s", "59 秒"),
            (1_999_000, "33 min 19 s", "33 分 19 秒"),
            (50_400_000, "14 h 0 min", "14 小时 0 分"),
            (200_000_000, "2 d 7 h", "2 天 7 小时"),
        ] {
            let length = Duration::from_millis(ms);
            assert_eq!((english.length(length), chinese.length(length)), (in_english.into(), in_chinese.into()));
        }
    }
}
