//! The way back: originals as a list.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::Path;

use serde::Deserialize;

use super::file::{Frames, OriginalsError};
use super::filter;
use crate::edit::IdDigest;

/// The message of a line.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "From_Account", borrow)]
    from_account: Cow<'a, str>,
    #[serde(rename = "To_Account", borrow)]
    to_account: Cow<'a, str>,
    #[serde(rename = "MsgKey", borrow)]
    msg_key: Cow<'a, str>,
}

/// Decrypts all originals of a file and writes them as a list, the newest first. Of a message that was read more than once, only
/// the last original is written: what it held before it was edited. Returns their number.
///
/// # Errors
/// The file or the list cannot be read or written, or a ciphertext was altered or cannot be decrypted. What was written until then
/// is a list, and not all of it.
pub fn way_back(path: &Path, decrypt_with: &str, out: &mut dyn Write) -> Result<u64, OriginalsError> {
    let frames = Frames::open(path)?;
    let (mut seen, mut written) = (HashSet::new(), 0);
    for frame in frames.frames.iter().rev() {
        let cipher = frames.read(frame)?;
        let plain = filter::decrypt(decrypt_with, &cipher).map_err(OriginalsError::Decrypting)?;
        for line in plain.split(|byte| *byte == b'\n').rev().filter(|line| !line.is_empty()) {
            let no_lines = |_| OriginalsError::NoLines { path: path.to_owned(), number: frame.number };
            let Message { from_account, to_account, msg_key } = serde_json::from_slice(line).map_err(no_lines)?;
            if seen.insert(IdDigest::of([&from_account, &to_account, &msg_key])) {
                let unwritten = |source: io::Error| OriginalsError::Unwritten { source };
                out.write_all(line).and_then(|()| out.write_all(b"\n")).map_err(unwritten)?;
                written += 1;
            }
        }
    }
    frames.check_whole()?;
    Ok(written)
}
