//! The program's colours and what each of them means. The writer strips them where they do not belong ([`anstream`]):
//! in a file, a pipe, a CI log, or under `NO_COLOR`.

use anstyle::{AnsiColor, Style};

/// The title of a block.
pub const TITLE: Style = Style::new().bold();
/// Success.
pub const DONE: Style = AnsiColor::Green.on_default().bold();
/// Failure.
pub const FAILED: Style = AnsiColor::Red.on_default().bold();
/// In doubt, or something to check.
pub const DOUBT: Style = AnsiColor::Yellow.on_default().bold();
/// In flight.
pub const IN_FLIGHT: Style = AnsiColor::Cyan.on_default();
/// Secondary: a remark, or a count of zero.
pub const REMARK: Style = Style::new().dimmed();
/// A command to type.
pub const COMMAND: Style = AnsiColor::Cyan.on_default();
