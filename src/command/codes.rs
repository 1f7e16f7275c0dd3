//! `runner codes [CODE]`

use std::io::{BufWriter, Write, stdout};

use super::{Error, Exit};
use crate::report::codes;

pub(super) fn execute(code: Option<i64>) -> Result<Exit, Error> {
    let mut out = BufWriter::new(stdout().lock());
    let written = match code {
        Some(code) => codes::write_one(&mut out, code),
        None => codes::write_table(&mut out),
    };
    match written.and_then(|()| out.flush()) {
        // Whoever reads a part of the table with `head` has what he wants.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        result => Ok(result.map(|()| Exit::Done)?),
    }
}
