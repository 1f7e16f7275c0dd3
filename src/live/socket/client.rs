//! The side of `runner ctl`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::address;
use super::protocol::{LINE_BYTES_MAX, SocketAnswer, SocketRequest};
use crate::ledger::LedgerError;
use crate::report::format::RunStatus;
use crate::terminal::shell;

/// A change waits for a commit of the ledger; one that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Why a request to a run failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no such ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No process listens.
    #[error("no run is going on with {}; {} shows how the last one ended", .0.display(), status(.0))]
    NoRun(PathBuf),
    /// The socket exists and cannot be used.
    #[error("cannot talk to the run: {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another user has put it there.
    #[error("{} is not the socket of a run of the ledger's owner; it was not used", .0.display())]
    Stranger(PathBuf),
    /// No answer came in time.
    #[error("the run did not answer within {} s; runner report shows whether it took effect", ANSWER_WITHIN.as_secs())]
    Silent,
    /// The run ended before it answered.
    #[error("the run is ending")]
    Over,
    /// The answer cannot be understood.
    #[error("this version of the program does not understand the run's answer: {0}")]
    Unknown(serde_json::Error),
    /// The run refused.
    #[error("{0}")]
    Refused(String),
}

fn status(ledger: &Path) -> String {
    shell::command(["status".as_ref(), shell::argument(ledger).as_os_str()])
}

/// Sends a request to the run that is going on with this ledger, and returns how the run is after it.
///
/// # Errors
/// There is no run, it cannot be reached, or it refuses.
pub async fn send(ledger: &Path, request: SocketRequest) -> Result<RunStatus, SocketError> {
    let owner = std::fs::metadata(ledger).map_err(|_| LedgerError::Missing { ledger: ledger.into() })?;
    let path = address::path(ledger);
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => SocketError::NoRun(ledger.to_owned()),
        _ => SocketError::Socket { path: path.clone(), source },
    };
    let (near, _directory) = address::near(&path).map_err(failed)?;
    let stream = UnixStream::connect(&near).await.map_err(failed)?;
    let peer = stream.peer_cred().map_err(failed)?.uid();
    // In a directory that others can write to, one of them could pose as the run, and claim that it stopped.
    if peer != 0 && peer != std::os::unix::fs::MetadataExt::uid(&owner) {
        return Err(SocketError::Stranger(path));
    }
    match tokio::time::timeout(ANSWER_WITHIN, converse(stream, request)).await {
        Ok(Ok(line)) if line.is_empty() => Err(SocketError::Over),
        Ok(Ok(line)) => match serde_json::from_str(&line).map_err(SocketError::Unknown)? {
            SocketAnswer::Done(status) => Ok(*status),
            SocketAnswer::Refused(why) => Err(SocketError::Refused(why)),
        },
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(SocketError::Silent),
    }
}

async fn converse(mut stream: UnixStream, request: SocketRequest) -> std::io::Result<String> {
    stream.write_all(format!("{}\n", serde_json::to_string(&request)?).as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    Ok(line)
}
