//! What people and machines get to read.

pub mod codes;
