//! What shapes text for a terminal, and for whoever reads it: nothing here knows about edits.

pub mod colour;
pub mod duration;
pub mod escape;
pub mod excerpt;
pub mod fit;
pub mod progress;
