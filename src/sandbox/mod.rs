//! A local stand-in for the service: a real HTTP server on this machine that validates, answers and fails as the
//! service is documented to do. For the first demo, for rehearsals of a real list, and for the tests.
//!
//! `server` receives a request; `access` checks who calls and `request` parses the body. `state` decides what it
//! does: the `traffic` so far determines whether the rate limit admits it, the `model` holds the messages (and
//! `history` reads them back), and `faults` decide whether anything goes wrong. Every message that a request names
//! exists, so any list can be rehearsed; nothing leaves this machine.

mod access;
mod faults;
mod history;
mod model;
mod request;
mod server;
mod state;
mod traffic;

use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use secrecy::SecretString;
use tokio::task::JoinHandle;

use self::access::Access;
pub use self::faults::{Faults, FaultsError};
pub use self::model::{Counts, KeyParts};
use self::server::SharedSandbox;
use self::state::SandboxState;
pub use self::state::Stats;
pub use self::traffic::ApiStats;
use crate::edit::MessageId;
use crate::terminal::shell;

/// The default app of the sandbox.
pub const SDKAPPID: u64 = 1_400_000_000;
/// The app's admin account.
pub const IDENTIFIER: &str = "administrator";
/// The app's key: it protects nothing, so it may appear here and in every printed example.
pub const SECRET_KEY: &str = "sandbox-key-the-secret-of-nothing";
/// Requests per second that the service admits for each API.
pub const RATE: u32 = 200;

/// How to set up a sandbox.
#[derive(Clone, Debug)]
pub struct Options {
    /// The loopback address to listen on. Port 0 takes any free port.
    pub listen: SocketAddr,
    /// The app that may call.
    pub sdkappid: u64,
    /// The app's admin account.
    pub identifier: String,
    /// The key for its signatures.
    pub key: SecretString,
    /// Requests in any sliding second that are admitted for each API.
    pub rate: u32,
    /// The faults that it shows.
    pub faults: Faults,
    /// Determines which requests meet a fault and which messages are unknown: the same seed gives the same faults.
    pub seed: u64,
}

impl Options {
    /// The default sandbox app on any free port, at the service's rate, without faults.
    pub fn well_known() -> Options {
        Options {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            sdkappid: SDKAPPID,
            identifier: IDENTIFIER.to_owned(),
            key: SECRET_KEY.into(),
            rate: RATE,
            faults: Faults::none(),
            seed: 1,
        }
    }
}

/// A message as the sandbox holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// The elements: the JSON array as received.
    pub msg_body: String,
    /// The custom data; `None` if there never was any.
    pub cloud_custom_data: Option<String>,
    /// The number of edits that took effect.
    pub edits: u32,
}

/// A running sandbox. Dropping it closes every connection.
#[derive(Debug)]
pub struct Sandbox {
    address: SocketAddr,
    sdkappid: u64,
    identifier: String,
    is_well_known: bool,
    shared: Arc<SharedSandbox>,
    task: JoinHandle<()>,
}

impl Sandbox {
    /// Starts to listen and to answer, as a background task of the current tokio runtime.
    ///
    /// # Errors
    /// The address is not a loopback address, or cannot be listened on.
    pub async fn start(options: Options) -> io::Result<Sandbox> {
        use secrecy::ExposeSecret as _;
        let Options { listen, sdkappid, identifier, key, rate, faults, seed } = options;
        let listener = server::listen(listen).await?;
        let address = listener.local_addr()?;
        let is_well_known = key.expose_secret() == SECRET_KEY;
        let access = Access::new(sdkappid, identifier.clone(), key);
        let shared = Arc::new(SharedSandbox::new(access, SandboxState::new(rate, faults, seed)));
        let task = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Sandbox { address, sdkappid, identifier, is_well_known, shared, task })
    }

    /// Where it listens, with the assigned port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL to give to `--endpoint`.
    pub fn endpoint_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The statistics so far.
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    /// Adds a message: without this, a message that no request has named is in no history.
    pub fn add_message(&self, id: &MessageId) {
        self.shared.lock().add_message(id);
    }

    /// The current state of a message; `None` if no request has named it yet.
    pub fn message(&self, id: &MessageId) -> Option<MessageView> {
        let state = self.shared.lock();
        let message = state.messages.get(state.messages.find(id.digest())?)?;
        Some(MessageView {
            msg_body: message.msg_body().as_ref().to_owned(),
            cloud_custom_data: message.cloud_custom_data().map(str::to_owned),
            edits: message.edits(),
        })
    }

    /// Changes the faults, from the next request on.
    pub fn set_faults(&self, faults: Faults) {
        self.shared.lock().faults = faults;
    }

    /// The text to print for the user who started it: where it listens, and what to type to run against it, with these
    /// arguments for the list.
    pub fn banner(&self, list: &[OsString]) -> String {
        let url = self.endpoint_url();
        let key = if self.is_well_known { SECRET_KEY } else { "<the key it was given>" };
        let Sandbox { sdkappid, identifier, .. } = self;
        let identifier = shell::quoted(identifier);
        let endpoint = ["--endpoint", &url].map(OsString::from);
        let ledger = ["--resume", "rehearsal.db"].map(OsString::from);
        let run = shell::command(endpoint.iter().chain(list).chain(&ledger));
        let [stats, messages, faults] =
            ["stats", "messages", "faults"].map(|name| shell::quoted(format!("{url}/sandbox/{name}")));
        format!(
            "The sandbox listens on {url}. It stands in for the service; nothing leaves this machine.\n\
             \n\
             In another terminal:\n\
             \n\
             \x20 export TIM_SDKAPPID={sdkappid}\n\
             \x20 export TIM_IDENTIFIER={identifier}\n\
             \x20 export TIM_SECRET_KEY={key}\n\
             \x20 {run}\n\
             \n\
             What arrived:     curl {stats}\n\
             What it made:     curl {messages}\n\
             Make it stumble:  curl {faults} -d 20004=2%,lost-after=1%,latency=20ms..80ms\n"
        )
    }

    /// Stops listening and closes every connection; when this returns, no request takes effect any more.
    pub async fn stop(mut self) {
        self.shared.stop();
        if let Err(error) = (&mut self.task).await {
            tracing::warn!(?error, "the sandbox did not shut down cleanly");
        }
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.shared.stop();
        self.task.abort();
    }
}
