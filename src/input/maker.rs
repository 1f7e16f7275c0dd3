//! From the fields of a row and the job's content to an edit, or to everything that is wrong with it.

use std::borrow::Cow;
use std::sync::Arc;

use super::mapping::Mapping;
use super::problem::Problem;
use super::spec::ContentPart;
use super::template::{Lookup, RenderedPart, Unfilled};
use crate::edit::{Edit, Finding, IdDigest, MessageId, MsgBody};

/// The fields that one row gives.
pub(super) struct Fields<'a> {
    pub(super) line: u64,
    /// In the order of [`Field::ALL`].
    pub(super) values: [Option<Cow<'a, str>>; 5],
    /// What the list calls each of them.
    pub(super) names: [&'a str; 5],
}

impl Fields<'_> {
    /// The message that they name; what is not there is as good as empty.
    pub(super) fn message(&self) -> IdDigest {
        let [from_account, to_account, msg_key, ..] =
            self.values.each_ref().map(|value| value.as_deref().unwrap_or(""));
        IdDigest::of([from_account, to_account, msg_key])
    }
}

/// Puts edits together from what rows and the job give. Content that repeats from row to row is checked and kept once.
#[derive(Clone)]
pub(super) struct EditMaker {
    mapping: Mapping,
    last_body: Option<MsgBody>,
    last_data: Option<Arc<str>>,
}

impl EditMaker {
    pub(super) fn new(mapping: &Mapping) -> EditMaker {
        EditMaker { mapping: mapping.clone(), last_body: None, last_data: None }
    }

    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(super) fn make(&mut self, fields: Fields<'_>, lookup: &Lookup<'_>) -> Result<Edit, Vec<Problem>> {
        let Fields { line, values: [from_account, to_account, msg_key, body, data], names } = fields;
        let mut problems = Vec::new();
        let body = self.body(body.as_deref(), lookup, &mut problems);
        let data = self.data(data.as_deref(), lookup, &mut problems);
        // Content that could not be made must not be told as absent as well.
        let data = if problems.is_empty() { data } else { Some("".into()) };
        let text = |value: Option<Cow<'_, str>>| value.map_or_else(String::new, Cow::into_owned);
        let id = MessageId { from_account: text(from_account), to_account: text(to_account), msg_key: text(msg_key) };
        match Edit::new(id, body, data) {
            Ok(edit) if problems.is_empty() => return Ok(edit),
            Ok(_) => {}
            Err(findings) => problems.extend(findings.into_iter().map(RowFault::Finding)),
        }
        Err(problems.into_iter().map(|fault| self.problem(line, names, fault)).collect())
    }

    fn body(&mut self, cell: Option<&str>, lookup: &Lookup<'_>, faults: &mut Vec<RowFault>) -> Option<MsgBody> {
        let text = match (&self.mapping.content().body, cell) {
            (Some(RenderedPart::Once(_, body)), _) => return Some(body.clone()),
            (Some(RenderedPart::PerRow(template)), _) => {
                let text =
                    template.render(lookup).map_err(|unfilled| faults.push(RowFault::Unfilled(unfilled))).ok()?;
                match template.part() {
                    ContentPart::Text => return Some(MsgBody::of_text(&text)),
                    ContentPart::MsgBody | ContentPart::CloudCustomData => Cow::Owned(text),
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
                faults.extend(findings.into_iter().map(RowFault::Finding));
                None
            }
        }
    }

    fn data(&mut self, cell: Option<&str>, lookup: &Lookup<'_>, faults: &mut Vec<RowFault>) -> Option<Arc<str>> {
        let text = match (&self.mapping.content().data, cell) {
            (Some(RenderedPart::Once(_, data)), _) => return Some(Arc::clone(data)),
            (Some(RenderedPart::PerRow(template)), _) => {
                Cow::Owned(template.render(lookup).map_err(|unfilled| faults.push(RowFault::Unfilled(unfilled))).ok()?)
            }
            (None, Some(cell)) => Cow::Borrowed(cell),
            (None, None) => return None,
        };
        if self.last_data.as_deref() != Some(text.as_ref()) {
            self.last_data = Some(Arc::from(text));
        }
        self.last_data.clone()
    }

    fn problem(&self, line: u64, names: [&str; 5], fault: RowFault) -> Problem {
        match fault {
            RowFault::Unfilled(Unfilled { column: Some(column), what }) => Problem::of_column(line, &column, what),
            RowFault::Unfilled(Unfilled { column: None, what }) => Problem::of_row(line, what),
            RowFault::Finding(Finding { field, what }) => match self.mapping.content().part_for(field) {
                Some(part) => Problem::of_row(line, format!("{part} {what}")),
                None => Problem::of_column(line, names[field as usize], what),
            },
        }
    }
}

/// What is wrong, before the list's own names are put to it.
enum RowFault {
    Unfilled(Unfilled),
    Finding(Finding),
}
