//! Evidence that a ledger was not altered: its log of events is a Merkle tree (RFC 9162), whose head ([`Checkpoint`]) is
//! kept elsewhere, and with which the events of one message can be shown without the others ([`Proof`]).

mod checkpoint;
mod proof;
mod tree;

pub use self::checkpoint::{Checkpoint, CheckpointError, NamedCheckpoint};
pub use self::proof::{Proof, ProofError, Prover};
pub use self::tree::{Hash, Head, Range, inclusion, leaf};
