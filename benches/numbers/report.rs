//! The results, as tables for people and as JSON for machines.

use std::fmt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use comfy_table::presets::ASCII_MARKDOWN;
use serde_json::{Value, json};

/// Figures for comparison, side by side in one table.
pub(crate) struct Table {
    part: &'static str,
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<Cell>)>,
    notes: Vec<String>,
}

/// One cell of a table.
pub(crate) enum Cell {
    Figure(Figure),
    /// Why there is no figure.
    Text(String),
}

/// A median with its spread, and its target.
pub(crate) struct Figure {
    median: f64,
    min: f64,
    max: f64,
    unit: &'static str,
    target: Option<Target>,
}

#[derive(Clone, Copy)]
enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// A promise: a single violation counts, whatever the median.
    Never(f64),
}

impl Figure {
    pub(crate) fn new(measured: impl IntoIterator<Item = f64>, unit: &'static str) -> Figure {
        let mut measured: Vec<f64> = measured.into_iter().collect();
        measured.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (measured.first(), measured.last()) else { panic!("nothing was measured") };
        let middle = measured.len() / 2;
        let median = if measured.len() % 2 == 1 {
            measured[middle]
        } else {
            f64::midpoint(measured[middle - 1], measured[middle])
        };
        Figure { median, min: *min, max: *max, unit, target: None }
    }

    pub(crate) fn at_least(mut self, target: f64) -> Figure {
        self.target = Some(Target::AtLeast(target));
        self
    }

    pub(crate) fn at_most(mut self, target: f64) -> Figure {
        self.target = Some(Target::AtMost(target));
        self
    }

    pub(crate) fn never_above(mut self, target: f64) -> Figure {
        self.target = Some(Target::Never(target));
        self
    }

    /// Sets a target if there is one.
    pub(crate) fn maybe_at_most(self, target: Option<f64>) -> Figure {
        match target {
            Some(target) => self.at_most(target),
            None => self,
        }
    }

    fn is_met(&self) -> Option<bool> {
        self.target.map(|target| match target {
            Target::AtLeast(least) => self.median >= least,
            Target::AtMost(most) => self.median <= most,
            Target::Never(most) => self.max <= most,
        })
    }

    fn json(&self) -> Value {
        let target = self.target.map(|target| match target {
            Target::AtLeast(least) => json!({ "at_least": least }),
            Target::AtMost(most) => json!({ "at_most": most }),
            Target::Never(most) => json!({ "never_above": most }),
        });
        json!({ "median": self.median, "min": self.min, "max": self.max, "unit": self.unit, "target": target, "met": self.is_met() })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figure { median, min, max, unit, target } = self;
        f.write_str(&number(*median))?;
        if !unit.is_empty() {
            write!(f, " {unit}")?;
        }
        if number(*min) != number(*max) {
            write!(f, " ({} to {})", number(*min), number(*max))?;
        }
        let Some(target) = target else { return Ok(()) };
        let verdict = if self.is_met() == Some(true) { "met" } else { "**missed**" };
        match target {
            Target::AtLeast(least) => write!(f, "; ≥ {}: {verdict}", number(*least)),
            Target::AtMost(most) | Target::Never(most) => write!(f, "; ≤ {}: {verdict}", number(*most)),
        }
    }
}

/// Formats a number with as many digits as are meaningful.
fn number(number: f64) -> String {
    use thousands::Separable as _;
    let whole = number.fract() == 0.0;
    match number.abs() {
        size if size >= 1_000.0 => format!("{number:.0}").separate_with_commas(),
        _ if whole => format!("{number:.0}"),
        size if size >= 0.1 => format!("{number:.2}"),
        _ => format!("{number:.4}"),
    }
}

impl From<Figure> for Cell {
    fn from(figure: Figure) -> Cell {
        Cell::Figure(figure)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl Cell {
    fn json(&self) -> Value {
        match self {
            Cell::Figure(figure) => figure.json(),
            Cell::Text(text) => json!(text),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Figure(figure) => figure.fmt(f),
            Cell::Text(text) => f.write_str(text),
        }
    }
}

impl Table {
    /// The first column names the rows and is not among `columns`.
    pub(crate) fn new(part: &'static str, title: impl Into<String>, columns: &[&'static str]) -> Table {
        let (title, columns) = (title.into(), columns.to_vec());
        Table { part, title, columns, rows: Vec::new(), notes: Vec::new() }
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push((name.into(), cells.into_iter().collect()));
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn markdown(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_preset(ASCII_MARKDOWN).set_header(std::iter::once(self.part).chain(self.columns.iter().copied()));
        for (name, cells) in &self.rows {
            table.add_row(std::iter::once(name.clone()).chain(cells.iter().map(Cell::to_string)));
        }
        let mut text = format!("## {}\n\n{table}\n", self.title);
        self.notes.iter().for_each(|note| text.extend(["\n", note, "\n"]));
        text
    }

    fn figures(&self) -> impl Iterator<Item = (String, &Figure)> {
        self.rows.iter().flat_map(move |(name, cells)| {
            self.columns.iter().zip(cells).filter_map(move |(column, cell)| match cell {
                Cell::Figure(figure) => Some((format!("{}, {name}: {column}", self.title), figure)),
                Cell::Text(_) => None,
            })
        })
    }

    fn json(&self) -> Value {
        let rows = self.rows.iter().map(|(name, cells)| {
            let cells = self.columns.iter().zip(cells).map(|(column, cell)| ((*column).to_owned(), cell.json()));
            json!({ "name": name, "figures": cells.collect::<serde_json::Map<_, _>>() })
        });
        let rows: Vec<Value> = rows.collect();
        json!({ "part": self.part, "title": self.title, "rows": rows, "notes": self.notes })
    }
}

/// All tables of one bench.
pub(crate) struct Report {
    tables: Vec<Table>,
    full: bool,
    took: Duration,
}

impl Report {
    pub(crate) fn new(full: bool) -> Report {
        Report { tables: Vec::new(), full, took: Duration::ZERO }
    }

    pub(crate) fn add(&mut self, table: Table) {
        self.tables.push(table);
    }

    pub(crate) fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// Which targets were met, and where this was measured.
    pub(crate) fn closing(&self) -> String {
        let judged: Vec<_> = self
            .tables
            .iter()
            .flat_map(Table::figures)
            .filter_map(|(name, figure)| Some((name, figure, figure.is_met()?)))
            .collect();
        let missed: Vec<String> =
            judged.iter().filter(|(_, _, met)| !met).map(|(name, figure, _)| format!("- {name}: {figure}\n")).collect();
        let met = judged.len() - missed.len();
        format!(
            "## Targets\n\n{met} of {} met: by the median, and in every run for what is promised of every second.\n\n{}\nMeasured in {:.0} s ({} mode): {}\n",
            judged.len(),
            missed.concat(),
            self.took.as_secs_f64(),
            if self.full { "full" } else { "short" },
            machine()
        )
    }

    /// Writes `report.md` and `report.json`.
    pub(crate) fn write(&self, dir: &Path) -> std::io::Result<()> {
        let tables: Vec<String> = self.tables.iter().map(Table::markdown).collect();
        let text = format!("# Numbers\n\n{}\n{}", tables.join("\n"), self.closing());
        std::fs::write(dir.join("report.md"), text)?;
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        let report =
            json!({ "full": self.full, "seconds": self.took.as_secs_f64(), "machine": machine(), "tables": tables });
        std::fs::write(dir.join("report.json"), format!("{report:#}\n"))?;
        println!("Written to {0}/report.md and {0}/report.json", dir.display());
        Ok(())
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown processor");
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown");
    let commit = Command::new("git").args(["describe", "--always", "--dirty"]).output();
    let commit = commit.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{cores} cores, {}; load {load} at the end; commit {commit}", cpu.trim_start_matches(['\t', ' ', ':']))
}
