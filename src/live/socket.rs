//! The socket beside the ledger, by which `runner ctl` tells the run.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::unistd::Uid;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::LiveShared;
use super::control_socket::{LINE_BYTES_MAX, SocketAnswer, SocketRequest};
use crate::system;

/// Conversations at once; one takes as long as a commit.
const CONVERSATIONS_MAX: u32 = 16;
/// Who has connected says what he wants, and takes the answer, within this time.
const PATIENCE: Duration = Duration::from_secs(5);
/// The answer to who finds no place.
const BUSY: &[u8] = b"{\"refused\":\"too many talk to the run at once; try again\"}\n";
/// After a connection could not be accepted; most often the process has no more file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The longest path that the address of a socket holds on every system (104 bytes, the last of them is zero).
const PATH_BYTES_MAX: usize = 103;

/// The socket, open; dropped, it is gone.
#[derive(Debug)]
pub(super) struct Socket {
    listener: UnixListener,
    near: PathBuf,
    /// Kept open, as the way to the socket may lead through it.
    _directory: Option<File>,
}

/// Where the socket of a ledger is: beside the file itself, wherever a link to it may lie.
pub(super) fn path(ledger: &Path) -> PathBuf {
    let mut path = std::fs::canonicalize(ledger).unwrap_or_else(|_| ledger.to_owned()).into_os_string();
    path.push("-ctl");
    path.into()
}

/// A name for it that fits into a socket's address: where the path is too long, by way of its directory, opened.
pub(super) fn near(path: &Path) -> io::Result<(PathBuf, Option<File>)> {
    let (Some(directory), Some(name), true) =
        (path.parent(), path.file_name(), path.as_os_str().len() > PATH_BYTES_MAX)
    else {
        return Ok((path.to_owned(), None));
    };
    let directory = File::open(directory)?;
    let near = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((near, Some(directory)))
}

impl Socket {
    /// Opens it. Whoever does that holds the ledger's lock: a socket that is there already is that of a dead process.
    pub(super) fn open(ledger: &Path) -> io::Result<Socket> {
        let (near, directory) = near(&path(ledger))?;
        match near.symlink_metadata() {
            Ok(metadata) if metadata.file_type().is_socket() => std::fs::remove_file(&near)?,
            Ok(_) => return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something else")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let socket = UnixSocket::new_stream()?;
        socket.bind(&near)?;
        // Until it listens nobody can connect, so there is no moment at which others could.
        let listener = std::fs::set_permissions(&near, Permissions::from_mode(0o600))
            .and_then(|()| socket.listen(CONVERSATIONS_MAX))
            .inspect_err(|_| drop(std::fs::remove_file(&near)))?;
        Ok(Socket { listener, near, _directory: directory })
    }

    /// Answers whoever connects; never ends by itself.
    pub(super) async fn serve(&self, shared: Arc<LiveShared>) {
        let places = Arc::new(Semaphore::new(CONVERSATIONS_MAX as usize));
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                        // Nobody is waited for, not even to hear this.
                        let _ = stream.try_write(BUSY);
                        continue;
                    };
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, &shared).await {
                            tracing::debug!(?error, "a conversation on the socket broke off");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::debug!(?error, "the socket could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Who has taken it away has done what was to be done.
        let _ = std::fs::remove_file(&self.near);
    }
}

async fn converse(mut stream: UnixStream, shared: &LiveShared) -> io::Result<()> {
    let peer = Uid::from_raw(stream.peer_cred()?.uid());
    // The file's mode says the same; this holds even where somebody has changed it.
    if !peer.is_root() && peer != Uid::effective() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut line = String::new();
    timeout(PATIENCE, BufReader::new((&mut stream).take(LINE_BYTES_MAX)).read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<SocketRequest>(&line) {
        Ok(request) => answer(request, peer, shared).await,
        Err(error) => SocketAnswer::Refused(format!("this is no request: {error}")),
    };
    let answer = format!("{}\n", serde_json::to_string(&answer)?);
    timeout(PATIENCE, stream.write_all(answer.as_bytes())).await?
}

async fn answer(request: SocketRequest, peer: Uid, shared: &LiveShared) -> SocketAnswer {
    if let Some(order) = request.order()
        && let Err(refused) = shared.tell(order, format!("{} by runner ctl", system::user_name(peer))).await
    {
        return SocketAnswer::Refused(refused.to_string());
    }
    SocketAnswer::Done(shared.view().status(&shared.facts))
}
