//! Shared by the targets: reading lists, and the invariants of every message about untrusted text.

use std::convert::Infallible;
use std::sync::LazyLock;

use runner::edit::Edit;
use runner::input::{ContentSpec, CopyStyle, Format, Input, InputSpec, Mapping, Row, RowNote};
use runner::terminal::escape::escape_control;

/// Checks that a message is safe for a terminal and shorter than the text that it is about.
pub fn can_be_shown(what: &str) {
    assert_eq!(escape_control(what), what);
    assert!(what.len() < 20_000, "{} bytes", what.len());
}

/// A mapping that takes everything from the list.
pub fn plain() -> &'static Mapping {
    static MAPPING: LazyLock<Mapping> = LazyLock::new(|| mapping(None));
    &MAPPING
}

/// A mapping that takes everything from a list in GB18030.
pub fn gb18030() -> &'static Mapping {
    static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
        let spec = InputSpec { encoding: "gb18030".parse().ok(), ignore: vec!["a".into()], ..InputSpec::default() };
        Mapping::new(&spec, &ContentSpec::default()).unwrap()
    });
    &MAPPING
}

/// A mapping that makes new text for every row from its column `a`.
pub fn with_text() -> &'static Mapping {
    static MAPPING: LazyLock<Mapping> = LazyLock::new(|| mapping(Some("{{ a }} {{ a | tojson }}")));
    &MAPPING
}

fn mapping(text: Option<&str>) -> Mapping {
    let content = ContentSpec { text: text.map(str::to_owned), ..ContentSpec::default() };
    Mapping::new(&InputSpec { ignore: vec!["a".into()], ..InputSpec::default() }, &content).unwrap()
}

/// Sender, recipient, key, elements, custom data.
type Cells = [String; 5];

fn cells(edit: &Edit) -> Cells {
    let id = edit.id();
    let body = edit.msg_body().map_or("-", |body| body.text());
    let data = edit.cloud_custom_data().map_or("-".to_owned(), |data| format!("+{data}"));
    [id.from_account.clone(), id.to_account.clone(), id.msg_key.clone(), body.to_owned(), data]
}

/// Every edit of the list up to the first error; checks every message with [`can_be_shown`].
pub fn edits(input: &Input, mapping: &Mapping) -> Vec<Cells> {
    let mut edits = Vec::new();
    let rows = match input.rows(mapping) {
        Ok(rows) => rows,
        Err(error) => {
            can_be_shown(&error.to_string());
            return edits;
        }
    };
    let mut line = 0;
    for row in rows {
        match row {
            Ok(row) => {
                assert!(row.line.number > line, "{} after line {line}", row.line);
                line = row.line.number;
                match row.edit {
                    Ok(edit) => {
                        edit.warnings().iter().for_each(|warning| can_be_shown(&warning.what));
                        edits.push(cells(&edit));
                    }
                    Err(problems) => {
                        assert!(!problems.is_empty());
                        problems.iter().for_each(|problem| can_be_shown(&problem.to_string()));
                    }
                }
            }
            Err(error) => can_be_shown(&error.to_string()),
        }
    }
    edits
}

/// Reads a list and the copy of its good rows, and checks that both have the same edits.
pub fn read(bytes: &[u8], format: Format, mapping: &Mapping) -> Vec<Cells> {
    let input = Input::from_reader("list", bytes, format).unwrap_or_else(|error| panic!("{error}"));
    let edits = edits(&input, mapping);
    let mut copy = Vec::new();
    let note = |row: &Row| -> Result<_, Infallible> {
        let note = RowNote { code: Some(1), meaning: "\"a\",\nb".into(), attempts: 1 };
        Ok(row.edit.is_ok().then_some(note))
    };
    if input
        .lists()
        .try_for_each(|list| list.annotate(mapping, CopyStyle::default(), &mut copy, note).map(drop))
        .is_ok()
    {
        let copy = Input::from_reader("copy", copy.as_slice(), format.of_copies()).unwrap();
        assert_eq!(self::edits(&copy, mapping), edits, "the copy of the rows wants something else");
    }
    edits
}
