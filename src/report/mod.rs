//! What people and programs read: the plan before, the summary after, the rows that did not succeed, the codes.

mod activity;
pub mod audit;
pub mod chart;
pub mod codes;
pub mod content;
pub mod directory;
pub mod evidence;
pub mod facts;
pub mod failed;
pub mod format;
pub mod headline;
pub mod lists;
pub mod machine;
pub mod page;
pub mod plan;
pub mod resume;
pub mod runners;
pub mod shares;
pub mod summary;
pub mod text;

use std::io::{self, Write};

use anstyle::Style;
use thousands::Separable;

use crate::terminal::colour::REMARK;

/// One line of a list of numbers.
struct CountLine {
    label: &'static str,
    number: u64,
    remark: String,
    /// The style of the number, unless it is 0.
    style: Style,
}

impl CountLine {
    fn new(label: &'static str, number: u64, remark: impl Into<String>) -> CountLine {
        CountLine { label, number, remark: remark.into(), style: Style::new() }
    }

    fn styled(self, style: Style) -> CountLine {
        CountLine { style, ..self }
    }
}

/// Writes numbers below each other, right-aligned.
fn write_lines(out: &mut impl Write, lines: &[CountLine]) -> io::Result<()> {
    let labels = lines.iter().map(|line| line.label.len()).max().unwrap_or_default();
    let numbers = lines.iter().map(|line| line.number.separate_with_commas());
    let width = numbers.map(|number| number.len()).max().unwrap_or_default();
    for CountLine { label, number, remark, style } in lines {
        let style = if *number == 0 { REMARK } else { *style };
        let number = number.separate_with_commas();
        write!(out, "  {label:<labels$}  {style}{number:>width$}{style:#}")?;
        if !remark.is_empty() {
            write!(out, "   {REMARK}{remark}{REMARK:#}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// `1 row`, `2 rows`, `4,000 rows`.
pub(crate) fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{} {}", number.separate_with_commas(), if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests;
