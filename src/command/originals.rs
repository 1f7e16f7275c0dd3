//! `runner originals`: what messages held before their edits.

use std::io::{self, Write};

use super::{CommandError, Exit, print, tell};
use crate::cli::OriginalsArgs;
use crate::ledger::open_overview;
use crate::originals::{Frames, OriginalsError, way_back};
use crate::words::Lang;

pub(super) fn execute(args: &OriginalsArgs) -> Result<Exit, CommandError> {
    let OriginalsArgs { file, decrypt_with, ledger } = args;
    if let Some(ledger) = ledger {
        let frames = Frames::open(file)?;
        let recorded = open_overview(ledger)?.ciphertexts()?;
        frames.check_recorded(&recorded)?;
        for frame in &frames.frames {
            frames.read(frame)?;
        }
        let of_this = recorded.iter().filter(|ciphertext| ciphertext.file == frames.name);
        let (ciphertexts, originals) =
            of_this.fold((0, 0), |(number, originals), ciphertext| (number + 1, originals + ciphertext.originals));
        let told = Lang::of_process().say(format!(
            "{} holds all that the ledger records of it: {originals} originals in {ciphertexts} ciphertexts",
            file.display()
        ));
        if decrypt_with.is_none() {
            print(format!("{told}\n").as_bytes(), false)?;
            return Ok(Exit::Done);
        }
        tell(told);
    }
    let Some(command) = decrypt_with else { return Err(CommandError::NothingToDecrypt) };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = way_back(file, command, &mut out).and_then(|count| {
        out.flush().map_err(|source| OriginalsError::Unwritten { source })?;
        Ok(count)
    });
    match written {
        // Whoever closed the pipe has read enough.
        Err(OriginalsError::Unwritten { source }) if source.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(error) => {
            let _ = out.flush();
            Err(error.into())
        }
        Ok(_) => Ok(Exit::Done),
    }
}
