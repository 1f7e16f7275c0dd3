//! The header of a CSV list: where each column is, or why the list cannot be read.

use std::fmt;

use super::reader::CsvRecord;
use crate::edit::Field;
use crate::input::apostrophe::{self, APOSTROPHE_COLUMNS};
use crate::input::decoder::encoding_advice;
use crate::input::dialect::Delimiter;
use crate::input::mapping::{Mapping, Role, UNKNOWN_ADVICE, content_conflict, is_reserved_column};
use crate::input::problem::join_names;
use crate::input::spec::ContentPart;
use crate::input::{COLUMNS_MAX, Format};
use crate::terminal::escape::{Name, Quoted};

/// Where a row keeps its fields: determined once, used for every row.
#[derive(Debug)]
pub(in crate::input) struct Header {
    /// The column names as written, without those at the end that are empty and without apostrophes of this program.
    pub(in crate::input) names: Vec<String>,
    /// The columns among them without a name, which must be empty.
    pub(super) nameless: Vec<usize>,
    /// The column of each field, in the order of [`Field::ALL`].
    pub(in crate::input) fields: [Option<usize>; 5],
    /// The list's name for each field; for a missing field, the expected name.
    pub(in crate::input) field_names: [String; 5],
    /// The columns that templates use.
    pub(in crate::input) template_columns: Vec<(String, usize)>,
    /// The column that says how many cells of a row got an apostrophe, in a list that this program wrote.
    apostrophes: Option<usize>,
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The list is empty.
    #[error("the list is empty; its first line must name the columns (from_account,to_account,msg_key, …)")]
    Empty,
    /// The header is not UTF-8.
    #[error("the header is not UTF-8; {}", not_utf8_advice(names.as_deref()))]
    NotUtf8 {
        /// The names, if they were GB18030.
        names: Option<Vec<String>>,
    },
    /// A quoted name is never closed.
    #[error("a quote was left open in the header")]
    UnclosedQuote,
    /// More columns than any real export has.
    #[error("the header has {found} columns; at most {COLUMNS_MAX} are read")]
    TooManyColumns {
        /// The number of columns.
        found: usize,
    },
    /// Two columns have the same name.
    #[error("two columns are named {}; rename or remove one", Name(name))]
    Duplicate {
        /// The name.
        name: String,
    },
    /// Two columns map to the same field.
    #[error(
        "the columns {} and {} both give {}; list one of them in [input] ignore",
        Name(first), Name(second), field.column_name()
    )]
    SameField {
        /// The first column.
        first: String,
        /// The second column.
        second: String,
        /// The field.
        field: Field,
    },
    /// Required columns are missing.
    #[error("the header lacks {}; {hint}", join_names(missing.iter().map(String::as_str)))]
    Missing {
        /// The expected names.
        missing: Vec<String>,
        /// What the line seems to be instead.
        hint: MissingHint,
    },
    /// Columns that are neither known nor mentioned in the job.
    #[error("unknown column: {}; {UNKNOWN_ADVICE}", join_names(columns.iter().map(String::as_str)))]
    Unknown {
        /// All unknown columns.
        columns: Vec<String>,
    },
    /// A template uses a column that is missing.
    #[error(
        "{part} needs the column {}, but the header has: {}",
        Name(column), join_names(found.iter().map(String::as_str))
    )]
    NoTemplateColumn {
        /// The part whose template it is.
        part: ContentPart,
        /// The column.
        column: String,
        /// The columns of the list.
        found: Vec<String>,
    },
    /// The list and the job both give content.
    #[error("the column {} {}", Name(column), content_conflict(*part))]
    ContentConflict {
        /// The list's column.
        column: String,
        /// The job's content.
        part: ContentPart,
    },
    /// Neither the list nor the job gives content.
    #[error(
        "there is nothing to change: the list has neither a msg_body nor a cloud_custom_data column; add one, or give \
         new content for every row with --text, --custom-data or a job file ([content])"
    )]
    NothingToChange,
}

/// What a line without the required columns seems to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissingHint {
    /// A header with these other names.
    Found(Vec<String>),
    /// The first row of data. It is not shown: it may be message text.
    Data,
    /// JSON, which is another format.
    Json,
    /// A header whose columns are separated by this character, which is not the job's.
    Separator(char),
    /// A header whose columns are separated by this character, which is not ASCII.
    WideSeparator(char),
}

impl fmt::Display for MissingHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissingHint::Found(found) => write!(
                f,
                "its columns are: {}. Rename them, or map them in the job file ([input.columns])",
                join_names(found.iter().map(String::as_str))
            ),
            MissingHint::Data => f.write_str(
                "this line looks like data, but the first line must name the columns \
                 (from_account,to_account,msg_key, …)",
            ),
            MissingHint::Json => f.write_str(
                "this line looks like JSON; name the list .jsonl or .json, or pass --input-format jsonl or json",
            ),
            MissingHint::Separator(separator) => {
                write!(
                    f,
                    "the columns seem to be separated by {separator:?}; leave out --delimiter (in a job file, [input] \
                     delimiter), or let it name that"
                )
            }
            MissingHint::WideSeparator(separator) => {
                write!(f, "the columns seem to be separated by {separator:?}; save the list with commas")
            }
        }
    }
}

impl Header {
    /// `better` is what would separate the columns better.
    pub(in crate::input) fn new(
        record: CsvRecord<'_>,
        better: Option<Delimiter>,
        mapping: &Mapping,
    ) -> Result<Header, HeaderError> {
        let apostrophes = locate_apostrophes(record)?;
        let record = if apostrophes.is_some() { record.without_apostrophes() } else { record };
        let mut names: Vec<String> = record.cells().map(str::to_owned).collect();
        names.truncate(names.iter().rposition(|name| !name.trim().is_empty()).map_or(0, |last| last + 1));
        let columns: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
        let fields = locate_fields(&columns, mapping)?;
        check_required(&columns, &fields, better, mapping)?;
        // Before unknown columns: one of those is likely the one that is meant.
        let template_columns = locate_template_columns(&columns, mapping)?;
        check_known(&columns, mapping)?;
        check_content(&columns, &fields, mapping)?;
        let field_names = Field::ALL.map(|field| match fields[field as usize] {
            Some(index) => columns[index].clone(),
            None => mapping.expected_name(field, Format::Csv).to_owned(),
        });
        let is_nameless = |&index: &usize| columns[index].is_empty() && mapping.role("") == Role::Unknown;
        let nameless = (0..columns.len()).filter(is_nameless).collect();
        Ok(Header { names, nameless, fields, field_names, template_columns, apostrophes })
    }

    /// The record without the apostrophes that this program put before cells when it wrote the list. If they are not as
    /// many as the row says, somebody has changed it, and there is no telling which belong to a cell: then the error is
    /// what is wrong.
    pub(in crate::input) fn original<'a>(&self, record: CsvRecord<'a>) -> Result<CsvRecord<'a>, (&str, String)> {
        let Some(column) = self.apostrophes else { return Ok(record) };
        let said = record.cell(column).trim();
        if said.is_empty() {
            return Ok(record);
        }
        let own = (0..self.names.len()).filter(|&index| !is_reserved_column(self.names[index].trim()));
        let found = own.filter(|&index| apostrophe::behind(record.cell(index)).is_some()).count();
        if said.parse() == Ok(found) {
            return Ok(record.without_apostrophes());
        }
        let what = format!(
            "is {}, but the row has {found} of the apostrophes that runner puts before \"=\", \"+\", \"-\" and \"@\"; copy \
             the row again from the file that runner wrote, or undo what was changed in it",
            Quoted(said)
        );
        Err((self.names[column].trim(), what))
    }

    /// Whether a row is this or another header.
    pub(super) fn is_again(&self, record: CsvRecord<'_>) -> HeaderAgain {
        let [from_account, to_account, msg_key, ..] =
            self.fields.map(|index| index.map_or("", |index| record.cell(index)));
        // An account may be called like a column, but hardly ever a message.
        if self.names_in([msg_key].into_iter()) == 0 || self.names_in([from_account, to_account].into_iter()) == 0 {
            return HeaderAgain::No;
        }
        let mut pairs = self.names.iter().zip(record.cells());
        if pairs.all(|(name, cell)| is_like(name, cell)) { HeaderAgain::Same } else { HeaderAgain::Other }
    }

    /// How many of these cells are names of the ids.
    pub(super) fn names_in<'a>(&self, cells: impl Iterator<Item = &'a str>) -> usize {
        // The second of two joined lists may have the usual names where the first has its own.
        let usual = [Field::FromAccount, Field::ToAccount, Field::MsgKey].map(Field::column_name);
        let is_name =
            |cell: &str| self.field_names[..3].iter().map(String::as_str).chain(usual).any(|name| is_like(name, cell));
        cells.filter(|cell| is_name(cell)).count()
    }
}

/// Whether a row is a header.
pub(super) enum HeaderAgain {
    No,
    /// The list's own.
    Same,
    /// One with other columns.
    Other,
}

/// Whether two names differ at most in case, in what separates their words, and in a byte-order mark, which the second of
/// two joined lists may have: `from_account`, `From_Account` and `From Account` are alike.
fn is_like(name: &str, other: &str) -> bool {
    letters(name).eq(letters(other))
}

fn letters(name: &str) -> impl Iterator<Item = char> {
    let letters = name.chars().filter(|&c| !matches!(c, '_' | '-' | '\u{feff}') && !c.is_whitespace());
    letters.map(|c| c.to_ascii_lowercase())
}

fn not_utf8_advice(names: Option<&[String]>) -> String {
    let advice = encoding_advice(names.is_some());
    match names {
        Some(names) => format!("as GB18030 it reads: {}; {advice}", join_names(names.iter().map(String::as_str))),
        None => advice.to_owned(),
    }
}

fn locate_apostrophes(record: CsvRecord<'_>) -> Result<Option<usize>, HeaderError> {
    let mut columns = record.cells().enumerate().filter(|(_, name)| APOSTROPHE_COLUMNS.contains(&name.trim()));
    match (columns.next(), columns.next()) {
        (_, Some((_, name))) => Err(HeaderError::Duplicate { name: name.trim().to_owned() }),
        (first, None) => Ok(first.map(|(index, _)| index)),
    }
}

fn locate_fields(columns: &[String], mapping: &Mapping) -> Result<[Option<usize>; 5], HeaderError> {
    let mut fields: [Option<usize>; 5] = [None; 5];
    for (index, column) in columns.iter().enumerate() {
        let Role::Field(field) = mapping.role(column) else { continue };
        if let Some(first) = fields[field as usize].replace(index).map(|first| &columns[first]) {
            return Err(if first == column {
                HeaderError::Duplicate { name: column.clone() }
            } else {
                HeaderError::SameField { first: first.clone(), second: column.clone(), field }
            });
        }
    }
    Ok(fields)
}

fn check_required(
    columns: &[String],
    fields: &[Option<usize>; 5],
    better: Option<Delimiter>,
    mapping: &Mapping,
) -> Result<(), HeaderError> {
    let missing: Vec<String> = [Field::FromAccount, Field::ToAccount, Field::MsgKey]
        .into_iter()
        .filter(|&field| fields[field as usize].is_none())
        .map(|field| mapping.expected_name(field, Format::Csv).to_owned())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let wide_separator = || columns.first().and_then(|name| name.chars().find(|c| matches!(c, '，' | '；' | '、')));
    let hint = if let Some(better) = better {
        MissingHint::Separator(better.character())
    } else if columns.first().is_some_and(|cell| cell.starts_with(['[', '{'])) {
        MissingHint::Json
    } else if columns.iter().any(|cell| looks_like_data(cell)) {
        MissingHint::Data
    } else if let (1, Some(separator)) = (columns.len(), wide_separator()) {
        MissingHint::WideSeparator(separator)
    } else {
        MissingHint::Found(columns.to_vec())
    };
    Err(HeaderError::Missing { missing, hint })
}

/// Every row contains a message key or JSON; no header does.
fn looks_like_data(cell: &str) -> bool {
    let key = cell.contains(|c: char| c.is_ascii_digit()) && cell.chars().all(|c| c.is_ascii_digit() || c == '_');
    key || cell.starts_with(['[', '{'])
}

fn check_known(columns: &[String], mapping: &Mapping) -> Result<(), HeaderError> {
    let is_unknown = |column: &&String| !column.is_empty() && mapping.role(column) == Role::Unknown;
    let unknown: Vec<String> = columns.iter().filter(is_unknown).cloned().collect();
    if !unknown.is_empty() {
        return Err(HeaderError::Unknown { columns: unknown });
    }
    // Columns that are not read may have duplicate names, unless a template uses them.
    for (_, name) in mapping.content().columns() {
        if columns.iter().filter(|column| *column == name).count() > 1 {
            return Err(HeaderError::Duplicate { name: name.to_owned() });
        }
    }
    Ok(())
}

fn check_content(columns: &[String], fields: &[Option<usize>; 5], mapping: &Mapping) -> Result<(), HeaderError> {
    let mut given = false;
    for field in [Field::MsgBody, Field::CloudCustomData] {
        match (fields[field as usize], mapping.content().part_for(field)) {
            (Some(index), Some(part)) => {
                return Err(HeaderError::ContentConflict { column: columns[index].clone(), part });
            }
            (Some(_), None) | (None, Some(_)) => given = true,
            (None, None) => {}
        }
    }
    if given { Ok(()) } else { Err(HeaderError::NothingToChange) }
}

fn locate_template_columns(columns: &[String], mapping: &Mapping) -> Result<Vec<(String, usize)>, HeaderError> {
    let mut placed = Vec::new();
    for (part, name) in mapping.content().columns() {
        let Some(index) = columns.iter().position(|column| column == name) else {
            return Err(HeaderError::NoTemplateColumn { part, column: name.to_owned(), found: columns.to_vec() });
        };
        placed.push((name.to_owned(), index));
    }
    Ok(placed)
}
