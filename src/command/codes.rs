//! `runner codes [CODE]`

use std::io::{BufWriter, Write, stdout};

use super::{Error, Exit, whole};
use crate::report::codes;

pub(super) fn execute(code: Option<i64>) -> Result<Exit, Error> {
    let mut out = BufWriter::new(stdout().lock());
    let written = match code {
        Some(code) => codes::write_one(&mut out, code),
        None => codes::write_table(&mut out),
    };
    whole(written.and_then(|()| out.flush()))
}
