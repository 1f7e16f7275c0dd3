//! The live page: the run in a browser, with buttons to control it.
//!
//! `server` accepts connections, `guard` controls access, `html` renders, `stream` pushes the parts that have changed,
//! once a second. A script of some tens of lines puts them into their places; without it the page reloads itself every
//! few seconds, and every button leads to a page that asks for confirmation.

mod guard;
mod html;
pub(super) mod ledger_cache;
mod peer;
mod server;
mod stream;
mod words;

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{self, DefaultBodyLimit, Extension, Form, State};
use axum::http::{HeaderMap, StatusCode, header, uri::Authority};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::guard::{Gate, Key, Peer};
use self::ledger_cache::LedgerCache;
use self::words::PageWords;
use super::{LiveShared, metrics};
use crate::ledger::ControlAction;
use crate::report::chart::CHART_CSS;
use crate::report::format::{FORMAT, Health, HoldObject};
use crate::run::ControlError;
use crate::system::host_name;
use crate::words::{Lang, Words};

/// The longest form: a word, a number and a key.
const FORM_BYTES_MAX: usize = 1_024;

/// The page, bound to its address and not serving yet.
#[derive(Debug)]
pub struct Page {
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
    form_key: Key,
    lang: Option<Lang>,
}

/// Why the page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The address is in use, or is not this machine's.
    #[error("the page cannot listen on {address}: {source}; give another address with --page")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// It could be guessed.
    #[error(
        "RUNNER_PAGE_TOKEN is shorter than 16 characters and could be guessed; make one with: openssl rand -hex 16"
    )]
    ShortToken,
    /// The file that should hold it.
    #[error("RUNNER_PAGE_TOKEN_FILE {} cannot be read: {source}", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The system has no random source.
    #[error("the page has no token: the system's random source failed; set RUNNER_PAGE_TOKEN")]
    NoRandom,
}

/// What all requests share.
#[derive(Clone, Debug)]
pub(super) struct Context(Arc<Inside>);

#[derive(Debug)]
pub(super) struct Inside {
    shared: Arc<LiveShared>,
    address: SocketAddr,
    gate: Gate,
    form_key: Key,
    lang: Option<Lang>,
    /// This machine's name.
    host: String,
    ledger_cache: LedgerCache,
    /// Cancelled when the run is over.
    close: CancellationToken,
    streams: Arc<tokio::sync::Semaphore>,
    /// Somebody stopped the run here, and their browser, which is sent to the page anew, has not shown its end yet.
    end_awaited: watch::Sender<bool>,
}

impl std::ops::Deref for Context {
    type Target = Inside;

    fn deref(&self) -> &Inside {
        &self.0
    }
}

/// The operator's own token, from `RUNNER_PAGE_TOKEN` or the file that `RUNNER_PAGE_TOKEN_FILE` names.
///
/// # Errors
/// The file cannot be read.
pub fn given_token() -> Result<Option<SecretString>, PageError> {
    let given = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(token) = given("RUNNER_PAGE_TOKEN") {
        return Ok(Some(token.to_string_lossy().trim().into()));
    }
    let Some(path) = given("RUNNER_PAGE_TOKEN_FILE").map(PathBuf::from) else { return Ok(None) };
    match std::fs::read_to_string(&path) {
        Ok(token) => Ok(Some(token.trim().into())),
        Err(source) => Err(PageError::TokenFile { path, source }),
    }
}

impl Page {
    /// Takes the address. `token` is the operator's own; without one it is made where it is needed. `lang`: in that
    /// language, and not in the browser's.
    ///
    /// # Errors
    /// The address cannot be listened on, or the token is no good.
    pub fn open(address: SocketAddr, token: Option<SecretString>, lang: Option<Lang>) -> Result<Page, PageError> {
        let failed = |source| PageError::Address { address, source };
        let peers_are_known = address.ip().is_loopback() && peer::can_be_told(address.ip());
        let gate = Gate::new(address, token, peers_are_known)?;
        let listener = TcpListener::bind(address).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Page { listener, address, gate, form_key: Key::random()?, lang })
    }

    /// Its address, for the operator: a token that was made here is part of it, and shown nowhere else.
    pub fn url(&self) -> String {
        match &self.gate {
            Gate::Token { token, given: false, .. } => format!("http://{}/?token={}", self.address, token.text()),
            Gate::Token { .. } | Gate::Loopback => format!("http://{}/", self.address),
        }
    }

    /// What the operator must know: beyond loopback the token can be read on its way.
    pub fn warning(&self) -> Option<String> {
        let port = self.address.port();
        (!self.address.ip().is_loopback()).then(|| {
            format!(
                "the page's token goes over the wire unencrypted; safer is --page 127.0.0.1:{port} and, where you sit, \
                 ssh -L {port}:127.0.0.1:{port} {}",
                host_name().unwrap_or_default()
            )
        })
    }

    /// Serves the page until `close` is cancelled; open pages get the last numbers.
    pub(super) async fn serve(self, shared: Arc<LiveShared>, close: CancellationToken) {
        let Page { listener, address, gate, form_key, lang } = self;
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::warn!("the run goes on without its page: {error}"),
        };
        let ledger_cache = LedgerCache::new(&shared.facts.ledger);
        // A database is asked before anybody looks.
        ledger_cache.known();
        let streams = Arc::new(tokio::sync::Semaphore::new(stream::STREAMS_MAX));
        let host = host_name().unwrap_or_default();
        let end_awaited = watch::Sender::new(false);
        let awaited = end_awaited.subscribe();
        let inside = Inside {
            shared,
            address,
            gate,
            form_key,
            lang,
            host,
            ledger_cache,
            close: close.clone(),
            streams,
            end_awaited,
        };
        server::serve(listener, address, router(Context(Arc::new(inside))), close, awaited).await;
    }
}

impl Inside {
    /// Whether a request that names this host is for this page.
    fn is_ours(&self, host: &Authority) -> bool {
        guard::is_own_name(host.host(), &self.host)
    }

    /// In the language that was asked for when the run was started, else in the browser's.
    fn words(&self, headers: &HeaderMap) -> Words {
        Words::new(self.lang.unwrap_or_else(|| preferred(headers)))
    }
}

/// The first of the browser's languages that the page has; browsers name the preferred one first.
fn preferred(headers: &HeaderMap) -> Lang {
    let wanted = headers.get(header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known = wanted.split(',').find_map(|tag| match tag.trim().get(..2)? {
        "zh" => Some(Lang::Zh),
        "en" => Some(Lang::En),
        _ => None,
    });
    known.unwrap_or_default()
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(stream::events))
        .route("/confirm/{what}", get(confirm))
        .route("/tell", post(tell))
        .route("/token", post(token))
        .route("/page.css", get(|| async { ([(header::CONTENT_TYPE, "text/css")], format!("{CHART_CSS}{CSS}")) }))
        .route("/page.js", get(|| async { ([(header::CONTENT_TYPE, "text/javascript")], SCRIPT) }))
        .route("/metrics", get(numbers))
        .route("/healthz", get(health))
        .fallback(|| async { (StatusCode::NOT_FOUND, "there is no such page\n") })
        .layer(middleware::from_fn_with_state(context.clone(), guard::guard))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .with_state(context)
}

const CSS: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

async fn page(State(page): State<Context>, headers: HeaderMap) -> Response {
    html::page(&page, &page.words(&headers)).into_response()
}

async fn numbers(State(page): State<Context>) -> Response {
    match metrics::text(&page.shared, page.ledger_cache.known()) {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// A run is healthy as long as its ledger can be written, also while it is paused or held.
async fn health(State(page): State<Context>) -> Response {
    let (view, facts) = (page.shared.view(), &page.shared.facts);
    let latched = page.shared.latch.is_cancelled();
    let status = if latched { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let state = if latched { "the ledger has failed" } else { view.state().word() };
    let last = (view.tally.last_done_at > 0).then(|| crate::words::iso(view.tally.last_done_at));
    let left = facts.planned.saturating_sub(view.tally.settled());
    let body = Health {
        format: FORMAT,
        state,
        planned: facts.planned,
        left,
        totals: view.totals,
        hold: HoldObject::of(view.activity()),
        seconds_left: view.tally.time_left.map(|left| left.as_secs()),
        last_success: last,
    };
    match serde_json::to_string(&body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// The actions, by their words in forms and addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Button {
    Pause,
    Resume,
    Rate,
    Stop,
}

impl Button {
    const ALL: [Button; 4] = [Button::Pause, Button::Resume, Button::Rate, Button::Stop];

    fn word(self) -> &'static str {
        match self {
            Button::Pause => "pause",
            Button::Resume => "resume",
            Button::Rate => "rate",
            Button::Stop => "stop",
        }
    }
}

/// A page of its own that asks for confirmation, for browsers without the script.
async fn confirm(
    State(page): State<Context>,
    headers: HeaderMap,
    extract::Path(what): extract::Path<String>,
) -> Response {
    match Button::ALL.into_iter().find(|button| button.word() == what) {
        Some(button) => html::confirmation(&page, &page.words(&headers), button).into_response(),
        None => (StatusCode::NOT_FOUND, "there is no such page\n").into_response(),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ButtonPress {
    what: Button,
    /// The field is there in every form, and filled in only for a rate.
    #[serde(default)]
    rate: Option<NonZeroU32>,
    form_key: String,
}

async fn tell(
    State(page): State<Context>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    form: Result<Form<ButtonPress>, extract::rejection::FormRejection>,
) -> Response {
    let words = page.words(&headers);
    let said = PageWords::of(&words);
    let Ok(Form(form)) = form else {
        return html::refusal(StatusCode::BAD_REQUEST, &words, said.not_understood);
    };
    if !page.form_key.is(&form.form_key) {
        return html::refusal(StatusCode::FORBIDDEN, &words, said.old_form);
    }
    let action = match (form.what, form.rate) {
        (Button::Pause, _) => ControlAction::Pause,
        (Button::Resume, _) => ControlAction::Resume,
        (Button::Stop, _) => ControlAction::Stop,
        (Button::Rate, Some(rate)) => ControlAction::Rate(rate),
        (Button::Rate, None) => return html::refusal(StatusCode::BAD_REQUEST, &words, said.not_understood),
    };
    if action == ControlAction::Stop {
        page.end_awaited.send_replace(true);
    }
    match page.shared.control(action, format!("{} on the page", peer.address)).await {
        Ok(()) => {
            page.ledger_cache.is_stale();
            Redirect::to("/").into_response()
        }
        Err(ControlError::AboveCap { wanted, cap }) => {
            html::refusal(StatusCode::CONFLICT, &words, &(said.above_cap)(wanted.get(), cap.get()))
        }
        Err(ControlError::NoRoom(why)) => {
            html::refusal(StatusCode::CONFLICT, &words, &(said.no_room)(&why.to_string()))
        }
        Err(ControlError::Over) => html::refusal(StatusCode::CONFLICT, &words, said.at_its_end),
        Err(ControlError::Ledger(error)) => {
            html::refusal(StatusCode::SERVICE_UNAVAILABLE, &words, &(said.ledger_failed)(&error.to_string()))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Offered {
    token: String,
}

/// The token, typed in.
async fn token(State(page): State<Context>, headers: HeaderMap, Form(offered): Form<Offered>) -> Response {
    let exchanged = page.gate.exchange(&offered.token, page.address.port());
    exchanged.unwrap_or_else(|| html::ask_for_token(&page.words(&headers), true))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The URL and the warning of a page at this address.
    fn shown(address: &str, given: Option<&str>) -> (String, Option<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let gate = Gate::new(address, given.map(Into::into), true).unwrap();
        let page = Page { listener, address, gate, form_key: Key::random().unwrap(), lang: None };
        (page.url(), page.warning())
    }

    #[test]
    fn a_token_that_was_made_is_told_once_and_the_wire_is_warned_of() {
        assert_eq!(shown("127.0.0.1:8201", None), ("http://127.0.0.1:8201/".to_owned(), None));
        assert_eq!(shown("127.0.0.1:8201", Some("0123456789abcdef")).0, "http://127.0.0.1:8201/");
        let (url, warning) = shown("10.0.0.7:8201", None);
        let token = url.strip_prefix("http://10.0.0.7:8201/?token=").unwrap();
        assert_eq!(token.len(), 32);
        assert!(warning.is_some_and(|text| text.contains("ssh -L 8201:127.0.0.1:8201") && !text.contains(token)));
        let (url, warning) = shown("10.0.0.7:8201", Some("0123456789abcdef"));
        assert!(url == "http://10.0.0.7:8201/" && warning.is_some());
    }

    #[test]
    fn the_language_is_the_one_that_the_browser_likes_best_of_those_there_are() {
        for (wanted, lang) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Lang::Zh),
            ("en-GB,en;q=0.9,zh;q=0.5", Lang::En),
            ("fr-FR,zh-TW;q=0.7", Lang::Zh),
            ("fr", Lang::En),
            ("", Lang::En),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_LANGUAGE, wanted.parse().unwrap());
            assert_eq!(preferred(&headers), lang, "{wanted}");
        }
    }
}
