//! The subset of Markdown that the documents use.

/// A heading and what follows it, up to the next one.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) level: usize,
    pub(crate) heading: String,
    pub(crate) blocks: Vec<Block>,
    /// The columns of each table row, and the numbers in it, ascending: other languages order them differently.
    pub(crate) table_rows: Vec<(usize, Vec<String>)>,
    /// Everything else, tables included.
    pub(crate) prose: String,
}

/// A fenced block.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) language: String,
    /// Without the block's own indentation.
    pub(crate) lines: Vec<String>,
}

/// One or more commands of a block, with the output that it shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) line: String,
    pub(crate) shown: Vec<String>,
    /// Not for a shell: statements that an administrator types into `psql`.
    pub(crate) is_sql: bool,
}

pub(crate) fn sections(text: &str) -> Vec<Section> {
    let mut sections = vec![Section::default()];
    let mut block: Option<(usize, Block)> = None;
    for line in text.lines() {
        let trimmed = line.trim_start();
        let indent = line.len() - trimmed.len();
        let section = sections.last_mut().unwrap();
        match (&mut block, trimmed.strip_prefix("```")) {
            (Some(_), Some(_)) => section.blocks.extend(block.take().map(|(_, block)| block)),
            (Some((indent, block)), None) => block.lines.push(line.get(*indent..).unwrap_or_default().to_owned()),
            (None, Some(language)) => {
                block = Some((indent, Block { language: language.to_owned(), lines: Vec::new() }));
            }
            (None, None) if line.starts_with('#') => {
                let level = line.bytes().take_while(|&byte| byte == b'#').count();
                let heading = line[level..].trim().to_owned();
                sections.push(Section { level, heading, ..Section::default() });
            }
            (None, None) => {
                if line.starts_with('|') {
                    section.table_rows.push((line.matches('|').count(), numbers(line)));
                }
                section.prose += line;
                section.prose.push('\n');
            }
        }
    }
    assert!(block.is_none(), "a fence is left open");
    sections
}

fn numbers(line: &str) -> Vec<String> {
    let words = line.split(|c: char| !c.is_ascii_digit() && !matches!(c, ',' | '.'));
    let mut numbers: Vec<String> =
        words.map(|word| word.trim_matches([',', '.']).to_owned()).filter(|word| !word.is_empty()).collect();
    numbers.sort_unstable();
    numbers
}

impl Section {
    /// The code spans in the prose.
    pub(crate) fn code_spans(&self) -> impl Iterator<Item = &str> {
        self.prose.split('`').skip(1).step_by(2)
    }

    /// The targets of its links.
    pub(crate) fn links(&self) -> impl Iterator<Item = &str> {
        self.prose.split("](").skip(1).filter_map(|rest| rest.split(')').next())
    }
}

impl Block {
    /// The commands of a block for a shell or for `psql`, none of another: `console` has one behind each `$`, `sh` and `sql`
    /// are one as a whole.
    pub(crate) fn commands(&self) -> Vec<Command> {
        let mut commands: Vec<Command> = Vec::new();
        match self.language.as_str() {
            "sh" | "sql" => {
                let is_sql = self.language == "sql";
                commands.push(Command { line: self.lines.join("\n"), is_sql, ..Command::default() });
            }
            "console" => {
                for line in &self.lines {
                    match (line.strip_prefix("$ "), commands.last_mut()) {
                        (Some(line), _) => commands.push(Command { line: line.to_owned(), ..Command::default() }),
                        (None, Some(last)) => last.shown.push(line.clone()),
                        (None, None) => {}
                    }
                }
            }
            _ => {}
        }
        commands
    }

    /// Its lines without comments, which are in the document's own language.
    pub(crate) fn without_comments(&self) -> Vec<&str> {
        let lines = self.lines.iter().map(|line| line.split("# ").next().unwrap_or_default().trim_end());
        lines.filter(|line| !line.is_empty()).collect()
    }
}
