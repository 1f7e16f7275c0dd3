//! The way back: originals as a list.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::Write;

use serde::Deserialize;

use super::file::{Frames, OriginalsError};
use super::filter;
use crate::edit::IdDigest;
use crate::ledger::LedgerError;

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

/// Decrypts the originals of a file and writes them as a list, the newest first. Of a message that was read more than once, only
/// the last original is written: what it held before it was edited. `is_wanted` says of messages which of them are to be written.
///
/// # Errors
/// The file or the list cannot be read or written, or not every ciphertext can be decrypted. What could be read is written all the
/// same: it is a list, and not all of it.
pub fn way_back(
    frames: &Frames,
    decrypt_with: &str,
    is_wanted: impl Fn(&[IdDigest]) -> Result<Vec<bool>, LedgerError>,
    out: &mut dyn Write,
) -> Result<(), OriginalsError> {
    let (mut seen, mut failed) = (HashSet::new(), None);
    for frame in frames.frames.iter().rev() {
        let (path, number) = (|| frames.path().to_owned(), frame.number);
        let read = frames.read(frame).and_then(|cipher| {
            let plain = filter::decrypt(decrypt_with, &cipher).map_err(|source| OriginalsError::Decrypting {
                path: path(),
                number,
                source,
            })?;
            lines(&plain).ok_or_else(|| OriginalsError::NoLines { path: path(), number })
        });
        let mut lines = match read {
            Ok(lines) => lines,
            Err(error) => {
                failed.get_or_insert(error);
                continue;
            }
        };
        lines.retain(|(message, _)| seen.insert(*message));
        let messages: Vec<IdDigest> = lines.iter().map(|(message, _)| *message).collect();
        for ((_, line), is_wanted) in lines.into_iter().zip(is_wanted(&messages)?) {
            if is_wanted {
                out.write_all(&line).map_err(|source| OriginalsError::Unwritten { source })?;
            }
        }
    }
    failed.map_or_else(|| frames.check_whole(), Err)
}

/// The lines of a ciphertext, the last one first, each with its message.
fn lines(plain: &[u8]) -> Option<Vec<(IdDigest, Vec<u8>)>> {
    let lines = plain.split_inclusive(|byte| *byte == b'\n').rev();
    let message = |line: &[u8]| {
        let Message { from_account, to_account, msg_key } = serde_json::from_slice(line).ok()?;
        Some((IdDigest::of([&from_account, &to_account, &msg_key]), line.to_vec()))
    };
    lines.map(message).collect()
}
