//! Maps the list's column names to the fields of an edit, and holds the job's content.

use std::collections::HashMap;
use std::sync::Arc;

use super::Format;
use super::dialect::{Delimiter, TextEncoding};
use super::mapping_error::MappingError;
use super::spec::{ColumnNames, ContentPart, ContentSpec, InputSpec};
use super::spoiled::CellRules;
use super::template::Content;
use crate::edit::Field;

/// The job's `[input]` and `[content]`: checked, compiled and cheap to clone.
#[derive(Clone, Debug)]
pub struct Mapping(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    encoding: Option<TextEncoding>,
    delimiter: Option<Delimiter>,
    columns: ColumnNames,
    sheet: Option<String>,
    roles: HashMap<String, Role>,
    content: Content,
    cells: CellRules,
}

/// The purpose of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// It holds a field of the edit.
    Field(Field),
    /// Allowed but not a field: ignored, named by a template, or one of this program's own notes.
    Allowed,
    /// Neither known nor mentioned in the job.
    Unknown,
}

impl Mapping {
    /// Checks the two tables against each other and compiles the templates.
    ///
    /// # Errors
    /// Fails if they contradict each other or a template is invalid.
    pub fn new(input: &InputSpec, content: &ContentSpec) -> Result<Mapping, MappingError> {
        let content = Content::new(content)?;
        let cells = CellRules::new(input)?;
        // In order of increasing precedence: a later role replaces an earlier one.
        let mut roles = HashMap::new();
        for (_, name) in content.columns() {
            refuse_reserved_column(name)?;
            roles.insert(name.to_owned(), Role::Allowed);
        }
        for field in Field::ALL.into_iter().filter(|&field| input.columns.of(field).is_none()) {
            for name in [field.column_name(), field.service_name()] {
                roles.insert(name.to_owned(), Role::Field(field));
            }
        }
        let mut mapped = Vec::new();
        for (field, name) in Field::ALL.into_iter().filter_map(|field| Some((field, input.columns.of(field)?))) {
            refuse_reserved_column(name)?;
            if mapped.contains(&name) {
                return Err(MappingError::MappedTwice { name: name.to_owned() });
            }
            mapped.push(name);
            roles.insert(name.to_owned(), Role::Field(field));
        }
        for name in &input.ignore {
            if mapped.contains(&name.as_str()) {
                return Err(MappingError::MappedAndIgnored { name: name.clone() });
            }
            roles.insert(name.clone(), Role::Allowed);
        }
        Ok(Mapping(Arc::new(Inner {
            encoding: input.encoding,
            delimiter: input.delimiter,
            columns: input.columns.clone(),
            sheet: input.sheet.clone(),
            roles,
            content,
            cells,
        })))
    }

    /// The encoding that the job names.
    pub(super) fn encoding(&self) -> Option<TextEncoding> {
        self.0.encoding
    }

    /// The separator that the job names.
    pub(super) fn delimiter(&self) -> Option<Delimiter> {
        self.0.delimiter
    }

    pub(super) fn role(&self, column: &str) -> Role {
        match self.0.roles.get(column) {
            Some(role) => *role,
            None if is_reserved_column(column) => Role::Allowed,
            None => Role::Unknown,
        }
    }

    /// The name to report for a missing field: its mapped name, else the usual one.
    pub(super) fn expected_name(&self, field: Field, format: Format) -> &str {
        self.0.columns.of(field).unwrap_or(match format {
            Format::Csv | Format::Xlsx => field.column_name(),
            Format::Jsonl | Format::Json => field.service_name(),
        })
    }

    /// The sheet of a workbook, if the job names one.
    pub(super) fn sheet(&self) -> Option<&str> {
        self.0.sheet.as_deref()
    }

    pub(super) fn content(&self) -> &Content {
        &self.0.content
    }

    pub(super) fn cells(&self) -> &CellRules {
        &self.0.cells
    }
}

/// Whether the name is reserved for this program's own notes, which annotated copies contain.
pub(super) fn is_reserved_column(column: &str) -> bool {
    column.starts_with('_')
}

fn refuse_reserved_column(name: &str) -> Result<(), MappingError> {
    if is_reserved_column(name) { Err(MappingError::ReservedColumn { name: name.to_owned() }) } else { Ok(()) }
}

/// What to do if both the list and the job give this content.
pub(super) fn content_conflict(part: ContentPart) -> String {
    format!("holds new content, and so does {part}; remove one of the two, or list the column in [input] ignore")
}

/// What to do about an unknown column.
pub(super) const UNKNOWN_ADVICE: &str =
    "in the job file, list it in [input] ignore or map it in [input.columns]; or start its name with \"_\"";
