//! A stand-in for the service that costs as little as a server can and records when each request arrived. All compared
//! tools use this one. It runs on a thread of this process, so it cannot be left behind.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use runner::api::usersig::Signer;
use runner::sandbox::{IDENTIFIER, SDKAPPID, SECRET_KEY};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);
const DONE: &str = r#"{"ActionStatus":"OK","ErrorCode":0,"ErrorInfo":""}"#;
const TOO_FAST: &str = r#"{"ActionStatus":"FAIL","ErrorCode":60007,"ErrorInfo":"too fast"}"#;
const FAULT: &str = r#"{"ActionStatus":"FAIL","ErrorCode":20004,"ErrorInfo":"network fault"}"#;

/// How it answers.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// The latency of answers in milliseconds, evenly distributed.
    pub(crate) answer_ms: RangeInclusive<u64>,
    /// This many of a hundred answers take a second longer.
    pub(crate) late_percent: u64,
    /// This many of a hundred requests meet a transient error.
    pub(crate) fault_percent: u64,
    /// This many of a thousand requests are called too fast, whatever the rate.
    pub(crate) too_fast_per_mille: u64,
    /// This many are admitted in any second; the others are too fast.
    pub(crate) allowed: Option<usize>,
}

impl Manners {
    pub(crate) const FAST: Manners =
        Manners { answer_ms: 0..=0, late_percent: 0, fault_percent: 0, too_fast_per_mille: 0, allowed: None };
}

pub(crate) struct StandIn {
    address: SocketAddr,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    /// Those that were not too fast.
    passed: Arc<Mutex<Vec<Instant>>>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl StandIn {
    pub(crate) fn start(manners: Manners) -> StandIn {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let (arrivals, passed, stop) = (Arc::default(), Arc::default(), CancellationToken::new());
        let served = serve(listener, manners, Arc::clone(&arrivals), Arc::clone(&passed));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = served => {}
                    () = stopped.cancelled() => {}
                }
            });
        });
        StandIn { address, arrivals, passed, stop, thread: Some(thread) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL that the program makes of the endpoint: the other tools send to the same.
    pub(crate) fn request_url(&self) -> String {
        let usersig = Signer::new(SDKAPPID, IDENTIFIER.to_owned(), SECRET_KEY.into()).sign(SystemTime::now());
        format!(
            "{}/v4/openim/modify_c2c_msg?sdkappid={SDKAPPID}&identifier={IDENTIFIER}&contenttype=json&usersig={}\
             &random=2654435761",
            self.endpoint(),
            usersig.text.expose_secret()
        )
    }

    pub(crate) fn arrived(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    pub(crate) fn last_arrival(&self) -> Option<Instant> {
        self.arrivals.lock().unwrap().last().copied()
    }

    /// The requests since the last call.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic(std::mem::take(&mut *self.arrivals.lock().unwrap()))
    }
}

impl StandIn {
    /// The requests that were not too fast, since the last call.
    pub(crate) fn passed(&self) -> Traffic {
        Traffic(std::mem::take(&mut *self.passed.lock().unwrap()))
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // Its panic has been reported already.
            let _ = thread.join();
        }
    }
}

async fn serve(
    listener: TcpListener,
    manners: Manners,
    arrivals: Arc<Mutex<Vec<Instant>>>,
    passed: Arc<Mutex<Vec<Instant>>>,
) {
    let manners = Arc::new(manners);
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (manners, arrivals, passed) = (Arc::clone(&manners), Arc::clone(&arrivals), Arc::clone(&passed));
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &manners, &arrivals, &passed));
            // Clients may close their connections at any time.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    manners: &Manners,
    arrivals: &Mutex<Vec<Instant>>,
    passed: &Mutex<Vec<Instant>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // A request has arrived when its last byte has.
    if request.into_body().collect().await.is_ok() {
        arrivals.lock().unwrap().push(Instant::now());
    }
    let is_too_fast = is_too_fast(manners, &mut passed.lock().unwrap());
    let is_late = fastrand::u64(0..100) < manners.late_percent;
    let answer_ms = fastrand::u64(manners.answer_ms.clone()) + if is_late { 1_000 } else { 0 };
    if answer_ms > 0 {
        tokio::time::sleep(Duration::from_millis(answer_ms)).await;
    }
    let meets_fault = fastrand::u64(0..100) < manners.fault_percent;
    let body = if is_too_fast {
        TOO_FAST
    } else if meets_fault {
        FAULT
    } else {
        DONE
    };
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Records the request if it is not.
fn is_too_fast(manners: &Manners, passed: &mut Vec<Instant>) -> bool {
    let now = Instant::now();
    let within_second = passed.iter().rev().take_while(|at| now - **at < SECOND);
    let is_too_fast = manners.allowed.is_some_and(|allowed| within_second.count() >= allowed)
        || fastrand::u64(0..1_000) < manners.too_fast_per_mille;
    if !is_too_fast {
        passed.push(now);
    }
    is_too_fast
}

/// Requests as the server saw them, in the order in which they arrived.
pub(crate) struct Traffic(Vec<Instant>);

impl Traffic {
    pub(crate) fn requests(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn first(&self) -> Option<Instant> {
        self.0.first().copied()
    }

    /// The first of its requests, up to this many.
    pub(crate) fn up_to(&self, requests: usize) -> Traffic {
        Traffic(self.0.iter().copied().take(requests).collect())
    }

    /// Those from then on.
    pub(crate) fn since(&self, start: Option<Instant>) -> Traffic {
        Traffic(self.0.iter().copied().filter(|at| start.is_none_or(|start| *at >= start)).collect())
    }

    /// The two parts before and after the longest pause: a restart.
    pub(crate) fn around_the_pause(&self) -> [Traffic; 2] {
        let pauses = self.0.windows(2).enumerate().map(|(i, pair)| (pair[1] - pair[0], i + 1));
        let (before, after) = self.0.split_at(pauses.max().map_or(0, |(_, at)| at));
        [Traffic(before.to_vec()), Traffic(after.to_vec())]
    }

    /// Those in the middle: the first third and the last twentieth left out.
    pub(crate) fn middle(&self) -> Traffic {
        let requests = self.0.len();
        Traffic(self.0[requests / 3..requests - requests / 20].to_vec())
    }

    /// Requests a second from its second second on: one goes first, alone, and what its answer takes is made up for in the
    /// second after it.
    pub(crate) fn steady_mean(&self) -> f64 {
        self.since(self.0.first().map(|first| *first + SECOND)).mean()
    }

    /// Requests a second: those after the first, over the time from the first to the last.
    pub(crate) fn mean(&self) -> f64 {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "far fewer requests than that")]
        let after_first = (self.0.len() - 1) as f64;
        if after_first == 0.0 { 0.0 } else { after_first / (*last - *first).as_secs_f64() }
    }

    /// Requests in the busiest second, wherever it begins.
    pub(crate) fn worst_second(&self) -> usize {
        let mut oldest = 0;
        let counts = self.0.iter().enumerate().map(|(newest, at)| {
            while *at - self.0[oldest] >= SECOND {
                oldest += 1;
            }
            newest - oldest + 1
        });
        counts.max().unwrap_or_default()
    }

    /// Requests in the second that the first one begins.
    pub(crate) fn first_second(&self) -> usize {
        self.0.first().map_or(0, |first| self.0.iter().take_while(|at| **at - *first < SECOND).count())
    }
}
