//! Watching and controlling a run while it is in progress.
//!
//! ```text
//! runner ctl ──▶ socket ─┐                    ┌─▶ metrics   /metrics, /healthz
//!                        ├─▶ Control ─▶ run ──┤
//! a browser ───▶ page ───┘            View    └─▶ page      totals and charts that move
//! ```
//! In the run's own terminal, [`progress`] shows the same.
//!
//! All of it lives on a thread of its own: a flood of requests slows down the view of the run, not the run. The run
//! publishes a [`View`] a few times a second, and takes actions through [`Control`], which makes each one durable
//! before it takes effect, refuses a rate above the cap that the run began with, and has a bounded queue.
//!
//! This can stop an irreversible job, or speed it up. What people without permission can do:
//!
//! - **Another user of this machine.** The socket is open to its owner (mode 0600 before anybody can connect) and to
//!   root; the kernel says who connects, not the client. A page on loopback is open only to the user who started the
//!   run and to root, as the kernel says whose connection it is; where it does not, and for anyone who prefers it,
//!   there is `RUNNER_PAGE_TOKEN`. Any other file in the place of the socket is left alone, and reported.
//! - **A hostile web page in the operator's browser.** It cannot read this page (no CORS header, frames refused), nor reach
//!   it under a name of its own (the Host must be an address, or this machine's name). It cannot press a button: a post
//!   must come from the page's own origin, as the browser states it, and carry the form token that only the page has.
//!   And it cannot change what the page does: the policy runs no script but the page's own file.
//! - **A port scanner, or anyone on the network.** Beyond loopback nothing is answered without the token: 128 random
//!   bits, or what the operator chose, compared in constant time. In a browser it is exchanged for a cookie that dies with
//!   the run and that no script can read. Over plain HTTP anyone who listens on the wire can read it: the program says so, and
//!   names the tunnel that keeps it in.
//! - **Slow and greedy clients.** Connections are counted; heads, bodies and times are bounded; nothing waits for them.
//!
//! Whatever they do, nothing is sent above the cap, no edit is sent twice, and nothing without its row in the ledger.

mod metrics;
pub mod page;
pub mod progress;
pub mod socket;
mod view;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::page::Page;
use self::socket::Socket;
pub use self::view::{LiveRun, View};
use crate::ledger::{ControlAction, ControlEvent, Totals};
use crate::run::{Activity, Control, ControlError, Tally};

/// How long the end of the run may be delayed so that open pages see it.
const LAST_LOOK: Duration = Duration::from_secs(4);

/// How long whoever acts on a page waits until this run has heard of it, where that goes through a database.
const HEARD_WITHIN: Duration = Duration::from_secs(4);

/// The run's side: it publishes its progress.
#[derive(Debug)]
pub struct Live {
    shared: Arc<LiveShared>,
    close: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

/// What the socket and the page share.
#[derive(Debug)]
pub(crate) struct LiveShared {
    facts: LiveRun,
    control: Control,
    views: watch::Sender<Arc<View>>,
    /// Cancelled when somebody has asked the run to stop.
    stopping: CancellationToken,
    /// Cancelled once the ledger has failed.
    latch: CancellationToken,
}

impl Live {
    /// Opens the socket, and the page if there is one. `stop` is the run's, `latch` its ledger's; `totals` are those
    /// before the run.
    ///
    /// A run without a socket is better than none: if it cannot be opened, a warning says so.
    pub fn start(
        facts: LiveRun,
        control: Control,
        page: Option<Page>,
        stop: &CancellationToken,
        latch: CancellationToken,
        totals: Totals,
    ) -> Live {
        let view = View::new(&Tally::default(), totals);
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
        Live { shared, close, thread }
    }

    /// Publishes the run's progress; called several times a second.
    pub fn show(&self, tally: &Tally, totals: Totals) {
        self.shared.views.send_replace(Arc::new(View::new(tally, totals)));
    }

    /// Publishes how the run ended, and closes socket and page. The ledger must still be locked, as the next run has a
    /// socket of the same name.
    pub async fn end(mut self, how: &'static str, tally: &Tally, totals: Totals) {
        let tally = Tally { activity: Activity::Over(how), speed: 0.0, ..tally.clone() };
        self.shared.views.send_replace(Arc::new(View::new(&tally, totals)));
        self.close.cancel();
        if let Some(thread) = self.thread.take() {
            // It returns nothing, and a panic in it was reported when it happened.
            let _ = tokio::task::spawn_blocking(|| thread.join()).await;
        }
    }
}

/// However the run ends, socket and page are closed.
impl Drop for Live {
    fn drop(&mut self) {
        self.close.cancel();
    }
}

impl LiveShared {
    /// The current view. A stop that was asked for shows at once, before the run publishes it.
    fn view(&self) -> Arc<View> {
        let view = Arc::clone(&self.views.borrow());
        if self.stopping.is_cancelled() && !view.is_stopping() { Arc::new(view.stopping()) } else { view }
    }

    /// Hands an action to the run, and waits until it has taken effect and the view shows it.
    async fn control(&self, what: ControlAction, by: String) -> Result<(), ControlError> {
        self.control.tell(ControlEvent { what, by }).await?;
        if what == ControlAction::Stop {
            self.stopping.cancel();
            return Ok(());
        }
        let mut views = self.views.subscribe();
        if self.facts.ledger.postgres().is_some() {
            // The run hears of it with its next beat; without one it sends nothing, and the page says so.
            let shows = |view: &Arc<View>| match what {
                ControlAction::Pause => view.tally.paused,
                ControlAction::Resume => !view.tally.paused,
                ControlAction::Rate(rate) => view.tally.pace.cap <= rate.get(),
                ControlAction::Stop => true,
            };
            let _ = tokio::time::timeout(HEARD_WITHIN, views.wait_for(shows)).await;
        } else {
            // The current view may be older than the action. The next one comes within a moment, or at the end.
            let _ = views.changed().await;
        }
        Ok(())
    }
}

/// The thread of socket and page.
fn serve(shared: &Arc<LiveShared>, page: Option<Page>, close: &CancellationToken) {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return unwatched(&error),
    };
    runtime.block_on(async {
        let socket = async {
            // Runs that share a ledger are told through it.
            let Some(file) = shared.facts.ledger.file() else { return };
            match Socket::open(file) {
                Ok(socket) => {
                    socket.serve(Arc::clone(shared), close).await;
                }
                Err(error) => unwatched(&error),
            }
        };
        let page = async {
            if let Some(page) = page {
                page.serve(Arc::clone(shared), close.clone()).await;
            }
        };
        tokio::join!(socket, page);
    });
    // Connections that are still open are not waited for.
    runtime.shutdown_background();
}

fn unwatched(error: &dyn std::error::Error) {
    tracing::warn!("the run goes on without a socket beside the ledger, so runner ctl cannot reach it: {error}");
}
