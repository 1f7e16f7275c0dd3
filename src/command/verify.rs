//! `runner verify LEDGER` and `runner prove LEDGER FROM TO KEY`: was the ledger altered, and what does it hold of one message?

use std::path::Path;

use super::{CommandError, Exit, exit_after_printing, print};
use crate::cli::{ProveArgs, VerifyArgs};
use crate::edit::MessageId;
use crate::evidence::{Checkpoint, NamedCheckpoint, Proof};
use crate::ledger::{LedgerAddress, LedgerError, Overview, Verification, open_overview};
use crate::report::{evidence, format};
use crate::system::small_file;
use crate::words::Lang;

pub(super) fn execute(args: &VerifyArgs) -> Result<Exit, CommandError> {
    let heads = read_heads(&args.checkpoint)?;
    let (text, object, holds) = match (&args.ledger, &args.proof) {
        (Some(ledger), _) => verify(ledger, &heads)?,
        (None, Some(proof)) => verify_proofs(proof, &heads)?,
        (None, None) => return Err(CommandError::NothingToVerify),
    };
    let text = if args.json { format::pretty(&object)? } else { text };
    exit_after_printing(print(text.as_bytes(), args.json))?;
    Ok(if holds { Exit::Done } else { Exit::SomeNotDone })
}

type Told = (String, format::VerifyObject, bool);

fn verify(ledger: &LedgerAddress, heads: &[NamedCheckpoint]) -> Result<Told, CommandError> {
    let (overview, verified) = verified(ledger, heads)?;
    let text = evidence::text(ledger, &verified, heads, overview.may_lack_commits(), Lang::of_process());
    Ok((text, evidence::object(ledger, &verified, heads), verified.holds()))
}

/// Verifies a ledger, and does it again if it was written to while it was read as one at rest.
pub(super) fn verified(
    ledger: &LedgerAddress,
    heads: &[NamedCheckpoint],
) -> Result<(Box<dyn Overview>, Verification), LedgerError> {
    loop {
        let overview = open_overview(ledger)?;
        let verified = overview.verify(heads);
        if !overview.has_begun_to_move() {
            return Ok((overview, verified?));
        }
    }
}

fn verify_proofs(file: &Path, heads: &[NamedCheckpoint]) -> Result<Told, CommandError> {
    let name = file.display().to_string();
    let proofs = Proof::read_all(&name, &read(file)?)?;
    let wrong = proofs.iter().position(|proof| !proof.holds());
    let is_known = |proof: &Proof| heads.iter().any(|head| head.checkpoint == proof.checkpoint);
    let unknown = if heads.is_empty() { None } else { proofs.iter().position(|proof| !is_known(proof)) };
    let text = evidence::proofs_text(&name, &proofs, wrong, unknown, !heads.is_empty(), Lang::of_process());
    let holds = wrong.is_none() && unknown.is_none();
    Ok((text, evidence::proofs_object(&name, &proofs, heads, holds), holds))
}

pub(super) fn prove(args: &ProveArgs) -> Result<Exit, CommandError> {
    let head = match &args.checkpoint {
        Some(file) => read_heads(std::slice::from_ref(file))?.pop(),
        None => None,
    };
    let id = MessageId { from_account: args.from.clone(), to_account: args.to.clone(), msg_key: args.key.clone() };
    let overview = open_overview(&args.ledger)?;
    let proofs = overview.prove(id.digest(), head.as_ref().map(|head| head.checkpoint.size))?;
    let Some(first) = proofs.first() else {
        return Err(CommandError::NothingToProve { ledger: args.ledger.clone() });
    };
    if let Some(NamedCheckpoint { place, checkpoint }) = head
        && checkpoint != first.checkpoint
    {
        return Err(CommandError::OtherHead { ledger: args.ledger.clone(), place });
    }
    let text: Vec<String> = proofs.iter().map(ToString::to_string).collect();
    exit_after_printing(print(text.join("\n").as_bytes(), true))
}

fn read_heads(files: &[std::path::PathBuf]) -> Result<Vec<NamedCheckpoint>, CommandError> {
    let mut heads = Vec::new();
    for file in files {
        heads.extend(Checkpoint::read_all(&file.display().to_string(), &read(file)?)?);
    }
    Ok(heads)
}

fn read(file: &Path) -> Result<String, CommandError> {
    let failed = |source| CommandError::Evidence { file: file.to_owned(), source };
    small_file::read_evidence(file).map_err(failed)
}
