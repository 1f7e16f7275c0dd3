//! A proxy for any TCP connection, which makes the way longer, cuts it, or lets everything on it stand still.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

/// Pieces that are under way at once, each of at most 64 KiB.
const PIECES: usize = 256;

/// Timers are that exact; what is within this would add up, a little with each of thousands of pieces.
const EXACT: Duration = Duration::from_millis(3);
/// The most by which a way of its own accord gets longer.
const LONGER_MAX: Duration = Duration::from_millis(300);

/// By how much the way has become longer since its length was set. A machine that stands still for some milliseconds would
/// otherwise bring all together at once that arrives in that time, as no way does that stays as long as it is.
#[derive(Clone, Default)]
struct Longer(Arc<AtomicU64>);

impl Longer {
    fn by(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    /// Waits until what is due then has come all the way.
    async fn arrive(&self, due: Instant) {
        loop {
            let at = due + self.by();
            sleep_until(at).await;
            // It may have become longer meanwhile.
            if due + self.by() > at {
                continue;
            }
            let late = at.elapsed().saturating_sub(EXACT);
            if !late.is_zero() {
                let longer = (self.by() + late).min(LONGER_MAX);
                self.0.store(u64::try_from(longer.as_micros()).unwrap(), Ordering::Relaxed);
            }
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Open,
    /// Nothing gets through, in either direction; nobody is told.
    Held,
    /// Connections are reset, new ones too.
    Cut,
}

#[derive(Clone, Copy)]
struct Weather {
    delay: Duration,
    way: Way,
}

/// A proxy on a port of loopback; all its connections end when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    longer: Longer,
    runtime: Option<Runtime>,
}

impl Proxy {
    pub(crate) fn start(target: SocketAddr) -> Proxy {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().on_thread_start(come_first).build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, seen) = watch::channel(Weather { delay: Duration::ZERO, way: Way::Open });
        let longer = Longer::default();
        let of_all = longer.clone();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, target, seen.clone(), of_all.clone()));
            }
        });
        Proxy { address, weather, longer, runtime: Some(runtime) }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// How long each way takes from now on: an answer comes after twice this.
    pub(crate) fn set_delay(&self, delay: Duration) {
        self.longer.0.store(0, Ordering::Relaxed);
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Resets all connections, and each new one at once.
    pub(crate) fn cut(&self) {
        self.weather.send_modify(|weather| weather.way = Way::Cut);
    }

    /// Lets nothing through and tells nobody, as a network that swallows everything. What is sent meanwhile arrives
    /// once it is mended, as what TCP sends again does.
    pub(crate) fn hold(&self) {
        self.weather.send_modify(|weather| weather.way = Way::Held);
    }

    pub(crate) fn mend(&self) {
        self.weather.send_modify(|weather| weather.way = Way::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Puts this thread before everything else on this machine, where that is allowed: a way does not get longer because somebody
/// computes.
fn come_first() {
    let thread = nix::unistd::gettid().to_string();
    let _ = Command::new("chrt").args(["-f", "-p", "1", &thread]).stderr(Stdio::null()).status();
}

async fn carry(client: TcpStream, target: SocketAddr, mut weather: watch::Receiver<Weather>, longer: Longer) {
    let _ = client.set_zero_linger();
    let is_cut = weather.clone();
    let both = async {
        weather.wait_for(|weather| weather.way == Way::Open).await.ok()?;
        let server = TcpStream::connect(target).await.ok()?;
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let there = pass(from_client, to_server, weather.clone(), longer.clone());
        tokio::join!(there, pass(from_server, to_client, weather, longer));
        Some(())
    };
    tokio::select! {
        _ = both => {}
        () = cut(is_cut) => {}
    }
}

async fn cut(mut weather: watch::Receiver<Weather>) {
    let _ = weather.wait_for(|weather| weather.way == Way::Cut).await;
}

/// Passes bytes on in one direction. How many are under way does not depend on how long that is.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut weather: watch::Receiver<Weather>, longer: Longer) {
    let (sender, mut receiver) = mpsc::channel::<(Option<Instant>, Vec<u8>)>(PIECES);
    let seen = weather.clone();
    let reads = async move {
        loop {
            let mut piece = Vec::with_capacity(1 << 16);
            // The end is passed on too, as an empty piece, and as late.
            let end = from.read_buf(&mut piece).await.is_ok_and(|bytes| bytes > 0);
            let delay = seen.borrow().delay;
            let due = (!delay.is_zero()).then(|| Instant::now() + delay);
            if sender.send((due, piece)).await.is_err() || !end {
                return;
            }
        }
    };
    let writes = async move {
        while let Some((due, piece)) = receiver.recv().await {
            if let Some(due) = due {
                longer.arrive(due).await;
            }
            let is_open = weather.wait_for(|weather| weather.way == Way::Open).await.is_ok();
            if !is_open || piece.is_empty() || to.write_all(&piece).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(reads, writes);
}
