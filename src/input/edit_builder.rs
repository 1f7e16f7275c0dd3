//! Builds an edit from a row's fields and the job's content, or reports everything that is wrong with them.

use std::borrow::Cow;
use std::sync::Arc;

use super::mapping::Mapping;
use super::problem::Problem;
use super::spec::ContentPart;
use super::template::{ContentSource, Lookup, RenderError};
use crate::edit::{Edit, EitherWay, Field, Finding, MessageId, MsgBody};

/// The fields of one row.
pub(super) struct RowFields<'a> {
    pub(super) line: u64,
    /// In the order of [`Field::ALL`].
    pub(super) values: [Option<Cow<'a, str>>; 5],
    /// What the list calls each of them.
    pub(super) names: [&'a str; 5],
}

impl RowFields<'_> {
    /// The message that the fields name, without its direction; a missing field counts as empty.
    pub(super) fn message(mut self, mapping: &Mapping) -> EitherWay {
        mapping.cells().apply(&mut self.values);
        let [from_account, to_account, msg_key, ..] =
            self.values.each_ref().map(|value| value.as_deref().unwrap_or(""));
        EitherWay::of([from_account, to_account, msg_key])
    }
}

/// Builds edits. Content that repeats from row to row is checked and stored once.
#[derive(Clone)]
pub(super) struct EditBuilder {
    mapping: Mapping,
    last_body: Option<MsgBody>,
    last_data: Option<Arc<str>>,
}

impl EditBuilder {
    pub(super) fn new(mapping: &Mapping) -> EditBuilder {
        EditBuilder { mapping: mapping.clone(), last_body: None, last_data: None }
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) fn build(&mut self, fields: RowFields<'_>, lookup: &Lookup<'_>) -> Result<Edit, Vec<Problem>> {
        let RowFields { line, mut values, names } = fields;
        let mut errors = Vec::new();
        self.mapping.cells().apply(&mut values);
        self.refuse_spoiled(&mut values, &mut errors);
        let [from_account, to_account, msg_key, body, data] = values;
        let body = self.body(body.as_deref(), lookup, &mut errors);
        let data = self.data(data.as_deref(), lookup, &mut errors);
        // Content that failed to render must not be reported as absent too.
        let data = if errors.is_empty() { data } else { Some("".into()) };
        let text = |value: Option<Cow<'_, str>>| value.map_or_else(String::new, Cow::into_owned);
        let id = MessageId { from_account: text(from_account), to_account: text(to_account), msg_key: text(msg_key) };
        match Edit::new(id, body, data) {
            Ok(edit) if errors.is_empty() => return Ok(edit),
            Ok(_) => {}
            Err(findings) => errors.extend(findings.into_iter().map(BuildError::Finding)),
        }
        Err(errors.into_iter().map(|error| self.problem(line, names, error)).collect())
    }

    /// Reports spoiled cells, and puts an id that has no other fault in place of a spoiled one: each has one problem.
    fn refuse_spoiled(&self, values: &mut [Option<Cow<'_, str>>; 5], errors: &mut Vec<BuildError>) {
        let cells = self.mapping.cells();
        for (field, value) in Field::ALL.into_iter().zip(values) {
            let Some(cell) = value.as_deref() else { continue };
            let (problem, instead) = match field {
                Field::FromAccount | Field::ToAccount | Field::MsgKey => {
                    (cells.id_problem(cell), Some("spoiled".into()))
                }
                Field::MsgBody | Field::CloudCustomData => (cells.content_problem(cell), None),
            };
            if let Some(what) = problem {
                errors.push(BuildError::Finding(Finding { field, what }));
                *value = instead;
            }
        }
    }

    fn body(&mut self, cell: Option<&str>, lookup: &Lookup<'_>, errors: &mut Vec<BuildError>) -> Option<MsgBody> {
        let text = match (&self.mapping.content().body, cell) {
            (Some(ContentSource::Fixed(_, body)), _) => return Some(body.clone()),
            (Some(ContentSource::Template(template)), _) => {
                let text = template
                    .render(lookup, self.mapping.cells())
                    .map_err(|error| errors.push(BuildError::RenderError(error)))
                    .ok()?;
                match template.part() {
                    ContentPart::Text => return Some(MsgBody::of_text(&text)),
                    ContentPart::MsgBody
                    | ContentPart::CloudCustomData
                    | ContentPart::TextFlag
                    | ContentPart::CustomDataFlag => Cow::Owned(text),
                }
            }
            (None, Some(cell)) => Cow::Borrowed(cell),
            (None, None) => return None,
        };
        let last = self.last_body.as_ref().filter(|body| body.text() == text.trim());
        if let Some(last) = last {
            return Some(last.clone());
        }
        match MsgBody::parse(&text) {
            Ok(body) => {
                self.last_body = Some(body.clone());
                Some(body)
            }
            Err(findings) => {
                errors.extend(findings.into_iter().map(BuildError::Finding));
                None
            }
        }
    }

    fn data(&mut self, cell: Option<&str>, lookup: &Lookup<'_>, errors: &mut Vec<BuildError>) -> Option<Arc<str>> {
        let text = match (&self.mapping.content().data, cell) {
            (Some(ContentSource::Fixed(_, data)), _) => return Some(Arc::clone(data)),
            (Some(ContentSource::Template(template)), _) => Cow::Owned(
                template
                    .render(lookup, self.mapping.cells())
                    .map_err(|error| errors.push(BuildError::RenderError(error)))
                    .ok()?,
            ),
            (None, Some(cell)) => Cow::Borrowed(cell),
            (None, None) => return None,
        };
        if self.last_data.as_deref() != Some(text.as_ref()) {
            self.last_data = Some(Arc::from(text));
        }
        self.last_data.clone()
    }

    fn problem(&self, line: u64, names: [&str; 5], error: BuildError) -> Problem {
        match error {
            BuildError::RenderError(RenderError { column: Some(column), what }) => {
                Problem::of_column(line, &column, what)
            }
            BuildError::RenderError(RenderError { column: None, what }) => Problem::of_row(line, what),
            BuildError::Finding(Finding { field, what }) => match self.mapping.content().part_for(field) {
                Some(part) => Problem::of_row(line, format!("{part} {what}")),
                None => Problem::of_column(line, names[field as usize], what),
            },
        }
    }
}

/// What is wrong, before it is reported under the list's own column names.
enum BuildError {
    RenderError(RenderError),
    Finding(Finding),
}
