//! The socket beside the ledger, over which `runner ctl` controls the run.

mod address;
mod client;
mod protocol;
mod server;

pub use self::client::{SocketError, send};
pub use self::protocol::{SocketAnswer, SocketRequest};
pub(super) use self::server::Socket;
