//! `runner codes [CODE]`

use std::io::{BufWriter, Write, stdout};

use super::{CommandError, Exit, exit_after_printing};
use crate::report::codes;
use crate::words::Lang;

pub(super) fn execute(code: Option<i64>) -> Result<Exit, CommandError> {
    let lang = Lang::of_process();
    let mut out = BufWriter::new(stdout().lock());
    let written = match code {
        Some(code) => codes::write_one(&mut out, code, lang),
        None => codes::write_table(&mut out, lang),
    };
    exit_after_printing(written.and_then(|()| out.flush()))
}
