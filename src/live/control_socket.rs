//! What `runner ctl` and a run say to each other: one line of JSON to ask, one to answer.

use std::fmt;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thousands::Separable;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

use super::socket;
use crate::ledger::{ControlAction, LedgerError};
use crate::terminal::duration::time;

/// The longest line that either side reads.
pub(super) const LINE_BYTES_MAX: u64 = 4 * 1024;
/// An act waits for a commit of the ledger; one that takes longer has failed.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What a run is asked, or told. (With braces: without them a member that is not known would be let through, and a newer
/// program's "stop, but only if" taken for "stop".)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum SocketRequest {
    /// How far it is.
    Status {},
    /// Send nothing more for now.
    Pause {},
    /// Go on.
    Resume {},
    /// At most so many requests a second from now on.
    Rate {
        /// So many.
        rate: NonZeroU32,
    },
    /// Stop after what is in flight.
    Stop {},
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SocketAnswer {
    /// It is done, and in the ledger; how the run is now.
    Done(Status),
    /// It is not done, and why.
    Refused(String),
}

/// How a run is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// `running`, `held`, `paused`, `stopping`, `over`.
    pub state: String,
    /// Which process it is.
    pub process: u32,
    /// Edits that it set out to send or to read back.
    pub planned: u64,
    /// Edits that were confirmed in this run.
    pub done: u64,
    /// That failed.
    pub failed: u64,
    /// That stay in doubt.
    pub in_doubt: u64,
    /// That wait to be read back.
    pub to_read_back: u64,
    /// How often the service said "too fast".
    pub slow_downs: u64,
    /// Edits settled a second, of late.
    pub speed: f64,
    /// Requests a second at most, as it was told last.
    pub rate: u32,
    /// The most that it can be told.
    pub cap: u32,
    /// How long it takes yet, where that is known.
    pub seconds_left: Option<u64>,
}

/// Why a run was not told, or did not do it.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// There is no such ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Nobody listens.
    #[error("no run is going on with {}; runner status {} tells how it ended", .0.display(), .0.display())]
    NoRun(PathBuf),
    /// The socket is there, and cannot be used.
    #[error("the run cannot be told: {}: {source}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody else has put it there.
    #[error("{} is not the socket of a run of the ledger's owner; it was not used", .0.display())]
    Stranger(PathBuf),
    /// It listens, and says nothing.
    #[error("the run did not answer within {} s; whether it was done, the ledger tells", ANSWER_WITHIN.as_secs())]
    Silent,
    /// The run ended meanwhile.
    #[error("the run is at its end")]
    Over,
    /// What it said cannot be understood.
    #[error("the run answered what this version of the program does not know: {0}")]
    Unknown(serde_json::Error),
    /// It said no.
    #[error("{0}")]
    Refused(String),
}

impl SocketRequest {
    /// What the run is told; `None`: it is only asked.
    pub fn order(self) -> Option<ControlAction> {
        match self {
            SocketRequest::Status {} => None,
            SocketRequest::Pause {} => Some(ControlAction::Pause),
            SocketRequest::Resume {} => Some(ControlAction::Resume),
            SocketRequest::Rate { rate } => Some(ControlAction::Rate(rate)),
            SocketRequest::Stop {} => Some(ControlAction::Stop),
        }
    }
}

/// Asks, or tells, the run that is going on with this ledger.
///
/// # Errors
/// There is none, it could not be told, or it did not do it.
pub async fn ask(ledger: &Path, request: SocketRequest) -> Result<Status, SocketError> {
    let owner = std::fs::metadata(ledger).map_err(|_| LedgerError::Missing { path: ledger.to_owned() })?;
    let path = socket::path(ledger);
    let failed = |source: std::io::Error| match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => SocketError::NoRun(ledger.to_owned()),
        _ => SocketError::Socket { path: path.clone(), source },
    };
    let (near, _directory) = socket::near(&path).map_err(failed)?;
    let stream = UnixStream::connect(&near).await.map_err(failed)?;
    let peer = stream.peer_cred().map_err(failed)?.uid();
    // In a directory that others can write to, one of them may play the run, and say that it stopped.
    if peer != 0 && peer != std::os::unix::fs::MetadataExt::uid(&owner) {
        return Err(SocketError::Stranger(path));
    }
    match tokio::time::timeout(ANSWER_WITHIN, converse(stream, request)).await {
        Ok(Ok(line)) if line.is_empty() => Err(SocketError::Over),
        Ok(Ok(line)) => match serde_json::from_str(&line).map_err(SocketError::Unknown)? {
            SocketAnswer::Done(status) => Ok(status),
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

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settled = self.done + self.failed + self.in_doubt;
        write!(f, "{}: {} of {}", self.state, settled.separate_with_commas(), self.planned.separate_with_commas())?;
        let Status { failed, in_doubt, to_read_back, speed, rate, cap, .. } = *self;
        for (count, what) in [(failed, "failed"), (in_doubt, "in doubt"), (to_read_back, "to read back")] {
            if count > 0 {
                write!(f, " · {} {what}", count.separate_with_commas())?;
            }
        }
        write!(f, " · {speed:.1}/s of {rate}")?;
        if rate < cap {
            write!(f, " (at most {cap})")?;
        }
        if let Some(seconds) = self.seconds_left {
            write!(f, " · {} left", time(Duration::from_secs(seconds)))?;
        }
        if self.slow_downs > 0 {
            write!(f, " · slowed down {}×", self.slow_downs)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_these_words_and_nothing_else() {
        let rate = NonZeroU32::new(50).unwrap();
        for (text, request) in [
            (r#"{"do":"status"}"#, SocketRequest::Status {}),
            (r#"{"do":"pause"}"#, SocketRequest::Pause {}),
            (r#"{"do":"resume"}"#, SocketRequest::Resume {}),
            (r#"{"do":"rate","rate":50}"#, SocketRequest::Rate { rate }),
            (r#"{"do":"stop"}"#, SocketRequest::Stop {}),
        ] {
            assert_eq!(serde_json::from_str::<SocketRequest>(text).unwrap(), request);
            assert_eq!(serde_json::to_string(&request).unwrap(), text);
        }
        for text in
            [r#"{"do":"rate","rate":0}"#, r#"{"do":"rate"}"#, r#"{"do":"drop"}"#, r#"{"do":"stop","now":1}"#, "1"]
        {
            assert!(serde_json::from_str::<SocketRequest>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_status_says_what_matters() {
        let calm = Status {
            state: "running".to_owned(),
            process: 1,
            planned: 4_000,
            done: 1_800,
            failed: 0,
            in_doubt: 0,
            to_read_back: 0,
            slow_downs: 0,
            speed: 199.2,
            rate: 200,
            cap: 200,
            seconds_left: Some(12),
        };
        assert_eq!(calm.to_string(), "running: 1,800 of 4,000 · 199.2/s of 200 · 12 s left");
        let paused = Status { state: "paused".to_owned(), failed: 3, rate: 50, speed: 0.0, seconds_left: None, ..calm };
        assert_eq!(paused.to_string(), "paused: 1,803 of 4,000 · 3 failed · 0.0/s of 50 (at most 200)");
    }
}
