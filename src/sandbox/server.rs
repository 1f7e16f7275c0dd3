//! The sandbox's HTTP/1.1 server: passes requests to [`SandboxState`] and sends its answers, or drops the connection.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body::Frame;
use http_body_util::{BodyExt as _, Either, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::access::Access;
use super::faults::Faults;
use super::history::Window;
use super::request::Modify;
use super::state::{LateEdit, Reply, SandboxAnswer, SandboxState, refusal};
use crate::api::endpoint::ApiMethod;

/// The longest body that is read. The largest valid request is an eighth of it; longer ones are refused.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// The messages that a listing writes before it releases the lock for requests.
const LISTING_MESSAGES: usize = 500;

/// The pause after a failure to accept a connection; usually the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The state that all connections share.
#[derive(Debug)]
pub(super) struct SharedSandbox {
    access: Access,
    started: Instant,
    state: Mutex<SandboxState>,
    stop: CancellationToken,
    /// The pending late edits.
    late: TaskTracker,
}

type Body = Either<Full<Bytes>, Listing>;

/// Why a connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
enum Disconnect {
    #[error("the answer is lost on purpose")]
    OnPurpose,
    #[error("the client left before its request was complete")]
    ByClient,
}

impl SharedSandbox {
    /// Starts the clock for arrival times.
    pub(super) fn new(access: Access, state: SandboxState) -> SharedSandbox {
        let (stop, late) = (CancellationToken::new(), TaskTracker::new());
        SharedSandbox { access, started: Instant::now(), state: Mutex::new(state), stop, late }
    }

    /// Makes [`serve`] return. A late edit that is still pending does not take effect.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Locks the state; hold it as briefly as possible.
    pub(super) fn lock(&self) -> MutexGuard<'_, SandboxState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves connections until it is stopped; when it returns, no request takes effect any more.
pub(super) async fn serve(listener: TcpListener, shared: Arc<SharedSandbox>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(stream, Arc::clone(&shared)));
                }
                Err(error) => {
                    tracing::warn!(?error, "the sandbox could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = shared.stop.cancelled() => break,
        }
    }
    connections.shutdown().await;
    shared.late.close();
    shared.late.wait().await;
}

async fn serve_connection(stream: TcpStream, shared: Arc<SharedSandbox>) {
    // Otherwise an answer may wait for the acknowledgement of the previous one.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(?error, "no TCP_NODELAY");
    }
    let service = service_fn(|request| route(&shared, request));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::trace!(?error, "a connection to the sandbox ended");
    }
}

async fn route(shared: &Arc<SharedSandbox>, request: Request<Incoming>) -> Result<Response<Body>, Disconnect> {
    let call = ApiMethod::ALL.into_iter().find(|call| call.path() == request.uri().path());
    match (request.method(), request.uri().path(), call) {
        (&Method::POST, _, Some(call)) => answer_call(shared, call, request).await,
        // The service's own answer to an invalid HTTP request.
        (_, _, Some(_)) => Ok(json(refusal(60002).1)),
        (&Method::GET, "/sandbox/stats", None) => {
            let stats = serde_json::to_string(&shared.lock().stats());
            Ok(stats.map_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()), json))
        }
        (&Method::GET, "/sandbox/messages", None) => {
            let listing = Listing { shared: Arc::clone(shared), next: 0 };
            Ok(with_type(Response::new(Either::Right(listing)), "application/x-ndjson"))
        }
        (&Method::POST, "/sandbox/faults", None) => change_faults(shared, request).await,
        (_, "/sandbox/stats" | "/sandbox/messages", None) => Ok(not_allowed("GET")),
        (_, "/sandbox/faults", None) => Ok(not_allowed("POST")),
        (_, path, None) if path.starts_with("/sandbox") => {
            let routes = "GET /sandbox/stats, GET /sandbox/messages, POST /sandbox/faults\n";
            Ok(text(StatusCode::NOT_FOUND, routes))
        }
        (_, _, None) => Ok(json(refusal(60009).1)),
    }
}

async fn answer_call(
    shared: &Arc<SharedSandbox>,
    call: ApiMethod,
    request: Request<Incoming>,
) -> Result<Response<Body>, Disconnect> {
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let at = shared.started.elapsed();
    let access = shared.access.check(head.uri.query().unwrap_or_default(), SystemTime::now());
    let body = access.and_then(|()| body.ok_or(93000));
    let Reply { answer, delay, late } = match call {
        ApiMethod::ModifyC2cMsg => {
            let request = body.and_then(|body| Modify::parse(&body));
            shared.lock().modify(at, request)
        }
        ApiMethod::AdminGetRoamMsg => {
            let names = shared.lock().faults.history().names;
            let request = body.and_then(|body| Window::parse(&body, names));
            shared.lock().read(at, request)
        }
    };
    if let Some(late) = late {
        shared.late.spawn(apply_late(Arc::clone(shared), late));
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match answer {
        SandboxAnswer::Json(body) => Ok(json(body)),
        SandboxAnswer::Html(status) => Ok(html(StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY))),
        SandboxAnswer::Closed => Err(Disconnect::OnPurpose),
        // hyper drops this future when the client closes the connection.
        SandboxAnswer::Silence => std::future::pending().await,
    }
}

/// Applies a late edit when it is due, unless the sandbox is stopped before.
async fn apply_late(shared: Arc<SharedSandbox>, late: LateEdit) {
    tokio::select! {
        biased;
        () = shared.stop.cancelled() => {}
        () = tokio::time::sleep(late.after) => shared.lock().apply_late(&late),
    }
}

async fn change_faults(shared: &SharedSandbox, request: Request<Incoming>) -> Result<Response<Body>, Disconnect> {
    let body = read(request.into_body()).await?.unwrap_or_default();
    match String::from_utf8_lossy(&body).parse::<Faults>() {
        Ok(faults) => {
            let now = format!("{faults}\n");
            shared.lock().faults = faults;
            Ok(text(StatusCode::OK, now))
        }
        Err(error) => Ok(text(StatusCode::BAD_REQUEST, format!("{error}\n"))),
    }
}

/// Reads a whole body; `None` if it is longer than any valid one.
async fn read(body: Incoming) -> Result<Option<Bytes>, Disconnect> {
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(whole) => Ok(Some(whole.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Ok(None),
        Err(_) => Err(Disconnect::ByClient),
    }
}

fn json(body: impl Into<Bytes>) -> Response<Body> {
    with_type(Response::new(Either::Left(Full::new(body.into()))), "application/json")
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = with_type(Response::new(Either::Left(Full::new(body.into()))), "text/plain; charset=utf-8");
    *response.status_mut() = status;
    response
}

fn html(status: StatusCode) -> Response<Body> {
    let page = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
    let mut response = with_type(text(status, page), "text/html");
    if status == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn not_allowed(method: &'static str) -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, format!("use {method}\n"));
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
    response
}

fn with_type(mut response: Response<Body>, content_type: &'static str) -> Response<Body> {
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// All messages as lines of JSON, generated while they are sent: a listing of millions is never held in memory.
struct Listing {
    shared: Arc<SharedSandbox>,
    next: usize,
}

impl http_body::Body for Listing {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut lines = String::new();
        self.shared.lock().messages.write_lines(self.next, LISTING_MESSAGES, &mut lines);
        self.next += LISTING_MESSAGES;
        Poll::Ready((!lines.is_empty()).then(|| Ok(Frame::data(lines.into()))))
    }
}

/// Listens on a loopback address; others are refused, because anyone who can reach the sandbox can change it.
///
/// # Errors
/// The address is not a loopback address, or cannot be listened on.
pub(super) async fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    if !address.ip().is_loopback() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            format!("the sandbox listens on this machine only; {} is no loopback address, 127.0.0.1 is", address.ip()),
        ));
    }
    TcpListener::bind(address).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::MessageId;

    /// Checks how many edits took effect if the sandbox is stopped this long after a late one has arrived.
    async fn check(stopped_after: Duration, edits: u64) {
        let state = SandboxState::new(200, "lost-late=100%".parse().unwrap(), 1);
        let shared = Arc::new(SharedSandbox::new(Access::new(1, "a".into(), "key".into()), state));
        let id = MessageId { from_account: "a".into(), to_account: "b".into(), msg_key: "1_2_3".into() };
        let edit = Modify { digest: id.digest(), id, msg_body: None, cloud_custom_data: Some("x".into()) };
        let late = shared.lock().modify(Duration::ZERO, Ok(edit)).late.unwrap();
        shared.late.spawn(apply_late(Arc::clone(&shared), late));
        tokio::time::sleep(stopped_after).await;
        shared.stop();
        shared.late.close();
        shared.late.wait().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(shared.lock().stats().messages.edits, edits, "{stopped_after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_edit_does_not_take_effect_after_a_stop() {
        check(Duration::ZERO, 0).await;
        check(Duration::from_secs(4), 1).await;
    }
}
