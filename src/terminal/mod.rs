//! Formatting text for terminals: escapes, excerpts, line breaks, colours, and commands for a shell. Nothing here knows about
//! edits.

pub mod colour;
pub mod duration;
pub mod escape;
pub mod excerpt;
pub mod fit;
pub mod moment;
pub mod shell;
