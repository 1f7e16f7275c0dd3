//! The plan, for people and for programs; and what is wrong with a list.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;
use thousands::Separable;

use super::{Line, counted, write_lines};
use crate::progress::time;
use crate::run::{Plan, Problems};

/// Where the plan's edits go.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The list's name.
    pub input: &'a str,
    /// The app, where it is known.
    pub sdkappid: Option<u64>,
    /// The service, where it is known.
    pub service: Option<&'a str>,
    /// Requests a second at most.
    pub rate: NonZeroU32,
}

impl Target<'_> {
    fn takes(&self, plan: &Plan) -> Duration {
        Duration::from_secs(plan.this_run.div_ceil(u64::from(self.rate.get())))
    }
}

/// Writes the plan for people.
///
/// # Errors
/// It cannot be written.
pub fn write(out: &mut impl Write, plan: &Plan, target: &Target<'_>) -> io::Result<()> {
    write!(out, "Plan for {}", target.input)?;
    match (target.sdkappid, target.service) {
        (Some(sdkappid), Some(service)) => writeln!(out, ": app {sdkappid} at {service}")?,
        _ => writeln!(out)?,
    }
    let conversations = counted(plan.conversations, "conversation", "conversations");
    let mut lines =
        vec![Line::new("rows", plan.rows, ""), Line::new("messages", plan.messages(), format!("in {conversations}"))];
    for (label, number, remark) in [
        ("duplicates", plan.duplicates, "rows that repeat another; each message is sent once"),
        ("done", plan.done, "by an earlier run; never sent again"),
        ("failed", plan.failed, "in an earlier run; left alone without --retry-failed"),
        ("in doubt", plan.in_doubt, "since an earlier run; held, see --in-doubt"),
        ("to read back", plan.to_read_back, "in doubt since an earlier run; sent again where not edited"),
    ] {
        if number > 0 {
            lines.push(Line::new(label, number, remark));
        }
    }
    lines.push(Line::new(
        "to send",
        plan.to_do - plan.to_read_back,
        format!("{} bytes of new content", plan.bytes.separate_with_commas()),
    ));
    if plan.this_run < plan.to_do {
        lines.push(Line::new("this run", plan.this_run, "as --max-rows says"));
    }
    write_lines(out, &lines)?;
    if plan.this_run > 0 {
        writeln!(out, "  takes about {} at {} requests a second", time(target.takes(plan)), target.rate)?;
    }
    for warning in &plan.warnings {
        let rows = counted(warning.rows, "row", "rows");
        writeln!(out, "warning: line {} ({rows}): {}", warning.line, warning.what)?;
    }
    if plan.warnings_left_out {
        writeln!(out, "warning: and more of other kinds")?;
    }
    Ok(())
}

/// Writes the plan as one JSON object.
///
/// # Errors
/// It cannot be written.
pub fn write_json(out: &mut impl Write, plan: &Plan, target: &Target<'_>) -> io::Result<()> {
    let warnings: Vec<_> = plan
        .warnings
        .iter()
        .map(|warning| json!({ "line": warning.line, "rows": warning.rows, "what": warning.what }))
        .collect();
    let object = json!({
        "input": target.input,
        "input_sha256": plan.sha256,
        "sdkappid": target.sdkappid,
        "service": target.service,
        "rate": target.rate,
        "rows": plan.rows,
        "messages": plan.messages(),
        "conversations": plan.conversations,
        "duplicates": plan.duplicates,
        "done": plan.done,
        "failed": plan.failed,
        "in_doubt": plan.in_doubt,
        "to_read_back": plan.to_read_back,
        "to_send": plan.to_do - plan.to_read_back,
        "this_run": plan.this_run,
        "content_bytes": plan.bytes,
        "seconds": target.takes(plan).as_secs(),
        "warnings": warnings,
    });
    writeln!(out, "{object:#}")
}

/// Writes what is wrong with the rows of a list.
///
/// # Errors
/// It cannot be written.
pub fn write_problems(out: &mut impl Write, input: &str, problems: &Problems) -> io::Result<()> {
    for problem in &problems.first {
        writeln!(out, "{input}: {problem}")?;
    }
    if problems.more > 0 {
        writeln!(out, "{input}: and {} like these", counted(problems.more, "more problem", "more problems"))?;
    }
    Ok(())
}
