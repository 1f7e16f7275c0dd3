//! Cells that a spreadsheet or an export has spoiled: refused before anything is sent, because what was there before is
//! lost, and an edit that names another message or sets a wrong text cannot be undone.
//!
//! An id is refused if it has a form that spreadsheets and exports make and ids do not have. Forms that a real id may
//! have too (zeros at its end, say) are only warned about, once for the list: see `run::suspicions`.

use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use minijinja::Value;
use regex::Regex;

use super::mapping_error::MappingError;
use super::spec::InputSpec;
use crate::edit::Field;
use crate::terminal::escape::{Quoted, is_invisible};

/// What the job says about cells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CellRules {
    /// Whether white space around ids is taken off.
    trim: bool,
    /// Words that stand for an empty cell.
    absent: Vec<String>,
    /// Whether other words for "nothing" are text.
    null_is_text: bool,
}

/// The fields whose cells are ids.
const IDS: [Field; 3] = [Field::FromAccount, Field::ToAccount, Field::MsgKey];

/// Words that databases and programs write for "nothing", in any case: SQL, JSON, Python, pandas, Go, Lua, JavaScript.
const NULL_WORDS: [&str; 12] =
    ["null", "(null)", "<null>", "none", "<none>", "nan", "-nan", "nil", "<nil>", "undefined", "n/a", "<na>"];
/// The same, only if written like this: MySQL, R, pandas.
const NULL_WORDS_EXACT: [&str; 3] = [r"\N", "NA", "NaT"];
const NULL_WORD_BYTES_MAX: usize = 9;

/// What spreadsheets show in place of a value, in the languages whose words differ.
const ERROR_WORDS: [&str; 59] = [
    // English. Chinese and Japanese have most of these too.
    "#N/A",
    "#REF!",
    "#VALUE!",
    "#NAME?",
    "#DIV/0!",
    "#NULL!",
    "#NUM!",
    "#SPILL!",
    "#CALC!",
    "#GETTING_DATA",
    "#FIELD!",
    "#BLOCKED!",
    "#CONNECT!",
    "#UNKNOWN!",
    "#BUSY!",
    "#EXTERNAL!",
    "#PYTHON!",
    "#TIMEOUT!",
    "#ERROR!",
    "Loading...",
    // Chinese.
    "#溢出!",
    "#计算!",
    "#字段!",
    "#已阻止!",
    "#连接!",
    "#未知!",
    "#忙!",
    // German.
    "#NV",
    "#BEZUG!",
    "#WERT!",
    "#ZAHL!",
    "#ÜBERLAUF!",
    "#KALK!",
    "#FELD!",
    // French.
    "#VALEUR!",
    "#NOM?",
    "#NOMBRE!",
    "#NUL!",
    "#PROPAGATION!",
    // Spanish, Italian and Portuguese.
    "#N/D",
    "#¡REF!",
    "#¡VALOR!",
    "#¿NOMBRE?",
    "#¡NUM!",
    "#¡DIV/0!",
    "#¡NULO!",
    "#VALOR!",
    "#NOME?",
    "#VALORE!",
    "#RIF!",
    // Polish and Russian.
    "#ARG!",
    "#ADR!",
    "#LICZBA!",
    "#Н/Д",
    "#ССЫЛКА!",
    "#ЗНАЧ!",
    "#ИМЯ?",
    "#ЧИСЛО!",
    "#ДЕЛ/0!",
];
const ERROR_WORD_BYTES_MAX: usize = 18;

/// What to do where the value itself is lost.
const FILL_AGAIN: &str = "format the column as text there, fill it from its source again, and export again";

/// What has happened to a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoiled<'a> {
    SpaceAround {
        is_before: bool,
        character: char,
    },
    NullWord {
        word: &'a str,
        /// The words that the job gives already.
        absent: &'a [String],
    },
    ErrorWord(&'a str),
    TooNarrow(&'a str),
    Scientific(&'a str),
    Fraction(&'a str),
    Grouped(&'a str),
    Moment(&'a str),
    Formula,
    Apostrophe,
}

impl fmt::Display for Spoiled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Spoiled::SpaceAround { is_before, character } => write!(
                f,
                "{} with {}; take it out of the list, or have it taken off: trim = true under [input] in the job file",
                if is_before { "begins" } else { "ends" },
                SpaceName(character),
            ),
            Spoiled::NullWord { word, absent } => {
                // The words that the job has stay in it.
                let words: Vec<_> = absent.iter().map(String::as_str).chain([word]).map(|word| Quoted(word).to_string()).collect();
                write!(
                    f,
                    "is {}, a word for \"nothing\"; take it out of the list, or say in the job file what is meant: under \
                     [input], null = [{}] (the cell counts as empty) or null = [] (it is text)",
                    Quoted(word),
                    words.join(", ")
                )
            }
            Spoiled::ErrorWord(word) => write!(
                f,
                "is {}, an error of a spreadsheet; mend it there, or take the row out, and export again",
                Quoted(word)
            ),
            Spoiled::TooNarrow(cell) => write!(
                f,
                "is {}, which a spreadsheet shows where a column is too narrow; widen the column, format it as text, and \
                 export again",
                Quoted(cell)
            ),
            Spoiled::Scientific(cell) => {
                write!(f, "is {}, an id that a spreadsheet has rounded; {FILL_AGAIN}", Quoted(cell))
            }
            Spoiled::Fraction(cell) => {
                write!(f, "is {}, an id that was exported as a number; export the column as text", Quoted(cell))
            }
            Spoiled::Grouped(cell) => write!(
                f,
                "is {}, an id that was exported as a number with separators; format the column as text, and export again",
                Quoted(cell)
            ),
            Spoiled::Moment(cell) => write!(
                f,
                "is {}, a date or a time, which a spreadsheet makes of ids that look like one; {FILL_AGAIN}",
                Quoted(cell)
            ),
            Spoiled::Formula => f.write_str(
                "begins with \"=\", as a spreadsheet's formula does; format the column as text there, without formulas, \
                 and export again",
            ),
            Spoiled::Apostrophe => f.write_str(
                "begins with an apostrophe, with which spreadsheets mark text; take it off there, format the column as \
                 text, and export again",
            ),
        }
    }
}

/// White space by a name that can be looked for: most of it cannot be seen.
struct SpaceName(char);

impl fmt::Display for SpaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.0 {
            ' ' => return f.write_str("a space"),
            '\t' => return f.write_str("a tab"),
            '\r' | '\n' => return f.write_str("a line end"),
            '\u{a0}' | '\u{202f}' => "a no-break space",
            '\u{3000}' => "an ideographic space",
            '\u{feff}' => "a byte-order mark",
            '\u{200b}'..='\u{200d}' | '\u{2060}' => "a zero-width character",
            c if c.is_whitespace() => "a space of another width",
            _ => "an invisible character",
        };
        write!(f, "{name} (U+{:04X})", u32::from(self.0))
    }
}

impl CellRules {
    pub(super) fn new(spec: &InputSpec) -> Result<CellRules, MappingError> {
        let absent = spec.null.clone().unwrap_or_default();
        if let Some(word) = absent.iter().find(|word| word.is_empty() || word.trim() != word.as_str()) {
            return Err(MappingError::NullWord { word: word.clone() });
        }
        let null_is_text = spec.null.as_ref().is_some_and(Vec::is_empty);
        Ok(CellRules { trim: spec.trim, absent, null_is_text })
    }

    /// Reads cells, in the order of [`Field::ALL`], as the job says: without white space around ids, and without those
    /// that count as empty.
    pub(super) fn apply(&self, cells: &mut [Option<Cow<'_, str>>; 5]) {
        if self.trim {
            for field in IDS {
                if let Some(cell) = cells[field as usize].as_mut()
                    && space_around(cell).is_some()
                {
                    trim(cell);
                }
            }
        }
        if self.absent.is_empty() {
            return;
        }
        for cell in cells {
            if cell.as_deref().is_some_and(|cell| self.is_absent(cell)) {
                *cell = None;
            }
        }
    }

    /// What is wrong with an id, if it is spoiled.
    pub(super) fn id_problem(&self, cell: &str) -> Option<String> {
        let spoiled = space_around(cell).or_else(|| self.null_or_error(cell)).or_else(|| spoiled_id(cell))?;
        Some(spoiled.to_string())
    }

    /// What is wrong with a cell of new content, or one that a template inserts. Only whole cells are: a sentence may
    /// hold any of these words.
    pub(super) fn content_problem(&self, cell: &str) -> Option<String> {
        // Most content is longer than any such word.
        if cell.len() > ERROR_WORD_BYTES_MAX && begins_and_ends_in_sight(cell) {
            return None;
        }
        Some(self.null_or_error(cell.trim())?.to_string())
    }

    /// A value for a template: `None` if its cell counts as empty.
    pub(super) fn template_value(&self, value: Value) -> Result<Option<Value>, String> {
        let Some(cell) = value.as_str() else { return Ok(Some(value)) };
        match self.content_problem(cell) {
            Some(what) => Err(what),
            None if self.is_absent(cell) => Ok(None),
            None => Ok(Some(value)),
        }
    }

    /// Whether the cell is a word for "nothing", which is absent or refused.
    pub(super) fn is_nothing(&self, cell: &str) -> bool {
        self.is_absent(cell) || matches!(self.null_or_error(cell.trim()), Some(Spoiled::NullWord { .. }))
    }

    fn is_absent(&self, cell: &str) -> bool {
        !self.absent.is_empty() && self.absent.iter().any(|word| word == cell.trim())
    }

    /// `word` has no white space around it.
    fn null_or_error<'a>(&'a self, word: &'a str) -> Option<Spoiled<'a>> {
        if word.len() > ERROR_WORD_BYTES_MAX {
            return None;
        }
        match word.bytes().next()? {
            b'n' | b'N' | b'u' | b'U' | b'(' | b'<' | b'-' | b'\\' => {
                let is_refused = !self.null_is_text && is_null_word(word) && !self.is_absent(word);
                is_refused.then_some(Spoiled::NullWord { word, absent: &self.absent })
            }
            b'#' | b'L' => ERROR_WORDS.contains(&word).then_some(Spoiled::ErrorWord(word)),
            // LibreOffice numbers its errors.
            b'E' => {
                let number = word.strip_prefix("Err:")?;
                let is_error = number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit());
                is_error.then_some(Spoiled::ErrorWord(word))
            }
            _ => None,
        }
    }
}

fn is_null_word(word: &str) -> bool {
    word.len() <= NULL_WORD_BYTES_MAX
        && (NULL_WORDS.iter().any(|null| null.eq_ignore_ascii_case(word)) || NULL_WORDS_EXACT.contains(&word))
}

/// White space, or something that looks like it or like nothing. A control character other than these is damage.
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n') || (c.is_whitespace() && !c.is_control()) || is_invisible(c)
}

/// Whether its first and last byte are characters that can be seen, as those of most cells are.
fn begins_and_ends_in_sight(cell: &str) -> bool {
    matches!(cell.as_bytes(), [b'!'..=b'~'] | [b'!'..=b'~', .., b'!'..=b'~'])
}

fn space_around(cell: &str) -> Option<Spoiled<'_>> {
    if begins_and_ends_in_sight(cell) {
        return None;
    }
    let before = cell.chars().next().filter(|&c| is_space(c));
    let after = cell.chars().next_back().filter(|&c| is_space(c));
    let is_before = before.is_some();
    before.or(after).map(|character| Spoiled::SpaceAround { is_before, character })
}

fn trim(cell: &mut Cow<'_, str>) {
    match cell {
        Cow::Borrowed(text) => *text = text.trim_matches(is_space),
        Cow::Owned(text) => *text = text.trim_matches(is_space).to_owned(),
    }
}

/// The forms that only ids lose their own in.
fn spoiled_id(cell: &str) -> Option<Spoiled<'_>> {
    match cell.bytes().next()? {
        b'\'' => Some(Spoiled::Apostrophe),
        b'=' => Some(Spoiled::Formula),
        b'#' if cell.len() > 1 && cell.bytes().all(|byte| byte == b'#') => Some(Spoiled::TooNarrow(cell)),
        b'0'..=b'9' | b'+' | b'-' => spoiled_number(cell),
        _ => None,
    }
}

/// Patterns for whole cells. `\d` would be any script's digits.
static SCIENTIFIC: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern(r"[+-]?[0-9]+(?:[.,][0-9]+[eE][+-]?|[eE][+-])[0-9]+"));
/// At least five digits, as `1.0` may be a version.
static FRACTION: LazyLock<Option<Regex>> = LazyLock::new(|| pattern(r"[+-]?[0-9]{5,}[.,]0+"));
static GROUPED: LazyLock<Option<Regex>> =
    LazyLock::new(|| pattern("[+-]?[0-9]{1,3}(?:(?:,[0-9]{3})+|(?:'[0-9]{3})+|(?:[\u{a0}\u{202f}][0-9]{3})+)"));
static MOMENT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let (year, month, day) = ("(?:19|20)[0-9]{2}", "(?:0?[1-9]|1[0-2])", "(?:0?[1-9]|[12][0-9]|3[01])");
    let month_name = "(?:[Jj]an|[Ff]eb|[Mm]ar|[Mm]rz|[Mm]är|[Aa]pr|[Mm]ay|[Mm]ai|[Jj]un|[Jj]ul|[Aa]ug|[Ss]ep|[Ss]ept|\
                      [Oo]ct|[Oo]kt|[Nn]ov|[Dd]ec|[Dd]ez)";
    let date = [
        format!("{year}(?:-{month}-{day}|/{month}/{day}|[.]{month}[.]{day})"),
        format!("{day}/{day}(?:/(?:{year}|[0-9]{{2}}))?"),
        format!("{day}-{day}-{year}"),
        format!("{day}[.]{month}[.]{year}"),
        "(?:0[1-9]|[12][0-9]|3[01])[.](?:0[1-9]|1[0-2])[.][0-9]{2}".to_owned(),
        format!("{day}[-. ]{{1,2}}{month_name}(?:[-. ]{{1,2}}(?:{year}|[0-9]{{2}}))?"),
        format!("(?:(?:{year}|[0-9]{{2}})年)?{month}月(?:{day}日)?"),
    ];
    let time = "[0-9]{1,3}:[0-5][0-9](?::[0-5][0-9])?(?:[.,][0-9]+)?(?: ?[AaPp][Mm])?";
    pattern(&format!("(?:(?:{})(?:[T ].*[0-9]:[0-9]{{2}}.*)?|{time})", date.join("|")))
});

/// Fixed patterns, which a test compiles: so there is always one.
fn pattern(text: &str) -> Option<Regex> {
    Regex::new(&format!("^(?:{text})$")).ok()
}

/// Dates and times begin with no more digits.
const YEAR_DIGITS: usize = 4;
/// Longer cells are none of these, and would take long to compare.
const NUMBER_BYTES_MAX: usize = 48;

fn spoiled_number(cell: &str) -> Option<Spoiled<'_>> {
    if cell.len() > NUMBER_BYTES_MAX {
        return None;
    }
    // What follows the first digits tells most ids apart from these without comparing patterns, which takes ten times as
    // long.
    let rest = cell.trim_start_matches(['+', '-']).trim_start_matches(|c: char| c.is_ascii_digit());
    let is = |pattern: &LazyLock<Option<Regex>>| pattern.as_ref().is_some_and(|pattern| pattern.is_match(cell));
    let scientific = || is(&SCIENTIFIC).then_some(Spoiled::Scientific(cell));
    let moment = || is(&MOMENT).then_some(Spoiled::Moment(cell));
    let fraction = || is(&FRACTION).then_some(Spoiled::Fraction(cell));
    let grouped = || is(&GROUPED).then_some(Spoiled::Grouped(cell));
    match rest.chars().next()? {
        'e' | 'E' => scientific(),
        '.' | ',' => scientific().or_else(moment).or_else(fraction).or_else(grouped),
        '\'' | '\u{a0}' | '\u{202f}' => grouped(),
        '-' | '/' | ':' | ' ' | '年' | '月' if cell.len() - rest.len() <= YEAR_DIGITS => moment(),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
