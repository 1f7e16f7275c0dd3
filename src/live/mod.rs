//! What can be seen of a run, and said to it, while it goes on.
//!
//! ```text
//! runner ctl ──▶ socket ─┐                    ┌─▶ metrics   /metrics, /healthz
//!                        ├─▶ Control ─▶ run ──┤
//! a browser ───▶ page ───┘            View    └─▶ page      totals and charts that move
//! ```
//!
//! All of it lives on a thread of its own: whoever floods it slows down what is seen of the run, and not the run. The run
//! hands over a [`View`] a few times a second, and takes orders by way of [`Control`], which makes each act durable
//! before it is done, refuses whatever is above the cap that was agreed to when the run began, and has a bounded queue.
//!
//! This can stop an irreversible job, or speed it up. What those can do who should not:
//!
//! - **Another user of this machine.** The socket is open to its owner only (mode 0600 before anybody can connect), and
//!   to root; whoever connects is told by the kernel, not by himself. On Linux a page on loopback is open to the user who
//!   started the run and to root alone, as the kernel tells whose connection it is; elsewhere, and for whoever wants it,
//!   there is `RUNNER_PAGE_TOKEN`. A file that somebody has put where the socket belongs is left alone, and told of.
//! - **A hostile web page in the operator's browser.** It cannot read this page (no CORS header, frames refused), nor reach
//!   it under a name of its own (the Host must be an address, or this machine's name). It cannot press a button: a post
//!   must come from the page's own origin, as the browser says it, and carry the form token that only the page has.
//!   And it cannot change what the page does: the policy runs no script but the page's own file.
//! - **A port scanner, or whoever is on the network.** Beyond loopback nothing is answered without the token: 128 random
//!   bits, or what the operator chose, compared in constant time. In a browser it is exchanged for a cookie that dies with
//!   the run and that no script can read. Over plain HTTP who can listen on the wire can read it: the program says so, and
//!   names the tunnel that keeps it in.
//! - **Slow and greedy ones.** Connections are counted, heads, bodies and times bounded; nobody waits for them.
//!
//! Whatever they do, nothing is sent above the cap, no edit twice, and nothing without its row in the ledger.

mod metrics;
pub mod page;
pub mod socket;
mod view;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::page::Page;
use self::socket::Socket;
pub use self::view::{LiveRun, View, ViewState};
use crate::ledger::{ControlAction, ControlEvent, Totals};
use crate::run::{Control, ControlError, Tally};
use crate::terminal::progress::Speed;

/// How long the end of the run may be held up so that whoever watches sees it.
const LAST_LOOK: Duration = Duration::from_secs(2);

/// A run that is watched. The run's side: it shows how far it is.
#[derive(Debug)]
pub struct Live {
    shared: Arc<LiveShared>,
    speed: Speed,
    close: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What all who watch share.
#[derive(Debug)]
pub(crate) struct LiveShared {
    facts: LiveRun,
    control: Control,
    views: watch::Sender<Arc<View>>,
    /// Cancelled when the run shall stop, whoever wants it.
    stopping: CancellationToken,
    /// Cancelled once the ledger has failed.
    latch: CancellationToken,
}

impl Live {
    /// Opens the socket, and the page if there is one. `stop` is the run's, `latch` its ledger's; `totals` are those
    /// before it.
    ///
    /// A run without a socket is better than none: where it cannot be opened, a warning says so.
    pub fn start(
        facts: LiveRun,
        control: Control,
        page: Option<Page>,
        stop: &CancellationToken,
        latch: CancellationToken,
        totals: Totals,
    ) -> Live {
        let view = View::new(ViewState::Running, &Tally::default(), totals, 0.0);
        let shared = Arc::new(LiveShared {
            facts,
            control,
            views: watch::Sender::new(Arc::new(view)),
            stopping: stop.child_token(),
            latch,
        });
        let close = CancellationToken::new();
        let (serving, closing) = (Arc::clone(&shared), close.clone());
        let thread = std::thread::Builder::new().name("live".to_owned()).spawn(move || serve(&serving, page, &closing));
        let thread = thread.inspect_err(|error| unwatched(&error)).ok();
        Live { shared, speed: Speed::new(), close, thread }
    }

    /// Shows how far the run is; to be called several times a second.
    pub fn show(&mut self, tally: &Tally, totals: Totals) {
        let speed = self.speed.of(std::time::Instant::now(), tally.settled());
        let state = if tally.paused {
            ViewState::Paused
        } else if tally.pace.held.is_zero() {
            ViewState::Running
        } else {
            ViewState::Held(tally.pace.held)
        };
        self.shared.views.send_replace(Arc::new(View::new(state, tally, totals, speed)));
    }

    /// Shows how it ended, and takes socket and page away. From then on nobody can tell it anything; the ledger must
    /// still be locked, as the next run has a socket of the same name.
    pub async fn end(mut self, how: &'static str, tally: &Tally, totals: Totals) {
        self.shared.views.send_replace(Arc::new(View::new(ViewState::Over(how), tally, totals, 0.0)));
        self.close.cancel();
        if let Some(thread) = self.thread.take() {
            // It has nothing to return, and a panic in it was told when it happened.
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

/// However the run is left, nothing of it stays behind.
impl Drop for Live {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

impl LiveShared {
    /// How the run is just now.
    fn view(&self) -> Arc<View> {
        let view = Arc::clone(&self.views.borrow());
        if self.stopping.is_cancelled() && !matches!(view.state, ViewState::Over(_)) {
            return Arc::new(View { state: ViewState::Stopping, ..View::clone(&view) });
        }
        view
    }

    /// Tells the run, and waits until it is done and can be seen.
    async fn control(&self, what: ControlAction, by: String) -> Result<(), ControlError> {
        self.control.tell(ControlEvent { what, by }).await?;
        if what == ControlAction::Stop {
            self.stopping.cancel();
        } else {
            // What is shown now may be older than the act. It is shown again within a moment, or at the end.
            let _ = self.views.subscribe().changed().await;
        }
        Ok(())
    }
}

/// The thread of those who watch.
fn serve(shared: &Arc<LiveShared>, page: Option<Page>, close: &CancellationToken) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unwatched(&error),
    };
    runtime.block_on(async {
        let told = async {
            match Socket::open(&shared.facts.ledger) {
                Ok(socket) => {
                    close.run_until_cancelled(socket.serve(Arc::clone(shared))).await;
                }
                Err(error) => unwatched(&error),
            }
        };
        let watched = async {
            if let Some(page) = page {
                page.serve(Arc::clone(shared), close.clone()).await;
            }
        };
        tokio::join!(told, watched);
    });
    // Whoever is in the middle of something is not waited for.
    runtime.shutdown_background();
}

fn unwatched(error: &dyn std::error::Error) {
    tracing::warn!(
        "the run goes on without a socket beside the ledger, so runner ctl cannot tell it anything: {error}"
    );
}
