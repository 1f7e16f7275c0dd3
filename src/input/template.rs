//! New content from the job: templates, rendered with each row's columns.
//!
//! A template that names no column is rendered and checked once, and shared by all rows.

use std::fmt;
use std::io;
use std::sync::Arc;

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value};

use super::mapping_error::MappingError;
use super::spec::{ContentPart, ContentSpec};
use super::spoiled::CellRules;
use crate::edit::{CONTENT_BYTES_MAX, Field, MsgBody};

/// Maximum size of rendered text: five times the content that the service accepts, so that white space in a JSON
/// template does not matter. A loop in a template would otherwise fill the memory.
const RENDERED_BYTES_MAX: usize = 64 * 1024;

/// Maximum size of a template: twice the content that the service accepts, to leave room for alternatives.
const TEMPLATE_BYTES_MAX: usize = 2 * CONTENT_BYTES_MAX;
/// The cost limit of one rendering: about this many steps, or 64 bytes of memory for each. A plain template takes a
/// dozen; without a limit, nested loops would never end, and a text that doubles itself would fill the memory.
const FUEL: u64 = 50_000;
/// The engine recurses as deep as a template is nested or chained (`a|e|e|e`), and each level takes up to 3 KB of stack
/// in an unoptimized build; a template of [`TEMPLATE_BYTES_MAX`] has some twelve thousand levels.
const STACK_BYTES: usize = 64 << 20;

/// All columns of a row, by their names in quotes: `row["case number"]`, for names that are no words of a template.
const ROW: &str = "row";

/// Looks up a column of the row: returns its value, `None` if it is absent, or why it cannot be used.
pub(super) type Lookup<'a> = dyn Fn(&str) -> Result<Option<Value>, String> + 'a;

/// The job's content, compiled.
#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) body: Option<ContentSource<MsgBody>>,
    pub(super) data: Option<ContentSource<Arc<str>>>,
}

/// Where one part of the content comes from.
pub(super) enum ContentSource<T> {
    /// The same for every row: rendered and checked once.
    Fixed(ContentPart, T),
    /// Rendered for each row.
    Template(Box<RowTemplate>),
}

/// Shows the part and the columns that it needs, without the text.
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
        for (flag, is_given, parts) in [
            (
                ContentPart::TextFlag,
                spec.text_as_it_is.is_some(),
                vec![(ContentPart::Text, &spec.text), (ContentPart::MsgBody, &spec.msg_body)],
            ),
            (
                ContentPart::CustomDataFlag,
                spec.custom_data_as_it_is.is_some(),
                vec![(ContentPart::CloudCustomData, &spec.cloud_custom_data)],
            ),
        ] {
            if is_given && let Some((part, _)) = parts.into_iter().find(|(_, source)| source.is_some()) {
                return Err(MappingError::TwoContents { flag, part });
            }
        }
        let body = match (&spec.text_as_it_is, &spec.text, &spec.msg_body) {
            (Some(text), ..) => Some(ContentSource::Fixed(ContentPart::TextFlag, MsgBody::of_text(text))),
            (None, Some(_), Some(_)) => return Err(MappingError::TextAndMsgBody),
            (None, Some(source), None) => {
                Some(compile_part(ContentPart::Text, source, |text| Ok(MsgBody::of_text(text)))?)
            }
            (None, None, Some(source)) => Some(compile_part(ContentPart::MsgBody, source, |json| {
                MsgBody::parse(json).map_err(|findings| {
                    findings.into_iter().map(|finding| finding.what).collect::<Vec<_>>().join("; and ")
                })
            })?),
            (None, None, None) => None,
        };
        let data = match (&spec.custom_data_as_it_is, &spec.cloud_custom_data) {
            (Some(data), _) => Some(ContentSource::Fixed(ContentPart::CustomDataFlag, Arc::from(data.as_str()))),
            (None, Some(source)) => {
                Some(compile_part(ContentPart::CloudCustomData, source, |text| Ok(Arc::from(text)))?)
            }
            (None, None) => None,
        };
        let content = Content { body, data };
        content.check_size()?;
        Ok(content)
    }

    /// Fixed content that is too long is reported once instead of for every row.
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

    /// The part of the job that sets this field.
    pub(super) fn part_for(&self, field: Field) -> Option<ContentPart> {
        match field {
            Field::FromAccount | Field::ToAccount | Field::MsgKey => None,
            Field::MsgBody => self.body.as_ref().map(ContentSource::part),
            Field::CloudCustomData => self.data.as_ref().map(ContentSource::part),
        }
    }

    /// The columns that templates use, each with the part that uses it.
    pub(super) fn columns(&self) -> impl Iterator<Item = (ContentPart, &str)> {
        let body =
            self.body.iter().flat_map(|source| source.columns().iter().map(|name| (source.part(), name.as_str())));
        let data =
            self.data.iter().flat_map(|source| source.columns().iter().map(|name| (source.part(), name.as_str())));
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

/// The message for a template that reached a limit; the engine's own message is about the engine.
fn limit_message(error: &minijinja::Error) -> Option<String> {
    match error.kind() {
        ErrorKind::OutOfFuel => Some("takes far more work than a message can need; does it loop?".to_owned()),
        ErrorKind::WriteFailure => Some(format!("produces more than {RENDERED_BYTES_MAX} bytes; does it loop?")),
        _ => None,
    }
}

/// A template that is rendered for each row.
pub(super) struct RowTemplate {
    part: ContentPart,
    /// Contains only this template, under its part's name.
    environment: Environment<'static>,
    /// All columns that it uses.
    columns: Vec<String>,
    /// Those that it uses by way of [`ROW`], if it does. Each is then looked up in a map, and is no variable: a column may
    /// have the name of a function.
    of_row: Vec<String>,
    variables: Vec<String>,
}

/// Why a template could not be rendered for a row.
pub(super) struct RenderError {
    /// The column at fault, if there is one.
    pub(super) column: Option<String>,
    pub(super) what: String,
}

impl RowTemplate {
    /// Compiles on a separate thread with a stack that a hostile template cannot exhaust.
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
        // Debug mode would keep the row's values, including message text, in errors.
        environment.set_debug(false);
        environment.set_fuel(Some(FUEL));
        // With `namespace`, a loop can nest lists until dropping them overflows the stack.
        environment.remove_global("namespace");
        match part {
            ContentPart::Text | ContentPart::CloudCustomData | ContentPart::TextFlag | ContentPart::CustomDataFlag => {
                environment.set_auto_escape_callback(|_| AutoEscape::None);
            }
            ContentPart::MsgBody => {
                environment.set_auto_escape_callback(|_| AutoEscape::Custom("inside of a JSON string".into()));
                environment.set_formatter(write_inside_json_string);
            }
        }
        environment.add_template_owned(part.name(), source.to_owned())?;
        let globals: Vec<String> = environment.globals().map(|(name, _)| name.to_owned()).collect();
        let mut variables: Vec<String> =
            environment.get_template(part.name())?.undeclared_variables(false).into_iter().collect();
        variables.retain(|name| !globals.contains(name));
        let mut of_row = Vec::new();
        if variables.iter().any(|name| name == ROW) {
            of_row = columns_of_row(source)?;
            // Without a subscript, it is the column of that name.
            variables.retain(|name| name != ROW || of_row.is_empty());
        }
        let mut columns = [variables.as_slice(), of_row.as_slice()].concat();
        columns.sort_unstable();
        columns.dedup();
        Ok(RowTemplate { part, environment, columns, of_row, variables })
    }

    pub(super) fn part(&self) -> ContentPart {
        self.part
    }

    /// Renders the template with a row's columns.
    pub(super) fn render(&self, lookup: &Lookup<'_>, cells: &CellRules) -> Result<String, RenderError> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut absent = Vec::new();
        for name in &self.columns {
            match lookup(name).and_then(|value| value.map_or(Ok(None), |value| cells.template_value(value))) {
                Ok(Some(value)) => values.push((name.as_str(), value)),
                Ok(None) => absent.push(name.as_str()),
                Err(what) => return Err(RenderError { column: Some(name.clone()), what }),
            }
        }
        let of = |names: &[String]| -> Vec<(&str, Value)> {
            values.iter().filter(|(name, _)| names.iter().any(|known| known == name)).cloned().collect()
        };
        let values = if self.of_row.is_empty() {
            values
        } else {
            let row = (ROW, Value::from_pairs(of(&self.of_row)));
            of(&self.variables).into_iter().chain([row]).collect()
        };
        self.render_with(Value::from_pairs(values)).map_err(|error| match absent.first() {
            Some(name) if error.kind() == ErrorKind::UndefinedError => RenderError {
                column: Some((*name).to_owned()),
                what: format!("is absent or empty in this row, but {} needs it", self.part),
            },
            // The engine's detail may quote a value.
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

/// The columns that a template looks up in [`ROW`]; none if it does not use it as a map. Their names must be constants,
/// since the list is checked for them before any row is read.
fn columns_of_row(source: &str) -> Result<Vec<String>, minijinja::Error> {
    let tokens = tokenize(source, false, SyntaxConfig::default()).map(|token| Ok(token?.0));
    let tokens = tokens.collect::<Result<Vec<Token<'_>>, minijinja::Error>>()?;
    let (mut columns, mut is_used_alone) = (Vec::new(), false);
    for (at, token) in tokens.iter().enumerate() {
        // `x.row` is a member of x.
        if !matches!(token, Token::Ident(ROW)) || (at > 0 && matches!(tokens[at - 1], Token::Dot)) {
            continue;
        }
        match tokens.get(at + 1..) {
            Some([Token::BracketOpen, Token::Str(name), Token::BracketClose, ..]) => columns.push((*name).to_owned()),
            Some([Token::BracketOpen, Token::String(name), Token::BracketClose, ..]) => columns.push(name.to_string()),
            Some([Token::BracketOpen, ..]) => {
                let what = r#"row[…] takes the name of a column in quotes, as in row["case number"]"#;
                return Err(minijinja::Error::new(ErrorKind::SyntaxError, what));
            }
            Some(_) | None => is_used_alone = true,
        }
    }
    if is_used_alone && !columns.is_empty() {
        let what =
            r#"row is used with and without the name of a column; for the column of that name, write row["row"]"#;
        return Err(minijinja::Error::new(ErrorKind::SyntaxError, what));
    }
    Ok(columns)
}

/// Escapes inserted values for use inside a JSON string. Values known to be JSON (`| tojson`) stay as they are.
fn write_inside_json_string(out: &mut Output, _: &mut State, value: &Value) -> Result<(), minijinja::Error> {
    let text = value.to_string();
    if value.is_safe() {
        return Ok(out.write_str(&text)?);
    }
    let quoted = serde_json::Value::from(text).to_string();
    Ok(out.write_str(quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(&quoted))?)
}

/// Accepts at most [`RENDERED_BYTES_MAX`] bytes.
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
