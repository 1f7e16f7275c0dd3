//! New content from the job: templates, filled in from each row's columns.
//!
//! A template that names no column is rendered and checked once, and shared by every row.

use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::mapping_error::MappingError;
use super::spec::{ContentPart, ContentSpec};
use crate::edit::{CONTENT_BYTES_MAX, Field, MsgBody};

/// Bytes of rendered text at most: five times the content that the service takes, so that white space in a template of
/// JSON does not matter. A loop in a template would otherwise fill the memory.
const RENDERED_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a template's own text at most: twice the content that the service takes, for what a template chooses between.
const TEMPLATE_BYTES_MAX: usize = 2 * CONTENT_BYTES_MAX;
/// What one filling-in may cost: about so many steps, or 64 bytes of memory for each of them. A plain template takes a
/// dozen; loops within loops would otherwise never end, and a text that doubles itself would fill the memory.
const FUEL: u64 = 50_000;
/// The engine goes down as deep as a template is nested or chained (`a|e|e|e`), and each step down takes up to 3 KB
/// of stack where nothing is optimized; a template of [`TEMPLATE_BYTES_MAX`] has some twelve thousand steps.
const STACK_BYTES: usize = 64 << 20;

/// Looks a column of the row up: its value, `None` where it is absent, or why it cannot be used.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Result<Option<Value>, String> + 'a;

/// The job's content, compiled.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) body: Option<ContentSource<MsgBody>>,
    pub(super) data: Option<ContentSource<Arc<str>>>,
}

/// One part of the content.
pub(super) enum ContentSource<T> {
    /// The same for every row: made and checked once.
    Fixed(ContentPart, T),
    /// Made for each row.
    Template(Box<RowTemplate>),
}

/// Which part it is, and the columns that it needs; without the text.
impl<T> fmt::Debug for ContentSource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ContentSource").field(&self.part()).field(&self.columns()).finish()
    }
}

impl<T> ContentSource<T> {
    pub(super) fn part(&self) -> ContentPart {
        match self {
            ContentSource::Fixed(part, _) => *part,
            ContentSource::Template(template) => template.part,
        }
    }

    fn columns(&self) -> &[String] {
        match self {
            ContentSource::Fixed(..) => &[],
            ContentSource::Template(template) => &template.columns,
        }
    }
}

impl Content {
    pub(super) fn new(spec: &ContentSpec) -> Result<Content, MappingError> {
        let body = match (&spec.text, &spec.msg_body) {
            (Some(_), Some(_)) => return Err(MappingError::TextAndMsgBody),
            (Some(source), None) => Some(compile_part(ContentPart::Text, source, |text| Ok(MsgBody::of_text(text)))?),
            (None, Some(source)) => Some(compile_part(ContentPart::MsgBody, source, |json| {
                MsgBody::parse(json).map_err(|findings| {
                    findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("; and ")
                })
            })?),
            (None, None) => None,
        };
        let data = match &spec.cloud_custom_data {
            Some(source) => Some(compile_part(ContentPart::CloudCustomData, source, |text| Ok(Arc::from(text)))?),
            None => None,
        };
        let content = Content { body, data };
        content.check_size()?;
        Ok(content)
    }

    /// Content that is the same for every row and too long for each of them is told once.
    fn check_size(&self) -> Result<(), MappingError> {
        let body = match &self.body {
            Some(ContentSource::Fixed(part, body)) => Some((*part, body.text().len())),
            Some(ContentSource::Template(_)) | None => None,
        };
        let data = match &self.data {
            Some(ContentSource::Fixed(part, data)) => Some((*part, data.len())),
            Some(ContentSource::Template(_)) | None => None,
        };
        for (part, bytes) in [body, data].into_iter().flatten() {
            if bytes > CONTENT_BYTES_MAX {
                let what = format!("makes {bytes} bytes of new content; the service takes {CONTENT_BYTES_MAX} at most");
                return Err(MappingError::Content { part, what });
            }
        }
        Ok(())
    }

    /// The part that gives this field its content.
    pub(super) fn part_for(&self, field: Field) -> Option<ContentPart> {
        match field {
            Field::FromAccount | Field::ToAccount | Field::MsgKey => None,
            Field::MsgBody => self.body.as_ref().map(ContentSource::part),
            Field::CloudCustomData => self.data.as_ref().map(ContentSource::part),
        }
    }

    /// The columns that templates name, each with the part that names it.
    pub(super) fn columns(&self) -> impl Iterator<Item = (ContentPart, &str)> {
        let body = self.body.iter().flat_map(|made| made.columns().iter().map(|name| (made.part(), name.as_str())));
        let data = self.data.iter().flat_map(|made| made.columns().iter().map(|name| (made.part(), name.as_str())));
        body.chain(data)
    }
}

fn compile_part<T>(
    part: ContentPart,
    source: &str,
    check: impl FnOnce(&str) -> Result<T, String>,
) -> Result<ContentSource<T>, MappingError> {
    let content_error = |what| MappingError::Content { part, what };
    let failed = |source: minijinja::Error| match limit_message(&source) {
        Some(what) => content_error(what),
        None => MappingError::Template { part, source: source.into() },
    };
    if source.len() > TEMPLATE_BYTES_MAX {
        return Err(content_error(format!(
            "is {} bytes long; a template may have at most {TEMPLATE_BYTES_MAX}",
            source.len()
        )));
    }
    let template = RowTemplate::compile(part, source).map_err(failed)?;
    if !template.columns.is_empty() {
        return Ok(ContentSource::Template(Box::new(template)));
    }
    let text = template.render_with(Value::from_pairs::<_, &str, Value>([])).map_err(failed)?;
    check(&text).map(|value| ContentSource::Fixed(part, value)).map_err(content_error)
}

/// What to say of a template that came to one of its bounds; the engine's own words are about the engine.
fn limit_message(error: &minijinja::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::OutOfFuel => Some("takes far more work than a message can need; does it loop?".to_owned()),
        ErrorKind::WriteFailure => Some(format!("produces more than {RENDERED_BYTES_MAX} bytes; does it loop?")),
        _ => None,
    }
}

/// A template that is filled in for each row.
pub(super) struct RowTemplate {
    part: ContentPart,
    /// Holds this one template, under its part's name.
    environment: Environment<'static>,
    columns: Vec<String>,
}

/// Why a template could not be filled in for a row.
pub(super) struct RenderError {
    /// The column that is the reason, where one is.
    pub(super) column: Option<String>,
    pub(super) what: String,
}

impl RowTemplate {
    /// On a stack of its own, which a hostile template cannot run out of.
    fn compile(part: ContentPart, source: &str) -> Result<RowTemplate, minijinja::Error> {
        let failed = |what: &'static str| minijinja::Error::new(ErrorKind::InvalidOperation, what);
        std::thread::scope(|scope| {
            let compile = || RowTemplate::compile_here(part, source);
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, compile);
            let thread = thread.map_err(|error| failed("cannot start a thread to compile it").with_source(error))?;
            thread.join().unwrap_or_else(|_| Err(failed("a defect of the template engine")))
        })
    }

    fn compile_here(part: ContentPart, source: &str) -> Result<RowTemplate, minijinja::Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        // It would keep the row's values, message text among them, in errors.
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        // With it a loop can pack lists into lists until their release overflows the stack.
        environment.remove_global("namespace");
        match part {
            ContentPart::Text | ContentPart::CloudCustomData => {
                environment.set_auto_escape_callback(|_| AutoEscape::None);
            }
            ContentPart::MsgBody => {
                environment.set_auto_escape_callback(|_| AutoEscape::Custom("inside of a JSON string".into()));
                environment.set_formatter(write_inside_json_string);
            }
        }
        environment.add_template_owned(part.name(), source.to_owned())?;
        let globals: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
        let mut columns: Vec<String> =
            environment.get_template(part.name())?.undeclared_variables(false).into_iter().collect();
        columns.retain(|name| !globals.contains(name));
        columns.sort_unstable();
        Ok(RowTemplate { part, environment, columns })
    }

    pub(super) fn part(&self) -> ContentPart {
        self.part
    }

    /// Fills the template in.
    pub(super) fn render(&self, lookup: &Lookup<'_>) -> Result<String, RenderError> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut absent = Vec::new();
        for name in &self.columns {
            match lookup(name) {
                Ok(Some(value)) => values.push((name.as_str(), value)),
                Ok(None) => absent.push(name.as_str()),
                Err(what) => return Err(RenderError { column: Some(name.clone()), what }),
            }
        }
        self.render_with(Value::from_pairs(values)).map_err(|error| match absent.first() {
            Some(name) if error.kind() == ErrorKind::UndefinedError => RenderError {
                column: Some((*name).to_owned()),
                what: format!("is absent or empty in this row, but {} needs it", self.part),
            },
            // The error's own detail may quote a value.
            Some(_) | None => RenderError {
                column: None,
                what: match limit_message(&error) {
                    Some(what) => format!("{} {what}", self.part),
                    None => format!(
                        "{} cannot be filled in: {} (on line {} of the template)",
                        self.part,
                        error.kind(),
                        error.line().unwrap_or(1)
                    ),
                },
            },
        })
    }

    fn render_with(&self, values: Value) -> Result<String, minijinja::Error> {
        let mut out = BoundedWriter(Vec::new());
        self.environment.get_template(self.part.name())?.render_captured_to(values, &mut out)?;
        String::from_utf8(out.0).map_err(|error| {
            minijinja::Error::new(ErrorKind::WriteFailure, "the text is not UTF-8").with_source(error.utf8_error())
        })
    }
}

/// Escapes what is inserted for the inside of a JSON string. What is known to be JSON already (`| tojson`) stays as
/// it is.
fn write_inside_json_string(out: &mut Output, _: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    let text = value.to_string();
    if value.is_safe() {
        return Ok(out.write_str(&text)?);
    }
    let quoted = serde_json::Value::from(text).to_string();
    Ok(out.write_str(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted))?)
}

/// Takes [`RENDERED_BYTES_MAX`] bytes and no more.
struct BoundedWriter(Vec<u8>);

impl io::Write for BoundedWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > RENDERED_BYTES_MAX {
            return Err(io::Error::other(format!("it produces more than {RENDERED_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
