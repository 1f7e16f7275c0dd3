//! `runner originals`: what messages held before their edits.

use std::io::{self, Write};

use super::{CommandError, Exit, print, tell};
use crate::cli::OriginalsArgs;
use crate::edit::IdDigest;
use crate::ledger::{LedgerAddress, LedgerError, Overview, State, open_overview};
use crate::originals::{Frames, OriginalsError, way_back};
use crate::words::Lang;

pub(super) fn execute(args: &OriginalsArgs) -> Result<Exit, CommandError> {
    let frames = Frames::open(&args.file)?;
    let overview = match &args.ledger {
        Some(ledger) => {
            let overview = open_overview(ledger)?;
            let told = compare(&frames, ledger, &*overview)?;
            if args.decrypt_with.is_none() {
                print(format!("{}\n", Lang::of_process().say(told)).as_bytes(), false)?;
                return Ok(Exit::Done);
            }
            tell(told);
            Some(overview)
        }
        None => None,
    };
    let Some(command) = &args.decrypt_with else { return Err(CommandError::NothingToDecrypt) };
    // What was not done needs no way back.
    let is_wanted = |messages: &[IdDigest]| -> Result<Vec<bool>, LedgerError> {
        let Some(overview) = &overview else { return Ok(vec![true; messages.len()]) };
        let edits = overview.find_edits(messages)?;
        Ok(edits.into_iter().map(|edit| edit.is_some_and(|edit| edit.state == State::Done)).collect())
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = way_back(&frames, command, is_wanted, &mut out);
    let flushed = out.flush().map_err(|source| OriginalsError::Unwritten { source });
    match written.and(flushed) {
        // Whoever closed the pipe has read enough.
        Err(OriginalsError::Unwritten { source }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Exit::Done),
    }
}

/// Checks that the file holds what the ledger records of it, as it was written.
fn compare(frames: &Frames, ledger: &LedgerAddress, overview: &dyn Overview) -> Result<String, CommandError> {
    let recorded = overview.ciphertexts()?;
    frames.check_recorded(&recorded)?;
    frames.check_whole()?;
    for frame in &frames.frames {
        frames.read(frame)?;
    }
    let (mut ciphertexts, mut originals, mut elsewhere) = (0_u64, 0, 0);
    for ciphertext in &recorded {
        if ciphertext.file == frames.name {
            ciphertexts += 1;
            originals += ciphertext.originals;
        } else {
            elsewhere += ciphertext.originals;
        }
    }
    if ciphertexts == 0 {
        let (path, ledger) = (frames.path().to_owned(), ledger.clone());
        return Err(OriginalsError::NotRecorded { path, ledger }.into());
    }
    let file = frames.path().display();
    let told =
        format!("{file} holds all that the ledger records of it: {originals} originals in {ciphertexts} ciphertexts");
    Ok(match elsewhere {
        0 => told,
        _ => format!("{told}; the ledger records {elsewhere} more in other files"),
    })
}
