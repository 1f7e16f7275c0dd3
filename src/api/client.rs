//! One request, one outcome, over HTTP.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Certificate, Client, Response, Url, redirect, retry};
use secrecy::ExposeSecret;

use super::answer::{self, ANSWER_BYTES_MAX};
use super::credentials::{Credentials, Signature};
use super::endpoint::{ApiMethod, Endpoint};
use super::error_code::{self, Class};
use super::history::{self, HistoryPage, HistoryQuery, PAGE_BYTES_MAX};
use super::proxy::Proxy;
use super::wire::SendGuard;
use super::{Outcome, Service};
use crate::ledger::{Intent, Note};
use crate::pace::Permit;
use crate::system::small_file;

/// A connection that takes longer to open will not open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections idle for longer are closed by us, before the service closes one just as a request is sent on it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// Times that other tasks may run to receive what has arrived, before an answer is given up.
const YIELDS: u32 = 16;
/// The kernel gives up bytes that the other side has not acknowledged within this time, even after this process has
/// ended: an edit can reach the service this long after it was sent, and no later. (If a proxy has accepted it:
/// [`KEEPS_MAX`](super::proxy::KEEPS_MAX) later.)
pub const UNDERWAY_MAX: Duration = Duration::from_secs(5);

/// The service, over HTTP.
#[derive(Debug)]
pub struct HttpService {
    client: Client,
    modify_url: Url,
    history_url: Url,
    proxy: Option<Proxy>,
    credentials: Arc<Credentials>,
    timeout: Duration,
}

/// How to reach the service.
#[derive(Debug)]
pub struct ClientOptions<'a> {
    /// The service's address.
    pub endpoint: &'a Endpoint,
    /// The proxy to use, if any.
    pub proxy: Option<&'a Proxy>,
    /// Limit for one answer, counted from when the request is sent. The service itself gives up after 3 s.
    pub timeout: Duration,
    /// An additional certificate authority to trust, in PEM.
    pub ca_cert: Option<&'a Path>,
    /// The most requests in flight; as many connections are kept.
    pub concurrency: usize,
}

/// Why the client cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file of `--ca-cert` cannot be read.
    #[error("cannot read the certificate {}: {source}", path.display())]
    ReadCertificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file holds no certificate.
    #[error("{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("cannot set up the connection: {0}")]
    Setup(#[source] reqwest::Error),
}

impl HttpService {
    /// Sets up the client; nothing is sent.
    ///
    /// # Errors
    /// The certificate cannot be read, or TLS cannot be set up.
    pub fn new(options: &ClientOptions<'_>, credentials: Arc<Credentials>) -> Result<HttpService, ClientError> {
        let mut builder = Client::builder()
            .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(options.concurrency)
            .tcp_user_timeout(UNDERWAY_MAX.min(options.timeout))
            // HTTP/2 accepts a body before there is room to send it, so its permit would be spent too early; and
            // losing one connection would put everything in flight in doubt.
            .http1_only()
            // Only the proxy that is passed in, whatever the environment says.
            .no_proxy()
            // A redirect would carry the signature elsewhere.
            .redirect(redirect::Policy::none())
            // Retries are decided by the caller, after checking the ledger, never here.
            .retry(retry::never());
        if !options.endpoint.is_loopback() {
            builder = builder.https_only(true);
        }
        if let Some(proxy) = options.proxy {
            builder = builder.proxy(proxy.for_client().map_err(ClientError::Setup)?);
        }
        if let Some(path) = options.ca_cert {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        let url = |call| {
            let mut url = options.endpoint.url(call);
            url.query_pairs_mut()
                .append_pair("sdkappid", &credentials.sdkappid().to_string())
                .append_pair("identifier", credentials.identifier())
                .append_pair("contenttype", "json");
            url
        };
        let (modify_url, history_url) = (url(ApiMethod::ModifyC2cMsg), url(ApiMethod::AdminGetRoamMsg));
        let client = builder.build().map_err(ClientError::Setup)?;
        let proxy = options.proxy.cloned();
        Ok(HttpService { client, modify_url, history_url, proxy, credentials, timeout: options.timeout })
    }

    /// Signs a request, sends it and reads its answer.
    async fn call<T>(&self, call: &ApiCall<'_, T>, body: Vec<u8>, permit: Permit) -> Result<T, Outcome> {
        let Some(signature) = self.credentials.signature(SystemTime::now()) else { return Err(Outcome::NoSignature) };
        let mut answer = self.exchange(call, signed(call.url, &signature), body, permit).await;
        match &mut answer {
            Ok(_) => self.credentials.accepted(&signature),
            Err(Outcome::Refused { code, signed_anew, .. }) => {
                let now = SystemTime::now();
                *signed_anew = match error_code::lookup(*code).map(|entry| entry.class) {
                    Some(Class::Signature) => self.credentials.refused(&signature, now),
                    // The key in the file may have been replaced in the meantime.
                    Some(Class::StopAccess) => self.credentials.key_has_changed(&signature, now),
                    Some(_) | None => false,
                };
            }
            Err(_) => {}
        }
        answer
    }

    /// Sends one request. Whatever goes wrong, the outcome says whether its body was sent.
    async fn exchange<T>(&self, call: &ApiCall<'_, T>, url: Url, body: Vec<u8>, permit: Permit) -> Result<T, Outcome> {
        let guard = SendGuard::default();
        let body = reqwest::Body::wrap(guard.body(Bytes::from(body), permit));
        let exchange = async {
            let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
            let response = request.send().await?;
            read(response, call).await
        };
        // Connecting has its own time limit; the answer's starts when the request is sent.
        let overdue = async {
            guard.overdue(2 * CONNECT_TIMEOUT, self.timeout).await;
            // A process that was suspended may find the timeout expired and the answer already there. The connection's
            // task receives it, so that task runs first.
            for _ in 0..YIELDS {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            answer = exchange => match answer {
                Ok(answer) => answer,
                Err(error) if guard.cancel() => Err(self.not_sent(&guard, &causes(error))),
                Err(_) => Err(Outcome::NoAnswer(Note::ConnectionLost)),
            },
            () = overdue => Err(if guard.cancel() {
                self.not_sent(&guard, &["no connection in time".to_owned()])
            } else {
                Outcome::NoAnswer(Note::TimedOut)
            }),
        }
    }

    /// Nothing was sent: what could not be reached, and why, unless it was held back. The innermost cause is the last one.
    fn not_sent(&self, guard: &SendGuard, causes: &[String]) -> Outcome {
        if guard.is_held_back() {
            return Outcome::HeldBack;
        }
        let reason = match &self.proxy {
            Some(proxy) => proxy.not_sent_reason(causes),
            None => {
                format!("the service cannot be reached ({})", causes.last().map(String::as_str).unwrap_or_default())
            }
        };
        Outcome::NotSent { reason }
    }
}

/// One of the service's API methods, and how to read its answers.
struct ApiCall<'a, T> {
    url: &'a Url,
    /// The most bytes of an answer that are read.
    bytes_max: usize,
    read: Reader<T>,
}

/// Reads the status, `Retry-After` and body of an answer.
type Reader<T> = fn(u16, Option<Duration>, &[u8]) -> Result<T, Outcome>;

impl Service for HttpService {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let read = |status, retry_after, body: &[u8]| match answer::read(status, retry_after, body) {
            Outcome::Confirmed => Ok(None),
            Outcome::ConfirmedAndAsks(pause) => Ok(Some(pause)),
            outcome => Err(outcome),
        };
        let call = ApiCall { url: &self.modify_url, bytes_max: ANSWER_BYTES_MAX, read };
        let answer = self.call(&call, intent.edit().request_body(), permit).await;
        answer.map_or_else(|outcome| outcome, |pause| pause.map_or(Outcome::Confirmed, Outcome::ConfirmedAndAsks))
    }

    async fn history(&self, query: &HistoryQuery, permit: Permit) -> Result<HistoryPage, Outcome> {
        let call = ApiCall { url: &self.history_url, bytes_max: PAGE_BYTES_MAX, read: history::read };
        self.call(&call, query.request_body(), permit).await
    }
}

/// Adds the two query parameters that are new for each request.
fn signed(url: &Url, signature: &Signature) -> Url {
    let mut url = url.clone();
    // Appended: setting the whole query would parse it once more.
    url.query_pairs_mut()
        .append_pair("usersig", signature.text().expose_secret())
        .append_pair("random", &fastrand::u32(..).to_string());
    url
}

async fn read<T>(mut response: Response, call: &ApiCall<'_, T>) -> Result<Result<T, Outcome>, reqwest::Error> {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| answer::retry_after(value, SystemTime::now()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > call.bytes_max {
            // Too long to be the service's answer, so its content does not matter.
            body.clear();
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok((call.read)(status, retry_after, &body))
}

/// The chain of causes, innermost last, without the URL, which holds the signature.
fn causes(error: reqwest::Error) -> Vec<String> {
    let error = error.without_url();
    std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source())
        .map(ToString::to_string)
        .collect()
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let pem =
        small_file::read(path).map_err(|source| ClientError::ReadCertificate { path: path.to_owned(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(ClientError::NoCertificate { path: path.to_owned() }),
    }
}
