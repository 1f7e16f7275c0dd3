//! Formatting text for terminals: escapes, excerpts, line breaks, colours and progress. Nothing here knows about
//! edits.

pub mod colour;
pub mod duration;
pub mod escape;
pub mod excerpt;
pub mod fit;
pub mod moment;
pub mod progress;
pub mod shell;
