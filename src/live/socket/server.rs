//! The side of the run: the socket beside the ledger.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::{near, path};
use super::protocol::{LINE_BYTES_MAX, SocketAnswer, SocketRequest};
use crate::live::LiveShared;
use crate::system;

/// Connections served at once; each takes as long as a commit.
const CONNECTIONS_MAX: u32 = 16;
/// A client must send its request, and take the answer, within this time.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the end of the run waits for answers that are on their way.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// The answer to a client beyond `CONNECTIONS_MAX`.
const BUSY: &[u8] = b"{\"refused\":\"too many connections to the run at once; try again\"}\n";
/// After a connection could not be accepted; most often the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The open socket; dropping it removes the file.
#[derive(Debug)]
pub(in crate::live) struct Socket {
    listener: UnixListener,
    near: PathBuf,
    /// Kept open, as the address may lead through it.
    _directory: Option<File>,
}

impl Socket {
    /// Opens it. The caller holds the ledger's lock, so a socket that exists already is that of a dead process.
    pub(in crate::live) fn open(ledger: &Path) -> io::Result<Socket> {
        let (near, directory) = near(&path(ledger))?;
        match near.symlink_metadata() {
            Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(&near)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "something else is in its place")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(&near)?;
        // Nobody can connect before it listens, so it is never open to other users.
        let listener = std::fs::set_permissions(&near, Permissions::from_mode(0o600))
            .and_then(|()| socket.listen(CONNECTIONS_MAX))
            .inspect_err(|_| drop(std::fs::remove_file(&near)))?;
        Ok(Socket { listener, near, _directory: directory })
    }

    /// Answers clients until `close` is cancelled, and then those that are connected.
    pub(in crate::live) async fn serve(&self, shared: Arc<LiveShared>, close: &CancellationToken) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
        while let Some(accepted) = close.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, _)) => {
                    let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                        // If it cannot be written at once, the client goes without it.
                        let _ = stream.try_write(BUSY);
                        continue;
                    };
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        if let Err(error) = handle(stream, &shared).await {
                            tracing::debug!(?error, "a connection to the socket broke off");
                        }
                        drop(slot);
                    });
                }
                Err(error) => {
                    tracing::debug!(?error, "the socket could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        // The client that stopped the run gets its answer.
        let _ = timeout(LAST_ANSWERS, slots.acquire_many(CONNECTIONS_MAX)).await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // It may have been removed already.
        let _ = std::fs::remove_file(&self.near);
    }
}

async fn handle(mut stream: UnixStream, shared: &LiveShared) -> io::Result<()> {
    let peer = Uid::from_raw(stream.peer_cred()?.uid());
    // The file's mode ensures this too, unless somebody has changed it.
    if !peer.is_root() && peer != Uid::effective() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut line = String::new();
    timeout(CLIENT_TIMEOUT, BufReader::new((&mut stream).take(LINE_BYTES_MAX)).read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<SocketRequest>(&line) {
        Ok(request) => answer(request, peer, shared).await,
        Err(error) => SocketAnswer::Refused(format!("not a request: {error}")),
    };
    let answer = format!("{}\n", serde_json::to_string(&answer)?);
    timeout(CLIENT_TIMEOUT, stream.write_all(answer.as_bytes())).await?
}

async fn answer(request: SocketRequest, peer: Uid, shared: &LiveShared) -> SocketAnswer {
    if let Some(action) = request.action()
        && let Err(refused) = shared.control(action, format!("{} by runner ctl", system::user_name(peer))).await
    {
        return SocketAnswer::Refused(refused.to_string());
    }
    SocketAnswer::Done(Box::new(shared.view().status(&shared.facts)))
}
