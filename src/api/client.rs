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
use super::endpoint::{Call, Endpoint};
use super::error_code::{self, Class};
use super::wire::{Outgoing, Wire};
use super::{Outcome, Service};
use crate::ledger::{Intent, Note};
use crate::pace::Permit;

/// A connection that takes longer to open will not open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections idle for longer are closed from here, before the service does so under a request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);

/// The service, over HTTP.
#[derive(Debug)]
pub struct HttpService {
    client: Client,
    modify_url: Url,
    credentials: Arc<Credentials>,
    timeout: Duration,
}

/// How to reach the service.
#[derive(Debug)]
pub struct ClientOptions<'a> {
    /// Where it is.
    pub endpoint: &'a Endpoint,
    /// For one answer, from the moment the request goes out. The service itself gives up after 3 s.
    pub timeout: Duration,
    /// One more authority to trust, in PEM.
    pub ca_cert: Option<&'a Path>,
    /// Requests in flight at most: as many connections are kept.
    pub concurrency: usize,
}

/// Why there is no client.
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
    /// It holds no certificate.
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
    /// Sets the client up; nothing is sent.
    ///
    /// # Errors
    /// The certificate cannot be read, or TLS cannot be set up.
    pub fn new(options: &ClientOptions<'_>, credentials: Arc<Credentials>) -> Result<HttpService, ClientError> {
        let mut builder = Client::builder()
            .user_agent(concat!("runner/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(options.concurrency)
            // HTTP/2 takes a body before there is room to send it, so its permit would be spent too early; and with one
            // connection lost, everything in flight would be in doubt.
            .http1_only()
            // A redirect would carry the signature elsewhere.
            .redirect(redirect::Policy::none())
            // Whether to send again is decided above, after a look at the ledger, never in here.
            .retry(retry::never());
        if options.endpoint.is_loopback() {
            builder = builder.no_proxy();
        } else {
            builder = builder.https_only(true);
        }
        if let Some(path) = options.ca_cert {
            builder = builder.tls_certs_merge(read_certificates(path)?);
        }
        let mut modify_url = options.endpoint.url(Call::ModifyC2cMsg);
        modify_url
            .query_pairs_mut()
            .append_pair("sdkappid", &credentials.sdkappid().to_string())
            .append_pair("identifier", credentials.identifier())
            .append_pair("contenttype", "json");
        let client = builder.build().map_err(ClientError::Setup)?;
        Ok(HttpService { client, modify_url, credentials, timeout: options.timeout })
    }

    /// Sends one request. Whatever goes wrong, it is known whether its body went out.
    async fn call(&self, url: Url, body: Vec<u8>, permit: Permit) -> Outcome {
        let wire = Wire::default();
        let _recall = wire.recall();
        let body = reqwest::Body::wrap(Outgoing::new(Bytes::from(body), permit, wire.clone()));
        let exchange = async {
            let request = self.client.post(url).header(CONTENT_TYPE, "application/json").body(body);
            let response = request.send().await?;
            read(response).await
        };
        // A connection has its own time to open; the answer's begins when the request goes out.
        let too_late = async {
            let opened = tokio::time::timeout(2 * CONNECT_TIMEOUT, wire.gone_out()).await;
            if opened.is_ok() || !wire.call_off() {
                tokio::time::sleep(self.timeout).await;
            }
        };
        tokio::select! {
            answer = exchange => match answer {
                Ok(outcome) => outcome,
                Err(error) if wire.call_off() => Outcome::NotSent { reason: reason(error) },
                Err(_) => Outcome::NoAnswer(Note::ConnectionLost),
            },
            () = too_late => {
                if wire.call_off() {
                    Outcome::NotSent { reason: "no connection in time".to_owned() }
                } else {
                    Outcome::NoAnswer(Note::TimedOut)
                }
            }
        }
    }
}

impl Service for HttpService {
    async fn modify(&self, intent: &Intent, permit: Permit) -> Outcome {
        let signature = self.credentials.signature(SystemTime::now());
        let url = signed(&self.modify_url, &signature);
        let mut outcome = self.call(url, intent.edit().request_body(), permit).await;
        match &mut outcome {
            Outcome::Refused { code, signed_anew, .. }
                if error_code::lookup(*code).is_some_and(|entry| entry.class == Class::Signature) =>
            {
                *signed_anew = self.credentials.refused(&signature, SystemTime::now());
            }
            Outcome::Confirmed => self.credentials.accepted(&signature),
            Outcome::Refused { .. } | Outcome::Http { .. } | Outcome::NotSent { .. } | Outcome::NoAnswer(_) => {}
        }
        outcome
    }
}

/// The query's last two parts, which are new for each request.
fn signed(url: &Url, signature: &Signature) -> Url {
    let mut url = url.clone();
    url.query_pairs_mut()
        .append_pair("usersig", signature.text().expose_secret())
        .append_pair("random", &fastrand::u32(..).to_string());
    url
}

async fn read(mut response: Response) -> Result<Outcome, reqwest::Error> {
    let status = response.status().as_u16();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| answer::retry_after(value, SystemTime::now()));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            // Too long to be the service's; what it says does not matter then.
            body.clear();
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(answer::read(status, retry_after, &body))
}

/// The innermost cause, without the URL: that holds the signature.
fn reason(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate>, ClientError> {
    let pem = std::fs::read(path).map_err(|source| ClientError::ReadCertificate { path: path.to_owned(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(ClientError::NoCertificate { path: path.to_owned() }),
    }
}
