//! What is told by colour, and with which: the same all over the program. A leaf. Whoever writes takes them off where
//! they do not belong ([`anstream`]): in a file, a pipe, a CI log, under `NO_COLOR`.

use anstyle::{AnsiColor, Style};

/// What a block is about.
pub const TITLE: Style = Style::new().bold();
/// It was done, as it should be.
pub const DONE: Style = AnsiColor::Green.on_default().bold();
/// It failed.
pub const FAILED: Style = AnsiColor::Red.on_default().bold();
/// In doubt, or somebody should have a look.
pub const DOUBT: Style = AnsiColor::Yellow.on_default().bold();
/// It is under way.
pub const IN_FLIGHT: Style = AnsiColor::Cyan.on_default();
/// Beside the point: a remark, or a number of nothing.
pub const REMARK: Style = Style::new().dimmed();
/// To be typed.
pub const COMMAND: Style = AnsiColor::Cyan.on_default();
